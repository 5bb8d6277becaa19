package store

import (
	"fmt"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
)

// directionSell is a sell in exchange_order.direction and exchange_trade.taker_side.
const directionSell = 1

// Check compares the order store with the matcher's totals, within the transaction in
// which everything up to them has just been applied (MONEY-SAFETY H15). It returns
// stream.ErrDrift, naming what differs.
func Check(tx *database.Tx, c *stream.Checkpoint) error {
	if !c.Fits() {
		return nil
	}
	var got stream.Totals
	var open []struct{ Direction, Orders, Held int64 }
	err := tx.DB().Model(&orderRow{}).Select("direction, COUNT(*) AS orders, SUM(held_remaining) AS held").
		Where("status IN (?, ?) AND symbol = ?", statusTrading, statusPendingTrigger, c.Symbol).Group("direction").Find(&open).Error
	if err != nil {
		return fmt.Errorf("sum open orders of %s: %w", c.Symbol, err)
	}
	for _, side := range open {
		got.OpenOrders += side.Orders
		if side.Direction == directionSell {
			got.BaseHeld = side.Held
		} else {
			got.QuoteHeld = side.Held
		}
	}
	var traded []struct{ TakerSide, Amount, Turnover, Maker, Taker int64 }
	err = tx.DB().Model(&tradeRow{}).
		Select("taker_side, SUM(quantity) AS amount, SUM(turnover) AS turnover, SUM(maker_fee) AS maker, SUM(taker_fee) AS taker").
		Where("symbol = ? AND trade_id > ? AND trade_id <= ?", c.Symbol, c.AfterTradeID, c.LastTradeID).
		Group("taker_side").Find(&traded).Error
	if err != nil {
		return fmt.Errorf("sum trades of %s: %w", c.Symbol, err)
	}
	for _, side := range traded {
		got.TradedAmount += side.Amount
		got.Turnover += side.Turnover
		buyers, sellers := side.Taker, side.Maker
		if side.TakerSide == directionSell {
			buyers, sellers = sellers, buyers
		}
		got.BaseFees += buyers
		got.QuoteFees += sellers
	}
	if err := c.Compare(got); err != nil {
		return tx.Fail(fmt.Errorf("order store: %w", err))
	}
	return nil
}
