// Package depth is the order book of a symbol as the public sees it: the open quantity
// of each price level (L2), and the number of the record it belongs to.
//
// A [Book] is fed with the level changes of one record at a time and never shows half
// of one: a record is checked whole before its first level is changed.
//
// A change costs O(log n) to find plus the moving of the levels behind it; a read of
// the best k levels costs O(k). The package does no I/O, reads no clock and starts no
// goroutine; a Book is for one goroutine at a time.
package depth

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Side is the side of a book.
type Side uint8

// The two sides. The zero value is none.
const (
	// Bid is the side of the buyers; its best price is the highest.
	Bid Side = iota + 1
	// Ask is the side of the sellers; its best price is the lowest.
	Ask
)

// Level is a price level.
type Level struct {
	// Price is in quote units for one whole base coin.
	Price int64
	// Quantity is the open quantity in base units.
	Quantity int64
}

// Change is the new absolute quantity of a level; 0 removes it.
type Change struct {
	Side  Side
	Level Level
}

// Errors of Apply. The book is as it was before.
var (
	// ErrGap says that the record is not the one after the last.
	ErrGap = errors.New("depth: record is not the next one")
	// ErrChange says that a change cannot be: no side, a price that is not positive, a
	// negative quantity, a level twice, or the removal of a level that is not there.
	ErrChange = errors.New("depth: impossible change of a level")
)

// Book holds the levels of a symbol. Make it with New.
type Book struct {
	seq  int64
	bids []Level // ascending: the best is last, where changes are cheap
	asks []Level // descending: the best is last
}

// New returns the book after the record seq with those levels, each once; seq 0 and no
// levels is the book before the first record. It returns ErrChange.
func New(seq int64, levels []Change) (*Book, error) {
	b := &Book{}
	for _, c := range levels {
		if c.Level.Quantity == 0 {
			return nil, fmt.Errorf("%w: empty level at %d", ErrChange, c.Level.Price)
		}
	}
	if err := b.Apply(1, levels); err != nil {
		return nil, err
	}
	b.seq = seq
	return b, nil
}

// Seq returns the number of the last record.
func (b *Book) Seq() int64 { return b.seq }

// Apply takes over the changes of the record seq, which must be the next one. It returns
// ErrGap or ErrChange, and then nothing has changed.
func (b *Book) Apply(seq int64, changes []Change) error {
	if seq != b.seq+1 {
		return fmt.Errorf("%w: have %d, got %d", ErrGap, b.seq, seq)
	}
	if err := b.check(changes); err != nil {
		return err
	}
	for _, c := range changes {
		levels, order := b.side(c.Side)
		i, found := slices.BinarySearchFunc(*levels, c.Level.Price, order)
		switch {
		case c.Level.Quantity == 0:
			*levels = slices.Delete(*levels, i, i+1)
		case found:
			(*levels)[i].Quantity = c.Level.Quantity
		default:
			*levels = slices.Insert(*levels, i, c.Level)
		}
	}
	b.seq = seq
	return nil
}

// check looks at all changes before any is made.
func (b *Book) check(changes []Change) error {
	seen := make(map[Change]bool, len(changes))
	for _, c := range changes {
		if c.Side != Bid && c.Side != Ask || c.Level.Price <= 0 || c.Level.Quantity < 0 {
			return fmt.Errorf("%w: side %d, price %d, quantity %d", ErrChange, c.Side, c.Level.Price, c.Level.Quantity)
		}
		key := Change{Side: c.Side, Level: Level{Price: c.Level.Price}}
		if seen[key] {
			return fmt.Errorf("%w: price %d comes twice", ErrChange, c.Level.Price)
		}
		seen[key] = true
		if c.Level.Quantity > 0 {
			continue
		}
		levels, order := b.side(c.Side)
		if _, found := slices.BinarySearchFunc(*levels, c.Level.Price, order); !found {
			return fmt.Errorf("%w: no level at %d to remove", ErrChange, c.Level.Price)
		}
	}
	return nil
}

// side returns the levels of a side and their order.
func (b *Book) side(s Side) (levels *[]Level, order func(Level, int64) int) {
	if s == Bid {
		return &b.bids, func(l Level, price int64) int { return cmp.Compare(l.Price, price) }
	}
	return &b.asks, func(l Level, price int64) int { return cmp.Compare(price, l.Price) }
}

// Best returns the best level of a side, and whether there is one.
func (b *Book) Best(s Side) (Level, bool) {
	levels, _ := b.side(s)
	if len(*levels) == 0 {
		return Level{}, false
	}
	return (*levels)[len(*levels)-1], true
}

// Top returns copies of the best levels of a side, best first, at most limit.
func (b *Book) Top(s Side, limit int) []Level {
	levels, _ := b.side(s)
	top := make([]Level, 0, max(0, min(limit, len(*levels))))
	for _, l := range slices.Backward(*levels) {
		if len(top) == cap(top) {
			break
		}
		top = append(top, l)
	}
	return top
}

// Len returns the number of levels of a side.
func (b *Book) Len(s Side) int {
	levels, _ := b.side(s)
	return len(*levels)
}
