// Package database is the only way to a database: GORM over SQLite, MySQL or MariaDB,
// with what money needs around it.
//
//   - [DB.Tx] runs a closure in a transaction that is lost after any error of a
//     statement, repeats it after deadlocks with a bound, and tells a refusal from a
//     COMMIT with an unknown outcome.
//   - [DB.Read] and [DB.Snapshot] read and cannot write.
//   - [DB.Migrate] applies embedded, checksummed migrations, with concurrent starters.
//   - [Tx.AdvancePosition] and [Tx.AdvanceSymbol] are the fence of every consumer: the
//     position moves in the same transaction as the work, or neither does.
//
// One text serves all dialects: BIGINT units and milliseconds, VARCHAR, VARBINARY,
// CHECK constraints as a second line, NOT NULL on every key column, and no foreign
// keys, AUTO_INCREMENT, DATETIME or JSON. Text compares byte by byte everywhere.
// Index names are unique in the database. SQLite does not check the length of a
// VARCHAR, and MySQL ignores spaces at the end of a key: check texts before. SQLite
// turns an integer expression that overflows into a float: compute amounts in Go,
// with package money, and write the result.
//
// GORM traps that this package cannot take away: never compute money in gorm.Expr
// with a text or decimal parameter (the server computes in floating point); Updates
// with a struct skips zero values, so use a map or Select; never use Save, which
// inserts when no row matches; upsert with clause.OnConflict and AssignmentColumns.
package database
