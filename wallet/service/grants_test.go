package service_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	walletsvc "mscoin/wallet/service"
)

func exec(t *testing.T, db *database.DB, statement string) error {
	t.Helper()
	return db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec(statement).Error })
}

func must(t *testing.T, db *database.DB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if err := exec(t, db, s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

const journalLine = "INSERT INTO wallet_journal VALUES (1, 0, 'WORLD', 0, 'BTC', -3, 0, 0, '', 0, 0, 'deposit', '', 0)"

// changes are what nobody may do to the journal.
var changes = []string{
	"UPDATE wallet_journal SET amount = 1", "DELETE FROM wallet_journal", "UPDATE wallet_deposit SET amount = 1", "DELETE FROM wallet_deposit",
	"UPDATE withdraw_review SET decision = 'APPROVE'", "DELETE FROM withdraw_review",
}

func TestJournal_InsertOnly(t *testing.T) {
	t.Run("triggers forbid changes on SQLite", func(t *testing.T) {
		db := testkit.SQLite(t)
		if err := walletsvc.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		must(t, db, journalLine, "INSERT INTO wallet_deposit VALUES ('r', 1, 'BTC', 3, 1, 0)", "INSERT INTO withdraw_review VALUES (1, 'o', 'REJECT', '', 0)")
		for _, s := range changes {
			if err := exec(t, db, s); err == nil || !strings.Contains(err.Error(), "insert-only") {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
	t.Run("grants forbid changes to the service's user, who can do everything else", func(t *testing.T) {
		cfg := testkit.MariaDBConfig(t)
		admin := testkit.OpenDatabase(t, cfg)
		dsn, err := mysql.ParseDSN(cfg.DSN)
		if err != nil {
			t.Fatal(err)
		}
		const account = "'wallet_test'@'127.0.0.1'"
		must(t, admin, "CREATE OR REPLACE USER "+account+" IDENTIFIED BY 'secret'")
		t.Cleanup(func() { _ = exec(t, admin, "DROP USER "+account) })
		for range 2 { // as at each start
			must(t, admin, walletsvc.Grants(account, dsn.DBName)...)
		}
		dsn.User, dsn.Passwd = "wallet_test", "secret"
		db := testkit.OpenDatabase(t, database.Config{Dialect: database.MySQL, DSN: dsn.FormatDSN()})
		if err := walletsvc.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		must(t, db, journalLine, "INSERT INTO wallet_deposit VALUES ('r', 1, 'BTC', 3, 1, 0)",
			"INSERT INTO coin VALUES ('BTC', '', 8, 0)", "UPDATE coin SET time = 1", "DELETE FROM coin")
		for _, s := range append(slices.Clone(changes), "DROP TABLE wallet_journal", "TRUNCATE TABLE wallet_journal") {
			if err := exec(t, db, s); err == nil || !strings.Contains(err.Error(), "denied") {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
	t.Run("grants name every table", func(t *testing.T) {
		db := testkit.SQLite(t)
		if err := walletsvc.Migrate(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		var names []string
		if err := db.Read(t.Context()).Raw("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name").Scan(&names).Error; err != nil {
			t.Fatal(err)
		}
		text := strings.Join(walletsvc.Grants("'u'@'h'", "d"), "\n")
		for _, name := range names {
			insertOnly := slices.Contains([]string{"wallet_journal", "wallet_deposit", "wallet_seal", "wallet_seal_segment", "withdraw_review"}, name)
			if granted := strings.Contains(text, "`d`.`"+name+"`"); granted == insertOnly {
				t.Errorf("%s: granted changes: %v", name, granted)
			}
		}
	})
}
