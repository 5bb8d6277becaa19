package stream_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
)

const (
	inTopic  = "in"
	outTopic = "out"
)

func TestMain(m *testing.M) {
	logx.Disable()
	m.Run()
}

// instantClock lets every sleep pass at once and counts them.
type instantClock struct {
	clock.Clock
	slept  []time.Duration
	passed time.Duration
}

func (c *instantClock) NowMs() int64 { return c.passed.Milliseconds() }

func (c *instantClock) After(d time.Duration) <-chan time.Time {
	c.slept = append(c.slept, d)
	c.passed += d
	fired := make(chan time.Time, 1)
	fired <- time.Time{}
	return fired
}

// fakeLog is a broker with one partition for each topic.
type fakeLog struct {
	topics map[string][]bus.Message
	first  int64 // where the topics begin
	// clk, if not nil, is advanced by a Fetch that finds nothing.
	clk *instantClock
	// onIdle is called when a reader finds nothing; two times in a row end a run (see world.run).
	onIdle func()
	// faults, each may be nil
	beforeFetch, beforeProduce, afterProduce func() error
}

func (l *fakeLog) append(topic string, key string, value []byte) {
	n := int64(len(l.topics[topic]))
	l.topics[topic] = append(l.topics[topic], bus.Message{Topic: topic, Offset: n, TimeMs: 1000 + n, Key: []byte(key), Value: value})
}

func (l *fakeLog) Bounds(_ context.Context, topic string, _ int) (int64, int64, error) {
	return l.first, int64(len(l.topics[topic])), nil
}

func (l *fakeLog) ReadOne(_ context.Context, topic string, _ int, offset int64) (bus.Message, error) {
	if offset < l.first || offset >= int64(len(l.topics[topic])) {
		return bus.Message{}, bus.ErrNoRecord
	}
	return l.topics[topic][offset], nil
}

func (l *fakeLog) Produce(_ context.Context, topic string, _ int, msgs []bus.Message) (int64, error) {
	if err := call(l.beforeProduce); err != nil {
		return 0, err
	}
	base := int64(len(l.topics[topic]))
	for _, m := range msgs {
		l.append(topic, string(m.Key), m.Value)
	}
	return base, call(l.afterProduce)
}

func (l *fakeLog) Open(topic string, _ int, offset int64) stream.Source {
	return &fakeSource{log: l, topic: topic, next: offset}
}

type fakeSource struct {
	log   *fakeLog
	topic string
	next  int64
}

func (s *fakeSource) Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := call(s.log.beforeFetch); err != nil {
		return nil, err
	}
	all := s.log.topics[s.topic]
	if s.next < s.log.first || s.next > int64(len(all)) {
		return nil, &bus.TruncatedError{Topic: s.topic, Offset: s.next, First: s.log.first, End: int64(len(all))}
	}
	end := min(s.next+int64(limit), int64(len(all)))
	msgs := all[s.next:end]
	s.next = end
	if len(msgs) == 0 && s.log.onIdle != nil {
		s.log.onIdle()
	}
	if len(msgs) == 0 && s.log.clk != nil {
		s.log.clk.passed += wait
	}
	return msgs, nil
}

func (s *fakeSource) Close() {}

func call(f func() error) error {
	if f == nil {
		return nil
	}
	return f()
}

// fakeStore keeps positions and what was applied, with transactions.
type fakeStore struct {
	state storeState
	tx    *storeState // the running transaction
	// faults, each may be nil; afterCommit's error makes the outcome unknown to the consumer
	beforeTx, inTx, afterCommit func() error
}

type storeState struct {
	positions map[string]database.Position
	symbols   map[string]database.SymbolPosition
	applied   map[string][]int64 // consumer and symbol → seqs in order
	halts     map[string]database.Halt
	parked    map[string][]database.Parked // by place
	decisions map[string]database.Decision
}

func newStoreState() storeState {
	return storeState{
		positions: make(map[string]database.Position), symbols: make(map[string]database.SymbolPosition),
		applied: make(map[string][]int64), halts: make(map[string]database.Halt),
		parked: make(map[string][]database.Parked), decisions: make(map[string]database.Decision),
	}
}

func (s storeState) clone() storeState {
	c := storeState{
		positions: maps.Clone(s.positions), symbols: maps.Clone(s.symbols), applied: maps.Clone(s.applied),
		halts: maps.Clone(s.halts), parked: maps.Clone(s.parked), decisions: maps.Clone(s.decisions),
	}
	for k, v := range c.parked {
		c.parked[k] = slices.Clone(v)
	}
	for k, v := range c.applied {
		c.applied[k] = slices.Clip(v)
	}
	return c
}

func (s *fakeStore) LoadPosition(_ context.Context, consumer, topic string, _ int) (database.Position, error) {
	key := consumer + "|" + topic
	if _, ok := s.state.positions[key]; !ok {
		s.state.positions[key] = database.Position{Consumer: consumer, Topic: topic}
	}
	return s.state.positions[key], nil
}

func (s *fakeStore) LoadSymbolPositions(_ context.Context, consumer string) (map[string]database.SymbolPosition, error) {
	out := make(map[string]database.SymbolPosition)
	for _, p := range s.state.symbols {
		if p.Consumer == consumer {
			out[p.Symbol] = p
		}
	}
	return out, nil
}

func (s *fakeStore) SymbolSeq(_ context.Context, consumer, symbol string) (int64, error) {
	return s.state.symbols[consumer+"|"+symbol].Seq, nil
}

func (s *fakeStore) LoadHalts(_ context.Context, consumer string) (map[string]database.Halt, error) {
	out := make(map[string]database.Halt)
	for _, h := range s.state.halts {
		if h.Consumer == consumer {
			out[h.Symbol] = h
		}
	}
	return out, nil
}

func (s *fakeStore) LoadParked(_ context.Context, consumer, symbol string, from int64, limit int, _ int64) ([]database.Parked, error) {
	var out []database.Parked
	for _, p := range s.state.parked[consumer+"|"+symbol] {
		if p.Place >= from && len(out) < limit {
			out = append(out, p)
		}
	}
	return out, nil
}

func (s *fakeStore) FindParked(_ context.Context, consumer, symbol string, seq int64) (int64, error) {
	for _, p := range s.state.parked[consumer+"|"+symbol] {
		if p.Seq == seq {
			return p.Place, nil
		}
	}
	return 0, nil
}

func (s *fakeStore) FindDecision(_ context.Context, id string) (database.Decision, bool, error) {
	d, ok := s.state.decisions[id]
	return d, ok, nil
}

func (s *fakeStore) Tx(_ context.Context, fn func(stream.Fences, *database.Tx) error) error {
	if err := call(s.beforeTx); err != nil {
		return err
	}
	tx := s.state.clone()
	s.tx = &tx
	err := fn(s, nil)
	s.tx = nil
	if err == nil {
		err = call(s.inTx)
	}
	if err != nil {
		return err
	}
	s.state = tx
	return call(s.afterCommit)
}

func (s *fakeStore) AdvancePosition(consumer, topic string, _ int, from, to int64, fingerprint []byte) error {
	key := consumer + "|" + topic
	if p, ok := s.tx.positions[key]; !ok || p.NextOffset != from || to <= from {
		return fmt.Errorf("position: %w", database.ErrFenced)
	}
	s.tx.positions[key] = database.Position{Consumer: consumer, Topic: topic, NextOffset: to, Fingerprint: fingerprint}
	return nil
}

func (s *fakeStore) AdvanceSymbol(consumer, symbol string, from, to int64, hash []byte) error {
	key := consumer + "|" + symbol
	if s.tx.symbols[key].Seq != from || to <= from {
		return fmt.Errorf("symbol: %w", database.ErrFenced)
	}
	s.tx.symbols[key] = database.SymbolPosition{Consumer: consumer, Symbol: symbol, Seq: to, Hash: hash}
	return nil
}

func (s *fakeStore) AdvanceHalt(consumer, symbol string, version int64) error {
	key := consumer + "|" + symbol
	h, ok := s.tx.halts[key]
	if !ok || h.Version != version {
		return fmt.Errorf("halt: %w", database.ErrFenced)
	}
	h.Version++
	s.tx.halts[key] = h
	return nil
}

func (s *fakeStore) InsertHalt(h database.Halt) error {
	key := h.Consumer + "|" + h.Symbol
	if _, ok := s.tx.halts[key]; ok {
		return fmt.Errorf("halt: %w", database.ErrFenced)
	}
	s.tx.halts[key] = h
	return nil
}

func (s *fakeStore) SetHalt(h database.Halt) error {
	s.tx.halts[h.Consumer+"|"+h.Symbol] = h
	return nil
}

func (s *fakeStore) DropHalt(consumer, symbol string) error {
	if n := len(s.tx.parked[consumer+"|"+symbol]); n > 0 {
		return fmt.Errorf("%d parked records of %s would be forgotten", n, symbol)
	}
	delete(s.tx.halts, consumer+"|"+symbol)
	return nil
}

func (s *fakeStore) Park(consumer, symbol string, records []database.Parked) error {
	key := consumer + "|" + symbol
	for _, r := range records {
		for _, p := range s.tx.parked[key] {
			if p.Place == r.Place {
				return fmt.Errorf("place %d of %s is taken", r.Place, symbol)
			}
		}
		s.tx.parked[key] = append(s.tx.parked[key], r)
	}
	s.tx.sortParked(key)
	return nil
}

func (s *storeState) sortParked(key string) {
	slices.SortFunc(s.parked[key], func(a, b database.Parked) int { return cmp.Compare(a.Place, b.Place) })
}

func (s *fakeStore) Unpark(consumer, symbol string, from, to int64) error {
	key := consumer + "|" + symbol
	s.tx.parked[key] = slices.DeleteFunc(s.tx.parked[key], func(p database.Parked) bool { return p.Place >= from && p.Place <= to })
	return nil
}

func (s *fakeStore) MoveParked(consumer, symbol string, from, to int64) error {
	key := consumer + "|" + symbol
	for i := range s.tx.parked[key] {
		if s.tx.parked[key][i].Place == from {
			s.tx.parked[key][i].Place = to
			s.tx.sortParked(key)
			return nil
		}
	}
	return fmt.Errorf("move: %w", database.ErrFenced)
}

func (s *fakeStore) RecordDecision(d database.Decision) error {
	if _, ok := s.tx.decisions[d.RequestID]; ok {
		return fmt.Errorf("decision: %w", database.ErrFenced)
	}
	s.tx.decisions[d.RequestID] = d
	return nil
}

// world is a log, a store and the matcher that writes to the log.
type world struct {
	t       *testing.T
	log     *fakeLog
	store   *fakeStore
	clk     *instantClock
	written map[string][][]byte // symbol → values
	hashes  map[string][][]byte
}

func newWorld(t *testing.T) *world {
	t.Helper()
	clk := &instantClock{Clock: clock.NewFake(time.UnixMilli(0))}
	return &world{
		t:       t,
		log:     &fakeLog{topics: make(map[string][]bus.Message), clk: clk},
		store:   &fakeStore{state: newStoreState()},
		clk:     clk,
		written: make(map[string][][]byte),
		hashes:  make(map[string][][]byte),
	}
}

// seal makes the symbol's record seq that follows prev.
func (w *world) seal(symbol string, seq int64, prev []byte, note int64) (value, hash []byte) {
	w.t.Helper()
	value, hash, err := stream.Seal(&eventpb.RecordBody{Symbol: symbol, Seq: seq, CommandId: note}, prev)
	if err != nil {
		w.t.Fatal(err)
	}
	return value, hash
}

// write appends the next record of each symbol named.
func (w *world) write(symbols ...string) {
	w.t.Helper()
	for _, symbol := range symbols {
		n := len(w.written[symbol])
		var prev []byte
		if n > 0 {
			prev = w.hashes[symbol][n-1]
		}
		value, hash := w.seal(symbol, int64(n+1), prev, int64(n))
		w.written[symbol] = append(w.written[symbol], value)
		w.hashes[symbol] = append(w.hashes[symbol], hash)
		w.log.append(inTopic, symbol, value)
	}
}

// repeat appends the symbol's record seq again.
func (w *world) repeat(symbol string, seq int) {
	w.log.append(inTopic, symbol, w.written[symbol][seq-1])
}

// consumer returns one that notes what it applies; name is also the reader of topic.
func (w *world) consumer(name, topic, forwardTo string, opts ...func(*stream.Deps)) *stream.Consumer {
	w.t.Helper()
	deps := stream.Deps{Bus: w.log, Store: w.store, Clock: w.clk, Apply: w.note(name)}
	for _, opt := range opts {
		opt(&deps)
	}
	c, err := stream.New(stream.Config{Name: name, Topic: topic, ForwardTo: forwardTo, MaxBatch: 4}, deps)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// note is an Apply that notes what it applies.
func (w *world) note(name string) func(context.Context, *database.Tx, []stream.Entry) error {
	return func(_ context.Context, _ *database.Tx, fresh []stream.Entry) error {
		for _, e := range fresh {
			key := name + "|" + e.Body.GetSymbol()
			w.store.tx.applied[key] = append(w.store.tx.applied[key], e.Body.GetSeq())
		}
		return nil
	}
}

// errKilled is returned by a fault to end a run as a killed process would.
var errKilled = errors.New("killed")

// maxPauses ends a run that cannot get on.
const maxPauses = 20

// run runs a consumer until it has found nothing twice in a row, was killed, or has paused too often. It
// returns Run's error, nil for the first two.
func (w *world) run(c *stream.Consumer) error {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	outerIdle, outerSlept := w.log.onIdle, w.clk.slept
	defer func() { w.log.onIdle, w.clk.slept = outerIdle, outerSlept }()
	idle := 0
	w.log.onIdle = func() {
		if idle++; idle == 2 {
			cancel()
		}
	}
	w.clk.slept = nil
	err := c.Run(&pauseLimit{Context: ctx, clk: w.clk, cancel: cancel})
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// pauseLimit is a context that ends after too many pauses.
type pauseLimit struct {
	context.Context
	clk    *instantClock
	cancel context.CancelFunc
}

func (p *pauseLimit) Err() error {
	if len(p.clk.slept) >= maxPauses {
		p.cancel()
	}
	return p.Context.Err()
}

// wantApplied checks that the consumer has applied exactly the first n records of the symbol, once, in order.
func (w *world) wantApplied(consumer, symbol string, n int) {
	w.t.Helper()
	got := w.store.state.applied[consumer+"|"+symbol]
	if len(got) != n {
		w.t.Errorf("%s has applied %v of %s, want %d records", consumer, got, symbol, n)
		return
	}
	for i, seq := range got {
		if seq != int64(i+1) {
			w.t.Errorf("%s has applied %v of %s", consumer, got, symbol)
			return
		}
	}
}

// wantForwarded checks that the forwarded topic holds every record of the input, and that no record comes
// before its predecessor was there.
func (w *world) wantForwarded() {
	w.t.Helper()
	last := make(map[string]int64)
	seen := make(map[string]bool)
	for _, m := range w.log.topics[outTopic] {
		e, err := stream.OpenMessage(m)
		if err != nil {
			w.t.Fatal(err)
		}
		symbol, seq := e.Body.GetSymbol(), e.Body.GetSeq()
		if seq > last[symbol]+1 {
			w.t.Errorf("%s: record %d was forwarded after %d", symbol, seq, last[symbol])
		}
		last[symbol] = max(last[symbol], seq)
		seen[string(m.Value)] = true
	}
	for _, m := range w.log.topics[inTopic] {
		if !seen[string(m.Value)] {
			w.t.Errorf("offset %d was not forwarded", m.Offset)
		}
	}
}
