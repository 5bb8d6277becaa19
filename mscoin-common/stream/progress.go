package stream

import (
	"context"
	"fmt"
	"sync"
	"time"

	"mscoin/mscoin-common/clock"
)

// pollInterval is how often a waiter looks into the database: records may be applied by another instance.
const pollInterval = 50 * time.Millisecond

// Progress knows how far a consumer has applied each symbol, and lets readers wait for it. The consumers of
// all partitions of one name may share one. It is safe for concurrent use.
type Progress struct {
	store    Store
	clk      clock.Clock
	consumer string

	mu      sync.Mutex
	applied map[string]int64
	moved   chan struct{} // closed and replaced when applied grows
}

// NewProgress returns the progress of the consumer of that name.
func NewProgress(store Store, clk clock.Clock, consumer string) *Progress {
	return &Progress{
		store: store, clk: clk, consumer: consumer,
		applied: make(map[string]int64), moved: make(chan struct{}),
	}
}

// Applied returns the last seq of the symbol that is known to be applied; 0 when none is. The database may
// be further when another instance does the work.
func (p *Progress) Applied(symbol string) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.applied[symbol]
}

// WaitApplied returns when the symbol's record seq has been committed, by whichever instance. It returns
// the context's error when that ends first.
func (p *Progress) WaitApplied(ctx context.Context, symbol string, seq int64) error {
	for {
		p.mu.Lock()
		done, moved := p.applied[symbol] >= seq, p.moved
		p.mu.Unlock()
		if done {
			return nil
		}
		poll := p.clk.After(pollInterval)
		clock.Await(ctx, p.clk, func() bool { return len(poll) > 0 || p.Applied(symbol) >= seq })
		fail := func() error {
			return fmt.Errorf("wait until %s has applied %s up to %d: %w", p.consumer, symbol, seq, ctx.Err())
		}
		if ctx.Err() != nil {
			return fail()
		}
		select { // the news is better than the look into the database that is due at the same time
		case <-moved:
			continue
		default:
		}
		select {
		case <-ctx.Done():
			return fail()
		case <-moved:
			continue
		case <-poll:
		}
		stored, err := p.store.SymbolSeq(ctx, p.consumer, symbol)
		if err != nil {
			return fmt.Errorf("wait until %s has applied %s up to %d: %w", p.consumer, symbol, seq, err)
		}
		p.advance(map[string]int64{symbol: stored})
	}
}

// advance takes over what has been committed. Positions never go back: an older reading changes nothing.
func (p *Progress) advance(seqs map[string]int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	grown := false
	for symbol, seq := range seqs {
		if seq > p.applied[symbol] {
			p.applied[symbol] = seq
			grown = true
		}
	}
	if grown {
		close(p.moved)
		p.moved = make(chan struct{})
	}
}
