package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/ledger"
)

// Check compares the open holds of a symbol with the matcher's totals, within the
// transaction in which everything up to them has just been settled (MONEY-SAFETY H15). A
// hold that no record has spoken of is not the matcher's yet. It returns
// stream.ErrDrift, naming what differs.
//
// While an order of the symbol is in suspense nothing is compared: the books are known to
// say something else than the matcher, and the alarm has been given.
func (s *Store) Check(ctx context.Context, tx *database.Tx, c *stream.Checkpoint, base, quote string) error {
	if !c.Fits() {
		return nil
	}
	b := s.in(ctx, tx)
	suspended := int64(0)
	err := b.query("count suspended orders", "SELECT COUNT(*) FROM wallet_suspense WHERE symbol = ?", []any{c.Symbol}, func(rows *sql.Rows) error {
		return rows.Scan(&suspended)
	})
	if err != nil {
		return err
	}
	if suspended > 0 {
		logx.Errorf("wallet: totals of %s at record %d are not compared: %d of its orders are in suspense", c.Symbol, c.Seq, suspended)
		return nil
	}
	got := c.Totals // what a wallet does not keep is taken over
	got.OpenOrders, got.BaseHeld, got.QuoteHeld = 0, 0, 0
	const sums = "SELECT coin, COUNT(*), SUM(held - consumed - released) FROM wallet_hold WHERE symbol = ? AND state = ? AND seq > 0 GROUP BY coin"
	err = b.query("sum open holds", sums, []any{c.Symbol, int64(ledger.HoldOpen)}, func(rows *sql.Rows) error {
		var coin string
		var orders, held int64
		if err := rows.Scan(&coin, &orders, &held); err != nil {
			return err
		}
		got.OpenOrders += orders
		switch coin {
		case base:
			got.BaseHeld = held
		case quote:
			got.QuoteHeld = held
		default:
			return tx.Fail(fmt.Errorf("wallet: %w at record %d of %s: %d open holds in %s", stream.ErrDrift, c.Seq, c.Symbol, orders, coin))
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := c.Compare(got); err != nil {
		return tx.Fail(fmt.Errorf("wallet: %w", err))
	}
	return nil
}
