package service

import (
	"context"
	"errors"
	"strconv"

	"mscoin/exchange/internal/consumer"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/telemetry"
)

// metrics looks up what is counted nowhere: the connections, how far the order store is,
// which partitions this instance owns, and whether their matchers answer.
func (s *Service) metrics(ctx context.Context, emit telemetry.Emit) error {
	for i := range s.partitions {
		owned := 0.0
		if l, ok := s.leases.Owner(i); ok && l.Owner == s.id {
			owned = 1
			live := 0.0
			if s.partitions[i].live(i) == nil {
				live = 1
			}
			emit(telemetry.Live, live, s.cfg.Name, strconv.Itoa(i))
		}
		emit(telemetry.Owned, owned, s.cfg.Name, strconv.Itoa(i))
	}
	orders := stream.Watch(consumer.Name, bus.TopicCompleted, s.cfg.Partitions, stream.DatabaseStore(s.db), stream.ClientBus(s.bus))
	return errors.Join(s.db.Watch(s.cfg.Name)(ctx, emit), orders(ctx, emit))
}
