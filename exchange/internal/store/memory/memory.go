// Package memory is the order store in memory, for simulations: the same answers as
// package store, whose tests run against both.
package memory

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/invariant"
	"mscoin/mscoin-common/stream/memory"
	"mscoin/mscoin-common/symbol"
)

// Store implements app.Store, and stream.Store by its DB. The tables may be read by
// whoever checks them; what writes goes through a transaction.
type Store struct {
	*memory.DB

	// Rows are the orders by id, Trades the trades by symbol and number.
	Rows   map[int64]Row
	Trades map[TradeKey]order.Trade

	active  map[clientKey]int64
	symbols map[string]app.Listed
}

// Row is a stored order. Active says that no other order may have its client order id.
type Row struct {
	app.Found

	Active bool
}

// TradeKey is the key of a trade.
type TradeKey struct {
	Symbol string
	ID     int64
}

type clientKey struct {
	member        int64
	clientOrderID string
}

// New returns an empty store.
func New() *Store {
	return &Store{
		DB: memory.New(), Rows: map[int64]Row{}, Trades: map[TradeKey]order.Trade{},
		active: map[clientKey]int64{}, symbols: map[string]app.Listed{},
	}
}

// InsertOrder implements app.Store.
func (s *Store) InsertOrder(_ context.Context, o *order.Order) error {
	return s.Atomically(func() error {
		key := clientKey{o.MemberID, o.ClientOrderID}
		_, taken := s.active[key]
		if _, exists := s.Rows[o.ID]; exists || taken {
			return app.ErrDuplicate
		}
		row := Row{Found: app.Found{Order: *o, UpdateTimeMs: o.CreateTimeMs}, Active: true}
		row.TimeMs = o.CreateTimeMs
		memory.Put(s.DB, s.Rows, o.ID, row)
		memory.Put(s.DB, s.active, key, o.ID)
		return nil
	})
}

// change rewrites a row that is there and fits.
func (s *Store) change(id int64, fits func(*Row) bool, edit func(*Row)) error {
	return s.Atomically(func() error {
		row, ok := s.Rows[id]
		if !ok || !fits(&row) {
			return nil
		}
		edit(&row)
		if !row.Active {
			memory.Delete(s.DB, s.active, clientKey{row.MemberID, row.ClientOrderID})
		}
		memory.Put(s.DB, s.Rows, id, row)
		return nil
	})
}

func isIntent(r *Row) bool { return r.State == order.StateInit }

// Deactivate implements app.Store.
func (s *Store) Deactivate(_ context.Context, orderID int64) error {
	return s.change(orderID, func(r *Row) bool { return r.Active && r.State.Final() }, func(r *Row) { r.Active = false })
}

// Refuse implements app.Store.
func (s *Store) Refuse(_ context.Context, orderID int64, reason order.Reason, nowMs int64) error {
	return s.change(orderID, isIntent, func(r *Row) {
		r.State, r.Reason, r.HeldRemaining, r.Active = order.StateRejected, reason, 0, false
		r.TimeMs, r.UpdateTimeMs = nowMs, nowMs
	})
}

// SetHold implements app.Store.
func (s *Store) SetHold(_ context.Context, orderID, held int64) error {
	return s.change(orderID, isIntent, func(r *Row) { r.Held(held) })
}

func one(row Row, ok bool) (app.Found, error) {
	if !ok {
		return app.Found{}, app.ErrNotFound
	}
	return row.Found, nil
}

// FindActive implements app.Store.
func (s *Store) FindActive(_ context.Context, member int64, clientOrderID string) (app.Found, error) {
	row, ok := s.Rows[s.active[clientKey{member, clientOrderID}]]
	return one(row, ok)
}

// Order implements app.Store.
func (s *Store) Order(_ context.Context, orderID int64) (app.Found, error) {
	row, ok := s.Rows[orderID]
	return one(row, ok)
}

// OrderByClientID implements app.Store.
func (s *Store) OrderByClientID(_ context.Context, member int64, clientOrderID string) (app.Found, error) {
	found := s.where(func(r *Row) bool { return r.MemberID == member && r.ClientOrderID == clientOrderID })
	if len(found) == 0 {
		return app.Found{}, app.ErrNotFound
	}
	return found[len(found)-1], nil
}

// where returns the rows that fit by id.
func (s *Store) where(fits func(*Row) bool) []app.Found {
	found := []app.Found{}
	for _, id := range slices.Sorted(maps.Keys(s.Rows)) {
		if row := s.Rows[id]; fits(&row) {
			found = append(found, row.Found)
		}
	}
	return found
}

// Orders implements app.Store.
func (s *Store) Orders(_ context.Context, ids []int64) ([]app.Found, error) {
	return s.where(func(r *Row) bool { return slices.Contains(ids, r.ID) }), nil
}

// OpenOrders implements app.Store.
func (s *Store) OpenOrders(_ context.Context, member int64, name string) ([]app.Found, error) {
	return s.where(func(r *Row) bool { return r.State.Open() && r.MemberID == member && (name == "" || r.Symbol == name) }), nil
}

// Intents implements app.Store.
func (s *Store) Intents(_ context.Context, beforeMs int64, except []string, limit int) ([]app.Found, error) {
	found := s.where(func(r *Row) bool {
		return isIntent(r) && r.CreateTimeMs < beforeMs && !slices.Contains(except, r.Symbol)
	})
	return found[:min(limit, len(found))], nil
}

// ListOrders implements app.Store.
func (s *Store) ListOrders(_ context.Context, q app.OrderQuery) ([]app.Found, error) {
	found := s.where(func(r *Row) bool {
		return r.MemberID == q.Member && r.State != order.StateRejected && (q.Symbol == "" || r.Symbol == q.Symbol) &&
			(!q.FinalOnly || r.State.Final()) && inWindow(r.ID, r.CreateTimeMs, q.FromID, q.StartMs, q.EndMs)
	})
	return page(found, q.Limit, q.FromID == 0 && q.StartMs == 0), nil
}

func inWindow(id, timeMs, fromID, startMs, endMs int64) bool {
	return id >= fromID && timeMs >= startMs && (endMs <= 0 || timeMs <= endMs)
}

func page[T any](all []T, limit int, newest bool) []T {
	if len(all) <= limit {
		return all
	}
	if newest {
		return all[len(all)-limit:]
	}
	return all[:limit]
}

// ListTrades implements app.Store.
func (s *Store) ListTrades(_ context.Context, q app.TradeQuery) ([]order.Trade, error) {
	var all []order.Trade
	for _, t := range s.Trades {
		maker := t.MakerMemberID == q.Member && (q.Order == 0 || t.MakerOrderID == q.Order)
		taker := t.TakerMemberID == q.Member && (q.Order == 0 || t.TakerOrderID == q.Order)
		if (maker || taker) && t.Symbol == q.Symbol && inWindow(t.ID, t.TimeMs, q.FromID, q.StartMs, q.EndMs) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b order.Trade) int { return cmp.Compare(a.ID, b.ID) })
	return page(all, q.Limit, q.FromID == 0 && q.StartMs == 0), nil
}

// Symbols implements app.Store.
func (s *Store) Symbols(context.Context) ([]app.Listed, error) {
	all := make([]app.Listed, 0, len(s.symbols))
	for _, name := range slices.Sorted(maps.Keys(s.symbols)) {
		all = append(all, s.symbols[name])
	}
	return all, nil
}

// Moves implements app.Store: nothing moves in memory.
func (s *Store) Moves(context.Context) ([]app.Move, error) { return nil, nil }

// InsertSymbol implements app.Store.
func (s *Store) InsertSymbol(_ context.Context, r symbol.Rules, partitions int) (symbol.Rules, error) {
	err := s.Atomically(func() error {
		if _, exists := s.symbols[r.Name]; exists {
			return app.ErrDuplicate
		}
		counts := make([]int, partitions)
		for _, other := range s.symbols {
			counts[other.Partition]++
		}
		r.Partition = slices.Index(counts, slices.Min(counts))
		memory.Put(s.DB, s.symbols, r.Name, app.Listed{Rules: r, Phase: order.PhaseTrading})
		return nil
	})
	if err != nil {
		return symbol.Rules{}, err
	}
	return r, nil
}

// Apply writes a batch within the running transaction, as store.Apply does.
func (s *Store) Apply(b *order.Batch) error {
	for name, phase := range b.Phases {
		if l, ok := s.symbols[name]; ok {
			l.Phase = phase
			memory.Put(s.DB, s.symbols, name, l)
		}
	}
	for i := range b.Updates {
		u := &b.Updates[i]
		row, ok := s.Rows[u.OrderID]
		if !ok {
			if u.State == order.StateRejected && u.TradedAmount == 0 {
				continue
			}
			return &invariant.Violation{Message: fmt.Sprintf("record %d names order %d, which is not stored", u.Seq, u.OrderID)}
		}
		moved, err := row.Advance(*u)
		if err != nil {
			return fmt.Errorf("apply record %d: %w", u.Seq, err)
		}
		if moved {
			row.UpdateTimeMs = row.TimeMs
			memory.Put(s.DB, s.Rows, u.OrderID, row)
		}
	}
	for _, t := range b.Trades {
		key := TradeKey{t.Symbol, t.ID}
		if _, exists := s.Trades[key]; exists {
			return fmt.Errorf("trade %d of %s: %w", t.ID, t.Symbol, memory.ErrDuplicateKey)
		}
		memory.Put(s.DB, s.Trades, key, t)
	}
	return nil
}
