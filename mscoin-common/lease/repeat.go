package lease

import (
	"context"
	"time"

	"mscoin/mscoin-common/clock"
)

const (
	// restartPause is before work that broke begins anew, and grows up to maxRestartPause;
	// what ran for steadyRun has recovered.
	restartPause    = 100 * time.Millisecond
	maxRestartPause = 5 * time.Second
	steadyRun       = 30 * time.Second
)

// Repeat runs what a Work consists of until ctx ends: after an error it begins anew, after
// a pause that grows up to five seconds. failed is told each error.
func Repeat(ctx context.Context, clk clock.Clock, run func(context.Context) error, failed func(error)) {
	pause := restartPause
	for ctx.Err() == nil {
		began := clk.Now()
		err := run(ctx)
		if ctx.Err() != nil {
			return
		}
		failed(err)
		if clk.Now().Sub(began) > steadyRun {
			pause = restartPause
		}
		if clock.Sleep(ctx, clk, pause) != nil {
			return
		}
		pause = min(2*pause, maxRestartPause)
	}
}
