// Package matching is the order book of one symbol: price-time priority,
// fed with commands, handing back events. It is a deterministic state machine:
// the same commands give the same events on every machine and in every release
// (MONEY-SAFETY rule H13), so it reads no clock, starts no goroutine, iterates
// over no map, uses no floating point and does no I/O.
//
// Prices are counts of ticks, quantities counts of lots, money counts of the
// smallest kept unit of a coin; see Rules for how they relate.
package matching
