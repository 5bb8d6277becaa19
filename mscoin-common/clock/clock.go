// Package clock is the only place that asks the machine for the time. Everything
// else takes a [Clock], so that tests and the simulator own time: [NewFake] stands
// still until it is advanced, and fires timers and tickers in order.
//
// Times that are stored or sent are milliseconds since the Unix epoch, UTC.
package clock

import (
	"context"
	"time"
)

// Clock tells the time and wakes sleepers. Implementations are safe for concurrent
// use.
type Clock interface {
	// Now returns the current time; with the real clock it has a monotonic reading.
	Now() time.Time
	// NowMs returns the current time in milliseconds since the Unix epoch.
	NowMs() int64
	// After returns a channel that gets the time once, d from now. An abandoned
	// channel needs no cleaning up.
	After(d time.Duration) <-chan time.Time
	// NewTicker returns a ticker that ticks every d > 0, dropping ticks for a slow
	// reader. Stop it.
	NewTicker(d time.Duration) *Ticker
}

// Ticker delivers ticks on C until it is stopped.
type Ticker struct {
	// C gets the ticks. It is never closed.
	C <-chan time.Time

	stop func()
}

// Stop ends the ticks. It does not close C and may be called again.
func (t *Ticker) Stop() { t.stop() }

// Scheduler is a Clock that lets one caller run at a time and says who goes on: the
// clock of a simulation. [Sleep], [Await] and [WithTimeout] leave the waiting to it, so
// that code which waits by no other means runs the same way each time.
type Scheduler interface {
	Clock
	// Sleep implements the function of this package for d > 0.
	Sleep(ctx context.Context, d time.Duration) error
	// Await lets others run until ready reports true or ctx has ended.
	Await(ctx context.Context, ready func() bool)
	// WithTimeout implements the function of this package.
	WithTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc)
}

// Sleep waits for d, or less when ctx ends first; then it returns the context's
// error. A d ≤ 0 only checks the context.
func Sleep(ctx context.Context, clk Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	if s, ok := clk.(Scheduler); ok {
		return s.Sleep(ctx, d)
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-clk.After(d):
		return nil
	}
}

// Await belongs before a select that waits for other goroutines: ready reports whether
// one of its cases, other than the end of ctx, can go on. A Scheduler returns when that
// is so or ctx has ended, any other clock at once, and then the select waits.
func Await(ctx context.Context, clk Clock, ready func() bool) {
	if s, ok := clk.(Scheduler); ok {
		s.Await(ctx, ready)
	}
}

// WithTimeout is context.WithTimeout by a Scheduler's time. Any other clock, also a
// [Fake], leaves the time-out to the machine.
func WithTimeout(ctx context.Context, clk Clock, d time.Duration) (context.Context, context.CancelFunc) {
	if s, ok := clk.(Scheduler); ok {
		return s.WithTimeout(ctx, d)
	}
	return context.WithTimeout(ctx, d)
}

// Real returns the machine's clock.
func Real() Clock { return realClock{} }

type realClock struct{}

func (realClock) Now() time.Time                         { return time.Now() }
func (realClock) NowMs() int64                           { return time.Now().UnixMilli() }
func (realClock) After(d time.Duration) <-chan time.Time { return time.After(d) }

func (realClock) NewTicker(d time.Duration) *Ticker {
	t := time.NewTicker(d)
	return &Ticker{C: t.C, stop: t.Stop}
}
