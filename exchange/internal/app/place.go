package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Placed is an order after the matcher has seen it.
type Placed struct {
	Order Found
	// Fills are the order's trades in this record.
	Fills []order.Trade
	// Position of the record; Touched are all members whose money it moves.
	Position Position
	Touched  []int64
	Rules    symbol.Rules
}

// Refused is the matcher's refusal of an order whose money was set aside: the record
// at Position gives it back.
type Refused struct {
	// Position of the record that carries the refusal.
	Position Position
	// Reason is the refusal as errs.Error.
	Reason error
}

// Error tells the record and the reason.
func (r *Refused) Error() string {
	return fmt.Sprintf("refused by record %d of %s: %v", r.Position.Seq, r.Position.Symbol, r.Reason)
}

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.Reason }

// ValidateOrder checks a request as PlaceOrder does, and places nothing.
func (a *App) ValidateOrder(ctx context.Context, req order.Request) error {
	r, leave, err := a.enter(ctx, req.Symbol)
	if err != nil {
		return err
	}
	defer leave()
	_, err = a.validate(r, req)
	return err
}

// validate checks a request against the rules and the state of the symbol.
func (a *App) validate(r symbol.Rules, req order.Request) (order.Order, error) {
	o, err := order.Validate(r, req)
	if err != nil {
		return o, fmt.Errorf("validate order: %w", err)
	}
	if phase, listed := a.deps.Book.Phase(r); !listed || phase != order.PhaseTrading {
		return o, errs.New(errs.KindFailedPrecondition, errs.CodeMarketClosed, "market is closed")
	}
	limit := r.MaxOpenOrders
	if limit == 0 {
		limit = a.cfg.MaxOpenOrders
	}
	if rests := o.Type == order.Limit && (o.TIF == order.GTC || o.TIF == order.PostOnly); rests &&
		limit > 0 && a.deps.Book.OpenOrders(r, o.MemberID) >= limit {
		return o, errs.New(errs.KindFailedPrecondition, errs.CodeTooManyOpenOrders, "too many open orders")
	}
	return o, nil
}

// PlaceOrder places an order and answers with what the matcher made of it.
//
// Refusals are KindInvalidArgument, KindFailedPrecondition, KindNotFound or
// KindAlreadyExists: nothing happened and nothing is held. KindUnavailable: the order
// was not placed and will not be, though money may be held until the sweeper has
// looked. KindUnknownOutcome: the order may have been placed, or may be yet.
func (a *App) PlaceOrder(ctx context.Context, req order.Request) (*Placed, error) {
	r, leave, err := a.enter(ctx, req.Symbol)
	if err != nil {
		return nil, fmt.Errorf("place order: %w", err)
	}
	defer leave()
	o, err := a.validate(r, req)
	if err != nil {
		return nil, err
	}
	if err := a.admit(r); err != nil {
		return nil, fmt.Errorf("place order: %w", err)
	}
	if o.ID, err = a.deps.IDs.Next(ctx); err != nil {
		return nil, fmt.Errorf("order id: %w", err)
	}
	if o.ClientOrderID == "" {
		o.ClientOrderID = madeUpID(o.ID)
	}
	hold, err := a.deps.Book.Hold(r, &o)
	if err != nil {
		return nil, fmt.Errorf("place order: %w", err)
	}
	o.HoldCoin, o.HoldAmount, o.HeldRemaining = hold.Coin, hold.Amount, hold.Amount
	o.CreateTimeMs = a.deps.Clock.NowMs()
	o.DeadlineMs = o.CreateTimeMs + a.cfg.PlaceDeadline.Milliseconds()
	if err := a.storeIntent(ctx, &o); err != nil {
		return nil, fmt.Errorf("store intent: %w", err)
	}
	if err := a.placeHold(ctx, &o, hold); err != nil {
		return nil, fmt.Errorf("place hold: %w", err)
	}
	res, err := a.deps.Commands.Place(ctx, r, &o)
	if err != nil {
		return nil, fmt.Errorf("place order %d: %w", o.ID, err)
	}
	return a.placed(r, &o, res)
}

// admit refuses an order that could not be settled, before anything is stored or held.
func (a *App) admit(r symbol.Rules) error {
	if a.deps.Admission == nil {
		return nil
	}
	return a.deps.Admission.Place(r)
}

// placed reads the matcher's word on an order that was sent.
func (a *App) placed(r symbol.Rules, o *order.Order, res *order.Result) (*Placed, error) {
	if res.Rejected {
		return nil, fmt.Errorf("place order %d: %w", o.ID, &Refused{Position{res.Symbol, res.Seq}, res.Reason.Refusal()})
	}
	u, ok := res.Update(o.ID)
	if !ok {
		return nil, fmt.Errorf("place order %d: record %d of %s does not name it", o.ID, res.Seq, res.Symbol)
	}
	if _, err := o.Advance(u); err != nil {
		return nil, fmt.Errorf("place order: %w", err)
	}
	p := &Placed{
		Order: Found{Order: *o, UpdateTimeMs: res.TimeMs}, Rules: r,
		Position: Position{res.Symbol, res.Seq}, Touched: res.Touched(),
	}
	for i := range res.Trades {
		if t := &res.Trades[i]; t.TakerOrderID == o.ID || t.MakerOrderID == o.ID {
			p.Fills = append(p.Fills, *t)
		}
	}
	return p, nil
}

// storeIntent stores the order. A client order id that an order no longer needs is
// taken over, once.
func (a *App) storeIntent(ctx context.Context, o *order.Order) error {
	err := a.deps.Store.InsertOrder(ctx, o)
	if !errors.Is(err, ErrDuplicate) {
		return err
	}
	holder, findErr := a.holder(ctx, o)
	if errors.Is(findErr, ErrNotFound) {
		return a.deps.Store.InsertOrder(ctx, o) // it was given free meanwhile
	}
	if findErr != nil {
		return findErr
	}
	if !a.reusable(holder) {
		return err
	}
	if err := a.deps.Store.Deactivate(ctx, holder.ID); err != nil {
		return err
	}
	return a.deps.Store.InsertOrder(ctx, o)
}

// holder returns the order that has o's client order id. If the matcher has ended it
// and the order store does not know yet, it waits: a client that was told of the end
// may use the id again.
func (a *App) holder(ctx context.Context, o *order.Order) (Found, error) {
	found, err := a.deps.Store.FindActive(ctx, o.MemberID, o.ClientOrderID)
	if err != nil || found.State.Final() {
		return found, err
	}
	r, err := a.rules(ctx, found.Symbol)
	if err != nil {
		return found, err
	}
	seq, open, known := a.deps.Book.Open(r, found.ID)
	switch {
	case open:
		return found, nil
	case !known:
		return a.waitFinal(ctx, found)
	}
	if err := a.waitRead(ctx, []Position{{found.Symbol, seq}}); err != nil {
		return found, err
	}
	return a.deps.Store.FindActive(ctx, o.MemberID, o.ClientOrderID)
}

// finalPoll is how often waitFinal looks.
const finalPoll = 20 * time.Millisecond

// waitFinal waits, bounded, until an order whose matcher is another instance has ended in
// the order store. If it is open it stays as it is.
func (a *App) waitFinal(ctx context.Context, found Found) (Found, error) {
	end := a.deps.Clock.Now().Add(a.cfg.ReadAfterTimeout)
	for a.deps.Clock.Now().Before(end) {
		if err := clock.Sleep(ctx, a.deps.Clock, finalPoll); err != nil {
			return found, err
		}
		again, err := a.deps.Store.FindActive(ctx, found.MemberID, found.ClientOrderID)
		if err != nil || again.State.Final() {
			return again, err
		}
	}
	return found, nil
}

// reusable reports whether the client order id of a stored order may be used again: at
// its end if nothing of it traded; otherwise some time later, so that a request that
// is repeated after a lost answer does not trade twice.
func (a *App) reusable(holder Found) bool {
	if !holder.State.Final() {
		return false
	}
	return holder.TradedAmount == 0 ||
		a.deps.Clock.NowMs()-holder.UpdateTimeMs > a.cfg.ClientOrderIDReuseAfter.Milliseconds()
}

// placeHold has the wallet set the money aside.
func (a *App) placeHold(ctx context.Context, o *order.Order, hold order.Hold) error {
	held, err := a.deps.Wallet.PlaceHold(ctx, o, hold)
	if err != nil {
		return a.holdFailed(ctx, o, err)
	}
	if held < hold.Min || held > hold.Amount {
		return fmt.Errorf("the wallet holds %d of %d to %d %s for order %d", held, hold.Min, hold.Amount, hold.Coin, o.ID)
	}
	if held != hold.Amount {
		if err := a.deps.Store.SetHold(ctx, o.ID, held); err != nil {
			return err
		}
	}
	o.Held(held)
	return nil
}

// holdFailed ends the intent when the wallet has refused; then no Place was sent and
// none will be. After any other error the hold may exist: the intent stays, and the
// sweeper resolves it.
func (a *App) holdFailed(ctx context.Context, o *order.Order, err error) error {
	if errs.KindOf(err) == errs.KindUnavailable {
		return err // nothing was done
	}
	if !refused(err) {
		return errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "the wallet has not answered: query the order").Wrap(err)
	}
	// The caller may be gone; the row should not wait for the sweeper because of that.
	if storeErr := a.deps.Store.Refuse(context.WithoutCancel(ctx), o.ID, order.ReasonHoldRefused, a.deps.Clock.NowMs()); storeErr != nil {
		logx.WithContext(ctx).Errorf("refuse order %d: %v (the sweeper will)", o.ID, storeErr)
	}
	return err
}

// refused reports whether err is an explicit refusal, as opposed to a failure.
func refused(err error) bool {
	switch errs.KindOf(err) {
	case errs.KindInvalidArgument, errs.KindFailedPrecondition, errs.KindNotFound, errs.KindAlreadyExists, errs.KindPermissionDenied:
		return true
	case errs.KindNone, errs.KindUnauthenticated, errs.KindTooManyRequests, errs.KindOverloaded,
		errs.KindUnavailable, errs.KindUnknownOutcome, errs.KindInternal:
	}
	return false
}
