package database

import (
	"context"
	"fmt"
)

// Exec runs one statement by itself, outside any transaction, and returns how many rows it
// met. Whoever is stopped in the middle of it holds no lock that others would wait for,
// which a transaction of several statements cannot promise. It is tried once.
//
// Errors: KindUnavailable when there was no connection, nothing was done then;
// KindUnknownOutcome when the connection was lost, or ctx ended, before the answer;
// otherwise the database's refusal.
func (db *DB) Exec(ctx context.Context, statement string, args ...any) (rows int64, err error) {
	conn, err := db.pools[0].Conn(ctx)
	if err != nil {
		return 0, unavailable(fmt.Errorf("connect: %w", err))
	}
	defer func() { _ = conn.Close() }() // back to the pool
	res, err := conn.ExecContext(ctx, statement, args...)
	if err != nil && (ctx.Err() != nil || isConnectionLost(err)) {
		return 0, outcomeUnknown(err)
	}
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}
