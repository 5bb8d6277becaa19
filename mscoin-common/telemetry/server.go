package telemetry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/zeromicro/go-zero/core/logx"
	zeroprometheus "github.com/zeromicro/go-zero/core/prometheus"
)

// The paths that are answered.
const (
	// LivePath answers 200 as long as the process works: a part that breaks for good ends
	// the process, so there is nothing that a restart would help and the probe not see.
	LivePath = "/healthz"
	// ReadyPath answers 200 when the service does its work, else 503.
	ReadyPath = "/readyz"
	// MetricsPath answers with the metrics.
	MetricsPath = "/metrics"
)

const (
	readyLimit   = 2 * time.Second
	headerLimit  = 5 * time.Second
	requestLimit = 10 * time.Second
	stopLimit    = 2 * time.Second
)

// Server answers the probes and gives the metrics of one process.
type Server struct {
	http    *http.Server
	listen  net.Listener
	collect func()
}

// Start sets up tracing and, when cfg says where, listens. name is the service's; ready
// says whether it does its work, and why not.
func Start(ctx context.Context, name string, cfg Config, ready func(context.Context) error) (*Server, error) {
	if err := startTraces(name, cfg.Traces); err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	s := &Server{collect: Collect(func(ctx context.Context, emit Emit) error {
		value := 0.0
		if ready(ctx) == nil {
			value = 1
		}
		emit(Ready, value, name)
		return nil
	})}
	if cfg.ListenOn == "" {
		return s, nil
	}
	var err error
	if s.listen, err = (&net.ListenConfig{}).Listen(ctx, "tcp", cfg.ListenOn); err != nil {
		s.collect()
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	zeroprometheus.Enable() // or go-zero counts nothing
	s.http = &http.Server{
		Handler: handler(ready), ReadHeaderTimeout: headerLimit, ReadTimeout: requestLimit, WriteTimeout: requestLimit,
	}
	go func() {
		if err := s.http.Serve(s.listen); !errors.Is(err, http.ErrServerClosed) {
			logx.Errorf("telemetry: %v", err)
		}
	}()
	return s, nil
}

// Addr returns host:port, or "" when nothing listens.
func (s *Server) Addr() string {
	if s.listen == nil {
		return ""
	}
	return s.listen.Addr().String()
}

// Stop sends the traces that are waiting and stops listening, within about two seconds.
func (s *Server) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	s.collect()
	err := flushTraces(ctx)
	if s.http != nil {
		err = errors.Join(err, s.http.Shutdown(ctx))
	}
	if err != nil {
		return fmt.Errorf("stop telemetry: %w", err)
	}
	return nil
}

func handler(ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(MetricsPath, promhttp.Handler())
	mux.HandleFunc(LivePath, func(w http.ResponseWriter, _ *http.Request) { reply(w, http.StatusOK, "ok", "") })
	mux.HandleFunc(ReadyPath, func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), readyLimit)
		defer cancel()
		if err := ready(ctx); err != nil {
			reply(w, http.StatusServiceUnavailable, "not ready", err.Error())
			return
		}
		reply(w, http.StatusOK, "ready", "")
	})
	return mux
}

// status is the answer of a probe. The reason is for the operator, whose network this is.
type status struct {
	Status string `json:"status"`
	Reason string `json:"reason,omitempty"`
}

func reply(w http.ResponseWriter, code int, text, reason string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(status{text, reason}) // the caller may have gone
}

// maxAnswer bounds how much of an answer is read.
const maxAnswer = 4 << 10

// Ask asks a probe of the process that listens on addr (host:port, as in Config.ListenOn).
// Its error says why the answer is not 200.
func Ask(ctx context.Context, addr, path string) (err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // it listens everywhere
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(host, port)+path, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("ask %s: %w", path, err)
	}
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("ask %s: %s: %s", path, res.Status, body)
	}
	return nil
}
