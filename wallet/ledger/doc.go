// Package ledger is the wallet's double-entry bookkeeping: accounts, postings
// that sum to zero, and holds. It does no I/O and reads no clock.
//
// An amount is an int64 count of a coin's smallest kept unit. Money only moves
// inside an [Entry], and an Entry can only be made by [NewEntry], which refuses
// postings that do not sum to zero for each coin: an unbalanced Entry cannot
// exist. A [Balances] holds the locked wallet rows of one transaction, applies
// entries to them and numbers the resulting journal lines.
//
// A [Hold] is money set aside for one order. It is placed once (available to
// held), settled by the order's fills (held to somebody else's available) and
// what is left returns (held to available) when the order ends:
//
//	held = consumed + released + remaining
//
// World is where deposits come from and withdrawals go to; its balance is
// negative and mirrors what the members and the house own together. Fee,
// suspense and world have no row of their own: they are sums of journal lines.
package ledger
