package matching

import "math/bits"

// index finds the slot of an open order by its id: open addressing with linear
// probing. An entry is hash<<32 | slot; 0 is empty, since slot 0 is never used.
// Deletion shifts back what follows, so there are no tombstones and the table
// never has to be cleaned. It doubles when it is more than 5/8 full.
type index struct {
	tab   []uint64
	mask  uint32
	shift uint32
	used  int
	most  int // grow beyond this
}

const minIndex = 16

func hashID(id uint64) uint32 { return uint32(id * 0x9E3779B97F4A7C15 >> 32) }

// init makes room for n entries.
func (x *index) init(n int) {
	lg := uint32(bits.Len(uint(max(n*8/5, minIndex-1))))
	x.tab = make([]uint64, 1<<lg)
	x.mask, x.shift = 1<<lg-1, 32-lg
	x.most, x.used = 1<<lg*5/8, 0
}

// put adds an entry at place j, where find has ended, or further on.
func (x *index) put(j, hash, slot uint32) {
	for x.tab[j] != 0 {
		j = (j + 1) & x.mask
	}
	x.tab[j] = uint64(hash)<<32 | uint64(slot)
	x.used++
	if x.used > x.most {
		x.grow()
	}
}

func (x *index) grow() {
	old := x.tab
	x.init(x.most * 2)
	for _, e := range old {
		if e != 0 {
			h := uint32(e >> 32)
			x.put(h>>x.shift, h, uint32(e))
		}
	}
}

// at returns the place of the entry of a slot, which must be there.
func (x *index) at(hash, slot uint32) uint32 {
	want := uint64(hash)<<32 | uint64(slot)
	j := hash >> x.shift
	for x.tab[j] != want {
		j = (j + 1) & x.mask
	}
	return j
}

// cut removes the entry at place j.
func (x *index) cut(j uint32) {
	tab, mask, shift := x.tab, x.mask, x.shift
	k := j
	for {
		k = (k + 1) & mask
		e := tab[k]
		if e == 0 {
			break
		}
		if (k-uint32(e>>32)>>shift)&mask >= (k-j)&mask {
			tab[j] = e
			j = k
		}
	}
	tab[j] = 0
	x.used--
}
