package order

import (
	"fmt"
	"iter"
	"math"

	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/symbol"
)

// Hold is what the wallet is asked to set aside for an order.
type Hold struct {
	// Coin and its Scale.
	Coin  string
	Scale int
	// Amount to hold, in units of Coin.
	Amount int64
	// Min is what must be held at least; below Amount only where Amount is an
	// estimate, so that a member may spend all there is.
	Min int64
}

// Quotes are what a market order can be estimated by: the book's other side now.
type Quotes struct {
	// Levels yields price and base quantity, best first; nil is an empty side.
	Levels iter.Seq2[int64, int64]
	// LastPrice is the price of the last trade, 0 before the first.
	LastPrice int64
}

const (
	// A market order by quantity (buy) or by quote amount (sell) has no known
	// cost: the estimate from the book is raised by this many percent, for what
	// the book does until the order arrives.
	estimatePercent = 105
	// maxLevels bounds how far the book is walked; what lies behind is taken at
	// the last price seen.
	maxLevels = 1000
)

// HoldFor returns what has to be set aside for an order that Validate has let
// through. No sequence of fills takes more than is held: a market order stops where
// the hold does.
func HoldFor(r symbol.Rules, o *Order, q Quotes) (Hold, error) {
	if o.Side == Sell {
		h := Hold{Coin: r.Base, Scale: r.BaseScale, Amount: o.Quantity, Min: o.Quantity}
		if o.Quantity > 0 {
			return h, nil
		}
		var err error
		h.Amount, h.Min, err = estimateQuantity(r, o.QuoteAmount, q)
		return h, err
	}
	h := Hold{Coin: r.Quote, Scale: r.QuoteScale}
	var err error
	switch {
	case o.Type == Limit:
		h.Amount, err = r.Turnover(o.Price, o.Quantity)
		h.Min = h.Amount
	case o.QuoteAmount > 0:
		h.Amount, h.Min = o.QuoteAmount, o.QuoteAmount
	default:
		h.Amount, h.Min, err = estimateCost(r, o.Quantity, q)
	}
	if err != nil {
		return Hold{}, fmt.Errorf("amount to hold: %w", err)
	}
	return h, nil
}

// reference returns the price at which to take what the book does not show: the
// worst price seen, else the last trade's, else the lowest there is.
func reference(r symbol.Rules, worst, last int64) int64 {
	switch {
	case worst > 0:
		return worst
	case last > 0 && last%r.TickUnits == 0:
		return last
	}
	return r.MinPrice
}

// estimateCost returns what buying qty costs at most by the book as it is, plus
// the margin, and what one lot costs at the best price.
func estimateCost(r symbol.Rules, qty int64, q Quotes) (amount, least int64, err error) {
	var cost, best, worst int64
	rest := qty
	if q.Levels != nil {
		levels := 0
		for price, open := range q.Levels {
			if best == 0 {
				best = price
			}
			worst = price
			take := min(rest, open)
			if cost, err = addTurnover(r, cost, price, take); err != nil {
				return 0, 0, err
			}
			rest -= take
			if levels++; rest == 0 || levels == maxLevels {
				break
			}
		}
	}
	price := reference(r, worst, q.LastPrice)
	if rest > 0 {
		if cost, err = addTurnover(r, cost, price, rest); err != nil {
			return 0, 0, err
		}
	}
	if best == 0 {
		best = price
	}
	if least, err = r.Turnover(best, r.LotUnits); err != nil {
		return 0, 0, err
	}
	// No order of this size can cost more than at the highest price.
	most, err := r.Turnover(r.MaxPrice, qty)
	if err != nil {
		return 0, 0, err
	}
	return max(min(withMargin(cost), most), least), least, nil
}

// estimateQuantity returns how much base has to be sold for a turnover by the book
// as it is, plus the margin and in whole lots, and the smallest that can be sold.
func estimateQuantity(r symbol.Rules, turnover int64, q Quotes) (amount, least int64, err error) {
	var qty, got, worst int64
	if q.Levels != nil {
		levels := 0
		for price, open := range q.Levels {
			worst = price
			worth, err := r.Turnover(price, open)
			if err != nil || worth >= turnover-got {
				break // this level has all that is still needed
			}
			got += worth
			if qty, err = money.Add(qty, open); err != nil {
				break
			}
			if levels++; levels == maxLevels {
				break
			}
		}
	}
	perLot, err := r.Turnover(reference(r, worst, q.LastPrice), r.LotUnits)
	if err != nil {
		return 0, 0, err
	}
	rest, err := money.Mul((turnover-got-1)/perLot+1, r.LotUnits)
	if err == nil {
		qty, err = money.Add(qty, rest)
	}
	if err != nil {
		return r.MaxQty, r.LotUnits, nil //nolint:nilerr // beyond any order: the largest one bounds it
	}
	qty = withMargin(qty)
	qty -= qty % r.LotUnits
	return max(min(qty, r.MaxQty), r.LotUnits), r.LotUnits, nil
}

func addTurnover(r symbol.Rules, sum, price, qty int64) (int64, error) {
	t, err := r.Turnover(price, qty)
	if err != nil {
		return 0, err
	}
	return money.Add(sum, t)
}

// withMargin raises an estimate by the margin, up to what an int64 holds.
func withMargin(v int64) int64 {
	raised, err := money.MulDivFloor(v, estimatePercent, 100)
	if err != nil {
		return math.MaxInt64
	}
	return raised
}

// Held notes what the wallet really holds. A market order is bounded by it, whatever
// else bounds it.
func (o *Order) Held(held int64) { o.HoldAmount, o.HeldRemaining = held, held }
