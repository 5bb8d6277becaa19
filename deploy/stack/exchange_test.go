package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mscoin/deploy/demo/seed"
	"mscoin/deploy/demo/story"
	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/testkit"
)

// checkout is the root of the repository.
const checkout = "../.."

// built is a folder like the checkout's root, with this checkout's programs in bin.
var built = sync.OnceValues(func() (string, error) {
	root, err := os.MkdirTemp("", "mscoin-stack-programs-")
	if err != nil {
		return "", err
	}
	from, err := filepath.Abs(checkout)
	if err != nil {
		return "", err
	}
	packages := []string{"./deploy/reconcile"}
	for _, name := range layout.Services() {
		packages = append(packages, "./"+name)
		if err := os.Symlink(filepath.Join(from, name), filepath.Join(root, name)); err != nil {
			return "", err
		}
	}
	build := exec.Command("go", append([]string{"build", "-o", filepath.Join(root, "bin") + "/"}, packages...)...)
	build.Dir = from
	build.Stderr = os.Stderr
	return root, build.Run()
})

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(realEnv) == "1" {
		for _, once := range []func() (string, error){built, programs} {
			if dir, err := once(); err == nil {
				_ = os.RemoveAll(dir)
			}
		}
	}
	os.Exit(code)
}

// newExchange is a real stack with every service.
func newExchange(t *testing.T, flags ...string) *rig {
	t.Helper()
	r := newRig(t, append([]string{"-services", "all"}, flags...)...)
	root, err := built()
	if err != nil {
		t.Fatalf("build the services: %v", err)
	}
	r.flags = append(r.flags, "-root", root)
	r.do(0, "up")
	return r
}

func (r *rig) access() story.Access {
	r.t.Helper()
	var a story.Access
	if found, err := private.ReadJSON(filepath.Join(r.env("MSCOIN_DATA"), seed.File), &a); err != nil || !found {
		r.t.Fatalf("demo accounts: %t, %v", found, err)
	}
	return a
}

// tell trades with an unmodified third-party client and checks every balance. A partition
// whose owner was killed has none until its lease ends, for two seconds: the first order is
// then refused, and is nowhere. Later steps must not be.
func (r *rig) tell() {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 2*time.Minute)
	defer cancel()
	testkit.Eventually(r.t, time.Minute, func() bool {
		var out strings.Builder
		err := story.Tell(ctx, r.access(), &out)
		if err != nil && (!strings.HasPrefix(err.Error(), "maker sells 0.5 BTC") || !strings.Contains(err.Error(), "code=-1001")) {
			r.t.Fatalf("%v\n%s", err, out.String())
		}
		return err == nil
	}, "a partition that has an owner again")
}

// reconcile polls until the operator's command finds nothing: settlement may be a moment
// behind the last answer.
func (r *rig) reconcile() {
	r.t.Helper()
	root, err := built()
	if err != nil {
		r.t.Fatal(err)
	}
	var out bytes.Buffer
	testkit.Eventually(r.t, time.Minute, func() bool {
		out.Reset()
		args := append(append([]string{"run"}, r.flags...), filepath.Join(root, "bin", "reconcile"))
		return run(context.WithoutCancel(r.t.Context()), args, &out, &out) == 0
	}, "a clean reconciliation")
}

// TestReal_Exchange is the end-to-end story on real servers.
func TestReal_Exchange(t *testing.T) {
	t.Run("MariaDB and one broker", func(t *testing.T) {
		exchange(t, newExchange(t, "-db", layout.MariaDB), 0)
	})
	t.Run("MySQL and three brokers", func(t *testing.T) {
		// The last of three has no quorum to leave in order; see the README.
		r := newExchange(t, "-db", layout.MySQL, "-brokers", "3")
		t.Run("trading goes on without the broker that led, and nothing is lost", func(t *testing.T) { withoutLeader(t, r.in(t)) })
		exchange(t, r, 1)
	})
}

// exchange tries a stack of which so many brokers may have to be killed at its end.
func exchange(t *testing.T, r *rig, brokersKilled int) {
	r.do(0, "status")
	t.Run("an unmodified client trades, and every cent is accounted for", func(t *testing.T) {
		r := r.in(t)
		r.tell()
		r.reconcile()
	})
	t.Run("kill -9 of every service loses nothing", func(t *testing.T) {
		r := r.in(t)
		r.kill(layout.Services()...)
		r.do(0, "up")
		r.tell()
		r.reconcile()
	})
	t.Run("everything is stopped and started again, the accounts are the same", func(t *testing.T) {
		r := r.in(t)
		before := r.access()
		for line := range strings.Lines(r.do(0, "down")) {
			if !strings.Contains(line, "killed") {
				continue
			}
			if brokersKilled--; brokersKilled < 0 || !strings.Contains(line, "kafka-") {
				t.Errorf("something did not stop by itself: %s", line)
			}
		}
		r.do(exitDown, "status")
		r.do(0, "up")
		if after := r.access(); after.Accounts[0] != before.Accounts[0] {
			t.Error("the demo account is another one")
		}
		r.tell()
		r.reconcile()
	})
}
