package run

import (
	"runtime"

	"mscoin/exchange/matching/internal/workload"
)

// growth compares the book with itself at sizes from 1k to 1M, in turn.
func (b *bench) growth() {
	type size struct {
		workload.Shape
		series
		steps   []Step
		preload int
	}
	sizes := []*size{
		{Shape: workload.Shape{Name: "1k", Resting: 1_000}},
		{Shape: workload.Shape{Name: "10k", Resting: 10_000}},
		{Shape: workload.Shape{Name: "100k", Resting: 100_000, Wide: 8_192}},
		{Shape: workload.Shape{Name: "1M", Resting: 1_000_000, Wide: 32_768}},
	}
	for _, s := range sizes {
		s.Steps, s.IDs = b.steps, "gaps"
		s.steps, s.preload = workload.Generate(s.Shape, b.seed)
	}
	for range b.rounds {
		for _, s := range sizes {
			s.once(newOurs(room(s.Resting)), s.steps, s.preload)
		}
	}
	b.printf("\n%-6s %12s %10s %12s %10s %12s\n", "growth", "ns (median)", "x 1k", "ns (least)", "x 1k", "heap MB")
	first := sizes[0]
	for _, s := range sizes {
		b.printf("%-6s %12.1f %10.2f %12.1f %10.2f %12.1f\n", s.Name, median(s.ns), s.over(&first.series),
			s.leastNs(b.steps), s.leastNs(b.steps)/first.leastNs(b.steps), heapOf(s.Resting, s.steps))
	}
}

// heapOf is the heap that a book takes for the steps, in MB: what is gone when
// the book is.
func heapOf(resting int, steps []Step) float64 {
	r := newOurs(room(resting))
	for i := range steps {
		r.Do(i, &steps[i])
	}
	var with, without runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&with)
	runtime.KeepAlive(r)
	r = nil
	runtime.GC()
	runtime.ReadMemStats(&without)
	return (float64(with.HeapAlloc) - float64(without.HeapAlloc)) / 1e6
}
