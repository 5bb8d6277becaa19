package stream

import (
	"bytes"
	"fmt"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
)

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
	msgs  []bus.Message // all messages, duplicates and parked ones included
	fresh []Entry       // the records to apply
	moves []move        // one for each symbol in fresh, in order of first appearance
	parks []*parking    // one for each symbol with records to set aside, in order of first appearance

	at     map[string]int // symbol → index in moves
	parked map[string]*parking
}

// parking is what a batch sets aside of one symbol.
type parking struct {
	halt    database.Halt // as it will be
	begins  bool          // it is this batch that halts the symbol
	records []database.Parked
}

// planner sorts messages into what is applied, dropped and set aside.
type planner struct {
	chains
	consumer string
	nowMs    int64
	halts    map[string]database.Halt // the symbols that are halted already
	limits   limits
}

// limits bound what is set aside.
type limits struct {
	halts       int
	rows, bytes int64
}

// plan sorts out the longest prefix of msgs that one transaction may take in. A record
// that must not be applied, and all later ones of its symbol, are set aside. A non-nil
// error, which wraps ErrParkFull, is about the message after the prefix. The heads and
// halts are not changed.
func (p planner) plan(msgs []bus.Message) (batch, error) {
	b := batch{at: make(map[string]int), parked: make(map[string]*parking)}
	for i, m := range msgs {
		e, halt := p.sort(&b, m)
		var err error
		switch {
		case halt != nil:
			err = p.park(&b, m, e, halt)
		case e.Body != nil:
			b.fresh = append(b.fresh, e)
		}
		if err != nil {
			b.msgs = msgs[:i]
			return b, err
		}
	}
	b.msgs = msgs
	return b, nil
}

// sort says what to do with a message: apply it (an entry, already counted in the
// batch's moves), drop it (no entry) or set it aside (a halt, which only matters when
// the symbol is not halted yet).
func (p planner) sort(b *batch, m bus.Message) (Entry, *HaltError) {
	symbol := SymbolOf(m.Key)
	_, halted := p.halts[symbol]
	if b.parked[symbol] != nil {
		halted = true
	}
	e, err := OpenMessage(m)
	if err == nil && e.Body.GetSymbol() != symbol {
		err = fmt.Errorf("open record: %w: %q cannot be a symbol", ErrBadRecord, m.Key)
	}
	if err != nil {
		lastSeq, _ := p.last(b, symbol)
		return Entry{}, &HaltError{Offset: m.Offset, Symbol: symbol, WantSeq: lastSeq + 1, Reason: ReasonBadRecord, Cause: err}
	}
	fresh, halt := p.step(b, e, !halted)
	switch {
	case halt != nil:
		return e, halt
	case !fresh:
		return Entry{}, nil
	case halted:
		return e, &HaltError{}
	}
	return e, nil
}

// last returns the symbol's head after what the batch has taken so far.
func (c chains) last(b *batch, symbol string) (seq int64, hash []byte) {
	if j, ok := b.at[symbol]; ok {
		return b.moves[j].to, b.moves[j].hash
	}
	if h := c[symbol]; h != nil {
		return h.seq, h.hash
	}
	return 0, nil
}

// step compares one record with what is due. It is fresh when it is the next one, and
// then moves the symbol if take is set; otherwise it is a duplicate, or a halt.
func (c chains) step(b *batch, e Entry, take bool) (fresh bool, halt *HaltError) {
	symbol, seq := e.Body.GetSymbol(), e.Body.GetSeq()
	lastSeq, lastHash := c.last(b, symbol)
	halt = &HaltError{Offset: e.Message.Offset, Symbol: symbol, WantSeq: lastSeq + 1, GotSeq: seq}
	switch {
	case seq <= lastSeq:
		if known := c.knownHash(b, symbol, seq); known != nil && !bytes.Equal(known, e.Hash) {
			halt.Reason = ReasonConflict
			return false, halt
		}
		return false, nil
	case seq > lastSeq+1:
		halt.Reason = ReasonGap
		return false, halt
	case !bytes.Equal(e.PrevHash, lastHash):
		halt.Reason = ReasonChain
		return false, halt
	case !take:
		return true, nil
	}
	j, moved := b.at[symbol]
	if !moved {
		j = len(b.moves)
		b.at[symbol] = j
		b.moves = append(b.moves, move{symbol: symbol, from: lastSeq})
	}
	b.moves[j].to, b.moves[j].hash = seq, e.Hash
	return true, nil
}

// refuse makes the batch that sets aside a record which cannot be applied.
func (p planner) refuse(m bus.Message, e Entry, cause error) (batch, error) {
	b := batch{msgs: []bus.Message{m}, at: make(map[string]int), parked: make(map[string]*parking)}
	return b, p.park(&b, m, e, &HaltError{
		Offset: m.Offset, Symbol: SymbolOf(m.Key), WantSeq: e.Body.GetSeq(), GotSeq: e.Body.GetSeq(), Reason: ReasonApply, Cause: cause,
	})
}

// prefix sorts out the longest prefix of msgs that may be applied, and says what is
// wrong with the message after it.
func (c chains) prefix(msgs []bus.Message) (batch, *HaltError) {
	p := planner{chains: c}
	b := batch{at: make(map[string]int)}
	for i, m := range msgs {
		e, halt := p.sort(&b, m)
		if halt != nil {
			b.msgs = msgs[:i]
			return b, halt
		}
		if e.Body != nil {
			b.fresh = append(b.fresh, e)
		}
	}
	b.msgs = msgs
	return b, nil
}

// park sets a message aside, and halts its symbol if it is not halted yet.
func (p planner) park(b *batch, m bus.Message, e Entry, why *HaltError) error {
	symbol := SymbolOf(m.Key)
	k := b.parked[symbol]
	if k == nil {
		h, halted := p.halts[symbol]
		if !halted {
			if len(p.halts)+len(b.parks) >= p.limits.halts {
				return fmt.Errorf("%w: %d symbols are halted; %w", ErrParkFull, len(p.halts), why)
			}
			why.Consumer, why.Topic, why.Partition, why.SinceMs = p.consumer, m.Topic, m.Partition, p.nowMs
			h = why.row()
		}
		k = &parking{halt: h, begins: !halted}
	}
	parked := database.Parked{
		Place: k.halt.NextPlace, Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, TimeMs: m.TimeMs,
		Fingerprint: bus.Fingerprint(m), Key: m.Key, Value: m.Value,
	}
	if e.Body != nil {
		parked.Seq = e.Body.GetSeq()
	}
	if k.halt.Parked >= p.limits.rows || k.halt.ParkedBytes+parked.Bytes() > p.limits.bytes {
		return fmt.Errorf("%w: %s has %d records with %d bytes set aside since offset %d of %s/%d",
			ErrParkFull, symbol, k.halt.Parked, k.halt.ParkedBytes, k.halt.Offset, k.halt.Topic, k.halt.Partition)
	}
	k.halt.Parked++
	k.halt.ParkedBytes += parked.Bytes()
	k.halt.NextPlace++
	k.records = append(k.records, parked)
	if b.parked[symbol] == nil {
		b.parked[symbol] = k
		b.parks = append(b.parks, k)
	}
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
