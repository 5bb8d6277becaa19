package client

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	streampb "mscoin/grpc-common/gen/stream/v1"
)

// GetPositions asks a consumer how far it is.
type GetPositions func(ctx context.Context) (*streampb.GetPositionsResponse, error)

// RemotePositions asks the service at the other end of a connection of package rpc.
func RemotePositions(conn grpc.ClientConnInterface) GetPositions {
	c := streampb.NewConsumerServiceClient(conn)
	return func(ctx context.Context) (*streampb.GetPositionsResponse, error) {
		return c.GetPositions(ctx, &streampb.GetPositionsRequest{})
	}
}

// LocalPositions asks this process.
func LocalPositions(s streampb.ConsumerServiceServer) GetPositions {
	return func(ctx context.Context) (*streampb.GetPositionsResponse, error) {
		return s.GetPositions(ctx, &streampb.GetPositionsRequest{})
	}
}

// Backlog implements app.Consumers.
func (get GetPositions) Backlog(ctx context.Context) (app.Backlog, error) {
	res, err := get(ctx)
	if err != nil {
		return app.Backlog{}, fmt.Errorf("get positions: %w", err)
	}
	b := app.Backlog{Lags: make(map[int]app.Lag, len(res.GetPartitions())), Halted: map[string]bool{}}
	for _, p := range res.GetPartitions() {
		b.Lags[int(p.GetPartition())] = app.Lag{
			Records: p.GetEndOffset() - p.GetNextOffset(), Age: time.Duration(p.GetAgeMs()) * time.Millisecond,
		}
	}
	for _, s := range res.GetSymbols() {
		if s.GetHalt() != nil {
			b.Halted[s.GetSymbol()] = true
		}
	}
	return b, nil
}
