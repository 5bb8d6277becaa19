package admin

import (
	"context"

	"mscoin/gateway/internal/handler/envelope"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
)

const (
	maxReason   = 255
	defaultRows = 100
	mostRows    = 500
)

type review struct {
	Operator string `json:"operator"`
	Approve  bool   `json:"approve"`
	Reason   string `json:"reason"`
	Time     int64  `json:"time"`
}

// withdrawal is a withdrawal with what operators see.
type withdrawal struct {
	ID            int64    `json:"id"`
	MemberID      int64    `json:"memberId"`
	Coin          string   `json:"coin"`
	Address       string   `json:"address"`
	Amount        string   `json:"amount"`
	Fee           string   `json:"fee"`
	State         string   `json:"state"`
	ReviewsNeeded int64    `json:"reviewsNeeded"`
	Reviews       []review `json:"reviews"`
	ChainTx       string   `json:"chainTx"`
	Reason        string   `json:"reason"`
	Attention     string   `json:"attention"`
	CreateTime    int64    `json:"createTime"`
	SentTime      int64    `json:"sentTime"`
	UpdateTime    int64    `json:"updateTime"`
}

func withdrawalOf(w *walletpb.Withdrawal) withdrawal {
	reviews := make([]review, len(w.GetReviews()))
	for i, r := range w.GetReviews() {
		reviews[i] = review{r.GetOperator(), r.GetApprove(), r.GetReason(), r.GetTimeMs()}
	}
	return withdrawal{
		ID: w.GetId(), MemberID: w.GetMemberId(), Coin: w.GetCoin(), Address: w.GetAddress(), Amount: w.GetAmount(), Fee: w.GetFee(),
		State: w.GetState(), ReviewsNeeded: w.GetReviewsNeeded(), Reviews: reviews, ChainTx: w.GetChainTx(), Reason: w.GetReason(),
		Attention: w.GetAttention(), CreateTime: w.GetCreateTimeMs(), SentTime: w.GetSentTimeMs(), UpdateTime: w.GetUpdateTimeMs(),
	}
}

// rows is a page of a list; before of the next one is 0 at the end.
type rows[T any] struct {
	Content []T   `json:"content"`
	Before  int64 `json:"before"`
}

func (a *API) listWithdrawals(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.ListWithdrawalsRequest{
		MemberId: f.Int("memberId", 0, 0, maxID), Coin: f.Text("coin", 10), State: f.Text("state", 16), Attention: f.Bool("attention"),
		PageSize: int32(f.Int("pageSize", defaultRows, 1, mostRows)), BeforeId: f.Int("before", 0, 0, maxID),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListWithdrawals(ctx, request)
	if err != nil {
		return nil, err
	}
	list := make([]withdrawal, len(resp.GetWithdrawals()))
	for i, w := range resp.GetWithdrawals() {
		list[i] = withdrawalOf(w)
	}
	return rows[withdrawal]{list, resp.GetNextBeforeId()}, nil
}

// withdrawalID reads the id that every decision names.
func withdrawalID(f *envelope.Fields) (int64, error) {
	id := f.Int("id", 0, 1, maxID)
	if id == 0 && f.Err() == nil {
		return 0, envelope.BadRequest("id is missing")
	}
	return id, f.Err()
}

// reviewWithdrawal is the decision of the operator whose token came.
func (a *API) reviewWithdrawal(approve bool) func(context.Context, string, *envelope.Fields) (any, error) {
	return func(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
		reason := f.Text("reason", maxReason)
		id, err := withdrawalID(f)
		if err != nil {
			return nil, err
		}
		resp, err := a.backends.Wallet.ReviewWithdrawal(ctx, &walletpb.ReviewWithdrawalRequest{Id: id, Operator: operator, Approve: approve, Reason: reason})
		if err != nil {
			return nil, err
		}
		return withdrawalOf(resp.GetWithdrawal()), nil
	}
}

func (a *API) retryWithdrawal(ctx context.Context, f *envelope.Fields) (any, error) {
	id, err := withdrawalID(f)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.RetryWithdrawal(ctx, &walletpb.RetryWithdrawalRequest{Id: id})
	if err != nil {
		return nil, err
	}
	return withdrawalOf(resp.GetWithdrawal()), nil
}

func (a *API) abandonWithdrawal(ctx context.Context, f *envelope.Fields) (any, error) {
	id, err := withdrawalID(f)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.AbandonWithdrawal(ctx, &walletpb.AbandonWithdrawalRequest{Id: id})
	if err != nil {
		return nil, err
	}
	return withdrawalOf(resp.GetWithdrawal()), nil
}

// chainDeposit is what a chain paid, with what operators see.
type chainDeposit struct {
	ID            int64  `json:"id"`
	MemberID      int64  `json:"memberId"`
	Coin          string `json:"coin"`
	Address       string `json:"address"`
	ChainTx       string `json:"chainTx"`
	OutputIndex   int64  `json:"outputIndex"`
	ChainAmount   string `json:"chainAmount"`
	Amount        string `json:"amount"`
	State         string `json:"state"`
	Height        int64  `json:"height"`
	Confirmations int64  `json:"confirmations"`
	CreateTime    int64  `json:"createTime"`
	UpdateTime    int64  `json:"updateTime"`
}

func (a *API) listDeposits(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.ListDepositsRequest{
		MemberId: f.Int("memberId", 0, 0, maxID), Coin: f.Text("coin", 10), State: f.Text("state", 16),
		PageSize: int32(f.Int("pageSize", defaultRows, 1, mostRows)), BeforeId: f.Int("before", 0, 0, maxID),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.ListDeposits(ctx, request)
	if err != nil {
		return nil, err
	}
	list := make([]chainDeposit, len(resp.GetDeposits()))
	for i, d := range resp.GetDeposits() {
		list[i] = chainDeposit{
			ID: d.GetId(), MemberID: d.GetMemberId(), Coin: d.GetCoin(), Address: d.GetAddress(), ChainTx: d.GetChainTx(), OutputIndex: d.GetOutputIndex(),
			ChainAmount: d.GetChainAmount(), Amount: d.GetAmount(), State: d.GetState(), Height: d.GetHeight(), Confirmations: d.GetConfirmations(),
			CreateTime: d.GetCreateTimeMs(), UpdateTime: d.GetUpdateTimeMs(),
		}
	}
	return rows[chainDeposit]{list, resp.GetNextBeforeId()}, nil
}

type stop struct {
	Scope  string `json:"scope"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Since  int64  `json:"since"`
}

func (a *API) listStops(ctx context.Context, _ *envelope.Fields) (any, error) {
	resp, err := a.backends.Wallet.ListStops(ctx, &walletpb.ListStopsRequest{})
	if err != nil {
		return nil, err
	}
	list := make([]stop, len(resp.GetStops()))
	for i, s := range resp.GetStops() {
		list[i] = stop{s.GetScope(), s.GetName(), s.GetReason(), s.GetSinceMs()}
	}
	return list, nil
}

// setStop stops withdrawals; a stop is lifted by a decision of operators, which is on
// record (mscoin-admin).
func (a *API) setStop(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.SetStopRequest{Scope: f.Mandatory("scope", 8), Name: f.Text("name", 32), Reason: f.Mandatory("reason", 500)}
	if err := f.Err(); err != nil {
		return nil, err
	}
	_, err := a.backends.Wallet.SetStop(ctx, request)
	return nil, err
}
