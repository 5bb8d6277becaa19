package app

import (
	"context"
	"errors"
	"fmt"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Canceled is an order after its cancel.
type Canceled struct {
	Order    Found
	Position Position
}

// CanceledAll are the orders that one command has cancelled.
type CanceledAll struct {
	Orders   []Found
	Position Position
}

var errUnknownOrder = errs.New(errs.KindNotFound, errs.CodeUnknownOrder, "unknown order")

// OrderRef names an order of a member: by id, by client order id, or by both, which
// must then agree. Symbol may be empty when the id is given.
type OrderRef struct {
	Member        int64
	Symbol        string
	OrderID       int64
	ClientOrderID string
}

// CancelOrder cancels an order; the answer is the matcher's word. An order that is
// unknown, over, or another member's is CodeUnknownOrder.
func (a *App) CancelOrder(ctx context.Context, ref OrderRef) (*Canceled, error) {
	found, err := a.find(ctx, ref, true)
	if err != nil {
		return nil, fmt.Errorf("cancel order: %w", err)
	}
	r, leave, err := a.enterCancel(ctx, found.Symbol)
	if err != nil {
		return nil, fmt.Errorf("cancel order: %w", err)
	}
	defer leave()
	res, err := a.deps.Commands.Cancel(ctx, r, found.ID, ref.Member)
	if err != nil {
		return nil, fmt.Errorf("cancel order %d: %w", found.ID, err)
	}
	if res.Rejected {
		return nil, fmt.Errorf("cancel order %d: %w", found.ID, res.Reason.Refusal())
	}
	u, ok := res.Update(found.ID)
	if !ok {
		return nil, fmt.Errorf("cancel order %d: record %d of %s does not name it", found.ID, res.Seq, res.Symbol)
	}
	if _, err := found.Advance(u); err != nil {
		return nil, fmt.Errorf("cancel order: %w", err)
	}
	found.UpdateTimeMs = res.TimeMs
	return &Canceled{Order: found, Position: Position{res.Symbol, res.Seq}}, nil
}

// enterCancel is enter for a symbol whose orders can be cancelled now.
func (a *App) enterCancel(ctx context.Context, name string) (r symbol.Rules, leave func(), err error) {
	r, leave, err = a.enter(ctx, name)
	if err != nil || a.deps.Admission == nil {
		return r, leave, err
	}
	if err := a.deps.Admission.Cancel(r); err != nil {
		leave()
		return r, nil, err
	}
	return r, leave, nil
}

// CancelAllOrders cancels all open orders of a member on a symbol.
func (a *App) CancelAllOrders(ctx context.Context, member int64, name string) (*CanceledAll, error) {
	r, leave, err := a.enterCancel(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("cancel all orders: %w", err)
	}
	defer leave()
	res, err := a.deps.Commands.CancelAll(ctx, r, member)
	if err != nil {
		return nil, fmt.Errorf("cancel all orders: %w", err)
	}
	if res.Rejected {
		return nil, fmt.Errorf("cancel all orders: %w", res.Reason.Refusal())
	}
	out := &CanceledAll{Position: Position{res.Symbol, res.Seq}}
	ids := make([]int64, 0, len(res.Updates))
	for i := range res.Updates {
		ids = append(ids, res.Updates[i].OrderID)
	}
	if out.Orders, err = a.deps.Store.Orders(ctx, ids); err != nil {
		return nil, errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "orders were cancelled, but cannot be shown").
			Wrap(fmt.Errorf("cancel all orders: %w", err))
	}
	for i := range out.Orders {
		o := &out.Orders[i]
		u, ok := res.Update(o.ID)
		if !ok {
			continue
		}
		if _, err := o.Advance(u); err != nil {
			return nil, fmt.Errorf("cancel all orders: %w", err)
		}
		o.UpdateTimeMs = res.TimeMs
	}
	return out, nil
}

// find returns the order that a reference names. active prefers the order that a
// client order id is active for to newer ones that bore it.
func (a *App) find(ctx context.Context, ref OrderRef, active bool) (Found, error) {
	var found Found
	var err error
	switch {
	case ref.OrderID > 0:
		found, err = a.deps.Store.Order(ctx, ref.OrderID)
	case ref.ClientOrderID == "":
		return Found{}, errs.New(errs.KindInvalidArgument, errs.CodeMissingParameter, "neither order id nor client order id").With("order_id")
	case active:
		found, err = a.deps.Store.FindActive(ctx, ref.Member, ref.ClientOrderID)
	default:
		found, err = a.deps.Store.OrderByClientID(ctx, ref.Member, ref.ClientOrderID)
	}
	if errors.Is(err, ErrNotFound) {
		return Found{}, errUnknownOrder
	}
	if err != nil {
		return Found{}, err
	}
	wrong := found.MemberID != ref.Member || ref.Symbol != "" && found.Symbol != ref.Symbol ||
		ref.ClientOrderID != "" && found.ClientOrderID != ref.ClientOrderID
	if wrong {
		return Found{}, errUnknownOrder
	}
	return found, nil
}

// GetOrder returns an order of the member. Its state is order.StateInit while the
// matcher has not spoken.
func (a *App) GetOrder(ctx context.Context, ref OrderRef, after []Position) (Found, error) {
	if err := a.waitRead(ctx, after); err != nil {
		return Found{}, fmt.Errorf("get order: %w", err)
	}
	found, err := a.find(ctx, ref, false)
	if err != nil {
		return Found{}, fmt.Errorf("get order: %w", err)
	}
	return found, nil
}

// ListOpenOrders returns the member's open orders, oldest first; symbol "" is all.
func (a *App) ListOpenOrders(ctx context.Context, member int64, name string, after []Position) ([]Found, error) {
	if err := a.checkListing(ctx, member, name, after); err != nil {
		return nil, fmt.Errorf("list open orders: %w", err)
	}
	found, err := a.deps.Store.OpenOrders(ctx, member, name)
	if err != nil {
		return nil, fmt.Errorf("list open orders: %w", err)
	}
	return found, nil
}

// Limits of a page.
const (
	defaultPage = 500
	maxPage     = 1000
)

func page(size int) (int, error) {
	switch {
	case size == 0:
		return defaultPage, nil
	case size < 0 || size > maxPage:
		return 0, errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "page size is not 1 to 1000")
	}
	return size, nil
}

// ListOrders returns the member's orders by id, ascending.
func (a *App) ListOrders(ctx context.Context, q OrderQuery, after []Position) ([]Found, error) {
	var err error
	if q.Limit, err = page(q.Limit); err == nil {
		err = a.checkListing(ctx, q.Member, q.Symbol, after)
	}
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	found, err := a.deps.Store.ListOrders(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list orders: %w", err)
	}
	return found, nil
}

// ListTrades returns trades that the member took part in, by id, ascending.
func (a *App) ListTrades(ctx context.Context, q TradeQuery, after []Position) ([]order.Trade, error) {
	var err error
	if q.Limit, err = page(q.Limit); err == nil {
		err = a.checkListing(ctx, q.Member, q.Symbol, after)
	}
	if err == nil && q.Symbol == "" {
		_, err = a.rules(ctx, "")
	}
	if err != nil {
		return nil, fmt.Errorf("list trades: %w", err)
	}
	trades, err := a.deps.Store.ListTrades(ctx, q)
	if err != nil {
		return nil, fmt.Errorf("list trades: %w", err)
	}
	return trades, nil
}

func (a *App) checkListing(ctx context.Context, member int64, name string, after []Position) error {
	if member <= 0 {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "no member")
	}
	if name != "" {
		if _, err := a.rules(ctx, name); err != nil {
			return err
		}
	}
	return a.waitRead(ctx, after)
}
