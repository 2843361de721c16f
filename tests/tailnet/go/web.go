package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
)

// logs is where daemons send their logs.
const logs = "log.tailscale.com"

// A manner is how the web and the resolver behave to one host.
type manner struct {
	Root   string            `json:"root"` // folder of the sites, by host name: one for each release of the client
	Faults []fault           `json:"faults"`
	Names  map[string]string `json:"names"` // address, "nxdomain", "servfail" or "silence" for a name and all below it
}

// A fault is what becomes of requests whose host and path match.
type fault struct {
	Match string `json:"match"` // a regular expression
	// status:N · close · hang · cut:BYTES · slow:BYTES_A_SECOND · text:BODY
	Then string `json:"then"`
}

type request struct {
	From   string `json:"from"`
	Method string `json:"method"`
	URL    string `json:"url"`
	Became string `json:"became"`
}

type sites struct {
	mu      sync.Mutex
	manners map[string]manner // by address
	names   map[string]string // that every host can resolve
	seen    []request
}

// web serves the sites over HTTPS and HTTP, and resolves their names.
func web(flags *flag.FlagSet, args []string) error {
	address := flags.String("address", "", "address of the sites")
	resolver := flags.String("resolver", "", "address of the resolver")
	dir := flags.String("dir", "", "the lab's folder: the authority is made there, the socket is web.sock")
	if err := flags.Parse(args); err != nil {
		return err
	}
	s := &sites{manners: map[string]manner{}, names: map[string]string{}}
	for _, name := range []string{"tailscale.com", "pkgs.tailscale.com", logs} {
		s.names[name] = *address
	}
	if err := makeCA(*dir); err != nil {
		return err
	}
	names := []string{"tailscale.com", "pkgs.tailscale.com", logs, *address}
	dates := &dates{days: map[string]int{}}
	dated, err := dates.config(*dir, names)
	if err != nil {
		return err
	}
	if err := s.resolve(*resolver); err != nil {
		return err
	}
	plain, err := net.Listen("tcp", *address+":80")
	if err != nil {
		return err
	}
	secure, err := tls.Listen("tcp", *address+":443", dated)
	if err != nil {
		return err
	}
	err = orders(filepath.Join(*dir, "web.sock"), table{
		"manner": order(func(o struct {
			Address string `json:"address"`
			manner
		}) (any, error) {
			for _, f := range o.Faults {
				if _, err := regexp.Compile(f.Match); err != nil {
					return nil, err
				}
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.manners[o.Address] = o.manner
			return nil, nil
		}),
		"name": order(func(o struct {
			Name    string `json:"name"`
			Address string `json:"address"`
		}) (any, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.names[o.Name] = o.Address
			return nil, nil
		}),
		"dates": order(dates.set),
		"requests": order(func(o struct {
			Address string `json:"address"`
		}) (any, error) {
			s.mu.Lock()
			defer s.mu.Unlock()
			found := []request{}
			for _, r := range s.seen {
				if r.From == o.Address {
					found = append(found, r)
				}
			}
			return found, nil
		}),
	})
	if err != nil {
		return err
	}
	quiet := log.New(&discardHandshakes{}, "", 0)
	server := &http.Server{Handler: s, ErrorLog: quiet, TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go func() { log.Fatal(server.Serve(plain)) }()
	return server.Serve(secure)
}

// discardHandshakes drops what net/http logs about a peer that went away, which is what our faults make peers do.
type discardHandshakes struct{}

func (*discardHandshakes) Write(b []byte) (int, error) { return len(b), nil }

// of says how to behave to this address.
func (s *sites) of(address string) manner {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.manners[address]
}

func (s *sites) note(r *http.Request, became string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, request{From: peer(r.RemoteAddr), Method: r.Method, URL: hostOf(r) + r.URL.Path, Became: became})
}

func (s *sites) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if hostOf(r) == logs {
		// Takes what daemons upload, and forgets it: with nobody there they search the world for a resolver that works.
		io.Copy(io.Discard, r.Body)
		return
	}
	m := s.of(peer(r.RemoteAddr))
	what := hostOf(r) + r.URL.Path
	kind, value := "", ""
	for _, f := range m.Faults {
		if ok, _ := regexp.MatchString(f.Match, what); ok {
			kind, value, _ = strings.Cut(f.Then, ":")
			break
		}
	}
	number, _ := strconv.Atoi(value)
	switch kind {
	case "status":
		s.note(r, value)
		http.Error(w, "made to fail by the lab", number)
		return
	case "close":
		s.note(r, "closed")
		panic(http.ErrAbortHandler)
	case "hang":
		s.note(r, "hangs")
		<-r.Context().Done()
		return
	case "text":
		s.note(r, "another text")
		fmt.Fprint(w, value)
		return
	}
	file := filepath.Join(m.Root, hostOf(r), path.Clean("/"+r.URL.Path))
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, "index.html")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		s.note(r, "404")
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	s.note(r, strings.TrimSuffix("200 "+kind, " "))
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.Method == http.MethodHead {
		return
	}
	switch kind {
	case "cut":
		w.Write(content[:min(number, len(content))])
		if err := http.NewResponseController(w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return
		}
		panic(http.ErrAbortHandler)
	case "slow":
		for len(content) > 0 {
			n := min(max(number/10, 1), len(content))
			if _, err := w.Write(content[:n]); err != nil {
				return
			}
			http.NewResponseController(w).Flush()
			content = content[n:]
			time.Sleep(100 * time.Millisecond)
		}
	default:
		w.Write(content)
	}
}

func hostOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = r.Host
	}
	// What the client says is a folder's name for us.
	return strings.ReplaceAll(strings.TrimLeft(host, "."), "/", "")
}

func peer(address string) string {
	host, _, _ := net.SplitHostPort(address)
	return host
}
