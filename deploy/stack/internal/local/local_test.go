package local

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/process"
	"mscoin/deploy/stack/internal/server"
	"mscoin/mscoin-common/clock"
)

// buffer collects what a stack says.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newStack(t *testing.T) (*Stack, *buffer) {
	t.Helper()
	folder, err := layout.Open(filepath.Join(t.TempDir(), "stack"))
	if err != nil {
		t.Fatal(err)
	}
	out := &buffer{}
	s := &Stack{Folder: folder, Clock: clock.Real(), Out: out}
	t.Cleanup(func() {
		if err := s.Down(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	})
	return s, out
}

func newUpper(t *testing.T) (*upper, *buffer) {
	t.Helper()
	s, out := newStack(t)
	site, err := s.site(layout.Default())
	if err != nil {
		t.Fatal(err)
	}
	return &upper{Stack: s, site: site}, out
}

// sleeper is a component that does nothing; script runs before it sleeps.
func sleeper(s *Stack, name string) server.Component {
	nothing := func(context.Context) error { return nil }
	return server.Component{
		Name: name, Addr: "nowhere", Infrastructure: true, Prepare: nothing, Ready: nothing,
		Spec: process.Spec{
			Path: "/bin/sleep", Args: []string{"300"}, Home: string(s.Folder), Log: s.Folder.Log(name), PIDFile: s.Folder.PIDFile(name),
		},
		ReadyWithin: 10 * time.Second, StopWithin: 10 * time.Second,
	}
}

func state(t *testing.T, s *Stack, name string) process.State {
	t.Helper()
	st, _, err := s.state(name)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func TestUpper_Together(t *testing.T) {
	t.Run("what runs already is left alone", func(t *testing.T) {
		u, _ := newUpper(t)
		c := []server.Component{sleeper(u.Stack, "a"), sleeper(u.Stack, "b")}
		if err := u.together(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, before, _ := u.state("a")
		if err := u.together(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if _, after, _ := u.state("a"); after.PID != before.PID {
			t.Error("started twice")
		}
	})
	t.Run("what has crashed is started again and said", func(t *testing.T) {
		u, out := newUpper(t)
		c := []server.Component{sleeper(u.Stack, "a")}
		if err := u.together(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		_, rec, _ := u.state("a")
		if err := syscall.Kill(rec.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		for state(t, u.Stack, "a") == process.Running && t.Context().Err() == nil {
			<-u.Clock.After(time.Millisecond)
		}
		if err := u.together(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if state(t, u.Stack, "a") != process.Running || !strings.Contains(out.String(), "had crashed") {
			t.Errorf("%v: %s", state(t, u.Stack, "a"), out)
		}
	})
	t.Run("one that ends while it starts fails at once and shows its log", func(t *testing.T) {
		u, _ := newUpper(t)
		c := sleeper(u.Stack, "a")
		c.Spec.Path, c.Spec.Args = "/bin/sh", []string{"-c", "sleep 0.1; echo the reason; exit 1"}
		c.Ready = func(context.Context) error { return errors.New("no") }
		begin := u.Clock.Now()
		err := u.together(t.Context(), []server.Component{c})
		if err == nil || !strings.Contains(err.Error(), "the reason") {
			t.Errorf("got %v", err)
		}
		if took := u.Clock.Now().Sub(begin); took > c.ReadyWithin/2 {
			t.Errorf("took %v", took)
		}
	})
	t.Run("one that never gets ready fails when its time is over", func(t *testing.T) {
		u, _ := newUpper(t)
		c := sleeper(u.Stack, "a")
		c.ReadyWithin = 50 * time.Millisecond
		c.Ready = func(context.Context) error { return errors.New("still thinking") }
		if err := u.together(t.Context(), []server.Component{c}); err == nil || !strings.Contains(err.Error(), "still thinking") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a question that hangs is given up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if err := ask(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }); err == nil {
			t.Error("no error")
		}
	})
	t.Run("a port that somebody else has is named before anything starts", func(t *testing.T) {
		u, _ := newUpper(t)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := sleeper(u.Stack, "a")
		c.Ports = []int{l.Addr().(*net.TCPAddr).Port}
		if err := u.together(t.Context(), []server.Component{c}); err == nil || !strings.Contains(err.Error(), "-port") {
			t.Errorf("got %v", err)
		}
		if state(t, u.Stack, "a") != process.Stopped {
			t.Error("started")
		}
	})
}

func TestUpper_Undo(t *testing.T) {
	t.Run("a failed start stops what it has started and nothing else", func(t *testing.T) {
		u, _ := newUpper(t)
		if err := u.together(t.Context(), []server.Component{sleeper(u.Stack, "before")}); err != nil {
			t.Fatal(err)
		}
		failing := &upper{Stack: u.Stack, site: u.site}
		bad := sleeper(u.Stack, "bad")
		bad.Prepare = func(context.Context) error { return errors.New("no") }
		if err := failing.together(t.Context(), []server.Component{sleeper(u.Stack, "before"), sleeper(u.Stack, "good"), bad}); err == nil {
			t.Fatal("no error")
		}
		if err := failing.undo(t.Context()); err != nil {
			t.Fatal(err)
		}
		if state(t, u.Stack, "before") != process.Running || state(t, u.Stack, "good") != process.Stopped {
			t.Errorf("before %v, good %v", state(t, u.Stack, "before"), state(t, u.Stack, "good"))
		}
	})
}

func TestStack_Up(t *testing.T) {
	t.Run("wrong settings and missing programs start nothing", func(t *testing.T) {
		s, _ := newStack(t)
		bad := layout.Default()
		bad.Brokers = 2
		if err := s.Up(t.Context(), bad); err == nil {
			t.Error("two brokers were accepted")
		}
		if err := s.Up(t.Context(), layout.Default()); err == nil || !strings.Contains(err.Error(), "stack-install") {
			t.Errorf("without Kafka: %v", err)
		}
	})
	t.Run("other data are refused while the stack runs", func(t *testing.T) {
		u, _ := newUpper(t)
		if err := u.Folder.Save(layout.Default()); err != nil {
			t.Fatal(err)
		}
		if err := u.together(t.Context(), []server.Component{sleeper(u.Stack, "a")}); err != nil {
			t.Fatal(err)
		}
		if err := u.refuseRunning(layout.Default()); err == nil || !strings.Contains(err.Error(), "stop the stack") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("two commands never change the stack at once", func(t *testing.T) {
		s, _ := newStack(t)
		err := s.locked(func() error { return s.locked(func() error { return nil }) })
		if !errors.Is(err, ErrBusy) {
			t.Errorf("got %v", err)
		}
	})
}

func TestStack_Down(t *testing.T) {
	t.Run("leaves no process with or without a record", func(t *testing.T) {
		u, out := newUpper(t)
		names := []string{"redis", "unknown", "lost"}
		for _, name := range names {
			if err := u.together(t.Context(), []server.Component{sleeper(u.Stack, name)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Remove(u.Folder.PIDFile("lost")); err != nil {
			t.Fatal(err)
		}
		if err := u.Down(t.Context()); err != nil {
			t.Fatal(err)
		}
		if strays, err := process.Strays(string(u.Folder)); err != nil || len(strays) != 0 {
			t.Errorf("left: %v, %v", strays, err)
		}
		if !strings.Contains(out.String(), "stopped 3 processes") {
			t.Error(out)
		}
	})
	t.Run("with nothing running it says so", func(t *testing.T) {
		s, out := newStack(t)
		if err := s.Down(t.Context()); err != nil || !strings.Contains(out.String(), "nothing was running") {
			t.Errorf("%v: %s", err, out)
		}
	})
}

func TestStack_Status(t *testing.T) {
	t.Run("a stack that was never started is down", func(t *testing.T) {
		s, out := newStack(t)
		if h, err := s.Status(t.Context()); err != nil || h != Down {
			t.Errorf("%v, %v: %s", h, err, out)
		}
	})
	t.Run("a process that runs and does not answer is not healthy", func(t *testing.T) {
		u, out := newUpper(t)
		if err := u.together(t.Context(), []server.Component{sleeper(u.Stack, "redis")}); err != nil {
			t.Fatal(err)
		}
		if h, err := u.Status(t.Context()); err != nil || h != Unhealthy || !strings.Contains(out.String(), "running, not ready") {
			t.Errorf("%v, %v: %s", h, err, out)
		}
	})
	t.Run("healthy means everything, down means nothing", func(t *testing.T) {
		run, stopped, crashed := line{state: process.Running}, line{}, line{state: process.Crashed}
		silent := line{state: process.Running, problem: errors.New("x")}
		for _, tt := range []struct {
			lines  []line
			strays int
			want   Health
		}{
			{[]line{run, run}, 0, Healthy},
			{[]line{run, stopped}, 0, Unhealthy},
			{[]line{run, crashed}, 0, Unhealthy},
			{[]line{run, silent}, 0, Unhealthy},
			{[]line{crashed, crashed}, 0, Unhealthy},
			{[]line{stopped, stopped}, 0, Down},
			{[]line{stopped, stopped}, 1, Unhealthy},
			{[]line{run, run}, 1, Unhealthy},
		} {
			if got := sum(tt.lines, tt.strays); got != tt.want {
				t.Errorf("%+v and %d strays: %v, want %v", tt.lines, tt.strays, got, tt.want)
			}
		}
	})
}

func TestStack_Logs(t *testing.T) {
	s, out := newStack(t)
	if err := os.WriteFile(s.Folder.Log("redis"), []byte("one\ntwo\nthree\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("shows the last lines", func(t *testing.T) {
		if err := s.Logs(t.Context(), nil, 2, false); err != nil {
			t.Fatal(err)
		}
		if got := out.String(); !strings.Contains(got, "two\nthree\n") || strings.Contains(got, "one") {
			t.Error(got)
		}
	})
	t.Run("follows what is added, and a file that begins anew", func(t *testing.T) {
		size := int64(14)
		for _, content := range []string{"one\ntwo\nthree\nfour\n", "anew\n"} {
			if err := os.WriteFile(s.Folder.Log("redis"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.follow("redis", &size); err != nil {
				t.Fatal(err)
			}
		}
		if got := out.String(); !strings.Contains(got, "redis: four\nredis: anew\n") {
			t.Error(got)
		}
	})
}

func TestEnvFile(t *testing.T) {
	t.Run("a shell reads back what was written", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "env")
		dsn := `u:p'w"$x@tcp(127.0.0.1:1)/db?a=b&c=d`
		if err := os.WriteFile(file, EnvFile([]string{"A_DSN=" + dsn}), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("/bin/sh", "-c", `. "$1"; printf %s "$A_DSN"`, "sh", file).Output()
		if err != nil || string(out) != dsn {
			t.Errorf("%q, %v", out, err)
		}
	})
}
