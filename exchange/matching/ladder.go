package matching

import (
	"math"
	"math/bits"
)

// A ladder is one side's price levels in order. Prices are mapped to keys so
// that the smaller key is always the better one. 1<<pageShift neighbouring
// keys share a page, with one bit for each level that has orders. The pages
// are found by a small direct-mapped cache, behind it by a crit-bit tree; they
// are linked in order, so the next best level is a bit scan and at most one
// hop away. A lone far-away price costs one page.
type ladder struct {
	best   int64  // key of the best level, noKey if there is none
	bestAt uint32 // reference to it, 0 if there is none
	first  uint32 // best page
	root   uint32 // of the crit-bit tree: a page, or node | inner
	n      uint32 // number of the ladder

	// What follows is for Apply, which has no time for branches on the side:
	// a key is price ^ mask + shift, as in keyOf, and a lot of an order on the
	// ladder holds price × quote + base.
	mask, shift int64
	quote, base int64
	_           [8]byte // one cache line
}

const (
	pageShift = 5
	pageMask  = 1<<pageShift - 1
	cacheSize = 1024
	inner     = 1 << 31 // marks a reference to a node of the tree, not to a page
	noKey     = math.MaxInt64
	noPage    = -1 // key of a page that is not in use
)

// level is a queue of orders at one price, oldest first.
type level struct {
	qty        int64 // open lots; of waiting orders it may wrap around, and nobody asks
	head, tail uint32
}

// page holds neighbouring levels. A level is referred to by its page's slot <<
// pageShift | its place in the page; one that is not used is all zero.
type page struct {
	key        int64   // of its levels, without the low bits
	used       uint64  // levels with orders
	next, prev uint32  // worse, better
	_          [8]byte // no level is in two cache lines
	levels     [1 << pageShift]level
}

// node of a crit-bit tree: the two sides of the highest bit in which the keys
// below it differ.
type node struct {
	child [2]uint32
	bit   uint32
}

// pageSlab holds the pages and tree nodes of all ladders of a book. Slot 0 of
// each is never used; free ones are chained through next and child[0].
type pageSlab struct {
	pages    []page
	nodes    []node
	freePage uint32
	freeNode uint32
	cache    [4][cacheSize]uint32 // of the ladders: page key to page
}

const minPages = 4

func (s *pageSlab) init(pages int) {
	s.pages = append(make([]page, 0, pages+1), page{key: noPage})
	s.nodes = append(make([]node, 0, pages+1), node{})
}

func (s *pageSlab) newPage(key int64) uint32 {
	p := s.freePage
	if p != 0 {
		s.freePage = s.pages[p].next
	} else {
		n := len(s.pages)
		p = uint32(n)
		if n == cap(s.pages) {
			s.pages = append(make([]page, 0, grown(n+1)), s.pages...)
		}
		s.pages = s.pages[:n+1]
	}
	pg := &s.pages[p]
	pg.key, pg.used, pg.next, pg.prev = key, 0, 0, 0
	return p
}

// at returns the level of a reference.
func (s *pageSlab) at(ref uint32) *level {
	return &s.pages[ref>>pageShift].levels[ref&pageMask]
}

func (s *pageSlab) newNode(n node) uint32 {
	i := s.freeNode
	if i != 0 {
		s.freeNode = s.nodes[i].child[0]
		s.nodes[i] = n
		return i
	}
	s.nodes = append(s.nodes, n)
	return uint32(len(s.nodes) - 1)
}

// leaf walks down to the only page that can have a key.
func (s *pageSlab) leaf(ref uint32, key int64) uint32 {
	for ref&inner != 0 {
		n := &s.nodes[ref&^inner]
		ref = n.child[key>>n.bit&1]
	}
	return ref
}

// edge returns the lowest (end 0) or highest (end 1) page under a reference.
func (s *pageSlab) edge(ref uint32, end int) uint32 {
	for ref&inner != 0 {
		ref = s.nodes[ref&^inner].child[end]
	}
	return ref
}

// find returns the page of a page key, 0 if there is none.
func (l *ladder) find(s *pageSlab, key int64) uint32 {
	if p := s.cache[l.n&3][key&(cacheSize-1)]; s.pages[p].key == key {
		return p
	}
	p := s.leaf(l.root, key)
	if s.pages[p].key != key {
		return 0
	}
	s.cache[l.n&3][key&(cacheSize-1)] = p
	return p
}

// page returns the page of a page key, made if need be.
func (l *ladder) page(s *pageSlab, key int64) uint32 {
	if p := l.find(s, key); p != 0 {
		return p
	}
	return l.insert(s, key)
}

// insert makes a page, with no levels yet.
func (l *ladder) insert(s *pageSlab, key int64) uint32 {
	p := s.newPage(key)
	s.cache[l.n&3][key&(cacheSize-1)] = p
	if l.root == 0 {
		l.root, l.first = p, p
		return p
	}
	near := s.pages[s.leaf(l.root, key)].key
	bit := uint32(63 - bits.LeadingZeros64(uint64(key^near)))
	ref := &l.root
	for *ref&inner != 0 && s.nodes[*ref&^inner].bit > bit {
		n := &s.nodes[*ref&^inner]
		ref = &n.child[key>>n.bit&1]
	}
	below := *ref
	n := node{bit: bit}
	dir := int(key >> bit & 1)
	n.child[dir], n.child[dir^1] = p, below
	var prev, next uint32
	if dir == 1 {
		prev = s.edge(below, 1)
		next = s.pages[prev].next
	} else {
		next = s.edge(below, 0)
		prev = s.pages[next].prev
	}
	s.pages[p].prev, s.pages[p].next = prev, next
	if prev != 0 {
		s.pages[prev].next = p
	} else {
		l.first = p
	}
	if next != 0 {
		s.pages[next].prev = p
	}
	// The node last: ref points into the slab, which may move when it grows.
	if s.freeNode != 0 || len(s.nodes) < cap(s.nodes) {
		*ref = s.newNode(n) | inner
		return p
	}
	s.nodes = append(make([]node, 0, grown(len(s.nodes)+1)), s.nodes...)
	l.relink(s, key, below, s.newNode(n)|inner)
	return p
}

// relink replaces the reference old on the way to key.
func (l *ladder) relink(s *pageSlab, key int64, old, new uint32) {
	ref := &l.root
	for *ref != old {
		n := &s.nodes[*ref&^inner]
		ref = &n.child[key>>n.bit&1]
	}
	*ref = new
}

// drop removes a page without levels.
func (l *ladder) drop(s *pageSlab, p uint32) {
	pg := &s.pages[p]
	key := pg.key
	if pg.prev != 0 {
		s.pages[pg.prev].next = pg.next
	} else {
		l.first = pg.next
	}
	if pg.next != 0 {
		s.pages[pg.next].prev = pg.prev
	}
	if c := &s.cache[l.n&3][key&(cacheSize-1)]; *c == p {
		*c = 0
	}
	pg.key, pg.next, s.freePage = noPage, s.freePage, p
	if l.root == p {
		l.root = 0
		return
	}
	ref := &l.root
	for {
		i := *ref &^ inner
		n := &s.nodes[i]
		dir := key >> n.bit & 1
		if n.child[dir] == p {
			*ref = n.child[dir^1]
			n.child[0], s.freeNode = s.freeNode, i
			return
		}
		ref = &n.child[dir]
	}
}

// scan finds the best level again.
func (l *ladder) scan(s *pageSlab) {
	if l.first == 0 {
		l.best, l.bestAt = noKey, 0
		return
	}
	p := &s.pages[l.first]
	at := bits.TrailingZeros64(p.used)
	l.best, l.bestAt = p.key<<pageShift|int64(at), l.first<<pageShift|uint32(at)
}

// grown is the capacity for a slab that must hold n: twice while it is small,
// a quarter more when that would waste a lot.
func grown(n int) int {
	if n < 1<<16 {
		return max(2*n, 16)
	}
	return n + n/4
}
