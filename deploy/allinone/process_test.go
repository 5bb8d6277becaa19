package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"mscoin/deploy/demo/story"
)

// build compiles a program of this module once per test binary.
var build = struct {
	sync.Mutex
	dir  string
	done map[string]string
}{done: map[string]string{}}

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mscoin-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	build.dir = dir
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func program(t *testing.T, pkg string) string {
	t.Helper()
	build.Lock()
	defer build.Unlock()
	if path, ok := build.done[pkg]; ok {
		return path
	}
	path := filepath.Join(build.dir, filepath.Base(pkg))
	cmd := exec.Command("go", "build", "-o", path, pkg)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build %s: %v\n%s", pkg, err, out)
	}
	build.done[pkg] = path
	return path
}

// process is a program that a test has started.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	out  *lockedBuffer
	done chan struct{}
	err  error // valid after done
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func start(t *testing.T, path string, env []string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(path, args...), out: &lockedBuffer{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(path), tail(p.out.String(), 8000))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

// kill is kill -9; it returns when the process is gone.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate is SIGTERM; it fails the test unless the process ends cleanly in time.
func (p *process) terminate(within time.Duration) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatalf("signal: %v", err)
	}
	select {
	case <-p.done:
		if p.err != nil {
			p.t.Fatalf("stop by SIGTERM was not clean: %v\n%s", p.err, tail(p.out.String(), 4000))
		}
	case <-time.After(within):
		p.t.Fatalf("not stopped %s after SIGTERM\n%s", within, tail(p.out.String(), 4000))
	}
}

// exchange is an all-in-one process on a folder of its own.
type exchange struct {
	*process
	dir, addr string
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func startExchange(t *testing.T, dir, addr string, env ...string) *exchange {
	t.Helper()
	e := &exchange{dir: dir, addr: addr}
	e.process = start(t, program(t, "mscoin/deploy/allinone"), append(env, "MSCOIN_DATA="+dir, "MSCOIN_ADDR="+addr))
	e.waitReady(60 * time.Second)
	return e
}

func (e *exchange) waitReady(within time.Duration) {
	e.t.Helper()
	poll(e.t, within, "the exchange to be ready", func() error {
		select {
		case <-e.done:
			e.t.Fatalf("the exchange ended: %v\n%s", e.err, tail(e.out.String(), 8000))
		default:
		}
		if _, err := os.Stat(filepath.Join(e.dir, "demo.json")); err != nil {
			return err
		}
		resp, err := http.Get("http://" + e.addr + "/readyz")
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("/readyz answers %s", resp.Status)
		}
		return nil
	})
}

func (e *exchange) access() story.Access {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(e.dir, "demo.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var a story.Access
	if err := json.Unmarshal(content, &a); err != nil {
		e.t.Fatal(err)
	}
	return a
}

// poll calls check until it returns nil, or fails the test at the deadline.
func poll(t *testing.T, within time.Duration, what string, check func() error) {
	t.Helper()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-deadline.C:
			t.Fatalf("waited %s for %s: %v", within, what, err)
		case <-tick.C:
		}
	}
}

// reconcile runs the operator's command on the folder, or on what env says, and returns what it printed.
func reconcile(t *testing.T, dir string, env ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t, "mscoin/deploy/reconcile"))
	cmd.Env = append(append(os.Environ(), "MSCOIN_DATA="+dir), env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// mustReconcile polls until reconciliation is clean: settlement may be a moment behind the last answer.
func mustReconcile(t *testing.T, dir string, env ...string) {
	t.Helper()
	poll(t, 20*time.Second, "a clean reconciliation", func() error {
		out, err := reconcile(t, dir, env...)
		if err != nil {
			return errors.Join(err, errors.New(out))
		}
		return nil
	})
}
