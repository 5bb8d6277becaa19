package matching

import "math/bits"

// index finds the slot of an open order by its id: open addressing with linear
// probing, four bytes an entry, so that the table of a hundred thousand orders
// stays in a near cache. The table's length is a power of two; the low bits of an
// entry, as many as an index into the table has, are the slot, the others are
// bits of the id's hash, of which the highest six are the lowest six of the
// entry's home: from them delist knows how far an entry is from home. Entry 0 is
// empty, since slot 0 is never used. Deletion shifts back what follows, so there
// are no tombstones and the table never has to be cleaned. It grows when it is
// more than 5/8 full, that of a small book when it is more than 5/32 or 5/16 full:
// where entries seldom meet, branches are foretold, as long as the table stays in
// a near cache. It has as many
// entries as there are open orders.
type index struct {
	tab  []uint32
	most int  // grow beyond this
	far  bool // an entry may be so far from home that six bits do not tell
}

const (
	minIndex  = 6 // log2 of the smallest table
	smallBook = 1 << 14
	largeBook = 1 << 16 // from here on the table is as small as can be
	homeBits  = 6
	maxFar    = 1<<homeBits - 1
)

// hashID is the hash of an id; its low bits are where the entry would be if
// there were no others, its home. The factor was searched for: whatever the size
// of the table, it spreads ids that follow one another evenly, as the golden
// ratio does for the high bits.
func hashID(id uint64) uint32 { return uint32(id * 0x4572E252FFC915B3 >> 32) }

// tagOf is a hash arranged as in an entry; the low bits give way to the slot.
func tagOf(hash uint32) uint32 { return bits.RotateLeft32(hash, 32-homeBits) }

// init makes room for n entries.
func (x *index) init(n int) {
	spare := 0 // log2 of how many times more room there is than need be
	switch {
	case n <= smallBook:
		spare = 2
	case n <= largeBook:
		spare = 1
	}
	lg := max(bits.Len(uint(max(n*8/5<<spare, 1)-1)), minIndex)
	x.tab = make([]uint32, 1<<lg)
	x.most, x.far = 1<<lg*5/8>>spare, false
}

// put adds an entry.
func (x *index) put(id uint64, slot uint32) {
	hash, mask := hashID(id), len(x.tab)-1
	j := int(hash)
	for x.tab[j&mask] != 0 {
		j++
	}
	x.tab[j&mask] = tagOf(hash)&^uint32(mask) | slot
	if j-int(hash) >= maxFar {
		x.far = true
	}
}

// at returns the place of the entry of an open order.
func (x *index) at(id uint64, slot uint32) int {
	hash, mask := hashID(id), len(x.tab)-1
	want := tagOf(hash)&^uint32(mask) | slot
	j := int(hash)
	for x.tab[j&mask] != want {
		j++
	}
	return j & mask
}

// lookup returns the slot of an open order and its place in the index; slot 0
// if there is none.
func (b *Book) lookup(id uint64) (slot uint32, j int) {
	hash, tab := hashID(id), b.ids.tab
	mask := len(tab) - 1
	tag := tagOf(hash) &^ uint32(mask)
	for j = int(hash) & mask; ; j = (j + 1) & mask {
		e := tab[j]
		if e == 0 {
			return 0, j
		}
		if slot = e & uint32(mask); e&^uint32(mask) == tag && b.recs[slot].id == id {
			return slot, j
		}
	}
}

// enlist adds an order, which is linked already, to the index.
func (b *Book) enlist(id uint64, slot uint32) {
	b.ids.put(id, slot)
	if b.open > b.ids.most {
		b.growIndex()
	}
}

//go:noinline
func (b *Book) growIndex() {
	old := b.ids.tab
	b.ids.init(b.ids.most * 2)
	for _, e := range old {
		if e != 0 {
			slot := e & uint32(len(old)-1)
			b.ids.put(b.recs[slot].id, slot)
		}
	}
	b.measure()
}

// delist clears place j and shifts back what follows.
func (b *Book) delist(j int) {
	tab, far := b.ids.tab, b.ids.far
	mask := len(tab) - 1
	for k := j; ; {
		k++
		e := tab[k&mask]
		if e == 0 {
			break
		}
		dist := (uint32(k) - e>>(32-homeBits)) & maxFar
		if far {
			dist = uint32((k - int(hashID(b.recs[e&uint32(mask)].id))) & mask)
		}
		if int(dist) >= k-j { // it is at home before j
			tab[j&mask] = e
			j = k
		}
	}
	tab[j&mask] = 0
}
