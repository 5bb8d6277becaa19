package server

import (
	"context"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/money"
	"mscoin/wallet/internal/app"
)

// GetDepositAddress returns the address at which a member receives a coin.
func (s *Server) GetDepositAddress(ctx context.Context, req *walletpb.GetDepositAddressRequest) (*walletpb.GetDepositAddressResponse, error) {
	address, err := s.transfers.DepositAddress(ctx, req.GetMemberId(), req.GetCoin())
	if err != nil {
		return nil, err
	}
	return &walletpb.GetDepositAddressResponse{Address: address}, nil
}

// ListDeposits lists what chains paid.
func (s *Server) ListDeposits(ctx context.Context, req *walletpb.ListDepositsRequest) (*walletpb.ListDepositsResponse, error) {
	q := app.TransferQuery{MemberID: req.GetMemberId(), Coin: req.GetCoin(), State: req.GetState(), Before: req.GetBeforeId()}
	list, next, err := s.transfers.Deposits(ctx, q, int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListDepositsResponse{NextBeforeId: next, Deposits: make([]*walletpb.ChainDeposit, len(list))}
	for i := range list {
		d := &list[i]
		res.Deposits[i] = &walletpb.ChainDeposit{
			Id: d.ID, MemberId: d.MemberID, Coin: d.Coin, Address: d.Address, ChainTx: d.ChainTx, OutputIndex: d.OutputIndex,
			ChainAmount: d.ChainAmount, Amount: money.Format(d.Amount, d.Scale), State: string(d.State), Height: d.Height,
			Confirmations: d.Confirmations, CreateTimeMs: d.CreatedMs, UpdateTimeMs: d.UpdatedMs,
		}
	}
	return res, nil
}

// ListTransferRules lists how coins can be deposited and withdrawn.
func (s *Server) ListTransferRules(ctx context.Context, _ *walletpb.ListTransferRulesRequest) (*walletpb.ListTransferRulesResponse, error) {
	all, err := s.transfers.Offered(ctx)
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListTransferRulesResponse{Rules: make([]*walletpb.TransferRules, len(all))}
	for i := range all {
		l := &all[i]
		text := func(units int64) string { return money.Format(units, l.Coin.Scale) }
		res.Rules[i] = &walletpb.TransferRules{
			Coin: l.Coin.Name, Scale: int32(l.Coin.Scale), Confirmations: l.Confirmations, MinDeposit: text(l.MinDeposit),
			MinWithdraw: text(l.MinWithdraw), MaxWithdraw: text(l.MaxWithdraw), DayLimit: text(l.DayLimit), Fee: text(l.Fee), ReviewAbove: text(l.ReviewAbove),
		}
	}
	return res, nil
}

// AddAddress adds to a member's address book.
func (s *Server) AddAddress(ctx context.Context, req *walletpb.AddAddressRequest) (*walletpb.AddAddressResponse, error) {
	a, err := s.transfers.AddAddress(ctx, req.GetMemberId(), req.GetCoin(), req.GetAddress(), req.GetRemark())
	if err != nil {
		return nil, err
	}
	return &walletpb.AddAddressResponse{Address: encodeAddress(&a)}, nil
}

// RemoveAddress removes from a member's address book.
func (s *Server) RemoveAddress(ctx context.Context, req *walletpb.RemoveAddressRequest) (*walletpb.RemoveAddressResponse, error) {
	if err := s.transfers.RemoveAddress(ctx, req.GetMemberId(), req.GetCoin(), req.GetAddress()); err != nil {
		return nil, err
	}
	return &walletpb.RemoveAddressResponse{}, nil
}

// ListAddresses lists a member's address book.
func (s *Server) ListAddresses(ctx context.Context, req *walletpb.ListAddressesRequest) (*walletpb.ListAddressesResponse, error) {
	list, err := s.transfers.Addresses(ctx, req.GetMemberId(), req.GetCoin())
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListAddressesResponse{Addresses: make([]*walletpb.Address, len(list))}
	for i := range list {
		res.Addresses[i] = encodeAddress(&list[i])
	}
	return res, nil
}

func encodeAddress(a *app.Address) *walletpb.Address {
	return &walletpb.Address{Coin: a.Coin, Address: a.Address, Remark: a.Remark, CreateTimeMs: a.CreatedMs, UsableTimeMs: a.UsableMs}
}

// Withdraw asks for a withdrawal.
func (s *Server) Withdraw(ctx context.Context, req *walletpb.WithdrawRequest) (*walletpb.WithdrawResponse, error) {
	w, repeated, err := s.transfers.Withdraw(ctx, req.GetMemberId(), req.GetRequestId(), req.GetCoin(), req.GetAddress(), req.GetAmount())
	if err != nil {
		return nil, err
	}
	return &walletpb.WithdrawResponse{Withdrawal: encodeWithdrawal(&w), RepeatedRequest: repeated}, nil
}

// CancelWithdrawal ends a withdrawal that was not broadcast.
func (s *Server) CancelWithdrawal(ctx context.Context, req *walletpb.CancelWithdrawalRequest) (*walletpb.CancelWithdrawalResponse, error) {
	w, err := s.transfers.CancelWithdrawal(ctx, req.GetMemberId(), req.GetId())
	if err != nil {
		return nil, err
	}
	return &walletpb.CancelWithdrawalResponse{Withdrawal: encodeWithdrawal(&w)}, nil
}

// ListWithdrawals lists withdrawals.
func (s *Server) ListWithdrawals(ctx context.Context, req *walletpb.ListWithdrawalsRequest) (*walletpb.ListWithdrawalsResponse, error) {
	q := app.TransferQuery{
		MemberID: req.GetMemberId(), Coin: req.GetCoin(), State: req.GetState(), Attention: req.GetAttention(), Before: req.GetBeforeId(),
	}
	list, next, err := s.transfers.Withdrawals(ctx, q, int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListWithdrawalsResponse{NextBeforeId: next, Withdrawals: make([]*walletpb.Withdrawal, len(list))}
	for i := range list {
		res.Withdrawals[i] = encodeWithdrawal(&list[i])
	}
	return res, nil
}

// ReviewWithdrawal approves or rejects a withdrawal.
func (s *Server) ReviewWithdrawal(ctx context.Context, req *walletpb.ReviewWithdrawalRequest) (*walletpb.ReviewWithdrawalResponse, error) {
	w, err := s.transfers.ReviewWithdrawal(ctx, app.Review{
		WithdrawalID: req.GetId(), Operator: req.GetOperator(), Approve: req.GetApprove(), Reason: req.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	return &walletpb.ReviewWithdrawalResponse{Withdrawal: encodeWithdrawal(&w)}, nil
}

// RetryWithdrawal gives a withdrawal back to the worker.
func (s *Server) RetryWithdrawal(ctx context.Context, req *walletpb.RetryWithdrawalRequest) (*walletpb.RetryWithdrawalResponse, error) {
	w, err := s.transfers.RetryWithdrawal(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &walletpb.RetryWithdrawalResponse{Withdrawal: encodeWithdrawal(&w)}, nil
}

// AbandonWithdrawal ends a withdrawal that does not get through.
func (s *Server) AbandonWithdrawal(ctx context.Context, req *walletpb.AbandonWithdrawalRequest) (*walletpb.AbandonWithdrawalResponse, error) {
	w, err := s.transfers.AbandonWithdrawal(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return &walletpb.AbandonWithdrawalResponse{Withdrawal: encodeWithdrawal(&w)}, nil
}

func encodeWithdrawal(w *app.Withdrawal) *walletpb.Withdrawal {
	reviews := make([]*walletpb.Review, len(w.Reviews))
	for i, r := range w.Reviews {
		reviews[i] = &walletpb.Review{Operator: r.Operator, Approve: r.Approve, Reason: r.Reason, TimeMs: r.TimeMs}
	}
	return &walletpb.Withdrawal{
		Id: w.ID, MemberId: w.MemberID, RequestId: w.RequestKey, Coin: w.Coin, Address: w.Address, Amount: w.AmountText(),
		Fee: money.Format(w.Fee, w.Scale), State: string(w.State), ReviewsNeeded: w.ReviewsNeeded, Reviews: reviews, ChainTx: w.ChainTx,
		Reason: w.Reason, Attention: w.Attention, CreateTimeMs: w.CreatedMs, SentTimeMs: w.SentMs, UpdateTimeMs: w.UpdatedMs,
	}
}

// ListStops lists what is stopped.
func (s *Server) ListStops(ctx context.Context, _ *walletpb.ListStopsRequest) (*walletpb.ListStopsResponse, error) {
	list, err := s.transfers.Stops(ctx)
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListStopsResponse{Stops: make([]*walletpb.Stop, len(list))}
	for i, stop := range list {
		res.Stops[i] = &walletpb.Stop{Scope: stop.Scope, Name: stop.Name, Reason: stop.Reason, SinceMs: stop.SinceMs}
	}
	return res, nil
}

// SetStop stops withdrawals.
func (s *Server) SetStop(ctx context.Context, req *walletpb.SetStopRequest) (*walletpb.SetStopResponse, error) {
	if err := s.transfers.SetStop(ctx, app.Stop{Scope: req.GetScope(), Name: req.GetName(), Reason: req.GetReason()}); err != nil {
		return nil, err
	}
	return &walletpb.SetStopResponse{}, nil
}
