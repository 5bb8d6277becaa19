package naive

import (
	"fmt"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
)

// Best returns the best price of a side in ticks.
func (b *Book) Best(side matching.Side) (int64, bool) {
	if s := b.side[side&1]; len(s) > 0 {
		return s[0].Price, true
	}
	return 0, false
}

// LevelQty returns the open lots at a price.
func (b *Book) LevelQty(side matching.Side, price int64) int64 {
	var sum int64
	for _, o := range b.side[side&1] {
		if o.Price == price {
			sum += o.Leaves
		}
	}
	return sum
}

// Depth calls yield for each level, best first, until it returns false.
func (b *Book) Depth(side matching.Side, yield func(price, qty int64) bool) {
	s := b.side[side&1]
	for len(s) > 0 {
		price, sum := s[0].Price, int64(0)
		for len(s) > 0 && s[0].Price == price {
			sum += s[0].Leaves
			s = s[1:]
		}
		if !yield(price, sum) {
			return
		}
	}
}

// Resting calls yield for each order at rest, by priority, until it returns false.
func (b *Book) Resting(side matching.Side, yield func(id uint64, price, qty int64) bool) {
	for _, o := range b.side[side&1] {
		if !yield(o.ID, o.Price, o.Leaves) {
			return
		}
	}
}

// Open returns the number of orders that can still trade.
func (b *Book) Open() int { return len(b.byID) }

// Order returns the state of an open order as an EventOrder.
func (b *Book) Order(id uint64) (matching.Event, bool) {
	o := b.byID[id]
	if o == nil {
		return matching.Event{}, false
	}
	return b.event(o, b.state(o), matching.ReasonNone), true
}

// LastPrice returns the price of the last trade in ticks, 0 before the first.
func (b *Book) LastPrice() int64 { return b.head.Last }

func (b *Book) headNow() image.Head {
	h := b.head
	if b.work != nil {
		h.Working, h.Work = true, *b.work
	}
	return h
}

// StateHash computes the state hash from scratch.
func (b *Book) StateHash() uint64 {
	h := b.headNow()
	sum := h.Hash()
	for _, s := range b.side {
		for _, o := range s {
			sum += image.Rest(o.ID, o.Member, o.Seq, o.Side, o.Price, o.Leaves, o.MakerFee)
			sum += image.Filled(o.ID, o.CumQty, o.CumQuote, o.CumFee)
		}
	}
	for _, o := range b.waits {
		sum += o.Full()
	}
	return sum
}

// Snapshot appends an image of the book to dst.
func (b *Book) Snapshot(dst []byte) []byte {
	w := image.NewWriter(dst)
	h := b.headNow()
	w.Head(&h, len(b.side[0]), len(b.side[1]), len(b.waits))
	for _, s := range b.side {
		for _, o := range s {
			w.Rest(o)
		}
	}
	for _, o := range b.waits {
		w.Wait(o)
	}
	return w.Close(b.StateHash())
}

// Restore replaces the state by that of an image. On an error the book is
// what it was; the error wraps image.ErrDamaged.
func (b *Book) Restore(src []byte) error {
	r, err := image.Open(src)
	if err != nil {
		return fmt.Errorf("restore book: %w", err)
	}
	n := New()
	n.head = *r.Head()
	bids, asks, waits := r.Counts()
	for i := range bids + asks + waits {
		o := new(order)
		switch {
		case i < bids+asks:
			side := uint8(0)
			if i >= bids {
				side = 1
			}
			if err = r.Rest(side, i == 0 || i == bids, o); err == nil {
				n.side[side] = append(n.side[side], o)
			}
		default:
			if err = r.Wait(i == bids+asks, o); err == nil {
				n.waits = append(n.waits, o)
			}
		}
		if err != nil {
			return fmt.Errorf("restore book: %w", err)
		}
		n.byID[o.ID] = o
	}
	if n.head.Working {
		w := n.head.Work
		n.work = &w
		n.byID[w.ID] = n.work
	}
	n.head.Working, n.head.Work = false, order{}
	if len(n.byID) != bids+asks+waits+b2i(n.work != nil) {
		return fmt.Errorf("restore book: %w: duplicate order id", image.ErrDamaged)
	}
	if err := r.Close(n.StateHash()); err != nil {
		return fmt.Errorf("restore book: %w", err)
	}
	*b = *n
	return nil
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
