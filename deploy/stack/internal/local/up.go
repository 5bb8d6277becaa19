package local

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"mscoin/deploy/demo/seed"
	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/programs"
	"mscoin/deploy/stack/internal/server"
	"mscoin/mscoin-common/clock"
)

const (
	pollEvery = 50 * time.Millisecond
	// askLimit bounds one question whether a component is ready.
	askLimit = 3 * time.Second
	// topicsWithin bounds the wait until every broker takes part and the topics are there.
	topicsWithin = 60 * time.Second
	// seedWithin bounds listing the symbols and making the demo accounts.
	seedWithin = 60 * time.Second
)

// Up starts what does not run yet and returns when all of it is ready. What this call
// has started is stopped again when it fails.
func (s *Stack) Up(ctx context.Context, settings layout.Settings) error {
	return s.locked(func() error {
		start := s.Clock.Now()
		site, err := s.admit(settings)
		if err != nil {
			return err
		}
		// The settings are kept before anything starts: down and status need them.
		if err := s.Folder.Save(settings); err != nil {
			return err
		}
		env, err := site.Env()
		if err != nil {
			return err
		}
		if err := private.WriteFile(s.Folder.Env(), EnvFile(env)); err != nil {
			return fmt.Errorf("write the environment: %w", err)
		}
		u := &upper{Stack: s, site: site, env: env}
		if err := u.run(ctx); err != nil {
			return errors.Join(err, u.undo(ctx))
		}
		s.say("up in %s; environment of services and tests: %s", s.since(start), s.Folder.Env())
		if site.Seeded() {
			s.say("the exchange answers on %s; keys of the demo accounts: %s", site.URL(), filepath.Join(site.DemoDir(), seed.File))
		}
		return nil
	})
}

// admit refuses a start that cannot be: wrong settings, missing programs, or other data
// running in this folder.
func (s *Stack) admit(settings layout.Settings) (server.Site, error) {
	if err := settings.Validate(); err != nil {
		return server.Site{}, err
	}
	if err := programs.Find(s.Folder).Check(settings.DB); err != nil {
		return server.Site{}, err
	}
	last, found, err := s.Folder.Load()
	if err != nil {
		return server.Site{}, err
	}
	if found && !last.SameServers(settings) {
		if err := s.refuseRunning(last); err != nil {
			return server.Site{}, err
		}
	}
	site, err := s.site(settings)
	if err != nil {
		return server.Site{}, err
	}
	return site, site.EnsureCluster()
}

func (s *Stack) refuseRunning(last layout.Settings) error {
	names, err := s.Folder.Names()
	if err != nil {
		return err
	}
	for _, name := range names {
		state, _, err := s.state(name)
		if err != nil {
			return err
		}
		if state == process.Running {
			return fmt.Errorf("%s still runs with other settings (database %s, %d brokers, %d partitions, ports from %d, synced %t, profile %s): stop the stack first",
				name, last.DB, last.Brokers, last.Partitions, last.BasePort, !last.Unsynced, last.Profile)
		}
	}
	return nil
}

// upper is one start.
type upper struct {
	*Stack
	site server.Site
	env  []string // of the services

	mu      sync.Mutex
	started []server.Component // by this call, in order
}

func (u *upper) run(ctx context.Context) error {
	if err := u.together(ctx, server.Infrastructure(u.site)); err != nil {
		return err
	}
	if err := u.topics(ctx); err != nil {
		return err
	}
	for _, c := range server.Services(u.site) {
		if c.Name == layout.Gateway {
			if err := u.seed(ctx); err != nil {
				return err
			}
		}
		if err := u.together(ctx, []server.Component{c}); err != nil {
			return err
		}
	}
	return nil
}

// seed fills an empty exchange before its door opens.
func (u *upper) seed(ctx context.Context) error {
	if !u.site.Seeded() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, seedWithin)
	defer cancel()
	first, err := u.site.Seed(ctx)
	if err != nil {
		return fmt.Errorf("fill the exchange for the demo: %w", err)
	}
	if first {
		u.say("%-10s BTC/USDT, ETH/USDT and ETH/BTC are listed, two accounts are funded", "demo")
	}
	return nil
}

// together starts components that do not need each other. All are started before any is
// waited for: a broker of three becomes ready only when another is there.
func (u *upper) together(ctx context.Context, components []server.Component) error {
	return u.each(components, func(c server.Component) error { return u.start(ctx, c) },
		func(c server.Component) error { return u.wait(ctx, c) })
}

// each runs every step for all components at once, and the next step after all.
func (u *upper) each(components []server.Component, steps ...func(server.Component) error) error {
	for _, step := range steps {
		errs := make([]error, len(components))
		var wg sync.WaitGroup
		for i, c := range components {
			wg.Go(func() {
				if err := step(c); err != nil {
					errs[i] = fmt.Errorf("%s: %w", c.Name, err)
				}
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return err
		}
	}
	return nil
}

// start starts a component that does not run.
func (u *upper) start(ctx context.Context, c server.Component) error {
	state, rec, err := u.state(c.Name)
	if err != nil {
		return err
	}
	switch state {
	case process.Running:
		return nil
	case process.Crashed:
		u.say("%-10s had crashed (process %d): starting it again", c.Name, rec.PID)
	case process.Stopped:
	}
	if err := u.waitPorts(ctx, c.Ports); err != nil {
		return err
	}
	if err := c.Prepare(ctx); err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	u.mu.Lock()
	u.started = append(u.started, c)
	u.mu.Unlock()
	spec := c.Spec
	if !c.Infrastructure {
		spec.Env = u.env
	}
	_, err = process.Start(spec, u.Clock)
	return err
}

// portsWithin bounds the wait for ports that a process which has just died may still hold.
const portsWithin = 3 * time.Second

func (u *upper) waitPorts(ctx context.Context, ports []int) error {
	deadline := u.Clock.Now().Add(portsWithin)
	for {
		err := portsFree(ctx, ports)
		if err == nil || u.Clock.Now().After(deadline) {
			return err
		}
		if err := clock.Sleep(ctx, u.Clock, pollEvery); err != nil {
			return err
		}
	}
}

func portsFree(ctx context.Context, ports []int) error {
	for _, port := range ports {
		if err := layout.PortsFree(ctx, port, 1); err != nil {
			return err
		}
	}
	return nil
}

// wait polls until the component is ready. It gives up when the process ends, the
// component's time is over or ctx ends.
func (u *upper) wait(ctx context.Context, c server.Component) error {
	begin := u.Clock.Now()
	deadline := begin.Add(c.ReadyWithin)
	for {
		// The process is looked at before the port: another one may answer there.
		state, rec, err := u.state(c.Name)
		if err != nil {
			return err
		}
		if state != process.Running {
			return fmt.Errorf("it ended while starting:\n%s", u.tail(c))
		}
		ready := ask(ctx, c.Ready)
		if ready == nil {
			u.say("%-10s %s  (process %d, ready in %s)", c.Name, c.Addr, rec.PID, u.since(begin))
			return nil
		}
		if u.Clock.Now().After(deadline) {
			return fmt.Errorf("not ready within %v: %w\n%s", c.ReadyWithin, ready, u.tail(c))
		}
		if err := clock.Sleep(ctx, u.Clock, pollEvery); err != nil {
			return err
		}
	}
}

func ask(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	return ready(ctx)
}

// tailLines is how much of a log an error shows.
const tailLines = 15

func (u *upper) tail(c server.Component) string {
	lines, err := lastLines(c.Spec.Log, tailLines)
	if err != nil {
		return fmt.Sprintf("(its log cannot be read: %v)", err)
	}
	return "end of " + c.Spec.Log + ":\n" + strings.Join(lines, "\n")
}

// topics creates the money topics as soon as enough brokers take part.
func (u *upper) topics(ctx context.Context) error {
	deadline := u.Clock.Now().Add(topicsWithin)
	for {
		err := u.site.EnsureTopics(ctx)
		if err == nil {
			return nil
		}
		if u.Clock.Now().After(deadline) {
			return fmt.Errorf("topics: not there within %v: %w", topicsWithin, err)
		}
		if err := clock.Sleep(ctx, u.Clock, pollEvery); err != nil {
			return err
		}
	}
}

// undo stops what this call has started.
func (u *upper) undo(ctx context.Context) error {
	if len(u.started) == 0 {
		return nil
	}
	u.say("stopping what was started")
	_, err := u.stop(context.WithoutCancel(ctx), u.started)
	return err
}

// Topics creates the money topics that are missing and checks all of them.
func (s *Stack) Topics(ctx context.Context) error {
	settings, _, err := s.Folder.Load()
	if err != nil {
		return err
	}
	site, err := s.site(settings)
	if err != nil {
		return err
	}
	if err := site.EnsureTopics(ctx); err != nil {
		return err
	}
	for _, t := range server.Topics(settings) {
		s.say("%-40s %d partitions, %d replicas", t.Name, t.Partitions, t.Replication)
	}
	return nil
}

// Restart stops the named components one after the other, each in its turn started
// again and waited for.
func (s *Stack) Restart(ctx context.Context, names []string) error {
	return s.locked(func() error {
		settings, _, err := s.Folder.Load()
		if err != nil {
			return err
		}
		site, err := s.admit(settings)
		if err != nil {
			return err
		}
		env, err := site.Env()
		if err != nil {
			return err
		}
		u := &upper{Stack: s, site: site, env: env}
		all := append(server.Infrastructure(site), server.Services(site)...)
		for _, name := range names {
			i := slices.IndexFunc(all, func(c server.Component) bool { return c.Name == name })
			if i < 0 {
				return fmt.Errorf("there is no %q in this stack", name)
			}
			if _, err := s.stopAll(ctx, all[i:i+1]); err != nil {
				return err
			}
			if err := u.together(ctx, all[i:i+1]); err != nil {
				return err
			}
		}
		return nil
	})
}
