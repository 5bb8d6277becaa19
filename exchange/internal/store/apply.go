package store

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"
	"gorm.io/gorm/clause"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/invariant"
)

// Apply writes a batch within the transaction that moves the consumer's position:
// one multi-row statement for the orders and one for the trades, whatever the number
// of records.
func Apply(tx *database.Tx, b *order.Batch) error {
	if err := applyOrders(tx, b.Updates); err != nil {
		return err
	}
	if err := applyTrades(tx, b.Trades); err != nil {
		return err
	}
	for _, name := range sortedKeys(b.Phases) {
		err := tx.DB().Model(&coinRow{}).Where("symbol = ?", name).Update("phase", int64(b.Phases[name])).Error
		if err != nil {
			return fmt.Errorf("set phase of %s: %w", name, err)
		}
	}
	return nil
}

func applyOrders(tx *database.Tx, updates []order.Update) error {
	if len(updates) == 0 {
		return nil
	}
	rows, err := loadOrders(tx, updates)
	if err != nil {
		return err
	}
	changed := make([]*orderRow, 0, len(rows))
	for i := range updates {
		u := &updates[i]
		row, ok := rows[u.OrderID]
		if !ok {
			if err := missing(tx, u); err != nil {
				return err
			}
			continue
		}
		o := row.found().Order
		moved, err := o.Advance(*u)
		if err != nil {
			return tx.Fail(fmt.Errorf("apply record %d: %w", u.Seq, err))
		}
		if !moved {
			continue
		}
		row.setFacts(&o)
		if !row.changed {
			row.changed = true
			changed = append(changed, &row.orderRow)
		}
	}
	return writeOrders(tx, changed)
}

// loaded is a row that a batch may change.
type loaded struct {
	orderRow
	changed bool
}

func loadOrders(tx *database.Tx, updates []order.Update) (map[int64]*loaded, error) {
	ids := make([]int64, 0, len(updates))
	for i := range updates {
		ids = append(ids, updates[i].OrderID)
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	rows := make(map[int64]*loaded, len(ids))
	for chunk := range slices.Chunk(ids, maxRows) {
		var found []orderRow
		if err := tx.ForUpdate().Where("order_id IN ?", chunk).Order("order_id").Find(&found).Error; err != nil {
			return nil, fmt.Errorf("load orders: %w", err)
		}
		for i := range found {
			rows[found[i].OrderID] = &loaded{orderRow: found[i]}
		}
	}
	return rows, nil
}

// missing decides about an update of an order that is not stored. Intents come
// before commands, so it must not be, except when an id is refused that nobody knows.
func missing(tx *database.Tx, u *order.Update) error {
	if u.State == order.StateRejected && u.TradedAmount == 0 {
		logx.Errorf("record %d refuses order %d of member %d, which is not stored (reason %d)", u.Seq, u.OrderID, u.MemberID, u.Reason)
		return nil
	}
	return tx.Fail(&invariant.Violation{Message: fmt.Sprintf(
		"record %d names order %d of member %d, which is not stored: intents are stored before they are sent", u.Seq, u.OrderID, u.MemberID)})
}

// writeOrders updates rows by their keys. The inserting half of the statement never
// happens, since the rows were locked; it must not meet the unique client order id.
func writeOrders(tx *database.Tx, rows []*orderRow) error {
	if len(rows) == 0 {
		return nil
	}
	for _, row := range rows {
		row.ActiveClientOrderID = nil // not written: see factColumns
	}
	slices.SortFunc(rows, func(a, b *orderRow) int { return cmp.Compare(a.OrderID, b.OrderID) })
	err := tx.DB().Clauses(clause.OnConflict{
		Columns:   []clause.Column{{Name: "order_id"}},
		DoUpdates: clause.AssignmentColumns(factColumns),
	}).CreateInBatches(rows, maxRows).Error
	if err != nil {
		return fmt.Errorf("write orders: %w", err)
	}
	return nil
}

func applyTrades(tx *database.Tx, trades []order.Trade) error {
	if len(trades) == 0 {
		return nil
	}
	rows := make([]tradeRow, len(trades))
	for i := range trades {
		rows[i] = tradeRowOf(&trades[i])
	}
	if err := tx.DB().CreateInBatches(rows, maxRows).Error; err != nil {
		return fmt.Errorf("write trades: %w", err)
	}
	return nil
}

// mergeTrades orders the trades of both sides by id, each once, and keeps limit of
// them: the newest or the oldest.
func mergeTrades(rows []tradeRow, limit int, newest bool) []order.Trade {
	slices.SortFunc(rows, func(a, b tradeRow) int { return cmp.Compare(a.TradeID, b.TradeID) })
	rows = slices.CompactFunc(rows, func(a, b tradeRow) bool { return a.TradeID == b.TradeID })
	if len(rows) > limit {
		if newest {
			rows = rows[len(rows)-limit:]
		} else {
			rows = rows[:limit]
		}
	}
	trades := make([]order.Trade, len(rows))
	for i := range rows {
		trades[i] = rows[i].trade()
	}
	return trades
}

func sortedKeys(m map[string]order.Phase) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
