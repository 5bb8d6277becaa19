package stream_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

var errFault = errors.New("fault")

// once returns a fault that happens at the nth call only.
func once(n int, err error) func() error {
	return func() error {
		n--
		if n == 0 {
			return err
		}
		return nil
	}
}

func (w *world) mustRun(c *stream.Consumer) {
	w.t.Helper()
	if err := w.run(c); err != nil {
		w.t.Fatal(err)
	}
	if halted := c.Halted(); len(halted) != 0 {
		w.t.Fatalf("halted: %v", halted)
	}
}

func TestConsumer_Run(t *testing.T) {
	t.Run("applies each record once and in order, symbols mixed", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "B", "A", "A", "B", "C", "A")
		var told []int64
		c := w.consumer("c", inTopic, outTopic, func(d *stream.Deps) {
			d.AfterCommit = func(applied []stream.Entry) {
				for _, e := range applied {
					told = append(told, e.Message.Offset)
				}
			}
		})
		w.mustRun(c)
		w.wantApplied("c", "A", 4)
		w.wantApplied("c", "B", 2)
		w.wantApplied("c", "C", 1)
		w.wantForwarded()
		if len(told) != 7 || told[0] != 0 || told[6] != 6 {
			t.Errorf("AfterCommit was told %v", told)
		}
		if got := c.Applied("A"); got != 4 {
			t.Errorf("Applied says %d", got)
		}
		if got := len(w.log.topics[outTopic]); got != 7 {
			t.Errorf("%d records were forwarded, want 7", got)
		}
	})
	t.Run("duplicates are not applied and are forwarded", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A", "B")
		w.repeat("A", 1)
		w.repeat("A", 2)
		w.write("A")
		w.repeat("B", 1)
		c := w.consumer("c", inTopic, outTopic)
		w.mustRun(c)
		w.wantApplied("c", "A", 3)
		w.wantApplied("c", "B", 1)
		if got := len(w.log.topics[outTopic]); got != 7 {
			t.Errorf("%d records were forwarded, want 7", got)
		}
		w.mustRun(w.consumer("next", outTopic, ""))
		w.wantApplied("next", "A", 3)
	})
	t.Run("a restart goes on where the last transaction ended", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A")
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.write("A")
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.wantApplied("c", "A", 3)
		if got := len(w.log.topics[outTopic]); got != 3 {
			t.Errorf("%d records were forwarded, want 3", got)
		}
	})
	t.Run("the pauses after errors grow up to five seconds and shrink after success", func(t *testing.T) {
		w := newWorld(t)
		w.write("A")
		var slept []time.Duration
		failures := 0
		w.store.beforeTx = func() error {
			if failures++; failures <= 10 {
				return errFault
			}
			slept = w.clk.slept
			return nil
		}
		w.mustRun(w.consumer("c", inTopic, ""))
		w.wantApplied("c", "A", 1)
		if len(slept) != 10 || slept[0] != 50*time.Millisecond || slept[1] != 100*time.Millisecond || slept[9] != 5*time.Second {
			t.Errorf("pauses %v", slept)
		}
	})
}

func TestConsumer_Faults(t *testing.T) {
	faults := map[string]func(w *world, nth int, err error){
		"fetch":                   func(w *world, nth int, err error) { w.log.beforeFetch = once(nth, err) },
		"transaction not begun":   func(w *world, nth int, err error) { w.store.beforeTx = once(nth, err) },
		"transaction rolled back": func(w *world, nth int, err error) { w.store.inTx = once(nth, err) },
		"commit of unknown outcome": func(w *world, nth int, err error) {
			w.store.afterCommit = once(nth, err)
		},
		"forward not sent":           func(w *world, nth int, err error) { w.log.beforeProduce = once(nth, err) },
		"forward of unknown outcome": func(w *world, nth int, err error) { w.log.afterProduce = once(nth, err) },
	}
	for name, inject := range faults {
		for nth := 1; nth <= 5; nth++ {
			t.Run("an error is tried again without loss or repetition: "+name, func(t *testing.T) {
				w := newWorld(t)
				w.write("A", "B", "A", "B", "A", "B", "A", "C", "A", "A")
				inject(w, nth, errFault)
				stumbles := testkit.Counted(t, "mscoin_consumer_errors_total", "consumer", "c")
				w.mustRun(w.consumer("c", inTopic, outTopic))
				w.check(10)
				if stumbles() > 1 || nth == 1 && stumbles() != 1 {
					t.Errorf("%v errors are counted", stumbles())
				}
			})
			t.Run("a crash is made good by the next start: "+name, func(t *testing.T) {
				w := newWorld(t)
				w.write("A", "B", "A", "B", "A", "B", "A", "C", "A", "A")
				w.crash(func(kill func() error) { injectFunc(w, name, nth, kill) }, w.consumer("c", inTopic, outTopic))
				w.mustRun(w.consumer("c", inTopic, outTopic))
				w.check(10)
			})
		}
	}
}

// injectFunc puts a function in the place of a fault's nth call.
func injectFunc(w *world, name string, nth int, f func() error) {
	hook := func() error {
		if nth--; nth == 0 {
			return f()
		}
		return nil
	}
	switch name {
	case "fetch":
		w.log.beforeFetch = hook
	case "transaction not begun":
		w.store.beforeTx = hook
	case "transaction rolled back":
		w.store.inTx = hook
	case "commit of unknown outcome":
		w.store.afterCommit = hook
	case "forward not sent":
		w.log.beforeProduce = hook
	case "forward of unknown outcome":
		w.log.afterProduce = hook
	}
}

// crash runs c and ends it at the place that inject chooses: nothing of it runs afterwards.
func (w *world) crash(inject func(kill func() error), c *stream.Consumer) {
	w.t.Helper()
	defer func() {
		if r := recover(); r != nil && r != any(errKilled) {
			panic(r)
		}
		w.store.tx = nil
		w.clearFaults()
	}()
	inject(func() error { panic(errKilled) })
	if err := w.run(c); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) clearFaults() {
	w.log.beforeFetch, w.log.beforeProduce, w.log.afterProduce = nil, nil, nil
	w.store.beforeTx, w.store.inTx, w.store.afterCommit = nil, nil, nil
}

// check compares everything with what was written: the consumer, the forwarded topic, and its reader.
func (w *world) check(total int) {
	w.t.Helper()
	n := 0
	for symbol, values := range w.written {
		w.wantApplied("c", symbol, len(values))
		n += len(values)
	}
	if n != total {
		w.t.Errorf("the test wrote %d records, not %d", n, total)
	}
	w.wantForwarded()
	w.mustRun(w.consumer("next", outTopic, ""))
	for symbol, values := range w.written {
		w.wantApplied("next", symbol, len(values))
	}
}

func TestConsumer_Fence(t *testing.T) {
	t.Run("a stale instance applies nothing and goes on behind the other", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "B", "A", "B", "A", "B")
		stale, other := w.consumer("c", inTopic, outTopic), w.consumer("c", inTopic, outTopic)
		first := true
		w.store.beforeTx = func() error {
			if first { // the stale instance has fetched and is paused right before its transaction
				first = false
				w.mustRun(other)
			}
			return nil
		}
		w.mustRun(stale)
		w.check(6)
		if stale.Applied("A") != 3 {
			t.Errorf("the stale instance believes in %d", stale.Applied("A"))
		}
	})
	t.Run("a stale instance that forwards late adds duplicates only", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "B", "A", "B", "A", "B")
		stale, other := w.consumer("c", inTopic, outTopic), w.consumer("c", inTopic, outTopic)
		first := true
		w.log.beforeProduce = func() error {
			if first { // committed, paused before it forwards; the other takes over meanwhile
				first = false
				w.mustRun(other)
			}
			return nil
		}
		w.mustRun(stale)
		w.check(6)
	})
}

func TestConsumer_LogLost(t *testing.T) {
	lost := map[string]func(w *world){
		"a log that is shorter than the position": func(w *world) { w.log.topics[inTopic] = w.log.topics[inTopic][:2] },
		"an empty log": func(w *world) { w.log.topics[inTopic] = nil },
		"a log whose consumed records were deleted": func(w *world) { w.log.first = 5 },
		"a log that was recreated with other records": func(w *world) {
			other := newWorld(w.t)
			other.write("B", "B", "B", "B")
			w.log.topics[inTopic] = other.log.topics[inTopic]
		},
		"a log that was recreated with the same records": func(w *world) {
			for i := range w.log.topics[inTopic] {
				w.log.topics[inTopic][i].TimeMs += 5
			}
		},
	}
	for rule, damage := range lost {
		t.Run("Run and Check refuse "+rule, func(t *testing.T) {
			w := newWorld(t)
			w.write("A", "A", "A")
			w.mustRun(w.consumer("c", inTopic, ""))
			damage(w)
			c := w.consumer("c", inTopic, "")
			if err := c.Check(t.Context()); !errors.Is(err, stream.ErrLogLost) {
				t.Errorf("Check: %v", err)
			}
			if err := w.run(c); !errors.Is(err, stream.ErrLogLost) {
				t.Errorf("Run: %v", err)
			}
		})
	}
	t.Run("a position that was set back applies nothing twice", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A", "A")
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.store.state.positions["c|"+inTopic] = database.Position{
			Consumer: "c", Topic: inTopic, NextOffset: 1, Fingerprint: bus.Fingerprint(w.log.topics[inTopic][0]),
		}
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.wantApplied("c", "A", 3)
		w.wantForwarded()
	})
	t.Run("a new consumer refuses a log whose beginning is gone", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A", "A")
		w.log.first = 1
		if err := w.run(w.consumer("c", inTopic, "")); !errors.Is(err, stream.ErrLogLost) {
			t.Errorf("Run: %v", err)
		}
	})
}

// TestConsumer_Random runs schedules of records, duplicates, errors, crashes and rival instances, and checks that
// nothing is lost, repeated or out of order.
func TestConsumer_Random(t *testing.T) {
	rng := testkit.Rand(t)
	for range 400 {
		w := newWorld(t)
		total := w.writeRandom(rng)
		for range 1 + rng.IntN(4) {
			w.randomLife(rng)
		}
		w.mustRun(w.consumer("c", inTopic, outTopic))
		w.check(total)
		if t.Failed() {
			return
		}
	}
}

// writeRandom writes records with the repetitions that a matcher makes when it replays.
func (w *world) writeRandom(rng *rand.Rand) int {
	symbols := []string{"A", "B", "C"}
	total := 0
	for range 5 + rng.IntN(25) {
		symbol := symbols[rng.IntN(len(symbols))]
		if n := len(w.written[symbol]); n > 0 && rng.IntN(4) == 0 {
			for seq := 1 + rng.IntN(n); seq <= n; seq++ {
				w.repeat(symbol, seq)
			}
			continue
		}
		w.write(symbol)
		total++
	}
	return total
}

// randomLife runs an instance among faults until it is killed or idle.
func (w *world) randomLife(rng *rand.Rand) {
	depth := 0
	var kill func() error
	fault := func() error {
		switch n := rng.IntN(40); {
		case n == 0:
			return kill()
		case n < 4:
			return errFault
		case n == 4 && depth == 0: // a rival runs meanwhile, in a world without faults of its own
			depth++
			tx := w.store.tx
			w.store.tx = nil
			if tx == nil {
				w.mustRunRival()
			}
			w.store.tx = tx
			depth--
		}
		return nil
	}
	w.crash(func(k func() error) {
		kill = k
		w.log.beforeFetch, w.log.beforeProduce, w.log.afterProduce = fault, fault, fault
		w.store.beforeTx, w.store.afterCommit = fault, fault
		w.store.inTx = func() error { // no rival within a transaction: the database serialises them
			if rng.IntN(20) == 0 {
				return errFault
			}
			return nil
		}
	}, w.consumer("c", inTopic, outTopic))
}

func (w *world) mustRunRival() {
	log, store := *w.log, *w.store
	w.clearFaults()
	w.mustRun(w.consumer("c", inTopic, outTopic))
	w.log.beforeFetch, w.log.beforeProduce, w.log.afterProduce = log.beforeFetch, log.beforeProduce, log.afterProduce
	w.store.beforeTx, w.store.inTx, w.store.afterCommit = store.beforeTx, store.inTx, store.afterCommit
}

func TestProgress_WaitApplied(t *testing.T) {
	t.Run("returns when another instance has applied it", func(t *testing.T) {
		w := newWorld(t)
		w.write("A", "A")
		clk := clock.NewFake(time.UnixMilli(0))
		p := stream.NewProgress(w.store, clk, "c")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := p.WaitApplied(ctx, "A", 0); err != nil {
			t.Errorf("nothing to wait for: %v", err)
		}
		w.mustRun(w.consumer("c", inTopic, "")) // shares the store, not the progress
		done := make(chan error, 1)
		go func() { done <- p.WaitApplied(ctx, "A", 2) }()
		testkit.Eventually(t, 10*time.Second, func() bool { return clk.Sleepers() == 1 }, "the waiter polls")
		clk.Advance(50 * time.Millisecond)
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := p.Applied("A"); got != 2 {
			t.Errorf("Applied says %d", got)
		}
	})
	t.Run("gives up when its context ends", func(t *testing.T) {
		w := newWorld(t)
		p := stream.NewProgress(w.store, clock.NewFake(time.UnixMilli(0)), "c")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.WaitApplied(ctx, "A", 1); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestNew(t *testing.T) {
	w := newWorld(t)
	deps := stream.Deps{
		Bus: w.log, Store: w.store, Clock: w.clk,
		Apply: func(context.Context, *database.Tx, []stream.Entry) error { return nil },
	}
	for _, cfg := range []stream.Config{
		{},
		{Name: "c"},
		{Topic: "t"},
		{Name: "c", Topic: "t", ForwardTo: "t"},
		{Name: "c", Topic: "t", Partition: -1},
		{Name: strings.Repeat("c", 60), Topic: "t"},
	} {
		if _, err := stream.New(cfg, deps); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	if _, err := stream.New(stream.Config{Name: "c", Topic: "t"}, stream.Deps{}); err == nil {
		t.Error("missing dependencies were accepted")
	}
}
