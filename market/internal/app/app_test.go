package app_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"mscoin/market/depth"
	"mscoin/market/internal/app"
	"mscoin/market/internal/store"
	"mscoin/market/ticker"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// world is a store and views with a matcher that makes things up.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	clk   *clock.Fake
	db    *database.DB
	store *store.Store
	app   *app.App
	seqs  map[string]int64
	ids   map[string]int64
	books map[string]map[depth.Change]int64 // quantity by side and price
}

func newWorld(t *testing.T, db *database.DB) *world {
	t.Helper()
	must(t, store.Migrate(t.Context(), db))
	w := &world{
		t: t, rng: testkit.Rand(t), clk: clock.NewFake(start), db: db, store: store.New(db),
		seqs: map[string]int64{}, ids: map[string]int64{}, books: map[string]map[depth.Change]int64{},
	}
	w.app = app.New(w.store, w.clk)
	return w
}

// next makes up the next record of a symbol; the first one lists it.
func (w *world) next(symbol string) app.Record {
	w.seqs[symbol]++
	r := app.Record{Symbol: symbol, Seq: w.seqs[symbol]}
	if r.Seq == 1 {
		r.Rules = &app.Symbol{Name: symbol, Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 6}
		w.books[symbol] = map[depth.Change]int64{}
		return r
	}
	for range w.rng.IntN(3) {
		w.ids[symbol]++
		r.Trades = append(r.Trades, app.Trade{
			Trade: ticker.Trade{
				ID: w.ids[symbol], Price: 1 + w.rng.Int64N(1000), Quantity: 1 + w.rng.Int64N(math.MaxInt64),
				Turnover: 1 + w.rng.Int64N(math.MaxInt64), TimeMs: w.clk.NowMs(),
			},
			TakerSide: app.Side(w.rng.Int64N(2)),
		})
	}
	book := w.books[symbol]
	used := map[depth.Change]bool{}
	for range w.rng.IntN(4) {
		key := depth.Change{Side: depth.Side(1 + w.rng.IntN(2)), Level: depth.Level{Price: 1 + w.rng.Int64N(30)}}
		quantity := w.rng.Int64N(4)
		if used[key] || quantity == 0 && book[key] == 0 {
			continue
		}
		used[key] = true
		book[key] = quantity
		change := key
		change.Level.Quantity = quantity
		r.Levels = append(r.Levels, change)
	}
	return r
}

// commit saves records as the consumer does.
func (w *world) commit(records []app.Record) {
	w.t.Helper()
	first, last := map[string]int64{}, map[string]int64{}
	var order []string
	for _, r := range records {
		if _, seen := first[r.Symbol]; !seen {
			first[r.Symbol] = r.Seq
			order = append(order, r.Symbol)
		}
		last[r.Symbol] = r.Seq
	}
	must(w.t, w.db.Tx(w.t.Context(), func(tx *database.Tx) error {
		for _, symbol := range order {
			if err := tx.AdvanceSymbol(store.Consumer, symbol, first[symbol]-1, last[symbol], []byte("h")); err != nil {
				return err
			}
		}
		return w.store.Save(tx, records)
	}))
}

// loaded returns views that were made from the database, as after a restart.
func (w *world) loaded() *app.App {
	w.t.Helper()
	a := app.New(w.store, w.clk)
	must(w.t, a.Load(w.t.Context()))
	return a
}

// show returns everything that can be asked.
func (w *world) show(a *app.App, symbols []string) string {
	w.t.Helper()
	text := ""
	for _, s := range symbols {
		d, err := a.GetDepth(w.t.Context(), s, 5000)
		must(w.t, err)
		_, trades, err := a.ListTrades(w.t.Context(), s, 0, 1000)
		must(w.t, err)
		_, some, err := a.ListTrades(w.t.Context(), s, 3, 5)
		must(w.t, err)
		text += fmt.Sprintf("%+v\n%+v\n%+v\n", d, trades, some)
	}
	tickers, err := a.ListTickers(w.t.Context(), nil)
	must(w.t, err)
	return text + fmt.Sprintf("%+v", tickers)
}

func TestApp_viewsAreThoseOfTheDatabase(t *testing.T) {
	symbols := []string{"BTC/USDT", "ETH/USDT"}
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		w := newWorld(t, db)
		w.commit([]app.Record{w.next(symbols[0]), w.next(symbols[1])})
		must(t, w.app.Load(t.Context()))
		for round := range 60 {
			var batch []app.Record
			for range 1 + w.rng.IntN(20) {
				batch = append(batch, w.next(symbols[w.rng.IntN(2)]))
				if w.rng.IntN(4) == 0 {
					w.clk.Advance(time.Duration(w.rng.Int64N(int64(30 * time.Minute))))
				}
			}
			w.commit(batch)
			must(t, w.app.Committed(batch))
			must(t, w.app.Committed(batch)) // what is known already is skipped
			if round%10 == 9 {
				if live, stored := w.show(w.app, symbols), w.show(w.loaded(), symbols); live != stored {
					t.Fatalf("round %d: live\n%s\nloaded\n%s", round, live, stored)
				}
			}
		}
		t.Run("the book is the sum of its changes", func(t *testing.T) {
			for _, s := range symbols {
				d, err := w.app.GetDepth(t.Context(), s, 5000)
				must(t, err)
				got := map[depth.Change]int64{}
				for side, levels := range map[depth.Side][]depth.Level{depth.Bid: d.Bids, depth.Ask: d.Asks} {
					for _, l := range levels {
						got[depth.Change{Side: side, Level: depth.Level{Price: l.Price}}] = l.Quantity
					}
				}
				want := map[depth.Change]int64{}
				for key, quantity := range w.books[s] {
					if quantity > 0 {
						want[key] = quantity
					}
				}
				if !reflect.DeepEqual(got, want) || d.Seq != w.seqs[s] {
					t.Fatalf("%s at %d: got %v, want %v at %d", s, d.Seq, got, want, w.seqs[s])
				}
			}
		})
	})
}

func TestApp_Committed(t *testing.T) {
	const symbol = "BTC/USDT"
	w := newWorld(t, testkit.SQLite(t))
	listed := w.next(symbol)
	w.commit([]app.Record{listed})
	must(t, w.app.Committed([]app.Record{listed}))

	t.Run("a view that missed a record shows the stored state, and goes on from there", func(t *testing.T) {
		missed, seen, after := w.next(symbol), w.next(symbol), w.next(symbol)
		w.commit([]app.Record{missed}) // by another instance
		w.commit([]app.Record{seen})
		if err := w.app.Committed([]app.Record{seen}); !errors.Is(err, depth.ErrGap) {
			t.Fatal(err)
		}
		if live, stored := w.show(w.app, []string{symbol}), w.show(w.loaded(), []string{symbol}); live != stored {
			t.Fatalf("live\n%s\nstored\n%s", live, stored)
		}
		w.commit([]app.Record{after})
		must(t, w.app.Committed([]app.Record{after}))
		if live, stored := w.show(w.app, []string{symbol}), w.show(w.loaded(), []string{symbol}); live != stored {
			t.Fatalf("live\n%s\nstored\n%s", live, stored)
		}
	})
	t.Run("a symbol that another instance has listed is loaded too", func(t *testing.T) {
		first, second := w.next("ETH/USDT"), w.next("ETH/USDT")
		w.commit([]app.Record{first, second})
		if err := w.app.Committed([]app.Record{second}); err == nil {
			t.Fatal("nothing was missed")
		}
		d, err := w.app.GetDepth(t.Context(), "ETH/USDT", 0)
		must(t, err)
		if d.Seq != 2 {
			t.Fatalf("seq %d", d.Seq)
		}
	})
}

func TestApp_requests(t *testing.T) {
	const symbol = "BTC/USDT"
	w := newWorld(t, testkit.SQLite(t))
	var batch []app.Record
	for len(batch) < 3 || w.ids[symbol] < 3000 {
		batch = append(batch, w.next(symbol))
	}
	w.commit(batch)
	must(t, w.app.Committed(batch))
	ctx := t.Context()

	t.Run("an unknown symbol is refused", func(t *testing.T) {
		_, err := w.app.GetDepth(ctx, "X/Y", 0)
		_, _, err2 := w.app.ListTrades(ctx, "X/Y", 0, 0)
		_, err3 := w.app.ListTickers(ctx, []string{symbol, "X/Y"})
		for _, err := range []error{err, err2, err3} {
			if !errors.Is(err, app.ErrUnknownSymbol) {
				t.Error(err)
			}
		}
	})
	t.Run("a limit out of range is refused", func(t *testing.T) {
		_, err := w.app.GetDepth(ctx, symbol, 5001)
		_, err2 := w.app.GetDepth(ctx, symbol, -1)
		_, _, err3 := w.app.ListTrades(ctx, symbol, 0, 1001)
		_, _, err4 := w.app.ListTrades(ctx, symbol, -1, 1)
		for _, err := range []error{err, err2, err3, err4} {
			if !errors.Is(err, app.ErrLimit) {
				t.Error(err)
			}
		}
	})
	t.Run("pages are ascending, from memory and from the database alike", func(t *testing.T) {
		last := w.ids[symbol]
		for _, c := range []struct{ from, first, count int64 }{
			{0, last - 499, 500}, {1, 1, 500}, {last, last, 1}, {last + 1, 0, 0}, {math.MaxInt64, 0, 0}, {last - 700, last - 700, 500},
		} {
			_, page, err := w.app.ListTrades(ctx, symbol, c.from, 0)
			must(t, err)
			if int64(len(page)) != c.count {
				t.Fatalf("from %d: %d trades, want %d", c.from, len(page), c.count)
			}
			for i, trade := range page {
				if trade.ID != c.first+int64(i) {
					t.Fatalf("from %d: trade %d at %d, want %d", c.from, trade.ID, i, c.first+int64(i))
				}
			}
		}
	})
	t.Run("tickers come in the order asked for", func(t *testing.T) {
		list, err := w.app.ListTickers(ctx, []string{symbol, symbol})
		must(t, err)
		if len(list) != 2 || list[0].Symbol.Name != symbol || list[0].LastEver.ID != w.ids[symbol] {
			t.Fatalf("%+v", list)
		}
	})
}
