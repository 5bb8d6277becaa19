package matching

// Side is the side of an order.
type Side uint8

// The two sides of a book.
const (
	Buy  Side = 0
	Sell Side = 1
)

// Opposite returns the other side.
func (s Side) Opposite() Side { return s ^ 1 }

// Op says what a Command asks for.
type Op uint8

// Operations. The zero value is none, so that a forgotten Op is rejected.
const (
	OpNone     Op = iota
	OpPlace       // a new order
	OpCancel      // cancel OrderID
	OpReduce      // take Qty lots off OrderID, which keeps its place in the queue and at least one lot
	OpReplace     // cancel TargetID, then place OrderID, as one command: both or nothing
	OpSetRules    // trading rules, price band and caps of the symbol
	OpSetPhase    // halt, cancel-only, resume
	OpContinue    // internal: the next slice of a command that hit a cap
)

// OrderType is how an order finds its price.
type OrderType uint8

// Order types. The stop types rest outside the book until the last trade price
// reaches StopPrice.
const (
	Limit OrderType = iota + 1
	Market
	StopLoss
	StopLossLimit
	TakeProfit
	TakeProfitLimit
)

// TimeInForce is how long an order stays.
type TimeInForce uint8

// Times in force. PostOnly is a GTC order that is rejected if it would trade on
// arrival. Market orders never rest, whatever is said here.
const (
	GTC TimeInForce = iota + 1
	IOC
	FOK
	PostOnly
)

// STPMode says what happens when an order meets another of the same member; the
// taker's mode decides.
type STPMode uint8

// Self-trade prevention modes.
const (
	STPNone STPMode = iota + 1
	STPExpireTaker
	STPExpireMaker
	STPExpireBoth
	STPDecrement
)

// Phase is the trading state of the symbol.
type Phase uint8

// Trading phases.
const (
	PhaseTrading    Phase = iota + 1
	PhaseCancelOnly       // only cancels and reduces
	PhaseHalt             // nothing but SetRules and SetPhase
)

// Command is one input of a book. It is a plain value without pointers; fields
// that an Op does not use are zero.
type Command struct {
	Op    Op
	Side  Side
	Type  OrderType
	TIF   TimeInForce
	STP   STPMode
	Phase Phase // OpSetPhase

	OrderID  uint64 // id of the order, unique for ever; 0 is refused
	TargetID uint64 // OpReplace: the order to cancel
	// MemberID is the owner. A cancel or reduce finds only his orders; 0 is the
	// exchange itself, which finds all. A replace is always by the owner.
	MemberID uint64

	Price     int64 // ticks; limit types only
	StopPrice int64 // ticks; stop types only
	Qty       int64 // lots; for Market 0 means "bounded by QuoteQty only"
	QuoteQty  int64 // quote units; Market only: never trade for more than this (0: unbounded)

	// Hold is what the wallet has set aside for the order: quote units for a
	// buy, base units for a sell. No sequence of fills takes more than this: a
	// market buy stops where the next lot would not fit. A limit order whose
	// Hold does not cover it whole is rejected.
	Hold int64

	MakerFeePpm int32 // fee as maker, millionths of the received amount
	TakerFeePpm int32

	Rules *Rules // OpSetRules only
}

// Rules are what the book has to know of its symbol. They change only by a
// command in the log.
type Rules struct {
	// BaseUnitsPerLot converts quantities: base units = lots × BaseUnitsPerLot.
	BaseUnitsPerLot int64
	// QuoteUnitsPerTickLot converts turnover: quote units = ticks × lots ×
	// QuoteUnitsPerTickLot. Listing a symbol makes sure that it is whole.
	QuoteUnitsPerTickLot int64
	MaxPrice             int64 // ticks, inclusive; > 0
	MaxQty               int64 // lots per order, inclusive; > 0
	// Price band (PERCENT_PRICE) against the last trade price, in millionths;
	// 0 switches a bound off. A price is refused above last×Up or below last×Down.
	BandUpPpm, BandDownPpm int64
	// MaxFillsPerCommand caps the steps of one Apply: a step is a trade, an order
	// expired or reduced by self-trade prevention, or the start of a triggered
	// order. What is left continues with OpContinue. 0: no cap.
	MaxFillsPerCommand int32
	// MaxOpenOrders is how many orders may be open at once; beyond it orders that
	// could stay open are refused. 0: as many as a book can hold (1<<25).
	MaxOpenOrders int32
}
