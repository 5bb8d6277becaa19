package sequencer

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

// scene is a partition with snapshots at 3, 5, 7 and 9 of 10 commands, all published
// and applied.
type scene struct {
	t         *testing.T
	l         *fakeLog
	snaps     *fakeSnapshots
	at        Positions
	followers func(context.Context) ([]Follower, error)
}

func newScene(t *testing.T) *scene {
	logx.Disable()
	c := &scene{t: t, l: newFakeLog(), snaps: newFakeSnapshots()}
	c.l.command(rules(btc, "BTC", "USDT"))
	for i := range int64(9) {
		c.l.command(&eventpb.Command{CommandId: 10 + i, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(10+i, 1, sell, (100+i)*usdt, bitcoin)}})
	}
	finish(t, c.l, Positions{}, nil)
	m := NewMachine(0, newNaive)
	for _, msg := range c.l.topics[bus.TopicCommands] {
		if _, _, err := m.Apply(msg); err != nil {
			t.Fatal(err)
		}
		if m.Next()%2 == 1 && m.Next() > 1 {
			s := m.Capture()
			image, hash := snapshot.Encode(s)
			info := snapshot.InfoOf(s, image, hash, 1)
			if err := c.snaps.SaveSnapshot(t.Context(), &info, image); err != nil {
				t.Fatal(err)
			}
		}
	}
	c.at = positionsAt(t, c.l, 10)
	return c
}

// boot starts a sequencer and says where its replay began.
func (c *scene) boot() (from int64, err error) {
	c.t.Helper()
	s := sequencerOf(c.l, c.at)
	s.cfg.Snapshots, s.cfg.Followers = c.snaps, c.followers
	ctx, cancel := context.WithCancel(c.t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	testkit.Eventually(c.t, limit, func() bool { return s.Ready() || len(ended) > 0 }, "sequencer decides")
	cancel()
	return s.from, <-ended
}

func (c *scene) cut(topic string, first, end int64) {
	c.l.first[topic], c.l.topics[topic] = first, c.l.topics[topic][first:end]
}

// damage changes what is stored of a snapshot.
func (c *scene) damage(next int64, f func(i *snapshot.Info, image []byte) []byte) {
	info := c.snaps.infos[next]
	c.snaps.images[next] = f(&info, bytes.Clone(c.snaps.images[next]))
	c.snaps.infos[next] = info
}

func flip(_ *snapshot.Info, image []byte) []byte { image[len(image)/2] ^= 1; return image }

// harms are what may have happened to a stored snapshot.
var harms = map[string]func(i *snapshot.Info, image []byte) []byte{
	"a flipped bit":                 flip,
	"no image":                      func(*snapshot.Info, []byte) []byte { return nil },
	"a part of the image missing":   func(_ *snapshot.Info, image []byte) []byte { return image[:len(image)-3] },
	"an unknown format":             func(i *snapshot.Info, image []byte) []byte { i.Format++; return image },
	"another state hash in its row": func(i *snapshot.Info, image []byte) []byte { i.StateHash = bytes.Repeat([]byte{7}, 32); return image },
	"another checksum in its row":   func(i *snapshot.Info, image []byte) []byte { i.Checksum = bytes.Repeat([]byte{7}, 32); return image },
	"an image of another place":     func(*snapshot.Info, []byte) []byte { return []byte("mscseq\x01") },
	"a symbol's row gone":           func(i *snapshot.Info, image []byte) []byte { i.Symbols = nil; return image },
	"another number in a symbol's row, which no consumer has reached": func(i *snapshot.Info, image []byte) []byte {
		i.Symbols = slices.Clone(i.Symbols)
		i.Symbols[0].Seq += 1000
		return image
	},
}

func TestSequencer_Snapshot(t *testing.T) {
	starts := func(name string, want int64, change func(c *scene)) {
		t.Run(name, func(t *testing.T) {
			c := newScene(t)
			change(c)
			from, err := c.boot()
			if err != nil || from != want {
				t.Fatalf("from %d: %v, want %d", from, err, want)
			}
			if got, err := c.l.output(); err != nil || len(got) != 10 {
				t.Errorf("%d records, %v", len(got), err)
			}
		})
	}
	follower := func(next int64) func(c *scene) {
		return func(c *scene) {
			at := positionsAt(c.t, c.l, next)
			c.followers = func(context.Context) ([]Follower, error) { return []Follower{{"wallet", at.Symbols}}, nil }
		}
	}
	starts("the newest is started from", 9, func(*scene) {})
	starts("one that the order store has not reached is not", 5, func(c *scene) { c.at = positionsAt(c.t, c.l, 6) })
	starts("one that another consumer has not reached is not", 7, follower(8))
	starts("one that a consumer has just reached is", 7, follower(7))
	starts("none that any consumer has reached: the whole log is replayed", 0, follower(1))
	starts("a consumer that does not answer: the whole log is replayed", 0, func(c *scene) {
		c.followers = func(context.Context) ([]Follower, error) { return nil, errFault }
	})
	starts("a consumer that does not answer, and the log is truncated: from the last that it can be replayed from", 5, func(c *scene) {
		c.followers = func(context.Context) ([]Follower, error) { return nil, errFault }
		c.cut(bus.TopicCommands, 4, 10)
	})
	starts("a log that is truncated below the newest", 9, func(c *scene) { c.cut(bus.TopicCommands, 8, 10) })
	starts("an output that is truncated below the consumers", 9, func(c *scene) { c.l.first[bus.TopicCompleted] = 0; c.at = positionsAt(c.t, c.l, 10) })
	starts("a damaged one that is older than the one to start from is in nobody's way", 9, func(c *scene) { c.damage(7, flip) })
}

func TestSequencer_SnapshotRefused(t *testing.T) {
	other := func(c *scene, at int) {
		value, err := proto.Marshal(&eventpb.Command{CommandId: 77, Symbol: btc, Body: &eventpb.Command_CancelAll{CancelAll: &eventpb.CancelAllCommand{MemberId: 1}}})
		if err != nil {
			c.t.Fatal(err)
		}
		c.l.topics[bus.TopicCommands][at].Value = value
	}
	type refused struct {
		want   error
		text   string
		change func(c *scene)
	}
	cases := map[string]refused{
		"a log that is shorter than the newest": {ErrCommandLogLost, "ends at offset 8", func(c *scene) {
			c.cut(bus.TopicCommands, 0, 8)
			c.cut(bus.TopicCompleted, 0, 8)
			c.at = positionsAt(c.t, c.l, 8)
		}},
		"a log that was recreated empty":               {ErrCommandLogLost, "ends at offset 0", func(c *scene) { c.l.topics = map[string][]bus.Message{}; c.at = Positions{} }},
		"a log that is truncated above the newest":     {ErrCommandLogTruncated, "begins at offset 9", func(c *scene) { c.cut(bus.TopicCommands, 9, 10) }},
		"a log that is truncated away":                 {ErrCommandLogTruncated, "begins at offset 10", func(c *scene) { c.cut(bus.TopicCommands, 10, 10) }},
		"a log with another command before the newest": {ErrDiverged, "offset 8", func(c *scene) { other(c, 8) }},
		"a log with another command after the newest":  {ErrDiverged, "offset 9", func(c *scene) { other(c, 9) }},
		"a log of the same commands at another time":   {ErrDiverged, "offset 8", func(c *scene) { c.l.topics[bus.TopicCommands][8].TimeMs++ }},
		"a truncated log and every snapshot damaged": {snapshot.ErrDamaged, "checksum", func(c *scene) {
			c.cut(bus.TopicCommands, 2, 10)
			for n := range maps.Clone(c.snaps.infos) {
				c.damage(n, func(i *snapshot.Info, b []byte) []byte { b = flip(i, b); *i = snapshotOf(*i, b); return b })
			}
		}},
		"a truncated log and no snapshot":         {ErrCommandLogTruncated, "there is no snapshot", func(c *scene) { c.cut(bus.TopicCommands, 2, 10); c.snaps = newFakeSnapshots() }},
		"a truncated log and consumers before it": {ErrCommandLogTruncated, "consumer order has applied 2", func(c *scene) { c.cut(bus.TopicCommands, 4, 10); c.at = positionsAt(c.t, c.l, 2) }},
		"a consumer that has applied something else": {ErrDiverged, "consumer wallet", func(c *scene) {
			at := map[string]database.SymbolPosition{btc: {Seq: 9, Hash: []byte("other")}}
			c.followers = func(context.Context) ([]Follower, error) { return []Follower{{"wallet", at}}, nil }
		}},
		"an output whose last record is another's": {ErrDiverged, "stands last", func(c *scene) {
			// The consumers are at the snapshot; the output goes on with a record 9 of another history.
			last, err := stream.OpenMessage(c.l.topics[bus.TopicCompleted][8])
			if err != nil {
				c.t.Fatal(err)
			}
			last.Body.CommandId++
			value, _, err := stream.Seal(last.Body, last.PrevHash)
			if err != nil {
				c.t.Fatal(err)
			}
			c.at = positionsAt(c.t, c.l, 9)
			c.l.append(bus.TopicCompleted, bus.Message{Key: []byte(btc), Value: value})
		}},
		"a damaged one that a consumer has not reached": {snapshot.ErrDamaged, "snapshot of exchange_order_trading/0 at offset 9", func(c *scene) {
			c.at = positionsAt(c.t, c.l, 6)
			c.damage(9, flip)
		}},
		"an image whose state is not the one that its hash is of": {snapshot.ErrDamaged, "snapshot of exchange_order_trading/0 at offset 9", func(c *scene) {
			c.damage(9, func(i *snapshot.Info, image []byte) []byte {
				s, _, err := snapshot.Decode(image)
				if err != nil {
					c.t.Fatal(err)
				}
				s.Books[0].Live[0].DeadlineMs++
				_, good := snapshot.Encode(s)
				s.Books[0].Engine = newNaive().Snapshot(nil)
				image, _ = snapshot.Encode(s)
				*i = snapshot.InfoOf(s, image, good, 1)
				return image
			})
		}},
		"an obeyed decision that is gone": {ErrWrongDecision, "skipped offset 4", func(c *scene) {
			for n := range maps.Clone(c.snaps.infos) {
				c.damage(n, func(i *snapshot.Info, image []byte) []byte {
					s, _, _ := snapshot.Decode(image)
					s.Obeyed = append(s.Obeyed, snapshot.Skip{Offset: 4, Fingerprint: []byte("x")})
					image, hash := snapshot.Encode(s)
					*i = snapshot.InfoOf(s, image, hash, 1)
					return image
				})
			}
		}},
	}
	for name, harm := range harms {
		cases["damage: "+name] = refused{snapshot.ErrDamaged, "snapshot of exchange_order_trading/0 at offset 9", func(c *scene) { c.damage(9, harm) }}
	}
	for name, r := range cases {
		t.Run("refused within 5 s, naming what and where: "+name, func(t *testing.T) {
			c := newScene(t)
			r.change(c)
			before := len(c.l.topics[bus.TopicCompleted])
			began := time.Now()
			_, err := c.boot()
			if !errors.Is(err, r.want) || !Refusal(err) {
				t.Fatalf("got %v, want %v", err, r.want)
			}
			if msg := err.Error(); !strings.Contains(msg, "partition 0") || !strings.Contains(msg, r.text) {
				t.Errorf("the error does not say what and where: %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
			if len(c.l.topics[bus.TopicCompleted]) != before {
				t.Error("something was published")
			}
		})
	}
}

// snapshotOf is a row to which a damaged image fits by its own checksum only.
func snapshotOf(i snapshot.Info, image []byte) snapshot.Info {
	s := &snapshot.State{Partition: i.Partition, Next: i.Next, Fingerprint: i.Fingerprint}
	j := snapshot.InfoOf(s, image, i.StateHash, 1)
	j.Symbols = i.Symbols
	return j
}

func TestSequencer_Keep(t *testing.T) {
	t.Run("snapshots are taken of what is published, and read back", func(t *testing.T) {
		c := newScene(t)
		c.snaps = newFakeSnapshots()
		c.l.setFault(func([]bus.Message) (bool, error) { return false, errFault })
		c.l.topics[bus.TopicCompleted] = c.l.topics[bus.TopicCompleted][:2]
		c.at = positionsAt(t, c.l, 1)
		if _, err := c.boot(); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if c.snaps.newest() != 0 {
			t.Errorf("a snapshot at %d holds what was never published", c.snaps.newest())
		}
	})
	t.Run("a stop during a write that fails leaves none: the command is not published (H6)", func(t *testing.T) {
		c := newScene(t)
		s := sequencerOf(c.l, c.at)
		s.cfg.Snapshots = c.snaps
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		testkit.Eventually(t, limit, s.Ready, "sequencer is live")
		c.l.setFault(func([]bus.Message) (bool, error) { cancel(); return false, errFault })
		c.l.command(&eventpb.Command{CommandId: 90, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(90, 1, sell, 99*usdt, bitcoin)}})
		if err := <-ended; !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if c.snaps.newest() != 9 {
			t.Errorf("a snapshot at %d holds what was never published", c.snaps.newest())
		}
	})
	t.Run("a clean stop leaves one at the end, and another stop without commands none", func(t *testing.T) {
		c := newScene(t)
		if _, err := c.boot(); err != nil || c.snaps.newest() != 10 {
			t.Fatalf("newest at %d, %v", c.snaps.newest(), err)
		}
		delete(c.snaps.infos, 9)
		if from, err := c.boot(); err != nil || from != 10 || c.snaps.newest() != 10 {
			t.Errorf("from %d, newest at %d, %v", from, c.snaps.newest(), err)
		}
	})
	t.Run("a database that is away costs a snapshot and nothing else", func(t *testing.T) {
		c := newScene(t)
		s := sequencerOf(c.l, c.at)
		s.cfg.Snapshots, s.cfg.SnapshotEvery = c.snaps, 1
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		testkit.Eventually(t, limit, s.Ready, "sequencer is live")
		c.snaps.mu.Lock()
		c.snaps.fail = errFault
		c.snaps.mu.Unlock()
		n := c.l.len(bus.TopicCompleted)
		c.l.command(&eventpb.Command{CommandId: 90, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(90, 1, sell, 99*usdt, bitcoin)}})
		testkit.Eventually(t, limit, func() bool { return c.l.len(bus.TopicCompleted) > n }, "the command is answered")
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("each snapshot is followed by the totals of each symbol, in the log", func(t *testing.T) {
		c := newScene(t)
		s := sequencerOf(c.l, c.at)
		s.cfg.Snapshots, s.cfg.SnapshotEvery = c.snaps, 1
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		testkit.Eventually(t, limit, func() bool {
			got, err := c.l.output()
			return err == nil && slices.ContainsFunc(got, func(b *eventpb.RecordBody) bool { return b.Checkpoint.GetOpenOrders() == 9 })
		}, "a checkpoint is published")
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("what is kept is bounded, and what a start may need is kept", func(t *testing.T) {
		var stored []snapshot.Info
		for next := int64(100); next > 0; next -= 10 {
			stored = append(stored, snapshot.Info{Next: next, Symbols: []snapshot.Symbol{{Name: btc, Seq: next}}})
		}
		at := func(seq int64) []Follower {
			return []Follower{{"order", map[string]database.SymbolPosition{btc: {Seq: 1000}}}, {"wallet", map[string]database.SymbolPosition{btc: {Seq: seq}}}}
		}
		for seq, want := range map[int64][]int64{
			1000: {70, 60, 50, 40, 30, 20, 10}, 95: {60, 50, 40, 30, 20, 10}, 55: {80, 70, 60, 20, 10}, 15: {80, 70, 60, 50, 40, 30, 20}, 5: {80, 70, 60, 50, 40},
		} {
			if got := superfluous(stored, at(seq)); !slices.Equal(got, want) {
				t.Errorf("a consumer at %d: dropped %v, want %v", seq, got, want)
			}
		}
		if got := superfluous(stored[:2], at(1)); len(got) != 0 {
			t.Errorf("dropped %v", got)
		}
	})
}

// BenchmarkCapture is how long matching waits for a snapshot of a full book and as many
// remembered ids.
func BenchmarkCapture(b *testing.B) {
	m := NewMachine(0, func() matching.Engine { return matching.New() })
	add := func(cmd *eventpb.Command) {
		r := rig{t: &testing.T{}, m: m, nowMs: 1_000_000}
		if _, _, err := m.Apply(r.command(cmd)); err != nil {
			b.Fatal(err)
		}
	}
	add(rules(btc, "BTC", "USDT"))
	for i := range int64(maxBookOrders) {
		add(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Place{Place: placing(1+i, 1+i%1000, sell, (1000+i%500)*usdt, bitcoin)}})
		add(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Resolve{Resolve: &eventpb.ResolveCommand{OrderId: 1_000_000 + i, MemberId: 1, DeadlineMs: 1_010_000}}})
	}
	b.ReportAllocs()
	for b.Loop() {
		m.Capture()
	}
}
