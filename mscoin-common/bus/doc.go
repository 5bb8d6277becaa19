// Package bus is the only door to Kafka: explicit partitions, acknowledged writes, contiguous reads.
//
// Writing. Client.Produce makes exactly one attempt and waits for all in-sync replicas. There is no
// retry inside, because a retry that the caller does not see duplicates records: an error that is
// not ErrNotSent means that the records may be in the log, now or a little later.
//
// Reading. A Subscription reads one partition from an offset that the caller keeps (in a database, in
// the same transaction as the work; there are no consumer groups). It delivers every offset once
// and in order, or fails: ErrGap when an offset is missing, ErrTruncated when the log does not reach
// from its beginning to the asked offset any more. It never jumps.
//
// Time. Message.TimeMs is the broker's append time where the topic says
// message.timestamp.type=LogAppendTime (all topics of this project do). The client library reports
// the producer's time instead, so this package decodes fetched batches itself.
//
// The suite in bus/bustest runs against every broker that is used.
package bus
