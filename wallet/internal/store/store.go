// Package store keeps the wallet in a database: SQLite, MySQL or MariaDB.
//
// Every write is one transaction that locks its rows in one order, holds by order id
// before wallets by (member, coin), computes absolute values from the locked rows in
// wallet/ledger, and writes one multi-row statement for each table. The hot paths
// build their statements themselves, because reflection over hundreds of rows would
// cost more than the database does.
package store

import (
	"context"
	"embed"
	"sync"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/invariant"
	"mscoin/wallet/ledger"
)

//go:embed migration/*.sql
var migrations embed.FS

//go:embed migration_sqlite/*.sql
var sqliteMigrations embed.FS

// Migrate creates the wallet's tables, those of its positions and of its ids. On SQLite,
// which knows no users, triggers keep the journal insert-only; see InsertOnly.
func Migrate(ctx context.Context, db *database.DB) error {
	if err := db.MigratePositions(ctx); err != nil {
		return err
	}
	if err := idgen.Migrate(ctx, db); err != nil {
		return err
	}
	if err := db.Migrate(ctx, "wallet", migrations); err != nil || db.Dialect() != database.SQLite {
		return err
	}
	return db.Migrate(ctx, "wallet_sqlite", sqliteMigrations)
}

// InsertOnly are the tables whose rows are never changed nor removed.
func InsertOnly() []string {
	return []string{"wallet_deposit", "wallet_journal", "wallet_seal", "wallet_seal_segment", "withdraw_review"}
}

const (
	// txIDs is the name of the transaction ids.
	txIDs = "wallet_tx"
	// idBlock is how many transaction ids are leased at once.
	idBlock = 10_000
	// transferBlock is how many ids of withdrawals or deposits are leased at once.
	transferBlock = 100
	// rowsPerQuery bounds the keys of one SELECT: SQLite takes 32,766 parameters.
	rowsPerQuery = 500
	// maxRowsMySQL and maxRowsSQLite bound the rows of one prepared statement, powers
	// of two: a round trip costs one of them, and more rows gain nothing.
	maxRowsMySQL  = 512
	maxRowsSQLite = 64
	// duplicateAttempts bounds how often a transaction is repeated because another
	// inserted the same key between our look and our insert.
	duplicateAttempts = 5
)

// Store is the wallet's database. It is safe for concurrent use.
type Store struct {
	db    *database.DB
	clk   clock.Clock
	fault func(step string) error // tests only: fails before a statement

	idsMu      sync.Mutex
	ids        *idgen.Gen
	idsSinceMs int64

	// withdrawals and deposits number what people see.
	withdrawals, deposits *idgen.Gen
}

// New returns the store over a migrated database.
func New(db *database.DB, clk clock.Clock) *Store {
	return &Store{
		db: db, clk: clk,
		withdrawals: idgen.New(db, clk, "withdraw_record", transferBlock), deposits: idgen.New(db, clk, "deposit_record", transferBlock),
	}
}

// nextTxIDs leases n transaction ids. It must be called outside a transaction: with
// SQLite a lease inside one would wait for itself.
func (s *Store) nextTxIDs(ctx context.Context, n int) ([]int64, error) {
	ids, gen := make([]int64, n), s.generator()
	for i := range ids {
		id, err := gen.Next(ctx)
		if err != nil {
			return nil, err
		}
		invariant.Must(id < ledger.FirstSettlementTx, "transaction id %d is in the range of settlements", id)
		ids[i] = id
	}
	return ids, nil
}

// retryDuplicate runs a transaction again when another inserted the same key first;
// then it finds that row.
func (s *Store) retryDuplicate(ctx context.Context, fn func(tx *database.Tx) error) error {
	var err error
	for range duplicateAttempts {
		if err = s.db.Tx(ctx, fn); !database.IsDuplicateKey(err) {
			return err
		}
	}
	return err
}
