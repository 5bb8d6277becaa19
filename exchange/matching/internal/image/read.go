package image

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
)

// ErrDamaged is what every refusal of an image wraps.
var ErrDamaged = errors.New("damaged snapshot")

func damaged(what string) error { return fmt.Errorf("%w: %s", ErrDamaged, what) }

// Reader reads an image and checks everything about it that a single pass can
// see: what it hands out can be matched without overflow. It does not see
// duplicate ids.
type Reader struct {
	b    []byte
	bad  string
	head Head
	prev Order
	sum  int64 // open lots of the level of prev
	n    [3]int
	best [2]int64
	hash uint64 // as stored
}

// Open checks magic, version and checksum of an image and reads its head.
func Open(src []byte) (*Reader, error) {
	if len(src) < len(Magic)+16 || string(src[:len(Magic)]) != Magic {
		return nil, damaged("not an image of this version")
	}
	end := len(src) - 8
	if checksum(src[:end]) != get64(src[end:]) {
		return nil, damaged("checksum")
	}
	r := &Reader{b: src[len(Magic) : end-8], hash: get64(src[end-8:])}
	r.readHead()
	if r.bad != "" {
		return nil, damaged(r.bad)
	}
	return r, nil
}

// Head returns the head.
func (r *Reader) Head() *Head { return &r.head }

// Counts returns the numbers of bids, asks and waiting orders.
func (r *Reader) Counts() (bids, asks, waiting int) { return r.n[0], r.n[1], r.n[2] }

func (r *Reader) fail(what string) {
	if r.bad == "" {
		r.bad = what
	}
}

func (r *Reader) must(ok bool, what string) {
	if !ok {
		r.fail(what)
	}
}

func (r *Reader) byte() uint8 {
	if len(r.b) == 0 {
		r.fail("too short")
		return 0
	}
	c := r.b[0]
	r.b = r.b[1:]
	return c
}

func (r *Reader) u() uint64 {
	var v uint64
	for shift := uint(0); ; shift += 7 {
		c := r.byte()
		if shift == 63 && c > 1 || c == 0 && shift > 0 {
			r.fail("number")
			return 0
		}
		v |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return v
		}
	}
}

// i reads a number from 0 to most.
func (r *Reader) i(most int64) int64 {
	v := r.u()
	if v > uint64(most) {
		r.fail("range")
		return 0
	}
	return int64(v)
}

func (r *Reader) d(prev uint64) uint64 {
	x := r.u()
	return prev + (x>>1 ^ -(x & 1))
}

func (r *Reader) readHead() {
	h := &r.head
	f := r.u()
	h.Listed, h.Pending, h.Working, h.Phase = f&1 != 0, f&2 != 0, f&4 != 0, uint8(f>>3&0xff)
	r.must(f>>3 >= 1 && f>>3 <= 3, "phase")
	h.BaseUnitsPerLot, h.QuoteUnitsPerTickLot = r.i(math.MaxInt64), r.i(math.MaxInt64)
	h.MaxPrice, h.MaxQty = r.i(MaxPrice), r.i(MaxQty)
	h.BandUpPpm, h.BandDownPpm = r.i(math.MaxInt64), r.i(math.MaxInt64)
	h.MaxFillsPerCommand, h.MaxOpenOrders = int32(r.i(math.MaxInt32)), int32(r.i(MaxOrders))
	h.Last = r.i(MaxPrice)
	h.Trades, h.Seq = r.u(), r.u()
	zero := h.BaseUnitsPerLot == 0 && h.QuoteUnitsPerTickLot == 0 && h.MaxPrice == 0 && h.MaxQty == 0 &&
		h.BandUpPpm == 0 && h.BandDownPpm == 0 && h.MaxFillsPerCommand == 0 && h.MaxOpenOrders == 0 &&
		h.Last == 0 && h.Trades == 0 && h.Seq == 0 && !h.Pending
	some := h.BaseUnitsPerLot > 0 && h.QuoteUnitsPerTickLot > 0 && h.MaxPrice > 0 && h.MaxQty > 0
	r.must(h.Listed && some || !h.Listed && zero, "rules")
	r.must((h.Last == 0) == (h.Trades == 0), "last price")
	r.must(h.Pending || !h.Working, "continuation")
	h.Low, h.High = NoLow, NoHigh
	if h.Pending {
		h.Low, h.High = r.i(math.MaxInt64), r.i(MaxPrice)
		none := h.Low == NoLow && h.High == NoHigh
		r.must(none && h.Working || h.Low >= 1 && h.Low <= h.High && h.Trades > 0, "range")
	}
	if h.Working {
		r.full(&h.Work)
		r.must(h.Work.Type == typeLimit || h.Work.Type == typeMarket, "type")
		r.must(h.Work.Seq == 0, "sequence")
	}
	for i := range r.n {
		r.n[i] = int(r.i(MaxOrders))
	}
	r.must(h.Listed || r.n == [3]int{}, "orders without rules")
	r.must(r.n[0]+r.n[1]+r.n[2] <= len(r.b), "too short") // so that nobody allocates for what is not there
	r.best = [2]int64{0, math.MaxInt64}
}

// product reports whether a×b×c fits an int64.
func product(a, b, c int64) bool {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi != 0 {
		return false
	}
	hi, lo = bits.Mul64(lo, uint64(c))
	return hi == 0 && lo <= math.MaxInt64
}

// Rest reads the next order at rest: bids first, then asks.
func (r *Reader) Rest(side uint8, first bool, o *Order) error {
	p := r.prev
	if first {
		p.Price = 0
	}
	*o = Order{
		ID: r.d(p.ID), Member: r.d(p.Member), Seq: r.d(p.Seq), Side: side, Type: typeLimit,
		Price: int64(r.d(uint64(r.prev.Price))), Leaves: r.i(MaxQty),
	}
	r.cum(o)
	o.MakerFee = int32(r.i(MaxFee))
	r.must(o.ID != 0 && o.Leaves > 0 && o.Price > 0 && o.Price <= MaxPrice, "order")
	h := &r.head
	r.must(o.Seq != 0 && o.Seq <= h.Seq, "sequence")
	total := uint64(o.Leaves) + uint64(o.CumQty)
	r.must(total <= math.MaxInt64 && product(int64(total), h.BaseUnitsPerLot, 1) &&
		product(o.Price, o.Leaves, h.QuoteUnitsPerTickLot), "overflow")
	q := uint64(o.Price) * uint64(o.Leaves) * uint64(h.QuoteUnitsPerTickLot)
	r.must(q+uint64(o.CumQuote) <= math.MaxInt64, "overflow")
	r.fee(o)
	if p.Price == o.Price {
		r.must(o.Seq > p.Seq, "priority")
		r.sum += o.Leaves
		r.must(r.sum > 0, "overflow")
	} else {
		r.must(first || (o.Price < p.Price) == (side == 0), "price order")
		r.sum = o.Leaves
	}
	if first {
		r.best[side] = o.Price
		r.must(r.best[0] < r.best[1], "crossed")
	}
	r.prev = *o
	return r.err()
}

// Wait reads the next waiting order.
func (r *Reader) Wait(first bool, o *Order) error {
	if first {
		r.prev = Order{}
	}
	r.full(o)
	h := &r.head
	r.must(o.Type > typeMarket, "type")
	r.must(o.Seq > r.prev.Seq && o.Seq <= h.Seq, "sequence")
	r.must(o.CumQty == 0, "a waiting order that has traded")
	r.must(o.Stop > 0, "stop price")
	r.prev = *o
	return r.err()
}

func (r *Reader) cum(o *Order) {
	o.CumQty = r.i(math.MaxInt64)
	if o.CumQty != 0 {
		o.CumQuote = r.i(math.MaxInt64)
		o.CumFee = r.i(math.MaxInt64)
	}
}

// fee checks that an order has not paid more than it has received.
func (r *Reader) fee(o *Order) {
	received := o.CumQuote
	if o.Side == 0 {
		received = o.CumQty * r.head.BaseUnitsPerLot
	}
	r.must(o.CumFee <= received, "fee")
}

func (r *Reader) full(o *Order) {
	*o = Order{ID: r.u(), Member: r.u(), Seq: r.u(), Side: r.byte(), Type: r.byte(), TIF: r.byte(), STP: r.byte()}
	f := r.byte()
	o.AnyQty, o.AnyQuote = f&1 != 0, f&2 != 0
	r.must(f < 4, "flags")
	o.Price, o.Stop, o.Leaves = r.i(MaxPrice), r.i(MaxPrice), r.i(math.MaxInt64)
	o.Quote, o.Hold = r.i(math.MaxInt64), r.i(math.MaxInt64)
	r.cum(o)
	o.MakerFee, o.TakerFee = int32(r.i(MaxFee)), int32(r.i(MaxFee))
	h := &r.head
	r.must(o.ID != 0 && o.Side <= 1 && o.Type >= typeLimit && o.Type <= typeTakeProfitLimit &&
		o.STP >= 1 && o.STP <= 5 && o.Leaves > 0 && o.Quote > 0, "order")
	total := uint64(o.Leaves) + uint64(o.CumQty)
	r.must(total <= math.MaxInt64 && product(int64(total), h.BaseUnitsPerLot, 1) &&
		uint64(o.Quote)+uint64(o.CumQuote) <= math.MaxInt64, "overflow")
	r.must((o.Type > typeMarket) == (o.Stop > 0), "stop price")
	r.fee(o)
	if IsLimit(o.Type) {
		r.must(o.TIF >= 1 && o.TIF <= 4 && o.Price > 0 && o.Hold == 0 && o.AnyQuote && !o.AnyQty &&
			product(o.Price, o.Leaves, h.QuoteUnitsPerTickLot), "limit order")
		q := uint64(o.Price) * uint64(o.Leaves) * uint64(h.QuoteUnitsPerTickLot)
		r.must(o.Side == 1 || q+uint64(o.CumQuote) <= math.MaxInt64, "overflow")
		return
	}
	r.must(o.TIF == 0 && o.Price == 0 && o.Hold > 0, "market order")
}

func (r *Reader) err() error {
	if r.bad != "" {
		return damaged(r.bad)
	}
	return nil
}

// Close checks that nothing is left and that the state restored has the hash
// that was saved.
func (r *Reader) Close(stateHash uint64) error {
	r.must(len(r.b) == 0, "bytes left over")
	r.must(stateHash == r.hash, "state hash")
	return r.err()
}
