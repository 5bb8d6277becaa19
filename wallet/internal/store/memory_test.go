package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/store"
	"mscoin/wallet/internal/store/memory"
	"mscoin/wallet/settlement"
)

// side is one of two stores that must give the same answers.
type side struct {
	app.Store
	settle func(records []settlement.Record) error
}

// TestMemory holds the store in memory, which simulations use, to what the database says.
func TestMemory(t *testing.T) {
	t.Run("the store in memory answers as the database does", func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		rnd := rand.New(rand.NewPCG(seed, 1))
		clk := clock.NewFake(time.UnixMilli(1_000_000))
		db := testkit.SQLite(t)
		if err := store.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		sql, mem := store.New(db, clk), memory.New(clk)
		sides := [2]side{
			{sql, func(r []settlement.Record) error {
				return db.Tx(t.Context(), func(tx *database.Tx) error { return sql.Settle(t.Context(), tx, r) })
			}},
			{mem, func(r []settlement.Record) error {
				return mem.Atomically(func() error { return mem.Settle(t.Context(), nil, r) })
			}},
		}
		for _, coin := range []string{"BTC", "USDT"} {
			for _, s := range sides {
				if _, err := s.CreateCoin(t.Context(), app.Coin{Name: coin, Scale: 8}); err != nil {
					t.Fatal(err)
				}
			}
		}
		seq := int64(0)
		for step := range 600 {
			clk.Advance(time.Millisecond)
			what, do := operation(t.Context(), rnd, &seq)
			if a, b := do(sides[0]), do(sides[1]); a != b {
				t.Fatalf("step %d, %s: the database says %s, the memory %s", step, what, a, b)
			}
			if a, b := state(t.Context(), sides[0]), state(t.Context(), sides[1]); a != b {
				t.Fatalf("step %d, after %s:\n%s\n%s", step, what, a, b)
			}
		}
	})
}

// operation makes up something to do to both stores.
func operation(ctx context.Context, rnd *rand.Rand, seq *int64) (what string, do func(side) string) {
	order, member, amount := 1+rnd.Int64N(60), alice+rnd.Int64N(3), 1+rnd.Int64N(100)
	switch rnd.IntN(6) {
	case 0:
		d := app.Deposit{Reference: fmt.Sprint("r", rnd.IntN(40)), MemberID: member, Coin: [2]string{"BTC", "USDT"}[rnd.IntN(2)], Amount: amount}
		return fmt.Sprintf("deposit %+v", d), func(s side) string {
			_, repeated, err := s.Deposit(ctx, d)
			return fmt.Sprint(repeated, err)
		}
	case 1:
		owner := alice + order%3 // a record that contradicts a tombstone goes to suspense, which the memory has not
		return fmt.Sprintf("release %d of %d", order, owner), func(s side) string { return fmt.Sprint(s.ReleaseHold(ctx, order, owner)) }
	case 2:
		*seq++
		r := settlement.Record{Symbol: "BTC/USDT", Seq: *seq, TimeMs: *seq, BaseCoin: "BTC", QuoteCoin: "USDT", Orders: []settlement.OrderUpdate{
			{OrderID: order, MemberID: alice + order%3, State: settlement.Rejected},
		}}
		return fmt.Sprintf("settle %+v", r), func(s side) string { return fmt.Sprint(s.settle([]settlement.Record{r}) == nil) }
	default:
		req := app.HoldRequest{OrderID: order, MemberID: alice + order%3, Coin: "BTC", Symbol: "BTC/USDT", Amount: 1 + order%20, MinAmount: 1 + order%20}
		if order%2 == 0 {
			req.Coin = "USDT"
		}
		if rnd.IntN(4) == 0 {
			req.MinAmount = 1
		}
		return fmt.Sprintf("hold %+v", req), func(s side) string {
			results, err := s.PlaceHolds(ctx, []app.HoldRequest{req, req})
			return fmt.Sprint(results, err)
		}
	}
}

// state is everything that a store shows.
func state(ctx context.Context, s side) string {
	var text strings.Builder
	for member := alice; member <= carol; member++ {
		wallets, err := s.Wallets(ctx, member, "")
		lines, journalErr := s.Transactions(ctx, app.TransactionQuery{MemberID: member}, 5)
		for i := range lines {
			lines[i].TxID = 0 // each numbers in its own way
		}
		fmt.Fprintln(&text, wallets, err, lines, journalErr)
	}
	holds, err := s.StaleHolds(ctx, 1<<60, nil, 100)
	fmt.Fprintln(&text, holds, err)
	return text.String()
}
