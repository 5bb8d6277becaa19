// Package server describes the servers of a stack: how each is set up once, started,
// and asked whether it is ready.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/programs"
	"mscoin/deploy/stack/internal/secret"
	"mscoin/mscoin-common/clock"
)

// Component is one process of the stack.
type Component struct {
	// Name is its name in the commands' output and of its files.
	Name string
	// Infrastructure marks the servers below the services: they stop together.
	Infrastructure bool
	// Addr is where it listens.
	Addr string
	// Ports are all the ports it binds.
	Ports []int
	// Prepare writes its configuration and sets its data up when there is none yet.
	Prepare func(ctx context.Context) error
	// Spec is the process.
	Spec process.Spec
	// Ready returns nil once it does its work.
	Ready func(ctx context.Context) error
	// ReadyWithin bounds the wait for Ready after a start, StopWithin the wait for a
	// graceful end.
	ReadyWithin, StopWithin time.Duration
}

// Site is what the components need to know about their stack.
type Site struct {
	Folder   layout.Folder
	Settings layout.Settings
	Secrets  *secret.Store
	Programs programs.Programs
	Clock    clock.Clock
}

func (s Site) spec(name, path string, args ...string) process.Spec {
	return process.Spec{
		Path: path, Args: args, Home: string(s.Folder), Log: s.Folder.Log(name), PIDFile: s.Folder.PIDFile(name),
	}
}

// Infrastructure returns the database, Redis and the brokers. They do not need each
// other and start together.
func Infrastructure(s Site) []Component {
	components := []Component{database(s), redis(s)}
	for n := 1; n <= s.Settings.Brokers; n++ {
		components = append(components, broker(s, n))
	}
	for i := range components {
		components[i].Infrastructure = true
	}
	return components
}

// initialised marks a data folder whose set-up has been completed.
const initialised = "initialised"

// once sets up a data folder that has not been set up completely: what an interrupted
// set-up left behind has never held data and is removed.
func once(dir string, setUp func() error) error {
	mark := filepath.Join(dir, initialised)
	if _, err := os.Stat(mark); err == nil {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := setUp(); err != nil {
		return err
	}
	return private.WriteFile(mark, nil)
}

// toolLimit bounds one run of a set-up program.
const toolLimit = 2 * time.Minute

// runTool runs a set-up program and its children to their end.
func (s Site) runTool(ctx context.Context, env []string, path string, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, toolLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the stack's own programs
	cmd.Dir = string(s.Folder)
	cmd.Env = append(append(os.Environ(), env...), process.HomeEnv+"="+string(s.Folder))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), errors.Join(err, ctx.Err()), lastLines(out.String(), 15))
	}
	return nil
}

func lastLines(s string, n int) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
