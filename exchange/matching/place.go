package matching

import (
	"math"

	"mscoin/exchange/matching/internal/image"
)

// easyFee is a power of two: two fees or'ed are below it if both are. It is less
// than a fee can be and more than fees are.
const easyFee = 1 << 19

// Apply executes one command and appends its events to out. Most commands bring
// a limit order that rests: everything that this takes is written out here, field
// by field, without calls, and so that little has to be kept at hand at a time,
// since this is where the time of a book goes. Whatever is not as it nearly always
// is (a fault, no room, a new page) goes to applyOther before anything has changed.
func (b *Book) Apply(cmd *Command, out []Event) []Event {
	if cmd == nil {
		return refuseNil(out)
	}
	if cmd.Op == OpCancel {
		return b.cancel(cmd, out)
	}
	tab, mask := b.ids.tab, len(b.ids.tab)-1
	if cmd.Op != OpPlace || cmd.Type != Limit || cmd.TIF != GTC && cmd.TIF != PostOnly ||
		uint64(cmd.Qty-1) >= uint64(b.easyQty) || uint64(cmd.Price-1) >= uint64(b.maxPrice) ||
		cmd.Side > Sell || cmd.StopPrice|cmd.QuoteQty != 0 || cmd.OrderID == 0 || cmd.STP-1 > STPDecrement-1 ||
		uint32(cmd.MakerFeePpm|cmd.TakerFeePpm) >= easyFee || b.open >= b.room || len(out) >= cap(out) || mask < 0 {
		return b.applyOther(cmd, out)
	}
	hash := hashID(cmd.OrderID)
	j, d := int(hash)&mask, 0
	for e := tab[j]; e != 0; e = tab[j] {
		if d++; (e^tagOf(hash))&^uint32(mask) == 0 || d == maxFar {
			return b.applyOther(cmd, out) // perhaps a duplicate
		}
		j = (j + 1) & mask
	}
	side := uint64(cmd.Side & 1)
	l := &b.lads[side]
	need := (cmd.Price*l.quote + l.base) * cmd.Qty
	key := cmd.Price ^ l.mask + l.shift
	if cmd.Hold < need || b.lads[side^1].best <= flip-key {
		return b.cross(cmd, need, out)
	}
	p := b.slab.cache[side][uint64(key)>>pageShift&(cacheSize-1)]
	pg := &b.slab.pages[p]
	lv := &pg.levels[key&pageMask]
	lots := lv.qty + cmd.Qty
	if pg.key != key>>pageShift || lots < 0 {
		return b.applyOther(cmd, out)
	}
	slot := b.free
	tail, head := lv.tail, lv.head
	if head == 0 {
		head = slot
	}
	lv.qty, lv.tail, lv.head = lots, slot, head
	pg.used |= 1 << (key & pageMask)
	at := p<<pageShift | uint32(key&pageMask)
	best, bestAt := l.best, l.bestAt
	if key < best {
		bestAt = at
	}
	l.best, l.bestAt = min(best, key), bestAt
	out = out[:len(out)+1]
	v := &out[len(out)-1]
	v.Kind, v.State, v.Reason, v.Phase = EventOrder, StateNew, 0, 0
	v.Side, v.OrderID, v.MemberID = cmd.Side, cmd.OrderID, cmd.MemberID
	v.CumQty, v.CumQuote, v.CumFee, v.LeavesQty, v.HeldRemaining = 0, 0, 0, cmd.Qty, need
	b.ids.tab[j] = tagOf(hash)&^uint32(mask) | slot
	all := b.links
	q := &all[slot]
	b.free = q.next
	q.next, q.prev = 0, tail
	all[tail].next = slot
	b.open++
	b.seq++
	r := &b.recs[slot]
	r.seq, r.level, r.more, r.ladder, r.side = b.seq, at, 0, uint8(side), uint8(side)
	r.id, r.member, r.leaves, r.price, r.makerFee = cmd.OrderID, cmd.MemberID, cmd.Qty, cmd.Price, cmd.MakerFeePpm
	sum := image.Rest(r.id, r.member, b.seq, r.side, r.price, r.leaves, r.makerFee)
	b.sum += sum
	r.hash = sum
	return out
}

// cross takes a limit order in which Apply found nothing wrong, except that its
// hold may be less than need, or else it would trade. A level that could overflow
// is not to be feared: where it would trade its own side has none.
func (b *Book) cross(cmd *Command, need int64, out []Event) []Event {
	if cmd.Hold < need || cmd.TIF != GTC {
		return b.applyOther(cmd, out)
	}
	return b.enter(cmd, out)
}

// levelSum returns the open lots of a level.
func (b *Book) levelSum(ladder uint8, key int64) int64 {
	p := b.lads[ladder&3].find(&b.slab, key>>pageShift)
	if p == 0 {
		return 0
	}
	return b.slab.pages[p].levels[key&pageMask].qty
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
	b.link(slot, at, ladder, key, o.Leaves)
	b.enlist(o.ID, slot)
	return slot
}
