package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/testkit"
)

const (
	token     = "internal-token-of-the-test"
	echo      = "/test.Echo/Do"
	testLimit = 20 * time.Second
)

type handler func(ctx context.Context, in string) (string, error)

// echoService is a service of one method, described by hand.
func echoService(h handler) grpc.ServiceDesc {
	return grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{
			MethodName: "Do",
			Handler: func(_ any, ctx context.Context, dec func(any) error, mw grpc.UnaryServerInterceptor) (any, error) {
				in := new(wrapperspb.StringValue)
				if err := dec(in); err != nil {
					return nil, err
				}
				run := func(ctx context.Context, req any) (any, error) {
					out, err := h(ctx, req.(*wrapperspb.StringValue).GetValue())
					return wrapperspb.String(out), err
				}
				return mw(ctx, in, &grpc.UnaryServerInfo{FullMethod: echo}, run)
			},
		}},
	}
}

func start(t *testing.T, cfg rpc.ServerConfig, h handler) *rpc.Server {
	t.Helper()
	logx.Disable()
	cfg.ListenOn, cfg.InternalToken = "127.0.0.1:0", token
	desc := echoService(h)
	s, err := rpc.NewServer(cfg, func(g *grpc.Server) { g.RegisterService(&desc, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), testLimit)
		defer cancel()
		_ = s.Stop(ctx)
	})
	return s
}

func dial(t *testing.T, cfg rpc.ClientConfig) grpc.ClientConnInterface {
	t.Helper()
	if cfg.Token == "" {
		cfg.Token = token
	}
	conn, closer, err := rpc.Dial(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func call(ctx context.Context, conn grpc.ClientConnInterface, in string) (string, error) {
	out := new(wrapperspb.StringValue)
	err := conn.Invoke(ctx, echo, wrapperspb.String(in), out)
	return out.GetValue(), err
}

func limited(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	return ctx
}

func TestServer_Call(t *testing.T) {
	s := start(t, rpc.ServerConfig{}, func(_ context.Context, in string) (string, error) { return "got " + in, nil })
	ctx := limited(t)

	t.Run("an answer comes back", func(t *testing.T) {
		if out, err := call(ctx, dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}}), "x"); err != nil || out != "got x" {
			t.Errorf("got %q, %v", out, err)
		}
	})
	t.Run("a wrong or doubled token is refused", func(t *testing.T) {
		wrong := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, Token: token + "x"})
		if _, err := call(ctx, wrong, "x"); errs.KindOf(err) != errs.KindUnauthenticated {
			t.Errorf("wrong: %v", err)
		}
		doubled := metadata.AppendToOutgoingContext(ctx, "x-mscoin-token", "guess")
		if _, err := call(doubled, dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}}), "x"); errs.KindOf(err) != errs.KindUnauthenticated {
			t.Errorf("doubled: %v", err)
		}
	})
	t.Run("health needs no token", func(t *testing.T) {
		health := grpc_health_v1.NewHealthClient(dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, Token: "none"}))
		res, err := health.Check(ctx, &grpc_health_v1.HealthCheckRequest{})
		if err != nil || res.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
			t.Errorf("got %v, %v", res, err)
		}
	})
	t.Run("a method that does not exist is our defect", func(t *testing.T) {
		conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}})
		err := conn.Invoke(ctx, "/test.Echo/Missing", wrapperspb.String(""), new(wrapperspb.StringValue))
		if errs.KindOf(err) != errs.KindInternal {
			t.Errorf("got %v", err)
		}
	})
}

func TestServer_Errors(t *testing.T) {
	kinds := []errs.Kind{
		errs.KindInvalidArgument, errs.KindFailedPrecondition, errs.KindNotFound, errs.KindAlreadyExists,
		errs.KindUnauthenticated, errs.KindPermissionDenied, errs.KindTooManyRequests, errs.KindUnavailable,
		errs.KindUnknownOutcome, errs.KindInternal,
	}
	byName := map[string]errs.Kind{}
	for _, k := range kinds {
		byName[k.String()] = k
	}
	s := start(t, rpc.ServerConfig{}, func(_ context.Context, in string) (string, error) {
		switch in {
		case "panic":
			panic("secret of the server")
		case "foreign":
			return "", errors.New("secret of the server")
		case "deadline":
			return "", fmt.Errorf("query: %w", context.DeadlineExceeded)
		}
		e := errs.New(byName[in], errs.CodeHoldRefused, "the message").With("the detail").Wrap(errors.New("secret of the server"))
		return "", fmt.Errorf("operation: %w", e)
	})
	conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}})
	for _, kind := range kinds {
		t.Run("a refusal arrives as it was given: "+kind.String(), func(t *testing.T) {
			_, err := call(limited(t), conn, kind.String())
			var e *errs.Error
			if !errors.As(err, &e) {
				t.Fatalf("got %T %v", err, err)
			}
			want := errs.New(kind, errs.CodeHoldRefused, "the message").With("the detail")
			if *e != *want {
				t.Errorf("got %+v, want %+v", *e, *want)
			}
			if got := rpc.OutcomeUnknown(err); got != (kind == errs.KindUnknownOutcome || kind == errs.KindInternal) {
				t.Errorf("outcome unknown: %v", got)
			}
		})
	}
	for _, c := range []struct {
		in, rule string
		want     errs.Kind
	}{
		{"panic", "a panic is an internal error and says nothing", errs.KindInternal},
		{"foreign", "a foreign error is an internal error and says nothing", errs.KindInternal},
		{"deadline", "an ended context leaves the outcome unknown", errs.KindUnknownOutcome},
	} {
		t.Run(c.rule, func(t *testing.T) {
			_, err := call(limited(t), conn, c.in)
			if errs.KindOf(err) != c.want || err.Error() == "" {
				t.Errorf("got %v", err)
			}
			if got := err.Error(); got != errs.From(err).Error() || len(got) > 60 {
				t.Errorf("told %q", got)
			}
		})
	}
}

func TestDial_Outcome(t *testing.T) {
	t.Run("a service that is down has done nothing", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr := l.Addr().String()
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = call(limited(t), dial(t, rpc.ClientConfig{Endpoints: []string{addr}}), "x")
		if errs.KindOf(err) != errs.KindUnavailable || rpc.OutcomeUnknown(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an ended context sends nothing", func(t *testing.T) {
		s := start(t, rpc.ServerConfig{}, func(context.Context, string) (string, error) { return "", nil })
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := call(ctx, dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}}), "x")
		if errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a time-out after sending leaves the outcome unknown, and the handler's context ends", func(t *testing.T) {
		ended := make(chan struct{})
		s := start(t, rpc.ServerConfig{}, func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			close(ended)
			return "", ctx.Err()
		})
		_, err := call(limited(t), dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, TimeoutMs: 100}), "x")
		if errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
		<-ended
	})
	t.Run("a connection that breaks after sending leaves the outcome unknown", func(t *testing.T) {
		entered := make(chan struct{})
		s := start(t, rpc.ServerConfig{}, func(ctx context.Context, _ string) (string, error) {
			close(entered)
			<-ctx.Done()
			return "", ctx.Err()
		})
		failed := make(chan error, 1)
		conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, TimeoutMs: testLimit.Milliseconds()})
		go func() {
			_, err := call(context.Background(), conn, "x")
			failed <- err
		}()
		<-entered
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Stop(ended); !errors.Is(err, context.Canceled) {
			t.Errorf("a stop that cuts requests off must say so: %v", err)
		}
		if err := <-failed; errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the server bounds a handler whose caller sets no deadline", func(t *testing.T) {
		s := start(t, rpc.ServerConfig{TimeoutMs: 50}, func(ctx context.Context, _ string) (string, error) {
			<-ctx.Done()
			return "", fmt.Errorf("work: %w", ctx.Err())
		})
		conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, TimeoutMs: testLimit.Milliseconds()})
		if _, err := call(limited(t), conn, "x"); errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("got %v", err)
		}
	})
}

func TestDial_Patience(t *testing.T) {
	const patience = 15_000 // ms, of which little is needed
	t.Run("a call waits for a service that is being started", func(t *testing.T) {
		addr := testkit.FreeAddr(t)
		conn := dial(t, rpc.ClientConfig{Endpoints: []string{addr}, PatienceMs: patience})
		answered := make(chan error, 1)
		go func() {
			_, err := call(limited(t), conn, "x")
			answered <- err
		}()
		var calls atomic.Int32
		desc := echoService(func(context.Context, string) (string, error) {
			calls.Add(1)
			return "done", nil
		})
		s, err := rpc.NewServer(rpc.ServerConfig{ListenOn: addr, InternalToken: token}, func(g *grpc.Server) { g.RegisterService(&desc, nil) })
		if err == nil {
			err = s.Start(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = s.Stop(limited(t)) }()
		if err := <-answered; err != nil || calls.Load() != 1 {
			t.Errorf("%v, handled %d times", err, calls.Load())
		}
	})
	moving := errs.New(errs.KindUnavailable, errs.CodeMatcherMoving, "it moves")
	for rule, tt := range map[string]struct {
		answers    []error
		patienceMs int64
		want       error
		calls      int32
	}{
		"a matcher that moves is asked again":               {[]error{moving, moving, nil}, patience, nil, 3},
		"an impatient caller asks once":                     {[]error{moving, nil}, 0, moving, 1},
		"an answer that something may have been done is it": {[]error{errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "?"), nil}, patience, errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "?"), 1},
		"another refusal is final":                          {[]error{errs.New(errs.KindUnavailable, errs.CodeUnavailable, "no"), nil}, patience, errs.New(errs.KindUnavailable, errs.CodeUnavailable, "no"), 1},
	} {
		t.Run(rule, func(t *testing.T) {
			var calls atomic.Int32
			s := start(t, rpc.ServerConfig{}, func(context.Context, string) (string, error) {
				return "done", tt.answers[calls.Add(1)-1]
			})
			_, err := call(limited(t), dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, PatienceMs: tt.patienceMs}), "x")
			if errs.CodeOf(err) != errs.CodeOf(tt.want) || calls.Load() != tt.calls {
				t.Errorf("%v after %d calls", err, calls.Load())
			}
		})
	}
	t.Run("patience ends, with the last answer", func(t *testing.T) {
		var calls atomic.Int32
		s := start(t, rpc.ServerConfig{}, func(context.Context, string) (string, error) {
			calls.Add(1)
			return "", moving
		})
		_, err := call(limited(t), dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}, PatienceMs: 100}), "x")
		if errs.CodeOf(err) != errs.CodeMatcherMoving || calls.Load() < 2 {
			t.Errorf("%v after %d calls", err, calls.Load())
		}
	})
}

func TestServer_Stop(t *testing.T) {
	t.Run("a running request is finished, new ones are refused as not done", func(t *testing.T) {
		entered, release := make(chan struct{}), make(chan struct{})
		var calls atomic.Int32
		s := start(t, rpc.ServerConfig{}, func(context.Context, string) (string, error) {
			if calls.Add(1) == 1 {
				close(entered)
				<-release
			}
			return "done", nil
		})
		conn := dial(t, rpc.ClientConfig{Endpoints: []string{s.Addr()}})
		type result struct {
			out string
			err error
		}
		first := make(chan result, 1)
		go func() {
			out, err := call(context.Background(), conn, "x")
			first <- result{out, err}
		}()
		<-entered
		stopped := make(chan error, 1)
		go func() { stopped <- s.Stop(limited(t)) }()
		// The listener is closed first: from then on nothing new gets in.
		for {
			c, err := net.Dial("tcp", s.Addr())
			if err != nil {
				break
			}
			_ = c.Close()
		}
		close(release)
		if r := <-first; r.err != nil || r.out != "done" {
			t.Errorf("running request: %q, %v", r.out, r.err)
		}
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if _, err := call(limited(t), conn, "x"); errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("new request: %v", err)
		}
		if got := calls.Load(); got != 1 {
			t.Errorf("%d calls were handled", got)
		}
	})
	t.Run("stopping a server that was never started is fine", func(t *testing.T) {
		s, err := rpc.NewServer(rpc.ServerConfig{ListenOn: "127.0.0.1:0", InternalToken: token}, func(*grpc.Server) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("a port that is taken is an error, not a panic", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		s, err := rpc.NewServer(rpc.ServerConfig{ListenOn: l.Addr().String(), InternalToken: token}, func(*grpc.Server) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Error("no error")
		}
	})
}

func TestNewServer(t *testing.T) {
	for _, cfg := range []rpc.ServerConfig{{ListenOn: "127.0.0.1:0"}, {ListenOn: "nonsense", InternalToken: token}} {
		if _, err := rpc.NewServer(cfg, func(*grpc.Server) {}); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
	for _, cfg := range []rpc.ClientConfig{{Token: token}, {Endpoints: []string{"127.0.0.1:1"}}} {
		if _, _, err := rpc.Dial(cfg); err == nil {
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

func TestCode(t *testing.T) {
	for kind, want := range map[errs.Kind]codes.Code{
		errs.KindInvalidArgument:    codes.InvalidArgument,
		errs.KindFailedPrecondition: codes.FailedPrecondition,
		errs.KindNotFound:           codes.NotFound,
		errs.KindUnavailable:        codes.Unavailable,
		errs.KindInternal:           codes.Internal,
	} {
		if got := rpc.Code(kind); got != want {
			t.Errorf("%v travels as %v, want %v", kind, got, want)
		}
	}
}
