package matching

// EventKind tells what an Event reports.
type EventKind uint8

// Event kinds.
const (
	// EventTrade: two orders have traded; Event.Trade says how. It is followed, in
	// the same Apply, by one EventOrder for the maker and, at the end, one for the taker.
	EventTrade EventKind = iota + 1
	// EventOrder: the order OrderID is now in State, with its cumulative facts.
	EventOrder
	// EventReject: the command was refused for Reason and changed nothing. State
	// is StateRejected when a new order was refused, otherwise 0: a refused cancel
	// says nothing about the order. With ReasonDuplicateOrder, OrderID is that of
	// another order, which lives on.
	EventReject
	// EventRules and EventPhase: the command changed the symbol.
	EventRules
	EventPhase
	// EventContinue: the command hit its cap; Apply must be called with OpContinue
	// next. OrderID is the order that goes on: the taker, whose EventOrder comes
	// just before, or a triggered order that has not started yet.
	EventContinue
)

// OrderState is the life of an order.
type OrderState uint8

// Order states. Everything after StatePartiallyFilled is final.
const (
	StateNew             OrderState = iota + 1 // rests in the book
	StatePendingTrigger                        // a stop order waiting for its price
	StatePartiallyFilled                       // rests, some of it has traded
	StateFilled
	StateCanceled
	StateExpired        // IOC or market remainder, FOK that cannot fill
	StateExpiredInMatch // self-trade prevention
	StateRejected
)

// Final reports whether an order in this state is over.
func (s OrderState) Final() bool { return s >= StateFilled }

// Event is one output of a book: one cache line, a plain value without pointers.
//
// The fields are those of an EventOrder. The cumulative ones are facts about the
// order OrderID after the event (MONEY-SAFETY rule H12): nobody downstream
// recomputes them. An EventTrade keeps what it says in the same words; it is
// read with Event.Trade and made with NewTrade.
type Event struct {
	Kind   EventKind
	State  OrderState
	Reason Reason
	Phase  Phase
	Side   Side // of OrderID

	OrderID  uint64 // trade: the taker
	MemberID uint64 // owner of OrderID, except of a trade

	CumQty        int64 // lots traded so far
	CumQuote      int64 // turnover so far, quote units
	CumFee        int64 // fees so far, units of what the order receives
	LeavesQty     int64 // lots still open, 0 when State is final
	HeldRemaining int64 // what of Hold is still needed; 0 when State is final
}

// Trade is what an EventTrade says. The maker is the order of the EventOrder
// that follows directly; an EventOrder of the taker follows in the same Apply.
type Trade struct {
	TakerID   uint64
	TakerSide Side
	ID        uint64 // counts from 1 without gaps

	Price    int64 // ticks
	Qty      int64 // lots
	Quote    int64 // turnover in quote units
	MakerFee int64 // units of what the maker receives
	TakerFee int64 // units of what the taker receives
}

// Trade returns what an EventTrade says; of another event it makes no sense.
func (e *Event) Trade() Trade {
	return Trade{
		TakerID: e.OrderID, TakerSide: e.Side, ID: e.MemberID, Price: e.LeavesQty,
		Qty: e.CumQty, Quote: e.CumQuote, MakerFee: e.CumFee, TakerFee: e.HeldRemaining,
	}
}

// NewTrade returns the EventTrade that says t.
func NewTrade(t *Trade) Event {
	return Event{
		Kind: EventTrade, Side: t.TakerSide, OrderID: t.TakerID, MemberID: t.ID, LeavesQty: t.Price,
		CumQty: t.Qty, CumQuote: t.Quote, CumFee: t.MakerFee, HeldRemaining: t.TakerFee,
	}
}

// Reason says why a command was refused or an order ended. The values are part
// of the log's meaning: never renumber.
type Reason uint8

// Reasons.
const (
	ReasonNone              Reason = 0
	ReasonUnknownOrder      Reason = 1
	ReasonDuplicateOrder    Reason = 2
	ReasonBadCommand        Reason = 3 // a field that cannot be
	ReasonNoRules           Reason = 4 // the symbol is not listed yet
	ReasonHalted            Reason = 5
	ReasonCancelOnly        Reason = 6
	ReasonPriceRange        Reason = 7
	ReasonQtyRange          Reason = 8
	ReasonOverflow          Reason = 9
	ReasonHoldTooSmall      Reason = 10
	ReasonPostOnlyWouldTake Reason = 11
	ReasonFOKUnfillable     Reason = 12
	ReasonNoLiquidity       Reason = 13 // market or IOC remainder
	ReasonSelfTrade         Reason = 14
	ReasonPriceBand         Reason = 15
	ReasonWouldTrigger      Reason = 16 // a stop order whose price is reached already
	ReasonUserCancel        Reason = 17
	ReasonHoldExhausted     Reason = 18 // a market buy whose Hold buys no further lot
	ReasonQuoteQtyReached   Reason = 19
	ReasonContinuePending   Reason = 20 // another command where only OpContinue may come
	ReasonOpenOrders        Reason = 21 // a unit of the symbol cannot change under open orders
	ReasonBookFull          Reason = 22 // Rules.MaxOpenOrders are open
)

// Engine is what a book can do; Book and the naive twin both implement it.
type Engine interface {
	// Apply executes one command and appends its events to out. It never
	// panics on any input: what cannot be done is an EventReject.
	Apply(cmd *Command, out []Event) []Event
	// Best returns the best price of a side in ticks.
	Best(side Side) (price int64, ok bool)
	// LevelQty returns the open lots at a price, 0 if there is no such level.
	LevelQty(side Side, price int64) int64
	// Depth calls yield for each level of a side, best first, until it returns false.
	Depth(side Side, yield func(price, qty int64) bool)
	// Resting calls yield for each order at rest on a side, by priority, until it returns false.
	Resting(side Side, yield func(id uint64, price, qty int64) bool)
	// Open returns the number of orders that can still trade, triggers included.
	Open() int
	// Order returns the state of an open order as an EventOrder.
	Order(id uint64) (Event, bool)
	// LastPrice returns the price of the last trade in ticks, 0 before the first.
	LastPrice() int64
	// StateHash is a hash of everything that decides future events. It does not
	// depend on the implementation: Book and twin agree.
	StateHash() uint64
	// Snapshot appends a versioned, checksummed image; Restore replaces the state by one.
	Snapshot(dst []byte) []byte
	Restore(src []byte) error
}

// String returns the name of a state as users know it.
func (s OrderState) String() string {
	switch s {
	case StateNew:
		return "NEW"
	case StatePendingTrigger:
		return "PENDING_TRIGGER"
	case StatePartiallyFilled:
		return "PARTIALLY_FILLED"
	case StateFilled:
		return "FILLED"
	case StateCanceled:
		return "CANCELED"
	case StateExpired:
		return "EXPIRED"
	case StateExpiredInMatch:
		return "EXPIRED_IN_MATCH"
	case StateRejected:
		return "REJECTED"
	}
	return "NONE"
}

// String returns a name for logs and tests; the number is what is kept.
func (r Reason) String() string {
	names := [...]string{
		"NONE", "UNKNOWN_ORDER", "DUPLICATE_ORDER", "BAD_COMMAND", "NO_RULES", "HALTED", "CANCEL_ONLY",
		"PRICE_RANGE", "QTY_RANGE", "OVERFLOW", "HOLD_TOO_SMALL", "POST_ONLY_WOULD_TAKE", "FOK_UNFILLABLE",
		"NO_LIQUIDITY", "SELF_TRADE", "PRICE_BAND", "WOULD_TRIGGER", "USER_CANCEL", "HOLD_EXHAUSTED",
		"QUOTE_QTY_REACHED", "CONTINUE_PENDING", "OPEN_ORDERS", "BOOK_FULL",
	}
	if int(r) < len(names) {
		return names[r]
	}
	return "UNKNOWN_REASON"
}
