package sequencer

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/testkit"
)

func (r *rig) command(body *eventpb.Command) bus.Message {
	r.t.Helper()
	value, err := proto.Marshal(body)
	if err != nil {
		r.t.Fatal(err)
	}
	return bus.Message{Offset: r.m.Next(), TimeMs: r.nowMs, Key: []byte(body.Symbol), Value: value}
}

func (r *rig) phase(p eventpb.Phase) {
	r.t.Helper()
	r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_SetPhase{SetPhase: &eventpb.SetPhaseCommand{Phase: p}}})
}

func setFlags(names ...string) *eventpb.Command {
	return &eventpb.Command{Symbol: btc, Body: &eventpb.Command_SetFlags{SetFlags: &eventpb.SetFlagsCommand{Flags: names}}}
}

func leaving(to int32) *eventpb.Command {
	return &eventpb.Command{Symbol: btc, Body: &eventpb.Command_Leave{Leave: &eventpb.LeaveCommand{ToPartition: to}}}
}

func adopting(from int32, image []byte) *eventpb.Command {
	return &eventpb.Command{Symbol: btc, Body: &eventpb.Command_Adopt{Adopt: &eventpb.AdoptCommand{FromPartition: from, Image: image}}}
}

// again returns the rig on a machine that was restored from this one's image, on the
// other implementation of the book.
func (r *rig) again() *rig {
	r.t.Helper()
	image, hash := snapshot.Encode(r.m.Capture())
	s, stored, err := snapshot.Decode(image)
	if err != nil || !bytes.Equal(hash, stored) {
		r.t.Fatal(err)
	}
	m, err := RestoreMachine(s, hash, func() matching.Engine { return matching.New() })
	if err != nil {
		r.t.Fatal(err)
	}
	return &rig{t: r.t, m: m, nowMs: r.nowMs, id: r.id}
}

func TestMachine_Checkpoint(t *testing.T) {
	checkpoint := func(r *rig) *eventpb.Checkpoint {
		return r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Checkpoint{Checkpoint: &eventpb.CheckpointCommand{}}}).Checkpoint
	}
	t.Run("it tells what is held, and what was traded since the one before (H15)", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, 3*bitcoin))
		r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		r.place(placing(3, 12, buy, 90*usdt, 2*bitcoin))
		got := checkpoint(r)
		want := &eventpb.Checkpoint{
			OpenOrders: 2, BaseHeld: 2 * bitcoin, QuoteHeld: 180 * usdt, LastTradeId: 1,
			TradedAmount: bitcoin, Turnover: 100 * usdt, BaseFees: bitcoin / 500, QuoteFees: usdt / 10,
			StateHash: r.m.books[btc].engine.StateHash(),
		}
		if !proto.Equal(got, want) {
			t.Errorf("got %v\nwant %v", got, want)
		}
		r.place(placing(4, 13, sell, 90*usdt, bitcoin))
		r = r.again() // the window is part of the state
		got = checkpoint(r)
		if got.AfterSeq != 5 || got.AfterTradeId != 1 || got.LastTradeId != 2 || got.Turnover != 90*usdt || got.TradedAmount != bitcoin ||
			got.BaseFees != bitcoin/1000 || got.QuoteFees != 90*usdt*2/1000 || got.QuoteHeld != 90*usdt || got.BaseHeld != 2*bitcoin {
			t.Errorf("got %v", got)
		}
	})
	t.Run("sums that do not fit are marked and never wrong", func(t *testing.T) {
		for _, c := range [][3]int64{{1, 2, 3}, {1<<63 - 2, 1, 1<<63 - 1}, {1<<63 - 1, 1, 1<<63 - 1}, {1 << 62, 1 << 62, 1<<63 - 1}} {
			if got := saturated(c[0], c[1]); got != c[2] {
				t.Errorf("%d + %d is %d", c[0], c[1], got)
			}
		}
	})
}

func TestMachine_Flags(t *testing.T) {
	unbounded := func() *eventpb.Command {
		c := rules(btc, "BTC", "USDT")
		c.GetSetRules().MaxBookOrders = maxBookOrders + 1
		return c
	}
	t.Run("a behaviour changes at the command that switches its flag on, not before (H13)", func(t *testing.T) {
		r := newRig(t)
		if body := r.do(unbounded()); body.Result.Rejected {
			t.Fatalf("without the flag: %v", body.Result)
		}
		refused(t, r.do(setFlags(FlagBoundedBook)), order.ReasonBadRules) // the rules in force would break it
		bounded := rules(btc, "BTC", "USDT")
		bounded.GetSetRules().MaxBookOrders = maxBookOrders
		r.do(bounded)
		if body := r.do(setFlags(FlagBoundedBook, FlagBoundedBook)); body.Result.Rejected || !slices.Equal(body.Flags.Names, []string{FlagBoundedBook}) {
			t.Fatalf("record %v", body)
		}
		refused(t, r.do(unbounded()), order.ReasonBadRules)
		r = r.again() // the flags are part of the state
		refused(t, r.do(unbounded()), order.ReasonBadRules)
		r.do(setFlags())
		if body := r.do(unbounded()); body.Result.Rejected {
			t.Errorf("with the flag off: %v", body.Result)
		}
	})
	t.Run("a release that does not know a flag stops, and says which (H13)", func(t *testing.T) {
		r := newRig(t)
		_, _, err := r.m.Apply(r.command(setFlags("tomorrow", FlagBoundedBook)))
		if !errors.Is(err, ErrUnknownFlag) || !strings.Contains(err.Error(), `"tomorrow" of BTC/USDT`) || !strings.Contains(err.Error(), "offset 1") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("it does not start from a snapshot with a flag that it does not know", func(t *testing.T) {
		r := newRig(t)
		r.m.known = []string{"tomorrow"}
		r.do(setFlags("tomorrow"))
		s := r.m.Capture()
		s.Sort()
		if _, err := RestoreMachine(s, s.Hash(), newNaive); !errors.Is(err, ErrUnknownFlag) || errors.Is(err, snapshot.ErrDamaged) {
			t.Errorf("got %v", err)
		}
	})
}

// broken is an engine with an error that shows at one order.
type broken struct {
	matching.Engine

	id uint64
}

func (b broken) Apply(cmd *matching.Command, out []matching.Event) []matching.Event {
	if cmd.Op == matching.OpPlace && cmd.OrderID == b.id {
		panic("queue is broken")
	}
	return b.Engine.Apply(cmd, out)
}

func TestMachine_Skip(t *testing.T) {
	start := func(t *testing.T) *rig {
		r := &rig{t: t, m: NewMachine(0, func() matching.Engine { return broken{matching.New(), 2} }), nowMs: 1_000_000, id: 1000}
		r.do(rules(btc, "BTC", "USDT"))
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		return r
	}
	poison := func(r *rig) bus.Message {
		return r.command(&eventpb.Command{CommandId: 7, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(2, 11, sell, 100*usdt, bitcoin)}})
	}
	decision := func(msg bus.Message) []snapshot.Decision {
		return []snapshot.Decision{{Skip: snapshot.Skip{Offset: msg.Offset, Fingerprint: bus.Fingerprint(msg)}, Reason: "queue is broken"}}
	}
	t.Run("a command on which the book breaks is an error that names it, and no crash (H16)", func(t *testing.T) {
		r := start(t)
		msg := poison(r)
		_, _, err := r.m.Apply(msg)
		p, ok := errors.AsType[*PoisonError](err)
		if !ok || p.Offset != 2 || p.Key != btc || !bytes.Equal(p.Fingerprint, bus.Fingerprint(msg)) || !strings.Contains(err.Error(), "queue is broken") || !Refusal(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a decision has every replay refuse it, and the rest goes on (H16)", func(t *testing.T) {
		var first []byte
		for range 2 {
			r := start(t)
			msg := poison(r)
			r.m.Decide(decision(msg))
			rec, ok, err := r.m.Apply(msg)
			if err != nil || !ok || rec.Body.CommandId != 7 || len(rec.Body.Orders) != 0 {
				t.Fatalf("%v %v", rec.Body, err)
			}
			refused(t, rec.Body, order.ReasonSkipped)
			if first != nil && !bytes.Equal(first, rec.Hash) {
				t.Error("two replays differ")
			}
			first = rec.Hash
			if got := r.again().m.obeyed; len(got) != 1 || got[0].Offset != 2 {
				t.Errorf("the snapshot says %v", got)
			}
			if body := r.cancel(1, 10); body.Result.Rejected {
				t.Errorf("record %v", body)
			}
		}
	})
	t.Run("a decision about another command than the log holds is refused", func(t *testing.T) {
		r := start(t)
		msg := poison(r)
		d := decision(msg)
		d[0].Fingerprint = []byte("other")
		r.m.Decide(d)
		if _, _, err := r.m.Apply(msg); !errors.Is(err, ErrWrongDecision) || !Refusal(err) {
			t.Errorf("got %v", err)
		}
	})
}

func TestMachine_Move(t *testing.T) {
	// moved returns both machines after the symbol has left, and its image.
	moved := func(t *testing.T) (from, to *rig, image []byte) {
		from = newRig(t)
		to = &rig{t: t, m: NewMachine(1, newNaive), nowMs: from.nowMs - 500_000, id: 5000}
		from.place(placing(1, 10, sell, 100*usdt, 2*bitcoin))
		from.place(placing(2, 11, buy, 100*usdt, bitcoin))
		from.phase(eventpb.Phase_PHASE_HALT)
		from.do(leaving(1))
		return from, to, from.m.left[btc].Image
	}
	t.Run("a symbol goes on in another partition: chain, book, ids and log time", func(t *testing.T) {
		from, to, image := moved(t)
		left := from.m.left[btc]
		body := to.do2(adopting(0, image))
		if body.Seq != left.Seq+1 || body.CommandPartition != 1 || body.Adopted.FromPartition != 0 || len(body.Adopted.StateHash) != 32 {
			t.Fatalf("record %v", body)
		}
		if to.m.logTimeMs != from.nowMs {
			t.Errorf("log time %d, want %d: forgotten ids would be placeable again", to.m.logTimeMs, from.nowMs)
		}
		to.nowMs = from.nowMs
		to.phase(eventpb.Phase_PHASE_TRADING)
		refused(t, to.place(placing(2, 11, buy, 100*usdt, bitcoin)), order.ReasonDuplicateOrder)
		if body := to.place(placing(3, 12, buy, 100*usdt, bitcoin)); len(body.Trades) != 1 || body.Trades[0].TradeId != 2 || body.Trades[0].MakerOrderId != 1 {
			t.Errorf("record %v", body)
		}
	})
	t.Run("the state hash of the last record there is that of the first here", func(t *testing.T) {
		from := newRig(t)
		from.place(placing(1, 10, sell, 100*usdt, 2*bitcoin))
		from.phase(eventpb.Phase_PHASE_HALT)
		last := from.do(leaving(1))
		to := &rig{t: t, m: NewMachine(1, func() matching.Engine { return matching.New() }), nowMs: from.nowMs, id: 5000}
		first := to.do2(adopting(0, from.m.left[btc].Image))
		if last.Left.ToPartition != 1 || !bytes.Equal(last.Left.StateHash, first.Adopted.StateHash) {
			t.Errorf("left %v, adopted %v", last.Left, first.Adopted)
		}
	})
	t.Run("what comes after the symbol has left yields no record, whatever it is", func(t *testing.T) {
		from, _, image := moved(t)
		for _, cmd := range []*eventpb.Command{
			{Symbol: btc, Body: &eventpb.Command_Place{Place: placing(9, 11, buy, 100*usdt, bitcoin)}},
			{Symbol: btc, Body: &eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{OrderId: 1, MemberId: 10}}},
			leaving(1), rules(btc, "BTC", "USDT"), adopting(1, image), adopting(0, image),
		} {
			if _, ok, err := from.m.Apply(from.command(cmd)); ok || err != nil {
				t.Errorf("%v gives a record: %v", cmd, err)
			}
		}
		if again := from.again(); again.m.left[btc].To != 1 || len(again.m.books) != 0 {
			t.Errorf("restored: %+v", again.m.left)
		}
	})
	t.Run("only a halted symbol leaves, and only to another partition", func(t *testing.T) {
		r := newRig(t)
		refused(t, r.do(leaving(1)), order.ReasonNotHalted)
		r.phase(eventpb.Phase_PHASE_HALT)
		refused(t, r.do(leaving(0)), order.ReasonBadCommand)
		refused(t, r.do(leaving(-1)), order.ReasonBadCommand)
	})
	t.Run("a second adoption changes nothing", func(t *testing.T) {
		_, to, image := moved(t)
		to.do2(adopting(0, image))
		refused(t, to.do2(adopting(0, image)), order.ReasonBadCommand)
	})
	t.Run("a symbol comes back, but not with the image from before", func(t *testing.T) {
		from, to, image := moved(t)
		to.do2(adopting(0, image))
		to.do2(leaving(0))
		old := from.command(adopting(1, image))
		if _, ok, err := from.m.Apply(old); ok || err != nil {
			t.Fatalf("an old image is adopted: %v", err)
		}
		if body := from.do2(adopting(1, to.m.left[btc].Image)); body.Seq != 8 {
			t.Errorf("record %v", body)
		}
		if len(from.m.left) != 0 {
			t.Error("the symbol is here and gone")
		}
	})
	t.Run("an image that is damaged or another symbol's is not adopted", func(t *testing.T) {
		_, to, image := moved(t)
		bad := bytes.Clone(image)
		bad[20] ^= 1
		other := adopting(0, image)
		other.Symbol = "ETH/USDT"
		for _, cmd := range []*eventpb.Command{adopting(0, bad), adopting(0, nil), other, adopting(1, image), adopting(-1, image)} {
			if _, ok, err := to.m.Apply(to.command(cmd)); ok || err != nil {
				t.Errorf("adopted, or %v", err)
			}
		}
	})
	t.Run("an image of a format that a newer release writes stops this one", func(t *testing.T) {
		_, to, image := moved(t)
		image = bytes.Clone(image)
		image[6]++
		if _, _, err := to.m.Apply(to.command(adopting(0, image))); !errors.Is(err, snapshot.ErrFormat) || !Refusal(err) {
			t.Errorf("got %v", err)
		}
	})
}

// do2 is do where the record's log time is another than the message's.
func (r *rig) do2(cmd *eventpb.Command) *eventpb.RecordBody {
	r.t.Helper()
	rec, ok, err := r.m.Apply(r.command(cmd))
	if err != nil || !ok {
		r.t.Fatalf("no record: %v", err)
	}
	return rec.Body
}

func TestMachine_Restore(t *testing.T) {
	t.Run("a machine restored at any moment goes on as the other does, on either book", func(t *testing.T) {
		rnd := testkit.Rand(t)
		l := newFakeLog()
		tr := &traffic{rnd: rnd, l: l, ids: 10}
		l.command(rules(btc, "BTC", "USDT"))
		l.command(rules("ETH/USDT", "ETH", "USDT"))
		for range 600 {
			l.nowMs += rnd.Int64N(8)
			l.command(tr.next())
		}
		engines := []func() matching.Engine{newNaive, func() matching.Engine { return matching.New() }}
		one, other := NewMachine(0, engines[0]), NewMachine(0, engines[1])
		for _, msg := range l.topics[bus.TopicCommands] {
			if rnd.IntN(10) == 0 {
				other = restoreOf(t, other, engines[rnd.IntN(2)])
			}
			a, _, err := one.Apply(msg)
			if err != nil {
				t.Fatal(err)
			}
			b, _, err := other.Replay(msg)
			if err != nil || !bytes.Equal(a.Hash, b.Hash) || !proto.Equal(a.Body, b.Body) {
				t.Fatalf("offset %d: %v\n%v\n%v", msg.Offset, err, a.Body, b.Body)
			}
			image, _ := snapshot.Encode(one.Capture())
			if same, _ := snapshot.Encode(other.Capture()); !bytes.Equal(image, same) {
				t.Fatalf("offset %d: two images of one state", msg.Offset)
			}
		}
	})
	t.Run("a state that does not have the hash that was taken is refused", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		for name, damage := range map[string]func(s *snapshot.State){
			"the time":        func(s *snapshot.State) { s.LogTimeMs++ },
			"a phase":         func(s *snapshot.State) { s.Books[0].Phase++ },
			"a deadline":      func(s *snapshot.State) { s.Books[0].Live[0].DeadlineMs++ },
			"an open order":   func(s *snapshot.State) { s.Books[0].Live = nil },
			"an owner":        func(s *snapshot.State) { s.Books[0].Live[0].Member++ },
			"a remembered id": func(s *snapshot.State) { s.Books[0].IDs = []snapshot.Remembered{{ID: 7, DeadlineMs: 1 << 50}} },
			"the rules":       func(s *snapshot.State) { s.Books[0].Rules = nil },
			"the book":        func(s *snapshot.State) { s.Books[0].Engine = newNaive().Snapshot(nil) },
			"the chain":       func(s *snapshot.State) { s.Books[0].Head = []byte("other") },
			"the window":      func(s *snapshot.State) { s.Books[0].Window.Turnover++ },
		} {
			s := r.m.Capture()
			s.Sort()
			hash := s.Hash()
			damage(s)
			if _, err := RestoreMachine(s, hash, newNaive); !errors.Is(err, snapshot.ErrDamaged) {
				t.Errorf("%s is another: %v", name, err)
			}
		}
	})
}

func restoreOf(t *testing.T, m *Machine, engine func() matching.Engine) *Machine {
	t.Helper()
	image, hash := snapshot.Encode(m.Capture())
	s, _, err := snapshot.Decode(image)
	if err != nil {
		t.Fatal(err)
	}
	m, err = RestoreMachine(s, hash, engine)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func FuzzDecoder(f *testing.F) {
	tr := &traffic{rnd: rand.New(rand.NewPCG(1, 2)), l: newFakeLog(), ids: 10}
	for range 40 {
		value, err := proto.Marshal(tr.next())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte{8, 1, 18, 1, 255, 26, 2, 8, 1})
	f.Fuzz(func(t *testing.T, value []byte) {
		want := &eventpb.Command{}
		decodable := proto.Unmarshal(value, want) == nil && want.Body != nil
		d := newDecoder()
		d.decode([]byte{26, 4, 8, 9, 16, 9}, btc) // what was decoded before must not show
		got, ok := d.decode(value, btc)
		if ok != decodable || ok && !proto.Equal(got, want) {
			t.Fatalf("got %v %v, want %v %v", got, ok, want, decodable)
		}
	})
}
