package store_test

import (
	"maps"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/store"
)

func TestStore_PendingHolds(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
		if err := store.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		ages := []time.Duration{0, time.Second, 10 * time.Second, 59 * time.Second, time.Minute + time.Millisecond, 25 * time.Hour}
		err := db.Tx(t.Context(), func(tx *database.Tx) error {
			const insert = "INSERT INTO wallet_hold (order_id, member_id, coin, symbol, request_hash, held, consumed, released, traded_amount, " +
				"turnover, fee, state, seq, place_time, updated_time, pending_since) VALUES (?, 1, 'BTC', 'BTC/USDT', 'h', 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, ?)"
			if err := tx.DB().Exec(insert, 99, 0).Error; err != nil { // one that a record has spoken of
				return err
			}
			for i, age := range ages {
				if err := tx.DB().Exec(insert, i+1, clk.NowMs()-age.Milliseconds()).Error; err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := store.New(db, clk).PendingHolds(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int64{"10s": 3, "1m": 1, "1h": 1, "more": 1}; !maps.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}
