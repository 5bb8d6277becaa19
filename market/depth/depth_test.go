package depth_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mscoin/market/depth"
	"mscoin/mscoin-common/testkit"
)

func change(s depth.Side, price, quantity int64) depth.Change {
	return depth.Change{Side: s, Level: depth.Level{Price: price, Quantity: quantity}}
}

func newBook(t testing.TB, seq int64, levels ...depth.Change) *depth.Book {
	t.Helper()
	b, err := depth.New(seq, levels)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBook_Apply(t *testing.T) {
	b := newBook(t, 7, change(depth.Bid, 100, 1), change(depth.Ask, 110, 2), change(depth.Bid, 99, 3))

	t.Run("levels are best first on both sides", func(t *testing.T) {
		if err := b.Apply(8, []depth.Change{change(depth.Ask, 105, 1), change(depth.Bid, 101, 5), change(depth.Bid, 100, 4)}); err != nil {
			t.Fatal(err)
		}
		if got := b.Top(depth.Bid, 10); !slices.Equal(got, []depth.Level{{101, 5}, {100, 4}, {99, 3}}) {
			t.Errorf("bids %v", got)
		}
		if got := b.Top(depth.Ask, 1); !slices.Equal(got, []depth.Level{{105, 1}}) {
			t.Errorf("asks %v", got)
		}
		if best, ok := b.Best(depth.Ask); !ok || best.Price != 105 {
			t.Errorf("best ask %v, %v", best, ok)
		}
	})
	t.Run("a record that is not the next one is refused", func(t *testing.T) {
		for _, seq := range []int64{0, 7, 8, 10, math.MaxInt64} {
			if err := b.Apply(seq, nil); !errors.Is(err, depth.ErrGap) {
				t.Errorf("seq %d: %v", seq, err)
			}
		}
	})
	t.Run("a record with an impossible change changes nothing", func(t *testing.T) {
		before := fmt.Sprint(b.Top(depth.Bid, 99), b.Top(depth.Ask, 99), b.Seq())
		for name, bad := range map[string]depth.Change{
			"no side":           change(0, 100, 1),
			"unknown side":      change(3, 100, 1),
			"no price":          change(depth.Bid, 0, 1),
			"negative quantity": change(depth.Bid, 100, -1),
			"no such level":     change(depth.Ask, 101, 0),
			"the level twice":   change(depth.Bid, 50, 2),
		} {
			if err := b.Apply(9, []depth.Change{change(depth.Bid, 50, 1), bad}); !errors.Is(err, depth.ErrChange) {
				t.Errorf("%s: %v", name, err)
			}
			if got := fmt.Sprint(b.Top(depth.Bid, 99), b.Top(depth.Ask, 99), b.Seq()); got != before {
				t.Fatalf("%s: the book is now %s", name, got)
			}
		}
	})
	t.Run("what Top returns does not change later", func(t *testing.T) {
		top := b.Top(depth.Bid, 3)
		kept := slices.Clone(top)
		if err := b.Apply(9, []depth.Change{change(depth.Bid, 101, 9), change(depth.Bid, 100, 0)}); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(top, kept) {
			t.Errorf("%v became %v", kept, top)
		}
	})
	t.Run("limits below one return nothing", func(t *testing.T) {
		if len(b.Top(depth.Bid, 0)) != 0 || len(b.Top(depth.Ask, -1)) != 0 {
			t.Error("levels were returned")
		}
	})
	t.Run("an empty level cannot be loaded", func(t *testing.T) {
		if _, err := depth.New(1, []depth.Change{change(depth.Bid, 1, 0)}); !errors.Is(err, depth.ErrChange) {
			t.Error(err)
		}
	})
}

// naive is the obvious book.
type naive map[depth.Side]map[int64]int64

func (n naive) top(s depth.Side, limit int) []depth.Level {
	levels := make([]depth.Level, 0, len(n[s]))
	for price, quantity := range n[s] {
		levels = append(levels, depth.Level{Price: price, Quantity: quantity})
	}
	slices.SortFunc(levels, func(a, b depth.Level) int {
		if (a.Price > b.Price) == (s == depth.Bid) {
			return -1
		}
		return 1
	})
	return levels[:min(limit, len(levels))]
}

// randomChanges changes some levels, each once.
func (n naive) randomChanges(rng *rand.Rand) []depth.Change {
	var changes []depth.Change
	used := map[[2]int64]bool{}
	for range rng.IntN(6) {
		side, price := depth.Side(1+rng.IntN(2)), 1+rng.Int64N(40)
		if used[[2]int64{int64(side), price}] {
			continue
		}
		used[[2]int64{int64(side), price}] = true
		quantity := rng.Int64N(5)
		if _, there := n[side][price]; quantity == 0 && !there {
			continue
		}
		if quantity == 0 {
			delete(n[side], price)
		} else {
			n[side][price] = quantity
		}
		changes = append(changes, change(side, price, quantity))
	}
	return changes
}

func TestBook_agreesWithNaive(t *testing.T) {
	rng := testkit.Rand(t)
	for range 200 {
		n := naive{depth.Bid: {}, depth.Ask: {}}
		b := newBook(t, 0)
		for seq := int64(1); seq <= 100; seq++ {
			if err := b.Apply(seq, n.randomChanges(rng)); err != nil {
				t.Fatal(err)
			}
			limit := rng.IntN(50)
			for _, side := range []depth.Side{depth.Bid, depth.Ask} {
				if got, want := b.Top(side, limit), n.top(side, limit); !slices.Equal(got, want) {
					t.Fatalf("seq %d, side %d, limit %d: got %v, want %v", seq, side, limit, got, want)
				}
				if b.Len(side) != len(n[side]) {
					t.Fatalf("seq %d: %d levels, want %d", seq, b.Len(side), len(n[side]))
				}
			}
			if rng.IntN(20) == 0 { // as after a restart
				var all []depth.Change
				for side, levels := range n {
					for price, quantity := range levels {
						all = append(all, change(side, price, quantity))
					}
				}
				b = newBook(t, seq, all...)
			}
		}
	}
}

func ExampleBook() {
	b, err := depth.New(0, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	err = b.Apply(1, []depth.Change{
		{Side: depth.Bid, Level: depth.Level{Price: 59_000, Quantity: 2}},
		{Side: depth.Bid, Level: depth.Level{Price: 59_500, Quantity: 1}},
	})
	fmt.Println(b.Seq(), b.Top(depth.Bid, 5), err)
	// Output: 1 [{59500 1} {59000 2}] <nil>
}

func BenchmarkBook_Apply(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	levels := make([]depth.Change, 0, 10_000)
	for i := range int64(5000) {
		levels = append(levels, change(depth.Bid, 5000-i, 1), change(depth.Ask, 5001+i, 1))
	}
	book := newBook(b, 0, levels...)
	b.ReportAllocs()
	for seq := int64(1); b.Loop(); seq++ {
		price := 5000 - rng.Int64N(20)
		if err := book.Apply(seq, []depth.Change{change(depth.Bid, price, seq)}); err != nil {
			b.Fatal(err)
		}
	}
}
