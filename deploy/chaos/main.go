// Command chaos proves on real processes that nothing is lost: it loads an exchange, kills,
// stops and cuts off every part of it, heals it, and compares what the exchange has told
// its members with what is there. README.md beside this file tells more.
//
//	make chaos
//	make chaos KILLS=20 STOPS=5 TOXICS=10 HOOKS=12 SEED=7
package main

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"mscoin/deploy/chaos/internal/run"
)

func main() {
	if len(os.Args) > 2 && os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3:])
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := chaos(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

func chaos(ctx context.Context, args []string) error {
	var cfg run.Config
	limit := flag.NewFlagSet("chaos", flag.ExitOnError)
	limit.Uint64Var(&cfg.Seed, "seed", rand.Uint64(), "seed of the load and of the faults") //nolint:gosec // a seed needs no secret
	limit.IntVar(&cfg.Kills, "kills", 200, "processes to kill")
	limit.IntVar(&cfg.Stops, "stops", 50, "processes to stop for longer than a lease")
	limit.IntVar(&cfg.Toxics, "toxics", 100, "links to spoil for a while")
	limit.IntVar(&cfg.Hooks, "hooks", run.AllHooks(), "failpoints to arm, of all write boundaries with all actions")
	limit.IntVar(&cfg.AllInOneKills, "allinone-kills", 20, "kills of the exchange in one process")
	limit.IntVar(&cfg.Each, "each", 5, "faults between two checks")
	limit.BoolVar(&cfg.Poison, "poison", true, "records that cannot be read, in every topic")
	limit.BoolVar(&cfg.Disk, "disk", true, "a full disk")
	limit.BoolVar(&cfg.Damage, "damage", true, "starts on damaged data")
	limit.DurationVar(&cfg.Budget, "budget", 0, "begin no further fault after this time (0: no limit)")
	limit.StringVar(&cfg.AdminTool, "admin", "bin/mscoin-admin", "mscoin-admin, for -poison")
	limit.StringVar(&cfg.Root, "root", ".", "folder of the checkout")
	limit.StringVar(&cfg.Dir, "dir", "", "folder for data and logs (empty: a temporary one, removed unless something failed)")
	if err := limit.Parse(args); err != nil {
		return err
	}
	cfg.Out = os.Stdout
	var err error
	if cfg.Program, err = os.Executable(); err != nil {
		return err
	}
	temporary := cfg.Dir == ""
	if temporary {
		if cfg.Dir, err = os.MkdirTemp("", "mscoin-chaos-"); err != nil {
			return err
		}
	}
	for _, dir := range []*string{&cfg.Root, &cfg.Dir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return err
		}
	}
	if err := run.Run(ctx, cfg); err != nil {
		return fmt.Errorf("%w (data and logs: %s)", err, cfg.Dir)
	}
	if temporary {
		return os.RemoveAll(cfg.Dir)
	}
	return nil
}
