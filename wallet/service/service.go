// Package service wires the wallet together: balances, holds, the journal and the
// settlement of the matcher's records.
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	streampb "mscoin/grpc-common/gen/stream/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/lock"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/custody/simchain"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/consumer"
	"mscoin/wallet/internal/reconciler"
	"mscoin/wallet/internal/server"
	"mscoin/wallet/internal/store"
)

const (
	stopTimeout = 8 * time.Second
	// startWait bounds how long a start waits for the broker.
	startWait  = 60 * time.Second
	startPause = time.Second
	// redisTimeout bounds a request to Redis: locks are a courtesy, not worth more.
	redisTimeout = 250 * time.Millisecond
)

// Service is the wallet. Make it with New, then call Run once.
type Service struct {
	cfg      Config
	clk      clock.Clock
	db       *database.DB
	bus      *bus.Client
	redis    redis.UniversalClient // nil without locks
	store    *store.Store
	settle   *consumer.Settlement
	progress *stream.Progress
	app      *app.App
	server   *rpc.Server
	group    *lifecycle.Group

	leases *lease.Manager
	// consumers are those of the partitions that are settled here.
	consumers []atomic.Pointer[stream.Consumer]
	reconcile *reconciler.Reconciler

	custody   *simchain.Client // nil without a custody
	transfers *app.Transfers
	// transferLease lets one instance read the chains and send withdrawals.
	transferLease *lease.Manager

	serving atomic.Bool
}

// New opens the database and brings its tables up to date. Nothing runs before Run; a
// Service that is not run must be closed.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, clk: clock.Real(), consumers: make([]atomic.Pointer[stream.Consumer], cfg.Partitions)}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("wallet: %w", err), s.Close())
	}
	return s, nil
}

// Migrate brings the tables of the service up to date, as New does.
func Migrate(ctx context.Context, db *database.DB) error {
	if err := store.Migrate(ctx, db); err != nil {
		return err
	}
	return lease.Migrate(ctx, db)
}

func (s *Service) build(ctx context.Context) (err error) {
	if s.db, err = database.Open(ctx, s.cfg.Database, s.clk); err != nil {
		return err
	}
	if err = Migrate(ctx, s.db); err != nil {
		return err
	}
	if s.bus, err = bus.Connect(s.cfg.Kafka, s.clk); err != nil {
		return err
	}
	s.store = store.New(s.db, s.clk)
	s.progress = stream.NewProgress(stream.DatabaseStore(s.db), s.clk, consumer.Name)
	s.settle = consumer.New(s.store, s.locker(), s.clk)
	if err = s.newLeases(ctx); err != nil {
		return err
	}
	s.reconcile = reconciler.New(s.db, s.store, s.clk, time.Duration(s.cfg.ReconcileEveryMs)*time.Millisecond)
	s.app = app.New(s.store, s.progress, s.clk)
	if err = s.newTransfers(ctx); err != nil {
		return err
	}
	s.server, err = rpc.NewServer(
		rpc.ServerConfig{Name: s.cfg.Name, ListenOn: s.cfg.ListenOn, InternalToken: s.cfg.InternalToken},
		func(g *grpc.Server) {
			walletpb.RegisterWalletServiceServer(g, server.New(s.app, s.transfers))
			walletpb.RegisterOperationsServiceServer(g, server.NewOperations(app.NewOperations(s.store, s.app, s.clk)))
			streampb.RegisterConsumerServiceServer(g, remote.NewServer(remote.ServerConfig{
				Consumer: consumer.Name, Topic: bus.TopicSettle, Partitions: s.cfg.Partitions,
				DB: s.db, Bus: stream.ClientBus(s.bus), Clock: s.clk,
			}))
		},
	)
	return err
}

// locker returns the member locks, nil without Redis.
func (s *Service) locker() consumer.Locker {
	if s.cfg.Redis.Addr == "" {
		return nil
	}
	s.redis = redis.NewClient(&redis.Options{
		Addr: s.cfg.Redis.Addr, Password: s.cfg.Redis.Password,
		MaxRetries: -1, ContextTimeoutEnabled: true, // a lock that was taken twice would wait for itself
		DialTimeout: redisTimeout, ReadTimeout: redisTimeout, WriteTimeout: redisTimeout, PoolTimeout: redisTimeout,
	})
	return lock.New(s.redis, s.clk)
}

// Run serves until ctx ends or something breaks for good, and then stops in order
// within 8 s. It closes the database. A log of records that is not the one the
// database has settled is refused with stream.ErrLogLost before a request is served,
// and so is an empty database under a log that is not.
func (s *Service) Run(ctx context.Context) error {
	defer telemetry.Collect(s.metrics)()
	g := lifecycle.New()
	s.group = g
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // signals belong to the process, which ends ctx
	g.Add("connections", nil, func(context.Context) error { return s.Close() })
	g.Add("log", s.checkLog, nil)
	g.Go("holds", s.app.Run)
	g.Go("reconciliation", s.reconcile.Run)
	g.Add("rpc", s.server.Start, s.server.Stop)
	g.Go("leases", s.keepLeases)
	if s.transferLease != nil {
		g.Go("transfers", s.keepTransfers)
	}
	g.Add("ready", s.setServing(true), s.setServing(false))
	return g.Run(ctx)
}

// checkLog compares the topic with the configuration and the stored positions. It
// waits for a broker that is not up yet.
func (s *Service) checkLog(ctx context.Context) error {
	deadline := s.clk.Now().Add(startWait)
	for {
		err := s.checkLogOnce(ctx)
		if err == nil || errors.Is(err, stream.ErrLogLost) || errors.Is(err, errDatabaseLost) || s.clk.Now().After(deadline) {
			return err
		}
		logx.Errorf("wallet: waiting for the settlement log: %v", err)
		if sleepErr := clock.Sleep(ctx, s.clk, startPause); sleepErr != nil {
			return errors.Join(sleepErr, err)
		}
	}
}

func (s *Service) checkLogOnce(ctx context.Context) error {
	if err := s.bus.AssertTopics(ctx, []bus.Topic{{Name: bus.TopicSettle, Partitions: s.cfg.Partitions}}); err != nil {
		return err
	}
	for partition := range s.cfg.Partitions {
		c, err := s.newConsumer(partition)
		if err != nil {
			return err
		}
		if err := c.Check(ctx); err != nil {
			return err
		}
	}
	return s.checkDatabase(ctx)
}

// errDatabaseLost: settling from here on would miss the holds of every order.
var errDatabaseLost = errors.New("database does not belong to the settlement log: the log holds records, but no coin is listed")

// checkDatabase refuses an empty database under a log that is not: coins are listed
// before symbols, and a symbol's listing is its first record.
func (s *Service) checkDatabase(ctx context.Context) error {
	coins, err := s.store.Coins(ctx)
	if err != nil || len(coins) > 0 {
		return err
	}
	for partition := range s.cfg.Partitions {
		_, end, err := s.bus.Bounds(ctx, bus.TopicSettle, partition)
		if err != nil {
			return err
		}
		if end > 0 {
			return fmt.Errorf("%w (%d on partition %d)", errDatabaseLost, end, partition)
		}
	}
	return nil
}

func (s *Service) setServing(serving bool) func(context.Context) error {
	return func(context.Context) error {
		s.serving.Store(serving)
		return nil
	}
}

// Close releases what New opened, when Run is never called.
func (s *Service) Close() error {
	var all []error
	if s.bus != nil {
		s.bus.Close()
	}
	if s.custody != nil {
		s.custody.Close()
	}
	if s.redis != nil {
		all = append(all, s.redis.Close())
	}
	if s.db != nil {
		all = append(all, s.db.Close())
	}
	return errors.Join(all...)
}

// Addr returns host:port of the gRPC server, once Ready has returned nil.
func (s *Service) Addr() string { return s.server.Addr() }

// Ready returns nil when requests are served, the database answers and no partition's
// settlement stands still.
func (s *Service) Ready(ctx context.Context) error {
	if !s.serving.Load() {
		return errors.New("wallet is not serving")
	}
	if !s.leases.Joined() {
		return errors.New("wallet has not joined the other instances")
	}
	for i := range s.consumers {
		if c := s.consumers[i].Load(); c != nil {
			if err := c.Stopped(); err != nil {
				return fmt.Errorf("settlement stands still: %w", err)
			}
		}
	}
	var one int
	if err := s.db.Read(ctx).Raw("SELECT 1").Scan(&one).Error; err != nil {
		return fmt.Errorf("wallet database: %w", err)
	}
	return nil
}
