// Package launch is the main of a service that runs as a process of its own: read
// the configuration, make the service, run it until a signal.
package launch

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/telemetry"
)

// Service is a running service.
type Service interface {
	// Run blocks until ctx ends or the service fails.
	Run(ctx context.Context) error
	// Ready says whether it does its work, and why not.
	Ready(ctx context.Context) error
}

// Configuration is what a service can be told.
type Configuration[C any] interface {
	*C
	// Validate reports everything that is wrong, without showing a secret.
	Validate() error
	// Watched says how the process is watched.
	Watched() telemetry.Config
}

// healthLimit bounds -health.
const healthLimit = 5 * time.Second

// options are the flags.
type options struct {
	file          string
	check, health bool
}

// Main runs the service called name and ends the process with status 1 when that
// fails. Flags: -f FILE (default name/etc/name.yaml; ${VAR} in it is taken from the
// environment); -check only says whether the configuration is right; -health asks the
// running process whether it is ready, for containers that hold nothing else to ask with.
func Main[C any, P Configuration[C], S Service](name string, open func(ctx context.Context, cfg C) (S, error)) {
	var o options
	flag.StringVar(&o.file, "f", fmt.Sprintf("%s/etc/%s.yaml", name, name), "configuration file")
	flag.BoolVar(&o.check, "check", false, "check the configuration and end")
	flag.BoolVar(&o.health, "health", false, "ask the running service whether it is ready and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run[C, P](ctx, name, o, os.Stdout, open)
	stop()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

func run[C any, P Configuration[C], S Service](ctx context.Context, name string, o options, out io.Writer, open func(context.Context, C) (S, error)) error {
	var cfg C
	loadErr := conf.Load(o.file, &cfg, conf.UseEnv()) // which validates, too
	watched := P(&cfg).Watched()
	if err := errors.Join(unknownKeys(o.file, cfg), loadErr, watched.Validate()); err != nil {
		return fmt.Errorf("configuration %s: %w", o.file, err)
	}
	if o.health {
		return askHealth(ctx, watched.ListenOn)
	}
	if o.check {
		_, err := fmt.Fprintf(out, "%s: the configuration is right\n", o.file)
		return err
	}
	if err := logx.SetUp(logx.LogConf{ServiceName: name, Mode: "console", Encoding: "json", Level: watched.LogLevel}); err != nil {
		return fmt.Errorf("set up log: %w", err)
	}
	return serve(ctx, name, cfg, watched, open)
}

// serve runs the service. Its probes answer from the beginning: a start that replays a
// long log is alive and not ready.
func serve[C any, S Service](ctx context.Context, name string, cfg C, watched telemetry.Config, open func(context.Context, C) (S, error)) (err error) {
	var opened atomic.Pointer[S]
	watch, err := telemetry.Start(ctx, name, watched, func(ctx context.Context) error {
		s := opened.Load()
		if s == nil {
			return errors.New("it is starting")
		}
		return (*s).Ready(ctx)
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, watch.Stop(context.WithoutCancel(ctx))) }()
	s, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	opened.Store(&s)
	return s.Run(ctx)
}

func askHealth(ctx context.Context, addr string) error {
	if addr == "" {
		return errors.New("health: Telemetry.ListenOn is empty: there is nobody to ask")
	}
	ctx, cancel := context.WithTimeout(ctx, healthLimit)
	defer cancel()
	return telemetry.Ask(ctx, addr, telemetry.ReadyPath)
}
