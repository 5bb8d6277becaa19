package matching

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"

	"mscoin/exchange/matching/internal/image"
)

// ErrDamaged is what every error of Restore wraps.
var ErrDamaged = image.ErrDamaged

// Best returns the best price of a side in ticks.
func (b *Book) Best(side Side) (int64, bool) {
	key := b.lads[side&1].best
	if key == noKey {
		return 0, false
	}
	return keyOf(uint8(side&1), key), true // keyOf is its own inverse
}

// LevelQty returns the open lots at a price, 0 if there is no such level.
func (b *Book) LevelQty(side Side, price int64) int64 {
	if price < 1 || price > flip {
		return 0
	}
	return b.levelSum(uint8(side&1), keyOf(uint8(side&1), price))
}

// Depth calls yield for each level of a side, best first, until it returns
// false. The book must not be changed meanwhile.
func (b *Book) Depth(side Side, yield func(price, qty int64) bool) {
	b.levels(uint8(side&1), func(key int64, lv *level) bool {
		return yield(keyOf(uint8(side&1), key), lv.qty)
	})
}

// levels calls yield for each level of a ladder, best first.
func (b *Book) levels(ladder uint8, yield func(key int64, lv *level) bool) {
	for p := b.lads[ladder&3].first; p != 0; p = b.slab.pages[p].next {
		pg := &b.slab.pages[p]
		for used := pg.used; used != 0; used &= used - 1 {
			at := bits.TrailingZeros64(used)
			if !yield(pg.key<<pageShift|int64(at), &pg.levels[at]) {
				return
			}
		}
	}
}

// Open returns the number of orders that can still trade: those in the book,
// those in wait, and the taker of a command that is to be continued.
func (b *Book) Open() int {
	if b.working {
		return b.open + 1
	}
	return b.open
}

// Order returns the state of an open order as an EventOrder.
func (b *Book) Order(id uint64) (Event, bool) {
	var e Event
	if b.working && b.work.id == id {
		b.describeTaker(&b.work, &e)
		return e, true
	}
	slot, _ := b.lookup(id)
	if slot == 0 {
		return e, false
	}
	b.describe(slot, &e)
	return e, true
}

// LastPrice returns the price of the last trade in ticks, 0 before the first.
func (b *Book) LastPrice() int64 { return b.last }

// StateHash is a hash of everything that decides future events. It is kept up
// to date with each change, so asking for it costs next to nothing.
func (b *Book) StateHash() uint64 {
	h := b.head()
	return b.sum + h.Hash()
}

func (b *Book) head() image.Head {
	r := &b.rules
	h := image.Head{
		Listed: b.listed, Phase: uint8(b.phase),
		BaseUnitsPerLot: r.BaseUnitsPerLot, QuoteUnitsPerTickLot: r.QuoteUnitsPerTickLot,
		MaxPrice: r.MaxPrice, MaxQty: r.MaxQty, BandUpPpm: r.BandUpPpm, BandDownPpm: r.BandDownPpm,
		MaxFillsPerCommand: r.MaxFillsPerCommand, MaxOpenOrders: r.MaxOpenOrders,
		Last: b.last, Trades: b.trades, Seq: b.seq, Pending: b.pending, Low: b.low, High: b.high, Working: b.working,
	}
	if b.working {
		h.Work = b.work.order()
	}
	return h
}

func (t *taker) order() image.Order {
	o := image.Order{
		ID: t.id, Member: t.member, Side: t.side, Type: uint8(Limit), TIF: t.tif, STP: t.stp,
		AnyQty: t.anyQty, AnyQuote: t.anyQuote, Price: t.price, Leaves: t.leaves, Quote: t.quote, Hold: t.hold,
		CumQty: t.cumQty, CumQuote: t.cumQuote, CumFee: t.cumFee, MakerFee: t.makerFee, TakerFee: t.takerFee,
	}
	if t.market {
		o.Type = uint8(Market)
	}
	return o
}

func takerOf(o *image.Order) taker {
	t := taker{
		id: o.ID, member: o.Member, price: o.Price, leaves: o.Leaves, quote: o.Quote, hold: o.Hold,
		cumQty: o.CumQty, cumQuote: o.CumQuote, cumFee: o.CumFee, makerFee: o.MakerFee, takerFee: o.TakerFee,
		side: o.Side, tif: o.TIF, stp: o.STP, anyQty: o.AnyQty, anyQuote: o.AnyQuote,
		market: !image.IsLimit(o.Type), reach: flip,
	}
	if !t.market {
		t.reach = keyOf(t.side^1, t.price)
	}
	return t
}

// Snapshot appends a versioned, checksummed image of the book to dst.
func (b *Book) Snapshot(dst []byte) []byte {
	w := image.NewWriter(dst)
	h := b.head()
	var n [4]int
	for i := range n {
		b.levels(uint8(i), func(_ int64, lv *level) bool {
			for slot := lv.head; slot != 0; slot = b.links[slot].next {
				n[i]++
			}
			return true
		})
	}
	w.Head(&h, n[Buy], n[Sell], n[falling]+n[rising])
	for side := range uint8(2) {
		b.levels(side, func(_ int64, lv *level) bool {
			for slot := lv.head; slot != 0; slot = b.links[slot].next {
				o := b.restOrder(slot)
				w.Rest(&o)
			}
			return true
		})
	}
	waiting := make([]*image.Order, 0, n[falling]+n[rising])
	for i := uint8(falling); i <= rising; i++ {
		b.levels(i, func(_ int64, lv *level) bool {
			for slot := lv.head; slot != 0; slot = b.links[slot].next {
				waiting = append(waiting, &b.waits.all[b.recs[slot].more])
			}
			return true
		})
	}
	slices.SortFunc(waiting, func(x, y *image.Order) int { return cmp.Compare(x.Seq, y.Seq) })
	for _, o := range waiting {
		w.Wait(o)
	}
	return w.Close(b.StateHash())
}

func (b *Book) restOrder(slot uint32) image.Order {
	r := &b.recs[slot]
	o := image.Order{
		ID: r.id, Member: r.member, Seq: r.seq, Side: r.side, Type: uint8(Limit), Price: r.price,
		Leaves: r.leaves, MakerFee: r.makerFee,
	}
	if r.more != 0 {
		f := &b.fills.all[r.more]
		o.CumQty, o.CumQuote, o.CumFee = f.qty, f.quote, f.fee
	}
	return o
}

// Restore replaces the state by that of an image that Snapshot has made, of
// this or of any other implementation. An image that is damaged in any way is
// refused with an error that wraps ErrDamaged, and the book is what it was.
func (b *Book) Restore(src []byte) error {
	r, err := image.Open(src)
	if err != nil {
		return fmt.Errorf("restore book: %w", err)
	}
	bids, asks, waiting := r.Counts()
	n := New(WithCapacity(bids + asks + waiting))
	n.setHead(r.Head())
	var o image.Order
	for i := range bids + asks + waiting {
		switch {
		case i < bids:
			err = r.Rest(uint8(Buy), i == 0, &o)
		case i < bids+asks:
			err = r.Rest(uint8(Sell), i == bids, &o)
		default:
			err = r.Wait(i == bids+asks, &o)
		}
		if err == nil {
			err = n.add(&o)
		}
		if err != nil {
			return fmt.Errorf("restore book: %w", err)
		}
	}
	if err := r.Close(n.StateHash()); err != nil {
		return fmt.Errorf("restore book: %w", err)
	}
	*b = *n
	return nil
}

func (b *Book) setHead(h *image.Head) {
	b.listed, b.phase = h.Listed, Phase(h.Phase)
	b.rules = Rules{
		BaseUnitsPerLot: h.BaseUnitsPerLot, QuoteUnitsPerTickLot: h.QuoteUnitsPerTickLot,
		MaxPrice: h.MaxPrice, MaxQty: h.MaxQty, BandUpPpm: h.BandUpPpm, BandDownPpm: h.BandDownPpm,
		MaxFillsPerCommand: h.MaxFillsPerCommand, MaxOpenOrders: h.MaxOpenOrders,
	}
	b.last, b.trades, b.seq = h.Last, h.Trades, h.Seq
	b.pending, b.low, b.high, b.working = h.Pending, h.Low, h.High, h.Working
	if h.Working {
		b.work = takerOf(&h.Work)
	}
	b.derive()
}

// add puts an order of an image into the book, keeping its sequence number.
func (b *Book) add(o *image.Order) error {
	slot, _ := b.lookup(o.ID)
	if slot != 0 || b.working && b.work.id == o.ID {
		return fmt.Errorf("%w: duplicate order id", ErrDamaged)
	}
	if o.Stop > 0 {
		b.hang(o)
		return nil
	}
	slot = b.alloc()
	r := &b.recs[slot]
	*r = record{
		id: o.ID, member: o.Member, leaves: o.Leaves, price: o.Price,
		makerFee: o.MakerFee, ladder: o.Side, side: o.Side,
	}
	if o.CumQty > 0 {
		r.more = b.fills.get(fill{o.CumQty, o.CumQuote, o.CumFee})
	}
	seq := b.seq
	b.seq = o.Seq - 1
	b.settleIn(slot)
	b.seq = seq
	b.enlist(o.ID, slot)
	return nil
}

// Resting calls yield for each order at rest on a side, by priority, with its
// id, price in ticks and open lots, until it returns false. The book must not
// be changed meanwhile.
func (b *Book) Resting(side Side, yield func(id uint64, price, qty int64) bool) {
	b.levels(uint8(side&1), func(key int64, lv *level) bool {
		for slot := lv.head; slot != 0; slot = b.links[slot].next {
			if !yield(b.recs[slot].id, keyOf(uint8(side&1), key), b.recs[slot].leaves) {
				return false
			}
		}
		return true
	})
}
