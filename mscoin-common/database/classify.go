package database

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"

	"github.com/go-sql-driver/mysql"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Error numbers of MySQL and MariaDB.
const (
	mysqlDuplicateEntry      = 1062
	mysqlDuplicateWithKey    = 1586
	mysqlLockWaitTimeout     = 1205
	mysqlDeadlock            = 1213
	mysqlLockNowait          = 3572
	mysqlCheckViolated       = 3819
	mariadbCheckViolated     = 4025
	mysqlTableExists         = 1050
	mysqlDuplicateColumn     = 1060
	mysqlDuplicateKeyName    = 1061
	mysqlCannotDrop          = 1091
	mysqlNoSuchTable         = 1051
	mysqlDuplicateConstraint = 3822
)

// IsDuplicateKey reports whether err is a violated primary key or unique index, in
// any dialect.
func IsDuplicateKey(err error) bool {
	if n := sqliteCode(err); n != 0 {
		return n == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY || n == sqlite3.SQLITE_CONSTRAINT_UNIQUE ||
			n == sqlite3.SQLITE_CONSTRAINT_ROWID
	}
	return hasMySQLNumber(err, mysqlDuplicateEntry, mysqlDuplicateWithKey)
}

// IsCheckViolation reports whether err is a violated CHECK constraint, in any
// dialect. MySQL before 8.0.16 does not enforce them.
func IsCheckViolation(err error) bool {
	if n := sqliteCode(err); n != 0 {
		return n == sqlite3.SQLITE_CONSTRAINT_CHECK
	}
	return hasMySQLNumber(err, mysqlCheckViolated, mariadbCheckViolated)
}

// IsRetryable reports whether err is a deadlock, a lock that was not granted in time
// or a busy database: the transaction did nothing and may be run again whole, which
// Tx does by itself.
func IsRetryable(err error) bool {
	if n := sqliteCode(err); n != 0 {
		primary := n & 0xff
		return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
	}
	return hasMySQLNumber(err, mysqlDeadlock, mysqlLockWaitTimeout, mysqlLockNowait)
}

// Error numbers of MySQL and MariaDB that say that a value is wrong.
var mysqlBadValue = []uint16{
	1048, // NULL where there must be a value
	1264, // out of range
	1292, // incorrect value
	1366, // incorrect value for the column
	1406, // too long
	1451, // referenced
	1452, // reference missing
	1690, // arithmetic out of range
}

// IsFault reports whether err is an error of the database that has nothing to do with
// the values of the statement: a full disk, a missing table, a server that shuts down.
// A violated constraint or a value that does not fit is none.
func IsFault(err error) bool {
	if n := sqliteCode(err); n != 0 {
		switch n & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_RANGE:
			return false
		}
		return true
	}
	if _, ok := errors.AsType[*mysql.MySQLError](err); ok {
		return !IsDuplicateKey(err) && !IsCheckViolation(err) && !hasMySQLNumber(err, mysqlBadValue...)
	}
	return isConnectionLost(err)
}

// isConnectionLost reports whether err says that the server cannot be reached or
// that the connection broke.
func isConnectionLost(err error) bool {
	if errors.Is(err, driver.ErrBadConn) || errors.Is(err, mysql.ErrInvalidConn) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return true
	}
	var netErr net.Error
	return errors.As(err, &netErr)
}

// sqliteCode returns the extended SQLite result code of err, or 0.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()
	}
	return 0
}

// hasMySQLNumber reports whether err is a server error with one of the numbers.
func hasMySQLNumber(err error, numbers ...uint16) bool {
	e, ok := errors.AsType[*mysql.MySQLError](err)
	return ok && slices.Contains(numbers, e.Number)
}
