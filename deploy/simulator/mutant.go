package main

import (
	"context"
	"slices"
	"strings"

	"mscoin/exchange/order"
	exchange "mscoin/exchange/simulate"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
	wallet "mscoin/wallet/simulate"
)

// mutant is the exchange with one rule of MONEY-SAFETY switched off, by something put
// between the real code and its dependencies: production code has no such switch.
type mutant struct {
	name string
	// damagesLog says that the log is damaged, at which the real code stands still, and
	// safely: to be caught, the mutant has to get something wrong.
	damagesLog bool
	hooks      hooks
}

// hooks change how processes are made.
type hooks struct {
	noSweeper bool
	exchange  func(s *sim, p *process, cfg *exchange.Config)
	wallet    func(s *sim, p *process, cfg *wallet.Config)
}

func (s *sim) hooks() hooks {
	if s.mutant == nil {
		return hooks{}
	}
	return s.mutant.hooks
}

// kills reports whether a schedule failed in the way that the mutant had to cause.
func (m *mutant) kills(r result) bool {
	return r.failure != nil && (!m.damagesLog || !standsStill(r.failure) && !r.unseen)
}

// standsStill reports whether a failure is that something waits for a person, and
// nothing is wrong.
func standsStill(failure error) bool {
	return strings.HasPrefix(failure.Error(), "halted") || strings.HasPrefix(failure.Error(), "liveness")
}

// controls are the damages of the mutants of H7, done to the real code: it stands still or
// has not met them, and never gets anything wrong.
var controls = []mutant{
	{name: "a record never reaches the log", damagesLog: true, hooks: hooks{exchange: func(s *sim, _ *process, cfg *exchange.Config) { losing(s, mutateLog(cfg, s)) }}},
	{name: "a record is exchanged for another", damagesLog: true, hooks: hooks{exchange: func(s *sim, _ *process, cfg *exchange.Config) { forging(s, mutateLog(cfg, s)) }}},
}

// mutants by name: the rule, and what is done instead.
var mutants = []mutant{
	{name: "H1: the intent is stored last", hooks: hooks{exchange: intentLast}},
	{name: "H1: the command is sent before the money is held", hooks: hooks{exchange: holdLast}},
	{name: "H1: no sweeper", hooks: hooks{noSweeper: true}},
	{name: "H2: a hold is not idempotent", hooks: hooks{wallet: forgetHolds(ledger.HoldOpen)}},
	{name: "H2: a refusal is not sticky", hooks: hooks{wallet: forgetHolds(ledger.HoldRefused)}},
	{name: "H2: no tombstone", hooks: hooks{wallet: noTombstone}},
	{name: "H3: a Place has no deadline", hooks: hooks{exchange: rewriting(noDeadline)}},
	{name: "H3: resolved ids are forgotten", hooks: hooks{exchange: rewriting(forgetResolved)}},
	{name: "H4: Resolve cancels", hooks: hooks{exchange: resolveCancels}},
	{name: "H5: go on after a write error", hooks: hooks{exchange: goOn}},
	{name: "H5: two writes in flight", hooks: hooks{exchange: twoInFlight}},
	{name: "H7: no gap check", damagesLog: true, hooks: hooks{exchange: noGapCheck}},
	{name: "H7: no hash chain", damagesLog: true, hooks: hooks{exchange: noChainCheck}},
	{name: "H8: no fence", hooks: hooks{exchange: noFence, wallet: noWalletFence}},
	{name: "H8: position before the work", hooks: hooks{exchange: positionFirst}},
	{name: "H9: nothing is forwarded again after a crash", hooks: hooks{exchange: noBacklog}},
	{name: "H9: duplicates are not forwarded", hooks: hooks{exchange: dropKnown}},
	{name: "H10: hops without order", hooks: hooks{exchange: unordered}},
	{name: "H11: one side of a fill is lost", hooks: hooks{wallet: oneSided}},
	{name: "H12: the wallet computes what stays held", hooks: hooks{wallet: recompute}},
	{name: "H12: the wallet adds increments to what it has", hooks: hooks{wallet: increments}},
	{name: "H13: fees from the configuration of the process", hooks: hooks{exchange: feesOfProcess}},
	{name: "H14: an unknown outcome is told as a failure", hooks: hooks{exchange: toldAsFailure}},
	{name: "H16: garbage stops the matcher", hooks: hooks{exchange: garbageStops}},
	{name: "a deposit is credited as often as it is sent", hooks: hooks{wallet: depositTwice}},
}

// H1

type lastIntent struct {
	exchange.Store
	exchange.Commands
	waiting map[int64]*order.Order
}

func (l *lastIntent) InsertOrder(_ context.Context, o *order.Order) error {
	c := *o
	l.waiting[o.ID] = &c
	return nil
}

func (l *lastIntent) Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error) {
	res, err := l.Commands.Place(ctx, r, o)
	if intent := l.waiting[o.ID]; intent != nil {
		_ = l.Store.InsertOrder(ctx, intent)
	}
	return res, err
}

func intentLast(_ *sim, _ *process, cfg *exchange.Config) {
	l := &lastIntent{Store: cfg.Store, waiting: map[int64]*order.Order{}}
	cfg.Store = l
	cfg.Commands = func(c exchange.Commands) exchange.Commands {
		l.Commands = c
		return l
	}
}

type lateWallet struct {
	exchange.Wallet
	s *sim
	p *process
}

func (w lateWallet) PlaceHold(ctx context.Context, o *order.Order, h order.Hold) (int64, error) {
	c := *o
	w.s.spawn(w.p, "hold that nobody waits for", func() error {
		_, err := w.Wallet.PlaceHold(context.WithoutCancel(ctx), &c, h)
		return err
	}, nil)
	return h.Amount, nil
}

func holdLast(s *sim, p *process, cfg *exchange.Config) {
	cfg.Wallet = func(w exchange.Wallet) exchange.Wallet { return lateWallet{w, s, p} }
}

// H2

type forgetful struct {
	wallet.Store
	w     *world
	state ledger.HoldState
}

func (f forgetful) PlaceHolds(ctx context.Context, reqs []wallet.HoldRequest) ([]wallet.HoldResult, error) {
	for i := range reqs {
		if h, ok := f.w.funds.Holds[reqs[i].OrderID]; ok && h.State == f.state {
			delete(f.w.funds.Holds, reqs[i].OrderID)
		}
	}
	return f.Store.PlaceHolds(ctx, reqs)
}

func forgetHolds(state ledger.HoldState) func(*sim, *process, *wallet.Config) {
	return func(s *sim, _ *process, cfg *wallet.Config) { cfg.Store = forgetful{cfg.Store, s.world, state} }
}

// settler changes what is settled, before or after.
type settler struct {
	wallet.Settler
	before func(records []settlement.Record)
	after  func(records []settlement.Record)
}

func (x settler) Settle(ctx context.Context, tx *database.Tx, records []settlement.Record) error {
	if x.before != nil {
		x.before(records)
	}
	err := x.Settler.Settle(ctx, tx, records)
	if err == nil && x.after != nil {
		x.after(records)
	}
	return err
}

func noTombstone(s *sim, _ *process, cfg *wallet.Config) {
	cfg.Settler = settler{Settler: cfg.Settler, after: func(records []settlement.Record) {
		for i := range records {
			for _, id := range records[i].OrderIDs() {
				if s.world.funds.Holds[id].State == ledger.HoldTombstone {
					delete(s.world.funds.Holds, id)
				}
			}
		}
	}}
}

// H4, H14

type cancelling struct{ exchange.Commands }

func (c cancelling) Resolve(ctx context.Context, r symbol.Rules, id, member, deadlineMs int64) error {
	_, _ = c.Cancel(ctx, r, id, member)
	return c.Commands.Resolve(ctx, r, id, member, deadlineMs)
}

func resolveCancels(_ *sim, _ *process, cfg *exchange.Config) {
	cfg.Commands = func(c exchange.Commands) exchange.Commands { return cancelling{c} }
}

type pessimist struct{ exchange.Commands }

func (c pessimist) Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error) {
	res, err := c.Commands.Place(ctx, r, o)
	if errs.KindOf(err) == errs.KindUnknownOutcome {
		err = errUnavailable
	}
	return res, err
}

func toldAsFailure(_ *sim, _ *process, cfg *exchange.Config) {
	cfg.Commands = func(c exchange.Commands) exchange.Commands { return pessimist{c} }
}

// H8

func noFence(s *sim, _ *process, cfg *exchange.Config) {
	cfg.Positions = unfenced(cfg.Positions, s.world.orders)
}

func noWalletFence(s *sim, _ *process, cfg *wallet.Config) {
	cfg.Positions = unfenced(cfg.Positions, s.world.funds)
}

// positionFirst commits the position of the order consumer, and then the work.
func positionFirst(s *sim, _ *process, cfg *exchange.Config) {
	p := &split{Store: cfg.Positions, s: s}
	p.apply, cfg.Positions = cfg.Apply, p
	cfg.Apply = func(b *order.Batch) error {
		p.waiting = append(p.waiting, b)
		return nil
	}
}

// H11, H12

func oneSided(s *sim, _ *process, cfg *wallet.Config) {
	inner := cfg.Settler
	cfg.Settler = settlerFunc(func(ctx context.Context, tx *database.Tx, records []settlement.Record) error {
		i := slices.IndexFunc(records, func(r settlement.Record) bool { return len(r.Trades) > 0 })
		if i < 0 {
			return inner.Settle(ctx, tx, records)
		}
		key := ledger.WalletKey{MemberID: records[i].Trades[0].MakerMemberID, Coin: records[i].QuoteCoin}
		before := s.world.funds.Balances[key]
		err := inner.Settle(ctx, tx, records)
		if err == nil {
			s.world.funds.Balances[key] = before
		}
		return err
	})
}

type settlerFunc func(ctx context.Context, tx *database.Tx, records []settlement.Record) error

func (f settlerFunc) Settle(ctx context.Context, tx *database.Tx, records []settlement.Record) error {
	return f(ctx, tx, records)
}

// Check implements wallet.Settler: these mutants compare nothing.
func (settlerFunc) Check(context.Context, *database.Tx, *stream.Checkpoint, string, string) error {
	return nil
}

// recompute leaves held what has not been spent, whatever the matcher says.
func recompute(s *sim, _ *process, cfg *wallet.Config) {
	cfg.Settler = settler{Settler: cfg.Settler, before: func(records []settlement.Record) {
		eachOrder(records, func(u *settlement.OrderUpdate) {
			h, ok := s.world.funds.Holds[u.OrderID]
			if !ok || u.State != settlement.Live {
				return
			}
			u.HeldRemaining = h.Held - u.Traded
			if u.Side == settlement.Buy {
				u.HeldRemaining = h.Held - u.Turnover
			}
		})
	}}
}

// increments adds each record's facts to those of the hold, as if they were what the
// record has changed: a repeated word (Resolve) counts again.
func increments(s *sim, _ *process, cfg *wallet.Config) {
	cfg.Settler = settler{Settler: cfg.Settler, before: func(records []settlement.Record) {
		eachOrder(records, func(u *settlement.OrderUpdate) {
			if h, ok := s.world.funds.Holds[u.OrderID]; ok && h.Seq > 0 {
				u.Traded += h.Facts.Traded
				u.Turnover += h.Facts.Turnover
				u.Fee += h.Facts.Fee
			}
		})
	}}
}

func eachOrder(records []settlement.Record, edit func(*settlement.OrderUpdate)) {
	for i := range records {
		for j := range records[i].Orders {
			edit(&records[i].Orders[j])
		}
	}
}

type crediting struct {
	wallet.Store
	w *world
}

func (c crediting) Deposit(ctx context.Context, d wallet.Deposit) (wallet.Balance, bool, error) {
	delete(c.w.funds.Deposits, d.Reference)
	return c.Store.Deposit(ctx, d)
}

func depositTwice(s *sim, _ *process, cfg *wallet.Config) { cfg.Store = crediting{cfg.Store, s.world} }

// The rules of the commands: what the sequencer reads is rewritten.

func noDeadline(_ *process, m bus.Message, cmd *eventpb.Command) {
	if p := cmd.GetPlace(); p != nil {
		p.DeadlineMs = max(p.DeadlineMs, m.TimeMs+1)
	}
}

func forgetResolved(_ *process, _ bus.Message, cmd *eventpb.Command) {
	if r := cmd.GetResolve(); r != nil {
		r.DeadlineMs = 0
	}
}

func feesOfProcess(s *sim, p *process, cfg *exchange.Config) {
	fee := int32(1000 * s.world.count[exchangeKind])
	rewriting(func(_ *process, _ bus.Message, cmd *eventpb.Command) {
		if c := cmd.GetPlace(); c != nil {
			c.TakerFeePpm = fee
		}
	})(s, p, cfg)
}
