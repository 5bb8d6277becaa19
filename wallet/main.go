// Command wallet runs the service of balances, holds and settlement. `wallet reconcile`
// compares the books completely instead; see its -help.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"mscoin/mscoin-common/launch"
	walletsvc "mscoin/wallet/service"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "reconcile" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
		code := walletsvc.Reconcile(ctx, os.Args[2:], os.Getenv, os.Stdout, os.Stderr)
		stop()
		os.Exit(code)
	}
	launch.Main("wallet", walletsvc.New)
}
