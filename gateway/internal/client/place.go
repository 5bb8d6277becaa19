package client

import (
	"context"
	"fmt"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"mscoin/gateway/internal/cache"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/telemetry"
)

// PlaceOrder places an order and notes, before it returns, what later reads must see,
// whether the order was accepted or refused.
//
// A member may spend at once what an answer has told of: money of a fill or a cancel
// that the wallet is still booking is waited for before an order is refused for want
// of it.
func PlaceOrder(ctx context.Context, b Backends, positions *cache.Positions, order *exchangepb.NewOrder) (*exchangepb.PlaceOrderResponse, error) {
	resp, err := place(ctx, b, positions, order)
	telemetry.Log(ctx, "order answered", logx.Field("orderId", resp.GetOrder().GetOrderId()), logx.Field("symbol", order.GetSymbol()),
		logx.Field("refusal", errs.CodeOf(err)), logx.Field("seq", resp.GetPosition().GetSeq()))
	return resp, err
}

func place(ctx context.Context, b Backends, positions *cache.Positions, order *exchangepb.NewOrder) (*exchangepb.PlaceOrderResponse, error) {
	resp, err := placeOnce(ctx, b, positions, order)
	if errs.CodeOf(err) != errs.CodeInsufficientBalance {
		return resp, err
	}
	after := positions.After(ctx, order.GetMemberId())
	if len(after) == 0 {
		return nil, err
	}
	_, waitErr := b.Wallet.GetWallets(ctx, &walletpb.GetWalletsRequest{MemberId: order.GetMemberId(), ReadAfter: ForWallet(after)})
	if waitErr != nil {
		// Nothing was placed; whether the money is there cannot be told now.
		return nil, errs.New(errs.KindUnavailable, errs.CodeUnavailable, "balances are not up to date; try again").
			Wrap(fmt.Errorf("wait for balances: %w", waitErr))
	}
	return placeOnce(ctx, b, positions, order)
}

func placeOnce(ctx context.Context, b Backends, positions *cache.Positions, order *exchangepb.NewOrder) (*exchangepb.PlaceOrderResponse, error) {
	var trailer metadata.MD
	resp, err := b.Exchange.PlaceOrder(ctx, &exchangepb.PlaceOrderRequest{Order: order}, grpc.Trailer(&trailer))
	if err != nil {
		if symbol, seq, ok := rpc.Position(trailer); ok {
			positions.Remember(ctx, symbol, seq, order.GetMemberId())
		}
		return nil, fmt.Errorf("place order: %w", err)
	}
	touched := resp.GetTouchedMemberIds()
	if !slices.Contains(touched, order.GetMemberId()) {
		touched = append(slices.Clone(touched), order.GetMemberId())
	}
	positions.Remember(ctx, resp.GetPosition().GetSymbol(), resp.GetPosition().GetSeq(), touched...)
	return resp, nil
}
