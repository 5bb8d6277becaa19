// Command chain runs the simulated chains with their custody, for a wallet that runs as a
// process of its own: see wallet/custody/simchain. There is money from nowhere: it is for
// trying things out, never for coins of value.
//
// Environment: MSCOIN_CUSTODY_TOKEN (must come with every request).
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody/simchain"
)

// patience bounds a stop and a question for health.
const patience = 5 * time.Second

func main() {
	var cfg simchain.ServerConfig
	flag.StringVar(&cfg.ListenOn, "addr", "127.0.0.1:8110", "host:port")
	flag.StringVar(&cfg.File, "file", "data/chain.log", "log of everything that happened")
	flag.DurationVar(&cfg.BlockEvery, "block", time.Second, "time between two blocks; 0 makes blocks on demand only")
	health := flag.Bool("health", false, "ask the one that runs at -addr whether it answers")
	flag.Parse()
	cfg.Token = os.Getenv("MSCOIN_CUSTODY_TOKEN")
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	do := serve
	if *health {
		do = ask
	}
	if err := do(ctx, &cfg); err != nil {
		fmt.Fprintln(os.Stderr, "chain:", err)
		os.Exit(1) //nolint:gocritic // the signals need no reset any more
	}
}

func serve(ctx context.Context, cfg *simchain.ServerConfig) error {
	s, err := simchain.Start(ctx, *cfg, clock.Real())
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "simulated chains at", s.Addr())
	select {
	case <-ctx.Done():
	case err = <-s.Failed():
	}
	stopCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	if stopErr := s.Stop(stopCtx); err == nil {
		err = stopErr
	}
	return err
}

func ask(ctx context.Context, cfg *simchain.ServerConfig) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := simchain.NewClient("http://"+cfg.ListenOn, cfg.Token)
	if err != nil {
		return err
	}
	_, err = c.Head(ctx, "BTC")
	return err
}
