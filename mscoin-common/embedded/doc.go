// Package embedded runs the two pieces of infrastructure that mscoin needs next to a database
// inside the own process: a broker that speaks the Kafka protocol and keeps its log on disk, and a
// Redis-compatible cache that lives in memory.
//
// Both are reached over TCP by the very same client code as the real servers; only the addresses
// differ. They are meant for trying the exchange, for development, for tests and for small private
// exchanges: one broker, no replica. What the broker acknowledged is synced to disk and survives
// both a killed process and a power cut; what is in Redis does not survive a restart (sessions,
// locks and caches only, never money).
package embedded
