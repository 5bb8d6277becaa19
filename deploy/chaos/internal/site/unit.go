package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"mscoin/deploy/chaos/internal/process"
)

// Kinds of processes.
const (
	Exchange = "exchange"
	Wallet   = "wallet"
	Market   = "market"
	Ucenter  = "ucenter"
	Gateway  = "gateway"
	AllInOne = "allinone"
	Broker   = "broker"
	Redis    = "redis"
)

// Unit is a process of the exchange under test. Its methods may be called by one
// goroutine at a time.
type Unit struct {
	// Name is unique, Kind says what it is.
	Name, Kind string
	control    control
}

// control is how a process is started and hit.
type control interface {
	start(ctx context.Context) error
	kill() error
	suspend() error
	resume() error
	running() bool
	log() string
}

// Start starts the process unless it runs. It does not wait until it is ready.
func (u *Unit) Start(ctx context.Context) error {
	if u.control.running() {
		return nil
	}
	return u.control.start(ctx)
}

// Kill is kill -9; afterwards the process is gone.
func (u *Unit) Kill() error { return u.control.kill() }

// Suspend is SIGSTOP, Resume SIGCONT.
func (u *Unit) Suspend() error { return u.control.suspend() }

// Resume lets a suspended process go on.
func (u *Unit) Resume() error { return u.control.resume() }

// Running reports whether the process is there, suspended or not.
func (u *Unit) Running() bool { return u.control.running() }

// Log is the file that gets what it prints.
func (u *Unit) Log() string { return u.control.log() }

// child is a process of this one.
type child struct {
	spec process.Spec
	proc *process.Process
}

func (c *child) start(context.Context) (err error) {
	c.proc, err = process.Start(c.spec)
	return err
}

func (c *child) kill() error {
	if c.proc != nil {
		c.proc.Kill()
	}
	return nil
}

func (c *child) suspend() error {
	if c.proc != nil {
		c.proc.Suspend()
	}
	return nil
}

func (c *child) resume() error {
	if c.proc != nil {
		c.proc.Resume()
	}
	return nil
}

func (c *child) running() bool { return c.proc != nil && c.proc.Running() }
func (c *child) log() string   { return c.spec.Log }

// Memory returns how many bytes a process of this one's has in memory.
func (u *Unit) Memory() (int64, error) {
	c, ok := u.control.(*child)
	if !ok || !c.running() {
		return 0, fmt.Errorf("%s does not run", u.Name)
	}
	return c.proc.Memory()
}

// ports gives out loopback ports below the range from which the system takes the ports of
// connections: a killed server finds its own free when it comes back. Fault tests that run
// beside each other begin at different ones.
var ports = struct {
	sync.Mutex
	next int
}{next: firstPort + os.Getpid()*portsEach%portSpan}

const (
	firstPort = 12_000
	portSpan  = 8_000
	portsEach = 80
)

func freeAddr(ctx context.Context) (string, error) {
	ports.Lock()
	defer ports.Unlock()
	var lc net.ListenConfig
	for range portSpan {
		ports.next = firstPort + (ports.next-firstPort+1)%portSpan
		addr := fmt.Sprintf("127.0.0.1:%d", ports.next)
		l, err := lc.Listen(ctx, "tcp", addr)
		if err != nil {
			continue
		}
		return addr, l.Close()
	}
	return "", errors.New("no port is free")
}

// answers waits until somebody listens at addr.
func answers(ctx context.Context, addr string, within time.Duration) error {
	return process.Poll(ctx, within, addr+" to answer", func(ctx context.Context) error {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "tcp", addr)
		if err != nil {
			return err
		}
		return conn.Close()
	})
}
