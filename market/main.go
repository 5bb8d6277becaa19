// Command market runs the service of public market data.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"

	marketsvc "mscoin/market/service"
)

func main() {
	file := flag.String("f", "market/etc/market.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *file); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	var cfg marketsvc.Config
	if err := conf.Load(file, &cfg, conf.UseEnv()); err != nil {
		return err
	}
	logx.DisableStat()
	s, err := marketsvc.New(ctx, cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
