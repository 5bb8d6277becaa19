package database

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"gorm.io/gorm"
)

// HaltState says what happens at a halted symbol; the numbers are stored.
type HaltState int64

// States of a halt.
const (
	// Halted waits for an operator's decision.
	Halted HaltState = 0
	// Draining applies the parked records, in order, until none is left.
	Draining HaltState = 1
)

// FirstPlace is the place of a halt's first parked record: there is room for records
// that are put before it.
const FirstPlace = int64(1) << 32

// Bounds of what the tables take.
const (
	maxCauseBytes   = 1024
	maxKeyBytes     = 1024
	maxReasonBytes  = 512
	maxSymbolBytes  = 32
	parkBytesAtOnce = 1 << 20
	parkRowsAtOnce  = 100
)

// Halt is a symbol at which a consumer stands still.
type Halt struct {
	Consumer, Symbol string
	// Version changes with everything that concerns the halt: see Tx.AdvanceHalt.
	Version int64
	State   HaltState
	// Topic, Partition and Offset are where the record is that halted the symbol.
	Topic     string
	Partition int
	Offset    int64
	// WantSeq is the number that was due, GotSeq the record's, 0 if it cannot be read.
	WantSeq, GotSeq int64
	// Reason and Cause say why.
	Reason, Cause string
	// Parked counts the records that wait, ParkedBytes their keys and values; the next
	// one is parked at NextPlace.
	Parked, ParkedBytes, NextPlace int64
	SinceMs                        int64
}

// Parked is a record that waits behind a halt, with its place in the queue.
type Parked struct {
	Place     int64
	Topic     string
	Partition int
	Offset    int64
	TimeMs    int64
	// Seq of the record, 0 if it cannot be read.
	Seq         int64
	Fingerprint []byte
	Key, Value  []byte
}

// Bytes is what the record counts against the limit.
func (p *Parked) Bytes() int64 { return int64(len(p.Key) + len(p.Value)) }

// Decision is what an operator has decided about a halted symbol.
type Decision struct {
	// RequestID makes a repeated request harmless.
	RequestID        string
	Consumer, Symbol string
	Action           string
	// Fingerprint of the parked record that was decided about.
	Fingerprint []byte
	// By and Reason say who and why, Outcome what was done.
	By, Reason, Outcome string
	DecidedMs           int64
}

type haltRow struct {
	Consumer     string `gorm:"primaryKey"`
	Symbol       string `gorm:"primaryKey"`
	Version      int64
	State        int64
	Topic        string
	PartitionID  int64
	RecordOffset int64
	WantSeq      int64
	GotSeq       int64
	Reason       string
	Cause        string
	Parked       int64
	ParkedBytes  int64
	NextPlace    int64
	SinceMs      int64
}

func (haltRow) TableName() string { return "symbol_halt" }

func (r *haltRow) halt() Halt {
	return Halt{
		Consumer: r.Consumer, Symbol: r.Symbol, Version: r.Version, State: HaltState(r.State), Topic: r.Topic, Partition: int(r.PartitionID),
		Offset: r.RecordOffset, WantSeq: r.WantSeq, GotSeq: r.GotSeq, Reason: r.Reason, Cause: r.Cause,
		Parked: r.Parked, ParkedBytes: r.ParkedBytes, NextPlace: r.NextPlace, SinceMs: r.SinceMs,
	}
}

func haltRowOf(h *Halt) *haltRow {
	return &haltRow{
		Consumer: h.Consumer, Symbol: h.Symbol, Version: h.Version, State: int64(h.State), Topic: h.Topic, PartitionID: int64(h.Partition),
		RecordOffset: h.Offset, WantSeq: h.WantSeq, GotSeq: h.GotSeq, Reason: h.Reason, Cause: clip(h.Cause, maxCauseBytes),
		Parked: h.Parked, ParkedBytes: h.ParkedBytes, NextPlace: h.NextPlace, SinceMs: h.SinceMs,
	}
}

// clip shortens text to at most n bytes of valid UTF-8: MySQL refuses any other.
func clip(text string, n int) string {
	return strings.ToValidUTF8(text[:min(len(text), n)], "")
}

type parkedRow struct {
	Consumer     string `gorm:"primaryKey"`
	Symbol       string `gorm:"primaryKey"`
	Place        int64  `gorm:"primaryKey;autoIncrement:false"`
	Topic        string
	PartitionID  int64
	RecordOffset int64
	TimeMs       int64
	Seq          int64
	Fingerprint  []byte
	MessageKey   []byte
	Message      []byte
}

func (parkedRow) TableName() string { return "parked_record" }

type decisionRow struct {
	RequestID   string `gorm:"primaryKey"`
	Consumer    string
	Symbol      string
	Action      string
	Fingerprint []byte
	DecidedBy   string
	Reason      string
	Outcome     string
	DecidedMs   int64
}

func (decisionRow) TableName() string { return "halt_decision" }

func (r *decisionRow) decision() Decision {
	return Decision{
		RequestID: r.RequestID, Consumer: r.Consumer, Symbol: r.Symbol, Action: r.Action, Fingerprint: r.Fingerprint,
		By: r.DecidedBy, Reason: r.Reason, Outcome: r.Outcome, DecidedMs: r.DecidedMs,
	}
}

// LoadHalts returns the symbols at which the consumer stands still.
func (db *DB) LoadHalts(ctx context.Context, consumer string) (map[string]Halt, error) {
	var rows []haltRow
	if err := db.Read(ctx).Where("consumer = ?", consumer).Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("load halts of %s: %w", consumer, err)
	}
	all := make(map[string]Halt, len(rows))
	for i := range rows {
		all[rows[i].Symbol] = rows[i].halt()
	}
	return all, nil
}

// LoadParked returns the first parked records of a symbol, from a place on, in order:
// at most limit, and no more than maxBytes of keys and values unless the first alone
// is larger.
func (db *DB) LoadParked(ctx context.Context, consumer, symbol string, from int64, limit int, maxBytes int64) ([]Parked, error) {
	var sizes []struct{ Place, Size int64 }
	err := db.Read(ctx).Model(&parkedRow{}).Select("place, LENGTH(message) + LENGTH(message_key) AS size").
		Where("consumer = ? AND symbol = ? AND place >= ?", consumer, symbol, from).Order("place").Limit(limit).Find(&sizes).Error
	if err != nil {
		return nil, fmt.Errorf("load parked records of %s in %s: %w", symbol, consumer, err)
	}
	if len(sizes) == 0 {
		return nil, nil
	}
	last, sum := sizes[0].Place, sizes[0].Size
	for _, s := range sizes[1:] {
		if sum += s.Size; sum > maxBytes {
			break
		}
		last = s.Place
	}
	var rows []parkedRow
	err = db.Read(ctx).Where("consumer = ? AND symbol = ? AND place >= ? AND place <= ?", consumer, symbol, from, last).Order("place").Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("load parked records of %s in %s: %w", symbol, consumer, err)
	}
	out := make([]Parked, len(rows))
	for i := range rows {
		r := &rows[i]
		out[i] = Parked{
			Place: r.Place, Topic: r.Topic, Partition: int(r.PartitionID), Offset: r.RecordOffset, TimeMs: r.TimeMs,
			Seq: r.Seq, Fingerprint: r.Fingerprint, Key: r.MessageKey, Value: r.Message,
		}
	}
	return out, nil
}

// FindParked returns the place of a parked record with that number, 0 if there is none.
func (db *DB) FindParked(ctx context.Context, consumer, symbol string, seq int64) (place int64, err error) {
	var row parkedRow
	err = db.Read(ctx).Select("place").Where("consumer = ? AND symbol = ? AND seq = ?", consumer, symbol, seq).Order("place").Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("find parked record %d of %s in %s: %w", seq, symbol, consumer, err)
	}
	return row.Place, nil
}

// FindDecision returns the decision of a request, or false.
func (db *DB) FindDecision(ctx context.Context, requestID string) (Decision, bool, error) {
	var row decisionRow
	err := db.Read(ctx).Where("request_id = ?", requestID).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return Decision{}, false, nil
	}
	if err != nil {
		return Decision{}, false, fmt.Errorf("find decision %s: %w", requestID, err)
	}
	return row.decision(), true, nil
}

// ListDecisions returns the newest decisions of a consumer, newest first.
func (db *DB) ListDecisions(ctx context.Context, consumer string, limit int) ([]Decision, error) {
	var rows []decisionRow
	err := db.Read(ctx).Where("consumer = ?", consumer).Order("decided_ms DESC, request_id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, fmt.Errorf("list decisions of %s: %w", consumer, err)
	}
	out := make([]Decision, len(rows))
	for i := range rows {
		out[i] = rows[i].decision()
	}
	return out, nil
}

// AdvanceHalt is the fence of a halted symbol: like AdvancePosition it comes before
// other statements, and returns ErrFenced when the halt is not at that version, or over.
func (tx *Tx) AdvanceHalt(consumer, symbol string, version int64) error {
	if tx.used {
		return tx.Fail(ErrFenceNotFirst)
	}
	res := tx.gdb.Model(&haltRow{}).Where("consumer = ? AND symbol = ? AND version = ?", consumer, symbol, version).
		Update("version", version+1)
	return tx.fence(res, fmt.Sprintf("advance halt of %s in %s from version %d", symbol, consumer, version))
}

// InsertHalt halts a symbol; ErrFenced when it is halted already.
func (tx *Tx) InsertHalt(h Halt) error {
	inserted, err := tx.InsertIfAbsent(haltRowOf(&h))
	if err != nil {
		return fmt.Errorf("halt %s in %s: %w", h.Symbol, h.Consumer, err)
	}
	if !inserted {
		return tx.Fail(fmt.Errorf("halt %s in %s: %w", h.Symbol, h.Consumer, ErrFenced))
	}
	return nil
}

// SetHalt replaces what is stored of a halt, its version included. AdvanceHalt comes first.
func (tx *Tx) SetHalt(h Halt) error {
	if err := tx.DB().Model(&haltRow{}).Where("consumer = ? AND symbol = ?", h.Consumer, h.Symbol).Select("*").
		Omit("consumer", "symbol").Updates(haltRowOf(&h)).Error; err != nil {
		return fmt.Errorf("set halt of %s in %s: %w", h.Symbol, h.Consumer, err)
	}
	return nil
}

// DropHalt ends a halt. AdvanceHalt comes first.
func (tx *Tx) DropHalt(consumer, symbol string) error {
	if err := tx.DB().Where("consumer = ? AND symbol = ?", consumer, symbol).Delete(&haltRow{}).Error; err != nil {
		return fmt.Errorf("end halt of %s in %s: %w", symbol, consumer, err)
	}
	return nil
}

// Park stores records at their places.
func (tx *Tx) Park(consumer, symbol string, records []Parked) error {
	var rows []parkedRow
	size := int64(0)
	flush := func() error {
		if len(rows) == 0 {
			return nil
		}
		err := tx.DB().Create(rows).Error
		rows, size = nil, 0
		if err != nil {
			return fmt.Errorf("park records of %s in %s: %w", symbol, consumer, err)
		}
		return nil
	}
	for i := range records {
		p := &records[i]
		if len(rows) == parkRowsAtOnce || size+p.Bytes() > parkBytesAtOnce {
			if err := flush(); err != nil {
				return err
			}
		}
		size += p.Bytes()
		rows = append(rows, parkedRow{
			Consumer: consumer, Symbol: symbol, Place: p.Place, Topic: p.Topic, PartitionID: int64(p.Partition), RecordOffset: p.Offset,
			TimeMs: p.TimeMs, Seq: p.Seq, Fingerprint: notNil(p.Fingerprint),
			MessageKey: notNil(p.Key[:min(len(p.Key), maxKeyBytes)]), Message: notNil(p.Value),
		})
	}
	return flush()
}

// Unpark removes the records at the places from … through to.
func (tx *Tx) Unpark(consumer, symbol string, from, to int64) error {
	err := tx.DB().Where("consumer = ? AND symbol = ? AND place >= ? AND place <= ?", consumer, symbol, from, to).Delete(&parkedRow{}).Error
	if err != nil {
		return fmt.Errorf("take parked records of %s in %s: %w", symbol, consumer, err)
	}
	return nil
}

// MoveParked gives a parked record another place, which must be free.
func (tx *Tx) MoveParked(consumer, symbol string, from, to int64) error {
	res := tx.DB().Model(&parkedRow{}).Where("consumer = ? AND symbol = ? AND place = ?", consumer, symbol, from).Update("place", to)
	if res.Error != nil {
		return fmt.Errorf("move parked record of %s in %s: %w", symbol, consumer, res.Error)
	}
	if res.RowsAffected != 1 {
		return tx.Fail(fmt.Errorf("move parked record of %s in %s: %w", symbol, consumer, ErrFenced))
	}
	return nil
}

// RecordDecision stores a decision; ErrFenced when its request was recorded before.
func (tx *Tx) RecordDecision(d Decision) error {
	inserted, err := tx.InsertIfAbsent(&decisionRow{
		RequestID: d.RequestID, Consumer: d.Consumer, Symbol: d.Symbol, Action: d.Action, Fingerprint: notNil(d.Fingerprint),
		DecidedBy: d.By, Reason: clip(d.Reason, maxReasonBytes), Outcome: clip(d.Outcome, maxReasonBytes), DecidedMs: d.DecidedMs,
	})
	if err != nil {
		return fmt.Errorf("record decision %s: %w", d.RequestID, err)
	}
	if !inserted {
		return tx.Fail(fmt.Errorf("record decision %s: %w", d.RequestID, ErrFenced))
	}
	return nil
}
