package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"mscoin/deploy/chaos/internal/run"
	"mscoin/deploy/chaos/internal/site"
)

// program builds the fault tests' program with its failpoints.
func program(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "chaos")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-tags=no_k8s,failpoint", "-o", path, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// The short version of `make chaos`; README.md tells what it does. The seed is always the
// same, as far as processes can be made to repeat themselves.
func TestChaos(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	prog := program(t)
	short := func(seed uint64) run.Config {
		return run.Config{
			Config: site.Config{Program: prog, Root: root, Dir: t.TempDir()},
			Seed:   seed, Each: 6,
		}
	}
	for name, change := range map[string]func(*run.Config){
		"kills, stops, spoiled links and failpoints of separate processes": func(c *run.Config) {
			c.Kills, c.Stops, c.Toxics, c.Hooks = 4, 1, 2, 5
		},
		"records that cannot be read, in every topic":                func(c *run.Config) { c.Poison = true },
		"kills of everything in one process, and damage to its data": func(c *run.Config) { c.AllInOneKills, c.Damage = 3, true },
	} {
		t.Run("nothing is lost and nothing doubled by "+name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			cfg := short(1)
			cfg.Out = &out
			change(&cfg)
			if err := run.Run(t.Context(), cfg); err != nil {
				t.Errorf("%v\n%s", err, out.String())
			}
			t.Log(out.String())
		})
	}
}
