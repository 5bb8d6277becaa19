package sequencer

import (
	"bytes"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

// verify verifies a scene.
func (c *scene) verify(change func(*VerifyConfig)) (*Verification, error) {
	c.t.Helper()
	cfg := VerifyConfig{Log: c.l, Snapshots: c.snaps, NewEngine: newNaive, From: FromBeginning}
	if change != nil {
		change(&cfg)
	}
	return Verify(c.t.Context(), cfg)
}

// record changes a published record and seals it anew, so that its own hash fits.
func (c *scene) record(at int, change func(*eventpb.RecordBody)) {
	c.t.Helper()
	e, err := stream.OpenMessage(c.l.topics[bus.TopicCompleted][at])
	if err != nil {
		c.t.Fatal(err)
	}
	change(e.Body)
	value, _, err := stream.Seal(e.Body, e.PrevHash)
	if err != nil {
		c.t.Fatal(err)
	}
	c.l.topics[bus.TopicCompleted][at].Value = value
}

// recommand changes a command in place.
func (c *scene) recommand(at int, cmd *eventpb.Command) {
	c.t.Helper()
	value, err := proto.Marshal(cmd)
	if err != nil {
		c.t.Fatal(err)
	}
	c.l.topics[bus.TopicCommands][at].Value = value
}

// resnapshot stores another state in place of a snapshot, all its sums fitting.
func (c *scene) resnapshot(next int64, change func(*snapshot.State)) {
	c.damage(next, func(i *snapshot.Info, image []byte) []byte {
		s, _, err := snapshot.Decode(image)
		if err != nil {
			c.t.Fatal(err)
		}
		change(s)
		image, hash := snapshot.Encode(s)
		*i = snapshot.InfoOf(s, image, hash, 1)
		return image
	})
}

func TestVerify_Clean(t *testing.T) {
	for name, v := range map[string]struct {
		from      int64
		change    func(c *scene)
		wantFrom  int64
		records   int64
		snapshots []int64
	}{
		"from the beginning": {FromBeginning, func(*scene) {}, 0, 10, []int64{3, 5, 7, 9}},
		"from a snapshot":    {5, func(*scene) {}, 5, 5, []int64{7, 9}},
		"from what was verified before, which is nothing":   {FromVerified, func(*scene) {}, 0, 10, []int64{3, 5, 7, 9}},
		"from what was verified before":                     {FromVerified, func(c *scene) { must(c.t, c.snaps.MarkVerified(c.t.Context(), 0, 7)) }, 7, 3, []int64{9}},
		"a truncated log, from the oldest snapshot in it":   {FromBeginning, func(c *scene) { c.cut(bus.TopicCommands, 4, 10) }, 5, 5, []int64{7, 9}},
		"records that another instance has written twice":   {FromBeginning, func(c *scene) { c.l.append(bus.TopicCompleted, c.l.topics[bus.TopicCompleted][3:]...) }, 0, 10, []int64{3, 5, 7, 9}},
		"both logs are truncated below the snapshot":        {FromVerified, func(c *scene) { c.cut(bus.TopicCommands, 4, 10); c.cut(bus.TopicCompleted, 5, 10) }, 5, 5, []int64{7, 9}},
		"a snapshot that was dropped while it was compared": {FromBeginning, func(c *scene) { c.snaps.drop = 7 }, 0, 10, []int64{3, 5, 9}},
	} {
		t.Run("nothing differs: "+name, func(t *testing.T) {
			c := newScene(t)
			v.change(c)
			got, err := c.verify(func(cfg *VerifyConfig) { cfg.From = v.from })
			if err != nil || got.Difference != nil {
				t.Fatalf("got %v, %v", got.Difference, err)
			}
			if got.From != v.wantFrom || got.End != 10 || got.Records != v.records || got.Unpublished != 0 || !slices.Equal(got.Snapshots, v.snapshots) {
				t.Errorf("got %+v", got)
			}
			for _, next := range v.snapshots {
				if c.snaps.infos[next].VerifiedMs == 0 {
					t.Errorf("the snapshot at %d is not noted as verified", next)
				}
			}
		})
	}
	t.Run("commands that are not answered yet are counted", func(t *testing.T) {
		c := newScene(t)
		c.cut(bus.TopicCompleted, 0, 7)
		got, err := c.verify(nil)
		if err != nil || got.Difference != nil || got.Records != 7 || got.Unpublished != 3 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
	t.Run("a skip decision is obeyed", func(t *testing.T) {
		c := newScene(t)
		c.recommand(6, setFlags("of-tomorrow"))
		skip := snapshot.Skip{Offset: 6, Fingerprint: bus.Fingerprint(c.l.topics[bus.TopicCommands][6])}
		c.snaps.decisions = []snapshot.Decision{{Skip: skip}}
		m := NewMachine(0, func() matching.Engine { return matching.New() })
		m.Decide(c.snaps.decisions)
		c.l.topics[bus.TopicCompleted], c.snaps = nil, &fakeSnapshots{decisions: c.snaps.decisions}
		for _, msg := range c.l.topics[bus.TopicCommands] {
			rec, _, err := m.Apply(msg)
			must(t, err)
			c.l.append(bus.TopicCompleted, bus.Message{Key: []byte(rec.Symbol), Value: rec.Value})
		}
		if got, err := c.verify(nil); err != nil || got.Difference != nil || got.Records != 10 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerify_Differences(t *testing.T) {
	for name, v := range map[string]struct {
		change func(c *scene)
		want   Difference // what is empty in it is not compared
	}{
		"an altered amount": {
			func(c *scene) { c.record(4, func(b *eventpb.RecordBody) { b.Orders[0].HeldRemaining++ }) },
			Difference{What: WhatRecord, Command: 4, Record: 4, Symbol: btc, Seq: 5, Field: "Orders[0].HeldRemaining", Stored: "100000001", Replayed: "100000000"},
		},
		"a level that is gone": {
			func(c *scene) { c.record(6, func(b *eventpb.RecordBody) { b.Levels = nil }) },
			Difference{What: WhatRecord, Command: 6, Record: 6, Symbol: btc, Seq: 7, Field: "Levels", Stored: "0 entries", Replayed: "1 entries"},
		},
		"a refusal that was an order": {
			func(c *scene) { c.record(2, func(b *eventpb.RecordBody) { b.Result.Rejected = true }) },
			Difference{What: WhatRecord, Command: 2, Record: 2, Symbol: btc, Seq: 3, Field: "Result.Rejected", Stored: "true", Replayed: "false"},
		},
		"a record sealed over another history": {
			func(c *scene) {
				e, err := stream.OpenMessage(c.l.topics[bus.TopicCompleted][5])
				must(c.t, err)
				value, _, err := stream.Seal(e.Body, bytes.Repeat([]byte{1}, 32))
				must(c.t, err)
				c.l.topics[bus.TopicCompleted][5].Value = value
			},
			Difference{What: WhatRecord, Command: 5, Record: 5, Symbol: btc, Seq: 6, Field: "hash"},
		},
		"a missing record": {
			func(c *scene) { c.l.topics[bus.TopicCompleted] = slices.Delete(c.l.topics[bus.TopicCompleted], 5, 6) },
			Difference{What: WhatMissing, Command: 5, Record: -1, Symbol: btc, Seq: 6, Field: "record", Stored: "the next is record 7 of BTC/USDT at offset 6"},
		},
		"a missing first record": {
			func(c *scene) { c.l.topics[bus.TopicCompleted] = c.l.topics[bus.TopicCompleted][1:] },
			Difference{What: WhatMissing, Command: 0, Record: -1, Symbol: btc, Seq: 1},
		},
		"a record that is none": {
			func(c *scene) { c.l.topics[bus.TopicCompleted][3].Value = []byte{1} },
			Difference{What: WhatUnreadable, Command: -1, Record: 3, Symbol: btc},
		},
		"a record that no command gave": {
			func(c *scene) {
				value, _, err := stream.Seal(&eventpb.RecordBody{Symbol: "ETH/USDT", Seq: 1, CommandOffset: 4}, nil)
				must(c.t, err)
				c.l.append(bus.TopicCompleted, bus.Message{Key: []byte("ETH/USDT"), Value: value})
			},
			Difference{What: WhatUnexpected, Command: 4, Record: 10, Symbol: "ETH/USDT", Seq: 1},
		},
		"a record that was published twice, differently": {
			func(c *scene) {
				c.l.append(bus.TopicCompleted, c.l.topics[bus.TopicCompleted][8])
				c.record(10, func(b *eventpb.RecordBody) { b.LogTimeMs++ })
			},
			Difference{What: WhatTwice, Command: 8, Record: 10, Symbol: btc, Seq: 9, Field: "hash"},
		},
		"an altered command": {
			func(c *scene) {
				c.recommand(5, &eventpb.Command{CommandId: 14, Symbol: btc, Body: &eventpb.Command_Place{Place: placing(14, 1, sell, 104*usdt, 2*bitcoin)}})
			},
			Difference{What: WhatRecord, Command: 5, Record: 5, Symbol: btc, Seq: 6, Field: "Orders[0].HeldRemaining", Stored: "100000000", Replayed: "200000000"},
		},
		"a command at another time": {
			func(c *scene) { c.l.topics[bus.TopicCommands][5].TimeMs++ },
			Difference{What: WhatRecord, Command: 5, Record: 5, Symbol: btc, Seq: 6, Field: "LogTimeMs"},
		},
		"an altered snapshot": {
			func(c *scene) { c.resnapshot(7, func(s *snapshot.State) { s.Books[0].Live[2].DeadlineMs++ }) },
			Difference{What: WhatSnapshot, Command: 7, Record: -1, Symbol: btc, Seq: 7, Field: "Live[2].DeadlineMs"},
		},
		"a snapshot of another book": {
			func(c *scene) {
				c.resnapshot(5, func(s *snapshot.State) { s.Books[0].Engine = newNaive().Snapshot(nil) })
			},
			Difference{What: WhatSnapshot, Command: 5, Record: -1, Symbol: btc, Seq: 5, Field: "Engine"},
		},
		"a snapshot with another symbol": {
			func(c *scene) {
				c.resnapshot(9, func(s *snapshot.State) { s.Left = []snapshot.Left{{Name: "ETH/USDT", To: 1}} })
			},
			Difference{What: WhatSnapshot, Command: 9, Record: -1, Field: "Left", Stored: "1 entries", Replayed: "0 entries"},
		},
		"a snapshot that is damaged": {
			func(c *scene) { c.damage(3, flip) },
			Difference{What: WhatDamaged, Command: 3, Record: -1, Field: "image"},
		},
		"a snapshot whose image is gone": {
			func(c *scene) { c.damage(3, func(*snapshot.Info, []byte) []byte { return nil }) },
			Difference{What: WhatDamaged, Command: 3, Record: -1, Field: "image"},
		},
	} {
		t.Run("the first difference is named: "+name, func(t *testing.T) {
			c := newScene(t)
			v.change(c)
			got, err := c.verify(nil)
			if err != nil || got.Difference == nil {
				t.Fatalf("got %+v, %v", got, err)
			}
			d := *got.Difference
			for _, f := range []struct{ got, want *string }{{&d.Field, &v.want.Field}, {&d.Stored, &v.want.Stored}, {&d.Replayed, &v.want.Replayed}} {
				if *f.want == "" {
					*f.got = ""
				}
			}
			if d.What == WhatUnreadable {
				d.Seq = 0
			}
			if d != v.want {
				t.Errorf("got %v", got.Difference)
			}
			if len(got.Snapshots) > 0 && got.Snapshots[len(got.Snapshots)-1] > max(d.Command, 0) && d.What != WhatTwice && d.What != WhatUnexpected && d.What != WhatUnreadable {
				t.Errorf("a snapshot after the difference is verified: %v", got.Snapshots)
			}
		})
	}
	t.Run("the snapshot that the replay begins at is checked", func(t *testing.T) {
		for what, harm := range map[string]func(c *scene){
			WhatDamaged: func(c *scene) { c.damage(5, flip) },
			WhatCommand: func(c *scene) { c.l.topics[bus.TopicCommands][4].TimeMs++ },
		} {
			c := newScene(t)
			harm(c)
			got, err := c.verify(func(cfg *VerifyConfig) { cfg.From = 5 })
			if err != nil || got.Difference == nil || got.Difference.What != what {
				t.Errorf("%s: got %+v, %v", what, got, err)
			}
		}
	})
	t.Run("a symbol alone is compared, and no other", func(t *testing.T) {
		c := newScene(t)
		c.record(4, func(b *eventpb.RecordBody) { b.Orders[0].HeldRemaining++ })
		if got, err := c.verify(func(cfg *VerifyConfig) { cfg.Symbol = "ETH/USDT" }); err != nil || got.Difference != nil || got.Records != 0 {
			t.Errorf("another: %+v, %v", got, err)
		}
		if c.snaps.infos[9].VerifiedMs != 0 {
			t.Error("a snapshot of which a part was not compared is noted as verified")
		}
		if got, err := c.verify(func(cfg *VerifyConfig) { cfg.Symbol = btc }); err != nil || got.Difference == nil || got.Difference.Seq != 5 {
			t.Errorf("this one: %+v, %v", got, err)
		}
	})
}

func TestVerify_CannotTell(t *testing.T) {
	for name, v := range map[string]struct {
		change func(c *scene)
		from   int64
		want   error
	}{
		"the log switches on a behaviour of another release": {func(c *scene) { c.recommand(4, setFlags("of-tomorrow")) }, FromBeginning, ErrUnknownFlag},
		"a snapshot has a behaviour of another release": {func(c *scene) {
			c.resnapshot(5, func(s *snapshot.State) { s.Books[0].Flags = []string{"of-tomorrow"} })
		}, 5, ErrUnknownFlag},
		"a snapshot has the format of another release":   {func(c *scene) { c.damage(5, func(i *snapshot.Info, b []byte) []byte { i.Format++; return b }) }, 5, snapshot.ErrFormat},
		"there is no snapshot at that offset":            {func(*scene) {}, 4, ErrNoSuchSnapshot},
		"the log is truncated, and no snapshot is in it": {func(c *scene) { c.cut(bus.TopicCommands, 9, 10) }, FromBeginning, ErrCommandLogTruncated},
		"the snapshot is not in the log any more":        {func(c *scene) { c.cut(bus.TopicCommands, 5, 10) }, 5, ErrNoSuchSnapshot},
		"a decision is about another command than the log's": {func(c *scene) {
			c.snaps.decisions = []snapshot.Decision{{Skip: snapshot.Skip{Offset: 2, Fingerprint: []byte("x")}}}
		}, FromBeginning, ErrWrongDecision},
		"the database does not answer":                          {func(c *scene) { c.snaps.fail = errFault }, FromBeginning, errFault},
		"a command cannot be executed, and nobody has executed": {func(c *scene) { c.recommand(9, setFlags("of-tomorrow")); c.cut(bus.TopicCompleted, 0, 9) }, FromBeginning, ErrUnknownFlag},
	} {
		t.Run("it is said that it cannot be told: "+name, func(t *testing.T) {
			c := newScene(t)
			v.change(c)
			got, err := c.verify(func(cfg *VerifyConfig) { cfg.From = v.from })
			if !errors.Is(err, v.want) || !strings.Contains(err.Error(), "exchange_order_trading/0") {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	t.Run("a command that the replay cannot execute and somebody has answered is a difference", func(t *testing.T) {
		c := newScene(t)
		got, err := c.verify(func(cfg *VerifyConfig) {
			cfg.NewEngine = func() matching.Engine { return broken{newNaive(), 14} }
		})
		if err != nil || got.Difference == nil || got.Difference.What != WhatExecuted || got.Difference.Seq != 6 {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

// TestVerify_Random changes one thing in a random history, and expects it to be found.
func TestVerify_Random(t *testing.T) {
	rnd := testkit.Rand(t)
	for range 20 {
		c := randomScene(t, rnd)
		for _, next := range append([]int64{FromBeginning}, slices.Sorted(maps.Keys(c.snaps.infos))...) {
			if got, err := c.verify(func(cfg *VerifyConfig) { cfg.From = next }); err != nil || got.Difference != nil {
				t.Fatalf("from %d: %v, %v", next, got, err)
			}
		}
		out := c.l.topics[bus.TopicCompleted]
		at := rnd.IntN(len(out))
		if rnd.IntN(2) == 0 {
			out[at].Value = bytes.Clone(out[at].Value)
			out[at].Value[rnd.IntN(len(out[at].Value))] ^= 1 << rnd.IntN(8)
		} else {
			c.record(at, func(b *eventpb.RecordBody) { b.LogTimeMs++ })
		}
		if got, err := c.verify(nil); err != nil || got.Difference == nil {
			t.Fatalf("record %d was changed: %+v, %v", at, got, err)
		}
	}
}

// randomScene is a history of two symbols with snapshots, some records written twice.
func randomScene(t *testing.T, rnd *rand.Rand) *scene {
	t.Helper()
	c := &scene{t: t, l: newFakeLog(), snaps: newFakeSnapshots()}
	tr := &traffic{rnd: rnd, l: c.l, ids: 10}
	c.l.command(rules(btc, "BTC", "USDT"))
	c.l.command(rules("ETH/USDT", "ETH", "USDT"))
	for range 300 {
		c.l.nowMs += rnd.Int64N(8)
		c.l.command(tr.next())
	}
	m := NewMachine(0, func() matching.Engine { return matching.New() })
	var late []bus.Message
	for _, msg := range c.l.topics[bus.TopicCommands] {
		rec, ok, err := m.Apply(msg)
		must(t, err)
		if ok {
			out := bus.Message{Key: []byte(rec.Symbol), Value: rec.Value}
			c.l.append(bus.TopicCompleted, out)
			if rnd.IntN(10) == 0 {
				late = append(late, out)
			}
		}
		if rnd.IntN(20) == 0 {
			c.l.append(bus.TopicCompleted, late...)
			late = nil
		}
		if rnd.IntN(60) == 0 {
			s := m.Capture()
			image, hash := snapshot.Encode(s)
			info := snapshot.InfoOf(s, image, hash, 1)
			must(t, c.snaps.SaveSnapshot(t.Context(), &info, image))
		}
	}
	return c
}
