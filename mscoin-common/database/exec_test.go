package database_test

import (
	"context"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

func TestDB_Exec(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		must := func(want int64, statement string, args ...any) {
			t.Helper()
			if rows, err := db.Exec(t.Context(), statement, args...); err != nil || rows != want {
				t.Errorf("%s: %d rows, %v", statement, rows, err)
			}
		}
		must(0, "CREATE TABLE lonely (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)")
		t.Run("a statement stands for itself and tells how many rows it met", func(*testing.T) {
			must(2, "INSERT INTO lonely (id, v) VALUES (?, ?), (?, ?)", 1, 10, 2, 10)
			must(2, "UPDATE lonely SET v = ?", 10) // met, not changed
			must(0, "DELETE FROM lonely WHERE id = ?", 3)
		})
		t.Run("a refusal is the database's, and the connection stays good", func(t *testing.T) {
			if _, err := db.Exec(t.Context(), "INSERT INTO lonely (id, v) VALUES (1, 1)"); !database.IsDuplicateKey(err) {
				t.Errorf("got %v", err)
			}
			must(1, "DELETE FROM lonely WHERE id = 1")
		})
		t.Run("without a connection nothing was done", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := db.Exec(ctx, "DELETE FROM lonely"); errs.KindOf(err) != errs.KindUnavailable {
				t.Errorf("got %v", err)
			}
			must(1, "DELETE FROM lonely")
		})
	})
}
