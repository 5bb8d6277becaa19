package lifecycle_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/lifecycle"
)

const testLimit = 20 * time.Second

var errBroken = errors.New("broken")

func TestMain(m *testing.M) {
	logx.Disable()
	m.Run()
}

// journal notes what happens in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) want(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.lines, want) {
		t.Errorf("happened %q, want %q", j.lines, want)
	}
}

// add adds a part that notes its start and stop and returns these errors.
func (j *journal) add(g *lifecycle.Group, name string, startErr, stopErr error) {
	g.Add(name,
		func(context.Context) error { j.note("start " + name); return startErr },
		func(context.Context) error { j.note("stop " + name); return stopErr })
}

func newGroup() *lifecycle.Group {
	g := lifecycle.New()
	g.Signals = []os.Signal{}
	g.StopTimeout = time.Second
	return g
}

// stopper ends the group as soon as all parts before it are started.
func stopper(g *lifecycle.Group, cancel context.CancelFunc) {
	g.Add("stopper", func(context.Context) error { cancel(); return nil }, nil)
}

func TestGroup_Run(t *testing.T) {
	t.Run("starts in order and stops in reverse", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var j journal
		g := newGroup()
		j.add(g, "a", nil, nil)
		j.add(g, "b", nil, nil)
		g.Go("loop", func(ctx context.Context) error {
			<-ctx.Done()
			j.note("loop ends")
			return ctx.Err()
		})
		j.add(g, "c", nil, nil)
		stopper(g, cancel)
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
		j.want(t, "start a", "start b", "start c", "stop c", "loop ends", "stop b", "stop a")
	})
	t.Run("a part that cannot start ends the start, and what was started is stopped", func(t *testing.T) {
		var j journal
		g := newGroup()
		j.add(g, "a", nil, nil)
		j.add(g, "b", errBroken, nil)
		j.add(g, "c", nil, nil)
		err := g.Run(t.Context())
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "start b") || strings.Count(err.Error(), "broken") != 1 {
			t.Errorf("got %v", err)
		}
		j.want(t, "start a", "start b", "stop a")
	})
	t.Run("errors of the stop are all told, and do not keep the others from stopping", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var j journal
		g := newGroup()
		j.add(g, "a", nil, errBroken)
		j.add(g, "b", nil, os.ErrClosed)
		stopper(g, cancel)
		if err := g.Run(ctx); !errors.Is(err, errBroken) || !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v", err)
		}
		j.want(t, "start a", "start b", "stop b", "stop a")
	})
	t.Run("a signal stops", func(t *testing.T) {
		g := newGroup()
		g.Signals = []os.Signal{syscall.SIGHUP}
		var j journal
		j.add(g, "a", nil, nil)
		g.Add("signal", func(context.Context) error { return syscall.Kill(os.Getpid(), syscall.SIGHUP) }, nil)
		if err := g.Run(t.Context()); err != nil {
			t.Error(err)
		}
		j.want(t, "start a", "stop a")
	})
	t.Run("the context of a start stays valid until the part is stopped", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup()
		var started context.Context
		keep := func(ctx context.Context) error { started = ctx; return nil } //nolint:fatcontext // what is tested
		g.Add("a", keep,
			func(context.Context) error { return started.Err() })
		stopper(g, cancel)
		if err := g.Run(ctx); err != nil {
			t.Errorf("ended before its stop: %v", err)
		}
		if started.Err() == nil {
			t.Error("goes on after its stop")
		}
	})
	t.Run("a stop that is asked for during a slow start aborts it", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var j journal
		g := newGroup()
		j.add(g, "a", nil, nil)
		g.Add("slow", func(ctx context.Context) error {
			cancel()
			<-ctx.Done()
			return ctx.Err()
		}, nil)
		j.add(g, "c", nil, nil)
		if err := g.Run(ctx); err != nil {
			t.Errorf("got %v", err)
		}
		j.want(t, "start a", "stop a")
	})
}

func TestGroup_Go(t *testing.T) {
	t.Run("a fatal error of a loop stops everything and is returned", func(t *testing.T) {
		var j journal
		g := newGroup()
		j.add(g, "a", nil, nil)
		fail := make(chan struct{})
		g.Go("loop", func(context.Context) error { <-fail; return errBroken })
		j.add(g, "b", nil, nil)
		g.Add("trigger", func(context.Context) error { close(fail); return nil }, nil)
		err := g.Run(t.Context())
		if !errors.Is(err, errBroken) || !strings.Contains(err.Error(), "loop") {
			t.Errorf("got %v", err)
		}
		j.want(t, "start a", "start b", "stop b", "stop a")
	})
	t.Run("a panic of a loop is fatal and the others still stop", func(t *testing.T) {
		var j journal
		g := newGroup()
		j.add(g, "a", nil, nil)
		g.Go("loop", func(context.Context) error { panic("invariant") })
		if err := g.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "invariant") {
			t.Errorf("got %v", err)
		}
		j.want(t, "start a", "stop a")
	})
	t.Run("a loop that ends without an error is done", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		g := newGroup()
		ended := make(chan struct{})
		g.Go("loop", func(context.Context) error { close(ended); return nil })
		g.Add("wait", func(context.Context) error { <-ended; cancel(); return nil }, nil)
		if err := g.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("Fail stops everything", func(t *testing.T) {
		g := newGroup()
		g.Add("a", func(context.Context) error { g.Fail(errBroken); return nil }, nil)
		if err := g.Run(t.Context()); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
	})
}

func TestGroup_StopTimeout(t *testing.T) {
	t.Run("a part that hangs is given up, the others get their time", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		release := make(chan struct{})
		defer close(release)
		var j journal
		g := newGroup()
		g.StopTimeout = 200 * time.Millisecond
		j.add(g, "a", nil, nil)
		g.Add("deaf", nil, func(context.Context) error { <-release; return nil })
		g.Add("patient", nil, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		g.Go("loop", func(context.Context) error { <-release; return nil })
		stopper(g, cancel)
		done := make(chan error, 1)
		go func() { done <- g.Run(ctx) }()
		select {
		case err := <-done:
			for _, part := range []string{"deaf", "patient", "loop"} {
				if !strings.Contains(err.Error(), "stop "+part+": "+lifecycle.ErrStopTimeout.Error()) {
					t.Errorf("%s is not told in %q", part, err)
				}
			}
		case <-time.NewTimer(testLimit).C:
			t.Fatal("the stop is not bounded")
		}
		j.want(t, "start a", "stop a")
	})
	t.Run("a second signal cuts the stop short", func(t *testing.T) {
		g := newGroup()
		g.Signals = []os.Signal{syscall.SIGHUP}
		g.StopTimeout = testLimit
		signalled := func(context.Context) error { return syscall.Kill(os.Getpid(), syscall.SIGHUP) }
		g.Add("slow", signalled, func(ctx context.Context) error {
			err := signalled(ctx)
			<-ctx.Done()
			return errors.Join(err, ctx.Err())
		})
		if err := g.Run(t.Context()); !errors.Is(err, lifecycle.ErrAborted) {
			t.Errorf("got %v", err)
		}
	})
}
