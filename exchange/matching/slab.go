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

const minFills = 4

func (s *fillSlab) init(n int) { s.all = make([]fill, 1, n+1) }

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
	if b.free == 0 {
		b.bump()
	}
	slot := b.free
	b.free = b.links[slot].next
	return slot
}

// bump adds some slots to recs, which has no free one.
//
//go:noinline
func (b *Book) bump() {
	n := len(b.recs)
	if n == cap(b.recs) {
		b.recs = append(make([]record, 0, grown(n+1)), b.recs...)
		b.links = append(make([]links, 0, cap(b.recs)), b.links...)
	}
	end := min(n+64, cap(b.recs))
	b.recs, b.links = b.recs[:end], b.links[:end]
	for i := n; i < end; i++ {
		b.links[i].next = uint32(i + 1)
	}
	b.links[end-1].next = 0
	b.free = uint32(n)
	b.measure()
}

// level returns the reference of the level of a key, made if need be.
func (b *Book) level(ladder uint8, key int64) uint32 {
	return b.lads[ladder&3].page(&b.slab, key>>pageShift)<<pageShift | uint32(key&pageMask)
}

// link puts the order in a slot at the end of a level. There are no branches on
// what is neighboured by what: slot 0 takes the writes that are for nobody.
func (b *Book) link(slot, at uint32, ladder uint8, key, qty int64) {
	b.open++
	pg := &b.slab.pages[at>>pageShift]
	lv := &pg.levels[at&pageMask]
	tail, head := lv.tail, lv.head
	lv.qty += qty
	n := &b.links[slot]
	n.next, n.prev = 0, tail
	b.links[tail].next = slot
	if head == 0 {
		head = slot
	}
	lv.tail, lv.head = slot, head
	pg.used |= 1 << (at & pageMask)
	l := &b.lads[ladder&3]
	if key < l.best {
		l.best, l.bestAt = key, at
	}
}

// remove takes the order r in a slot, with its entry at place j of the index,
// out of its level, the level out of its page when it was the last, and gives
// the slot back. Whether a level empties cannot be foretold, so there is no
// branch on that alone.
func (b *Book) remove(r *record, slot uint32, j int) {
	if tab := b.ids.tab; tab[(j+1)&(len(tab)-1)] == 0 {
		tab[j] = 0
	} else {
		b.delist(j)
	}
	all := b.links
	q := &all[slot]
	next, prev := q.next, q.prev
	q.next, b.free = b.free, slot
	all[next].prev = prev
	all[prev].next = next
	b.open--

	at, l := r.level, &b.lads[r.ladder&3]
	pg := &b.slab.pages[at>>pageShift]
	lv := &pg.levels[at&pageMask]
	head, tail := lv.head, lv.tail
	if prev == 0 {
		head = next
	}
	if next == 0 {
		tail = prev
	}
	lv.head, lv.tail = head, tail
	lv.qty -= r.leaves
	var empty, best uint64
	if head == 0 {
		empty = 1
	}
	if at == l.bestAt {
		best = empty
	}
	pg.used &^= empty << (at & pageMask)
	if pg.used == 0 {
		l.drop(&b.slab, at>>pageShift)
	}
	if best != 0 {
		l.scan(&b.slab)
	}
}

// product returns x×y×z and whether an int64 holds it; none is negative.
func product(x, y, z int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi2, lo2 := bits.Mul64(lo, uint64(z))
	return int64(lo2), hi|hi2|lo2>>63 == 0
}
