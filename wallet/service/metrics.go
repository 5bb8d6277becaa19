package service

import (
	"context"
	"errors"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/internal/consumer"
)

const msPerSecond = 1000

// metrics looks up what is counted nowhere: the connections, how far the settlement is, the
// holds that no record has spoken of yet, and the last reconciliation.
func (s *Service) metrics(ctx context.Context, emit telemetry.Emit) error {
	settled := stream.Watch(consumer.Name, bus.TopicSettle, s.cfg.Partitions, stream.DatabaseStore(s.db), stream.ClientBus(s.bus))
	pending, err := s.store.PendingHolds(ctx)
	if err == nil {
		for age, count := range pending {
			emit(telemetry.PendingHolds, float64(count), age)
		}
	}
	return errors.Join(s.db.Watch(s.cfg.Name)(ctx, emit), settled(ctx, emit), err, s.reconciled(ctx, emit))
}

// reconciled tells of the last reconciliation, and nothing before there was one.
func (s *Service) reconciled(ctx context.Context, emit telemetry.Emit) error {
	last, err := s.store.LastPass(ctx)
	if err != nil || last.Number == 0 {
		return err
	}
	emit(telemetry.ReconcileDiscrepancies, float64(last.Found))
	emit(telemetry.ReconcileAlarms, float64(last.Alarms))
	emit(telemetry.ReconcileTime, float64(last.AtMs+last.TookMs)/msPerSecond)
	return nil
}
