// Package reconcile compares what the wallet and the order store say about the same
// money, and names everything that does not fit. It does no I/O, reads no clock and
// repairs nothing: facts go in, discrepancies come out.
//
// The facts are one consistent snapshot of the wallet and one of the order store that
// was taken later. The order store is never behind the wallet, so every comparison is
// made at the record that the wallet has settled: what the order store knows beyond it
// is left out, and so the checks work while traffic runs.
//
//	C1   the lines of each transaction sum to zero for each coin, none is missing
//	C2   each account's lines follow one another, and the wallet row is their end
//	C3   all accounts, world included, sum to zero; what crossed the border to the world
//	     is what deposits and withdrawals say
//	C4   what wallets hold is what open holds and pending withdrawals hold, and what the
//	     journal moved
//	C5   a hold's facts are its order's, and the sum of its order's trades
//	C7   records, trades and positions have no gaps and are the same on both sides
//	C9   the fee account is the sum of the fees of trades and withdrawals
//	C10  ages: a hold without a word from the matcher, money in suspense, a wallet that
//	     lags; these are alarms, not discrepancies
//
// A [Sketch] compares everything in one pass and in memory that does not grow with the
// books; a [Checker] compares one by one, and names what the sketch has found to differ.
package reconcile
