package stream_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

// poison is a way to make a record that must not be applied.
type poison struct {
	reason    stream.Reason
	symbol    string
	want, got int64
	// put appends it after records A1 B1 A2 B2, and what of A comes later.
	put func(w *world)
	// skipped are the records of A that are applied once the poison has been skipped.
	skipped []int64
}

func poisons() map[string]poison {
	return map[string]poison{
		"a missing record": {stream.ReasonGap, "A", 3, 4, func(w *world) {
			w.lose("A")
			w.write("A", "A")
		}, []int64{1, 2, 4, 5}},
		"a record that begins at the wrong number": {stream.ReasonGap, "Z", 1, 2, func(w *world) {
			value, _ := w.seal("Z", 2, make([]byte, 32), 0)
			w.log.append(inTopic, "Z", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a different record with a known number": {stream.ReasonConflict, "A", 3, 2, func(w *world) {
			value, _ := w.seal("A", 2, w.hashes["A"][0], 99)
			w.log.append(inTopic, "A", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a different record with an older number, while it is remembered": {stream.ReasonConflict, "A", 3, 1, func(w *world) {
			value, _ := w.seal("A", 1, nil, 99)
			w.log.append(inTopic, "A", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a record of another history": {stream.ReasonChain, "A", 3, 3, func(w *world) {
			value, _ := w.seal("A", 3, make([]byte, 32), 0)
			w.log.append(inTopic, "A", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a record whose content was changed": {stream.ReasonBadRecord, "A", 3, 0, func(w *world) {
			value, _ := w.seal("A", 3, w.hashes["A"][1], 0)
			value[4] ^= 1
			w.log.append(inTopic, "A", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"bytes that are no record": {stream.ReasonBadRecord, "A", 3, 0, func(w *world) {
			w.log.append(inTopic, "A", []byte("\xff\xff\xff"))
			w.write("A")
		}, []int64{1, 2, 3}},
		"an empty record": {stream.ReasonBadRecord, "A", 3, 0, func(w *world) {
			w.log.append(inTopic, "A", nil)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a key that is not the symbol": {stream.ReasonBadRecord, "Z", 1, 0, func(w *world) {
			value, _ := w.seal("A", 3, w.hashes["A"][1], 0)
			w.log.append(inTopic, "Z", value)
			w.write("A")
		}, []int64{1, 2, 3}},
		"a key that cannot be a symbol": {stream.ReasonBadRecord, stream.SymbolOf([]byte("\x00 no\xffsymbol")), 1, 0, func(w *world) {
			value, _ := w.seal("A", 3, w.hashes["A"][1], 0)
			w.log.append(inTopic, "\x00 no\xffsymbol", value)
			w.write("A")
		}, []int64{1, 2, 3}},
	}
}

// lose lets the matcher write a record that never reaches the log.
func (w *world) lose(symbol string) {
	log := w.log.topics[inTopic]
	w.write(symbol)
	w.log.topics[inTopic] = slices.Clip(log)
}

func (w *world) applied(consumer, symbol string) []int64 {
	return w.store.state.applied[consumer+"|"+symbol]
}

func (w *world) want(consumer, symbol string, seqs ...int64) {
	w.t.Helper()
	if got := w.applied(consumer, symbol); !slices.Equal(got, seqs) {
		w.t.Errorf("%s has applied %v of %s, want %v", consumer, got, symbol, seqs)
	}
}

// mustIdle runs c until it has nothing to do; symbols may be halted.
func (w *world) mustIdle(c *stream.Consumer) {
	w.t.Helper()
	if err := w.run(c); err != nil {
		w.t.Fatal(err)
	}
	if err := c.Stopped(); err != nil {
		w.t.Fatalf("the partition stands still: %v", err)
	}
}

// decide decides about a symbol of consumer c, as it is shown.
func (w *world) decide(symbol string, action stream.Action, record []byte) (database.Decision, error) {
	return stream.Decide(w.t.Context(), w.store, w.clk, w.request(symbol, action, record))
}

func (w *world) request(symbol string, action stream.Action, record []byte) stream.Request {
	r := stream.Request{
		ID: fmt.Sprintf("request %d", len(w.store.state.decisions)), Consumer: "c", Symbol: symbol, Action: action,
		By: "operator", Reason: "test", Record: record,
	}
	if parked := w.store.state.parked["c|"+symbol]; len(parked) > 0 {
		r.Fingerprint = parked[0].Fingerprint
	}
	return r
}

func TestConsumer_Halt(t *testing.T) {
	for rule, p := range poisons() {
		t.Run("halts its symbol alone, and all its later records are set aside: "+rule, func(t *testing.T) {
			w := newWorld(t)
			w.write("A", "B", "A", "B")
			bad := int64(len(w.log.topics[inTopic]))
			p.put(w)
			w.write("B", "C")
			for range 2 { // a restart changes nothing
				c := w.consumer("c", inTopic, outTopic)
				w.mustIdle(c)
				w.wantApplied("c", "B", 3)
				w.wantApplied("c", "C", 1)
				if p.symbol == "A" {
					w.want("c", "A", 1, 2)
				} else {
					w.want("c", "A", p.skipped...)
				}
				h := c.Halted()[p.symbol]
				if len(c.Halted()) != 1 || h == nil {
					t.Fatalf("halted: %v", c.Halted())
				}
				if h.Reason != p.reason || h.Offset != bad || h.WantSeq != p.want || h.GotSeq != p.got || h.Consumer != "c" || h.Topic != inTopic {
					t.Errorf("halted by %+v", h)
				}
				if !errors.Is(h, stream.ErrHalted) || !strings.Contains(h.Error(), string(p.reason)) || h.Parked == 0 || h.ParkedBytes == 0 && rule != "an empty record" {
					t.Errorf("halt %+v", h)
				}
				w.wantAllForwarded()
			}
		})
		t.Run("is live again when the operator has skipped it: "+rule, func(t *testing.T) {
			w := newWorld(t)
			w.write("A", "B", "A", "B")
			p.put(w)
			c := w.consumer("c", inTopic, outTopic)
			w.mustIdle(c)
			if _, err := w.decide(p.symbol, stream.ActionSkip, nil); err != nil {
				t.Fatal(err)
			}
			w.mustRun(w.consumer("c", inTopic, outTopic))
			w.want("c", "A", p.skipped...)
			if p.symbol == "Z" && p.reason == stream.ReasonGap {
				w.want("c", "Z", 2)
			}
			w.write("A", "B")
			w.mustRun(w.consumer("c", inTopic, outTopic))
			last := int64(len(w.written["A"]))
			w.want("c", "A", append(slices.Clone(p.skipped), last)...)
			w.wantNothingParked()
		})
	}
	t.Run("a history that is known again after a restart is told by its first new record", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A")
		w.mustRun(w.consumer("c", inTopic, outTopic)) // what this one remembers is lost
		first, hash := w.seal("A", 1, nil, 99)
		w.log.append(inTopic, "A", first) // dropped as a duplicate
		_, hash = w.seal("A", 2, hash, 99)
		third, _ := w.seal("A", 3, hash, 99)
		w.log.append(inTopic, "A", third)
		c := w.consumer("c", inTopic, outTopic)
		w.mustIdle(c)
		if h := c.Halted()["A"]; h == nil || h.Reason != stream.ReasonChain {
			t.Errorf("halted by %v", h)
		}
	})
	t.Run("duplicates of what is applied are dropped behind a halt, not set aside", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A")
		w.log.append(inTopic, "A", []byte("broken"))
		w.repeat("A", 1)
		w.repeat("A", 2)
		c := w.consumer("c", inTopic, outTopic)
		w.mustIdle(c)
		if h := c.Halted()["A"]; h == nil || h.Parked != 1 {
			t.Errorf("halted by %+v", h)
		}
	})
}

// wantAllForwarded checks that the forwarded topic holds every message of the input in
// order; what a crash repeats apart.
func (w *world) wantAllForwarded() {
	w.t.Helper()
	out := w.log.topics[outTopic]
	next := 0
	for _, m := range out {
		if next < len(w.log.topics[inTopic]) {
			if in := w.log.topics[inTopic][next]; string(in.Key) == string(m.Key) && string(in.Value) == string(m.Value) {
				next++
			}
		}
	}
	if next != len(w.log.topics[inTopic]) {
		w.t.Errorf("offset %d was not forwarded in its turn, parked or not", next)
	}
}

func (w *world) wantNothingParked() {
	w.t.Helper()
	for key, parked := range w.store.state.parked {
		if len(parked) > 0 {
			w.t.Errorf("%d records of %s are still set aside", len(parked), key)
		}
	}
	if len(w.store.state.halts) > 0 {
		w.t.Errorf("still halted: %v", w.store.state.halts)
	}
}

// refusing lets c refuse some records as long as a condition holds.
func refusing(bad func(e stream.Entry) error) func(d *stream.Deps) {
	return func(d *stream.Deps) {
		apply := d.Apply
		d.Apply = func(ctx context.Context, tx *database.Tx, fresh []stream.Entry) error {
			for _, e := range fresh {
				if err := bad(e); err != nil {
					return err
				}
			}
			return apply(ctx, tx, fresh)
		}
	}
}

func TestConsumer_Refused(t *testing.T) {
	isA2 := func(e stream.Entry) bool { return e.Body.GetSymbol() == "A" && e.Body.GetSeq() == 2 }
	for rule, fail := range map[string]func() error{
		"an error": func() error { return errFault },
		"a panic":  func() error { panic("boom") },
	} {
		t.Run("a record that cannot be applied halts its symbol after three attempts, the batch around it is applied: "+rule, func(t *testing.T) {
			w := newWorld(t)
			w.write("B", "A", "A", "B", "A", "C", "A")
			attempts := 0
			c := w.consumer("c", inTopic, outTopic, refusing(func(e stream.Entry) error {
				if !isA2(e) {
					return nil
				}
				attempts++
				return fail()
			}))
			w.mustIdle(c)
			w.want("c", "A", 1)
			w.wantApplied("c", "B", 2)
			w.wantApplied("c", "C", 1)
			h := c.Halted()["A"]
			if h == nil || h.Reason != stream.ReasonApply || h.WantSeq != 2 || h.GotSeq != 2 || h.Parked != 3 || h.Cause == nil {
				t.Fatalf("halted by %+v", h)
			}
			if attempts < 3 {
				t.Errorf("%d attempts", attempts)
			}
			w.wantAllForwarded()
		})
	}
	t.Run("retried when the cause is gone, while the consumer runs", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A", "A", "B")
		broken := true
		c := w.consumer("c", inTopic, outTopic, refusing(func(e stream.Entry) error {
			if broken && isA2(e) {
				return errFault
			}
			return nil
		}))
		idles := 0
		w.log.beforeFetch = func() error {
			if idles++; idles == 20 {
				broken = false
				if _, err := w.decide("A", stream.ActionRetry, nil); err != nil {
					t.Fatal(err)
				}
				w.write("A", "B") // parked or applied, in its turn
			}
			return nil
		}
		w.runIdling(c, func() bool { return idles > 45 })
		w.wantApplied("c", "A", 4)
		w.wantApplied("c", "B", 2)
		w.wantNothingParked()
		if len(c.Halted()) != 0 {
			t.Errorf("halted: %v", c.Halted())
		}
	})
	t.Run("halted again at the next bad record when records are retried", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A", "A", "A", "A", "A")
		bad := map[int64]bool{2: true, 5: true}
		refuse := refusing(func(e stream.Entry) error {
			if bad[e.Body.GetSeq()] {
				return errFault
			}
			return nil
		})
		w.mustIdle(w.consumer("c", inTopic, outTopic, refuse))
		if _, err := w.decide("A", stream.ActionSkip, nil); err != nil {
			t.Fatal(err)
		}
		c := w.consumer("c", inTopic, outTopic, refuse)
		w.mustIdle(c)
		w.want("c", "A", 1, 3, 4)
		if h := c.Halted()["A"]; h == nil || h.WantSeq != 5 || h.Reason != stream.ReasonApply || h.Draining || h.Parked != 2 {
			t.Errorf("halted by %+v", h)
		}
		delete(bad, 5)
		if _, err := w.decide("A", stream.ActionRetry, nil); err != nil {
			t.Fatal(err)
		}
		w.mustRun(w.consumer("c", inTopic, outTopic, refuse))
		w.want("c", "A", 1, 3, 4, 5, 6)
		w.wantNothingParked()
	})
	t.Run("a database that is away or full is no halt", func(t *testing.T) {
		for _, fault := range []error{
			errs.New(errs.KindUnavailable, errs.CodeUnavailable, "busy"), context.DeadlineExceeded,
		} {
			w := newWorld(t)
			w.write("A")
			attempts := 0
			c := w.consumer("c", inTopic, "", refusing(func(stream.Entry) error {
				if attempts++; attempts <= 10 {
					return fault
				}
				return nil
			}))
			w.mustRun(c)
			w.wantApplied("c", "A", 1)
		}
	})
}

// runIdling runs c until done says so, however idle it is.
func (w *world) runIdling(c *stream.Consumer, done func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	w.log.onIdle = func() {
		if done() {
			cancel()
		}
	}
	defer func() { w.log.onIdle = nil }()
	if err := c.Run(ctx); !errors.Is(err, context.Canceled) {
		w.t.Fatal(err)
	}
}

func TestConsumer_ParkFull(t *testing.T) {
	w := newWorld(t)
	w.write("A", "B")
	w.log.append(inTopic, "A", []byte("broken"))
	w.write("A", "A", "A", "B")
	limited := func() *stream.Consumer {
		c, err := stream.New(stream.Config{Name: "c", Topic: inTopic, ForwardTo: outTopic, MaxBatch: 4, ParkRows: 3},
			stream.Deps{Bus: w.log, Store: w.store, Clock: w.clk, Apply: w.note("c")})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := limited()
	if err := w.run(c); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(c.Stopped(), stream.ErrParkFull) {
		t.Errorf("beyond the limit the partition stops: %v", c.Stopped())
	}
	if h := c.Halted()["A"]; h == nil || h.Parked != 3 {
		t.Errorf("halted by %+v", h)
	}
	w.wantApplied("c", "B", 1)
	if got := w.store.state.positions["c|"+inTopic].NextOffset; got != 5 {
		t.Errorf("position %d, want 5: what does not fit is not consumed", got)
	}
	if _, err := w.decide("A", stream.ActionSkip, nil); err != nil {
		t.Fatal(err)
	}
	c = limited()
	w.mustRun(c)
	if c.Stopped() != nil {
		t.Errorf("stopped: %v", c.Stopped())
	}
	w.wantApplied("c", "A", 4)
	w.wantApplied("c", "B", 2)
	w.wantNothingParked()
	w.wantAllForwarded()
}

func TestDecide(t *testing.T) {
	gap := func(t *testing.T) *world {
		w := newWorld(t)
		w.write("A", "A")
		w.lose("A")
		w.write("A", "A", "B")
		w.mustIdle(w.consumer("c", inTopic, outTopic))
		return w
	}
	t.Run("a missing record that was found elsewhere is put in its place", func(t *testing.T) {
		w := gap(t)
		d, err := w.decide("A", stream.ActionResync, w.written["A"][2])
		if err != nil {
			t.Fatal(err)
		}
		if d.By != "operator" || d.Reason != "test" || d.Outcome == "" || w.store.state.decisions[d.RequestID].Outcome != d.Outcome {
			t.Errorf("recorded: %+v", d)
		}
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.wantApplied("c", "A", 5)
		w.wantNothingParked()
	})
	t.Run("nothing but the missing record can be put there", func(t *testing.T) {
		w := gap(t)
		forged, _ := w.seal("A", 3, w.hashes["A"][1], 99)
		other, _ := w.seal("B", 3, w.hashes["A"][1], 99)
		for what, record := range map[string][]byte{
			"another content":      forged,
			"another symbol":       other,
			"another number":       w.written["A"][3],
			"what is applied":      w.written["A"][1],
			"bytes without a seal": []byte("x"),
		} {
			if _, err := w.decide("A", stream.ActionResync, record); !errors.Is(err, stream.ErrBadDecision) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if len(w.store.state.decisions) != 0 {
			t.Errorf("recorded: %v", w.store.state.decisions)
		}
	})
	t.Run("the first of several missing records must follow what is applied", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A")
		w.lose("A")
		w.lose("A")
		w.write("A")
		w.mustIdle(w.consumer("c", inTopic, outTopic))
		other, _ := w.seal("A", 3, make([]byte, 32), 0)
		if _, err := w.decide("A", stream.ActionResync, other); !errors.Is(err, stream.ErrBadDecision) {
			t.Errorf("a record of another history: %v", err)
		}
		for seq := range 2 { // each halts at the next that is missing
			if _, err := w.decide("A", stream.ActionResync, w.written["A"][2+seq]); err != nil {
				t.Fatal(err)
			}
			w.mustIdle(w.consumer("c", inTopic, outTopic))
		}
		w.wantApplied("c", "A", 5)
		w.wantNothingParked()
	})
	t.Run("a missing record that came late takes its place when retried", func(t *testing.T) {
		w := gap(t)
		w.log.append(inTopic, "A", w.written["A"][2])
		w.mustIdle(w.consumer("c", inTopic, outTopic))
		if _, err := w.decide("A", stream.ActionRetry, nil); err != nil {
			t.Fatal(err)
		}
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.wantApplied("c", "A", 5)
		w.wantNothingParked()
	})
	t.Run("a retry without the cause removed halts again", func(t *testing.T) {
		w := gap(t)
		if _, err := w.decide("A", stream.ActionRetry, nil); err != nil {
			t.Fatal(err)
		}
		c := w.consumer("c", inTopic, outTopic)
		w.mustIdle(c)
		if h := c.Halted()["A"]; h == nil || h.Reason != stream.ReasonGap || h.Draining {
			t.Errorf("halted by %+v", h)
		}
	})
	t.Run("a repeated request decides once", func(t *testing.T) {
		w := gap(t)
		r := w.request("A", stream.ActionSkip, nil)
		first, err := stream.Decide(t.Context(), w.store, w.clk, r)
		if err != nil {
			t.Fatal(err)
		}
		w.mustRun(w.consumer("c", inTopic, outTopic))
		again, err := stream.Decide(t.Context(), w.store, w.clk, r)
		if err != nil || again.Outcome != first.Outcome || again.DecidedMs != first.DecidedMs {
			t.Errorf("got %+v, %v", again, err)
		}
		r.Symbol = "B"
		if _, err := stream.Decide(t.Context(), w.store, w.clk, r); errs.CodeOf(err) != errs.CodeIdempotencyMismatch {
			t.Errorf("the same id for another symbol: %v", err)
		}
	})
	t.Run("a decision is about the record that was shown", func(t *testing.T) {
		w := gap(t)
		r := w.request("A", stream.ActionSkip, nil)
		r.Fingerprint = []byte("another")
		if _, err := stream.Decide(t.Context(), w.store, w.clk, r); !errors.Is(err, stream.ErrHaltMoved) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a symbol that is not halted, or is being applied, is refused", func(t *testing.T) {
		w := gap(t)
		if _, err := w.decide("B", stream.ActionRetry, nil); !errors.Is(err, stream.ErrNotHalted) {
			t.Errorf("got %v", err)
		}
		if _, err := w.decide("A", stream.ActionRetry, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.decide("A", stream.ActionSkip, nil); !errors.Is(err, stream.ErrHaltMoved) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("who, why and what must be said", func(t *testing.T) {
		w := gap(t)
		for i, change := range []func(r *stream.Request){
			func(r *stream.Request) { r.ID = "" },
			func(r *stream.Request) { r.ID = strings.Repeat("x", 65) },
			func(r *stream.Request) { r.By = "" },
			func(r *stream.Request) { r.Reason = "" },
			func(r *stream.Request) { r.Action = "forget" },
			func(r *stream.Request) { r.Symbol = "" },
			func(r *stream.Request) { r.Fingerprint = nil },
			func(r *stream.Request) { r.Record = []byte("x") },
			func(r *stream.Request) { r.Action = stream.ActionResync },
		} {
			r := w.request("A", stream.ActionSkip, nil)
			change(&r)
			if _, err := stream.Decide(t.Context(), w.store, w.clk, r); !errors.Is(err, stream.ErrBadDecision) {
				t.Errorf("change %d: %v", i, err)
			}
		}
	})
}

// TestConsumer_RandomPoison puts poison at random places, decides at random times, and
// crashes at random steps. Good symbols must end as if nothing had been; bad ones as if
// what was skipped had never been written. Everything is forwarded.
func TestConsumer_RandomPoison(t *testing.T) {
	rng := testkit.Rand(t)
	for range 400 {
		w := newWorld(t)
		r := &poisoned{world: w, rng: rng, refused: map[string]int64{}, skipped: map[string]map[int64]bool{}}
		r.script()
		for range 2 + rng.IntN(4) {
			r.life()
			r.decideSome()
		}
		r.finish()
		if t.Failed() {
			return
		}
	}
}

// poisoned is a world with bad records.
type poisoned struct {
	*world
	rng     *rand.Rand
	refused map[string]int64 // symbol → record that cannot be applied, until it is repaired
	skipped map[string]map[int64]bool
	lost    map[string][]byte
}

func (r *poisoned) script() {
	r.lost = map[string][]byte{}
	for range 10 + r.rng.IntN(30) {
		symbol := []string{"A", "B", "C", "D"}[r.rng.IntN(4)]
		bad := symbol == "A" || symbol == "B"
		switch n := r.rng.IntN(12); {
		case bad && n == 0:
			r.log.append(inTopic, symbol, []byte("broken"))
		case bad && n == 1 && r.refused[symbol] == 0:
			r.write(symbol)
			r.refused[symbol] = int64(len(r.written[symbol]))
		case bad && n == 2 && r.lost[symbol] == nil && len(r.written[symbol]) > 0:
			r.lose(symbol)
			r.lost[symbol] = r.written[symbol][len(r.written[symbol])-1]
			r.write(symbol)
		case bad && n == 3 && len(r.written[symbol]) > 0:
			value, _ := r.seal(symbol, int64(len(r.written[symbol])), r.prev(symbol), 99)
			r.log.append(inTopic, symbol, value)
		case n == 4 && len(r.written[symbol]) > 0 && r.lost[symbol] == nil:
			r.repeat(symbol, 1+r.rng.IntN(len(r.written[symbol])))
		default:
			r.write(symbol)
		}
	}
}

// prev is the hash before the symbol's last record.
func (r *poisoned) prev(symbol string) []byte {
	if n := len(r.hashes[symbol]); n > 1 {
		return r.hashes[symbol][n-2]
	}
	return nil
}

func (r *poisoned) consumerC() *stream.Consumer {
	return r.consumer("c", inTopic, outTopic, refusing(func(e stream.Entry) error {
		if r.refused[e.Body.GetSymbol()] == e.Body.GetSeq() {
			return errFault
		}
		return nil
	}))
}

// life runs an instance among faults until it is killed or idle.
func (r *poisoned) life() {
	var kill func() error
	fault := func() error {
		switch n := r.rng.IntN(40); {
		case n == 0:
			return kill()
		case n < 3:
			return errDown
		}
		return nil
	}
	r.crash(func(k func() error) {
		kill = k
		r.log.beforeFetch, r.log.beforeProduce, r.log.afterProduce = fault, fault, fault
		r.store.beforeTx, r.store.inTx, r.store.afterCommit = fault, fault, fault
	}, r.consumerC())
}

// errDown is a database or broker that is away.
var errDown error = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "away")

// decideSome decides about some halted symbols; the decision itself may be interrupted.
func (r *poisoned) decideSome() {
	for _, h := range sortedHalts(r.store) {
		if h.State != database.Halted || r.rng.IntN(3) == 0 {
			continue
		}
		req := r.request(h.Symbol, stream.ActionRetry, nil)
		req.ID = fmt.Sprintf("decision %d", r.rng.Int64())
		head := r.store.state.parked["c|"+h.Symbol][0]
		due := r.store.state.symbols["c|"+h.Symbol].Seq + 1
		var skips []int64
		switch {
		case head.Seq == due && head.Seq == r.refused[h.Symbol] && r.rng.IntN(2) == 0: // repaired, retried
			delete(r.refused, h.Symbol)
		case head.Seq > due && r.rng.IntN(2) == 0:
			req.Action, req.Record = stream.ActionResync, r.written[h.Symbol][due-1]
		default:
			req.Action = stream.ActionSkip
			if head.Seq > due {
				for seq := due; seq < head.Seq; seq++ {
					skips = append(skips, seq)
				}
			} else if head.Seq == due && string(head.Value) == string(r.written[h.Symbol][due-1]) {
				skips = append(skips, due)
			}
		}
		r.store.afterCommit = func() error { return errDown }
		_, err := stream.Decide(r.t.Context(), r.store, r.clk, req)
		r.store.afterCommit = nil
		if !errors.Is(err, errDown) {
			r.t.Fatalf("the outcome is known: %v", err)
		}
		if _, err := stream.Decide(r.t.Context(), r.store, r.clk, req); err != nil { // so it is asked again
			r.t.Fatal(err)
		}
		for _, seq := range skips {
			if r.skipped[h.Symbol] == nil {
				r.skipped[h.Symbol] = map[int64]bool{}
			}
			r.skipped[h.Symbol][seq] = true
		}
	}
}

func sortedHalts(s *fakeStore) []database.Halt {
	var all []database.Halt
	for _, h := range s.state.halts {
		all = append(all, h)
	}
	slices.SortFunc(all, func(a, b database.Halt) int { return strings.Compare(a.Symbol, b.Symbol) })
	return all
}

// finish decides until nothing is halted and compares.
func (r *poisoned) finish() {
	r.t.Helper()
	for range 100 {
		r.mustIdle(r.consumerC())
		if len(r.store.state.halts) == 0 {
			break
		}
		r.decideSome()
	}
	r.wantNothingParked()
	r.wantAllForwarded()
	for symbol, values := range r.written {
		var want []int64
		for seq := int64(1); seq <= int64(len(values)); seq++ {
			if !r.skipped[symbol][seq] {
				want = append(want, seq)
			}
		}
		r.want("c", symbol, want...)
	}
	for _, symbol := range []string{"C", "D"} {
		if len(r.skipped[symbol]) > 0 {
			r.t.Errorf("a good symbol was halted: %s", symbol)
		}
	}
}
