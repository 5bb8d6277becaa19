package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/store"
	"mscoin/exchange/internal/store/memory"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/invariant"
	streammemory "mscoin/mscoin-common/stream/memory"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/testkit"
)

// applier writes a batch in a transaction of its own.
type applier func(ctx context.Context, b *order.Batch) error

// each runs a test on every dialect, with a migrated store whose intents are written, and
// on the store in memory that simulations use: it must give the same answers.
func each(t *testing.T, test func(t *testing.T, apply applier, s app.Store)) {
	logx.Disable()
	t.Run("memory", func(t *testing.T) {
		s := memory.New()
		test(t, func(_ context.Context, b *order.Batch) error {
			return s.Atomically(func() error { return s.Apply(b) })
		}, locked{Store: s, mu: &sync.Mutex{}})
	})
	eachDatabase(t, func(t *testing.T, db *database.DB, s *store.Store) {
		test(t, func(ctx context.Context, b *order.Batch) error {
			return db.Tx(ctx, func(tx *database.Tx) error { return store.Apply(tx, b) })
		}, s)
	})
}

// eachDatabase is each without the store in memory, for what only a database keeps.
func eachDatabase(t *testing.T, test func(t *testing.T, db *database.DB, s *store.Store)) {
	logx.Disable()
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		if err := db.Migrate(t.Context(), "exchange", store.Migrations()); err != nil {
			t.Fatal(err)
		}
		s := store.New(db, clock.Real())
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); _ = s.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		test(t, db, s)
	})
}

func intent(id, member int64, clientID string) *order.Order {
	return &order.Order{
		ID: id, MemberID: member, ClientOrderID: clientID, Symbol: "BTC/USDT", Base: "BTC", Quote: "USDT",
		Side: order.Buy, Type: order.Limit, TIF: order.IOC, STP: order.STPExpireBoth, Price: 100, Quantity: 1000,
		HoldCoin: "USDT", HoldAmount: 500, MakerFeePpm: 1, TakerFeePpm: 2, DeadlineMs: 77, CreateTimeMs: 1000 + id,
		Facts: order.Facts{HeldRemaining: 500},
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func update(id int64, state order.State, seq, traded, held int64) order.Update {
	return order.Update{OrderID: id, MemberID: 1, Side: order.Buy, Facts: order.Facts{
		State: state, Seq: seq, TimeMs: 5000 + seq, TradedAmount: traded, Turnover: traded / 2, Fee: traded / 100, HeldRemaining: held,
	}}
}

// locked lets the store in memory, which is for one goroutine, be used by several.
type locked struct {
	*memory.Store
	mu *sync.Mutex
}

func (l locked) InsertOrder(ctx context.Context, o *order.Order) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.Store.InsertOrder(ctx, o)
}

func isDuplicate(err error) bool {
	return database.IsDuplicateKey(err) || errors.Is(err, streammemory.ErrDuplicateKey)
}

func TestStore_Intents(t *testing.T) {
	each(t, func(t *testing.T, _ applier, s app.Store) {
		ctx := t.Context()
		t.Run("what is stored comes back whole", func(t *testing.T) {
			o := intent(1, 1, "a")
			must(t, s.InsertOrder(ctx, o))
			got, err := s.Order(ctx, 1)
			must(t, err)
			want := *o
			want.TimeMs = o.CreateTimeMs
			if got.Order != want || got.UpdateTimeMs != o.CreateTimeMs {
				t.Errorf("got  %+v\nwant %+v", got.Order, want)
			}
		})
		t.Run("a client order id is active once, for each member", func(t *testing.T) {
			if err := s.InsertOrder(ctx, intent(2, 1, "a")); !errors.Is(err, app.ErrDuplicate) {
				t.Errorf("got %v", err)
			}
			must(t, s.InsertOrder(ctx, intent(3, 2, "a")))
			must(t, s.InsertOrder(ctx, intent(4, 1, "A"))) // case matters
		})
		t.Run("an id that is given free can be used again, and the newest is found by it", func(t *testing.T) {
			must(t, s.Deactivate(ctx, 1)) // not final: nothing happens
			if err := s.InsertOrder(ctx, intent(5, 1, "a")); !errors.Is(err, app.ErrDuplicate) {
				t.Errorf("got %v", err)
			}
			must(t, s.Refuse(ctx, 1, order.ReasonHoldRefused, 2000))
			must(t, s.InsertOrder(ctx, intent(5, 1, "a")))
			got, err := s.OrderByClientID(ctx, 1, "a")
			must(t, err)
			active, err := s.FindActive(ctx, 1, "a")
			must(t, err)
			if got.ID != 5 || active.ID != 5 {
				t.Errorf("got %d and %d", got.ID, active.ID)
			}
			old, err := s.Order(ctx, 1)
			must(t, err)
			if old.State != order.StateRejected || old.HeldRemaining != 0 || old.UpdateTimeMs != 2000 || old.Reason != order.ReasonHoldRefused {
				t.Errorf("got %+v", old)
			}
		})
		t.Run("a refused order is in no list", func(t *testing.T) {
			for _, finalOnly := range []bool{false, true} {
				found, err := s.ListOrders(ctx, app.OrderQuery{Member: 1, Limit: 100, FinalOnly: finalOnly})
				must(t, err)
				for _, o := range found {
					if o.State == order.StateRejected {
						t.Errorf("order %d is listed", o.ID)
					}
				}
			}
		})
		t.Run("what is not there is not found", func(t *testing.T) {
			for _, err := range []error{
				second(s.Order(ctx, 99)), second(s.FindActive(ctx, 9, "a")), second(s.OrderByClientID(ctx, 1, "zz")),
			} {
				if !errors.Is(err, app.ErrNotFound) {
					t.Errorf("got %v", err)
				}
			}
		})
		t.Run("old intents are found, the oldest first", func(t *testing.T) {
			got, err := s.Intents(ctx, 1005, nil, 2)
			must(t, err)
			if len(got) != 2 || got[0].ID != 3 || got[1].ID != 4 {
				t.Errorf("got %+v", got)
			}
		})
		t.Run("what is really held is noted", func(t *testing.T) {
			must(t, s.SetHold(ctx, 3, 400))
			got, err := s.Order(ctx, 3)
			must(t, err)
			if got.HoldAmount != 400 || got.HeldRemaining != 400 {
				t.Errorf("got %+v", got)
			}
		})
		t.Run("intents that come together are stored, whatever is wrong with some", func(t *testing.T) {
			var wg sync.WaitGroup
			var mu sync.Mutex
			stored := 0
			for i := range int64(60) {
				wg.Go(func() {
					err := s.InsertOrder(ctx, intent(1000+i, 7, fmt.Sprint("c", i/2)))
					mu.Lock()
					defer mu.Unlock()
					if err == nil {
						stored++
					} else if !errors.Is(err, app.ErrDuplicate) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if stored != 30 {
				t.Errorf("%d stored, want 30", stored)
			}
		})
	})
}

func second[T any](_ T, err error) error { return err }

func TestApply(t *testing.T) {
	each(t, func(t *testing.T, apply applier, s app.Store) {
		ctx := t.Context()
		for id := range int64(4) {
			must(t, s.InsertOrder(ctx, intent(1+id, 1, fmt.Sprint("c", id))))
		}
		trade := order.Trade{
			Symbol: "BTC/USDT", ID: 1, Seq: 2, Price: 100, Quantity: 400, Turnover: 200, TakerSide: order.Sell,
			MakerOrderID: 1, TakerOrderID: 2, MakerMemberID: 1, TakerMemberID: 2, MakerFee: 4, TakerFee: 2, TimeMs: 5002,
		}
		t.Run("fault 10: partial fills are stored, several records in one batch", func(t *testing.T) {
			must(t, apply(ctx, &order.Batch{
				Updates: []order.Update{
					update(1, order.StateNew, 1, 0, 500), update(1, order.StatePartiallyFilled, 2, 400, 300),
					update(2, order.StateFilled, 2, 1000, 0), update(1, order.StatePartiallyFilled, 3, 500, 250),
				},
				Trades: []order.Trade{trade},
			}))
			got, err := s.Order(ctx, 1)
			must(t, err)
			want := update(1, order.StatePartiallyFilled, 3, 500, 250).Facts
			if got.Facts != want {
				t.Errorf("got %+v, want %+v", got.Facts, want)
			}
			if active, err := s.FindActive(ctx, 1, "c0"); err != nil || active.ID != 1 {
				t.Errorf("the client order id is lost: %v", err)
			}
			open, err := s.OpenOrders(ctx, 1, "")
			must(t, err)
			if len(open) != 1 || open[0].ID != 1 {
				t.Errorf("open: %+v", open)
			}
			all, err := s.ListTrades(ctx, app.TradeQuery{Member: 2, Symbol: "BTC/USDT", Limit: 10})
			must(t, err)
			if len(all) != 1 || all[0] != trade {
				t.Errorf("got %+v, want %+v", all, trade)
			}
		})
		t.Run("fault 4: what was applied changes nothing when it comes again", func(t *testing.T) {
			must(t, apply(ctx, &order.Batch{Updates: []order.Update{update(1, order.StateNew, 1, 0, 500), update(2, order.StateFilled, 2, 1000, 0)}}))
			got, err := s.Order(ctx, 1)
			must(t, err)
			if got.Seq != 3 || got.TradedAmount != 500 {
				t.Errorf("got %+v", got)
			}
		})
		t.Run("Resolve and late duplicates of a final order are no-ops", func(t *testing.T) {
			repeated := update(2, order.StateFilled, 4, 1000, 0)
			refused := update(2, order.StateRejected, 5, 0, 0)
			refused.Side = order.SideNone
			must(t, apply(ctx, &order.Batch{Updates: []order.Update{repeated, refused}}))
			got, err := s.Order(ctx, 2)
			must(t, err)
			if got.State != order.StateFilled || got.Seq != 2 {
				t.Errorf("got %+v", got)
			}
		})
		t.Run("a trade of an order that is not stored is a loud error, and nothing of its batch is written", func(t *testing.T) {
			err := apply(ctx, &order.Batch{Updates: []order.Update{update(1, order.StateFilled, 9, 1000, 0), update(99, order.StateFilled, 9, 1, 0)}})
			if !invariant.IsViolation(err) {
				t.Errorf("got %v", err)
			}
			if got, err := s.Order(ctx, 1); err != nil || got.Seq != 3 {
				t.Errorf("got %+v %v", got, err)
			}
		})
		t.Run("a refusal of an order that is not stored is passed over", func(t *testing.T) {
			must(t, apply(ctx, &order.Batch{Updates: []order.Update{update(98, order.StateRejected, 10, 0, 0)}}))
		})
		t.Run("a fact that cannot be is an error", func(t *testing.T) {
			if err := apply(ctx, &order.Batch{Updates: []order.Update{update(1, order.StatePartiallyFilled, 11, 400, 250)}}); !errors.Is(err, order.ErrImpossible) {
				t.Errorf("got %v", err)
			}
		})
		t.Run("the same trade twice is an error", func(t *testing.T) {
			if err := apply(ctx, &order.Batch{Trades: []order.Trade{trade}}); !isDuplicate(err) {
				t.Errorf("got %v", err)
			}
		})
		t.Run("a batch of many orders and trades is written whole", func(t *testing.T) {
			b := &order.Batch{}
			for i := range int64(700) {
				must(t, s.InsertOrder(ctx, intent(10_000+i, 1, fmt.Sprint("many", i))))
				b.Updates = append(b.Updates, update(10_000+i, order.StateCanceled, 20+i, 0, 0))
				tr := trade
				tr.ID = 100 + i
				b.Trades = append(b.Trades, tr)
			}
			must(t, apply(ctx, b))
			got, err := s.ListOrders(ctx, app.OrderQuery{Member: 1, Symbol: "BTC/USDT", FromID: 10_000, FinalOnly: true, Limit: 1000})
			must(t, err)
			if len(got) != 700 || got[699].Seq != 719 {
				t.Errorf("%d orders", len(got))
			}
		})
	})
}

func TestStore_Lists(t *testing.T) {
	each(t, func(t *testing.T, apply applier, s app.Store) {
		ctx := t.Context()
		ids := func(found []app.Found) (all []int64) {
			for i := range found {
				all = append(all, found[i].ID)
			}
			return all
		}
		for id := range int64(6) {
			must(t, s.InsertOrder(ctx, intent(1+id, 1, fmt.Sprint(id))))
		}
		must(t, s.InsertOrder(ctx, intent(100, 2, "x")))
		must(t, apply(ctx, &order.Batch{Updates: []order.Update{
			update(1, order.StateFilled, 1, 1000, 0), update(2, order.StateNew, 2, 0, 500), update(3, order.StateExpired, 3, 0, 0),
			update(4, order.StatePendingTrigger, 4, 0, 500), update(5, order.StateExpiredInMatch, 5, 0, 0),
		}}))
		for name, c := range map[string]struct {
			q    app.OrderQuery
			want string
		}{
			"the newest, ascending":        {app.OrderQuery{Limit: 2}, "[5 6]"},
			"from an id":                   {app.OrderQuery{FromID: 2, Limit: 2}, "[2 3]"},
			"by time":                      {app.OrderQuery{StartMs: 1003, EndMs: 1004, Limit: 9}, "[3 4]"},
			"up to a time, the newest":     {app.OrderQuery{EndMs: 1004, Limit: 2}, "[3 4]"},
			"final only":                   {app.OrderQuery{FinalOnly: true, Limit: 9}, "[1 3 5]"},
			"of a symbol that has none":    {app.OrderQuery{Symbol: "ETH/BTC", Limit: 9}, "[]"},
			"never another member's order": {app.OrderQuery{FromID: 100, Limit: 9}, "[]"},
		} {
			t.Run("orders are listed "+name, func(t *testing.T) {
				c.q.Member = 1
				got, err := s.ListOrders(ctx, c.q)
				must(t, err)
				if fmt.Sprint(ids(got)) != c.want {
					t.Errorf("got %v, want %s", ids(got), c.want)
				}
			})
		}
		t.Run("states survive the numbers of the reference", func(t *testing.T) {
			got, err := s.Orders(ctx, []int64{6, 5, 4, 3, 2, 1, 999})
			must(t, err)
			want := []order.State{order.StateFilled, order.StateNew, order.StateExpired, order.StatePendingTrigger, order.StateExpiredInMatch, order.StateInit}
			for i, w := range want {
				if got[i].ID != int64(i+1) || got[i].State != w {
					t.Errorf("order %d is in state %d, want %d", got[i].ID, got[i].State, w)
				}
			}
		})
	})
}

func TestStore_Symbols(t *testing.T) {
	each(t, func(t *testing.T, apply applier, s app.Store) {
		ctx := t.Context()
		r := symbol.Rules{
			Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 6, TickUnits: 10_000, LotUnits: 10_000, MinPrice: 10_000, MaxPrice: 1_000_000_000_000,
			MinQty: 10_000, MaxQty: 900_000_000_000, MinNotional: 5, MaxNotional: 6, MakerFeePpm: 1, TakerFeePpm: 2,
			MarketBuyEnabled: true, BandUpPpm: 3, BandDownPpm: 4, MaxOpenOrders: 5,
		}
		for i, name := range []string{"A1/USDT", "B1/USDT", "C1/USDT", "D1/USDT"} {
			r.Name = name
			got, err := s.InsertSymbol(ctx, r, 3)
			must(t, err)
			if got.Partition != i%3 {
				t.Errorf("%s is on partition %d", name, got.Partition)
			}
		}
		if _, err := s.InsertSymbol(ctx, r, 3); !errors.Is(err, app.ErrDuplicate) {
			t.Errorf("got %v", err)
		}
		all, err := s.Symbols(ctx)
		must(t, err)
		if r.Partition = 0; len(all) != 4 || all[3] != (app.Listed{Rules: r, Phase: order.PhaseTrading}) {
			t.Errorf("got %+v", all)
		}
		must(t, apply(ctx, &order.Batch{Phases: map[string]order.Phase{"A1/USDT": order.PhaseHalt}}))
		all, err = s.Symbols(ctx)
		must(t, err)
		if all[0].Phase != order.PhaseHalt || all[1].Phase != order.PhaseTrading {
			t.Errorf("got %+v", all)
		}
	})
}

func TestStore_Stopped(t *testing.T) {
	t.Run("a store that does not run refuses intents as not done", func(t *testing.T) {
		s := store.New(testkit.SQLite(t), clock.Real())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		must(t, s.Run(ctx))
		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := s.InsertOrder(ctx, intent(1, 1, "a")); err == nil {
			t.Error("stored")
		}
	})
}
