package stream

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"mscoin/mscoin-common/database"
)

var (
	// ErrHalted is matched by every *HaltError.
	ErrHalted = errors.New("symbol is halted")
	// ErrParkFull stops a partition: more would have to be set aside than is allowed.
	ErrParkFull = errors.New("too much is set aside")
)

// Reason says why a symbol was halted.
type Reason string

// The reasons.
const (
	// ReasonBadRecord is a record that cannot be read or whose hash is wrong.
	ReasonBadRecord Reason = "bad record"
	// ReasonGap is a record that is missing.
	ReasonGap Reason = "gap"
	// ReasonConflict is a second, different record with a number that was seen before.
	ReasonConflict Reason = "conflicting duplicate"
	// ReasonChain is a record that does not follow the one before it.
	ReasonChain Reason = "broken hash chain"
	// ReasonApply is a record that the service cannot apply, however often it is tried.
	ReasonApply Reason = "records cannot be applied"
)

// HaltError says at which record a consumer halted a symbol and why. Nothing of that
// record was applied; it and the symbol's later ones are parked, other symbols go on.
type HaltError struct {
	Consumer  string
	Topic     string
	Partition int
	Offset    int64
	// Symbol of the record; its message key when the record cannot be read.
	Symbol string
	// WantSeq is the number that was due, GotSeq the record's (0 when unreadable).
	WantSeq, GotSeq int64
	Reason          Reason
	// Cause is the error of a record that is unreadable or cannot be applied, nil otherwise.
	Cause error
	// SinceMs is when the symbol was halted.
	SinceMs int64
	// Parked counts the records that wait, ParkedBytes their bytes. Draining says that an
	// operator has decided and they are being applied.
	Parked, ParkedBytes int64
	Draining            bool
}

// Error names everything that a person needs to find the record.
func (e *HaltError) Error() string {
	text := fmt.Sprintf("consumer %s has halted %s at offset %d of %s/%d: %s: want seq %d, got %d",
		e.Consumer, e.Symbol, e.Offset, e.Topic, e.Partition, e.Reason, e.WantSeq, e.GotSeq)
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Is makes errors.Is(err, ErrHalted) true.
func (e *HaltError) Is(target error) bool { return target == ErrHalted }

// Unwrap returns the cause.
func (e *HaltError) Unwrap() error { return e.Cause }

// row is the halt that this error begins.
func (e *HaltError) row() database.Halt {
	h := database.Halt{
		Consumer: e.Consumer, Symbol: e.Symbol, Topic: e.Topic, Partition: e.Partition, Offset: e.Offset,
		WantSeq: e.WantSeq, GotSeq: e.GotSeq, Reason: string(e.Reason), NextPlace: database.FirstPlace, SinceMs: e.SinceMs,
	}
	if e.Cause != nil {
		h.Cause = e.Cause.Error()
	}
	return h
}

// HaltOf returns a stored halt as the error that it is.
func HaltOf(h *database.Halt) *HaltError {
	e := &HaltError{
		Consumer: h.Consumer, Symbol: h.Symbol, Topic: h.Topic, Partition: h.Partition, Offset: h.Offset,
		WantSeq: h.WantSeq, GotSeq: h.GotSeq, Reason: Reason(h.Reason), SinceMs: h.SinceMs,
		Parked: h.Parked, ParkedBytes: h.ParkedBytes, Draining: h.State == database.Draining,
	}
	if h.Cause != "" {
		e.Cause = errors.New(h.Cause)
	}
	return e
}

// maxSymbolBytes is what the tables hold of a symbol's name.
const maxSymbolBytes = 32

// SymbolOf is the symbol that a message with this key belongs to. A key that cannot be
// a symbol's name gets one made of its hash, so that it halts nothing but itself.
func SymbolOf(key []byte) string {
	plain := len(key) > 0 && len(key) <= maxSymbolBytes && key[0] != '?'
	for _, b := range key {
		plain = plain && b > ' ' && b < 0x7f
	}
	if plain {
		return string(key)
	}
	sum := sha256.Sum256(key)
	return "?" + hex.EncodeToString(sum[:])[:maxSymbolBytes-1]
}
