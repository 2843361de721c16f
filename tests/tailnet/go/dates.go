package main

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// A host whose clock is wrong takes good certificates for ones that are not valid yet, or no more. All hosts of a lab have the
// clock of this machine, so here the certificate is the one that is wrong, for one host: what the host sees is the same.

// dates is by how many days the clocks of hosts are behind, by address.
type dates struct {
	mu   sync.Mutex
	days map[string]int
}

func (d *dates) set(o struct {
	Address string `json:"address"`
	Days    int    `json:"days"`
}) (any, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.days[o.Address] = o.Days
	return nil, nil
}

// config is one whose certificate is as valid as the caller's clock makes it.
func (d *dates) config(dir string, names []string) (*tls.Config, error) {
	good, err := leaf(dir, names, 0)
	return &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		address, _, err := net.SplitHostPort(hello.Conn.RemoteAddr().String())
		if err != nil {
			return nil, err
		}
		d.mu.Lock()
		days := d.days[address]
		d.mu.Unlock()
		if days == 0 {
			return &good, nil
		}
		certificate, err := leaf(dir, names, time.Duration(days)*24*time.Hour)
		return &certificate, err
	}}, err
}
