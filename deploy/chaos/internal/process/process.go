// Package process starts the processes that a fault test kills. They die with the one
// that has started them, however that ends.
package process

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"

	"mscoin/mscoin-common/clock"
)

// Spec says what to start.
type Spec struct {
	// Name is what it is called; Log is the file that gets what it prints, at its end.
	Name, Log string
	// Path is the program, Args its arguments, Env what its environment has more.
	Path string
	Args []string
	Env  []string
}

// Process is a started process.
type Process struct {
	spec Spec
	cmd  *exec.Cmd
	done chan struct{}
	err  error // valid after done
}

// starter starts processes from one thread that never ends: the system ties their lives to
// that thread, not to the process.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

// Start starts spec.
func Start(spec Spec) (*Process, error) {
	log, err := os.OpenFile(spec.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	defer func() { _ = log.Close() }()
	p := &Process{spec: spec, done: make(chan struct{})}
	p.cmd = exec.Command(spec.Path, spec.Args...) //nolint:gosec,noctx // what is tested; killed by Kill
	p.cmd.Env = append(os.Environ(), spec.Env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = dieWithUs()
	started := make(chan error)
	starter() <- func() { started <- p.cmd.Start() }
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Name returns what the process is called.
func (p *Process) Name() string { return p.spec.Name }

// Done is closed when the process is gone.
func (p *Process) Done() <-chan struct{} { return p.done }

// Running reports whether the process is there, stopped or not.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Err returns how the process has ended; call it after Done.
func (p *Process) Err() error { return p.err }

// Kill is kill -9; it returns when the process is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // it may be gone already
	<-p.done
}

// Suspend and Resume are SIGSTOP and SIGCONT.
func (p *Process) Suspend() { _ = p.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume lets a suspended process go on.
func (p *Process) Resume() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// Memory returns how many bytes of the process are in memory (Linux).
func (p *Process) Memory() (int64, error) {
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.spec.Name, err)
	}
	var size, resident int64
	if _, err := fmt.Sscan(string(content), &size, &resident); err != nil {
		return 0, fmt.Errorf("memory of %s: %w", p.spec.Name, err)
	}
	return resident * int64(os.Getpagesize()), nil
}

// Wait waits until the process is gone.
func (p *Process) Wait(ctx context.Context) error {
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s has not ended: %w", p.spec.Name, ctx.Err())
	}
}

// pollEvery is how often Poll looks.
const pollEvery = 20 * time.Millisecond

// Poll calls check until it returns nil, at most for within. Its error is that of the last check.
func Poll(ctx context.Context, within time.Duration, what string, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // not the one of a check that was cut off
		}
		if sleepErr := clock.Sleep(ctx, clock.Real(), pollEvery); sleepErr != nil {
			return fmt.Errorf("waited %v for %s: %w", within, what, errors.Join(last, context.Cause(ctx)))
		}
	}
}

// Tail returns the last n bytes that a process has printed.
func Tail(log string, n int64) string {
	f, err := os.Open(log)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err.Error()
	}
	buf := make([]byte, min(n, info.Size()))
	if _, err := f.ReadAt(buf, info.Size()-int64(len(buf))); err != nil {
		return err.Error()
	}
	return string(buf)
}
