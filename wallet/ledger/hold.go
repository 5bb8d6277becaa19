package ledger

import (
	"fmt"

	"mscoin/mscoin-common/money"
)

// HoldState is the life cycle of a hold; the numbers are stored.
type HoldState uint8

// States of a hold.
const (
	// HoldOpen is money set aside.
	HoldOpen HoldState = 0
	// HoldClosed is a hold of which nothing remains and to which nothing comes.
	HoldClosed HoldState = 1
	// HoldRefused is the lasting answer to a request that was refused.
	HoldRefused HoldState = 2
	// HoldTombstone forbids an order that was rejected before its hold was placed.
	HoldTombstone HoldState = 3
)

// String returns the state's name.
func (s HoldState) String() string {
	switch s {
	case HoldOpen:
		return "OPEN"
	case HoldClosed:
		return "CLOSED"
	case HoldRefused:
		return "REFUSED"
	case HoldTombstone:
		return "TOMBSTONE"
	default:
		return fmt.Sprintf("HoldState(%d)", uint8(s))
	}
}

// Facts are the cumulative facts of an order as its matcher states them: base
// units traded, quote units traded, and fees in units of what it receives.
type Facts struct {
	Traded   int64
	Turnover int64
	Fee      int64
}

// Hold is the money set aside for one order and what became of it. Seq is the
// last output record that spoke of the order, 0 if none did.
type Hold struct {
	OrderID     int64
	MemberID    int64
	Coin        string
	Symbol      string
	Held        int64
	Consumed    int64
	Released    int64
	Facts       Facts
	State       HoldState
	Seq         int64
	PlaceTimeMs int64
	UpdatedMs   int64
}

// Remaining is what is still set aside.
func (h *Hold) Remaining() int64 { return h.Held - h.Consumed - h.Released }

// Validate returns [ErrBadHold] when the numbers contradict each other.
func (h *Hold) Validate() error {
	bad := h.Held < 0 || h.Consumed < 0 || h.Released < 0 || h.Consumed > h.Held || h.Released > h.Held-h.Consumed
	switch h.State {
	case HoldOpen:
	case HoldClosed:
		bad = bad || h.Remaining() != 0
	case HoldRefused, HoldTombstone:
		bad = bad || h.Held != 0
	default:
		bad = true
	}
	if bad {
		return fmt.Errorf("%w: order %d %s held %d consumed %d released %d", ErrBadHold, h.OrderID, h.State, h.Held, h.Consumed, h.Released)
	}
	return nil
}

// AmountToHold decides a request: all of amount if available covers it, else
// everything that is available if that is at least least. Spending the whole
// balance is allowed. ok is false when the request is refused.
func AmountToHold(available, amount, least int64) (hold int64, ok bool) {
	hold = min(available, amount)
	return hold, hold > 0 && hold >= least
}

// Place makes the entry that sets the hold's money aside.
func (h *Hold) Place(timeMs int64) (Entry, error) {
	if h.State != HoldOpen || h.Consumed != 0 || h.Released != 0 {
		return Entry{}, fmt.Errorf("%w: place order %d in state %s", ErrBadHold, h.OrderID, h.State)
	}
	return Move(
		Source{Symbol: h.Symbol, TimeMs: timeMs}, ReasonHold, h.OrderID,
		AvailableOf(h.MemberID, h.Coin), HeldOf(h.MemberID, h.Coin), h.Held,
	)
}

// Cancel closes the hold of an order that never reached the matcher and makes
// the entry that returns its money. It returns [ErrBadHold] when the matcher
// has spoken of the order or the hold is not open.
func (h *Hold) Cancel(timeMs int64) (Entry, error) {
	if h.State != HoldOpen || h.Seq != 0 || h.Consumed != 0 {
		return Entry{}, fmt.Errorf("%w: cancel order %d in state %s at record %d", ErrBadHold, h.OrderID, h.State, h.Seq)
	}
	amount := h.Remaining()
	h.Released, h.State, h.UpdatedMs = h.Held, HoldClosed, timeMs
	return Move(
		Source{Symbol: h.Symbol, TimeMs: timeMs}, ReasonRelease, h.OrderID,
		HeldOf(h.MemberID, h.Coin), AvailableOf(h.MemberID, h.Coin), amount,
	)
}

// Change is what one record takes from a hold.
type Change struct {
	Consumed int64
	Released int64
}

// Settle moves the hold to the record's word: consumed so far, what remains, and
// whether the order has ended. What is released follows: it is what is neither
// consumed nor remaining (H12). It returns [ErrBadHold], and leaves the hold as
// it was, when the record takes something back, leaves something behind at the
// end, or spends more than is held.
func (h *Hold) Settle(consumed, remaining int64, final bool) (Change, error) {
	fail := func(what string) (Change, error) {
		return Change{}, fmt.Errorf("%w: order %d %s held %d consumed %d released %d: %s (consumed %d, remaining %d, final %t)",
			ErrBadHold, h.OrderID, h.State, h.Held, h.Consumed, h.Released, what, consumed, remaining, final)
	}
	if consumed < 0 || remaining < 0 {
		return fail("negative amount")
	}
	used, err := money.Add(consumed, remaining)
	if err != nil || used > h.Held {
		return fail("more than is held")
	}
	released := h.Held - used
	switch {
	case consumed < h.Consumed:
		return fail("consumed less than before")
	case released < h.Released:
		return fail("released less than before")
	case final && remaining != 0:
		return fail("ended with a remainder")
	case h.State != HoldOpen && !final:
		return fail("order lives, hold does not")
	}
	change := Change{Consumed: consumed - h.Consumed, Released: released - h.Released}
	h.Consumed, h.Released = consumed, released
	if final && h.State == HoldOpen {
		h.State = HoldClosed
	}
	return change, nil
}
