// Package process starts programs that outlive this one, finds them again, and stops
// them. A process is known by its number, its start time, the boot it belongs to and
// its command line, so that a number the system has given to somebody else is never
// taken for ours.
package process

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/mscoin-common/clock"
)

// HomeEnv marks every process of a stack with the stack's folder, so that one whose
// record was never written can still be found.
const HomeEnv = "MSCOIN_STACK_HOME"

const (
	pollEvery = 25 * time.Millisecond
	// killLimit bounds the wait for a process after SIGKILL.
	killLimit = 10 * time.Second
)

// Spec says what to start.
type Spec struct {
	// Path is the program, Args its arguments without the program's name.
	Path string
	Args []string
	// Env is added to this process' environment.
	Env []string
	// Home is the stack's folder, and the new process' working folder.
	Home string
	// Log gets what it prints, PIDFile its record.
	Log, PIDFile string
}

// Record identifies a process.
type Record struct {
	PID int `json:"pid"`
	// StartTicks is the start time in clock ticks since the boot.
	StartTicks uint64 `json:"startTicks"`
	// BootID names the boot of the machine.
	BootID string `json:"bootId"`
	// Cmdline is the program with its arguments, as the system shows them.
	Cmdline []string `json:"cmdline"`
	// StartedMs is the time of the start in ms since the epoch, for people.
	StartedMs int64 `json:"startedMs"`
}

// State says how a component's process is.
type State uint8

const (
	// Stopped means that there is no record of a process.
	Stopped State = iota
	// Running means that the recorded process is alive.
	Running
	// Crashed means that a process is recorded and gone without having been stopped.
	Crashed
)

// String names the state.
func (s State) String() string {
	switch s {
	case Stopped:
		return "stopped"
	case Running:
		return "running"
	case Crashed:
		return "crashed"
	}
	return fmt.Sprintf("State(%d)", uint8(s))
}

// maxLog is the size above which a log is put aside at the next start.
const maxLog = 16 << 20

// Start starts spec in a session of its own, so that it outlives the terminal, and
// records it. The process is reaped if it ends while this one lives.
func Start(spec Spec, clk clock.Clock) (Record, error) {
	log, err := openLog(spec.Log)
	if err != nil {
		return Record{}, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(spec.Path, spec.Args...) //nolint:gosec,noctx // outlives every context on purpose
	cmd.Env = append(append(os.Environ(), spec.Env...), HomeEnv+"="+spec.Home)
	cmd.Dir = spec.Home
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return Record{}, fmt.Errorf("start %s: %w", spec.Path, err)
	}
	rec, err := identifyNew(cmd.Process.Pid, cmd.Args, clk)
	if err == nil {
		rec.StartedMs = clk.NowMs()
		err = rec.save(spec.PIDFile)
	}
	if err != nil {
		return Record{}, errors.Join(fmt.Errorf("start %s: %w", spec.Path, err), cmd.Process.Kill(), cmd.Wait())
	}
	go func() { _ = cmd.Wait() }()
	return rec, nil
}

func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}

// identifyLimit bounds the wait for a new process to show its command line.
const identifyLimit = 5 * time.Second

// identifyNew is identify for a process that has just been started: for a moment the
// system shows none of its arguments.
func identifyNew(pid int, args []string, clk clock.Clock) (Record, error) {
	deadline := clk.Now().Add(identifyLimit)
	for {
		rec, err := identify(pid)
		if err != nil || slices.Equal(rec.Cmdline, args) {
			return rec, err
		}
		if clk.Now().After(deadline) {
			return rec, fmt.Errorf("process %d shows the command line %q, want %q", pid, rec.Cmdline, args)
		}
		<-clk.After(time.Millisecond)
	}
}

// identify reads what the system knows about a process.
func identify(pid int) (Record, error) {
	boot, err := bootID()
	if err != nil {
		return Record{}, err
	}
	p, err := readProc(pid)
	if err != nil {
		return Record{}, err
	}
	if p.gone() {
		return Record{}, fmt.Errorf("process %d ended at once", pid)
	}
	return Record{PID: pid, StartTicks: p.startTicks, BootID: boot, Cmdline: p.cmdline}, nil
}

func (r Record) save(path string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return private.WriteFile(path, append(content, '\n'))
}

// alive reports whether the recorded process, and no other with its number, runs.
func (r Record) alive() (bool, error) {
	boot, err := bootID()
	if err != nil {
		return false, err
	}
	if boot != r.BootID {
		return false, nil
	}
	p, err := readProc(r.PID)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return !p.gone() && p.startTicks == r.StartTicks && slices.Equal(p.cmdline, r.Cmdline), nil
}

// Look returns the state of the process that pidFile records.
func Look(pidFile string) (State, Record, error) {
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return Stopped, Record{}, nil
	}
	if err != nil {
		return Stopped, Record{}, fmt.Errorf("pid file: %w", err)
	}
	var rec Record
	if err := json.Unmarshal(content, &rec); err != nil || rec.PID <= 1 {
		return Stopped, Record{}, fmt.Errorf("pid file %s is damaged: %w", pidFile, errors.Join(err, errors.New("no process number")))
	}
	ok, err := rec.alive()
	if err != nil {
		return Stopped, rec, fmt.Errorf("look at process %d: %w", rec.PID, err)
	}
	if !ok {
		return Crashed, rec, nil
	}
	return Running, rec, nil
}

// Outcome says how a stop went.
type Outcome uint8

const (
	// WasNotRunning means that there was nothing to stop.
	WasNotRunning Outcome = iota
	// Ended means that the process ended after SIGTERM.
	Ended
	// Killed means that it had to be killed.
	Killed
)

// Stop ends the process that pidFile records: SIGTERM, then SIGKILL when it has not
// ended within grace. The record is removed once the process is gone.
func Stop(ctx context.Context, pidFile string, grace time.Duration, clk clock.Clock) (Outcome, error) {
	state, rec, err := Look(pidFile)
	if err != nil {
		return WasNotRunning, err
	}
	outcome := WasNotRunning
	if state == Running {
		if outcome, err = StopRecord(ctx, rec, grace, clk); err != nil {
			return outcome, err
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return outcome, fmt.Errorf("remove pid file: %w", err)
	}
	return outcome, nil
}

// StopRecord is Stop for a process without a PID file. When ctx ends the process is
// killed at once.
func StopRecord(ctx context.Context, rec Record, grace time.Duration, clk clock.Clock) (Outcome, error) {
	// The handle is taken first and the identity is checked after: from then on a signal
	// reaches this process or none.
	handle, err := os.FindProcess(rec.PID)
	if err != nil {
		return WasNotRunning, fmt.Errorf("process %d: %w", rec.PID, err)
	}
	defer func() { _ = handle.Release() }()
	if ok, err := rec.alive(); err != nil || !ok {
		return WasNotRunning, err
	}
	if err := send(handle, syscall.SIGTERM); err != nil {
		return WasNotRunning, fmt.Errorf("end process %d: %w", rec.PID, err)
	}
	gone, err := rec.waitGone(ctx, grace, clk)
	if err != nil || gone {
		return Ended, err
	}
	if err := send(handle, syscall.SIGKILL); err != nil {
		return Killed, fmt.Errorf("kill process %d: %w", rec.PID, err)
	}
	gone, err = rec.waitGone(context.WithoutCancel(ctx), killLimit, clk)
	if err == nil && !gone {
		err = fmt.Errorf("process %d is still there %v after SIGKILL", rec.PID, killLimit)
	}
	return Killed, err
}

func send(p *os.Process, s os.Signal) error {
	if err := p.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// waitGone polls until the process is gone, the limit is over or ctx has ended.
func (r Record) waitGone(ctx context.Context, limit time.Duration, clk clock.Clock) (bool, error) {
	deadline := clk.Now().Add(limit)
	for {
		ok, err := r.alive()
		if err != nil {
			return false, fmt.Errorf("wait for process %d: %w", r.PID, err)
		}
		if !ok {
			return true, nil
		}
		if clk.Now().After(deadline) || clock.Sleep(ctx, clk, pollEvery) != nil {
			return false, nil
		}
	}
}
