// Command simulator runs the real code of exchange and wallet through schedules of
// faults, one seed one schedule. See README.md.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

var out io.Writer = os.Stdout

// gcPercent trades memory, of which schedules need little, for time.
const gcPercent = 400

func main() {
	var (
		seed    = flag.Uint64("seed", 0, "replay this schedule and tell its story")
		n       = flag.Int("n", 10_000, "without -seed: how many schedules to run")
		base    = flag.Uint64("base", rand.Uint64N(1<<40), "the first of them") //nolint:gosec // a schedule, no secret
		lines   = flag.Int("lines", 100, "how much of a story to show, from its end")
		name    = flag.String("mutant", "", "run with this rule switched off")
		showAll = flag.Bool("mutants", false, "catch every mutant, in at most -n schedules each")
	)
	flag.Parse()
	logx.Disable()
	debug.SetGCPercent(gcPercent)
	var m *mutant
	if i := slices.IndexFunc(mutants, func(m mutant) bool { return m.name == *name }); i >= 0 {
		m = &mutants[i]
	} else if *name != "" {
		fmt.Fprintln(os.Stderr, "no such mutant; their names are:")
		for _, m := range mutants {
			fmt.Fprintln(os.Stderr, " ", m.name)
		}
		os.Exit(2)
	}
	ok := false
	switch {
	case *seed != 0:
		ok = replay(*seed, m, *lines)
	case *showAll:
		ok = catchAll(*base, *n)
	default:
		ok = search(*base, *n, m, *lines)
	}
	if !ok {
		os.Exit(1)
	}
}

// replay tells one schedule.
func replay(seed uint64, m *mutant, lines int) bool {
	r := run(seed, m, true)
	r.story.print(out, lines)
	if r.failure != nil {
		_, _ = fmt.Fprintf(out, "\nseed %d fails after %d steps: %v\n", seed, r.steps, r.failure)
		return false
	}
	_, _ = fmt.Fprintf(out, "\nseed %d: %d steps, nothing is wrong\n", seed, r.steps)
	return true
}

// search runs schedules and tells the first failure.
func search(base uint64, n int, m *mutant, lines int) bool {
	start := clock.Real().Now()
	steps, failures := many(base, n, m, 1)
	if len(failures) > 0 {
		return replay(failures[0].seed, m, lines)
	}
	took := clock.Real().Now().Sub(start)
	_, _ = fmt.Fprintf(out, "%d schedules from seed %d on, %d steps, %.1f s: 0 faults\n", n, base, steps, took.Seconds())
	return true
}

// catchAll lists after how many schedules each mutant is caught.
func catchAll(base uint64, most int) bool {
	ok := true
	for i := range mutants {
		n, caught := hunt(&mutants[i], base, most)
		if caught == nil {
			ok = false
		}
		_, _ = fmt.Fprintln(out, verdict(mutants[i].name, n, caught))
	}
	return ok
}

func verdict(name string, n int, caught error) string {
	if caught == nil {
		return fmt.Sprintf("%-52s NOT CAUGHT in %d schedules", name, n)
	}
	text := caught.Error()
	if len(text) > 110 {
		text = text[:110] + "…"
	}
	return fmt.Sprintf("%-52s %5d  %s", name, n, text)
}
