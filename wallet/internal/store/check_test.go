package store_test

import (
	"errors"
	"strings"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/settlement"
)

// TestStore_Check has a wallet with an open buy of 100 (60 left) and an open sell of 50, a
// hold that the matcher has not spoken of, and one of another symbol.
func TestStore_Check(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.startConsumer()
		f.deposit(alice, "USDT", 1_000_000)
		f.deposit(bob, "BTC", 50_000)
		f.mustHold(buyHold(1, alice, 100))
		f.mustHold(buyHold(2, alice, 70))
		f.mustHold(sellHold(3, bob, 50))
		other := buyHold(4, alice, 30)
		other.Symbol = "ETH/USDT"
		f.mustHold(other)
		live := func(id, member int64, side settlement.Side, left int64) settlement.OrderUpdate {
			return settlement.OrderUpdate{OrderID: id, MemberID: member, Side: side, State: settlement.Live, HeldRemaining: left}
		}
		resting := settlement.Record{
			Symbol: "BTC/USDT", Seq: 1, BaseCoin: "BTC", QuoteCoin: "USDT",
			Orders: []settlement.OrderUpdate{live(1, alice, settlement.Buy, 60), live(3, bob, settlement.Sell, 50)},
		}
		if err := f.settle(0, resting); err != nil {
			t.Fatal(err)
		}
		check := func(c stream.Checkpoint) error {
			c.Symbol, c.Seq = "BTC/USDT", 1
			return f.db.Tx(t.Context(), func(tx *database.Tx) error { return f.Check(t.Context(), tx, &c, "BTC", "USDT") })
		}
		good := stream.Totals{OpenOrders: 2, BaseHeld: 50, QuoteHeld: 60, TradedAmount: 7, Turnover: 8, BaseFees: 9, QuoteFees: 10}
		t.Run("open holds that a record has spoken of are the matcher's", func(t *testing.T) {
			if err := check(stream.Checkpoint{Totals: good}); err != nil {
				t.Error(err)
			}
		})
		t.Run("each total that differs is named", func(t *testing.T) {
			for name, change := range map[string]func(*stream.Totals){
				"open orders": func(c *stream.Totals) { c.OpenOrders++ },
				"base held":   func(c *stream.Totals) { c.BaseHeld-- },
				"quote held":  func(c *stream.Totals) { c.QuoteHeld++ },
			} {
				c := good
				change(&c)
				if err := check(stream.Checkpoint{Totals: c}); !errors.Is(err, stream.ErrDrift) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "record 1 of BTC/USDT") {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
		t.Run("a sum that does not fit is not compared", func(t *testing.T) {
			if err := check(stream.Checkpoint{Totals: stream.Totals{BaseHeld: 1<<63 - 1}}); err != nil {
				t.Error(err)
			}
		})
		t.Run("a hold that was damaged shows", func(t *testing.T) {
			for what, sql := range map[string][2]string{
				"released behind the journal": {"UPDATE wallet_hold SET released = released + 1 WHERE order_id = 1", "UPDATE wallet_hold SET released = released - 1 WHERE order_id = 1"},
				"closed":                      {"UPDATE wallet_hold SET state = 1, released = 50 WHERE order_id = 3", "UPDATE wallet_hold SET state = 0, released = 0 WHERE order_id = 3"},
				"of another coin":             {"UPDATE wallet_hold SET coin = 'ETH' WHERE order_id = 3", "UPDATE wallet_hold SET coin = 'BTC' WHERE order_id = 3"},
			} {
				for i, text := range sql {
					if err := f.db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec(text).Error }); err != nil {
						t.Fatal(err)
					}
					if err := check(stream.Checkpoint{Totals: good}); (i == 0) != errors.Is(err, stream.ErrDrift) {
						t.Errorf("%s: %v", what, err)
					}
				}
			}
		})
		t.Run("while an order is in suspense, nothing is compared", func(t *testing.T) {
			const suspend = "INSERT INTO wallet_suspense (order_id, member_id, symbol, seq, cause, since_ms) VALUES (9, 1, 'BTC/USDT', 1, 'x', 1)"
			if err := f.db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec(suspend).Error }); err != nil {
				t.Fatal(err)
			}
			if err := check(stream.Checkpoint{}); err != nil {
				t.Error(err)
			}
		})
	})
}
