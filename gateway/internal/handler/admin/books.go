package admin

import (
	"context"
	"time"

	"mscoin/gateway/internal/handler/envelope"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

type account struct {
	Kind     string `json:"kind"`
	MemberID int64  `json:"memberId"`
}

type decision struct {
	RequestID   string   `json:"requestId"`
	Kind        string   `json:"kind"`
	State       string   `json:"state"`
	Reason      string   `json:"reason"`
	RequestedBy string   `json:"requestedBy"`
	RequestTime int64    `json:"requestTime"`
	ExpireTime  int64    `json:"expireTime"`
	DecidedBy   string   `json:"decidedBy"`
	DecideTime  int64    `json:"decideTime"`
	From        *account `json:"from,omitempty"`
	To          *account `json:"to,omitempty"`
	Coin        string   `json:"coin,omitempty"`
	Amount      string   `json:"amount,omitempty"`
	TxID        int64    `json:"txId,omitempty"`
	Scope       string   `json:"scope,omitempty"`
	Name        string   `json:"name,omitempty"`
	StopReason  string   `json:"stopReason,omitempty"`
}

func decisionOf(d *walletpb.Decision) decision {
	out := decision{
		RequestID: d.GetRequestId(), Kind: d.GetKind(), State: d.GetState(), Reason: d.GetReason(), RequestedBy: d.GetRequestedBy(),
		RequestTime: d.GetRequestTimeMs(), ExpireTime: d.GetExpireTimeMs(), DecidedBy: d.GetDecidedBy(), DecideTime: d.GetDecideTimeMs(),
		Coin: d.GetCoin(), Amount: d.GetAmount(), TxID: d.GetTxId(), Scope: d.GetScope(), Name: d.GetName(), StopReason: d.GetStopReason(),
	}
	if d.GetFrom() != nil {
		out.From = &account{d.GetFrom().GetKind(), d.GetFrom().GetMemberId()}
		out.To = &account{d.GetTo().GetKind(), d.GetTo().GetMemberId()}
	}
	return out
}

// requestCorrection asks for {fromAccount, fromMember, toAccount, toMember, coin, amount},
// which another operator approves.
func (a *API) requestCorrection(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
	request := &walletpb.RequestCorrectionRequest{
		RequestId: f.Mandatory("requestId", 64), Operator: operator, Reason: f.Mandatory("reason", 255),
		From: &walletpb.Account{Kind: f.Mandatory("fromAccount", 10), MemberId: f.Int("fromMember", 0, 0, maxID)},
		To:   &walletpb.Account{Kind: f.Mandatory("toAccount", 10), MemberId: f.Int("toMember", 0, 0, maxID)},
		Coin: f.Mandatory("coin", 10), Amount: f.Amount("amount"),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.RequestCorrection(ctx, request)
	if err != nil {
		return nil, err
	}
	return decisionOf(resp.GetDecision()), nil
}

// liftStop lifts the stop {scope, name}, or asks for it.
func (a *API) liftStop(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
	request := &walletpb.LiftStopRequest{
		RequestId: f.Mandatory("requestId", 64), Operator: operator, Reason: f.Mandatory("reason", 255),
		Scope: f.Mandatory("scope", 8), Name: f.Text("name", 32),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.LiftStop(ctx, request)
	if err != nil {
		return nil, err
	}
	return decisionOf(resp.GetDecision()), nil
}

func (a *API) approveDecision(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
	id := f.Mandatory("requestId", 64)
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.ApproveDecision(ctx, &walletpb.ApproveDecisionRequest{RequestId: id, Operator: operator})
	if err != nil {
		return nil, err
	}
	return decisionOf(resp.GetDecision()), nil
}

func (a *API) rejectDecision(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
	id := f.Mandatory("requestId", 64)
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.RejectDecision(ctx, &walletpb.RejectDecisionRequest{RequestId: id, Operator: operator})
	if err != nil {
		return nil, err
	}
	return decisionOf(resp.GetDecision()), nil
}

func (a *API) listDecisions(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.ListDecisionsRequest{PageSize: int32(f.Int("pageSize", 100, 1, 1000)), PendingOnly: f.Bool("pending")}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.ListDecisions(ctx, request)
	if err != nil {
		return nil, err
	}
	out := make([]decision, len(resp.GetDecisions()))
	for i, d := range resp.GetDecisions() {
		out[i] = decisionOf(d)
	}
	return out, nil
}

type feeIncome struct {
	Day     string `json:"day"`
	Coin    string `json:"coin"`
	Trading string `json:"trading"`
	Other   string `json:"other"`
	Total   string `json:"total"`
	Lines   int64  `json:"lines"`
}

// day reads a day like 2026-11-25.
func day(f *envelope.Fields, name string) (int64, error) {
	t, err := time.Parse(time.DateOnly, f.Mandatory(name, len(time.DateOnly)))
	if f.Err() != nil {
		return 0, f.Err()
	}
	if err != nil || t.Unix() < 0 {
		return 0, envelope.BadRequest(name + " must be a day like 2026-11-25")
	}
	return t.Unix() / (24 * 60 * 60), nil
}

// listFeeIncome states {firstDay, lastDay, coin}.
func (a *API) listFeeIncome(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.ListFeeIncomeRequest{Coin: f.Text("coin", 10)}
	var err error
	if request.FirstDay, err = day(f, "firstDay"); err != nil {
		return nil, err
	}
	if request.LastDay, err = day(f, "lastDay"); err != nil {
		return nil, err
	}
	resp, err := a.backends.Operations.ListFeeIncome(ctx, request)
	if err != nil {
		return nil, err
	}
	out := make([]feeIncome, len(resp.GetIncome()))
	for i, x := range resp.GetIncome() {
		name := time.Unix(x.GetDay()*24*60*60, 0).UTC().Format(time.DateOnly)
		out[i] = feeIncome{name, x.GetCoin(), x.GetTrading(), x.GetOther(), x.GetTotal(), x.GetLines()}
	}
	return out, nil
}
