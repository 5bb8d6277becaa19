package main

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/zeromicro/go-zero/core/logx"
)

func TestMain(m *testing.M) {
	logx.Disable()
	debug.SetGCPercent(gcPercent)
	m.Run()
}

const (
	// half of the schedules of a test run have fixed seeds, the others random ones.
	half = 5000
	// mutantSchedules is within how many schedules each mutant must be caught.
	mutantSchedules = 10_000
)

func TestSchedules(t *testing.T) {
	n := half
	if testing.Short() {
		n /= 20
	}
	check := func(t *testing.T, base uint64) {
		t.Helper()
		steps, failures := many(base, n, nil, 1)
		t.Logf("%d schedules from seed %d on, %d steps, %d faults", n, base, steps, len(failures))
		for _, f := range failures {
			var text strings.Builder
			run(f.seed, nil, true).story.print(&text, 60)
			t.Errorf("seed %d: %v\n%s\ntell it with: make sim SEED=%d", f.seed, f.failure, text.String(), f.seed)
		}
	}
	t.Run("no money and no order is lost in schedules that are always the same", func(t *testing.T) { check(t, 1) })
	t.Run("no money and no order is lost in schedules that nobody has seen yet", func(t *testing.T) { check(t, rand.Uint64N(1<<40)) })
}

func TestSeed(t *testing.T) {
	t.Run("one seed is one schedule, step by step", func(t *testing.T) {
		for seed := range uint64(200) {
			a, b := run(seed+1, nil, true), run(seed+1, nil, true)
			if !slices.Equal(a.story.lines, b.story.lines) || a.steps != b.steps {
				t.Fatalf("seed %d has two stories", seed+1)
			}
			if c := run(seed+1, nil, false); c.steps != a.steps {
				t.Fatalf("seed %d runs another way when nobody listens: %d steps, not %d", seed+1, c.steps, a.steps)
			}
		}
	})
}

func TestMutants(t *testing.T) {
	for i := range mutants {
		t.Run(mutants[i].name, func(t *testing.T) {
			n, caught := hunt(&mutants[i], 1, mutantSchedules)
			t.Log(verdict(mutants[i].name, n, caught))
			if caught == nil {
				t.Error("a rule is off, and nobody has noticed")
			}
		})
	}
}

// TestDamage: the damages of the mutants of H7, done to the real code. Only at the last
// record of a symbol nobody can tell yet: a chain shows what its next link does not fit.
func TestDamage(t *testing.T) {
	for i := range controls {
		t.Run(controls[i].name+": the symbol stands still, nothing is wrong", func(t *testing.T) {
			still := 0
			for seed := range uint64(200) {
				if r := run(seed+1, &controls[i], false); r.failure != nil {
					if standsStill(r.failure) {
						still++
					} else if !r.unseen {
						t.Fatalf("seed %d: %v", seed+1, r.failure)
					}
				}
			}
			if still == 0 {
				t.Error("no schedule has met the damage")
			}
			t.Logf("%d of 200 schedules stood still", still)
		})
	}
}
