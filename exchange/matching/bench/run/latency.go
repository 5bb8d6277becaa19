package run

import (
	"runtime"
	"slices"
	"time"

	"mscoin/exchange/matching/internal/workload"
)

// latency prints the quantiles of each command's least time over the rounds,
// and the mean of the cancels, of floor and book in turn.
func (b *bench) latency(shape workload.Shape) {
	steps, preload := workload.Generate(shape, b.seed)
	floor := workload.NewFloor(steps)
	all := []*timing{
		{name: "floor", fresh: func() Runner { floor.Reset(); return floor }},
		{name: "matching.Book", fresh: func() Runner { return newOurs(room(shape.Resting)) }},
	}
	for range b.rounds {
		for _, t := range all {
			t.once(steps, preload)
		}
	}
	b.printf("\n%-6s %-24s %6s %6s %6s %6s %6s %15s (ns, least of %d rounds, clock included)\n", shape.Name, "", "p50",
		"p90", "p99", "p99.9", "p99.99", "mean of cancels", b.rounds)
	for _, t := range all {
		cancels := t.meanOfCancels(steps[preload:])
		slices.Sort(t.least)
		b.printf("%-6s %-24s %6.0f %6.0f %6.0f %6.0f %6.0f %15.1f\n", "", t.name, t.at(.5), t.at(.9), t.at(.99), t.at(.999),
			t.at(.9999), cancels)
	}
}

// timing is how long each command of a candidate has taken.
type timing struct {
	name    string
	fresh   func() Runner
	least   []int64 // ticks of each step after the preload
	perTick float64 // ns
}

// once times every step by itself.
func (t *timing) once(steps []Step, preload int) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	first := t.least == nil
	if first {
		t.least = make([]int64, len(steps)-preload)
	}
	r := t.fresh()
	for i := range preload {
		r.Do(i, &steps[i])
	}
	runtime.GC()
	wall, begin := time.Now(), ticks()
	last := begin
	for i := preload; i < len(steps); i++ {
		r.Do(i, &steps[i])
		now := ticks()
		if d := now - last; first || d < t.least[i-preload] {
			t.least[i-preload] = d
		}
		last = now
	}
	t.perTick = float64(time.Since(wall).Nanoseconds()) / float64(last-begin)
}

func (t *timing) meanOfCancels(steps []Step) float64 {
	var n, sum float64
	for i := range steps {
		if steps[i].Kind == Cancel {
			n++
			sum += float64(t.least[i])
		}
	}
	return sum / max(n, 1) * t.perTick
}

// at returns a quantile in ns; least has been sorted.
func (t *timing) at(q float64) float64 {
	return float64(t.least[int(q*float64(len(t.least)-1))]) * t.perTick
}
