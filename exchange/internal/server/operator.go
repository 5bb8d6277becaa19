package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/operator"
	"mscoin/exchange/internal/sequencer"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
)

// tellEvery is how often a verification tells how far it is.
const tellEvery = time.Second

// Operators find the instances that own other partitions, for operators.
type Operators interface {
	// Operator returns the instance that owns a partition; app.ErrMoving when there is
	// none, or when it is this one.
	Operator(partition int) (exchangepb.OperatorServiceClient, error)
}

// OperatorServer implements exchange.v1.OperatorService.
type OperatorServer struct {
	exchangepb.UnimplementedOperatorServiceServer

	op     *operator.Operator
	owners Operators
	clk    clock.Clock
}

// NewOperator returns a server. What needs the owner of a partition is sent on to it.
func NewOperator(op *operator.Operator, owners Operators, clk clock.Clock) *OperatorServer {
	return &OperatorServer{op: op, owners: owners, clk: clk}
}

// ListSnapshots implements the service.
func (s *OperatorServer) ListSnapshots(ctx context.Context, _ *exchangepb.ListSnapshotsRequest) (*exchangepb.ListSnapshotsResponse, error) {
	all, err := s.op.Snapshots(ctx)
	if err != nil {
		return nil, err
	}
	res := &exchangepb.ListSnapshotsResponse{}
	for i := range all {
		info := &all[i]
		res.Snapshots = append(res.Snapshots, &exchangepb.SnapshotInfo{
			Partition: int32(info.Partition), NextOffset: info.Next, TakenMs: info.TakenMs, Size: int64(info.Size), Format: int32(info.Format),
			StateHash: info.StateHash, VerifiedMs: info.VerifiedMs, Symbols: int32(len(info.Symbols)), NotUsable: info.Ahead,
		})
	}
	return res, nil
}

// VerifyLog implements the service.
func (s *OperatorServer) VerifyLog(req *exchangepb.VerifyLogRequest, stream grpc.ServerStreamingServer[exchangepb.VerifyLogResponse]) error {
	from := sequencer.FromVerified
	switch req.GetFrom() {
	case exchangepb.VerifyFrom_VERIFY_FROM_UNSPECIFIED:
	case exchangepb.VerifyFrom_VERIFY_FROM_BEGINNING:
		from = sequencer.FromBeginning
	case exchangepb.VerifyFrom_VERIFY_FROM_SNAPSHOT:
		from = max(0, req.GetSnapshotOffset())
	}
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	told := s.clk.Now()
	found, err := s.op.Verify(ctx, int(req.GetPartition()), req.GetSymbol(), from, func(next, end int64) {
		if now := s.clk.Now(); now.Sub(told) >= tellEvery {
			told = now
			if stream.Send(&exchangepb.VerifyLogResponse{NextOffset: next, EndOffset: end}) != nil {
				cancel() // nobody listens any more
			}
		}
	})
	switch {
	case errors.Is(err, sequencer.ErrNoSuchSnapshot) || errors.Is(err, sequencer.ErrCommandLogTruncated):
		return errs.New(errs.KindFailedPrecondition, errs.CodeBadRequest, "the verification cannot begin there").With(err.Error())
	case sequencer.Refusal(err):
		return errs.New(errs.KindFailedPrecondition, errs.CodeNotVerified, "it cannot be told").With(err.Error())
	case err != nil:
		return err
	}
	return stream.Send(&exchangepb.VerifyLogResponse{NextOffset: found.End, EndOffset: found.End, Report: reportOf(found)})
}

func reportOf(v *sequencer.Verification) *exchangepb.VerifyReport {
	r := &exchangepb.VerifyReport{
		Partition: int32(v.Partition), FromOffset: v.From, EndOffset: v.End, Records: v.Records, Unpublished: v.Unpublished, Snapshots: v.Snapshots,
	}
	if d := v.Difference; d != nil {
		r.Difference = &exchangepb.Difference{
			What: d.What, CommandOffset: d.Command, RecordOffset: d.Record, Symbol: d.Symbol, Seq: d.Seq,
			Field: d.Field, Stored: d.Stored, Replayed: d.Replayed,
		}
	}
	return r
}

// TruncateLog implements the service.
func (s *OperatorServer) TruncateLog(req *exchangepb.TruncateLogRequest, stream grpc.ServerStreamingServer[exchangepb.TruncateLogResponse]) error {
	cuts, keep, err := s.op.Truncate(stream.Context(), int(req.GetPartition()), endpointsOf(req.GetFollowers()), req.GetRecords(), req.GetDryRun(), byOf(req.GetDecidedBy()))
	if err != nil {
		return err
	}
	res := &exchangepb.TruncateLogResponse{SnapshotOffset: keep}
	for _, c := range cuts {
		res.Topics = append(res.Topics, &exchangepb.TruncatedTopic{Topic: c.Topic, FirstOffset: c.First, NewFirstOffset: c.NewFirst, EndOffset: c.End})
	}
	return stream.Send(res)
}

func byOf(d *exchangepb.DecidedBy) operator.By {
	return operator.By{RequestID: d.GetRequestId(), Name: d.GetName(), Reason: d.GetReason()}
}

func endpointsOf(followers []*exchangepb.Follower) []operator.Endpoint {
	all := make([]operator.Endpoint, len(followers))
	for i, f := range followers {
		all[i] = operator.Endpoint{Name: f.GetName(), Address: f.GetEndpoint()}
	}
	return all
}

// MoveSymbol implements the service.
func (s *OperatorServer) MoveSymbol(req *exchangepb.MoveSymbolRequest, stream grpc.ServerStreamingServer[exchangepb.MoveSymbolResponse]) error {
	ctx := stream.Context()
	err := s.op.Move(ctx, operator.MoveRequest{
		Symbol: req.GetSymbol(), To: int(req.GetToPartition()), Others: endpointsOf(req.GetFollowers()), By: byOf(req.GetDecidedBy()),
	}, func(step string, seq int64) error {
		return stream.Send(&exchangepb.MoveSymbolResponse{Step: step, Seq: seq, Done: step == operator.StepDone})
	})
	owner, err := s.owner(ctx, err)
	if owner == nil {
		return err
	}
	answers, err := owner.MoveSymbol(rpc.Forward(ctx), req)
	if err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	return relay(answers, stream)
}

// owner returns the instance that a request, refused here with err, is sent on to, once;
// else the error that is to be answered.
func (s *OperatorServer) owner(ctx context.Context, err error) (exchangepb.OperatorServiceClient, error) {
	away, ok := errors.AsType[*app.Elsewhere](err)
	if !ok || rpc.Forwarded(ctx) {
		return nil, err
	}
	return s.owners.Operator(away.Partition)
}

// relay passes an owner's answers on.
func relay[T any](from grpc.ServerStreamingClient[T], to grpc.ServerStreamingServer[T]) error {
	for {
		res, err := from.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("owner: %w", err)
		}
		if err := to.Send(res); err != nil {
			return err
		}
	}
}

// SetFlags implements the service.
func (s *OperatorServer) SetFlags(ctx context.Context, req *exchangepb.SetFlagsRequest) (*exchangepb.SetFlagsResponse, error) {
	a, err := s.op.SetFlags(ctx, req.GetSymbol(), req.GetFlags(), byOf(req.GetDecidedBy()))
	if err != nil {
		return nil, err
	}
	return &exchangepb.SetFlagsResponse{Seq: a.Seq, Flags: a.Flags, Known: sequencer.KnownFlags()}, nil
}

// SkipCommand implements the service.
func (s *OperatorServer) SkipCommand(ctx context.Context, req *exchangepb.SkipCommandRequest) (*exchangepb.SkipCommandResponse, error) {
	cause, err := s.op.Skip(ctx, int(req.GetPartition()), req.GetOffset(), req.GetFingerprint(), byOf(req.GetDecidedBy()))
	owner, err := s.owner(ctx, err)
	if owner != nil {
		return owner.SkipCommand(rpc.Forward(ctx), req)
	}
	if err != nil {
		return nil, err
	}
	return &exchangepb.SkipCommandResponse{Cause: cause}, nil
}
