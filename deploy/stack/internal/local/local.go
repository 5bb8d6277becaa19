// Package local runs a stack: it starts the components in order and waits until each is
// ready, stops them in reverse, and tells how they are.
package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/programs"
	"mscoin/deploy/stack/internal/secret"
	"mscoin/deploy/stack/internal/server"
	"mscoin/mscoin-common/clock"
)

// Stack is a local stack in its folder.
type Stack struct {
	// Folder is where it lives.
	Folder layout.Folder
	// Clock measures the waits.
	Clock clock.Clock
	// Out tells the user what happens.
	Out io.Writer
}

func (s *Stack) say(format string, args ...any) { _, _ = fmt.Fprintf(s.Out, format+"\n", args...) }

// ErrBusy says that another command is changing the stack.
var ErrBusy = errors.New("another command is changing this stack")

// locked runs change while no other command changes the stack.
func (s *Stack) locked(change func() error) (err error) {
	f, err := os.OpenFile(s.Folder.Lock(), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("lock the stack: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }() // unlocks
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return ErrBusy
		}
		return fmt.Errorf("lock the stack: %w", err)
	}
	return change()
}

// site gathers what the components need.
func (s *Stack) site(settings layout.Settings) (server.Site, error) {
	secrets, err := secret.Open(s.Folder.Secrets())
	if err != nil {
		return server.Site{}, err
	}
	if err := secrets.Ensure(server.Secrets()...); err != nil {
		return server.Site{}, err
	}
	return server.Site{
		Folder: s.Folder, Settings: settings, Secrets: secrets, Programs: programs.Find(s.Folder), Clock: s.Clock,
	}, nil
}

// Install gets the programs for a stack with this database.
func (s *Stack) Install(ctx context.Context, db string) error {
	return s.locked(func() error {
		start := s.Clock.Now()
		if err := (programs.Installer{Folder: s.Folder, DB: db, Out: s.Out, Clock: s.Clock}).Install(ctx); err != nil {
			return err
		}
		s.say("installed in %s", s.since(start))
		return nil
	})
}

func (s *Stack) since(start time.Time) string {
	return s.Clock.Now().Sub(start).Round(100 * time.Millisecond).String()
}

// names returns the components' names in the order of their start: those of the
// settings, then others that have a PID file.
func (s *Stack) names(components []server.Component) ([]string, error) {
	names := make([]string, 0, len(components))
	for _, c := range components {
		names = append(names, c.Name)
	}
	recorded, err := s.Folder.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range recorded {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names, nil
}

// Env returns the environment of services and tests as NAME=value.
func (s *Stack) Env() ([]string, error) {
	settings, found, err := s.Folder.Load()
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errors.New("this stack has never been started")
	}
	site, err := s.site(settings)
	if err != nil {
		return nil, err
	}
	return site.Env()
}

// EnvFile renders an environment for a shell to source.
func EnvFile(env []string) []byte {
	var b strings.Builder
	b.WriteString("# Written by the stack at each start.  Use:  . .stack/env\n")
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
	}
	return []byte(b.String())
}

// state is Look for a component by name.
func (s *Stack) state(name string) (process.State, process.Record, error) {
	return process.Look(s.Folder.PIDFile(name))
}
