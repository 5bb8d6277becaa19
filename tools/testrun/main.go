// Command testrun runs `go test` with its arguments, prints what go test prints of packages
// and of tests that fail, and at the end which tests were left out and why. With CI=true
// a test that was left out is a failure, unless another command runs it (see
// testkit.Elsewhere).
//
//	go run ./tools/testrun -timeout 9m ./...
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Getenv("CI") == "true", os.Stdout)
	stop()
	if err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "testrun:", err)
	}
	os.Exit(code)
}

func run(ctx context.Context, args []string, strict bool, out io.Writer) (int, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-json"}, args...)...) //nolint:gosec // what the developer asked for
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stderr = os.Stderr
	events, err := cmd.StdoutPipe()
	if err != nil {
		return 1, err
	}
	if err := cmd.Start(); err != nil {
		return 1, err
	}
	r := newReport(out)
	readErr := r.read(events)
	err = cmd.Wait()
	if readErr != nil {
		return 1, errors.Join(readErr, err)
	}
	left := r.summary()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return max(1, exit.ExitCode()), nil
	}
	if err != nil {
		return 1, err
	}
	if strict && left > 0 {
		return 1, fmt.Errorf("%d tests were left out, and CI leaves nothing out", left)
	}
	return 0, nil
}
