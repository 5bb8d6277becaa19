// Package store keeps the exchange's orders, trades and symbols in its database.
// GORM stops here.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"gorm.io/gorm"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

//go:embed migration/*.sql
var migrations embed.FS

// Migrations are the files of the set "exchange".
func Migrations() fs.FS { return migrations }

const (
	// maxInserts bounds the intents of one transaction, maxRows those of one
	// statement: SQLite takes at most 32766 parameters.
	maxInserts = 256
	maxRows    = 256
)

// Store implements app.Store.
type Store struct {
	db      *database.DB
	clk     clock.Clock
	intents *batch.Writer[*order.Order]
}

// New returns a store over a migrated database. Intents are only stored while Run
// runs.
func New(db *database.DB, clk clock.Clock) *Store {
	s := &Store{db: db, clk: clk}
	s.intents = batch.New(clk, maxInserts, s.insertOrders)
	return s
}

// Run stores the intents that arrive, those that arrive together in one transaction,
// until ctx ends.
func (s *Store) Run(ctx context.Context) error { return s.intents.Run(ctx) }

// InsertOrder implements app.Store.
func (s *Store) InsertOrder(ctx context.Context, o *order.Order) error {
	err := s.intents.Do(ctx, o)
	switch {
	case errors.Is(err, batch.ErrNotTaken):
		return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the order store is busy").Wrap(err)
	case errors.Is(err, batch.ErrAbandoned):
		return errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "the order store has not answered in time").Wrap(err)
	}
	return err
}

// insertOrders stores intents in one transaction, or each in its own when one of
// them cannot be stored.
func (s *Store) insertOrders(ctx context.Context, orders []*order.Order) []error {
	rows := make([]orderRow, len(orders))
	for i, o := range orders {
		rows[i] = intentRow(o)
	}
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("intent")
		return tx.DB().Create(&rows).Error
	})
	if err == nil {
		return nil
	}
	all := make([]error, len(orders))
	if len(orders) == 1 || !database.IsDuplicateKey(err) {
		for i := range all {
			all[i] = duplicate(err)
		}
		return all
	}
	for i, o := range orders {
		row := intentRow(o)
		all[i] = duplicate(s.db.Tx(ctx, func(tx *database.Tx) error { return tx.DB().Create(&row).Error }))
	}
	return all
}

func duplicate(err error) error {
	if database.IsDuplicateKey(err) {
		return app.ErrDuplicate
	}
	return err
}

// FindActive implements app.Store.
func (s *Store) FindActive(ctx context.Context, member int64, clientOrderID string) (app.Found, error) {
	return s.one(s.db.Read(ctx).Where("member_id = ? AND active_client_order_id = ?", member, clientOrderID))
}

// Order implements app.Store.
func (s *Store) Order(ctx context.Context, orderID int64) (app.Found, error) {
	return s.one(s.db.Read(ctx).Where("order_id = ?", orderID))
}

// OrderByClientID implements app.Store.
func (s *Store) OrderByClientID(ctx context.Context, member int64, clientOrderID string) (app.Found, error) {
	return s.one(s.db.Read(ctx).Where("member_id = ? AND client_order_id = ?", member, clientOrderID).Order("order_id DESC").Limit(1))
}

func (s *Store) one(q *gorm.DB) (app.Found, error) {
	var row orderRow
	err := q.Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return app.Found{}, app.ErrNotFound
	}
	if err != nil {
		return app.Found{}, fmt.Errorf("read order: %w", err)
	}
	return row.found(), nil
}

// Orders implements app.Store. Ids that are not stored are left out.
func (s *Store) Orders(ctx context.Context, ids []int64) ([]app.Found, error) {
	all := make([]app.Found, 0, len(ids))
	for len(ids) > 0 {
		n := min(len(ids), maxRows)
		found, err := s.many(s.db.Read(ctx).Where("order_id IN ?", ids[:n]).Order("order_id"))
		if err != nil {
			return nil, err
		}
		all, ids = append(all, found...), ids[n:]
	}
	return all, nil
}

func (s *Store) many(q *gorm.DB) ([]app.Found, error) {
	var rows []orderRow
	if err := q.Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read orders: %w", err)
	}
	all := make([]app.Found, len(rows))
	for i := range rows {
		all[i] = rows[i].found()
	}
	return all, nil
}

// maxOpen bounds the answer of OpenOrders.
const maxOpen = 10_000

// OpenOrders implements app.Store.
func (s *Store) OpenOrders(ctx context.Context, member int64, name string) ([]app.Found, error) {
	q := s.db.Read(ctx).Where("status IN ? AND member_id = ?", []int64{statusTrading, statusPendingTrigger}, member)
	if name != "" {
		q = q.Where("symbol = ?", name)
	}
	return s.many(q.Order("order_id").Limit(maxOpen))
}

// ListOrders implements app.Store. Refused orders are not listed: their member was
// told that nothing has happened.
func (s *Store) ListOrders(ctx context.Context, query app.OrderQuery) ([]app.Found, error) {
	q := s.db.Read(ctx).Where("member_id = ? AND status <> ?", query.Member, statusRejected)
	if query.Symbol != "" {
		q = q.Where("symbol = ?", query.Symbol)
	}
	if query.FinalOnly {
		q = q.Where("status NOT IN ?", []int64{statusTrading, statusPendingTrigger, statusInit})
	}
	q, newest := window(q, "order_id", query.FromID, query.StartMs, query.EndMs)
	found, err := s.many(q.Limit(query.Limit))
	if newest {
		reverse(found)
	}
	return found, err
}

// window limits a listing: from an id or time on, ascending; or, with neither, the
// newest, which come in reverse.
func window(q *gorm.DB, id string, fromID, startMs, endMs int64) (*gorm.DB, bool) {
	if fromID > 0 {
		q = q.Where(id+" >= ?", fromID)
	}
	if startMs > 0 {
		q = q.Where("time >= ?", startMs)
	}
	if endMs > 0 {
		q = q.Where("time <= ?", endMs)
	}
	if fromID > 0 || startMs > 0 {
		return q.Order(id), false
	}
	return q.Order(id + " DESC"), true
}

func reverse[T any](s []T) {
	for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
		s[i], s[j] = s[j], s[i]
	}
}

// ListTrades implements app.Store. The maker's and the taker's side are read by
// their own index each.
func (s *Store) ListTrades(ctx context.Context, query app.TradeQuery) ([]order.Trade, error) {
	var merged []tradeRow
	newest := false
	for _, side := range []string{"maker", "taker"} {
		var q *gorm.DB
		if query.Order > 0 {
			q = s.db.Read(ctx).Where(side+"_order_id = ? AND "+side+"_member_id = ? AND symbol = ?", query.Order, query.Member, query.Symbol)
		} else {
			q = s.db.Read(ctx).Where(side+"_member_id = ? AND symbol = ?", query.Member, query.Symbol)
		}
		q, newest = window(q, "trade_id", query.FromID, query.StartMs, query.EndMs)
		var rows []tradeRow
		if err := q.Limit(query.Limit).Find(&rows).Error; err != nil {
			return nil, fmt.Errorf("read trades: %w", err)
		}
		merged = append(merged, rows...)
	}
	return mergeTrades(merged, query.Limit, newest), nil
}

// Deactivate implements app.Store.
func (s *Store) Deactivate(ctx context.Context, orderID int64) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Model(&orderRow{}).
			Where("order_id = ? AND status NOT IN ?", orderID, []int64{statusTrading, statusPendingTrigger, statusInit}).
			Update("active_client_order_id", nil).Error
	})
	if err != nil {
		return fmt.Errorf("give client order id of order %d free: %w", orderID, err)
	}
	return nil
}

// Refuse implements app.Store. An order that the matcher has spoken of stays as it is.
func (s *Store) Refuse(ctx context.Context, orderID int64, reason order.Reason, nowMs int64) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("refusal")
		return tx.DB().Model(&orderRow{}).Where("order_id = ? AND status = ?", orderID, statusInit).
			Updates(map[string]any{
				"status": statusRejected, "reason": int64(reason), "held_remaining": 0,
				"updated_time": nowMs, "canceled_time": nowMs, "active_client_order_id": nil,
			}).Error
	})
	if err != nil {
		return fmt.Errorf("refuse order %d: %w", orderID, err)
	}
	return nil
}

// SetHold implements app.Store.
func (s *Store) SetHold(ctx context.Context, orderID, held int64) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Model(&orderRow{}).Where("order_id = ? AND status = ?", orderID, statusInit).
			Updates(map[string]any{"hold_amount": held, "held_remaining": held}).Error
	})
	if err != nil {
		return fmt.Errorf("set hold of order %d: %w", orderID, err)
	}
	return nil
}

// Intents implements app.Store.
func (s *Store) Intents(ctx context.Context, beforeMs int64, except []string, limit int) ([]app.Found, error) {
	query := s.db.Read(ctx).Where("status = ? AND time < ?", statusInit, beforeMs)
	if len(except) > 0 {
		query = query.Where("symbol NOT IN ?", except)
	}
	return s.many(query.Order("order_id").Limit(limit))
}

// Symbols implements app.Store.
func (s *Store) Symbols(ctx context.Context) ([]app.Listed, error) {
	var rows []coinRow
	if err := s.db.Read(ctx).Order("symbol").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	all := make([]app.Listed, len(rows))
	for i := range rows {
		all[i] = app.Listed{Rules: rows[i].rules(), Phase: order.Phase(rows[i].Phase)}
	}
	return all, nil
}

// InsertSymbol implements app.Store.
func (s *Store) InsertSymbol(ctx context.Context, r symbol.Rules, partitions int) (symbol.Rules, error) {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("listing")
		var rows []coinRow
		// Locked, so that two listings at once do not choose by the same count.
		if err := tx.ForUpdate().Order("symbol").Find(&rows).Error; err != nil {
			return err
		}
		for i := range rows {
			if rows[i].Symbol == r.Name {
				return app.ErrDuplicate
			}
		}
		r.Partition = emptiest(rows, partitions)
		row := coinRowOf(r, s.clk.NowMs())
		row.Sort = int64(len(rows))
		return tx.DB().Create(&row).Error
	})
	if errors.Is(err, app.ErrDuplicate) || database.IsDuplicateKey(err) {
		return symbol.Rules{}, app.ErrDuplicate
	}
	if err != nil {
		return symbol.Rules{}, fmt.Errorf("insert symbol: %w", err)
	}
	return r, nil
}

// emptiest returns the partition with the fewest symbols, the lowest of several.
func emptiest(rows []coinRow, partitions int) int {
	counts := make([]int, partitions)
	for i := range rows {
		if p := rows[i].PartitionID; p >= 0 && p < int64(partitions) {
			counts[p]++
		}
	}
	best := 0
	for p, n := range counts {
		if n < counts[best] {
			best = p
		}
	}
	return best
}
