package clock

import (
	"context"
	"fmt"
	"sync"
	"time"

	"mscoin/mscoin-common/invariant"
)

// Fake is a clock that stands still until Advance or Set moves it.
//
// A test of a loop that backs off starts the loop in a goroutine, waits with
// WaitForSleepers until it sleeps, and advances past the delay:
//
//	go consumer.Run(ctx)
//	if err := clk.WaitForSleepers(ctx, 1); err != nil { … }
//	clk.Advance(time.Second)
type Fake struct {
	mu       sync.Mutex
	now      time.Time
	sleepers []*sleeper
	changed  chan struct{} // closed and replaced whenever sleepers change
}

// sleeper is a pending After or a running Ticker.
type sleeper struct {
	due   time.Time
	every time.Duration // 0 for After
	c     chan time.Time
}

// NewFake returns a clock that shows start.
func NewFake(start time.Time) *Fake {
	return &Fake{now: start, changed: make(chan struct{})}
}

// Now returns the time the clock was set to.
func (f *Fake) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// NowMs returns the time the clock was set to, in milliseconds since the Unix epoch.
func (f *Fake) NowMs() int64 { return f.Now().UnixMilli() }

// After returns a channel that gets the time once the clock has advanced by d; at
// once when d ≤ 0.
func (f *Fake) After(d time.Duration) <-chan time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := make(chan time.Time, 1)
	if d <= 0 {
		c <- f.now
		return c
	}
	f.add(&sleeper{due: f.now.Add(d), c: c})
	return c
}

// NewTicker returns a ticker that ticks whenever the clock passes a multiple of d
// from now.
func (f *Fake) NewTicker(d time.Duration) *Ticker {
	invariant.Must(d > 0, "ticker interval is %v", d)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &sleeper{due: f.now.Add(d), every: d, c: make(chan time.Time, 1)}
	f.add(s)
	return &Ticker{C: s.c, stop: func() { f.remove(s) }}
}

// Advance moves the clock forward by d and fires what falls due, in order of time,
// each with the clock showing its due time. Going back is a broken test.
func (f *Fake) Advance(d time.Duration) {
	invariant.Must(d >= 0, "clock advanced by %v", d)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.advanceTo(f.now.Add(d))
}

// Set moves the clock forward to t, like Advance. A t in the past is a broken test.
func (f *Fake) Set(t time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	invariant.Must(!t.Before(f.now), "clock set back from %v to %v", f.now, t)
	f.advanceTo(t)
}

// AdvanceToNext moves the clock to the earliest due time and fires it. It reports
// whether anything was pending.
func (f *Fake) AdvanceToNext() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.earliest()
	if i < 0 {
		return false
	}
	f.advanceTo(f.sleepers[i].due)
	return true
}

// Sleepers returns how many After channels are pending and tickers are running.
func (f *Fake) Sleepers() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.sleepers)
}

// WaitForSleepers waits until at least n After channels are pending or tickers are
// running. It returns the context's error when ctx ends first.
func (f *Fake) WaitForSleepers(ctx context.Context, n int) error {
	for {
		f.mu.Lock()
		have, changed := len(f.sleepers), f.changed
		f.mu.Unlock()
		if have >= n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("wait for %d sleepers, have %d: %w", n, have, ctx.Err())
		}
	}
}

// advanceTo fires everything due up to t. The caller holds the lock.
func (f *Fake) advanceTo(t time.Time) {
	for {
		i := f.earliest()
		if i < 0 || f.sleepers[i].due.After(t) {
			break
		}
		s := f.sleepers[i]
		f.now = s.due
		select {
		case s.c <- s.due:
		default: // a slow reader of a ticker misses this tick
		}
		if s.every > 0 {
			s.due = s.due.Add(s.every)
			continue
		}
		f.drop(i)
	}
	f.now = t
}

// earliest returns the index of the sleeper that is due first, the oldest of equals,
// or -1. Tests have few sleepers, so a scan is enough.
func (f *Fake) earliest() int {
	best := -1
	for i, s := range f.sleepers {
		if best < 0 || s.due.Before(f.sleepers[best].due) {
			best = i
		}
	}
	return best
}

func (f *Fake) add(s *sleeper) {
	f.sleepers = append(f.sleepers, s)
	f.signal()
}

func (f *Fake) remove(s *sleeper) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.sleepers {
		if f.sleepers[i] == s {
			f.drop(i)
			return
		}
	}
}

func (f *Fake) drop(i int) {
	f.sleepers = append(f.sleepers[:i], f.sleepers[i+1:]...)
	f.signal()
}

func (f *Fake) signal() {
	close(f.changed)
	f.changed = make(chan struct{})
}
