// Package run measures the order book so that a busy machine does not spoil the
// answer. Throughput is the CPU time of the measuring thread; the floor, the
// book and its rivals run in turn, and what is compared has run in the same
// round. The work is deterministic, so the least time of a piece over the
// rounds is the nearest to its own; medians are printed beside it.
package run

import (
	"flag"
	"fmt"
	"io"
	"runtime"
	"slices"

	"mscoin/exchange/matching/internal/workload"
)

const chunk = 10_000 // steps timed together

type bench struct {
	out    io.Writer
	rounds int
	steps  int
	seed   uint64
}

// room is what a book is made for that is to hold so many orders: the workloads
// hover about that number.
func room(resting int) int { return resting + resting/64 + 1000 }

// Main runs the benchmark and returns the exit code.
func Main(args []string, out io.Writer, rivals ...Rival) int {
	b := &bench{out: out}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&b.rounds, "rounds", 9, "rounds")
	flags.IntVar(&b.steps, "steps", 2_000_000, "commands after the book has been filled")
	flags.Uint64Var(&b.seed, "seed", 1, "seed of the workload")
	quick := flags.Bool("quick", false, "base and deep only")
	profile := flags.String("profile", "", "only write a CPU profile of the book under the base workload to this file")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if b.rounds < 1 || b.steps < 1 {
		b.printf("rounds and steps must be positive\n")
		return 2
	}
	if *profile != "" {
		if err := b.profile(*profile); err != nil {
			b.printf("%v\n", err)
			return 1
		}
		return 0
	}
	b.printf("%d commands, %d rounds in turn, seed %d, %s %s/%s\n", b.steps, b.rounds, b.seed,
		runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if len(rivals) == 0 {
		b.printf("github.com/geseq/orderbook is left out: run the benchmark from bench/geseq to have it in the same rounds\n")
	}
	rivals = append(rivals, Rival{"textbook (maps, lists)", newTextbook})
	shapes := workload.Shapes(b.steps)
	base := b.compare(shapes[0], rivals)
	deep := b.compare(shapes[1], rivals)
	if !*quick {
		for _, shape := range shapes[:3] {
			b.latency(shape)
		}
		b.growth()
	}
	b.printf("base: %.2f x floor\n", base)
	b.printf("deep: %.2f x floor\n", deep)
	return 0
}

func (b *bench) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(b.out, format, args...) // a report to a terminal
}

// series is what the rounds of one candidate have given.
type series struct {
	name   string
	ns     []float64 // per command, one a round
	least  []int64   // of each chunk
	allocs uint64
	gcs    uint32
}

// once runs a candidate over the steps after the preload.
func (s *series) once(r Runner, steps []Step, preload int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i := range preload {
		r.Do(i, &steps[i])
	}
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	chunks := make([]int64, 0, (len(steps)-preload)/chunk+1)
	begin := threadCPU()
	last := begin
	for at := preload; at < len(steps); at += chunk {
		for i := at; i < min(at+chunk, len(steps)); i++ {
			r.Do(i, &steps[i])
		}
		now := threadCPU()
		chunks = append(chunks, now-last)
		last = now
	}
	runtime.ReadMemStats(&after)
	s.ns = append(s.ns, float64(last-begin)/float64(len(steps)-preload))
	s.allocs += after.Mallocs - before.Mallocs
	s.gcs += after.NumGC - before.NumGC
	if s.least == nil {
		s.least = chunks
	}
	for i, c := range chunks {
		s.least[i] = min(s.least[i], c)
	}
}

func (s *series) leastNs(steps int) float64 {
	var sum int64
	for _, c := range s.least {
		sum += c
	}
	return float64(sum) / float64(steps)
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

// over is the median of what s costs over base, round by round.
func (s *series) over(base *series) float64 {
	ratios := make([]float64, len(s.ns))
	for i := range s.ns {
		ratios[i] = s.ns[i] / base.ns[i]
	}
	return median(ratios)
}

// compare runs floor, book and rivals in turn and returns book over floor.
func (b *bench) compare(shape workload.Shape, rivals []Rival) float64 {
	steps, preload := workload.Generate(shape, b.seed)
	floor := workload.NewFloor(steps)
	all := []*series{{name: "floor"}, {name: "matching.Book"}}
	for _, r := range rivals {
		all = append(all, &series{name: r.Name})
	}
	capacity := room(shape.Resting)
	for range b.rounds {
		floor.Reset()
		all[0].once(floor, steps, preload)
		all[1].once(newOurs(capacity), steps, preload)
		for i, r := range rivals {
			all[2+i].once(r.New(capacity), steps, preload)
		}
	}
	b.printf("\n%-6s %-24s %12s %14s %10s %10s %9s %14s %8s\n", shape.Name, "", "ns (median)", "commands/s",
		"x floor", "ns (least)", "x floor", "allocs/command", "GCs/run")
	for _, s := range all {
		n := len(steps) - preload
		b.printf("%-6s %-24s %12.1f %14.0f %10.2f %10.1f %9.2f %14.4f %8.1f\n", "", s.name, median(s.ns), 1e9/median(s.ns),
			s.over(all[0]), s.leastNs(n), s.leastNs(n)/all[0].leastNs(n), float64(s.allocs)/float64(n*b.rounds),
			float64(s.gcs)/float64(b.rounds))
	}
	return all[1].over(all[0])
}
