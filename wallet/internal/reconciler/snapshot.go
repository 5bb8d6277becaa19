package reconciler

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/reconcile"
)

// snapshot reads in a transaction that sees one state of a database.
type snapshot struct {
	ctx   context.Context //nolint:containedctx // lives as long as one pass
	tx    database.Queryer
	names map[string]string // texts that were read, each kept once
}

// openSnapshot connects to a data source, dialect:dsn. Its state is that of the first
// read. Errors never show a DSN: it holds the password.
func openSnapshot(ctx context.Context, source string) (_ *snapshot, closer func() error, err error) {
	db, opts, err := open(source)
	if err != nil {
		return nil, nil, err
	}
	tx, err := db.BeginTx(ctx, &opts)
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	closer = func() error {
		_ = tx.Rollback() // nothing was written
		return db.Close()
	}
	return newSnapshot(ctx, tx), closer, nil
}

func newSnapshot(ctx context.Context, tx database.Queryer) *snapshot {
	return &snapshot{ctx: ctx, tx: tx, names: map[string]string{}}
}

func open(source string) (*sql.DB, sql.TxOptions, error) {
	dialect, dsn, _ := strings.Cut(source, ":")
	if _, err := mysql.ParseDSN(source); err == nil && dialect != "sqlite" && dialect != "mysql" {
		dialect, dsn = "mysql", source // as the services take it
	}
	opts := sql.TxOptions{ReadOnly: true}
	switch dialect {
	case "sqlite":
		if _, err := os.Stat(dsn); err != nil {
			return nil, opts, fmt.Errorf("no database there: %w", err)
		}
		params := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: dsn}).EscapedPath()+"?"+params.Encode())
		return db, opts, err
	case "mysql":
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, opts, errors.New("the DSN is malformed")
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, opts, errors.New("the DSN is not usable")
		}
		opts.Isolation = sql.LevelRepeatableRead
		return sql.OpenDB(connector), opts, nil
	default:
		return nil, opts, errors.New("a data source is sqlite:file or mysql:user:password@tcp(host:port)/name (mysql: may be left out)")
	}
}

// each calls row for every row of the query.
func (s *snapshot) each(query string, row func(rows *sql.Rows) error, args ...any) (err error) {
	rows, err := s.tx.QueryContext(s.ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// name keeps one copy of a text that many rows repeat.
func (s *snapshot) name(text sql.RawBytes) string {
	if kept, ok := s.names[string(text)]; ok {
		return kept
	}
	kept := string(text)
	s.names[kept] = kept
	return kept
}

// positions returns how far a consumer has come, by symbol.
func (s *snapshot) positions(consumer string) (map[string]reconcile.Position, error) {
	out := map[string]reconcile.Position{}
	err := s.each("SELECT symbol, seq, hash FROM symbol_position WHERE consumer = ?", func(rows *sql.Rows) error {
		var symbol string
		var hash []byte
		var p reconcile.Position
		err := rows.Scan(&symbol, &p.Seq, &hash)
		p.Hash = hex.EncodeToString(hash)
		out[symbol] = p
		return err
	}, consumer)
	return out, err
}

// numbers returns a table of names and numbers.
func (s *snapshot) numbers(query string) (map[string]int64, error) {
	out := map[string]int64{}
	err := s.each(query, func(rows *sql.Rows) error {
		var name string
		var n int64
		err := rows.Scan(&name, &n)
		out[name] = n
		return err
	})
	return out, err
}
