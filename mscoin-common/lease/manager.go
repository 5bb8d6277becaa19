package lease

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

const (
	// staticTTL and staticRenew are the pace of a single instance: nobody waits for its
	// leases to end, they only tell others that it is there.
	staticTTL   = 30 * time.Second
	staticRenew = 10 * time.Second
	// minPause is between two looks at the database, however urgent.
	minPause = 50 * time.Millisecond
	// minPatience bounds the database's time for one round from below.
	minPatience = 250 * time.Millisecond
	// stopPatience bounds how long a stop waits for the work to end.
	stopPatience = 3500 * time.Millisecond
)

// Work works on a partition until ctx ends; when it returns, nothing of it may be at work
// any more. context.Cause(ctx) is ErrHandOver (end in order: the lease is kept meanwhile)
// or ErrLost (end at once). Work that ends by itself gives its lease back.
type Work func(ctx context.Context, l Lease)

// Manager keeps the leases of one instance. Run it once; the rest is safe for concurrent
// use.
type Manager struct {
	cfg    Config
	clk    clock.Clock
	keeper *keeper
	work   Work
	base   context.Context //nolint:containedctx // of all work, without an end of its own
	// patience bounds how long a stop waits for the work and the database: stopPatience.
	patience time.Duration

	poked   chan struct{}
	joined  atomic.Bool
	failing bool // belongs to Run
}

// New returns the manager of an instance. id names it; it must be different for each
// start, see NewID.
func New(cfg Config, table Table, clk clock.Clock, id string, work Work) *Manager {
	m := &Manager{cfg: cfg, clk: clk, work: work, base: context.Background(), patience: stopPatience, poked: make(chan struct{}, 1)}
	m.keeper = newKeeper(table, Instance{ID: id}, cfg.Mode == Static, m.ttl(), clk.Now, m.start)
	return m
}

// NewID returns an id for this start of an instance of the service called name.
func NewID(name string) string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return name + "-" + hex.EncodeToString(b)
}

func (m *Manager) ttl() time.Duration {
	if m.cfg.Mode == Static {
		return staticTTL
	}
	return m.cfg.ttl()
}

func (m *Manager) renew() time.Duration {
	if m.cfg.Mode == Static {
		return staticRenew
	}
	return m.cfg.renew()
}

// Joined reports whether this instance has been seen by the database and has taken what
// was due to it.
func (m *Manager) Joined() bool { return m.joined.Load() }

// Owner returns who has a partition, as far as this instance knows; ok is false when
// nobody has.
func (m *Manager) Owner(partition int) (l Lease, ok bool) { return m.keeper.owner(partition) }

// Poke has the database looked at soon, because an owner does not answer.
func (m *Manager) Poke() {
	select {
	case m.poked <- struct{}{}:
	default:
	}
}

// Run keeps the leases of an instance that answers on endpoint until ctx ends; then it has the work end in order and gives the
// leases back, within four seconds. A database that does not answer is asked again; the
// leases that could not be renewed are given up meanwhile. ErrReplaced: see there.
func (m *Manager) Run(ctx context.Context, endpoint string) error {
	m.keeper.me.Endpoint = endpoint
	watch, stopWatch := context.WithCancel(context.WithoutCancel(ctx))
	watching := make(chan struct{})
	go func() { defer close(watching); m.watch(watch) }()
	defer func() { stopWatch(); <-watching }()
	for ctx.Err() == nil {
		err := m.round(ctx)
		if errors.Is(err, ErrReplaced) {
			return errors.Join(err, m.leave(context.WithoutCancel(ctx)))
		}
		m.note(err)
		if err == nil {
			m.joined.Store(true)
			m.keeper.balance()
		}
		m.pause(ctx)
	}
	return m.leave(context.WithoutCancel(ctx))
}

// round bounds a round, so that a database that hangs is noticed.
func (m *Manager) round(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, m.clk, max(m.ttl()/2, minPatience))
	defer cancel()
	return m.keeper.round(ctx)
}

// note logs the first of several failures, and their end.
func (m *Manager) note(err error) {
	switch failing := err != nil; {
	case failing && !m.failing:
		logx.Errorf("leases: %v", err)
	case !failing && m.failing:
		logx.Info("leases: the database answers again")
	}
	m.failing = err != nil
}

// pause waits until it is time for the next round: for the next renewal, the end of
// somebody else's lease, or a poke.
func (m *Manager) pause(ctx context.Context) {
	if clock.Sleep(ctx, m.clk, minPause) != nil {
		return
	}
	select {
	case <-ctx.Done():
	case <-m.poked:
	case <-m.clk.After(m.keeper.nextEnd(m.renew()) - minPause):
	}
}

// watch gives up what could not be renewed, also while the database hangs.
func (m *Manager) watch(ctx context.Context) {
	for {
		wait := m.renew()
		if next := m.keeper.expired(); !next.IsZero() {
			wait = min(wait, next.Sub(m.clk.Now()))
		}
		if clock.Sleep(ctx, m.clk, max(wait, time.Millisecond)) != nil {
			return
		}
	}
}

// leave ends all work and gives the leases back.
func (m *Manager) leave(ctx context.Context) error {
	ctx, cancel := clock.WithTimeout(ctx, m.clk, m.patience)
	defer cancel()
	m.keeper.leave()
	gone := false
	for {
		var err error
		if !gone {
			err = m.keeper.table.Leave(ctx, m.keeper.me.ID)
			gone = err == nil
		}
		if err == nil {
			err = m.keeper.round(ctx)
		}
		if err == nil && m.keeper.idle() {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("leases are left to end by themselves: %w", errors.Join(ctx.Err(), err))
		}
		m.note(err)
		select {
		case <-ctx.Done():
		case <-m.poked:
		case <-m.clk.After(minPause):
		}
	}
}

// start runs the work on a lease.
func (m *Manager) start(l Lease, after job) job {
	ctx, cancel := context.WithCancelCause(m.base)
	r := &running{cancel: cancel, done: make(chan struct{})}
	go func() {
		defer m.Poke() // the lease is given back
		defer close(r.done)
		if before, ok := after.(*running); ok {
			<-before.done
		}
		if ctx.Err() == nil {
			m.work(ctx, l)
		}
	}()
	return r
}

// running is work on a lease.
type running struct {
	cancel context.CancelCauseFunc
	done   chan struct{}
}

func (r *running) stop(cause error) { r.cancel(cause) }

func (r *running) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}
