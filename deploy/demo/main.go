// Demo trades with the two demo accounts of a running exchange and prints a
// table of what happened to whom.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"mscoin/deploy/demo/story"
)

func main() {
	data := os.Getenv("MSCOIN_DATA")
	if data == "" {
		data = "data"
	}
	file := flag.String("access", filepath.Join(data, "demo.json"), "file with the demo accounts")
	flag.Parse()
	if err := run(*file); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(file string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	content, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return fmt.Errorf("no demo accounts: start the exchange with `make run` first: %w", err)
	}
	var access story.Access
	if err := json.Unmarshal(content, &access); err != nil {
		return fmt.Errorf("read %s: %w", file, err)
	}
	return story.Tell(ctx, access, os.Stdout)
}
