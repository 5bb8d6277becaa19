package matching

import (
	"math"

	"mscoin/exchange/matching/internal/image"
)

// placeLimit is the hot path: most commands bring a limit order that rests.
// It lets in exactly what check lets in.
func (b *Book) placeLimit(cmd *Command, out []Event) []Event {
	if b.closed != ReasonNone {
		return refuse(cmd, b.closed, out)
	}
	if !sane(cmd) || cmd.StopPrice != 0 || cmd.TIF-1 > PostOnly-1 || cmd.QuoteQty != 0 {
		return refuse(cmd, ReasonBadCommand, out)
	}
	hash := hashID(cmd.OrderID)
	slot, j := b.lookup(cmd.OrderID, hash)
	if slot != 0 {
		return refuse(cmd, ReasonDuplicateOrder, out)
	}
	if reason := b.checkLimit(cmd); reason != ReasonNone {
		return refuse(cmd, reason, out)
	}
	if b.band && b.outOfBand(cmd.Price) {
		return refuse(cmd, ReasonPriceBand, out)
	}
	if b.open >= b.maxOpen && stays(cmd) {
		return refuse(cmd, ReasonBookFull, out)
	}
	side := uint8(cmd.Side)
	if b.lads[side^1].best <= keyOf(side^1, cmd.Price) || cmd.TIF == IOC || cmd.TIF == FOK {
		if cmd.TIF == PostOnly {
			return refuse(cmd, ReasonPostOnlyWouldTake, out)
		}
		return b.enter(cmd, out)
	}
	key := keyOf(side, cmd.Price)
	at := b.level(side, key)
	if b.slab.levels[at].qty > math.MaxInt64-cmd.Qty { // so the level was there already
		return refuse(cmd, ReasonOverflow, out)
	}
	slot = b.alloc()
	r := &b.recs[slot]
	r.id, r.member, r.leaves, r.price = cmd.OrderID, cmd.MemberID, cmd.Qty, cmd.Price
	r.more, r.makerFee, r.ladder, r.side = 0, cmd.MakerFeePpm, side, side
	b.rest(slot, at, key)
	b.enlist(j, hash, slot)
	out, e := push(out)
	e.Kind, e.State, e.Side = EventOrder, StateNew, cmd.Side
	e.OrderID, e.MemberID, e.LeavesQty = cmd.OrderID, cmd.MemberID, cmd.Qty
	e.HeldRemaining = b.held(side, cmd.Price, cmd.Qty)
	return out
}

// levelSum returns the open lots of a level.
func (b *Book) levelSum(ladder uint8, key int64) int64 {
	p := b.lads[ladder&3].find(&b.slab, key>>pageShift)
	if p == 0 {
		return 0
	}
	return b.slab.levels[p<<pageShift|uint32(key&pageMask)].qty
}

// rest puts a filled-in record into the book; the caller adds it to the index.
func (b *Book) rest(slot, at uint32, key int64) {
	r := &b.recs[slot]
	b.seq++
	r.seq = b.seq
	b.open++
	b.sum += restHash(r)
	b.slab.levels[at].qty += r.leaves
	b.link(slot, at, key)
}

// placeOther lets in an order that is not a plain limit order.
func (b *Book) placeOther(cmd *Command, out []Event) []Event {
	if reason := b.check(cmd, 0); reason != ReasonNone {
		return refuse(cmd, reason, out)
	}
	return b.enter(cmd, out)
}

// enter takes an order that has been checked.
func (b *Book) enter(cmd *Command, out []Event) []Event {
	if cmd.Type >= StopLoss {
		return b.wait(cmd, out)
	}
	t := taker{
		id: cmd.OrderID, member: cmd.MemberID, price: cmd.Price, leaves: cmd.Qty, quote: cmd.QuoteQty,
		hold: cmd.Hold, makerFee: cmd.MakerFeePpm, takerFee: cmd.TakerFeePpm,
		side: uint8(cmd.Side), tif: uint8(cmd.TIF), stp: uint8(cmd.STP), market: cmd.Type == Market,
	}
	b.aim(&t)
	return b.run(&t, true, out)
}

// aim sets what follows from the other fields of a new taker.
func (b *Book) aim(t *taker) {
	t.reach = flip
	if t.market {
		t.tif = 0
	} else {
		t.reach, t.hold = keyOf(t.side^1, t.price), 0
	}
	if t.leaves == 0 {
		t.anyQty, t.leaves = true, math.MaxInt64/b.base
	}
	if t.quote == 0 {
		t.anyQuote, t.quote = true, math.MaxInt64
	}
}

// wait puts a stop order where it waits for its price.
func (b *Book) wait(cmd *Command, out []Event) []Event {
	o := image.Order{
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
		o.AnyQty, o.Leaves = true, math.MaxInt64/b.base
	}
	if o.Quote == 0 {
		o.AnyQuote, o.Quote = true, math.MaxInt64
	}
	b.seq++
	o.Seq = b.seq
	slot := b.hang(&o)
	out, e := push(out)
	b.describe(slot, e)
	return out
}

// hang puts a waiting order on its ladder and into the index.
func (b *Book) hang(o *image.Order) uint32 {
	slot := b.alloc()
	ladder := waitLadder(OrderType(o.Type), Side(o.Side))
	b.recs[slot] = record{
		id: o.ID, member: o.Member, seq: o.Seq, leaves: o.Leaves, price: o.Stop,
		more: b.waits.get(o), makerFee: o.MakerFee, ladder: ladder, side: o.Side,
	}
	b.open++
	b.sum += o.Full()
	key := keyOf(ladder, o.Stop)
	b.link(slot, b.level(ladder, key), key)
	hash := hashID(o.ID)
	b.enlist(hash>>b.ids.shift, hash, slot)
	return slot
}
