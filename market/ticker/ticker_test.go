package ticker_test

import (
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"mscoin/market/ticker"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/testkit"
)

const startMs = int64(1_767_322_800_000) // on a minute

func trade(id, price, quantity, timeMs int64) ticker.Trade {
	return ticker.Trade{ID: id, Price: price, Quantity: quantity, Turnover: price * quantity, TimeMs: timeMs}
}

func TestWindow_At(t *testing.T) {
	var w ticker.Window

	t.Run("an empty window has no trade", func(t *testing.T) {
		s := w.At(startMs)
		if s.Count != 0 || s.First.ID != 0 || s.High != 0 || s.Low != 0 || s.Volume != (ticker.Sum{}) || s.LastEver.ID != 0 {
			t.Fatalf("%+v", s)
		}
		if s.OpenTimeMs != startMs-1439*60_000 || s.CloseTimeMs != startMs {
			t.Fatalf("from %d to %d", s.OpenTimeMs, s.CloseTimeMs)
		}
	})
	w.Add(trade(1, 100, 5, startMs))
	w.Add(trade(2, 90, 1, startMs+1))
	w.Add(trade(3, 110, 2, startMs+59_999))
	w.Add(trade(4, 105, 2, startMs+60_000))
	t.Run("trades are summed up", func(t *testing.T) {
		s := w.At(startMs + 60_000)
		if s.First.Price != 100 || s.Last != (ticker.Mark{ID: 4, Price: 105, Quantity: 2}) || s.High != 110 || s.Low != 90 ||
			s.Volume != ticker.SumOf(10) || s.Turnover != ticker.SumOf(500+90+220+210) || s.Count != 4 || s.PreviousClose.ID != 0 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("a minute leaves the window whole, 24 hours after its beginning", func(t *testing.T) {
		if s := w.At(startMs + ticker.WindowMs - 1); s.Count != 4 {
			t.Fatalf("%+v", s)
		}
		s := w.At(startMs + ticker.WindowMs)
		if s.Count != 1 || s.First.ID != 4 || s.PreviousClose != (ticker.Mark{ID: 3, Price: 110, Quantity: 2}) || s.High != 105 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("the last price has any age", func(t *testing.T) {
		s := w.At(startMs + 10*ticker.WindowMs)
		if s.Count != 0 || s.LastEver.Price != 105 || s.PreviousClose.Price != 105 || s.Last.ID != 0 || s.High != 0 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("reading changes nothing", func(t *testing.T) {
		if s := w.At(startMs); s.Count != 4 {
			t.Fatalf("%+v", s)
		}
	})
	t.Run("a trade of an older minute finds its place", func(t *testing.T) {
		w.Add(trade(5, 1, 1, startMs-60_000))
		s := w.At(startMs)
		if s.Low != 1 || s.Last.ID != 5 || s.First.ID != 1 || s.Count != 5 {
			t.Fatalf("%+v", s)
		}
	})
}

// naive looks at all trades each time.
func naive(trades []ticker.Trade, nowMs int64) ticker.Stats {
	s := ticker.Stats{OpenTimeMs: (nowMs/60_000 - 1439) * 60_000, CloseTimeMs: nowMs}
	volume, turnover := new(big.Int), new(big.Int)
	for _, t := range trades {
		mark := ticker.Mark{ID: t.ID, Price: t.Price, Quantity: t.Quantity}
		if t.ID > s.LastEver.ID {
			s.LastEver = mark
		}
		if t.TimeMs < s.OpenTimeMs {
			if t.ID > s.PreviousClose.ID {
				s.PreviousClose = mark
			}
			continue
		}
		if s.Count == 0 || t.ID < s.First.ID {
			s.First = mark
		}
		if t.ID > s.Last.ID {
			s.Last = mark
		}
		if s.Count == 0 || t.Price > s.High {
			s.High = t.Price
		}
		if s.Count == 0 || t.Price < s.Low {
			s.Low = t.Price
		}
		volume.Add(volume, big.NewInt(t.Quantity))
		turnover.Add(turnover, big.NewInt(t.Turnover))
		s.Count++
	}
	s.Volume, s.Turnover = sumOf(volume), sumOf(turnover)
	return s
}

func sumOf(n *big.Int) ticker.Sum {
	billions, rest := new(big.Int).QuoRem(n, big.NewInt(1e9), new(big.Int))
	return ticker.SumOfParts(billions.Int64(), rest.Int64())
}

// walk makes trades at times that mostly grow, sometimes jump, and sometimes go back.
func walk(rng *rand.Rand, visit func(trades []ticker.Trade, nowMs int64)) {
	now := startMs + rng.Int64N(60_000)
	var trades []ticker.Trade
	for id := int64(1); id <= 60; id++ {
		switch rng.IntN(8) {
		case 0:
			now += rng.Int64N(30 * 3600_000)
		case 1, 2:
			now += rng.Int64N(2 * 3600_000)
		default:
			now += rng.Int64N(90_000)
		}
		t := ticker.Trade{
			ID: id, Price: 1 + rng.Int64N(1000), Quantity: 1 + rng.Int64N(math.MaxInt64), Turnover: 1 + rng.Int64N(math.MaxInt64), TimeMs: now,
		}
		if rng.IntN(6) == 0 {
			t.TimeMs -= rng.Int64N(5 * 60_000) // the log's time went back a little
		}
		trades = append(trades, t)
		visit(trades, now+rng.Int64N(120_000))
	}
}

func TestWindow_agreesWithNaive(t *testing.T) {
	rng := testkit.Rand(t)
	for range 300 {
		var w ticker.Window
		walk(rng, func(trades []ticker.Trade, nowMs int64) {
			w.Add(trades[len(trades)-1])
			if got, want := w.At(nowMs), naive(trades, nowMs); got != want {
				t.Fatalf("after %d trades at %d:\ngot  %+v\nwant %+v", len(trades), nowMs, got, want)
			}
		})
	}
}

func TestWindow_loadedFromMinutes(t *testing.T) {
	rng := testkit.Rand(t)
	for range 100 {
		walk(rng, func(trades []ticker.Trade, nowMs int64) {
			if rng.IntN(10) != 0 {
				return
			}
			// As a restart does: minutes of the window from a query, and the last trade before.
			var w ticker.Window
			oldest := ticker.MinuteOf(nowMs) - ticker.WindowMinutes + 1
			order := rng.Perm(len(trades))
			for _, i := range order {
				one := trades[i]
				if mark := (ticker.Mark{ID: one.ID, Price: one.Price, Quantity: one.Quantity}); ticker.MinuteOf(one.TimeMs) < oldest {
					w.AddBefore(mark)
				} else {
					w.AddMinute(ticker.Minute{
						Minute: ticker.MinuteOf(one.TimeMs), First: mark, Last: mark, High: one.Price, Low: one.Price, Count: 1,
						Volume: ticker.SumOf(one.Quantity), Turnover: ticker.SumOf(one.Turnover),
					})
				}
			}
			if got, want := w.At(nowMs), naive(trades, nowMs); got != want {
				t.Fatalf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestSum_Text(t *testing.T) {
	t.Run("small sums look as money.Format writes them", func(t *testing.T) {
		for _, units := range []int64{0, 1, 99, 100, 12345678, 123456789, math.MaxInt64} {
			for scale := 0; scale <= money.MaxScale; scale++ {
				if got, want := ticker.SumOf(units).Text(scale), money.Format(units, scale); got != want {
					t.Errorf("%d at scale %d: got %s, want %s", units, scale, got, want)
				}
			}
		}
	})
	t.Run("large sums are exact", func(t *testing.T) {
		s := ticker.SumOfParts(math.MaxInt64, math.MaxInt64)
		want := new(big.Int).Mul(big.NewInt(math.MaxInt64), big.NewInt(1e9))
		want.Add(want, big.NewInt(math.MaxInt64))
		if got := s.Text(0); got != want.String() {
			t.Errorf("got %s, want %s", got, want)
		}
		if got := ticker.SumOfParts(1e10, 5).Text(8); got != "100000000000.00000005" {
			t.Error(got)
		}
	})
}

func TestMinuteOf(t *testing.T) {
	for ms, want := range map[int64]int64{0: 0, 59_999: 0, 60_000: 1, -1: -1, -60_000: -1, -60_001: -2} {
		if got := ticker.MinuteOf(ms); got != want {
			t.Errorf("%d: got %d, want %d", ms, got, want)
		}
	}
}

func ExampleWindow() {
	var w ticker.Window
	w.Add(ticker.Trade{ID: 1, Price: 60_000, Quantity: 2, Turnover: 120_000, TimeMs: 0})
	w.Add(ticker.Trade{ID: 2, Price: 61_000, Quantity: 1, Turnover: 61_000, TimeMs: 30_000})
	s := w.At(60_000)
	fmt.Println(s.First.Price, s.Last.Price, s.Volume.Text(0), s.Count)
	// Output: 60000 61000 3 2
}

func BenchmarkWindow_At(b *testing.B) {
	var w ticker.Window
	for i := range int64(ticker.WindowMinutes) {
		w.Add(trade(i+1, 100+i%7, 1, startMs+i*60_000))
	}
	b.ReportAllocs()
	for b.Loop() {
		if s := w.At(startMs + ticker.WindowMs - 1); s.Count != ticker.WindowMinutes {
			b.Fatal(s.Count)
		}
	}
}
