package reconciler_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/reconciler"
	"mscoin/wallet/internal/store"
	"mscoin/wallet/reconciletest"
	"mscoin/wallet/settlement"
)

const symbol = "BTC/USDT"

// bank is a wallet at work: members deposit, order, trade and cancel.
type bank struct {
	t     testing.TB
	db    *database.DB
	store *store.Store
	rec   *reconciler.Reconciler
	order int64
	seq   int64
	refs  int64
}

func newBank(t testing.TB, db *database.DB) *bank {
	t.Helper()
	if err := store.Migrate(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	b := &bank{t: t, db: db, store: store.New(db, clock.Real())}
	b.rec = reconciler.New(db, b.store, clock.Real(), time.Minute)
	for _, coin := range []string{"BTC", "USDT"} {
		if _, err := b.store.CreateCoin(t.Context(), app.Coin{Name: coin, Scale: 8}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// work is one thing that happens, by chance.
func (b *bank) work(ctx context.Context, rng *rand.Rand) error {
	buyer, seller := rng.Int64N(5)+1, rng.Int64N(5)+6
	b.refs++
	for _, d := range []app.Deposit{{MemberID: buyer, Coin: "USDT"}, {MemberID: seller, Coin: "BTC"}} {
		d.Reference, d.Amount = fmt.Sprintf("%s-%d", d.Coin, b.refs), 1_000_000
		if _, _, err := b.store.Deposit(ctx, d); err != nil {
			return err
		}
	}
	buy, sell := b.order+1, b.order+2
	b.order += 2
	results, err := b.store.PlaceHolds(ctx, []app.HoldRequest{
		{OrderID: buy, MemberID: buyer, Coin: "USDT", Symbol: symbol, Amount: 1000, MinAmount: 1000},
		{OrderID: sell, MemberID: seller, Coin: "BTC", Symbol: symbol, Amount: 100, MinAmount: 100},
	})
	if err != nil {
		return err
	}
	for _, r := range results {
		if r.Err != nil {
			return r.Err
		}
	}
	rests := settlement.Record{Orders: []settlement.OrderUpdate{{OrderID: sell, MemberID: seller, Side: settlement.Sell, State: settlement.Live, HeldRemaining: 100}}}
	takes := settlement.Record{
		Trades: []settlement.Trade{{
			TradeID: b.seq + 1, Quantity: 60, Turnover: 540, TakerSide: settlement.Buy, MakerOrderID: sell, TakerOrderID: buy,
			MakerMemberID: seller, TakerMemberID: buyer, MakerFee: 3, TakerFee: 1,
		}},
		Orders: []settlement.OrderUpdate{
			{OrderID: sell, MemberID: seller, Side: settlement.Sell, State: settlement.Live, Traded: 60, Turnover: 540, Fee: 3, HeldRemaining: 40},
			{OrderID: buy, MemberID: buyer, Side: settlement.Buy, State: settlement.Ended, Traded: 60, Turnover: 540, Fee: 1},
		},
	}
	if rng.IntN(2) == 0 {
		takes.Orders[0].State, takes.Orders[0].HeldRemaining = settlement.Ended, 0
	}
	return b.settle(ctx, rests, takes)
}

// settle applies records and moves the position, as the consumer does.
func (b *bank) settle(ctx context.Context, records ...settlement.Record) error {
	for i := range records {
		r := &records[i]
		b.seq++
		r.Symbol, r.Seq, r.TimeMs, r.BaseCoin, r.QuoteCoin = symbol, b.seq, b.seq, "BTC", "USDT"
	}
	last := b.seq
	return b.db.Tx(ctx, func(tx *database.Tx) error {
		res := tx.DB().Exec("UPDATE symbol_position SET seq = ? WHERE consumer = 'wallet' AND symbol = ?", last, symbol)
		if res.Error == nil && res.RowsAffected == 0 {
			res = tx.DB().Exec("INSERT INTO symbol_position VALUES ('wallet', ?, ?, ?, 0)", symbol, last, []byte("h"))
		}
		if res.Error != nil {
			return res.Error
		}
		return b.store.Settle(ctx, tx, records)
	})
}

func (b *bank) do(statement string) {
	b.t.Helper()
	if err := reconciletest.Unlock(b.t.Context(), b.db); err != nil {
		b.t.Fatal(err)
	}
	err := b.db.Tx(b.t.Context(), func(tx *database.Tx) error {
		res := tx.DB().Exec(statement)
		if res.Error == nil && res.RowsAffected == 0 {
			return errors.New("no row is concerned")
		}
		return res.Error
	})
	if err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
}

func (b *bank) pass() *app.Pass {
	b.t.Helper()
	p, err := b.rec.Pass(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return p
}

func (b *bank) works(n int) {
	b.t.Helper()
	rng := rand.New(rand.NewPCG(uint64(b.seq), 1))
	for range n {
		if err := b.work(b.t.Context(), rng); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestReconciler_Clean(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		t.Run("a pass reads what has changed since the last one and nothing else", func(t *testing.T) {
			b := newBank(t, db)
			b.works(20)
			first := b.pass()
			if first.Found != 0 || first.Lines == 0 || first.Wallets == 0 {
				t.Fatalf("%+v", first)
			}
			if idle := b.pass(); idle.Found != 0 || idle.Lines != 0 || idle.Wallets != 0 || idle.Number != first.Number+1 {
				t.Fatalf("%+v", idle)
			}
			b.works(1)
			if next := b.pass(); next.Found != 0 || next.Lines == 0 || next.Lines > 30 || next.Wallets != 4 {
				t.Fatalf("%+v", next)
			}
			stops, err := b.store.Stops(t.Context())
			if err != nil || len(stops) != 0 {
				t.Fatalf("%+v %v", stops, err)
			}
		})
	})
}

// Damage is found by the next pass, and withdrawals of whom it concerns are stopped.
func TestReconciler_Damage(t *testing.T) {
	tests := []struct{ damage, sql, want, stop string }{
		{"a drifted wallet row", "UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 1 AND coin_name = 'USDT'", "C2", "MEMBER/1"},
		{"a drifted wallet row breaks the sum", "UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 1 AND coin_name = 'USDT'", "C3", "COIN/USDT"},
		{"held money without a hold", "UPDATE wallet_hold SET state = 1, released = held - consumed WHERE member_id > 5 AND state = 0 AND seq > 40", "C4", "MEMBER/"},
		{"an altered line that is new", "UPDATE wallet_journal SET amount = amount + 1 WHERE member_id > 0 AND seq = 42 AND line = 0", "C1", "COIN/"},
		{"a deleted line that is new", "DELETE FROM wallet_journal WHERE seq = 42 AND line = 0", "C2", "MEMBER/"},
		{"a deleted transaction that is new", "DELETE FROM wallet_journal WHERE seq = 42", "C2", "MEMBER/"},
		{"fee income that vanished", "DELETE FROM wallet_journal WHERE seq = 42 AND account = 'FEE'", "C1", "COIN/"},
		{"money from nowhere", "INSERT INTO member_wallet VALUES (55, 'BTC', 100, 0, 0, 0, 0, 0, 0)", "C3", "COIN/BTC"},
	}
	for _, tt := range tests {
		t.Run(tt.damage+" is found by the next pass and stops withdrawals", func(t *testing.T) {
			b := newBank(t, testkit.SQLite(t))
			b.works(20)
			if p := b.pass(); p.Found != 0 {
				t.Fatalf("false alarm: %+v", p)
			}
			b.works(10)
			b.do(tt.sql)
			for range 2 { // and by the one after it: nothing makes it go away
				p := b.pass()
				if p.Found == 0 || !strings.Contains(p.Report, `"check":"`+tt.want+`"`) {
					t.Fatalf("%+v", p)
				}
			}
			stops, err := b.store.Stops(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range stops {
				if strings.HasPrefix(s.Scope+"/"+s.Name, tt.stop) && s.Reason != "" && s.SinceMs > 0 {
					return
				}
			}
			t.Fatalf("%+v", stops)
		})
	}
}

func TestReconciler_Late(t *testing.T) {
	t.Run("a record that is settled long after it happened is no false alarm", func(t *testing.T) {
		b := newBank(t, testkit.SQLite(t)) // records carry times of 1970
		b.works(5)
		b.pass()
		b.works(5)
		if p := b.pass(); p.Found != 0 {
			t.Fatalf("%+v", p)
		}
	})
	t.Run("of two instances that pass at once one is kept", func(t *testing.T) {
		b := newBank(t, testkit.SQLite(t))
		b.works(3)
		p := &app.Pass{Number: 1, Report: "{}"}
		if saved, err := b.store.SavePass(t.Context(), p); !saved || err != nil {
			t.Fatal(saved, err)
		}
		if saved, err := b.store.SavePass(t.Context(), p); saved || err != nil {
			t.Fatal(saved, err)
		}
		p.Number = 2
		for want := range 2 {
			saved, err := b.store.SavePass(t.Context(), p)
			if saved != (want == 0) || err != nil {
				t.Fatal(saved, err)
			}
		}
	})
}

// snapshotsEnv is how many passes are made under load, instead of a few.
const snapshotsEnv = "MSCOIN_RECONCILE_SNAPSHOTS"

// Every snapshot taken while money moves sums to zero for each coin, and every pass
// over it is clean.
func TestReconciler_UnderLoad(t *testing.T) {
	snapshots := 50
	if n, err := strconv.Atoi(os.Getenv(snapshotsEnv)); err == nil {
		snapshots = n
	}
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		var done atomic.Int64
		go func() {
			rng := rand.New(rand.NewPCG(1, 1))
			var err error
			for ctx.Err() == nil && err == nil {
				if err = b.work(context.WithoutCancel(ctx), rng); err == nil {
					done.Add(1)
				}
			}
			ended <- err
		}()
		for i := range snapshots {
			if p := b.pass(); p.Found != 0 {
				t.Errorf("pass %d: %+v", i, p)
				break
			}
		}
		for done.Load() < 20 && !t.Failed() {
			if p := b.pass(); p.Found != 0 {
				t.Errorf("%+v", p)
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		t.Logf("%d pieces of work meanwhile", done.Load())
	})
}
