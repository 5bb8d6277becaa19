// Package server is the wallet's gRPC door. Protobuf types stop here; errors are
// *errs.Error, which the rpc package carries to the caller.
package server

import (
	"context"

	"github.com/zeromicro/go-zero/core/logx"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/internal/app"
)

// Server implements walletpb.WalletServiceServer.
type Server struct {
	walletpb.UnimplementedWalletServiceServer

	app       *app.App
	transfers *app.Transfers
}

// New returns the service over the use cases.
func New(a *app.App, t *app.Transfers) *Server { return &Server{app: a, transfers: t} }

// PlaceHold sets money aside for an order.
func (s *Server) PlaceHold(ctx context.Context, req *walletpb.PlaceHoldRequest) (*walletpb.PlaceHoldResponse, error) {
	held, err := s.app.PlaceHold(ctx, app.PlaceHold{
		OrderID: req.GetOrderId(), MemberID: req.GetMemberId(), Coin: req.GetCoin(), Symbol: req.GetSymbol(),
		Amount: req.GetAmount(), MinAmount: req.GetMinAmount(),
	})
	telemetry.Log(ctx, "hold placed", logx.Field("orderId", req.GetOrderId()), logx.Field("symbol", req.GetSymbol()),
		logx.Field("coin", req.GetCoin()), logx.Field("refusal", errs.CodeOf(err)))
	if err != nil {
		return nil, err
	}
	return &walletpb.PlaceHoldResponse{HeldAmount: held}, nil
}

// ReleaseHold gives back the hold of an order that never reaches the matcher.
func (s *Server) ReleaseHold(ctx context.Context, req *walletpb.ReleaseHoldRequest) (*walletpb.ReleaseHoldResponse, error) {
	if err := s.app.ReleaseHold(ctx, req.GetOrderId(), req.GetMemberId()); err != nil {
		return nil, err
	}
	return &walletpb.ReleaseHoldResponse{}, nil
}

// GetWallets returns the member's balances.
func (s *Server) GetWallets(ctx context.Context, req *walletpb.GetWalletsRequest) (*walletpb.GetWalletsResponse, error) {
	after := make([]app.Position, len(req.GetReadAfter()))
	for i, p := range req.GetReadAfter() {
		after[i] = app.Position{Symbol: p.GetSymbol(), Seq: p.GetSeq()}
	}
	wallets, err := s.app.Wallets(ctx, req.GetMemberId(), req.GetCoin(), after)
	if err != nil {
		return nil, err
	}
	res := &walletpb.GetWalletsResponse{Wallets: make([]*walletpb.Wallet, len(wallets))}
	for i := range wallets {
		res.Wallets[i] = encodeWallet(&wallets[i])
	}
	return res, nil
}

// ListTransactions lists the member's journal.
func (s *Server) ListTransactions(ctx context.Context, req *walletpb.ListTransactionsRequest) (*walletpb.ListTransactionsResponse, error) {
	q := app.TransactionQuery{
		MemberID: req.GetMemberId(), Coin: req.GetCoin(), Kind: req.GetKind(), Symbol: req.GetSymbol(),
		StartMs: req.GetStartTimeMs(), EndMs: req.GetEndTimeMs(),
	}
	lines, next, err := s.app.Transactions(ctx, q, int(req.GetPageSize()), req.GetPageToken())
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListTransactionsResponse{NextPageToken: next, Transactions: make([]*walletpb.Transaction, len(lines))}
	for i := range lines {
		res.Transactions[i] = encodeTransaction(&lines[i])
	}
	return res, nil
}

// ListCoins lists the coins.
func (s *Server) ListCoins(ctx context.Context, _ *walletpb.ListCoinsRequest) (*walletpb.ListCoinsResponse, error) {
	coins, err := s.app.Coins(ctx)
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListCoinsResponse{Coins: make([]*walletpb.Coin, len(coins))}
	for i, c := range coins {
		res.Coins[i] = encodeCoin(c)
	}
	return res, nil
}

// CreateCoin lists a coin.
func (s *Server) CreateCoin(ctx context.Context, req *walletpb.CreateCoinRequest) (*walletpb.CreateCoinResponse, error) {
	in := req.GetCoin()
	c, err := s.app.CreateCoin(ctx, app.Coin{Name: in.GetName(), FullName: in.GetFullName(), Scale: int(in.GetScale())})
	if err != nil {
		return nil, err
	}
	return &walletpb.CreateCoinResponse{Coin: encodeCoin(c)}, nil
}

// Deposit credits a deposit.
func (s *Server) Deposit(ctx context.Context, req *walletpb.DepositRequest) (*walletpb.DepositResponse, error) {
	w, repeated, err := s.app.Deposit(ctx, req.GetReference(), req.GetMemberId(), req.GetCoin(), req.GetAmount())
	if err != nil {
		return nil, err
	}
	return &walletpb.DepositResponse{Wallet: encodeWallet(&w), RepeatedRequest: repeated}, nil
}

// ListStaleHolds lists holds of which no record has spoken.
func (s *Server) ListStaleHolds(ctx context.Context, req *walletpb.ListStaleHoldsRequest) (*walletpb.ListStaleHoldsResponse, error) {
	holds, err := s.app.StaleHolds(ctx, req.GetPlacedBeforeMs(), req.GetExceptSymbols(), int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListStaleHoldsResponse{Holds: make([]*walletpb.StaleHold, len(holds))}
	for i, h := range holds {
		res.Holds[i] = &walletpb.StaleHold{OrderId: h.OrderID, MemberId: h.MemberID, Symbol: h.Symbol, PlaceTimeMs: h.PlaceTimeMs}
	}
	return res, nil
}

func encodeCoin(c app.Coin) *walletpb.Coin {
	return &walletpb.Coin{Name: c.Name, FullName: c.FullName, Scale: int32(c.Scale)}
}

func encodeWallet(w *app.Wallet) *walletpb.Wallet {
	return &walletpb.Wallet{
		Coin: w.Coin, Available: money.Format(w.Available, w.Scale), Held: money.Format(w.Held, w.Scale), UpdateTimeMs: w.UpdatedMs,
	}
}

func encodeTransaction(t *app.Transaction) *walletpb.Transaction {
	account := "available"
	if t.Held {
		account = "held"
	}
	return &walletpb.Transaction{
		TxId: t.TxID, Line: t.Line, Kind: t.Kind, Coin: t.Coin, Account: account,
		Amount: money.Format(t.Amount, t.Scale), BalanceAfter: money.Format(t.BalanceAfter, t.Scale),
		Symbol: t.Symbol, OrderId: t.OrderID, Reference: t.Reference, TimeMs: t.TimeMs,
	}
}

// ListSuspense lists the orders in suspense.
func (s *Server) ListSuspense(ctx context.Context, req *walletpb.ListSuspenseRequest) (*walletpb.ListSuspenseResponse, error) {
	orders, err := s.app.Suspended(ctx, int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListSuspenseResponse{Orders: make([]*walletpb.SuspendedOrder, len(orders))}
	for i, o := range orders {
		res.Orders[i] = &walletpb.SuspendedOrder{
			OrderId: o.OrderID, MemberId: o.MemberID, Symbol: o.Symbol, Seq: o.Seq, Cause: o.Cause, SinceMs: o.SinceMs,
		}
	}
	return res, nil
}
