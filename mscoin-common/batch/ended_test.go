package batch_test

import (
	"context"
	"errors"
	"testing"

	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/clock"
)

func TestWriter_Do_EndedCaller(t *testing.T) {
	t.Run("a caller that has gone already never takes a place in the queue", func(t *testing.T) {
		w := batch.New(clock.Real(), 4, func(context.Context, []int) []error { return nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 20 {
			if err := w.Do(ctx, 1); !errors.Is(err, batch.ErrNotTaken) {
				t.Fatalf("got %v", err)
			}
		}
		if n := w.Queued(); n != 0 {
			t.Errorf("%d items are queued", n)
		}
	})
}
