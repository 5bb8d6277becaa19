package matching

import (
	"math/bits"

	"mscoin/exchange/matching/internal/image"
)

// fill is what an order in the book has traded so far. Few orders at rest have
// traded, so it is kept apart from the record.
type fill struct {
	qty, quote, fee int64
}

// fillSlab holds fills; free slots are chained through qty, slot 0 is unused.
type fillSlab struct {
	all  []fill
	free uint32
}

func (s *fillSlab) init() { s.all = make([]fill, 1, 4) }

func (s *fillSlab) get(f fill) uint32 {
	i := s.free
	if i != 0 {
		s.free = uint32(s.all[i].qty)
		s.all[i] = f
		return i
	}
	s.all = append(s.all, f)
	return uint32(len(s.all) - 1)
}

func (s *fillSlab) put(i uint32) { s.all[i].qty, s.free = int64(s.free), i }

// waitSlab holds the stop orders that wait, whole; free slots are chained
// through ID.
type waitSlab struct {
	all  []image.Order
	free uint32
}

func (s *waitSlab) init() { s.all = make([]image.Order, 1, 4) }

func (s *waitSlab) get(o *image.Order) uint32 {
	i := s.free
	if i != 0 {
		s.free = uint32(s.all[i].ID)
		s.all[i] = *o
		return i
	}
	s.all = append(s.all, *o)
	return uint32(len(s.all) - 1)
}

func (s *waitSlab) put(i uint32) { s.all[i].ID, s.free = uint64(s.free), i }

// alloc returns a free slot of recs. Its content is left over from before.
func (b *Book) alloc() uint32 {
	slot := b.free
	if slot == 0 {
		slot = b.bump()
	}
	b.free = b.links[slot].next
	return slot
}

// bump adds a slot to recs.
//
//go:noinline
func (b *Book) bump() uint32 {
	n := len(b.recs)
	if n == cap(b.recs) {
		b.recs = append(make([]record, 0, grown(n+1)), b.recs...)
		b.links = append(make([]links, 0, cap(b.recs)), b.links...)
	}
	b.recs, b.links = b.recs[:n+1], b.links[:n+1]
	return uint32(n)
}

// level returns the place of the level of a key, made if need be. An unused
// level is all zero.
func (b *Book) level(ladder uint8, key int64) uint32 {
	return b.lads[ladder&3].page(&b.slab, key>>pageShift)<<pageShift | uint32(key&pageMask)
}

// link puts the order in a slot at the end of a level. There are no branches on
// what is neighboured by what: slot 0 takes the writes that are for nobody.
func (b *Book) link(slot, at uint32, ladder uint8, key, qty int64) {
	b.open++
	lv := &b.slab.levels[at]
	tail, head := lv.tail, lv.head
	lv.qty += qty
	n := &b.links[slot]
	n.next, n.prev = 0, tail
	b.links[tail].next = slot
	if head == 0 {
		head = slot
	}
	lv.tail, lv.head = slot, head
	b.slab.pages[at>>pageShift].used |= 1 << (at & pageMask)
	l := &b.lads[ladder&3]
	if key < l.best {
		l.best, l.bestAt = key, at
	}
}

// remove takes the order in a slot, with its entry at place j of the index,
// out of its level, the level out of its page when it was the last, and gives
// the slot back. Whether a level empties cannot be foretold, so there is no
// branch on that alone.
func (b *Book) remove(slot, j, at uint32, ladder uint8, qty int64) {
	lv := &b.slab.levels[at]
	links := b.links
	n := &links[slot]
	next, prev := n.next, n.prev
	n.next, b.free = b.free, slot
	links[next].prev = prev
	links[prev].next = next
	b.open--
	head, tail := lv.head, lv.tail
	lv.qty -= qty
	if head == slot {
		head = next
	}
	if tail == slot {
		tail = prev
	}
	lv.head, lv.tail = head, tail
	x := &b.ids
	x.used--
	if tab := x.tab; x.far || len(tab) == 0 {
		b.delistFar(j)
	} else {
		k := j
		for {
			k++
			e := tab[k&uint32(len(tab)-1)]
			if e == 0 {
				break
			}
			if (k-e>>(32-homeBits))&maxFar >= (k - j) { // it is at home before j
				tab[j&uint32(len(tab)-1)] = e
				j = k
			}
		}
		tab[j&uint32(len(tab)-1)] = 0
	}
	var empty, best uint64
	if head == 0 {
		empty = 1
	}
	l := &b.lads[ladder&3]
	if at == l.bestAt {
		best = 1
	}
	pg := &b.slab.pages[at>>pageShift]
	used := pg.used &^ (empty << (at & pageMask))
	pg.used = used
	if used == 0 {
		l.drop(&b.slab, at>>pageShift)
	}
	if empty&best != 0 {
		l.scan(&b.slab)
	}
}

// product returns x×y×z and whether an int64 holds it; none is negative.
func product(x, y, z int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi2, lo2 := bits.Mul64(lo, uint64(z))
	return int64(lo2), hi|hi2|lo2>>63 == 0
}
