package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

const limit = 20 * time.Second

// tableOf returns the prepared leases of a new database.
func tableOf(t *testing.T, db *database.DB, partitions int) *DatabaseTable {
	t.Helper()
	if err := Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	table := NewTable(db, "svc", partitions)
	for range 2 { // a second instance changes nothing
		if err := table.Prepare(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return table
}

func read(t *testing.T, table Table) View {
	t.Helper()
	v, err := table.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestDatabaseTable(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		ctx := t.Context()
		table := tableOf(t, db, 2)
		a, b := Instance{ID: "a", Endpoint: "host:1"}, Instance{ID: "b", Endpoint: "host:2"}
		const long = 600_000

		t.Run("time is the database's, in milliseconds since 1970", func(t *testing.T) {
			now := clock.Real().NowMs()
			if v := read(t, table); v.NowMs < now-60_000 || v.NowMs > now+60_000 {
				t.Errorf("%d, this machine says %d", v.NowMs, now)
			}
		})
		t.Run("a free lease is taken with the next epoch", func(t *testing.T) {
			ok(t, table.Take(ctx, read(t, table).Leases[0], a, long, false))
			v := read(t, table)
			l := v.Leases[0]
			left := l.ExpiresAtMs - v.NowMs
			if l.Owner != "a" || l.Endpoint != "host:1" || l.Epoch != 1 || left > long || left < long-60_000 {
				t.Errorf("%+v at %d", l, v.NowMs)
			}
			if other := v.Leases[1]; other.Owner != "" || other.Epoch != 0 {
				t.Errorf("the other one: %+v", other)
			}
		})
		t.Run("a lease that lasts is not taken, except by force", func(t *testing.T) {
			seen := read(t, table).Leases[0]
			ok(t, table.Take(ctx, seen, b, long, false))
			if l := read(t, table).Leases[0]; l != seen {
				t.Errorf("%+v", l)
			}
			ok(t, table.Take(ctx, seen, b, long, true))
			if l := read(t, table).Leases[0]; l.Owner != "b" || l.Epoch != 2 {
				t.Errorf("by force: %+v", l)
			}
		})
		t.Run("a lease that has changed since it was seen is not taken", func(t *testing.T) {
			seen := read(t, table).Leases[0]
			seen.Epoch--
			ok(t, table.Take(ctx, seen, a, long, true))
			if l := read(t, table).Leases[0]; l.Owner != "b" {
				t.Errorf("%+v", l)
			}
		})
		t.Run("only the owner of that epoch releases, and then it is free at once", func(t *testing.T) {
			ok(t, table.Release(ctx, 0, "a", 2))
			ok(t, table.Release(ctx, 0, "b", 1))
			if v := read(t, table); v.free(&v.Leases[0]) {
				t.Error("released by a stranger")
			}
			ok(t, table.Release(ctx, 0, "b", 2))
			if v := read(t, table); !v.free(&v.Leases[0]) {
				t.Errorf("not free: %+v", v)
			}
		})
		t.Run("what has ended is not renewed, except by force", func(t *testing.T) {
			ok(t, table.Take(ctx, read(t, table).Leases[0], b, 0, false)) // over at once
			ok(t, table.Renew(ctx, "b", long, false))
			if v := read(t, table); !v.free(&v.Leases[0]) || v.Leases[0].Owner != "b" {
				t.Errorf("risen from the dead: %+v", v)
			}
			ok(t, table.Renew(ctx, "b", long, true))
			if v := read(t, table); v.free(&v.Leases[0]) || v.Leases[0].Epoch != 3 {
				t.Errorf("by force: %+v", v)
			}
			ok(t, table.Renew(ctx, "b", 2*long, false))
			if v := read(t, table); v.Leases[0].ExpiresAtMs < v.NowMs+long {
				t.Errorf("not renewed: %+v", v)
			}
		})
		t.Run("instances come, show signs of life, die and leave", func(t *testing.T) {
			ok(t, table.Beat(ctx, a, long))
			ok(t, table.Beat(ctx, b, 0)) // dead at once
			ok(t, table.Beat(ctx, a, long))
			v := read(t, table)
			if len(v.Instances) != 1 || v.Instances[0].ID != "a" || v.Instances[0].Endpoint != "host:1" || v.Instances[0].StartedAtMs > v.NowMs {
				t.Errorf("%+v", v)
			}
			ok(t, table.Leave(ctx, "a"))
			if v := read(t, table); len(v.Instances) != 0 {
				t.Errorf("%+v", v)
			}
		})
		t.Run("services of one database do not see each other", func(t *testing.T) {
			other := NewTable(db, "other", 1)
			ok(t, other.Prepare(ctx))
			if v := read(t, other); v.Leases[0].Epoch != 0 {
				t.Errorf("%+v", v)
			}
		})
		t.Run("leases of more partitions than there are do not count", func(t *testing.T) {
			if v := read(t, NewTable(db, "svc", 1)); len(v.Leases) != 1 {
				t.Errorf("%+v", v)
			}
		})
	})
}

// worker notes which partitions are at work, with their epochs.
type worker struct {
	m      *Manager
	begun  chan Lease
	ended  chan error // the cause
	cancel context.CancelFunc
	result chan error
}

func startWorker(t *testing.T, table Table, cfg Config, name string) *worker {
	t.Helper()
	w := &worker{begun: make(chan Lease, 100), ended: make(chan error, 100), result: make(chan error, 1)}
	w.m = New(cfg, table, clock.Real(), NewID(name), func(ctx context.Context, l Lease) {
		w.begun <- l
		<-ctx.Done()
		w.ended <- context.Cause(ctx)
	})
	w.m.patience = limit // a busy machine's disk may take longer than an operator would wait
	ctx, cancel := context.WithCancel(context.Background())
	w.cancel = cancel
	go func() { w.result <- w.m.Run(ctx, "host:1") }()
	t.Cleanup(cancel)
	testkit.Eventually(t, limit, w.m.Joined, "%s has joined", name)
	return w
}

func (w *worker) stop(t *testing.T) {
	t.Helper()
	w.cancel()
	ok(t, <-w.result)
}

func TestManager(t *testing.T) {
	cfg := Config{Mode: Shared, TTLMs: 3000, RenewMs: 100} // a lease outlives a pause of a busy machine
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		table := tableOf(t, db, 2)
		a := startWorker(t, table, cfg, "a")
		first, second := <-a.begun, <-a.begun
		if first.Epoch != 1 || second.Epoch != 1 {
			t.Errorf("%+v %+v", first, second)
		}
		b := startWorker(t, table, cfg, "b")
		t.Run("a newcomer is handed its share, in order, and everybody knows", func(t *testing.T) {
			if cause := <-a.ended; cause != ErrHandOver { //nolint:errorlint // the very one
				t.Errorf("cause %v", cause)
			}
			l := <-b.begun
			if l.Epoch != 2 {
				t.Errorf("%+v", l)
			}
			testkit.Eventually(t, limit, func() bool {
				owner, known := a.m.Owner(l.Partition)
				return known && owner.Owner == l.Owner
			}, "a knows the new owner")
		})
		t.Run("an instance that stops gives everything back after its work has ended", func(t *testing.T) {
			b.stop(t)
			if cause := <-b.ended; cause != ErrHandOver { //nolint:errorlint // the very one
				t.Errorf("cause %v", cause)
			}
			if l := <-a.begun; l.Epoch != 3 {
				t.Errorf("%+v", l)
			}
		})
		t.Run("a single instance takes over from the dead at once, and the former single one ends", func(t *testing.T) {
			static := cfg
			static.Mode = Static
			c := startWorker(t, table, static, "c")
			<-c.begun
			<-c.begun
			for range 2 {
				if cause := <-a.ended; cause != ErrLost { //nolint:errorlint // the very one
					t.Errorf("cause %v", cause)
				}
			}
			d := startWorker(t, table, static, "d")
			<-d.begun
			<-d.begun
			c.m.Poke()
			if err := <-c.result; err == nil {
				t.Error("two single instances live side by side")
			}
			d.stop(t)
		})
		a.stop(t)
	})
}

// deadTable does not answer once it is cut.
type deadTable struct {
	Table

	cut chan struct{}
}

func (d deadTable) Renew(ctx context.Context, id string, ttl int64, force bool) error {
	select {
	case <-d.cut:
		<-ctx.Done()
		return ctx.Err()
	default:
		return d.Table.Renew(ctx, id, ttl, force)
	}
}

// lateTable takes leases and is told to stop before it can answer.
type lateTable struct {
	Table

	stop func()
}

func (l lateTable) Take(ctx context.Context, seen Lease, in Instance, ttlMs int64, force bool) error {
	err := l.Table.Take(ctx, seen, in, ttlMs, force)
	l.stop()
	return errors.Join(err, context.Canceled)
}

func TestManager_StopWhileTaking(t *testing.T) {
	t.Run("a lease whose taking was not answered when the stop came is given back, and no work begins", func(t *testing.T) {
		table := tableOf(t, testkit.SQLite(t), 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		begun := false
		m := New(Config{Mode: Shared, TTLMs: 60_000, RenewMs: 50}, lateTable{table, cancel}, clock.Real(), "a", func(ctx context.Context, _ Lease) {
			begun = true
			<-ctx.Done()
		})
		m.patience = limit
		ok(t, m.Run(ctx, "host:1"))
		if v := read(t, table); begun || !v.free(&v.Leases[0]) || v.Leases[0].Epoch != 1 {
			t.Errorf("begun %v: %+v", begun, v)
		}
	})
}

func TestManager_DatabaseAway(t *testing.T) {
	t.Run("a lease that cannot be renewed is given up before somebody else can have it", func(t *testing.T) {
		table := tableOf(t, testkit.SQLite(t), 1)
		dead := deadTable{table, make(chan struct{})}
		a := startWorker(t, dead, Config{Mode: Shared, TTLMs: 1000, RenewMs: 50}, "a")
		<-a.begun
		close(dead.cut)
		if cause := <-a.ended; cause != ErrLost { //nolint:errorlint // the very one
			t.Errorf("cause %v", cause)
		}
		v := read(t, table)
		if left := v.Leases[0].ExpiresAtMs - v.NowMs; left <= 0 {
			// Not an error of the manager when the machine was too busy to run it.
			t.Logf("the work was stopped %d ms too late", -left)
		}
	})
	t.Run("work that ends by itself gives its lease back", func(t *testing.T) {
		table := tableOf(t, testkit.SQLite(t), 1)
		m := New(Config{Mode: Shared, TTLMs: 5000, RenewMs: 50}, table, clock.Real(), "a", func(context.Context, Lease) {})
		m.patience = limit
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx, "host:1") }()
		testkit.Eventually(t, limit, func() bool { return read(t, table).Leases[0].Epoch >= 2 }, "it is taken again")
		cancel()
		ok(t, <-done)
	})
}
