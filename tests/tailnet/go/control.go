package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unsafe"

	"tailscale.com/derp/derpserver"
	"tailscale.com/net/stunserver"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// control serves one tailnet: Tailscale's own test control server, with the gate (gate.go) in front of its
// registration, an OAuth endpoint (oauth.go) beside it, and its own relay: with none, or a dead one, a join takes
// seconds. HTTPS and HTTP on the usual ports of its address.
func control(flags *flag.FlagSet, args []string) error {
	address := flags.String("address", "", "address to listen on")
	names := flags.String("names", "", "NAME,… of the certificate; the first is the server's own")
	domain := flags.String("domain", "", "suffix of the tailnet")
	socket := flags.String("socket", "", "socket for orders")
	authority := flags.String("authority", "", "folder of ca.crt and ca.key")
	if err := flags.Parse(args); err != nil {
		return err
	}
	list := strings.Split(*names, ",")
	server := &testcontrol.Server{
		ExplicitBaseURL: "https://" + list[0], MagicDNSDomain: *domain, Logf: log.Printf, AllNodesSameUser: true, AllOnline: true,
		SSHPolicy: &tailcfg.SSHPolicy{}, TagOwners: map[string][]string{},
		DNSConfig: &tailcfg.DNSConfig{Proxied: true, Domains: []string{*domain}},
		DERPMap: &tailcfg.DERPMap{OmitDefaultRegions: true, Regions: map[int]*tailcfg.DERPRegion{1: {RegionID: 1, RegionCode: "lab",
			Nodes: []*tailcfg.DERPNode{{Name: "1a", RegionID: 1, HostName: *address, IPv4: *address, IPv6: "none", STUNPort: 3478,
				DERPPort: 443, InsecureForTests: true, STUNTestIP: *address}}}}},
	}
	dates := &dates{days: map[string]int{}}
	dated, err := dates.config(*authority, append(list, *address))
	if err != nil {
		return err
	}
	stun := stunserver.New(context.Background())
	if err := stun.Listen(*address + ":3478"); err != nil {
		return err
	}
	go stun.Serve()

	gate := newGate(server)
	relay := derpserver.New(key.NewNode(), func(string, ...any) {})
	tokens := &tokens{gate: gate, clients: map[string][]string{}}
	front := &front{}
	mux := http.NewServeMux()
	mux.Handle("/derp", derpserver.AddWebSocketSupport(relay, derpserver.Handler(relay)))
	mux.HandleFunc("/derp/probe", derpserver.ProbeHandler)
	mux.HandleFunc("/derp/latency-check", derpserver.ProbeHandler)
	mux.HandleFunc("POST /api/v2/oauth/token", tokens.token)
	mux.HandleFunc("POST /api/v2/tailnet/-/keys", tokens.key)
	for _, path := range []string{"/key", "/ts2021", "/machine/", "/generate_204", "/c2n/"} {
		mux.Handle(path, server)
	}
	// Every other path is one that testcontrol would end its process for.
	front.next = mux

	plain, err := net.Listen("tcp", *address+":80")
	if err != nil {
		return err
	}
	secure, err := tls.Listen("tcp", *address+":443", dated)
	if err != nil {
		return err
	}
	table := gate.table()
	table["dates"] = order(dates.set)
	table["front"] = order(front.set)
	table["oauth"] = order(tokens.add)
	if err := orders(*socket, table); err != nil {
		return err
	}
	// HTTP/1.1 only: what is upgraded to Tailscale's own protocol is the whole connection.
	https := &http.Server{Handler: front, ErrorLog: log.New(&discardHandshakes{}, "", 0), TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}}
	go func() { log.Fatal(https.Serve(plain)) }()
	return https.Serve(secure)
}

// front makes requests fail before anything of Tailscale sees them.
type front struct {
	mu     sync.Mutex
	faults []frontFault
	next   http.Handler
}

type frontFault struct {
	Path   string `json:"path"`   // a pattern of package path: /key, /ts2021, /*
	Status int    `json:"status"` // 0: no answer, for as long as the client waits
}

func (f *front) set(o struct {
	Faults []frontFault `json:"faults"`
}) (any, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = o.Faults
	return nil, nil
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	faults := f.faults
	f.mu.Unlock()
	for _, fault := range faults {
		if ok, _ := path.Match(fault.Path, r.URL.Path); ok {
			if fault.Status == 0 {
				<-r.Context().Done()
				return
			}
			http.Error(w, "made to fail by the lab", fault.Status)
			return
		}
	}
	f.next.ServeHTTP(w, r)
}

// inside reaches what testcontrol keeps private and has no door for: the mux that carries requests inside Tailscale's
// own protocol, the table of nodes, from which it cannot delete, and the channels that wake the streams of nodes. The
// version of the module is pinned for this.
type inside struct {
	mux     *http.ServeMux
	mu      *sync.Mutex
	nodes   *map[key.NodePublic]*tailcfg.Node
	updates reflect.Value // map[tailcfg.NodeID]chan of a private kind of int
}

func reach(server *testcontrol.Server) inside {
	server.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/generate_204", nil)) // makes the mux
	field := func(name string) unsafe.Pointer {
		return unsafe.Pointer(reflect.ValueOf(server).Elem().FieldByName(name).UnsafeAddr())
	}
	updates := reflect.ValueOf(server).Elem().FieldByName("updates")
	return inside{mux: *(**http.ServeMux)(field("mux")), mu: (*sync.Mutex)(field("mu")), nodes: (*map[key.NodePublic]*tailcfg.Node)(field("nodes")),
		updates: reflect.NewAt(updates.Type(), field("updates")).Elem()}
}

// forget drops nodes. The stream of each, woken while nobody else can look, finds no node and ends.
func (i inside) forget(gone func(*tailcfg.Node) bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for k, n := range *i.nodes {
		if gone(n) {
			delete(*i.nodes, k)
			if wake := i.updates.MapIndex(reflect.ValueOf(n.ID)); wake.IsValid() {
				wake.TrySend(reflect.ValueOf(1).Convert(wake.Type().Elem()))
			}
		}
	}
}

// table is what a test may ask of a tailnet.
func (g *gate) table() table {
	return table{
		"key": order(func(k authKey) (any, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.keys[k.Key] = &k
			return nil, nil
		}),
		"registers": order(func(struct{}) (any, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.registers, nil
		}),
		"nodes": order(func(struct{}) (any, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			type node struct {
				Name     string   `json:"name"` // of the DNS, without the dot at its end
				Host     string   `json:"host"` // that was asked for
				Tags     []string `json:"tags"`
				Address  string   `json:"address"`
				Expired  bool     `json:"expired"`
				Approved bool     `json:"approved"`
			}
			found := []node{}
			for _, n := range g.AllNodes() {
				found = append(found, node{strings.TrimSuffix(n.Name, "."), n.Hostinfo.Hostname(), append([]string{}, n.Tags...),
					n.Addresses[0].Addr().String(), expired(n), n.MachineAuthorized})
			}
			return found, nil
		}),
		"tailnet": order(func(o struct {
			Approval  *bool               `json:"approval"`
			TagOwners map[string][]string `json:"tag_owners"`
			SSH       *bool               `json:"ssh"`
			Domain    string              `json:"domain"`
			Register  *int                `json:"register"` // HTTP status of every registration; 0: as ever, -1: no answer
		}) (any, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			if o.Approval != nil {
				g.approval = *o.Approval
			}
			if o.TagOwners != nil {
				g.inside.mu.Lock()
				g.TagOwners = o.TagOwners
				g.inside.mu.Unlock()
			}
			if o.SSH != nil {
				g.SetSSHPolicy(map[bool]*tailcfg.SSHPolicy{true: {}}[*o.SSH])
			}
			if o.Domain != "" {
				g.rename(o.Domain)
			}
			if o.Register != nil {
				g.status = *o.Register
			}
			return nil, nil
		}),
		"node": order(func(o struct {
			Name     string    `json:"name"` // its label now
			Delete   bool      `json:"delete"`
			Expiry   *int64    `json:"expiry_seconds"` // from now; below 0: expired
			Tags     *[]string `json:"tags"`
			Approved *bool     `json:"approved"`
			Rename   string    `json:"rename"`
		}) (any, error) {
			g.mu.Lock()
			defer g.mu.Unlock()
			nodes := slices.DeleteFunc(g.AllNodes(), func(n *tailcfg.Node) bool { return n.Name != o.Name+"."+g.MagicDNSDomain+"." })
			if len(nodes) == 0 {
				return nil, errors.New("no such node: " + o.Name)
			}
			for _, n := range nodes {
				if o.Expiry != nil {
					n.KeyExpiry = time.Now().Add(time.Duration(*o.Expiry) * time.Second)
				}
				if o.Tags != nil {
					n.Tags = *o.Tags
				}
				if o.Approved != nil {
					n.MachineAuthorized = *o.Approved
				}
				if o.Rename != "" {
					n.Name = o.Rename + "." + g.MagicDNSDomain + "."
				}
				if !o.Delete {
					g.UpdateNode(n)
				} else {
					g.inside.forget(func(other *tailcfg.Node) bool { return other.Key == n.Key })
					g.SetExpireAllNodes(false) // tells the others
				}
			}
			return nil, nil
		}),
	}
}

// rename gives the tailnet, and every node in it, another suffix, as an admin may.
func (g *gate) rename(domain string) {
	for _, n := range g.AllNodes() {
		n.Name = strings.TrimSuffix(n.Name, g.MagicDNSDomain+".") + domain + "."
		g.UpdateNode(n)
	}
	g.inside.mu.Lock()
	g.MagicDNSDomain = domain
	g.DNSConfig.Domains = []string{domain}
	g.inside.mu.Unlock()
	g.SetExpireAllNodes(false) // tells all of them
}

func decode(body []byte, into any) error {
	return json.Unmarshal(body, into)
}
