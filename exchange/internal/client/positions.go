package client

import (
	"context"
	"fmt"

	"mscoin/exchange/internal/sequencer"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/database"
)

// Positions asks a service how far its consumer has applied the records.
func Positions(ctx context.Context, consumer streampb.ConsumerServiceClient) (sequencer.Follower, error) {
	res, err := consumer.GetPositions(ctx, &streampb.GetPositionsRequest{})
	if err != nil {
		return sequencer.Follower{}, fmt.Errorf("get positions: %w", err)
	}
	f := sequencer.Follower{Name: res.Consumer, Symbols: make(map[string]database.SymbolPosition, len(res.Symbols))}
	for _, s := range res.Symbols {
		f.Symbols[s.Symbol] = database.SymbolPosition{Consumer: res.Consumer, Symbol: s.Symbol, Seq: s.Seq, Hash: s.Hash}
	}
	return f, nil
}
