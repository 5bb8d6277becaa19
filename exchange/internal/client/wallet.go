// Package client is the exchange's way to other services.
package client

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// Wallet implements app.Wallet over gRPC.
type Wallet struct {
	rpc walletpb.WalletServiceClient
}

// NewWallet returns a client over a connection of package rpc.
func NewWallet(conn grpc.ClientConnInterface) *Wallet {
	return &Wallet{rpc: walletpb.NewWalletServiceClient(conn)}
}

// PlaceHold implements app.Wallet.
func (w *Wallet) PlaceHold(ctx context.Context, o *order.Order, h order.Hold) (int64, error) {
	req := &walletpb.PlaceHoldRequest{
		OrderId: o.ID, MemberId: o.MemberID, Coin: h.Coin, Symbol: o.Symbol, Amount: money.Format(h.Amount, h.Scale),
	}
	if h.Min < h.Amount {
		req.MinAmount = money.Format(h.Min, h.Scale)
	}
	res, err := w.rpc.PlaceHold(ctx, req)
	if err != nil {
		return 0, fmt.Errorf("wallet: place hold: %w", err)
	}
	held, err := money.Parse(res.GetHeldAmount(), h.Scale)
	if err != nil {
		// Something is held, only how much is not understood.
		return 0, errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "the wallet's answer is not understood").
			Wrap(fmt.Errorf("held amount %q of %s: %w", res.GetHeldAmount(), h.Coin, err))
	}
	return held, nil
}

// StaleHolds implements app.Wallet.
func (w *Wallet) StaleHolds(ctx context.Context, beforeMs int64, except []string, limit int) ([]app.StaleHold, error) {
	res, err := w.rpc.ListStaleHolds(ctx, &walletpb.ListStaleHoldsRequest{
		PlacedBeforeMs: beforeMs, PageSize: int32(min(limit, 1000)), ExceptSymbols: except,
	})
	if err != nil {
		return nil, fmt.Errorf("wallet: list stale holds: %w", err)
	}
	holds := make([]app.StaleHold, len(res.GetHolds()))
	for i, h := range res.GetHolds() {
		holds[i] = app.StaleHold{OrderID: h.GetOrderId(), MemberID: h.GetMemberId(), Symbol: h.GetSymbol()}
	}
	return holds, nil
}

// Scales implements app.Wallet.
func (w *Wallet) Scales(ctx context.Context) (map[string]int, error) {
	res, err := w.rpc.ListCoins(ctx, &walletpb.ListCoinsRequest{})
	if err != nil {
		return nil, fmt.Errorf("wallet: list coins: %w", err)
	}
	scales := make(map[string]int, len(res.GetCoins()))
	for _, c := range res.GetCoins() {
		scales[c.GetName()] = int(c.GetScale())
	}
	return scales, nil
}
