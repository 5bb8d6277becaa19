// Package client speaks to the services behind the gateway and to Redis.
package client

import (
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

// Backends are the services behind the gateway. Their errors are errs.Error.
type Backends struct {
	// Exchange takes orders and knows the symbols.
	Exchange exchangepb.ExchangeServiceClient
	// Wallet knows balances.
	Wallet walletpb.WalletServiceClient
	// Operations is what operators decide about the wallet's books.
	Operations walletpb.OperationsServiceClient
	// Market has depth, trades and tickers.
	Market marketpb.MarketServiceClient
	// Ucenter knows members, sessions and API keys.
	Ucenter ucenterpb.UcenterServiceClient
}
