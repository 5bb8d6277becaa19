package run

import (
	"errors"
	"fmt"
	"os"
	"runtime/pprof"

	"mscoin/exchange/matching/internal/workload"
)

// profile writes a CPU profile of the book alone, for the compiler.
func (b *bench) profile(path string) (err error) {
	shape := workload.Shapes(b.steps)[0]
	steps, preload := workload.Generate(shape, b.seed)
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := pprof.StartCPUProfile(f); err != nil {
		return fmt.Errorf("write profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	var s series
	for range 10 * b.rounds { // a sample takes 10 ms
		s.once(newOurs(room(shape.Resting)), steps, preload)
	}
	return nil
}
