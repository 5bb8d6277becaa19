package client

import (
	"context"
	"fmt"

	"mscoin/exchange/internal/operator"
	"mscoin/exchange/internal/sequencer"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/database"
)

// Follower asks how far the consumer has applied each symbol.
func (get GetPositions) Follower(ctx context.Context) (sequencer.Follower, error) {
	r, err := get.Reach(ctx)
	return r.Follower, err
}

// Reach asks how far the consumer is, by symbol and by partition.
func (get GetPositions) Reach(ctx context.Context) (operator.Reach, error) {
	res, err := get(ctx)
	if err != nil {
		return operator.Reach{}, fmt.Errorf("get positions: %w", err)
	}
	r := operator.Reach{Follower: followerOf(res), Next: make(map[operator.Place]int64, len(res.GetPartitions()))}
	for _, p := range res.GetPartitions() {
		next := p.GetNextOffset()
		if f := p.GetForwardedOffset(); f > 0 { // what is not forwarded is read again
			next = min(next, f)
		}
		r.Next[operator.Place{Topic: p.GetTopic(), Partition: int(p.GetPartition())}] = next
	}
	return r, nil
}

func followerOf(res *streampb.GetPositionsResponse) sequencer.Follower {
	f := sequencer.Follower{Name: res.GetConsumer(), Symbols: make(map[string]database.SymbolPosition, len(res.GetSymbols()))}
	for _, s := range res.GetSymbols() {
		f.Symbols[s.GetSymbol()] = database.SymbolPosition{Consumer: f.Name, Symbol: s.GetSymbol(), Seq: s.GetSeq(), Hash: s.GetHash()}
	}
	return f
}
