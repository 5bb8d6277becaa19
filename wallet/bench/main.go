package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

type options struct {
	rounds, orders, baseline int
	members                  int64
	batch                    int
	seed                     uint64
	embedded                 bool
	dir, profile             string
}

func main() {
	var o options
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side has its turn")
	flag.IntVar(&o.orders, "orders", 20_000, "orders that the wallet settles in a round")
	flag.IntVar(&o.baseline, "baseline", 1_000, "orders that the baseline settles in a round")
	flag.Int64Var(&o.members, "members", 1_000, "members who trade with each other")
	flag.IntVar(&o.batch, "batch", 2000, "records in one settlement transaction at most")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the workload")
	flag.BoolVar(&o.embedded, "embedded", false, "use SQLite and an in-process Redis even where MariaDB and Redis are installed")
	flag.StringVar(&o.dir, "dir", "", "folder for the databases (default the system's for temporary files)")
	flag.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the wallet's turns")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-settlement:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o *options) (err error) {
	logx.Disable()
	s, err := start(ctx, o.dir, o.embedded)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Printf("%s; %d members; in each round %d orders for the wallet, %d for the baseline\n", s.what, o.members, o.orders, o.baseline)
	wallet, err := newOurs(ctx, s, o.members, o.batch)
	if err != nil {
		return err
	}
	loop, err := newSeedLoop(ctx, s, o.members)
	if err != nil {
		return err
	}
	ratio, err := measure(ctx, s, o, wallet, loop)
	if err != nil {
		return err
	}
	if err := errors.Join(wallet.check(ctx), loop.check(ctx)); err != nil {
		return err
	}
	fmt.Println("every balance on both sides is what the trades say; the wallet's journal sums to zero")
	fmt.Printf("settlement: %.1f x baseline\n", ratio)
	return nil
}

// measure lets both sides settle in turns and returns the ratio of their medians.
func measure(ctx context.Context, s *servers, o *options, wallet *ours, loop *seedLoop) (float64, error) {
	w := newWorkload(o.seed, o.members)
	var fast, slow []float64
	for round := 1; round <= o.rounds; round++ {
		if err := errors.Join(loop.prepare(ctx, w.trades(o.baseline/2)), wallet.prepare(ctx, w.trades(o.orders/2))); err != nil {
			return 0, err
		}
		took, err := loop.run(ctx)
		if err != nil {
			return 0, err
		}
		slow = append(slow, float64(o.baseline)/took.Seconds())
		before := s.cpu()
		took, err = profiled(o, round, func() (time.Duration, error) { return wallet.run(ctx) })
		if err != nil {
			return 0, err
		}
		fast = append(fast, float64(o.orders)/took.Seconds())
		fmt.Printf("round %d: wallet %6.0f orders/s (%.0f trades/s; CPU for a trade: %s)   baseline %4.0f orders/s   %.1f x\n", round,
			fast[round-1], fast[round-1]/2, s.cpu().since(before, o.orders/2), slow[round-1], fast[round-1]/slow[round-1])
	}
	fmt.Printf("medians: wallet %.0f orders/s, baseline %.0f orders/s\n", median(fast), median(slow))
	return median(fast) / median(slow), nil
}

// profiled runs fn; the last round's is profiled when that was asked for.
func profiled(o *options, round int, fn func() (time.Duration, error)) (time.Duration, error) {
	if o.profile == "" || round != o.rounds {
		return fn()
	}
	f, err := os.Create(o.profile)
	if err != nil {
		return 0, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return 0, errors.Join(err, f.Close())
	}
	took, err := fn()
	pprof.StopCPUProfile()
	return took, errors.Join(err, f.Close())
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	n := len(v)
	return (v[(n-1)/2] + v[n/2]) / 2
}
