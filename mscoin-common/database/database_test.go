package database_test

import (
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

func TestSmoke(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		if err := db.MigratePositions(t.Context()); err != nil {
			t.Fatal(err)
		}
		pos, err := db.LoadPosition(t.Context(), "c", "t", 3)
		if err != nil || pos.NextOffset != 0 {
			t.Fatal(pos, err)
		}
		for range 2 {
			err = db.Tx(t.Context(), func(tx *database.Tx) error {
				if err := tx.AdvancePosition("c", "t", 3, 0, 5, []byte("x")); err != nil {
					return err
				}
				return tx.AdvanceSymbol("c", "BTC/USDT", 0, 5, []byte("h"))
			})
			t.Log(err)
		}
		all, err := db.LoadSymbolPositions(t.Context(), "c")
		t.Log(all, err)
	})
}
