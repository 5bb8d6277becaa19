package database

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sync"
)

// The guard sits between database/sql and the driver, below GORM, where every error
// of a statement passes, also one that turns up in the middle of a result set. It
// enforces what a closure could forget:
//
//   - After any error in a transaction, every later statement is refused and COMMIT
//     becomes ROLLBACK. After a deadlock MySQL has ended the transaction, so that the
//     next statement would commit by itself.
//   - A connection whose COMMIT or ROLLBACK failed is thrown away: database/sql would
//     return it to the pool with the transaction still open.

// poisonedError is what a transaction answers after its first error.
type poisonedError struct{ cause error }

func (e *poisonedError) Error() string {
	return "transaction was ended by an earlier error: " + e.cause.Error()
}

func (e *poisonedError) Unwrap() error { return e.cause }

// txState is what the guard, the GORM callbacks and Tx know about one transaction.
type txState struct {
	mu        sync.Mutex
	cause     error // the first error, nil while the transaction is sound
	committed bool  // COMMIT was handed to the driver
}

// poison ends the transaction with its first error.
func (s *txState) poison(err error) {
	var again *poisonedError
	if err == nil || errors.As(err, &again) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cause == nil {
		s.cause = err
	}
}

// err returns the error that later statements get, nil while the transaction is sound.
func (s *txState) err() error {
	if cause := s.firstError(); cause != nil {
		return &poisonedError{cause: cause}
	}
	return nil
}

func (s *txState) firstError() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

func (s *txState) commitStarted() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.committed
}

func (s *txState) startCommit() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.committed = true
}

type (
	stateKey             struct{}
	tolerateDuplicateKey struct{}
)

// stateOf returns the transaction that ctx belongs to, or nil.
func stateOf(ctx context.Context) *txState {
	s, _ := ctx.Value(stateKey{}).(*txState)
	return s
}

// tolerated reports whether err is a duplicate key that the statement of ctx asked
// for: both dialects undo only that statement.
func tolerated(ctx context.Context, err error) bool {
	asked, _ := ctx.Value(tolerateDuplicateKey{}).(bool)
	return asked && IsDuplicateKey(err)
}

// guardConnector wraps the connections of a driver.
type guardConnector struct {
	driver.Connector
	setup []string // statements for each new connection
}

func (c *guardConnector) Connect(ctx context.Context) (driver.Conn, error) {
	inner, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	conn := &guardConn{inner: inner}
	for _, stmt := range c.setup {
		if _, err := conn.ExecContext(ctx, stmt, nil); err != nil {
			return nil, errors.Join(fmt.Errorf("set up connection: %w", err), inner.Close())
		}
	}
	return conn, nil
}

// guardConn is used by one goroutine at a time, as database/sql promises.
type guardConn struct {
	inner  driver.Conn
	state  *txState              // of the running transaction, nil outside one
	broken bool                  // must not go back to the pool
	stmts  map[string]*guardStmt // prepared statements that are kept, by text
}

var (
	_ driver.ConnBeginTx        = (*guardConn)(nil)
	_ driver.ConnPrepareContext = (*guardConn)(nil)
	_ driver.ExecerContext      = (*guardConn)(nil)
	_ driver.QueryerContext     = (*guardConn)(nil)
	_ driver.Pinger             = (*guardConn)(nil)
	_ driver.SessionResetter    = (*guardConn)(nil)
	_ driver.Validator          = (*guardConn)(nil)
	_ driver.NamedValueChecker  = (*guardConn)(nil)
)

// check refuses a statement in a transaction that had an error.
func (c *guardConn) check() error {
	if c.state == nil {
		return nil
	}
	return c.state.err()
}

// note remembers the error of a statement and passes it on. io.EOF and ErrSkip are
// how drivers say "no more rows" and "prepare it instead".
func (c *guardConn) note(ctx context.Context, err error) error {
	if err == nil || c.state == nil || errors.Is(err, driver.ErrSkip) || errors.Is(err, io.EOF) || tolerated(ctx, err) {
		return err
	}
	c.state.poison(err)
	return err
}

func (c *guardConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	beginner, ok := c.inner.(driver.ConnBeginTx)
	if !ok {
		return nil, errors.New("driver cannot begin a transaction with a context")
	}
	tx, err := beginner.BeginTx(ctx, opts)
	if err != nil {
		c.broken = true
		return nil, err
	}
	if c.state = stateOf(ctx); c.state == nil {
		c.state = &txState{}
	}
	return &guardTx{inner: tx, conn: c}, nil
}

// Begin is never called: BeginTx is there.
func (c *guardConn) Begin() (driver.Tx, error) {
	return c.BeginTx(context.Background(), driver.TxOptions{})
}

func (c *guardConn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	execer, ok := c.inner.(driver.ExecerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	res, err := execer.ExecContext(ctx, query, args)
	return res, c.note(ctx, err)
}

func (c *guardConn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	queryer, ok := c.inner.(driver.QueryerContext)
	if !ok {
		return nil, driver.ErrSkip
	}
	rows, err := queryer.QueryContext(ctx, query, args)
	if err != nil {
		return nil, c.note(ctx, err)
	}
	return &guardRows{Rows: rows, ctx: ctx, conn: c}, nil
}

func (c *guardConn) PrepareContext(ctx context.Context, query string) (driver.Stmt, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if stmt, ok := c.kept(ctx, query); ok {
		return stmt, nil
	}
	var stmt driver.Stmt
	var err error
	if preparer, ok := c.inner.(driver.ConnPrepareContext); ok {
		stmt, err = preparer.PrepareContext(ctx, query)
	} else {
		stmt, err = c.inner.Prepare(query)
	}
	if err != nil {
		return nil, c.note(ctx, err)
	}
	guarded := &guardStmt{Stmt: stmt, conn: c}
	c.keep(ctx, query, guarded)
	return guarded, nil
}

// Prepare is never called: PrepareContext is there.
func (c *guardConn) Prepare(query string) (driver.Stmt, error) {
	return c.PrepareContext(context.Background(), query)
}

func (c *guardConn) Close() error { return c.inner.Close() }

func (c *guardConn) Ping(ctx context.Context) error {
	if p, ok := c.inner.(driver.Pinger); ok {
		return p.Ping(ctx)
	}
	return nil
}

func (c *guardConn) ResetSession(ctx context.Context) error {
	if c.broken {
		return driver.ErrBadConn
	}
	if r, ok := c.inner.(driver.SessionResetter); ok {
		return r.ResetSession(ctx)
	}
	return nil
}

func (c *guardConn) IsValid() bool {
	if c.broken {
		return false
	}
	v, ok := c.inner.(driver.Validator)
	return !ok || v.IsValid()
}

func (c *guardConn) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := c.inner.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return driver.ErrSkip
}

// guardTx ends a transaction.
type guardTx struct {
	inner driver.Tx
	conn  *guardConn
}

func (t *guardTx) Commit() error {
	state := t.conn.state
	if err := state.err(); err != nil {
		return errors.Join(err, t.Rollback())
	}
	state.startCommit()
	err := t.inner.Commit()
	t.end(err)
	return err
}

func (t *guardTx) Rollback() error {
	err := t.inner.Rollback()
	t.end(err)
	return err
}

func (t *guardTx) end(err error) {
	t.conn.state = nil
	if err != nil {
		t.conn.broken = true
	}
}

// guardStmt is a prepared statement.
type guardStmt struct {
	driver.Stmt

	conn *guardConn
	kept bool // the connection keeps it
	busy bool // kept, and handed out
}

var (
	_ driver.StmtExecContext   = (*guardStmt)(nil)
	_ driver.StmtQueryContext  = (*guardStmt)(nil)
	_ driver.NamedValueChecker = (*guardStmt)(nil)
)

func (s *guardStmt) ExecContext(ctx context.Context, args []driver.NamedValue) (driver.Result, error) {
	if err := s.conn.check(); err != nil {
		return nil, err
	}
	execer, ok := s.Stmt.(driver.StmtExecContext)
	if !ok {
		return nil, errors.New("driver cannot execute a statement with a context")
	}
	res, err := execer.ExecContext(ctx, args)
	return res, s.conn.note(ctx, err)
}

func (s *guardStmt) QueryContext(ctx context.Context, args []driver.NamedValue) (driver.Rows, error) {
	if err := s.conn.check(); err != nil {
		return nil, err
	}
	queryer, ok := s.Stmt.(driver.StmtQueryContext)
	if !ok {
		return nil, errors.New("driver cannot run a query with a context")
	}
	rows, err := queryer.QueryContext(ctx, args)
	if err != nil {
		return nil, s.conn.note(ctx, err)
	}
	return &guardRows{Rows: rows, ctx: ctx, conn: s.conn}, nil
}

func (s *guardStmt) CheckNamedValue(value *driver.NamedValue) error {
	if checker, ok := s.Stmt.(driver.NamedValueChecker); ok {
		return checker.CheckNamedValue(value)
	}
	return s.conn.CheckNamedValue(value)
}

// guardRows sees the errors that turn up while rows are read: a locking SELECT can
// meet a deadlock after its first row.
type guardRows struct {
	driver.Rows

	ctx  context.Context //nolint:containedctx // of the query, to know what it tolerates
	conn *guardConn
}

var (
	_ driver.RowsNextResultSet              = (*guardRows)(nil)
	_ driver.RowsColumnTypeScanType         = (*guardRows)(nil)
	_ driver.RowsColumnTypeDatabaseTypeName = (*guardRows)(nil)
	_ driver.RowsColumnTypeLength           = (*guardRows)(nil)
	_ driver.RowsColumnTypeNullable         = (*guardRows)(nil)
	_ driver.RowsColumnTypePrecisionScale   = (*guardRows)(nil)
)

func (r *guardRows) Next(dest []driver.Value) error {
	return r.conn.note(r.ctx, r.Rows.Next(dest))
}

func (r *guardRows) Close() error {
	return r.conn.note(r.ctx, r.Rows.Close())
}

func (r *guardRows) HasNextResultSet() bool {
	next, ok := r.Rows.(driver.RowsNextResultSet)
	return ok && next.HasNextResultSet()
}

func (r *guardRows) NextResultSet() error {
	if next, ok := r.Rows.(driver.RowsNextResultSet); ok {
		return r.conn.note(r.ctx, next.NextResultSet())
	}
	return io.EOF
}

func (r *guardRows) ColumnTypeScanType(i int) reflect.Type {
	if t, ok := r.Rows.(driver.RowsColumnTypeScanType); ok {
		return t.ColumnTypeScanType(i)
	}
	return reflect.TypeFor[any]()
}

func (r *guardRows) ColumnTypeDatabaseTypeName(i int) string {
	if t, ok := r.Rows.(driver.RowsColumnTypeDatabaseTypeName); ok {
		return t.ColumnTypeDatabaseTypeName(i)
	}
	return ""
}

func (r *guardRows) ColumnTypeLength(i int) (length int64, ok bool) {
	if t, has := r.Rows.(driver.RowsColumnTypeLength); has {
		return t.ColumnTypeLength(i)
	}
	return 0, false
}

func (r *guardRows) ColumnTypeNullable(i int) (nullable, ok bool) {
	if t, has := r.Rows.(driver.RowsColumnTypeNullable); has {
		return t.ColumnTypeNullable(i)
	}
	return false, false
}

func (r *guardRows) ColumnTypePrecisionScale(i int) (precision, scale int64, ok bool) {
	if t, has := r.Rows.(driver.RowsColumnTypePrecisionScale); has {
		return t.ColumnTypePrecisionScale(i)
	}
	return 0, 0, false
}
