package app

import (
	"mscoin/wallet/ledger"
)

// Pass is a reconciliation of what has changed since the last one, and what it leaves
// for the next.
type Pass struct {
	// Number counts the passes.
	Number int64
	// AtMs is when the snapshot was taken, TookMs how long the pass took.
	AtMs, TookMs int64
	// Wallets and Lines are how much was read; Found and Alarms how much does not fit
	// or stands still.
	Wallets, Lines, Found, Alarms int64
	// Report is the report, as JSON.
	Report string

	// Right are the wallets that were found to be right, Coins the sums of the house's
	// accounts, Symbols the last records read. They are kept when nothing was found.
	Right   map[ledger.WalletKey]ledger.Wallet
	Coins   []HouseSums
	Symbols map[string]int64
	// Stops are the withdrawals to stop.
	Stops []Stop
}

// HouseSums are the sums of the house's accounts in a coin.
type HouseSums struct {
	Coin                 string
	Fee, Suspense, World int64
}

// Scopes of a stop.
const (
	StopMember = "MEMBER"
	StopCoin   = "COIN"
	StopAll    = "ALL"
	// StopChain also stops deposits of the coin: its chain is not what was read.
	StopChain = "CHAIN"
)

// Stop forbids withdrawals of a member (Name is its id), of a coin, or all of them, or
// everything with a coin's chain.
type Stop struct {
	Scope   string
	Name    string
	SinceMs int64
	Reason  string
}
