package reconciler

import (
	"context"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody"
	"mscoin/wallet/custody/simchain"
)

// Exit statuses of the command.
const (
	exitClean   = 0
	exitDamage  = 1
	exitUnknown = 2
)

// Command compares the books as the arguments say and prints the report. It returns
// the exit status.
func Command(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("reconcile", flag.ContinueOnError)
	flags.SetOutput(stderr)
	orders := flags.String("exchange", "", "order store, dialect:dsn (default MSCOIN_EXCHANGE_DSN or the file exchange.db in MSCOIN_DATA)")
	wallet := flags.String("wallet", "", "wallet, dialect:dsn (default MSCOIN_WALLET_DSN or the file wallet.db in MSCOIN_DATA)")
	custodyURL := flags.String("custody", getenv("MSCOIN_CUSTODY_URL"), "URL of the custody, to compare with what it has; the token is MSCOIN_CUSTODY_TOKEN; empty does not ask")
	booksOnly := flags.Bool("books-only", false, "compare the wallet's own books alone, without the order store")
	flags.Bool("full", true, "compare everything, which is all that this command does; the service itself compares what has changed")
	asJSON := flags.Bool("json", false, "print the report as JSON")
	timeout := flags.Duration("timeout", 10*time.Minute, "give up after")
	if err := flags.Parse(args); err != nil || flags.NArg() > 0 {
		return exitUnknown
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	orderSource := sourceOf(*orders, "exchange", getenv)
	if *booksOnly {
		orderSource = ""
	}
	keeper, err := custodyAt(*custodyURL, getenv("MSCOIN_CUSTODY_TOKEN"))
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "reconcile:", err)
		return exitUnknown
	}
	result, err := Full(ctx, sourceOf(*wallet, "wallet", getenv), orderSource, keeper, clock.Real())
	if err != nil {
		_, _ = fmt.Fprintln(stderr, "reconcile:", err)
		return exitUnknown
	}
	show := result.Text
	if *asJSON {
		show = result.JSON
	}
	if err := show(stdout); err != nil {
		_, _ = fmt.Fprintln(stderr, "reconcile: print report:", err)
		return exitUnknown
	}
	if result.Report.Found > 0 || result.Report.Unnamed > 0 {
		return exitDamage
	}
	return exitClean
}

// custodyAt returns the custody at a URL, nil for none.
func custodyAt(url, token string) (custody.Custody, error) {
	if url == "" {
		return nil, nil //nolint:nilnil // there is none, and that is fine
	}
	return simchain.NewClient(url, token)
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
