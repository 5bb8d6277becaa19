package store

import (
	"context"
	"fmt"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

type sealRow struct {
	Day       int64 `gorm:"primaryKey;autoIncrement:false"`
	SealedMs  int64
	NextTx    int64
	LineCount int64
	Segments  int64
	PrevHash  []byte
	Hash      []byte
}

func (sealRow) TableName() string { return "wallet_seal" }

var segmentTable = table{
	name:    "wallet_seal_segment",
	key:     []string{"day", "part", "number"},
	columns: []string{"day", "part", "number", "last_tx", "last_line", "line_count", "hash", "marks"},
}

// CloseDay sees to it that no line is written any more with a time before untilMs, but
// for settlements. It waits for the transactions that are about to.
func (s *Store) CloseDay(ctx context.Context, untilMs int64) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("close day")
		err := tx.DB().Exec("UPDATE wallet_closed SET until_ms = ? WHERE id = 1 AND until_ms < ?", untilMs, untilMs).Error
		if err != nil {
			return fmt.Errorf("close day: %w", err)
		}
		return nil
	})
}

// SaveSeal keeps the seal of a day with its segments. It reports false, and keeps nothing,
// when the day has one already.
func (s *Store) SaveSeal(ctx context.Context, seal *reconcile.Seal, segments []reconcile.Segment) (saved bool, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("seal day")
		row := sealRow{
			Day: seal.Day, SealedMs: seal.SealedMs, NextTx: seal.NextTx, LineCount: seal.Lines, Segments: seal.Segments,
			PrevHash: seal.Prev[:], Hash: seal.Hash[:],
		}
		var err error
		if saved, err = tx.InsertIfAbsent(&row); err != nil || !saved {
			return err
		}
		return s.in(ctx, tx).insert(segmentTable, len(segments), func(args []any, i int) []any {
			g := &segments[i]
			return append(args, g.Day, g.Part, g.Number, g.LastTx, g.LastLine, g.Lines, g.Hash[:], g.Marks)
		})
	})
	return saved && err == nil, err
}

// closedUntil returns the time before which no line may be written but a settlement's, and
// keeps it from moving until the transaction ends.
func (b *batch) closedUntil() (int64, error) {
	if err := b.step("lock closed"); err != nil {
		return 0, err
	}
	text := "SELECT until_ms FROM wallet_closed WHERE id = 1"
	if b.dialect == database.MySQL {
		text += " LOCK IN SHARE MODE"
	}
	var until int64
	if err := b.tx.DB().Raw(text).Scan(&until).Error; err != nil {
		return 0, fmt.Errorf("lock closed: %w", err)
	}
	return until, nil
}

// keepDays moves lines out of the days that are closed: the writer's clock was behind. A
// settlement has the time of its record, and its place in a day by its record's number.
func (b *batch) keepDays(lines []ledger.Line) error {
	until := int64(-1)
	for i := range lines {
		if lines[i].TxID >= ledger.FirstSettlementTx {
			continue
		}
		if until < 0 {
			var err error
			if until, err = b.closedUntil(); err != nil {
				return err
			}
		}
		lines[i].Source.TimeMs = max(lines[i].Source.TimeMs, until)
	}
	return nil
}

// generator returns what leases transaction ids. It drops the rest of a block after
// [reconcile.MaxIDAgeMs], so that a transaction's id says about when it was: the seal of
// a day looks for its transactions from there on.
func (s *Store) generator() *idgen.Gen {
	s.idsMu.Lock()
	defer s.idsMu.Unlock()
	if now := s.clk.NowMs(); s.ids == nil || now-s.idsSinceMs >= reconcile.MaxIDAgeMs {
		s.ids, s.idsSinceMs = idgen.New(s.db, s.clk, txIDs, idBlock), now
	}
	return s.ids
}
