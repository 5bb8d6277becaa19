package client

import (
	"mscoin/gateway/internal/cache"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

// ForExchange returns positions as the exchange takes them.
func ForExchange(positions []cache.Position) []*exchangepb.Position {
	out := make([]*exchangepb.Position, len(positions))
	for i, p := range positions {
		out[i] = &exchangepb.Position{Symbol: p.Symbol, Seq: p.Seq}
	}
	return out
}

// ForWallet returns positions as the wallet takes them.
func ForWallet(positions []cache.Position) []*walletpb.Position {
	out := make([]*walletpb.Position, len(positions))
	for i, p := range positions {
		out[i] = &walletpb.Position{Symbol: p.Symbol, Seq: p.Seq}
	}
	return out
}
