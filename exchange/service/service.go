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

	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/client"
	"mscoin/exchange/internal/consumer"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/server"
	"mscoin/exchange/internal/store"
	"mscoin/exchange/matching"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/telemetry"
)

const (
	// stopTimeout bounds a stop.
	stopTimeout = 8 * time.Second
	// idBlock is how many ids one lease takes: what is left of it is lost at a stop.
	idBlock = 10_000
	// leaseName names the leases in the database.
	leaseName = "exchange"
	// peerTimeoutMs bounds a request that was sent on, when its caller set no earlier end.
	peerTimeoutMs = 10_000
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
	// moving, if set, is called before each step of a move.
	moving func(step string) error
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

	store     *store.Store
	ids       *idgen.Gen
	log       sequencer.Log
	orderBus  stream.Bus
	progress  *stream.Progress
	admission *app.Admission
	app       *app.App
	server    *rpc.Server
	wallet    client.GetPositions
	peers     *client.Peers
	group     *lifecycle.Group

	// id names this start of this instance; partitions are by number.
	id         string
	leases     *lease.Manager
	partitions []partition

	serving, started atomic.Bool
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
	s.wallet = client.RemotePositions(conn)
	s.peers = client.NewPeers(cfg.InternalToken, peerTimeoutMs, s.clk)
	s.conns = append(s.conns, s.peers)
	s.ids = idgen.New(s.db, s.clk, "order", idBlock)
	s.store = store.New(s.db, s.clk)
	s.log, s.orderBus = p.log(sequencer.BusLog{Client: s.bus}), p.bus(stream.ClientBus(s.bus))
	s.progress = stream.NewProgress(stream.DatabaseStore(s.db), s.clk, consumer.Name)
	s.partitions = make([]partition, cfg.Partitions)
	if err := s.newLeases(ctx); err != nil {
		return nil, err
	}
	positions := remote.NewServer(remote.ServerConfig{
		Consumer: consumer.Name, Topic: bus.TopicCompleted, Partitions: cfg.Partitions,
		DB: s.db, Bus: stream.ClientBus(s.bus), Clock: s.clk,
	})
	s.admission = app.NewAdmission(cfg.admission(), s.clk, client.LocalPositions(positions), s.wallet)
	s.app = app.New(cfg.app(), app.Deps{
		Store: p.store(s.store), Wallet: client.NewWallet(conn), Commands: commands{s}, Book: books{s},
		IDs: s.ids, Progress: s.progress, Clock: s.clk, Admission: s.admission,
	})
	if err := s.app.LoadSymbols(ctx); err != nil {
		return nil, err
	}
	op := s.newOperator(client.LocalPositions(positions), p.moving)
	s.server, err = rpc.NewServer(rpc.ServerConfig{
		Name: cfg.Name, ListenOn: cfg.ListenOn, InternalToken: cfg.InternalToken,
	}, func(g *grpc.Server) {
		exchangepb.RegisterExchangeServiceServer(g, server.New(s.app, owners{s}, s.clk))
		exchangepb.RegisterOperatorServiceServer(g, server.NewOperator(op, owners{s}, s.clk))
		streampb.RegisterConsumerServiceServer(g, positions)
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

func (s *Service) newSequencer(partition int, gate *sequencer.Gate) *sequencer.Sequencer {
	return sequencer.New(sequencer.Config{
		Partition:     partition,
		NewEngine:     func() matching.Engine { return matching.New() },
		Clock:         s.clk,
		Log:           s.log,
		Positions:     func(ctx context.Context) (sequencer.Positions, error) { return s.positions(ctx, partition) },
		Published:     gate.Published,
		Snapshots:     store.NewSnapshots(s.db, s.clk),
		SnapshotEvery: s.cfg.Snapshot.EveryCommands, SnapshotAfter: time.Duration(s.cfg.Snapshot.AfterMs) * time.Millisecond,
		Followers: s.followers,
	})
}

// followers asks how far the wallet is.
func (s *Service) followers(ctx context.Context) ([]sequencer.Follower, error) {
	wallet, err := s.wallet.Follower(ctx)
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	return []sequencer.Follower{wallet}, nil
}

// positions loads how far the order consumer is on a partition. One from which all symbols
// have moved away is known by what was consumed of it.
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
	moves, err := s.store.Moves(ctx)
	if err != nil {
		return sequencer.Positions{}, err
	}
	listed, elsewhere := 0, map[string]database.SymbolPosition{}
	for _, m := range moves {
		if m.To == partition { // the log may have it before the table of symbols has
			listed++
		}
	}
	for _, r := range rules {
		if r.Partition == partition {
			listed++
		} else if at, ok := symbols[r.Name]; ok {
			elsewhere[r.Name] = at
			delete(symbols, r.Name)
		}
	}
	return sequencer.Positions{NextOffset: at.NextOffset, Symbols: symbols, Elsewhere: elsewhere, NothingListed: listed == 0 && at.NextOffset == 0}, nil
}

// Run works until ctx ends or something breaks for good, and then stops in order
// within 8 s. It closes what New opened. A partition that breaks is started anew; only an
// instance that is configured to be alone ends when a log contradicts the database.
func (s *Service) Run(ctx context.Context) error {
	defer telemetry.Collect(s.metrics)()
	s.group = s.newGroup()
	return s.group.Run(ctx)
}

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

// Ready returns nil when requests are answered. At the start, that is when the partitions
// this instance has taken are replayed and their matchers know every symbol; one that takes
// a partition over later goes on serving the others meanwhile. An instance without
// partitions is ready: it sends commands on to the owners. No partition's consumer may stand
// still.
func (s *Service) Ready(context.Context) error {
	if !s.serving.Load() {
		return errors.New("exchange is not serving")
	}
	if !s.leases.Joined() {
		return errors.New("exchange has not joined the other instances")
	}
	for i := range s.partitions {
		p := &s.partitions[i]
		if r := p.run.Load(); r != nil {
			if err := r.consumer.Stopped(); err != nil {
				return fmt.Errorf("exchange: %w", err)
			}
		}
		if l, ok := s.leases.Owner(i); !ok || l.Owner != s.id || s.started.Load() && s.cfg.Lease.Mode == lease.Shared {
			continue
		}
		if err := p.live(i); err != nil {
			return err
		}
	}
	s.started.Store(true)
	return nil
}
