package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

// booksOptions are the flags of what is decided about the wallet's books.
type booksOptions struct {
	payer, payee, coin, amount string
	scope, name                string
	first, last                string
	pending                    bool
}

func operations(s *services) (walletpb.OperationsServiceClient, error) {
	conn, err := s.of("wallet")
	if err != nil {
		return nil, err
	}
	return walletpb.NewOperationsServiceClient(conn), nil
}

// accountOf reads FEE, SUSPENSE, WORLD or AVAILABLE/7.
func accountOf(text string) (*walletpb.Account, error) {
	kind, member, of := strings.Cut(text, "/")
	a := &walletpb.Account{Kind: kind}
	if !of {
		return a, nil
	}
	var err error
	if a.MemberId, err = strconv.ParseInt(member, 10, 64); err != nil {
		return nil, fmt.Errorf("account %q is neither FEE, SUSPENSE, WORLD nor AVAILABLE/MEMBER", text)
	}
	return a, nil
}

// decided shows a decision, or how to find out what became of it.
func decided(d *walletpb.Decision, id string, err error) (*answer, error) {
	if errs.KindOf(err) == errs.KindUnknownOutcome {
		return nil, fmt.Errorf("whether it was done is not known: say it again with -request %s: %w", id, err)
	}
	if err != nil {
		return nil, err
	}
	a := newBookDecisions()
	a.bookDecision(d)
	return a, nil
}

func (o *options) newRequest() string {
	if o.requestID != "" {
		return o.requestID
	}
	return rand.Text()
}

func correct(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	from, err := accountOf(o.payer)
	if err != nil {
		return nil, err
	}
	to, err := accountOf(o.payee)
	if err != nil {
		return nil, err
	}
	id := o.newRequest()
	res, err := client.RequestCorrection(ctx, &walletpb.RequestCorrectionRequest{
		RequestId: id, Operator: o.by, Reason: o.reason, From: from, To: to, Coin: o.coin, Amount: o.amount,
	})
	return decided(res.GetDecision(), id, err)
}

func liftStop(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	id := o.newRequest()
	res, err := client.LiftStop(ctx, &walletpb.LiftStopRequest{RequestId: id, Operator: o.by, Reason: o.reason, Scope: o.scope, Name: o.name})
	return decided(res.GetDecision(), id, err)
}

func approve(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	res, err := client.ApproveDecision(ctx, &walletpb.ApproveDecisionRequest{RequestId: o.requestID, Operator: o.by})
	return decided(res.GetDecision(), o.requestID, err)
}

func reject(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	res, err := client.RejectDecision(ctx, &walletpb.RejectDecisionRequest{RequestId: o.requestID, Operator: o.by})
	return decided(res.GetDecision(), o.requestID, err)
}

func corrections(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	res, err := client.ListDecisions(ctx, &walletpb.ListDecisionsRequest{PageSize: int32(min(o.limit, 1000)), PendingOnly: o.pending})
	if err != nil {
		return nil, err
	}
	a := newBookDecisions()
	for _, d := range res.GetDecisions() {
		a.bookDecision(d)
	}
	return a, nil
}

func newBookDecisions() *answer {
	return newAnswer("REQUEST", "WHAT", "STATE", "WHEN", "BY", "APPROVED BY", "REASON", "DETAILS")
}

func (a *answer) bookDecision(d *walletpb.Decision) {
	details := fmt.Sprintf("%s %s: %s", d.GetScope(), d.GetName(), d.GetStopReason())
	if d.GetFrom() != nil {
		name := func(a *walletpb.Account) string {
			if a.GetMemberId() == 0 {
				return a.GetKind()
			}
			return a.GetKind() + "/" + number(a.GetMemberId())
		}
		details = fmt.Sprintf("%s %s from %s to %s, transaction %d", d.GetAmount(), d.GetCoin(), name(d.GetFrom()), name(d.GetTo()), d.GetTxId())
	}
	a.add(d.GetRequestId(), d.GetKind(), d.GetState(), moment(d.GetRequestTimeMs()), d.GetRequestedBy(), d.GetDecidedBy(), d.GetReason(), details)
}

// stops lists the withdrawals that are stopped.
func stops(ctx context.Context, s *services, _ *options) (*answer, error) {
	conn, err := s.of("wallet")
	if err != nil {
		return nil, err
	}
	res, err := walletpb.NewWalletServiceClient(conn).ListStops(ctx, &walletpb.ListStopsRequest{})
	if err != nil {
		return nil, err
	}
	a := newAnswer("SCOPE", "NAME", "SINCE", "REASON")
	for _, x := range res.GetStops() {
		a.wrong = true
		a.add(x.GetScope(), x.GetName(), moment(x.GetSinceMs()), x.GetReason())
	}
	return a, nil
}

const daySeconds = 24 * 60 * 60

func dayOf(text string) (int64, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil {
		return 0, fmt.Errorf("-first and -last are days like 2026-11-25: %w", err)
	}
	return t.Unix() / daySeconds, nil
}

func feeIncome(ctx context.Context, s *services, o *options) (*answer, error) {
	client, err := operations(s)
	if err != nil {
		return nil, err
	}
	request := &walletpb.ListFeeIncomeRequest{Coin: o.coin}
	if request.FirstDay, err = dayOf(o.first); err != nil {
		return nil, err
	}
	if request.LastDay, err = dayOf(o.last); err != nil {
		return nil, err
	}
	res, err := client.ListFeeIncome(ctx, request)
	if err != nil {
		return nil, err
	}
	a := newAnswer("DAY", "COIN", "TRADING", "OTHER", "TOTAL", "LINES")
	for _, f := range res.GetIncome() {
		a.add(time.Unix(f.GetDay()*daySeconds, 0).UTC().Format(time.DateOnly), f.GetCoin(), f.GetTrading(), f.GetOther(), f.GetTotal(), number(f.GetLines()))
	}
	return a, nil
}
