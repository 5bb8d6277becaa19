package service

import (
	"context"
	"errors"

	"mscoin/market/internal/store"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/telemetry"
)

// metrics looks up what is counted nowhere: the connections, and how far the views are.
func (s *Service) metrics(ctx context.Context, emit telemetry.Emit) error {
	shown := stream.Watch(store.Consumer, bus.TopicCompleted, s.cfg.Partitions, stream.DatabaseStore(s.db), stream.ClientBus(s.bus))
	return errors.Join(s.db.Watch(s.cfg.Name)(ctx, emit), shown(ctx, emit))
}
