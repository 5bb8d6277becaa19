package site

import (
	"context"
	"path/filepath"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

// local are the embedded broker and Redis as processes of their own, and a file for each
// service's database.
type local struct{ dir string }

func (l *local) open(ctx context.Context, s *Site) error {
	l.dir = s.cfg.Dir
	broker, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	if err := s.link(ctx, "services", "broker", broker); err != nil {
		return err
	}
	s.brokers = []string{s.via["services-broker"]}
	if err := s.addChild(ctx, "broker", Broker, nil, "serve", Broker, filepath.Join(l.dir, "broker"), broker, s.brokers[0]); err != nil {
		return err
	}
	redis, err := freeAddr(ctx)
	if err != nil {
		return err
	}
	for _, kind := range []string{Wallet, Gateway} {
		if err := s.link(ctx, kind, "redis", redis); err != nil {
			return err
		}
	}
	if err := s.addChild(ctx, "redis", Redis, nil, "serve", Redis, redis); err != nil {
		return err
	}
	if err := answers(ctx, broker, startWithin); err != nil {
		return err
	}
	return ensureTopics(ctx, s.brokers)
}

func ensureTopics(ctx context.Context, brokers []string) error {
	client, err := bus.Connect(bus.Config{Brokers: brokers}, clock.Real())
	if err != nil {
		return err
	}
	defer client.Close()
	return client.EnsureTopics(ctx, bus.MoneyTopics(Partitions))
}

func (l *local) close(context.Context) error { return nil }

func (l *local) dialect() string { return database.SQLite }

func (l *local) dsn(service, _ string) string { return filepath.Join(l.dir, service+".db") }

func (l *local) redisPassword() string { return "" }
