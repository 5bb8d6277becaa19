package sequencer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/testkit"
)

const limit = 20 * time.Second

func sequencerOf(l Log, at Positions) *Sequencer {
	return New(Config{
		NewEngine: func() matching.Engine { return matching.New() },
		Clock:     clock.Real(),
		Log:       l,
		Positions: func(context.Context) (Positions, error) { return at, nil },
	})
}

// uninterrupted returns what one machine makes of the whole command log.
func uninterrupted(t *testing.T, l *fakeLog) []*eventpb.RecordBody {
	t.Helper()
	m := NewMachine(0, newNaive)
	var all []*eventpb.RecordBody
	for _, msg := range l.topics[bus.TopicCommands] {
		rec, ok, err := m.Apply(msg)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			all = append(all, rec.Body)
		}
	}
	return all
}

func equal(a, b []*eventpb.RecordBody) bool {
	return slices.EqualFunc(a, b, func(a, b *eventpb.RecordBody) bool { return proto.Equal(a, b) })
}

// traffic makes random commands, good and bad, and repeats some.
type traffic struct {
	rnd  *rand.Rand
	l    *fakeLog
	ids  int64
	past []*eventpb.Command
}

func (tr *traffic) next() *eventpb.Command {
	if len(tr.past) > 0 && tr.rnd.IntN(10) == 0 {
		return tr.past[tr.rnd.IntN(len(tr.past))] // a duplicate in the log
	}
	tr.ids++
	name := []string{btc, "ETH/USDT"}[tr.rnd.IntN(2)]
	member := 1 + tr.rnd.Int64N(4)
	some := 1 + tr.rnd.Int64N(tr.ids)
	cmd := &eventpb.Command{CommandId: tr.ids, Symbol: name}
	switch tr.rnd.IntN(10) {
	case 0:
		cmd.Body = &eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{OrderId: some, MemberId: member}}
	case 1:
		cmd.Body = &eventpb.Command_CancelAll{CancelAll: &eventpb.CancelAllCommand{MemberId: member}}
	case 2:
		if tr.rnd.IntN(4) == 0 {
			cmd.Body = &eventpb.Command_Checkpoint{Checkpoint: &eventpb.CheckpointCommand{}}
			break
		}
		cmd.Body = &eventpb.Command_Resolve{Resolve: &eventpb.ResolveCommand{OrderId: some + tr.rnd.Int64N(3), MemberId: member, DeadlineMs: tr.l.nowMs + tr.rnd.Int64N(100)}}
	default:
		p := placing(tr.ids, member, buy, (95+tr.rnd.Int64N(10))*usdt, (1+tr.rnd.Int64N(5))*bitcoin)
		if tr.rnd.IntN(2) == 0 {
			p = placing(tr.ids, member, sell, p.Price, p.Quantity)
		}
		p.DeadlineMs = tr.l.nowMs + tr.rnd.Int64N(60) - 5
		p.TimeInForce = eventpb.TimeInForce(1 + tr.rnd.Int32N(4))
		p.SelfTradePrevention = eventpb.SelfTradePrevention(1 + tr.rnd.Int32N(5))
		if tr.rnd.IntN(5) == 0 {
			p.Type, p.Price, p.TimeInForce = eventpb.OrderType_ORDER_TYPE_MARKET, 0, 1
		}
		cmd.Body = &eventpb.Command_Place{Place: p}
	}
	tr.past = append(tr.past, cmd)
	return cmd
}

func TestSequencer_Property(t *testing.T) {
	t.Run("crashes, unknown writes and duplicates leave the output as if nothing had happened", func(t *testing.T) {
		logx.Disable()
		rnd := testkit.Rand(t)
		for range 20 {
			crashes(t, rnd)
		}
	})
}

// crashes runs one schedule: commands arrive while one incarnation of the sequencer
// after the other dies at a write.
func crashes(t *testing.T, rnd *rand.Rand) {
	l, snaps := newFakeLog(), newFakeSnapshots()
	tr := &traffic{rnd: rnd, l: l, ids: 10}
	l.command(rules(btc, "BTC", "USDT"))
	l.command(rules("ETH/USDT", "ETH", "USDT"))
	var late [][]bus.Message
	for range 12 {
		for range rnd.IntN(40) {
			l.nowMs += rnd.Int64N(8)
			l.command(tr.next())
		}
		dies := 1 + rnd.IntN(4)
		luck := rand.New(rand.NewPCG(rnd.Uint64(), 1)) // for the other goroutine
		l.setFault(func(msgs []bus.Message) (bool, error) {
			for len(late) > 0 && luck.IntN(2) == 0 {
				l.append(bus.TopicCompleted, late[0]...) // a write that was given up lands
				late = late[1:]
			}
			if dies--; dies > 0 {
				return true, nil
			}
			written := luck.IntN(2) == 0
			if !written && luck.IntN(2) == 0 {
				late = append(late, msgs)
			}
			return written, errFault
		})
		s := sequencerOf(l, randomPositions(t, rnd, l))
		keeping(s, snaps, rnd)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		for range 40 {
			if len(ended) > 0 {
				break
			}
			if s.Ready() && rnd.IntN(3) == 0 {
				l.command(tr.next())
			}
			<-clock.Real().After(50 * time.Microsecond)
		}
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, errFault) {
			t.Fatal(err)
		}
	}
	l.setFault(nil)
	// From any snapshot, and from none, the end is the same.
	stored, _ := snaps.Snapshots(t.Context(), 0)
	for i := range stored {
		only := newFakeSnapshots()
		only.infos[stored[i].Next], only.images[stored[i].Next] = stored[i], snaps.images[stored[i].Next]
		finish(t, l, positionsAt(t, l, int64(len(l.topics[bus.TopicCompleted]))), only)
	}
	finish(t, l, randomPositions(t, rnd, l), nil)
	got, err := l.output()
	if err != nil {
		t.Fatal(err)
	}
	if want := uninterrupted(t, l); !equal(got, want) {
		t.Fatalf("%d records, an uninterrupted run gives %d", len(got), len(want))
	}
}

// keeping has a sequencer take a snapshot every few commands.
func keeping(s *Sequencer, snaps *fakeSnapshots, rnd *rand.Rand) {
	s.cfg.Snapshots, s.cfg.SnapshotEvery = snaps, 1+rnd.Int64N(30)
}

// finish runs a sequencer until it is live, with every command answered.
func finish(t *testing.T, l *fakeLog, at Positions, snaps *fakeSnapshots) {
	t.Helper()
	s := sequencerOf(l, at)
	from := int64(0)
	if snaps != nil {
		s.cfg.Snapshots, from = snaps, snaps.newest()
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	testkit.Eventually(t, limit, func() bool { return s.Ready() || len(ended) > 0 }, "sequencer is live")
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if s.from != from {
		t.Fatalf("the replay began at %d, the snapshot is at %d", s.from, from)
	}
}

// randomPositions is a consumer that has applied some of the output.
func randomPositions(t *testing.T, rnd *rand.Rand, l *fakeLog) Positions {
	t.Helper()
	out := l.topics[bus.TopicCompleted]
	if len(out) == 0 {
		return Positions{}
	}
	return positionsAt(t, l, int64(rnd.IntN(len(out)+1)))
}

func positionsAt(t *testing.T, l *fakeLog, next int64) Positions {
	t.Helper()
	at := Positions{NextOffset: next, Symbols: map[string]database.SymbolPosition{}}
	for _, m := range l.topics[bus.TopicCompleted][:next] {
		e, err := stream.OpenMessage(m)
		if err != nil {
			t.Fatal(err)
		}
		if e.Body.Seq > at.Symbols[e.Body.Symbol].Seq {
			at.Symbols[e.Body.Symbol] = database.SymbolPosition{Seq: e.Body.Seq, Hash: e.Hash}
		}
	}
	return at
}

// written returns logs with 1 + 5 commands, all published.
func written(t *testing.T) *fakeLog {
	t.Helper()
	l := newFakeLog()
	l.command(rules(btc, "BTC", "USDT"))
	for i := range int64(5) {
		l.command(&eventpb.Command{CommandId: 10 + i, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(10+i, 1, sell, (100+i)*usdt, bitcoin)}})
	}
	finish(t, l, Positions{}, nil)
	return l
}

func TestSequencer_Boot(t *testing.T) {
	logx.Disable()
	boot := func(t *testing.T, l *fakeLog, at Positions) (*Sequencer, error) {
		t.Helper()
		s := sequencerOf(l, at)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		testkit.Eventually(t, limit, func() bool { return s.Ready() || len(ended) > 0 }, "sequencer decides")
		cancel()
		return s, <-ended
	}
	refuses := func(name string, want error, text string, damage func(t *testing.T, l *fakeLog) Positions) {
		t.Run(name, func(t *testing.T) {
			l := written(t)
			at := damage(t, l)
			before := len(l.topics[bus.TopicCompleted])
			_, err := boot(t, l, at)
			if !errors.Is(err, want) {
				t.Fatalf("got %v, want %v", err, want)
			}
			if msg := err.Error(); !strings.Contains(msg, "partition 0") || !strings.Contains(msg, text) {
				t.Errorf("the error does not say where: %v", err)
			}
			if len(l.topics[bus.TopicCompleted]) != before {
				t.Error("something was published")
			}
		})
	}
	t.Run("a good log starts, wherever the consumer is", func(t *testing.T) {
		l := written(t)
		for next := range int64(7) {
			if _, err := boot(t, l, positionsAt(t, l, next)); err != nil {
				t.Errorf("consumer at %d: %v", next, err)
			}
		}
		if len(l.topics[bus.TopicCompleted]) != 6 {
			t.Errorf("%d records", len(l.topics[bus.TopicCompleted]))
		}
	})
	t.Run("an empty log starts", func(t *testing.T) {
		if _, err := boot(t, newFakeLog(), Positions{NothingListed: true}); err != nil {
			t.Error(err)
		}
	})
	t.Run("records that were not published are", func(t *testing.T) {
		l := written(t)
		want := slices.Clone(l.topics[bus.TopicCompleted])
		l.topics[bus.TopicCompleted] = l.topics[bus.TopicCompleted][:2:2]
		if _, err := boot(t, l, positionsAt(t, l, 1)); err != nil {
			t.Fatal(err)
		}
		got := l.topics[bus.TopicCompleted]
		if !slices.EqualFunc(got, want, func(a, b bus.Message) bool { return string(a.Value) == string(b.Value) }) {
			t.Errorf("%d records, want %d, the same bytes", len(got), len(want))
		}
	})
	t.Run("an old record that landed late, after newer ones, does no harm", func(t *testing.T) {
		l := written(t)
		at := positionsAt(t, l, 6)
		l.append(bus.TopicCompleted, l.topics[bus.TopicCompleted][2])
		if _, err := boot(t, l, at); err != nil {
			t.Fatal(err)
		}
		if got, err := l.output(); err != nil || len(got) != 6 {
			t.Errorf("%d records, %v", len(got), err)
		}
	})
	for name, poison := range poisons(t) {
		t.Run("poison at the end of the output keeps nobody from starting (H16): "+name, func(t *testing.T) {
			for _, times := range []int{1, 3, 2 * lookBack} {
				l := written(t)
				at := positionsAt(t, l, 4)
				for range times {
					l.append(bus.TopicCompleted, poison)
				}
				before := l.len(bus.TopicCompleted)
				if _, err := boot(t, l, at); err != nil {
					t.Fatalf("%d times: %v", times, err)
				}
				if n := l.len(bus.TopicCompleted) - before; n != 0 {
					t.Errorf("%d times: %d records were published again", times, n)
				}
			}
		})
	}
	t.Run("poison in the place of the last record: its command is answered again", func(t *testing.T) {
		l := written(t)
		at := positionsAt(t, l, 4)
		out := l.topics[bus.TopicCompleted]
		want := out[len(out)-1]
		out[len(out)-1].Value = []byte("junk")
		if _, err := boot(t, l, at); err != nil {
			t.Fatal(err)
		}
		if got := l.topics[bus.TopicCompleted]; len(got) != len(out)+1 || !bytes.Equal(got[len(out)].Value, want.Value) {
			t.Errorf("%d records instead of %d, or another one", len(got), len(out)+1)
		}
	})
	t.Run("an output of nothing but poison is written anew", func(t *testing.T) {
		l := written(t)
		n := len(l.topics[bus.TopicCompleted])
		for i := range l.topics[bus.TopicCompleted] {
			l.topics[bus.TopicCompleted][i].Value = []byte("junk")
		}
		if _, err := boot(t, l, Positions{}); err != nil {
			t.Fatal(err)
		}
		if got := l.len(bus.TopicCompleted); got != 2*n {
			t.Errorf("%d records, want %d", got, 2*n)
		}
	})
	refuses("a command log whose beginning is gone", ErrCommandLogTruncated, "offset 2", func(_ *testing.T, l *fakeLog) Positions {
		l.first[bus.TopicCommands], l.topics[bus.TopicCommands] = 2, l.topics[bus.TopicCommands][2:]
		return Positions{}
	})
	refuses("a command log that is shorter than what was published", ErrCommandLogLost, "offset 5", func(t *testing.T, l *fakeLog) Positions {
		l.topics[bus.TopicCommands] = l.topics[bus.TopicCommands][:5]
		return positionsAt(t, l, 6)
	})
	refuses("a command log that was recreated empty", ErrCommandLogLost, "offset 0", func(t *testing.T, l *fakeLog) Positions {
		l.topics[bus.TopicCommands] = nil
		return positionsAt(t, l, 3)
	})
	refuses("a command log with other commands", ErrDiverged, "record 6", func(t *testing.T, l *fakeLog) Positions {
		p := placing(11, 1, sell, 500*usdt, bitcoin)
		value, err := proto.Marshal(&eventpb.Command{CommandId: 11, Symbol: btc, Body: &eventpb.Command_Place{Place: p}})
		if err != nil {
			t.Fatal(err)
		}
		l.topics[bus.TopicCommands][2].Value = value
		return Positions{}
	})
	refuses("an output log that is shorter than what was applied", ErrOutputLost, "offset 3", func(t *testing.T, l *fakeLog) Positions {
		at := positionsAt(t, l, 6)
		l.topics[bus.TopicCompleted] = l.topics[bus.TopicCompleted][:3]
		return at
	})
	refuses("an output log that was recreated empty", ErrOutputLost, "offset 0", func(t *testing.T, l *fakeLog) Positions {
		at := positionsAt(t, l, 6)
		l.topics[bus.TopicCompleted] = nil
		return at
	})
	refuses("both logs recreated under a database that has applied records", ErrOutputLost, "offset 0", func(t *testing.T, l *fakeLog) Positions {
		at := positionsAt(t, l, 6)
		l.topics = map[string][]bus.Message{}
		return at
	})
	refuses("an output log whose records were all deleted", ErrOutputLost, "offset 6", func(_ *testing.T, l *fakeLog) Positions {
		l.first[bus.TopicCompleted], l.topics[bus.TopicCompleted] = 6, nil
		return Positions{}
	})
	refuses("a database that has applied other records", ErrDiverged, "record 4", func(t *testing.T, l *fakeLog) Positions {
		at := positionsAt(t, l, 4)
		p := at.Symbols[btc]
		p.Hash = slices.Clone(p.Hash)
		p.Hash[0] ^= 1
		at.Symbols[btc] = p
		return at
	})
	refuses("a database that is ahead of the command log", ErrCommandLogLost, "record 9", func(t *testing.T, l *fakeLog) Positions {
		at := positionsAt(t, l, 6)
		at.Symbols[btc] = database.SymbolPosition{Seq: 9, Hash: []byte("x")}
		return at
	})
	refuses("a database that lists nothing under logs that are not empty", ErrDatabaseLost, "6 commands", func(*testing.T, *fakeLog) Positions {
		return Positions{NothingListed: true}
	})
}

// poisons are messages that are no records of partition 0.
func poisons(t *testing.T) map[string]bus.Message {
	t.Helper()
	last := written(t).topics[bus.TopicCompleted][5]
	e, err := stream.OpenMessage(last)
	if err != nil {
		t.Fatal(err)
	}
	e.Body.CommandPartition++
	elsewhere, _, err := stream.Seal(e.Body, e.PrevHash)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]bus.Message{
		"junk":                          {Key: []byte(btc), Value: []byte("junk")},
		"nothing":                       {},
		"a record under another key":    {Key: []byte("ETH/USDT"), Value: last.Value},
		"a record of another partition": {Key: []byte(btc), Value: elsewhere},
	}
}

// sharedLog is a log that another owner of the partition works on: with each look at it
// one more order is sent, published and applied.
type sharedLog struct {
	*fakeLog

	other *Machine
	next  int64
	at    Positions
}

func (l *sharedLog) work() {
	if l.next == 0 {
		l.command(rules(btc, "BTC", "USDT"))
	} else {
		l.command(&eventpb.Command{CommandId: 10 + l.next, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(10+l.next, 1, sell, 100*usdt, bitcoin)}})
	}
	rec, _, err := l.other.Apply(l.topics[bus.TopicCommands][l.next])
	if err != nil {
		panic(err)
	}
	l.next++
	l.append(bus.TopicCompleted, bus.Message{Key: []byte(btc), Value: rec.Value})
	l.at = Positions{NextOffset: l.next, Symbols: map[string]database.SymbolPosition{btc: {Seq: rec.Body.Seq, Hash: rec.Hash}}}
}

func (l *sharedLog) Bounds(ctx context.Context, topic string, p int) (first, end int64, err error) {
	defer l.work()
	return l.fakeLog.Bounds(ctx, topic, p)
}

func (l *sharedLog) ReadOne(ctx context.Context, topic string, p int, offset int64) (bus.Message, error) {
	defer l.work()
	return l.fakeLog.ReadOne(ctx, topic, p, offset)
}

func (l *sharedLog) positions(context.Context) (Positions, error) {
	defer l.work()
	at := l.at
	at.NothingListed = l.next == 0
	return at, nil
}

func TestSequencer_SharedPartition(t *testing.T) {
	logx.Disable()
	for _, before := range []int{0, 1, 5} {
		t.Run(fmt.Sprintf("an owner that starts while another one works refuses nothing (after %d commands)", before), func(t *testing.T) {
			l := &sharedLog{fakeLog: newFakeLog(), other: NewMachine(0, newNaive)}
			for range before {
				l.work()
			}
			s := sequencerOf(l, Positions{})
			s.cfg.Positions = l.positions
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- s.Run(ctx) }()
			testkit.Eventually(t, limit, func() bool { return s.Ready() || len(ended) > 0 }, "sequencer decides")
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			got, err := l.output()
			if want := uninterrupted(t, l.fakeLog); err != nil || !equal(got, want) {
				t.Errorf("%d records, want %d, %v", len(got), len(want), err)
			}
		})
	}
}

func TestSequencer_WriteError(t *testing.T) {
	t.Run("fault 1 and H5: after a write error nothing more is written, and Run ends", func(t *testing.T) {
		logx.Disable()
		l := newFakeLog()
		l.command(rules(btc, "BTC", "USDT"))
		writes := 0
		l.setFault(func([]bus.Message) (bool, error) { writes++; return false, errFault })
		s := sequencerOf(l, Positions{})
		if err := s.Run(t.Context()); !errors.Is(err, errFault) {
			t.Errorf("got %v", err)
		}
		if writes != 1 || s.Ready() {
			t.Errorf("%d writes, ready %v", writes, s.Ready())
		}
	})
}

// counter hands out ids from 1.
type counter struct{ n int64 }

func (c *counter) Next(context.Context) (int64, error) { c.n++; return c.n, nil }

// slowLog writes nothing before written is closed.
type slowLog struct {
	*fakeLog

	written chan struct{}
}

func (l slowLog) Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (int64, error) {
	<-l.written
	return l.fakeLog.Produce(ctx, topic, partition, msgs)
}

func TestGate(t *testing.T) {
	logx.Disable()
	start := func(t *testing.T, l *fakeLog, wait time.Duration) (*Gate, *Sequencer) {
		g := NewGate(GateConfig{Clock: clock.Real(), Log: l, IDs: &counter{n: 100}, WaitTimeout: wait})
		s := New(Config{
			NewEngine: func() matching.Engine { return matching.New() }, Clock: clock.Real(), Log: l, Published: g.Published,
			Positions: func(context.Context) (Positions, error) { return Positions{}, nil },
		})
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{}, 2)
		go func() { _ = g.Run(ctx); done <- struct{}{} }()
		go func() { _ = s.Run(ctx); g.Close(); done <- struct{}{} }()
		t.Cleanup(func() { cancel(); <-done; <-done })
		return g, s
	}
	r := symbol.Rules{
		Name: btc, Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 8, TickUnits: 1_000_000, LotUnits: 1000,
		MaxPrice: 1_000_000 * usdt, MaxQty: 9000 * bitcoin,
	}
	sale := func(id int64) *order.Order {
		return &order.Order{
			ID: id, MemberID: 1, Symbol: btc, Side: order.Sell, Type: order.Limit, TIF: order.GTC, STP: order.STPExpireMaker,
			Price: 100 * usdt, Quantity: bitcoin, HoldAmount: bitcoin, DeadlineMs: 1_010_000,
		}
	}
	t.Run("an answer comes when its record is published", func(t *testing.T) {
		l := newFakeLog()
		g, s := start(t, l, limit)
		if res, err := g.SetRules(t.Context(), r); err != nil || res.Rejected || res.Seq != 1 {
			t.Fatalf("got %+v %v", res, err)
		}
		res, err := g.Place(t.Context(), r, sale(1))
		if err != nil || res.Seq != 2 || len(res.Updates) != 1 || res.Updates[0].State != order.StateNew {
			t.Fatalf("got %+v %v", res, err)
		}
		if s.OpenOrders(btc, 1) != 1 || s.OpenOrders(btc, 2) != 0 || s.OpenOrders("X", 1) != 0 {
			t.Error("open orders are wrong")
		}
		if err := g.Resolve(t.Context(), r, 1, 1, 1_010_000); err != nil {
			t.Error(err)
		}
		if res, err := g.CancelAll(t.Context(), r, 1); err != nil || len(res.Updates) != 1 || res.Updates[0].State != order.StateCanceled {
			t.Errorf("got %+v %v", res, err)
		}
		if got := g.waiters.len(); got != 0 {
			t.Errorf("%d waiters are left", got)
		}
	})
	t.Run("without an answer the outcome is unknown, and nobody waits any more", func(t *testing.T) {
		l := newFakeLog()
		g := NewGate(GateConfig{Clock: clock.Real(), Log: l, IDs: &counter{}, WaitTimeout: 20 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() { _ = g.Run(ctx) }()
		if _, err := g.Place(t.Context(), r, sale(1)); !errors.Is(err, errUnknown) {
			t.Errorf("got %v", err)
		}
		if l.len(bus.TopicCommands) != 1 || g.waiters.len() != 0 {
			t.Error("the command is not in the log, or a waiter is left")
		}
	})
	t.Run("a caller who gives up while its command is being written does not call it a failure: it still lands (H14)", func(t *testing.T) {
		l := slowLog{newFakeLog(), make(chan struct{})}
		g := NewGate(GateConfig{Clock: clock.Real(), Log: l, IDs: &counter{}, WaitTimeout: 20 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { _ = g.Run(ctx); close(done) }()
		if _, err := g.Place(t.Context(), r, sale(1)); !errors.Is(err, errUnknown) || errors.Is(err, errNotSent) {
			t.Errorf("got %v", err)
		}
		close(l.written)
		cancel()
		<-done
		if l.len(bus.TopicCommands) != 1 {
			t.Error("the command is not in the log")
		}
	})
	t.Run("when the sequencer dies its callers learn at once that the outcome is unknown", func(t *testing.T) {
		l := newFakeLog()
		g, _ := start(t, l, limit)
		if _, err := g.SetRules(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		l.setFault(func([]bus.Message) (bool, error) { return true, errFault })
		if _, err := g.Place(t.Context(), r, sale(1)); !errors.Is(err, errUnknown) {
			t.Errorf("got %v", err)
		}
		if _, err := g.Place(t.Context(), r, sale(2)); !errors.Is(err, errBusy) {
			t.Errorf("after that: %v", err)
		}
	})
	t.Run("waiters are bounded", func(t *testing.T) {
		w := newWaiters()
		for i := range int64(maxWaiters) {
			if _, err := w.add(i); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.add(maxWaiters); !errors.Is(err, errBusy) {
			t.Errorf("got %v", err)
		}
		w.drop(1)
		if _, err := w.add(maxWaiters); err != nil {
			t.Error(err)
		}
	})
}
