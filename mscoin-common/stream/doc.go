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
//     repeated record is dropped, when it is the same; a missing, changed or unreadable one halts the
//     consumer at that record: what came before is applied, the record is neither applied nor skipped, and
//     Halted tells which symbol and why.
//   - The position is moved in the same transaction as the work. A crash repeats nothing and loses nothing.
//   - The input topic is the outbox of the forwarded topic: a second position says up to where records
//     have certainly been forwarded, and a restart forwards again from there. The reader on the other side
//     drops what it knows.
//   - At the start, and after every error, the log is compared with the position: a log that was truncated
//     or recreated ends Run with ErrLogLost.
package stream
