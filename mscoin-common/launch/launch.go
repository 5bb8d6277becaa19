// Package launch is the main of a service that runs as a process of its own: read
// the configuration, make the service, run it until a signal.
package launch

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os/signal"
	"syscall"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"
)

// Service is a running service; Run blocks until ctx ends or it fails.
type Service interface {
	Run(ctx context.Context) error
}

// Validator is a configuration that knows what is wrong with it.
type Validator[C any] interface {
	*C
	Validate() error
}

// Main runs the service called name and ends the process with status 1 when that
// fails. Flags: -f FILE (default name/etc/name.yaml; ${VAR} in it is taken from the
// environment) and -check, which only says whether the configuration is right.
func Main[C any, P Validator[C], S Service](name string, open func(ctx context.Context, cfg C) (S, error)) {
	file := flag.String("f", fmt.Sprintf("%s/etc/%s.yaml", name, name), "configuration file")
	check := flag.Bool("check", false, "check the configuration and end")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run[C, P](ctx, *file, *check, open)
	stop()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

func run[C any, P Validator[C], S Service](ctx context.Context, file string, check bool, open func(context.Context, C) (S, error)) error {
	var cfg C
	if err := conf.Load(file, &cfg, conf.UseEnv()); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	if err := P(&cfg).Validate(); err != nil || check {
		return err
	}
	logx.DisableStat()
	s, err := open(ctx, cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
