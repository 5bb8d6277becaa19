package rpc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mscoin/mscoin-common/errs"
)

// tokenHeader carries the internal token.
const tokenHeader = "x-mscoin-token" //nolint:gosec // its name, not the token

// healthPrefix is the service that anyone may ask.
const healthPrefix = "/grpc.health.v1.Health/"

// portAttempts bounds how often a free port is looked for.
const portAttempts = 5

// ServerConfig is where a server listens and whom it answers.
type ServerConfig struct {
	// Name of the service, for logs and metrics.
	Name string `json:",optional"`
	// ListenOn is host:port; port 0 takes a free one.
	ListenOn string
	// TimeoutMs bounds a handler whose caller set no earlier deadline.
	TimeoutMs int64 `json:",default=10000"`
	// InternalToken must come with every request; the services of one installation share it.
	InternalToken string
}

// Server is a gRPC server. Its methods fit lifecycle.Group.Add.
type Server struct {
	cfg      ServerConfig
	register func(*grpc.Server)
	addr     string

	mu   sync.Mutex
	grpc *grpc.Server
}

// NewServer returns a server that is not listening yet. register adds the services.
func NewServer(cfg ServerConfig, register func(*grpc.Server)) (*Server, error) {
	if cfg.TimeoutMs == 0 {
		cfg.TimeoutMs = 10_000
	}
	if cfg.InternalToken == "" {
		return nil, errors.New("new rpc server: no internal token")
	}
	if _, _, err := net.SplitHostPort(cfg.ListenOn); err != nil {
		return nil, fmt.Errorf("new rpc server: listen address %q: %w", cfg.ListenOn, err)
	}
	return &Server{cfg: cfg, register: register, addr: cfg.ListenOn}, nil
}

// Addr returns the host:port the server listens on, once Start has returned.
func (s *Server) Addr() string { return s.addr }

// Start listens and serves in the background. It returns when connections are accepted.
func (s *Server) Start(context.Context) error {
	var err error
	for range portAttempts {
		if err = s.startOnce(); err == nil {
			return nil
		}
		if !strings.HasSuffix(s.cfg.ListenOn, ":0") {
			break // a fixed port is taken: trying again does not help
		}
	}
	return fmt.Errorf("start rpc server on %s: %w", s.addr, err)
}

func (s *Server) startOnce() error {
	addr, err := freeAddr(s.cfg.ListenOn)
	if err != nil {
		return err
	}
	ready := make(chan *grpc.Server, 1)
	zs, err := s.newZRPC(addr, func(g *grpc.Server) {
		s.register(g)
		ready <- g // zrpc calls this when it listens, just before it serves
	})
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	go func() {
		defer func() {
			if r := recover(); r != nil { // zrpc panics when it cannot listen
				failed <- fmt.Errorf("%v", r)
			}
		}()
		zs.Start() // returns only when the framework's shutdown hooks have run
	}()
	select {
	case g := <-ready:
		s.mu.Lock()
		s.grpc, s.addr = g, addr
		s.mu.Unlock()
		return nil
	case err := <-failed:
		return err
	}
}

// freeAddr replaces port 0 by a port that is free now: zrpc listens by itself and does not tell where.
func freeAddr(listenOn string) (string, error) {
	if !strings.HasSuffix(listenOn, ":0") {
		return listenOn, nil
	}
	l, err := net.Listen("tcp", listenOn)
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	addr := l.Addr().String()
	if err := l.Close(); err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return addr, nil
}

func (s *Server) newZRPC(addr string, register func(*grpc.Server)) (*zrpc.RpcServer, error) {
	conf := zrpc.RpcServerConf{ListenOn: addr, Health: true, Timeout: 0, CpuThreshold: 0}
	conf.Name = s.cfg.Name
	conf.Middlewares = zrpc.ServerMiddlewaresConf{Trace: true, Prometheus: true}
	zs, err := zrpc.NewServer(conf, register)
	if err != nil {
		return nil, err
	}
	zs.AddUnaryInterceptors(s.unary)
	zs.AddStreamInterceptors(s.stream)
	return zs, nil
}

// Stop lets running requests finish and takes no new ones. When ctx ends first, their contexts are
// cancelled and their connections closed.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	g := s.grpc
	s.mu.Unlock()
	if g == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		g.Stop()
		<-done
		return fmt.Errorf("stop rpc server: requests were cut off: %w", ctx.Err())
	}
}

func (s *Server) unary(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	res, err := s.guard(ctx, info.FullMethod, func(ctx context.Context) (any, error) { return handler(ctx, req) })
	return res, s.answer(ctx, info.FullMethod, err)
}

func (s *Server) stream(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	ctx := stream.Context()
	_, err := s.guardStream(ctx, info.FullMethod, func() (any, error) { return nil, handler(srv, stream) })
	return s.answer(ctx, info.FullMethod, err)
}

// guard checks the token, bounds the handler's time and catches its panics.
func (s *Server) guard(ctx context.Context, method string, handle func(context.Context) (any, error)) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.TimeoutMs)*time.Millisecond)
	defer cancel()
	return s.guardStream(ctx, method, func() (any, error) { return handle(ctx) })
}

// guardStream is guard without the bound: a stream lives as long as its caller wants.
func (s *Server) guardStream(ctx context.Context, method string, handle func() (any, error)) (res any, err error) {
	defer func() {
		if r := recover(); r != nil {
			logx.WithContext(ctx).Errorf("rpc %s: panic: %v\n%s", method, r, debug.Stack())
			err = errs.New(errs.KindInternal, errs.CodeInternal, "internal error")
		}
	}()
	if !strings.HasPrefix(method, healthPrefix) && !s.tokenMatches(ctx) {
		return nil, errs.New(errs.KindUnauthenticated, errs.CodeUnauthenticated, "internal token is missing or wrong")
	}
	return handle()
}

// tokenMatches compares digests, so that neither the length nor a common prefix shows in the time taken.
func (s *Server) tokenMatches(ctx context.Context) bool {
	values := metadata.ValueFromIncomingContext(ctx, tokenHeader)
	if len(values) != 1 {
		return false
	}
	got, want := sha256.Sum256([]byte(values[0])), sha256.Sum256([]byte(s.cfg.InternalToken))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// answer converts the error and logs what the caller is not told. Refusals are not logged: they are answers.
func (s *Server) answer(ctx context.Context, method string, err error) error {
	switch errs.KindOf(err) { //nolint:exhaustive // refusals are not logged
	case errs.KindInternal, errs.KindUnknownOutcome:
		logx.WithContext(ctx).Errorf("rpc %s: %v", method, err)
	}
	return toStatus(err)
}
