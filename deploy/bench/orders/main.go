// Command orders loads a running exchange with the orders of its two demo accounts,
// cancels what rests, waits until everything is settled, and reconciles the books. It
// prints how many orders a second were accepted, how long their answers took, and how
// many were accepted and settled.
//
//	make run            # elsewhere
//	make bench-orders BENCH_FLAGS='-seconds 60 -workers 32'
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mscoin/deploy/internal/api"
	"mscoin/mscoin-common/clock"
)

// requestTimeout is when a request is given up.
const requestTimeout = 10 * time.Second

type options struct {
	access           string
	seconds, workers int
	seed             uint64
	symbol           string
	reconcile        bool
	settleWithin     time.Duration
}

func main() {
	data := os.Getenv("MSCOIN_DATA")
	if data == "" {
		data = "data"
	}
	var o options
	flag.StringVar(&o.access, "access", filepath.Join(data, "demo.json"), "file with the demo accounts")
	flag.IntVar(&o.seconds, "seconds", 20, "how long orders are sent")
	flag.IntVar(&o.workers, "workers", 16, "connections that send one order after another")
	flag.Uint64Var(&o.seed, "seed", 1, "seed of the orders")
	flag.StringVar(&o.symbol, "symbol", "BTCUSDT", "symbol to trade")
	flag.BoolVar(&o.reconcile, "reconcile", true, "reconcile afterwards (go run ./deploy/reconcile)")
	flag.DurationVar(&o.settleWithin, "settle-within", time.Minute, "how long to wait for the settlement")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, &o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench-orders:", err)
		os.Exit(1)
	}
}

// access is the content of demo.json, as far as it is needed here.
type access struct {
	BaseURL  string `json:"baseUrl"`
	Accounts []struct {
		APIKey    string `json:"apiKey"`
		APISecret string `json:"apiSecret"`
	} `json:"accounts"`
}

func load(file string, workers int) ([]*api.Client, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("no demo accounts: start the exchange with `make run` first: %w", err)
	}
	var a access
	if err := json.Unmarshal(content, &a); err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var all []*api.Client
	for _, acc := range a.Accounts {
		all = append(all, api.New(a.BaseURL, acc.APIKey, acc.APISecret, workers, requestTimeout))
	}
	if len(all) < 2 {
		return nil, fmt.Errorf("%s has %d accounts, two are needed", file, len(all))
	}
	return all, nil
}

func run(ctx context.Context, o *options) error {
	clients, err := load(o.access, o.workers)
	if err != nil {
		return err
	}
	clk := clock.Real()
	begin := clk.Now()
	sendCtx, cancel := context.WithTimeout(ctx, time.Duration(o.seconds)*time.Second)
	defer cancel()
	results := make([]result, o.workers)
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			w := newWorker(o, clients[i%len(clients)], i)
			w.run(ctx, sendCtx)
			results[i] = w.result
		})
	}
	wg.Wait()
	sent := clk.Now().Sub(begin)
	total := sum(results)
	total.print(sent)
	if err := settle(ctx, o, clients); err != nil {
		return err
	}
	all := clk.Now().Sub(begin)
	fmt.Printf("accepted, matched and settled: %.0f orders/s (%d in %.1f s; cancelling and settling took %.1f s of it)\n",
		float64(total.accepted)/all.Seconds(), total.accepted, all.Seconds(), (all - sent).Seconds())
	if len(total.failures) > 0 {
		fmt.Println("answers that were no success:")
		for _, k := range slices.Sorted(keys(total.failures)) {
			fmt.Printf("  %6d  %s\n", total.failures[k], k)
		}
	}
	if !o.reconcile {
		return nil
	}
	cmd := exec.CommandContext(ctx, "go", "run", "./deploy/reconcile")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("reconcile: %w", err)
	}
	return nil
}

// settle cancels what rests and waits until no account has anything held.
func settle(ctx context.Context, o *options, clients []*api.Client) error {
	ctx, cancel := context.WithTimeout(ctx, o.settleWithin)
	defer cancel()
	for _, c := range clients {
		if err := c.CancelAll(ctx, o.symbol); err != nil {
			return fmt.Errorf("cancel all: %w", err)
		}
	}
	for _, c := range clients {
		for {
			held, err := c.Held(ctx)
			if err != nil {
				return fmt.Errorf("read balances: %w", err)
			}
			if len(held) == 0 {
				break
			}
			if err := clock.Sleep(ctx, clock.Real(), 20*time.Millisecond); err != nil {
				return fmt.Errorf("not settled, still held: %v: %w", held, err)
			}
		}
	}
	return nil
}
