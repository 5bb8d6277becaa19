package app

import (
	"context"
	"errors"
	"fmt"

	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// maxHolds bounds the holds of one transaction, and those that wait for the next.
const maxHolds = 256

// PlaceHold is a request of the exchange to set money aside for an order.
type PlaceHold struct {
	OrderID   int64
	MemberID  int64
	Coin      string
	Symbol    string
	Amount    string
	MinAmount string // empty means Amount
}

// PlaceHold sets money aside and returns how much. Repeating the request gives the
// same answer, also when that was a refusal.
//
// Errors: INSUFFICIENT_BALANCE; HOLD_REFUSED when the order was rejected or its hold
// given back before; IDEMPOTENCY_MISMATCH; UNKNOWN_COIN; BAD_REQUEST and the codes of
// malformed numbers.
func (a *App) PlaceHold(ctx context.Context, in PlaceHold) (held string, err error) {
	if !validID(in.OrderID) || !validID(in.MemberID) || in.Symbol == "" || len(in.Symbol) > maxSymbolName {
		return "", badRequest("order, member and symbol")
	}
	c, err := a.coin(ctx, in.Coin)
	if err != nil {
		return "", err
	}
	req := HoldRequest{OrderID: in.OrderID, MemberID: in.MemberID, Coin: c.Name, Symbol: in.Symbol}
	if req.Amount, err = amount(in.Amount, c, "amount"); err != nil {
		return "", err
	}
	req.MinAmount = req.Amount
	if in.MinAmount != "" {
		if req.MinAmount, err = amount(in.MinAmount, c, "min amount"); err != nil {
			return "", err
		}
	}
	if req.MinAmount > req.Amount {
		return "", badRequest("min amount is above amount")
	}
	units, err := a.hold(ctx, req)
	if err != nil {
		return "", err
	}
	return money.Format(units, c.Scale), nil
}

// holding is a request that shares its transaction with others, and its answer. The
// answer belongs to the writer until it has said that it is there.
type holding struct {
	req  HoldRequest
	held int64
}

// hold places one hold, together with those that arrive while others are written.
func (a *App) hold(ctx context.Context, req HoldRequest) (int64, error) {
	h := &holding{req: req}
	err := a.holds.Do(ctx, h)
	switch {
	case err == nil:
		return h.held, nil
	case errors.Is(err, batch.ErrNotTaken):
		err = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the wallet is busy").Wrap(err)
	case errors.Is(err, batch.ErrAbandoned):
		err = errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "the wallet has not answered in time").Wrap(err)
	case errors.Is(err, ErrInsufficientBalance), errors.Is(err, ErrHoldRefused), errors.Is(err, ErrMismatch):
		return 0, err
	}
	return 0, fmt.Errorf("place hold of order %d: %w", req.OrderID, err)
}

// placeHolds places holds in one transaction. When that fails for a reason that may
// be one request's alone, each is tried by itself, so that nobody pays for another.
func (a *App) placeHolds(ctx context.Context, batch []*holding) []error {
	all := make([]error, len(batch))
	err := a.placeTogether(ctx, batch, all)
	if err == nil {
		return all
	}
	if len(batch) == 1 || everybodys(err) {
		for i := range all {
			all[i] = err
		}
		return all
	}
	for i := range batch {
		if err := a.placeTogether(ctx, batch[i:i+1], all[i:i+1]); err != nil {
			all[i] = err
		}
	}
	return all
}

// placeTogether fills in the answer of each request, or returns why none has one.
func (a *App) placeTogether(ctx context.Context, batch []*holding, refusals []error) error {
	reqs := make([]HoldRequest, len(batch))
	for i := range batch {
		reqs[i] = batch[i].req
	}
	results, err := a.store.PlaceHolds(ctx, reqs)
	if err != nil {
		return err
	}
	for i := range results {
		batch[i].held, refusals[i] = results[i].Held, results[i].Err
	}
	return nil
}

// everybodys reports whether an error is the database's and not one request's.
func everybodys(err error) bool {
	kind := errs.KindOf(err)
	return kind == errs.KindUnavailable || kind == errs.KindUnknownOutcome
}

// ReleaseHold gives back the money of an order that is known never to reach the
// matcher. A hold for it that arrives later is refused. Idempotent.
//
// Errors: HOLD_IN_USE when a record has spoken of the order; UNKNOWN_ORDER when the
// hold is another member's.
func (a *App) ReleaseHold(ctx context.Context, orderID, memberID int64) error {
	if !validID(orderID) || !validID(memberID) {
		return badRequest("order and member")
	}
	if err := a.store.ReleaseHold(ctx, orderID, memberID); err != nil {
		return fmt.Errorf("release hold of order %d: %w", orderID, err)
	}
	return nil
}

// Suspended lists the orders in suspense, oldest first, for operators.
func (a *App) Suspended(ctx context.Context, pageSize int) ([]Suspended, error) {
	if pageSize == 0 {
		pageSize = defaultPage
	}
	if pageSize < 1 || pageSize > maxStalePage {
		return nil, badRequest("page size must be 1 to 1000")
	}
	return a.store.Suspended(ctx, 0, pageSize)
}

// StaleHolds lists open holds placed before a time of which no record has spoken,
// oldest first and but for those of some symbols, for the exchange's sweeper.
func (a *App) StaleHolds(ctx context.Context, beforeMs int64, except []string, pageSize int) ([]StaleHold, error) {
	if pageSize < 1 || pageSize > maxStalePage || len(except) > maxExcept {
		return nil, badRequest("page size must be 1 to 1000, and at most 1000 symbols can be left out")
	}
	holds, err := a.store.StaleHolds(ctx, beforeMs, except, pageSize)
	if err != nil {
		return nil, fmt.Errorf("list stale holds: %w", err)
	}
	return holds, nil
}
