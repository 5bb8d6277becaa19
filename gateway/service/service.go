// Package service wires the gateway together: the REST door of the exchange.
package service

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"mscoin/gateway/internal/cache"
	"mscoin/gateway/internal/client"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/rpc"
)

const (
	stopTimeout       = 8 * time.Second
	readyTimeout      = time.Second
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	idleTimeout       = 90 * time.Second
	writeGrace        = 5 * time.Second
	maxHeaderBytes    = 128 << 10
)

// Service is the gateway. Make it with New, then call Run once.
type Service struct {
	catalog *client.Catalog
	server  *http.Server
	listen  net.Listener
	checks  map[string]healthpb.HealthClient
	closers []io.Closer
	clk     clock.Clock
	failed  chan error

	serving atomic.Bool
}

// New binds the address and prepares the connections to the services, which need not be
// up yet. Nothing is answered before Run; a Service that is not run must be closed.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Service{clk: clock.Real(), checks: map[string]healthpb.HealthClient{}, failed: make(chan error, 1)}
	if err := s.build(ctx, &cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("gateway: %w", err), s.Close())
	}
	return s, nil
}

func (s *Service) build(ctx context.Context, cfg *Config) error {
	backends, err := s.dial(cfg)
	if err != nil {
		return err
	}
	var rdb redis.UniversalClient
	if cfg.Redis.Addr != "" {
		rdb = s.redis(cfg.Redis)
	}
	s.catalog = client.NewCatalog(backends.Exchange, s.clk, millis(cfg.SymbolRefreshMs), millis(cfg.Timeout.ReadMs))
	positions := cache.NewPositions(rdb, s.clk, millis(cfg.ReadAfterMs), millis(cfg.Redis.TimeoutMs))
	handler, err := newHandler(cfg, deps{
		backends: backends, catalog: s.catalog, positions: positions, clk: s.clk, ready: s.Ready,
	})
	if err != nil {
		return err
	}
	s.server = &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, IdleTimeout: idleTimeout,
		WriteTimeout:   millis(max(cfg.Timeout.ReadMs, cfg.Timeout.WriteMs)) + readTimeout + writeGrace,
		MaxHeaderBytes: maxHeaderBytes, ErrorLog: log.New(debugLog{}, "", 0),
	}
	s.listen, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.ListenOn)
	return err
}

// debugLog receives what net/http says of clients that misbehave.
type debugLog struct{}

func (debugLog) Write(line []byte) (int, error) {
	logx.Debug(strings.TrimSpace(string(line)))
	return len(line), nil
}

func (s *Service) dial(cfg *Config) (client.Backends, error) {
	var problems []error
	dial := func(name string, target Target) grpc.ClientConnInterface {
		conn, closer, err := rpc.Dial(cfg.client(target))
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", name, err))
			return nil
		}
		s.closers = append(s.closers, closer)
		s.checks[name] = healthpb.NewHealthClient(conn)
		return conn
	}
	wallet := dial("wallet", cfg.Wallet)
	backends := client.Backends{
		Exchange:   exchangepb.NewExchangeServiceClient(dial("exchange", cfg.Exchange)),
		Wallet:     walletpb.NewWalletServiceClient(wallet),
		Operations: walletpb.NewOperationsServiceClient(wallet),
		Market:     marketpb.NewMarketServiceClient(dial("market", cfg.Market)),
		Ucenter:    ucenterpb.NewUcenterServiceClient(dial("ucenter", cfg.Ucenter)),
	}
	return backends, errors.Join(problems...)
}

// redis returns a client that gives up soon: notes for reads are not worth an order's
// time. Its operations may run twice, so it retries once.
func (s *Service) redis(cfg RedisConfig) *redis.Client {
	timeout := millis(cfg.TimeoutMs)
	rdb := redis.NewClient(&redis.Options{
		Addr: cfg.Addr, Password: cfg.Password, MaxRetries: 1, ContextTimeoutEnabled: true,
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, PoolTimeout: timeout,
	})
	s.closers = append(s.closers, rdb)
	return rdb
}

// Run serves until ctx ends or something breaks for good, and then stops in order
// within 8 s: requests that are under way are answered.
func (s *Service) Run(ctx context.Context) error {
	g := lifecycle.New()
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // signals belong to the process, which ends ctx
	g.Add("connections", nil, func(context.Context) error { return s.closeConnections() })
	g.Go("symbols", s.catalog.Run)
	g.Add("http", s.start, s.stop)
	g.Go("http errors", s.watch)
	return g.Run(ctx)
}

func (s *Service) start(context.Context) error {
	go func() {
		if err := s.server.Serve(s.listen); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- err
		}
	}()
	s.serving.Store(true)
	logx.Infof("gateway: serving on %s", s.Addr())
	return nil
}

// watch makes a listener that breaks fatal.
func (s *Service) watch(ctx context.Context) error {
	select {
	case err := <-s.failed:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
		return nil
	}
}

func (s *Service) stop(ctx context.Context) error {
	s.serving.Store(false)
	if err := s.server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("requests under way were cut off: %w", err), s.server.Close())
	}
	return nil
}

// Close releases what New opened, when Run is never called.
func (s *Service) Close() error {
	var err error
	if s.listen != nil {
		err = s.listen.Close()
	}
	return errors.Join(err, s.closeConnections())
}

func (s *Service) closeConnections() error {
	var problems []error
	for _, closer := range s.closers {
		problems = append(problems, closer.Close())
	}
	return errors.Join(problems...)
}

// Addr returns host:port of the HTTP server.
func (s *Service) Addr() string { return s.listen.Addr().String() }

// Ready returns nil when requests are served, every service answers and the symbols are
// known.
func (s *Service) Ready(ctx context.Context) error {
	if !s.serving.Load() {
		return errors.New("gateway is not serving")
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for name, check := range s.checks {
		resp, err := check.Check(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if resp.GetStatus() != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("%s is %v", name, resp.GetStatus())
		}
	}
	_, err := s.catalog.All(ctx)
	return err
}
