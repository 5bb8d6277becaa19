package store_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/store"
	"mscoin/wallet/settlement"
)

const (
	alice = int64(11)
	bob   = int64(12)
	carol = int64(13)
)

// fixture is a migrated store with the coins BTC and USDT.
type fixture struct {
	*store.Store

	t  testing.TB
	db *database.DB
}

func newFixture(t testing.TB, db *database.DB) *fixture {
	t.Helper()
	if err := store.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	f := &fixture{Store: store.New(db, clock.Real()), t: t, db: db}
	for _, c := range []app.Coin{{Name: "BTC", Scale: 8}, {Name: "ETH", Scale: 8}, {Name: "USDT", Scale: 8}} {
		if _, err := f.CreateCoin(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fixture) deposit(member int64, coin string, amount int64) {
	f.t.Helper()
	ref := fmt.Sprintf("%d-%s-%d", member, coin, amount)
	if _, repeated, err := f.Deposit(f.t.Context(), app.Deposit{Reference: ref, MemberID: member, Coin: coin, Amount: amount}); err != nil || repeated {
		f.t.Fatalf("deposit %s: repeated %t, %v", ref, repeated, err)
	}
}

func buyHold(order, member, amount int64) app.HoldRequest {
	return app.HoldRequest{OrderID: order, MemberID: member, Coin: "USDT", Symbol: "BTC/USDT", Amount: amount, MinAmount: amount}
}

func sellHold(order, member, amount int64) app.HoldRequest {
	r := buyHold(order, member, amount)
	r.Coin = "BTC"
	return r
}

func (f *fixture) hold(r app.HoldRequest) (int64, error) {
	f.t.Helper()
	results, err := f.PlaceHolds(f.t.Context(), []app.HoldRequest{r})
	if err != nil {
		f.t.Fatal(err)
	}
	return results[0].Held, results[0].Err
}

func (f *fixture) mustHold(r app.HoldRequest) {
	f.t.Helper()
	if held, err := f.hold(r); err != nil || held != r.Amount {
		f.t.Fatalf("hold %+v: %d, %v", r, held, err)
	}
}

// balance returns available and held.
func (f *fixture) balance(member int64, coin string) [2]int64 {
	f.t.Helper()
	w, err := f.Wallets(f.t.Context(), member, coin)
	if err != nil || len(w) != 1 {
		f.t.Fatalf("wallets %v, %v", w, err)
	}
	return [2]int64{w[0].Available, w[0].Held}
}

func (f *fixture) wantBalance(member int64, coin string, available, held int64) {
	f.t.Helper()
	if got := f.balance(member, coin); got != [2]int64{available, held} {
		f.t.Errorf("member %d has %v %s, want %d and %d held", member, got, coin, available, held)
	}
}

// settle applies records as the consumer does, positions first.
func (f *fixture) settle(fromOffset int64, records ...settlement.Record) error {
	return f.db.Tx(f.t.Context(), func(tx *database.Tx) error {
		if err := tx.AdvancePosition("wallet", "settle", 0, fromOffset, fromOffset+int64(len(records)), []byte("f")); err != nil {
			return err
		}
		last := records[len(records)-1]
		if err := tx.AdvanceSymbol("wallet", last.Symbol, records[0].Seq-1, last.Seq, []byte("h")); err != nil {
			return err
		}
		return f.Settle(f.t.Context(), tx, records)
	})
}

func (f *fixture) startConsumer() {
	f.t.Helper()
	if _, err := f.db.LoadPosition(f.t.Context(), "wallet", "settle", 0); err != nil {
		f.t.Fatal(err)
	}
}

// wantZeroSums checks C1 to C4 by SQL of its own.
func (f *fixture) wantZeroSums() {
	f.t.Helper()
	for what, query := range map[string]string{
		"C1 a transaction": "SELECT COUNT(*) FROM (SELECT tx_id FROM wallet_journal GROUP BY tx_id, coin HAVING SUM(amount) <> 0) x",
		"C2 a wallet": `SELECT COUNT(*) FROM member_wallet w WHERE
			w.balance <> (SELECT COALESCE(SUM(amount), 0) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'AVAILABLE') OR
			w.balance_seq <> (SELECT COUNT(*) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'AVAILABLE') OR
			w.frozen_balance <> (SELECT COALESCE(SUM(amount), 0) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'FROZEN') OR
			w.frozen_seq <> (SELECT COUNT(*) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'FROZEN')`,
		"C4 a held balance": `SELECT COUNT(*) FROM member_wallet w WHERE w.frozen_balance <>
			(SELECT COALESCE(SUM(held - consumed - released), 0) FROM wallet_hold h WHERE h.member_id = w.member_id AND h.coin = w.coin_name)`,
	} {
		var n int64
		if err := f.db.Read(f.t.Context()).Raw(query).Scan(&n).Error; err != nil {
			f.t.Fatal(err)
		}
		if n != 0 {
			f.t.Errorf("%s is off, %d times", what, n)
		}
	}
}

func (f *fixture) count(table string) (n int64) {
	f.t.Helper()
	if err := f.db.Read(f.t.Context()).Table(table).Count(&n).Error; err != nil {
		f.t.Fatal(err)
	}
	return n
}

// match is a record in which order buy takes quantity at price from order sell.
func match(seq, buy, buyer, sell, seller, quantity, turnover int64) settlement.Record {
	return settlement.Record{
		Symbol: "BTC/USDT", Seq: seq, TimeMs: 5000 + seq, BaseCoin: "BTC", QuoteCoin: "USDT",
		Trades: []settlement.Trade{{
			TradeID: seq, Quantity: quantity, Turnover: turnover, TakerSide: settlement.Buy,
			MakerOrderID: sell, TakerOrderID: buy, MakerMemberID: seller, TakerMemberID: buyer, MakerFee: turnover / 1000, TakerFee: quantity / 1000,
		}},
		Orders: []settlement.OrderUpdate{
			{OrderID: buy, MemberID: buyer, Side: settlement.Buy, State: settlement.Ended, Traded: quantity, Turnover: turnover, Fee: quantity / 1000},
			{OrderID: sell, MemberID: seller, Side: settlement.Sell, State: settlement.Ended, Traded: quantity, Turnover: turnover, Fee: turnover / 1000},
		},
	}
}

func TestStore_PlaceHolds(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.deposit(alice, "USDT", 100)
		t.Run("the full balance may be spent (fault 14)", func(*testing.T) {
			f.mustHold(buyHold(1, alice, 100))
			f.wantBalance(alice, "USDT", 0, 100)
		})
		t.Run("a repeated request gives the same answer and holds once", func(*testing.T) {
			f.mustHold(buyHold(1, alice, 100))
			f.wantBalance(alice, "USDT", 0, 100)
		})
		t.Run("the same order with another content is refused", func(t *testing.T) {
			if _, err := f.hold(buyHold(1, alice, 99)); !errors.Is(err, app.ErrMismatch) {
				t.Fatal(err)
			}
		})
		t.Run("a refusal is sticky, also when money has come since (H2)", func(t *testing.T) {
			if _, err := f.hold(buyHold(2, alice, 1)); !errors.Is(err, app.ErrInsufficientBalance) {
				t.Fatal(err)
			}
			f.deposit(alice, "USDT", 50)
			if _, err := f.hold(buyHold(2, alice, 1)); !errors.Is(err, app.ErrInsufficientBalance) {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 50, 100)
		})
		t.Run("with a smaller minimum everything there is is held", func(t *testing.T) {
			r := buyHold(3, alice, 80)
			r.MinAmount = 50
			if held, err := f.hold(r); err != nil || held != 50 {
				t.Fatal(held, err)
			}
			r.OrderID = 4
			if _, err := f.hold(r); !errors.Is(err, app.ErrInsufficientBalance) {
				t.Fatal(err)
			}
		})
		t.Run("a batch answers each request by itself, in order", func(t *testing.T) {
			f.deposit(bob, "USDT", 10)
			got, err := f.PlaceHolds(t.Context(), []app.HoldRequest{
				buyHold(24, bob, 6), buyHold(23, bob, 6), buyHold(22, carol, 1), buyHold(21, bob, 4), buyHold(24, bob, 6), buyHold(21, bob, 3),
			})
			if err != nil {
				t.Fatal(err)
			}
			want := []app.HoldResult{{Held: 6}, {Err: app.ErrInsufficientBalance}, {Err: app.ErrInsufficientBalance}, {Held: 4}, {Held: 6}, {Err: app.ErrMismatch}}
			if !slices.Equal(got, want) {
				t.Fatalf("got %v", got)
			}
			f.wantBalance(bob, "USDT", 0, 10)
		})
		f.wantZeroSums()
	})
}

func TestStore_ReleaseHold(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.startConsumer()
		f.deposit(alice, "USDT", 100)
		release := func(order, member int64) error { return f.ReleaseHold(t.Context(), order, member) }
		t.Run("the money returns, once", func(t *testing.T) {
			f.mustHold(buyHold(1, alice, 60))
			for range 2 {
				if err := release(1, alice); err != nil {
					t.Fatal(err)
				}
				f.wantBalance(alice, "USDT", 100, 0)
			}
		})
		t.Run("a released order gets no second hold", func(t *testing.T) {
			if _, err := f.hold(buyHold(1, alice, 60)); !errors.Is(err, app.ErrHoldRefused) {
				t.Fatal(err)
			}
		})
		t.Run("a hold that arrives after its release fails", func(t *testing.T) {
			if err := errors.Join(release(2, alice), release(2, alice)); err != nil {
				t.Fatal(err)
			}
			if _, err := f.hold(buyHold(2, alice, 60)); !errors.Is(err, app.ErrHoldRefused) {
				t.Fatal(err)
			}
		})
		t.Run("a refused hold has nothing to release", func(t *testing.T) {
			if _, err := f.hold(buyHold(3, alice, 101)); !errors.Is(err, app.ErrInsufficientBalance) {
				t.Fatal(err)
			}
			if err := release(3, alice); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("another member's hold is unknown", func(t *testing.T) {
			f.mustHold(buyHold(4, alice, 60))
			if err := release(4, bob); !errors.Is(err, app.ErrUnknownOrder) {
				t.Fatal(err)
			}
		})
		t.Run("an order that the matcher has spoken of keeps its hold", func(t *testing.T) {
			live := settlement.Record{Symbol: "BTC/USDT", Seq: 1, BaseCoin: "BTC", QuoteCoin: "USDT", Orders: []settlement.OrderUpdate{
				{OrderID: 4, MemberID: alice, Side: settlement.Buy, State: settlement.Live, HeldRemaining: 60},
			}}
			if err := f.settle(0, live); err != nil {
				t.Fatal(err)
			}
			if err := release(4, alice); !errors.Is(err, app.ErrHoldInUse) {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 40, 60)
		})
		f.wantZeroSums()
	})
}

func TestStore_StaleHolds(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		t.Run("holds of which no record has spoken are found, oldest first", func(t *testing.T) {
			f := newFixture(t, db)
			f.startConsumer()
			f.deposit(alice, "USDT", 100)
			for order := int64(1); order <= 4; order++ {
				f.mustHold(buyHold(order, alice, 10))
			}
			if err := f.ReleaseHold(t.Context(), 2, alice); err != nil {
				t.Fatal(err)
			}
			if _, err := f.hold(buyHold(5, alice, 1000)); err == nil {
				t.Fatal("held more than there is")
			}
			if err := f.settle(0, settlement.Record{Symbol: "BTC/USDT", Seq: 1, BaseCoin: "BTC", QuoteCoin: "USDT", Orders: []settlement.OrderUpdate{
				{OrderID: 3, MemberID: alice, Side: settlement.Buy, State: settlement.Live, HeldRemaining: 10},
			}}); err != nil {
				t.Fatal(err)
			}
			holds, err := f.StaleHolds(t.Context(), 1<<60, nil, 10)
			if err != nil || len(holds) != 2 || holds[0].OrderID != 1 || holds[1].OrderID != 4 || holds[0].PlaceTimeMs == 0 || holds[0].Symbol != "BTC/USDT" {
				t.Fatalf("%+v, %v", holds, err)
			}
			if holds, err := f.StaleHolds(t.Context(), 1, nil, 10); err != nil || len(holds) != 0 {
				t.Fatalf("young holds are listed: %+v, %v", holds, err)
			}
		})
	})
}

func TestStore_Settle(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.startConsumer()
		f.deposit(alice, "USDT", 1_000_000)
		f.deposit(bob, "BTC", 50_000)
		f.mustHold(buyHold(1, alice, 600_000))
		f.mustHold(sellHold(2, bob, 30_000))
		t.Run("a market order's fill settles both sides (fault 7, 8)", func(t *testing.T) {
			if err := f.settle(0, match(1, 1, alice, 2, bob, 30_000, 500_000)); err != nil {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 500_000, 0)
			f.wantBalance(alice, "BTC", 30_000-30, 0)
			f.wantBalance(bob, "USDT", 500_000-500, 0)
			f.wantBalance(bob, "BTC", 20_000, 0)
		})
		t.Run("a redelivered record does not settle twice (fault 4)", func(t *testing.T) {
			if err := f.settle(0, match(1, 1, alice, 2, bob, 30_000, 500_000)); !errors.Is(err, database.ErrFenced) {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 500_000, 0)
		})
		t.Run("even without the fence a record does not settle twice", func(t *testing.T) {
			lines := f.count("wallet_journal")
			err := f.db.Tx(t.Context(), func(tx *database.Tx) error {
				return f.Settle(t.Context(), tx, []settlement.Record{match(1, 1, alice, 2, bob, 30_000, 500_000)})
			})
			if !errors.Is(err, settlement.ErrBadRecord) || f.count("wallet_journal") != lines {
				t.Fatal(err)
			}
		})
		t.Run("a hold that arrives after its rejection fails, its money stays (H2)", func(t *testing.T) {
			rejected := settlement.Record{Symbol: "BTC/USDT", Seq: 2, Orders: []settlement.OrderUpdate{{OrderID: 9, MemberID: alice, State: settlement.Rejected}}}
			if err := f.settle(1, rejected); err != nil {
				t.Fatal(err)
			}
			if _, err := f.hold(buyHold(9, alice, 10)); !errors.Is(err, app.ErrHoldRefused) {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 500_000, 0)
		})
		t.Run("a batch in which one record is broken does nothing", func(t *testing.T) {
			f.mustHold(buyHold(5, alice, 1000))
			f.mustHold(sellHold(6, bob, 1000))
			broken := match(4, 7, alice, 8, bob, -5, 5)
			if err := f.settle(2, match(3, 5, alice, 6, bob, 1000, 1000), broken); !errors.Is(err, settlement.ErrBadRecord) {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 499_000, 1000)
			if p, err := db.LoadPosition(t.Context(), "wallet", "settle", 0); err != nil || p.NextOffset != 2 {
				t.Fatal(p, err)
			}
		})
		f.wantZeroSums()
	})
}

// Many records of a batch touch the same wallets and orders: their deltas meet in one row.
func TestStore_Settle_Batch(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		t.Run("a batch of records is one transaction with one row for each wallet", func(t *testing.T) {
			f := newFixture(t, db)
			f.startConsumer()
			const n = int64(300)
			f.deposit(alice, "USDT", n*1000)
			var reqs []app.HoldRequest
			for i := range n {
				f.deposit(100+i, "BTC", 1000)
				reqs = append(reqs, sellHold(1000+i, 100+i, 1000))
			}
			reqs = append(reqs, buyHold(1, alice, n*1000))
			results, err := f.PlaceHolds(t.Context(), reqs)
			if err != nil || slices.ContainsFunc(results, func(r app.HoldResult) bool { return r.Err != nil }) {
				t.Fatal(results, err)
			}
			var records []settlement.Record
			for i := range n {
				r := match(i+1, 1, alice, 1000+i, 100+i, 1000, 1000)
				r.Trades[0].MakerFee, r.Trades[0].TakerFee = 1, 1
				r.Orders[1].Fee = 1
				buy := &r.Orders[0]
				buy.Traded, buy.Turnover, buy.Fee, buy.HeldRemaining = (i+1)*1000, (i+1)*1000, i+1, (n-i-1)*1000
				if i < n-1 {
					buy.State = settlement.Live
				}
				records = append(records, r)
			}
			if err := f.settle(0, records...); err != nil {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 0, 0)
			f.wantBalance(alice, "BTC", n*999, 0)
			f.wantBalance(100, "USDT", 999, 0)
			f.wantZeroSums()
		})
	})
}

// The settlement fails before every one of its statements in turn: nothing is half
// done, and a repetition settles exactly once.
func TestStore_Settle_Faults(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		t.Run("an error at any statement leaves nothing half done, a retry settles once", func(t *testing.T) {
			f := newFixture(t, db)
			f.startConsumer()
			f.deposit(alice, "USDT", 1_000_000)
			f.deposit(bob, "BTC", 50_000)
			f.mustHold(buyHold(1, alice, 600_000))
			f.mustHold(sellHold(2, bob, 30_000))
			tombstone := settlement.Record{Symbol: "BTC/USDT", Seq: 2, Orders: []settlement.OrderUpdate{{OrderID: 9, MemberID: carol, State: settlement.Rejected}}}
			records := []settlement.Record{match(1, 1, alice, 2, bob, 30_000, 500_000), tombstone}
			holds, lines, wallets := f.count("wallet_hold"), f.count("wallet_journal"), f.count("member_wallet")

			var steps []string
			for failAt := 0; ; failAt++ {
				n := 0
				injected := errors.New("injected")
				f.SetFault(func(step string) error {
					if n++; n-1 == failAt {
						steps = append(steps, step)
						return injected
					}
					return nil
				})
				err := f.settle(0, records...)
				f.SetFault(nil)
				if err == nil {
					break
				}
				if !errors.Is(err, injected) {
					t.Fatal(err)
				}
				f.wantBalance(alice, "USDT", 400_000, 600_000)
				if f.count("wallet_hold") != holds || f.count("wallet_journal") != lines || f.count("member_wallet") != wallets {
					t.Fatalf("failing at %q left something behind", steps[failAt])
				}
				f.wantZeroSums()
			}
			for _, want := range []string{"lock holds", "lock wallets", "insert missing member_wallet", "insert wallet_hold", "upsert wallet_hold", "upsert member_wallet", "insert wallet_journal", "find symbol number"} {
				if !slices.Contains(steps, want) {
					t.Errorf("no fault was injected at %q, only at %q", want, steps)
				}
			}
			f.wantBalance(alice, "USDT", 500_000, 0)
			f.wantBalance(alice, "BTC", 29_970, 0)
			if err := f.settle(0, records...); !errors.Is(err, database.ErrFenced) {
				t.Fatalf("settled again: %v", err)
			}
			f.wantZeroSums()
		})
	})
}

func TestStore_Concurrency(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		t.Run("of 35 parallel orders on the money of 5, 5 pass (fault 14)", func(t *testing.T) {
			f := newFixture(t, db)
			f.deposit(alice, "USDT", 500)
			var mu sync.Mutex
			passed := 0
			parallel(t, 35, func(ctx context.Context, i int) error {
				results, err := f.PlaceHolds(ctx, []app.HoldRequest{buyHold(int64(i)+1, alice, 100)})
				if err != nil {
					return err
				}
				if results[0].Err == nil {
					mu.Lock()
					passed++
					mu.Unlock()
				} else if !errors.Is(results[0].Err, app.ErrInsufficientBalance) {
					return results[0].Err
				}
				return nil
			})
			if passed != 5 {
				t.Errorf("%d orders passed", passed)
			}
			f.wantBalance(alice, "USDT", 0, 500)
			f.wantZeroSums()
		})
		t.Run("the same hold sent 20 times at once holds once", func(t *testing.T) {
			f := newFixture(t, db)
			f.deposit(bob, "USDT", 500)
			parallel(t, 20, func(ctx context.Context, _ int) error {
				results, err := f.PlaceHolds(ctx, []app.HoldRequest{buyHold(100, bob, 70)})
				if err == nil {
					err = results[0].Err
				}
				return err
			})
			f.wantBalance(bob, "USDT", 430, 70)
			f.wantZeroSums()
		})
		t.Run("the same deposit sent 20 times at once is credited once", func(t *testing.T) {
			f := newFixture(t, db)
			parallel(t, 20, func(ctx context.Context, _ int) error {
				_, _, err := f.Deposit(ctx, app.Deposit{Reference: "bank-7", MemberID: carol, Coin: "USDT", Amount: 5})
				return err
			})
			f.wantBalance(carol, "USDT", 5, 0)
			f.wantZeroSums()
		})
		t.Run("settlement, holds, releases and deposits at once lose no update (fault 5)", func(t *testing.T) {
			f := newFixture(t, db)
			mixed(t, f)
		})
	})
}

// mixed settles while the same members place, release and deposit.
func mixed(t *testing.T, f *fixture) {
	f.startConsumer()
	const dan, eve, n = int64(21), int64(22), int64(40)
	f.deposit(dan, "USDT", 1_000_000)
	f.deposit(eve, "BTC", 1_000_000)
	for i := range n {
		f.mustHold(buyHold(10_000+i, dan, 1000))
		f.mustHold(sellHold(20_000+i, eve, 1000))
	}
	parallel(t, 4, func(ctx context.Context, worker int) error {
		for i := range n {
			var err error
			switch worker {
			case 0:
				err = f.settle(i, match(i+1, 10_000+i, dan, 20_000+i, eve, 1000, 900))
			case 1:
				_, err = f.PlaceHolds(ctx, []app.HoldRequest{buyHold(30_000+i, dan, 10), sellHold(40_000+i, eve, 10)})
			case 2:
				err = f.ReleaseHold(ctx, 30_000+i, dan)
			default:
				_, _, err = f.Deposit(ctx, app.Deposit{Reference: fmt.Sprintf("m-%d", i), MemberID: dan, Coin: "USDT", Amount: 7})
			}
			if err != nil {
				return fmt.Errorf("worker %d step %d: %w", worker, i, err)
			}
		}
		return nil
	})
	f.wantZeroSums()
	var held int64
	if err := f.db.Read(t.Context()).Raw("SELECT COALESCE(SUM(held - released), 0) FROM wallet_hold WHERE order_id >= 30000 AND order_id < 40000").Scan(&held).Error; err != nil {
		t.Fatal(err)
	}
	f.wantBalance(dan, "USDT", 1_000_000-n*900+n*7-held, held)
	f.wantBalance(dan, "BTC", n*999, 0)
}

func parallel(t *testing.T, n int, do func(ctx context.Context, i int) error) {
	t.Helper()
	var wg sync.WaitGroup
	failed := make([]error, n)
	for i := range n {
		wg.Go(func() { failed[i] = do(t.Context(), i) })
	}
	wg.Wait()
	if err := errors.Join(failed...); err != nil {
		t.Fatal(err)
	}
}

func TestStore_Deposit(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		d := app.Deposit{Reference: "r1", MemberID: alice, Coin: "USDT", Amount: 40}
		t.Run("a repeated reference credits nothing and says so", func(t *testing.T) {
			for i := range 3 {
				w, repeated, err := f.Deposit(t.Context(), d)
				if err != nil || repeated != (i > 0) || w.Available != 40 {
					t.Fatalf("%+v %t %v", w, repeated, err)
				}
			}
		})
		t.Run("the same reference with another content is refused", func(t *testing.T) {
			other := d
			other.Amount++
			if _, _, err := f.Deposit(t.Context(), other); !errors.Is(err, app.ErrMismatch) {
				t.Fatal(err)
			}
		})
		t.Run("a balance that would overflow is refused whole", func(t *testing.T) {
			if _, _, err := f.Deposit(t.Context(), app.Deposit{Reference: "r2", MemberID: alice, Coin: "USDT", Amount: 1<<63 - 1}); err == nil {
				t.Fatal("overflow")
			}
			f.wantBalance(alice, "USDT", 40, 0)
			if _, repeated, err := f.Deposit(t.Context(), app.Deposit{Reference: "r2", MemberID: alice, Coin: "USDT", Amount: 1}); err != nil || repeated {
				t.Fatal("the refused deposit has left its reference behind")
			}
		})
		f.wantZeroSums()
	})
}

func TestStore_Transactions(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.deposit(alice, "USDT", 1000)
		f.deposit(bob, "USDT", 77)
		for order := int64(1); order <= 10; order++ {
			f.mustHold(buyHold(order, alice, 10))
		}
		t.Run("pages are newest first and meet without gap or overlap", func(t *testing.T) {
			var all []app.Transaction
			q := app.TransactionQuery{MemberID: alice}
			for {
				page, err := f.Transactions(t.Context(), q, 4)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, page...)
				if len(page) < 4 {
					break
				}
				last := page[3]
				q.After = app.Cursor{TimeMs: last.TimeMs, TxID: last.TxID, Line: last.Line}
			}
			if len(all) != 21 || all[20].Kind != "deposit" || all[20].Reference == "" || all[0].OrderID != 10 || !all[0].Held || all[0].Scale != 8 {
				t.Fatalf("%d lines: %+v", len(all), all)
			}
		})
		t.Run("lines are selected by kind and coin", func(t *testing.T) {
			got, err := f.Transactions(t.Context(), app.TransactionQuery{MemberID: alice, Kind: "deposit", Coin: "USDT"}, 100)
			if err != nil || len(got) != 1 || got[0].BalanceAfter != 1000 || got[0].Held {
				t.Fatalf("%+v, %v", got, err)
			}
		})
		t.Run("every listed coin has a balance, zero where the member has none", func(t *testing.T) {
			got, err := f.Wallets(t.Context(), bob, "")
			if err != nil || len(got) != 3 || got[0].Coin != "BTC" || got[0].Available != 0 || got[2].Available != 77 {
				t.Fatalf("%+v, %v", got, err)
			}
		})
	})
}
