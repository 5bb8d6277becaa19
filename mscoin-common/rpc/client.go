package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/zrpc"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// ClientConfig is how to reach a service.
type ClientConfig struct {
	// Endpoints are host:port of the service's instances; requests are balanced over them.
	Endpoints []string `json:",optional"`
	// Target is a gRPC target (dns:///…, kubernetes) instead of Endpoints.
	Target string `json:",optional"`
	// TimeoutMs bounds a call whose context ends no earlier.
	TimeoutMs int64 `json:",default=5000"`
	// Token is the server's internal token.
	Token string
	// PatienceMs is how long a call is tried again while nothing can have been done: no instance
	// could be reached, or the symbol's matcher was moving. 0 is not at all. A restart takes less
	// than a second or two; an outage should be told.
	PatienceMs int64 `json:",optional"`
}

// Patience is the PatienceMs of services: what a restart, or handing a partition over, takes.
const Patience = 1500

// Dial returns a connection for generated clients. It does not wait for the service to be up: a call while
// it is down fails with KindUnavailable, at once or after PatienceMs. Close the closer at the end.
//
// Every error of a call is an *errs.Error.
func Dial(cfg ClientConfig) (grpc.ClientConnInterface, io.Closer, error) {
	if cfg.TimeoutMs == 0 {
		cfg.TimeoutMs = 5000
	}
	if len(cfg.Endpoints) == 0 && cfg.Target == "" {
		return nil, nil, errors.New("dial: neither endpoints nor target")
	}
	if cfg.Token == "" {
		return nil, nil, errors.New("dial: no token")
	}
	client, err := zrpc.NewClient(zrpc.RpcClientConf{
		Endpoints:   cfg.Endpoints,
		Target:      cfg.Target,
		NonBlock:    true,
		Timeout:     cfg.TimeoutMs,
		Middlewares: zrpc.ClientMiddlewaresConf{Trace: true, Prometheus: true, Timeout: true},
	}, zrpc.WithDialOption(grpc.WithStatsHandler(sentWatch{})), zrpc.WithDialOption(grpc.WithConnectParams(connectParams)))
	if err != nil {
		return nil, nil, fmt.Errorf("dial: %w", err)
	}
	patience := time.Duration(cfg.PatienceMs) * time.Millisecond
	return &conn{ClientConn: client.Conn(), token: cfg.Token, patience: patience, clk: clock.Real()}, client.Conn(), nil
}

// connectParams try an instance that was down again within a second, not within two minutes: until then
// all its requests go to the others.
var connectParams = grpc.ConnectParams{
	Backoff:           backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second},
	MinConnectTimeout: 2 * time.Second,
}

// conn adds the token to each call and converts its error.
type conn struct {
	*grpc.ClientConn
	token    string
	patience time.Duration
	clk      clock.Clock
}

// again is the pause before a call is tried again.
const again = 25 * time.Millisecond

// Invoke is one unary call, tried again for a while when nothing can have been done.
func (c *conn) Invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) error {
	begin := c.clk.Now()
	for {
		done, err := c.invoke(ctx, method, args, reply, opts...)
		if err == nil || done || c.clk.Now().Sub(begin) >= c.patience || clock.Sleep(ctx, c.clk, again) != nil {
			return err
		}
	}
}

// invoke tries a call once. done is false when it is certain that nothing was done, and may be soon.
func (c *conn) invoke(ctx context.Context, method string, args, reply any, opts ...grpc.CallOption) (done bool, err error) {
	ctx, sent := c.prepare(ctx)
	err = fromStatus(c.ClientConn.Invoke(ctx, method, args, reply, opts...), sent.Load())
	unreached := !sent.Load() && errs.KindOf(err) == errs.KindUnavailable
	return !unreached && errs.CodeOf(err) != errs.CodeMatcherMoving, err
}

// NewStream opens a stream.
func (c *conn) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	ctx, sent := c.prepare(ctx)
	stream, err := c.ClientConn.NewStream(ctx, desc, method, opts...)
	if err != nil {
		return nil, fromStatus(err, sent.Load())
	}
	return &answers{stream, sent}, nil
}

// answers converts the error with which a stream ends.
type answers struct {
	grpc.ClientStream

	sent *atomic.Bool
}

// RecvMsg waits for the next answer; io.EOF is the end.
func (a *answers) RecvMsg(m any) error {
	err := a.ClientStream.RecvMsg(m)
	if err == nil || errors.Is(err, io.EOF) {
		return err
	}
	return fromStatus(err, a.sent.Load())
}

func (c *conn) prepare(ctx context.Context) (context.Context, *atomic.Bool) {
	sent := new(atomic.Bool)
	ctx = metadata.AppendToOutgoingContext(ctx, tokenHeader, c.token)
	return context.WithValue(ctx, sentKey{}, sent), sent
}

type sentKey struct{}

// sentWatch notes for each call whether its request was handed to a connection. Without it a refused
// connection (nothing happened) and a connection that broke after the request (anything may have
// happened) look alike: both are Unavailable.
type sentWatch struct{}

func (sentWatch) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (sentWatch) HandleRPC(ctx context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.OutHeader); !ok {
		return
	}
	if sent, ok := ctx.Value(sentKey{}).(*atomic.Bool); ok {
		sent.Store(true)
	}
}

func (sentWatch) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (sentWatch) HandleConn(context.Context, stats.ConnStats) {}
