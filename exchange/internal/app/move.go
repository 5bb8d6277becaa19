package app

import (
	"mscoin/exchange/order"
)

// Move is a symbol on its way from one partition to another.
type Move struct {
	Symbol   string
	From, To int
	// Phase is what the symbol had before, and gets back.
	Phase order.Phase
	// RequestID is the decision's.
	RequestID string
	BegunMs   int64
}
