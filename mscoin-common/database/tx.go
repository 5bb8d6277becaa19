package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/failpoint"
	"mscoin/mscoin-common/telemetry"
)

const (
	// maxAttempts bounds how often Tx runs its closure.
	maxAttempts = 8
	// firstBackoff and maxBackoff bound the wait before another attempt.
	firstBackoff = 2 * time.Millisecond
	maxBackoff   = 200 * time.Millisecond
)

// Tx is a running transaction, valid until the closure it was given to returns.
type Tx struct {
	db    *DB
	gdb   *gorm.DB
	state *txState
	used  bool // a statement other than a fence was asked for
	name  string
}

// Name says what the transaction is, for fault tests: see package failpoint. It may be
// called on nil.
func (tx *Tx) Name(name string) {
	if tx != nil {
		tx.name = name
	}
}

// Read returns GORM for reading outside a transaction; a write returns ErrReadOnly.
// Two reads may see different states: see Snapshot.
func (db *DB) Read(ctx context.Context) *gorm.DB { return db.read.WithContext(ctx) }

// Tx runs fn in a transaction (READ COMMITTED, immediate on SQLite) and commits it
// when fn returns nil.
//
// After any error of a statement in it the transaction is lost: later statements
// fail at once and it is rolled back, even when fn returns nil (InsertIfAbsent is
// the one way to meet a duplicate key and go on). After a deadlock, a lock that was
// not granted or a busy database fn runs again from its beginning, after a jittered
// wait and at most eight times: so fn must not change anything but the database,
// and set its results anew on each run.
//
// Errors: what fn returned, wrapped; KindUnavailable when the database stayed busy
// or was lost before COMMIT, nothing was done then; KindUnknownOutcome when COMMIT
// failed without an answer: it may have happened, only a fence or an idempotency key
// makes a repetition safe. A panic of fn rolls back and goes on.
func (db *DB) Tx(ctx context.Context, fn func(tx *Tx) error) error {
	for attempt := 1; ; attempt++ {
		err := db.attempt(ctx, fn)
		if err == nil || ctx.Err() != nil || !isRollbackToRetry(err) {
			countFault(err)
			return err
		}
		if attempt == maxAttempts {
			telemetry.DatabaseError("busy")
			return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "database is busy").
				Wrap(fmt.Errorf("%d attempts: %w", attempt, err))
		}
		telemetry.DatabaseRetry()
		if sleepErr := clock.Sleep(ctx, db.clk, backoff(attempt)); sleepErr != nil {
			return fmt.Errorf("%w, after: %w", sleepErr, err)
		}
	}
}

// countFault counts an error that is the database's and not an answer.
func countFault(err error) {
	switch errs.KindOf(err) { //nolint:exhaustive // the others are answers
	case errs.KindUnavailable:
		telemetry.DatabaseError("unavailable")
	case errs.KindUnknownOutcome:
		telemetry.DatabaseError("unknown outcome")
	}
}

// isRollbackToRetry reports whether the attempt is known to have done nothing and
// may succeed when it is repeated.
func isRollbackToRetry(err error) bool {
	return IsRetryable(err) && errs.KindOf(err) != errs.KindUnknownOutcome
}

// backoff returns the wait after that attempt: doubling, capped, and half of it
// random, so that two that met do not meet again.
func backoff(attempt int) time.Duration {
	d := min(firstBackoff<<(attempt-1), maxBackoff)
	return d/2 + rand.N(d/2+1) //nolint:gosec // jitter needs no secret
}

// attempt runs fn once in a transaction.
func (db *DB) attempt(ctx context.Context, fn func(tx *Tx) error) error {
	state := &txState{}
	ctx = context.WithValue(ctx, stateKey{}, state)
	sqlTx, err := db.pools[0].BeginTx(ctx, nil)
	if err != nil {
		return beginError(err)
	}
	done := false
	defer func() {
		if !done { // fn panicked or ended its goroutine
			_ = sqlTx.Rollback()
		}
	}()
	gdb := db.write.Session(&gorm.Session{NewDB: true, Context: ctx})
	gdb.Statement.ConnPool = txPool{sqlTx}
	tx := &Tx{db: db, gdb: gdb, state: state}
	err = fn(tx)
	done = true
	if err == nil {
		err = state.err()
	}
	if failpoint.Enabled && err == nil {
		if err = failpoint.Hit("commit." + tx.name + ".before"); err != nil {
			err = unavailable(err)
		}
	}
	if err == nil {
		err = commit(ctx, sqlTx, state)
		if failpoint.Enabled && err == nil {
			if err = failpoint.Hit("commit." + tx.name + ".after"); err != nil {
				err = outcomeUnknown(err)
			}
		}
		return err
	}
	// A failed rollback needs no report: the guard throws the connection away, and
	// with it the transaction.
	_ = sqlTx.Rollback()
	return rollbackError(err, state)
}

// beginError says that nothing was done.
func beginError(err error) error {
	err = fmt.Errorf("begin transaction: %w", err)
	if isConnectionLost(err) {
		return unavailable(err)
	}
	return err
}

// rollbackError explains a transaction that was rolled back because of err. The
// cause in the state decides about a repetition: fn may have returned anything.
func rollbackError(err error, state *txState) error {
	cause := state.firstError()
	switch {
	case cause == nil:
		return err
	case IsRetryable(cause) && !IsRetryable(err):
		return fmt.Errorf("%w, after: %w", err, cause)
	case isConnectionLost(cause):
		return unavailable(err)
	}
	return err
}

func unavailable(err error) error {
	return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "database is unavailable").Wrap(err)
}

// commit commits and tells a refusal from an unknown outcome.
func commit(ctx context.Context, sqlTx *sql.Tx, state *txState) error {
	err := sqlTx.Commit()
	if err == nil {
		return nil
	}
	if errors.Is(err, sql.ErrTxDone) && ctx.Err() != nil {
		// database/sql rolls back by itself when the context ends. Whether it or Commit
		// comes first is chance; the reason is the same.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	err = fmt.Errorf("commit: %w", err)
	// Refused before COMMIT was sent, or the database said that it rolled back.
	if !state.commitStarted() || IsRetryable(err) {
		return err
	}
	return outcomeUnknown(err)
}

func outcomeUnknown(err error) error {
	return errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "outcome unknown").Wrap(err)
}

// txPool lets GORM run statements in the transaction, but not end it.
type txPool struct {
	gorm.ConnPool
}

// DB returns GORM within the transaction.
func (tx *Tx) DB() *gorm.DB {
	tx.used = true
	return tx.gdb
}

// ForUpdate returns GORM whose next SELECT locks the rows it finds until the end of
// the transaction. Lock rows in key order. SQLite has one writer, so nothing needs
// to be locked there.
func (tx *Tx) ForUpdate() *gorm.DB {
	return tx.DB().Clauses(clause.Locking{Strength: clause.LockingStrengthUpdate})
}

// InsertIfAbsent inserts the row that value points to, and reports false when its
// primary key or a unique index is taken. Unlike any other failed statement that
// leaves the transaction usable. (RowsAffected of GORM's OnConflict DoNothing does
// not tell: MySQL counts the row that was found.)
func (tx *Tx) InsertIfAbsent(value any) (inserted bool, err error) {
	tx.used = true
	return tx.insertIfAbsent(value)
}

func (tx *Tx) insertIfAbsent(value any) (inserted bool, err error) {
	gdb := tx.gdb
	ctx := context.WithValue(gdb.Statement.Context, tolerateDuplicateKey{}, true)
	err = gdb.WithContext(ctx).Create(value).Error
	if IsDuplicateKey(err) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, nil
}

// Fail ends the transaction with err: later statements are refused and it cannot be
// committed. It returns err.
func (tx *Tx) Fail(err error) error {
	tx.state.poison(err)
	return err
}

// registerPoison makes errors that GORM finds by itself, before or after the driver
// is asked, end the transaction too. "Not found" is an answer and no error.
func registerPoison(gdb *gorm.DB) error {
	const name = "mscoin:poison"
	poison := func(gdb *gorm.DB) {
		err, ctx := gdb.Error, gdb.Statement.Context
		if err == nil || errors.Is(err, gorm.ErrRecordNotFound) || tolerated(ctx, err) {
			return
		}
		if state := stateOf(ctx); state != nil {
			state.poison(err)
		}
	}
	cb := gdb.Callback()
	return errors.Join(
		cb.Create().Register(name, poison),
		cb.Query().Register(name, poison),
		cb.Update().Register(name, poison),
		cb.Delete().Register(name, poison),
		cb.Row().Register(name, poison),
		cb.Raw().Register(name, poison),
	)
}

// Snapshot runs fn with GORM for reading one consistent state of the whole database,
// however many reads it takes. A write returns ErrReadOnly. Long snapshots keep old
// row versions alive: bound them with ctx.
func (db *DB) Snapshot(ctx context.Context, fn func(read *gorm.DB) error) error {
	pool := db.pools[len(db.pools)-1]
	opts := &sql.TxOptions{ReadOnly: true}
	if db.dialect == MySQL { // a SQLite read transaction is a snapshot as it is
		opts.Isolation = sql.LevelRepeatableRead
	}
	sqlTx, err := pool.BeginTx(ctx, opts)
	if err != nil {
		return beginError(err)
	}
	defer func() { _ = sqlTx.Rollback() }() // nothing was written
	gdb := db.read.Session(&gorm.Session{NewDB: true, Context: ctx})
	gdb.Statement.ConnPool = readPool{sqlTx}
	return fn(gdb)
}

// Queryer reads below GORM.
type Queryer interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// SnapshotRows is Snapshot for reading below GORM: for tables too large to be reflected
// upon row by row.
func (db *DB) SnapshotRows(ctx context.Context, fn func(q Queryer) error) error {
	return db.Snapshot(ctx, func(read *gorm.DB) error { return fn(read.Statement.ConnPool) })
}
