package app

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/wallet/custody"
)

// Refusals of deposits and withdrawals.
var (
	ErrTransferDisabled   = errs.New(errs.KindFailedPrecondition, errs.CodeTransferDisabled, "the coin cannot be deposited or withdrawn here")
	ErrBadAddress         = errs.New(errs.KindInvalidArgument, errs.CodeBadAddress, "not an address of the coin's chain")
	ErrAmountRange        = errs.New(errs.KindInvalidArgument, errs.CodeBadAmountRange, "the amount is outside what can be withdrawn at once")
	ErrAddressNotInBook   = errs.New(errs.KindFailedPrecondition, errs.CodeAddressNotInBook, "the address is not in the address book")
	ErrAddressTooNew      = errs.New(errs.KindFailedPrecondition, errs.CodeAddressTooNew, "the address was added too short a time ago")
	ErrAddressBookFull    = errs.New(errs.KindFailedPrecondition, errs.CodeAddressBookFull, "the address book is full")
	ErrDayLimit           = errs.New(errs.KindFailedPrecondition, errs.CodeDayLimit, "more than may be withdrawn in a day")
	ErrStopped            = errs.New(errs.KindFailedPrecondition, errs.CodeWithdrawalsStopped, "withdrawals are stopped until an operator has looked")
	ErrUnknownWithdrawal  = errs.New(errs.KindNotFound, errs.CodeUnknownWithdrawal, "no such withdrawal")
	ErrWithdrawalState    = errs.New(errs.KindFailedPrecondition, errs.CodeWithdrawalState, "the withdrawal's state does not allow this")
	errCustodyUnavailable = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the custody does not answer; try again")
)

// CoinRules say how a coin may be deposited and withdrawn. Amounts are decimals; an empty
// limit is none.
type CoinRules struct {
	Coin string
	// Confirmations are the blocks, the first one included, after which a deposit is
	// credited and a withdrawal done.
	Confirmations int64
	// StartHeight is the last block that is not looked at.
	StartHeight int64
	// MinDeposit is the least that is credited.
	MinDeposit string
	// MinWithdraw and MaxWithdraw bound one withdrawal, DayLimit those of a UTC day.
	MinWithdraw, MaxWithdraw, DayLimit string
	// Fee is the house's fee of a withdrawal.
	Fee string
	// ReviewAbove and TwoReviewsAbove are the amounts above which an operator, or two,
	// must approve, counted from all that the member withdraws in a UTC day. They need a
	// DayLimit.
	ReviewAbove, TwoReviewsAbove string
}

// Limits are CoinRules in units of the coin. Zero is no limit.
type Limits struct {
	Coin            Coin
	Confirmations   int64
	StartHeight     int64
	MinDeposit      int64
	MinWithdraw     int64
	MaxWithdraw     int64
	DayLimit        int64
	Fee             int64
	ReviewAbove     int64
	TwoReviewsAbove int64
}

var errBadRules = errors.New("a coin cannot be transferred by these rules")

// Limits counts the rules in units.
func (r *CoinRules) Limits(c Coin) (Limits, error) {
	l := Limits{Coin: c, Confirmations: r.Confirmations, StartHeight: r.StartHeight}
	for _, f := range []struct {
		name string
		text string
		into *int64
	}{
		{"MinDeposit", r.MinDeposit, &l.MinDeposit},
		{"MinWithdraw", r.MinWithdraw, &l.MinWithdraw},
		{"MaxWithdraw", r.MaxWithdraw, &l.MaxWithdraw},
		{"DayLimit", r.DayLimit, &l.DayLimit},
		{"Fee", r.Fee, &l.Fee},
		{"ReviewAbove", r.ReviewAbove, &l.ReviewAbove},
		{"TwoReviewsAbove", r.TwoReviewsAbove, &l.TwoReviewsAbove},
	} {
		if f.text == "" {
			continue
		}
		n, err := money.Parse(f.text, c.Scale)
		if err != nil {
			return l, fmt.Errorf("%w: custody rules of %s: %s: %w", errBadRules, c.Name, f.name, err)
		}
		*f.into = n
	}
	if l.DayLimit == 0 && (l.ReviewAbove > 0 || l.TwoReviewsAbove > 0) {
		return l, fmt.Errorf("%w: custody rules of %s: ReviewAbove needs a DayLimit", errBadRules, c.Name)
	}
	return l, nil
}

// Reviews is how many operators must approve what brings the day's withdrawals to a sum.
func (l *Limits) Reviews(daySum int64) int64 {
	switch {
	case l.TwoReviewsAbove > 0 && daySum > l.TwoReviewsAbove:
		return 2
	case l.ReviewAbove > 0 && daySum > l.ReviewAbove:
		return 1
	}
	return 0
}

// Address is a place in a member's address book.
type Address struct {
	MemberID  int64
	Coin      string
	Address   string
	Remark    string
	CreatedMs int64
	UsableMs  int64
}

// TransferStore keeps addresses, deposits and withdrawals. Each method is one
// transaction.
type TransferStore interface {
	// DepositAddress returns the member's address in the coin, "" for none.
	DepositAddress(ctx context.Context, memberID int64, coin string) (string, error)
	// SaveDepositAddress keeps an address and returns the one that is kept.
	SaveDepositAddress(ctx context.Context, memberID int64, coin, address string) (string, error)
	// AddAddress adds to the address book and returns what is there. An address that is
	// there with another remark is ErrMismatch, more than most ErrAddressBookFull.
	AddAddress(ctx context.Context, a Address, most int) (Address, error)
	// RemoveAddress removes from the address book; one that is not there is no error.
	RemoveAddress(ctx context.Context, memberID int64, coin, address string) error
	// Addresses returns the member's address book, of one coin or all.
	Addresses(ctx context.Context, memberID int64, coin string) ([]Address, error)
	// RequestWithdrawal checks and holds in one transaction; repeated is true when the key
	// was used before with the same content.
	RequestWithdrawal(ctx context.Context, w WithdrawalRequest) (out Withdrawal, repeated bool, err error)
	// CancelWithdrawal ends a member's withdrawal that was not broadcast.
	CancelWithdrawal(ctx context.Context, memberID, id int64) (Withdrawal, error)
	// ReviewWithdrawal notes an operator's decision and acts on it.
	ReviewWithdrawal(ctx context.Context, r Review) (Withdrawal, error)
	// RetryWithdrawal gives a withdrawal that needs attention back to the worker.
	RetryWithdrawal(ctx context.Context, id int64) (Withdrawal, error)
	// Withdrawal returns one. ErrUnknownWithdrawal.
	Withdrawal(ctx context.Context, id int64) (Withdrawal, error)
	// MarkSent notes that a withdrawal was broadcast.
	MarkSent(ctx context.Context, id int64, chainTx string) error
	// FailWithdrawal returns the money of one that will never leave.
	FailWithdrawal(ctx context.Context, id int64, from []WithdrawalState, reason string) error
	// Withdrawals returns a page, newest first.
	Withdrawals(ctx context.Context, q TransferQuery, limit int) ([]Withdrawal, error)
	// Deposits returns a page of what came by chains, newest first.
	Deposits(ctx context.Context, q TransferQuery, limit int) ([]ChainDeposit, error)
	// Stops returns what is stopped, SetStop adds to it.
	Stops(ctx context.Context) ([]Stop, error)
	SetStop(ctx context.Context, s Stop) error
}

// TransferQuery selects deposits or withdrawals. Empty fields select all; Before is the id
// below which to go on.
type TransferQuery struct {
	MemberID  int64
	Coin      string
	State     string
	Attention bool
	Before    int64
}

// TransferConfig has the numbers of deposits and withdrawals.
type TransferConfig struct {
	Coins []CoinRules
	// AddressDelayMs is how old an address must be before money goes there.
	AddressDelayMs int64
	// MaxAddresses bounds a member's address book.
	MaxAddresses int
}

// Transfers are the use cases of addresses, deposits by chain and withdrawals. It is safe
// for concurrent use.
type Transfers struct {
	*App

	kept    TransferStore
	custody custody.Custody // nil: nothing is offered
	clk     clock.Clock
	cfg     TransferConfig

	mu    sync.Mutex
	known map[string]Limits
	told  sync.Map // coins whose rules cannot be
}

// NewTransfers returns the use cases; without a custody every transfer is refused.
func NewTransfers(a *App, store TransferStore, c custody.Custody, clk clock.Clock, cfg TransferConfig) *Transfers {
	return &Transfers{App: a, kept: store, custody: c, clk: clk, cfg: cfg, known: map[string]Limits{}}
}

// Limits returns the coin's limits. Errors: UNKNOWN_COIN, TRANSFER_DISABLED.
func (t *Transfers) Limits(ctx context.Context, coin string) (Limits, error) {
	c, err := t.coin(ctx, coin)
	if err != nil {
		return Limits{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if l, ok := t.known[c.Name]; ok {
		return l, nil
	}
	if t.custody == nil {
		return Limits{}, ErrTransferDisabled.With(c.Name)
	}
	for i := range t.cfg.Coins {
		if t.cfg.Coins[i].Coin != c.Name {
			continue
		}
		l, err := t.cfg.Coins[i].Limits(c)
		if err != nil {
			return Limits{}, err
		}
		t.known[c.Name] = l
		return l, nil
	}
	return Limits{}, ErrTransferDisabled.With(c.Name)
}

// Offered returns the limits of every coin that can be transferred and is listed. One whose
// rules cannot be is left out, and logged once.
func (t *Transfers) Offered(ctx context.Context) ([]Limits, error) {
	var all []Limits
	for i := range t.cfg.Coins {
		l, err := t.Limits(ctx, t.cfg.Coins[i].Coin)
		if errors.Is(err, ErrUnknownCoin) || errors.Is(err, ErrTransferDisabled) {
			continue
		}
		if errors.Is(err, errBadRules) {
			if _, told := t.told.LoadOrStore(t.cfg.Coins[i].Coin, true); !told {
				logx.WithContext(ctx).Errorf("ALARM %v: its deposits and withdrawals stand still", err)
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	return all, nil
}

// Owner is what the custody calls a member.
func Owner(memberID int64) string { return fmt.Sprintf("member-%d", memberID) }

// DepositAddress returns the address at which the member receives the coin, always the
// same. Errors: UNKNOWN_COIN, TRANSFER_DISABLED, UNAVAILABLE, BAD_REQUEST.
func (t *Transfers) DepositAddress(ctx context.Context, memberID int64, coin string) (string, error) {
	if !validID(memberID) {
		return "", badRequest("member")
	}
	l, err := t.Limits(ctx, coin)
	if err != nil {
		return "", err
	}
	address, err := t.kept.DepositAddress(ctx, memberID, l.Coin.Name)
	if err != nil || address != "" {
		return address, err
	}
	if address, err = t.custody.Address(ctx, l.Coin.Name, Owner(memberID)); err != nil {
		return "", errCustodyUnavailable.Wrap(err)
	}
	address, err = t.kept.SaveDepositAddress(ctx, memberID, l.Coin.Name, address)
	if err != nil {
		return "", fmt.Errorf("deposit address of member %d: %w", memberID, err)
	}
	return address, nil
}

// checkAddress refuses what is no address of the coin.
func (t *Transfers) checkAddress(ctx context.Context, coin, address string) error {
	if address == "" || len(address) > custody.MaxAddressBytes || !printable(address) {
		return ErrBadAddress
	}
	err := t.custody.CheckAddress(ctx, coin, address)
	switch {
	case errors.Is(err, custody.ErrBadAddress):
		return ErrBadAddress
	case err != nil:
		return errCustodyUnavailable.Wrap(err)
	}
	return nil
}

// AddAddress adds to the member's address book. Repeating it changes nothing. Errors:
// BAD_ADDRESS, ADDRESS_BOOK_FULL, IDEMPOTENCY_MISMATCH for another remark, UNKNOWN_COIN,
// TRANSFER_DISABLED, UNAVAILABLE, BAD_REQUEST.
func (t *Transfers) AddAddress(ctx context.Context, memberID int64, coin, address, remark string) (Address, error) {
	if !validID(memberID) || len(remark) > maxReference || !printable(remark) {
		return Address{}, badRequest("member, and a remark of at most 64 printable bytes")
	}
	l, err := t.Limits(ctx, coin)
	if err != nil {
		return Address{}, err
	}
	if err := t.checkAddress(ctx, l.Coin.Name, address); err != nil {
		return Address{}, err
	}
	now := t.clk.NowMs()
	a := Address{MemberID: memberID, Coin: l.Coin.Name, Address: address, Remark: remark, CreatedMs: now, UsableMs: now + t.cfg.AddressDelayMs}
	if a, err = t.kept.AddAddress(ctx, a, t.cfg.MaxAddresses); err != nil {
		return Address{}, fmt.Errorf("add address of member %d: %w", memberID, err)
	}
	return a, nil
}

// RemoveAddress removes from the member's address book; an address that is not there is
// no error.
func (t *Transfers) RemoveAddress(ctx context.Context, memberID int64, coin, address string) error {
	if !validID(memberID) || !coinName.MatchString(coin) || address == "" || len(address) > custody.MaxAddressBytes {
		return badRequest("member, coin and address")
	}
	if err := t.kept.RemoveAddress(ctx, memberID, coin, address); err != nil {
		return fmt.Errorf("remove address of member %d: %w", memberID, err)
	}
	return nil
}

// Addresses returns the member's address book.
func (t *Transfers) Addresses(ctx context.Context, memberID int64, coin string) ([]Address, error) {
	if !validID(memberID) || coin != "" && !coinName.MatchString(coin) {
		return nil, badRequest("member and coin")
	}
	return t.kept.Addresses(ctx, memberID, coin)
}

// stopName is what a stop may be of.
var operatorName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,32}$`)

// Stops returns what is stopped, oldest first.
func (t *Transfers) Stops(ctx context.Context) ([]Stop, error) { return t.kept.Stops(ctx) }

// SetStop stops withdrawals of a member, a coin or all, or a coin's chain. Repeating it
// keeps the first reason. Errors: BAD_REQUEST.
func (t *Transfers) SetStop(ctx context.Context, s Stop) error {
	if err := checkStop(s.Scope, s.Name); err != nil {
		return err
	}
	if s.Reason == "" || len(s.Reason) > maxStopReason || !printable(s.Reason) {
		return badRequest("a reason of 1 to 500 printable bytes")
	}
	s.SinceMs = t.clk.NowMs()
	return t.kept.SetStop(ctx, s)
}

const maxStopReason = 500

func checkStop(scope, name string) error {
	ok := false
	switch scope {
	case StopAll:
		ok = name == ""
	case StopCoin, StopChain:
		ok = coinName.MatchString(name)
	case StopMember:
		ok = len(name) <= 16 && name != "" && strings.Trim(name, "0123456789") == ""
	}
	if !ok {
		return badRequest("scope MEMBER with an id, COIN or CHAIN with a coin, or ALL")
	}
	return nil
}

// maxWholeDigits is what money.Parse reads before the point.
const maxWholeDigits = 20

// ChainUnits counts an amount of a chain in units of the coin: down to whole ones, exact
// when nothing was cut off.
func ChainUnits(text string, scale int) (units int64, exact bool, err error) {
	if len(text) > custody.MaxAmountBytes {
		return 0, false, money.ErrSyntax
	}
	whole, fraction, _ := strings.Cut(text, ".")
	cut := ""
	if len(fraction) > scale {
		fraction, cut = fraction[:scale], fraction[scale:]
	}
	if strings.Trim(cut, "0123456789") != "" {
		return 0, false, money.ErrSyntax
	}
	if len(whole) > maxWholeDigits && strings.Trim(whole, "0123456789") == "" {
		return 0, false, money.ErrRange
	}
	if fraction != "" {
		whole += "." + fraction
	}
	units, err = money.Parse(whole, scale)
	return units, strings.Trim(cut, "0") == "", err
}
