package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"sync"
	"time"

	"tailscale.com/net/tsaddr"
	"tailscale.com/tailcfg"
	"tailscale.com/tstest/integration/testcontrol"
	"tailscale.com/types/key"
)

// An authKey is one that nodes join with.
type authKey struct {
	Key         string   `json:"key"`
	Tags        []string `json:"tags"`
	Reusable    bool     `json:"reusable"`
	Preapproved bool     `json:"preapproved"`
	Ephemeral   bool     `json:"ephemeral"`
	Used        bool     `json:"used"`
	Expired     bool     `json:"expired"`
}

// refusal is why the real service would not take it, in its words (see the project's notes on its texts); "" if it would.
func (k *authKey) refusal() string {
	switch {
	case k == nil:
		return "invalid key: API key does not exist"
	case k.Expired:
		return "invalid key: API key kEXPIRED11CNTRL not valid"
	case k.Used && !k.Reusable:
		return "invalid key: API key kTESTUSED11CNTRL not valid"
	}
	return ""
}

// A register is one that was tried. Of a key, only whether there was one: the file of orders is no place for it.
type register struct {
	Host  string   `json:"host"`
	Keyed bool     `json:"keyed"`
	Tags  []string `json:"tags"`
	End   string   `json:"end"`
}

// A gate decides who may register, which testcontrol has one key and one text for: a table of keys, tags by key and by
// owner, approval, a stable identity for each machine, a suffix on a taken name.
type gate struct {
	*testcontrol.Server
	inside inside
	next   http.Handler // testcontrol's own registration

	mu        sync.Mutex
	keys      map[string]*authKey
	approval  bool
	status    int
	registers []register
	ids       tailcfg.NodeID
}

func newGate(server *testcontrol.Server) *gate {
	g := &gate{Server: server, inside: reach(server), keys: map[string]*authKey{}, registers: []register{}}
	g.next, _ = g.inside.mux.Handler(httptest.NewRequest("POST", "/machine/map", nil))
	g.inside.mux.HandleFunc("/machine/register", g.register)
	return g
}

func expired(n *tailcfg.Node) bool {
	return !n.KeyExpiry.IsZero() && n.KeyExpiry.Before(time.Now())
}

func (g *gate) register(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var q tailcfg.RegisterRequest
	if err == nil {
		err = json.Unmarshal(body, &q)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if q.Followup != "" {
		// Waits for a person to follow the link. Nobody does.
		<-r.Context().Done()
		return
	}
	g.mu.Lock()
	note := register{}
	if q.Hostinfo != nil {
		note.Host, note.Tags = q.Hostinfo.Hostname, q.Hostinfo.RequestTags
	}
	note.Keyed = q.Auth != nil && q.Auth.AuthKey != ""
	status := g.status
	if status != 0 {
		note.End = fmt.Sprintf("http %d", status)
	} else {
		note.End = g.decide(w, r, &q, note)
	}
	g.registers = append(g.registers, note)
	g.mu.Unlock()
	log.Printf("register: %+v", note)
	switch {
	case status > 0:
		http.Error(w, "made to fail", status)
	case status < 0:
		<-r.Context().Done()
	}
}

// decide answers one registration, and says how it ended. g.mu is held.
func (g *gate) decide(w http.ResponseWriter, r *http.Request, q *tailcfg.RegisterRequest, asked register) string {
	answer := func(response tailcfg.RegisterResponse, end string) string {
		if err := json.NewEncoder(w).Encode(response); err != nil {
			return err.Error()
		}
		return end
	}
	known := g.Node(q.NodeKey)
	if known != nil && !q.Expiry.IsZero() && q.Expiry.Before(time.Now()) {
		known.KeyExpiry = time.Now().Add(-time.Minute)
		g.UpdateNode(known)
		return answer(tailcfg.RegisterResponse{NodeKeyExpired: true}, "logged out")
	}
	text := ""
	if q.Auth != nil {
		text = q.Auth.AuthKey
	}
	k := g.keys[text]
	if known != nil && !expired(known) && (text == "" || k.refusal() == "") {
		g.next.ServeHTTP(w, r) // still valid: a good key is not looked at
		return "known"
	}
	if text == "" {
		// A person has to log in, and for that with another node key than one that has expired.
		link := fmt.Sprintf("%s/a/%x", g.ExplicitBaseURL, len(g.registers)+0xabc000)
		return answer(tailcfg.RegisterResponse{AuthURL: link, NodeKeyExpired: known != nil}, "needs a person")
	}
	if why := k.refusal(); why != "" {
		return answer(tailcfg.RegisterResponse{Error: why}, why)
	}
	var refused []string
	for _, tag := range asked.Tags {
		if !slices.Contains(k.Tags, tag) && !g.owned(tag, k.Tags) {
			refused = append(refused, tag)
		}
	}
	if len(refused) > 0 {
		why := fmt.Sprintf("requested tags %v are invalid or not permitted", refused)
		return answer(tailcfg.RegisterResponse{Error: why}, why)
	}
	g.admit(w, r, q, k, asked)
	if k.Ephemeral {
		return "admitted, ephemeral"
	}
	return "admitted"
}

// owned says whether nodes, or keys, with these tags may give that one. Without tags they are a person's, who may give
// every tag that there is.
func (g *gate) owned(tag string, by []string) bool {
	owners, defined := g.TagOwners[tag]
	return defined && (len(by) == 0 || slices.ContainsFunc(by, func(t string) bool { return slices.Contains(owners, t) }))
}

// admit lets testcontrol register the node, then gives it what the real service would.
func (g *gate) admit(w http.ResponseWriter, r *http.Request, q *tailcfg.RegisterRequest, k *authKey, asked register) {
	machine := key.MachinePublic{}
	var before *tailcfg.Node
	g.RequireMachineAuth = g.approval && !k.Preapproved
	// What it knew of this machine under another node key is read before, and dropped after.
	old := g.AllNodes()
	recorder := httptest.NewRecorder()
	g.next.ServeHTTP(recorder, r)
	n := g.Node(q.NodeKey)
	if n == nil {
		http.Error(w, "testcontrol did not register it", http.StatusInternalServerError)
		return
	}
	machine = n.Machine
	for _, o := range old {
		if o.Machine == machine {
			before = o
		}
	}
	if before != nil {
		n.ID, n.StableID, n.MachineAuthorized = before.ID, before.StableID, before.MachineAuthorized || n.MachineAuthorized
		n.Created = before.Created
	} else {
		g.ids++
		n.Created = time.Now().UTC()
		n.ID, n.StableID = g.ids, tailcfg.StableNodeID(fmt.Sprintf("nLAB%08dCNTRL", g.ids))
	}
	v4 := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, byte(n.ID >> 8), byte(n.ID)}), 32)
	n.Addresses = []netip.Prefix{v4, netip.PrefixFrom(tsaddr.Tailscale4To6(v4.Addr()), 128)}
	n.AllowedIPs = n.Addresses
	n.Tags = slices.Clone(k.Tags)
	if len(asked.Tags) > 0 {
		n.Tags = slices.Clone(asked.Tags)
	}
	n.KeyExpiry = time.Time{}
	if len(n.Tags) == 0 {
		n.KeyExpiry = time.Now().Add(180 * 24 * time.Hour)
	}
	n.Hostinfo = q.Hostinfo.View()
	n.Name = g.free(asked.Host, machine)
	k.Used = true
	g.inside.forget(func(o *tailcfg.Node) bool { return o.Machine == machine && o.Key != n.Key })
	g.UpdateNode(n)
	var response tailcfg.RegisterResponse
	if err := json.Unmarshal(recorder.Body.Bytes(), &response); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	response.MachineAuthorized, response.NodeKeyExpired = n.MachineAuthorized, false
	json.NewEncoder(w).Encode(response)
}

// free is the name of a host in the tailnet, with -1, -2 … when another machine has it.
func (g *gate) free(host string, machine key.MachinePublic) string {
	taken := map[string]bool{}
	for _, o := range g.AllNodes() {
		taken[o.Name] = taken[o.Name] || o.Machine != machine
	}
	for i := 0; ; i++ {
		name := host
		if i > 0 {
			name = fmt.Sprintf("%s-%d", host, i)
		}
		if name += "." + g.MagicDNSDomain + "."; !taken[name] {
			return name
		}
	}
}
