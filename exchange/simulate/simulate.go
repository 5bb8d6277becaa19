// Package simulate wires the exchange for deploy/simulator: the real order entry, gate,
// sequencer, order consumer and sweeper over dependencies that the simulator makes. Only
// the simulator may import it. What package service adds around the same parts (gRPC,
// configuration, start and stop) is not simulated.
package simulate

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/client"
	"mscoin/exchange/internal/consumer"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/store/memory"
	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
)

// The names under which the simulator sees the exchange's own types.
type (
	// App is app.App.
	App = app.App
	// AppConfig is app.Config.
	AppConfig = app.Config
	// Store is app.Store.
	Store = app.Store
	// Wallet is app.Wallet.
	Wallet = app.Wallet
	// Commands is app.Commands.
	Commands = app.Commands
	// Found is app.Found.
	Found = app.Found
	// OrderRef is app.OrderRef.
	OrderRef = app.OrderRef
	// OrderQuery is app.OrderQuery.
	OrderQuery = app.OrderQuery
	// TradeQuery is app.TradeQuery.
	TradeQuery = app.TradeQuery
	// IDs is app.IDs.
	IDs = app.IDs
	// Listed is app.Listed.
	Listed = app.Listed
	// Move is app.Move.
	Move = app.Move
	// Refused is app.Refused.
	Refused = app.Refused
	// Log is sequencer.Log.
	Log = sequencer.Log
	// Subscription is sequencer.Subscription.
	Subscription = sequencer.Subscription
	// DB is memory.Store.
	DB = memory.Store
	// TradeKey is memory.TradeKey.
	TradeKey = memory.TradeKey
)

// NewDB returns an empty order store in memory.
func NewDB() *DB { return memory.New() }

// ConsumerName is the order consumer's name in the positions.
const ConsumerName = consumer.Name

const (
	// readyPoll is how often a task looks whether the replay is done.
	readyPoll = 20 * time.Millisecond
	// repairPause is the pause between attempts to finish interrupted listings.
	repairPause = time.Second
)

// Config is what one process of the exchange is made of.
type Config struct {
	Clock      clock.Clock
	Partitions int
	// Log is the broker for gates and sequencers, Bus for the order consumers.
	Log Log
	Bus stream.Bus
	// Store and Positions are the database; Apply writes a batch within the transaction
	// of Positions that runs.
	Store     Store
	Positions stream.Store
	Apply     func(b *order.Batch) error
	IDs       IDs
	// WalletConn is the network to the wallet.
	WalletConn grpc.ClientConnInterface
	App        AppConfig
	// WaitTimeout bounds a request's waiting for the matcher; ApplyBatch the records of
	// one transaction.
	WaitTimeout time.Duration
	ApplyBatch  int
	// Commands and Wallet, if set, stand between the application and the gates or the
	// client of the wallet: for mutants.
	Commands func(Commands) Commands
	Wallet   func(Wallet) Wallet
}

// Task is one of the goroutines of a process or of a partition's run.
type Task struct {
	Name string
	Run  func(ctx context.Context) error
	// MayEnd says that its end without an error is no reason to end the others.
	MayEnd bool
}

// Exchange is one process.
type Exchange struct {
	App *App

	cfg      Config
	progress *stream.Progress
	runs     []*Run // by partition, nil while it is not here
}

// New wires a process and loads the symbols, as service.New does. It owns no partition.
func New(ctx context.Context, cfg Config) (*Exchange, error) {
	x := &Exchange{cfg: cfg, progress: stream.NewProgress(cfg.Positions, cfg.Clock, consumer.Name), runs: make([]*Run, cfg.Partitions)}
	deps := app.Deps{
		Store: cfg.Store, Wallet: client.NewWallet(cfg.WalletConn), Commands: commands{x}, Book: books{x},
		IDs: cfg.IDs, Progress: x.progress, Clock: cfg.Clock,
	}
	if cfg.Commands != nil {
		deps.Commands = cfg.Commands(deps.Commands)
	}
	if cfg.Wallet != nil {
		deps.Wallet = cfg.Wallet(deps.Wallet)
	}
	x.App = app.New(cfg.App, deps)
	return x, x.App.LoadSymbols(ctx)
}

// Tasks are what runs in the process whatever it owns.
func (x *Exchange) Tasks() []Task {
	return []Task{
		{Name: "symbols", Run: x.App.FollowSymbols},
		{Name: "sweeper", Run: app.NewSweeper(x.App).Run},
	}
}

// Run is one life of a partition's matcher in a process: from a replay to the loss of the
// lease or an error. It is what a run of package service is.
type Run struct {
	x         *Exchange
	partition int
	sequencer *sequencer.Sequencer
	gate      *sequencer.Gate
	consumer  *stream.Consumer
	closed    bool
}

// Own starts a run, as if the lease of the partition had been taken.
func (x *Exchange) Own(partition int) (*Run, error) {
	r := &Run{x: x, partition: partition}
	r.gate = sequencer.NewGate(sequencer.GateConfig{
		Log: x.cfg.Log, IDs: x.cfg.IDs, Clock: x.cfg.Clock, Partition: partition, WaitTimeout: x.cfg.WaitTimeout,
	})
	r.sequencer = sequencer.New(sequencer.Config{
		Partition: partition, NewEngine: func() matching.Engine { return matching.New() },
		Clock: x.cfg.Clock, Log: x.cfg.Log, Published: r.gate.Published,
		Positions: func(ctx context.Context) (sequencer.Positions, error) { return x.positions(ctx, partition) },
	})
	apply := func(_ *database.Tx, b *order.Batch) error { return x.cfg.Apply(b) }
	// The run takes no snapshots, so the log has no checkpoints to compare with.
	check := func(*database.Tx, *stream.Checkpoint) error { return nil }
	var err error
	r.consumer, err = consumer.New(x.cfg.Bus, x.cfg.Positions, x.cfg.Clock, x.progress, apply, check, partition, x.cfg.ApplyBatch)
	x.runs[partition] = r
	return r, err
}

// Tasks are what runs while the partition is here. When one ends, all do.
func (r *Run) Tasks() []Task {
	name := func(what string) string { return fmt.Sprintf("%s %d", what, r.partition) }
	return []Task{
		{Name: name("order consumer"), Run: r.consumer.Run},
		{Name: name("commands"), Run: r.gate.Run},
		{Name: name("sequencer"), Run: r.sequencer.Run},
		{Name: name("listings"), Run: r.listings, MayEnd: true},
	}
}

// Close ends the run: nobody enters, and whoever waits does not know the outcome. The
// context of the tasks has to be ended first.
func (r *Run) Close() {
	r.closed = true
	r.gate.Close()
	if r.x.runs[r.partition] == r {
		r.x.runs[r.partition] = nil
	}
}

// Ready reports whether commands of every partition are answered.
func (x *Exchange) Ready() bool {
	for _, r := range x.runs {
		if r == nil || !r.sequencer.Ready() {
			return false
		}
	}
	return true
}

// Halted returns what stands still and why.
func (x *Exchange) Halted() (all []error) {
	for _, r := range x.runs {
		if r == nil {
			continue
		}
		for _, h := range r.consumer.Halted() {
			all = append(all, h)
		}
		if err := r.consumer.Stopped(); err != nil {
			all = append(all, err)
		}
	}
	return all
}

func (r *Run) listings(ctx context.Context) error {
	for !r.sequencer.Ready() {
		if err := clock.Sleep(ctx, r.x.cfg.Clock, readyPoll); err != nil {
			return err
		}
	}
	for r.x.App.RepairSymbols(ctx, r.partition) != nil {
		if err := clock.Sleep(ctx, r.x.cfg.Clock, repairPause); err != nil {
			return err
		}
	}
	return nil
}

// positions is service.Service.positions.
func (x *Exchange) positions(ctx context.Context, partition int) (sequencer.Positions, error) {
	at, err := x.cfg.Positions.LoadPosition(ctx, consumer.Name, bus.TopicCompleted, partition)
	if err != nil {
		return sequencer.Positions{}, err
	}
	symbols, err := x.cfg.Positions.LoadSymbolPositions(ctx, consumer.Name)
	if err != nil {
		return sequencer.Positions{}, err
	}
	rules, err := x.cfg.Store.Symbols(ctx)
	if err != nil {
		return sequencer.Positions{}, err
	}
	listed := 0
	for _, r := range rules {
		if r.Partition == partition {
			listed++
		} else {
			delete(symbols, r.Name)
		}
	}
	return sequencer.Positions{NextOffset: at.NextOffset, Symbols: symbols, NothingListed: listed == 0}, nil
}

// gate returns the way to the matcher of a symbol.
func (x *Exchange) gate(r symbol.Rules) (*sequencer.Gate, error) {
	if run := x.runs[r.Partition]; run != nil {
		return run.gate, nil
	}
	return nil, app.ErrMoving
}

// commands takes each command to the gate of its symbol's partition.
type commands struct{ x *Exchange }

func (c commands) Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error) {
	g, err := c.x.gate(r)
	if err != nil {
		return nil, err
	}
	return g.Place(ctx, r, o)
}

func (c commands) Cancel(ctx context.Context, r symbol.Rules, orderID, memberID int64) (*order.Result, error) {
	g, err := c.x.gate(r)
	if err != nil {
		return nil, err
	}
	return g.Cancel(ctx, r, orderID, memberID)
}

func (c commands) CancelAll(ctx context.Context, r symbol.Rules, memberID int64) (*order.Result, error) {
	g, err := c.x.gate(r)
	if err != nil {
		return nil, err
	}
	return g.CancelAll(ctx, r, memberID)
}

func (c commands) Resolve(ctx context.Context, r symbol.Rules, orderID, memberID, deadlineMs int64) error {
	g, err := c.x.gate(r)
	if err != nil {
		return err
	}
	return g.Resolve(ctx, r, orderID, memberID, deadlineMs)
}

func (c commands) SetRules(ctx context.Context, r symbol.Rules) (*order.Result, error) {
	g, err := c.x.gate(r)
	if err != nil {
		return nil, err
	}
	return g.SetRules(ctx, r)
}

func (c commands) SetPhase(ctx context.Context, r symbol.Rules, phase order.Phase) (*order.Result, error) {
	g, err := c.x.gate(r)
	if err != nil {
		return nil, err
	}
	return g.SetPhase(ctx, r, phase)
}

// books shows the matcher's state to the application.
type books struct{ x *Exchange }

func (b books) of(r symbol.Rules) *sequencer.Sequencer {
	run := b.x.runs[r.Partition]
	if run == nil || !run.sequencer.Ready() {
		return nil
	}
	return run.sequencer
}

// Enter implements app.Book. Nobody waits for those inside: a lease is lost at once.
func (b books) Enter(r symbol.Rules) (leave func(), err error) {
	run := b.x.runs[r.Partition]
	if run == nil {
		return nil, &app.Elsewhere{Partition: r.Partition}
	}
	if run.closed || !run.sequencer.Ready() {
		return nil, app.ErrMoving
	}
	return func() {}, nil
}

// Phase implements app.Book.
func (b books) Phase(r symbol.Rules) (order.Phase, bool) {
	q := b.of(r)
	if q == nil {
		return order.PhaseNone, false
	}
	phase, ok := q.Listed(r.Name)
	return order.Phase(phase), ok
}

// OpenOrders implements app.Book.
func (b books) OpenOrders(r symbol.Rules, member int64) int {
	q := b.of(r)
	if q == nil {
		return 0
	}
	return q.OpenOrders(r.Name, member)
}

// Open implements app.Book.
func (b books) Open(r symbol.Rules, orderID int64) (seq int64, open, known bool) {
	q := b.of(r)
	if q == nil {
		return 0, false, false
	}
	seq, open = q.Open(r.Name, orderID)
	return seq, open, true
}

// Hold implements app.Book.
func (b books) Hold(r symbol.Rules, o *order.Order) (order.Hold, error) {
	q := b.of(r)
	if q == nil {
		return order.Hold{}, app.ErrMoving
	}
	return q.Hold(r, o)
}
