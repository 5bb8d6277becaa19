package main

import (
	"context"
	"fmt"
	"strings"

	"mscoin/exchange/order"
	exchange "mscoin/exchange/simulate"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	wallet "mscoin/wallet/simulate"
)

// idBlock is how many ids a process leases at once; what it has left at its end is lost.
const idBlock = 8

// orderStore is the order store as one process reaches it.
type orderStore struct {
	s  *sim
	db *exchange.DB
}

var _ exchange.Store = orderStore{}

func readOf[T any](s *sim, v service, get func() (T, error)) (T, error) {
	if err := s.read(v); err != nil {
		var zero T
		return zero, err
	}
	return get()
}

func (o orderStore) write(what func() string, effect func() error) error {
	return o.s.write(orderDB, what, effect)
}

// InsertOrder implements the store.
func (o orderStore) InsertOrder(ctx context.Context, ord *order.Order) error {
	return o.write(func() string {
		return fmt.Sprintf("stores the intent of order %d (member %d, client id %s)", ord.ID, ord.MemberID, ord.ClientOrderID)
	}, func() error { return o.db.InsertOrder(ctx, ord) })
}

// Deactivate implements the store.
func (o orderStore) Deactivate(ctx context.Context, id int64) error {
	return o.write(func() string { return fmt.Sprintf("frees the client id of order %d", id) }, func() error { return o.db.Deactivate(ctx, id) })
}

// Refuse implements the store.
func (o orderStore) Refuse(ctx context.Context, id int64, reason order.Reason, nowMs int64) error {
	return o.write(func() string { return fmt.Sprintf("refuses order %d", id) }, func() error { return o.db.Refuse(ctx, id, reason, nowMs) })
}

// SetHold implements the store.
func (o orderStore) SetHold(ctx context.Context, id, held int64) error {
	return o.write(func() string { return fmt.Sprintf("notes that order %d holds %d", id, held) }, func() error { return o.db.SetHold(ctx, id, held) })
}

// InsertSymbol implements the store.
func (o orderStore) InsertSymbol(ctx context.Context, r symbol.Rules, partitions int) (out symbol.Rules, err error) {
	err = o.write(func() string { return "stores symbol " + r.Name }, func() error {
		out, err = o.db.InsertSymbol(ctx, r, partitions)
		return err
	})
	return out, err
}

// FindActive implements the store.
func (o orderStore) FindActive(ctx context.Context, member int64, clientID string) (exchange.Found, error) {
	return readOf(o.s, orderDB, func() (exchange.Found, error) { return o.db.FindActive(ctx, member, clientID) })
}

// Order implements the store.
func (o orderStore) Order(ctx context.Context, id int64) (exchange.Found, error) {
	return readOf(o.s, orderDB, func() (exchange.Found, error) { return o.db.Order(ctx, id) })
}

// OrderByClientID implements the store.
func (o orderStore) OrderByClientID(ctx context.Context, member int64, clientID string) (exchange.Found, error) {
	return readOf(o.s, orderDB, func() (exchange.Found, error) { return o.db.OrderByClientID(ctx, member, clientID) })
}

// Orders implements the store.
func (o orderStore) Orders(ctx context.Context, ids []int64) ([]exchange.Found, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Found, error) { return o.db.Orders(ctx, ids) })
}

// OpenOrders implements the store.
func (o orderStore) OpenOrders(ctx context.Context, member int64, name string) ([]exchange.Found, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Found, error) { return o.db.OpenOrders(ctx, member, name) })
}

// ListOrders implements the store.
func (o orderStore) ListOrders(ctx context.Context, q exchange.OrderQuery) ([]exchange.Found, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Found, error) { return o.db.ListOrders(ctx, q) })
}

// ListTrades implements the store.
func (o orderStore) ListTrades(ctx context.Context, q exchange.TradeQuery) ([]order.Trade, error) {
	return readOf(o.s, orderDB, func() ([]order.Trade, error) { return o.db.ListTrades(ctx, q) })
}

// Intents implements the store.
func (o orderStore) Intents(ctx context.Context, beforeMs int64, except []string, limit int) ([]exchange.Found, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Found, error) { return o.db.Intents(ctx, beforeMs, except, limit) })
}

// Moves implements the store.
func (o orderStore) Moves(ctx context.Context) ([]exchange.Move, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Move, error) { return o.db.Moves(ctx) })
}

// Symbols implements the store.
func (o orderStore) Symbols(ctx context.Context) ([]exchange.Listed, error) {
	return readOf(o.s, orderDB, func() ([]exchange.Listed, error) { return o.db.Symbols(ctx) })
}

// positions is a stream.Store as one process reaches it.
type positions struct {
	stream.Store // what is not listed here is for operators only

	s     *sim
	v     service
	check func() // after each commit
}

var _ stream.Store = positions{}

// LoadPosition implements stream.Store.
func (p positions) LoadPosition(ctx context.Context, consumer, topic string, partition int) (database.Position, error) {
	return readOf(p.s, p.v, func() (database.Position, error) { return p.Store.LoadPosition(ctx, consumer, topic, partition) })
}

// LoadSymbolPositions implements stream.Store.
func (p positions) LoadSymbolPositions(ctx context.Context, consumer string) (map[string]database.SymbolPosition, error) {
	return readOf(p.s, p.v, func() (map[string]database.SymbolPosition, error) { return p.Store.LoadSymbolPositions(ctx, consumer) })
}

// SymbolSeq implements stream.Store.
func (p positions) SymbolSeq(ctx context.Context, consumer, name string) (int64, error) {
	return readOf(p.s, p.v, func() (int64, error) { return p.Store.SymbolSeq(ctx, consumer, name) })
}

// LoadHalts implements stream.Store.
func (p positions) LoadHalts(ctx context.Context, consumer string) (map[string]database.Halt, error) {
	return readOf(p.s, p.v, func() (map[string]database.Halt, error) { return p.Store.LoadHalts(ctx, consumer) })
}

// Tx implements stream.Store.
func (p positions) Tx(ctx context.Context, fn func(stream.Fences, *database.Tx) error) error {
	moved := ""
	return p.s.write(p.v, func() string { return "commits a batch to the " + serviceNames[p.v] }, func() error {
		err := p.Store.Tx(ctx, func(f stream.Fences, tx *database.Tx) error {
			if p.s.story != nil {
				f = &told{f, &moved}
			}
			return fn(f, tx)
		})
		if err != nil {
			p.s.world.checks.settling = nil
			p.s.say(p.s.who(), "  rolled back: %v", err)
			return err
		}
		p.s.say(p.s.who(), "  committed:%s", moved)
		p.s.world.settledOnce()
		p.check()
		return nil
	})
}

// told notes what a transaction moves.
type told struct {
	stream.Fences
	text *string
}

// AdvanceSymbol implements stream.Fences.
func (t *told) AdvanceSymbol(consumer, name string, from, to int64, hash []byte) error {
	*t.text += fmt.Sprintf(" %s up to record %d", name, to)
	return t.Fences.AdvanceSymbol(consumer, name, from, to, hash)
}

// leaser leases ids of a database.
type leaser interface {
	Lease(name string, n int64) (first int64)
}

// ids hands out the ids of one process, as package idgen does.
type ids struct {
	s         *sim
	v         service
	db        leaser
	next, end int64
}

// Next implements the IDs of the exchange.
func (g *ids) Next(context.Context) (int64, error) {
	for g.next == g.end {
		var first int64
		err := g.s.write(g.v, func() string { return "leases ids" }, func() error {
			first = g.db.Lease("order", idBlock)
			return nil
		})
		if err != nil {
			return 0, err
		}
		if g.next == g.end { // else another caller was faster, and this block is lost
			g.next, g.end = first, first+idBlock
		}
	}
	g.next++
	return g.next - 1, nil
}

// walletStore is the wallet's store as one process reaches it.
type walletStore struct {
	wallet.Store // the twin: what is not listed here is not called

	s     *sim
	check func()
}

func (w walletStore) write(what func() string, effect func() error) error {
	return w.s.write(walletDB, what, func() error {
		err := effect()
		w.check()
		return err
	})
}

// PlaceHolds implements the store.
func (w walletStore) PlaceHolds(ctx context.Context, reqs []wallet.HoldRequest) (out []wallet.HoldResult, err error) {
	err = w.write(func() string {
		var text strings.Builder
		text.WriteString("decides holds:")
		for i := range reqs {
			fmt.Fprintf(&text, " order %d (member %d, %d %s)", reqs[i].OrderID, reqs[i].MemberID, reqs[i].Amount, reqs[i].Coin)
		}
		return text.String()
	}, func() error {
		out, err = w.Store.PlaceHolds(ctx, reqs)
		w.s.world.holdsAnswered(reqs, out)
		return err
	})
	return out, err
}

// Deposit implements the store.
func (w walletStore) Deposit(ctx context.Context, d wallet.Deposit) (out wallet.Balance, repeated bool, err error) {
	err = w.write(func() string {
		return fmt.Sprintf("credits %d %s to member %d (%s)", d.Amount, d.Coin, d.MemberID, d.Reference)
	}, func() error {
		out, repeated, err = w.Store.Deposit(ctx, d)
		return err
	})
	return out, repeated, err
}

// ReleaseHold implements the store.
func (w walletStore) ReleaseHold(ctx context.Context, orderID, memberID int64) error {
	return w.write(func() string { return fmt.Sprintf("releases the hold of order %d", orderID) }, func() error { return w.Store.ReleaseHold(ctx, orderID, memberID) })
}

// StaleHolds implements the store.
func (w walletStore) StaleHolds(ctx context.Context, beforeMs int64, except []string, limit int) ([]wallet.StaleHold, error) {
	return readOf(w.s, walletDB, func() ([]wallet.StaleHold, error) { return w.Store.StaleHolds(ctx, beforeMs, except, limit) })
}

// Coins implements the store.
func (w walletStore) Coins(ctx context.Context) ([]wallet.Coin, error) {
	return readOf(w.s, walletDB, func() ([]wallet.Coin, error) { return w.Store.Coins(ctx) })
}
