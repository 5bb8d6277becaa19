package store_test

import (
	"context"
	"testing"
	"time"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

func TestStore_CloseDay(t *testing.T) {
	t.Run("a day is not closed before those who may write into it have ended", func(t *testing.T) {
		testkit.Databases(t, func(t *testing.T, db *database.DB) {
			f := newFixture(t, db)
			err := db.Tx(t.Context(), func(tx *database.Tx) error {
				if err := f.LockClosed(t.Context(), tx); err != nil {
					return err
				}
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				if err := f.CloseDay(ctx, 1); err == nil {
					t.Error("closed while a transaction writes")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := f.CloseDay(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		})
	})
}
