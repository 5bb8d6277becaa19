package database_test

import (
	"context"
	"errors"
	"testing"
	"testing/fstest"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

// account is the table of these tests.
type account struct {
	ID     string `gorm:"primaryKey"`
	Amount int64
}

func (account) TableName() string { return "account" }

const createAccount = `CREATE TABLE account (
	id VARCHAR(16) NOT NULL,
	amount BIGINT NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT account_amount CHECK (amount >= 0)
);
`

// files makes a set of migrations out of names and texts.
func files(namesAndTexts ...string) fstest.MapFS {
	set := fstest.MapFS{}
	for i := 0; i < len(namesAndTexts); i += 2 {
		set[namesAndTexts[i]] = &fstest.MapFile{Data: []byte(namesAndTexts[i+1])}
	}
	return set
}

// withAccounts creates the tables and the accounts a and b with 100 each.
func withAccounts(t *testing.T, db *database.DB) {
	t.Helper()
	if err := db.Migrate(t.Context(), "test", files("0001_account.sql", createAccount)); err != nil {
		t.Fatal(err)
	}
	if err := db.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	mustTx(t, db, func(tx *database.Tx) error {
		return tx.DB().Create(&[]account{{ID: "a", Amount: 100}, {ID: "b", Amount: 100}}).Error
	})
}

// forAll runs the test on every dialect with the accounts in place.
func forAll(t *testing.T, test func(t *testing.T, db *database.DB)) {
	t.Helper()
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		withAccounts(t, db)
		test(t, db)
	})
}

// forServers runs the test on the dialect with several writers, with the accounts in place.
func forServers(t *testing.T, test func(t *testing.T, db *database.DB, cfg database.Config)) {
	t.Helper()
	testkit.ServerConfigs(t, func(t *testing.T, cfg database.Config) {
		db := testkit.OpenDatabase(t, cfg)
		withAccounts(t, db)
		test(t, db, cfg)
	})
}

func mustTx(t *testing.T, db *database.DB, fn func(tx *database.Tx) error) {
	t.Helper()
	if err := db.Tx(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

// amount reads an account; −1 is a missing one.
func amount(t *testing.T, db *database.DB, id string) int64 {
	t.Helper()
	var found []account
	if err := db.Read(t.Context()).Where("id = ?", id).Find(&found).Error; err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		return -1
	}
	return found[0].Amount
}

// set writes an absolute amount.
func set(tx *database.Tx, id string, amount int64) error {
	res := tx.DB().Model(&account{}).Where("id = ?", id).Updates(map[string]any{"amount": amount})
	if res.Error == nil && res.RowsAffected != 1 {
		return errors.New("no such account")
	}
	return res.Error
}

// lock reads an account and keeps it locked.
func lock(tx *database.Tx, id string) (int64, error) {
	var row account
	err := tx.ForUpdate().Where("id = ?", id).Take(&row).Error
	return row.Amount, err
}

// open opens a database that is expected to be refused.
func open(t *testing.T, cfg database.Config) error {
	t.Helper()
	db, err := database.Open(context.WithoutCancel(t.Context()), cfg, clock.Real())
	if err == nil {
		t.Cleanup(func() { _ = db.Close() })
	}
	return err
}
