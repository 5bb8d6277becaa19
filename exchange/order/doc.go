// Package order is the life of an order outside the book: what a member may ask
// for under a symbol's rules ([Validate]), what the wallet has to set aside for it
// ([HoldFor]), and how the matcher's facts change it ([Order.Advance]).
//
// It does no I/O, reads no clock and starts no goroutine. All amounts are int64
// counts of a coin's smallest kept unit; a price is quote units for one whole base
// coin. Enumerations have the numbers of event.v1, so that the borders cast them.
package order
