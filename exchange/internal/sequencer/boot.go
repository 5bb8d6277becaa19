package sequencer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/sequencer/snapshot"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

// Refusals to start. Each is wrapped with the topic, the partition and the offsets.
var (
	// ErrCommandLogTruncated: the command log begins after the newest snapshot, or after
	// offset 0 and no snapshot helps: the books cannot be rebuilt.
	ErrCommandLogTruncated = errors.New("command log is truncated")
	// ErrCommandLogLost: records were published or applied whose commands are gone.
	ErrCommandLogLost = errors.New("command log lost records")
	// ErrOutputLost: records were applied that are gone from the output log.
	ErrOutputLost = errors.New("output log lost records")
	// ErrDiverged: a replay does not give what was published or applied: one of the
	// logs was recreated or changed, or the matcher is not the one that wrote it.
	ErrDiverged = errors.New("replay differs from what was published")
	// ErrDatabaseLost: the logs speak of symbols and orders that the database has never
	// heard of. It is empty or another one's; its ids would be given out twice.
	ErrDatabaseLost = errors.New("database does not belong to the log")
)

// Refusal reports whether err says that the logs and the database contradict each other:
// starting again cannot help.
func Refusal(err error) bool {
	if _, poison := errors.AsType[*PoisonError](err); poison {
		return true
	}
	return slices.ContainsFunc([]error{
		ErrCommandLogTruncated, ErrCommandLogLost, ErrOutputLost, ErrDiverged, ErrDatabaseLost,
		ErrWrongDecision, ErrUnknownFlag, snapshot.ErrDamaged,
	},
		func(refusal error) bool { return errors.Is(err, refusal) })
}

// plan is what a boot has found out before the replay.
type plan struct {
	commandEnd int64 // end of the command log at boot
	// last is the last published record, nil if there is none.
	last     *eventpb.RecordBody
	lastHash []byte
	// applied are the order consumer's positions, followers those of the others.
	applied   Positions
	followers []Follower
	unknown   error // why not all of them are known
}

// inspect reads the positions, the last record and the bounds of both logs, and refuses
// what cannot be.
//
// Another instance that believes to own the partition may be at work meanwhile. What
// follows is read before what it follows from: the positions before the output, and
// that before the commands, so that nothing seems to be ahead of its cause.
func (s *Sequencer) inspect(ctx context.Context) (*plan, error) {
	p := s.cfg.Partition
	applied, err := s.cfg.Positions(ctx)
	if err != nil {
		return nil, fmt.Errorf("load positions of the order consumer: %w", err)
	}
	pl := &plan{applied: applied}
	stored, err := s.snapshots(ctx, pl)
	if err != nil {
		return nil, err
	}
	outFirst, outEnd, err := s.cfg.Log.Bounds(ctx, bus.TopicCompleted, p)
	if err != nil {
		return nil, fmt.Errorf("inspect output log: %w", err)
	}
	if applied.NextOffset > outEnd {
		return nil, fmt.Errorf("%w: %s/%d ends at offset %d, but the order consumer has applied it up to %d",
			ErrOutputLost, bus.TopicCompleted, p, outEnd, applied.NextOffset)
	}
	if outEnd > 0 && outFirst == outEnd {
		return nil, fmt.Errorf("%w: %s/%d holds nothing before its end at offset %d", ErrOutputLost, bus.TopicCompleted, p, outEnd)
	}
	if pl.last, pl.lastHash, err = s.readLast(ctx, outFirst, outEnd); err != nil {
		return nil, err
	}
	first, end, err := s.inspectCommands(ctx, applied.NothingListed)
	if err != nil {
		return nil, err
	}
	pl.commandEnd = end
	if pl.last != nil && pl.last.CommandOffset >= pl.commandEnd {
		return nil, fmt.Errorf("%w: %s/%d ends at offset %d, but record %d of %s in %s answers command offset %d",
			ErrCommandLogLost, bus.TopicCommands, p, pl.commandEnd, pl.last.Seq, pl.last.Symbol, bus.TopicCompleted, pl.last.CommandOffset)
	}
	return pl, s.start(ctx, pl, stored, first)
}

// inspectCommands returns the bounds of the command log.
func (s *Sequencer) inspectCommands(ctx context.Context, nothingListed bool) (first, end int64, err error) {
	p := s.cfg.Partition
	first, end, err = s.cfg.Log.Bounds(ctx, bus.TopicCommands, p)
	if err != nil {
		return 0, 0, fmt.Errorf("inspect command log: %w", err)
	}
	if !nothingListed || end == 0 {
		return first, end, nil
	}
	// The first symbol may have been listed since the positions were loaded.
	now, err := s.cfg.Positions(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("load positions of the order consumer: %w", err)
	}
	if now.NothingListed {
		return 0, 0, fmt.Errorf("%w: %s/%d holds %d commands, but the database lists no symbol on it", ErrDatabaseLost, bus.TopicCommands, p, end)
	}
	return first, end, nil
}

// readLast returns the newest record of the output that answers a command of this
// partition, nil if there is none. What cannot be read, or belongs elsewhere, is passed
// by: the consumers halt the symbol of its key (MONEY-SAFETY H16). Should it have taken
// the place of a record, then that record's command counts as unanswered, and is answered.
func (s *Sequencer) readLast(ctx context.Context, first, end int64) (*eventpb.RecordBody, []byte, error) {
	for to, n := end, int64(1); to > first; n = min(2*n, lookBack) {
		from := max(first, to-n)
		msgs, err := s.readOutput(ctx, from, to)
		if err != nil {
			return nil, nil, fmt.Errorf("read last record: %w", err)
		}
		for _, msg := range slices.Backward(msgs) {
			e, err := stream.OpenMessage(msg)
			if err == nil && int(e.Body.CommandPartition) == s.cfg.Partition {
				return e.Body, e.Hash, nil
			}
			logx.Errorf("sequencer of partition %d: %s at offset %d is no record of it: %v", s.cfg.Partition, bus.TopicCompleted, msg.Offset, err)
		}
		to = from
	}
	return nil, nil, nil
}

// readOutput returns the messages from ≤ offset < to of the output, which must be there.
func (s *Sequencer) readOutput(ctx context.Context, from, to int64) ([]bus.Message, error) {
	sub := s.cfg.Log.Subscribe(bus.TopicCompleted, s.cfg.Partition, from)
	defer sub.Close()
	var all []bus.Message
	for n := to - from; int64(len(all)) < n; {
		msgs, err := sub.Fetch(ctx, int(n)-len(all), idleWait)
		if err != nil {
			return nil, err
		}
		if len(msgs) == 0 {
			return nil, fmt.Errorf("%s/%d has no record at offset %d yet", bus.TopicCompleted, s.cfg.Partition, from+int64(len(all)))
		}
		all = append(all, msgs...)
	}
	return all, nil
}

// replay rebuilds the state up to the last published command, and on until the
// replay has met every position of the order consumer: a record that was published
// late and out of turn may stand last in the output without being the newest.
// Nothing is published before all of that agrees; then what came after the last
// record is.
func (s *Sequencer) replay(ctx context.Context, sub Subscription, pl *plan) error {
	behind, err := s.behind(pl)
	if err != nil {
		return err
	}
	from := s.m.Next()
	var missing []Sealed
	for !s.replayed(pl, behind) {
		if s.m.Next() >= pl.commandEnd {
			break
		}
		msgs, err := sub.Fetch(ctx, int(min(replayBatch, pl.commandEnd-s.m.Next())), idleWait)
		if err != nil {
			if err := s.fetchError(ctx, err); err != nil {
				return err
			}
			continue
		}
		for i := range msgs {
			rec, ok, err := s.replayOne(pl, behind, msgs[i])
			if err != nil {
				return err
			}
			if ok && pl.unpublished(msgs[i].Offset) {
				missing = append(missing, rec)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(behind)) {
		return fmt.Errorf("%w: %s/%d ends at offset %d, where %s is at record %d, but the order consumer has applied record %d",
			ErrCommandLogLost, bus.TopicCommands, s.cfg.Partition, pl.commandEnd, name, s.seqOf(name), pl.applied.Symbols[name].Seq)
	}
	logx.Infof("sequencer of partition %d: replayed the commands from offset %d up to %d, %d records to publish",
		s.cfg.Partition, from, s.m.Next(), len(missing))
	return s.publish(ctx, missing)
}

// unpublished reports whether the record of a command may not be in the output.
func (pl *plan) unpublished(offset int64) bool {
	return pl.last == nil || offset > pl.last.CommandOffset
}

// replayed reports whether all that is known to have been published or applied is met.
func (s *Sequencer) replayed(pl *plan, behind map[string]bool) bool {
	return len(behind) == 0 && (pl.last == nil || s.m.Next() > pl.last.CommandOffset)
}

func (s *Sequencer) seqOf(name string) int64 {
	if b, ok := s.m.books[name]; ok {
		return b.seq
	}
	return 0
}

// replayOne applies one command and compares its record with what is known of it.
func (s *Sequencer) replayOne(pl *plan, behind map[string]bool, msg bus.Message) (Sealed, bool, error) {
	apply := s.m.Replay
	if pl.unpublished(msg.Offset) {
		apply = s.m.Apply
	}
	s.mu.Lock()
	rec, ok, err := apply(msg)
	s.mu.Unlock()
	if err != nil {
		return Sealed{}, false, err
	}
	if pl.last != nil && msg.Offset == pl.last.CommandOffset && (!ok || !bytes.Equal(rec.Hash, pl.lastHash)) {
		return Sealed{}, false, fmt.Errorf("%w: the command at %s/%d offset %d does not give record %d of %s that stands last in %s",
			ErrDiverged, bus.TopicCommands, s.cfg.Partition, msg.Offset, pl.last.Seq, pl.last.Symbol, bus.TopicCompleted)
	}
	if !ok {
		return rec, false, nil
	}
	at, known := pl.applied.Symbols[rec.Symbol]
	if known && (rec.Body.Left != nil && at.Seq > rec.Body.Seq || rec.Body.Adopted != nil && at.Seq < rec.Body.Seq) {
		delete(behind, rec.Symbol) // what it has applied after, or before, came from elsewhere
	}
	if !known || at.Seq != rec.Body.Seq {
		return rec, true, nil
	}
	if !bytes.Equal(at.Hash, rec.Hash) {
		return Sealed{}, false, fmt.Errorf("%w: the command at %s/%d offset %d does not give record %d of %s that the order consumer has applied",
			ErrDiverged, bus.TopicCommands, s.cfg.Partition, msg.Offset, at.Seq, rec.Symbol)
	}
	delete(behind, rec.Symbol)
	return rec, true, nil
}
