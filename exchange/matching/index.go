package matching

import "math/bits"

// index finds the slot of an open order by its id: open addressing with linear
// probing, four bytes an entry, so that the table of a hundred thousand orders
// stays in a second-level cache. The low lg bits of an entry are the slot, the
// others are bits of the id's hash, of which the highest six are the lowest six
// of the entry's home: from them cut knows how far an entry is from home. Entry
// 0 is empty, since slot 0 is never used. Deletion shifts back what follows, so
// there are no tombstones and the table never has to be cleaned. It doubles
// when it is more than 5/8 full.
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
	minIndex = 6 // log2 of the smallest table
	homeBits = 6
	maxFar   = 1<<homeBits - 1
)

func hashID(id uint64) uint32 { return uint32(id * 0x9E3779B97F4A7C15 >> 32) }

// init makes room for n entries.
func (x *index) init(n int) {
	x.lg = uint32(max(bits.Len(uint(n*8/5)), minIndex))
	x.tab = make([]uint32, 1<<x.lg)
	x.mask, x.shift = 1<<x.lg-1, 32-x.lg
	x.most, x.used, x.far = 1<<x.lg*5/8, 0, false
}

// tag is what an entry has beside its slot.
func (x *index) tag(hash uint32) uint32 { return hash >> homeBits << x.lg }

// put adds an entry at place j, where lookup has ended, or further on.
func (x *index) put(j, hash, slot uint32) {
	for x.tab[j&x.mask] != 0 {
		j++
	}
	x.tab[j&x.mask] = x.tag(hash) | slot
	x.used++
	if (j-hash>>x.shift)&x.mask >= maxFar {
		x.far = true
	}
}

// at returns the place of the entry of a slot, which must be there.
func (x *index) at(hash, slot uint32) uint32 {
	want := x.tag(hash) | slot
	j := hash >> x.shift
	for x.tab[j&x.mask] != want {
		j++
	}
	return j & x.mask
}

// lookup returns the slot of an open order and its place in the index; slot 0
// if there is none, and then the place is where the id would be put.
func (b *Book) lookup(id uint64, hash uint32) (slot, j uint32) {
	x := &b.ids
	tab, mask, lg := x.tab, x.mask, x.lg
	tag := x.tag(hash)
	j = hash >> x.shift
	for {
		e := tab[j&mask]
		if (e^tag)>>lg == 0 && e != 0 && b.recs[e&mask].id == id {
			return e & mask, j & mask
		}
		if e == 0 {
			return 0, j & mask
		}
		j++
	}
}

// enlist adds an order to the index; hint is where lookup has ended.
func (b *Book) enlist(hint, hash, slot uint32) {
	b.ids.put(hint, hash, slot)
	if b.ids.used > b.ids.most {
		b.growIndex()
	}
}

func (b *Book) growIndex() {
	old, mask := b.ids.tab, b.ids.mask
	b.ids.init(b.ids.most * 2)
	for _, e := range old {
		if e != 0 {
			h := hashID(b.recs[e&mask].id)
			b.ids.put(h>>b.ids.shift, h, e&mask)
		}
	}
}

// delist removes the entry at place j.
func (b *Book) delist(j uint32) {
	x := &b.ids
	x.used--
	if x.far {
		b.delistFar(j)
		return
	}
	tab, mask := x.tab, x.mask
	k := j
	for {
		k++
		e := tab[k&mask]
		if e == 0 {
			break
		}
		if (k-e>>(32-homeBits))&maxFar >= (k - j) { // it is at home before j
			tab[j&mask] = e
			j = k
		}
	}
	tab[j&mask] = 0
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
		home := hashID(b.recs[e&x.mask].id) >> x.shift
		if (k-home)&x.mask >= (k-j)&x.mask {
			x.tab[j] = e
			j = k
		}
	}
	x.tab[j] = 0
}
