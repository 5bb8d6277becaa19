package bus

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// Topics of the money pipeline. All have the same number of partitions; a symbol's partition comes
// from the table of symbols, never from a hash.
const (
	// TopicCommands is the command log that the matcher reads (event.v1.Command).
	TopicCommands = "exchange_order_trading"
	// TopicCompleted carries one record for each command, from the matcher (event.v1.Record).
	TopicCompleted = "exchange-order-completed"
	// TopicSettle carries the same records, whole, once the order store has applied them.
	TopicSettle = "exchange_order_complete_update_success"
)

// MaxBatchBytes bounds the keys and values of one Produce call (8 MiB minus room for framing).
const MaxBatchBytes = 8<<20 - 64<<10

// maxMessageBytes is the topics' max.message.bytes.
const maxMessageBytes = 8 << 20

var (
	// ErrNotSent marks a Produce error after which the records are certainly not in the log and
	// will not appear there. Any other Produce error leaves the outcome unknown.
	ErrNotSent = errors.New("not sent")
	// ErrTooLarge is an ErrNotSent for a batch over MaxBatchBytes.
	ErrTooLarge = errors.New("batch is too large")
	// ErrNoRecord means that the offset is at or after the end of the log.
	ErrNoRecord = errors.New("no record at this offset")
	// ErrClosed is returned by a closed Client or Subscription.
	ErrClosed = errors.New("closed")
)

// Message is one record of a partition.
type Message struct {
	Topic     string
	Partition int
	// Offset is the position in the partition; ignored by Produce.
	Offset int64
	// TimeMs is the append time in ms since the epoch; ignored by Produce.
	TimeMs int64
	Key    []byte
	Value  []byte
	// Trace carries a traced order's trace on, in the header telemetry.ParentHeader; "" for
	// most messages. It is no part of what the message says, nor of its Fingerprint.
	Trace string
}

// GapError says that the log continues after a missing offset. It wraps nothing: there is no way to
// go on without losing a record.
type GapError struct {
	Topic     string
	Partition int
	// Want is the next offset that was due, Got the one that came instead.
	Want, Got int64
}

// Error describes the gap.
func (e *GapError) Error() string {
	return fmt.Sprintf("gap in %s/%d: want offset %d, got %d", e.Topic, e.Partition, e.Want, e.Got)
}

// Is makes errors.Is(err, ErrGap) true.
func (e *GapError) Is(target error) bool { return target == ErrGap }

// TruncatedError says that an offset lies outside of the log: its records were deleted, or the log is
// shorter than it was when the offset was noted.
type TruncatedError struct {
	Topic     string
	Partition int
	// Offset is the one that was asked for; First and End delimit the log: First <= offset < End
	// exist. They are -1 when unknown.
	Offset, First, End int64
}

// Error describes what was asked and what there is.
func (e *TruncatedError) Error() string {
	return fmt.Sprintf("log of %s/%d does not reach offset %d: it holds %d up to %d",
		e.Topic, e.Partition, e.Offset, e.First, e.End)
}

// Is makes errors.Is(err, ErrTruncated) true.
func (e *TruncatedError) Is(target error) bool { return target == ErrTruncated }

var (
	// ErrGap is matched by every *GapError.
	ErrGap = errors.New("gap in the log")
	// ErrTruncated is matched by every *TruncatedError.
	ErrTruncated = errors.New("log is truncated")
)

// Fingerprint identifies a record: its place, time and content (SHA-256). Stored beside a position, it
// tells a log that was recreated or restored from the one that was consumed.
func Fingerprint(m Message) []byte {
	h := sha256.New()
	var head [24]byte
	binary.BigEndian.PutUint64(head[0:], uint64(m.Offset))
	binary.BigEndian.PutUint64(head[8:], uint64(m.TimeMs))
	binary.BigEndian.PutUint64(head[16:], uint64(len(m.Key)))
	h.Write(head[:])
	h.Write(m.Key)
	h.Write(m.Value)
	return h.Sum(nil)
}
