package store

import (
	"context"
	"maps"
	"slices"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
)

var reconciledTable = table{
	name:    "wallet_reconciled",
	key:     []string{"member_id", "coin_name"},
	columns: []string{"member_id", "coin_name", "balance", "frozen_balance", "balance_seq", "frozen_seq", "updated_time"},
}

var reconciledCoinTable = table{
	name: "wallet_reconciled_coin", key: []string{"coin"}, columns: []string{"coin", "fee", "suspense", "world"},
}

var reconciledSymbolTable = table{name: "wallet_reconciled_symbol", key: []string{"symbol"}, columns: []string{"symbol", "seq"}}

type passRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement:false"`
	Number      int64
	AtMs        int64
	TookMs      int64
	WalletsRead int64
	LinesRead   int64
	Found       int64
	Alarms      int64
	Report      string
}

func (passRow) TableName() string { return "wallet_reconcile_pass" }

type stopRow struct {
	Scope   string `gorm:"primaryKey"`
	Name    string `gorm:"primaryKey"`
	SinceMs int64
	Reason  string
}

func (stopRow) TableName() string { return "wallet_stop" }

// SavePass keeps the outcome of a pass: its stops, and where the next may begin when
// nothing was found. It reports false, and keeps nothing, when another instance has saved
// a pass of that number.
func (s *Store) SavePass(ctx context.Context, p *app.Pass) (saved bool, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		if saved, err = movePass(tx, p); err != nil || !saved {
			return err
		}
		for _, stop := range p.Stops { // of one scope and name, the first that was not lifted stays
			if on, err := lifted(tx, &stop); err != nil || on {
				if err != nil {
					return err
				}
				continue // operators know, and let withdrawals go on
			}
			row := stopRow(stop)
			if _, err := tx.InsertIfAbsent(&row); err != nil {
				return err
			}
		}
		if p.Found > 0 {
			return nil
		}
		return s.in(ctx, tx).saveRight(p)
	})
	return saved && err == nil, err
}

// movePass takes the number of the pass.
func movePass(tx *database.Tx, p *app.Pass) (bool, error) {
	row := passRow{
		ID: 1, Number: p.Number, AtMs: p.AtMs, TookMs: p.TookMs, WalletsRead: p.Wallets, LinesRead: p.Lines,
		Found: p.Found, Alarms: p.Alarms, Report: p.Report,
	}
	if p.Number == 1 {
		return tx.InsertIfAbsent(&row)
	}
	res := tx.DB().Model(&passRow{}).Where("id = 1 AND number = ?", p.Number-1).Select("*").Updates(&row)
	return res.RowsAffected == 1, res.Error
}

func (b *batch) saveRight(p *app.Pass) error {
	keys := slices.SortedFunc(maps.Keys(p.Right), ledger.WalletKey.Compare)
	err := b.upsert(reconciledTable, len(keys), func(args []any, i int) []any {
		w := p.Right[keys[i]]
		return append(args, keys[i].MemberID, keys[i].Coin, w.Available.Balance, w.Held.Balance, w.Available.Seq, w.Held.Seq, w.UpdatedMs)
	})
	if err != nil {
		return err
	}
	err = b.upsert(reconciledCoinTable, len(p.Coins), func(args []any, i int) []any {
		c := p.Coins[i]
		return append(args, c.Coin, c.Fee, c.Suspense, c.World)
	})
	if err != nil {
		return err
	}
	symbols := slices.Sorted(maps.Keys(p.Symbols))
	return b.upsert(reconciledSymbolTable, len(symbols), func(args []any, i int) []any {
		return append(args, symbols[i], p.Symbols[symbols[i]])
	})
}

// LastPass returns the last pass that was saved, without what it left; its number is 0
// when there was none.
func (s *Store) LastPass(ctx context.Context) (app.Pass, error) {
	return lastPass(s.db.Read(ctx))
}

func lastPass(db *gorm.DB) (app.Pass, error) {
	var rows []passRow
	if err := db.Where("id = 1").Find(&rows).Error; err != nil || len(rows) == 0 {
		return app.Pass{}, err
	}
	r := rows[0]
	return app.Pass{
		Number: r.Number, AtMs: r.AtMs, TookMs: r.TookMs, Wallets: r.WalletsRead, Lines: r.LinesRead,
		Found: r.Found, Alarms: r.Alarms, Report: r.Report,
	}, nil
}

// Stops returns what is stopped, oldest first.
func (s *Store) Stops(ctx context.Context) ([]app.Stop, error) {
	var rows []stopRow
	if err := s.db.Read(ctx).Order("since_ms, scope, name").Find(&rows).Error; err != nil {
		return nil, err
	}
	stops := make([]app.Stop, len(rows))
	for i, r := range rows {
		stops[i] = app.Stop(r)
	}
	return stops, nil
}
