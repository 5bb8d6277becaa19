package workload

import (
	"math/bits"
)

// Shape says what a stream looks like.
type Shape struct {
	Name    string
	Steps   int    // after the book has been filled
	Resting int    // orders that the book hovers about, and is filled with first
	Wide    int64  // half of the passive orders are uniform over so many ticks; 0: all near the touch
	TIF     bool   // IOC, FOK and post-only orders too
	IDs     string // "gaps" (rising), "dense" (1, 2, 3 …), "scrambled" (64 bits, no order)
}

// Shapes are those that a book has to stand: the everyday one, wide and deep
// ones, very long queues, other ids, every time in force, and a tiny book.
func Shapes(steps int) []Shape {
	return []Shape{
		{Name: "base", Steps: steps, Resting: 5_000, IDs: "gaps"},
		{Name: "deep", Steps: steps, Resting: 100_000, Wide: 8_192, IDs: "gaps"},
		{Name: "wall", Steps: steps, Resting: 100_000, IDs: "gaps"},
		{Name: "1M", Steps: steps, Resting: 1_000_000, Wide: 32_768, IDs: "gaps"},
		{Name: "scrambled", Steps: steps, Resting: 5_000, IDs: "scrambled"},
		{Name: "dense", Steps: steps, Resting: 5_000, IDs: "dense"},
		{Name: "tif", Steps: steps, Resting: 5_000, TIF: true, IDs: "gaps"},
		{Name: "tiny", Steps: steps, Resting: 5, TIF: true, IDs: "gaps"},
	}
}

const startPrice = 6_000_000

// random is splitmix64.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9E3779B97F4A7C15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (r *random) below(n int) int {
	hi, _ := bits.Mul64(r.next(), uint64(n))
	return int(hi)
}

// tail draws from 0 up, n or more about once in n, less than 1<<bound.
func (r *random) tail(bound int) int64 {
	k := min(bits.TrailingZeros64(r.next()), bound-1)
	return int64(1)<<k - 1 + int64(r.below(1<<k))
}

type generator struct {
	Shape
	random
	book   *Oracle
	mid    int64
	id     uint64
	recent [4096]uint64 // the last orders that came to rest
	n      int
	gone   uint64 // one that was filled
	steps  []Step
}

// Generate makes the steps of a shape: first preload steps that fill the book,
// then Shape.Steps that keep it about as full: 46 % passive limit orders, 44 %
// cancels (mostly of young orders, some too late), 8 % crossing limit orders,
// 2 % market orders, around a price that walks.
func Generate(s Shape, seed uint64) (steps []Step, preload int) {
	g := &generator{Shape: s, random: random(seed), book: NewOracle(), mid: startPrice}
	for g.book.Resting() < s.Resting {
		g.passive()
	}
	preload = len(g.steps)
	for len(g.steps) < preload+s.Steps {
		g.walk()
		x := g.below(1000)
		lack := 1000 * (s.Resting - g.book.Resting()) / s.Resting
		switch {
		case x < 20:
			g.market()
		case x < 100:
			g.crossing()
		case x < 560+min(max(4*lack, -200), 200):
			g.passive()
		default:
			g.cancel()
		}
	}
	return g.steps, preload
}

func (g *generator) walk() {
	switch x := g.below(65_536); {
	case x == 0:
		g.mid += int64(g.below(1024)) - 512
	case x < 16_384:
		g.mid += int64(g.below(9)) - 4
	}
}

func (g *generator) emit(s Step) {
	g.steps = append(g.steps, s)
	if g.book.Do(&s) == Rested {
		g.recent[g.n%len(g.recent)] = s.ID
		g.n++
	}
	for _, f := range g.book.Fills {
		if f.Done {
			g.gone = f.Maker
		}
	}
}

func (g *generator) newID() uint64 {
	switch g.IDs {
	case "dense":
		g.id++
	case "scrambled":
		g.id++
		r := random(g.id)
		return r.next()>>1 | 1
	default:
		g.id += 1 + uint64(g.below(6))
	}
	return g.id
}

func (g *generator) lots() int64 {
	if g.below(8) == 0 {
		return 10 * int64(1+g.below(100))
	}
	return int64(1 + g.below(100))
}

// passive places an order that rests.
func (g *generator) passive() {
	side := uint8(g.below(2))
	away := int64(1) - 2*int64(side^1) // +1 for a sell
	s := Step{Kind: Place, Side: side, ID: g.newID(), Qty: g.lots()}
	own, ok := g.book.Best(side)
	switch x := g.below(1000); {
	case x < 5: // far out
		s.Price = g.mid + away*int64(1<<16+g.below(1<<20))
	case x < 250 && ok && g.Wide == 0 && (own-g.mid)*away > -32: // at the touch
		s.Price = own
	case x < 600 && g.Wide > 0:
		s.Price = g.mid + away*int64(1+g.below(int(g.Wide)))
	default:
		s.Price = g.mid + away*(1+g.tail(11))
	}
	if other, ok := g.book.Best(side ^ 1); ok && (s.Price-other)*away <= 0 {
		s.Price = other + away*(1+g.tail(4))
		if g.TIF && g.below(10) == 0 {
			s.TIF, s.Price = PostOnly, other // to be refused
		}
	}
	if g.TIF && g.below(10) == 0 {
		s.TIF = PostOnly
	}
	g.emit(s)
}

// taking chooses the side of an order that takes, so that the touch follows mid.
func (g *generator) taking() (side uint8, touch int64, ok bool) {
	bid, ok1 := g.book.Best(Buy)
	ask, ok2 := g.book.Best(Sell)
	if !ok1 && !ok2 {
		return 0, 0, false
	}
	odds := min(max(50+2*(g.mid-(bid+ask)/2), 5), 95)
	if ok2 && (!ok1 || int64(g.below(100)) < odds) {
		return Buy, ask, true
	}
	return Sell, bid, true
}

func (g *generator) crossing() {
	side, touch, ok := g.taking()
	if !ok {
		return
	}
	through := g.tail(5)
	if side == Sell {
		through = -through
	}
	s := Step{Kind: Place, Side: side, ID: g.newID(), Price: touch + through, Qty: int64(1 + g.below(150))}
	if g.TIF {
		s.TIF = []uint8{GTC, GTC, IOC, IOC, FOK}[g.below(5)]
	}
	g.emit(s)
}

func (g *generator) market() {
	if side, _, ok := g.taking(); ok {
		g.emit(Step{Kind: Market, Side: side, ID: g.newID(), Qty: g.lots()})
	}
}

func (g *generator) cancel() {
	if g.book.Resting() == 0 {
		return
	}
	x := g.below(100)
	if x < 2 && g.gone != 0 {
		g.emit(Step{Kind: Cancel, ID: g.gone})
		return
	}
	for try := 0; x < 60 && try < 8; try++ {
		if age := int(g.tail(12)); age < g.n {
			if id := g.recent[(g.n-1-age)%len(g.recent)]; g.book.Alive(id) {
				g.emit(Step{Kind: Cancel, ID: id})
				return
			}
		}
	}
	g.emit(Step{Kind: Cancel, ID: g.book.alive[g.below(g.book.Resting())].id})
}
