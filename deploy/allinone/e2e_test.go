package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mscoin/deploy/demo/story"
)

func TestExchange_EndToEnd(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	e := startExchange(t, dir, addr)

	t.Run("an unmodified client trades, and every balance is exact to the last unit", func(t *testing.T) {
		var out strings.Builder
		if err := story.Tell(t.Context(), e.access(), &out); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		mustReconcile(t, dir)
	})
	t.Run("demo.json and the secrets are readable by their owner only", func(t *testing.T) {
		for _, name := range []string{"demo.json", "secrets.json"} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if got := info.Mode().Perm(); got != 0o600 {
				t.Errorf("%s has mode %o", name, got)
			}
		}
	})
	t.Run("a second process on the same folder is refused", func(t *testing.T) {
		second := start(t, program(t, "mscoin/deploy/allinone"), []string{"MSCOIN_DATA=" + dir, "MSCOIN_ADDR=" + freeAddr(t)})
		select {
		case <-second.done:
			if second.err == nil {
				t.Fatal("it ended without an error")
			}
		case <-time.After(20 * time.Second):
			t.Fatal("it runs")
		}
	})
	t.Run("logs hold no secret", func(t *testing.T) {
		for _, a := range e.access().Accounts {
			for what, secret := range map[string]string{"password": a.Password, "API secret": a.APISecret} {
				if strings.Contains(e.out.String(), secret) {
					t.Errorf("the log shows the %s of %s", what, a.Email)
				}
			}
		}
	})
	t.Run("SIGTERM stops it cleanly within 10 s, and a restart goes on where it was", func(t *testing.T) {
		e.terminate(10 * time.Second)
		again := startExchange(t, dir, addr)
		var out strings.Builder
		if err := story.Tell(t.Context(), again.access(), &out); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		mustReconcile(t, dir)
		again.terminate(10 * time.Second)
	})
}
