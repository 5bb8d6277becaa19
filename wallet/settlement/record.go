package settlement

import "fmt"

// Side of an order or trade.
type Side uint8

// Sides; SideNone is only met on the rejection of an unknown order.
const (
	SideNone Side = iota
	Buy
	Sell
)

// State of an order as far as money is concerned.
type State uint8

// States of an order.
const (
	// Live orders keep what they hold.
	Live State = iota + 1
	// Ended orders keep nothing: filled, cancelled or expired.
	Ended
	// Rejected orders never entered the book.
	Rejected
)

// Record is what one command did, reduced to what moves money.
type Record struct {
	Symbol    string
	Seq       int64
	TimeMs    int64
	BaseCoin  string
	QuoteCoin string
	Trades    []Trade
	Orders    []OrderUpdate
}

// Trade is a match between two orders. Quantity is in base units, Turnover in
// quote units, each fee in units of what that side receives.
type Trade struct {
	TradeID       int64
	Quantity      int64
	Turnover      int64
	TakerSide     Side
	MakerOrderID  int64
	TakerOrderID  int64
	MakerMemberID int64
	TakerMemberID int64
	MakerFee      int64
	TakerFee      int64
}

// OrderUpdate states the cumulative facts of an order after the record.
type OrderUpdate struct {
	OrderID       int64
	MemberID      int64
	Side          Side
	State         State
	Traded        int64
	Turnover      int64
	Fee           int64
	HeldRemaining int64
}

// OrderIDs returns the ids of the orders that the record speaks of.
func (r *Record) OrderIDs() []int64 {
	ids := make([]int64, len(r.Orders))
	for i := range r.Orders {
		ids[i] = r.Orders[i].OrderID
	}
	return ids
}

// MemberIDs returns the owners of these orders, with repetitions.
func (r *Record) MemberIDs() []int64 {
	ids := make([]int64, len(r.Orders))
	for i := range r.Orders {
		ids[i] = r.Orders[i].MemberID
	}
	return ids
}

// Error is a record that cannot be settled. It names what contradicts what, so
// that the record can be found in the log.
type Error struct {
	Symbol  string
	Seq     int64
	OrderID int64
	TradeID int64
	Err     error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("settlement: %s record %d order %d trade %d: %v", e.Symbol, e.Seq, e.OrderID, e.TradeID, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
