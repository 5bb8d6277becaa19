package app

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"time"
	"unicode/utf8"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/wallet/ledger"
)

// Kinds of decisions.
const (
	DecideCorrection = "CORRECTION"
	DecideLiftStop   = "LIFT_STOP"
)

// States of a decision. A pending one that nobody approved in time is shown as expired.
const (
	DecisionPending  = "PENDING"
	DecisionDone     = "DONE"
	DecisionRejected = "REJECTED"
	DecisionExpired  = "EXPIRED"
)

// SharedOperator is the name of whoever decides with the token that operators share. Who
// has a token of his own as well would be two people: where two must decide, it is none.
const SharedOperator = "admin"

// DecisionTTL is how long a request may be approved.
const DecisionTTL = 24 * time.Hour

// Decision is something about the books that operators decide, with who and why.
type Decision struct {
	RequestID   string
	Kind        string
	State       string
	Reason      string
	RequestedBy string
	RequestedMs int64
	ExpiresMs   int64
	DecidedBy   string
	DecidedMs   int64

	// Of a correction: Amount units go from From to To; TxID is where they were booked.
	From, To ledger.Account
	Amount   int64
	Scale    int // of the coin, for display
	TxID     int64

	// Of a stop.
	Scope, Name, StopReason string
}

// SameRequest reports whether two requests with one id ask for the same.
func (d *Decision) SameRequest(o *Decision) bool {
	return d.Kind == o.Kind && d.RequestedBy == o.RequestedBy && d.Reason == o.Reason &&
		d.From == o.From && d.To == o.To && d.Amount == o.Amount && d.Scope == o.Scope && d.Name == o.Name
}

// StateAt is the state at a time: what nobody approved in time is expired.
func (d *Decision) StateAt(nowMs int64) string {
	if d.State == DecisionPending && nowMs >= d.ExpiresMs {
		return DecisionExpired
	}
	return d.State
}

// FeeIncome is what the fee account gained in a coin on a day (UTC, counted from
// 1970-01-01), in units of Scale decimals: Trading from trades, Total altogether.
type FeeIncome struct {
	Day     int64
	Coin    string
	Scale   int
	Trading int64
	Total   int64
	Lines   int64
}

// Decisions keeps what operators decide. Each method is one transaction.
type Decisions interface {
	// RequestDecision keeps a request, or returns the one that has its id. A stop that
	// now may be lifted is lifted at once: now says so of the stop and the last pass.
	RequestDecision(ctx context.Context, d *Decision, now func(Stop, *Pass, bool) bool) (Decision, error)
	// ApproveDecision carries out a pending request of another operator.
	ApproveDecision(ctx context.Context, requestID, operator string) (Decision, error)
	// RejectDecision refuses a pending request.
	RejectDecision(ctx context.Context, requestID, operator string) (Decision, error)
	// ListDecisions returns at most limit decisions, newest first.
	ListDecisions(ctx context.Context, pendingOnly bool, limit int) ([]Decision, error)
	// FeeIncome sums the fee account of the journal by day and coin.
	FeeIncome(ctx context.Context, firstDay, lastDay int64, coin string) ([]FeeIncome, error)
}

// Refusals of decisions.
var (
	ErrSameOperator    = errs.New(errs.KindFailedPrecondition, errs.CodeSameOperator, "a second operator must approve what the first has asked for")
	ErrSharedOperator  = errs.New(errs.KindFailedPrecondition, errs.CodeSharedOperator, "it takes two operators, each with a token of his own: the shared one is nobody's")
	ErrUnknownDecision = errs.New(errs.KindNotFound, errs.CodeUnknownDecision, "nobody has asked for that")
	ErrNotPending      = errs.New(errs.KindFailedPrecondition, errs.CodeNotPending, "the request was carried out, rejected, or has expired")
	ErrNotStopped      = errs.New(errs.KindNotFound, errs.CodeNotStopped, "these withdrawals are not stopped")
)

// Operations is what operators may do to the books. It is safe for concurrent use.
type Operations struct {
	store Decisions
	app   *App
	clk   clock.Clock
}

// NewOperations returns the operators' use cases.
func NewOperations(store Decisions, a *App, clk clock.Clock) *Operations {
	return &Operations{store: store, app: a, clk: clk}
}

// maxReasonRunes bounds an operator's reason.
const maxReasonRunes = 255

var decidingName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,32}$`)

func checkRequest(d *Decision) error {
	switch {
	case d.RequestID == "" || utf8.RuneCountInString(d.RequestID) > maxReference || !printable(d.RequestID):
		return badRequest("a request id of 1 to 64 printable characters")
	case !decidingName.MatchString(d.RequestedBy):
		return badRequest("operator must be 1 to 32 of A-Z a-z 0-9 . _ @ -")
	case d.Reason == "" || utf8.RuneCountInString(d.Reason) > maxReasonRunes || !printable(d.Reason):
		return badRequest("a reason of 1 to 255 printable characters")
	}
	return nil
}

// RequestCorrection asks for an amount to be moved. It is booked when a second operator
// approves. d carries request id, operator, reason and the two accounts.
//
// Errors: IDEMPOTENCY_MISMATCH; SHARED_OPERATOR; UNKNOWN_COIN; BAD_REQUEST and the codes of
// malformed numbers.
func (o *Operations) RequestCorrection(ctx context.Context, d Decision, coin, text string) (Decision, error) {
	if err := checkRequest(&d); err != nil {
		return Decision{}, err
	}
	if d.RequestedBy == SharedOperator {
		return Decision{}, ErrSharedOperator
	}
	c, err := o.app.coin(ctx, coin)
	if err != nil {
		return Decision{}, err
	}
	if d.Amount, err = amount(text, c, "amount"); err != nil {
		return Decision{}, err
	}
	d.Kind, d.From.Coin, d.To.Coin = DecideCorrection, c.Name, c.Name
	for _, a := range [...]ledger.Account{d.From, d.To} {
		if a.Validate() != nil || a.MemberID > maxID || a.Kind == ledger.Held {
			return Decision{}, badRequest("an account is AVAILABLE of a member, or FEE, SUSPENSE or WORLD")
		}
	}
	if d.From == d.To {
		return Decision{}, badRequest("the accounts must differ")
	}
	return o.request(ctx, &d, nil)
}

func (o *Operations) request(ctx context.Context, d *Decision, now func(Stop, *Pass, bool) bool) (Decision, error) {
	d.State, d.RequestedMs = DecisionPending, o.clk.NowMs()
	d.ExpiresMs = d.RequestedMs + DecisionTTL.Milliseconds()
	kept, err := o.store.RequestDecision(ctx, d, now)
	if err != nil {
		return Decision{}, fmt.Errorf("request %s: %w", d.RequestID, err)
	}
	return o.shown(ctx, kept)
}

// shown is a decision as it is now.
func (o *Operations) shown(ctx context.Context, d Decision) (Decision, error) {
	d.State = d.StateAt(o.clk.NowMs())
	if d.Kind == DecideCorrection {
		c, err := o.app.coin(ctx, d.From.Coin)
		if err != nil {
			return Decision{}, err
		}
		d.Scale = c.Scale
	}
	return d, nil
}

// LiftStop lifts a stop of withdrawals: at once when the reconciliation that came after it
// has found nothing about the member or coin, or it is a chain's (no reconciliation looks at
// those) that has paid and taken nothing back; else when a second operator approves.
//
// Errors: NOT_STOPPED; IDEMPOTENCY_MISMATCH; BAD_REQUEST; SHARED_OPERATOR when it takes two.
func (o *Operations) LiftStop(ctx context.Context, d Decision) (Decision, error) {
	if err := checkRequest(&d); err != nil {
		return Decision{}, err
	}
	switch {
	case d.Scope == StopAll && d.Name == "":
	case (d.Scope == StopCoin || d.Scope == StopChain) && coinName.MatchString(d.Name):
	case d.Scope == StopMember && validMemberName(d.Name):
	default:
		return Decision{}, badRequest("scope MEMBER with a member's id, COIN or CHAIN with a coin, or ALL")
	}
	d.Kind = DecideLiftStop
	return o.request(ctx, &d, cleanSince)
}

func validMemberName(name string) bool {
	id, err := strconv.ParseInt(name, 10, 64)
	return err == nil && validID(id) && strconv.FormatInt(id, 10) == name
}

// cleanSince reports whether the last pass came after the stop and found nothing that
// would stop the same again, and nothing of it is open: no order in suspense, no credited
// deposit and no booked withdrawal that its chain has taken back.
func cleanSince(s Stop, p *Pass, open bool) bool {
	if s.Scope == StopChain {
		return !open // the reconciliation knows nothing of chains
	}
	if p.Number == 0 || p.AtMs <= s.SinceMs || open {
		return false
	}
	if p.Found == 0 {
		return true
	}
	var report struct {
		Discrepancies []struct {
			MemberID int64  `json:"memberId"`
			Coin     string `json:"coin"`
		} `json:"discrepancies"`
	}
	if json.Unmarshal([]byte(p.Report), &report) != nil || int64(len(report.Discrepancies)) != p.Found {
		return false // not all of it is kept: nobody can say
	}
	for _, d := range report.Discrepancies {
		member := strconv.FormatInt(d.MemberID, 10)
		same := s.Scope == StopAll || d.MemberID == 0 && d.Coin == "" ||
			s.Scope == StopMember && member == s.Name || s.Scope == StopCoin && d.Coin == s.Name
		if same {
			return false
		}
	}
	return true
}

// Approve carries out what another operator has asked for.
//
// Errors: UNKNOWN_DECISION; SAME_OPERATOR; SHARED_OPERATOR; NOT_PENDING, also when by now
// another reason stops the same; INSUFFICIENT_BALANCE when a member
// would have less than nothing: then it stays pending; NOT_STOPPED.
func (o *Operations) Approve(ctx context.Context, requestID, operator string) (Decision, error) {
	return o.decide(ctx, requestID, operator, o.store.ApproveDecision)
}

// Reject refuses a request for good. Errors: UNKNOWN_DECISION; NOT_PENDING.
func (o *Operations) Reject(ctx context.Context, requestID, operator string) (Decision, error) {
	return o.decide(ctx, requestID, operator, o.store.RejectDecision)
}

func (o *Operations) decide(ctx context.Context, requestID, operator string, do func(context.Context, string, string) (Decision, error)) (Decision, error) {
	if !decidingName.MatchString(operator) {
		return Decision{}, badRequest("operator must be 1 to 32 of A-Z a-z 0-9 . _ @ -")
	}
	if requestID == "" || len(requestID) > 4*maxReference {
		return Decision{}, ErrUnknownDecision
	}
	d, err := do(ctx, requestID, operator)
	if err != nil {
		return Decision{}, fmt.Errorf("decide %s: %w", requestID, err)
	}
	return o.shown(ctx, d)
}

// List returns decisions, newest first. Errors: BAD_REQUEST for a size outside 0 to 1000.
func (o *Operations) List(ctx context.Context, pendingOnly bool, pageSize int) ([]Decision, error) {
	if pageSize == 0 {
		pageSize = defaultPage
	}
	if pageSize < 1 || pageSize > maxStalePage {
		return nil, badRequest("page size must be 1 to 1000")
	}
	all, err := o.store.ListDecisions(ctx, pendingOnly, pageSize)
	if err != nil {
		return nil, fmt.Errorf("list decisions: %w", err)
	}
	for i := range all {
		if all[i], err = o.shown(ctx, all[i]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// maxIncomeDays bounds a statement.
const maxIncomeDays = 366

// FeeIncome states the fee income by day and coin. Errors: BAD_REQUEST; UNKNOWN_COIN.
func (o *Operations) FeeIncome(ctx context.Context, firstDay, lastDay int64, coin string) ([]FeeIncome, error) {
	if firstDay < 0 || lastDay < firstDay || lastDay-firstDay > maxIncomeDays || lastDay > 1<<40/1000 {
		return nil, badRequest("a first and a last day, at most 366 apart")
	}
	if coin != "" {
		if _, err := o.app.coin(ctx, coin); err != nil {
			return nil, err
		}
	}
	income, err := o.store.FeeIncome(ctx, firstDay, lastDay, coin)
	if err != nil {
		return nil, fmt.Errorf("fee income: %w", err)
	}
	return income, nil
}
