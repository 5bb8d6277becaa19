package database

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// migration is one file of a set.
type migration struct {
	version    int64
	name       string
	checksum   string
	statements []string
}

// applied is a row of schema_migration.
type applied struct {
	checksum string
	done     int // statements that are known to have run
	total    int
}

const (
	// migrationLockWait is how long a starter waits for another that migrates.
	migrationLockWait = 60 * time.Second
	// lockTurn is how long one GET_LOCK waits: less than the driver's read timeout.
	lockTurn = 5 * time.Second
)

const createMigrationTable = `CREATE TABLE IF NOT EXISTS schema_migration (
	set_name   VARCHAR(64)  NOT NULL,
	version    BIGINT       NOT NULL,
	name       VARCHAR(128) NOT NULL,
	checksum   VARCHAR(64)  NOT NULL,
	statements BIGINT       NOT NULL,
	done       BIGINT       NOT NULL,
	applied_ms BIGINT       NOT NULL,
	PRIMARY KEY (set_name, version)
)`

// Migrate brings the tables of the set up to date with the files NNNN_name.sql, in
// any folder of files, in order of their number.
//
// One text serves all dialects. Statements end with a semicolon at the end of a
// line; lines that begin with -- are comments. A file that was applied must never
// change: its checksum is compared at every start, and a database that knows more
// than the program is refused. Several starters at once wait for one another.
//
// MySQL commits every DDL statement by itself, so after a crash in the middle of a
// file the next start goes on with the first statement that is not known to have
// run; if it is already there, that is no error.
func (db *DB) Migrate(ctx context.Context, set string, files fs.FS) error {
	list, err := loadMigrations(files)
	if err != nil {
		return fmt.Errorf("migrate %s: %w", set, err)
	}
	if db.dialect == SQLite {
		err = db.migrateSQLite(ctx, set, list)
	} else {
		err = db.migrateMySQL(ctx, set, list)
	}
	if err != nil {
		return fmt.Errorf("migrate %s: %w", set, err)
	}
	return nil
}

var migrationName = regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+)\.sql$`)

// loadMigrations reads and orders the files.
func loadMigrations(files fs.FS) ([]migration, error) {
	var list []migration
	err := fs.WalkDir(files, ".", func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Ext(file) != ".sql" {
			return err
		}
		parts := migrationName.FindStringSubmatch(path.Base(file))
		if parts == nil {
			return fmt.Errorf("%s is not named NNNN_name.sql", file)
		}
		text, err := fs.ReadFile(files, file)
		if err != nil {
			return err
		}
		version, err := strconv.ParseInt(parts[1], 10, 64)
		if err != nil {
			return err
		}
		normal := strings.ReplaceAll(string(text), "\r\n", "\n")
		sum := sha256.Sum256([]byte(normal))
		m := migration{version: version, name: parts[2], checksum: hex.EncodeToString(sum[:]), statements: splitStatements(normal)}
		if len(m.statements) == 0 {
			return fmt.Errorf("%s has no statement", file)
		}
		list = append(list, m)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("no migration files")
	}
	slices.SortFunc(list, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	for i := 1; i < len(list); i++ {
		if list[i].version == list[i-1].version {
			return nil, fmt.Errorf("two files have number %04d", list[i].version)
		}
	}
	return list, nil
}

// splitStatements cuts the text after each semicolon that ends a line and drops
// comment lines.
func splitStatements(text string) []string {
	var statements []string
	var current []string
	flush := func() {
		if s := strings.TrimSpace(strings.Join(current, "\n")); s != "" {
			statements = append(statements, strings.TrimSuffix(s, ";"))
		}
		current = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		if strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		current = append(current, line)
		if strings.HasSuffix(line, ";") {
			flush()
		}
	}
	flush()
	return statements
}

// runner is what migrations run on: a *sql.Tx or a *sql.Conn.
type runner interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// migrateSQLite runs everything in one transaction: DDL is transactional there, and
// the write lock keeps other starters waiting.
func (db *DB) migrateSQLite(ctx context.Context, set string, list []migration) error {
	return db.Tx(ctx, func(tx *Tx) error {
		sqlTx := tx.gdb.Statement.ConnPool
		run := sqlRunner{sqlTx.ExecContext, sqlTx.QueryContext}
		return db.migrateAll(ctx, run, set, list, func(m migration, i int) error {
			return db.runStep(ctx, run, set, m, i)
		})
	})
}

// sqlRunner adapts GORM's pool.
type sqlRunner struct {
	exec  func(ctx context.Context, query string, args ...any) (sql.Result, error)
	query func(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

func (r sqlRunner) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return r.exec(ctx, query, args...)
}

func (r sqlRunner) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return r.query(ctx, query, args...)
}

// migrateMySQL holds a named lock of the server on one connection meanwhile.
func (db *DB) migrateMySQL(ctx context.Context, set string, list []migration) (err error) {
	conn, err := db.pools[0].Conn(ctx)
	if err != nil {
		return unavailable(err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()

	// The lock's name is global to the server and at most 64 bytes.
	const lockName = "SUBSTRING(SHA2(CONCAT('mscoin migration ', DATABASE()), 256), 1, 60)"
	var got sql.NullInt64
	query := "SELECT GET_LOCK(" + lockName + ", " + strconv.Itoa(int(lockTurn.Seconds())) + ")"
	for range int(migrationLockWait / lockTurn) {
		if err := conn.QueryRowContext(ctx, query).Scan(&got); err != nil {
			return fmt.Errorf("lock: %w", err)
		}
		if got.Int64 == 1 {
			break
		}
	}
	if got.Int64 != 1 {
		return fmt.Errorf("another starter has held the migration lock for %v", migrationLockWait)
	}
	defer func() {
		// A cancelled context must not keep the lock: the connection lives on.
		_, unlockErr := conn.ExecContext(context.WithoutCancel(ctx), "DO RELEASE_LOCK("+lockName+")")
		err = errors.Join(err, unlockErr)
	}()
	return db.migrateAll(ctx, conn, set, list, func(m migration, i int) error {
		return db.runMySQLStep(ctx, conn, set, m, i)
	})
}

// runMySQLStep runs a statement and its progress in one transaction; DDL ends the
// transaction by itself, then the progress commits alone.
func (db *DB) runMySQLStep(ctx context.Context, conn *sql.Conn, set string, m migration, i int) error {
	sqlTx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := db.runStep(ctx, sqlTx, set, m, i); err != nil {
		return errors.Join(err, sqlTx.Rollback())
	}
	return sqlTx.Commit()
}

// migrateAll checks what was applied and runs what was not.
func (db *DB) migrateAll(ctx context.Context, run runner, set string, list []migration, step func(m migration, i int) error) error {
	if _, err := run.ExecContext(ctx, createMigrationTable); err != nil {
		return fmt.Errorf("create schema_migration: %w", err)
	}
	have, err := loadApplied(ctx, run, set)
	if err != nil {
		return fmt.Errorf("read schema_migration: %w", err)
	}
	if err := checkApplied(list, have); err != nil {
		return err
	}
	for _, m := range list {
		row, found := have[m.version]
		if !found {
			_, err := run.ExecContext(ctx,
				"INSERT INTO schema_migration (set_name, version, name, checksum, statements, done, applied_ms) VALUES (?, ?, ?, ?, ?, 0, ?)",
				set, m.version, m.name, m.checksum, len(m.statements), db.clk.NowMs())
			if err != nil {
				return fmt.Errorf("%04d_%s: %w", m.version, m.name, err)
			}
		}
		for i := row.done; i < len(m.statements); i++ {
			err := step(m, i)
			if found && i == row.done && isAlreadyDone(err) {
				// A crash came between this statement and the note about it.
				_, err = run.ExecContext(ctx, noteProgress, i+1, set, m.version)
			}
			if err != nil {
				return fmt.Errorf("%04d_%s, statement %d: %w", m.version, m.name, i+1, err)
			}
		}
	}
	return nil
}

const noteProgress = "UPDATE schema_migration SET done = ? WHERE set_name = ? AND version = ?"

// runStep runs statement i and notes it.
func (db *DB) runStep(ctx context.Context, run runner, set string, m migration, i int) error {
	if _, err := run.ExecContext(ctx, m.statements[i]); err != nil {
		return err
	}
	_, err := run.ExecContext(ctx, noteProgress, i+1, set, m.version)
	return err
}

// isAlreadyDone reports whether err says that a DDL statement had run before.
func isAlreadyDone(err error) bool {
	return hasMySQLNumber(err, mysqlTableExists, mysqlDuplicateColumn, mysqlDuplicateKeyName, mysqlCannotDrop,
		mysqlNoSuchTable, mysqlDuplicateConstraint)
}

func loadApplied(ctx context.Context, run runner, set string) (have map[int64]applied, err error) {
	rows, err := run.QueryContext(ctx, "SELECT version, checksum, statements, done FROM schema_migration WHERE set_name = ?", set)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	have = map[int64]applied{}
	for rows.Next() {
		var version int64
		var row applied
		if err := rows.Scan(&version, &row.checksum, &row.total, &row.done); err != nil {
			return nil, err
		}
		have[version] = row
	}
	return have, rows.Err()
}

// checkApplied compares the database with the program.
func checkApplied(list []migration, have map[int64]applied) error {
	var newest int64 = -1
	known := map[int64]bool{}
	for version := range have {
		newest = max(newest, version)
	}
	for _, m := range list {
		known[m.version] = true
		row, found := have[m.version]
		switch {
		case !found && m.version < newest:
			return fmt.Errorf("%04d_%s is new but %04d was applied: give it a higher number", m.version, m.name, newest)
		case found && row.checksum != m.checksum:
			return fmt.Errorf("%04d_%s was changed after it was applied: add a new file instead", m.version, m.name)
		}
	}
	for version := range have {
		if !known[version] {
			return fmt.Errorf("the database has migration %04d, which this program does not know: it is older than the database", version)
		}
	}
	return nil
}
