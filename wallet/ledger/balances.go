package ledger

import (
	"fmt"
	"maps"
	"slices"

	"mscoin/mscoin-common/money"
)

// Chain is the state of one member account: its balance and the number of
// journal lines that led to it.
type Chain struct {
	Balance int64
	Seq     int64
}

// Wallet is one wallet row: a member's two accounts in one coin.
type Wallet struct {
	Available Chain
	Held      Chain
	UpdatedMs int64
	// Exists is false for a row that the database does not have yet.
	Exists bool
	// Changed is set by [Balances.Post].
	Changed bool
}

// Balances is the set of wallet rows that one transaction has locked. Every
// change goes through [Balances.Post]; the new absolute values are then written
// back. It is not safe for concurrent use.
type Balances struct {
	wallets map[WalletKey]*Wallet
}

// NewBalances returns an empty set.
func NewBalances() *Balances { return &Balances{wallets: make(map[WalletKey]*Wallet)} }

// Load puts a locked row into the set.
func (b *Balances) Load(key WalletKey, w Wallet) {
	w.Changed = false
	b.wallets[key] = &w
}

// Wallet returns the row's present value; ok is false when it was not loaded.
func (b *Balances) Wallet(key WalletKey) (w Wallet, ok bool) {
	p, ok := b.wallets[key]
	if !ok {
		return Wallet{}, false
	}
	return *p, true
}

// Changed returns the keys of the rows that entries have changed, in lock order.
func (b *Balances) Changed() []WalletKey {
	keys := slices.SortedFunc(maps.Keys(b.wallets), WalletKey.Compare)
	return slices.DeleteFunc(keys, func(k WalletKey) bool { return !b.wallets[k].Changed })
}

// Post applies the entry and appends its journal lines to lines. It returns
// [ErrNegative] when a member account would fall below zero at any line,
// [ErrNotLoaded] for a row that is not in the set, and [money.ErrRange]; then
// nothing has changed.
func (b *Balances) Post(txID int64, e Entry, lines []Line) ([]Line, error) {
	start := len(lines)
	for i := range e.postings {
		line := Line{TxID: txID, Line: int32(i), Posting: e.postings[i], Source: e.source}
		if err := b.apply(&line); err != nil {
			b.undo(lines[start:])
			return lines[:start], err
		}
		lines = append(lines, line)
	}
	b.mark(lines[start:])
	return lines, nil
}

func (b *Balances) apply(line *Line) error {
	key, ok := line.Posting.Account.Wallet()
	if !ok {
		return nil
	}
	w, ok := b.wallets[key]
	if !ok {
		return fmt.Errorf("%w: %s", ErrNotLoaded, line.Posting.Account)
	}
	c := w.chain(line.Posting.Account.Kind)
	after, err := money.Add(c.Balance, line.Posting.Amount)
	if err != nil {
		return fmt.Errorf("%s: %w", line.Posting.Account, err)
	}
	if after < 0 {
		return &NegativeError{Posting: line.Posting, Balance: c.Balance}
	}
	c.Balance = after
	c.Seq++
	line.AccountSeq, line.BalanceAfter = c.Seq, after
	return nil
}

func (b *Balances) undo(lines []Line) {
	for _, line := range lines {
		if key, ok := line.Posting.Account.Wallet(); ok {
			c := b.wallets[key].chain(line.Posting.Account.Kind)
			c.Balance -= line.Posting.Amount
			c.Seq--
		}
	}
}

func (b *Balances) mark(lines []Line) {
	for _, line := range lines {
		if key, ok := line.Posting.Account.Wallet(); ok {
			w := b.wallets[key]
			w.Changed = true
			w.UpdatedMs = max(w.UpdatedMs, line.Source.TimeMs)
		}
	}
}

func (w *Wallet) chain(kind AccountKind) *Chain {
	if kind == Held {
		return &w.Held
	}
	return &w.Available
}

// WalletKeys returns the wallet rows that the entries change, in lock order and
// each once.
func WalletKeys(entries []Entry) []WalletKey {
	seen := make(map[WalletKey]struct{})
	for _, e := range entries {
		for i := range e.postings {
			if key, ok := e.postings[i].Account.Wallet(); ok {
				seen[key] = struct{}{}
			}
		}
	}
	return slices.SortedFunc(maps.Keys(seen), WalletKey.Compare)
}
