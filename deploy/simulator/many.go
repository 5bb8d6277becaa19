package main

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// many runs n schedules from a base seed on and returns how many steps they took and the
// failures, those of the lowest seeds first, at most most of them.
func many(base uint64, n int, m *mutant, most int) (steps int64, failures []result) {
	var next, taken atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				r := run(base+uint64(i), m, false)
				taken.Add(int64(r.steps))
				if r.failure == nil {
					continue
				}
				mu.Lock()
				failures = append(failures, r)
				if len(failures) >= most {
					next.Store(int64(n))
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return taken.Load(), failures
}

// hunt returns after how many schedules a mutant is caught, and by what; err is nil when
// it is not within n.
func hunt(m *mutant, base uint64, n int) (schedules int, err error) {
	for i := range n {
		if r := run(base+uint64(i), m, false); m.kills(r) {
			return i + 1, r.failure
		}
	}
	return n, nil
}
