package matching

import (
	"math"

	"mscoin/exchange/matching/internal/image"
)

// Book is the order book of one symbol; it implements Engine. It is not safe
// for concurrent use: one goroutine owns it.
//
// All its storage is slabs of plain values without pointers, addressed by
// 32-bit slots and recycled last in, first out, so that what is used next is
// what is still in the cache. In steady state a command allocates nothing.
type Book struct {
	recs  []record
	links []links // of the order in the same slot of recs
	free  uint32  // first free slot of recs, chained through links.next
	ids   index
	lads  [4]ladder

	base, quote      int64 // rules.BaseUnitsPerLot, rules.QuoteUnitsPerTickLot
	maxPrice, maxQty int64
	maxOpen          int
	closed           Reason // why no order can be placed now; ReasonNone if one can
	easyQty          int64  // a limit order of no more lots needs no closer look; 0: each one does
	room             int    // with fewer open orders, one more needs no closer look
	wide             bool   // an order within the ranges may overflow
	band             bool
	calm             bool  // a cancel needs no closer look
	cap              int32 // most steps of one Apply

	open int // orders in the book and in wait
	sum  uint64

	phase   Phase
	listed  bool
	pending bool
	working bool // work is to be continued
	steps   int32
	rules   Rules
	last    int64
	trades  uint64
	seq     uint64
	low     int64 // range of trade prices that stop orders have not seen
	high    int64
	work    taker
	fills   fillSlab
	waits   waitSlab
	slab    pageSlab
}

var _ Engine = (*Book)(nil)

// record is an open order: one cache line. Its neighbours in the queue are in
// links, which are small enough to stay in a near cache when the records do not.
type record struct {
	id, member, seq uint64
	hash            uint64 // what the order adds to Book.sum
	leaves          int64
	price           int64  // in wait: the stop price
	level           uint32 // reference; see page
	more            uint32 // slot in fills, or in waits; 0: none, and that only of an order at rest
	makerFee        int32
	ladder          uint8
	side            uint8
	_               [2]byte
}

type links struct{ next, prev uint32 }

// none is record.more of slot 0, which is no order.
const none = math.MaxUint32

// Ladders of a book. The first two are numbered like the sides.
const (
	falling = 2 // orders that wait for the price to fall, highest stop first
	rising  = 3 // orders that wait for it to rise, lowest stop first
)

// flip maps prices to keys on the ladders on which a higher price is better.
const flip = image.MaxPrice

// keyOf maps a price to a key of a ladder, or a key to its price.
func keyOf(ladder uint8, price int64) int64 {
	m := int64(ladder&1) - 1 // all ones where a higher price is better
	return (price ^ m) - m + flip&m
}

// Option changes how a Book is made.
type Option func(*Book)

// WithCapacity makes room for n open orders in advance, and for as many prices
// and partly filled orders as usually go with them, so that the book hardly ever
// grows while it holds no more.
func WithCapacity(n int) Option {
	return func(b *Book) {
		n = min(max(n, 0), image.MaxOrders)
		b.recs = append(make([]record, 0, n+1), record{})
		b.links = append(make([]links, 0, n+1), links{})
		b.ids.init(n)
		b.slab.init(min(n/32, 256) + minPages)
		b.fills.init(min(n, 1024) + minFills)
	}
}

// New returns an empty book without rules.
func New(options ...Option) *Book {
	b := &Book{
		closed: ReasonNoRules, phase: PhaseTrading, low: image.NoLow, high: image.NoHigh,
		recs: make([]record, 1, 16), links: make([]links, 1, 16),
	}
	b.ids.init(0)
	b.slab.init(minPages)
	b.fills.init(minFills)
	b.waits.init()
	for i := range b.lads {
		l := &b.lads[i]
		l.best, l.n = noKey, uint32(i)
		l.mask = int64(i&1) - 1
		l.shift = flip&l.mask - l.mask
	}
	for _, o := range options {
		o(b)
	}
	b.recs[0].more = none
	b.derive()
	return b
}

// grow makes room for at least two more events.
//
//go:noinline
func grow(out []Event) []Event { return append(out, Event{}, Event{})[:len(out)] }

// next returns out with one more event, which holds whatever the buffer held:
// the caller writes every field.
func next(out []Event) []Event {
	if len(out) == cap(out) {
		out = grow(out)
	}
	return out[:len(out)+1]
}

// push is next with an empty event, and returns where it is.
func push(out []Event) ([]Event, *Event) {
	out = next(out)
	e := &out[len(out)-1]
	*e = Event{}
	return out, e
}

// applyOther executes any command but a cancel.
func (b *Book) applyOther(cmd *Command, out []Event) []Event {
	if b.pending && cmd.Op != OpContinue {
		return refuse(cmd, ReasonContinuePending, out)
	}
	switch cmd.Op {
	case OpPlace:
		return b.placeOther(cmd, out)
	case OpReduce:
		return b.reduce(cmd, out)
	case OpReplace:
		return b.replace(cmd, out)
	case OpSetRules:
		return b.setRules(cmd, out)
	case OpSetPhase:
		return b.setPhase(cmd, out)
	case OpContinue:
		return b.proceed(cmd, out)
	case OpNone, OpCancel:
	}
	return refuse(cmd, ReasonBadCommand, out)
}

// refuseNil is apart from Apply because of the room for a Command that it takes.
func refuseNil(out []Event) []Event { return refuse(&Command{}, ReasonBadCommand, out) }

// refuse reports that a command has been refused.
func refuse(cmd *Command, reason Reason, out []Event) []Event {
	out, e := push(out)
	e.Kind, e.Reason, e.OrderID, e.MemberID = EventReject, reason, cmd.OrderID, cmd.MemberID
	if cmd.Op == OpPlace || cmd.Op == OpReplace {
		e.State = StateRejected
	}
	return out
}

func (b *Book) setRules(cmd *Command, out []Event) []Event {
	r := cmd.Rules
	if r == nil || r.BaseUnitsPerLot <= 0 || r.QuoteUnitsPerTickLot <= 0 ||
		r.MaxPrice <= 0 || r.MaxPrice > image.MaxPrice || r.MaxQty <= 0 || r.MaxQty > image.MaxQty ||
		r.BandUpPpm < 0 || r.BandDownPpm < 0 || r.MaxFillsPerCommand < 0 ||
		r.MaxOpenOrders < 0 || r.MaxOpenOrders > image.MaxOrders {
		return refuse(cmd, ReasonBadCommand, out)
	}
	if b.open > 0 && (r.BaseUnitsPerLot != b.base || r.QuoteUnitsPerTickLot != b.quote) {
		return refuse(cmd, ReasonOpenOrders, out)
	}
	b.rules, b.listed = *r, true
	b.derive()
	out, e := push(out)
	e.Kind = EventRules
	return out
}

// derive sets what follows from rules and phase.
func (b *Book) derive() {
	r := &b.rules
	b.base, b.quote, b.maxPrice, b.maxQty = r.BaseUnitsPerLot, r.QuoteUnitsPerTickLot, r.MaxPrice, r.MaxQty
	_, ok1 := product(r.MaxQty, r.BaseUnitsPerLot, 1)
	_, ok2 := product(r.MaxPrice, r.MaxQty, r.QuoteUnitsPerTickLot)
	b.wide = !ok1 || !ok2
	b.band = r.BandUpPpm|r.BandDownPpm != 0
	b.easyQty = r.MaxQty
	if b.listed {
		b.easyQty = min(r.MaxQty, math.MaxInt64/r.BaseUnitsPerLot, math.MaxInt64/r.MaxPrice/r.QuoteUnitsPerTickLot)
	}
	b.cap = r.MaxFillsPerCommand
	if b.cap == 0 {
		b.cap = 1<<31 - 1
	}
	b.maxOpen = int(r.MaxOpenOrders)
	if b.maxOpen == 0 {
		b.maxOpen = image.MaxOrders
	}
	switch {
	case !b.listed:
		b.closed = ReasonNoRules
	case b.phase == PhaseHalt:
		b.closed = ReasonHalted
	case b.phase == PhaseCancelOnly:
		b.closed = ReasonCancelOnly
	default:
		b.closed = ReasonNone
	}
	if b.closed != ReasonNone || b.band || b.pending {
		b.easyQty = 0
	}
	b.lads[Buy].quote, b.lads[Sell].base = b.quote, b.base
	b.calm = b.phase != PhaseHalt && !b.pending
	b.measure()
}

// setPending notes whether a continuation is due.
func (b *Book) setPending(pending bool) {
	b.pending = pending
	b.derive()
}

// measure sets room: the rules allow another order, the index takes it, and
// there is a free slot, since all but slot 0 are either open or free.
func (b *Book) measure() { b.room = min(b.maxOpen, b.ids.most, len(b.recs)-1) }

func (b *Book) setPhase(cmd *Command, out []Event) []Event {
	if cmd.Phase < PhaseTrading || cmd.Phase > PhaseHalt {
		return refuse(cmd, ReasonBadCommand, out)
	}
	b.phase = cmd.Phase
	b.derive()
	out, e := push(out)
	e.Kind, e.Phase = EventPhase, cmd.Phase
	return out
}

// target finds the open order that a command is about. A command of a member
// (0: of the exchange itself) does not see the orders of others.
func (b *Book) target(id, member uint64) (slot uint32, j int) {
	slot, j = b.lookup(id)
	if slot != 0 && member != 0 && b.recs[slot].member != member {
		slot = 0
	}
	return slot, j
}

// cancel is the second hot path; see Apply. Here as there, what is not as
// it nearly always is goes elsewhere before anything has changed.
func (b *Book) cancel(cmd *Command, out []Event) []Event {
	id, n, tab := cmd.OrderID, len(out), b.ids.tab
	mask := len(tab) - 1
	if !b.calm || n >= cap(out) || mask < 0 {
		return b.cancelOther(cmd, out)
	}
	hash := hashID(id)
	tag, j := tagOf(hash), int(hash)&mask
	e := tab[j]
	for (e^tag)&^uint32(mask) != 0 && e != 0 {
		j = (j + 1) & mask
		e = tab[j]
	}
	slot := e & uint32(mask)
	r := &b.recs[slot]
	member := r.member
	if r.id != id || r.more != 0 || cmd.MemberID != 0 && cmd.MemberID != member {
		return b.cancelOther(cmd, out)
	}
	out = out[:n+1]
	v := &out[n]
	v.Kind, v.State, v.Reason, v.Phase = EventOrder, StateCanceled, ReasonUserCancel, 0
	v.Side, v.OrderID, v.MemberID = Side(r.side), id, member
	v.CumQty, v.CumQuote, v.CumFee, v.LeavesQty, v.HeldRemaining = 0, 0, 0, 0, 0
	b.sum -= r.hash
	b.remove(r, slot, j)
	return out
}

// cancelOther executes any cancel.
func (b *Book) cancelOther(cmd *Command, out []Event) []Event {
	if b.pending {
		return refuse(cmd, ReasonContinuePending, out)
	}
	if b.phase == PhaseHalt {
		return refuse(cmd, ReasonHalted, out)
	}
	slot, j := b.target(cmd.OrderID, cmd.MemberID)
	if slot == 0 {
		return refuse(cmd, ReasonUnknownOrder, out)
	}
	return b.end(slot, j, StateCanceled, ReasonUserCancel, out)
}

// end takes an open order out of the book and reports its final state.
func (b *Book) end(slot uint32, j int, state OrderState, reason Reason, out []Event) []Event {
	r := &b.recs[slot]
	out, e := push(out)
	e.Kind, e.State, e.Side, e.Reason = EventOrder, state, Side(r.side), reason
	e.OrderID, e.MemberID = r.id, r.member
	b.sum -= r.hash
	if r.ladder >= falling {
		b.waits.put(r.more)
	} else if r.more != 0 {
		f := &b.fills.all[r.more]
		e.CumQty, e.CumQuote, e.CumFee = f.qty, f.quote, f.fee
		b.fills.put(r.more)
	}
	b.remove(r, slot, j)
	return out
}

// reduce takes lots off an order, which keeps its place.
func (b *Book) reduce(cmd *Command, out []Event) []Event {
	if b.phase == PhaseHalt {
		return refuse(cmd, ReasonHalted, out)
	}
	slot, _ := b.target(cmd.OrderID, cmd.MemberID)
	if slot == 0 {
		return refuse(cmd, ReasonUnknownOrder, out)
	}
	r := &b.recs[slot]
	if r.ladder >= falling && !image.IsLimit(b.waits.all[r.more].Type) {
		return refuse(cmd, ReasonBadCommand, out)
	}
	if cmd.Qty <= 0 || cmd.Qty >= r.leaves {
		return refuse(cmd, ReasonQtyRange, out)
	}
	b.lessen(r, cmd.Qty)
	out, e := push(out)
	b.describe(slot, e)
	return out
}

// lessen takes lots off an order that keeps some.
func (b *Book) lessen(r *record, qty int64) {
	r.leaves -= qty
	if r.ladder >= falling {
		b.waits.all[r.more].Leaves -= qty
	}
	b.slab.at(r.level).qty -= qty
	b.rehash(r)
}

// replace cancels one order and places another, or does nothing.
func (b *Book) replace(cmd *Command, out []Event) []Event {
	slot, j := b.lookup(cmd.TargetID)
	if slot == 0 || b.recs[slot].member != cmd.MemberID {
		return refuse(cmd, ReasonUnknownOrder, out)
	}
	if reason := b.check(cmd, slot); reason != ReasonNone {
		return refuse(cmd, reason, out)
	}
	out = b.end(slot, j, StateCanceled, ReasonUserCancel, out)
	return b.enter(cmd, out)
}

// describe fills in an event with the facts about an open order.
func (b *Book) describe(slot uint32, e *Event) {
	r := &b.recs[slot]
	e.Kind, e.State, e.Side = EventOrder, StateNew, Side(r.side)
	e.OrderID, e.MemberID, e.LeavesQty = r.id, r.member, r.leaves
	price := r.price
	if r.ladder >= falling {
		e.State = StatePendingTrigger
		w := &b.waits.all[r.more]
		if w.AnyQty {
			e.LeavesQty = 0
		}
		if !image.IsLimit(w.Type) {
			e.HeldRemaining = w.Hold
			return
		}
		price = w.Price
	} else if r.more != 0 {
		f := &b.fills.all[r.more]
		e.State, e.CumQty, e.CumQuote, e.CumFee = StatePartiallyFilled, f.qty, f.quote, f.fee
	}
	e.HeldRemaining = b.held(r.side, price, r.leaves)
}

// held is what of its hold a limit order needs for its open lots.
func (b *Book) held(side uint8, price, leaves int64) int64 {
	unit := price * b.quote
	if Side(side) == Sell {
		unit = b.base
	}
	return unit * leaves
}

// rehash brings the hash of an order up to date, and with it the book's.
func (b *Book) rehash(r *record) {
	var h uint64
	if r.ladder >= falling {
		h = b.waits.all[r.more].Full()
	} else {
		h = image.Rest(r.id, r.member, r.seq, r.side, r.price, r.leaves, r.makerFee)
		if r.more != 0 {
			f := &b.fills.all[r.more]
			h += image.Filled(r.id, f.qty, f.quote, f.fee)
		}
	}
	b.sum += h - r.hash
	r.hash = h
}
