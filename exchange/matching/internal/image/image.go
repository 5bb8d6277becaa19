// Package image defines what is the same for every implementation of a book:
// the state hash and the bytes of a snapshot. Both are functions of the state
// alone, so any two implementations agree on them, and one can restore what
// another has saved.
//
// A snapshot is
//
//	magic "mscbook" and a version byte
//	head: rules, phase, last price, counters, continuation
//	number of bids, asks and waiting orders, then the orders: bids best first,
//	asks best first, waiting orders by their sequence number
//	state hash, 8 bytes
//	checksum of everything before it, 8 bytes
//
// Numbers are variable-length (7 bits a byte, low first, shortest form only)
// and, where neighbours are alike, differences from the order before. Every
// state has exactly one image and every image that Open accepts is one that
// Writer makes.
package image

import "math"

// Limits that hold for every book, whatever its rules say.
const (
	MaxPrice  = int64(1) << 62
	MaxQty    = int64(1) << 62
	MaxOrders = 1 << 25
	MaxFee    = 1_000_000 // millionths
)

// Order is an order with everything that decides its future. An order at rest
// uses ID, Member, Seq, Side, Price, Leaves, MakerFee and the Cum fields only.
type Order struct {
	ID, Member, Seq      uint64
	Side, Type, TIF, STP uint8
	AnyQty               bool  // a market order without Qty: Leaves is just the most that can be counted
	AnyQuote             bool  // an order without QuoteQty: Quote is just the most that can be counted
	Price, Stop          int64 // ticks
	Leaves               int64 // lots
	Quote                int64 // quote units that it may still trade for
	Hold                 int64 // what is left of the hold; unused by limit types
	CumQty               int64
	CumQuote, CumFee     int64
	MakerFee, TakerFee   int32
}

// Head is the state of a book without its orders.
type Head struct {
	Listed                                bool
	Phase                                 uint8
	BaseUnitsPerLot, QuoteUnitsPerTickLot int64
	MaxPrice, MaxQty                      int64
	BandUpPpm, BandDownPpm                int64
	MaxFillsPerCommand, MaxOpenOrders     int32
	Last                                  int64
	Trades, Seq                           uint64 // given out so far
	Pending                               bool   // a continuation is due
	Low, High                             int64  // trade prices that stop orders have not been compared with yet
	Working                               bool   // the continuation goes on with Work
	Work                                  Order
}

// NoRange is the empty range of prices for Low and High.
const (
	NoLow  = int64(math.MaxInt64)
	NoHigh = int64(0)
)

// Order types and modes as the matching package numbers them.
const (
	typeLimit           = 1
	typeMarket          = 2
	typeStopLoss        = 3
	typeStopLossLimit   = 4
	typeTakeProfit      = 5
	typeTakeProfitLimit = 6
)

// IsLimit reports whether a type has a limit price.
func IsLimit(typ uint8) bool {
	return typ == typeLimit || typ == typeStopLossLimit || typ == typeTakeProfitLimit
}

// Rising reports whether an order waits for the price to rise to its stop
// price, and not to fall.
func Rising(typ, side uint8) bool {
	return (typ == typeStopLoss || typ == typeStopLossLimit) == (side == 0)
}
