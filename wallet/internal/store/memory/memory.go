// Package memory is the wallet's store in memory, for simulations: the same answers as
// package store, whose tests run against both.
package memory

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/memory"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

// Store implements app.Store and consumer.Store, and stream.Store by its DB. The tables
// may be read by whoever checks them; what writes goes through a transaction.
type Store struct {
	*memory.DB

	Balances map[ledger.WalletKey]ledger.Wallet
	Holds    map[int64]Hold
	Deposits map[string]Deposit
	// Lines is the journal in the order of writing.
	Lines []ledger.Line

	clk     clock.Clock
	coins   map[string]app.Coin
	settled map[record]bool // the journal's primary key, as far as settlements go
}

// Hold is a hold with the hash of its request.
type Hold struct {
	ledger.Hold

	RequestHash []byte
}

// Deposit is a credited deposit with its transaction.
type Deposit struct {
	app.Deposit

	TxID int64
}

type record struct {
	symbol string
	seq    int64
}

// New returns an empty store that takes its times from clk.
func New(clk clock.Clock) *Store {
	return &Store{
		DB: memory.New(), Balances: map[ledger.WalletKey]ledger.Wallet{}, Holds: map[int64]Hold{},
		Deposits: map[string]Deposit{}, clk: clk, coins: map[string]app.Coin{}, settled: map[record]bool{},
	}
}

// post applies entries to the wallets and the journal within the running transaction.
// txID is 0 for settlements: their record is their number.
func (s *Store) post(txID int64, entries ...ledger.Entry) error {
	balances := ledger.NewBalances()
	for _, key := range ledger.WalletKeys(entries) {
		balances.Load(key, s.Balances[key])
	}
	var lines []ledger.Line
	for _, e := range entries {
		id := txID
		if source := e.Source(); id == 0 {
			if s.settled[record{source.Symbol, source.Seq}] {
				return fmt.Errorf("journal of %s record %d: %w", source.Symbol, source.Seq, memory.ErrDuplicateKey)
			}
			memory.Put(s.DB, s.settled, record{source.Symbol, source.Seq}, true)
			id = settlementTx + int64(len(s.settled))
		}
		var err error
		if lines, err = balances.Post(id, e, lines); err != nil {
			return err
		}
	}
	for _, key := range balances.Changed() {
		w, _ := balances.Wallet(key)
		w.Exists = true
		memory.Put(s.DB, s.Balances, key, w)
	}
	n := len(s.Lines)
	s.Undo(func() { s.Lines = s.Lines[:n] })
	s.Lines = append(s.Lines, lines...)
	return nil
}

// settlementTx is the smallest number of a settlement's transaction.
const settlementTx = int64(1) << 52

func (s *Store) txID() int64 { return s.Lease("wallet_tx", 1) }

func (s *Store) putHold(h Hold) error {
	if err := h.Validate(); err != nil {
		return err
	}
	memory.Put(s.DB, s.Holds, h.OrderID, h)
	return nil
}

// PlaceHolds implements app.Store.
func (s *Store) PlaceHolds(_ context.Context, reqs []app.HoldRequest) ([]app.HoldResult, error) {
	ids := make([]int64, len(reqs))
	for i := range ids {
		ids[i] = s.txID()
	}
	results := make([]app.HoldResult, len(reqs))
	err := s.Atomically(func() (err error) {
		for i := range reqs {
			if results[i], err = s.placeHold(&reqs[i], ids[i]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

func (s *Store) placeHold(r *app.HoldRequest, txID int64) (app.HoldResult, error) {
	hash := r.Hash()
	if h, ok := s.Holds[r.OrderID]; ok {
		switch {
		case h.State == ledger.HoldTombstone:
			return app.HoldResult{Err: app.ErrHoldRefused}, nil
		case !bytes.Equal(h.RequestHash, hash):
			return app.HoldResult{Err: app.ErrMismatch}, nil
		case h.State == ledger.HoldRefused:
			return app.HoldResult{Err: app.ErrInsufficientBalance}, nil
		case h.State == ledger.HoldClosed:
			return app.HoldResult{Err: app.ErrHoldRefused}, nil
		}
		return app.HoldResult{Held: h.Held}, nil
	}
	now := s.clk.NowMs()
	h := Hold{RequestHash: hash, Hold: ledger.Hold{
		OrderID: r.OrderID, MemberID: r.MemberID, Coin: r.Coin, Symbol: r.Symbol,
		State: ledger.HoldOpen, PlaceTimeMs: now, UpdatedMs: now,
	}}
	available := s.Balances[ledger.WalletKey{MemberID: r.MemberID, Coin: r.Coin}].Available.Balance
	amount, ok := ledger.AmountToHold(available, r.Amount, r.MinAmount)
	if !ok {
		h.State = ledger.HoldRefused
		return app.HoldResult{Err: app.ErrInsufficientBalance}, s.putHold(h)
	}
	h.Held = amount
	entry, err := h.Place(now)
	if err == nil {
		err = s.post(txID, entry)
	}
	if err != nil {
		return app.HoldResult{}, fmt.Errorf("order %d: %w", r.OrderID, err)
	}
	return app.HoldResult{Held: amount}, s.putHold(h)
}

// ReleaseHold implements app.Store.
func (s *Store) ReleaseHold(_ context.Context, orderID, memberID int64) error {
	txID := s.txID()
	return s.Atomically(func() error {
		now := s.clk.NowMs()
		h, ok := s.Holds[orderID]
		switch {
		case !ok:
			return s.putHold(Hold{Hold: ledger.Hold{
				OrderID: orderID, MemberID: memberID, State: ledger.HoldTombstone, PlaceTimeMs: now, UpdatedMs: now,
			}})
		case h.MemberID != memberID:
			return app.ErrUnknownOrder
		case h.State == ledger.HoldRefused || h.State == ledger.HoldTombstone:
			return nil
		case h.State == ledger.HoldClosed && h.Facts == (ledger.Facts{}):
			return nil
		case h.Seq != 0:
			return app.ErrHoldInUse
		}
		entry, err := h.Cancel(now)
		if err == nil {
			err = s.post(txID, entry)
		}
		if err != nil {
			return err
		}
		return s.putHold(h)
	})
}

// StaleHolds implements app.Store.
func (s *Store) StaleHolds(_ context.Context, beforeMs int64, except []string, limit int) ([]app.StaleHold, error) {
	var out []app.StaleHold
	for _, h := range s.Holds {
		if h.State == ledger.HoldOpen && h.Seq == 0 && h.PlaceTimeMs < beforeMs && !slices.Contains(except, h.Symbol) {
			out = append(out, app.StaleHold{OrderID: h.OrderID, MemberID: h.MemberID, Symbol: h.Symbol, PlaceTimeMs: h.PlaceTimeMs})
		}
	}
	slices.SortFunc(out, func(a, b app.StaleHold) int {
		return cmp.Or(cmp.Compare(a.PlaceTimeMs, b.PlaceTimeMs), cmp.Compare(a.OrderID, b.OrderID))
	})
	return out[:min(limit, len(out))], nil
}

// Suspended implements app.Store: see Settle.
func (s *Store) Suspended(context.Context, int64, int) ([]app.Suspended, error) { return nil, nil }

// Settle implements consumer.Store within the running transaction. Unlike the real store
// it suspends nothing: a simulation wants to hear of every contradiction.
func (s *Store) Settle(_ context.Context, _ *database.Tx, records []settlement.Record) error {
	holds := settlement.Holds{}
	for i := range records {
		for _, id := range records[i].OrderIDs() {
			if h, ok := s.Holds[id]; ok && holds[id] == nil {
				holds[id] = &h.Hold
			}
		}
	}
	var entries []ledger.Entry
	for i := range records {
		e, err := settlement.Settle(&records[i], holds)
		if err != nil {
			return err
		}
		if e.Len() > 0 {
			entries = append(entries, e)
		}
	}
	if err := s.post(0, entries...); err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(holds)) {
		if err := s.putHold(Hold{Hold: *holds[id], RequestHash: s.Holds[id].RequestHash}); err != nil {
			return err
		}
	}
	return nil
}

// Check implements consumer.Store.
func (s *Store) Check(_ context.Context, _ *database.Tx, c *stream.Checkpoint, base, _ string) error {
	if !c.Fits() {
		return nil
	}
	got := c.Totals // what a wallet does not keep is taken over
	got.OpenOrders, got.BaseHeld, got.QuoteHeld = 0, 0, 0
	for _, h := range s.Holds {
		if h.Symbol != c.Symbol || h.State != ledger.HoldOpen || h.Seq == 0 {
			continue
		}
		got.OpenOrders++
		if h.Coin == base {
			got.BaseHeld += h.Held - h.Consumed - h.Released
		} else {
			got.QuoteHeld += h.Held - h.Consumed - h.Released
		}
	}
	return c.Compare(got)
}

// Deposit implements app.Store.
func (s *Store) Deposit(_ context.Context, d app.Deposit) (w app.Wallet, repeated bool, err error) {
	txID := s.txID()
	err = s.Atomically(func() error {
		var before Deposit
		if before, repeated = s.Deposits[d.Reference]; repeated {
			if before.Deposit != d {
				return app.ErrMismatch
			}
			return nil
		}
		memory.Put(s.DB, s.Deposits, d.Reference, Deposit{Deposit: d, TxID: txID})
		entry, err := ledger.Deposit(ledger.Source{Ref: d.Reference, TimeMs: s.clk.NowMs()}, d.MemberID, d.Coin, d.Amount)
		if err != nil {
			return err
		}
		return s.post(txID, entry)
	})
	if err != nil {
		return app.Wallet{}, false, err
	}
	return s.wallet(d.MemberID, s.coins[d.Coin]), repeated, nil
}

func (s *Store) wallet(member int64, c app.Coin) app.Wallet {
	w := s.Balances[ledger.WalletKey{MemberID: member, Coin: c.Name}]
	return app.Wallet{Coin: c.Name, Scale: c.Scale, Available: w.Available.Balance, Held: w.Held.Balance, UpdatedMs: w.UpdatedMs}
}

// Wallets implements app.Store.
func (s *Store) Wallets(_ context.Context, member int64, coin string) ([]app.Wallet, error) {
	var out []app.Wallet
	for _, name := range slices.Sorted(maps.Keys(s.coins)) {
		if coin == "" || coin == name {
			out = append(out, s.wallet(member, s.coins[name]))
		}
	}
	return out, nil
}

// Transactions implements app.Store.
func (s *Store) Transactions(_ context.Context, q app.TransactionQuery, limit int) ([]app.Transaction, error) {
	var out []app.Transaction
	for i := range s.Lines {
		l := &s.Lines[i]
		t := app.Transaction{
			TxID: l.TxID, Line: l.Line, Kind: string(l.Posting.Reason), Coin: l.Posting.Account.Coin,
			Scale: s.coins[l.Posting.Account.Coin].Scale, Held: l.Posting.Account.Kind == ledger.Held,
			Amount: l.Posting.Amount, BalanceAfter: l.BalanceAfter, Symbol: l.Source.Symbol,
			OrderID: l.Posting.OrderID, Reference: l.Source.Ref, TimeMs: l.Source.TimeMs,
		}
		at := app.Cursor{TimeMs: t.TimeMs, TxID: t.TxID, Line: t.Line}
		if l.Posting.Account.MemberID == q.MemberID && (q.Coin == "" || q.Coin == t.Coin) && (q.Kind == "" || q.Kind == t.Kind) && (q.Symbol == "" || q.Symbol == t.Symbol) &&
			t.TimeMs >= q.StartMs && (q.EndMs == 0 || t.TimeMs <= q.EndMs) && (q.After.TxID == 0 || older(at, q.After) < 0) {
			out = append(out, t)
		}
	}
	slices.SortFunc(out, func(a, b app.Transaction) int {
		return older(app.Cursor{TimeMs: b.TimeMs, TxID: b.TxID, Line: b.Line}, app.Cursor{TimeMs: a.TimeMs, TxID: a.TxID, Line: a.Line})
	})
	return out[:min(limit, len(out))], nil
}

func older(a, b app.Cursor) int {
	return cmp.Or(cmp.Compare(a.TimeMs, b.TimeMs), cmp.Compare(a.TxID, b.TxID), cmp.Compare(a.Line, b.Line))
}

// Coins implements app.Store.
func (s *Store) Coins(context.Context) ([]app.Coin, error) {
	all := make([]app.Coin, 0, len(s.coins))
	for _, name := range slices.Sorted(maps.Keys(s.coins)) {
		all = append(all, s.coins[name])
	}
	return all, nil
}

// Coin implements app.Store.
func (s *Store) Coin(_ context.Context, name string) (app.Coin, bool, error) {
	c, ok := s.coins[name]
	return c, ok, nil
}

// CreateCoin implements app.Store.
func (s *Store) CreateCoin(_ context.Context, c app.Coin) (app.Coin, error) {
	err := s.Atomically(func() error {
		if _, listed := s.coins[c.Name]; !listed {
			memory.Put(s.DB, s.coins, c.Name, c)
		}
		return nil
	})
	return s.coins[c.Name], err
}
