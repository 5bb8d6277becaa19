// Command bench measures the order book; see package run.
package main

import (
	"os"

	"mscoin/exchange/matching/bench/run"
)

func main() {
	os.Exit(run.Main(os.Args[1:], os.Stdout))
}
