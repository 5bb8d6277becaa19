package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	exchangesvc "mscoin/exchange/service"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/reconciletest"
	walletsvc "mscoin/wallet/service"
)

// installed is the data source of a wallet whose books are right: of two members, one
// has 11.00… and the other 13.00… hundredths of each coin, give or take what they traded.
func installed(t *testing.T) string {
	t.Helper()
	cfg := testkit.SQLiteConfig(t)
	wallet, orders := testkit.OpenDatabase(t, cfg), testkit.SQLite(t)
	f, err := reconciletest.Facts(12)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		walletsvc.Migrate(t.Context(), wallet), exchangesvc.Migrate(t.Context(), orders), reconciletest.Load(t.Context(), wallet, orders, f),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return cfg.Dialect + ":" + cfg.DSN
}

func command(t *testing.T, stdin string, args ...string) (int, string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr)
	return code, stdout.String() + stderr.String()
}

func TestRun(t *testing.T) {
	source, dir := installed(t), t.TempDir()
	assets := filepath.Join(dir, "assets.txt")
	write := func(text string) {
		if err := os.WriteFile(assets, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	publish := func() (int, string) {
		return command(t, "", "publish", "-wallet", source, "-assets", assets, "-out", dir)
	}
	t.Run("who owns what is owed is solvent, to the unit", func(t *testing.T) {
		write("BTC 0.24\nUSDT 0.24\n")
		if code, out := publish(); code != exitYes || !strings.Contains(out, "0.24000000") {
			t.Fatal(code, out)
		}
	})
	t.Run("who lacks a single unit is not", func(t *testing.T) {
		write("BTC 0.23999999\nUSDT 0.24\n")
		if code, out := publish(); code != exitNo || !strings.Contains(out, "0.00000001") {
			t.Fatal(code, out)
		}
	})
	roots := filepath.Join(dir, "roots.txt")
	proofs, err := os.ReadFile(filepath.Join(dir, "proofs.txt"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("each member can verify its balance with the published roots alone", func(t *testing.T) {
		for line := range strings.Lines(string(proofs)) {
			if code, out := command(t, line, "verify", "-roots", roots); code != exitYes || !strings.Contains(out, "proved: the") {
				t.Fatal(code, out)
			}
		}
	})
	t.Run("a proof with another amount is refused", func(t *testing.T) {
		words := strings.Fields(strings.SplitN(string(proofs), "\n", 2)[0])
		words[4] += "0"
		if code, out := command(t, strings.Join(words, " "), "verify", "-roots", roots); code != exitNo || !strings.Contains(out, "NOT PROVED") {
			t.Fatal(code, out)
		}
	})
	t.Run("nothing to verify is no proof", func(t *testing.T) {
		if code, _ := command(t, "", "verify", "-roots", roots); code != exitNo {
			t.Fatal(code)
		}
	})
	t.Run("what cannot be read is neither", func(t *testing.T) {
		write("DOGE 1\n")
		if code, _ := publish(); code != exitUnknown {
			t.Error(code)
		}
		for _, args := range [][]string{{}, {"mint"}, {"verify", "-roots", "/nowhere"}, {"publish", "-wallet", "sqlite:/nowhere/w.db"}} {
			if code, _ := command(t, "x", args...); code != exitUnknown {
				t.Error(args, code)
			}
		}
	})
	t.Run("books that do not sum to zero are not published", func(t *testing.T) {
		write("BTC 0.24\nUSDT 0.24\n")
		db := testkit.OpenDatabase(t, testkitConfig(source))
		tampered(t, db)
		if code, out := publish(); code != exitUnknown || !strings.Contains(out, "not to zero") {
			t.Fatal(code, out)
		}
	})
}

func testkitConfig(source string) database.Config {
	dialect, dsn, _ := strings.Cut(source, ":")
	return database.Config{Dialect: dialect, DSN: dsn}
}

func tampered(t *testing.T, db *database.DB) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *database.Tx) error {
		return tx.DB().Exec("UPDATE member_wallet SET balance = balance - 1 WHERE member_id = 7 AND coin_name = 'BTC'").Error
	})
	if err != nil {
		t.Fatal(err)
	}
}
