package database

import (
	"context"
	"fmt"
	"testing"

	"mscoin/mscoin-common/clock"
)

func TestTx_Prepare(t *testing.T) {
	db, err := Open(t.Context(), Config{DSN: t.TempDir() + "/x.db"}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	tx := func(fn func(ctx context.Context, tx *Tx) error) {
		t.Helper()
		if err := db.Tx(t.Context(), func(tx *Tx) error { return fn(t.Context(), tx) }); err != nil {
			t.Fatal(err)
		}
	}
	tx(func(_ context.Context, tx *Tx) error { return tx.DB().Exec("CREATE TABLE x (v BIGINT)").Error })
	insert := func(ctx context.Context, tx *Tx, text string) error {
		stmt, err := tx.Prepare(ctx, text) //nolint:sqlclosecheck // on purpose: the transaction's end closes it
		if err != nil {
			return err
		}
		_, err = stmt.ExecContext(ctx)
		return err
	}
	kept := func() (n, busy int) {
		conn, err := db.pools[0].Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		err = conn.Raw(func(c any) error {
			for _, s := range c.(*guardConn).stmts {
				n++
				if s.busy {
					busy++
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n, busy
	}
	t.Run("a statement is kept for the next transaction, and free when the first has ended", func(t *testing.T) {
		for range 3 {
			tx(func(ctx context.Context, tx *Tx) error { return insert(ctx, tx, "INSERT INTO x VALUES (1)") })
			if n, busy := kept(); n != 1 || busy != 0 {
				t.Fatalf("%d kept, %d of them busy", n, busy)
			}
		}
	})
	t.Run("one that is in use is not handed out twice", func(t *testing.T) {
		tx(func(ctx context.Context, tx *Tx) error {
			for range 2 {
				if err := insert(ctx, tx, "INSERT INTO x VALUES (1)"); err != nil {
					return err
				}
			}
			return nil
		})
		if n, busy := kept(); n != 1 || busy != 0 {
			t.Fatalf("%d kept, %d of them busy", n, busy)
		}
	})
	t.Run("a connection keeps a bounded number, and others work as well", func(t *testing.T) {
		for i := range 2 * maxKept {
			tx(func(ctx context.Context, tx *Tx) error {
				return insert(ctx, tx, fmt.Sprintf("INSERT INTO x VALUES (%d)", i))
			})
		}
		if n, busy := kept(); n != maxKept || busy != 0 {
			t.Fatalf("%d kept, %d of them busy", n, busy)
		}
		var rows int64
		if err := db.Read(t.Context()).Table("x").Count(&rows).Error; err != nil || rows != 5+2*maxKept {
			t.Fatal(rows, err)
		}
	})
	t.Run("a statement of a transaction that was ended works in the next", func(t *testing.T) {
		stmt := "INSERT INTO x VALUES (0)"
		for range 2 {
			err := db.Tx(t.Context(), func(tx *Tx) error {
				if err := insert(t.Context(), tx, stmt); err != nil {
					return err
				}
				return tx.Fail(errFault)
			})
			if err == nil {
				t.Fatal("committed")
			}
		}
		tx(func(ctx context.Context, tx *Tx) error { return insert(ctx, tx, stmt) })
	})
}
