package launch

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/telemetry"
	"mscoin/mscoin-common/testkit"
)

type config struct {
	Name      string
	Token     string
	Peers     []peer           `json:",optional"`
	Telemetry telemetry.Config `json:",optional"`
}

type peer struct{ Addr string }

func (c *config) Validate() error {
	var problems []error
	if c.Token == "" {
		problems = append(problems, errors.New("token is missing"))
	}
	if c.Name == "" {
		problems = append(problems, errors.New("name is missing"))
	}
	return errors.Join(problems...)
}

func (c *config) Watched() telemetry.Config { return c.Telemetry }

type fake struct {
	cfg   config
	ready func() error
	run   func(ctx context.Context) error
}

func (f *fake) Run(ctx context.Context) error {
	if f.run != nil {
		return f.run(ctx)
	}
	return errors.New("ran as " + f.cfg.Name + " with " + f.cfg.Token)
}

func (f *fake) Ready(context.Context) error { return f.ready() }

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "svc.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRun(t *testing.T) {
	file := write(t, "Name: svc\nToken: ${LAUNCH_TEST_TOKEN}\n")
	open := func(_ context.Context, cfg config) (*fake, error) { return &fake{cfg: cfg}, nil }
	launch := func(o options) error { return run[config, *config](t.Context(), "svc", o, io.Discard, open) }
	t.Run("secrets come from the environment", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "secret")
		if err := launch(options{file: file}); err == nil || err.Error() != "ran as svc with secret" {
			t.Fatal(err)
		}
	})
	t.Run("a wrong configuration is refused before the service is made", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "")
		if err := launch(options{file: file}); err == nil || err.Error() == "ran as svc with " {
			t.Fatal(err)
		}
	})
	t.Run("-check runs nothing", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "secret")
		if err := launch(options{file: file, check: true}); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("a missing file is told", func(t *testing.T) {
		if err := launch(options{file: file + ".none"}); err == nil {
			t.Fatal("no error")
		}
	})
	t.Run("every problem is told at once, misspelt keys too", func(t *testing.T) {
		t.Setenv("LAUNCH_TEST_TOKEN", "")
		wrong := write(t, "Name: ''\nToken: ${LAUNCH_TEST_TOKEN}\nTokn: x\nPeers:\n  - {Addr: a, Adr: b}\n"+
			"Telemetry:\n  ListnOn: x\n  Traces: {Exporter: file}\n")
		err := launch(options{file: wrong, check: true})
		if err == nil {
			t.Fatal("accepted")
		}
		for _, want := range []string{"Tokn", "Peers.0.Adr", "Telemetry.ListnOn", "Traces.Endpoint is missing", "token is missing", "name is missing"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s is not told in: %v", want, err)
			}
		}
	})
}

func TestRun_Probes(t *testing.T) {
	ready := make(chan error, 1)
	ready <- errors.New("replays its log")
	addr := make(chan string, 1)
	open := func(_ context.Context, cfg config) (*fake, error) {
		return &fake{
			cfg: cfg,
			ready: func() error {
				now := <-ready
				ready <- now
				return now
			},
			run: func(ctx context.Context) error {
				addr <- cfg.Telemetry.ListenOn
				<-ctx.Done()
				return nil
			},
		}, nil
	}
	file := write(t, "Name: svc\nToken: x\nTelemetry: {ListenOn: '"+testkit.FreeAddr(t)+"'}\n")
	launch := func(ctx context.Context, o options) error {
		return run[config, *config](ctx, "svc", o, io.Discard, open)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- launch(ctx, options{file: file}) }()
	base := "http://" + <-addr
	get := func(path string) (int, string) {
		res, err := http.Get(base + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	t.Run("a service that is not ready is alive, and says what it lacks", func(t *testing.T) {
		if code, _ := get(telemetry.LivePath); code != http.StatusOK {
			t.Errorf("alive: %d", code)
		}
		if code, body := get(telemetry.ReadyPath); code != http.StatusServiceUnavailable || !strings.Contains(body, "replays its log") {
			t.Errorf("ready: %d %s", code, body)
		}
		if err := launch(t.Context(), options{file: file, health: true}); err == nil || !strings.Contains(err.Error(), "replays its log") {
			t.Errorf("-health: %v", err)
		}
		if _, body := get(telemetry.MetricsPath); !strings.Contains(body, `mscoin_ready{service="svc"} 0`) {
			t.Errorf("the metrics do not say so:\n%s", body)
		}
	})
	t.Run("a ready service says so to every asker", func(t *testing.T) {
		if before := <-ready; before == nil {
			t.Fatal("it was ready before")
		}
		ready <- nil
		if code, _ := get(telemetry.ReadyPath); code != http.StatusOK {
			t.Errorf("ready: %d", code)
		}
		if err := launch(t.Context(), options{file: file, health: true}); err != nil {
			t.Errorf("-health: %v", err)
		}
		if _, body := get(telemetry.MetricsPath); !strings.Contains(body, `mscoin_ready{service="svc"} 1`) {
			t.Errorf("the metrics do not say so:\n%s", body)
		}
	})
	t.Run("nobody is asked once it has ended", func(t *testing.T) {
		stop()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it does not end")
		}
		if err := launch(t.Context(), options{file: file, health: true}); err == nil {
			t.Error("-health finds it well")
		}
	})
}
