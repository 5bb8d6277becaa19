// Package naive is the order book of package matching once more: slow, short
// and obviously right. Orders lie in plain sorted slices; every rule is one
// condition; nothing is kept that can be computed. The fast book must agree
// with it on every event, on the state hash and on the bytes of a snapshot,
// and the reconciliation replays the log with it.
package naive

import (
	"cmp"
	"math"
	"math/bits"
	"slices"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
)

type order = image.Order

// Book implements matching.Engine.
type Book struct {
	head  image.Head
	side  [2][]*order // best first, then oldest first
	waits []*order    // stop orders, oldest first
	work  *order      // the taker of a command that is to be continued
	byID  map[uint64]*order

	out   []matching.Event
	steps int32 // taken by this Apply
}

var _ matching.Engine = (*Book)(nil)

// New returns an empty book without rules.
func New() *Book {
	return &Book{
		head: image.Head{Phase: uint8(matching.PhaseTrading), Low: image.NoLow, High: image.NoHigh},
		byID: map[uint64]*order{},
	}
}

// Apply executes one command and appends its events to out.
func (b *Book) Apply(cmd *matching.Command, out []matching.Event) []matching.Event {
	b.out, b.steps = out, 0
	if reason := b.apply(cmd); reason != matching.ReasonNone {
		e := matching.Event{Kind: matching.EventReject, Reason: reason}
		if cmd != nil {
			e.OrderID, e.MemberID = cmd.OrderID, cmd.MemberID
			if cmd.Op == matching.OpPlace || cmd.Op == matching.OpReplace {
				e.State = matching.StateRejected
			}
		}
		b.emit(e)
	}
	out, b.out = b.out, nil
	return out
}

func (b *Book) emit(e matching.Event) { b.out = append(b.out, e) }

func (b *Book) apply(cmd *matching.Command) matching.Reason {
	if cmd == nil {
		return matching.ReasonBadCommand
	}
	if b.head.Pending && cmd.Op != matching.OpContinue {
		return matching.ReasonContinuePending
	}
	switch cmd.Op {
	case matching.OpPlace:
		return b.place(cmd)
	case matching.OpCancel:
		return b.cancel(cmd)
	case matching.OpReduce:
		return b.reduce(cmd)
	case matching.OpReplace:
		return b.replace(cmd)
	case matching.OpSetRules:
		return b.setRules(cmd.Rules)
	case matching.OpSetPhase:
		if cmd.Phase < matching.PhaseTrading || cmd.Phase > matching.PhaseHalt {
			return matching.ReasonBadCommand
		}
		b.head.Phase = uint8(cmd.Phase)
		b.emit(matching.Event{Kind: matching.EventPhase, Phase: cmd.Phase})
		return matching.ReasonNone
	case matching.OpContinue:
		if !b.head.Pending {
			return matching.ReasonBadCommand
		}
		b.head.Pending = false
		b.run()
		return matching.ReasonNone
	case matching.OpNone:
	}
	return matching.ReasonBadCommand
}

func (b *Book) setRules(r *matching.Rules) matching.Reason {
	if r == nil || r.BaseUnitsPerLot <= 0 || r.QuoteUnitsPerTickLot <= 0 ||
		r.MaxPrice <= 0 || r.MaxPrice > image.MaxPrice || r.MaxQty <= 0 || r.MaxQty > image.MaxQty ||
		r.BandUpPpm < 0 || r.BandDownPpm < 0 || r.MaxFillsPerCommand < 0 ||
		r.MaxOpenOrders < 0 || r.MaxOpenOrders > image.MaxOrders {
		return matching.ReasonBadCommand
	}
	h := &b.head
	if len(b.byID) > 0 && (r.BaseUnitsPerLot != h.BaseUnitsPerLot || r.QuoteUnitsPerTickLot != h.QuoteUnitsPerTickLot) {
		return matching.ReasonOpenOrders
	}
	h.Listed = true
	h.BaseUnitsPerLot, h.QuoteUnitsPerTickLot = r.BaseUnitsPerLot, r.QuoteUnitsPerTickLot
	h.MaxPrice, h.MaxQty = r.MaxPrice, r.MaxQty
	h.BandUpPpm, h.BandDownPpm = r.BandUpPpm, r.BandDownPpm
	h.MaxFillsPerCommand, h.MaxOpenOrders = r.MaxFillsPerCommand, r.MaxOpenOrders
	b.emit(matching.Event{Kind: matching.EventRules})
	return matching.ReasonNone
}

func (b *Book) place(cmd *matching.Command) matching.Reason {
	if reason := b.check(cmd, nil); reason != matching.ReasonNone {
		return reason
	}
	b.enter(cmd)
	return matching.ReasonNone
}

// enter lets in an order that has been checked.
func (b *Book) enter(cmd *matching.Command) {
	o := &order{
		ID: cmd.OrderID, Member: cmd.MemberID, Side: uint8(cmd.Side), Type: uint8(cmd.Type), STP: uint8(cmd.STP),
		Price: cmd.Price, Stop: cmd.StopPrice, Leaves: cmd.Qty, Quote: cmd.QuoteQty,
		MakerFee: cmd.MakerFeePpm, TakerFee: cmd.TakerFeePpm,
	}
	if image.IsLimit(o.Type) {
		o.TIF = uint8(cmd.TIF)
	} else {
		o.Hold = cmd.Hold
	}
	if o.Leaves == 0 {
		o.AnyQty, o.Leaves = true, math.MaxInt64/b.head.BaseUnitsPerLot
	}
	if o.Quote == 0 {
		o.AnyQuote, o.Quote = true, math.MaxInt64
	}
	if o.Stop > 0 {
		b.head.Seq++
		o.Seq = b.head.Seq
		b.waits = append(b.waits, o)
		b.byID[o.ID] = o
		b.emitOrder(o, matching.StatePendingTrigger, matching.ReasonNone)
		return
	}
	b.byID[o.ID] = o
	b.work = o
	b.start()
	b.run()
}

// target finds the open order that a command is about. A command of a member
// (0: of the exchange itself) does not see the orders of others.
func (b *Book) target(id, member uint64) *order {
	o := b.byID[id]
	if o == nil || member != 0 && member != o.Member {
		return nil
	}
	return o
}

func (b *Book) cancel(cmd *matching.Command) matching.Reason {
	if matching.Phase(b.head.Phase) == matching.PhaseHalt {
		return matching.ReasonHalted
	}
	o := b.target(cmd.OrderID, cmd.MemberID)
	if o == nil {
		return matching.ReasonUnknownOrder
	}
	b.end(o, matching.StateCanceled, matching.ReasonUserCancel)
	return matching.ReasonNone
}

func (b *Book) replace(cmd *matching.Command) matching.Reason {
	old := b.byID[cmd.TargetID]
	if old != nil && old.Member != cmd.MemberID {
		old = nil
	}
	if old == nil {
		return matching.ReasonUnknownOrder
	}
	if reason := b.check(cmd, old); reason != matching.ReasonNone {
		return reason
	}
	b.end(old, matching.StateCanceled, matching.ReasonUserCancel)
	b.enter(cmd)
	return matching.ReasonNone
}

func (b *Book) reduce(cmd *matching.Command) matching.Reason {
	if matching.Phase(b.head.Phase) == matching.PhaseHalt {
		return matching.ReasonHalted
	}
	o := b.target(cmd.OrderID, cmd.MemberID)
	if o == nil {
		return matching.ReasonUnknownOrder
	}
	if !image.IsLimit(o.Type) {
		return matching.ReasonBadCommand
	}
	if cmd.Qty <= 0 || cmd.Qty >= o.Leaves {
		return matching.ReasonQtyRange
	}
	o.Leaves -= cmd.Qty
	b.emitOrder(o, b.state(o), matching.ReasonNone)
	return matching.ReasonNone
}

// before is the priority among orders of one side: the better price, then the
// smaller sequence number.
func before(a, o *order) int {
	byPrice := cmp.Compare(a.Price, o.Price)
	if a.Side == uint8(matching.Buy) {
		byPrice = -byPrice
	}
	return cmp.Or(byPrice, cmp.Compare(a.Seq, o.Seq))
}

// rest puts an order into the book, behind all others at its price.
func (b *Book) rest(o *order) {
	b.head.Seq++
	o.Seq = b.head.Seq
	s := &b.side[o.Side]
	i, _ := slices.BinarySearchFunc(*s, o, before)
	*s = slices.Insert(*s, i, o)
	b.byID[o.ID] = o
}

// end takes an order out, wherever it is, and says so.
func (b *Book) end(o *order, state matching.OrderState, reason matching.Reason) {
	b.remove(o)
	o.Leaves = 0
	b.emitOrder(o, state, reason)
}

func (b *Book) remove(o *order) {
	delete(b.byID, o.ID)
	if o == b.work {
		b.work = nil
		return
	}
	isIt := func(x *order) bool { return x == o }
	if o.Stop > 0 {
		b.waits = slices.DeleteFunc(b.waits, isIt)
		return
	}
	i, _ := slices.BinarySearchFunc(b.side[o.Side], o, before)
	b.side[o.Side] = slices.Delete(b.side[o.Side], i, i+1)
}

// state of an order that is not over.
func (b *Book) state(o *order) matching.OrderState {
	switch {
	case o.Stop > 0:
		return matching.StatePendingTrigger
	case o.CumQty > 0:
		return matching.StatePartiallyFilled
	}
	return matching.StateNew
}

// event tells the facts about an order.
func (b *Book) event(o *order, state matching.OrderState, reason matching.Reason) matching.Event {
	e := matching.Event{
		Kind: matching.EventOrder, State: state, Side: matching.Side(o.Side), Reason: reason,
		OrderID: o.ID, MemberID: o.Member, CumQty: o.CumQty, CumQuote: o.CumQuote, CumFee: o.CumFee,
	}
	if state.Final() {
		return e
	}
	if !o.AnyQty {
		e.LeavesQty = o.Leaves
	}
	switch {
	case !image.IsLimit(o.Type):
		e.HeldRemaining = o.Hold
	case matching.Side(o.Side) == matching.Buy:
		e.HeldRemaining = o.Price * o.Leaves * b.head.QuoteUnitsPerTickLot
	default:
		e.HeldRemaining = o.Leaves * b.head.BaseUnitsPerLot
	}
	return e
}

func (b *Book) emitOrder(o *order, state matching.OrderState, reason matching.Reason) {
	b.emit(b.event(o, state, reason))
}

// fits returns a×b×c and whether an int64 holds it; none is negative.
func fits(x, y, z int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi2, lo2 := bits.Mul64(lo, uint64(z))
	return int64(lo2), hi == 0 && hi2 == 0 && lo2 <= math.MaxInt64
}
