package database_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

const addColumn = `-- a comment with a semicolon; and more
ALTER TABLE account ADD COLUMN note VARCHAR(16) NOT NULL DEFAULT 'a;b';

CREATE INDEX account_note ON account (note);
INSERT INTO account (id, amount) VALUES ('m', 1);
UPDATE account SET amount = amount + 1 WHERE id = 'm';
`

func TestDB_Migrate(t *testing.T) {
	first := files("sql/0001_account.sql", createAccount)
	both := files("sql/0001_account.sql", createAccount, "sql/0002_note.sql", addColumn)
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		for range 2 {
			if err := db.Migrate(t.Context(), "test", first); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := db.Migrate(t.Context(), "test", both); err != nil {
				t.Fatal(err)
			}
		}
		if got := amount(t, db, "m"); got != 2 {
			t.Fatalf("m has %d: statements run once each", got)
		}
		t.Run("line ends do not change a checksum", func(t *testing.T) {
			dos := files("sql/0001_account.sql", strings.ReplaceAll(createAccount, "\n", "\r\n"), "sql/0002_note.sql", addColumn)
			if err := db.Migrate(t.Context(), "test", dos); err != nil {
				t.Fatal(err)
			}
		})
		t.Run("another set has numbers of its own", func(t *testing.T) {
			if err := db.Migrate(t.Context(), "other", files("0001_x.sql", "CREATE TABLE other (id BIGINT NOT NULL, PRIMARY KEY (id));")); err != nil {
				t.Fatal(err)
			}
		})
		refused := map[string]struct {
			set   map[string]string
			wants string
		}{
			"a file that was changed":       {map[string]string{"0001_account.sql": createAccount + " ", "0002_note.sql": addColumn}, "changed after it was applied"},
			"an older program":              {map[string]string{"0001_account.sql": createAccount}, "older than the database"},
			"a number below an applied one": {map[string]string{"0000_x.sql": "SELECT 1;", "0001_account.sql": createAccount, "0002_note.sql": addColumn}, "higher number"},
			"two files of one number":       {map[string]string{"0001_account.sql": createAccount, "0001_x.sql": "SELECT 1;"}, "two files"},
			"a name without a number":       {map[string]string{"account.sql": createAccount}, "NNNN_name.sql"},
			"a file without a statement":    {map[string]string{"0001_x.sql": "-- nothing\n"}, "no statement"},
			"no file at all":                {nil, "no migration files"},
		}
		for name, c := range refused {
			t.Run(name+" is refused", func(t *testing.T) {
				var flat []string
				for file, text := range c.set {
					flat = append(flat, file, text)
				}
				if err := db.Migrate(t.Context(), "test", files(flat...)); err == nil || !strings.Contains(err.Error(), c.wants) {
					t.Fatalf("got %v, want %q", err, c.wants)
				}
			})
		}
	})
}

func TestDB_Migrate_Concurrent(t *testing.T) {
	testkit.DatabaseConfigs(t, func(t *testing.T, cfg database.Config) {
		set := files("0001_account.sql", createAccount, "0002_note.sql", addColumn)
		starters := make([]*database.DB, 4)
		for i := range starters {
			starters[i] = testkit.OpenDatabase(t, cfg)
		}
		var wg sync.WaitGroup
		for _, db := range starters {
			wg.Go(func() {
				if err := db.Migrate(t.Context(), "test", set); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if got := amount(t, starters[0], "m"); got != 2 {
			t.Fatalf("m has %d", got)
		}
	})
}

func TestDB_Migrate_Failure(t *testing.T) {
	broken := files("0001_account.sql", createAccount+"CREATE TABLE broken (;\n")
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		err := db.Migrate(t.Context(), "test", broken)
		if err == nil || !strings.Contains(err.Error(), "0001_account, statement 2") {
			t.Fatalf("got %v", err)
		}
		// SQLite undoes the file. MySQL keeps its first statement and says so.
		if db.Dialect() == database.SQLite {
			if err := db.Migrate(t.Context(), "test", files("0001_account.sql", createAccount)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestDB_Migrate_Resume leaves the database as a crash between a DDL statement and
// the note about it would.
func TestDB_Migrate_Resume(t *testing.T) {
	testkit.ServerConfigs(t, func(t *testing.T, cfg database.Config) { testMigrateResume(t, testkit.OpenDatabase(t, cfg)) })
}

func testMigrateResume(t *testing.T, db *database.DB) {
	set := files("0001_account.sql", createAccount+"CREATE INDEX account_amount_index ON account (amount);\nINSERT INTO account (id, amount) VALUES ('m', 1);\n")
	for done := range 3 {
		forget := func(tx *database.Tx) error {
			for _, s := range []string{"DROP TABLE IF EXISTS account", "DROP TABLE IF EXISTS schema_migration"} {
				if err := tx.DB().Exec(s).Error; err != nil {
					return err
				}
			}
			return nil
		}
		mustTx(t, db, forget)
		if err := db.Migrate(t.Context(), "test", set); err != nil {
			t.Fatal(err)
		}
		mustTx(t, db, func(tx *database.Tx) error {
			return errors.Join(
				tx.DB().Exec("UPDATE schema_migration SET done = ?", done).Error,
				tx.DB().Exec("DELETE FROM account").Error) // not committed when the crash came
		})
		if done == 0 { // statement 2 has not run either
			mustTx(t, db, func(tx *database.Tx) error {
				return tx.DB().Exec("ALTER TABLE account DROP INDEX account_amount_index").Error
			})
		}
		if err := db.Migrate(t.Context(), "test", set); err != nil {
			t.Fatalf("after %d statements: %v", done, err)
		}
		if got := amount(t, db, "m"); got != 1 {
			t.Fatalf("after %d statements m has %d", done, got)
		}
	}
}
