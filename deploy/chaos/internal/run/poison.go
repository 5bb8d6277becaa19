package run

import (
	"context"
	"errors"
	"fmt"

	"mscoin/deploy/chaos/internal/load"
	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
)

// poison writes records that cannot be read into every topic, then kills everything that
// reads them. What names the traded symbols goes into the command log only, where it is
// refused; elsewhere it may halt a symbol that nobody trades here, and nothing else.
func (r *Runner) poison(ctx context.Context, s *site.Site, l *load.Load) error {
	client, err := bus.Connect(bus.Config{Brokers: s.Brokers()}, clock.Real())
	if err != nil {
		return err
	}
	defer client.Close()
	stop := l.Start(ctx, workers, r.rnd.Uint64())
	err = func() error {
		defer stop()
		for _, topic := range []string{bus.TopicCommands, bus.TopicCompleted, bus.TopicSettle} {
			keys := []string{"ETH/BTC", "NO/SUCH", ""}
			if topic == bus.TopicCommands {
				keys = append(keys, "BTC/USDT", "ETH/USDT")
			}
			for _, key := range keys {
				if err := r.poisonOne(ctx, client, topic, key); err != nil {
					return err
				}
			}
		}
		if err := process.Poll(ctx, tradesWithin, "trading beside poison", l.Probe); err != nil {
			return err
		}
		for _, u := range s.Units {
			if u.Kind == site.Exchange || u.Kind == site.Wallet || u.Kind == site.Market {
				if err := errors.Join(u.Kill(), u.Start(ctx)); err != nil {
					return err
				}
			}
		}
		return process.Poll(ctx, tradesWithin, "trading after a restart beside poison", l.Probe)
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

func (r *Runner) poisonOne(ctx context.Context, client *bus.Client, topic, key string) error {
	for partition := range site.Partitions {
		value := make([]byte, 1+r.rnd.IntN(200))
		for i := range value {
			value[i] = byte(r.rnd.Uint32())
		}
		err := process.Poll(ctx, tradesWithin, "the broker", func(ctx context.Context) error {
			_, err := client.Produce(ctx, topic, partition, []bus.Message{{Key: []byte(key), Value: value}})
			return err
		})
		if err != nil {
			return err
		}
		r.count("poison in " + topic)
	}
	return nil
}
