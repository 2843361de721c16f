package main

import (
	"log"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// resolve answers on UDP port 53 of address. A host's own names come first (manner.Names), then those that all hosts
// have; every other name does not exist, at once: nothing in the lab may wait for the world outside.
func (s *sites) resolve(address string) error {
	conn, err := net.ListenPacket("udp", address+":53")
	if err != nil {
		return err
	}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, from, err := conn.ReadFrom(buffer)
			if err != nil {
				return
			}
			if reply := s.reply(buffer[:n], peer(from.String())); reply != nil {
				if _, err := conn.WriteTo(reply, from); err != nil {
					log.Printf("resolver: %v", err)
				}
			}
		}
	}()
	return nil
}

// reply is nil for silence.
func (s *sites) reply(asked []byte, from string) []byte {
	var parser dnsmessage.Parser
	header, err := parser.Start(asked)
	if err != nil {
		return nil
	}
	question, err := parser.Question()
	if err != nil {
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(question.Name.String(), "."))
	found := lookup(s.of(from).Names, name)
	if found == "" {
		s.mu.Lock()
		found = s.names[name]
		s.mu.Unlock()
	}
	header.Response, header.Authoritative, header.RecursionAvailable = true, true, true
	switch found {
	case "silence":
		return nil
	case "servfail":
		header.RCode = dnsmessage.RCodeServerFailure
	case "", "nxdomain":
		header.RCode = dnsmessage.RCodeNameError
	}
	builder := dnsmessage.NewBuilder(nil, header)
	builder.EnableCompression()
	if builder.StartQuestions() != nil || builder.Question(question) != nil || builder.StartAnswers() != nil {
		return nil
	}
	if ip, err := netip.ParseAddr(found); err == nil && ip.Is4() && question.Type == dnsmessage.TypeA {
		// A time to live of nothing: a test changes names while a host runs.
		head := dnsmessage.ResourceHeader{Name: question.Name, Class: dnsmessage.ClassINET}
		if builder.AResource(head, dnsmessage.AResource{A: ip.As4()}) != nil {
			return nil
		}
	}
	reply, err := builder.Finish()
	if err != nil {
		return nil
	}
	return reply
}

// lookup finds what stands for a name, or for the nearest above it; "" above all stands for every name.
func lookup(names map[string]string, name string) string {
	for {
		if found, ok := names[name]; ok || name == "" {
			return found
		}
		_, name, _ = strings.Cut(name, ".")
	}
}
