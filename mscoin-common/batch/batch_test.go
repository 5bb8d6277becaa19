package batch_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/clock"
)

func run(t *testing.T, w *batch.Writer[int]) context.CancelFunc {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	stop := func() { cancel(); <-ended }
	t.Cleanup(stop)
	return stop
}

func TestWriter_Do(t *testing.T) {
	t.Run("what arrives during a write shares the next one, and each gets its own answer", func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		var sizes []int
		odd := errors.New("odd")
		w := batch.New(clock.Real(), 100, func(_ context.Context, items []int) []error {
			sizes = append(sizes, len(items))
			if len(sizes) == 1 {
				close(entered)
				<-release
			}
			out := make([]error, len(items))
			for i, v := range items {
				if v%2 == 1 {
					out[i] = odd
				}
			}
			return out
		})
		stop := run(t, w)
		var wg sync.WaitGroup
		do := func(v int) {
			wg.Go(func() {
				if err := w.Do(t.Context(), v); errors.Is(err, odd) != (v%2 == 1) {
					t.Errorf("%d: %v", v, err)
				}
			})
		}
		do(0)
		<-entered
		for v := range 50 {
			do(v)
		}
		for w.Queued() < 50 {
		}
		close(release)
		wg.Wait()
		stop()
		if len(sizes) != 2 || sizes[1] != 50 {
			t.Errorf("writes of %v", sizes)
		}
	})
	t.Run("a caller that left before its turn is not written", func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		var seen []int
		w := batch.New(clock.Real(), 4, func(_ context.Context, items []int) []error {
			seen = append(seen, items...)
			if len(seen) == 1 {
				close(entered)
				<-release
			}
			return nil
		})
		stop := run(t, w)
		first := make(chan error, 1)
		go func() { first <- w.Do(context.Background(), 1) }()
		<-entered
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() { second <- w.Do(ctx, 2) }()
		for w.Queued() < 1 {
		}
		cancel()
		if err := <-second; !errors.Is(err, batch.ErrAbandoned) && !errors.Is(err, batch.ErrNotTaken) {
			t.Error(err)
		}
		close(release)
		if err := <-first; err != nil {
			t.Error(err)
		}
		stop()
		if len(seen) != 1 {
			t.Errorf("written: %v", seen)
		}
	})
	t.Run("after the end nothing is taken", func(t *testing.T) {
		w := batch.New(clock.Real(), 4, func(context.Context, []int) []error { return nil })
		run(t, w)()
		if err := w.Do(t.Context(), 1); !errors.Is(err, batch.ErrNotTaken) {
			t.Error(err)
		}
	})
}
