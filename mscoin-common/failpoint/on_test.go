//go:build failpoint

package failpoint_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mscoin/mscoin-common/failpoint"
)

func arm(t *testing.T, name, action string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(action), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv(failpoint.Env, dir)
	return filepath.Join(dir, name+failpoint.Fired)
}

func TestHit(t *testing.T) {
	t.Run("a point acts once, and shows that it did", func(t *testing.T) {
		fired := arm(t, "here", "error")
		if err := failpoint.Hit("elsewhere"); err != nil {
			t.Errorf("a point that is not armed: %v", err)
		}
		if err := failpoint.Hit("here"); !errors.Is(err, failpoint.ErrInjected) {
			t.Errorf("got %v", err)
		}
		if err := failpoint.Hit("here"); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if _, err := os.Stat(fired); err != nil {
			t.Error(err)
		}
	})
	t.Run("a delay is waited for, an unreadable one is an error", func(t *testing.T) {
		arm(t, "here", "delay 1ms")
		if err := failpoint.Hit("here"); err != nil {
			t.Error(err)
		}
		arm(t, "here", "delay soon")
		if err := failpoint.Hit("here"); err == nil {
			t.Error("no error")
		}
	})
	t.Run("exit ends the process", func(t *testing.T) {
		if os.Getenv("MSCOIN_TEST_EXIT") != "" {
			_ = failpoint.Hit("here")
			return
		}
		arm(t, "here", "exit")
		cmd := exec.Command(os.Args[0], "-test.run", "TestHit")
		cmd.Env = append(os.Environ(), "MSCOIN_TEST_EXIT=1")
		err := cmd.Run()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != failpoint.ExitCode {
			t.Errorf("ended with %v", err)
		}
	})
}
