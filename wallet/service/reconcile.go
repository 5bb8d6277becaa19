package service

import (
	"context"
	"io"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/internal/reconciler"
)

// Reconcile runs the command that compares the books; see its -help. It returns the
// exit status: 0 everything fits, 1 something does not, 2 it could not be found out.
func Reconcile(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	return reconciler.Command(ctx, args, getenv, stdout, stderr)
}

// Owed is what the exchange owes in one coin.
type Owed = reconciler.Owed

// OwedNow reads what is owed in each listed coin from a wallet's database, dialect:dsn,
// and when that was. It returns an error when a coin's accounts do not sum to zero.
func OwedNow(ctx context.Context, source string) ([]Owed, int64, error) {
	return reconciler.OwedNow(ctx, source, clock.Real())
}
