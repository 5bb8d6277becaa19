package naive

import (
	"math"
	"math/bits"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
)

// start looks at an order once, as it begins to match: it may be over already.
func (b *Book) start() {
	o := b.work
	if !image.IsLimit(o.Type) {
		return
	}
	switch matching.TimeInForce(o.TIF) {
	case matching.PostOnly:
		if b.wouldTake(matching.Side(o.Side), o.Price, nil) { // a triggered one; others have been rejected
			b.end(o, matching.StateExpired, matching.ReasonPostOnlyWouldTake)
		}
	case matching.FOK:
		if !b.fillable(o) {
			b.end(o, matching.StateExpired, matching.ReasonFOKUnfillable)
		}
	case matching.GTC, matching.IOC:
	}
}

// fillable reports whether an order can trade whole.
func (b *Book) fillable(o *order) bool {
	left, quote := o.Leaves, o.Quote
	for _, m := range b.side[o.Side^1] {
		if !crosses(matching.Side(o.Side), o.Price, m.Price) {
			return false
		}
		if own(o, m) {
			if matching.STPMode(o.STP) == matching.STPExpireMaker {
				continue
			}
			return false
		}
		n := min(left, m.Leaves)
		q := m.Price * n * b.head.QuoteUnitsPerTickLot
		if q > quote {
			return false
		}
		left, quote = left-n, quote-q
		if left == 0 {
			return true
		}
	}
	return false
}

// own reports whether self-trade prevention keeps two orders from trading.
func own(taker, maker *order) bool {
	return matching.STPMode(taker.STP) != matching.STPNone && taker.Member == maker.Member
}

// run matches the order at work, and then the orders that its trades trigger,
// until nothing is left to do or the cap is reached.
func (b *Book) run() {
	for {
		for b.work != nil {
			if !b.step() {
				b.emitOrder(b.work, b.state(b.work), matching.ReasonNone)
				b.suspend(b.work)
				return
			}
		}
		o := b.triggered()
		if o == nil {
			b.head.Low, b.head.High = image.NoLow, image.NoHigh
			return
		}
		if !b.mayStep() {
			b.suspend(o)
			return
		}
		b.remove(o)
		if image.IsLimit(o.Type) {
			o.Type = uint8(matching.Limit)
		} else {
			o.Type = uint8(matching.Market)
		}
		o.Stop, o.Seq = 0, 0
		b.work = o
		b.byID[o.ID] = o
		b.start()
	}
}

func (b *Book) mayStep() bool {
	if b.head.MaxFillsPerCommand > 0 && b.steps >= b.head.MaxFillsPerCommand {
		return false
	}
	b.steps++
	return true
}

func (b *Book) suspend(next *order) {
	b.head.Pending = true
	b.emit(matching.Event{
		Kind: matching.EventContinue, Side: matching.Side(next.Side), OrderID: next.ID, MemberID: next.Member,
	})
}

// triggered returns the next stop order whose price has been reached: first
// those that wait for the price to fall, highest stop price first; then those
// that wait for it to rise, lowest first; the oldest first at one stop price.
func (b *Book) triggered() *order {
	var next *order
	better := func(o *order) bool {
		if next == nil {
			return true
		}
		rising := image.Rising(o.Type, o.Side)
		if rising != image.Rising(next.Type, next.Side) {
			return !rising
		}
		return o.Stop != next.Stop && (o.Stop < next.Stop) == rising
	}
	for _, o := range b.waits {
		if reached(o.Type, o.Side, o.Stop, b.head.Low, b.head.High) && better(o) {
			next = o
		}
	}
	return next
}

// step does the next thing that the order at work has to do. It returns false
// if that has to wait for the continuation.
func (b *Book) step() bool {
	o := b.work
	limit := image.IsLimit(o.Type)
	opposite := b.side[o.Side^1]
	if len(opposite) == 0 || limit && !crosses(matching.Side(o.Side), o.Price, opposite[0].Price) {
		b.finish(o)
		return true
	}
	m := opposite[0]
	n, why := b.affordable(o, m.Price)
	if n == 0 {
		state := matching.StateExpired
		if why == matching.ReasonQuoteQtyReached && o.AnyQty && o.CumQty > 0 {
			state = matching.StateFilled
		}
		b.end(o, state, why)
		return true
	}
	prevented := own(o, m)
	if prevented && matching.STPMode(o.STP) == matching.STPExpireTaker {
		b.end(o, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
		return true
	}
	if !b.mayStep() {
		return false
	}
	if prevented {
		b.prevent(o, m, n)
	} else {
		b.trade(o, m, min(n, m.Leaves))
	}
	return true
}

// finish ends the matching of an order that finds nothing more to trade with.
func (b *Book) finish(o *order) {
	tif := matching.TimeInForce(o.TIF)
	if !image.IsLimit(o.Type) || tif == matching.IOC || tif == matching.FOK {
		b.end(o, matching.StateExpired, matching.ReasonNoLiquidity)
		return
	}
	later := o.Price * o.Leaves * b.head.QuoteUnitsPerTickLot
	if o.CumQuote > math.MaxInt64-later || b.levelFull(matching.Side(o.Side), o.Price, o.Leaves, nil) {
		b.end(o, matching.StateExpired, matching.ReasonOverflow)
		return
	}
	b.work = nil
	b.rest(o)
	b.emitOrder(o, b.state(o), matching.ReasonNone)
}

// affordable returns how many lots an order may take at a price, and what keeps
// it from one more.
func (b *Book) affordable(o *order, price int64) (int64, matching.Reason) {
	unit := price * b.head.QuoteUnitsPerTickLot
	n, why := o.Leaves, matching.ReasonNone
	if o.AnyQty {
		why = matching.ReasonOverflow
	}
	if !image.IsLimit(o.Type) {
		cost := b.head.BaseUnitsPerLot
		if matching.Side(o.Side) == matching.Buy {
			cost = unit
		}
		if h := o.Hold / cost; h < n {
			n, why = h, matching.ReasonHoldExhausted
		}
	}
	if q := o.Quote / unit; q < n || q == 0 {
		n, why = q, matching.ReasonQuoteQtyReached
		if o.AnyQuote {
			why = matching.ReasonOverflow
		}
	}
	return n, why
}

// take reduces what an order may still do by n lots at a price.
func (b *Book) take(o *order, price, n int64) {
	quote := price * n * b.head.QuoteUnitsPerTickLot
	o.Leaves -= n
	o.Quote -= quote
	if !image.IsLimit(o.Type) {
		if matching.Side(o.Side) == matching.Buy {
			o.Hold -= quote
		} else {
			o.Hold -= n * b.head.BaseUnitsPerLot
		}
	}
}

func (b *Book) trade(o, m *order, n int64) {
	h := &b.head
	quote := m.Price * n * h.QuoteUnitsPerTickLot
	h.Trades++
	h.Last = m.Price
	h.Low, h.High = min(h.Low, m.Price), max(h.High, m.Price)
	makerFee, takerFee := b.fill(m, n, quote, m.MakerFee), b.fill(o, n, quote, o.TakerFee)
	b.take(o, m.Price, n)
	m.Leaves -= n
	b.emit(matching.NewTrade(&matching.Trade{
		TakerID: o.ID, TakerSide: matching.Side(o.Side), ID: h.Trades,
		Price: m.Price, Qty: n, Quote: quote, MakerFee: makerFee, TakerFee: takerFee,
	}))
	b.after(m, matching.StateFilled, matching.ReasonNone)
	if o.Leaves == 0 && !o.AnyQty {
		b.end(o, matching.StateFilled, matching.ReasonNone)
	}
}

// after reports what became of a maker.
func (b *Book) after(m *order, over matching.OrderState, reason matching.Reason) {
	if m.Leaves == 0 {
		b.end(m, over, reason)
		return
	}
	b.emitOrder(m, b.state(m), reason)
}

// fill books one side of a trade and returns its fee.
func (b *Book) fill(o *order, n, quote int64, ppm int32) int64 {
	received := quote
	if matching.Side(o.Side) == matching.Buy {
		received = n * b.head.BaseUnitsPerLot
	}
	hi, lo := bits.Mul64(uint64(received), uint64(ppm))
	fee, _ := bits.Div64(hi, lo, image.MaxFee)
	o.CumQty += n
	o.CumQuote += quote
	o.CumFee += int64(fee)
	return int64(fee)
}

// prevent keeps an order from trading with one of the same member; n is what
// it could take.
func (b *Book) prevent(o, m *order, n int64) {
	switch matching.STPMode(o.STP) {
	case matching.STPExpireMaker:
		b.end(m, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
	case matching.STPExpireBoth:
		b.end(m, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
		b.end(o, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
	case matching.STPDecrement:
		both := min(n, m.Leaves)
		b.take(o, m.Price, both)
		m.Leaves -= both
		b.after(m, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
		if both == n {
			b.end(o, matching.StateExpiredInMatch, matching.ReasonSelfTrade)
		}
	case matching.STPNone, matching.STPExpireTaker:
	}
}
