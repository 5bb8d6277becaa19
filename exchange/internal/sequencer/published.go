package sequencer

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"reflect"
	"slices"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

const (
	// maxAhead bounds the records of other symbols that are read to find one.
	maxAhead = 4096
	// recentRecords is for how many records of a symbol a repetition is compared.
	recentRecords = 256
)

// record is a published record; bad says why it cannot be one.
type record struct {
	offset int64
	entry  stream.Entry
	bad    error
}

// recordOf reads a published record.
func recordOf(msg bus.Message) (*record, bool) {
	e, err := stream.OpenMessage(msg)
	return &record{offset: msg.Offset, entry: e, bad: err}, err == nil
}

func (r *record) differs(what, field, stored, replayed string) *Difference {
	return &Difference{
		What: what, Command: r.entry.Body.GetCommandOffset(), Record: r.offset, Symbol: r.entry.Body.GetSymbol(), Seq: r.entry.Body.GetSeq(),
		Field: field, Stored: stored, Replayed: replayed,
	}
}

// published reads the published records as a consumer does: each symbol's in order,
// repetitions dropped.
type published struct {
	log       Log
	partition int
	only      string
	sub       Subscription
	next, end int64
	heads     map[string]*publishedHead
	ahead     []*record // read, and not compared yet
}

// publishedHead is the last record of a symbol that was read, and the hashes of the last ones.
type publishedHead struct {
	seq    int64
	recent [recentRecords][]byte
}

func newPublished(log Log, partition int, only string, from int64, m *Machine) *published {
	p := &published{
		log: log, partition: partition, only: only, next: from, heads: map[string]*publishedHead{},
		sub: log.Subscribe(bus.TopicCompleted, partition, from),
	}
	for name, b := range m.books {
		p.begin(name, b.seq, b.hash)
	}
	for name, l := range m.left {
		p.begin(name, l.Seq, l.Hash)
	}
	return p
}

func (p *published) begin(name string, seq int64, hash []byte) *publishedHead {
	h := &publishedHead{seq: seq}
	h.recent[seq%recentRecords] = bytes.Clone(hash)
	p.heads[name] = h
	return h
}

func (p *published) close() { p.sub.Close() }

// compare finds the record that is published in place of a replayed one, false if there
// is none yet.
func (p *published) compare(ctx context.Context, rec Sealed) (d *Difference, ok bool, err error) {
	r, d, err := p.of(ctx, rec)
	switch {
	case err != nil || d != nil:
		return d, false, err
	case r == nil:
		return p.absent(rec), false, nil
	}
	if bytes.Equal(r.entry.Hash, rec.Hash) {
		return nil, true, nil
	}
	if field, stored, replayed, differs := firstDifference(r.entry.Body, rec.Body); differs {
		return r.differs(WhatRecord, field, stored, replayed), false, nil
	}
	// The same words: another place in the chain, or fields that only another release knows.
	return r.differs(WhatRecord, "hash", hex.EncodeToString(r.entry.Hash), hex.EncodeToString(rec.Hash)), false, nil
}

// absent is the difference of a record that nobody has published, nil while it may still
// come: then there is no later one either.
func (p *published) absent(rec Sealed) *Difference {
	for _, r := range p.ahead {
		if r.entry.Body.GetCommandOffset() > rec.Body.GetCommandOffset() {
			return &Difference{
				What: WhatMissing, Command: rec.Body.GetCommandOffset(), Record: -1, Symbol: rec.Symbol, Seq: rec.Body.GetSeq(),
				Field: "record", Stored: fmt.Sprintf("the next is record %d of %s at offset %d", r.entry.Body.GetSeq(), r.entry.Body.GetSymbol(), r.offset),
				Replayed: "hash " + hex.EncodeToString(rec.Hash),
			}
		}
	}
	return nil
}

// of returns the published record of a replayed one's symbol that comes next, nil if
// there is none.
func (p *published) of(ctx context.Context, rec Sealed) (*record, *Difference, error) {
	for i := 0; ; i++ {
		for i == len(p.ahead) {
			if len(p.ahead) >= maxAhead {
				return nil, nil, nil
			}
			d, more, err := p.read(ctx)
			if err != nil || d != nil {
				return nil, d, err
			}
			if !more {
				return nil, nil, nil
			}
		}
		r := p.ahead[i]
		if r.entry.Body.GetSymbol() != rec.Symbol {
			continue
		}
		if r.entry.Body.GetSeq() != rec.Body.GetSeq() {
			return nil, nil, nil // read checks the order: the one that is due is missing
		}
		p.ahead = slices.Delete(p.ahead, i, i+1)
		return r, nil, nil
	}
}

// read reads on until a record that is new is ahead, and reports whether there is one.
func (p *published) read(ctx context.Context) (d *Difference, more bool, err error) {
	for {
		if p.next >= p.end {
			if _, p.end, err = p.log.Bounds(ctx, bus.TopicCompleted, p.partition); err != nil {
				return nil, false, fmt.Errorf("inspect output log: %w", err)
			}
			if p.next >= p.end {
				return nil, false, nil
			}
		}
		msgs, err := p.sub.Fetch(ctx, replayBatch, idleWait)
		if err != nil {
			return nil, false, fmt.Errorf("read output log: %w", err)
		}
		before := len(p.ahead)
		for _, msg := range msgs {
			p.next = msg.Offset + 1
			if d := p.take(msg); d != nil {
				return d, false, nil
			}
		}
		if len(p.ahead) > before {
			return nil, true, nil
		}
	}
}

// take sorts a record in: new, a repetition, or something that must not be.
func (p *published) take(msg bus.Message) *Difference {
	if p.only != "" && stream.SymbolOf(msg.Key) != p.only {
		return nil
	}
	r, ok := recordOf(msg)
	if !ok {
		return &Difference{
			What: WhatUnreadable, Command: -1, Record: msg.Offset, Symbol: stream.SymbolOf(msg.Key), Field: "record", Stored: r.bad.Error(), Replayed: "unknown",
		}
	}
	name, seq := r.entry.Body.GetSymbol(), r.entry.Body.GetSeq()
	h := p.heads[name]
	if h == nil { // it is listed, or comes from another partition: its first number is the replay's to judge
		h = p.begin(name, seq-1, r.entry.PrevHash)
	}
	if seq <= h.seq {
		known := h.recent[seq%recentRecords]
		if h.seq-seq < recentRecords && known != nil && !bytes.Equal(known, r.entry.Hash) {
			return r.differs(WhatTwice, "hash", hex.EncodeToString(r.entry.Hash), hex.EncodeToString(known))
		}
		return nil
	}
	// A number after a gap is kept as it is: the replay finds that the one before is missing.
	h.seq = seq
	h.recent[seq%recentRecords] = r.entry.Hash
	p.ahead = append(p.ahead, r)
	return nil
}

// find returns the record that answers a command, nil if there is none.
func (p *published) find(ctx context.Context, command int64) (*record, error) {
	for i := 0; ; i++ {
		if i == len(p.ahead) {
			d, more, err := p.read(ctx)
			if err != nil || d != nil || !more {
				return nil, err
			}
		}
		if at := p.ahead[i].entry.Body.GetCommandOffset(); at == command {
			return p.ahead[i], nil
		}
	}
}

// rest returns a record that was read and that no command before next has given.
func (p *published) rest(ctx context.Context, next int64) (*Difference, error) {
	if d, _, err := p.read(ctx); err != nil || d != nil {
		return d, err
	}
	for _, r := range p.ahead {
		if r.entry.Body.GetCommandOffset() < next {
			return r.differs(WhatUnexpected, "record", "hash "+hex.EncodeToString(r.entry.Hash), "nothing"), nil
		}
	}
	return nil, nil //nolint:nilnil // nothing differs
}

// firstDifference returns the path of the first exported field in which two values of
// one type differ, and what is there. Lists that are empty and missing are the same.
func firstDifference(a, b any) (field, inA, inB string, differs bool) {
	return compareValues("", reflect.ValueOf(a), reflect.ValueOf(b))
}

func compareValues(path string, a, b reflect.Value) (field, inA, inB string, differs bool) {
	here := func() (string, string, string, bool) { return path, show(a), show(b), true }
	switch a.Kind() { //nolint:exhaustive // the rest is compared as it is
	case reflect.Pointer:
		if a.IsNil() || b.IsNil() {
			if a.IsNil() && b.IsNil() {
				return "", "", "", false
			}
			return here()
		}
		return compareValues(path, a.Elem(), b.Elem())
	case reflect.Struct:
		for i := range a.NumField() {
			f := a.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			name := f.Name
			if path != "" {
				name = path + "." + f.Name
			}
			if f.Anonymous {
				name = path
			}
			if field, x, y, differs := compareValues(name, a.Field(i), b.Field(i)); differs {
				return field, x, y, true
			}
		}
		return "", "", "", false
	case reflect.Slice:
		if a.Type().Elem().Kind() == reflect.Uint8 {
			if !bytes.Equal(a.Bytes(), b.Bytes()) {
				return here()
			}
			return "", "", "", false
		}
		for i := range min(a.Len(), b.Len()) {
			if field, x, y, differs := compareValues(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i)); differs {
				return field, x, y, true
			}
		}
		if a.Len() != b.Len() {
			return path, fmt.Sprintf("%d entries", a.Len()), fmt.Sprintf("%d entries", b.Len()), true
		}
		return "", "", "", false
	}
	if !a.Equal(b) {
		return here()
	}
	return "", "", "", false
}

// show prints a value for people; long ones are cut.
func show(v reflect.Value) string {
	const longest = 80
	text := fmt.Sprint(v.Interface())
	switch {
	case v.Kind() == reflect.Pointer && v.IsNil():
		text = "nothing"
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		text = hex.EncodeToString(v.Bytes())
	}
	if len(text) > longest {
		text = text[:longest] + "…"
	}
	return text
}

// answeredMarginMs is how far apart two brokers' clocks may be.
const answeredMarginMs = 600_000

// Answered returns a published record that answers the command at an offset, or a later
// one, as what it is; nil if there is none. It reads the records that were written since
// the command was.
func Answered(ctx context.Context, log Log, partition int, offset int64) (*Difference, error) {
	msg, err := log.ReadOne(ctx, bus.TopicCommands, partition, offset)
	if err != nil {
		return nil, fmt.Errorf("read the command: %w", err)
	}
	first, end, err := log.Bounds(ctx, bus.TopicCompleted, partition)
	if err != nil {
		return nil, fmt.Errorf("inspect output log: %w", err)
	}
	for from := end; from > first; {
		to := from
		from = max(first, from-searchMargin)
		sub := log.Subscribe(bus.TopicCompleted, partition, from)
		oldest, found, err := answeredIn(ctx, sub, from, to, offset)
		sub.Close()
		if err != nil || found != nil {
			return found, err
		}
		if oldest < msg.TimeMs-answeredMarginMs {
			return nil, nil //nolint:nilnil // what is older was written before the command
		}
	}
	return nil, nil //nolint:nilnil // there is none
}

// answeredIn looks at the records from … before to, and returns the time of the oldest.
func answeredIn(ctx context.Context, sub Subscription, from, to, command int64) (oldestMs int64, found *Difference, err error) {
	for at := from; at < to; {
		msgs, err := sub.Fetch(ctx, int(min(replayBatch, to-at)), idleWait)
		if err != nil {
			return 0, nil, fmt.Errorf("read output log: %w", err)
		}
		for _, msg := range msgs {
			if msg.Offset == from {
				oldestMs = msg.TimeMs
			}
			at = msg.Offset + 1
			if r, ok := recordOf(msg); ok && r.entry.Body.GetCommandOffset() >= command {
				return 0, r.differs("record answers a command", "", "", ""), nil
			}
		}
	}
	return oldestMs, nil, nil
}
