package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"mscoin/deploy/chaos/internal/run"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/testkit"
)

// programs builds the fault tests' program, with its failpoints, and mscoin-admin.
func programs(t *testing.T) (chaos, admin string) {
	t.Helper()
	dir := t.TempDir()
	chaos, admin = filepath.Join(dir, "chaos"), filepath.Join(dir, "mscoin-admin")
	for _, args := range [][]string{{"-tags=no_k8s,failpoint", "-o", chaos, "."}, {"-o", admin, "../admin"}} {
		cmd := exec.CommandContext(t.Context(), "go", append([]string{"build"}, args...)...)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
	}
	return chaos, admin
}

// The short version of `make chaos`; README.md tells what it does. The seed is always the
// same, as far as processes can be made to repeat themselves.
func TestChaos(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	chaos, admin := programs(t)
	short := func(seed uint64) run.Config {
		return run.Config{
			Config: site.Config{Program: chaos, AdminTool: admin, Root: root, Dir: t.TempDir()},
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

// Databases that are away for a minute; `make outage` takes ten, by MSCOIN_TEST_OUTAGE.
func TestChaos_Outage(t *testing.T) {
	t.Parallel()
	outage := time.Minute
	if text := os.Getenv("MSCOIN_TEST_OUTAGE"); text != "" {
		var err error
		if outage, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	dsns := map[string]string{}
	for _, service := range []string{site.Exchange, site.Wallet, site.Market, site.Ucenter} {
		dsns[service] = testkit.MariaDBConfig(t).DSN
	}
	t.Run("databases that are away for long crash nobody, cost no memory, and what waits is worked off five times as fast as it came", func(t *testing.T) {
		var out bytes.Buffer
		chaos, _ := programs(t)
		err := run.Run(t.Context(), run.Config{
			Config: site.Config{Program: chaos, Root: root, Dir: t.TempDir(), DSNs: dsns},
			Seed:   1, Outage: outage, Out: &out,
		})
		if err != nil {
			t.Errorf("%v\n%s", err, out.String())
		}
		t.Log(out.String())
	})
}
