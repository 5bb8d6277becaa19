package simchain

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

// headerTimeout bounds the reading of a request's headers.
const headerTimeout = 5 * time.Second

// ServerConfig says where a node is served.
type ServerConfig struct {
	Config

	// ListenOn is host:port; port 0 takes a free one.
	ListenOn string
	// Token must come with every request.
	Token string
	// BlockEvery is the time between two blocks; zero makes blocks on demand only.
	BlockEvery time.Duration
}

// Server is a node that is served over HTTP and whose blocks come from a clock.
type Server struct {
	node     *Node
	listener net.Listener
	http     *http.Server
	cancel   context.CancelFunc
	ended    chan error
	failed   chan error
	stopped  chan struct{}
}

// Start opens a node and serves it until Stop.
func Start(ctx context.Context, cfg ServerConfig, clk clock.Clock) (*Server, error) {
	if cfg.Token == "" {
		return nil, errors.New("simchain: a token is missing")
	}
	node, err := Open(cfg.Config, clk)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.ListenOn)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("simchain: %w", err), node.Close())
	}
	s := &Server{
		node: node, listener: listener, ended: make(chan error, 2), failed: make(chan error, 1), stopped: make(chan struct{}),
		http: &http.Server{Handler: Handler(node, cfg.Token), ReadHeaderTimeout: headerTimeout},
	}
	runCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	go func() { s.ended <- s.http.Serve(listener) }()
	go func() {
		if cfg.BlockEvery <= 0 {
			s.ended <- nil
			return
		}
		err := node.Run(runCtx, cfg.BlockEvery)
		if err != nil {
			logx.Errorf("simchain: no more blocks: %v", err)
			s.failed <- err
		}
		s.ended <- err
	}()
	return s, nil
}

// Addr returns host:port of the server.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Failed tells why there will be no more blocks before Stop.
func (s *Server) Failed() <-chan error { return s.failed }

// Stopped is closed by Stop.
func (s *Server) Stopped() <-chan struct{} { return s.stopped }

// Stop ends the server and its blocks, and closes the log.
func (s *Server) Stop(ctx context.Context) error {
	s.cancel()
	close(s.stopped)
	err := s.http.Shutdown(ctx)
	for range 2 {
		if e := <-s.ended; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
	}
	return errors.Join(err, s.node.Close())
}
