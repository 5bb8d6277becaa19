// Package service wires the market together: depth, trades and statistics from the
// matcher's records.
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	marketpb "mscoin/grpc-common/gen/market/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/market/internal/app"
	"mscoin/market/internal/consumer"
	"mscoin/market/internal/server"
	"mscoin/market/internal/store"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/telemetry"
)

const (
	stopTimeout = 8 * time.Second
	// startWait bounds how long a start waits for the broker.
	startWait  = 60 * time.Second
	startPause = time.Second
)

// Service is the market. Make it with New, then call Run once.
type Service struct {
	cfg       Config
	clk       clock.Clock
	db        *database.DB
	bus       *bus.Client
	app       *app.App
	consumers []*stream.Consumer
	server    *rpc.Server

	// targets are the ends of the log, by partition, that Ready waits for.
	targets []int64
	serving atomic.Bool
	caught  atomic.Bool
}

// New opens the database and brings its tables up to date. Nothing runs before Run; a
// Service that is not run must be closed.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{cfg: cfg, clk: clock.Real(), targets: make([]int64, cfg.Partitions)}
	if err := s.build(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("market: %w", err), s.Close())
	}
	return s, nil
}

func (s *Service) build(ctx context.Context) (err error) {
	if s.db, err = database.Open(ctx, s.cfg.Database, s.clk); err != nil {
		return err
	}
	if err = store.Migrate(ctx, s.db); err != nil {
		return err
	}
	if s.bus, err = bus.Connect(s.cfg.Kafka, s.clk); err != nil {
		return err
	}
	st := store.New(s.db)
	s.app = app.New(st, s.clk)
	if err = s.buildConsumers(consumer.New(st, s.app)); err != nil {
		return err
	}
	s.server, err = rpc.NewServer(
		rpc.ServerConfig{Name: s.cfg.Name, ListenOn: s.cfg.ListenOn, InternalToken: s.cfg.InternalToken},
		func(g *grpc.Server) {
			marketpb.RegisterMarketServiceServer(g, server.New(s.app))
			streampb.RegisterConsumerServiceServer(g, remote.NewServer(remote.ServerConfig{
				Consumer: store.Consumer, Topic: bus.TopicCompleted, Partitions: s.cfg.Partitions,
				DB: s.db, Bus: stream.ClientBus(s.bus), Clock: s.clk,
			}))
		},
	)
	return err
}

func (s *Service) buildConsumers(apply *consumer.Consumer) error {
	positions := stream.DatabaseStore(s.db)
	progress := stream.NewProgress(positions, s.clk, store.Consumer)
	for partition := range s.cfg.Partitions {
		c, err := stream.New(
			stream.Config{Name: store.Consumer, Topic: bus.TopicCompleted, Partition: partition, MaxBatch: s.cfg.MaxBatch},
			stream.Deps{
				Bus: stream.ClientBus(s.bus), Store: positions, Clock: s.clk, Progress: progress,
				Apply: apply.Apply, AfterCommit: apply.AfterCommit,
			},
		)
		if err != nil {
			return err
		}
		s.consumers = append(s.consumers, c)
	}
	return nil
}

// Run serves until ctx ends or something breaks for good, and then stops in order
// within 8 s. It closes the database. A log of records that is not the one the database
// has taken in is refused with stream.ErrLogLost before a request is served.
func (s *Service) Run(ctx context.Context) error {
	defer telemetry.Collect(s.metrics)()
	g := lifecycle.New()
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // signals belong to the process, which ends ctx
	g.Add("connections", nil, func(context.Context) error { return s.Close() })
	g.Add("log", s.checkLog, nil)
	g.Add("views", s.app.Load, nil)
	for i, c := range s.consumers {
		g.Go("consumer "+strconv.Itoa(i), c.Run)
	}
	g.Add("rpc", s.server.Start, s.server.Stop)
	g.Add("ready", s.setServing(true), s.setServing(false))
	return g.Run(ctx)
}

// checkLog compares the topic with the configuration and the stored positions. It waits
// for a broker that is not up yet.
func (s *Service) checkLog(ctx context.Context) error {
	deadline := s.clk.Now().Add(startWait)
	for {
		err := s.checkLogOnce(ctx)
		if err == nil || errors.Is(err, stream.ErrLogLost) || s.clk.Now().After(deadline) {
			return err
		}
		logx.Errorf("market: waiting for the matcher's log: %v", err)
		if sleepErr := clock.Sleep(ctx, s.clk, startPause); sleepErr != nil {
			return errors.Join(sleepErr, err)
		}
	}
}

func (s *Service) checkLogOnce(ctx context.Context) error {
	if err := s.bus.AssertTopics(ctx, []bus.Topic{{Name: bus.TopicCompleted, Partitions: s.cfg.Partitions}}); err != nil {
		return err
	}
	for partition, c := range s.consumers {
		if err := c.Check(ctx); err != nil {
			return err
		}
		_, end, err := s.bus.Bounds(ctx, bus.TopicCompleted, partition)
		if err != nil {
			return err
		}
		s.targets[partition] = end
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
	if s.bus != nil {
		s.bus.Close()
	}
	if s.db == nil {
		return nil
	}
	return s.db.Close()
}

// Addr returns host:port of the gRPC server, once Ready has returned nil.
func (s *Service) Addr() string { return s.server.Addr() }

// Ready returns nil when requests are served, the database answers, no symbol stands
// still, and everything that was in the log at the start has been taken in.
func (s *Service) Ready(ctx context.Context) error {
	if !s.serving.Load() {
		return errors.New("market is not serving")
	}
	for _, c := range s.consumers {
		if err := c.Stopped(); err != nil {
			return fmt.Errorf("market data stands still: %w", err)
		}
	}
	if s.caught.Load() {
		var one int
		if err := s.db.Read(ctx).Raw("SELECT 1").Scan(&one).Error; err != nil {
			return fmt.Errorf("market database: %w", err)
		}
		return nil
	}
	for partition, target := range s.targets {
		position, err := s.db.LoadPosition(ctx, store.Consumer, bus.TopicCompleted, partition)
		if err != nil {
			return fmt.Errorf("market database: %w", err)
		}
		if position.NextOffset < target {
			return fmt.Errorf("market is catching up: partition %d is at %d of %d", partition, position.NextOffset, target)
		}
	}
	if err := s.shown(ctx); err != nil {
		return err
	}
	s.caught.Store(true)
	return nil
}

// shown returns nil when the views show what the database holds: a batch is committed a
// moment before it is shown.
func (s *Service) shown(ctx context.Context) error {
	positions, err := s.db.LoadSymbolPositions(ctx, store.Consumer)
	if err != nil {
		return fmt.Errorf("market database: %w", err)
	}
	for symbol, position := range positions {
		seq, err := s.app.Seq(ctx, symbol)
		if err != nil {
			return fmt.Errorf("market view of %s: %w", symbol, err)
		}
		if seq < position.Seq {
			return fmt.Errorf("market is catching up: %s shows record %d of %d", symbol, seq, position.Seq)
		}
	}
	return nil
}
