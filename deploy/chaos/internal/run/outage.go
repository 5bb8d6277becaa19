package run

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

const (
	// restingOrders are placed before an outage, to be cancelled during it.
	restingOrders = 900
	// growthLimit is how much more memory a process may have during an outage.
	growthLimit = 64 << 20
	// catchUpFactor is how much faster than the input a backlog must be worked off.
	catchUpFactor = 5
	// caughtUpWithin bounds the wait for that.
	caughtUpWithin = 2 * time.Minute
	sampleEvery    = 20 * time.Millisecond
	// outageWorkers is how many send requests; what is refused takes no time.
	outageWorkers = 1
	// warmUp is how long the load runs before memory is compared with.
	warmUp = 10 * time.Second
)

// outage takes the databases away. In the first half those of wallet and market, while
// orders are cancelled one after the other: that needs neither, so the records of it pile
// up before both. In the second half everybody's.
func (r *Runner) outage(ctx context.Context) error {
	cfg := r.cfg.Config
	cfg.Dir = filepath.Join(cfg.Dir, "outage")
	s, err := site.Open(ctx, cfg)
	if err == nil {
		err = r.outageAt(ctx, s)
	}
	if err != nil {
		err = errors.Join(err, r.logs(s))
	}
	return errors.Join(err, s.Close())
}

func (r *Runner) outageAt(ctx context.Context, s *site.Site) error {
	l, err := load.Open(ctx, s, members)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	defer func() { r.add(l.Counts()) }()
	stop := l.Start(ctx, outageWorkers, r.rnd.Uint64())
	watch := newMemory(s)
	err = watch.during(ctx, warmUp)
	stop()
	if err != nil {
		return err
	}
	orders, err := l.Resting(ctx, restingOrders)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := r.check(ctx, s, l, false); err != nil {
		return fmt.Errorf("before the outage: %w", err)
	}
	if err := watch.begin(); err != nil {
		return err
	}
	stop = l.Start(ctx, outageWorkers, r.rnd.Uint64())
	r.say("%d orders rest; the databases are away for %v", len(orders), r.cfg.Outage)
	b, err := r.away(ctx, s, l, orders, watch)
	stop()
	if err != nil {
		return err
	}
	if err := r.check(ctx, s, l, true); err != nil {
		return fmt.Errorf("after the outage: %w", err)
	}
	if err := watch.look(); err != nil {
		return fmt.Errorf("crash: %w", err)
	}
	return r.judge(b, watch)
}

// backlog is what waits before a consumer, and how fast it was worked off.
type backlog struct {
	service string
	records int64
	over    time.Duration // in which they came
	took    time.Duration // from the first one that was worked off to the last
}

func (b *backlog) factor() float64 { return b.over.Seconds() / max(b.took, sampleEvery).Seconds() }

func (r *Runner) away(ctx context.Context, s *site.Site, l *load.Load, orders []*load.Order, watch *memory) ([]*backlog, error) {
	half := r.cfg.Outage / 2
	all := []*backlog{{service: site.Wallet, over: half}, {service: site.Market, over: half}}
	if err := cutOff(s, site.Wallet, site.Market); err != nil {
		return nil, err
	}
	ended := make(chan error, 1)
	go func() { ended <- watch.during(ctx, r.cfg.Outage) }()
	cancelled := l.CancelOver(ctx, orders, half)
	if cancelled < len(orders)*9/10 {
		return nil, fmt.Errorf("of %d cancels %d were acknowledged while the wallet's database was away", len(orders), cancelled)
	}
	var err error
	for _, b := range all {
		if b.records, err = lagOf(ctx, s, b.service); err != nil {
			return nil, err
		}
	}
	if err := cutOff(s, site.Exchange, site.Ucenter); err != nil {
		return nil, err
	}
	if err := <-ended; err != nil {
		return nil, fmt.Errorf("while the databases were away: %w", err)
	}
	r.say("%d orders were cancelled meanwhile; the databases are back", cancelled)
	err = r.catchUp(ctx, s, all)
	for _, b := range all {
		r.say("%s: %d records came in %v (%.1f a second), were worked off in %v (%.0f a second, %.0f times as fast)", b.service, b.records,
			b.over, float64(b.records)/b.over.Seconds(), b.took.Round(time.Millisecond), float64(b.records)/max(b.took, sampleEvery).Seconds(), b.factor())
	}
	return all, err
}

func cutOff(s *site.Site, services ...string) error {
	for _, name := range services {
		link, err := s.DatabaseLink(name)
		if err != nil {
			return err
		}
		link.Cut()
	}
	return nil
}

// catchUp brings the databases back and measures how the backlogs are worked off.
func (r *Runner) catchUp(ctx context.Context, s *site.Site, all []*backlog) error {
	for _, name := range []string{site.Ucenter, site.Exchange, site.Wallet, site.Market} {
		link, err := s.DatabaseLink(name)
		if err != nil {
			return err
		}
		if err := link.Restore(); err != nil {
			return err
		}
	}
	ended := make(chan error, len(all))
	for _, b := range all {
		go func() { ended <- b.measure(ctx, s) }()
	}
	var errs []error
	for range all {
		errs = append(errs, <-ended)
	}
	return errors.Join(errs...)
}

func (b *backlog) measure(ctx context.Context, s *site.Site) error {
	var begin time.Time
	last := clock.Real().Now()
	return process.Poll(ctx, caughtUpWithin, b.service+" to catch up", func(ctx context.Context) error {
		lag, err := lagOf(ctx, s, b.service)
		now := clock.Real().Now()
		switch {
		case err != nil:
			return err
		case lag >= b.records:
			last = now
			return fmt.Errorf("%d records wait", lag)
		case begin.IsZero():
			begin = last
		}
		b.took = now.Sub(begin)
		if lag > b.records/100 { // the load goes on: it need not be at nothing
			return fmt.Errorf("%d records wait", lag)
		}
		return nil
	})
}

// lagOf returns how many records wait before a service's consumer. It asks past the proxies.
func lagOf(ctx context.Context, s *site.Site, service string) (int64, error) {
	topic := bus.TopicCompleted
	if service == site.Wallet {
		topic = bus.TopicSettle
	}
	client, err := bus.Connect(bus.Config{Brokers: s.Brokers()}, clock.Real())
	if err != nil {
		return 0, err
	}
	defer client.Close()
	lag := int64(0)
	for p := range site.Partitions {
		_, end, err := client.Bounds(ctx, topic, p)
		if err != nil {
			return 0, err
		}
		lag += end
	}
	db, err := database.Open(ctx, s.Database(service), clock.Real())
	if err != nil {
		return 0, err
	}
	var applied int64
	err = db.Read(ctx).Raw("SELECT COALESCE(SUM(next_offset), 0) FROM consumer_position WHERE consumer = ? AND topic = ?", service, topic).Scan(&applied).Error
	return lag - applied, errors.Join(err, db.Close())
}

// judge compares what was measured with what is promised.
func (r *Runner) judge(all []*backlog, watch *memory) error {
	var problems []error
	for _, b := range all {
		if b.factor() < catchUpFactor {
			problems = append(problems, fmt.Errorf("%s catches up %.1f times as fast as its input came, not %d", b.service, b.factor(), catchUpFactor))
		}
	}
	unit, growth := watch.most()
	r.say("no process ended; the one that grew most is %s with %.1f MiB", unit, float64(growth)/(1<<20))
	if growth > growthLimit {
		problems = append(problems, fmt.Errorf("%s grew by %d bytes", unit, growth))
	}
	r.count("outage")
	return errors.Join(problems...)
}

// memory is what the services' processes have in memory.
type memory struct {
	units         []*site.Unit
	before, after map[string]int64
}

func newMemory(s *site.Site) *memory {
	m := &memory{after: map[string]int64{}}
	for _, u := range s.Units {
		switch u.Kind {
		case site.Exchange, site.Wallet, site.Market, site.Ucenter, site.Gateway:
			m.units = append(m.units, u)
		}
	}
	return m
}

// begin makes what was seen so far what the rest is compared with.
func (m *memory) begin() error {
	m.before, m.after = m.after, map[string]int64{}
	return m.look()
}

// look notes the most memory of each process; one that has ended is an error.
func (m *memory) look() error {
	for _, u := range m.units {
		bytes, err := u.Memory()
		if err != nil {
			return err
		}
		m.after[u.Name] = max(m.after[u.Name], bytes)
	}
	return nil
}

// during looks again and again.
func (m *memory) during(ctx context.Context, d time.Duration) error {
	for end := clock.Real().Now().Add(d); clock.Real().Now().Before(end); {
		if err := errors.Join(m.look(), clock.Sleep(ctx, clock.Real(), sampleEvery)); err != nil {
			return err
		}
	}
	return nil
}

// most returns the process that has grown most.
func (m *memory) most() (unit string, growth int64) {
	for name, bytes := range m.after {
		if g := bytes - m.before[name]; unit == "" || g > growth {
			unit, growth = name, g
		}
	}
	return unit, growth
}
