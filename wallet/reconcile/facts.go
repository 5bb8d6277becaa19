package reconcile

import "mscoin/wallet/ledger"

// Line is a row of wallet_journal.
type Line struct {
	TxID         int64
	Line         int32
	Account      ledger.Account
	Amount       int64
	AccountSeq   int64
	BalanceAfter int64
	Symbol       string
	Seq          int64
	OrderID      int64
	Reason       ledger.Reason
}

// Wallet is a row of member_wallet.
type Wallet struct {
	MemberID     int64
	Coin         string
	Available    int64
	Held         int64
	AvailableSeq int64
	HeldSeq      int64
}

// Deposit is a row of wallet_deposit.
type Deposit struct {
	Reference string
	MemberID  int64
	Coin      string
	Amount    int64
	TxID      int64
}

// Position is how far a service has applied a symbol's records.
type Position struct {
	Seq  int64
	Hash string
}

// Symbol names a symbol's coins.
type Symbol struct {
	Name  string
	Base  string
	Quote string
}

// Order is a row of exchange_order.
type Order struct {
	OrderID       int64
	MemberID      int64
	Symbol        string
	HoldCoin      string
	HoldAmount    int64
	HeldRemaining int64
	Facts         ledger.Facts
	Seq           int64
}

// Trade is a row of exchange_trade.
type Trade struct {
	Symbol        string
	TradeID       int64
	Seq           int64
	Quantity      int64
	Turnover      int64
	TakerBuys     bool
	MakerOrderID  int64
	TakerOrderID  int64
	MakerMemberID int64
	TakerMemberID int64
	MakerFee      int64
	TakerFee      int64
}

// Discrepancy is one thing that does not fit. Amount is what is too much (or, when
// negative, too little) against what it should be, in units of Coin; for numbers
// that are no money Coin is empty.
type Discrepancy struct {
	Check  string `json:"check"`
	What   string `json:"what"`
	Where  string `json:"where"`
	Coin   string `json:"coin,omitempty"`
	Want   int64  `json:"want"`
	Got    int64  `json:"got"`
	Amount int64  `json:"amount"`
}

// Totals is where all the money of a coin is, in units. The five sum to zero when
// the books are right.
type Totals struct {
	Coin      string `json:"coin"`
	Available int64  `json:"available"`
	Held      int64  `json:"held"`
	Fee       int64  `json:"fee"`
	Suspense  int64  `json:"suspense"`
	World     int64  `json:"world"`
}

// Report is the outcome. Found counts all discrepancies, of which the first
// [MaxListed] are listed.
type Report struct {
	Discrepancies []Discrepancy `json:"discrepancies"`
	Found         int64         `json:"found"`
	Totals        []Totals      `json:"totals"`
	Counts        Counts        `json:"counts"`
}

// Counts is how much was compared.
type Counts struct {
	Lines        int64 `json:"journalLines"`
	Transactions int64 `json:"transactions"`
	Wallets      int64 `json:"wallets"`
	Holds        int64 `json:"holds"`
	Deposits     int64 `json:"deposits"`
	Orders       int64 `json:"orders"`
	OrdersAhead  int64 `json:"ordersAheadOfWallet"`
	Trades       int64 `json:"trades"`
	TradesAhead  int64 `json:"tradesAheadOfWallet"`
}

// MaxListed bounds the discrepancies that a report lists.
const MaxListed = 1000

// Facts are two snapshots in memory, for what is small enough. Lines and trades must
// be in the order that [Checker.AddLine] and [Checker.AddTrade] ask for.
type Facts struct {
	Settled  map[string]Position
	Stored   map[string]Position
	Symbols  []Symbol
	Wallets  []Wallet
	Holds    []ledger.Hold
	Deposits []Deposit
	Lines    []Line
	Orders   []Order
	Trades   []Trade
}

// Check compares the facts.
func Check(f *Facts) Report {
	c := New(f.Settled)
	for _, w := range f.Wallets {
		c.AddWallet(w)
	}
	for _, h := range f.Holds {
		c.AddHold(h)
	}
	for _, d := range f.Deposits {
		c.AddDeposit(d)
	}
	for _, l := range f.Lines {
		c.AddLine(l)
	}
	for symbol, p := range f.Stored {
		c.AddStored(symbol, p)
	}
	for _, s := range f.Symbols {
		c.AddSymbol(s)
	}
	for _, t := range f.Trades {
		c.AddTrade(t)
	}
	for _, o := range f.Orders {
		c.AddOrder(o)
	}
	return c.Finish()
}
