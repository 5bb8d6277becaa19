// Package workload makes reproducible streams of orders for tests and
// benchmarks of order books, knows with a simple book of its own what a correct
// one must answer, and measures the least that any book with an id index has to
// do. It uses integers only, so that a seed means the same on every machine.
package workload

import "slices"

// Kinds of Step.
const (
	Place uint8 = iota
	Cancel
	Market
)

// Times in force of a placed order.
const (
	GTC uint8 = iota
	IOC
	FOK
	PostOnly
)

// Sides.
const (
	Buy  uint8 = 0
	Sell uint8 = 1
)

// Step is one command: 32 bytes.
type Step struct {
	Kind, Side, TIF uint8
	ID              uint64
	Price, Qty      int64 // ticks and lots; the price of a market order is 0
}

// Fill is one trade that the oracle expects.
type Fill struct {
	Maker      uint64
	Price, Qty int64
	Done       bool // the maker is filled
}

// Answer is what a step must lead to, besides its fills.
type Answer uint8

// Answers.
const (
	Rested   Answer = iota // all or the rest of it is in the book
	Finished               // filled, or the rest has expired
	Refused                // post-only that would cross, FOK that cannot fill
	Canceled
	Unknown // nothing there to cancel
)

// Oracle is a book that is simple to believe: a map from price to the orders
// in the sequence of their arrival, and a sorted list of the prices.
type Oracle struct {
	orders map[uint64]*entry
	queues [2]map[int64][]*entry
	prices [2][]int64 // ascending rank, best first
	alive  []*entry
	Fills  []Fill // of the last step
}

type entry struct {
	id         uint64
	side       uint8
	price, qty int64
	index      int // in alive
}

// NewOracle returns an empty book.
func NewOracle() *Oracle {
	return &Oracle{orders: map[uint64]*entry{}, queues: [2]map[int64][]*entry{{}, {}}}
}

// rank orders the prices of a side: the better, the smaller.
func rank(side uint8, price int64) int64 {
	if side == Buy {
		return -price
	}
	return price
}

// Best returns the best price of a side.
func (o *Oracle) Best(side uint8) (int64, bool) {
	if len(o.prices[side]) == 0 {
		return 0, false
	}
	return rank(side, o.prices[side][0]), true
}

// Resting returns the number of orders, Levels that of prices.
func (o *Oracle) Resting() int { return len(o.alive) }

// Levels returns the number of prices with orders.
func (o *Oracle) Levels() int { return len(o.prices[0]) + len(o.prices[1]) }

// Alive reports whether an order is in the book.
func (o *Oracle) Alive(id uint64) bool { return o.orders[id] != nil }

// Each calls yield for the orders of a side by priority.
func (o *Oracle) Each(side uint8, yield func(id uint64, price, qty int64)) {
	for _, r := range o.prices[side] {
		for _, e := range o.queues[side][rank(side, r)] {
			yield(e.id, e.price, e.qty)
		}
	}
}

// Do executes a step.
func (o *Oracle) Do(s *Step) Answer {
	o.Fills = o.Fills[:0]
	if s.Kind == Cancel {
		e := o.orders[s.ID]
		if e == nil {
			return Unknown
		}
		o.remove(e)
		return Canceled
	}
	if s.Kind == Place {
		matchable := o.matchable(s)
		if s.TIF == PostOnly && matchable > 0 || s.TIF == FOK && matchable < s.Qty {
			return Refused
		}
	}
	left := o.match(s)
	if left == 0 || s.Kind == Market || s.TIF == IOC || s.TIF == FOK {
		return Finished
	}
	e := &entry{id: s.ID, side: s.Side, price: s.Price, qty: left, index: len(o.alive)}
	o.alive = append(o.alive, e)
	o.orders[e.id] = e
	q := o.queues[e.side]
	if len(q[e.price]) == 0 {
		i, _ := slices.BinarySearch(o.prices[e.side], rank(e.side, e.price))
		o.prices[e.side] = slices.Insert(o.prices[e.side], i, rank(e.side, e.price))
	}
	q[e.price] = append(q[e.price], e)
	return Rested
}

// matchable returns how many lots a limit order could trade at once, up to its
// own quantity.
func (o *Oracle) matchable(s *Step) int64 {
	var sum int64
	for _, r := range o.prices[s.Side^1] {
		if r > rank(s.Side^1, s.Price) || sum >= s.Qty {
			break
		}
		for _, e := range o.queues[s.Side^1][rank(s.Side^1, r)] {
			sum += e.qty
		}
	}
	return min(sum, s.Qty)
}

func (o *Oracle) match(s *Step) (left int64) {
	left = s.Qty
	for left > 0 && len(o.prices[s.Side^1]) > 0 {
		r := o.prices[s.Side^1][0]
		if s.Kind == Place && r > rank(s.Side^1, s.Price) {
			break
		}
		e := o.queues[s.Side^1][rank(s.Side^1, r)][0]
		n := min(left, e.qty)
		left -= n
		e.qty -= n
		o.Fills = append(o.Fills, Fill{Maker: e.id, Price: e.price, Qty: n, Done: e.qty == 0})
		if e.qty == 0 {
			o.remove(e)
		}
	}
	return left
}

func (o *Oracle) remove(e *entry) {
	last := o.alive[len(o.alive)-1]
	last.index = e.index
	o.alive[e.index] = last
	o.alive = o.alive[:len(o.alive)-1]
	delete(o.orders, e.id)
	q := o.queues[e.side]
	if len(q[e.price]) > 1 {
		if q[e.price][0] == e {
			q[e.price] = q[e.price][1:]
		} else {
			i := slices.Index(q[e.price], e)
			q[e.price] = slices.Delete(q[e.price], i, i+1)
		}
		return
	}
	delete(q, e.price)
	i, _ := slices.BinarySearch(o.prices[e.side], rank(e.side, e.price))
	o.prices[e.side] = slices.Delete(o.prices[e.side], i, i+1)
}
