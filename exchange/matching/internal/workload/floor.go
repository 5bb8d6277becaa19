package workload

import "math/bits"

// Floor is the least that a book with an id index does: it has been told by
// the oracle which orders come to rest and which leave, and does one record and
// one index entry for each, but knows no prices, queues or events.
type Floor struct {
	rests   []bool
	leaves  []uint64 // makers filled, of all steps
	from    []uint32 // where those of a step begin
	table   []uint64 // hash << 32 | slot
	shift   uint
	mask    uint32
	records []floorRecord
	free    []uint32
}

type floorRecord struct {
	id         uint64
	price, qty int64
	next, prev uint32
}

// NewFloor runs the oracle over the steps.
func NewFloor(steps []Step) *Floor {
	f := &Floor{rests: make([]bool, len(steps)), from: make([]uint32, len(steps)+1)}
	o := NewOracle()
	most := 0
	for i := range steps {
		f.rests[i] = o.Do(&steps[i]) == Rested
		f.from[i] = uint32(len(f.leaves))
		for _, fill := range o.Fills {
			if fill.Done {
				f.leaves = append(f.leaves, fill.Maker)
			}
		}
		most = max(most, o.Resting())
	}
	f.from[len(steps)] = uint32(len(f.leaves))
	n := most + most/4 + 1000
	lg := bits.Len(uint(2*n - 1))
	f.table, f.shift, f.mask = make([]uint64, 1<<lg), uint(32-lg), 1<<lg-1
	f.records, f.free = make([]floorRecord, n), make([]uint32, n)
	f.Reset()
	return f
}

// Reset empties the floor for another round.
func (f *Floor) Reset() {
	clear(f.table)
	clear(f.records)
	f.free = f.free[:len(f.records)]
	for i := range f.free {
		f.free[i] = uint32(len(f.free) - 1 - i)
	}
}

func floorHash(id uint64) uint32 { return uint32(id * 0x9E3779B97F4A7C15 >> 32) }

// Do is step i.
func (f *Floor) Do(i int, s *Step) {
	if s.Kind == Cancel {
		f.remove(s.ID)
		return
	}
	for _, id := range f.leaves[f.from[i]:f.from[i+1]] {
		f.remove(id)
	}
	if !f.rests[i] {
		return
	}
	slot := f.free[len(f.free)-1]
	f.free = f.free[:len(f.free)-1]
	r := &f.records[slot]
	r.id, r.price, r.qty, r.next, r.prev = s.ID, s.Price, s.Qty, 0, 0
	hash := floorHash(s.ID)
	at := hash >> f.shift
	for f.table[at] != 0 {
		at = (at + 1) & f.mask
	}
	f.table[at] = uint64(hash)<<32 | uint64(slot)
}

func (f *Floor) remove(id uint64) {
	hash := floorHash(id)
	at := hash >> f.shift
	for {
		e := f.table[at]
		if e == 0 {
			return
		}
		if r := &f.records[uint32(e)]; uint32(e>>32) == hash && r.id == id {
			r.qty = 0
			f.free = append(f.free, uint32(e))
			break
		}
		at = (at + 1) & f.mask
	}
	for next := at; ; {
		next = (next + 1) & f.mask
		e := f.table[next]
		if e == 0 {
			break
		}
		if (next-uint32(e>>32)>>f.shift)&f.mask >= (next-at)&f.mask {
			f.table[at] = e
			at = next
		}
	}
	f.table[at] = 0
}
