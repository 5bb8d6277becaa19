package store

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"

	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

var walletTable = table{
	name: "member_wallet",
	key:  []string{"member_id", "coin_name"},
	columns: []string{
		"member_id", "coin_name", "balance", "frozen_balance", "balance_seq", "frozen_seq", "is_lock", "version", "updated_time",
	},
}

var holdTable = table{
	name: "wallet_hold",
	key:  []string{"order_id"},
	columns: []string{
		"order_id", "member_id", "coin", "symbol", "request_hash", "held", "consumed", "released",
		"traded_amount", "turnover", "fee", "state", "seq", "place_time", "updated_time", "pending_since",
	},
}

var journalTable = table{
	name: "wallet_journal",
	columns: []string{
		"tx_id", "line", "account", "member_id", "coin", "amount", "account_seq", "balance_after",
		"symbol", "seq", "order_id", "kind", "ref", "time",
	},
}

// wallets are the locked wallet rows of a transaction with the columns that the
// ledger does not know.
type wallets struct {
	*ledger.Balances

	extra map[ledger.WalletKey]walletExtra
}

type walletExtra struct {
	isLock  int64
	version int64
}

// lockWallets locks the rows in key order and loads them. Rows that do not exist are
// created first when create is set, and count as empty otherwise.
func (b *batch) lockWallets(keys []ledger.WalletKey, create bool) (*wallets, error) {
	w := &wallets{Balances: ledger.NewBalances(), extra: make(map[ledger.WalletKey]walletExtra, len(keys))}
	if err := b.loadWallets(w, keys); err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(slices.Clone(keys), func(k ledger.WalletKey) bool { _, ok := w.extra[k]; return ok })
	if len(missing) == 0 {
		return w, nil
	}
	if !create {
		for _, k := range missing {
			w.Load(k, ledger.Wallet{})
		}
		return w, nil
	}
	err := b.insertMissing(walletTable, len(missing), func(args []any, i int) []any {
		return append(args, missing[i].MemberID, missing[i].Coin, 0, 0, 0, 0, 0, 0, 0)
	})
	if err != nil {
		return nil, err
	}
	return w, b.loadWallets(w, missing)
}

// walletsPerQuery bounds the members named in one locking SELECT.
const walletsPerQuery = 200

// loadWallets reads the rows in key order. A statement names members and coins, not
// pairs, which every database turns into look-ups by primary key; so it may lock
// another wallet of a member as well, which does no harm.
func (b *batch) loadWallets(w *wallets, keys []ledger.WalletKey) error {
	for chunk := range slices.Chunk(keys, walletsPerQuery) {
		var members, coins []any
		want := make(map[ledger.WalletKey]struct{}, len(chunk))
		for i, k := range chunk {
			want[k] = struct{}{}
			if i == 0 || chunk[i-1].MemberID != k.MemberID {
				members = append(members, k.MemberID)
			}
			if !slices.Contains(coins, any(k.Coin)) {
				coins = append(coins, k.Coin)
			}
		}
		text := "SELECT member_id, coin_name, balance, frozen_balance, balance_seq, frozen_seq, is_lock, version, updated_time FROM member_wallet" +
			b.byPrimaryKey() + " WHERE member_id IN " + placeholders(1, len(members)) + " AND coin_name IN " + placeholders(1, len(coins)) +
			" ORDER BY member_id, coin_name" + b.forUpdate()
		err := b.query("lock wallets", text, append(members, coins...), func(rows *sql.Rows) error {
			var k ledger.WalletKey
			var v ledger.Wallet
			var x walletExtra
			if err := rows.Scan(&k.MemberID, &k.Coin, &v.Available.Balance, &v.Held.Balance, &v.Available.Seq, &v.Held.Seq, &x.isLock, &x.version, &v.UpdatedMs); err != nil {
				return err
			}
			if _, ok := want[k]; ok {
				v.Exists = true
				w.Load(k, v)
				w.extra[k] = x
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeWallets writes the changed rows. They are locked, or new and not there.
func (b *batch) writeWallets(w *wallets) error {
	changed := w.Changed()
	return b.upsert(walletTable, len(changed), func(args []any, i int) []any {
		k := changed[i]
		v, _ := w.Wallet(k)
		x := w.extra[k]
		return append(args, k.MemberID, k.Coin, v.Available.Balance, v.Held.Balance, v.Available.Seq, v.Held.Seq, x.isLock, x.version+1, v.UpdatedMs)
	})
}

// hold is a row of wallet_hold.
type hold struct {
	ledger.Hold

	requestHash []byte
}

// lockHolds locks and loads the holds in the order of their ids. Those that do not
// exist are missing in the answer.
func (b *batch) lockHolds(ids []int64) (map[int64]*hold, error) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	found := make(map[int64]*hold, len(ids))
	for chunk := range slices.Chunk(ids, rowsPerQuery) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		text := "SELECT order_id, member_id, coin, symbol, request_hash, held, consumed, released, traded_amount, turnover, fee, state, seq, place_time, updated_time FROM wallet_hold" +
			b.byPrimaryKey() + " WHERE order_id IN " + placeholders(1, len(chunk)) + " ORDER BY order_id" + b.forUpdate()
		err := b.query("lock holds", text, args, func(rows *sql.Rows) error {
			h := &hold{}
			err := rows.Scan(&h.OrderID, &h.MemberID, &h.Coin, &h.Symbol, &h.requestHash, &h.Held, &h.Consumed, &h.Released,
				&h.Facts.Traded, &h.Facts.Turnover, &h.Facts.Fee, &h.State, &h.Seq, &h.PlaceTimeMs, &h.UpdatedMs)
			found[h.OrderID] = h
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (h *hold) values(args []any) []any {
	pending := int64(0)
	if h.State == ledger.HoldOpen && h.Seq == 0 {
		pending = h.PlaceTimeMs
	}
	hash := h.requestHash
	if hash == nil {
		hash = []byte{} // the column is NOT NULL
	}
	return append(args, h.OrderID, h.MemberID, h.Coin, h.Symbol, hash, h.Held, h.Consumed, h.Released,
		h.Facts.Traded, h.Facts.Turnover, h.Facts.Fee, int64(h.State), h.Seq, h.PlaceTimeMs, h.UpdatedMs, pending)
}

// writeSettled writes the holds that a settlement changed. Those that were found are
// locked and replaced. Those that were not are tombstones and inserted: should a
// hold have been placed meanwhile, the insert fails, and the repetition finds it.
func (b *batch) writeSettled(found map[int64]*hold, holds settlement.Holds) error {
	var known, fresh []*hold
	for _, id := range slices.Sorted(maps.Keys(holds)) {
		if h, ok := found[id]; ok {
			known = append(known, h)
		} else {
			fresh = append(fresh, &hold{Hold: *holds[id]})
		}
	}
	if err := b.insert(holdTable, len(fresh), func(args []any, i int) []any { return fresh[i].values(args) }); err != nil {
		return fmt.Errorf("tombstones: %w", err)
	}
	return b.upsert(holdTable, len(known), func(args []any, i int) []any { return known[i].values(args) })
}

// writeJournal appends lines.
func (b *batch) writeJournal(lines []ledger.Line) error {
	if err := b.keepDays(lines); err != nil {
		return err
	}
	telemetry.Journal(len(lines))
	return b.insert(journalTable, len(lines), func(args []any, i int) []any {
		l := &lines[i]
		a := l.Posting.Account
		return append(args, l.TxID, int64(l.Line), a.Kind.String(), a.MemberID, a.Coin, l.Posting.Amount, l.AccountSeq, l.BalanceAfter,
			l.Source.Symbol, l.Source.Seq, l.Posting.OrderID, string(l.Posting.Reason), l.Source.Ref, l.Source.TimeMs)
	})
}
