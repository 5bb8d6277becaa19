package matching

import (
	"math"
	"math/bits"

	"mscoin/exchange/matching/internal/image"
)

// taker is an order while it matches.
type taker struct {
	id, member               uint64
	price                    int64 // 0 for a market order
	reach                    int64 // last key of the opposite ladder that it may trade with
	leaves                   int64 // lots it may still take
	quote                    int64 // quote units it may still trade for
	hold                     int64 // market: what is left of its hold
	cumQty, cumQuote, cumFee int64
	makerFee, takerFee       int32
	side, tif, stp           uint8
	market, anyQty, anyQuote bool // any…: the bound is only what can be counted
}

// run matches a taker and then the orders that its trades trigger, until
// nothing is left to do or the cap is reached. Without a taker (ok false) it
// goes on with the triggered orders.
func (b *Book) run(t *taker, ok bool, out []Event) []Event {
	b.steps = 0
	fresh := ok
	if !ok {
		t = &taker{}
	} else if b.pending {
		fresh = false
		b.setPending(false)
	}
	for {
		if ok {
			var done bool
			if out, done = b.match(t, fresh, out); !done {
				return b.suspend(t, out)
			}
		}
		slot := b.triggered()
		if slot == 0 {
			b.low, b.high = image.NoLow, image.NoHigh
			return out
		}
		if b.steps >= b.cap {
			b.setPending(true)
			out, e := push(out)
			r := &b.recs[slot]
			e.Kind, e.Side, e.OrderID, e.MemberID = EventContinue, Side(r.side), r.id, r.member
			return out
		}
		b.steps++
		b.trigger(slot, t)
		ok, fresh = true, true
	}
}

// suspend reports how far a taker has come and keeps it for OpContinue.
func (b *Book) suspend(t *taker, out []Event) []Event {
	b.working, b.work = true, *t
	b.setPending(true)
	out, e := push(out)
	b.describeTaker(t, e)
	out, e = push(out)
	e.Kind, e.Side, e.OrderID, e.MemberID = EventContinue, Side(t.side), t.id, t.member
	return out
}

// proceed executes OpContinue.
func (b *Book) proceed(cmd *Command, out []Event) []Event {
	if !b.pending {
		return refuse(cmd, ReasonBadCommand, out)
	}
	if !b.working {
		b.setPending(false)
		return b.run(nil, false, out)
	}
	t := b.work
	b.working, b.work = false, taker{}
	return b.run(&t, true, out)
}

// describeTaker fills in an event with the facts about an open taker.
func (b *Book) describeTaker(t *taker, e *Event) {
	e.Kind, e.State, e.Side = EventOrder, StateNew, Side(t.side)
	if t.cumQty > 0 {
		e.State = StatePartiallyFilled
	}
	e.OrderID, e.MemberID = t.id, t.member
	e.CumQty, e.CumQuote, e.CumFee = t.cumQty, t.cumQuote, t.cumFee
	if !t.anyQty {
		e.LeavesQty = t.leaves
	}
	e.HeldRemaining = t.hold
	if !t.market {
		e.HeldRemaining = b.held(t.side, t.price, t.leaves)
	}
}

// over reports the end of a taker.
func (t *taker) over(state OrderState, reason Reason, out []Event) []Event {
	out = next(out)
	e := &out[len(out)-1]
	e.Kind, e.State, e.Reason, e.Phase = EventOrder, state, reason, 0
	e.Side, e.OrderID, e.MemberID = Side(t.side), t.id, t.member
	e.CumQty, e.CumQuote, e.CumFee, e.LeavesQty, e.HeldRemaining = t.cumQty, t.cumQuote, t.cumFee, 0, 0
	return out
}

// match trades until the taker is over or at rest (done) or the cap is reached.
func (b *Book) match(t *taker, fresh bool, out []Event) (_ []Event, done bool) {
	l := &b.lads[t.side&1^1]
	if fresh && t.tif >= uint8(FOK) {
		if TimeInForce(t.tif) == FOK && !b.fillable(t) {
			return t.over(StateExpired, ReasonFOKUnfillable, out), true
		}
		if TimeInForce(t.tif) == PostOnly && l.best <= t.reach { // a triggered one; others have been refused
			return t.over(StateExpired, ReasonPostOnlyWouldTake, out), true
		}
	}
	for l.best <= t.reach {
		slot := b.slab.at(l.bestAt).head
		m := &b.recs[slot]
		unit := m.price * b.quote
		n := min(t.leaves, m.leaves)
		prevented := t.member == m.member && STPMode(t.stp) != STPNone
		if prevented || n == 0 || n*unit > t.quote || t.market && b.cost(t, n, unit) > t.hold {
			var why Reason
			if n, why = b.affordable(t, unit); n == 0 {
				return t.stop(why, out), true
			}
		}
		if prevented && STPMode(t.stp) == STPExpireTaker {
			return t.over(StateExpiredInMatch, ReasonSelfTrade, out), true
		}
		if b.steps >= b.cap {
			return out, false
		}
		b.steps++
		if prevented {
			if out, done = b.prevent(t, slot, n, out); done {
				return out, true
			}
			continue
		}
		out = b.trade(t, slot, min(n, m.leaves), unit, out)
		if t.leaves == 0 && !t.anyQty {
			return t.over(StateFilled, ReasonNone, out), true
		}
	}
	return b.settle(t, out), true
}

// stop ends a taker that cannot afford another lot.
func (t *taker) stop(why Reason, out []Event) []Event {
	state := StateExpired
	if why == ReasonQuoteQtyReached && t.anyQty && t.cumQty > 0 {
		state = StateFilled
	}
	return t.over(state, why, out)
}

// settle ends the matching of a taker that finds nothing more to trade with:
// it rests or expires.
func (b *Book) settle(t *taker, out []Event) []Event {
	tif := TimeInForce(t.tif)
	if t.market || tif == IOC || tif == FOK {
		return t.over(StateExpired, ReasonNoLiquidity, out)
	}
	key := keyOf(t.side, t.price)
	if t.cumQuote > math.MaxInt64-t.price*t.leaves*b.quote || b.levelSum(t.side, key) > math.MaxInt64-t.leaves {
		return t.over(StateExpired, ReasonOverflow, out)
	}
	slot := b.alloc()
	r := &b.recs[slot]
	r.id, r.member, r.leaves, r.price = t.id, t.member, t.leaves, t.price
	r.more, r.makerFee, r.ladder, r.side = 0, t.makerFee, t.side, t.side
	if t.cumQty > 0 {
		r.more = b.fills.get(fill{t.cumQty, t.cumQuote, t.cumFee})
	}
	b.settleIn(slot)
	b.enlist(t.id, slot)
	out, e := push(out)
	b.describeTaker(t, e)
	return out
}

// cost is what n lots take out of a market order's hold.
func (b *Book) cost(t *taker, n, unit int64) int64 {
	if Side(t.side) == Buy {
		return n * unit
	}
	return n * b.base
}

// affordable returns how many lots a taker may take where a lot costs unit, and
// what keeps it from one more.
func (b *Book) affordable(t *taker, unit int64) (int64, Reason) {
	n, why := t.leaves, ReasonNone
	if t.anyQty {
		why = ReasonOverflow
	}
	if t.market {
		if h := t.hold / b.cost(t, 1, unit); h < n {
			n, why = h, ReasonHoldExhausted
		}
	}
	if q := t.quote / unit; q < n || q == 0 {
		n, why = q, ReasonQuoteQtyReached
		if t.anyQuote {
			why = ReasonOverflow
		}
	}
	return n, why
}

// take reduces what a taker may still do by n lots for quote.
func (b *Book) take(t *taker, n, quote int64) {
	t.leaves -= n
	t.quote -= quote
	if t.market {
		if Side(t.side) == Buy {
			t.hold -= quote
		} else {
			t.hold -= n * b.base
		}
	}
}

// fee is rounded down, to the advantage of who pays it.
func fee(received int64, ppm int32) int64 {
	hi, lo := bits.Mul64(uint64(received), uint64(ppm))
	if hi == 0 {
		return int64(lo / image.MaxFee)
	}
	q, _ := bits.Div64(hi, lo, image.MaxFee) // hi < MaxFee, since received < 1<<63
	return int64(q)
}

// trade exchanges n lots between a taker and the maker in a slot.
func (b *Book) trade(t *taker, slot uint32, n, unit int64, out []Event) []Event {
	m := &b.recs[slot]
	price, quote, base := m.price, n*unit, n*b.base
	b.trades++
	b.last = price
	b.low, b.high = min(b.low, price), max(b.high, price)
	makerGets := quote
	if Side(m.side) == Buy {
		makerGets = base
	}
	takerGets := quote ^ base ^ makerGets
	f := fill{n, quote, fee(makerGets, m.makerFee)}
	takerFee := fee(takerGets, t.takerFee)
	t.cumQty += n
	t.cumQuote += quote
	t.cumFee += takerFee
	b.take(t, n, quote)

	k := len(out)
	if cap(out)-k < 2 {
		out = grow(out)
	}
	out = out[:k+2]
	e, v := &out[k], &out[k+1]
	e.Kind, e.State, e.Reason, e.Phase = EventTrade, 0, 0, 0
	e.Side, e.OrderID, e.MemberID = Side(t.side), t.id, b.trades
	e.CumQty, e.CumQuote, e.CumFee, e.LeavesQty, e.HeldRemaining = n, quote, f.fee, price, takerFee // see Event.Trade

	if m.more != 0 {
		old := &b.fills.all[m.more]
		f.qty, f.quote, f.fee = f.qty+old.qty, f.quote+old.quote, f.fee+old.fee
	}
	v.Kind, v.State, v.Reason, v.Phase = EventOrder, StateFilled, 0, 0
	v.Side, v.OrderID, v.MemberID = Side(m.side), m.id, m.member
	v.CumQty, v.CumQuote, v.CumFee, v.LeavesQty, v.HeldRemaining = f.qty, f.quote, f.fee, 0, 0
	if n == m.leaves {
		if m.more != 0 {
			b.fills.put(m.more)
		}
		b.sum -= m.hash
		b.remove(m, slot, b.ids.at(m.id, slot))
		return out
	}
	v.State, v.LeavesQty = StatePartiallyFilled, m.leaves-n
	v.HeldRemaining = b.held(m.side, price, m.leaves-n)
	if m.more == 0 {
		m.more = b.fills.get(f)
	} else {
		b.fills.all[m.more] = f
	}
	b.lessen(m, n)
	return out
}

// prevent keeps a taker from trading with an order of the same member; n is
// what it could take. It returns true when that ends the taker.
func (b *Book) prevent(t *taker, slot uint32, n int64, out []Event) ([]Event, bool) {
	m := &b.recs[slot]
	j := b.ids.at(m.id, slot)
	switch STPMode(t.stp) {
	case STPExpireMaker:
		return b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out), false
	case STPExpireBoth:
		out = b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out)
		return t.over(StateExpiredInMatch, ReasonSelfTrade, out), true
	case STPDecrement:
		both := min(n, m.leaves)
		b.take(t, both, both*m.price*b.quote)
		if both == m.leaves {
			out = b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out)
		} else {
			b.lessen(m, both)
			var e *Event
			out, e = push(out)
			b.describe(slot, e)
			e.Reason = ReasonSelfTrade
		}
		if both == n {
			return t.over(StateExpiredInMatch, ReasonSelfTrade, out), true
		}
	case STPNone, STPExpireTaker:
	}
	return out, false
}

// fillable reports whether a limit order can trade whole: nothing of it may
// remain, and nothing of it may meet an order of its own member (unless that
// one gives way).
func (b *Book) fillable(t *taker) bool {
	left, quote := t.leaves, t.quote
	l := &b.lads[t.side&1^1]
	for p := l.first; p != 0; p = b.slab.pages[p].next {
		pg := &b.slab.pages[p]
		for used := pg.used; used != 0; used &= used - 1 {
			at := bits.TrailingZeros64(used)
			if pg.key<<pageShift|int64(at) > t.reach {
				return false
			}
			lv := &pg.levels[at]
			unit := b.recs[lv.head].price * b.quote
			n, met := min(left, lv.qty), false
			if STPMode(t.stp) != STPNone {
				n, met = b.others(t, lv.head, left)
			}
			if n > quote/unit {
				return false
			}
			left, quote = left-n, quote-n*unit
			if left == 0 {
				return true
			}
			if met {
				return false
			}
		}
	}
	return false
}

// others returns how many lots of a level, up to most, a taker can trade with
// orders of others, and whether it then meets one of its own that stops it.
func (b *Book) others(t *taker, slot uint32, most int64) (n int64, met bool) {
	for ; slot != 0 && n < most; slot = b.links[slot].next {
		m := &b.recs[slot]
		if m.member != t.member {
			n += min(m.leaves, most-n)
		} else if STPMode(t.stp) != STPExpireMaker {
			return n, true
		}
	}
	return n, false
}

// triggered returns the waiting order to start next, 0 if no price is reached:
// those that wait for a fall first, then those that wait for a rise, each the
// nearest stop price first, the oldest first at one stop price.
func (b *Book) triggered() uint32 {
	if b.lads[falling].first|b.lads[rising].first == 0 {
		return 0
	}
	for i := uint8(falling); i <= rising; i++ {
		l := &b.lads[i]
		price := b.low
		if i == rising {
			price = b.high
		}
		if l.first != 0 && b.high != image.NoHigh && l.best <= keyOf(i, price) {
			return b.slab.at(l.bestAt).head
		}
	}
	return 0
}

// trigger takes an order out of its wait and makes it the taker.
func (b *Book) trigger(slot uint32, t *taker) {
	r := &b.recs[slot]
	o := b.waits.all[r.more]
	b.sum -= r.hash
	b.waits.put(r.more)
	b.remove(r, slot, b.ids.at(r.id, slot))
	*t = takerOf(&o)
}
