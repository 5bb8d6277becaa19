// Command reconcile compares the wallet's books with the order store and names
// everything that does not fit. It only reads, repairs nothing, and works while
// traffic runs. Exit status: 0 everything fits, 1 something does not, 2 it could not
// be found out.
//
//	go run ./deploy/reconcile                      # the embedded ./data (or MSCOIN_DATA)
//	go run ./deploy/reconcile -json
//	MSCOIN_WALLET_DSN='mysql:user:password@tcp(127.0.0.1:3306)/mscoin_wallet' \
//	MSCOIN_EXCHANGE_DSN='mysql:user:password@tcp(127.0.0.1:3306)/mscoin_exchange' go run ./deploy/reconcile
//
// A data source is dialect:dsn, the dialect sqlite or mysql (also MariaDB; it may be left
// out, so that the services' own variables will do). Flags win over the environment, which
// does not show passwords in the list of processes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const (
	exitClean   = 0
	exitDamage  = 1
	exitUnknown = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	flags.SetOutput(stderr)
	exchange := flags.String("exchange", "", "order store, dialect:dsn (default MSCOIN_EXCHANGE_DSN or the file exchange.db in MSCOIN_DATA)")
	wallet := flags.String("wallet", "", "wallet, dialect:dsn (default MSCOIN_WALLET_DSN or the file wallet.db in MSCOIN_DATA)")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	timeout := flags.Duration("timeout", 10*time.Minute, "give up after")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return exitUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	books, err := load(ctx, sourceOf(*wallet, "wallet", getenv), sourceOf(*exchange, "exchange", getenv))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "reconcile:", err)
		return exitUnknown
	}
	printReport := printText
	if *asJSON {
		printReport = printJSON
	}
	if err := printReport(stdout, books); err != nil {
		_, _ = fmt.Fprintln(stderr, "reconcile: print report:", err)
		return exitUnknown
	}
	if books.report.Found > 0 {
		return exitDamage
	}
	return exitClean
}

// sourceOf is the flag, else the environment, else the embedded file.
func sourceOf(given, name string, getenv func(string) string) string {
	variables := map[string]string{"wallet": "MSCOIN_WALLET_DSN", "exchange": "MSCOIN_EXCHANGE_DSN"}
	for _, source := range [...]string{given, getenv(variables[name])} {
		if source != "" {
			return source
		}
	}
	dir := getenv("MSCOIN_DATA")
	if dir == "" {
		dir = "data"
	}
	return "sqlite:" + filepath.Join(dir, name+".db")
}
