package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/reconciletest"
	walletsvc "mscoin/wallet/service"
)

// exchangeTables are the columns of the order store that are read here.
var exchangeTables = []string{
	"CREATE TABLE exchange_coin (symbol VARCHAR(32) NOT NULL PRIMARY KEY, coin_symbol VARCHAR(16) NOT NULL, base_symbol VARCHAR(16) NOT NULL)",
	`CREATE TABLE exchange_order (order_id BIGINT NOT NULL PRIMARY KEY, member_id BIGINT NOT NULL, symbol VARCHAR(32) NOT NULL, hold_coin VARCHAR(16) NOT NULL,
		hold_amount BIGINT NOT NULL, held_remaining BIGINT NOT NULL, traded_amount BIGINT NOT NULL, turnover BIGINT NOT NULL, fee BIGINT NOT NULL, seq BIGINT NOT NULL)`,
	`CREATE TABLE exchange_trade (symbol VARCHAR(32) NOT NULL, trade_id BIGINT NOT NULL, seq BIGINT NOT NULL, quantity BIGINT NOT NULL, turnover BIGINT NOT NULL,
		taker_side BIGINT NOT NULL, maker_order_id BIGINT NOT NULL, taker_order_id BIGINT NOT NULL, maker_member_id BIGINT NOT NULL, taker_member_id BIGINT NOT NULL,
		maker_fee BIGINT NOT NULL, taker_fee BIGINT NOT NULL, PRIMARY KEY (symbol, trade_id))`,
}

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
	walletConfig, exchangeConfig := config(t), config(t)
	svc, err := walletsvc.New(t.Context(), walletsvc.Config{
		InternalToken: "test", Database: walletConfig, Kafka: bus.Config{Brokers: []string{"127.0.0.1:1"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := svc.Close(); err != nil {
		t.Fatal(err)
	}
	in := &installation{
		t: t, wallet: testkit.OpenDatabase(t, walletConfig), exchange: testkit.OpenDatabase(t, exchangeConfig),
		walletSource: walletConfig.Dialect + ":" + walletConfig.DSN, exchangeSource: exchangeConfig.Dialect + ":" + exchangeConfig.DSN,
	}
	if err := in.exchange.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, table := range exchangeTables {
		in.do(in.exchange, table)
	}
	in.fill()
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
	in.do(in.wallet, "INSERT INTO coin VALUES ('BTC', '', 8, 0), ('USDT', '', 8, 0)")
	for _, w := range f.Wallets {
		in.do(in.wallet, "INSERT INTO member_wallet VALUES (?, ?, ?, ?, ?, ?, 0, 0, 0)", w.MemberID, w.Coin, w.Available, w.Held, w.AvailableSeq, w.HeldSeq)
	}
	for _, h := range f.Holds {
		in.do(in.wallet, "INSERT INTO wallet_hold VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 0, 0)",
			h.OrderID, h.MemberID, h.Coin, h.Symbol, []byte("h"), h.Held, h.Consumed, h.Released, h.Facts.Traded, h.Facts.Turnover, h.Facts.Fee, h.State, h.Seq)
	}
	for _, d := range f.Deposits {
		in.do(in.wallet, "INSERT INTO wallet_deposit VALUES (?, ?, ?, ?, ?, 0)", d.Reference, d.MemberID, d.Coin, d.Amount, d.TxID)
	}
	for _, l := range f.Lines {
		in.do(in.wallet, "INSERT INTO wallet_journal VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', 0)", l.TxID, l.Line, l.Account.Kind.String(),
			l.Account.MemberID, l.Account.Coin, l.Amount, l.AccountSeq, l.BalanceAfter, l.Symbol, l.Seq, l.OrderID, string(l.Reason))
	}
	for symbol, p := range f.Settled {
		hash, err := hex.DecodeString("ab")
		if err != nil {
			in.t.Fatal(err)
		}
		in.do(in.wallet, "INSERT INTO symbol_position VALUES ('wallet', ?, ?, ?, 0)", symbol, p.Seq, hash)
		in.do(in.exchange, "INSERT INTO symbol_position VALUES ('order', ?, ?, ?, 0)", symbol, p.Seq, hash)
		in.do(in.exchange, "INSERT INTO exchange_coin VALUES (?, 'BTC', 'USDT')", symbol)
	}
	for _, o := range f.Orders {
		in.do(in.exchange, "INSERT INTO exchange_order VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", o.OrderID, o.MemberID, o.Symbol, o.HoldCoin,
			o.HoldAmount, o.HeldRemaining, o.Facts.Traded, o.Facts.Turnover, o.Facts.Fee, o.Seq)
	}
	for _, tr := range f.Trades {
		in.do(in.exchange, "INSERT INTO exchange_trade VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?, ?)", tr.Symbol, tr.TradeID, tr.Seq, tr.Quantity, tr.Turnover,
			tr.MakerOrderID, tr.TakerOrderID, tr.MakerMemberID, tr.TakerMemberID, tr.MakerFee, tr.TakerFee)
	}
}

// reconcile runs the command and returns its exit status and output.
func (in *installation) reconcile(args ...string) (int, string, string) {
	in.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"-wallet", in.walletSource, "-exchange", in.exchangeSource}, args...)
	code := run(in.t.Context(), args, func(string) string { return "" }, &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func TestRun_Clean(t *testing.T) {
	testkit.Dialects(t, func(t *testing.T, config func(testing.TB) database.Config) {
		t.Run("right books are clean", func(t *testing.T) {
			in := install(t, config)
			code, out, errs := in.reconcile()
			if code != exitClean || !strings.Contains(out, "clean") || !strings.Contains(out, "BTC/USDT up to record") {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			t.Log("\n" + out)
			code, out, _ = in.reconcile("-json")
			var report struct {
				Clean  bool
				Totals []struct{ World int64 }
			}
			if err := json.Unmarshal([]byte(out), &report); err != nil || code != exitClean || !report.Clean || len(report.Totals) != 2 || report.Totals[0].World != -24_000_000 {
				t.Fatalf("exit %d %v %+v", code, err, report)
			}
			in.do(in.wallet, "UPDATE wallet_journal SET amount = amount + 1 WHERE tx_id = 7 AND line = 1")
			if code, out, _ := in.reconcile(); code != exitDamage || !strings.Contains(out, "transaction 7") {
				t.Fatalf("exit %d\n%s", code, out)
			}
		})
	})
}

func TestRun_Damage(t *testing.T) {
	const wallet, exchange = true, false
	tests := []struct {
		damage   string
		inWallet bool
		sql      string
		want     []string // all in one line of the report
	}{
		{"a flipped amount", wallet, "UPDATE wallet_journal SET amount = -amount WHERE tx_id = 7 AND line = 0", []string{"C1", "transaction 7", "does not sum to zero"}},
		{"a deleted journal line", wallet, "DELETE FROM wallet_journal WHERE tx_id = 7 AND line = 0", []string{"C1", "transaction 7"}},
		{"a doubled journal line", wallet, "INSERT INTO wallet_journal SELECT tx_id, 77, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time FROM wallet_journal WHERE tx_id = 7 AND line = 0", []string{"C2", "gap or a repetition", "transaction 7 line 77"}},
		{"a deleted transaction", wallet, "DELETE FROM wallet_journal WHERE tx_id = 7", []string{"C4", "order 1", "consumed"}},
		{"a drifted wallet row", wallet, "UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 8 AND coin_name = 'BTC'", []string{"C2", "AVAILABLE/8/BTC", "0.00000005 BTC"}},
		{"a drifted held balance", wallet, "UPDATE member_wallet SET frozen_balance = frozen_balance + 5 WHERE member_id = 8 AND coin_name = 'BTC'", []string{"C4", "member 8"}},
		{"a wrong fee", exchange, "UPDATE exchange_trade SET taker_fee = taker_fee + 1 WHERE trade_id = 1", []string{"C9", "BTC/USDT", "-0.00000001 BTC"}},
		{"a stale hold", wallet, "UPDATE wallet_hold SET consumed = 0, released = 0, state = 0 WHERE order_id = 1", []string{"C4", "order 1", "journal consumed"}},
		{"a missing trade", exchange, "DELETE FROM exchange_trade WHERE trade_id = 2", []string{"C7", "trade 3", "gap"}},
		{"a swapped member", exchange, "UPDATE exchange_trade SET maker_member_id = 7 WHERE trade_id = 2", []string{"C5", "trade 2", "another member"}},
		{"an altered order", exchange, "UPDATE exchange_order SET traded_amount = traded_amount + 1 WHERE order_id = 1", []string{"C5", "order 1", "traded amount"}},
		{"a lost order", exchange, "DELETE FROM exchange_order WHERE order_id = 1", []string{"C5", "order 1", "hold has no order"}},
		{"a lost record between the hops", exchange, "UPDATE symbol_position SET seq = seq - 1", []string{"C7", "BTC/USDT", "behind"}},
		{"a broken chain", exchange, "UPDATE symbol_position SET hash = 'x'", []string{"C7", "different records"}},
		{"a deposit that never came", wallet, "DELETE FROM wallet_deposit WHERE member_id = 7 AND coin = 'BTC'", []string{"C3", "without a deposit"}},
	}
	for _, tt := range tests {
		t.Run(tt.damage+" is found and named", func(t *testing.T) {
			in := install(t, testkit.SQLiteConfig)
			db := in.exchange
			if tt.inWallet {
				db = in.wallet
			}
			in.do(db, tt.sql)
			code, out, errs := in.reconcile()
			if code != exitDamage {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			for line := range strings.Lines(out) {
				if containsAll(line, tt.want) {
					return
				}
			}
			t.Fatalf("no line with %q in\n%s", tt.want, out)
		})
	}
}

func containsAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
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
			code := run(t.Context(), []string{"-wallet", tt.wallet, "-exchange", tt.exchange}, func(string) string { return "" }, &stdout, &stderr)
			if code != exitUnknown || stderr.Len() == 0 || strings.Contains(stderr.String(), "secret") || stdout.Len() != 0 {
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
		if code := run(t.Context(), []string{"-wallet", "sqlite:" + file, "-exchange", "sqlite:" + file}, func(string) string { return "" }, &stdout, &stderr); code != exitUnknown {
			t.Fatalf("exit %d", code)
		}
	})
	t.Run("the embedded files are the default, flags win over the environment", func(t *testing.T) {
		env := map[string]string{"MSCOIN_DATA": "/d"}
		getenv := func(k string) string { return env[k] }
		if got := sourceOf("", "wallet", getenv); got != "sqlite:/d/wallet.db" {
			t.Error(got)
		}
		if got := sourceOf("", "exchange", func(string) string { return "" }); got != "sqlite:data/exchange.db" {
			t.Error(got)
		}
		env["MSCOIN_EXCHANGE_DSN"] = "mysql:x"
		if got := sourceOf("", "exchange", getenv); got != "mysql:x" {
			t.Error(got)
		}
		if got := sourceOf("sqlite:y", "exchange", getenv); got != "sqlite:y" {
			t.Error(got)
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
				if code, out, errs := in.reconcile(); code != exitClean {
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
