package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/logx/logtest"
	"modernc.org/sqlite"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

var errFault = errors.New("injected fault")

// faulty is a SQLite driver whose COMMIT fails after or instead of its work.
type faulty struct {
	driver.Connector
	opened, closed int
	failCommit     bool
}

type faultyConn struct {
	driver.Conn
	f *faulty
}

func (f *faulty) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := f.Connector.Connect(ctx)
	f.opened++
	return &faultyConn{conn, f}, err
}

func (c *faultyConn) Close() error {
	c.f.closed++
	return c.Conn.Close()
}

func (c *faultyConn) ExecContext(ctx context.Context, q string, args []driver.NamedValue) (driver.Result, error) {
	return c.Conn.(driver.ExecerContext).ExecContext(ctx, q, args)
}

func (c *faultyConn) BeginTx(ctx context.Context, opts driver.TxOptions) (driver.Tx, error) {
	tx, err := c.Conn.(driver.ConnBeginTx).BeginTx(ctx, opts)
	return &faultyTx{tx, c.f}, err
}

type faultyTx struct {
	driver.Tx
	f *faulty
}

func (t *faultyTx) Commit() error {
	if t.f.failCommit {
		return errFault // the transaction is still open on the connection
	}
	return t.Tx.Commit()
}

func TestGuard_Commit(t *testing.T) {
	inner, err := sqlite.NewConnector("file:" + t.TempDir() + "/x.db?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	f := &faulty{Connector: inner}
	pool := sql.OpenDB(&guardConnector{Connector: f})
	pool.SetMaxOpenConns(1)
	defer func() { _ = pool.Close() }()
	if _, err := pool.ExecContext(t.Context(), "CREATE TABLE x (v BIGINT)"); err != nil {
		t.Fatal(err)
	}
	insert := func() error {
		state := &txState{}
		tx, err := pool.BeginTx(context.WithValue(t.Context(), stateKey{}, state), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.ExecContext(t.Context(), "INSERT INTO x VALUES (1)"); err != nil {
			t.Fatal(err)
		}
		return commit(t.Context(), tx, state)
	}
	f.failCommit = true
	if err := insert(); errs.KindOf(err) != errs.KindUnknownOutcome || !errors.Is(err, errFault) {
		t.Fatalf("a failed commit is an unknown outcome, got %v", err)
	}
	f.failCommit = false
	if err := insert(); err != nil {
		t.Fatalf("the next transaction must get a fresh connection: %v", err)
	}
	if f.closed != 1 || f.opened != 2 {
		t.Errorf("%d connections opened, %d closed: the one with the open transaction must go", f.opened, f.closed)
	}
	var rows int
	if err := pool.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM x").Scan(&rows); err != nil || rows != 1 {
		t.Fatalf("%d rows, %v", rows, err)
	}
}

func TestTx_Ended(t *testing.T) {
	db, err := Open(t.Context(), Config{DSN: t.TempDir() + "/x.db"}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	t.Run("a commit that finds the transaction rolled back because its context ended says so", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		err := db.Tx(ctx, func(*Tx) error {
			cancel()
			for deadline := time.Now().Add(20 * time.Second); db.pools[0].Stats().InUse > 0; runtime.Gosched() {
				if time.Now().After(deadline) {
					return errors.New("the transaction is still open")
				}
			}
			return nil
		})
		if !errors.Is(err, context.Canceled) || errs.KindOf(err) == errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
	})
}

func TestBackoff(t *testing.T) {
	for attempt := 1; attempt < maxAttempts; attempt++ {
		full := min(firstBackoff<<(attempt-1), maxBackoff)
		for range 100 {
			if d := backoff(attempt); d < full/2 || d > full {
				t.Fatalf("attempt %d waits %v, want %v to %v", attempt, d, full/2, full)
			}
		}
	}
}

func TestSplitStatements(t *testing.T) {
	got := splitStatements("-- head; of file\nCREATE TABLE a (\n  x INT -- why; so\n);\n\n  -- more\nINSERT INTO a VALUES (';');\nDROP TABLE a")
	want := []string{"CREATE TABLE a (\n  x INT -- why; so\n)", "INSERT INTO a VALUES (';')", "DROP TABLE a"}
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("statement %d: got %q, want %q", i, got[i], want[i])
		}
	}
}

func TestQueryLog(t *testing.T) {
	logs := logtest.NewCollector(t)
	logx.SetLevel(logx.InfoLevel)
	clk := clock.NewFake(time.UnixMilli(0))
	db, err := Open(t.Context(), Config{DSN: t.TempDir() + "/x.db"}, clk)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	l := &queryLog{clk: clk}
	t.Run("a slow statement is logged without its values", func(t *testing.T) {
		clk.Advance(time.Second)
		sql, params := l.ParamsFilter(t.Context(), "SELECT ? + 1", "top secret")
		l.Trace(t.Context(), time.UnixMilli(0), func() (string, int64) { return db.read.Explain(sql, params...), 1 }, nil)
		if got := logs.String(); !strings.Contains(got, "slow statement") || !strings.Contains(got, "SELECT ? + 1") || strings.Contains(got, "secret") {
			t.Fatalf("log: %s", got)
		}
	})
	t.Run("a failing statement shows its values to nobody", func(t *testing.T) {
		logs.Reset()
		err := db.Read(t.Context()).Exec("INSERT INTO nowhere VALUES (?)", "top secret").Error
		if err == nil || logs.String() != "" {
			t.Fatalf("err %v, log: %s", err, logs.String())
		}
	})
}
