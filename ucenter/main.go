// Command ucenter runs the service of members, sessions and API keys.
package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"syscall"

	"github.com/zeromicro/go-zero/core/conf"
	"github.com/zeromicro/go-zero/core/logx"

	ucentersvc "mscoin/ucenter/service"
)

func main() {
	file := flag.String("f", "ucenter/etc/ucenter.yaml", "configuration file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *file); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	var cfg ucentersvc.Config
	if err := conf.Load(file, &cfg, conf.UseEnv()); err != nil {
		return err
	}
	logx.DisableStat()
	s, err := ucentersvc.New(ctx, cfg)
	if err != nil {
		return err
	}
	return s.Run(ctx)
}
