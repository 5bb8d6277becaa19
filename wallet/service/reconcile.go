package service

import (
	"context"
	"io"

	"mscoin/wallet/internal/reconciler"
)

// Reconcile runs the command that compares the books; see its -help. It returns the
// exit status: 0 everything fits, 1 something does not, 2 it could not be found out.
func Reconcile(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	return reconciler.Command(ctx, args, getenv, stdout, stderr)
}
