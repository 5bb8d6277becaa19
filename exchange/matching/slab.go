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
	if slot != 0 {
		b.free = b.recs[slot].next
		return slot
	}
	n := len(b.recs)
	if n == cap(b.recs) {
		b.recs = append(make([]record, 0, grown(n+1)), b.recs...)
	}
	b.recs = b.recs[:n+1]
	return uint32(n)
}

// release gives a slot back.
func (b *Book) release(slot uint32, r *record) {
	r.next, b.free = b.free, slot
	b.open--
}

// link puts a filled-in record at the end of its level.
func (b *Book) link(slot uint32, key int64) {
	r := &b.recs[slot]
	l := &b.lads[r.ladder&3]
	p := l.find(&b.slab, key>>pageShift)
	if p == 0 {
		p = l.insert(&b.slab, key>>pageShift)
	}
	pg := &b.slab.pages[p]
	r.level = p<<pageShift | uint32(key&pageMask)
	r.next = 0
	lv := &b.slab.levels[r.level]
	if bit := uint64(1) << (key & pageMask); pg.used&bit == 0 {
		pg.used |= bit
		*lv = level{head: slot, tail: slot}
		r.prev = 0
		if key < l.best {
			l.best = key
		}
	} else {
		r.prev = lv.tail
		b.recs[lv.tail].next = slot
		lv.tail = slot
	}
	if r.ladder < falling {
		lv.qty += r.leaves
	}
}

// unlink takes a record out of its level, and the level out of its page when
// that was the last.
func (b *Book) unlink(r *record) {
	lv := &b.slab.levels[r.level]
	if r.ladder < falling {
		lv.qty -= r.leaves
		if Side(r.side) == Buy {
			b.bidCount--
		}
	} else {
		b.waitCount--
	}
	if r.next != 0 {
		b.recs[r.next].prev = r.prev
	} else {
		lv.tail = r.prev
	}
	if r.prev != 0 {
		b.recs[r.prev].next = r.next
	} else {
		lv.head = r.next
		if r.next == 0 {
			b.emptied(r)
		}
	}
}

// emptied takes out the level of a record that was alone in it.
func (b *Book) emptied(r *record) {
	l := &b.lads[r.ladder&3]
	p := r.level >> pageShift
	pg := &b.slab.pages[p]
	pg.used &^= 1 << (r.level & pageMask)
	key := pg.key<<pageShift | int64(r.level&pageMask)
	if pg.used == 0 {
		l.drop(&b.slab, p)
	}
	if key == l.best {
		l.scan(&b.slab)
	}
}

// product returns x×y×z and whether an int64 holds it; none is negative.
func product(x, y, z int64) (int64, bool) {
	hi, lo := bits.Mul64(uint64(x), uint64(y))
	hi2, lo2 := bits.Mul64(lo, uint64(z))
	return int64(lo2), hi|hi2|lo2>>63 == 0
}
