// Package service wires ucenter together: members, sessions and API keys.
package service

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"

	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/idgen"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/telemetry"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/internal/notify"
	"mscoin/ucenter/internal/password"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/internal/server"
	"mscoin/ucenter/internal/store"
	"mscoin/ucenter/internal/token"
	"mscoin/ucenter/member"
)

const (
	stopTimeout = 8 * time.Second
	idBlock     = 100
	purgeEvery  = 10 * time.Minute
	purgeLimit  = 1000
)

// Service is ucenter. Make it with New, then call Run once.
type Service struct {
	clk    clock.Clock
	db     *database.DB
	store  *store.Store
	queue  *notify.Queue
	server *rpc.Server

	serving atomic.Bool
}

// New opens the database and brings its tables up to date. Nothing runs before Run; a
// Service that is not run must be closed.
func New(ctx context.Context, cfg Config) (*Service, error) {
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	clk := clock.Real()
	db, err := database.Open(ctx, cfg.Database, clk)
	if err != nil {
		return nil, fmt.Errorf("ucenter: %w", err)
	}
	s := &Service{clk: clk, db: db, store: store.New(db)}
	if err := s.build(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("ucenter: %w", err), db.Close())
	}
	return s, nil
}

func (s *Service) build(ctx context.Context, cfg Config) error {
	if err := idgen.Migrate(ctx, s.db); err != nil {
		return err
	}
	if err := s.store.Migrate(ctx); err != nil {
		return err
	}
	deliverers, err := newDeliverers(cfg.Sender, s.clk)
	if err != nil {
		return err
	}
	s.queue = notify.NewQueue(s.clk, deliverers)
	useCases, err := s.newApp(cfg)
	if err != nil {
		return err
	}
	s.server, err = rpc.NewServer(
		rpc.ServerConfig{Name: cfg.Name, ListenOn: cfg.ListenOn, InternalToken: cfg.InternalToken},
		func(g *grpc.Server) { ucenterpb.RegisterUcenterServiceServer(g, server.New(useCases)) },
	)
	return err
}

func (s *Service) newApp(cfg Config) (*app.App, error) {
	hasher, err := password.New(cfg.passwordParams(), cfg.Password.Parallel, cfg.Password.Waiting)
	if err != nil {
		return nil, err
	}
	tokens, err := token.New(s.clk, []byte(cfg.AccessSecret), []byte(cfg.PreviousAccessSecret))
	if err != nil {
		return nil, err
	}
	masterKeys, err := cfg.masterKeys()
	if err != nil {
		return nil, err
	}
	box, err := secret.NewBox(masterKeys)
	if err != nil {
		return nil, err
	}
	hashKey, err := cfg.hashKey()
	if err != nil {
		return nil, err
	}
	return app.New(app.Deps{
		Store: s.store, IDs: idgen.New(s.db, s.clk, "member", idBlock), Passwords: hasher, Sender: s.queue,
		Tokens: tokens, Box: box, Clock: s.clk, HashKey: hashKey,
	}, cfg.policy()), nil
}

func newDeliverers(cfg SenderConfig, clk clock.Clock) (map[member.ContactType]notify.Deliverer, error) {
	deliverers := map[member.ContactType]notify.Deliverer{}
	switch cfg.Email {
	case "log":
		deliverers[member.Email] = notify.Log{}
	case "smtp":
		mail, err := notify.NewSMTP(notify.SMTPConfig{
			Addr: cfg.SMTP.Addr, Security: notify.Security(cfg.SMTP.Security), User: cfg.SMTP.User,
			Password: cfg.SMTP.Password, From: cfg.SMTP.From, Product: cfg.SMTP.Product,
		}, clk)
		if err != nil {
			return nil, err
		}
		deliverers[member.Email] = mail
	}
	if cfg.Phone == "log" {
		deliverers[member.Phone] = notify.Log{}
	}
	return deliverers, nil
}

// Run serves until ctx ends or something breaks for good, and then stops in order
// within 8 s. It closes the database.
func (s *Service) Run(ctx context.Context) error {
	defer telemetry.Collect(s.db.Watch("ucenter"))()
	g := lifecycle.New()
	g.StopTimeout = stopTimeout
	g.Signals = []os.Signal{} // signals belong to the process, which ends ctx
	g.Add("database", nil, func(context.Context) error { return s.db.Close() })
	g.Go("messages", s.queue.Run)
	g.Go("purge", s.purge)
	g.Add("rpc", s.server.Start, s.server.Stop)
	g.Add("ready", s.setServing(true), s.setServing(false))
	return g.Run(ctx)
}

func (s *Service) setServing(serving bool) func(context.Context) error {
	return func(context.Context) error {
		s.serving.Store(serving)
		return nil
	}
}

// Close releases what New opened, when Run is never called.
func (s *Service) Close() error { return s.db.Close() }

// Addr returns host:port of the gRPC server, once Ready has returned nil.
func (s *Service) Addr() string { return s.server.Addr() }

// Ready returns nil when requests are served and the database answers.
func (s *Service) Ready(ctx context.Context) error {
	if !s.serving.Load() {
		return errors.New("ucenter is not serving")
	}
	return s.store.Ping(ctx)
}

// purge deletes, now and then, what is of no use any more.
func (s *Service) purge(ctx context.Context) error {
	for {
		n, err := s.store.Purge(ctx, s.clk.NowMs(), purgeLimit)
		if err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("purge: %v", err)
		}
		pause := purgeEvery
		if n >= purgeLimit && err == nil {
			pause = time.Second // there is more
		}
		if err := clock.Sleep(ctx, s.clk, pause); err != nil {
			return nil //nolint:nilerr // the service stops
		}
	}
}
