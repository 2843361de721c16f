package main

import (
	"container/heap"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A road is what a link does to what goes over it, each way.
type road struct {
	DelayMS  float64 `json:"delay_ms"`
	JitterMS float64 `json:"jitter_ms"`
	Loss     float64 `json:"loss"` // percent
	RateKbit float64 `json:"rate_kbit"`
	Queue    int     `json:"queue"` // frames; more are lost
	Down     bool    `json:"down"`  // loses all
}

// link joins two TAP devices in two network namespaces and forwards whole frames between them, since not every kernel
// has sch_netem. Dropped frames follow a seed. The order `road` changes it while it runs.
func link(flags *flag.FlagSet, args []string) error {
	near := flags.String("near", "", "NAMESPACE,DEVICE of one end")
	far := flags.String("far", "", "NAMESPACE,DEVICE of the other")
	first := flags.String("road", "{}", "what it is like, as JSON")
	seed := flags.Uint64("seed", 1, "of loss and jitter")
	socket := flags.String("socket", "", "socket for orders")
	if err := flags.Parse(args); err != nil {
		return err
	}
	l := &linked{}
	if err := json.Unmarshal([]byte(*first), &l.road); err != nil {
		return err
	}
	var ends [2]*os.File
	for i, end := range []string{*near, *far} {
		var err error
		if ends[i], err = tap(end); err != nil {
			return fmt.Errorf("%s: %w", end, err)
		}
	}
	failed := make(chan error)
	for i := range ends {
		go func() { failed <- l.carry(ends[i], ends[1-i], rand.New(rand.NewPCG(*seed, uint64(i)))) }()
	}
	err := orders(*socket, table{"road": order(func(r road) (any, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.road = r
		return nil, nil
	})})
	if err != nil {
		return err
	}
	return <-failed
}

type linked struct {
	mu   sync.Mutex
	road road
}

// tap makes a TAP device in another network namespace. The descriptor goes on belonging to it wherever we are.
func tap(end string) (*os.File, error) {
	var namespace, device string
	for i := range end {
		if end[i] == ',' {
			namespace, device = end[:i], end[i+1:]
		}
	}
	// This thread is left in the namespace; since it stays locked, it ends with its goroutine and nobody inherits it.
	type made struct {
		file *os.File
		err  error
	}
	done := make(chan made)
	go func() {
		runtime.LockOSThread()
		file, err := func() (*os.File, error) {
			ns, err := unix.Open("/run/netns/"+namespace, unix.O_RDONLY|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			defer unix.Close(ns)
			if err := unix.Setns(ns, unix.CLONE_NEWNET); err != nil {
				return nil, err
			}
			fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
			if err != nil {
				return nil, err
			}
			request, err := unix.NewIfreq(device)
			if err != nil {
				return nil, err
			}
			request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, request); err != nil {
				return nil, err
			}
			return os.NewFile(uintptr(fd), device), nil
		}()
		done <- made{file, err}
	}()
	m := <-done
	return m.file, m.err
}

// A frame on its way.
type frame struct {
	due   time.Time
	order uint64
	bytes []byte
}

type underway []frame

func (u underway) Len() int { return len(u) }
func (u underway) Less(i, j int) bool {
	return u[i].due.Before(u[j].due) || u[i].due.Equal(u[j].due) && u[i].order < u[j].order
}
func (u underway) Swap(i, j int) { u[i], u[j] = u[j], u[i] }
func (u *underway) Push(x any)   { *u = append(*u, x.(frame)) }
func (u *underway) Pop() any {
	old := *u
	last := old[len(old)-1]
	*u = old[:len(old)-1]
	return last
}

// carry brings what comes out of one end to the other when it is due.
func (l *linked) carry(from, to *os.File, dice *rand.Rand) error {
	arrived := make(chan []byte, 64)
	failed := make(chan error, 1)
	go func() {
		for {
			buffer := make([]byte, 65536)
			n, err := from.Read(buffer)
			if err != nil {
				failed <- err
				return
			}
			arrived <- buffer[:n]
		}
	}()
	var queue underway
	var count uint64
	var free time.Time // when the road has room for the next frame
	timer := time.NewTimer(time.Hour)
	for {
		wait := time.Hour
		if len(queue) > 0 {
			wait = time.Until(queue[0].due)
		}
		timer.Reset(wait)
		select {
		case err := <-failed:
			return err
		case bytes := <-arrived:
			l.mu.Lock()
			r := l.road
			l.mu.Unlock()
			limit := r.Queue
			if limit == 0 {
				limit = 1000
			}
			if r.Down || dice.Float64()*100 < r.Loss || len(queue) >= limit {
				continue
			}
			due := time.Now()
			if r.RateKbit > 0 {
				if free.After(due) {
					due = free
				}
				due = due.Add(time.Duration(float64(len(bytes)) * 8 / r.RateKbit * float64(time.Millisecond)))
				free = due
			}
			due = due.Add(time.Duration((r.DelayMS + (dice.Float64()*2-1)*r.JitterMS) * float64(time.Millisecond)))
			count++
			heap.Push(&queue, frame{due, count, bytes})
		case <-timer.C:
		}
		for len(queue) > 0 && !queue[0].due.After(time.Now()) {
			// A device that is down, or full, loses it, as a road does.
			if _, err := to.Write(heap.Pop(&queue).(frame).bytes); err != nil && !errors.Is(err, unix.EIO) && !errors.Is(err, unix.EAGAIN) {
				return err
			}
		}
	}
}
