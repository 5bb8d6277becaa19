package service

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/testkit"
)

// faults kills the exchange at one of its writes: from then on nothing it tries to
// write happens, as if the process were gone.
type faults struct {
	mu   sync.Mutex
	at   string
	dead bool
	arms int // how often it was armed
}

// pass lets a write at a boundary through, before or after it happens.
func (f *faults) pass(point string) error { return f.passSince(point, f.armed()) }

// passSince is pass for a write that began when the fault had been armed so many times:
// one that was under way already is not the one to be hit, however late it returns.
func (f *faults) passSince(point string, arms int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.at == point && f.arms == arms {
		f.dead, f.at = true, ""
	}
	if f.dead {
		return fmt.Errorf("%w at %s", errInjected, point)
	}
	return nil
}

func (f *faults) arm(point string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.at, f.dead = point, false
	f.arms++
}

func (f *faults) armed() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.arms
}

func (f *faults) fired() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// around does a write between its two boundaries.
func (f *faults) around(name string, write func() error) error {
	arms := f.armed()
	if err := f.passSince("before "+name, arms); err != nil {
		return err
	}
	if err := write(); err != nil {
		return err
	}
	return f.passSince("after "+name, arms)
}

type faultyStore struct {
	app.Store
	f *faults
}

func (s faultyStore) InsertOrder(ctx context.Context, o *order.Order) error {
	return s.f.around("intent", func() error { return s.Store.InsertOrder(ctx, o) })
}

func (s faultyStore) Refuse(ctx context.Context, id int64, reason order.Reason, nowMs int64) error {
	return s.f.around("refusal", func() error { return s.Store.Refuse(ctx, id, reason, nowMs) })
}

type faultyLog struct {
	sequencer.Log
	f *faults
}

func (l faultyLog) Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (at int64, err error) {
	name := map[string]string{bus.TopicCommands: "command", bus.TopicCompleted: "record"}[topic]
	if topic == bus.TopicCommands && checkpoints(msgs) { // they come beside the orders, with a snapshot
		name = "checkpoint"
	}
	err = l.f.around(name, func() error { at, err = l.Log.Produce(ctx, topic, partition, msgs); return err })
	return at, err
}

// checkpoints reports whether a write has the matcher emit its totals.
func checkpoints(msgs []bus.Message) bool {
	var cmd eventpb.Command
	return proto.Unmarshal(msgs[0].Value, &cmd) == nil && cmd.GetCheckpoint() != nil
}

type faultyBus struct {
	stream.Bus
	f *faults
}

func (b faultyBus) Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (at int64, err error) {
	err = b.f.around("forward", func() error { at, err = b.Bus.Produce(ctx, topic, partition, msgs); return err })
	return at, err
}

func newFaultyRig(t *testing.T) (*rig, *faults) {
	r, f := newRig(t, 1), &faults{}
	r.wallet.before = func(*walletpb.PlaceHoldRequest) error { return f.pass("before hold") }
	r.wallet.after = func(*walletpb.PlaceHoldRequest) error { return f.pass("after hold") }
	r.parts.log = func(l sequencer.Log) sequencer.Log { return faultyLog{l, f} }
	r.parts.store = func(s app.Store) app.Store { return faultyStore{s, f} }
	r.parts.bus = func(b stream.Bus) stream.Bus { return faultyBus{b, f} }
	r.restart()
	return r, f
}

// atRest waits until nothing is in doubt: no intents, and money held for exactly the
// orders that are open in the order store.
func (r *rig) atRest() {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool {
		intents, err := r.svc.store.Intents(context.Background(), clock.Real().NowMs()+1_000_000, nil, 100)
		if err != nil || len(intents) > 0 {
			return false
		}
		var open []int64
		for member := int64(1); member <= 2; member++ {
			orders, err := r.svc.store.OpenOrders(context.Background(), member, "")
			if err != nil {
				return false
			}
			for _, o := range orders {
				open = append(open, o.ID)
			}
		}
		slices.Sort(open)
		return slices.Equal(open, r.wallet.openHolds())
	}, "nothing is in doubt any more: holds %v", r.wallet.openHolds())
}

func TestService_Crash(t *testing.T) {
	points := []string{
		"before intent", "after intent", "before hold", "after hold", "before command", "after command",
		"before record", "after record", "before forward", "after forward",
	}
	for _, point := range points {
		t.Run("fault 11: a kill "+point+" loses nothing and leaves nothing stuck", func(t *testing.T) {
			t.Parallel()
			r, f := newFaultyRig(t)
			maker := r.must(limit(2, sell, "60000.00", "1"))
			r.settled(maker.Position)
			f.arm(point)
			o := limit(1, buy, "60000.00", "3")
			o.ClientOrderId = "mine"
			res, err := r.place(o)
			testkit.Eventually(t, waitLimit, f.fired, "the exchange dies")
			r.shutdown()
			f.arm("")
			r.start()
			r.atRest()

			got, getErr := r.rpc.GetOrder(t.Context(), &exchangepb.GetOrderRequest{MemberId: 1, ClientOrderId: "mine"})
			if point == "before intent" {
				if errs.CodeOf(getErr) != errs.CodeUnknownOrder {
					t.Errorf("got %v %v", got, getErr)
				}
				return
			}
			if getErr != nil {
				t.Fatal(getErr)
			}
			lives := got.Order.State != eventpb.OrderState_ORDER_STATE_REJECTED
			if want := slices.Index(points, point) > slices.Index(points, "before command"); lives != want {
				t.Errorf("order is in state %v", got.Order.State)
			}
			switch {
			case lives && err == nil:
				if res.Order.State != eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED {
					t.Errorf("answered %v", res.Order)
				}
			case lives:
				if errs.KindOf(err) != errs.KindUnknownOutcome {
					t.Errorf("H14: an order that lives was answered with %v", err)
				}
			case err == nil:
				t.Errorf("an order that was accepted is gone: %v", res.Order)
			}
			if lives {
				r.balances(map[int64]map[string]string{1: {"USDT": "820000.00000000", "BTC": "0.99900000"}, 2: {"USDT": "59940.00000000"}})
				return
			}
			r.balances(map[int64]map[string]string{1: {"USDT": "1000000.00000000"}, 2: {"BTC": "99.00000000"}})
		})
	}
	t.Run("a kill between a refused hold and its note leaves a refused order", func(t *testing.T) {
		t.Parallel()
		r, f := newFaultyRig(t)
		f.arm("before refusal")
		o := limit(1, buy, "900000.00", "9")
		o.ClientOrderId = "mine"
		if _, err := r.place(o); errs.CodeOf(err) != errs.CodeInsufficientBalance {
			t.Errorf("got %v", err)
		}
		r.shutdown()
		f.arm("")
		r.start()
		r.atRest()
		got, err := r.rpc.GetOrder(t.Context(), &exchangepb.GetOrderRequest{MemberId: 1, ClientOrderId: "mine"})
		if err != nil || got.Order.State != eventpb.OrderState_ORDER_STATE_REJECTED {
			t.Errorf("got %v %v", got, err)
		}
	})
	t.Run("a symbol whose listing was interrupted is known after a restart", func(t *testing.T) {
		t.Parallel()
		r, f := newFaultyRig(t)
		f.arm("before command")
		s := listing()
		s.Name, s.BaseCoin = "ETH/USDT", "ETH"
		if _, err := r.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s}); err == nil {
			t.Error("listed")
		}
		r.shutdown()
		f.arm("")
		r.start() // ready means that the matcher knows it
		o := limit(1, buy, "100.00", "1")
		o.Symbol = "ETH/USDT"
		r.must(o)
	})
}

func TestService_Unknown(t *testing.T) {
	t.Run("a hold whose answer is lost is an unknown outcome, and the sweeper returns the money", func(t *testing.T) {
		t.Parallel()
		r, f := newFaultyRig(t)
		f.arm("after hold")
		_, err := r.place(limit(1, buy, "60000.00", "1"))
		if errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
		if got := r.wallet.free(1, "USDT"); got != "940000.00000000" {
			t.Errorf("free %s", got)
		}
		f.arm("") // the same process goes on
		r.atRest()
		r.balances(map[int64]map[string]string{1: {"USDT": "1000000.00000000"}})
	})
	t.Run("a command whose write is in doubt is answered by its record", func(t *testing.T) {
		t.Parallel()
		r, f := newFaultyRig(t)
		f.arm("after command")
		go func() { // only that one write is in doubt
			for !f.fired() {
				runtime.Gosched()
			}
			f.arm("")
		}()
		res, err := r.place(limit(1, buy, "60000.00", "1"))
		// Either the record came, or the sequencer died with the log: never a refusal.
		if err != nil && errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v %v", res, err)
		}
	})
	t.Run("an order that stays alive survives every sweep", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1)
		res := r.must(limit(1, buy, "60000.00", "1"))
		for range 5 {
			if _, err := app.NewSweeper(r.svc.app).Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := (commands{r.svc}).Resolve(t.Context(), mustRules(t, r), res.Order.OrderId, 1, clock.Real().NowMs()); err != nil {
			t.Fatal(err)
		}
		c, err := r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 1, OrderId: res.Order.OrderId})
		if err != nil {
			t.Fatal(err)
		}
		r.settled(c.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "1000000.00000000"}})
	})
	t.Run("a hold that no record names is returned by the sweeper, even when its order is not stored (H1)", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1)
		if _, err := r.wallet.hold(&walletpb.PlaceHoldRequest{OrderId: 1 << 40, MemberId: 1, Coin: "USDT", Amount: "10", Symbol: btc}); err != nil {
			t.Fatal(err)
		}
		r.atRest()
		r.balances(map[int64]map[string]string{1: {"USDT": "1000000.00000000"}})
		if _, err := r.wallet.hold(&walletpb.PlaceHoldRequest{OrderId: 1<<40 + 1, MemberId: 1, Coin: "USDT", Amount: "10", Symbol: btc}); err != nil {
			t.Fatal(err)
		}
		r.atRest() // not only once
	})
	t.Run("a wallet that is away refuses before anything is held, and the sweeper ends the intent", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, 1)
		r.cfg.Wallet.Endpoints = []string{"127.0.0.1:1"}
		r.shutdown()
		r.start()
		if _, err := r.place(limit(1, buy, "60000.00", "1")); errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
		r.atRest()
	})
}

func mustRules(t *testing.T, r *rig) symbol.Rules {
	t.Helper()
	rules, err := r.svc.app.Symbol(t.Context(), btc)
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func TestService_Restart(t *testing.T) {
	t.Run("fault 10: what was filled before a restart does not fill again", func(t *testing.T) {
		r := newRig(t, 2)
		maker := r.must(limit(2, sell, "60000.00", "1"))
		r.must(limit(1, buy, "60000.00", "0.4"))
		r.restart()
		res := r.must(limit(1, buy, "60000.00", "1"))
		if res.Order.TradedAmount != "0.60000000" {
			t.Errorf("got %v", res.Order)
		}
		if got := r.get(2, maker.Order.OrderId, res.Position); got.State != eventpb.OrderState_ORDER_STATE_FILLED {
			t.Errorf("maker %v", got)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"BTC": "0.99900000"}, 2: {"USDT": "59940.00000000"}})
	})
	t.Run("a log that lost its records is refused", func(t *testing.T) {
		r := newRig(t, 1)
		r.settled(r.must(limit(2, sell, "60000.00", "1")).Position)
		r.shutdown()
		other := newRig(t, 1) // an empty broker under the old database
		other.shutdown()
		cfg := r.cfg
		cfg.Kafka = other.cfg.Kafka
		svc, err := newService(t.Context(), cfg, realParts())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := svc.Run(ctx); err == nil || ctx.Err() != nil {
			t.Errorf("it started: %v", err)
		} else {
			t.Logf("refused: %v", err)
		}
	})
}

func TestService_Load(t *testing.T) {
	t.Run("fault 13: members in parallel are all served, and no goroutine is left", func(t *testing.T) {
		r := newRig(t, 1)
		r.cfg.Order = OrderConfig{WaitMs: 20_000, DeadlineMs: 20_000}
		r.cfg.Sweep = SweepConfig{AfterMs: 30_000}
		r.cfg.SetDefaults()
		r.restart()
		before := runtime.NumGoroutine()
		var wg sync.WaitGroup
		for w := range 16 {
			wg.Go(func() {
				for i := range 25 {
					o := limit(1, buy, "100.00", "0.1")
					if (w+i)%2 == 0 {
						o = limit(2, sell, "100.00", "0.1")
					}
					if _, err := r.place(o); err != nil {
						t.Errorf("place: %v", err)
					}
				}
			})
		}
		wg.Wait()
		r.atRest()
		r.balances(nil)
		testkit.Eventually(t, waitLimit, func() bool { return runtime.NumGoroutine() <= before+20 }, "goroutines end: %d before", before)
	})
	t.Run("stopping is quick and clean", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "60000.00", "1"))
		start := clock.Real().Now()
		r.shutdown()
		if took := clock.Real().Now().Sub(start); took > 3*time.Second {
			t.Errorf("stopping took %v", took)
		}
	})
}
