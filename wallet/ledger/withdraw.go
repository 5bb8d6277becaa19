package ledger

import (
	"fmt"

	"mscoin/mscoin-common/money"
)

// Withdrawal is the money of a withdrawal in units: Amount leaves, Fee is what the house
// takes for it. Both are held from the request until it has left or come back.
type Withdrawal struct {
	MemberID int64
	Coin     string
	Amount   int64
	Fee      int64
}

// Total is what is held. It fails for a withdrawal of nothing, a negative fee and a sum
// that does not fit.
func (w *Withdrawal) Total() (int64, error) {
	if w.Amount <= 0 || w.Fee < 0 {
		return 0, fmt.Errorf("%w: withdrawal of %d with fee %d", ErrBadPosting, w.Amount, w.Fee)
	}
	return money.Add(w.Amount, w.Fee)
}

// Hold makes the entry that sets the money aside.
func (w *Withdrawal) Hold(source Source) (Entry, error) {
	total, err := w.Total()
	if err != nil {
		return Entry{}, err
	}
	return Move(source, ReasonHold, 0, AvailableOf(w.MemberID, w.Coin), HeldOf(w.MemberID, w.Coin), total)
}

// Release makes the entry that returns the money.
func (w *Withdrawal) Release(source Source) (Entry, error) {
	total, err := w.Total()
	if err != nil {
		return Entry{}, err
	}
	return Move(source, ReasonRelease, 0, HeldOf(w.MemberID, w.Coin), AvailableOf(w.MemberID, w.Coin), total)
}

// Settle makes the entry of a withdrawal that has left: the amount to the world, the fee
// to the house, and from the house to the world what the chain took for it.
func (w *Withdrawal) Settle(source Source, networkFee int64) (Entry, error) {
	if _, err := w.Total(); err != nil {
		return Entry{}, err
	}
	if networkFee < 0 {
		return Entry{}, fmt.Errorf("%w: network fee %d", ErrBadPosting, networkFee)
	}
	held, fee, world := HeldOf(w.MemberID, w.Coin), FeeOf(w.Coin), WorldOf(w.Coin)
	postings := []Posting{
		{Account: held, Amount: -w.Amount, Reason: ReasonWithdraw},
		{Account: world, Amount: w.Amount, Reason: ReasonWithdraw},
	}
	if w.Fee > 0 {
		postings = append(postings, Posting{Account: held, Amount: -w.Fee, Reason: ReasonFee}, Posting{Account: fee, Amount: w.Fee, Reason: ReasonFee})
	}
	if networkFee > 0 {
		postings = append(postings, Posting{Account: fee, Amount: -networkFee, Reason: ReasonNetworkFee}, Posting{Account: world, Amount: networkFee, Reason: ReasonNetworkFee})
	}
	return NewEntry(source, postings...)
}
