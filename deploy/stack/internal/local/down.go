package local

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/server"
)

// strayGrace is what a process without a record gets to end.
const strayGrace = 5 * time.Second

// Down stops everything: the services one by one in reverse, then the infrastructure at
// once, then whatever else carries the stack's mark. It returns when no process is left.
func (s *Stack) Down(ctx context.Context) error {
	return s.locked(func() error {
		begin := s.Clock.Now()
		components, err := s.components()
		if err != nil {
			return err
		}
		stopped, err := s.stop(ctx, components)
		strays, strayErr := s.stopStrays(ctx)
		if err := errors.Join(err, strayErr); err != nil {
			return err
		}
		if stopped+strays == 0 {
			s.say("nothing was running")
			return nil
		}
		s.say("stopped %d processes in %s", stopped+strays, s.since(begin))
		return nil
	})
}

// components returns those of the last settings, and one for each PID file beside them.
func (s *Stack) components() ([]server.Component, error) {
	settings, _, err := s.Folder.Load()
	if err != nil {
		return nil, err
	}
	site, err := s.site(settings)
	if err != nil {
		return nil, err
	}
	all := append(server.Infrastructure(site), server.Services(site)...)
	names, err := s.names(all)
	if err != nil {
		return nil, err
	}
	for _, name := range names[len(all):] {
		all = append(all, server.Component{
			Name: name, Spec: process.Spec{PIDFile: s.Folder.PIDFile(name), Log: s.Folder.Log(name)}, StopWithin: strayGrace,
		})
	}
	return all, nil
}

// stop stops components that were started in this order. The servers of the
// infrastructure end together: a broker of three that ends last would wait for a quorum
// that is gone.
func (s *Stack) stop(ctx context.Context, components []server.Component) (stopped int, err error) {
	var together []server.Component
	for _, c := range slices.Backward(components) {
		if c.Infrastructure {
			together = append(together, c)
			continue
		}
		n, stopErr := s.stopAll(ctx, []server.Component{c})
		stopped, err = stopped+n, errors.Join(err, stopErr)
	}
	n, stopErr := s.stopAll(ctx, together)
	return stopped + n, errors.Join(err, stopErr)
}

func (s *Stack) stopAll(ctx context.Context, components []server.Component) (stopped int, err error) {
	outcomes := make([]process.Outcome, len(components))
	errs := make([]error, len(components))
	var wg sync.WaitGroup
	for i, c := range components {
		wg.Go(func() {
			begin := s.Clock.Now()
			outcomes[i], errs[i] = process.Stop(ctx, c.Spec.PIDFile, c.StopWithin, s.Clock)
			switch {
			case errs[i] != nil:
				errs[i] = fmt.Errorf("stop %s: %w", c.Name, errs[i])
			case outcomes[i] == process.Ended:
				s.say("%-10s stopped in %s", c.Name, s.since(begin))
			case outcomes[i] == process.Killed:
				s.say("%-10s killed: it had not stopped within %v", c.Name, c.StopWithin)
			}
		})
	}
	wg.Wait()
	for _, o := range outcomes {
		if o != process.WasNotRunning {
			stopped++
		}
	}
	return stopped, errors.Join(errs...)
}

// stopStrays stops processes that carry the stack's mark and have no record.
func (s *Stack) stopStrays(ctx context.Context) (stopped int, err error) {
	strays, err := process.Strays(string(s.Folder))
	if err != nil {
		return 0, err
	}
	for _, rec := range strays {
		outcome, stopErr := process.StopRecord(ctx, rec, strayGrace, s.Clock)
		err = errors.Join(err, stopErr)
		if outcome != process.WasNotRunning {
			s.say("stopped process %d, which had no record", rec.PID)
			stopped++
		}
	}
	return stopped, err
}
