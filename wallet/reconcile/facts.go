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
	Ref          string
	TimeMs       int64
}

// Wallet is a row of member_wallet.
type Wallet struct {
	MemberID     int64
	Coin         string
	Available    int64
	Held         int64
	AvailableSeq int64
	HeldSeq      int64
	UpdatedMs    int64
}

// Transfer is what the wallet says crossed the border to the world in a transaction:
// a deposit, or a withdrawal that left. Amount is what the account got from the world,
// negative when it gave. Fee is what the account paid the house for it, NetworkFee what
// the house gave the world.
type Transfer struct {
	Reference  string
	Account    ledger.Account
	Amount     int64
	Fee        int64
	NetworkFee int64
	TxID       int64
	TimeMs     int64
}

// Pending is money that a member's held balance has set aside for something else than
// an order, like a withdrawal on its way.
type Pending struct {
	Reference string
	MemberID  int64
	Coin      string
	Amount    int64
}

// Correction is an amount that operators have moved between two accounts. Its lines in the
// journal are of [ledger.ReasonCorrection].
type Correction struct {
	Reference string
	From, To  ledger.Account
	Amount    int64
	TxID      int64
	TimeMs    int64
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

// Order is a row of exchange_order. Rejected orders never entered the book.
type Order struct {
	OrderID       int64
	MemberID      int64
	Symbol        string
	HoldCoin      string
	HoldAmount    int64
	HeldRemaining int64
	Facts         ledger.Facts
	Rejected      bool
	Seq           int64
	TimeMs        int64
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
	TimeMs        int64
}

// Frame is what both snapshots agree upon before rows are read: how far the wallet has
// settled and the order store has applied each symbol, the symbols by name, and their
// numbers in the transaction ids of settlements (a symbol without a number is not
// compared with its ids). NowMs is the time of the snapshots, for the ages.
type Frame struct {
	Settled map[string]Position
	Stored  map[string]Position
	Symbols map[string]Symbol
	Numbers map[string]int64
	NowMs   int64
	// BooksOnly leaves the order store out: there is none to compare with.
	BooksOnly bool
}

// Facts are two snapshots in memory, for what is small enough. Lines must be in the
// order that [Checker.AddChain] asks for, trades and orders by their ids.
type Facts struct {
	Frame       Frame
	Wallets     []Wallet
	Holds       []ledger.Hold
	Transfers   []Transfer
	Pending     []Pending
	Corrections []Correction
	Lines       []Line
	Orders      []Order
	Trades      []Trade
}

// Check compares the facts one by one.
func Check(f *Facts) Report {
	c := New(f.Frame)
	for _, w := range f.Wallets {
		c.AddWallet(w)
	}
	for i := range f.Holds {
		c.AddHold(&f.Holds[i])
	}
	for _, p := range f.Pending {
		c.AddPending(p)
	}
	for _, d := range f.Transfers {
		c.AddTransfer(d)
	}
	for i := range f.Corrections {
		c.AddCorrection(&f.Corrections[i])
	}
	for i := range f.Lines {
		c.AddLine(&f.Lines[i])
		c.AddChain(&f.Lines[i])
	}
	for i := range f.Trades {
		c.AddTrade(&f.Trades[i])
	}
	for i := range f.Orders {
		c.AddOrder(&f.Orders[i])
	}
	return c.Finish()
}
