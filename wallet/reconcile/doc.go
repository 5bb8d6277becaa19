// Package reconcile compares what the wallet and the order store say about the same
// money, and names everything that does not fit. It does no I/O, reads no clock and
// repairs nothing: facts go in, discrepancies come out.
//
// Feed a [Checker] with one consistent snapshot of the wallet and then one of the
// order store that was taken later, and call [Checker.Finish]. The order store is
// never behind the wallet, so every comparison is made at the record that the wallet
// has settled: what the order store knows beyond it is left out, and so the check
// works while traffic runs.
//
//	C1  the lines of each transaction sum to zero for each coin, none is missing
//	C2  each account's lines follow one another, and the wallet row is their end
//	C3  all accounts, world included, sum to zero; deposits are what came from the world
//	C4  what wallets hold is what their open holds hold, and what the journal moved
//	C5  a hold's facts are its order's, and the sum of its order's trades
//	C7  records, trades and positions have no gaps and are the same on both sides
//	C9  the fee account is the sum of the trades' fees
//
// Memory grows with wallets, holds and transactions (some 300 bytes for each order),
// not with the journal's lines, which may be streamed.
package reconcile
