package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	exchange "mscoin/exchange/simulate"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	wallet "mscoin/wallet/simulate"
)

type kind int

const (
	exchangeKind kind = iota
	walletKind
	kinds
)

var kindNames = [kinds]string{"exchange", "wallet"}

// process is one instance of a service. Everything of it but what it wrote is gone when
// it crashes.
type process struct {
	name   string
	kind   kind
	alive  bool
	actors []*actor
	skewMs int64

	pausedUntilMs int64 // SIGSTOP

	exchange *exchange.Exchange // nil while it starts
	leases   map[int]*lease
	wallet   *wallet.Wallet
}

// world is what outlives processes: the log and the databases, and what members were told.
type world struct {
	s          *sim
	partitions int
	rules      []symbol.Rules
	broker     *broker
	orders     *exchange.DB
	funds      *wallet.DB
	fundsClock int64 // skew of the wallet's clock

	processes   []*process // the living, oldest first
	count       [kinds]int
	bootAtMs    [kinds]int64
	awayUntilMs [services]int64

	members *members
	checks  checks
}

func newWorld(s *sim) *world {
	w := &world{s: s, partitions: 1}
	names := []string{"BTC/USDT"}
	switch s.rnd.IntN(5) {
	case 0, 1:
		names = append(names, "ETH/USDT")
	case 2:
		names, w.partitions = append(names, "ETH/USDT"), 2
	}
	for _, name := range names {
		w.rules = append(w.rules, rulesOf(name))
	}
	w.broker = newBroker(s, w.partitions)
	w.orders = exchange.NewDB()
	w.funds = wallet.NewDB(clk{s, &w.fundsClock})
	for _, coin := range []string{"BTC", "ETH", "USDT"} {
		_, _ = w.funds.CreateCoin(context.Background(), wallet.Coin{Name: coin, Scale: 4})
	}
	w.checks = newChecks(s)
	return w
}

// rulesOf are small numbers, so that a person can follow: prices from 1 to 1000, lots of 1.
func rulesOf(name string) symbol.Rules {
	return symbol.Rules{
		Name: name, Base: name[:3], Quote: name[4:], BaseScale: 4, QuoteScale: 4, TickUnits: 10_000, LotUnits: 10_000,
		MinPrice: 10_000, MaxPrice: 10_000_000, MinQty: 10_000, MaxQty: 10_000_000,
		MakerFeePpm: 1000, TakerFeePpm: 2000, MarketBuyEnabled: true, MarketSellEnabled: true, MaxOpenOrders: 8,
	}
}

// newest returns the process that requests go to.
func (w *world) newest(k kind) *process {
	for _, p := range slices.Backward(w.processes) {
		if p.kind == k {
			return p
		}
	}
	return nil
}

func (w *world) living(k kind) (n int) {
	for _, p := range w.processes {
		if p.kind == k {
			n++
		}
	}
	return n
}

// nextBootMs is when a service that has no process gets one; 0 if all have.
func (w *world) nextBootMs() (at int64) {
	for k := range kinds {
		if w.newest(k) == nil && (at == 0 || w.bootAtMs[k] < at) {
			at = w.bootAtMs[k]
		}
	}
	return at
}

// supervise starts what is due, and makes trouble.
func (w *world) supervise() {
	s := w.s
	for k := range kinds {
		if w.newest(k) == nil && w.bootAtMs[k] <= s.nowMs {
			w.boot(k)
		}
	}
	if s.calm {
		return
	}
	pick := func() *process {
		if len(w.processes) == 0 {
			return nil
		}
		return w.processes[s.rnd.IntN(len(w.processes))]
	}
	if p := pick(); p != nil && s.chance(s.faults.crash) {
		w.crash(p, "out of the blue")
	}
	if k := kind(s.rnd.IntN(int(kinds))); s.chance(s.faults.zombie) && w.living(k) == 1 {
		s.say("supervisor", "believes %s to be dead, which goes on as a zombie", w.newest(k).name)
		w.boot(k)
	}
	if p := pick(); p != nil && s.chance(s.faults.pause) {
		p.pausedUntilMs = s.nowMs + s.between(10, 12_000)
		s.say(p.name, "is stopped for %d ms", p.pausedUntilMs-s.nowMs)
	}
	if v := service(s.rnd.IntN(int(services))); s.chance(s.faults.outage) {
		w.awayUntilMs[v] = s.nowMs + s.between(100, 10_000)
		s.say(serviceNames[v], "is away for %d ms", w.awayUntilMs[v]-s.nowMs)
	}
	if p := pick(); p != nil && p.exchange != nil && s.chance(s.faults.lease) {
		partition := s.rnd.IntN(w.partitions)
		s.say(p.name, "loses the lease of partition %d", partition)
		w.endLease(p, partition)
	}
	if s.chance(s.faults.jump) {
		w.jump(pick())
	}
	if w.members.listed && s.chance(s.faults.garbage) {
		w.garbage()
	}
}

// jump sets one of the clocks.
func (w *world) jump(p *process) {
	s := w.s
	by := s.between(-s.faults.skewMs, s.faults.skewMs)
	switch {
	case s.rnd.IntN(3) == 0:
		w.broker.skewMs = by
		s.say("log", "its clock is %d ms off", by)
	case p != nil && p.kind == exchangeKind:
		p.skewMs = by
		s.say(p.name, "its clock is %d ms off", by)
	default:
		w.fundsClock = by
		s.say("wallet", "its clock is %d ms off", by)
	}
}

// garbage puts something into the command log that no gate would.
func (w *world) garbage() {
	s := w.s
	key := w.rules[s.rnd.IntN(len(w.rules))].Name
	if s.rnd.IntN(3) == 0 {
		key = "NO/SUCH"
	}
	s.say("somebody", "writes garbage for %s to commands", key)
	w.broker.append(bus.TopicCommands, s.rnd.IntN(w.partitions), []bus.Message{{Key: []byte(key), Value: []byte{0xff, byte(s.rnd.IntN(256))}}})
}

// crash ends a process at once.
func (w *world) crash(p *process, when string) {
	if !p.alive {
		return
	}
	w.s.say(p.name, "CRASHES %s", when)
	p.alive = false
	w.processes = slices.DeleteFunc(w.processes, func(x *process) bool { return x == p })
	w.bootAtMs[p.kind] = w.s.nowMs + w.s.between(1, 3000)
	for _, a := range p.actors {
		w.s.kill(a)
	}
}

// boot starts a process.
func (w *world) boot(k kind) {
	s := w.s
	w.count[k]++
	p := &process{name: fmt.Sprintf("%s#%d", kindNames[k], w.count[k]), kind: k, alive: true, leases: map[int]*lease{}}
	if !s.calm && s.faults.skewMs > 0 {
		p.skewMs = s.between(-s.faults.skewMs/4, s.faults.skewMs/4)
	}
	w.processes = append(w.processes, p)
	s.say(p.name, "starts")
	run := w.bootExchange
	if k == walletKind {
		run = w.bootWallet
	}
	s.spawn(p, "start", func() error { return run(p) }, func(err error) {
		if err != nil {
			w.crash(p, fmt.Sprintf("at its start: %v", err))
		}
	})
}

func (w *world) task(p *process, name string, run func(context.Context) error) {
	w.s.spawn(p, name, func() error { return run(context.Background()) }, func(err error) {
		if err != nil {
			w.crash(p, fmt.Sprintf("because its %s failed: %v", name, err))
		}
	})
}

// Times of the exchange, shorter than in production but in the same order: an order's
// deadline is over before the sweeper asks about it.
const (
	placeDeadline = 4 * time.Second
	sweepAfter    = 6 * time.Second
	sweepEvery    = 2 * time.Second
	resendAfter   = 3 * time.Second
	waitTimeout   = 2 * time.Second
	reuseAfter    = 5 * time.Second
)

func (w *world) bootExchange(p *process) error {
	s := w.s
	h := s.hooks()
	own := clk{s, &p.skewMs}
	store := exchange.Store(orderStore{s, w.orders})
	pos := stream.Store(positions{w.orders, s, orderDB, func() {}})
	cfg := exchange.Config{
		Clock: own, Partitions: w.partitions, Log: busClient{w.broker}, Bus: busClient{w.broker},
		Store: store, Positions: pos, Apply: w.orders.Apply,
		IDs: &ids{s: s, v: orderDB, db: w.orders}, WalletConn: conn{s},
		App: exchange.AppConfig{
			PlaceDeadline: placeDeadline, ClientOrderIDReuseAfter: reuseAfter, ReadAfterTimeout: time.Second, MaxOpenOrders: 8,
			SweepEvery: sweepEvery, SweepAfter: sweepAfter, ResendAfter: resendAfter, SweepBatch: 16, Partitions: w.partitions,
		},
		WaitTimeout: waitTimeout, ApplyBatch: 4,
	}
	if h.exchange != nil {
		h.exchange(s, p, &cfg)
	}
	x, err := exchange.New(context.Background(), cfg)
	if err != nil {
		return err
	}
	p.exchange = x
	for _, t := range x.Tasks() {
		if !h.noSweeper || t.Name != "sweeper" {
			w.task(p, t.Name, t.Run)
		}
	}
	for partition := range w.partitions {
		if err := w.own(p, partition); err != nil {
			return err
		}
	}
	return nil
}

// lease is a process's ownership of a partition. Who owns what is not decided by package
// lease here but at random, which is worse: two may own a partition, or none.
type lease struct {
	ctx   deadline
	run   *exchange.Run
	works int // tasks that have not ended
	over  bool
}

// own starts the run of a partition.
func (w *world) own(p *process, partition int) error {
	s := w.s
	run, err := p.exchange.Own(partition)
	if err != nil {
		return err
	}
	l := &lease{ctx: deadline{Context: context.Background(), s: s, dueMs: math.MaxInt64}, run: run}
	p.leases[partition] = l
	for _, t := range run.Tasks() {
		l.works++
		s.spawn(p, t.Name, func() error { return t.Run(&l.ctx) }, func(err error) {
			l.works--
			if !l.over && (err != nil || !t.MayEnd) {
				s.say(p.name, "partition %d breaks: its %s ended: %v", partition, t.Name, err)
				w.endLease(p, partition)
			}
		})
	}
	return nil
}

// endLease stops the run of a partition, and starts another a while later.
func (w *world) endLease(p *process, partition int) {
	l := p.leases[partition]
	if l == nil || l.over {
		return
	}
	l.over, l.ctx.canceled = true, true
	l.run.Close()
	again := w.s.nowMs + w.s.between(10, 3000)
	w.s.spawn(p, fmt.Sprintf("lease of partition %d", partition), func() error {
		w.s.park(func() bool { return l.works == 0 }, 0)
		w.s.park(nil, again)
		w.s.say(p.name, "owns partition %d again", partition)
		return w.own(p, partition)
	}, nil)
}

func (w *world) bootWallet(p *process) error {
	s := w.s
	h := s.hooks()
	cfg := wallet.Config{
		Clock: clk{s, &w.fundsClock}, Partitions: w.partitions, Bus: busClient{w.broker},
		Store:     walletStore{w.funds, s, w.checkMoney},
		Positions: positions{w.funds, s, walletDB, w.checkMoney},
		Settler:   counting{w.funds, w}, SettleBatch: 4,
	}
	if h.wallet != nil {
		h.wallet(s, p, &cfg)
	}
	x, err := wallet.New(cfg)
	if err != nil {
		return err
	}
	p.wallet = x
	for _, t := range x.Tasks() {
		w.task(p, t.Name, t.Run)
	}
	return nil
}
