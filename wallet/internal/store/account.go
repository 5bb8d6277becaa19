package store

import (
	"context"
	"errors"
	"slices"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
)

func sortedKeys(keys []ledger.WalletKey) []ledger.WalletKey {
	slices.SortFunc(keys, ledger.WalletKey.Compare)
	return slices.Compact(keys)
}

type depositRow struct {
	Reference string `gorm:"primaryKey"`
	MemberID  int64
	Coin      string
	Amount    int64
	TxID      int64
	Time      int64
}

func (depositRow) TableName() string { return "wallet_deposit" }

// Deposit credits a deposit once.
func (s *Store) Deposit(ctx context.Context, d app.Deposit) (app.Wallet, bool, error) {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return app.Wallet{}, false, err
	}
	var out app.Wallet
	var repeated bool
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("deposit")
		var err error
		out, repeated, err = s.deposit(ctx, tx, d, txIDs[0])
		return err
	})
	if err != nil {
		return app.Wallet{}, false, err
	}
	return out, repeated, nil
}

func (s *Store) deposit(ctx context.Context, tx *database.Tx, d app.Deposit, txID int64) (app.Wallet, bool, error) {
	b := s.in(ctx, tx)
	now := s.clk.NowMs()
	row := depositRow{Reference: d.Reference, MemberID: d.MemberID, Coin: d.Coin, Amount: d.Amount, TxID: txID, Time: now}
	fresh, err := tx.InsertIfAbsent(&row)
	if err != nil {
		return app.Wallet{}, false, err
	}
	if !fresh {
		var before depositRow
		if err := tx.DB().Where("reference = ?", d.Reference).Take(&before).Error; err != nil {
			return app.Wallet{}, false, err
		}
		if before.MemberID != d.MemberID || before.Coin != d.Coin || before.Amount != d.Amount {
			return app.Wallet{}, false, app.ErrMismatch
		}
	}
	key := ledger.WalletKey{MemberID: d.MemberID, Coin: d.Coin}
	w, err := b.lockWallets([]ledger.WalletKey{key}, true)
	if err != nil {
		return app.Wallet{}, false, err
	}
	if fresh {
		if err := b.credit(w, d, txID, now); err != nil {
			return app.Wallet{}, false, err
		}
	}
	v, _ := w.Wallet(key)
	return app.Wallet{Coin: d.Coin, Available: v.Available.Balance, Held: v.Held.Balance, UpdatedMs: v.UpdatedMs}, !fresh, nil
}

func (b *batch) credit(w *wallets, d app.Deposit, txID, nowMs int64) error {
	entry, err := ledger.Deposit(ledger.Source{Ref: d.Reference, TimeMs: nowMs}, d.MemberID, d.Coin, d.Amount)
	if err != nil {
		return err
	}
	return b.book(w, entry, txID)
}

// Wallets returns the member's balance in every listed coin, or in one.
func (s *Store) Wallets(ctx context.Context, memberID int64, coin string) ([]app.Wallet, error) {
	q := s.db.Read(ctx).Table("coin").
		Select("coin.name AS coin, coin.scale, COALESCE(w.balance, 0) AS available, COALESCE(w.frozen_balance, 0) AS held, COALESCE(w.updated_time, 0) AS updated_ms").
		Joins("LEFT JOIN member_wallet w ON w.member_id = ? AND w.coin_name = coin.name", memberID).
		Order("coin.name")
	if coin != "" {
		q = q.Where("coin.name = ?", coin)
	}
	var out []app.Wallet
	err := q.Find(&out).Error
	return out, err
}

// Transactions returns lines of the member's journal, newest first.
func (s *Store) Transactions(ctx context.Context, q app.TransactionQuery, limit int) ([]app.Transaction, error) {
	find := s.db.Read(ctx).Table("wallet_journal AS j").
		Select("j.tx_id, j.line, j.kind, j.coin, c.scale, j.account = ? AS held, j.amount, j.balance_after, j.symbol, j.order_id, j.ref AS reference, j.time AS time_ms", ledger.Held.String()).
		Joins("JOIN coin c ON c.name = j.coin").
		Where("j.member_id = ?", q.MemberID)
	if q.Coin != "" {
		find = find.Where("j.coin = ?", q.Coin)
	}
	if q.Kind != "" {
		find = find.Where("j.kind = ?", q.Kind)
	}
	if q.Symbol != "" {
		find = find.Where("j.symbol = ?", q.Symbol)
	}
	if q.StartMs > 0 {
		find = find.Where("j.time >= ?", q.StartMs)
	}
	if q.EndMs > 0 {
		find = find.Where("j.time <= ?", q.EndMs)
	}
	if a := q.After; a.TxID > 0 {
		// The first condition is implied by the second; it is what the index is read by.
		find = find.Where("j.time <= ?", a.TimeMs).Where(
			"j.time < ? OR j.tx_id < ? OR (j.tx_id = ? AND j.line < ?)", a.TimeMs, a.TxID, a.TxID, a.Line)
	}
	var out []app.Transaction
	err := find.Order("j.time DESC, j.tx_id DESC, j.line DESC").Limit(limit).Find(&out).Error
	return out, err
}

type coinRow struct {
	Name     string `gorm:"primaryKey"`
	FullName string
	Scale    int
	Time     int64
}

func (coinRow) TableName() string { return "coin" }

func (r coinRow) coin() app.Coin { return app.Coin{Name: r.Name, FullName: r.FullName, Scale: r.Scale} }

// Coins returns the listed coins by name.
func (s *Store) Coins(ctx context.Context) ([]app.Coin, error) {
	var rows []coinRow
	if err := s.db.Read(ctx).Order("name").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]app.Coin, len(rows))
	for i, r := range rows {
		out[i] = r.coin()
	}
	return out, nil
}

// Coin returns a coin, or false.
func (s *Store) Coin(ctx context.Context, name string) (app.Coin, bool, error) {
	var row coinRow
	err := s.db.Read(ctx).Where("name = ?", name).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return app.Coin{}, false, nil
	}
	return row.coin(), err == nil, err
}

// CreateCoin lists a coin, or returns the one that has its name.
func (s *Store) CreateCoin(ctx context.Context, c app.Coin) (app.Coin, error) {
	var listed app.Coin
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		row := coinRow{Name: c.Name, FullName: c.FullName, Scale: c.Scale, Time: s.clk.NowMs()}
		fresh, err := tx.InsertIfAbsent(&row)
		if err == nil && !fresh {
			row = coinRow{}
			err = tx.DB().Where("name = ?", c.Name).Take(&row).Error
		}
		listed = row.coin()
		return err
	})
	return listed, err
}
