package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
)

// tokens is the little of Tailscale's API that its client asks when it is given an OAuth client's secret as a key: a
// token for the secret, then a key for the token.
type tokens struct {
	gate *gate

	mu      sync.Mutex
	clients map[string][]string // secret -> the tags that it may give
	made    int
}

func (t *tokens) add(o struct {
	Secret string   `json:"secret"`
	Tags   []string `json:"tags"`
}) (any, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.clients[o.Secret] = o.Tags
	return nil, nil
}

func (t *tokens) token(w http.ResponseWriter, r *http.Request) {
	_, secret, ok := r.BasicAuth()
	if !ok {
		secret = r.PostFormValue("client_secret")
	}
	t.mu.Lock()
	_, known := t.clients[secret]
	t.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if !known {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprint(w, `{"message":"API token invalid"}`)
		return
	}
	// The secret is its own token: nobody but us reads it.
	json.NewEncoder(w).Encode(map[string]any{"access_token": secret, "token_type": "Bearer", "expires_in": 3600})
}

func (t *tokens) key(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Capabilities struct {
			Devices struct {
				Create struct {
					Reusable      bool     `json:"reusable"`
					Ephemeral     bool     `json:"ephemeral"`
					Preauthorized bool     `json:"preauthorized"`
					Tags          []string `json:"tags"`
				} `json:"create"`
			} `json:"devices"`
		} `json:"capabilities"`
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil {
		err = decode(body, &asked)
	}
	w.Header().Set("Content-Type", "application/json")
	refuse := func(status int, message string) {
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]string{"message": message})
	}
	if err != nil {
		refuse(http.StatusBadRequest, err.Error())
		return
	}
	const bearer = "Bearer "
	secret := r.Header.Get("Authorization")
	t.mu.Lock()
	tags, known := t.clients[secret[min(len(bearer), len(secret)):]]
	t.made++
	number := t.made
	t.mu.Unlock()
	create := asked.Capabilities.Devices.Create
	t.gate.mu.Lock()
	defer t.gate.mu.Unlock()
	for _, tag := range create.Tags {
		if known && !slices.Contains(tags, tag) && !t.gate.owned(tag, tags) {
			refuse(http.StatusBadRequest, fmt.Sprintf("requested tags [%s] are invalid or not permitted", tag))
			return
		}
	}
	if !known {
		refuse(http.StatusUnauthorized, "API token invalid")
		return
	}
	k := &authKey{Key: fmt.Sprintf("tskey-auth-lab%08dCNTRL-made-by-an-oauth-client", number), Tags: create.Tags, Reusable: create.Reusable, Preapproved: create.Preauthorized, Ephemeral: create.Ephemeral}
	t.gate.keys[k.Key] = k
	json.NewEncoder(w).Encode(map[string]any{"id": fmt.Sprintf("klab%d", number), "key": k.Key})
}
