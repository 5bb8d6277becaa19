// Package batch lets callers that arrive together share one write: while a write is
// under way, what comes meanwhile becomes the next one. Nobody waits for a batch to
// fill, so a single caller is as fast as without.
package batch

import (
	"context"
	"errors"

	"mscoin/mscoin-common/clock"
)

var (
	// ErrNotTaken says that the item was not handed to a write: it will not happen.
	ErrNotTaken = errors.New("batch: not taken")
	// ErrAbandoned says that the caller stopped waiting for a write that may happen.
	ErrAbandoned = errors.New("batch: abandoned")
)

// Writer collects items of many callers. Run it once, call Do from anywhere.
type Writer[T any] struct {
	clk   clock.Clock
	limit int
	write func(ctx context.Context, items []T) []error
	queue chan entry[T]
	done  chan struct{}
}

type entry[T any] struct {
	item   T
	ctx    context.Context //nolint:containedctx // of the caller, who may be gone when its turn comes
	result chan error
}

// New returns a writer whose batches have at most limit items and whose queue holds
// the same number: beyond that callers wait. write returns one error for each item,
// or nil for none at all. It waits by clk.
func New[T any](clk clock.Clock, limit int, write func(ctx context.Context, items []T) []error) *Writer[T] {
	return &Writer[T]{clk: clk, limit: limit, write: write, queue: make(chan entry[T], limit), done: make(chan struct{})}
}

// Do writes the item and returns what the write said of it. When ctx ends before the
// item's turn the error is ErrNotTaken, and nothing happens; after that ErrAbandoned.
// Both wrap the context's error.
func (w *Writer[T]) Do(ctx context.Context, item T) error {
	e := entry[T]{item: item, ctx: ctx, result: make(chan error, 1)}
	clock.Await(ctx, w.clk, func() bool { return len(w.queue) < cap(w.queue) || w.ended() })
	switch err := ctx.Err(); {
	case err != nil:
		return errors.Join(ErrNotTaken, err)
	case w.ended():
		return ErrNotTaken
	}
	select {
	case w.queue <- e:
	case <-ctx.Done():
		return errors.Join(ErrNotTaken, ctx.Err())
	case <-w.done:
		return ErrNotTaken
	}
	clock.Await(ctx, w.clk, func() bool { return len(e.result) > 0 || w.ended() })
	if len(e.result) == 0 && !w.ended() {
		select {
		case err := <-e.result:
			return err
		case <-ctx.Done():
			return errors.Join(ErrAbandoned, ctx.Err())
		case <-w.done:
		}
	}
	// The answer is there, or the writer has ended: it answered everything it had taken
	// before it did.
	select {
	case err := <-e.result:
		return err
	default:
		return ErrNotTaken
	}
}

// ended reports whether Run has.
func (w *Writer[T]) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// Run writes until ctx ends. A write that has begun is finished; what is queued is
// not taken any more.
func (w *Writer[T]) Run(ctx context.Context) error {
	defer close(w.done)
	var items []T
	var entries []entry[T]
	for {
		clock.Await(ctx, w.clk, func() bool { return len(w.queue) > 0 })
		if ctx.Err() != nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case e := <-w.queue:
			entries = append(entries[:0], e)
		}
		for more := true; more && len(entries) < w.limit; {
			select {
			case e := <-w.queue:
				entries = append(entries, e)
			default:
				more = false
			}
		}
		items, entries = live(items[:0], entries)
		if len(items) == 0 {
			continue
		}
		errs := w.write(context.WithoutCancel(ctx), items)
		for i := range entries {
			var err error
			if errs != nil {
				err = errs[i]
			}
			entries[i].result <- err
		}
		clear(items)
		clear(entries)
	}
}

// live drops the entries whose callers have gone and tells them so.
func live[T any](items []T, entries []entry[T]) ([]T, []entry[T]) {
	kept := entries[:0]
	for _, e := range entries {
		if err := e.ctx.Err(); err != nil {
			e.result <- errors.Join(ErrNotTaken, err)
			continue
		}
		items, kept = append(items, e.item), append(kept, e)
	}
	return items, kept
}

// Queued returns how many items wait for their turn.
func (w *Writer[T]) Queued() int { return len(w.queue) }
