package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"mscoin/deploy/stack/internal/layout"
)

func TestParse(t *testing.T) {
	folder, err := layout.Open(filepath.Join(t.TempDir(), "stack"))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("port 0 is a free range, and the same one at the next start", func(t *testing.T) {
		o, _, _, err := parse([]string{"up", "-port", "0"}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		first, err := o.choose(t.Context(), folder)
		if err != nil || first.BasePort == 0 {
			t.Fatalf("%+v, %v", first, err)
		}
		if err := folder.Save(first); err != nil {
			t.Fatal(err)
		}
		taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", layout.Addr(first.BasePort))
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		if again, err := o.choose(t.Context(), folder); err != nil || again.BasePort != first.BasePort {
			t.Errorf("%+v, %v", again, err)
		}
		if other, err := layout.FreeBasePort(t.Context()); err != nil || other == first.BasePort {
			t.Errorf("a range with a taken port was given: %d, %v", other, err)
		}
	})
	t.Run("without a command it tells how to use it", func(t *testing.T) {
		var out bytes.Buffer
		if _, _, _, err := parse(nil, &out); !errors.Is(err, flag.ErrHelp) || !strings.Contains(out.String(), "usage:") {
			t.Errorf("%v: %s", err, out.String())
		}
	})
	t.Run("flags of a command that is run stay with it", func(t *testing.T) {
		_, command, rest, err := parse([]string{"run", "-dir", "x", "go", "test", "-v"}, io.Discard)
		if err != nil || command != "run" || !slices.Equal(rest, []string{"go", "test", "-v"}) {
			t.Errorf("%q %q, %v", command, rest, err)
		}
	})
	t.Run("services start in their order, whatever the order of the flag", func(t *testing.T) {
		o, _, _, err := parse([]string{"up", "-services", "gateway,wallet"}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		s, err := o.choose(t.Context(), folder)
		if err != nil || !slices.Equal(s.Services, []string{"wallet", "gateway"}) || !filepath.IsAbs(s.Root) {
			t.Errorf("%+v, %v", s, err)
		}
	})
	t.Run("a service that does not exist is refused", func(t *testing.T) {
		o, _, _, err := parse([]string{"up", "-services", "wallet,nobody"}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.choose(t.Context(), folder); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("all means all", func(t *testing.T) {
		o, _, _, err := parse([]string{"up", "-services", "all"}, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		if s, err := o.choose(t.Context(), folder); err != nil || !slices.Equal(s.Services, layout.Services()) {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestRun(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "stack")
	for _, tt := range []struct {
		rule string
		args []string
		want int
	}{
		{"no command", nil, exitUsage},
		{"an unknown command", []string{"dance", "-dir", dir}, exitUsage},
		{"an unknown flag", []string{"up", "-dance"}, exitUsage},
		{"an argument too many", []string{"down", "-dir", dir, "now"}, exitUsage},
		{"two brokers", []string{"up", "-dir", dir, "-brokers", "2"}, exitUsage},
		{"status of nothing", []string{"status", "-dir", dir}, exitDown},
		{"down of nothing", []string{"down", "-dir", dir}, 0},
		{"restart of nothing", []string{"restart", "-dir", dir}, exitUsage},
		{"run without a command", []string{"run", "-dir", dir}, exitUsage},
		{"run before the first start", []string{"run", "-dir", dir, "true"}, exitFailed},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			var out bytes.Buffer
			if got := run(context.Background(), tt.args, &out, &out); got != tt.want {
				t.Errorf("exit code %d, want %d: %s", got, tt.want, out.String())
			}
		})
	}
}
