package matching

import (
	"math"

	"mscoin/exchange/matching/internal/image"
)

// placeLimit is the hot path: most commands bring a limit order that rests.
// Whatever is not as it nearly always is, a fault or a price to trade at, goes to
// placeOther, which looks closer. Everything is written out here, field by
// field and without calls: this is where the time of a book goes, and a literal
// would be built elsewhere and copied.
func (b *Book) placeLimit(cmd *Command, out []Event) []Event {
	side, price, qty := uint8(cmd.Side), cmd.Price, cmd.Qty
	if uint64(qty-1) >= uint64(b.easyQty) || uint64(price-1) >= uint64(b.maxPrice) ||
		cmd.TIF != GTC || cmd.StopPrice|cmd.QuoteQty != 0 || b.open >= b.maxOpen || !sane(cmd) {
		return b.placeOther(cmd, out)
	}
	m := int64(side) - 1                        // all ones for a buy; see keyOf
	need := (price*b.quote&m | b.base&^m) * qty // see held
	key := price ^ m - m + flip&m
	hash := hashID(cmd.OrderID)
	found, j := b.lookup(cmd.OrderID, hash)
	if cmd.Hold < need || found != 0 {
		return b.placeOther(cmd, out)
	}
	if b.lads[side&1^1].best <= flip-key {
		if b.levelSum(side, key) > math.MaxInt64-qty {
			return refuse(cmd, ReasonOverflow, out)
		}
		return b.enter(cmd, out)
	}
	l := &b.lads[side&1]
	p := l.cache[uint64(key)>>pageShift&(cacheSize-1)]
	pages := b.slab.pages
	if int(p) >= len(pages) || pages[p].key != key>>pageShift {
		p = l.page(&b.slab, key>>pageShift)
		pages = b.slab.pages
	}
	at := p<<pageShift | uint32(key&pageMask)
	lv := &b.slab.levels[at]
	if lv.qty > math.MaxInt64-qty { // so the level was there already
		return b.placeOther(cmd, out)
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
	lv.qty += qty
	lv.tail, lv.head = slot, head
	pages[p].used |= 1 << (at & pageMask)
	if key < l.best {
		l.best, l.bestAt = key, at
	}
	b.open++
	b.seq++
	r := &b.recs[slot]
	sum := image.Rest(cmd.OrderID, cmd.MemberID, b.seq, side, price, qty, cmd.MakerFeePpm)
	b.sum += sum
	r.id, r.member, r.seq, r.hash, r.leaves, r.price = cmd.OrderID, cmd.MemberID, b.seq, sum, qty, price
	r.level, r.more, r.makerFee, r.ladder, r.side = at, 0, cmd.MakerFeePpm, side, side
	x := &b.ids
	x.tab[j] = x.tag(hash) | slot
	x.used++
	if dist := (j - x.home(hash)) & x.mask; dist >= maxFar {
		x.far = true
	}
	if x.used > x.most {
		b.growIndex()
	}
	out = next(out)
	e := &out[len(out)-1]
	e.Kind, e.State, e.Reason, e.Phase = EventOrder, StateNew, 0, 0
	e.Side, e.OrderID, e.MemberID = cmd.Side, cmd.OrderID, cmd.MemberID
	e.CumQty, e.CumQuote, e.CumFee, e.LeavesQty, e.HeldRemaining = 0, 0, 0, qty, need
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
	r.seq, r.hash = b.seq, 0
	b.rehash(r)
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
	b.rehash(&b.recs[slot])
	b.link(slot, at, ladder, key, 0)
	hash := hashID(o.ID)
	b.enlist(b.ids.home(hash), hash, slot)
	return slot
}
