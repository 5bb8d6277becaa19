package database_test

import (
	"context"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
)

func TestTx_StoppedProcess(t *testing.T) {
	testkit.ServerConfigs(t, func(t *testing.T, cfg database.Config) {
		t.Run("who is stopped within a transaction does not keep the others waiting for long", func(t *testing.T) {
			db := testkit.OpenDatabase(t, cfg)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			for _, statement := range []string{"CREATE TABLE locked (id BIGINT NOT NULL PRIMARY KEY, v BIGINT NOT NULL)", "INSERT INTO locked VALUES (1, 0)"} {
				if _, err := db.Exec(ctx, statement); err != nil {
					t.Fatal(err)
				}
			}
			locked, wakeUp := make(chan struct{}), make(chan struct{})
			zombie := make(chan error, 1)
			go func() {
				zombie <- db.Tx(ctx, func(tx *database.Tx) error {
					if err := tx.DB().Exec("UPDATE locked SET v = 1").Error; err != nil {
						return err
					}
					close(locked)
					<-wakeUp
					return tx.DB().Exec("UPDATE locked SET v = v + 100").Error
				})
			}()
			<-locked
			began := clock.Real().Now()
			if err := db.Tx(ctx, func(tx *database.Tx) error { return tx.DB().Exec("UPDATE locked SET v = v + 10").Error }); err != nil {
				t.Errorf("the other one: %v", err)
			}
			t.Logf("waited %v", clock.Real().Now().Sub(began))
			close(wakeUp)
			if err := <-zombie; err == nil {
				t.Error("the one that was stopped committed")
			}
			var v int64
			if err := db.Read(ctx).Raw("SELECT v FROM locked").Scan(&v).Error; err != nil || v != 10 {
				t.Errorf("v is %d, %v", v, err)
			}
		})
	})
}
