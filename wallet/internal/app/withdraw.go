package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/wallet/custody"
)

// WithdrawalState is the life cycle of a withdrawal; the names are stored.
type WithdrawalState string

// States of a withdrawal. The money is held until one of the last four.
const (
	// PendingReview waits for operators.
	PendingReview WithdrawalState = "PENDING_REVIEW"
	// Approved waits to be broadcast.
	Approved WithdrawalState = "APPROVED"
	// Broadcasting: the custody may have been asked.
	Broadcasting WithdrawalState = "BROADCASTING"
	// SentOut: the custody has broadcast it.
	SentOut WithdrawalState = "SENT"
	// Confirmed: it has left.
	Confirmed WithdrawalState = "CONFIRMED"
	// Rejected by an operator.
	Rejected WithdrawalState = "REJECTED"
	// Canceled by the member.
	Canceled WithdrawalState = "CANCELED"
	// WithdrawalFailed: it will never leave.
	WithdrawalFailed WithdrawalState = "FAILED"
)

// ErrOtherPayment is returned when the transaction that the custody named pays something
// else than the withdrawal.
var ErrOtherPayment = errors.New("the transaction is not this withdrawal's payment: its key, address or amount is another")

// OpenWithdrawals are the states in which money is held.
func OpenWithdrawals() []WithdrawalState {
	return []WithdrawalState{PendingReview, Approved, Broadcasting, SentOut}
}

// Withdrawal is a withdrawal, amounts in units of Scale decimals.
type Withdrawal struct {
	ID            int64
	MemberID      int64
	RequestKey    string
	Coin          string
	Scale         int
	Address       string
	Amount        int64
	Fee           int64
	NetworkFee    int64
	State         WithdrawalState
	ReviewsNeeded int64
	Reviews       []Review
	ChainTx       string
	Reason        string
	Attention     string
	Attempts      int64
	CreatedMs     int64
	SentMs        int64 // 0: not sent
	UpdatedMs     int64
}

// AmountText is the amount as a decimal.
func (w *Withdrawal) AmountText() string { return money.Format(w.Amount, w.Scale) }

// Key is the withdrawal's idempotency key at the custody.
func (w *Withdrawal) Key() string { return WithdrawalKey(w.ID) }

// WithdrawalKey is the idempotency key at the custody of the withdrawal with that id.
func WithdrawalKey(id int64) string { return fmt.Sprintf("w-%d", id) }

// WithdrawalRequest is what a member asks for, in units, with the limits it must keep.
type WithdrawalRequest struct {
	MemberID   int64
	RequestKey string
	Address    string
	Amount     int64
	Limits     Limits
}

// Hash identifies the request's content.
func (r *WithdrawalRequest) Hash() []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.MemberID))
	b = binary.BigEndian.AppendUint64(b, uint64(r.Amount))
	b = append(append(append(b, r.Limits.Coin.Name...), 0), r.Address...)
	sum := sha256.Sum256(b)
	return sum[:]
}

// Review is an operator's decision about a withdrawal.
type Review struct {
	WithdrawalID int64
	Operator     string
	Approve      bool
	Reason       string
	TimeMs       int64
}

// Withdraw asks for a withdrawal: amount leaves, the coin's fee comes on top, and both are
// held. key makes the request happen once. The caller has verified the member's second
// factor for exactly this request.
//
// Errors: IDEMPOTENCY_MISMATCH; BAD_AMOUNT_RANGE, BAD_ADDRESS, BAD_REQUEST and the codes
// of malformed numbers; ADDRESS_NOT_IN_BOOK, ADDRESS_TOO_NEW, DAY_LIMIT,
// INSUFFICIENT_BALANCE, WITHDRAWALS_STOPPED; UNKNOWN_COIN, TRANSFER_DISABLED, UNAVAILABLE.
func (t *Transfers) Withdraw(ctx context.Context, memberID int64, key, coin, address, text string) (w Withdrawal, repeated bool, err error) {
	if !validID(memberID) || key == "" || len(key) > maxReference || !printable(key) {
		return w, false, badRequest("member and a request id of 1 to 64 printable bytes")
	}
	l, err := t.Limits(ctx, coin)
	if err != nil {
		return w, false, err
	}
	units, err := amount(text, l.Coin, "amount")
	if err != nil {
		return w, false, err
	}
	if units < l.MinWithdraw || l.MaxWithdraw > 0 && units > l.MaxWithdraw {
		return w, false, ErrAmountRange
	}
	if err := t.checkAddress(ctx, l.Coin.Name, address); err != nil {
		return w, false, err
	}
	w, repeated, err = t.kept.RequestWithdrawal(ctx, WithdrawalRequest{MemberID: memberID, RequestKey: key, Address: address, Amount: units, Limits: l})
	if err != nil {
		return Withdrawal{}, false, fmt.Errorf("withdraw: %w", err)
	}
	return w, repeated, nil
}

// CancelWithdrawal ends a withdrawal that was not broadcast and returns its money.
// Repeating it changes nothing. Errors: UNKNOWN_WITHDRAWAL, WITHDRAWAL_STATE.
func (t *Transfers) CancelWithdrawal(ctx context.Context, memberID, id int64) (Withdrawal, error) {
	if !validID(memberID) || !validID(id) {
		return Withdrawal{}, ErrUnknownWithdrawal
	}
	w, err := t.kept.CancelWithdrawal(ctx, memberID, id)
	if err != nil {
		return Withdrawal{}, fmt.Errorf("cancel withdrawal %d: %w", id, err)
	}
	return w, nil
}

// ReviewWithdrawal notes an operator's decision: the last approval that is needed lets the
// withdrawal go, a rejection ends it and returns its money. Repeating one's decision
// changes nothing; the opposite one is IDEMPOTENCY_MISMATCH.
//
// Errors: UNKNOWN_WITHDRAWAL, WITHDRAWAL_STATE, IDEMPOTENCY_MISMATCH, BAD_REQUEST;
// SHARED_OPERATOR for an approval of what takes two.
func (t *Transfers) ReviewWithdrawal(ctx context.Context, r Review) (Withdrawal, error) {
	if !validID(r.WithdrawalID) {
		return Withdrawal{}, ErrUnknownWithdrawal
	}
	if !operatorName.MatchString(r.Operator) || len(r.Reason) > maxReason || !printable(r.Reason) {
		return Withdrawal{}, badRequest("operator, and a reason of at most 255 printable bytes")
	}
	w, err := t.kept.ReviewWithdrawal(ctx, r)
	if err != nil {
		return Withdrawal{}, fmt.Errorf("review withdrawal %d: %w", r.WithdrawalID, err)
	}
	return w, nil
}

const maxReason = 255

// RetryWithdrawal gives a withdrawal that needs attention back to the worker. Errors:
// UNKNOWN_WITHDRAWAL, WITHDRAWAL_STATE.
func (t *Transfers) RetryWithdrawal(ctx context.Context, id int64) (Withdrawal, error) {
	if !validID(id) {
		return Withdrawal{}, ErrUnknownWithdrawal
	}
	return t.kept.RetryWithdrawal(ctx, id)
}

// AbandonWithdrawal ends a withdrawal that does not get through to its chain: the custody
// promises not to send it, and the money returns; when the custody has sent it after all,
// it is SENT. Errors: UNKNOWN_WITHDRAWAL, WITHDRAWAL_STATE, UNAVAILABLE,
// TRANSFER_DISABLED.
func (t *Transfers) AbandonWithdrawal(ctx context.Context, id int64) (Withdrawal, error) {
	if !validID(id) {
		return Withdrawal{}, ErrUnknownWithdrawal
	}
	w, err := t.kept.Withdrawal(ctx, id)
	if err != nil {
		return Withdrawal{}, err
	}
	if w.State != Broadcasting {
		return w, ErrWithdrawalState.With("it is " + string(w.State))
	}
	if t.custody == nil {
		return Withdrawal{}, ErrTransferDisabled
	}
	sent, err := t.custody.Abandon(ctx, w.Coin, w.Key())
	switch {
	case errors.Is(err, custody.ErrAbandoned):
		err = t.kept.FailWithdrawal(ctx, id, []WithdrawalState{Broadcasting}, "abandoned by an operator")
	case err == nil:
		err = t.kept.MarkSent(ctx, id, sent.TxID)
	default:
		err = errCustodyUnavailable.Wrap(err)
	}
	if err != nil {
		return Withdrawal{}, fmt.Errorf("abandon withdrawal %d: %w", id, err)
	}
	return t.kept.Withdrawal(ctx, id)
}

// Withdrawals returns a page of withdrawals, newest first, and the id to go on from, 0 at
// the end.
func (t *Transfers) Withdrawals(ctx context.Context, q TransferQuery, size int) ([]Withdrawal, int64, error) {
	if err := checkQuery(&q, &size); err != nil {
		return nil, 0, err
	}
	list, err := t.kept.Withdrawals(ctx, q, size+1)
	if err != nil {
		return nil, 0, fmt.Errorf("list withdrawals: %w", err)
	}
	if len(list) <= size {
		return list, 0, nil
	}
	return list[:size], list[size-1].ID, nil
}

// Deposits returns a page of what came by chains, newest first, and the id to go on from,
// 0 at the end.
func (t *Transfers) Deposits(ctx context.Context, q TransferQuery, size int) ([]ChainDeposit, int64, error) {
	if err := checkQuery(&q, &size); err != nil {
		return nil, 0, err
	}
	list, err := t.kept.Deposits(ctx, q, size+1)
	if err != nil {
		return nil, 0, fmt.Errorf("list deposits: %w", err)
	}
	if len(list) <= size {
		return list, 0, nil
	}
	return list[:size], list[size-1].ID, nil
}

func checkQuery(q *TransferQuery, size *int) error {
	if *size == 0 {
		*size = defaultPage
	}
	if q.MemberID < 0 || q.Before < 0 || *size < 1 || *size > maxPage || q.Coin != "" && !coinName.MatchString(q.Coin) || len(q.State) > maxState {
		return badRequest("a page of 1 to 500, and a coin and state that may exist")
	}
	return nil
}

const maxState = 16

// DepositState is the life cycle of a deposit by chain; the names are stored.
type DepositState string

// States of a deposit by chain.
const (
	// DepositPending waits for confirmations.
	DepositPending DepositState = "PENDING"
	// DepositCredited is in the member's wallet.
	DepositCredited DepositState = "CREDITED"
	// DepositDropped: its block was replaced before it was credited. It may come again.
	DepositDropped DepositState = "DROPPED"
	// DepositOrphaned: its block was replaced after it was credited. The coin's chain is
	// stopped until an operator has looked.
	DepositOrphaned DepositState = "ORPHANED"
	// DepositUnknown: the address is nobody's.
	DepositUnknown DepositState = "UNKNOWN_ADDRESS"
	// DepositTooSmall is less than the least, or than a unit.
	DepositTooSmall DepositState = "TOO_SMALL"
	// DepositTooLarge is more than can be counted.
	DepositTooLarge DepositState = "TOO_LARGE"
)

// ChainDeposit is what a chain paid to an address of the custody. ChainAmount is the
// chain's amount, Amount what of it is whole units of Scale decimals. Height is 0 while
// it is in no block; Confirmations are counted from the newest block that was read.
type ChainDeposit struct {
	ID            int64
	Coin          string
	Scale         int
	ChainTx       string
	OutputIndex   int64
	Address       string
	MemberID      int64
	ChainAmount   string
	Amount        int64
	State         DepositState
	Height        int64
	Confirmations int64
	CreatedMs     int64
	UpdatedMs     int64
}

// Reference is the deposit's reference among those that are credited.
func (d *ChainDeposit) Reference() string { return fmt.Sprintf("%s%d", chainReference, d.ID) }

// ErrBadChain is returned when the custody said something of a chain that cannot be.
var ErrBadChain = errors.New("the chain contradicts itself")

// chainReference begins the references of deposits that came by a chain; no operator may
// use it.
const chainReference = "chain:"

// depositState decides what a receipt of the chain is.
func depositState(l *Limits, memberID, units int64, err error) DepositState {
	switch {
	case errs.CodeOf(err) == errs.CodeNumberOutOfRange:
		return DepositTooLarge
	case memberID == 0:
		return DepositUnknown
	case units <= 0 || units < l.MinDeposit:
		return DepositTooSmall
	}
	return DepositPending
}

// NewChainDeposit decides what a receipt is: whose, how much in units, in which state. It
// fails when the custody's amount is no amount.
func NewChainDeposit(l *Limits, r *custody.Receipt, memberID, height int64) (ChainDeposit, error) {
	units, _, err := ChainUnits(r.Amount, l.Coin.Scale)
	if err != nil && errs.CodeOf(err) != errs.CodeNumberOutOfRange {
		return ChainDeposit{}, fmt.Errorf("receipt %s/%d of %s: amount: %w", r.TxID, r.Index, l.Coin.Name, err)
	}
	return ChainDeposit{
		Coin: l.Coin.Name, Scale: l.Coin.Scale, ChainTx: r.TxID, OutputIndex: r.Index, Address: r.Address, MemberID: memberID,
		ChainAmount: r.Amount, Amount: units, State: depositState(l, memberID, units, err), Height: height,
	}, nil
}
