package order

import "slices"

// Side is the side of an order.
type Side uint8

// Sides.
const (
	SideNone Side = iota // not given
	Buy
	Sell
)

// Type is how an order finds its price.
type Type uint8

// Order types.
const (
	TypeNone Type = iota // not given
	Limit                // trades at its price or better
	Market               // trades at once at the book's prices and never rests
	StopLoss             // market order once the stop price is reached
	StopLossLimit
	TakeProfit
	TakeProfitLimit
)

// TimeInForce is how long an order stays.
type TimeInForce uint8

// Times in force.
const (
	TIFNone  TimeInForce = iota // not given
	GTC                         // good till cancelled
	IOC                         // immediate or cancel
	FOK                         // fill or kill
	PostOnly                    // rests or is rejected
)

// SelfTradePrevention says what happens when an order meets another of its member.
type SelfTradePrevention uint8

// Self-trade prevention modes.
const (
	STPDefault SelfTradePrevention = iota // not given: STPExpireMaker
	STPNone
	STPExpireTaker
	STPExpireMaker
	STPExpireBoth
	STPDecrement
)

// State is the life of an order.
type State uint8

// States. An order starts in StateInit: its intent is stored and the matcher has
// not spoken. Everything from StateFilled on is final.
const (
	StateInit State = iota
	StateNew
	StatePendingTrigger
	StatePartiallyFilled
	StateFilled
	StateCanceled
	StateExpired
	StateExpiredInMatch
	StateRejected
)

// Final reports whether an order in this state is over.
func (s State) Final() bool { return s >= StateFilled }

// Open reports whether an order in this state is known to the matcher and can
// still trade.
func (s State) Open() bool { return s >= StateNew && s < StateFilled }

// Facts are what the matcher has said about an order, cumulative.
type Facts struct {
	// State of the order.
	State State
	// Reason of a final state.
	Reason Reason
	// TradedAmount is what has traded, in base units; Turnover the same in quote units.
	TradedAmount, Turnover int64
	// Fee so far in units of the coin that is received.
	Fee int64
	// HeldRemaining is what of the hold is still needed, 0 in a final state.
	HeldRemaining int64
	// Seq is the symbol's record that said so, 0 while the matcher has not spoken.
	Seq int64
	// TimeMs is the log time of that record.
	TimeMs int64
}

// Order is an order with everything that is known of it.
type Order struct {
	// ID is unique for ever; MemberID its owner.
	ID, MemberID int64
	// ClientOrderID is unique among the member's open orders.
	ClientOrderID string
	// Symbol is like "BTC/USDT"; Base and Quote its coins.
	Symbol, Base, Quote string

	Side Side
	Type Type
	TIF  TimeInForce
	STP  SelfTradePrevention

	// Price and StopPrice are 0 where the type has none.
	Price, StopPrice int64
	// Quantity in base units, 0 for a market order bounded by QuoteAmount only.
	Quantity int64
	// QuoteAmount bounds the turnover of a market order, 0 is none.
	QuoteAmount int64

	// HoldCoin and HoldAmount are what the wallet sets aside.
	HoldCoin   string
	HoldAmount int64

	// MakerFeePpm and TakerFeePpm are fixed when the order is placed.
	MakerFeePpm, TakerFeePpm int32
	// DeadlineMs is the log time after which the matcher refuses the order.
	DeadlineMs int64
	// CreateTimeMs is when the intent was stored.
	CreateTimeMs int64

	Facts
}

// Trade is a match between two orders.
type Trade struct {
	Symbol string
	// ID counts the symbol's trades from 1.
	ID int64
	// Seq is the symbol's record that carries the trade.
	Seq int64
	// Price, Quantity in base units, Turnover in quote units.
	Price, Quantity, Turnover    int64
	TakerSide                    Side
	MakerOrderID, TakerOrderID   int64
	MakerMemberID, TakerMemberID int64
	// Fees in units of what each side receives.
	MakerFee, TakerFee int64
	TimeMs             int64
}

// Update is the matcher's last word on one order in one record.
type Update struct {
	OrderID, MemberID int64
	Side              Side
	Facts
}

// Result is what one command did: the content of one record.
type Result struct {
	Symbol string
	// Seq counts the symbol's records from 1.
	Seq int64
	// TimeMs is the log time of the command.
	TimeMs int64
	// Rejected says that the command was refused, for Reason.
	Rejected bool
	Reason   Reason
	// Updates name each changed order once; Trades are in the order they happened.
	Updates []Update
	Trades  []Trade
}

// Update returns the result's word on an order.
func (r *Result) Update(orderID int64) (Update, bool) {
	for i := range r.Updates {
		if r.Updates[i].OrderID == orderID {
			return r.Updates[i], true
		}
	}
	return Update{}, false
}

// Touched returns the members whose orders or money the result changes, ascending.
func (r *Result) Touched() []int64 {
	members := make([]int64, 0, len(r.Updates)+2*len(r.Trades))
	for i := range r.Updates {
		members = append(members, r.Updates[i].MemberID)
	}
	for i := range r.Trades {
		members = append(members, r.Trades[i].MakerMemberID, r.Trades[i].TakerMemberID)
	}
	slices.Sort(members)
	return slices.Compact(members)
}

// Batch is what consecutive records say, in their order.
type Batch struct {
	Updates []Update
	Trades  []Trade
	// Phases are the last phases of symbols that changed.
	Phases map[string]Phase
}

// Phase is the trading state of a symbol.
type Phase uint8

// Phases.
const (
	PhaseNone       Phase = iota // not given
	PhaseTrading                 // everything is accepted
	PhaseCancelOnly              // only cancels are accepted
	PhaseHalt                    // nothing is accepted
)
