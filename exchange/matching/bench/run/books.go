package run

import (
	"container/list"
	"slices"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/workload"
)

// Step is one command of the workload; the constants tell its kinds.
type Step = workload.Step

// What a Step can be.
const (
	Place    = workload.Place
	Cancel   = workload.Cancel
	Market   = workload.Market
	GTC      = workload.GTC
	IOC      = workload.IOC
	FOK      = workload.FOK
	PostOnly = workload.PostOnly
	Buy      = workload.Buy
)

// Rival is a book to compare with.
type Rival struct {
	Name string
	New  func(capacity int) Runner
}

// Runner executes step i of a workload.
type Runner interface {
	Do(i int, s *Step)
}

// ours is the book under test, events written into a buffer that is used again.
type ours struct {
	book          *matching.Book
	place, cancel matching.Command
	out           []matching.Event
}

func newOurs(capacity int) Runner {
	o := &ours{book: matching.New(matching.WithCapacity(capacity)), out: make([]matching.Event, 0, 4096)}
	o.book.Apply(&matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
		BaseUnitsPerLot: 1000, QuoteUnitsPerTickLot: 10, MaxPrice: 1 << 40, MaxQty: 1 << 20,
	}}, nil)
	o.place = matching.Command{
		Op: matching.OpPlace, STP: matching.STPNone, Hold: 1 << 62, MakerFeePpm: 1000, TakerFeePpm: 1000,
	}
	o.cancel = matching.Command{Op: matching.OpCancel}
	return o
}

func (o *ours) Do(_ int, s *Step) {
	if s.Kind == Cancel {
		o.cancel.OrderID = s.ID
		o.out = o.book.Apply(&o.cancel, o.out[:0])
		return
	}
	c := &o.place
	c.OrderID, c.MemberID, c.Price, c.Qty = s.ID, s.ID&0xffff, s.Price, s.Qty
	c.Side, c.TIF, c.Type = matching.Side(s.Side), matching.TimeInForce(s.TIF+1), matching.Limit
	if s.Kind == Market {
		c.Type = matching.Market
	}
	o.out = o.book.Apply(c, o.out[:0])
}

// textbook is a book as one finds it in books: maps, linked lists and a sorted
// slice of prices, without events, fees or checks. Most Go libraries are built
// like this.
type textbook struct {
	orders map[uint64]*list.Element
	levels [2]map[int64]*list.List
	prices [2][]int64 // best first
}

type textOrder struct {
	id         uint64
	side       uint8
	price, qty int64
}

func newTextbook(capacity int) Runner {
	return &textbook{
		orders: make(map[uint64]*list.Element, capacity), levels: [2]map[int64]*list.List{{}, {}},
	}
}

func (b *textbook) compare(side uint8) func(a, c int64) int {
	if side == Buy {
		return func(a, c int64) int { return int(c - a) }
	}
	return func(a, c int64) int { return int(a - c) }
}

func (b *textbook) Do(_ int, s *Step) {
	if s.Kind == Cancel {
		if e := b.orders[s.ID]; e != nil {
			b.remove(e)
		}
		return
	}
	left := s.Qty
	opposite := s.Side ^ 1
	for left > 0 && len(b.prices[opposite]) > 0 {
		best := b.prices[opposite][0]
		if s.Kind == Place && (s.Side == Buy && best > s.Price || s.Side != Buy && best < s.Price) {
			break
		}
		e := b.levels[opposite][best].Front()
		m := e.Value.(*textOrder)
		n := min(left, m.qty)
		left, m.qty = left-n, m.qty-n
		if m.qty == 0 {
			b.remove(e)
		}
	}
	if left == 0 || s.Kind == Market || s.TIF != GTC {
		return
	}
	l := b.levels[s.Side][s.Price]
	if l == nil {
		l = list.New()
		b.levels[s.Side][s.Price] = l
		i, _ := slices.BinarySearchFunc(b.prices[s.Side], s.Price, b.compare(s.Side))
		b.prices[s.Side] = slices.Insert(b.prices[s.Side], i, s.Price)
	}
	b.orders[s.ID] = l.PushBack(&textOrder{s.ID, s.Side, s.Price, left})
}

func (b *textbook) remove(e *list.Element) {
	o := e.Value.(*textOrder)
	l := b.levels[o.side][o.price]
	l.Remove(e)
	delete(b.orders, o.id)
	if l.Len() > 0 {
		return
	}
	delete(b.levels[o.side], o.price)
	i, _ := slices.BinarySearchFunc(b.prices[o.side], o.price, b.compare(o.side))
	b.prices[o.side] = slices.Delete(b.prices[o.side], i, i+1)
}
