package sequencer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
)

const (
	// keepTimeout bounds writing a snapshot beside the matching, stopTimeout at a stop.
	keepTimeout = time.Minute
	stopTimeout = 3 * time.Second
)

// keeper is when snapshots are taken. Its fields are the sequencer's goroutine's,
// except busy.
type keeper struct {
	// at is where the last snapshot was taken, or the replay began; own how many commands since then are
	// checkpoints that came with it, and since when.
	at, own int64
	since   time.Time
	// broken says that the machine is ahead of what is published.
	broken bool

	busy    atomic.Bool
	running sync.WaitGroup
}

// keep takes a snapshot when it is time. Everything that the machine has made is
// published then (MONEY-SAFETY H6). The matching waits for the copy only.
func (s *Sequencer) keep(ctx context.Context) {
	k := &s.keeper
	news := s.m.Next() - k.at - k.own
	due := s.cfg.SnapshotEvery > 0 && news >= s.cfg.SnapshotEvery ||
		s.cfg.SnapshotAfter > 0 && news > 0 && s.cfg.Clock.Now().Sub(k.since) >= s.cfg.SnapshotAfter
	if s.cfg.Snapshots == nil || !due || k.busy.Swap(true) {
		return
	}
	state := s.take()
	k.own = int64(len(state.Books))
	background := s.cfg.Background
	if background == nil {
		background = func(f func()) { go f() }
	}
	k.running.Add(1)
	background(func() {
		defer k.running.Done()
		defer k.busy.Store(false)
		ctx, cancel := clock.WithTimeout(ctx, s.cfg.Clock, keepTimeout)
		defer cancel()
		s.note(s.save(ctx, state))
		s.note(s.prune(ctx))
		s.note(s.checkpoint(ctx, state))
	})
}

// note logs what went wrong with a snapshot: the next one is tried when it is due.
func (s *Sequencer) note(err error) {
	if err != nil {
		logx.Errorf("SNAPSHOT_FAILED: sequencer of partition %d: %v", s.cfg.Partition, err)
	}
}

// endKeeping takes the snapshot of a clean stop: of one that ctx, which has ended, asks for.
func (s *Sequencer) endKeeping(ctx context.Context) {
	s.keeper.running.Wait()
	if ctx.Err() == nil || s.cfg.Snapshots == nil || s.keeper.broken || s.m.Next()-s.keeper.at <= s.keeper.own {
		return
	}
	ctx, cancel := clock.WithTimeout(context.WithoutCancel(ctx), s.cfg.Clock, stopTimeout)
	defer cancel()
	s.note(errors.Join(s.save(ctx, s.take()), s.prune(ctx)))
}

// take copies the machine's state.
func (s *Sequencer) take() *snapshot.State {
	before := s.cfg.Clock.Now()
	state := s.m.Capture()
	after := s.cfg.Clock.Now()
	s.keeper.at, s.keeper.own, s.keeper.since = state.Next, 0, after
	logx.Infof("sequencer of partition %d: snapshot at offset %d: matching waited %v", s.cfg.Partition, state.Next, after.Sub(before))
	return state
}

// save stores a snapshot, and reads it back: one that cannot be restored is dropped.
func (s *Sequencer) save(ctx context.Context, state *snapshot.State) error {
	image, hash := snapshot.Encode(state)
	info := snapshot.InfoOf(state, image, hash, s.cfg.Clock.NowMs())
	if err := s.cfg.Snapshots.SaveSnapshot(ctx, &info, image); err != nil {
		return fmt.Errorf("save snapshot at offset %d: %w", info.Next, err)
	}
	stored, err := s.cfg.Snapshots.SnapshotImage(ctx, info.Partition, info.Next)
	if err != nil {
		return fmt.Errorf("read back snapshot at offset %d: %w", info.Next, err)
	}
	if _, err := restored(&info, stored, s.cfg.NewEngine); err != nil {
		return errors.Join(fmt.Errorf("read back snapshot at offset %d: %w", info.Next, err),
			s.cfg.Snapshots.DropSnapshots(ctx, info.Partition, []int64{info.Next}))
	}
	return nil
}

// restored returns the machine of an image, every check passed.
func restored(info *snapshot.Info, image []byte, newEngine func() matching.Engine) (*Machine, error) {
	state, err := info.Open(image)
	if err != nil {
		return nil, err
	}
	return RestoreMachine(state, info.StateHash, newEngine)
}

// prune drops the snapshots that no start will need.
func (s *Sequencer) prune(ctx context.Context) error {
	stored, followers, err := s.reachable(ctx)
	if err != nil {
		return fmt.Errorf("prune snapshots: %w", err)
	}
	drop := superfluous(stored, followers)
	if len(drop) == 0 {
		return nil
	}
	if err := s.cfg.Snapshots.DropSnapshots(ctx, s.cfg.Partition, drop); err != nil {
		return fmt.Errorf("prune snapshots: %w", err)
	}
	return nil
}

// reachable returns the stored snapshots, newest first, and how far consumers are.
func (s *Sequencer) reachable(ctx context.Context) ([]snapshot.Info, []Follower, error) {
	applied, err := s.cfg.Positions(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("load positions of the order consumer: %w", err)
	}
	followers, err := s.followers(ctx, applied)
	if err != nil {
		return nil, nil, err
	}
	stored, err := s.cfg.Snapshots.Snapshots(ctx, s.cfg.Partition)
	if err != nil {
		return nil, nil, fmt.Errorf("load snapshots: %w", err)
	}
	return stored, followers, nil
}

const (
	// newest is how many snapshots are kept for consumers to reach, needed how many
	// that all of them have reached: the one to start from, and two to fall back to.
	newest = 2
	needed = 3
)

// superfluous returns the snapshots (newest first) that may be dropped. While no
// consumer is behind, those are all but the newest three; while one is, those between
// what it has reached and the newest, so that their number is bounded.
func superfluous(stored []snapshot.Info, followers []Follower) (drop []int64) {
	usable := len(stored) - needed // if none is: the oldest may become so first
	for i := range stored {
		if ahead, err := Reached(&stored[i], followers); err == nil && ahead == "" {
			usable = i
			break
		}
	}
	for i := range stored {
		if i >= newest && (i < usable || i >= usable+needed) {
			drop = append(drop, stored[i].Next)
		}
	}
	return drop
}

// checkpoint has the totals of each symbol emitted, in order and by everyone who
// replays the log: as commands. Nobody waits for them.
func (s *Sequencer) checkpoint(ctx context.Context, state *snapshot.State) error {
	msgs := make([]bus.Message, 0, len(state.Books))
	for i := range state.Books {
		name := state.Books[i].Name
		value, err := proto.Marshal(&eventpb.Command{Symbol: name, Body: &eventpb.Command_Checkpoint{Checkpoint: &eventpb.CheckpointCommand{}}})
		if err != nil {
			return fmt.Errorf("encode checkpoint of %s: %w", name, err)
		}
		msgs = append(msgs, bus.Message{Key: []byte(name), Value: value})
	}
	if len(msgs) == 0 {
		return nil
	}
	if _, err := s.cfg.Log.Produce(ctx, bus.TopicCommands, s.cfg.Partition, msgs); err != nil {
		return fmt.Errorf("write checkpoints at offset %d: %w", state.Next, err)
	}
	return nil
}
