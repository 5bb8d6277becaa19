// Package memory is a database in memory for simulations and tests: maps whose changes
// are undone when a transaction fails, and the positions of consumers, with the same
// fences as package database. The services' stores in memory are made of it.
//
// A transaction runs alone and is atomic: what a real database allows in between
// (waiting for locks, reading what is not committed yet) does not exist here.
package memory

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/invariant"
	"mscoin/mscoin-common/stream"
)

// ErrDuplicateKey says that a row with this key exists.
var ErrDuplicateKey = errors.New("memory: duplicate key")

// DB is the positions, the ids and the running transaction. It is for one goroutine at
// a time.
type DB struct {
	positions map[partition]database.Position
	symbols   map[symbol]database.SymbolPosition
	nextID    map[string]int64
	halts     map[symbol]database.Halt
	parked    map[place]database.Parked
	decisions map[string]database.Decision

	open bool
	undo []func()
}

type partition struct {
	consumer, topic string
	partition       int
}

type symbol struct{ consumer, name string }

// New returns an empty database.
func New() *DB {
	return &DB{
		positions: map[partition]database.Position{}, symbols: map[symbol]database.SymbolPosition{},
		nextID: map[string]int64{}, halts: map[symbol]database.Halt{}, parked: map[place]database.Parked{},
		decisions: map[string]database.Decision{},
	}
}

// Put sets m[k] within the running transaction.
func Put[K comparable, V any](db *DB, m map[K]V, k K, v V) {
	old, had := m[k]
	db.Undo(func() {
		if had {
			m[k] = old
		} else {
			delete(m, k)
		}
	})
	m[k] = v
}

// Delete removes m[k] within the running transaction.
func Delete[K comparable, V any](db *DB, m map[K]V, k K) {
	if old, had := m[k]; had {
		db.Undo(func() { m[k] = old })
		delete(m, k)
	}
}

// Undo notes how to take back a change that the caller makes.
func (db *DB) Undo(undo func()) {
	invariant.Must(db.open, "memory: change outside a transaction")
	db.undo = append(db.undo, undo)
}

// Atomically runs fn as one transaction: after an error or a panic nothing has changed.
func (db *DB) Atomically(fn func() error) error {
	invariant.Must(!db.open, "memory: transaction within a transaction")
	db.open = true
	done := false
	defer func() {
		if !done {
			db.rollback()
		}
		db.open, db.undo = false, db.undo[:0]
	}()
	if err := fn(); err != nil {
		return err
	}
	done = true
	return nil
}

func (db *DB) rollback() {
	for _, undo := range slices.Backward(db.undo) {
		undo()
	}
}

// Tx implements stream.Store; there is no *database.Tx.
func (db *DB) Tx(_ context.Context, fn func(stream.Fences, *database.Tx) error) error {
	return db.Atomically(func() error { return fn(db, nil) })
}

// LoadPosition implements stream.Store.
func (db *DB) LoadPosition(_ context.Context, consumer, topic string, number int) (database.Position, error) {
	p, ok := db.positions[partition{consumer, topic, number}]
	if !ok {
		p = database.Position{Consumer: consumer, Topic: topic, Partition: number, Fingerprint: []byte{}}
	}
	return p, nil
}

// LoadSymbolPositions implements stream.Store.
func (db *DB) LoadSymbolPositions(_ context.Context, consumer string) (map[string]database.SymbolPosition, error) {
	all := map[string]database.SymbolPosition{}
	for key, p := range db.symbols {
		if key.consumer == consumer {
			all[key.name] = p
		}
	}
	return all, nil
}

// SymbolSeq implements stream.Store.
func (db *DB) SymbolSeq(_ context.Context, consumer, name string) (int64, error) {
	return db.symbols[symbol{consumer, name}].Seq, nil
}

// AdvancePosition implements stream.Fences: database.ErrFenced unless the position is
// at from.
func (db *DB) AdvancePosition(consumer, topic string, number int, from, to int64, fingerprint []byte) error {
	key := partition{consumer, topic, number}
	op := fmt.Sprintf("advance position of %s in %s/%d from %d to %d", consumer, topic, number, from, to)
	switch {
	case from < 0 || to <= from:
		return fmt.Errorf("%s: not forward", op)
	case db.positions[key].NextOffset != from:
		return fmt.Errorf("%s: %w", op, database.ErrFenced)
	}
	Put(db, db.positions, key, database.Position{
		Consumer: consumer, Topic: topic, Partition: number, NextOffset: to, Fingerprint: fingerprint,
	})
	return nil
}

// AdvanceSymbol implements stream.Fences.
func (db *DB) AdvanceSymbol(consumer, name string, fromSeq, toSeq int64, hash []byte) error {
	key := symbol{consumer, name}
	op := fmt.Sprintf("advance %s of %s from %d to %d", name, consumer, fromSeq, toSeq)
	switch {
	case fromSeq < 0 || toSeq <= fromSeq:
		return fmt.Errorf("%s: not forward", op)
	case db.symbols[key].Seq != fromSeq:
		return fmt.Errorf("%s: %w", op, database.ErrFenced)
	}
	Put(db, db.symbols, key, database.SymbolPosition{Consumer: consumer, Symbol: name, Seq: toSeq, Hash: hash})
	return nil
}

// Lease takes the next n ids of a name and returns the first, as package idgen leases
// blocks.
func (db *DB) Lease(name string, n int64) (first int64) {
	_ = db.Atomically(func() error {
		first = max(db.nextID[name], 1)
		Put(db, db.nextID, name, first+n)
		return nil
	})
	return first
}
