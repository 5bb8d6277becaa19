package order

import (
	"errors"
	"fmt"
)

// ErrImpossible marks a fact that cannot follow from what is known of the order: a
// defect or damage, never a request to refuse.
var ErrImpossible = errors.New("impossible order update")

// Advance applies the matcher's word u to the order and reports whether it changed.
//
// Facts only move forward: a record that was applied before, or one older than
// that, changes nothing. A final order stays as it is: the matcher may repeat its
// state (Resolve) or, once it has forgotten the id, refuse it (a late duplicate);
// both are no-ops, except that an order which the wallet's refusal has ended notes the
// first such record, as the wallet does. A rejection by Resolve does not know the
// side. Anything else that contradicts the known facts is ErrImpossible.
func (o *Order) Advance(u Update) (bool, error) {
	if u.OrderID != o.ID || u.MemberID != o.MemberID || u.Side != SideNone && u.Side != o.Side {
		return false, fmt.Errorf("%w: update of order %d, member %d, side %d given to order %d, member %d, side %d",
			ErrImpossible, u.OrderID, u.MemberID, u.Side, o.ID, o.MemberID, o.Side)
	}
	if u.Seq <= o.Seq {
		return false, nil
	}
	if o.State.Final() {
		if err := o.checkRepeated(u.Facts); err != nil || o.Seq > 0 {
			return false, err
		}
		o.Seq = u.Seq // the wallet has ended it; this is the first record that names it
		return true, nil
	}
	if err := o.checkForward(u.Facts); err != nil {
		return false, err
	}
	o.Facts = u.Facts
	return true, nil
}

// checkRepeated accepts what a matcher can say about an order that is over.
func (o *Order) checkRepeated(f Facts) error {
	if f.State == StateRejected && f.TradedAmount == 0 && f.Turnover == 0 {
		return nil
	}
	same := f.State == o.State && f.TradedAmount == o.TradedAmount && f.Turnover == o.Turnover && f.Fee == o.Fee
	if !same {
		return fmt.Errorf("%w: order %d is over in state %d and record %d says state %d", ErrImpossible, o.ID, o.State, f.Seq, f.State)
	}
	return nil
}

// checkForward accepts what can follow on the facts of an order that is not over.
func (o *Order) checkForward(f Facts) error {
	bad := ""
	switch {
	case f.State == StateInit || f.State > StateRejected:
		bad = "state"
	case f.State == StateRejected && o.State != StateInit:
		bad = "rejected after it was accepted"
	case f.State == StateRejected && f.TradedAmount != 0:
		bad = "rejected with trades"
	case f.TradedAmount < o.TradedAmount || f.Turnover < o.Turnover || f.Fee < o.Fee:
		bad = "facts shrink"
	case o.Quantity > 0 && f.TradedAmount > o.Quantity:
		bad = "traded more than its quantity"
	case o.QuoteAmount > 0 && f.Turnover > o.QuoteAmount:
		bad = "turnover above its quote amount"
	case f.HeldRemaining < 0 || f.HeldRemaining > o.HeldRemaining:
		bad = "held remaining grows"
	case f.State.Final() && f.HeldRemaining != 0:
		bad = "over with money still held"
	case o.Type == Market && f.State.Open():
		bad = "market order rests"
	default:
		return nil
	}
	return fmt.Errorf("%w: order %d in state %d, record %d: %s (%+v)", ErrImpossible, o.ID, o.State, f.Seq, bad, f)
}
