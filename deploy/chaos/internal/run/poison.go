package run

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

// poison writes records that cannot be read into every topic.
func (r *Runner) poison(ctx context.Context, s *site.Site, l *load.Load) error {
	client, err := bus.Connect(bus.Config{Brokers: s.Brokers()}, clock.Real())
	if err != nil {
		return err
	}
	defer client.Close()
	stop := l.Start(ctx, workers, r.rnd.Uint64())
	err = func() error {
		defer stop()
		if err := r.poisonNobody(ctx, s, l, client); err != nil {
			return err
		}
		// The order store passes on what it parks: poison in its topic halts all three.
		if err := r.poisonTraded(ctx, s, l, client, bus.TopicCompleted, site.Exchange, site.Market, site.Wallet); err != nil {
			return fmt.Errorf("%s: %w", bus.TopicCompleted, err)
		}
		if err := r.poisonTraded(ctx, s, l, client, bus.TopicSettle, site.Wallet); err != nil {
			return fmt.Errorf("%s: %w", bus.TopicSettle, err)
		}
		return nil
	}()
	if err == nil {
		err = r.check(ctx, s, l, false)
	}
	if err != nil {
		return fmt.Errorf("poison: %w", err)
	}
	r.say("poison in every topic: %d orders acknowledged, all found; the books fit", l.Counts().Acknowledged)
	return nil
}

// poisonNobody writes poison that concerns no traded symbol, or only in the command log,
// where it is refused: everything trades on.
func (r *Runner) poisonNobody(ctx context.Context, s *site.Site, l *load.Load, client *bus.Client) error {
	for _, topic := range []string{bus.TopicCommands, bus.TopicCompleted, bus.TopicSettle} {
		keys := []string{"ETH/BTC", "NO/SUCH", ""}
		if topic == bus.TopicCommands {
			keys = append(keys, load.Symbols()...)
		}
		for _, key := range keys {
			for partition := range site.Partitions {
				if err := r.poisonOne(ctx, client, topic, partition, key); err != nil {
					return err
				}
			}
		}
	}
	if err := process.Poll(ctx, tradesWithin, "trading beside poison", l.Probe); err != nil {
		return err
	}
	if err := restart(ctx, s); err != nil {
		return err
	}
	return process.Poll(ctx, tradesWithin, "trading after a restart beside poison", l.Probe)
}

// poisonTraded writes poison in the name of a traded symbol: it is halted by the services
// that read the topic, which mscoin-admin shows, the other one trades on, also after a
// restart of everything; an operator's decisions set it free.
func (r *Runner) poisonTraded(ctx context.Context, s *site.Site, l *load.Load, client *bus.Client, topic string, halts ...string) error {
	symbols := load.Symbols()
	n := r.rnd.IntN(len(symbols))
	poisoned, healthy := symbols[n], symbols[1-n]
	partition, err := partitionOf(ctx, s, poisoned)
	if err != nil {
		return err
	}
	if err := r.poisonOne(ctx, client, topic, partition, poisoned); err != nil {
		return err
	}
	if err := process.Poll(ctx, tradesWithin, "the halt", func(ctx context.Context) error { return halted(ctx, s, poisoned, halts) }); err != nil {
		return err
	}
	trades := func(ctx context.Context) error { return l.ProbeOne(ctx, healthy) }
	if err := process.Poll(ctx, tradesWithin, "trading beside a halt", trades); err != nil {
		return err
	}
	if err := restart(ctx, s); err != nil {
		return err
	}
	if err := process.Poll(ctx, tradesWithin, "trading after a restart beside a halt", trades); err != nil {
		return err
	}
	if err := l.ProbeOne(ctx, poisoned); err == nil {
		return fmt.Errorf("%s is halted, and trades", poisoned)
	}
	for _, service := range halts {
		if err := process.Poll(ctx, tradesWithin, "the decision", func(ctx context.Context) error { return skip(ctx, s, service, poisoned) }); err != nil {
			return err
		}
	}
	r.say("%s was halted by poison in %s, %s traded on; skipped in %s", poisoned, topic, healthy, strings.Join(halts, ", "))
	r.count("halt by poison in " + topic)
	return process.Poll(ctx, tradesWithin, "trading after the decision", l.Probe)
}

// halted fails unless mscoin-admin shows the symbol as halted in the services.
func halted(ctx context.Context, s *site.Site, symbol string, services []string) error {
	rows, err := s.Ask(ctx, "halted")
	if err != nil {
		return err
	}
	for _, service := range services {
		if !slices.ContainsFunc(rows, func(row map[string]string) bool { return row["service"] == service && row["symbol"] == symbol }) {
			return fmt.Errorf("%s is not shown as halted in %s: %v", symbol, service, rows)
		}
	}
	return nil
}

// skip has an operator give up the record that halts a symbol.
func skip(ctx context.Context, s *site.Site, service, symbol string) error {
	of := []string{"-service", service, "-symbol", symbol}
	parked, err := s.Ask(ctx, append([]string{"parked", "-n", "1"}, of...)...)
	if err != nil {
		return err
	}
	if len(parked) == 0 {
		return errors.New("nothing is parked")
	}
	_, err = s.Ask(ctx, append([]string{"skip", "-by", "chaos", "-reason", "poison", "-fingerprint", parked[0]["fingerprint"]}, of...)...)
	return err
}

// restart kills and starts what reads the topics.
func restart(ctx context.Context, s *site.Site) error {
	for _, u := range s.Units {
		if u.Kind == site.Exchange || u.Kind == site.Wallet || u.Kind == site.Market {
			if err := errors.Join(u.Kill(), u.Start(ctx)); err != nil {
				return err
			}
		}
	}
	return nil
}

// partitionOf returns the partition that a symbol is listed on.
func partitionOf(ctx context.Context, s *site.Site, symbol string) (partition int, err error) {
	db, err := database.Open(ctx, s.Database(site.Exchange), clock.Real())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	err = db.Read(ctx).Raw("SELECT partition_id FROM exchange_coin WHERE symbol = ?", symbol).Scan(&partition).Error
	return partition, err
}

func (r *Runner) poisonOne(ctx context.Context, client *bus.Client, topic string, partition int, key string) error {
	value := make([]byte, 1+r.rnd.IntN(100))
	for i := range value {
		value[i] = byte(r.rnd.Uint32())
	}
	r.count("poison in " + topic)
	return process.Poll(ctx, tradesWithin, "the broker", func(ctx context.Context) error {
		_, err := client.Produce(ctx, topic, partition, []bus.Message{{Key: []byte(key), Value: value}})
		return err
	})
}
