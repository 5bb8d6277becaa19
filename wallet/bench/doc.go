// Command bench measures how fast orders are settled, against the loop that a first design of
// an exchange has: one message, one lock, two reads and one transaction with two
// updates for each completed order. Both settle the same kind of orders, in turns, in
// one run, on the same database, Redis and broker; see `make bench-settlement`.
//
// The rival is kept as it was drawn, and repaired so that it ends and is correct: its
// amounts are whole units instead of floats, an order whose lock is taken waits
// instead of being dropped, and each message is sent once. What it leaves out is left
// out: no holds, no journal, no fees, no position, so a redelivery would settle twice.
// Reading its messages costs it nothing but the fetch; it commits no offsets.
//
// Our side is the wallet's own consumer: records of two commands for each trade (an
// order that rests and one that takes it), hash chain and position checked, Redis
// locks, holds, wallets and the zero-sum journal with fees.
package main
