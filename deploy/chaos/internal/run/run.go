// Package run is the fault tests: load, one fault after another, healing, and the question
// whether the exchange has kept its word.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mscoin/deploy/chaos/internal/fault"
	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/clock"
)

const (
	members = 6
	workers = 6
)

// Config says how much is done.
type Config struct {
	site.Config

	// Seed is that of the load and of the faults.
	Seed uint64
	// Kills, Stops and Toxics are how many there are; Hooks is how many failpoints, drawn
	// from all write boundaries with all actions, each once before any twice.
	Kills, Stops, Toxics, Hooks int
	// AllInOneKills are kills of the exchange in one process.
	AllInOneKills int
	// Poison, Disk and Damage ask for records that cannot be read in every topic, a full
	// disk, and starts on damaged data.
	Poison, Disk, Damage bool
	// Outage, if set, is how long the databases are away; it needs them on a server.
	Outage time.Duration
	// Each is how many faults come between two checks.
	Each int
	// Budget, if set, is when no further fault is begun.
	Budget time.Duration
	// Out is told what happens.
	Out io.Writer
}

// Runner runs fault tests.
type Runner struct {
	cfg    Config
	rnd    *rand.Rand
	start  time.Time
	counts map[string]int
	load   load.Counts
	swept  time.Duration // the longest time until nothing was in doubt
}

// Run does everything that cfg asks for; nil means that nothing was lost.
func Run(ctx context.Context, cfg Config) error {
	r := &Runner{
		cfg: cfg, rnd: rand.New(rand.NewPCG(cfg.Seed, 0)), //nolint:gosec // faults need no secret
		start: clock.Real().Now(), counts: map[string]int{},
	}
	r.say("seed %d", cfg.Seed)
	err := r.all(ctx)
	r.report()
	if err != nil {
		return fmt.Errorf("seed %d: %w", cfg.Seed, err)
	}
	return nil
}

func (r *Runner) all(ctx context.Context) error {
	if r.cfg.Kills+r.cfg.Stops+r.cfg.Toxics+r.cfg.Hooks > 0 || r.cfg.Poison {
		if err := r.separate(ctx); err != nil {
			return err
		}
	}
	if r.cfg.AllInOneKills > 0 || r.cfg.Disk || r.cfg.Damage {
		if err := r.together(ctx); err != nil {
			return err
		}
	}
	if r.cfg.Outage > 0 {
		return r.outage(ctx)
	}
	return nil
}

func (r *Runner) say(format string, args ...any) {
	took := clock.Real().Now().Sub(r.start).Round(100 * time.Millisecond)
	_, _ = fmt.Fprintf(r.cfg.Out, "%8v  %s\n", took, fmt.Sprintf(format, args...))
}

func (r *Runner) count(what string) { r.counts[what]++ }

func (r *Runner) over() bool {
	return r.cfg.Budget > 0 && clock.Real().Now().Sub(r.start) > r.cfg.Budget
}

// separate tests the services as processes of their own.
func (r *Runner) separate(ctx context.Context) error {
	cfg := r.cfg.Config
	cfg.Dir = filepath.Join(cfg.Dir, "separate")
	s, err := site.Open(ctx, cfg)
	if err != nil {
		return errors.Join(err, s.Close(), r.logs(s))
	}
	err = r.test(ctx, s, func(l *load.Load) []fault.Fault { return r.faults(s, l) }, r.cfg.Poison)
	if err != nil {
		err = errors.Join(err, r.logs(s))
	}
	return errors.Join(err, s.Close())
}

// test loads an exchange, does the faults and checks.
func (r *Runner) test(ctx context.Context, s *site.Site, plan func(l *load.Load) []fault.Fault, poison bool) error {
	l, err := load.Open(ctx, s, members)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { r.add(l.Counts()) }()
	r.say("%d processes answer, %d members trade", len(s.Units), members)
	for batch := range slices.Chunk(plan(l), r.cfg.Each) {
		if r.over() {
			break
		}
		if err := r.round(ctx, s, l, batch); err != nil {
			return err
		}
	}
	if poison {
		if err := r.poison(ctx, s, l); err != nil {
			return err
		}
	}
	if err := process.Poll(ctx, quietWithin, "everything to be released", l.CancelAll); err != nil {
		return err
	}
	if err := r.check(ctx, s, l, true); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	c := l.Counts()
	if c.Found != c.Acknowledged {
		return fmt.Errorf("%d orders were acknowledged, %d found", c.Acknowledged, c.Found)
	}
	return nil
}

func (r *Runner) add(c load.Counts) {
	r.load.Acknowledged += c.Acknowledged
	r.load.Refused += c.Refused
	r.load.Unknown += c.Unknown
	r.load.Cancels += c.Cancels
	r.load.Deposits += c.Deposits
	r.load.Keys += c.Keys
	r.load.Found += c.Found
	r.load.Placed += c.Placed
}

// round does a batch of faults under load, heals, and checks.
func (r *Runner) round(ctx context.Context, s *site.Site, l *load.Load, batch []fault.Fault) error {
	var kinds []string
	stop := l.Start(ctx, workers, r.rnd.Uint64())
	err := func() error {
		defer stop()
		for _, f := range batch {
			if r.over() {
				break
			}
			kinds = append(kinds, f.Kind)
			err := f.Do(ctx, s, r.rnd)
			switch {
			case errors.Is(err, fault.ErrNotReached):
				r.count("not reached: " + f.Kind)
				r.say("not reached: %s", f.Kind)
			case err != nil:
				return fmt.Errorf("%s: %w", f.Kind, err)
			default:
				r.count(f.Kind)
			}
			if err := s.Heal(ctx); err != nil {
				return err
			}
		}
		return process.Poll(ctx, tradesWithin, "trading under load", l.Probe)
	}()
	if err == nil {
		err = r.check(ctx, s, l, false)
	}
	if err != nil {
		return fmt.Errorf("after %s: %w", strings.Join(kinds, ", "), err)
	}
	r.say("%s: %d orders acknowledged, all found; the books fit", strings.Join(kinds, ", "), l.Counts().Acknowledged)
	if r.rnd.IntN(3) == 0 { // an empty book now and then
		return process.Poll(ctx, quietWithin, "everything to be released", l.CancelAll)
	}
	return nil
}

// faults draws what is done: every process, link and write boundary in turn, in an order
// that the seed decides.
func (r *Runner) faults(s *site.Site, l *load.Load) []fault.Fault {
	var all []fault.Fault
	units := shuffled(r.rnd, s.Units)
	for n := range r.cfg.Kills {
		u := units[n%len(units)]
		all = append(all, fault.Kill(u.Name, u.Kind))
	}
	for n := range r.cfg.Stops {
		u := units[n%len(units)]
		all = append(all, fault.Stop(u.Name, u.Kind))
	}
	links := shuffled(r.rnd, s.Links())
	for n := range r.cfg.Toxics {
		// Both run through all of theirs; their numbers share no pattern that leaves pairs out.
		all = append(all, fault.Spoil(links[n%len(links)].Name, n%len(links)+n/len(links), r.rnd))
	}
	var hooks []fault.Fault
	for _, point := range fault.Points() {
		for _, action := range fault.Actions() {
			hooks = append(hooks, fault.Hook(point, action, provoke(s, l, point)))
		}
	}
	hooks = shuffled(r.rnd, hooks)
	for n := range r.cfg.Hooks {
		all = append(all, hooks[n%len(hooks)])
	}
	return shuffled(r.rnd, all)
}

// provoke returns what makes somebody come by a failpoint that the load does not reach.
func provoke(s *site.Site, l *load.Load, point string) func(context.Context) error {
	switch {
	case strings.HasPrefix(point, "resolve."):
		return fault.Doubt(s)
	case strings.HasPrefix(point, "commit.listing."):
		return l.List
	case strings.HasPrefix(point, "commit.api-key."):
		return l.Join
	case strings.HasPrefix(point, "commit.order-forwarded."):
		return l.Rest
	}
	return nil
}

// AllHooks is the number of write boundaries times that of actions.
func AllHooks() int { return len(fault.Points()) * len(fault.Actions()) }

func shuffled[T any](rnd *rand.Rand, in []T) []T {
	out := slices.Clone(in)
	rnd.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// report prints the counts.
func (r *Runner) report() {
	r.say("done")
	sums := map[string]int{}
	for what, n := range r.counts {
		kind, _, _ := strings.Cut(what, " ")
		sums[kind] += n
	}
	for _, what := range slices.Sorted(maps.Keys(r.counts)) {
		_, _ = fmt.Fprintf(r.cfg.Out, "%7d  %s\n", r.counts[what], what)
	}
	c := r.load
	_, _ = fmt.Fprintf(r.cfg.Out, "kills %d, stops %d, toxics %d, hooks %d, reconciliations %d\n",
		sums["kill"], sums["stop"], sums["toxic"], sums["hook"], r.counts["reconciliations"])
	_, _ = fmt.Fprintf(r.cfg.Out, "orders acknowledged %d, found %d; refused %d; unanswered %d, of which placed %d; cancels %d, deposits %d, keys %d\n",
		c.Acknowledged, c.Found, c.Refused, c.Unknown+c.Placed, c.Placed, c.Cancels, c.Deposits, c.Keys)
	_, _ = fmt.Fprintf(r.cfg.Out, "nothing in doubt any more at most %v after the load\n", r.swept.Round(time.Millisecond))
}

// logTail is how much of each log a failure shows.
const logTail = 3000

// logs shows the ends of what the processes have printed.
func (r *Runner) logs(s *site.Site) error {
	for _, u := range s.Units {
		_, _ = fmt.Fprintf(r.cfg.Out, "--- %s (running: %v)\n%s\n", u.Name, u.Running(), process.Tail(u.Log(), logTail))
	}
	if _, err := os.Stat(r.cfg.Dir); err != nil {
		return err
	}
	r.say("everything is in %s", r.cfg.Dir)
	return nil
}
