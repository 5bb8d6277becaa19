// Package lifecycle starts the parts of a process in order and stops them in reverse, in bounded time.
//
//	g := lifecycle.New()
//	g.Add("database", openDB, closeDB)
//	g.Add("grpc", server.Start, server.Stop)
//	g.Go("settlement", consumer.Run) // an error ends the process
//	return g.Run(ctx)                // until ctx ends, SIGINT, SIGTERM or a fatal error
//
// The order is the whole point: what is added later may use what was added earlier, in its start as
// well as in its stop.
package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"syscall"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
)

// DefaultStopTimeout bounds the whole stop.
const DefaultStopTimeout = 10 * time.Second

// frameworkGrace is how much longer than our own stop the web framework waits before it runs its
// shutdown hooks (all at once, in no order) and kills the process.
const frameworkGrace = 2 * time.Second

var (
	// ErrStopTimeout marks a part that did not stop in its share of the time.
	ErrStopTimeout = errors.New("did not stop in time")
	// ErrAborted marks a stop that a second signal cut short.
	ErrAborted = errors.New("stop was cut short by a second signal")
)

// Group is the ordered list of a process' parts. Add everything first, then call Run once.
type Group struct {
	// StopTimeout bounds the whole stop; 0 means DefaultStopTimeout.
	StopTimeout time.Duration
	// Signals end Run; nil means SIGINT and SIGTERM, an empty slice none.
	Signals []os.Signal

	parts []*part
	fatal chan error
}

// part is a component or a loop.
type part struct {
	name  string
	start func(context.Context) error
	stop  func(context.Context) error

	ctx    context.Context //nolint:containedctx // lives from this part's start to its stop
	cancel context.CancelFunc
}

// New returns an empty group.
func New() *Group { return &Group{fatal: make(chan error, 1)} }

// Add appends a part. start must return once the part is ready; its context stays valid until the part
// has been stopped, so that what start launches may keep it. stop gets a context that ends when its
// time is up. Either may be nil.
func (g *Group) Add(name string, start, stop func(context.Context) error) {
	g.parts = append(g.parts, &part{name: name, start: start, stop: stop})
}

// Go appends a loop. It starts in its turn and runs until its context ends. An error, other than that
// of its ended context, or a panic is fatal: the whole group stops and Run returns it. Returning nil
// early is fine.
func (g *Group) Go(name string, run func(context.Context) error) {
	done := make(chan struct{})
	loop := &part{name: name}
	loop.start = func(ctx context.Context) error {
		go func() {
			defer close(done)
			if err := guard(ctx, run); err != nil && ctx.Err() == nil {
				g.fail(fmt.Errorf("%s: %w", name, err))
			}
		}()
		return nil
	}
	loop.stop = func(ctx context.Context) error {
		loop.cancel()
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	g.parts = append(g.parts, loop)
}

// guard turns a panic into an error, so that the other parts still stop in order.
func guard(ctx context.Context, run func(context.Context) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	return run(ctx)
}

// Fail ends Run with err, as a loop's error does. Only the first one counts.
func (g *Group) Fail(err error) { g.fail(err) }

func (g *Group) fail(err error) {
	select {
	case g.fatal <- err:
	default:
		logx.Errorf("lifecycle: %v (already stopping)", err)
	}
}

// Run starts every part in order, waits for ctx, a signal or a fatal error, and stops the started parts
// in reverse. It returns nil after an ordered stop that was asked for, otherwise all errors joined.
func (g *Group) Run(ctx context.Context) error {
	timeout := g.StopTimeout
	if timeout == 0 {
		timeout = DefaultStopTimeout
	}
	// Keep the framework's own signal handling out of the way until we are done.
	proc.Setup(proc.ShutdownConf{WrapUpTime: timeout + frameworkGrace, WaitTime: timeout + 2*frameworkGrace})
	signals := make(chan os.Signal, 2)
	if watch := g.signals(); len(watch) > 0 {
		signal.Notify(signals, watch...)
		defer signal.Stop(signals)
	}
	asked := make(chan struct{})
	var cause error
	go func() {
		defer close(asked)
		select {
		case <-ctx.Done():
		case sig := <-signals:
			logx.Infof("lifecycle: stopping on %v", sig)
		case cause = <-g.fatal:
			logx.Errorf("lifecycle: stopping: %v", cause)
		}
	}()
	started, startErr := g.startAll(ctx, asked)
	if startErr != nil {
		g.fail(startErr) // wakes the watcher above, when nothing else has
	}
	<-asked
	if errors.Is(startErr, context.Canceled) || errors.Is(cause, startErr) {
		startErr = nil // told to give up, or reported already
	}
	return errors.Join(cause, startErr, g.stopAll(ctx, g.parts[:started], timeout, signals))
}

func (g *Group) signals() []os.Signal {
	if g.Signals == nil {
		return []os.Signal{syscall.SIGINT, syscall.SIGTERM}
	}
	return g.Signals
}

// startAll returns how many parts have been started. It gives up when a stop is asked for.
func (g *Group) startAll(ctx context.Context, asked <-chan struct{}) (started int, err error) {
	for i, p := range g.parts {
		select {
		case <-asked:
			return i, nil
		default:
		}
		p.ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx)) //nolint:fatcontext // one for each part, side by side
		if p.start == nil {
			continue
		}
		if err := startOne(p, asked); err != nil {
			p.cancel()
			return i, fmt.Errorf("start %s: %w", p.name, err)
		}
	}
	return len(g.parts), nil
}

// startOne cancels a start that is under way when a stop is asked for.
func startOne(p *part, asked <-chan struct{}) error {
	returned := make(chan struct{})
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-asked:
			p.cancel()
		case <-returned:
		}
	}()
	err := guard(p.ctx, p.start)
	close(returned)
	<-watched
	return err
}

// stopAll gives each part at most half of the time that is left, so that one that hangs does not take
// the others' time to close their files.
func (g *Group) stopAll(ctx context.Context, parts []*part, timeout time.Duration, signals <-chan os.Signal) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	aborted := make(chan struct{})
	stopped := make(chan struct{})
	defer close(stopped)
	go func() {
		select {
		case <-signals:
			close(aborted)
			cancel()
		case <-stopped:
		}
	}()
	var errs []error
	for _, p := range slices.Backward(parts) {
		if err := stopOne(ctx, p); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", p.name, err))
		}
	}
	select {
	case <-aborted:
		errs = append(errs, ErrAborted)
	default:
	}
	return errors.Join(errs...)
}

func stopOne(ctx context.Context, p *part) error {
	defer p.cancel()
	if p.stop == nil {
		return nil
	}
	share := minShare
	if deadline, ok := ctx.Deadline(); ok {
		share = max(time.Until(deadline)/2, minShare)
	}
	ctx, cancel := context.WithTimeout(ctx, share)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- guard(ctx, p.stop) }()
	select {
	case err := <-done:
		if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return ErrStopTimeout
		}
		return err
	case <-ctx.Done():
	}
	// One more look: a stop that honours its context is just about to return.
	select {
	case err := <-done:
		return errors.Join(ErrStopTimeout, err)
	case <-time.NewTimer(minShare).C:
		return ErrStopTimeout
	}
}

// minShare is what a part gets at least, even when the time is up.
const minShare = 20 * time.Millisecond
