package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

// Settle applies consecutive records in tx, which has moved the position already:
// their holds, wallets and journal lines are written, or nothing is.
//
// An order whose hold or wallet contradicts its record is put in suspense, and the rest
// is settled; see settleSuspending. It returns an error that wraps a *settlement.Error
// when a record contradicts itself, or too many orders would be in suspense; no
// repetition helps then.
func (s *Store) Settle(ctx context.Context, tx *database.Tx, records []settlement.Record) error {
	b := s.in(ctx, tx)
	out, err := b.settle(records, nil)
	if contradicts(err) {
		out, err = b.settleSuspending(records, s.clk.NowMs())
	}
	if err != nil {
		return err
	}
	if err := b.writeSettled(out.found, out.holds); err != nil {
		return err
	}
	if err := b.writeWallets(out.wallets); err != nil {
		return err
	}
	return b.writeJournal(out.lines)
}

// settled is what records do, before it is written.
type settled struct {
	found   map[int64]*hold
	holds   settlement.Holds
	wallets *wallets
	lines   []ledger.Line
}

// settle locks what the records need and works out what they do. Nothing is written.
func (b *batch) settle(records []settlement.Record, suspense settlement.Suspense) (out settled, err error) {
	var ids []int64
	for i := range records {
		ids = append(ids, records[i].OrderIDs()...)
	}
	if out.found, err = b.lockHolds(ids); err != nil {
		return out, err
	}
	out.holds = make(settlement.Holds, len(out.found))
	for id, h := range out.found {
		out.holds[id] = &h.Hold
	}
	entries, err := settleAll(records, out.holds, suspense)
	if err != nil {
		return out, err
	}
	if out.wallets, err = b.lockWallets(ledger.WalletKeys(entries), true); err != nil {
		return out, err
	}
	out.lines, err = b.post(out.wallets, entries)
	return out, err
}

// settleAll returns the entries of the records that move money.
func settleAll(records []settlement.Record, holds settlement.Holds, suspense settlement.Suspense) ([]ledger.Entry, error) {
	entries := make([]ledger.Entry, 0, len(records))
	for i := range records {
		e, err := settlement.SettleOrSuspend(&records[i], holds, suspense)
		if err != nil {
			return nil, err
		}
		if e.Len() > 0 {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// post applies the entries to the wallets, each as the transaction of its record.
func (b *batch) post(w *wallets, entries []ledger.Entry) ([]ledger.Line, error) {
	numbers := make(map[string]int64)
	total := 0
	for _, e := range entries {
		total += e.Len()
	}
	lines := make([]ledger.Line, 0, total)
	for _, e := range entries {
		source := e.Source()
		number, ok := numbers[source.Symbol]
		if !ok {
			var err error
			if number, err = b.symbolNumber(source.Symbol); err != nil {
				return nil, err
			}
			numbers[source.Symbol] = number
		}
		txID, err := ledger.SettlementTx(number, source.Seq)
		if err != nil {
			return nil, err
		}
		if lines, err = w.Post(txID, e, lines); err != nil {
			return nil, fmt.Errorf("settle %s record %d: %w", source.Symbol, source.Seq, err)
		}
	}
	return lines, nil
}

type symbolRow struct {
	Symbol string `gorm:"primaryKey"`
	Number int64
}

func (symbolRow) TableName() string { return "wallet_symbol" }

// symbolNumber returns the symbol's number, giving it the next one the first time.
func (b *batch) symbolNumber(symbol string) (int64, error) {
	if err := b.step("find symbol number"); err != nil {
		return 0, err
	}
	var row symbolRow
	err := b.tx.DB().Where("symbol = ?", symbol).Take(&row).Error
	if err == nil {
		return row.Number, nil
	}
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return 0, fmt.Errorf("find number of %s: %w", symbol, err)
	}
	var last sql.NullInt64
	if err := b.tx.DB().Model(&symbolRow{}).Select("MAX(number)").Scan(&last).Error; err != nil {
		return 0, fmt.Errorf("find last symbol number: %w", err)
	}
	row = symbolRow{Symbol: symbol, Number: last.Int64 + 1}
	if err := b.tx.DB().Create(&row).Error; err != nil {
		return 0, fmt.Errorf("number %s: %w", symbol, err)
	}
	return row.Number, nil
}
