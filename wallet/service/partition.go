package service

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/internal/consumer"
)

// leaseName names the leases in the database.
const leaseName = "wallet"

// newLeases prepares the leases; Run keeps them.
func (s *Service) newLeases(ctx context.Context) error {
	table := lease.NewTable(s.db, leaseName, s.cfg.Partitions)
	if err := table.Prepare(ctx); err != nil {
		return err
	}
	s.leases = lease.New(s.cfg.Lease, table, s.clk, lease.NewID(s.cfg.Name), s.own)
	return nil
}

// keepLeases owns partitions until ctx ends.
func (s *Service) keepLeases(ctx context.Context) error {
	endpoint, err := rpc.Endpoint(s.cfg.Endpoint, s.server.Addr())
	if err != nil {
		return err
	}
	return s.leases.Run(ctx, endpoint)
}

// own settles the records of a partition until the lease is over.
func (s *Service) own(ctx context.Context, l lease.Lease) {
	lease.Repeat(ctx, s.clk, func(ctx context.Context) error { return s.settlePartition(ctx, l.Partition) }, func(err error) {
		logx.Errorf("settlement of partition %d, epoch %d: %v", l.Partition, l.Epoch, err)
		if s.cfg.Lease.Mode == lease.Static && errors.Is(err, stream.ErrLogLost) {
			s.group.Fail(err) // nobody else could do better
		}
	})
}

func (s *Service) settlePartition(ctx context.Context, partition int) error {
	c, err := s.newConsumer(partition)
	if err != nil {
		return err
	}
	s.consumers[partition].Store(c)
	defer s.consumers[partition].Store(nil)
	return c.Run(ctx)
}

func (s *Service) newConsumer(partition int) (*stream.Consumer, error) {
	c, err := stream.New(
		stream.Config{Name: consumer.Name, Topic: bus.TopicSettle, Partition: partition, MaxBatch: s.cfg.SettleBatch},
		stream.Deps{
			Bus: stream.ClientBus(s.bus), Store: stream.DatabaseStore(s.db), Clock: s.clk, Progress: s.progress,
			Apply: s.settle.Apply, Around: s.settle.Around,
		},
	)
	if err != nil {
		return nil, fmt.Errorf("settlement of partition %d: %w", partition, err)
	}
	return c, nil
}
