package database_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

// proxy stands between the driver and the server and breaks the connection when the
// client sends a certain text.
type proxy struct {
	addr string

	mu      sync.Mutex
	trigger string // breaks the connection once; "" is off
	forward bool   // whether the server still gets what triggers
}

func (p *proxy) arm(trigger string, forward bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.trigger, p.forward = trigger, forward
}

// hit reports whether the bytes trigger, once.
func (p *proxy) hit(b []byte) (hit, forward bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trigger == "" || !bytes.Contains(b, []byte(p.trigger)) {
		return false, false
	}
	p.trigger = ""
	return true, p.forward
}

func startProxy(t *testing.T, server string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test server
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{addr: l.Addr().String()}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(client, server) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve(client net.Conn, addr string) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("tcp", addr) //nolint:noctx // a test server
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, server)
		_ = client.Close()
	})
	defer answers.Wait()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			_ = server.Close()
			return
		}
		hit, forward := p.hit(buf[:n])
		if hit {
			_ = client.Close() // the answer is lost
		}
		if !hit || forward {
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
		if hit {
			if !forward {
				_ = server.Close()
				return
			}
			// Let the server answer before its connection goes.
			if tcp, ok := server.(*net.TCPConn); ok {
				_ = tcp.CloseWrite()
			}
			return
		}
	}
}

// throughProxy opens the database of cfg through a proxy.
func throughProxy(t *testing.T, cfg database.Config) (*database.DB, *proxy) {
	t.Helper()
	dsn, err := mysql.ParseDSN(cfg.DSN)
	if err != nil {
		t.Fatal(err)
	}
	p := startProxy(t, dsn.Addr)
	dsn.Addr = p.addr
	cfg.DSN = dsn.FormatDSN()
	return testkit.OpenDatabase(t, cfg), p
}

func TestDB_Tx_LostConnection(t *testing.T) { forServers(t, testLostConnection) }

func testLostConnection(t *testing.T, direct *database.DB, cfg database.Config) {
	db, p := throughProxy(t, cfg)
	position(t, db)
	apply := func() error {
		from := int64(0)
		return db.Tx(t.Context(), func(tx *database.Tx) error {
			if err := fenced(tx, from, from+5); err != nil {
				return err
			}
			return set(tx, "a", 105)
		})
	}
	t.Run("a connection lost before the commit did nothing and is unavailable", func(t *testing.T) {
		faults, broken := testkit.Counted(t, "mscoin_database_errors_total", "kind", "unavailable"), testkit.Counted(t, "mscoin_database_errors_total", "kind", "connection")
		p.arm("UPDATE `account`", true)
		if err := apply(); errs.KindOf(err) != errs.KindUnavailable {
			t.Fatalf("got %v", err)
		}
		if faults() != 1 || broken() != 1 {
			t.Errorf("%v transactions and %v connections are counted", faults(), broken())
		}
		if amount(t, direct, "a") != 100 || position(t, direct).NextOffset != 0 {
			t.Fatal("something was committed")
		}
	})
	t.Run("a commit that never arrived has an unknown outcome", func(t *testing.T) {
		unknown := testkit.Counted(t, "mscoin_database_errors_total", "kind", "unknown outcome")
		p.arm("\x03COMMIT", false)
		if err := apply(); errs.KindOf(err) != errs.KindUnknownOutcome || errs.CodeOf(err) != errs.CodeUnknownOutcome {
			t.Fatalf("got %v", err)
		}
		if got := amount(t, direct, "a"); got != 100 || unknown() != 1 {
			t.Fatalf("a has %d, %v unknown outcomes are counted", got, unknown())
		}
	})
	t.Run("a commit without an answer has an unknown outcome, and the fence makes the repetition safe", func(t *testing.T) {
		p.arm("\x03COMMIT", true)
		if err := apply(); errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Fatalf("got %v", err)
		}
		testkit.Eventually(t, 5*time.Second, func() bool { return amount(t, direct, "a") == 105 }, "the commit did arrive")
		if err := apply(); !errors.Is(err, database.ErrFenced) {
			t.Fatalf("the repetition got %v", err)
		}
		if got := position(t, direct).NextOffset; got != 5 {
			t.Fatalf("position %d", got)
		}
	})
	t.Run("the pool recovers", func(t *testing.T) {
		mustTx(t, db, func(tx *database.Tx) error { return set(tx, "b", 1) })
	})
}

func TestOpen(t *testing.T) {
	t.Run("a new SQLite file is private, durable and in WAL mode", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a folder", "a%20file?x#y.db")
		db := testkit.OpenDatabase(t, database.Config{DSN: path})
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%v, %v", info, err)
		}
		mustTx(t, db, func(tx *database.Tx) error {
			var sync, busy int
			err := errors.Join(tx.DB().Raw("PRAGMA synchronous").Scan(&sync).Error, tx.DB().Raw("PRAGMA busy_timeout").Scan(&busy).Error)
			if sync != 2 || busy != 5000 {
				t.Errorf("synchronous %d, busy_timeout %d", sync, busy)
			}
			return err
		})
	})
	t.Run("a MySQL database that compares text without case is refused", func(t *testing.T) {
		testkit.ServerConfigs(t, func(t *testing.T, cfg database.Config) {
			db := testkit.OpenDatabase(t, cfg)
			mustTx(t, db, func(tx *database.Tx) error {
				return tx.DB().Exec("ALTER DATABASE COLLATE utf8mb4_general_ci").Error
			})
			if err := open(t, cfg); err == nil || !strings.Contains(err.Error(), "utf8mb4_bin") {
				t.Fatalf("got %v", err)
			}
		})
	})
	t.Run("sessions are READ COMMITTED and strict", func(t *testing.T) {
		testkit.ServerConfigs(t, func(t *testing.T, cfg database.Config) {
			db := testkit.OpenDatabase(t, cfg)
			var isolation struct{ VariableName, Value string } // its name differs
			var mode string
			err := errors.Join(
				db.Read(t.Context()).Raw("SHOW VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')").Scan(&isolation).Error,
				db.Read(t.Context()).Raw("SELECT @@sql_mode").Scan(&mode).Error)
			if err != nil || isolation.Value != "READ-COMMITTED" || !strings.Contains(mode, "STRICT_ALL_TABLES") {
				t.Fatalf("isolation %q, sql_mode %q, %v", isolation, mode, err)
			}
		})
	})
	t.Run("a configuration that cannot work is refused without showing the password", func(t *testing.T) {
		for _, cfg := range []database.Config{
			{},
			{Dialect: "oracle", DSN: "x"},
			{Dialect: database.MySQL, DSN: "user:secret@tcp(127.0.0.1:1"},
			{Dialect: database.MySQL, DSN: "user:secret@tcp(127.0.0.1:1)/none"},
			{DSN: "/dev/null/no.db"},
		} {
			if err := open(t, cfg); err == nil || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: got %v", cfg.Dialect, err)
			}
		}
	})
}
