package reconciler

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/reconcile"
)

// Store keeps what a pass has found and where the next begins.
type Store interface {
	LastPass(ctx context.Context) (app.Pass, error)
	SavePass(ctx context.Context, p *app.Pass) (saved bool, err error)
	// CloseDay sees to it that nothing but settlements is written with an earlier time.
	CloseDay(ctx context.Context, untilMs int64) error
	SaveSeal(ctx context.Context, s *reconcile.Seal, segments []reconcile.Segment) (saved bool, err error)
}

// Reconciler reconciles what has changed, again and again, while the service runs, and
// seals each day of the journal when it has ended. It
// stops withdrawals where something does not fit, and repairs nothing.
type Reconciler struct {
	db    *database.DB
	store Store
	clk   clock.Clock
	every time.Duration
	last  atomic.Pointer[app.Pass]
}

// New returns a reconciler that looks every so often.
func New(db *database.DB, store Store, clk clock.Clock, every time.Duration) *Reconciler {
	return &Reconciler{db: db, store: store, clk: clk, every: every}
}

// Run reconciles until ctx ends. A pass that fails is tried again with the next turn.
func (r *Reconciler) Run(ctx context.Context) error {
	for {
		if _, err := r.Pass(ctx); err != nil && ctx.Err() == nil {
			logx.Errorf("reconciliation: %v", err)
		}
		if seal, err := r.Seal(ctx); err != nil && ctx.Err() == nil {
			logx.Errorf("reconciliation: seal: %v", err)
		} else if seal != nil {
			logx.Infof("journal of %s is sealed: %d lines, %x", reconcile.DayName(seal.Day), seal.Lines, seal.Hash)
		}
		if err := clock.Sleep(ctx, r.clk, r.every); err != nil {
			return err
		}
	}
}

// Last returns the last pass of this instance, nil before the first.
func (r *Reconciler) Last() *app.Pass { return r.last.Load() }

// Pass reconciles what has changed since the last pass that found nothing.
func (r *Reconciler) Pass(ctx context.Context) (*app.Pass, error) {
	before, err := r.store.LastPass(ctx)
	if err != nil {
		return nil, fmt.Errorf("last pass: %w", err)
	}
	now := r.clk.NowMs()
	p := &app.Pass{Number: before.Number + 1, AtMs: now}
	var c changes
	since := max(before.AtMs-lateMs, 1)
	if before.Found > 0 {
		since = 1 // damage stays where it is, however long ago it was done
	}
	err = r.db.SnapshotRows(ctx, func(q database.Queryer) error {
		pass := pass{books: books{newSnapshot(ctx, q)}}
		scales, err := pass.readWalletFrame(now)
		if err != nil {
			return err
		}
		pass.frame.BooksOnly = true
		c = changes{books: pass.books, frame: pass.frame}
		if err := c.run(); err != nil {
			return err
		}
		transfers := custodyCheck{books: pass.books, check: reconcile.NewCustody(pass.frame), scales: scales, sinceMs: since}
		if err := transfers.run(); err != nil {
			return err
		}
		found := transfers.check.Finish()
		c.report.Join(&found)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	report := &c.report
	p.TookMs = r.clk.NowMs() - now
	p.Wallets, p.Lines, p.Found, p.Alarms = report.Counts.Wallets, report.Counts.Lines, report.Found, report.AlarmsFound
	p.Right, p.Symbols, p.Stops = c.right, c.symbols, stops(report, now)
	for _, t := range report.Totals {
		p.Coins = append(p.Coins, app.HouseSums{Coin: t.Coin, Fee: t.Fee, Suspense: t.Suspense, World: t.World})
	}
	if p.Report, err = encode(report); err != nil {
		return nil, err
	}
	saved, err := r.store.SavePass(ctx, p)
	if err != nil {
		return nil, fmt.Errorf("save pass: %w", err)
	}
	if saved {
		r.tell(report)
	}
	r.last.Store(p)
	return p, nil
}

// tell writes what was found to the log, at the level that wakes people.
func (r *Reconciler) tell(report *reconcile.Report) {
	for _, d := range report.Discrepancies[:min(len(report.Discrepancies), maxStored)] {
		logx.Errorf("RECONCILIATION: %s %s: %s, should be %d, is %d %s, in %s since %s; withdrawals are stopped",
			d.Check, d.Where, d.What, d.Want, d.Got, d.Coin, d.Record, when(d.SinceMs))
	}
	for _, a := range report.Alarms[:min(len(report.Alarms), maxStored)] {
		logx.Errorf("reconciliation: C10 %s: %s since %s", a.Where, a.What, when(a.SinceMs))
	}
}

// maxStored bounds what is kept and told of one report.
const maxStored = 20

// encode is the report as it is kept: short enough for its column.
func encode(r *reconcile.Report) (string, error) {
	short := *r
	short.Discrepancies = short.Discrepancies[:min(len(short.Discrepancies), maxStored)]
	short.Alarms = short.Alarms[:min(len(short.Alarms), maxStored)]
	text, err := json.Marshal(&short)
	return string(text), err
}
