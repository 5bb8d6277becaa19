package service

import (
	"context"
	"errors"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/internal/consumer"
)

// metrics looks up what is counted nowhere: the connections, how far the settlement is, and
// the holds that no record has spoken of yet.
func (s *Service) metrics(ctx context.Context, emit telemetry.Emit) error {
	settled := stream.Watch(consumer.Name, bus.TopicSettle, s.cfg.Partitions, stream.DatabaseStore(s.db), stream.ClientBus(s.bus))
	pending, err := s.store.PendingHolds(ctx)
	if err == nil {
		for age, count := range pending {
			emit(telemetry.PendingHolds, float64(count), age)
		}
	}
	return errors.Join(s.db.Watch(s.cfg.Name)(ctx, emit), settled(ctx, emit), err)
}
