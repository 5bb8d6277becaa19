package main

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/order"
	exchange "mscoin/exchange/simulate"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
)

// logMutant stands between an exchange and the broker.
type logMutant struct {
	busClient
	// read changes a command that a sequencer reads; its error ends the sequencer.
	read func(m bus.Message) (bus.Message, error)
	// produce replaces the writing to records and settle.
	produce func(topic string, partition int, msgs []bus.Message) (int64, error)
	// record changes a record that the order consumer reads.
	record func(m bus.Message) bus.Message
}

// Subscribe implements exchange.Log.
func (l *logMutant) Subscribe(topic string, partition int, offset int64) exchange.Subscription {
	return &sourceMutant{Source: l.busClient.Open(topic, partition, offset), change: func(m bus.Message) (bus.Message, error) {
		if l.read == nil {
			return m, nil
		}
		return l.read(m)
	}}
}

// Open implements stream.Bus.
func (l *logMutant) Open(topic string, partition int, offset int64) stream.Source {
	return &sourceMutant{Source: l.busClient.Open(topic, partition, offset), change: func(m bus.Message) (bus.Message, error) {
		if l.record == nil {
			return m, nil
		}
		return l.record(m), nil
	}}
}

// Produce implements both.
func (l *logMutant) Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (int64, error) {
	if l.produce == nil || topic == bus.TopicCommands {
		return l.busClient.Produce(ctx, topic, partition, msgs)
	}
	return l.produce(topic, partition, msgs)
}

type sourceMutant struct {
	stream.Source
	change func(m bus.Message) (bus.Message, error)
}

// Fetch implements stream.Source.
func (r *sourceMutant) Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error) {
	msgs, err := r.Source.Fetch(ctx, limit, wait)
	if err != nil {
		return nil, err
	}
	out := make([]bus.Message, len(msgs))
	for i := range msgs {
		if out[i], err = r.change(msgs[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// mutateLog puts a logMutant in front of both ways to the broker.
func mutateLog(cfg *exchange.Config, s *sim) *logMutant {
	l := &logMutant{busClient: busClient{s.world.broker}}
	cfg.Log, cfg.Bus = l, l
	return l
}

// rewriting changes the commands that sequencers read.
func rewriting(edit func(p *process, m bus.Message, cmd *eventpb.Command)) func(*sim, *process, *exchange.Config) {
	return func(s *sim, p *process, cfg *exchange.Config) {
		mutateLog(cfg, s).read = func(m bus.Message) (bus.Message, error) {
			cmd := &eventpb.Command{}
			if proto.Unmarshal(m.Value, cmd) != nil {
				return m, nil
			}
			edit(p, m, cmd)
			var err error
			m.Value, err = proto.Marshal(cmd)
			return m, err
		}
	}
}

func garbageStops(s *sim, _ *process, cfg *exchange.Config) {
	mutateLog(cfg, s).read = func(m bus.Message) (bus.Message, error) {
		if proto.Unmarshal(m.Value, &eventpb.Command{}) != nil {
			return m, bus.ErrGap
		}
		return m, nil
	}
}

func goOn(s *sim, _ *process, cfg *exchange.Config) {
	l := mutateLog(cfg, s)
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		at, err := l.busClient.Produce(context.Background(), topic, partition, msgs)
		if topic == bus.TopicCompleted {
			err = nil
		}
		return at, err
	}
}

func twoInFlight(s *sim, _ *process, cfg *exchange.Config) {
	l := mutateLog(cfg, s)
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		if topic != bus.TopicCompleted {
			return l.busClient.Produce(context.Background(), topic, partition, msgs)
		}
		s.pass()
		s.after(s.between(0, 20), s.tell(func() string { return describe(msgs) }), func() { s.world.broker.append(topic, partition, msgs) })
		return 0, nil
	}
}

func unordered(s *sim, _ *process, cfg *exchange.Config) {
	l := mutateLog(cfg, s)
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		if topic == bus.TopicSettle {
			msgs = append([]bus.Message(nil), msgs...)
			s.rnd.Shuffle(len(msgs), func(i, j int) { msgs[i], msgs[j] = msgs[j], msgs[i] })
		}
		return l.busClient.Produce(context.Background(), topic, partition, msgs)
	}
}

// noBacklog believes that what has been applied has been forwarded.
func noBacklog(_ *sim, _ *process, cfg *exchange.Config) { cfg.Positions = optimist{cfg.Positions} }

type optimist struct{ stream.Store }

// LoadPosition implements stream.Store.
func (o optimist) LoadPosition(ctx context.Context, consumer, topic string, partition int) (database.Position, error) {
	if consumer == stream.ForwardName(exchange.ConsumerName) {
		consumer = exchange.ConsumerName
	}
	return o.Store.LoadPosition(ctx, consumer, topic, partition)
}

// dropKnown forwards only what was not applied when the process started.
func dropKnown(s *sim, _ *process, cfg *exchange.Config) {
	known, _ := s.world.orders.LoadSymbolPositions(context.Background(), exchange.ConsumerName)
	l := mutateLog(cfg, s)
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		var fresh []bus.Message
		for _, m := range msgs {
			if e, err := stream.OpenMessage(m); topic != bus.TopicSettle || err != nil || e.Body.Seq > known[e.Body.Symbol].Seq {
				fresh = append(fresh, m)
			}
		}
		if len(fresh) == 0 {
			return 0, nil
		}
		return l.busClient.Produce(context.Background(), topic, partition, fresh)
	}
}

// damage is the number of the record that the log damages in a schedule.
func damage(s *sim) int64 { return int64(3 + s.seed%8) }

// unseen reports whether a damaged record is the last one of its symbol.
func (s *sim) unseen() bool {
	last := map[string]int64{}
	for _, msgs := range s.world.broker.topics[bus.TopicCompleted] {
		for _, m := range msgs {
			if e, err := stream.OpenMessage(m); err == nil {
				last[e.Body.Symbol] = max(last[e.Body.Symbol], e.Body.Seq)
			}
		}
	}
	for symbol := range s.damaged {
		if last[symbol] <= damage(s) {
			return true
		}
	}
	return false
}

// losing damages the log: one record never arrives.
func losing(s *sim, l *logMutant) {
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		var kept []bus.Message
		for _, m := range msgs {
			if e, err := stream.OpenMessage(m); topic == bus.TopicCompleted && err == nil && e.Body.Seq == damage(s) {
				s.say("log", "loses record %d of %s", e.Body.Seq, e.Body.Symbol)
				s.damaged[e.Body.Symbol] = true
				continue
			}
			kept = append(kept, m)
		}
		if len(kept) == 0 {
			return 0, nil
		}
		return l.busClient.Produce(context.Background(), topic, partition, kept)
	}
}

// forging damages the log: one record is exchanged for one that says nothing.
func forging(s *sim, l *logMutant) {
	l.produce = func(topic string, partition int, msgs []bus.Message) (int64, error) {
		forged := append([]bus.Message(nil), msgs...)
		for i, m := range forged {
			if e, err := stream.OpenMessage(m); topic == bus.TopicCompleted && err == nil && e.Body.Seq == damage(s) {
				s.say("log", "exchanges record %d of %s", e.Body.Seq, e.Body.Symbol)
				s.damaged[e.Body.Symbol] = true
				e.Body.Orders, e.Body.Trades = nil, nil
				forged[i].Value, _, _ = stream.Seal(e.Body, e.PrevHash)
			}
		}
		return l.busClient.Produce(context.Background(), topic, partition, forged)
	}
}

// blind makes records pass the checks of the order consumer: they follow, always. With
// numbers it hides gaps too.
func blind(l *logMutant, numbers bool) {
	type head struct {
		seq  int64
		hash []byte
		was  map[int64]bool
	}
	heads := map[string]*head{}
	l.record = func(m bus.Message) bus.Message {
		e, err := stream.OpenMessage(m)
		if err != nil {
			return m
		}
		h := heads[e.Body.Symbol]
		if h == nil {
			h = &head{seq: e.Body.Seq - 1, hash: e.PrevHash, was: map[int64]bool{}}
			heads[e.Body.Symbol] = h
		}
		if h.was[e.Body.Seq] {
			return m
		}
		h.was[e.Body.Seq] = true
		if numbers {
			e.Body.Seq = h.seq + 1
		}
		m.Value, h.hash, _ = stream.Seal(e.Body, h.hash)
		h.seq = e.Body.Seq
		return m
	}
}

func noGapCheck(s *sim, _ *process, cfg *exchange.Config) {
	l := mutateLog(cfg, s)
	losing(s, l)
	blind(l, true)
}

func noChainCheck(s *sim, _ *process, cfg *exchange.Config) {
	l := mutateLog(cfg, s)
	forging(s, l)
	blind(l, false)
}

// unfenced moves positions wherever they are.
func unfenced(inner, raw stream.Store) stream.Store { return noFences{inner, raw} }

type noFences struct {
	stream.Store
	raw stream.Store
}

// Tx implements stream.Store.
func (n noFences) Tx(ctx context.Context, fn func(stream.Fences, *database.Tx) error) error {
	return n.Store.Tx(ctx, func(f stream.Fences, tx *database.Tx) error { return fn(openFence{f, n.raw}, tx) })
}

type openFence struct {
	stream.Fences
	raw stream.Store
}

// AdvancePosition implements stream.Fences.
func (f openFence) AdvancePosition(consumer, topic string, partition int, _, to int64, fingerprint []byte) error {
	at, _ := f.raw.LoadPosition(context.Background(), consumer, topic, partition)
	if to <= at.NextOffset {
		return nil
	}
	return f.Fences.AdvancePosition(consumer, topic, partition, at.NextOffset, to, fingerprint)
}

// AdvanceSymbol implements stream.Fences.
func (f openFence) AdvanceSymbol(consumer, name string, _, to int64, hash []byte) error {
	at, _ := f.raw.SymbolSeq(context.Background(), consumer, name)
	if to <= at {
		return nil
	}
	return f.Fences.AdvanceSymbol(consumer, name, at, to, hash)
}

// split commits positions first and the work in a transaction of its own.
type split struct {
	stream.Store
	s       *sim
	apply   func(*order.Batch) error
	waiting []*order.Batch
}

// Tx implements stream.Store.
func (p *split) Tx(ctx context.Context, fn func(stream.Fences, *database.Tx) error) error {
	p.waiting = nil
	if err := p.Store.Tx(ctx, fn); err != nil {
		return err
	}
	work := p.waiting
	p.s.pass()
	if len(work) > 0 && p.s.chance(p.s.faults.crashAfter) {
		p.s.die("between the position and the work")
	}
	return p.s.world.orders.Atomically(func() error {
		for _, b := range work {
			if err := p.apply(b); err != nil {
				return err
			}
		}
		return nil
	})
}
