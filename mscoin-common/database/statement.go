package database

import (
	"context"
	"database/sql"
)

// maxKept bounds the prepared statements that a connection keeps.
const maxKept = 64

// keepStatement is the context key with which Tx.Prepare asks a connection to keep a
// statement.
type keepStatement struct{}

// Prepare prepares a statement of the transaction and keeps it on the connection, so
// that the next transaction there has it for nothing: for statements of many rows
// whose text is always one of a few, which cost the database more to read than to
// run. Close it before the transaction ends. A connection keeps 64 texts; others are
// prepared anew each time.
func (tx *Tx) Prepare(ctx context.Context, text string) (*sql.Stmt, error) {
	return tx.DB().Statement.ConnPool.PrepareContext(context.WithValue(ctx, keepStatement{}, true), text)
}

// kept returns the connection's statement with that text when it is there and free.
func (c *guardConn) kept(ctx context.Context, text string) (*guardStmt, bool) {
	if keep, _ := ctx.Value(keepStatement{}).(bool); !keep {
		return nil, false
	}
	stmt, ok := c.stmts[text]
	if !ok || stmt.busy {
		return nil, false
	}
	stmt.busy = true
	return stmt, true
}

// keep remembers a new statement that somebody asked to keep, if there is room.
func (c *guardConn) keep(ctx context.Context, text string, stmt *guardStmt) {
	keep, _ := ctx.Value(keepStatement{}).(bool)
	if _, taken := c.stmts[text]; !keep || taken || len(c.stmts) >= maxKept {
		return
	}
	if c.stmts == nil {
		c.stmts = make(map[string]*guardStmt)
	}
	stmt.kept, stmt.busy = true, true
	c.stmts[text] = stmt
}

// Close closes the statement, or makes one that is kept free again: it ends with its
// connection.
func (s *guardStmt) Close() error {
	if s.kept {
		s.busy = false
		return nil
	}
	return s.Stmt.Close()
}
