// Command stack runs the exchange on real servers without Docker: MariaDB or MySQL,
// Redis and Apache Kafka as local processes in a private folder, on ports of its own.
// README.md beside this file tells how to use it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/local"
	"mscoin/deploy/stack/internal/server"
	"mscoin/mscoin-common/clock"
)

// Exit codes.
const (
	exitFailed    = 1
	exitUsage     = 2
	exitDown      = 3 // status: nothing runs
	exitUnhealthy = 4 // status: something has crashed or is not ready
)

// dirEnv names the variable with the stack's folder.
const dirEnv = "MSCOIN_STACK"

const usage = `usage: stack command [flags]

  install        get the programs (as root with apt-get; otherwise says what is missing)
  up             start what does not run, and wait until it is ready
  down           stop everything; data stays
  restart name…  stop and start components, one after the other
  status         tell how every component is (exit code 0 healthy, 3 down, 4 unhealthy)
  logs [name…]   print the ends of the logs
  topics         create the missing topics and check all of them
  run command…   run a command with the environment of the stack
  test command…  run a command that is told of the servers for tests, and of nothing else

flags:
`

func main() {
	logx.DisableStat() // the clients of the services tell of their load
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// options are the flags.
type options struct {
	dir      string
	settings layout.Settings
	services string
	sync     bool
	lines    int
	follow   bool
}

// parse returns the options, the command and its arguments.
func parse(args []string, out io.Writer) (o options, command string, rest []string, err error) {
	d := layout.Default()
	fs := flag.NewFlagSet("stack", flag.ContinueOnError)
	fs.SetOutput(out)
	fs.StringVar(&o.dir, "dir", cmp.Or(os.Getenv(dirEnv), ".stack"), "private folder of the stack (also "+dirEnv+")")
	fs.StringVar(&o.settings.DB, "db", d.DB, "database server: mariadb or mysql")
	fs.IntVar(&o.settings.Brokers, "brokers", d.Brokers, "Kafka brokers: 1, or 3 with replication 3")
	fs.IntVar(&o.settings.BasePort, "port", d.BasePort, fmt.Sprintf("first of the %d ports that the stack uses; 0 finds free ones at the first start", layout.PortSpan))
	fs.IntVar(&o.settings.Partitions, "partitions", d.Partitions, "partitions of the money topics")
	fs.StringVar(&o.settings.Profile, "profile", d.Profile, "demo (symbols are listed, two accounts funded) or normal (empty)")
	fs.BoolVar(&o.sync, "sync", true, "a single broker syncs each record before it acknowledges it")
	fs.StringVar(&o.settings.Root, "root", ".", "folder of the checkout, with bin/<service> and <service>/etc")
	fs.StringVar(&o.services, "services", "none", "services to start: all, none, or names separated by commas")
	fs.IntVar(&o.lines, "n", 20, "logs: how many lines of each")
	fs.BoolVar(&o.follow, "f", false, "logs: go on with what is added")
	fs.Usage = func() {
		_, _ = io.WriteString(out, usage)
		fs.PrintDefaults()
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		fs.Usage()
		return o, "", nil, flag.ErrHelp
	}
	if err := fs.Parse(args[1:]); err != nil {
		return o, "", nil, err
	}
	return o, args[0], fs.Args(), nil
}

func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	o, command, rest, err := parse(args, errOut)
	if err != nil {
		return exitUsage
	}
	folder, err := layout.Open(o.dir)
	if err != nil {
		_, _ = fmt.Fprintln(errOut, "stack:", err)
		return exitFailed
	}
	s := &local.Stack{Folder: folder, Clock: clock.Real(), Out: out}
	code, err := dispatch(ctx, s, o, command, rest)
	if err != nil {
		_, _ = fmt.Fprintf(errOut, "stack %s: %v\n", command, err)
	}
	return code
}

func dispatch(ctx context.Context, s *local.Stack, o options, command string, args []string) (int, error) {
	if len(args) > 0 && command != "logs" && command != "run" && command != "test" && command != "restart" {
		return exitUsage, fmt.Errorf("unexpected %q", strings.Join(args, " "))
	}
	switch command {
	case "install":
		return code(s.Install(ctx, o.settings.DB))
	case "up":
		settings, err := o.choose(ctx, s.Folder)
		if err != nil {
			return exitUsage, err
		}
		return code(s.Up(ctx, settings))
	case "down":
		return code(s.Down(ctx))
	case "restart":
		if len(args) == 0 {
			return exitUsage, errors.New("which component?")
		}
		return code(s.Restart(ctx, args))
	case "status":
		health, err := s.Status(ctx)
		return map[local.Health]int{local.Healthy: 0, local.Down: exitDown, local.Unhealthy: exitUnhealthy}[health], err
	case "logs":
		return code(s.Logs(ctx, args, o.lines, o.follow))
	case "topics":
		return code(s.Topics(ctx))
	case "run":
		return with(ctx, s, "", args)
	case "test":
		return with(ctx, s, server.TestPrefix, args)
	}
	return exitUsage, fmt.Errorf("there is no such command")
}

func code(err error) (int, error) {
	if err != nil {
		return exitFailed, err
	}
	return 0, nil
}

// choose returns the settings for up: what the flags say, the defaults otherwise.
func (o options) choose(ctx context.Context, folder layout.Folder) (layout.Settings, error) {
	s := o.settings
	s.Unsynced = !o.sync
	var err error
	if s.BasePort == 0 {
		last, found, loadErr := folder.Load()
		if s.BasePort, err = last.BasePort, loadErr; err == nil && !found {
			s.BasePort, err = layout.FreeBasePort(ctx)
		}
		if err != nil {
			return s, err
		}
	}
	if s.Root, err = filepath.Abs(s.Root); err != nil {
		return s, err
	}
	switch o.services {
	case "none", "":
	case "all":
		s.Services = layout.Services()
	default:
		names := strings.Split(o.services, ",")
		for _, name := range layout.Services() { // in the order of their start
			if slices.Contains(names, name) {
				s.Services = append(s.Services, name)
			}
		}
		if len(s.Services) != len(names) {
			return s, fmt.Errorf("services %q: there are %s", o.services, strings.Join(layout.Services(), ", "))
		}
	}
	return s, s.Validate()
}

// with runs a command with those variables of the stack's environment that begin with
// prefix, and returns its exit code.
func with(ctx context.Context, s *local.Stack, prefix string, args []string) (int, error) {
	if len(args) == 0 {
		return exitUsage, errors.New("which command?")
	}
	env, err := s.Env()
	if err != nil {
		return exitFailed, err
	}
	env = slices.DeleteFunc(env, func(entry string) bool { return !strings.HasPrefix(entry, prefix) })
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // what the user asked for
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	err = cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return exit.ExitCode(), nil
	}
	return code(err)
}
