package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mscoin/exchange/internal/app"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
)

// Owners know the instances that own partitions.
type Owners interface {
	// Owner returns the instance that owns a partition; app.ErrMoving when there is none, or
	// when it is this one.
	Owner(partition int) (exchangepb.ExchangeServiceClient, error)
	// Unreachable is told that an owner does not answer.
	Unreachable(partition int)
}

// call is a method of the client, like exchangepb.ExchangeServiceClient.PlaceOrder.
type call[Req, Res any] func(c exchangepb.ExchangeServiceClient, ctx context.Context, req Req, opts ...grpc.CallOption) (Res, error)

// elsewhere answers a request that was refused with err: when its partition is owned by
// another instance, that one is asked, once. Nothing was done before. What the owner
// answers is the answer, KindUnknownOutcome included when it does not; an owner that
// cannot be reached has done nothing.
func elsewhere[Req, Res any](ctx context.Context, s *Server, req Req, err error, do call[Req, Res]) (Res, error) {
	var none Res
	away, ok := errors.AsType[*app.Elsewhere](err)
	if !ok || rpc.Forwarded(ctx) { // two instances that each believe the other to be the owner must not play
		return none, err
	}
	owner, ownerErr := s.owners.Owner(away.Partition)
	if ownerErr != nil {
		return none, ownerErr
	}
	var trailer metadata.MD
	res, err := do(owner, rpc.Forward(ctx), req, grpc.Trailer(&trailer))
	if err == nil {
		return res, nil
	}
	if symbol, seq, has := rpc.Position(trailer); has {
		if sendErr := rpc.SendPosition(ctx, symbol, seq); sendErr != nil {
			logx.WithContext(ctx).Errorf("forward: %v (the refusal goes without it)", sendErr)
		}
	}
	if errs.KindOf(err) == errs.KindUnavailable {
		s.owners.Unreachable(away.Partition)
	}
	return none, fmt.Errorf("owner of partition %d: %w", away.Partition, err)
}
