package lease

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/testkit"
)

// world is a database with its own time and a number of instances, each with a clock of
// its own, that run one step at a time in an order that a seed decides.
type world struct {
	t     testing.TB
	rnd   *rand.Rand
	nowUs int64 // the database's time, µs
	rows  []Lease
	alive map[string]row
	nodes []*node
	tasks []*task // not asked to stop, of living nodes
	moves int
	calm  bool // no faults
}

type row struct {
	Instance
	expiresMs int64
}

func (w *world) nowMs() int64 { return w.nowUs / 1000 }

// node is an instance: its keeper runs as a coroutine that stops around each statement.
type node struct {
	w      *world
	id     string
	rate   float64 // of its clock
	offset time.Duration
	keeper *keeper
	resume func() (struct{}, bool)
	halt   func()
	yield  func(struct{}) bool
	wakeUs int64
}

var errLost = errors.New("the answer was lost")

// now is the node's monotonic clock.
func (n *node) now() time.Time {
	return time.UnixMicro(0).Add(n.offset + time.Duration(float64(n.w.nowUs)*n.rate)*time.Microsecond)
}

// delay lets the others work for a while: a millisecond mostly, sometimes much longer than
// a lease lasts.
func (n *node) delay() {
	ms := n.w.rnd.Int64N(4)
	if !n.w.calm && n.w.rnd.IntN(60) == 0 {
		ms = n.w.rnd.Int64N(3 * ttlMs)
	}
	n.sleep(ms)
}

func (n *node) sleep(ms int64) {
	n.wakeUs = n.w.nowUs + ms*1000 + n.w.rnd.Int64N(1000)
	if !n.yield(struct{}{}) {
		panic(errHalted)
	}
}

var errHalted = errors.New("halted")

// statement runs one with delays before and after; sometimes it or its answer is lost.
func (n *node) statement(run func()) error {
	n.delay()
	if !n.w.calm && n.w.rnd.IntN(50) == 0 {
		return errLost
	}
	run()
	n.delay()
	if !n.w.calm && n.w.rnd.IntN(50) == 0 {
		return errLost
	}
	return nil
}

func (n *node) Beat(_ context.Context, in Instance, ttl int64) error {
	return n.statement(func() {
		r, ok := n.w.alive[in.ID]
		if !ok {
			r = row{Instance: in}
			r.StartedAtMs = n.w.nowMs()
		}
		r.expiresMs = n.w.nowMs() + ttl
		n.w.alive[in.ID] = r
	})
}

func (n *node) Leave(_ context.Context, id string) error {
	return n.statement(func() { delete(n.w.alive, id) })
}

func (n *node) Renew(_ context.Context, id string, ttl int64, force bool) error {
	return n.statement(func() {
		for i := range n.w.rows {
			if r := &n.w.rows[i]; r.Owner == id && (force || r.ExpiresAtMs > n.w.nowMs()) {
				r.ExpiresAtMs = n.w.nowMs() + ttl
			}
		}
	})
}

func (n *node) Take(_ context.Context, seen Lease, in Instance, ttl int64, force bool) error {
	return n.statement(func() {
		r := &n.w.rows[seen.Partition]
		if r.Epoch != seen.Epoch || !force && r.ExpiresAtMs > n.w.nowMs() {
			return
		}
		r.Owner, r.Endpoint, r.Epoch, r.ExpiresAtMs = in.ID, in.Endpoint, r.Epoch+1, n.w.nowMs()+ttl
		n.w.moves++
	})
}

func (n *node) Release(_ context.Context, p int, id string, epoch int64) error {
	return n.statement(func() {
		if r := &n.w.rows[p]; r.Owner == id && r.Epoch == epoch && r.ExpiresAtMs > n.w.nowMs() {
			r.Owner, r.ExpiresAtMs = "", n.w.nowMs()
		}
	})
}

func (n *node) Read(context.Context) (v View, err error) {
	err = n.statement(func() {
		v = View{NowMs: n.w.nowMs(), Leases: slices.Clone(n.w.rows)}
		for _, id := range slices.Sorted(maps.Keys(n.w.alive)) {
			if r := n.w.alive[id]; r.expiresMs > v.NowMs {
				v.Instances = append(v.Instances, r.Instance)
			}
		}
	})
	return v, err
}

// task is work that takes a while to end.
type task struct {
	w      *world
	node   *node
	p      int
	stops  bool
	endsUs int64
}

func (k *task) stop(error) {
	if !k.stops {
		k.stops, k.endsUs = true, k.w.nowUs+k.w.rnd.Int64N(300_000)
	}
}

func (k *task) ended() bool { return k.stops && k.w.nowUs >= k.endsUs }

// boot adds an instance.
func (w *world) boot(id string) *node {
	n := &node{w: w, id: id, rate: 0.96 + w.rnd.Float64()*0.08, offset: time.Duration(w.rnd.Int64N(1e15)), wakeUs: w.nowUs}
	n.keeper = newKeeper(n, Instance{ID: id, Endpoint: id}, false, ttlMs*time.Millisecond, n.now,
		func(l Lease, _ job) job {
			k := &task{w: w, node: n, p: l.Partition}
			w.tasks = append(w.tasks, k)
			return k
		})
	n.resume, n.halt = iter.Pull(iter.Seq[struct{}](func(yield func(struct{}) bool) {
		defer func() {
			if r := recover(); r != nil && r != errHalted { //nolint:errorlint // the very one
				panic(r)
			}
		}()
		n.yield = yield
		for {
			if n.keeper.round(w.t.Context()) == nil {
				n.keeper.balance()
			}
			n.sleep(min(500, n.keeper.nextEnd(500*time.Millisecond).Milliseconds()))
			n.keeper.expired()
		}
	}))
	w.nodes = append(w.nodes, n)
	return n
}

// kill ends an instance as kill -9 does.
func (w *world) kill(n *node) {
	n.halt()
	w.nodes = slices.DeleteFunc(w.nodes, func(o *node) bool { return o == n })
	w.tasks = slices.DeleteFunc(w.tasks, func(k *task) bool { return k.node == n })
}

// step lets the next instance go on, and then checks that nobody shares a lease.
func (w *world) step() {
	next := slices.MinFunc(w.nodes, func(a, b *node) int { return int(a.wakeUs - b.wakeUs) })
	w.nowUs = max(w.nowUs, next.wakeUs)
	next.resume()
	w.check()
}

// check fails when two instances hold a lease at this moment of the database's time.
func (w *world) check() {
	w.t.Helper()
	w.tasks = slices.DeleteFunc(w.tasks, func(k *task) bool { return k.stops })
	for _, k := range w.tasks {
		if h := k.node.keeper.held[k.p]; h == nil || h.job != job(k) || h.stopping {
			w.t.Fatalf("at %d µs %s works on partition %d without a lease", w.nowUs, k.node.id, k.p)
		}
	}
	for p := range w.rows {
		holder := ""
		for _, n := range w.nodes {
			h := n.keeper.held[p]
			if h == nil || h.stopping || !n.now().Before(h.until) {
				continue
			}
			if holder != "" {
				w.t.Fatalf("at %d µs both %s and %s hold partition %d: %+v", w.nowUs, holder, n.id, p, w.rows[p])
			}
			holder = n.id
			if r := w.rows[p]; r.Owner != n.id || r.ExpiresAtMs <= w.nowMs() || r.Epoch != h.lease.Epoch {
				w.t.Fatalf("at %d µs %s holds partition %d with epoch %d, but the database says %+v", w.nowUs, n.id, p, h.lease.Epoch, r)
			}
		}
	}
}

// run goes on for so long.
func (w *world) run(ms int64) {
	for end := w.nowUs + ms*1000; w.nowUs < end; {
		w.step()
	}
}

// settle runs without faults and checks that every partition finds its owner, fairly.
func (w *world) settle() {
	w.t.Helper()
	w.calm = true
	w.run(int64(rejectedLives+10)*ttlMs + int64(len(w.rows))*3*ttlMs)
	counts := map[string]int{}
	for _, n := range w.nodes {
		counts[n.id] = 0
		for _, h := range n.keeper.held {
			if !h.stopping {
				counts[n.id]++
			}
		}
	}
	all := slices.Collect(maps.Values(counts))
	total := 0
	for _, c := range all {
		total += c
	}
	if total != len(w.rows) || slices.Max(all)-slices.Min(all) > 1 {
		w.t.Fatalf("%d partitions are held so: %v", len(w.rows), counts)
	}
	before := w.moves
	w.run(50 * ttlMs)
	if w.moves != before {
		w.t.Fatalf("leases still move when all is quiet: %d moves", w.moves-before)
	}
}

func newWorld(t testing.TB, rnd *rand.Rand, partitions int) *world {
	w := &world{t: t, rnd: rnd, nowUs: 1e12, alive: map[string]row{}}
	for p := range partitions {
		w.rows = append(w.rows, Lease{Partition: p, ExpiresAtMs: w.nowMs()})
	}
	t.Cleanup(func() {
		for _, n := range w.nodes {
			n.halt()
		}
	})
	return w
}

func TestKeeper_Property(t *testing.T) {
	logx.Disable()
	schedules := 150
	if testing.Short() {
		schedules = 50
	}
	rnd := testkit.Rand(t)
	t.Run("never two holders of one lease, however instances pause, crash, lose answers and skew", func(t *testing.T) {
		for range schedules {
			w := newWorld(t, rnd, 1+rnd.IntN(8))
			born := 0
			for range 1 + rnd.IntN(3) {
				w.boot(fmt.Sprintf("n%d", born))
				born++
			}
			for range 12 {
				w.run(rnd.Int64N(2 * ttlMs))
				switch {
				case rnd.IntN(2) == 0 && len(w.nodes) > 1:
					w.kill(w.nodes[rnd.IntN(len(w.nodes))])
				case len(w.nodes) < 5:
					w.boot(fmt.Sprintf("n%d", born))
					born++
				}
			}
			w.settle()
		}
	})
	t.Run("a dead owner's partitions have a new one within the life of a lease and a renewal", func(t *testing.T) {
		for range schedules {
			w := newWorld(t, rnd, 1+rnd.IntN(6))
			w.calm = true
			a, _ := w.boot("a"), w.boot("b")
			w.run(10 * ttlMs)
			w.kill(a)
			w.run(ttlMs + 600)
			for _, r := range w.rows {
				if r.Owner != "b" || r.ExpiresAtMs <= w.nowMs() {
					t.Fatalf("not moved: %+v at %d", r, w.nowMs())
				}
			}
		}
	})
	t.Run("a newcomer gets its share in a bounded number of moves", func(t *testing.T) {
		for range 20 {
			w := newWorld(t, rnd, 8)
			w.calm = true
			w.boot("a")
			w.run(3 * ttlMs)
			first := w.moves
			w.boot("b")
			w.settle()
			if n := w.moves - first; n != 4 {
				t.Fatalf("%d moves to share 8 partitions", n)
			}
		}
	})
}
