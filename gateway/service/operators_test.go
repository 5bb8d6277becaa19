package service

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx/logtest"
	"google.golang.org/grpc"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/clock"
)

type fakeOperations struct {
	walletpb.OperationsServiceClient
	w *world
}

func (f fakeOperations) RequestCorrection(_ context.Context, in *walletpb.RequestCorrectionRequest, _ ...grpc.CallOption) (*walletpb.RequestCorrectionResponse, error) {
	return &walletpb.RequestCorrectionResponse{Decision: &walletpb.Decision{
		RequestId: in.GetRequestId(), Kind: "CORRECTION", State: "PENDING", RequestedBy: in.GetOperator(), Reason: in.GetReason(),
		From: in.GetFrom(), To: in.GetTo(), Coin: in.GetCoin(), Amount: in.GetAmount(),
	}}, f.w.asked("RequestCorrection", in)
}

func (f fakeOperations) ApproveDecision(_ context.Context, in *walletpb.ApproveDecisionRequest, _ ...grpc.CallOption) (*walletpb.ApproveDecisionResponse, error) {
	return &walletpb.ApproveDecisionResponse{Decision: &walletpb.Decision{RequestId: in.GetRequestId(), State: "DONE", DecidedBy: in.GetOperator()}},
		f.w.asked("ApproveDecision", in)
}

func (f fakeOperations) LiftStop(_ context.Context, in *walletpb.LiftStopRequest, _ ...grpc.CallOption) (*walletpb.LiftStopResponse, error) {
	return &walletpb.LiftStopResponse{Decision: &walletpb.Decision{RequestId: in.GetRequestId(), State: "DONE", RequestedBy: in.GetOperator()}},
		f.w.asked("LiftStop", in)
}

func (f fakeWallet) ReviewWithdrawal(_ context.Context, in *walletpb.ReviewWithdrawalRequest, _ ...grpc.CallOption) (*walletpb.ReviewWithdrawalResponse, error) {
	return &walletpb.ReviewWithdrawalResponse{Withdrawal: &walletpb.Withdrawal{
		Id: in.GetId(), Reviews: []*walletpb.Review{{Operator: in.GetOperator(), Approve: in.GetApprove(), Reason: in.GetReason()}},
	}}, f.w.asked("ReviewWithdrawal", in)
}

func (f fakeOperations) ListFeeIncome(_ context.Context, in *walletpb.ListFeeIncomeRequest, _ ...grpc.CallOption) (*walletpb.ListFeeIncomeResponse, error) {
	return &walletpb.ListFeeIncomeResponse{Income: []*walletpb.FeeIncome{{Day: in.GetFirstDay(), Coin: "BTC", Trading: "1", Other: "0", Total: "1", Lines: 3}}},
		f.w.asked("ListFeeIncome", in)
}

func TestGateway_Operators(t *testing.T) {
	const ann, bob = "token-of-ann-for-tests-only", "token-of-bob-for-tests-only"
	cfg := testConfig()
	cfg.Operators = []Operator{{Name: "ann", Token: ann}, {Name: "bob", Token: bob}}
	if !cfg.operatorsDiffer() {
		t.Fatal("operators that differ are refused")
	}
	d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
	send := func(t *testing.T, method, path, token, body, want string) {
		t.Helper()
		header := http.Header{"X-Admin-Token": {token}, "Content-Type": {"application/json"}}
		if status, got := d.do(t, method, path, body, header); status != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%s: %d %s, want %s", path, status, got, want)
		}
	}
	const correction = `{"requestId":"c-1","reason":"ticket","fromAccount":"SUSPENSE","toAccount":"AVAILABLE","toMember":7,"coin":"BTC","amount":"1.5","operator":"eve"}`
	t.Run("who decides is who the token belongs to, whatever the request says", func(t *testing.T) {
		send(t, http.MethodPost, "/admin/correction", ann, correction, `"requestedBy":"ann"`)
		send(t, http.MethodPost, "/admin/correction", testAdmin, correction, `"requestedBy":"admin"`)
		send(t, http.MethodPost, "/admin/decision/approve", bob, `{"requestId":"c-1","operator":"ann"}`, `"decidedBy":"bob"`)
		send(t, http.MethodPost, "/admin/stop/lift", bob, `{"requestId":"l-1","reason":"x","scope":"MEMBER","name":"7"}`, `"requestedBy":"bob"`)
		send(t, http.MethodPost, "/admin/withdraw/approve", ann, `{"id":7,"operator":"bob","reason":"x"}`, `"operator":"ann","approve":true`)
		send(t, http.MethodPost, "/admin/withdraw/reject", bob, `{"id":7,"operator":"ann","reason":"x"}`, `"operator":"bob","approve":false`)
		send(t, http.MethodGet, "/admin/fee-income?firstDay=2026-11-25&lastDay=2026-11-25", ann, "", `"day":"2026-11-25","coin":"BTC"`)
	})
	t.Run("who credited a member with what is in the log", func(t *testing.T) {
		lines := logtest.NewCollector(t)
		send(t, http.MethodPost, "/admin/deposit", ann, `{"reference":"r-1","memberId":7,"coin":"BTC","amount":"1.5","operator":"bob"}`, `"coin":"BTC"`)
		if got := lines.String(); !strings.Contains(got, "operator ann credited member 7 with 1.5 BTC") {
			t.Error(got)
		}
	})
	t.Run("nobody else may decide", func(t *testing.T) {
		for _, token := range []string{"", "ann", ann + "x"} {
			if status, body := d.do(t, http.MethodPost, "/admin/correction", correction, http.Header{"X-Admin-Token": {token}}); status != http.StatusUnauthorized {
				t.Errorf("%q: %d %s", token, status, body)
			}
		}
	})
	t.Run("a day that is none is refused", func(t *testing.T) {
		for _, day := range []string{"", "2026-13-01", "26-11-25", "1960-01-01", "2026-11-25x"} {
			status, body := d.do(t, http.MethodGet, "/admin/fee-income?firstDay=2026-11-25&lastDay="+day, "", http.Header{"X-Admin-Token": {ann}})
			if status != http.StatusBadRequest {
				t.Errorf("%q: %d %s", day, status, body)
			}
		}
	})
	t.Run("operators need names and tokens that are nobody else's", func(t *testing.T) {
		for name, operators := range map[string][]Operator{
			"the same name":    {{"ann", ann}, {"ann", bob}},
			"the same token":   {{"ann", ann}, {"bob", ann}},
			"the shared name":  {{"admin", ann}},
			"the shared token": {{"ann", testAdmin}},
			"a short token":    {{"ann", "short"}},
			"no name":          {{"", ann}},
		} {
			cfg := testConfig()
			cfg.Operators = operators
			if cfg.operatorsDiffer() {
				t.Errorf("%s is accepted", name)
			}
		}
	})
}
