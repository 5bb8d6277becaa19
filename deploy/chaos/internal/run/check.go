package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

const (
	// tradesWithin is how long after the last fault every symbol must trade again.
	tradesWithin = 60 * time.Second
	// quietWithin is how long everything that was told may take to show.
	quietWithin = 90 * time.Second
	// sweptWithin is how long after trading works something may stay in doubt: the sweeper's
	// age, time for asking a second time, and the rest for a busy machine. What it took is told.
	sweptWithin = site.SweptAfterMs*time.Millisecond + 24*time.Second
	// oneReconciliation bounds the reconciling command.
	oneReconciliation = time.Minute
)

// check asks the exchange to keep its word: it trades again, nothing is in doubt any more,
// every order is as was told, and the books fit.
func (r *Runner) check(ctx context.Context, s *site.Site, l *load.Load, all bool) error {
	if err := process.Poll(ctx, tradesWithin, "trading", l.Probe); err != nil {
		return err
	}
	if err := r.nothingInDoubt(ctx, s); err != nil {
		return err
	}
	err := process.Poll(ctx, quietWithin, "what was told", func(ctx context.Context) error { return l.Verify(ctx, all) })
	if err != nil {
		return err
	}
	return r.reconcile(ctx, s)
}

// statusInit is an order that the matcher has not spoken of, in the order store's table.
const statusInit = 4

// nothingInDoubt waits until the sweeper has cleared up what the faults have left behind.
func (r *Runner) nothingInDoubt(ctx context.Context, s *site.Site) error {
	begin := clock.Real().Now()
	err := process.Poll(ctx, sweptWithin, "the sweeper", func(ctx context.Context) (err error) {
		db, err := database.Open(ctx, s.Database(site.Exchange), clock.Real())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, db.Close()) }()
		var n int64 // nobody places orders now: each of them was left behind
		if err := db.Read(ctx).Raw("SELECT COUNT(*) FROM exchange_order WHERE status = ?", statusInit).Scan(&n).Error; err != nil {
			return err
		}
		if n > 0 {
			return fmt.Errorf("%d orders are in doubt", n)
		}
		return nil
	})
	r.swept = max(r.swept, clock.Real().Now().Sub(begin))
	return err
}

// reconcile polls: settlement may be a moment behind.
func (r *Runner) reconcile(ctx context.Context, s *site.Site) error {
	err := process.Poll(ctx, quietWithin, "a clean reconciliation", func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, oneReconciliation)
		defer cancel()
		cmd := exec.CommandContext(ctx, r.cfg.Program, "serve", "reconcile") //nolint:gosec // our own program
		cmd.Env = append(os.Environ(), s.ReconcileEnv()...)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	if err == nil {
		r.count("reconciliations")
	}
	return err
}
