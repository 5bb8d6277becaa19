package database

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"gorm.io/gorm"
)

//go:embed migration/*.sql
var positionMigrations embed.FS

// ErrFenced says that somebody else has applied what this transaction was about to:
// the position is not where the caller believed it to be. The transaction is rolled
// back; load the position again and go on from there.
var ErrFenced = errors.New("database: fenced: the position has moved")

// ErrFenceNotFirst says that a position was advanced after another statement of the
// same transaction, which read or wrote before it was known to be alone.
var ErrFenceNotFirst = errors.New("database: the position must be advanced before any other statement")

// Position is how far a consumer has applied a partition.
type Position struct {
	Consumer  string
	Topic     string
	Partition int
	// NextOffset is the first offset that is not applied.
	NextOffset int64
	// Fingerprint identifies the record at NextOffset − 1, so that a log that was
	// recreated is told from the one that was consumed; empty at the beginning.
	Fingerprint []byte
}

// SymbolPosition is how far a consumer has applied the records of a symbol.
type SymbolPosition struct {
	Consumer string
	Symbol   string
	// Seq is the last sequence number applied, at least 1.
	Seq int64
	// Hash is the hash of that record, the head of the chain.
	Hash []byte
}

type consumerPositionRow struct {
	Consumer    string `gorm:"primaryKey"`
	Topic       string `gorm:"primaryKey"`
	PartitionID int64  `gorm:"primaryKey;autoIncrement:false"`
	NextOffset  int64
	Fingerprint []byte
	UpdatedMs   int64
}

func (consumerPositionRow) TableName() string { return "consumer_position" }

type symbolPositionRow struct {
	Consumer  string `gorm:"primaryKey"`
	Symbol    string `gorm:"primaryKey"`
	Seq       int64
	Hash      []byte
	UpdatedMs int64
}

func (symbolPositionRow) TableName() string { return "symbol_position" }

// MigratePositions creates the tables of the positions (set "position").
func (db *DB) MigratePositions(ctx context.Context) error {
	return db.Migrate(ctx, "position", positionMigrations)
}

// LoadPosition returns how far the consumer has applied the partition. A consumer
// that is new gets a position at offset 0, which is stored: a fence needs its row.
func (db *DB) LoadPosition(ctx context.Context, consumer, topic string, partition int) (Position, error) {
	row, err := db.findPosition(ctx, consumer, topic, partition)
	if errors.Is(err, gorm.ErrRecordNotFound) {
		err = db.Tx(ctx, func(tx *Tx) error {
			_, err := tx.InsertIfAbsent(&consumerPositionRow{
				Consumer: consumer, Topic: topic, PartitionID: int64(partition), Fingerprint: []byte{}, UpdatedMs: db.clk.NowMs(),
			})
			return err
		})
		if err == nil {
			row, err = db.findPosition(ctx, consumer, topic, partition)
		}
	}
	if err != nil {
		return Position{}, fmt.Errorf("load position of %s in %s/%d: %w", consumer, topic, partition, err)
	}
	return Position{
		Consumer: consumer, Topic: topic, Partition: partition, NextOffset: row.NextOffset, Fingerprint: row.Fingerprint,
	}, nil
}

func (db *DB) findPosition(ctx context.Context, consumer, topic string, partition int) (consumerPositionRow, error) {
	var row consumerPositionRow
	err := db.Read(ctx).Where("consumer = ? AND topic = ? AND partition_id = ?", consumer, topic, partition).Take(&row).Error
	return row, err
}

// LoadPositions returns how far the consumer has applied each partition that it has
// met, by topic and partition.
func (db *DB) LoadPositions(ctx context.Context, consumer string) ([]Position, error) {
	var rows []consumerPositionRow
	if err := db.Read(ctx).Where("consumer = ?", consumer).Order("topic, partition_id").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("load positions of %s: %w", consumer, err)
	}
	all := make([]Position, len(rows))
	for i, row := range rows {
		all[i] = Position{
			Consumer: consumer, Topic: row.Topic, Partition: int(row.PartitionID), NextOffset: row.NextOffset, Fingerprint: row.Fingerprint,
		}
	}
	return all, nil
}

// LoadSymbolPositions returns how far the consumer has applied each symbol it has met.
func (db *DB) LoadSymbolPositions(ctx context.Context, consumer string) (map[string]SymbolPosition, error) {
	var rows []symbolPositionRow
	if err := db.Read(ctx).Where("consumer = ?", consumer).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("load symbol positions of %s: %w", consumer, err)
	}
	all := make(map[string]SymbolPosition, len(rows))
	for _, row := range rows {
		all[row.Symbol] = SymbolPosition{Consumer: consumer, Symbol: row.Symbol, Seq: row.Seq, Hash: row.Hash}
	}
	return all, nil
}

// AdvancePosition moves the position of a partition from one offset to a later one.
// It is the fence: it must come before every other statement of the transaction, and
// when the position is not at from it returns ErrFenced and the transaction is lost.
// So a batch is applied once, whoever else believes to own the partition.
func (tx *Tx) AdvancePosition(consumer, topic string, partition int, from, to int64, fingerprint []byte) error {
	if tx.used {
		return tx.Fail(ErrFenceNotFirst)
	}
	if from < 0 || to <= from {
		return tx.Fail(fmt.Errorf("advance position of %s in %s/%d: from %d to %d is not forward", consumer, topic, partition, from, to))
	}
	res := tx.gdb.Model(&consumerPositionRow{}).
		Where("consumer = ? AND topic = ? AND partition_id = ? AND next_offset = ?", consumer, topic, partition, from).
		Updates(map[string]any{"next_offset": to, "fingerprint": notNil(fingerprint), "updated_ms": tx.db.clk.NowMs()})
	return tx.fence(res, fmt.Sprintf("advance position of %s in %s/%d from %d to %d", consumer, topic, partition, from, to))
}

// AdvanceSymbol moves the position of a symbol from one sequence number to a later
// one; fromSeq 0 is the first time. Like AdvancePosition it is a fence, belongs
// before other statements, and returns ErrFenced.
func (tx *Tx) AdvanceSymbol(consumer, symbol string, fromSeq, toSeq int64, hash []byte) error {
	op := fmt.Sprintf("advance %s of %s from %d to %d", symbol, consumer, fromSeq, toSeq)
	if tx.used {
		return tx.Fail(ErrFenceNotFirst)
	}
	if fromSeq < 0 || toSeq <= fromSeq {
		return tx.Fail(fmt.Errorf("%s: not forward", op))
	}
	if fromSeq > 0 {
		res := tx.gdb.Model(&symbolPositionRow{}).
			Where("consumer = ? AND symbol = ? AND seq = ?", consumer, symbol, fromSeq).
			Updates(map[string]any{"seq": toSeq, "hash": notNil(hash), "updated_ms": tx.db.clk.NowMs()})
		return tx.fence(res, op)
	}
	inserted, err := tx.insertIfAbsent(&symbolPositionRow{
		Consumer: consumer, Symbol: symbol, Seq: toSeq, Hash: notNil(hash), UpdatedMs: tx.db.clk.NowMs(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if !inserted {
		return tx.Fail(fmt.Errorf("%s: %w", op, ErrFenced))
	}
	return nil
}

// fence lets the transaction go on only when exactly one row was there to be moved.
func (tx *Tx) fence(res *gorm.DB, op string) error {
	if res.Error != nil {
		return fmt.Errorf("%s: %w", op, res.Error)
	}
	if res.RowsAffected != 1 {
		return tx.Fail(fmt.Errorf("%s: %w", op, ErrFenced))
	}
	return nil
}

// notNil makes a nil slice an empty value: the columns are NOT NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// SymbolSeq returns the last sequence number of the symbol that the consumer has
// applied, 0 when there is none.
func (db *DB) SymbolSeq(ctx context.Context, consumer, symbol string) (int64, error) {
	var row symbolPositionRow
	err := db.Read(ctx).Select("seq").Where("consumer = ? AND symbol = ?", consumer, symbol).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("load position of %s in %s: %w", consumer, symbol, err)
	}
	return row.Seq, nil
}
