package memory

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"mscoin/mscoin-common/database"
)

// place is where a record of a halted symbol is parked.
type place struct {
	consumer, name string
	number         int64
}

// LoadHalts implements stream.Store.
func (db *DB) LoadHalts(_ context.Context, consumer string) (map[string]database.Halt, error) {
	all := map[string]database.Halt{}
	for key, h := range db.halts {
		if key.consumer == consumer {
			all[key.name] = h
		}
	}
	return all, nil
}

// queue returns the parked records of a symbol in order.
func (db *DB) queue(consumer, name string) []database.Parked {
	var all []database.Parked
	for key, p := range db.parked {
		if key.consumer == consumer && key.name == name {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b database.Parked) int { return cmp.Compare(a.Place, b.Place) })
	return all
}

// LoadParked implements stream.Store.
func (db *DB) LoadParked(_ context.Context, consumer, name string, from int64, limit int, maxBytes int64) ([]database.Parked, error) {
	var out []database.Parked
	size := int64(0)
	for _, p := range db.queue(consumer, name) {
		size += p.Bytes()
		if p.Place < from || len(out) == limit || len(out) > 0 && size > maxBytes {
			continue
		}
		out = append(out, p)
	}
	return out, nil
}

// FindParked implements stream.Store.
func (db *DB) FindParked(_ context.Context, consumer, name string, seq int64) (int64, error) {
	for _, p := range db.queue(consumer, name) {
		if p.Seq == seq {
			return p.Place, nil
		}
	}
	return 0, nil
}

// FindDecision implements stream.Store.
func (db *DB) FindDecision(_ context.Context, requestID string) (database.Decision, bool, error) {
	d, ok := db.decisions[requestID]
	return d, ok, nil
}

// AdvanceHalt implements stream.Fences: database.ErrFenced unless the halt is at version.
func (db *DB) AdvanceHalt(consumer, name string, version int64) error {
	key := symbol{consumer, name}
	h, ok := db.halts[key]
	if !ok || h.Version != version {
		return fmt.Errorf("advance halt of %s in %s from version %d: %w", name, consumer, version, database.ErrFenced)
	}
	h.Version++
	Put(db, db.halts, key, h)
	return nil
}

// InsertHalt implements stream.Fences.
func (db *DB) InsertHalt(h database.Halt) error {
	key := symbol{h.Consumer, h.Symbol}
	if _, ok := db.halts[key]; ok {
		return fmt.Errorf("halt %s in %s: %w", h.Symbol, h.Consumer, database.ErrFenced)
	}
	Put(db, db.halts, key, h)
	return nil
}

// SetHalt implements stream.Fences.
func (db *DB) SetHalt(h database.Halt) error {
	Put(db, db.halts, symbol{h.Consumer, h.Symbol}, h)
	return nil
}

// DropHalt implements stream.Fences.
func (db *DB) DropHalt(consumer, name string) error {
	Delete(db, db.halts, symbol{consumer, name})
	return nil
}

// Park implements stream.Fences.
func (db *DB) Park(consumer, name string, records []database.Parked) error {
	for _, p := range records {
		key := place{consumer, name, p.Place}
		if _, taken := db.parked[key]; taken {
			return fmt.Errorf("park %s of %s at %d: %w", name, consumer, p.Place, ErrDuplicateKey)
		}
		Put(db, db.parked, key, p)
	}
	return nil
}

// Unpark implements stream.Fences.
func (db *DB) Unpark(consumer, name string, from, to int64) error {
	for _, p := range db.queue(consumer, name) {
		if p.Place >= from && p.Place <= to {
			Delete(db, db.parked, place{consumer, name, p.Place})
		}
	}
	return nil
}

// MoveParked implements stream.Fences.
func (db *DB) MoveParked(consumer, name string, from, to int64) error {
	p, ok := db.parked[place{consumer, name, from}]
	if !ok {
		return fmt.Errorf("move parked record of %s in %s: %w", name, consumer, database.ErrFenced)
	}
	Delete(db, db.parked, place{consumer, name, from})
	p.Place = to
	return db.Park(consumer, name, []database.Parked{p})
}

// RecordDecision implements stream.Fences.
func (db *DB) RecordDecision(d database.Decision) error {
	if _, ok := db.decisions[d.RequestID]; ok {
		return fmt.Errorf("record decision %s: %w", d.RequestID, database.ErrFenced)
	}
	Put(db, db.decisions, d.RequestID, d)
	return nil
}
