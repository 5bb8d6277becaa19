package service

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mscoin/exchange/internal/sequencer"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/testkit"
)

const eth = "ETH/USDT"

// quick leases move fast, and are long enough for a busy machine.
var quick = lease.Config{Mode: lease.Shared, TTLMs: 3000, RenewMs: 100}

// sibling starts another instance on the same database and broker.
func (r *rig) sibling(leases lease.Config) *rig {
	r.t.Helper()
	s := &rig{t: r.t, cfg: r.cfg, parts: realParts(), wallet: r.wallet, bus: r.bus}
	s.cfg.Lease = leases
	s.cfg.SetDefaults()
	s.start()
	r.t.Cleanup(s.shutdown)
	return s
}

// owns waits until this instance owns a partition and its commands are answered.
func (r *rig) owns(partition int) {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool { return r.svc.partitions[partition].live(partition) == nil }, "partition %d is here", partition)
}

// knows waits until this instance knows that another one owns a partition.
func (r *rig) knows(partition int, owner *rig) {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool {
		l, ok := r.svc.leases.Owner(partition)
		return ok && l.Owner == owner.svc.id
	}, "the owner of partition %d is known", partition)
}

// pair is two instances with a partition each: a owns that of BTC/USDT, b that of ETH/USDT.
func pair(t *testing.T) (a, b *rig) {
	a = newRig(t, 2)
	a.cfg.Lease = quick
	a.restart()
	s := listing()
	s.Name, s.BaseCoin = eth, "ETH"
	if _, err := a.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s}); err != nil {
		t.Fatal(err)
	}
	a.wallet.deposit(2, "ETH", "1000")
	b = a.sibling(quick)
	b.owns(1)
	a.owns(0)
	a.knows(1, b)
	b.knows(0, a)
	return a, b
}

func on(name string, o *request) *request {
	o.Symbol = name
	return o
}

func TestInstances_Forward(t *testing.T) {
	t.Parallel()
	a, b := pair(t)
	t.Run("every instance takes every order, and every instance shows it", func(t *testing.T) {
		for _, via := range []*rig{a, b} {
			for _, name := range []string{btc, eth} {
				maker := via.must(on(name, limit(2, sell, "100.00", "1")))
				taker := via.must(on(name, limit(1, buy, "100.00", "1")))
				if len(taker.Fills) != 1 || taker.Fills[0].Maker {
					t.Errorf("%s: %v", name, taker)
				}
				for _, at := range []*rig{a, b} {
					if o := at.get(2, maker.Order.OrderId, taker.Position); o.State != eventpb.OrderState_ORDER_STATE_FILLED {
						t.Errorf("%s: %v", name, o)
					}
				}
			}
		}
	})
	t.Run("cancels of one and of all reach their matcher through any instance", func(t *testing.T) {
		for _, via := range []*rig{a, b} {
			for _, name := range []string{btc, eth} {
				one := via.must(on(name, limit(2, sell, "200.00", "1")))
				res, err := via.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 2, OrderId: one.Order.OrderId})
				if err != nil || res.Order.State != eventpb.OrderState_ORDER_STATE_CANCELED {
					t.Errorf("cancel on %s: %v %v", name, res, err)
				}
				via.must(on(name, limit(2, sell, "200.00", "1")))
				via.must(on(name, limit(2, sell, "201.00", "1")))
				all, err := via.rpc.CancelAllOrders(t.Context(), &exchangepb.CancelAllOrdersRequest{MemberId: 2, Symbol: name})
				if err != nil || len(all.Orders) != 2 {
					t.Errorf("cancel all on %s: %v %v", name, all, err)
				}
			}
		}
	})
	t.Run("a refusal by a distant matcher names its record", func(t *testing.T) {
		for name, via := range map[string]*rig{eth: a, btc: b} {
			via.must(on(name, limit(2, sell, "150.00", "1")))
			o := on(name, limit(1, buy, "150.00", "1"))
			o.TimeInForce = eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY
			var trailer metadata.MD
			_, err := via.rpc.PlaceOrder(t.Context(), &exchangepb.PlaceOrderRequest{Order: o}, grpc.Trailer(&trailer))
			symbol, seq, ok := rpc.Position(trailer)
			if errs.CodeOf(err) != errs.CodePostOnlyWouldTake || !ok || symbol != name || seq <= 0 {
				t.Errorf("%v, position %s %d %v", err, symbol, seq, ok)
			}
			if _, err := via.rpc.ValidateOrder(t.Context(), &exchangepb.ValidateOrderRequest{Order: on(name, limit(1, buy, "1.001", "10"))}); errs.CodeOf(err) != errs.CodeBadPriceTick {
				t.Errorf("validate: %v", err)
			}
			if _, err := via.rpc.CancelAllOrders(t.Context(), &exchangepb.CancelAllOrdersRequest{MemberId: 2, Symbol: name}); err != nil {
				t.Error(err)
			}
		}
	})
	t.Run("a symbol is listed, and its phase set, through any instance, and every instance shows it", func(t *testing.T) {
		for i, via := range []*rig{a, b, a, b} {
			s := listing()
			s.Name, s.BaseCoin, s.QuoteCoin = fmt.Sprintf("C%d/USDT", i), "ETH", "USDT"
			if _, err := via.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s}); errs.KindOf(err) == errs.KindUnavailable || errs.KindOf(err) == errs.KindUnknownOutcome {
				t.Errorf("list %s: %v", s.Name, err)
			}
		}
		for _, via := range []*rig{a, b} {
			for _, name := range []string{btc, eth} {
				for _, phase := range []eventpb.Phase{eventpb.Phase_PHASE_CANCEL_ONLY, eventpb.Phase_PHASE_TRADING} {
					if _, err := via.rpc.SetSymbolPhase(t.Context(), &exchangepb.SetSymbolPhaseRequest{Symbol: name, Phase: phase}); err != nil {
						t.Fatal(err)
					}
					for _, at := range []*rig{a, b} {
						testkit.Eventually(t, waitLimit, func() bool {
							res, err := at.rpc.ListSymbols(t.Context(), &exchangepb.ListSymbolsRequest{})
							for _, s := range res.GetSymbols() {
								if s.Name == name {
									return s.Phase == phase
								}
							}
							return err != nil
						}, "%s is shown in phase %v", name, phase)
					}
				}
			}
		}
	})
	t.Run("a client order id is free once the answer of a distant matcher said so", func(t *testing.T) {
		o := on(eth, limit(2, sell, "300.00", "1"))
		o.ClientOrderId = "twice"
		res := b.must(o)
		if _, err := a.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 2, OrderId: res.Order.OrderId}); err != nil {
			t.Fatal(err)
		}
		again := limit(2, sell, "300.00", "1") // on the other partition
		again.ClientOrderId = "twice"
		a.must(again)
		again = on(eth, limit(2, sell, "300.00", "1"))
		again.ClientOrderId = "twice"
		if _, err := b.place(again); errs.CodeOf(err) != errs.CodeDuplicateClientOrderID {
			t.Errorf("while it is open: %v", err)
		}
	})
	t.Run("a request that was sent on is not sent on again", func(t *testing.T) {
		before := a.wallet.free(1, "USDT")
		_, err := a.rpc.PlaceOrder(rpc.Forward(t.Context()), &exchangepb.PlaceOrderRequest{Order: on(eth, limit(1, buy, "1.00", "10"))})
		if errs.KindOf(err) != errs.KindUnavailable || errs.CodeOf(err) != errs.CodeMatcherMoving {
			t.Errorf("got %v", err)
		}
		if after := a.wallet.free(1, "USDT"); after != before {
			t.Errorf("money was held: %s, then %s", before, after)
		}
	})
}

func TestInstances_NoOwner(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.shutdown()
	r.cfg.Lease = quick
	db := testkit.OpenDatabase(t, r.cfg.Database)
	table := lease.NewTable(db, leaseName, 1)
	take := func(endpoint string, ttlMs int64) {
		t.Helper()
		v, err := table.Read(t.Context())
		if err == nil {
			err = table.Take(t.Context(), v.Leases[0], lease.Instance{ID: "ghost", Endpoint: endpoint}, ttlMs, true)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	take("127.0.0.1:1", 600_000)
	r.start()
	refused := func(t *testing.T) {
		t.Helper()
		if _, err := r.place(limit(1, buy, "100.00", "1")); errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
		if got := r.wallet.free(1, "USDT"); got != "1000000.00000000" {
			t.Errorf("money was held: %s are left", got)
		}
	}
	t.Run("an instance without partitions is ready, and reads work", func(t *testing.T) {
		if err := r.svc.Ready(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := r.rpc.ListOpenOrders(t.Context(), &exchangepb.ListOpenOrdersRequest{MemberId: 1}); err != nil {
			t.Error(err)
		}
	})
	t.Run("an owner that cannot be reached has done nothing: refused before anything is held", refused)
	t.Run("when the lease ends, the next order is taken", func(*testing.T) {
		take("127.0.0.1:1", 0)
		r.owns(0)
		r.must(limit(1, buy, "100.00", "1"))
	})
}

// load places orders through an instance, its door, until stop is called. Every error must be one
// that says that nothing was done, or that the outcome is unknown.
type load struct {
	doors   []atomic.Pointer[rig] // taken in turn
	mu      sync.Mutex
	acked   []int64
	refused int
	unknown int
	stop    func()
}

func (r *rig) load(doors ...*rig) *load {
	l := &load{doors: make([]atomic.Pointer[rig], len(doors))}
	for i, d := range doors {
		l.doors[i].Store(d)
	}
	var stopped atomic.Bool
	var wg sync.WaitGroup
	l.stop = func() { stopped.Store(true); wg.Wait() }
	for w := range 4 {
		wg.Go(func() {
			for i := w; !stopped.Load(); i++ {
				o := limit(2, sell, fmt.Sprintf("%d.00", 200+i%7), "0.03")
				if i%3 == 0 {
					o = limit(1, buy, fmt.Sprintf("%d.00", 200+i%7), "0.03")
				}
				res, err := l.doors[i%len(doors)].Load().place(o)
				l.mu.Lock()
				switch errs.KindOf(err) { //nolint:exhaustive // what may happen
				case errs.KindNone:
					l.acked = append(l.acked, res.Order.OrderId)
				case errs.KindUnavailable:
					l.refused++
				case errs.KindUnknownOutcome:
					l.unknown++
				default:
					r.t.Errorf("place: %v", err)
				}
				l.mu.Unlock()
			}
		})
	}
	return l
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// more waits until so many more orders were acknowledged.
func (l *load) more(t *testing.T, n int) {
	t.Helper()
	target := l.count() + n
	testkit.Eventually(t, 2*waitLimit, func() bool { return l.count() >= target }, "%d more orders are acknowledged", n)
}

// found checks that each acknowledged order is in the store, and that money is held for
// exactly the open ones.
func (l *load) found(t *testing.T, r *rig) {
	t.Helper()
	r.atRest()
	orders, err := r.svc.store.Orders(t.Context(), l.acked)
	if err != nil {
		t.Fatal(err)
	}
	if len(orders) != len(l.acked) {
		t.Errorf("%d of %d acknowledged orders are stored", len(orders), len(l.acked))
	}
	for i := range orders {
		if !orders[i].State.Open() && !orders[i].State.Final() {
			t.Errorf("order %d is in state %v", orders[i].ID, orders[i].State)
		}
	}
	testkit.Eventually(t, waitLimit, func() bool {
		return r.wallet.total("USDT") == "1000000.00000000" && r.wallet.total("BTC") == "100.00000000"
	}, "the money adds up")
	t.Logf("%d orders acknowledged, %d refused, %d unknown", len(l.acked), l.refused, l.unknown)
}

func TestInstances_HandOver(t *testing.T) {
	t.Parallel()
	t.Run("a rolling restart loses no order, and leaves no client in doubt", func(t *testing.T) {
		owner := newRig(t, 1)
		owner.cfg.Lease = quick
		owner.restart()
		l := owner.load(owner)
		l.more(t, 20)
		for range 3 {
			next := owner.sibling(quick)
			next.knows(0, owner)
			l.doors[0].Store(next)
			l.more(t, 10)
			began := clock.Real().Now()
			owner.shutdown()
			next.owns(0)
			t.Logf("moved %v after the stop was asked for", clock.Real().Now().Sub(began))
			l.more(t, 10)
			owner = next
		}
		l.stop()
		if l.unknown > 0 {
			t.Errorf("%d callers do not know what became of their orders", l.unknown)
		}
		l.found(t, owner)
	})
}

// stubborn is an instance that will not look at its lease for a while: a zombie, when
// another one takes the partitions by force.
var stubborn = lease.Config{Mode: lease.Shared, TTLMs: 12_000, RenewMs: 4000}

func TestInstances_Zombie(t *testing.T) {
	t.Parallel()
	t.Run("two owners at work on one partition do no harm, and the one that lost its lease steps down", func(t *testing.T) {
		zombie := newRig(t, 1)
		zombie.cfg.Lease = stubborn
		zombie.restart()
		alone := zombie.sibling(lease.Config{Mode: lease.Static})
		alone.owns(0)
		l := zombie.load(zombie, alone)
		l.more(t, 100)
		zombie.knows(0, alone)
		testkit.Eventually(t, waitLimit, func() bool { return zombie.svc.partitions[0].run.Load() == nil }, "the zombie steps down")
		l.more(t, 100) // sent on to the owner
		l.stop()
		l.found(t, zombie)
	})
	t.Run("requests that wait in an owner that lost its lease end with an unknown outcome", func(t *testing.T) {
		zombie := newRig(t, 1)
		stuck := &stuckLog{begun: make(chan struct{}), goOn: make(chan struct{})}
		zombie.parts.log = func(l sequencer.Log) sequencer.Log { stuck.Log = l; return stuck }
		zombie.cfg.Lease, zombie.cfg.Order.WaitMs = stubborn, 60_000
		zombie.restart()
		stuck.on.Store(true)
		answer := make(chan error, 1)
		go func() { _, err := zombie.place(limit(1, buy, "100.00", "1")); answer <- err }()
		<-stuck.begun // the sequencer has read the command, and is about to publish its record
		alone := zombie.sibling(lease.Config{Mode: lease.Static})
		alone.owns(0)
		if err := <-answer; errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
		close(stuck.goOn) // it wakes up and publishes what is published already
		res := alone.must(limit(2, sell, "100.00", "1"))
		if len(res.Fills) != 1 {
			t.Errorf("the order is not in the book: %v", res)
		}
		alone.settled(res.Position)
		alone.balances(map[int64]map[string]string{1: {"USDT": "999900.00000000"}})
	})
}

// stuckLog keeps the sequencer from publishing until it may go on.
type stuckLog struct {
	sequencer.Log

	on          atomic.Bool
	once        sync.Once
	begun, goOn chan struct{}
}

func (l *stuckLog) Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (int64, error) {
	if topic == bus.TopicCompleted && l.on.Load() {
		l.once.Do(func() { close(l.begun) })
		<-l.goOn
	}
	return l.Log.Produce(ctx, topic, partition, msgs)
}
