package site

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/go-sql-driver/mysql"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
)

// local are the embedded broker and Redis as processes of their own, and for each service a
// file or what it was given as its database.
type local struct {
	dir  string
	dsns map[string]string
}

func (l *local) open(ctx context.Context, s *Site) error {
	l.dir, l.dsns = s.cfg.Dir, s.cfg.DSNs
	for kind, text := range l.dsns {
		dsn, err := mysql.ParseDSN(text)
		if err != nil {
			return fmt.Errorf("DSN of %s: %w", kind, err)
		}
		if err := s.link(ctx, kind, "database", dsn.Addr); err != nil {
			return err
		}
	}
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

func (l *local) dialect() string {
	if l.dsns != nil {
		return database.MySQL
	}
	return database.SQLite
}

func (l *local) dsn(service, addr string) string {
	if l.dsns == nil {
		return filepath.Join(l.dir, service+".db")
	}
	dsn, err := mysql.ParseDSN(l.dsns[service])
	if err != nil || addr == "" {
		return l.dsns[service] // open has parsed it
	}
	dsn.Addr = addr
	return dsn.FormatDSN()
}
