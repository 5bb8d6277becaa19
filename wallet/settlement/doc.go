// Package settlement turns one output record of the matcher and the holds it
// touches into postings: what each fill takes from a hold and gives to the
// counterparty, the fees, and what returns when an order ends. It does no I/O,
// reads no clock and rounds nothing: every amount is one that the matcher
// stated, or the difference of two (H12).
//
// The matcher states cumulative facts of an order. From them follows
//
//	consumed = turnover (buy) or traded amount (sell)
//	released = held − consumed − held remaining
//
// and the change since the last record is what moves now. [Settle] refuses a
// record whose trades do not add up to exactly that change for every order; a
// refused record is a broken invariant of the pipeline, never a business case.
package settlement
