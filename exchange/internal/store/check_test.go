package store_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mscoin/exchange/internal/store"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
)

func TestCheck(t *testing.T) {
	eachDatabase(t, func(t *testing.T, db *database.DB, s *store.Store) {
		ctx := t.Context()
		for id := range int64(5) {
			o := intent(1+id, 1, fmt.Sprint("c", id))
			if id >= 3 {
				o.Side = order.Sell
			}
			must(t, s.InsertOrder(ctx, o))
		}
		trade := func(id int64, taker order.Side) order.Trade {
			return order.Trade{
				Symbol: "BTC/USDT", ID: id, Seq: 2, Price: 100, Quantity: 400, Turnover: 200 + id, TakerSide: taker,
				MakerOrderID: 1, TakerOrderID: 2, MakerMemberID: 1, TakerMemberID: 2, MakerFee: 4, TakerFee: 2 * id, TimeMs: 5002,
			}
		}
		sold := update(4, order.StateNew, 4, 0, 70)
		sold.Side = order.Sell
		filled := &order.Batch{
			Updates: []order.Update{
				update(1, order.StatePartiallyFilled, 2, 400, 300), update(2, order.StateNew, 3, 0, 500), update(3, order.StateCanceled, 3, 0, 0), sold,
			}, // order 5 stays an intent: the matcher does not know it
			Trades: []order.Trade{trade(1, order.Sell), trade(2, order.Sell), trade(3, order.Buy), trade(4, order.Sell)},
		}
		must(t, db.Tx(ctx, func(tx *database.Tx) error { return store.Apply(tx, filled) }))
		good := stream.Checkpoint{
			Symbol: "BTC/USDT", Seq: 5, AfterSeq: 2, AfterTradeID: 1, LastTradeID: 3,
			Totals: stream.Totals{
				OpenOrders: 3, BaseHeld: 70, QuoteHeld: 800,
				TradedAmount: 800, Turnover: 405, BaseFees: 4 + 6, QuoteFees: 4 + 4,
			},
		}
		check := func(c stream.Checkpoint) error {
			return db.Tx(ctx, func(tx *database.Tx) error { return store.Check(tx, &c) })
		}
		t.Run("the matcher's totals are those of open orders and of the window's trades (H15)", func(t *testing.T) {
			must(t, check(good))
			none := stream.Checkpoint{Symbol: "ETH/USDT", Seq: 1}
			must(t, check(none))
		})
		t.Run("a drift of one unit is found, and says where (H15)", func(t *testing.T) {
			for name, change := range map[string]func(c *stream.Checkpoint){
				"quote held: matcher 801, here 800": func(c *stream.Checkpoint) { c.QuoteHeld++ },
				"base held: matcher 71, here 70":    func(c *stream.Checkpoint) { c.BaseHeld++ },
				"open orders: matcher 2, here 3":    func(c *stream.Checkpoint) { c.OpenOrders-- },
				"turnover: matcher 405, here 202":   func(c *stream.Checkpoint) { c.LastTradeID-- },
				"base fees: matcher 11, here 10":    func(c *stream.Checkpoint) { c.BaseFees++ },
				"quote fees: matcher 7, here 8":     func(c *stream.Checkpoint) { c.QuoteFees-- },
			} {
				c := good
				change(&c)
				if err := check(c); !errors.Is(err, stream.ErrDrift) || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "record 5 of BTC/USDT") {
					t.Errorf("%s: got %v", name, err)
				}
			}
		})
	})
}
