// Program tailnet-lab-servers is the network around the hosts of crate tailnet-lab: what Tailscale, its web site and the
// road to a host are in life. One subcommand a server; each runs until it is killed.
//
//	web      tailscale.com, pkgs.tailscale.com and the resolver, with faults for one host at a time
//	control  one tailnet on its own control server, with its DERP and its OAuth endpoint
//	link     a road with delay, jitter, loss and rate
//	pack     no server: makes the signed package repository of one client release
//
// Not for: deciding what a test wants. Each server takes orders on a unix socket, one JSON object a line (orders.go).
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	programs := map[string]func(*flag.FlagSet, []string) error{"web": web, "control": control, "link": link, "pack": pack}
	if len(os.Args) < 2 || programs[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: tailnet-lab-servers web|control|link|pack …")
		os.Exit(2)
	}
	name := os.Args[1]
	if err := programs[name](flag.NewFlagSet(name, flag.ExitOnError), os.Args[2:]); err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}
