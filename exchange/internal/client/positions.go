package client

import (
	"context"
	"fmt"

	"mscoin/exchange/internal/sequencer"
	"mscoin/mscoin-common/database"
)

// Follower asks how far the consumer has applied each symbol.
func (get GetPositions) Follower(ctx context.Context) (sequencer.Follower, error) {
	res, err := get(ctx)
	if err != nil {
		return sequencer.Follower{}, fmt.Errorf("get positions: %w", err)
	}
	f := sequencer.Follower{Name: res.GetConsumer(), Symbols: make(map[string]database.SymbolPosition, len(res.GetSymbols()))}
	for _, s := range res.GetSymbols() {
		f.Symbols[s.GetSymbol()] = database.SymbolPosition{Consumer: f.Name, Symbol: s.GetSymbol(), Seq: s.GetSeq(), Hash: s.GetHash()}
	}
	return f, nil
}
