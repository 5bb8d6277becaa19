package lease

import (
	"context"
	"errors"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

func TestRepeat(t *testing.T) {
	t.Run("work that breaks begins anew, less and less often, until the lease is over", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
		ctx, cancel := context.WithCancel(t.Context())
		broken := errors.New("broken")
		var began []time.Duration
		start := clk.Now()
		done := make(chan struct{})
		failures := 0
		go func() {
			defer close(done)
			Repeat(ctx, clk, func(ctx context.Context) error {
				began = append(began, clk.Now().Sub(start))
				if len(began) == 9 {
					cancel()
					return ctx.Err()
				}
				return broken
			}, func(err error) {
				if !errors.Is(err, broken) {
					t.Errorf("got %v", err)
				}
				failures++
			})
		}()
		for range 8 {
			if err := clk.WaitForSleepers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			clk.AdvanceToNext()
		}
		<-done
		if failures != 8 || began[1] != restartPause || began[2] != 3*restartPause || began[8]-began[7] != maxRestartPause {
			t.Errorf("%d failures, began at %v", failures, began)
		}
	})
}
