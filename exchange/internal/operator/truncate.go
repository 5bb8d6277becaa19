package operator

import (
	"context"
	"fmt"
	"strings"

	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/matching"
	"mscoin/mscoin-common/bus"
)

// Cut is the beginning of a topic's partition that is deleted.
type Cut struct {
	Topic                string
	First, NewFirst, End int64
}

// Truncate deletes the beginning of a command log that no start needs any more, and with
// records also the records of those commands from both topics, as far as every consumer is
// beyond them. A dry run only tells. It returns the cuts, and the snapshot that becomes
// the oldest to start from.
func (o *Operator) Truncate(ctx context.Context, partition int, others []Endpoint, records, dryRun bool, by By) (cuts []Cut, keep int64, err error) {
	if err := o.checkPartition(partition); err != nil {
		return nil, 0, err
	}
	reach, err := o.cfg.Reach(ctx, others)
	if err != nil {
		return nil, 0, fmt.Errorf("positions of the consumers: %w", err)
	}
	plan, err := sequencer.PlanTruncation(ctx, sequencer.TruncationConfig{
		Partition: partition, Log: o.cfg.Log, Snapshots: o.cfg.Snapshots, Followers: followersOf(reach),
		NewEngine: func() matching.Engine { return matching.New() },
	})
	if err != nil {
		return nil, 0, fmt.Errorf("truncate partition %d: %w", partition, err)
	}
	cuts = []Cut{{bus.TopicCommands, plan.First, plan.Before, plan.End}}
	if records {
		for _, topic := range []string{bus.TopicCompleted, bus.TopicSettle} {
			cut, err := o.recordsCut(ctx, topic, partition, plan, reach)
			if err != nil {
				return nil, 0, fmt.Errorf("truncate partition %d: %w", partition, err)
			}
			cuts = append(cuts, cut)
		}
	}
	if dryRun {
		return cuts, plan.Keep.Next, nil
	}
	outcome := []string{fmt.Sprintf("partition %d begins at the snapshot of offset %d", partition, plan.Keep.Next)}
	for _, c := range cuts {
		outcome = append(outcome, fmt.Sprintf("%s: %d to %d", c.Topic, c.First, c.NewFirst))
	}
	if err := o.record(ctx, by, "", actionTruncate, strings.Join(outcome, "; "), plan.Keep.Fingerprint); err != nil {
		return nil, 0, err
	}
	for i := range cuts {
		c := &cuts[i]
		if c.NewFirst, err = o.cfg.Deleter.DeleteBefore(ctx, c.Topic, partition, c.NewFirst); err != nil {
			return nil, 0, fmt.Errorf("truncate partition %d (repeating it is harmless): %w", partition, err)
		}
	}
	return cuts, plan.Keep.Next, nil
}

// recordsCut returns how much of a topic of records may go: what the snapshot that is kept
// holds, without the last record that any consumer has consumed, which it compares.
func (o *Operator) recordsCut(ctx context.Context, topic string, partition int, plan *sequencer.Truncation, reach []Reach) (Cut, error) {
	first, end, err := o.cfg.Log.Bounds(ctx, topic, partition)
	if err != nil {
		return Cut{}, fmt.Errorf("inspect %s/%d: %w", topic, partition, err)
	}
	before, err := sequencer.RecordsBefore(ctx, o.cfg.Log, topic, partition, &plan.Keep)
	if err != nil {
		return Cut{}, err
	}
	for _, r := range reach {
		if next, reads := r.Next[Place{topic, partition}]; reads {
			before = min(before, next-1)
		}
	}
	return Cut{topic, first, max(first, before), end}, nil
}
