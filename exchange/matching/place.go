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
	if !sane(cmd) || cmd.TIF-1 > PostOnly-1 || cmd.StopPrice|cmd.QuoteQty != 0 {
		return refuse(cmd, ReasonBadCommand, out)
	}
	hash := hashID(cmd.OrderID)
	slot, j := b.lookup(cmd.OrderID, hash)
	if slot != 0 {
		return refuse(cmd, ReasonDuplicateOrder, out)
	}
	if uint64(cmd.Price-1) >= uint64(b.maxPrice) {
		return refuse(cmd, ReasonPriceRange, out)
	}
	if uint64(cmd.Qty-1) >= uint64(b.maxQty) {
		return refuse(cmd, ReasonQtyRange, out)
	}
	if b.wide && b.overflows(cmd) {
		return refuse(cmd, ReasonOverflow, out)
	}
	need := b.held(uint8(cmd.Side), cmd.Price, cmd.Qty)
	if cmd.Hold < need {
		return refuse(cmd, ReasonHoldTooSmall, out)
	}
	if b.band && b.outOfBand(cmd.Price) {
		return refuse(cmd, ReasonPriceBand, out)
	}
	if b.open >= b.maxOpen && stays(cmd) {
		return refuse(cmd, ReasonBookFull, out)
	}
	m := int64(cmd.Side) - 1 // see keyOf
	if crosses := b.lads[cmd.Side&1^1].best <= cmd.Price^^m-^m+flip&^m; crosses && cmd.TIF == PostOnly {
		return refuse(cmd, ReasonPostOnlyWouldTake, out)
	} else if crosses || cmd.TIF == IOC || cmd.TIF == FOK {
		return b.enter(cmd, out)
	}
	return b.rest(cmd, j, hash, need, out)
}

// rest puts a new order into the book that has been checked and crosses
// nothing; j is the place that lookup has found for it in the index. Everything
// is written out here, field by field and without calls: this is where the time
// of a book goes, and a literal would be built elsewhere and copied.
func (b *Book) rest(cmd *Command, j, hash uint32, need int64, out []Event) []Event {
	side := uint8(cmd.Side) & 1
	l := &b.lads[side]
	key := keyOf(side, cmd.Price)
	p := l.cache[uint64(key)>>pageShift&(cacheSize-1)]
	pages := b.slab.pages
	if int(p) >= len(pages) || pages[p].key != key>>pageShift {
		p = l.page(&b.slab, key>>pageShift)
		pages = b.slab.pages
	}
	at := p<<pageShift | uint32(key&pageMask)
	lv := &b.slab.levels[at]
	if lv.qty > math.MaxInt64-cmd.Qty { // so the level was there already
		return refuse(cmd, ReasonOverflow, out)
	}
	slot := b.free
	if slot == 0 {
		slot = b.bump()
	}
	all := b.links
	n := &all[slot]
	b.free = n.next
	tail, head := lv.tail, lv.head
	n.next, n.prev = 0, tail
	all[tail].next = slot
	if head == 0 {
		head = slot
	}
	lv.qty += cmd.Qty
	lv.tail, lv.head = slot, head
	pages[p].used |= 1 << (at & pageMask)
	if key < l.best {
		l.best, l.bestAt = key, at
	}
	b.open++
	b.seq++
	r := &b.recs[slot]
	r.id, r.member, r.seq, r.leaves, r.price = cmd.OrderID, cmd.MemberID, b.seq, cmd.Qty, cmd.Price
	r.level, r.more, r.makerFee, r.ladder, r.side = at, 0, cmd.MakerFeePpm, side, side
	b.sum += image.Rest(cmd.OrderID, cmd.MemberID, b.seq, side, cmd.Price, cmd.Qty, cmd.MakerFeePpm)
	b.enlist(j, hash, slot)
	out, e := push(out)
	e.Kind, e.State, e.Side = EventOrder, StateNew, cmd.Side
	e.OrderID, e.MemberID, e.LeavesQty, e.HeldRemaining = cmd.OrderID, cmd.MemberID, cmd.Qty, need
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

// settleIn puts a filled-in record into the book; the caller adds it to the
// index.
func (b *Book) settleIn(slot uint32) {
	r := &b.recs[slot]
	b.seq++
	r.seq = b.seq
	b.sum += restHash(r)
	key := keyOf(r.ladder, r.price)
	r.level = b.level(r.ladder, key)
	b.link(slot, r.level, r.ladder, key, r.leaves)
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
	key := keyOf(ladder, o.Stop)
	at := b.level(ladder, key)
	b.recs[slot] = record{
		id: o.ID, member: o.Member, seq: o.Seq, leaves: o.Leaves, price: o.Stop,
		level: at, more: b.waits.get(o), makerFee: o.MakerFee, ladder: ladder, side: o.Side,
	}
	b.sum += o.Full()
	b.link(slot, at, ladder, key, 0)
	hash := hashID(o.ID)
	b.enlist(hash>>b.ids.shift, hash, slot)
	return slot
}
