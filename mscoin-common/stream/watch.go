package stream

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/telemetry"
)

// tell counts records that have been applied in a transaction that began at begin, and notes
// the step of those that are traced.
func (c *Consumer) tell(ctx context.Context, fresh []Entry, begin time.Time) {
	if len(fresh) == 0 {
		return
	}
	end := c.deps.Clock.Now()
	telemetry.Consumed(c.cfg.Name, len(fresh), fresh[0].Message.TimeMs, begin, end)
	for i := range fresh {
		if e := &fresh[i]; e.Message.Trace != "" {
			telemetry.Step(ctx, e.Message.Trace, "applied by "+c.cfg.Name, begin, end,
				logx.Field("symbol", e.Body.GetSymbol()), logx.Field("seq", e.Body.GetSeq()), logx.Field("orderIds", OrderIDs(e.Body)))
		}
	}
}

// maxShownIDs bounds how many orders of a record are named: a sweep cancels many.
const maxShownIDs = 10

// OrderIDs returns the ids of the first orders that a record speaks of, for logs and traces.
func OrderIDs(body *eventpb.RecordBody) []int64 {
	ids := make([]int64, 0, maxShownIDs)
	for _, o := range body.GetOrders() {
		if len(ids) == maxShownIDs {
			break
		}
		ids = append(ids, o.GetOrderId())
	}
	return ids
}

// Watch returns a collector that tells how far the consumer of that name is behind its
// topic, and at how many symbols it stands still, whichever instances do the work.
func Watch(name, topic string, partitions int, store Store, log Bus) telemetry.Collector {
	return func(ctx context.Context, emit telemetry.Emit) error {
		halts, err := store.LoadHalts(ctx, name)
		if err != nil {
			return fmt.Errorf("halts of %s: %w", name, err)
		}
		emit(telemetry.HaltedSymbols, float64(len(halts)), name)
		for partition := range partitions {
			position, err := store.LoadPosition(ctx, name, topic, partition)
			if err != nil {
				return fmt.Errorf("position of %s: %w", name, err)
			}
			_, end, err := log.Bounds(ctx, topic, partition)
			if err != nil {
				return fmt.Errorf("lag of %s: %w", name, err)
			}
			emit(telemetry.ConsumerLag, float64(max(0, end-position.NextOffset)), name, strconv.Itoa(partition))
		}
		return nil
	}
}
