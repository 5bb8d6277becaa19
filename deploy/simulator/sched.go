package main

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime/debug"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/invariant"
)

// sim is one schedule: everything that happens follows from its seed.
type sim struct {
	seed   uint64
	rnd    *rand.Rand
	faults faults
	mutant *mutant
	world  *world

	nowMs  int64
	steps  int
	actors []*actor
	run    []*actor // scratch of step
	cur    *actor
	later  []pending
	calm   bool // no fault is made any more

	damaged map[string]bool // symbols of which a mutant has damaged a record

	failure error
	story   *story // nil unless a person reads
}

// startMs is when every schedule begins.
const startMs = int64(1_700_000_000_000)

// actor is real code that runs as a coroutine: from one call of a dependency to the
// next without anybody else running.
type actor struct {
	name string
	proc *process // nil for clients
	next func() (struct{}, bool)
	stop func()

	yield func(struct{}) bool
	ready func() bool // nil: waits for nothing but dueMs
	dueMs int64       // 0: no time-out
	dead  bool
}

// pending is an effect that lands later, whatever has become of who caused it.
type pending struct {
	atMs  int64
	what  string
	land  func()
	timer bool // nobody's effect: it only lets time not jump over it
}

// crashed unwinds an actor whose process is gone.
type crashed struct{}

// unwind ends the running actor from within whatever it calls.
func unwind() {
	panic(crashed{}) //nolint:forbidigo // there is nobody to return an error to: the process is gone
}

// spawn adds an actor that runs from the next step on. Its error is for ended.
func (s *sim) spawn(proc *process, name string, run func() error, ended func(error)) *actor {
	a := &actor{name: name, proc: proc}
	a.next, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		a.yield = yield
		err, died := s.guard(run)
		if !died && ended != nil {
			ended(err)
		}
	})
	s.actors = append(s.actors, a)
	if proc != nil {
		proc.actors = append(proc.actors, a)
	}
	return a
}

// guard runs an actor's code; died says that its process has gone.
func (s *sim) guard(run func() error) (err error, died bool) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case crashed:
			died = true
		default:
			s.fail("panic: %v\n%s", r, debug.Stack())
			died = true
		}
	}()
	return run(), false
}

// park gives the others their turn until ready reports true (nil: never) or the time
// dueMs has come (0: never).
func (s *sim) park(ready func() bool, dueMs int64) {
	a := s.cur
	if a == nil {
		return // the simulator itself looks at something
	}
	if a.dead {
		unwind()
	}
	a.ready, a.dueMs = ready, dueMs
	if !a.yield(struct{}{}) || a.dead {
		a.dead = true
		unwind()
	}
}

// pass lets others go first, perhaps.
func (s *sim) pass() { s.park(always, 0) }

func always() bool { return true }

func (a *actor) runnable(s *sim) bool {
	if a.proc != nil && a.proc.pausedUntilMs > s.nowMs {
		return false
	}
	return a.dueMs == 0 && a.ready == nil || a.dueMs > 0 && s.nowMs >= a.dueMs || a.ready != nil && a.ready()
}

// kill ends actors that do not run.
func (s *sim) kill(a *actor) {
	if a.dead {
		return
	}
	a.dead = true
	if a == s.cur {
		return // it unwinds at its next call
	}
	before := s.cur
	s.cur = a
	a.stop()
	s.cur = before
}

// step lets one actor run, or time pass. It returns false when nothing is left to do.
func (s *sim) step() bool {
	s.steps++
	if s.rnd.Uint32()&3 == 0 {
		s.nowMs++
	}
	s.land()
	run := s.run[:0]
	kept := s.actors[:0]
	for _, a := range s.actors {
		if a.dead {
			continue
		}
		kept = append(kept, a)
		if a.runnable(s) {
			run = append(run, a)
		}
	}
	clear(s.actors[len(kept):])
	s.actors, s.run = kept, run
	if len(run) == 0 {
		return s.advance()
	}
	a := run[s.rnd.IntN(len(run))]
	s.cur = a
	if _, more := a.next(); !more {
		a.dead = true
	}
	s.cur = nil
	return true
}

// advance moves time to the next thing that is due.
func (s *sim) advance() bool {
	next := int64(0)
	consider := func(atMs int64) {
		if atMs > s.nowMs && (next == 0 || atMs < next) {
			next = atMs
		}
	}
	for _, a := range s.actors {
		if a.dueMs > 0 {
			consider(a.dueMs)
		}
		if a.proc != nil {
			consider(a.proc.pausedUntilMs)
		}
	}
	for i := range s.later {
		consider(s.later[i].atMs)
	}
	consider(s.world.nextBootMs())
	if next == 0 {
		return false
	}
	s.nowMs = next
	return true
}

// inFlight reports whether effects are still to land.
func (s *sim) inFlight() bool {
	for i := range s.later {
		if !s.later[i].timer {
			return true
		}
	}
	return false
}

// timer has something done at its time.
func (s *sim) timer(delayMs int64, fire func()) {
	s.later = append(s.later, pending{atMs: s.nowMs + delayMs, land: fire, timer: true})
}

// after makes an effect land later.
func (s *sim) after(delayMs int64, what string, land func()) {
	s.later = append(s.later, pending{atMs: s.nowMs + delayMs, what: what, land: land})
}

func (s *sim) land() {
	for i := 0; i < len(s.later); i++ {
		if p := s.later[i]; p.atMs <= s.nowMs {
			s.later = append(s.later[:i], s.later[i+1:]...)
			if !p.timer {
				s.say("the network", "lands late: %s", p.what)
			}
			p.land()
			i--
		}
	}
}

// fail notes the first thing that is wrong; the schedule ends.
func (s *sim) fail(format string, args ...any) {
	if s.failure == nil {
		s.failure = fmt.Errorf(format, args...)
		s.say("CHECKER", "%v", s.failure)
	}
}

func (s *sim) chance(perMille int) bool {
	return perMille > 0 && !s.calm && s.rnd.IntN(1000) < perMille
}

// between returns a number from lo to hi, both included.
func (s *sim) between(lo, hi int64) int64 { return lo + s.rnd.Int64N(hi-lo+1) }

// clk is the clock of one process. It implements clock.Scheduler: real code waits by it
// and thereby gives others their turn.
type clk struct {
	s      *sim
	skewMs *int64
}

var _ clock.Scheduler = clk{}

// Now implements clock.Clock.
func (c clk) Now() time.Time { return time.UnixMilli(c.NowMs()) }

// NowMs implements clock.Clock.
func (c clk) NowMs() int64 { return c.s.nowMs + *c.skewMs }

// After implements clock.Clock; the channel has one place, so that its length tells.
func (c clk) After(d time.Duration) <-chan time.Time {
	fired := make(chan time.Time, 1)
	c.s.timer(ms(d), func() { fired <- c.Now() })
	return fired
}

// NewTicker implements clock.Clock. Nothing that is simulated ticks.
func (c clk) NewTicker(time.Duration) *clock.Ticker {
	invariant.Must(false, "simulator: no tickers")
	return nil
}

// Sleep implements clock.Scheduler. It lasts d whatever the clock is set to meanwhile.
func (c clk) Sleep(ctx context.Context, d time.Duration) error {
	c.s.park(func() bool { return ctx.Err() != nil }, c.s.nowMs+ms(d))
	return ctx.Err()
}

// Await implements clock.Scheduler.
func (c clk) Await(ctx context.Context, ready func() bool) {
	c.s.park(func() bool { return ready() || ctx.Err() != nil }, 0)
}

// WithTimeout implements clock.Scheduler.
func (c clk) WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	t := &deadline{Context: ctx, s: c.s, dueMs: c.s.nowMs + ms(d)}
	c.s.timer(ms(d), func() {})
	return t, func() { t.canceled = true }
}

// ms rounds up.
func ms(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// deadline is a context that ends by simulated time.
type deadline struct {
	context.Context

	s        *sim
	dueMs    int64
	canceled bool
}

// Err implements context.Context.
func (d *deadline) Err() error {
	if err := d.Context.Err(); err != nil {
		return err
	}
	if d.canceled {
		return context.Canceled
	}
	if d.s.nowMs >= d.dueMs {
		return context.DeadlineExceeded
	}
	return nil
}

// closed is the Done of contexts that have ended.
var closed = func() chan struct{} { c := make(chan struct{}); close(c); return c }()

// Done implements context.Context. Whoever waits has asked the clock before, so a
// channel that never closes is right while the context lives.
func (d *deadline) Done() <-chan struct{} {
	if d.Err() != nil {
		return closed
	}
	return nil
}
