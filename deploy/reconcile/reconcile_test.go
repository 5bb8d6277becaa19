package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	exchangesvc "mscoin/exchange/service"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/reconciletest"
	walletsvc "mscoin/wallet/service"
)

// installation is a wallet with its real tables and an order store, both with the
// same right books.
type installation struct {
	t                *testing.T
	wallet, exchange *database.DB
	walletSource     string
	exchangeSource   string
}

func install(t *testing.T, config func(t testing.TB) database.Config) *installation {
	t.Helper()
	in := installEmpty(t, config)
	in.fill()
	return in
}

func installEmpty(t *testing.T, config func(t testing.TB) database.Config) *installation {
	t.Helper()
	walletConfig, exchangeConfig := config(t), config(t)
	in := &installation{
		t: t, wallet: testkit.OpenDatabase(t, walletConfig), exchange: testkit.OpenDatabase(t, exchangeConfig),
		walletSource: walletConfig.Dialect + ":" + walletConfig.DSN, exchangeSource: exchangeConfig.Dialect + ":" + exchangeConfig.DSN,
	}
	if err := errors.Join(walletsvc.Migrate(t.Context(), in.wallet), exchangesvc.Migrate(t.Context(), in.exchange)); err != nil {
		t.Fatal(err)
	}
	return in
}

func (in *installation) do(db *database.DB, statement string, args ...any) {
	in.t.Helper()
	err := db.Tx(in.t.Context(), func(tx *database.Tx) error {
		res := tx.DB().Exec(statement, args...)
		if res.Error == nil && res.RowsAffected == 0 && !strings.HasPrefix(statement, "CREATE") {
			return fmt.Errorf("no row is concerned: %s", statement)
		}
		return res.Error
	})
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) fill() {
	in.t.Helper()
	f, err := reconciletest.Facts(12)
	if err != nil {
		in.t.Fatal(err)
	}
	if err := reconciletest.Unlock(in.t.Context(), in.wallet); err != nil {
		in.t.Fatal(err)
	}
	if err := reconciletest.Load(in.t.Context(), in.wallet, in.exchange, f); err != nil {
		in.t.Fatal(err)
	}
}

// reconcile runs the command and returns its exit status and output.
func (in *installation) reconcile(args ...string) (int, string, string) {
	in.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"-wallet", in.walletSource, "-exchange", in.exchangeSource}, args...)
	code := walletsvc.Reconcile(in.t.Context(), args, func(string) string { return "" }, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestRun_Clean(t *testing.T) {
	testkit.Dialects(t, func(t *testing.T, config func(testing.TB) database.Config) {
		t.Run("right books are clean", func(t *testing.T) {
			in := install(t, config)
			code, out, errs := in.reconcile()
			if code != 0 || !strings.Contains(out, "clean") || !strings.Contains(out, "BTC/USDT up to record") {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			t.Log("\n" + out)
			code, out, _ = in.reconcile("-json")
			var report struct {
				Clean  bool
				Totals []struct{ World int64 }
			}
			if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || !report.Clean || len(report.Totals) != 2 || report.Totals[0].World != -24_000_000 {
				t.Fatalf("exit %d %v %+v", code, err, report)
			}
			in.do(in.wallet, "UPDATE wallet_journal SET amount = amount + 1 WHERE tx_id = 5 AND line = 1")
			if code, out, _ := in.reconcile(); code != 1 || !strings.Contains(out, "transaction 5") {
				t.Fatalf("exit %d\n%s", code, out)
			}
		})
	})
}

func TestRun_Unreadable(t *testing.T) {
	tests := []struct {
		rule             string
		wallet, exchange string
	}{
		{"a missing file is no clean book", "sqlite:/nowhere/wallet.db", "sqlite:/nowhere/exchange.db"},
		{"an unknown dialect is refused", "oracle:x", "oracle:x"},
		{"a server that is away is no clean book", "mysql:u:secret@tcp(127.0.0.1:1)/w", "mysql:u:secret@tcp(127.0.0.1:1)/e"},
		{"a malformed DSN is refused without showing it", "mysql:u:secret@tcp(", "mysql:u:secret@tcp("},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := walletsvc.Reconcile(t.Context(), []string{"-wallet", tt.wallet, "-exchange", tt.exchange}, func(string) string { return "" }, &stdout, &stderr)
			if code != 2 || stderr.Len() == 0 || strings.Contains(stderr.String(), "secret") || stdout.Len() != 0 {
				t.Fatalf("exit %d, %q, %q", code, stdout.String(), stderr.String())
			}
		})
	}
	t.Run("a database without the tables is no clean book", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "empty.db")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var stdout, stderr bytes.Buffer
		if code := walletsvc.Reconcile(t.Context(), []string{"-wallet", "sqlite:" + file, "-exchange", "sqlite:" + file}, func(string) string { return "" }, &stdout, &stderr); code != 2 {
			t.Fatalf("exit %d", code)
		}
	})
}

// A writer commits deposits while the command runs: every snapshot it takes fits.
func TestRun_UnderLoad(t *testing.T) {
	testkit.Dialects(t, func(t *testing.T, config func(testing.TB) database.Config) {
		t.Run("no false alarm while money moves", func(t *testing.T) {
			in := install(t, config)
			ctx, cancel := context.WithCancel(t.Context())
			written := make(chan error, 1)
			var count atomic.Int64
			go func() {
				var err error
				for n := int64(1); ctx.Err() == nil && err == nil; n++ {
					err = in.deposit(n)
					count.Store(n)
				}
				written <- err
			}()
			// As many as it takes for both to have happened often, however busy the machine is.
			for i := 0; i < 20 || i < 1000 && count.Load() < 20; i++ {
				if code, out, errs := in.reconcile(); code != 0 {
					t.Errorf("exit %d\n%s%s", code, out, errs)
					break
				}
			}
			cancel()
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			if n := count.Load(); n < 20 {
				t.Errorf("only %d deposits meanwhile", n)
			}
		})
	})
}

// deposit books a deposit of 3 BTC units for member 7, as the wallet does.
func (in *installation) deposit(n int64) error {
	return in.wallet.Tx(context.Background(), func(tx *database.Tx) error {
		var balance, seq int64
		err := tx.DB().Raw("SELECT balance, balance_seq FROM member_wallet WHERE member_id = 7 AND coin_name = 'BTC'").Row().Scan(&balance, &seq)
		for _, statement := range []struct {
			text string
			args []any
		}{
			{"UPDATE member_wallet SET balance = ?, balance_seq = ? WHERE member_id = 7 AND coin_name = 'BTC'", []any{balance + 3, seq + 1}},
			{"INSERT INTO wallet_deposit VALUES (?, 7, 'BTC', 3, ?, 0)", []any{fmt.Sprintf("load-%d", n), 1_000_000 + n}},
			{"INSERT INTO wallet_journal VALUES (?, 0, 'WORLD', 0, 'BTC', -3, 0, 0, '', 0, 0, 'deposit', '', 0)", []any{1_000_000 + n}},
			{"INSERT INTO wallet_journal VALUES (?, 1, 'AVAILABLE', 7, 'BTC', 3, ?, ?, '', 0, 0, 'deposit', '', 0)", []any{1_000_000 + n, seq + 1, balance + 3}},
		} {
			if err == nil {
				err = tx.DB().Exec(statement.text, statement.args...).Error
			}
		}
		return err
	})
}
