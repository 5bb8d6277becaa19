package settlement

import (
	"errors"
	"fmt"

	"mscoin/mscoin-common/money"
	"mscoin/wallet/ledger"
)

// Causes of an [Error]; a broken hold is [ledger.ErrBadHold].
var (
	ErrBadRecord    = errors.New("record contradicts itself")
	ErrNoHold       = errors.New("order has no hold")
	ErrOtherHold    = errors.New("hold is for another order")
	ErrTradesDiffer = errors.New("trades are not the change of the cumulative facts")
	ErrAfterEnd     = errors.New("order changes after its end")
)

// Holds are the holds of the orders of a batch, by order id. Settle changes them
// in place and adds tombstones, so that the batch's next record sees them.
type Holds map[int64]*ledger.Hold

// Settle applies the record to the holds and returns the entry that moves the
// money; the entry is empty when the record moves none. Every hold that the
// record speaks of has its Seq set to the record's, unless an earlier record has
// ended it.
//
// A rejected order that has no hold gets a tombstone, which makes a hold that
// arrives late fail (H2). On error, an [*Error], the holds are in no defined
// state and the batch must be abandoned.
func Settle(r *Record, holds Holds) (ledger.Entry, error) { return SettleOrSuspend(r, holds, nil) }

// SettleOrSuspend is Settle for a record that may contradict the books in some of its
// orders: what such an order pays and receives goes to the suspense account instead of
// its member's, so that its counterparties are settled and the entry sums to zero. The
// order is added to suspense, and its later records go the same way. A nil suspense
// suspends nothing.
//
// Only an order's own hold may be in doubt. A record that contradicts itself is refused
// as by Settle: nobody could say what is due to whom.
func SettleOrSuspend(r *Record, holds Holds, suspense Suspense) (ledger.Entry, error) {
	s := settler{record: r, holds: holds, suspense: suspense, fills: make(map[int64]*fill, len(r.Orders))}
	if err := s.collectFills(); err != nil {
		return ledger.Entry{}, err
	}
	for i := range r.Orders {
		if err := s.orderOrSuspend(&r.Orders[i]); err != nil {
			return ledger.Entry{}, s.fail(r.Orders[i].OrderID, 0, err)
		}
	}
	entry, err := ledger.NewEntry(ledger.Source{Symbol: r.Symbol, Seq: r.Seq, TimeMs: r.TimeMs}, s.postings...)
	if err != nil {
		return ledger.Entry{}, s.fail(0, 0, err)
	}
	return entry, nil
}

type settler struct {
	record   *Record
	holds    Holds
	suspense Suspense
	fills    map[int64]*fill
	postings []ledger.Posting
}

// fill is what this record's trades do to one order.
type fill struct {
	update *OrderUpdate
	sum    ledger.Facts
}

func (s *settler) fail(orderID, tradeID int64, err error) error {
	return &Error{Symbol: s.record.Symbol, Seq: s.record.Seq, OrderID: orderID, TradeID: tradeID, Err: err}
}

// collectFills sums the trades by order and checks that each side of a trade is
// an order of the record, on that side and of that member.
func (s *settler) collectFills() error {
	r := s.record
	if r.Symbol == "" || r.Seq <= 0 || (len(r.Trades) > 0 && (r.BaseCoin == "" || r.QuoteCoin == "" || r.BaseCoin == r.QuoteCoin)) {
		return s.fail(0, 0, fmt.Errorf("%w: no symbol, number or coins", ErrBadRecord))
	}
	for i := range r.Orders {
		u := &r.Orders[i]
		if s.fills[u.OrderID] != nil || u.OrderID <= 0 || u.MemberID <= 0 {
			return s.fail(u.OrderID, 0, fmt.Errorf("%w: order is named twice or has no id or owner", ErrBadRecord))
		}
		s.fills[u.OrderID] = &fill{update: u}
	}
	for i := range r.Trades {
		t := &r.Trades[i]
		if err := s.trade(t); err != nil {
			return s.fail(0, t.TradeID, err)
		}
	}
	return nil
}

func (s *settler) trade(t *Trade) error {
	maker, taker := s.fills[t.MakerOrderID], s.fills[t.TakerOrderID]
	switch {
	case maker == nil || taker == nil || maker == taker:
		return fmt.Errorf("%w: trade between orders %d and %d, not both in the record", ErrBadRecord, t.MakerOrderID, t.TakerOrderID)
	case taker.update.Side != t.TakerSide || maker.update.Side != opposite(t.TakerSide):
		return fmt.Errorf("%w: sides of the trade are not those of its orders", ErrBadRecord)
	case maker.update.MemberID != t.MakerMemberID || taker.update.MemberID != t.TakerMemberID:
		return fmt.Errorf("%w: members of the trade are not the owners of its orders", ErrBadRecord)
	case t.Quantity <= 0 || t.Turnover <= 0 || t.MakerFee < 0 || t.TakerFee < 0:
		return fmt.Errorf("%w: quantity %d turnover %d fees %d %d", ErrBadRecord, t.Quantity, t.Turnover, t.MakerFee, t.TakerFee)
	}
	if err := maker.add(t.Quantity, t.Turnover, t.MakerFee); err != nil {
		return err
	}
	return taker.add(t.Quantity, t.Turnover, t.TakerFee)
}

func opposite(side Side) Side {
	switch side {
	case Buy:
		return Sell
	case Sell:
		return Buy
	case SideNone:
	}
	return SideNone
}

func (f *fill) add(quantity, turnover, fee int64) error {
	var errs [3]error
	f.sum.Traded, errs[0] = money.Add(f.sum.Traded, quantity)
	f.sum.Turnover, errs[1] = money.Add(f.sum.Turnover, turnover)
	f.sum.Fee, errs[2] = money.Add(f.sum.Fee, fee)
	return errors.Join(errs[:]...)
}

// order settles one order update.
func (s *settler) order(u *OrderUpdate) error {
	hold, ok := s.holds[u.OrderID]
	if !ok {
		return s.withoutHold(u)
	}
	if err := s.matches(u, hold); err != nil {
		return err
	}
	facts := ledger.Facts{Traded: u.Traded, Turnover: u.Turnover, Fee: u.Fee}
	if hold.State != ledger.HoldOpen && hold.Seq > 0 {
		return s.afterEnd(u, hold.Facts, facts)
	}
	if err := s.sameChange(u, hold.Facts, facts); err != nil {
		return err
	}
	change, err := hold.Settle(consumed(u), u.HeldRemaining, u.State != Live)
	if err != nil {
		return err
	}
	hold.Seq, hold.Facts, hold.UpdatedMs = s.record.Seq, facts, s.record.TimeMs
	return s.post(u, hold, change)
}

// afterEnd accepts what a matcher can still say of an order that a record has ended:
// the same again, or, once it has forgotten the id, that it refuses it (a resolve or
// a Place that comes late). Both change nothing, so the hold stays at the record
// that ended it, as the order does in the order store.
func (s *settler) afterEnd(u *OrderUpdate, ended, facts ledger.Facts) error {
	again := u.State == Ended && facts == ended
	refused := u.State == Rejected && facts == ledger.Facts{}
	if !again && !refused || u.HeldRemaining != 0 || s.fills[u.OrderID].sum != (ledger.Facts{}) {
		return fmt.Errorf("%w: order is over with %+v, record says state %d with %+v", ErrAfterEnd, ended, u.State, facts)
	}
	return nil
}

// withoutHold leaves a tombstone for a rejected order; any other order must
// have a hold, because its Place was published after the hold (H1).
func (s *settler) withoutHold(u *OrderUpdate) error {
	if u.State != Rejected || u.Traded != 0 || u.Turnover != 0 || u.Fee != 0 || u.HeldRemaining != 0 {
		return ErrNoHold
	}
	s.holds[u.OrderID] = &ledger.Hold{
		OrderID: u.OrderID, MemberID: u.MemberID, Symbol: s.record.Symbol, State: ledger.HoldTombstone,
		Seq: s.record.Seq, PlaceTimeMs: s.record.TimeMs, UpdatedMs: s.record.TimeMs,
	}
	return nil
}

func (s *settler) matches(u *OrderUpdate, hold *ledger.Hold) error {
	if hold.MemberID != u.MemberID {
		return fmt.Errorf("%w: of member %d", ErrOtherHold, hold.MemberID)
	}
	if hold.Symbol != s.record.Symbol && hold.State != ledger.HoldTombstone {
		return fmt.Errorf("%w: on %s", ErrOtherHold, hold.Symbol)
	}
	if hold.Seq >= s.record.Seq {
		return fmt.Errorf("%w: hold is already at record %d", ErrBadRecord, hold.Seq)
	}
	switch {
	case u.State < Live || u.State > Rejected:
		return fmt.Errorf("%w: order state %d", ErrBadRecord, u.State)
	case u.State == Rejected && u.Side == SideNone, hold.State == ledger.HoldTombstone:
		return nil
	case u.Side == Buy && hold.Coin == s.record.QuoteCoin, u.Side == Sell && hold.Coin == s.record.BaseCoin:
		return nil
	}
	return fmt.Errorf("%w: holds %s", ErrOtherHold, hold.Coin)
}

// sameChange checks that the trades of this record are exactly the difference
// of the order's cumulative facts. Without it a record could pay one side what
// it does not take from the other.
func (s *settler) sameChange(u *OrderUpdate, before, after ledger.Facts) error {
	sum := s.fills[u.OrderID].sum
	var want ledger.Facts
	var errs [3]error
	want.Traded, errs[0] = money.Add(before.Traded, sum.Traded)
	want.Turnover, errs[1] = money.Add(before.Turnover, sum.Turnover)
	want.Fee, errs[2] = money.Add(before.Fee, sum.Fee)
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	if want != after {
		return fmt.Errorf("%w: %+v and trades %+v give %+v, record says %+v", ErrTradesDiffer, before, sum, want, after)
	}
	return nil
}

func consumed(u *OrderUpdate) int64 {
	if u.Side == Buy {
		return u.Turnover
	}
	return u.Traded
}

// post appends the order's postings: out of its hold, into its owner's
// available balance, the fee, and what returns.
func (s *settler) post(u *OrderUpdate, hold *ledger.Hold, change ledger.Change) error {
	held := ledger.HeldOf(u.MemberID, hold.Coin)
	s.add(held, -change.Consumed, ledger.ReasonTrade, u.OrderID)
	sum := &s.fills[u.OrderID].sum
	received, coin := sum.Traded, s.record.BaseCoin
	if u.Side == Sell {
		received, coin = sum.Turnover, s.record.QuoteCoin
	}
	if sum.Fee > received {
		return fmt.Errorf("%w: fee %d of %d received", ErrBadRecord, sum.Fee, received)
	}
	if received > 0 {
		available := ledger.AvailableOf(u.MemberID, coin)
		s.add(available, received, ledger.ReasonTrade, u.OrderID)
		s.add(available, -sum.Fee, ledger.ReasonFee, u.OrderID)
		s.add(ledger.FeeOf(coin), sum.Fee, ledger.ReasonFee, u.OrderID)
	}
	s.add(held, -change.Released, ledger.ReasonRelease, u.OrderID)
	s.add(ledger.AvailableOf(u.MemberID, hold.Coin), change.Released, ledger.ReasonRelease, u.OrderID)
	return nil
}

func (s *settler) add(account ledger.Account, amount int64, reason ledger.Reason, orderID int64) {
	if amount != 0 {
		s.postings = append(s.postings, ledger.Posting{Account: account, Amount: amount, Reason: reason, OrderID: orderID})
	}
}
