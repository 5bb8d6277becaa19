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

// Sleep waits for d, or less when ctx ends first; then it returns the context's
// error. A d ≤ 0 only checks the context.
func Sleep(ctx context.Context, clk Clock, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-clk.After(d):
		return nil
	}
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
