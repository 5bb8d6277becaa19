package sequencer

import (
	"context"
	"fmt"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/errs"
)

// Refusals to truncate a log. Nothing is deleted.
var (
	// ErrNotVerified says that there are not two snapshots that a replay by the naive
	// matcher has given: one to start from, and one to fall back to.
	ErrNotVerified = errs.New(errs.KindFailedPrecondition, errs.CodeNotVerified, "there are not two verified snapshots in the log: verify it first")
	// ErrFollowerBehind says that a consumer has not reached what a start would begin at.
	ErrFollowerBehind = errs.New(errs.KindFailedPrecondition, errs.CodeFollowerBehind, "a consumer still needs what would be deleted")
)

// TruncationConfig is what the planning of a truncation is made of.
type TruncationConfig struct {
	Partition int
	Log       Log
	Snapshots Snapshots
	NewEngine func() matching.Engine
	// Followers are all consumers of the records.
	Followers []Follower
}

// Truncation is how much of a command log no start needs any more.
type Truncation struct {
	// First and End are the log's bounds now. Before is where it may begin.
	First, End, Before int64
	// Keep is the verified snapshot that becomes the oldest to start from.
	Keep snapshot.Info
}

// PlanTruncation finds out how much of a command log may be deleted: what is below the
// second-oldest verified snapshot, so that the ones after it can be started from, and two
// of them at least. Both are restored once more, and every consumer must have reached
// them. The last command of the snapshot stays, because a start compares it.
//
// Errors: ErrNotVerified, ErrFollowerBehind, and those of log and database.
func PlanTruncation(ctx context.Context, cfg TruncationConfig) (*Truncation, error) {
	stored, err := cfg.Snapshots.Snapshots(ctx, cfg.Partition)
	if err != nil {
		return nil, fmt.Errorf("load snapshots: %w", err)
	}
	t := &Truncation{}
	if t.First, t.End, err = cfg.Log.Bounds(ctx, bus.TopicCommands, cfg.Partition); err != nil {
		return nil, fmt.Errorf("inspect command log: %w", err)
	}
	var verified []*snapshot.Info // newest first
	for i := range stored {
		if s := &stored[i]; s.VerifiedMs > 0 && s.Next-1 >= t.First && s.Next <= t.End {
			verified = append(verified, s)
		}
	}
	if len(verified) < 2 {
		return nil, ErrNotVerified.With(fmt.Sprintf("partition %d has %d", cfg.Partition, len(verified)))
	}
	keep := verified[max(1, len(verified)-2)]
	for _, s := range []*snapshot.Info{keep, verified[0]} {
		if err := cfg.usable(ctx, s); err != nil {
			return nil, ErrNotVerified.With(fmt.Sprintf("the snapshot of partition %d at offset %d is not usable any more", cfg.Partition, s.Next)).Wrap(err)
		}
	}
	ahead, err := Reached(keep, cfg.Followers)
	if err != nil {
		return nil, err
	}
	if ahead != "" {
		return nil, ErrFollowerBehind.With(fmt.Sprintf("snapshot of partition %d at offset %d: %s", cfg.Partition, keep.Next, ahead))
	}
	t.Keep, t.Before = *keep, keep.Next-1
	return t, nil
}

// usable checks a snapshot as a start does.
func (cfg *TruncationConfig) usable(ctx context.Context, info *snapshot.Info) error {
	msg, err := cfg.Log.ReadOne(ctx, bus.TopicCommands, cfg.Partition, info.Next-1)
	if err != nil {
		return fmt.Errorf("read its last command: %w", err)
	}
	if string(bus.Fingerprint(msg)) != string(info.Fingerprint) {
		return fmt.Errorf("%w: its last command is not the one that was consumed", ErrDiverged)
	}
	image, err := cfg.Snapshots.SnapshotImage(ctx, cfg.Partition, info.Next)
	if err != nil {
		return fmt.Errorf("load image: %w", err)
	}
	_, err = restored(info, image, cfg.NewEngine)
	return err
}

// RecordsBefore returns the offset in a topic of records before which there are only
// records that a snapshot holds the effects of. It reads the topic up to there.
func RecordsBefore(ctx context.Context, log Log, topic string, partition int, keep *snapshot.Info) (int64, error) {
	first, end, err := log.Bounds(ctx, topic, partition)
	if err != nil {
		return 0, fmt.Errorf("inspect %s/%d: %w", topic, partition, err)
	}
	heads := make(map[string]int64, len(keep.Symbols))
	for _, s := range keep.Symbols {
		heads[s.Name] = s.Seq
	}
	sub := log.Subscribe(topic, partition, first)
	defer sub.Close()
	for at := first; at < end; {
		msgs, err := sub.Fetch(ctx, replayBatch, idleWait)
		if err != nil {
			return 0, fmt.Errorf("read %s/%d: %w", topic, partition, err)
		}
		for _, msg := range msgs {
			r, ok := recordOf(msg)
			if !ok || r.entry.Body.GetSeq() > heads[r.entry.Body.GetSymbol()] {
				return msg.Offset, nil // what cannot be read is for consumers to judge
			}
			at = msg.Offset + 1
		}
	}
	return max(first, end-1), nil
}
