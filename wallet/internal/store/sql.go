package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mscoin/mscoin-common/database"
)

// batch runs statements of one transaction below GORM: the transaction's guard sits
// in the driver and sees them all the same.
type batch struct {
	ctx     context.Context //nolint:containedctx // lives as long as one transaction's closure
	tx      *database.Tx
	pool    pool
	dialect string
	fault   func(step string) error
}

type pool interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (s *Store) in(ctx context.Context, tx *database.Tx) *batch {
	return &batch{ctx: ctx, tx: tx, pool: tx.DB().Statement.ConnPool, dialect: s.db.Dialect(), fault: s.fault}
}

// step gives tests the chance to fail before a statement.
func (b *batch) step(name string) error {
	if b.fault == nil {
		return nil
	}
	if err := b.fault(name); err != nil {
		return b.tx.Fail(fmt.Errorf("%s: %w", name, err))
	}
	return nil
}

// table is what the multi-row statements know of a table.
type table struct {
	name    string
	key     []string
	columns []string
}

// insert adds rows.
func (b *batch) insert(t table, rows int, values func(args []any, row int) []any) error {
	return b.write(t, "insert "+t.name, "", rows, values)
}

// upsert writes rows whole, whether they exist or not. Rows that exist must be
// locked: what they hold is replaced.
func (b *batch) upsert(t table, rows int, values func(args []any, row int) []any) error {
	var set []string
	for _, c := range t.columns {
		switch {
		case slices.Contains(t.key, c):
		case b.dialect == database.MySQL:
			set = append(set, c+" = VALUES("+c+")")
		default:
			set = append(set, c+" = excluded."+c)
		}
	}
	return b.write(t, "upsert "+t.name, b.onConflict(t, strings.Join(set, ", ")), rows, values)
}

// insertMissing adds rows and leaves those that exist alone.
func (b *batch) insertMissing(t table, rows int, values func(args []any, row int) []any) error {
	if b.dialect == database.MySQL {
		// Unlike INSERT IGNORE this passes on every other error.
		return b.write(t, "insert missing "+t.name, b.onConflict(t, t.key[0]+" = "+t.key[0]), rows, values)
	}
	return b.write(t, "insert missing "+t.name, " ON CONFLICT ("+strings.Join(t.key, ", ")+") DO NOTHING", rows, values)
}

func (b *batch) onConflict(t table, set string) string {
	if b.dialect == database.MySQL {
		return " ON DUPLICATE KEY UPDATE " + set
	}
	return " ON CONFLICT (" + strings.Join(t.key, ", ") + ") DO UPDATE SET " + set
}

// write inserts rows in statements of sizes that are powers of two, so that there
// are few texts and every connection keeps them prepared: reading thousands of
// values as text costs the database more than inserting them.
func (b *batch) write(t table, step, suffix string, rows int, values func(args []any, row int) []any) error {
	size := maxRowsMySQL
	if b.dialect == database.SQLite {
		size = maxRowsSQLite
	}
	var args []any
	for from := 0; from < rows; {
		for size > rows-from {
			size /= 2
		}
		args = slices.Grow(args[:0], size*len(t.columns))
		for row := from; row < from+size; row++ {
			args = values(args, row)
		}
		if err := b.step(step); err != nil {
			return err
		}
		if err := b.exec(t, suffix, size, args); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
		from += size
	}
	return nil
}

// exec inserts rows in one statement.
func (b *batch) exec(t table, suffix string, rows int, args []any) (err error) {
	stmt, err := b.tx.Prepare(b.ctx, "INSERT INTO "+t.name+" ("+strings.Join(t.columns, ", ")+") VALUES "+placeholders(rows, len(t.columns))+suffix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stmt.Close()) }()
	_, err = stmt.ExecContext(b.ctx, args...)
	return err
}

// placeholders returns "(?,?),(?,?)" for rows of columns.
func placeholders(rows, columns int) string {
	row := "(" + strings.Repeat("?,", columns-1) + "?)"
	if rows == 1 {
		return row
	}
	return strings.Repeat(row+",", rows-1) + row
}

// query runs a SELECT and calls scan for each row.
func (b *batch) query(step, text string, args []any, scan func(rows *sql.Rows) error) error {
	if err := b.step(step); err != nil {
		return err
	}
	rows, err := b.pool.QueryContext(b.ctx, text, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	defer func() { _ = rows.Close() }() // Err tells what Close would
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("%s: %w", step, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", step, err)
	}
	return nil
}

// forUpdate is the end of a SELECT that locks what it finds. SQLite has one writer.
func (b *batch) forUpdate() string {
	if b.dialect == database.MySQL {
		return " FOR UPDATE"
	}
	return ""
}

// byPrimaryKey keeps MySQL from scanning, and so locking, a whole table when its
// statistics mislead it.
func (b *batch) byPrimaryKey() string {
	if b.dialect == database.MySQL {
		return " FORCE INDEX (PRIMARY)"
	}
	return ""
}
