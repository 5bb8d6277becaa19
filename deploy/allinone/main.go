// Allinone is the whole exchange in one process, with nothing to install. It is
// what `make run` starts.
//
// Environment: MSCOIN_ADDR (default 127.0.0.1:8080), MSCOIN_DATA (default
// data), MSCOIN_PROFILE (demo or normal, default demo), MSCOIN_TELEMETRY (host:port of
// metrics and probes, default none), MSCOIN_BLOCK_MS (time between two blocks of the
// simulated chains, default 1000; 0 makes blocks on demand only).
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"time"

	"mscoin/deploy/allinone/node"
)

// blockEvery is what the environment says, a second otherwise.
func blockEvery() time.Duration {
	ms, err := strconv.Atoi(os.Getenv("MSCOIN_BLOCK_MS"))
	if err != nil || ms < 0 {
		return time.Second
	}
	return time.Duration(ms) * time.Millisecond
}

func main() {
	cfg := node.Config{Out: os.Stdout}
	flag.StringVar(&cfg.Addr, "addr", cmp.Or(os.Getenv("MSCOIN_ADDR"), "127.0.0.1:8080"), "host:port of the public API")
	flag.StringVar(&cfg.DataDir, "data", cmp.Or(os.Getenv("MSCOIN_DATA"), "data"), "folder that keeps everything")
	flag.StringVar(&cfg.Telemetry, "telemetry", os.Getenv("MSCOIN_TELEMETRY"), "host:port of /metrics, /healthz and /readyz; empty opens none")
	flag.DurationVar(&cfg.BlockEvery, "block", blockEvery(), "time between two blocks of the simulated chains; 0 makes blocks on demand only")
	profile := flag.String("profile", cmp.Or(os.Getenv("MSCOIN_PROFILE"), string(node.Demo)), "demo or normal")
	flag.Parse()
	cfg.Profile = node.Profile(*profile)
	if err := node.Run(context.Background(), cfg); err != nil {
		fmt.Fprintln(os.Stderr, "mscoin:", err)
		os.Exit(1)
	}
}
