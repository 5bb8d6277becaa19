// Package service wires the exchange: order entry, the sequencer of each partition,
// the order store and the sweeper.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/client"
	"mscoin/exchange/internal/consumer"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/server"
	"mscoin/exchange/internal/store"
	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/symbol"
)

const (
	// stopTimeout bounds a stop.
	stopTimeout = 8 * time.Second
	// idBlock is how many ids one lease takes: what is left of it is lost at a stop.
	idBlock = 10_000
	// readyPoll is how often the replay is looked at, and repairPause how long a
	// failed repair of the listings waits.
	readyPoll   = 5 * time.Millisecond
	repairPause = 500 * time.Millisecond
)

// parts are the borders that a test may replace.
type parts struct {
	clk   clock.Clock
	log   func(sequencer.Log) sequencer.Log
	store func(app.Store) app.Store
	bus   func(stream.Bus) stream.Bus
}

func realParts() parts {
	return parts{
		clk:   clock.Real(),
		log:   func(l sequencer.Log) sequencer.Log { return l },
		store: func(s app.Store) app.Store { return s },
		bus:   func(b stream.Bus) stream.Bus { return b },
	}
}

// Service is the exchange.
type Service struct {
	cfg   Config
	clk   clock.Clock
	db    *database.DB
	bus   *bus.Client
	conns []io.Closer

	store      *store.Store
	gates      []*sequencer.Gate
	sequencers []*sequencer.Sequencer
	consumers  []*stream.Consumer
	app        *app.App
	server     *rpc.Server

	serving, listed atomic.Bool
}

// New opens the database and the broker and wires everything. Nothing runs yet.
func New(ctx context.Context, cfg Config) (*Service, error) { return newService(ctx, cfg, realParts()) }

func newService(ctx context.Context, cfg Config, p parts) (_ *Service, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("exchange configuration: %w", err)
	}
	s := &Service{cfg: cfg, clk: p.clk}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("new exchange: %w", err), s.Close())
		}
	}()
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	conn, closer, err := rpc.Dial(cfg.wallet())
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	s.conns = append(s.conns, closer)
	ids := idgen.New(s.db, s.clk, "order", idBlock)
	s.store = store.New(s.db, s.clk)
	log := p.log(sequencer.BusLog{Client: s.bus})
	progress := stream.NewProgress(stream.DatabaseStore(s.db), s.clk, consumer.Name)
	for partition := range cfg.Partitions {
		s.gates = append(s.gates, sequencer.NewGate(sequencer.GateConfig{
			Log: log, IDs: ids, Clock: s.clk, Partition: partition, WaitTimeout: time.Duration(cfg.Order.WaitMs) * time.Millisecond,
		}))
		s.sequencers = append(s.sequencers, s.newSequencer(log, partition))
		c, err := consumer.New(p.bus(stream.ClientBus(s.bus)), stream.DatabaseStore(s.db), s.clk, progress, store.Apply, partition, cfg.ApplyBatch)
		if err != nil {
			return nil, err
		}
		s.consumers = append(s.consumers, c)
	}
	s.app = app.New(cfg.app(), app.Deps{
		Store: p.store(s.store), Wallet: client.NewWallet(conn), Commands: commands{s}, Book: books{s},
		IDs: ids, Progress: progress, Clock: s.clk,
	})
	if err := s.app.LoadSymbols(ctx); err != nil {
		return nil, err
	}
	s.server, err = rpc.NewServer(rpc.ServerConfig{
		Name: cfg.Name, ListenOn: cfg.ListenOn, InternalToken: cfg.InternalToken,
	}, func(g *grpc.Server) {
		exchangepb.RegisterExchangeServiceServer(g, server.New(s.app))
		streampb.RegisterConsumerServiceServer(g, remote.NewServer(remote.ServerConfig{
			Consumer: consumer.Name, Topic: bus.TopicCompleted, Partitions: cfg.Partitions,
			Positions: s.db, Log: s.bus, Clock: s.clk,
		}))
	})
	return s, err
}

// Migrate brings the tables of the service up to date, as New does.
func Migrate(ctx context.Context, db *database.DB) error {
	if err := db.MigratePositions(ctx); err != nil {
		return err
	}
	if err := idgen.Migrate(ctx, db); err != nil {
		return err
	}
	return db.Migrate(ctx, "exchange", store.Migrations())
}

// open opens the database, migrated, and the broker, whose topics must exist.
func (s *Service) open(ctx context.Context) error {
	var err error
	if s.db, err = database.Open(ctx, s.cfg.Database, s.clk); err != nil {
		return err
	}
	if err := Migrate(ctx, s.db); err != nil {
		return err
	}
	if s.bus, err = bus.Connect(s.cfg.Kafka, s.clk); err != nil {
		return err
	}
	return s.bus.AssertTopics(ctx, bus.MoneyTopics(s.cfg.Partitions))
}

func (s *Service) newSequencer(log sequencer.Log, partition int) *sequencer.Sequencer {
	return sequencer.New(sequencer.Config{
		Partition: partition,
		NewEngine: func() matching.Engine { return matching.New() },
		Clock:     s.clk,
		Log:       log,
		Positions: func(ctx context.Context) (sequencer.Positions, error) { return s.positions(ctx, partition) },
		Published: s.gates[partition].Published,
	})
}

// positions loads how far the order consumer is on a partition.
func (s *Service) positions(ctx context.Context, partition int) (sequencer.Positions, error) {
	at, err := s.db.LoadPosition(ctx, consumer.Name, bus.TopicCompleted, partition)
	if err != nil {
		return sequencer.Positions{}, err
	}
	symbols, err := s.db.LoadSymbolPositions(ctx, consumer.Name)
	if err != nil {
		return sequencer.Positions{}, err
	}
	rules, err := s.store.Symbols(ctx)
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

// Run works until ctx ends or something breaks for good, and then stops in order
// within 8 s. It closes what New opened.
func (s *Service) Run(ctx context.Context) error { return s.group().Run(ctx) }

// Close releases what New opened, when Run is never called.
func (s *Service) Close() error {
	var all []error
	for _, c := range s.conns {
		all = append(all, c.Close())
	}
	if s.bus != nil {
		s.bus.Close()
	}
	if s.db != nil {
		all = append(all, s.db.Close())
	}
	return errors.Join(all...)
}

// Addr returns host:port of the gRPC server, once Ready has returned nil.
func (s *Service) Addr() string { return s.server.Addr() }

// Ready returns nil when orders are accepted: the replay is done, the matcher knows
// every symbol, and no consumer stands still.
func (s *Service) Ready(context.Context) error {
	if !s.serving.Load() {
		return errors.New("exchange is not serving")
	}
	for i, q := range s.sequencers {
		if !q.Ready() {
			return fmt.Errorf("exchange replays partition %d", i)
		}
	}
	if !s.listed.Load() {
		return errors.New("exchange has symbols that the matcher does not know")
	}
	for _, c := range s.consumers {
		if err := c.Stopped(); err != nil {
			return fmt.Errorf("exchange: %w", err)
		}
	}
	return nil
}

// waitReplayed returns when every sequencer is live.
func (s *Service) waitReplayed(ctx context.Context) error {
	for _, q := range s.sequencers {
		for !q.Ready() {
			if err := clock.Sleep(ctx, s.clk, readyPoll); err != nil {
				return err
			}
		}
	}
	return nil
}

// repair finishes interrupted listings, as often as it takes.
func (s *Service) repair(ctx context.Context) error {
	if err := s.waitReplayed(ctx); err != nil {
		return err
	}
	for {
		err := s.app.RepairSymbols(ctx)
		if err == nil {
			s.listed.Store(true)
			return nil
		}
		if ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("exchange: %v", err)
		}
		if err := clock.Sleep(ctx, s.clk, repairPause); err != nil {
			return err
		}
	}
}

// books shows the matcher's state to the application.
type books struct{ s *Service }

func (b books) of(r symbol.Rules) *sequencer.Sequencer {
	if r.Partition < 0 || r.Partition >= len(b.s.sequencers) {
		return nil
	}
	return b.s.sequencers[r.Partition]
}

// Ready implements app.Book.
func (b books) Ready(r symbol.Rules) bool {
	q := b.of(r)
	return q != nil && q.Ready()
}

// Phase implements app.Book.
func (b books) Phase(r symbol.Rules) (order.Phase, bool) {
	phase, ok := b.of(r).Listed(r.Name)
	return order.Phase(phase), ok
}

// OpenOrders implements app.Book.
func (b books) OpenOrders(r symbol.Rules, member int64) int {
	return b.of(r).OpenOrders(r.Name, member)
}

// Open implements app.Book.
func (b books) Open(r symbol.Rules, orderID int64) (int64, bool) {
	return b.of(r).Open(r.Name, orderID)
}

// Hold implements app.Book.
func (b books) Hold(r symbol.Rules, o *order.Order) (order.Hold, error) {
	return b.of(r).Hold(r, o)
}
