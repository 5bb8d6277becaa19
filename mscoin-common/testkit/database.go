package testkit

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

// setupTimeout bounds opening and creating a database.
const setupTimeout = 60 * time.Second

// SQLite returns an empty database in a new file, closed when the test ends.
func SQLite(t testing.TB) *database.DB {
	t.Helper()
	return OpenDatabase(t, SQLiteConfig(t))
}

// SQLiteConfig returns the configuration of a database in a new file.
func SQLiteConfig(t testing.TB) database.Config {
	t.Helper()
	return database.Config{Dialect: database.SQLite, DSN: filepath.Join(t.TempDir(), "test.db")}
}

// OpenDatabase opens a database with the real clock and closes it when the test ends.
func OpenDatabase(t testing.TB, cfg database.Config) *database.DB {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), setupTimeout)
	defer cancel()
	db, err := database.Open(ctx, cfg, clock.Real())
	if err != nil {
		t.Fatalf("open database: %v", err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Errorf("close database: %v", err)
		}
	})
	return db
}

// Databases runs test once for each dialect, as sub-tests with an empty database: on
// SQLite, MariaDB and MySQL.
func Databases(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	DatabaseConfigs(t, func(t *testing.T, cfg database.Config) { test(t, OpenDatabase(t, cfg)) })
}

// DatabaseConfigs is Databases for tests that open the database themselves, perhaps
// several times.
func DatabaseConfigs(t *testing.T, test func(t *testing.T, cfg database.Config)) {
	t.Helper()
	Dialects(t, func(t *testing.T, empty func(testing.TB) database.Config) { test(t, empty(t)) })
}

// ServerConfigs is DatabaseConfigs for what SQLite has not: several writers, server
// settings, a connection to lose.
func ServerConfigs(t *testing.T, test func(t *testing.T, cfg database.Config)) {
	t.Helper()
	servers(t, func(t *testing.T, empty func(testing.TB) database.Config) { test(t, empty(t)) })
}

// Dialects is Databases for tests that need several databases: each call of empty gives
// another one.
func Dialects(t *testing.T, test func(t *testing.T, empty func(testing.TB) database.Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) { test(t, SQLiteConfig) })
	servers(t, test)
}

func servers(t *testing.T, test func(t *testing.T, empty func(testing.TB) database.Config)) {
	t.Helper()
	t.Run("mariadb", func(t *testing.T) { test(t, MariaDBConfig) })
	t.Run("mysql", func(t *testing.T) {
		dsn := os.Getenv(MySQLEnv)
		if dsn == "" {
			missing(t, "MySQL", onStack)
		}
		test(t, func(t testing.TB) database.Config { return createDatabase(t, dsn) })
	})
}

// MariaDBConfig returns the configuration of an empty database on MariaDB: the server of
// MariaDBEnv, else a private one of this test process.
func MariaDBConfig(t testing.TB) database.Config {
	t.Helper()
	if dsn := os.Getenv(MariaDBEnv); dsn != "" {
		return createDatabase(t, dsn)
	}
	return createDatabase(t, mariaDBServer(t))
}

// databaseCount numbers the databases of this process.
var databaseCount atomic.Int64

// createDatabase creates an empty database on the server, dropped when the test ends.
func createDatabase(t testing.TB, serverDSN string) database.Config {
	t.Helper()
	dsn, err := mysql.ParseDSN(serverDSN)
	if err != nil {
		t.Fatalf("the DSN of the test server is malformed")
	}
	name := fmt.Sprintf("mscoin_test_%d_%d", os.Getpid(), databaseCount.Add(1))
	dsn.DBName = ""
	onServer(t, dsn, "CREATE DATABASE "+name+" CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
	drop := dsn.Clone()
	t.Cleanup(func() { onServer(t, drop, "DROP DATABASE "+name) })
	dsn.DBName = name
	return database.Config{Dialect: database.MySQL, DSN: dsn.FormatDSN()}
}

// onServer runs one statement outside any database.
func onServer(t testing.TB, dsn *mysql.Config, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), setupTimeout)
	defer cancel()
	connector, err := mysql.NewConnector(dsn)
	if err != nil {
		t.Fatalf("test server: %v", err)
	}
	pool := sql.OpenDB(connector)
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(ctx, statement); err != nil {
		t.Fatalf("test server: %s: %v", strings.Fields(statement)[0], err)
	}
}

// EnforcesChecks reports whether the database enforces CHECK constraints: all do but
// MySQL before 8.0.16, which reads and forgets them. They are a second line only.
func EnforcesChecks(t testing.TB, db *database.DB) bool {
	t.Helper()
	if db.Dialect() == database.SQLite {
		return true
	}
	var version string
	if err := db.Read(t.Context()).Raw("SELECT VERSION()").Scan(&version).Error; err != nil {
		t.Fatalf("ask for the version: %v", err)
	}
	var major, minor, patch int
	if _, err := fmt.Sscanf(version, "%d.%d.%d", &major, &minor, &patch); err != nil {
		t.Fatalf("version %q: %v", version, err)
	}
	return major > 8 || minor > 0 || patch >= 16
}
