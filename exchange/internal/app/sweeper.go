package app

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

// Sweeper resolves what a crash or an unknown outcome has left in doubt: intents
// that the matcher has not spoken of, and holds that no record has acknowledged. It
// only asks (MONEY-SAFETY H4): an order that is alive stays so, one that never
// reached the matcher is refused for good, and then its money returns.
type Sweeper struct {
	app  *App
	sent map[int64]int64 // order id → when it was resolved last, ms
}

// NewSweeper returns a sweeper; Run it once.
func NewSweeper(app *App) *Sweeper { return &Sweeper{app: app, sent: map[int64]int64{}} }

// Run sweeps until ctx ends. Errors are logged: the next sweep tries again.
func (s *Sweeper) Run(ctx context.Context) error {
	for {
		if err := clock.Sleep(ctx, s.app.deps.Clock, s.app.cfg.SweepEvery); err != nil {
			return nil //nolint:nilerr // asked to stop
		}
		n, err := s.Sweep(ctx)
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("sweep: %v", err)
		}
		if n > 0 {
			logx.WithContext(ctx).Infof("sweep: asked the matcher about %d orders", n)
		}
	}
}

// Sweep looks once and returns how many orders it has asked about.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	now := s.app.deps.Clock.NowMs()
	s.forget(now)
	before := now - s.app.cfg.SweepAfter.Milliseconds()
	intents, err := s.app.deps.Store.Intents(ctx, before, s.app.cfg.SweepBatch)
	if err != nil {
		return 0, fmt.Errorf("list intents: %w", err)
	}
	asked := 0
	for i := range intents {
		o := &intents[i]
		n, err := s.resolve(ctx, o.Symbol, o.ID, o.MemberID, o.DeadlineMs, now)
		if err != nil {
			return asked, err
		}
		asked += n
	}
	n, err := s.sweepHolds(ctx, before, now)
	return asked + n, err
}

// sweepHolds resolves the orders of holds that the wallet has heard nothing more of.
// Their intents may be final by now: then the record that says so is repeated.
func (s *Sweeper) sweepHolds(ctx context.Context, before, now int64) (int, error) {
	holds, err := s.app.deps.Wallet.StaleHolds(ctx, before, s.app.cfg.SweepBatch)
	if err != nil {
		return 0, fmt.Errorf("list stale holds: %w", err)
	}
	ids := make([]int64, 0, len(holds))
	for _, h := range holds {
		ids = append(ids, h.OrderID)
	}
	stored, err := s.app.deps.Store.Orders(ctx, ids)
	if err != nil {
		return 0, fmt.Errorf("orders of stale holds: %w", err)
	}
	deadlines := make(map[int64]int64, len(stored))
	for i := range stored {
		deadlines[stored[i].ID] = stored[i].DeadlineMs
	}
	asked := 0
	for _, h := range holds {
		deadline, ok := deadlines[h.OrderID]
		if !ok {
			// Intents come before holds, so the database has lost the row. The hold is
			// released all the same; no Place of it can come later than this.
			logx.WithContext(ctx).Errorf("hold of order %d (member %d, %s) has no order", h.OrderID, h.MemberID, h.Symbol)
			deadline = now + s.app.cfg.PlaceDeadline.Milliseconds()
		}
		n, err := s.resolve(ctx, h.Symbol, h.OrderID, h.MemberID, deadline, now)
		if err != nil {
			return asked, err
		}
		asked += n
	}
	return asked, nil
}

// resolve asks about one order, unless it did so a short while ago.
func (s *Sweeper) resolve(ctx context.Context, name string, id, member, deadlineMs, now int64) (int, error) {
	if _, recently := s.sent[id]; recently {
		return 0, nil
	}
	r, leave, err := s.app.enter(ctx, name)
	if errors.Is(err, ErrMoving) {
		return 0, nil // its owner sweeps it, now or later
	}
	if err != nil {
		logx.WithContext(ctx).Errorf("sweep: order %d of %s: %v", id, name, err)
		return 0, nil
	}
	defer leave()
	if err := s.app.deps.Commands.Resolve(ctx, r, id, member, deadlineMs); err != nil {
		return 0, fmt.Errorf("resolve order %d: %w", id, err)
	}
	s.sent[id] = now
	return 1, nil
}

// forget drops the ids that may be asked about again. What is remembered is bounded
// by the batch and the pace.
func (s *Sweeper) forget(now int64) {
	for id, at := range s.sent {
		if now-at >= s.app.cfg.ResendAfter.Milliseconds() {
			delete(s.sent, id)
		}
	}
}
