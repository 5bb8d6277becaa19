package matching

import "math/bits"

// index finds the slot of an open order by its id: open addressing with linear
// probing, four bytes an entry, so that the table of a hundred thousand orders
// stays in a second-level cache. The low lg bits of an entry are the slot, the
// others are bits of the id's hash, of which the highest six are the lowest six
// of the entry's home: from them cut knows how far an entry is from home. Entry
// 0 is empty, since slot 0 is never used. Deletion shifts back what follows, so
// there are no tombstones and the table never has to be cleaned. It grows when
// it is more than 5/8 full, that of a small book when it is more than 5/32, that
// of a large one when it is more than 5/16 full: where entries seldom meet,
// branches are foretold, as long as the table stays in a near cache.
type index struct {
	tab   []uint32
	mask  uint32
	shift uint32 // 32 - lg
	lg    uint32
	used  int
	most  int  // grow beyond this
	far   bool // an entry may be so far from home that six bits do not tell
}

const (
	minIndex  = 6 // log2 of the smallest table
	smallBook = 1 << 14
	largeBook = 1 << 18
	homeBits  = 6
	maxFar    = 1<<homeBits - 1
)

func hashID(id uint64) uint32 { return uint32(id * 0x9E3779B97F4A7C15 >> 32) }

// init makes room for n entries.
func (x *index) init(n int) {
	spare := 0 // log2 of how many times more room there is than need be
	switch {
	case n <= smallBook:
		spare = 2
	case n <= largeBook:
		spare = 1
	}
	x.lg = uint32(max(bits.Len(uint(max(n*8/5<<spare, 1)-1)), minIndex))
	x.tab = make([]uint32, 1<<x.lg)
	x.mask, x.shift = 1<<x.lg-1, 32-x.lg
	x.most, x.used, x.far = 1<<x.lg*5/8>>spare, 0, false
}

// tag is what an entry has beside its slot.
func (x *index) tag(hash uint32) uint32 { return hash >> homeBits << (x.lg & 31) }

// home is where an entry would be if there were no others.
func (x *index) home(hash uint32) uint32 { return hash >> (x.shift & 31) }

// put adds an entry at place j, where lookup has ended, or further on.
func (x *index) put(j, hash, slot uint32) {
	for x.tab[j&x.mask] != 0 {
		j++
	}
	x.tab[j&x.mask] = x.tag(hash) | slot
	x.used++
	if (j-x.home(hash))&x.mask >= maxFar {
		x.far = true
	}
}

// at returns the place of the entry of a slot, which must be there.
func (x *index) at(hash, slot uint32) uint32 {
	want := x.tag(hash) | slot
	j := x.home(hash)
	for x.tab[j&x.mask] != want {
		j++
	}
	return j & x.mask
}

// lookup returns the slot of an open order and its place in the index; slot 0
// if there is none, and then the place is where the id would be put.
func (b *Book) lookup(id uint64, hash uint32) (slot, j uint32) {
	x := &b.ids
	tab, lg, recs := x.tab, x.lg&31, b.recs
	if len(tab) == 0 {
		return 0, 0
	}
	tag, mask := x.tag(hash), uint32(len(tab)-1)
	for j = x.home(hash) & mask; ; j = (j + 1) & mask {
		e := tab[j&uint32(len(tab)-1)]
		if e == 0 {
			return 0, j
		}
		if (e^tag)>>lg == 0 && recs[e&mask].id == id {
			return e & mask, j
		}
	}
}

// enlist adds an order to the index; hint is where lookup has ended.
func (b *Book) enlist(hint, hash, slot uint32) {
	b.ids.put(hint, hash, slot)
	if b.ids.used > b.ids.most {
		b.growIndex()
	}
}

//go:noinline
func (b *Book) growIndex() {
	old, mask := b.ids.tab, b.ids.mask
	b.ids.init(b.ids.most * 2)
	for _, e := range old {
		if e != 0 {
			h := hashID(b.recs[e&mask].id)
			b.ids.put(b.ids.home(h), h, e&mask)
		}
	}
}

// delistFar is delist for a table with entries far from home.
func (b *Book) delistFar(j uint32) {
	x := &b.ids
	k := j
	for {
		k = (k + 1) & x.mask
		e := x.tab[k]
		if e == 0 {
			break
		}
		home := x.home(hashID(b.recs[e&x.mask].id))
		if (k-home)&x.mask >= (k-j)&x.mask {
			x.tab[j] = e
			j = k
		}
	}
	x.tab[j] = 0
}
