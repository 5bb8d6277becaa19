package reconcile

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
)

// Withdrawal is a row of withdraw_record with what the journal booked for it and what its
// chain paid, amounts in units of the coin. Held went into the held account when it was
// asked for; Left came out of it at its end, Returned of that to the member and World to
// the world outside. Payments are the chain's with its key that are in a block, Paid what
// the first of them paid.
type Withdrawal struct {
	ID         int64
	MemberID   int64
	Coin       string
	Amount     int64
	Fee        int64
	NetworkFee int64
	State      string
	Held       int64
	Left       int64
	Returned   int64
	World      int64
	Payments   int64
	Paid       int64
	TimeMs     int64
}

// ChainDeposit is a row of deposit_record with what was credited for it, in units.
type ChainDeposit struct {
	ID       int64
	MemberID int64
	Coin     string
	Amount   int64
	State    string
	OnChain  bool
	Credits  int64
	Credited int64
	CreditTo int64
	TimeMs   int64
}

// Custody compares withdrawals and deposits with what chains and the custody say (C11). It
// keeps one sum for each coin.
type Custody struct {
	books

	has map[string]*big.Int // what the custody must have, in 10^-18, by coin
}

// NewCustody returns a comparison that has seen nothing.
func NewCustody(f Frame) *Custody { return &Custody{books: newBooks(f), has: map[string]*big.Int{}} }

const checkCustody = "C11"

func withdrawalPlace(w *Withdrawal) place {
	return place{where: fmt.Sprintf("withdrawal %d", w.ID), sinceMs: w.TimeMs, member: w.MemberID}
}

// AddWithdrawal compares a withdrawal with the journal and its chain.
func (c *Custody) AddWithdrawal(w *Withdrawal) {
	at, total := withdrawalPlace(w), w.Amount+w.Fee
	c.expect(checkCustody, "journal held something else than the withdrawal", at, w.Coin, total, w.Held)
	mayBePaid := false
	switch w.State {
	case "PENDING_REVIEW", "APPROVED":
		c.expect(checkCustody, "withdrawal is open, but its hold was used", at, w.Coin, 0, w.Left)
	case "BROADCASTING", "SENT":
		c.expect(checkCustody, "withdrawal is open, but its hold was used", at, w.Coin, 0, w.Left)
		mayBePaid = true
	case "CONFIRMED":
		c.expect(checkCustody, "withdrawal was confirmed, but its hold is stale", at, w.Coin, total, w.Left)
		c.expect(checkCustody, "withdrawal was booked to the world with another amount", at, w.Coin, w.Amount+w.NetworkFee, w.World)
		if w.Payments == 0 {
			c.found(checkCustody, "withdrawal was booked, but is in no block of its chain", at, w.Coin, w.Amount, 0)
		}
		mayBePaid = true
	case "REJECTED", "CANCELED", "FAILED":
		c.expect(checkCustody, "withdrawal ended, but its money did not return", at, w.Coin, total, w.Returned)
	default:
		c.found(checkCustody, "withdrawal is in a state that does not exist", at, w.Coin, 0, 0)
	}
	switch {
	case w.Payments > 0 && !mayBePaid:
		c.found(checkCustody, "chain paid a withdrawal that is "+w.State, at, w.Coin, 0, w.Paid)
	case w.Payments > 1:
		c.found(checkCustody, "chain paid the withdrawal more than once", at, "", 1, w.Payments)
	case w.Payments == 1:
		c.expect(checkCustody, "chain paid another amount than the withdrawal's", at, w.Coin, w.Amount, w.Paid)
	}
}

// AddDeposit compares a deposit with what was credited for it.
func (c *Custody) AddDeposit(d *ChainDeposit) {
	at := place{where: fmt.Sprintf("deposit %d", d.ID), sinceMs: d.TimeMs, member: d.MemberID}
	credited := d.State == "CREDITED" || d.State == "ORPHANED"
	switch {
	case !credited && d.Credits > 0:
		c.found(checkCustody, "deposit was credited, but is "+d.State, at, d.Coin, 0, d.Credited)
	case credited && d.Credits == 0:
		c.found(checkCustody, "deposit is marked as credited, but was not", at, d.Coin, d.Amount, 0)
	case credited && d.CreditTo != d.MemberID:
		// The one lacks it, the other has it: neither may withdraw.
		for _, member := range [...]int64{d.MemberID, d.CreditTo} {
			at.member = member
			c.found(checkCustody, "deposit was credited to another member than its address's", at, "", d.MemberID, d.CreditTo)
		}
		at.member = d.MemberID
	case credited:
		c.expect(checkCustody, "deposit was credited with another amount than its chain paid", at, d.Coin, d.Amount, d.Credited)
	}
	if credited && !d.OnChain {
		c.found(checkCustody, "deposit was credited, but is in no block of its chain", at, d.Coin, 0, d.Amount)
	}
}

// AddStrayCredit names a credit for a deposit that no chain made.
func (c *Custody) AddStrayCredit(reference string, memberID int64, coin string, amount int64) {
	at := place{where: "credit " + reference, member: memberID}
	c.found(checkCustody, "deposit was credited that no chain made, or twice", at, coin, 0, amount)
}

// AddStrayPayment names a payment of the custody that no withdrawal asked for.
func (c *Custody) AddStrayPayment(coin, chainTx, key string, amount int64) {
	c.found(checkCustody, "custody paid what no withdrawal asked for", place{where: "payment " + chainTx, record: key}, coin, 0, amount)
}

// Amount counts a chain's amount in 10^-18. What is no amount is a discrepancy, and nothing.
func (c *Custody) Amount(coin, amount string) *big.Int {
	n, err := ChainAmount(amount)
	if err != nil {
		c.found(checkCustody, fmt.Sprintf("chain's amount %.50q is none", amount), place{where: "custody"}, coin, 0, 0)
		return new(big.Int)
	}
	return n
}

// AddMovement adds what came into the custody, or went when out is set, to what it must
// have.
func (c *Custody) AddMovement(coin, amount string, out bool) {
	n := c.Amount(coin, amount)
	if c.has[coin] == nil {
		c.has[coin] = new(big.Int)
	}
	if out {
		n.Neg(n)
	}
	c.has[coin].Add(c.has[coin], n)
}

// Compare compares what the custody must have of a coin with what it says it has. Amounts
// are told in units of scale decimals, down to whole ones.
func (c *Custody) Compare(coin, says string, scale int) {
	got := c.Amount(coin, says)
	want := c.has[coin]
	if want == nil {
		want = new(big.Int)
	}
	if got.Cmp(want) != 0 {
		c.found(checkCustody, "custody has something else than its chain's movements say", place{where: "custody"}, coin, Units(want, scale), Units(got, scale))
	}
}

// Coins are those with movements.
func (c *Custody) Coins() []string { return slices.Sorted(maps.Keys(c.has)) }

// Finish returns what was found.
func (c *Custody) Finish() Report {
	c.report.sort()
	return c.report
}

const chainDecimals = 18

// ChainAmount counts a chain's amount, a plain decimal that may be negative, in 10^-18.
func ChainAmount(text string) (*big.Int, error) {
	digits, negative := strings.CutPrefix(text, "-")
	whole, fraction, _ := strings.Cut(digits, ".")
	if whole == "" || len(text) > 41 || len(fraction) > chainDecimals || strings.Trim(whole+fraction, "0123456789") != "" {
		return nil, fmt.Errorf("%q is no amount", text)
	}
	n, ok := new(big.Int).SetString(whole+fraction+strings.Repeat("0", chainDecimals-len(fraction)), 10)
	if !ok {
		return nil, fmt.Errorf("%q is no amount", text)
	}
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// Units counts 10^-18 in units of scale decimals, down to whole ones; what does not fit is
// the largest that does.
func Units(n *big.Int, scale int) int64 {
	per := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(chainDecimals-scale)), nil)
	q := new(big.Int).Div(n, per)
	if !q.IsInt64() {
		const most = 1<<63 - 1
		return int64(q.Sign()) * most
	}
	return q.Int64()
}
