package stream

import (
	"bytes"
	"errors"
	"fmt"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
)

// ErrHalted is matched by every *HaltError.
var ErrHalted = errors.New("symbol is halted")

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

// HaltError says at which record a consumer stopped and why. Nothing of that record was applied.
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
}

// Error names everything that a person needs to find the record.
func (e *HaltError) Error() string {
	text := fmt.Sprintf("consumer %s is halted by %s at offset %d of %s/%d: %s: want seq %d, got %d",
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

// recentHashes is for how many records of a symbol a duplicate can be compared with what was applied. An
// older one, or one from before the start of this process unless it is the last, is dropped unseen: it would
// not be applied in any case, and a diverging history shows at the latest in the first record that is new,
// because that one does not follow the last applied hash.
const recentHashes = 256

// head is how far a symbol has been applied.
type head struct {
	seq  int64
	hash []byte
	// recent holds the hashes of the last records, by seq modulo its length; entries of records from
	// before the last load are nil.
	recent [][]byte
}

// known returns the hash of an applied record, nil when it is not remembered.
func (h *head) known(seq int64) []byte {
	if seq == h.seq {
		return h.hash
	}
	if h.recent == nil || h.seq-seq >= recentHashes {
		return nil
	}
	return h.recent[seq%recentHashes]
}

func (h *head) push(seq int64, hash []byte) {
	if h.recent == nil {
		h.recent = make([][]byte, recentHashes)
		if h.seq > 0 {
			h.recent[h.seq%recentHashes] = h.hash
		}
	}
	h.seq, h.hash = seq, hash
	h.recent[seq%recentHashes] = hash
}

// chains holds the head of each symbol.
type chains map[string]*head

// newChains starts from what is stored, and keeps of old what still holds: the hashes of recent records.
func newChains(stored map[string]database.SymbolPosition, old chains) chains {
	c := make(chains, len(stored))
	for symbol, p := range stored {
		if h := old[symbol]; h != nil && h.seq == p.Seq && bytes.Equal(h.hash, p.Hash) {
			c[symbol] = h
			continue
		}
		c[symbol] = &head{seq: p.Seq, hash: p.Hash}
	}
	return c
}

// move is a symbol's step within one batch.
type move struct {
	symbol   string
	from, to int64
	hash     []byte
}

// batch is what one transaction does.
type batch struct {
	msgs  []bus.Message // all messages, duplicates included
	fresh []Entry       // the records to apply
	moves []move        // one for each symbol in fresh, in order of first appearance
}

// plan sorts out the longest prefix of msgs that may be applied. A non-nil halt is about the message
// after that prefix. The heads are not changed.
func (c chains) plan(msgs []bus.Message) (b batch, halt *HaltError) {
	at := make(map[string]int) // symbol → index in b.moves
	for i, m := range msgs {
		e, err := OpenMessage(m)
		if err != nil {
			symbol := string(m.Key)
			want := c.seqOf(symbol) + 1
			if j, ok := at[symbol]; ok {
				want = b.moves[j].to + 1
			}
			b.msgs = msgs[:i]
			return b, &HaltError{Offset: m.Offset, Symbol: symbol, WantSeq: want, Reason: ReasonBadRecord, Cause: err}
		}
		if halt := c.step(&b, at, e); halt != nil {
			b.msgs = msgs[:i]
			return b, halt
		}
	}
	b.msgs = msgs
	return b, nil
}

// step takes one record into the batch or says why not.
func (c chains) step(b *batch, at map[string]int, e Entry) *HaltError {
	symbol, seq := e.Body.GetSymbol(), e.Body.GetSeq()
	lastSeq, lastHash := int64(0), []byte(nil)
	if h := c[symbol]; h != nil {
		lastSeq, lastHash = h.seq, h.hash
	}
	j, moved := at[symbol]
	if moved {
		lastSeq, lastHash = b.moves[j].to, b.moves[j].hash
	}
	halt := &HaltError{Offset: e.Message.Offset, Symbol: symbol, WantSeq: lastSeq + 1, GotSeq: seq}
	switch {
	case seq <= lastSeq:
		if known := c.knownHash(b, symbol, seq); known != nil && !bytes.Equal(known, e.Hash) {
			halt.Reason = ReasonConflict
			return halt
		}
		return nil // a duplicate
	case seq > lastSeq+1:
		halt.Reason = ReasonGap
		return halt
	case !bytes.Equal(e.PrevHash, lastHash):
		halt.Reason = ReasonChain
		return halt
	}
	if !moved {
		at[symbol] = len(b.moves)
		b.moves = append(b.moves, move{symbol: symbol, from: lastSeq})
		j = len(b.moves) - 1
	}
	b.moves[j].to, b.moves[j].hash = seq, e.Hash
	b.fresh = append(b.fresh, e)
	return nil
}

// knownHash looks for the hash of an earlier record of the symbol, in this batch and among the recent ones.
func (c chains) knownHash(b *batch, symbol string, seq int64) []byte {
	if h := c[symbol]; h != nil && seq <= h.seq {
		return h.known(seq)
	}
	for i := range b.fresh {
		if b.fresh[i].Body.GetSeq() == seq && b.fresh[i].Body.GetSymbol() == symbol {
			return b.fresh[i].Hash
		}
	}
	return nil
}

func (c chains) seqOf(symbol string) int64 {
	if h := c[symbol]; h != nil {
		return h.seq
	}
	return 0
}

// commit takes over what a transaction has applied.
func (c chains) commit(b batch) {
	for _, e := range b.fresh {
		symbol := e.Body.GetSymbol()
		h := c[symbol]
		if h == nil {
			h = &head{}
			c[symbol] = h
		}
		h.push(e.Body.GetSeq(), e.Hash)
	}
}
