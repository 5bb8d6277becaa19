// Package stream is how a service follows the matcher's records: every record of every symbol exactly
// once, in order, or not at all.
//
// A Consumer reads one partition and keeps its position in the service's own database. For each batch it
// runs one transaction whose first statements move the position (the fence: whoever else believes to own
// the partition rolls back) and in which the service applies the records that are new. Then it notifies
// those who wait to read their own writes, and forwards the batch, whole and duplicates included, to the
// next topic if there is one.
//
// The rules of the pipeline that live here:
//
//   - Each record carries its symbol's sequence number, the hash of the record before it and its own. A
//     repeated record is dropped, when it is the same. A missing, changed or unreadable one, and one that
//     the service cannot apply, halts its symbol: that record and all later ones of the symbol are parked
//     in a table, in the transaction that moves the position, and other symbols go on. Halted tells which
//     and why. What is parked is bounded; beyond the bound the partition stops, and Stopped says so.
//   - A halted symbol waits for an operator: Decide carries out a decision and records it in one
//     transaction. Then the parked records are applied in order, until the symbol is live again or another
//     record halts it.
//   - Whether a database or the records are at fault is told apart: an outage is waited for and halts nothing.
//   - The position is moved in the same transaction as the work. A crash repeats nothing and loses nothing.
//   - The input topic is the outbox of the forwarded topic: a second position says up to where records
//     have certainly been forwarded, and a restart forwards again from there. Every record is forwarded,
//     parked or not, in the order of the input: the reader on the other side drops what it knows, and
//     judges the rest by itself.
//   - At the start, and after every error, the log is compared with the position: a log that was truncated
//     or recreated ends Run with ErrLogLost.
package stream
