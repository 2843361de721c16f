package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
)

// orders answers on a unix socket: a line is {"do": NAME, …}, the answer is {"answer": …} or {"error": TEXT}.
// The socket is there when it returns, so whoever waits for the file may connect at once.
func orders(path string, known table) error {
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go obey(conn, known)
		}
	}()
	return nil
}

func obey(conn net.Conn, known table) {
	defer conn.Close()
	lines := bufio.NewScanner(conn)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var order struct {
			Do string `json:"do"`
		}
		var answer any
		err := json.Unmarshal(lines.Bytes(), &order)
		if err == nil {
			if f := known[order.Do]; f != nil {
				answer, err = f(lines.Bytes())
			} else {
				err = fmt.Errorf("no such order: %q", order.Do)
			}
		}
		reply := map[string]any{"answer": answer}
		if err != nil {
			reply = map[string]any{"error": err.Error()}
		}
		if json.NewEncoder(conn).Encode(reply) != nil {
			return
		}
	}
}

// order makes an entry of the table from a function of the order's own fields.
func order[T any](f func(T) (any, error)) func(json.RawMessage) (any, error) {
	return func(line json.RawMessage) (any, error) {
		var fields T
		if err := json.Unmarshal(line, &fields); err != nil {
			return nil, err
		}
		return f(fields)
	}
}

type table = map[string]func(json.RawMessage) (any, error)
