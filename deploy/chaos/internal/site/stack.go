package site

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

const (
	// stackPort keeps the servers off the ports of a stack that somebody uses.
	stackPort = 25000
	// stackProxies is how much higher the ports are to which the brokers send their clients.
	stackProxies = 60
	stackWithin  = 4 * time.Minute
)

// stack are the real servers of deploy/stack, in a stack of its own.
type stack struct {
	s   *Site
	env map[string]string
}

func (k *stack) open(ctx context.Context, s *Site) error {
	k.s = s
	// A broker tells its clients to come through the proxy.
	for n := range s.cfg.Brokers {
		own := fmt.Sprintf("127.0.0.1:%d", stackPort+10+n)
		listen := fmt.Sprintf("127.0.0.1:%d", stackPort+10+n+stackProxies)
		name := fmt.Sprintf("services-kafka-%d", n+1)
		if _, err := s.links.open(name, listen, own); err != nil {
			return err
		}
		s.brokers = append(s.brokers, listen)
	}
	if err := k.up(ctx); err != nil {
		return err
	}
	out, err := k.command(ctx, "run", "env").Output()
	if err != nil {
		return fmt.Errorf("environment of the stack: %w", err)
	}
	k.env = map[string]string{}
	for line := range strings.Lines(string(out)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			k.env[name] = value
		}
	}
	for _, kind := range []string{Wallet, Gateway} {
		if err := s.link(ctx, kind, "redis", fmt.Sprintf("127.0.0.1:%d", stackPort+1)); err != nil {
			return err
		}
	}
	for _, kind := range []string{Exchange, Wallet, Market, Ucenter} {
		if err := s.link(ctx, kind, "database", fmt.Sprintf("127.0.0.1:%d", stackPort)); err != nil {
			return err
		}
	}
	s.Units = append(s.Units, k.unit("mariadb", Database), k.unit("redis", Redis))
	for n := range s.cfg.Brokers {
		s.Units = append(s.Units, k.unit(fmt.Sprintf("kafka-%d", n+1), Broker))
	}
	return nil
}

func (k *stack) unit(name, kind string) *Unit {
	return &Unit{Name: name, Kind: kind, control: &server{stack: k, name: name}}
}

// command runs deploy/stack. Its processes outlive this one: `stack down` in the folder
// ends them.
func (k *stack) command(ctx context.Context, command string, args ...string) *exec.Cmd {
	all := append([]string{command, "-dir", k.s.cfg.StackDir}, args...)
	cmd := exec.CommandContext(ctx, k.s.cfg.Stack, all...) //nolint:gosec // our own program
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// up starts the servers that do not run and waits until all are ready.
func (k *stack) up(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stackWithin)
	defer cancel()
	out, err := k.command(ctx, "up", "-services", "none", "-port", strconv.Itoa(stackPort), "-brokers", strconv.Itoa(k.s.cfg.Brokers),
		"-partitions", strconv.Itoa(Partitions), "-advertise", strconv.Itoa(stackProxies), "-profile", "normal").CombinedOutput()
	if err != nil {
		return fmt.Errorf("stack up: %w\n%s", err, out)
	}
	return nil
}

func (k *stack) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stackWithin)
	defer cancel()
	if out, err := k.command(ctx, "down").CombinedOutput(); err != nil {
		return fmt.Errorf("stack down: %w\n%s", err, out)
	}
	return nil
}

func (k *stack) dialect() string { return database.MySQL }

func (k *stack) dsn(service, addr string) string {
	dsn := k.env["MSCOIN_"+strings.ToUpper(service)+"_DSN"]
	if addr == "" {
		return dsn
	}
	return strings.Replace(dsn, fmt.Sprintf("127.0.0.1:%d", stackPort), addr, 1)
}

func (k *stack) redisPassword() string { return k.env["MSCOIN_REDIS_PASSWORD"] }

// server is a process of the stack, known by the stack's record of it.
type server struct {
	stack *stack
	name  string
}

func (v *server) pid() (int, error) {
	content, err := os.ReadFile(filepath.Join(v.stack.s.cfg.StackDir, "run", v.name+".json"))
	if err != nil {
		return 0, err
	}
	var rec struct {
		PID int `json:"pid"`
	}
	err = json.Unmarshal(content, &rec)
	return rec.PID, err
}

func (v *server) signal(sig syscall.Signal) error {
	pid, err := v.pid()
	if err != nil {
		return err
	}
	if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("signal %s: %w", v.name, err)
	}
	return nil
}

func (v *server) start(ctx context.Context) error { return v.stack.up(ctx) }

func (v *server) kill() error {
	if err := v.signal(syscall.SIGKILL); err != nil {
		return err
	}
	for v.running() {
		<-clock.Real().After(time.Millisecond)
	}
	return nil
}

func (v *server) suspend() error { return v.signal(syscall.SIGSTOP) }
func (v *server) resume() error  { return v.signal(syscall.SIGCONT) }

// running asks the system; a process that waits for its parent to notice is gone.
func (v *server) running() bool {
	pid, err := v.pid()
	if err != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false
	}
	_, after, ok := strings.Cut(string(stat), ") ")
	return ok && !strings.HasPrefix(after, "Z")
}

func (v *server) log() string { return filepath.Join(v.stack.s.cfg.StackDir, "log", v.name+".log") }
