// Package fault does things to an exchange under test: it kills and stops processes, spoils
// links, and arms failpoints at write boundaries.
package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/failpoint"
)

// Fault is something that is done once.
type Fault struct {
	// Kind counts it: "kill wallet", "stop exchange", "toxic latency", "hook commit.hold.after exit".
	Kind string
	// Do does it; the moments are drawn from rnd. The exchange need not be whole afterwards.
	Do func(ctx context.Context, s *site.Site, rnd *rand.Rand) error
}

// ErrNotReached says that nobody came by an armed failpoint.
var ErrNotReached = errors.New("nobody came by")

func pause(ctx context.Context, rnd *rand.Rand, least, most time.Duration) error {
	return clock.Sleep(ctx, clock.Real(), least+time.Duration(rnd.Int64N(int64(most-least)+1)))
}

// Kill kills a process at a random moment and starts it again; now and then it is killed
// while it starts, too.
func Kill(unit, kind string) Fault {
	return Fault{Kind: "kill " + kind, Do: func(ctx context.Context, s *site.Site, rnd *rand.Rand) error {
		u := find(s, unit)
		again := rnd.IntN(3) == 0
		if err := pause(ctx, rnd, 0, 500*time.Millisecond); err != nil {
			return err
		}
		if err := u.Kill(); err != nil {
			return err
		}
		if err := pause(ctx, rnd, 0, 300*time.Millisecond); err != nil {
			return err
		}
		if err := u.Start(ctx); err != nil || !again {
			return err
		}
		if err := pause(ctx, rnd, 0, 600*time.Millisecond); err != nil {
			return err
		}
		return errors.Join(u.Kill(), u.Start(ctx))
	}}
}

// Stop suspends a process for longer than a lease lasts, and lets it go on.
func Stop(unit, kind string) Fault {
	return Fault{Kind: "stop " + kind, Do: func(ctx context.Context, s *site.Site, rnd *rand.Rand) error {
		u := find(s, unit)
		if err := pause(ctx, rnd, 0, 200*time.Millisecond); err != nil {
			return err
		}
		if err := u.Suspend(); err != nil {
			return err
		}
		err := pause(ctx, rnd, 2500*time.Millisecond, 5*time.Second)
		return errors.Join(err, u.Resume())
	}}
}

func find(s *site.Site, name string) *site.Unit {
	for _, u := range s.Units {
		if u.Name == name {
			return u
		}
	}
	return nil
}

// toxics are the kinds of toxics with their attributes, drawn anew each time.
var toxics = []func(rnd *rand.Rand) site.Toxic{
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "latency", Attributes: map[string]int64{"latency": 20 + rnd.Int64N(1500), "jitter": rnd.Int64N(20)}}
	},
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "bandwidth", Attributes: map[string]int64{"rate": 1 + rnd.Int64N(20)}} // KiB/s
	},
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "reset_peer", Attributes: map[string]int64{"timeout": rnd.Int64N(500)}}
	},
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "timeout", Attributes: map[string]int64{"timeout": rnd.Int64N(2) * (200 + rnd.Int64N(1000))}} // 0: nothing comes, ever
	},
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "limit_data", Attributes: map[string]int64{"bytes": 1 + rnd.Int64N(20_000)}}
	},
	func(rnd *rand.Rand) site.Toxic {
		return site.Toxic{Type: "slow_close", Attributes: map[string]int64{"delay": 100 + rnd.Int64N(2000)}}
	},
}

// Toxics is how many kinds of toxics there are.
func Toxics() int { return len(toxics) }

// Spoil puts a toxic of the nth kind on a link for a while.
func Spoil(link string, n int, rnd *rand.Rand) Fault {
	t := toxics[n%len(toxics)](rnd)
	t.Upstream = rnd.IntN(2) == 0
	return Fault{Kind: "toxic " + t.Type + " " + link, Do: func(ctx context.Context, s *site.Site, rnd *rand.Rand) error {
		for _, l := range s.Links() {
			if l.Name != link {
				continue
			}
			if err := l.Spoil(t); err != nil {
				return err
			}
			err := pause(ctx, rnd, time.Second, 3*time.Second)
			l.Heal(ctx)
			return err
		}
		return fmt.Errorf("there is no link %s", link)
	}}
}

// Points are the write boundaries at which a failpoint can be armed.
func Points() []string {
	var all []string
	for _, name := range []string{
		"commit.intent", "commit.hold", "commit.refusal", "produce.exchange_order_trading", "produce.exchange-order-completed",
		"commit.order", "produce.exchange_order_complete_update_success", "commit.order-forwarded", "commit.wallet", "commit.market",
		"commit.deposit", "commit.api-key", "commit.session", "commit.member", "commit.listing", "resolve",
	} {
		all = append(all, name+".before", name+".after")
	}
	return all
}

// Actions are what a failpoint can do. The delay is longer than a lease and a call.
func Actions() []string { return []string{failpoint.Exit, failpoint.Error, failpoint.Delay + " 4s"} }

// hookWithin is how long somebody may take to come by a failpoint.
const hookWithin = 25 * time.Second

// Hook arms a failpoint and waits until it has acted. provoke, if not nil, makes somebody
// come by.
func Hook(point, action string, provoke func(ctx context.Context) error) Fault {
	return Fault{Kind: "hook " + point + " " + action, Do: func(ctx context.Context, s *site.Site, rnd *rand.Rand) error {
		if err := pause(ctx, rnd, 0, 200*time.Millisecond); err != nil {
			return err
		}
		if err := arm(s, point, action); err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if provoke != nil {
			go func() { _ = provoke(ctx) }() // it is the failpoint that counts
		}
		err := process.Poll(ctx, hookWithin, "failpoint "+point, func(context.Context) error {
			_, err := os.Stat(filepath.Join(s.FailpointDir(), point+failpoint.Fired))
			return err
		})
		if err != nil {
			return errors.Join(ErrNotReached, err)
		}
		if action != failpoint.Exit {
			return nil
		}
		return process.Poll(ctx, hookWithin, "somebody to end at "+point, func(context.Context) error {
			if slices.ContainsFunc(s.Units, func(u *site.Unit) bool { return !u.Running() }) {
				return nil
			}
			return errors.New("all are running")
		})
	}}
}

// Doubt makes an intent that nobody follows up, so that the sweeper has something to do.
func Doubt(s *site.Site) func(ctx context.Context) error {
	return func(context.Context) error { return arm(s, "commit.intent.after", failpoint.Error) }
}

// arm puts the file there whole.
func arm(s *site.Site, point, action string) error {
	file := filepath.Join(s.FailpointDir(), point)
	_ = os.Remove(file + failpoint.Fired)
	if err := os.WriteFile(file+".new", []byte(action), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
