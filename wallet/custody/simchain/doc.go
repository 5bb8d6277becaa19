// Package simchain is a simulated chain with its custody, for local use and for tests:
// blocks, confirmations, reorganisations, addresses with checksums, network fees. Each
// coin has a chain of its own. It implements custody.Custody, in process ([Node]) and
// over HTTP ([Client], [Handler]), and has controls that no real chain offers: money from
// nowhere, blocks on demand, a reorganisation, a transaction that is forgotten.
//
// Everything that happens is an operation, applied to a deterministic state and appended
// to a log file that is synced before the operation is answered. A start replays the log.
// An incomplete last line is of an operation that nobody was told of, and is cut off.
//
// Blocks come from a clock, see [Node.Run], or one by one, see [Node.Mine]. A chain on
// which nothing has happened for [RestAfter] blocks rests, so that the log of an idle
// chain does not grow.
package simchain
