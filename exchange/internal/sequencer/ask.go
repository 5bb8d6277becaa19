package sequencer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/stream"
)

// Asker has operators' commands executed by whoever owns a partition: it writes them into
// the log and reads the records that answer them. Unlike a Gate it does not need the
// matcher to be here.
type Asker struct {
	// Log is the broker.
	Log Log
	// IDs of commands.
	IDs IDs
	// Clock times the waiting.
	Clock clock.Clock
	// Timeout bounds writing a command and waiting for its record.
	Timeout time.Duration
}

// Answer is the matcher's word on an operator's command.
type Answer struct {
	Seq      int64
	Rejected bool
	Reason   order.Reason
	// Flags that are on, if the command set them.
	Flags []string
}

// SetPhase halts, restricts or resumes a symbol.
func (a *Asker) SetPhase(ctx context.Context, partition int, name string, phase order.Phase) (Answer, error) {
	return a.ask(ctx, partition, &eventpb.Command{
		Symbol: name, Body: &eventpb.Command_SetPhase{SetPhase: &eventpb.SetPhaseCommand{Phase: eventpb.Phase(phase)}},
	})
}

// SetFlags sets which behaviour flags are on.
func (a *Asker) SetFlags(ctx context.Context, partition int, name string, flags []string) (Answer, error) {
	return a.ask(ctx, partition, &eventpb.Command{
		Symbol: name, Body: &eventpb.Command_SetFlags{SetFlags: &eventpb.SetFlagsCommand{Flags: flags}},
	})
}

// Leave lets a halted symbol go to another partition.
func (a *Asker) Leave(ctx context.Context, partition int, name string, to int) (Answer, error) {
	return a.ask(ctx, partition, &eventpb.Command{
		Symbol: name, Body: &eventpb.Command_Leave{Leave: &eventpb.LeaveCommand{ToPartition: int32(to)}},
	})
}

// Adopt brings a symbol that has left into another partition.
func (a *Asker) Adopt(ctx context.Context, partition int, name string, from int, image []byte) (Answer, error) {
	return a.ask(ctx, partition, &eventpb.Command{
		Symbol: name, Body: &eventpb.Command_Adopt{Adopt: &eventpb.AdoptCommand{FromPartition: int32(from), Image: image}},
	})
}

// ask writes a command and waits for its record. An error of KindUnavailable says that the
// command is not in the log and will not be; KindUnknownOutcome that it may be.
func (a *Asker) ask(ctx context.Context, partition int, cmd *eventpb.Command) (Answer, error) {
	id, err := a.IDs.Next(ctx)
	if err != nil {
		return Answer{}, fmt.Errorf("command id: %w", errNotSentBecause(err))
	}
	cmd.CommandId = id
	value, err := proto.Marshal(cmd)
	if err != nil {
		return Answer{}, fmt.Errorf("encode command: %w", err)
	}
	ctx, cancel := clock.WithTimeout(ctx, a.Clock, a.Timeout)
	defer cancel()
	_, end, err := a.Log.Bounds(ctx, bus.TopicCompleted, partition)
	if err != nil {
		return Answer{}, fmt.Errorf("end of the records: %w", errNotSentBecause(err))
	}
	_, sendErr := a.Log.Produce(ctx, bus.TopicCommands, partition, []bus.Message{{Key: []byte(cmd.Symbol), Value: value}})
	if errors.Is(sendErr, bus.ErrNotSent) {
		return Answer{}, fmt.Errorf("write command: %w", errNotSentBecause(sendErr))
	}
	// After any other error the command may be in the log: the record tells.
	sub := a.Log.Subscribe(bus.TopicCompleted, partition, end)
	defer sub.Close()
	for ctx.Err() == nil {
		msgs, err := sub.Fetch(ctx, maxBatch, idleWait)
		if err != nil {
			sendErr = errors.Join(sendErr, err)
			if clock.Sleep(ctx, a.Clock, retryPause) != nil {
				break
			}
			continue
		}
		for _, msg := range msgs {
			if stream.SymbolOf(msg.Key) != cmd.Symbol {
				continue
			}
			if r, ok := recordOf(msg); ok && r.entry.Body.GetCommandId() == id {
				return answerOf(r.entry.Body), nil
			}
		}
	}
	return Answer{}, fmt.Errorf("wait for the record of command %d on partition %d: %w", id, partition, errUnknownBecause(errors.Join(sendErr, ctx.Err())))
}

func answerOf(body *eventpb.RecordBody) Answer {
	return Answer{
		Seq: body.GetSeq(), Rejected: body.GetResult().GetRejected(), Reason: order.Reason(body.GetResult().GetReason()),
		Flags: body.GetFlags().GetNames(),
	}
}

// Left returns the symbol that has left this partition, with its image.
func (s *Sequencer) Left(name string) (to int, seq int64, image []byte, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.m.left[name]
	return l.To, l.Seq, l.Image, ok
}

// ImageSize returns how many bytes the symbol's image has now.
func (s *Sequencer) ImageSize(name string) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.m.books[name]
	if !ok {
		return 0
	}
	return len(imageOf(b, s.m.logTimeMs))
}

// KnownFlags returns the behaviour flags of this release.
func KnownFlags() []string { return slices.Clone(knownFlags) }
