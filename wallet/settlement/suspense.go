package settlement

import (
	"errors"
	"fmt"

	"mscoin/wallet/ledger"
)

// Suspense are the orders of which the matcher and the books say different things, by
// order id. What they pay and receive is kept in the suspense account.
type Suspense map[int64]*Suspended

// Suspended is an order in suspense.
type Suspended struct {
	OrderID  int64
	MemberID int64
	Symbol   string
	// Seq is the record that put it there, Cause the contradiction.
	Seq   int64
	Cause error
}

// Suspendable reports whether an error of Settle is about one order's hold only, so that
// SettleOrSuspend can go on without it.
func Suspendable(err error) bool {
	for _, cause := range []error{ErrNoHold, ErrOtherHold, ErrTradesDiffer, ErrAfterEnd, ledger.ErrBadHold} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// orderOrSuspend settles an order update, or suspends it.
func (s *settler) orderOrSuspend(u *OrderUpdate) error {
	if s.suspense[u.OrderID] != nil {
		return s.suspend(u)
	}
	err := s.order(u)
	if err == nil || s.suspense == nil || !Suspendable(err) {
		return err
	}
	s.suspense[u.OrderID] = &Suspended{OrderID: u.OrderID, MemberID: u.MemberID, Symbol: s.record.Symbol, Seq: s.record.Seq, Cause: err}
	return s.suspend(u)
}

// suspend books what this record's trades do to an order against the suspense account.
// The hold stays as it is: it is what somebody has to look at. An order without a hold
// gets a tombstone, so that none can come late.
func (s *settler) suspend(u *OrderUpdate) error {
	hold, ok := s.holds[u.OrderID]
	switch {
	case !ok:
		s.holds[u.OrderID] = &ledger.Hold{
			OrderID: u.OrderID, MemberID: u.MemberID, Symbol: s.record.Symbol, State: ledger.HoldTombstone,
			Seq: s.record.Seq, PlaceTimeMs: s.record.TimeMs, UpdatedMs: s.record.TimeMs,
		}
	case hold.Seq >= s.record.Seq:
		return fmt.Errorf("%w: hold is already at record %d", ErrBadRecord, hold.Seq)
	case hold.Symbol == s.record.Symbol:
		hold.Seq = s.record.Seq
	}
	sum := &s.fills[u.OrderID].sum
	paid, paidCoin, received, coin := sum.Turnover, s.record.QuoteCoin, sum.Traded, s.record.BaseCoin
	if u.Side == Sell {
		paid, paidCoin, received, coin = sum.Traded, s.record.BaseCoin, sum.Turnover, s.record.QuoteCoin
	}
	if sum.Fee > received {
		return fmt.Errorf("%w: fee %d of %d received", ErrBadRecord, sum.Fee, received)
	}
	s.add(ledger.SuspenseOf(paidCoin), -paid, ledger.ReasonTrade, u.OrderID)
	s.add(ledger.SuspenseOf(coin), received, ledger.ReasonTrade, u.OrderID)
	s.add(ledger.SuspenseOf(coin), -sum.Fee, ledger.ReasonFee, u.OrderID)
	s.add(ledger.FeeOf(coin), sum.Fee, ledger.ReasonFee, u.OrderID)
	return nil
}
