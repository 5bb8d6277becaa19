package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/failpoint"
	"mscoin/mscoin-common/symbol"
)

// Sweeper resolves what a crash or an unknown outcome has left in doubt: intents
// that the matcher has not spoken of, and holds that no record has acknowledged. It
// only asks (MONEY-SAFETY H4): an order that is alive stays so, one that never
// reached the matcher is refused for good, and then its money returns.
type Sweeper struct {
	app  *App
	sent map[int64]int64 // order id → when it was resolved last, ms

	failures int // sweeps in a row that met an error
}

// NewSweeper returns a sweeper; Run it once.
func NewSweeper(app *App) *Sweeper { return &Sweeper{app: app, sent: map[int64]int64{}} }

// maxSweepPause is how long a sweeper rests at most that meets nothing but errors.
const maxSweepPause = 30 * time.Second

// Run sweeps until ctx ends. Errors are logged and the next sweep tries again, after a
// pause that grows while they last.
func (s *Sweeper) Run(ctx context.Context) error {
	pause := s.app.cfg.SweepEvery
	for {
		if err := clock.Sleep(ctx, s.app.deps.Clock, pause); err != nil {
			return nil //nolint:nilerr // asked to stop
		}
		n, err := s.Sweep(ctx)
		pause = s.app.cfg.SweepEvery
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("sweep: %v", err)
			s.failures++
			pause = max(pause, min(pause<<min(s.failures, maxDoublings), maxSweepPause))
		} else {
			s.failures = 0
		}
		if n > 0 {
			logx.WithContext(ctx).Infof("sweep: asked the matcher about %d orders", n)
		}
	}
}

// maxDoublings bounds the growth of the pause.
const maxDoublings = 10

// Sweep looks once and returns how many orders it has asked about. What fails on one
// symbol does not keep the others from being asked about; the first error is returned.
//
// Symbols whose matcher is not here, and those at which a consumer stands still, are
// left out: another instance asks about the former, and the answers about the latter
// would only be set aside.
func (s *Sweeper) Sweep(ctx context.Context) (int, error) {
	now := s.app.deps.Clock.NowMs()
	s.forget(now)
	round := &sweep{Sweeper: s, nowMs: now, failed: map[string]bool{}}
	before := now - s.app.cfg.SweepAfter.Milliseconds()
	except := s.leftOut()
	intents, err := s.app.deps.Store.Intents(ctx, before, except, s.app.cfg.SweepBatch)
	if err != nil {
		return 0, fmt.Errorf("list intents: %w", err)
	}
	for i := range intents {
		o := &intents[i]
		round.resolve(ctx, o.Symbol, o.ID, o.MemberID, o.DeadlineMs)
	}
	if err := round.holds(ctx, before, except); err != nil {
		return round.asked, errors.Join(round.err, err)
	}
	return round.asked, round.err
}

// leftOut returns the symbols that are not swept now.
func (s *Sweeper) leftOut() []string {
	var names []string
	for _, r := range s.app.symbols.list() {
		if s.app.deps.Admission != nil && s.app.deps.Admission.Halted(r.Name) {
			names = append(names, r.Name)
			continue
		}
		leave, err := s.app.deps.Book.Enter(r.Rules)
		if err != nil {
			names = append(names, r.Name)
			continue
		}
		leave()
	}
	return names
}

// sweep is one look.
type sweep struct {
	*Sweeper

	nowMs  int64
	asked  int
	failed map[string]bool // symbols that do not take commands now
	err    error           // the first
}

// holds resolves the orders of holds that the wallet has heard nothing more of. Their
// intents may be final by now: then the record that says so is repeated.
func (s *sweep) holds(ctx context.Context, before int64, except []string) error {
	holds, err := s.app.deps.Wallet.StaleHolds(ctx, before, except, s.app.cfg.SweepBatch)
	if err != nil {
		return fmt.Errorf("list stale holds: %w", err)
	}
	ids := make([]int64, 0, len(holds))
	for _, h := range holds {
		ids = append(ids, h.OrderID)
	}
	stored, err := s.app.deps.Store.Orders(ctx, ids)
	if err != nil {
		return fmt.Errorf("orders of stale holds: %w", err)
	}
	deadlines := make(map[int64]int64, len(stored))
	for i := range stored {
		deadlines[stored[i].ID] = stored[i].DeadlineMs
	}
	for _, h := range holds {
		deadline, ok := deadlines[h.OrderID]
		if !ok {
			// Intents come before holds, so the database has lost the row. The hold is
			// released all the same; no Place of it can come later than this.
			logx.WithContext(ctx).Errorf("hold of order %d (member %d, %s) has no order", h.OrderID, h.MemberID, h.Symbol)
			deadline = s.nowMs + s.app.cfg.PlaceDeadline.Milliseconds()
		}
		s.resolve(ctx, h.Symbol, h.OrderID, h.MemberID, deadline)
	}
	return nil
}

// resolve asks about one order, unless it did so a short while ago.
func (s *sweep) resolve(ctx context.Context, name string, id, member, deadlineMs int64) {
	if _, recently := s.sent[id]; recently || s.failed[name] || ctx.Err() != nil {
		return
	}
	r, leave, err := s.app.enter(ctx, name)
	if errors.Is(err, ErrMoving) {
		return // its owner sweeps it, now or later
	}
	if err == nil {
		err = s.ask(ctx, r, id, member, deadlineMs)
		leave()
	}
	if err != nil {
		s.failed[name] = true
		if s.err == nil {
			s.err = fmt.Errorf("resolve order %d of %s: %w", id, name, err)
		}
		return
	}
	s.sent[id] = s.nowMs
	s.asked++
}

// ask has the matcher speak of an order.
func (s *sweep) ask(ctx context.Context, r symbol.Rules, id, member, deadlineMs int64) error {
	if err := failpoint.Hit("resolve.before"); err != nil {
		return err
	}
	if err := s.app.deps.Commands.Resolve(ctx, r, id, member, deadlineMs); err != nil {
		return err
	}
	return failpoint.Hit("resolve.after")
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
