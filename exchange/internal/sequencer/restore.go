package sequencer

import (
	"bytes"
	"context"
	"fmt"
	"maps"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
)

// Snapshots keeps snapshots and skip decisions.
type Snapshots interface {
	// Snapshots returns the complete snapshots of a partition, newest first.
	Snapshots(ctx context.Context, partition int) ([]snapshot.Info, error)
	// SnapshotImage returns an image; what is missing of it is left out.
	SnapshotImage(ctx context.Context, partition int, next int64) ([]byte, error)
	// SaveSnapshot stores a snapshot. One of the same place is there already: nothing
	// changes then.
	SaveSnapshot(ctx context.Context, info *snapshot.Info, image []byte) error
	// DropSnapshots deletes snapshots of a partition.
	DropSnapshots(ctx context.Context, partition int, next []int64) error
	// MarkVerified notes that a replay by the naive matcher gave the snapshot's image. One
	// that was dropped meanwhile is no error.
	MarkVerified(ctx context.Context, partition int, next int64) error
	// SkipDecisions returns the decisions about a partition.
	SkipDecisions(ctx context.Context, partition int) ([]snapshot.Decision, error)
	// SaveSkipDecision stores a decision, which is never changed: another about the
	// same offset is refused.
	SaveSkipDecision(ctx context.Context, d *snapshot.Decision) error
}

// Follower is how far a consumer has applied the records.
type Follower struct {
	Name    string
	Symbols map[string]database.SymbolPosition
}

// snapshots loads what is stored, newest first, and, if there is anything, how far the
// consumers are. A snapshot that another instance takes meanwhile is not seen.
func (s *Sequencer) snapshots(ctx context.Context, pl *plan) ([]snapshot.Info, error) {
	if s.cfg.Snapshots == nil {
		return nil, nil
	}
	decisions, err := s.cfg.Snapshots.SkipDecisions(ctx, s.cfg.Partition)
	if err != nil {
		return nil, fmt.Errorf("load skip decisions: %w", err)
	}
	s.m.Decide(decisions)
	stored, err := s.cfg.Snapshots.Snapshots(ctx, s.cfg.Partition)
	if err != nil {
		return nil, fmt.Errorf("load snapshots: %w", err)
	}
	if len(stored) == 0 {
		return nil, nil
	}
	// A consumer that does not answer must not keep the matcher from starting: it reads
	// the output itself.
	if pl.followers, err = s.followers(ctx, pl.applied); err != nil {
		pl.unknown = err
		logx.Errorf("sequencer of partition %d: %v: starting from where every consumer is known to be", s.cfg.Partition, err)
	}
	return stored, nil
}

// followers returns how far every consumer is, the order store's among them.
func (s *Sequencer) followers(ctx context.Context, applied Positions) ([]Follower, error) {
	own := make(map[string]database.SymbolPosition, len(applied.Symbols)+len(applied.Elsewhere))
	maps.Copy(own, applied.Symbols)
	maps.Copy(own, applied.Elsewhere)
	all := []Follower{{Name: "order", Symbols: own}}
	if s.cfg.Followers == nil {
		return all, nil
	}
	others, err := s.cfg.Followers(ctx)
	if err != nil {
		return nil, fmt.Errorf("load positions of the consumers: %w", err)
	}
	return append(all, others...), nil
}

// start puts the machine where the replay begins: at the newest snapshot that every
// consumer has reached, or at offset 0 (MONEY-SAFETY H6). Refused are a log that is not
// the one that the snapshots were taken of, and a damaged snapshot: what has changed one
// row may have changed others, and somebody has to look before money depends on it.
func (s *Sequencer) start(ctx context.Context, pl *plan, stored []snapshot.Info, first int64) error {
	why := "there is no snapshot"
	for i := range stored {
		info := &stored[i]
		where := fmt.Sprintf("snapshot of %s/%d at offset %d", bus.TopicCommands, s.cfg.Partition, info.Next)
		inLog, err := s.checkLog(ctx, info, first, pl.commandEnd)
		if err != nil {
			return fmt.Errorf("%w (%s)", err, where)
		}
		if !inLog {
			if i == 0 {
				return fmt.Errorf("%w: %s/%d begins at offset %d, above the newest %s", ErrCommandLogTruncated, bus.TopicCommands, s.cfg.Partition, first, where)
			}
			continue
		}
		state, err := s.open(ctx, info)
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		ahead, err := pl.ahead(info, first > 0 && (i+1 == len(stored) || stored[i+1].Next-1 < first))
		if err != nil {
			return fmt.Errorf("%w (%s)", err, where)
		}
		if ahead == "" {
			if err := s.restore(state, info.StateHash); err != nil {
				return fmt.Errorf("%s: %w", where, err)
			}
			logx.Infof("sequencer of partition %d: starts from the %s", s.cfg.Partition, where)
			return s.checkLast(pl)
		}
		why = where + ": " + ahead
	}
	if first > 0 {
		return fmt.Errorf("%w: %s/%d begins at offset %d, not 0, and no snapshot is usable: %s", ErrCommandLogTruncated, bus.TopicCommands, s.cfg.Partition, first, why)
	}
	if len(stored) > 0 {
		logx.Infof("sequencer of partition %d: replays the whole log: %s", s.cfg.Partition, why)
	}
	return nil
}

// ahead says which consumer is behind a snapshot, "" if none is. When not all consumers
// have said where they are, it is the last one that a truncated log can be replayed
// from: the log was truncated when all of them had reached it.
func (pl *plan) ahead(info *snapshot.Info, last bool) (string, error) {
	if pl.unknown == nil {
		return Reached(info, pl.followers)
	}
	if last {
		return "", nil
	}
	return pl.unknown.Error(), nil
}

// checkLog reports whether the log goes on from a snapshot. It is an error when the
// log is not the one that the snapshot was taken of.
func (s *Sequencer) checkLog(ctx context.Context, info *snapshot.Info, first, end int64) (bool, error) {
	if info.Next > end {
		return false, fmt.Errorf("%w: %s/%d ends at offset %d, before the snapshot", ErrCommandLogLost, bus.TopicCommands, s.cfg.Partition, end)
	}
	if info.Next-1 < first {
		return false, nil
	}
	msg, err := s.cfg.Log.ReadOne(ctx, bus.TopicCommands, s.cfg.Partition, info.Next-1)
	if err != nil {
		return false, fmt.Errorf("read the last command of the snapshot: %w", err)
	}
	if !bytes.Equal(bus.Fingerprint(msg), info.Fingerprint) {
		return false, fmt.Errorf("%w: the command at %s/%d offset %d is not the one that was consumed", ErrDiverged, bus.TopicCommands, s.cfg.Partition, info.Next-1)
	}
	return true, nil
}

// Reached says which consumer is behind a snapshot, "" if none is. A consumer that
// has applied something else is an error.
func Reached(info *snapshot.Info, followers []Follower) (ahead string, err error) {
	for _, f := range followers {
		for _, sym := range info.Symbols {
			at := f.Symbols[sym.Name]
			if at.Seq < sym.Seq {
				return fmt.Sprintf("it holds record %d of %s, consumer %s has applied %d", sym.Seq, sym.Name, f.Name, at.Seq), nil
			}
			if at.Seq == sym.Seq && !bytes.Equal(at.Hash, sym.Hash) {
				return "", fmt.Errorf("%w: consumer %s has applied another record %d of %s than the snapshot holds", ErrDiverged, f.Name, sym.Seq, sym.Name)
			}
		}
	}
	return "", nil
}

// open returns the state of a snapshot, checked against its row.
func (s *Sequencer) open(ctx context.Context, info *snapshot.Info) (*snapshot.State, error) {
	image, err := s.cfg.Snapshots.SnapshotImage(ctx, info.Partition, info.Next)
	if err != nil {
		return nil, fmt.Errorf("load image: %w", err)
	}
	return info.Open(image)
}

// restore makes a snapshot's state the machine's.
func (s *Sequencer) restore(state *snapshot.State, hash []byte) error {
	m, err := RestoreMachine(state, hash, s.cfg.NewEngine)
	if err != nil {
		return err
	}
	for _, k := range m.obeyed {
		if d, ok := s.m.decisions[k.Offset]; !ok || !bytes.Equal(d.Fingerprint, k.Fingerprint) {
			return fmt.Errorf("%w: the snapshot has skipped offset %d, and the decision is gone", ErrWrongDecision, k.Offset)
		}
	}
	m.decisions = s.m.decisions
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m = m
	return nil
}

// checkLast compares the last record with a machine that is past its command.
func (s *Sequencer) checkLast(pl *plan) error {
	if pl.last == nil || pl.last.CommandOffset >= s.m.Next() {
		return nil
	}
	seq, hash := s.head(pl.last.Symbol)
	if pl.last.Seq > seq || pl.last.Seq == seq && !bytes.Equal(hash, pl.lastHash) {
		return fmt.Errorf("%w: record %d of %s stands last in %s/%d, the snapshot at command offset %d holds another or only %d",
			ErrDiverged, pl.last.Seq, pl.last.Symbol, bus.TopicCompleted, s.cfg.Partition, s.m.Next(), seq)
	}
	return nil
}

// head returns the head of a symbol's chain as this partition knows it.
func (s *Sequencer) head(name string) (seq int64, hash []byte) {
	if b, ok := s.m.books[name]; ok {
		return b.seq, b.hash
	}
	l := s.m.left[name]
	return l.Seq, l.Hash
}

// behind returns the symbols whose position the machine has yet to meet.
func (s *Sequencer) behind(pl *plan) (map[string]bool, error) {
	behind := map[string]bool{}
	for name, at := range pl.applied.Symbols {
		seq, hash := s.head(name)
		if _, gone := s.m.left[name]; gone && at.Seq > seq {
			continue // what it has applied since came from elsewhere
		}
		if at.Seq != seq {
			behind[name] = true
		} else if !bytes.Equal(at.Hash, hash) {
			return nil, fmt.Errorf("%w: the snapshot at %s/%d offset %d holds another record %d of %s than the order consumer has applied",
				ErrDiverged, bus.TopicCommands, s.cfg.Partition, s.m.Next(), at.Seq, name)
		}
	}
	return behind, nil
}
