package launch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

type config struct {
	Name  string
	Token string
}

func (c *config) Validate() error {
	if c.Token == "" {
		return errors.New("token is missing")
	}
	return nil
}

type fake struct{ cfg config }

func (f *fake) Run(context.Context) error {
	return errors.New("ran as " + f.cfg.Name + " with " + f.cfg.Token)
}

func TestRun(t *testing.T) {
	file := filepath.Join(t.TempDir(), "svc.yaml")
	if err := os.WriteFile(file, []byte("Name: svc\nToken: ${LAUNCH_TEST_TOKEN}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open := func(_ context.Context, cfg config) (*fake, error) { return &fake{cfg}, nil }
	t.Run("secrets come from the environment", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "secret")
		if err := run[config, *config](t.Context(), file, false, open); err == nil || err.Error() != "ran as svc with secret" {
			t.Fatal(err)
		}
	})
	t.Run("a wrong configuration is refused before the service is made", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "")
		if err := run[config, *config](t.Context(), file, false, open); err == nil || err.Error() == "ran as svc with " {
			t.Fatal(err)
		}
	})
	t.Run("-check runs nothing", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "secret")
		if err := run[config, *config](t.Context(), file, true, open); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a missing file is told", func(t *testing.T) {
		if err := run[config, *config](t.Context(), file+".none", false, open); err == nil {
			t.Fatal("no error")
		}
	})
}
