package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

// partBytes is how much of an image one row holds: each is a statement of its own, far
// below what the strictest server takes in a packet (1 MiB), and its own transaction,
// so that nobody waits long for a snapshot.
const partBytes = 256 << 10

// ErrDecided is the refusal of a second, different decision about a command.
var ErrDecided = errors.New("there is another decision about this command")

// Snapshots keeps the matcher's snapshots and skip decisions.
type Snapshots struct {
	db  *database.DB
	clk clock.Clock
}

// NewSnapshots returns the snapshots in a migrated database.
func NewSnapshots(db *database.DB, clk clock.Clock) *Snapshots { return &Snapshots{db, clk} }

type snapshotRow struct {
	PartitionID int64 `gorm:"primaryKey;autoIncrement:false"`
	NextOffset  int64 `gorm:"primaryKey;autoIncrement:false"`
	Format      int64
	Size        int64
	StateHash   []byte
	Checksum    []byte
	Fingerprint []byte
	TakenMs     int64
}

func (snapshotRow) TableName() string { return "exchange_snapshot" }

type snapshotSymbolRow struct {
	PartitionID int64  `gorm:"primaryKey;autoIncrement:false"`
	NextOffset  int64  `gorm:"primaryKey;autoIncrement:false"`
	Symbol      string `gorm:"primaryKey"`
	Seq         int64
	Hash        []byte
}

func (snapshotSymbolRow) TableName() string { return "exchange_snapshot_symbol" }

type snapshotPartRow struct {
	PartitionID int64 `gorm:"primaryKey;autoIncrement:false"`
	NextOffset  int64 `gorm:"primaryKey;autoIncrement:false"`
	Part        int64 `gorm:"primaryKey;autoIncrement:false"`
	Data        []byte
}

func (snapshotPartRow) TableName() string { return "exchange_snapshot_part" }

type verifiedRow struct {
	PartitionID int64 `gorm:"primaryKey;autoIncrement:false"`
	NextOffset  int64 `gorm:"primaryKey;autoIncrement:false"`
	VerifiedMs  int64
}

func (verifiedRow) TableName() string { return "exchange_snapshot_verified" }

type skipRow struct {
	PartitionID   int64 `gorm:"primaryKey;autoIncrement:false"`
	CommandOffset int64 `gorm:"primaryKey;autoIncrement:false"`
	Fingerprint   []byte
	Reason        string
	DecidedMs     int64
}

func (skipRow) TableName() string { return "exchange_skip" }

// Snapshots returns the complete snapshots of a partition, newest first.
func (s *Snapshots) Snapshots(ctx context.Context, partition int) ([]snapshot.Info, error) {
	var rows []snapshotRow
	if err := s.db.Read(ctx).Where("partition_id = ?", partition).Order("next_offset DESC").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read snapshots: %w", err)
	}
	var symbols []snapshotSymbolRow
	if err := s.db.Read(ctx).Where("partition_id = ?", partition).Order("next_offset, symbol").Find(&symbols).Error; err != nil {
		return nil, fmt.Errorf("read symbols of snapshots: %w", err)
	}
	var checks []verifiedRow
	if err := s.db.Read(ctx).Where("partition_id = ?", partition).Find(&checks).Error; err != nil {
		return nil, fmt.Errorf("read verifications of snapshots: %w", err)
	}
	verified := map[int64]int64{}
	for _, c := range checks {
		verified[c.NextOffset] = c.VerifiedMs
	}
	by := map[int64][]snapshot.Symbol{}
	for _, r := range symbols {
		by[r.NextOffset] = append(by[r.NextOffset], snapshot.Symbol{Name: r.Symbol, Seq: r.Seq, Hash: r.Hash})
	}
	all := make([]snapshot.Info, len(rows))
	for i, r := range rows {
		all[i] = snapshot.Info{
			Partition: partition, Next: r.NextOffset, Format: int(r.Format), Size: int(r.Size),
			StateHash: r.StateHash, Checksum: r.Checksum, Fingerprint: r.Fingerprint, Symbols: by[r.NextOffset], TakenMs: r.TakenMs,
			VerifiedMs: verified[r.NextOffset],
		}
	}
	return all, nil
}

// SnapshotImage returns the image of a snapshot; what is missing of it is left out.
func (s *Snapshots) SnapshotImage(ctx context.Context, partition int, next int64) ([]byte, error) {
	var image []byte
	for part := int64(0); ; part++ {
		var rows []snapshotPartRow
		err := s.db.Read(ctx).Where("partition_id = ? AND next_offset = ? AND part = ?", partition, next, part).Find(&rows).Error
		if err != nil {
			return nil, fmt.Errorf("read part %d of snapshot: %w", part, err)
		}
		if len(rows) == 0 {
			return image, nil
		}
		image = append(image, rows[0].Data...)
	}
}

// SaveSnapshot stores a snapshot: its parts, each for itself, and then its row with the
// symbols. What is there already is the same, the state being a function of the log,
// or is found out when the image is read back.
func (s *Snapshots) SaveSnapshot(ctx context.Context, info *snapshot.Info, image []byte) error {
	part := int64(0)
	for data := range slices.Chunk(image, partBytes) {
		row := &snapshotPartRow{PartitionID: int64(info.Partition), NextOffset: info.Next, Part: part, Data: data}
		err := s.db.Tx(ctx, func(tx *database.Tx) error {
			_, err := tx.InsertIfAbsent(row)
			return err
		})
		if err != nil {
			return fmt.Errorf("write part %d of snapshot: %w", part, err)
		}
		part++
	}
	row := &snapshotRow{
		PartitionID: int64(info.Partition), NextOffset: info.Next, Format: int64(info.Format), Size: int64(info.Size),
		StateHash: info.StateHash, Checksum: info.Checksum, Fingerprint: info.Fingerprint, TakenMs: info.TakenMs,
	}
	symbols := make([]snapshotSymbolRow, len(info.Symbols))
	for i, sym := range info.Symbols {
		symbols[i] = snapshotSymbolRow{int64(info.Partition), info.Next, sym.Name, sym.Seq, sym.Hash}
	}
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		inserted, err := tx.InsertIfAbsent(row)
		if err != nil || !inserted || len(symbols) == 0 {
			return err
		}
		return tx.DB().CreateInBatches(symbols, maxRows).Error
	})
	if err != nil {
		return fmt.Errorf("write snapshot: %w", err)
	}
	return nil
}

// DropSnapshots deletes snapshots of a partition, and the parts of older ones that were
// never completed.
func (s *Snapshots) DropSnapshots(ctx context.Context, partition int, next []int64) error {
	for _, n := range next {
		err := s.db.Tx(ctx, func(tx *database.Tx) error {
			const where = "partition_id = ? AND next_offset = ?"
			if err := tx.DB().Where(where, partition, n).Delete(&snapshotRow{}).Error; err != nil {
				return err
			}
			for _, row := range []any{&snapshotSymbolRow{}, &verifiedRow{}} {
				if err := tx.DB().Where(where, partition, n).Delete(row).Error; err != nil {
					return err
				}
			}
			return tx.DB().Where("partition_id = ? AND next_offset <= ? AND next_offset NOT IN (?)", partition, n,
				tx.DB().Model(&snapshotRow{}).Select("next_offset").Where("partition_id = ?", partition)).Delete(&snapshotPartRow{}).Error
		})
		if err != nil {
			return fmt.Errorf("drop snapshot at offset %d: %w", n, err)
		}
	}
	return nil
}

// MarkVerified notes that a replay by the naive matcher gave the snapshot's image.
func (s *Snapshots) MarkVerified(ctx context.Context, partition int, next int64) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		var rows []snapshotRow
		if err := tx.ForUpdate().Where("partition_id = ? AND next_offset = ?", partition, next).Find(&rows).Error; err != nil || len(rows) == 0 {
			return err // dropped meanwhile
		}
		_, err := tx.InsertIfAbsent(&verifiedRow{int64(partition), next, s.clk.NowMs()})
		return err
	})
	if err != nil {
		return fmt.Errorf("note verification of snapshot at offset %d: %w", next, err)
	}
	return nil
}

// SkipDecisions returns the decisions about a partition.
func (s *Snapshots) SkipDecisions(ctx context.Context, partition int) ([]snapshot.Decision, error) {
	var rows []skipRow
	if err := s.db.Read(ctx).Where("partition_id = ?", partition).Order("command_offset").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read skip decisions: %w", err)
	}
	all := make([]snapshot.Decision, len(rows))
	for i, r := range rows {
		all[i] = snapshot.Decision{
			Skip:      snapshot.Skip{Offset: r.CommandOffset, Fingerprint: r.Fingerprint},
			Partition: partition, Reason: r.Reason, DecidedMs: r.DecidedMs,
		}
	}
	return all, nil
}

// SaveSkipDecision stores a decision. One about the same command may be there already;
// one about another command at that offset is ErrDecided.
func (s *Snapshots) SaveSkipDecision(ctx context.Context, d *snapshot.Decision) error {
	row := &skipRow{int64(d.Partition), d.Offset, d.Fingerprint, d.Reason, d.DecidedMs}
	inserted := false
	err := s.db.Tx(ctx, func(tx *database.Tx) (err error) {
		inserted, err = tx.InsertIfAbsent(row)
		return err
	})
	if err != nil {
		return fmt.Errorf("write skip decision: %w", err)
	}
	if inserted {
		return nil
	}
	all, err := s.SkipDecisions(ctx, d.Partition)
	if err != nil {
		return err
	}
	for _, have := range all {
		if have.Offset == d.Offset && !bytes.Equal(have.Fingerprint, d.Fingerprint) {
			return fmt.Errorf("skip offset %d: %w", d.Offset, ErrDecided)
		}
	}
	return nil
}
