package stream

import (
	"errors"
	"fmt"
	"iter"
	"math"
)

// ErrDrift says that a consumer's sums are not the matcher's (MONEY-SAFETY H15).
var ErrDrift = errors.New("totals differ from the matcher's")

// Checkpoint are the matcher's totals at a record. A consumer that applies the record compares its own
// sums within the same transaction.
type Checkpoint struct {
	Symbol string
	Seq    int64
	// AfterSeq and AfterTradeID are where the window of trades begins: the checkpoint before. LastTradeID
	// is its last trade.
	AfterSeq, AfterTradeID, LastTradeID int64
	Totals
}

// Totals of a symbol: of its open orders, and of the trades of a window. A consumer that does not keep one
// of them takes it over from the checkpoint.
type Totals struct {
	OpenOrders int64
	// BaseHeld is what of the holds of open sells is still needed, QuoteHeld of open buys.
	BaseHeld, QuoteHeld int64
	// TradedAmount and Turnover are what was traded, BaseFees what buyers paid, QuoteFees what sellers did.
	TradedAmount, Turnover, BaseFees, QuoteFees int64
}

// Checkpoint returns the totals of a record that has some.
func (e *Entry) Checkpoint() (Checkpoint, bool) {
	c := e.Body.GetCheckpoint()
	if c == nil {
		return Checkpoint{}, false
	}
	return Checkpoint{
		Symbol: e.Body.GetSymbol(), Seq: e.Body.GetSeq(),
		AfterSeq: c.GetAfterSeq(), AfterTradeID: c.GetAfterTradeId(), LastTradeID: c.GetLastTradeId(),
		Totals: Totals{
			OpenOrders: c.GetOpenOrders(), BaseHeld: c.GetBaseHeld(), QuoteHeld: c.GetQuoteHeld(),
			TradedAmount: c.GetTradedAmount(), Turnover: c.GetTurnover(), BaseFees: c.GetBaseFees(), QuoteFees: c.GetQuoteFees(),
		},
	}, true
}

// Fits reports whether all sums fitted into an int64. If not, there is nothing to compare with.
func (c *Checkpoint) Fits() bool {
	return max(c.BaseHeld, c.QuoteHeld, c.TradedAmount, c.Turnover, c.BaseFees, c.QuoteFees) < math.MaxInt64
}

// Compare returns an ErrDrift that names each total that differs, nil if none does.
func (c *Checkpoint) Compare(got Totals) error {
	var all []error
	for _, f := range []struct {
		name      string
		want, got int64
	}{
		{"open orders", c.OpenOrders, got.OpenOrders},
		{"base held", c.BaseHeld, got.BaseHeld},
		{"quote held", c.QuoteHeld, got.QuoteHeld},
		{"traded amount", c.TradedAmount, got.TradedAmount},
		{"turnover", c.Turnover, got.Turnover},
		{"base fees", c.BaseFees, got.BaseFees},
		{"quote fees", c.QuoteFees, got.QuoteFees},
	} {
		if f.want != f.got {
			all = append(all, fmt.Errorf("%s: matcher %d, here %d", f.name, f.want, f.got))
		}
	}
	if all == nil {
		return nil
	}
	return fmt.Errorf("%w at record %d of %s: %w", ErrDrift, c.Seq, c.Symbol, errors.Join(all...))
}

// AtCheckpoints cuts records after each checkpoint, in order and leaving nothing out: a consumer applies a
// piece, and is then where the checkpoint that ends it was taken.
func AtCheckpoints(fresh []Entry) iter.Seq[[]Entry] {
	return func(yield func([]Entry) bool) {
		from := 0
		for i := range fresh {
			last := i+1 == len(fresh)
			if (fresh[i].Body.GetCheckpoint() != nil || last) && !yield(fresh[from:i+1]) {
				return
			}
			if fresh[i].Body.GetCheckpoint() != nil {
				from = i + 1
			}
		}
	}
}
