package ledger

import (
	"errors"
	"fmt"
	"slices"

	"mscoin/mscoin-common/money"
)

// Errors of this package. Each means that the caller asked for something that
// would break the books; none is a normal refusal.
var (
	ErrBadAccount = errors.New("ledger: bad account")
	ErrUnbalanced = errors.New("ledger: postings do not sum to zero")
	ErrBadPosting = errors.New("ledger: bad posting")
	ErrNegative   = errors.New("ledger: member account would become negative")
	ErrNotLoaded  = errors.New("ledger: wallet was not loaded")
	ErrBadHold    = errors.New("ledger: bad hold")
)

// NegativeError is the [ErrNegative] of a posting.
type NegativeError struct {
	Posting Posting
	// Balance of the account before.
	Balance int64
}

// Error names the account, its balance and the change.
func (e *NegativeError) Error() string {
	return fmt.Sprintf("%v: %s has %d, change %d (order %d)", ErrNegative, e.Posting.Account, e.Balance, e.Posting.Amount, e.Posting.OrderID)
}

// Is makes errors.Is(err, ErrNegative) true.
func (e *NegativeError) Is(target error) bool { return target == ErrNegative }

// Reason says why money moved; it is the journal's kind column.
type Reason string

// Reasons.
const (
	ReasonDeposit    Reason = "deposit"
	ReasonWithdraw   Reason = "withdraw"
	ReasonHold       Reason = "hold"
	ReasonRelease    Reason = "release"
	ReasonTrade      Reason = "trade"
	ReasonFee        Reason = "fee"
	ReasonCorrection Reason = "correction"
	// ReasonNetworkFee is what a chain takes for a withdrawal, paid from the fee income.
	ReasonNetworkFee Reason = "network_fee"
)

// Posting changes one account by a signed, non-zero amount. OrderID is the
// order on whose behalf, 0 if none.
type Posting struct {
	Account Account
	Amount  int64
	Reason  Reason
	OrderID int64
}

// Source says what an entry records. Symbol and Seq name the output record of a
// settlement and are zero otherwise (a hold carries its order's symbol, with
// Seq 0); Ref is the reference of a deposit.
type Source struct {
	Symbol string
	Seq    int64
	Ref    string
	TimeMs int64
}

// Entry is a set of postings that happen together. Its postings sum to zero for
// each coin; the zero Entry is empty.
type Entry struct {
	source   Source
	postings []Posting
}

// NewEntry makes an entry of a copy of the postings. It returns
// [ErrUnbalanced] when they do not sum to zero for each coin, [ErrBadPosting]
// when one is zero or has no reason, [ErrBadAccount] or [money.ErrRange].
func NewEntry(source Source, postings ...Posting) (Entry, error) {
	var sums [4]coinSum // a settlement touches two coins; more grow the slice
	open := sums[:0]
	for i := range postings {
		p := &postings[i]
		if err := p.Account.Validate(); err != nil {
			return Entry{}, err
		}
		if p.Amount == 0 || p.Reason == "" {
			return Entry{}, fmt.Errorf("%w: %s amount %d reason %q", ErrBadPosting, p.Account, p.Amount, p.Reason)
		}
		var err error
		if open, err = addCoin(open, p.Account.Coin, p.Amount); err != nil {
			return Entry{}, err
		}
	}
	for _, s := range open {
		if s.sum != 0 {
			return Entry{}, fmt.Errorf("%w: %s by %d", ErrUnbalanced, s.coin, s.sum)
		}
	}
	return Entry{source: source, postings: slices.Clone(postings)}, nil
}

type coinSum struct {
	coin string
	sum  int64
}

func addCoin(sums []coinSum, coin string, amount int64) ([]coinSum, error) {
	for i := range sums {
		if sums[i].coin != coin {
			continue
		}
		sum, err := money.Add(sums[i].sum, amount)
		if err != nil {
			return nil, fmt.Errorf("sum of %s: %w", coin, err)
		}
		sums[i].sum = sum
		return sums, nil
	}
	return append(sums, coinSum{coin, amount}), nil
}

// Move makes the entry that takes amount > 0 from one account to another.
func Move(source Source, reason Reason, orderID int64, from, to Account, amount int64) (Entry, error) {
	if amount <= 0 {
		return Entry{}, fmt.Errorf("%w: move of %d", ErrBadPosting, amount)
	}
	return NewEntry(
		source,
		Posting{Account: from, Amount: -amount, Reason: reason, OrderID: orderID},
		Posting{Account: to, Amount: amount, Reason: reason, OrderID: orderID},
	)
}

// Deposit credits the member with amount from the world.
func Deposit(source Source, memberID int64, coin string, amount int64) (Entry, error) {
	return Move(source, ReasonDeposit, 0, WorldOf(coin), AvailableOf(memberID, coin), amount)
}

// Source returns what the entry records.
func (e Entry) Source() Source { return e.source }

// Len returns the number of postings.
func (e Entry) Len() int { return len(e.postings) }

// Postings returns the postings in order. The slice must not be changed.
func (e Entry) Postings() []Posting { return e.postings }

// Line is one row of the journal: a posting, numbered within its transaction
// and, for a member's account, within that account. BalanceAfter is the
// member account's balance with this line applied, 0 for the house.
type Line struct {
	TxID         int64
	Line         int32
	Posting      Posting
	AccountSeq   int64
	BalanceAfter int64
	Source       Source
}
