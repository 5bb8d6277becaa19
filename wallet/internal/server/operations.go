package server

import (
	"context"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/money"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
)

// Operations implements walletpb.OperationsServiceServer.
type Operations struct {
	walletpb.UnimplementedOperationsServiceServer

	operations *app.Operations
}

// NewOperations returns the operators' service over their use cases.
func NewOperations(o *app.Operations) *Operations { return &Operations{operations: o} }

// RequestCorrection asks for a correction.
func (s *Operations) RequestCorrection(ctx context.Context, req *walletpb.RequestCorrectionRequest) (*walletpb.RequestCorrectionResponse, error) {
	d, err := s.operations.RequestCorrection(ctx, app.Decision{
		RequestID: req.GetRequestId(), RequestedBy: req.GetOperator(), Reason: req.GetReason(),
		From: decodeAccount(req.GetFrom()), To: decodeAccount(req.GetTo()),
	}, req.GetCoin(), req.GetAmount())
	if err != nil {
		return nil, err
	}
	return &walletpb.RequestCorrectionResponse{Decision: encodeDecision(&d)}, nil
}

// LiftStop lifts a stop of withdrawals, or asks for it.
func (s *Operations) LiftStop(ctx context.Context, req *walletpb.LiftStopRequest) (*walletpb.LiftStopResponse, error) {
	d, err := s.operations.LiftStop(ctx, app.Decision{
		RequestID: req.GetRequestId(), RequestedBy: req.GetOperator(), Reason: req.GetReason(), Scope: req.GetScope(), Name: req.GetName(),
	})
	if err != nil {
		return nil, err
	}
	return &walletpb.LiftStopResponse{Decision: encodeDecision(&d)}, nil
}

// ApproveDecision carries out what another operator has asked for.
func (s *Operations) ApproveDecision(ctx context.Context, req *walletpb.ApproveDecisionRequest) (*walletpb.ApproveDecisionResponse, error) {
	d, err := s.operations.Approve(ctx, req.GetRequestId(), req.GetOperator())
	if err != nil {
		return nil, err
	}
	return &walletpb.ApproveDecisionResponse{Decision: encodeDecision(&d)}, nil
}

// RejectDecision refuses a request.
func (s *Operations) RejectDecision(ctx context.Context, req *walletpb.RejectDecisionRequest) (*walletpb.RejectDecisionResponse, error) {
	d, err := s.operations.Reject(ctx, req.GetRequestId(), req.GetOperator())
	if err != nil {
		return nil, err
	}
	return &walletpb.RejectDecisionResponse{Decision: encodeDecision(&d)}, nil
}

// ListDecisions lists decisions.
func (s *Operations) ListDecisions(ctx context.Context, req *walletpb.ListDecisionsRequest) (*walletpb.ListDecisionsResponse, error) {
	all, err := s.operations.List(ctx, req.GetPendingOnly(), int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListDecisionsResponse{Decisions: make([]*walletpb.Decision, len(all))}
	for i := range all {
		res.Decisions[i] = encodeDecision(&all[i])
	}
	return res, nil
}

// ListFeeIncome states the fee income.
func (s *Operations) ListFeeIncome(ctx context.Context, req *walletpb.ListFeeIncomeRequest) (*walletpb.ListFeeIncomeResponse, error) {
	income, err := s.operations.FeeIncome(ctx, req.GetFirstDay(), req.GetLastDay(), req.GetCoin())
	if err != nil {
		return nil, err
	}
	res := &walletpb.ListFeeIncomeResponse{Income: make([]*walletpb.FeeIncome, len(income))}
	for i, f := range income {
		res.Income[i] = &walletpb.FeeIncome{
			Day: f.Day, Coin: f.Coin, Lines: f.Lines, Trading: money.Format(f.Trading, f.Scale),
			Other: money.Format(f.Total-f.Trading, f.Scale), Total: money.Format(f.Total, f.Scale),
		}
	}
	return res, nil
}

// decodeAccount leaves an unknown kind at zero, which no account has.
func decodeAccount(a *walletpb.Account) ledger.Account {
	kind, err := ledger.ParseAccountKind(a.GetKind())
	if err != nil {
		return ledger.Account{}
	}
	return ledger.Account{Kind: kind, MemberID: a.GetMemberId()}
}

func encodeDecision(d *app.Decision) *walletpb.Decision {
	out := &walletpb.Decision{
		RequestId: d.RequestID, Kind: d.Kind, State: d.State, Reason: d.Reason, RequestedBy: d.RequestedBy, RequestTimeMs: d.RequestedMs,
		ExpireTimeMs: d.ExpiresMs, DecidedBy: d.DecidedBy, DecideTimeMs: d.DecidedMs, TxId: d.TxID,
		Scope: d.Scope, Name: d.Name, StopReason: d.StopReason,
	}
	if d.Kind == app.DecideCorrection {
		out.From = &walletpb.Account{Kind: d.From.Kind.String(), MemberId: d.From.MemberID}
		out.To = &walletpb.Account{Kind: d.To.Kind.String(), MemberId: d.To.MemberID}
		out.Coin, out.Amount = d.From.Coin, money.Format(d.Amount, d.Scale)
	}
	return out
}
