package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
	gormmysql "gorm.io/driver/mysql"
	gormsqlite "gorm.io/driver/sqlite"
	"gorm.io/gorm"
	"modernc.org/sqlite"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/telemetry"
)

// The dialects.
const (
	// SQLite is a file of this machine, in pure Go.
	SQLite = "sqlite"
	// MySQL is MySQL 8 or MariaDB 10.6 and later.
	MySQL = "mysql"
)

// collation is what a MySQL database must have been created with: keys compare byte
// by byte, as they do in SQLite.
const collation = "utf8mb4_bin"

const (
	defaultMaxOpenConns = 16
	busyTimeout         = 5 * time.Second
	dialTimeout         = 5 * time.Second
	ioTimeout           = 30 * time.Second
	// connMaxIdle is less than the wait_timeout of our sessions, so that the server ends
	// only connections whose process is stopped.
	connMaxIdle = 5 * time.Second
	connMaxLife = 30 * time.Minute
)

// Config says which database to open.
type Config struct {
	// Dialect is "sqlite" or "mysql" (also for MariaDB).
	Dialect string `json:",default=sqlite,options=sqlite|mysql"`
	// DSN is the path of the file for SQLite, and user:password@tcp(host:port)/name
	// for MySQL; the parameters that correctness depends on are set here, whatever it says.
	DSN string
	// MaxOpenConns bounds the connections: for SQLite those that read, next to the
	// one that writes.
	MaxOpenConns int `json:",default=16"`
}

// DB is an open database. It is safe for concurrent use.
type DB struct {
	dialect string
	clk     clock.Clock
	pools   []*sql.DB // for Close; pools[0] writes
	write   *gorm.DB
	read    *gorm.DB
}

// Open connects to the database and checks that it is fit: reachable, and for MySQL
// created with the collation utf8mb4_bin. A missing SQLite file is created with mode
// 0600, its folder with 0700. Close it.
func Open(ctx context.Context, cfg Config, clk clock.Clock) (*DB, error) {
	if cfg.DSN == "" {
		return nil, errors.New("open database: no DSN")
	}
	if cfg.MaxOpenConns <= 0 {
		cfg.MaxOpenConns = defaultMaxOpenConns
	}
	db := &DB{dialect: cfg.Dialect, clk: clk}
	var err error
	switch cfg.Dialect {
	case SQLite, "":
		db.dialect = SQLite
		err = db.openSQLite(ctx, cfg)
	case MySQL:
		err = db.openMySQL(ctx, cfg)
	default:
		err = fmt.Errorf("dialect %q is neither %s nor %s", cfg.Dialect, SQLite, MySQL)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open database: %w", err), db.Close())
	}
	return db, nil
}

// Close closes the connections, after the running transactions.
func (db *DB) Close() error {
	var all []error
	for _, pool := range db.pools {
		all = append(all, pool.Close())
	}
	if err := errors.Join(all...); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Watch returns a collector of the connections of the database that is called name.
func (db *DB) Watch(name string) telemetry.Collector {
	return func(_ context.Context, emit telemetry.Emit) error {
		var inUse, idle, most int
		var waits int64
		for _, pool := range db.pools {
			s := pool.Stats()
			inUse, idle, most, waits = inUse+s.InUse, idle+s.Idle, most+s.MaxOpenConnections, waits+s.WaitCount
		}
		emit(telemetry.Connections, float64(inUse), name, "in_use")
		emit(telemetry.Connections, float64(idle), name, "idle")
		emit(telemetry.Connections, float64(most), name, "max")
		emit(telemetry.ConnectionWaits, float64(waits), name)
		return nil
	}
}

// Dialect returns SQLite or MySQL.
func (db *DB) Dialect() string { return db.dialect }

// openSQLite opens one connection that writes and a pool that reads. One writer, in
// immediate transactions, queues in this process instead of meeting SQLITE_BUSY.
func (db *DB) openSQLite(ctx context.Context, cfg Config) error {
	if err := createPrivateFile(cfg.DSN); err != nil {
		return err
	}
	pragmas := []string{
		"busy_timeout(" + strconv.FormatInt(busyTimeout.Milliseconds(), 10) + ")",
		"journal_mode(WAL)",
		"synchronous(FULL)", // an acknowledged commit survives a power cut
		"temp_store(MEMORY)",
		"journal_size_limit(67108864)",
	}
	writer, err := db.openSQLitePool(ctx, cfg.DSN, url.Values{"_pragma": pragmas, "_txlock": {"immediate"}}, 1)
	if err != nil {
		return err
	}
	reader, err := db.openSQLitePool(ctx, cfg.DSN, url.Values{"_pragma": append(pragmas, "query_only(1)")}, cfg.MaxOpenConns)
	if err != nil {
		return err
	}
	return db.openGORM(
		gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", Conn: writer}),
		gormsqlite.New(gormsqlite.Config{DriverName: "sqlite", Conn: readPool{reader}}),
	)
}

// createPrivateFile makes sure the file exists and is not readable by others when it
// is new: SQLite gives its side files the same mode.
func createPrivateFile(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

func (db *DB) openSQLitePool(ctx context.Context, path string, params url.Values, conns int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + params.Encode())
	if err != nil {
		return nil, err
	}
	pool := sql.OpenDB(&guardConnector{Connector: connector})
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	db.pools = append(db.pools, pool)
	if err := pool.PingContext(ctx); err != nil {
		return nil, err
	}
	var mode string
	if err := pool.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err != nil {
		return nil, err
	}
	if mode != "wal" {
		return nil, fmt.Errorf("journal mode is %q, need wal", mode)
	}
	return pool, nil
}

// openMySQL opens one pool for both reading and writing.
func (db *DB) openMySQL(ctx context.Context, cfg Config) error {
	dsn, err := mysql.ParseDSN(cfg.DSN)
	if err != nil {
		return errors.New("the DSN is malformed") // the cause could show the password
	}
	dsn.ClientFoundRows = true   // RowsAffected counts matched rows: fences depend on it
	dsn.InterpolateParams = true // one round trip for a statement; safe with utf8mb4
	dsn.MultiStatements = false
	dsn.Collation = collation
	dsn.Loc = time.UTC
	dsn.Timeout = orDefault(dsn.Timeout, dialTimeout)
	dsn.ReadTimeout = orDefault(dsn.ReadTimeout, ioTimeout)
	dsn.WriteTimeout = orDefault(dsn.WriteTimeout, ioTimeout)
	dsn.MaxAllowedPacket = 0 // ask the server, so that a batch too large is refused here
	dsn.Logger = driverLog{}
	connector, err := mysql.NewConnector(dsn)
	if err != nil {
		return err
	}
	pool := sql.OpenDB(&guardConnector{Connector: connector, setup: []string{
		"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
		"SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
		"SET SESSION innodb_lock_wait_timeout = 5",
		"SET SESSION default_storage_engine = 'InnoDB'",
		"SET SESSION time_zone = '+00:00'",
		// A process that is stopped in the middle of a transaction keeps its locks, and
		// others waiting, until the server ends the connection. MariaDB tells such a
		// connection from an idle one; to MySQL the rest is a comment.
		"SET SESSION wait_timeout = 10 /*M! , idle_write_transaction_timeout = 3 */",
	}})
	pool.SetMaxOpenConns(cfg.MaxOpenConns)
	pool.SetMaxIdleConns(cfg.MaxOpenConns)
	pool.SetConnMaxIdleTime(connMaxIdle)
	pool.SetConnMaxLifetime(connMaxLife)
	db.pools = append(db.pools, pool)

	var got string
	if err := pool.QueryRowContext(ctx, "SELECT @@collation_database").Scan(&got); err != nil {
		return err
	}
	if got != collation {
		return fmt.Errorf("database %s has collation %s: create it with CHARACTER SET utf8mb4 COLLATE %s", dsn.DBName, got, collation)
	}
	// RETURNING exists on MariaDB only; without it both take the same path.
	return db.openGORM(
		gormmysql.New(gormmysql.Config{Conn: pool, DisableWithReturning: true}),
		gormmysql.New(gormmysql.Config{Conn: readPool{pool}, DisableWithReturning: true}),
	)
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

// openGORM sets up GORM over the pool that writes and the one that reads.
func (db *DB) openGORM(write, read gorm.Dialector) error {
	var err error
	if db.write, err = gorm.Open(write, db.gormConfig()); err != nil {
		return err
	}
	if db.read, err = gorm.Open(read, db.gormConfig()); err != nil {
		return err
	}
	return registerPoison(db.write)
}

func (db *DB) gormConfig() *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction:                   true, // writes run in Tx only
		DisableNestedTransaction:                 true,
		DisableAutomaticPing:                     true,
		DisableForeignKeyConstraintWhenMigrating: true,
		TranslateError:                           false, // IsDuplicateKey reads the driver's error
		Logger:                                   &queryLog{clk: db.clk},
		NowFunc:                                  func() time.Time { return db.clk.Now().UTC() },
	}
}

// ErrReadOnly is returned by a write through DB.Read or DB.Snapshot.
var ErrReadOnly = errors.New("database: write outside a transaction")

// readPool lets GORM read and nothing else, in both dialects alike.
type readPool struct {
	gorm.ConnPool
}

// ExecContext refuses to write.
func (readPool) ExecContext(context.Context, string, ...any) (sql.Result, error) {
	return nil, ErrReadOnly
}
