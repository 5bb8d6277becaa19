package app

import (
	"context"
	"fmt"

	"mscoin/mscoin-common/money"
)

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
	results, err := a.store.PlaceHolds(ctx, []HoldRequest{req})
	if err != nil {
		return "", fmt.Errorf("place hold of order %d: %w", in.OrderID, err)
	}
	if err := results[0].Err; err != nil {
		return "", err
	}
	return money.Format(results[0].Held, c.Scale), nil
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

// StaleHolds lists open holds placed before a time of which no record has spoken,
// oldest first, for the exchange's sweeper.
func (a *App) StaleHolds(ctx context.Context, beforeMs int64, pageSize int) ([]StaleHold, error) {
	if pageSize < 1 || pageSize > maxStalePage {
		return nil, badRequest("page size must be 1 to 1000")
	}
	holds, err := a.store.StaleHolds(ctx, beforeMs, pageSize)
	if err != nil {
		return nil, fmt.Errorf("list stale holds: %w", err)
	}
	return holds, nil
}
