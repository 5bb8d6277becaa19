// Command reconcile compares the wallet's books with the order store and names
// everything that does not fit: what, where, how much, since when, in which record. It
// only reads, repairs nothing, and works while traffic runs; docs/reconciliation.md
// tells how. Exit status: 0 everything fits, 1 something does not, 2 it could not be
// found out.
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
	"os"
	"os/signal"
	"syscall"

	walletsvc "mscoin/wallet/service"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	code := walletsvc.Reconcile(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
