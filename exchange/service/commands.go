package service

import (
	"context"

	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// commands takes each command to the gate of its symbol's partition.
type commands struct{ s *Service }

func (c commands) gate(r symbol.Rules) (*sequencer.Gate, error) {
	run := books(c).run(r)
	if run == nil {
		return nil, errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the matcher has moved to another instance")
	}
	return run.gate, nil
}

// Place implements app.Commands.
func (c commands) Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error) {
	g, err := c.gate(r)
	if err != nil {
		return nil, err
	}
	return g.Place(ctx, r, o)
}

// Cancel implements app.Commands.
func (c commands) Cancel(ctx context.Context, r symbol.Rules, orderID, memberID int64) (*order.Result, error) {
	g, err := c.gate(r)
	if err != nil {
		return nil, err
	}
	return g.Cancel(ctx, r, orderID, memberID)
}

// CancelAll implements app.Commands.
func (c commands) CancelAll(ctx context.Context, r symbol.Rules, memberID int64) (*order.Result, error) {
	g, err := c.gate(r)
	if err != nil {
		return nil, err
	}
	return g.CancelAll(ctx, r, memberID)
}

// Resolve implements app.Commands.
func (c commands) Resolve(ctx context.Context, r symbol.Rules, orderID, memberID, deadlineMs int64) error {
	g, err := c.gate(r)
	if err != nil {
		return err
	}
	return g.Resolve(ctx, r, orderID, memberID, deadlineMs)
}

// SetRules implements app.Commands.
func (c commands) SetRules(ctx context.Context, r symbol.Rules) (*order.Result, error) {
	g, err := c.gate(r)
	if err != nil {
		return nil, err
	}
	return g.SetRules(ctx, r)
}

// SetPhase implements app.Commands.
func (c commands) SetPhase(ctx context.Context, r symbol.Rules, phase order.Phase) (*order.Result, error) {
	g, err := c.gate(r)
	if err != nil {
		return nil, err
	}
	return g.SetPhase(ctx, r, phase)
}
