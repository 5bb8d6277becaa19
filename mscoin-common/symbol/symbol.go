// Package symbol holds the trading rules of a symbol and refuses rules under which
// an order could overflow or round.
//
// Units: quantities are int64 counts of the base coin's smallest unit, prices are
// int64 counts of the quote coin's smallest unit for ONE WHOLE base coin. Prices are
// multiples of the tick, quantities of the lot, and tick × lot is a whole number of
// quote units: so price × quantity is exact, and nothing on an order's way rounds but
// the fee.
package symbol

import (
	"fmt"
	"strings"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// Limits of what can be listed.
const (
	// PpmOne is one whole in parts per million.
	PpmOne = 1_000_000
	// MaxFeePpm is the highest fee rate that can be listed: 10 %.
	MaxFeePpm = 100_000
	// MaxBandUpPpm is the widest upper price band: 1000 times the reference price.
	MaxBandUpPpm = 1000 * PpmOne
	// MaxOpenOrdersLimit is the highest number of open orders of a member that a
	// symbol may allow.
	MaxOpenOrdersLimit = 100_000
)

// Rules are the trading rules of one symbol. The zero value is not valid.
type Rules struct {
	// Name is Base + "/" + Quote, as in "BTC/USDT".
	Name string
	// Base is the coin that is bought and sold, Quote the coin it is paid with.
	Base, Quote string
	// BaseScale and QuoteScale are the decimals kept of the coins, 0 to 8.
	BaseScale, QuoteScale int
	// TickUnits is the price step, in quote units for one whole base coin.
	TickUnits int64
	// LotUnits is the quantity step, in base units.
	LotUnits int64
	// MinPrice and MaxPrice bound the price, both included, multiples of TickUnits.
	MinPrice, MaxPrice int64
	// MinQty and MaxQty bound the quantity in base units, both included, multiples
	// of LotUnits.
	MinQty, MaxQty int64
	// MinNotional and MaxNotional bound price × quantity in quote units; 0 is off.
	MinNotional, MaxNotional int64
	// MakerFeePpm and TakerFeePpm are the fee rates in parts per million of what is
	// received, 0 to MaxFeePpm.
	MakerFeePpm, TakerFeePpm int32
	// MarketBuyEnabled and MarketSellEnabled allow market orders of that side.
	MarketBuyEnabled, MarketSellEnabled bool
	// BandUpPpm and BandDownPpm bound the distance of a price from the last trade,
	// in parts per million; 0 is off.
	BandUpPpm, BandDownPpm int64
	// MaxOpenOrders bounds a member's open orders; 0 leaves it to the service.
	MaxOpenOrders int
	// Partition is the partition of the money topics that this symbol lives on.
	Partition int
}

// Refusals of a price or quantity that is off its step.
var (
	// ErrPriceTick: the price is not a positive multiple of the tick.
	ErrPriceTick error = errs.New(errs.KindInvalidArgument, errs.CodeBadPriceTick, "price is not a positive multiple of the tick")
	// ErrLot: the quantity is not a positive multiple of the lot.
	ErrLot error = errs.New(errs.KindInvalidArgument, errs.CodeBadLot, "quantity is not a positive multiple of the lot")
)

// Validate reports why the symbol must not be listed, as a KindInvalidArgument with
// CodeBadSymbolRules, or nil. Rules that pass cannot overflow an int64 or round:
// for any allowed price and quantity the turnover is exact and fits.
func (r Rules) Validate() error {
	for _, check := range []func() error{
		r.checkNames, r.checkSteps, r.checkRanges, r.checkNotional, r.checkFeesAndLimits,
	} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (r Rules) checkNames() error {
	switch {
	case !ValidCoinName(r.Base):
		return refuse("base coin %q is not 2 to 10 of A-Z and 0-9", r.Base)
	case !ValidCoinName(r.Quote):
		return refuse("quote coin %q is not 2 to 10 of A-Z and 0-9", r.Quote)
	case r.Base == r.Quote:
		return refuse("base and quote are both %s", r.Base)
	case r.Name != r.Base+"/"+r.Quote:
		return refuse("name %q is not %s/%s", r.Name, r.Base, r.Quote)
	case r.BaseScale < 0 || r.BaseScale > money.MaxScale:
		return refuse("base scale %d is not 0 to %d", r.BaseScale, money.MaxScale)
	case r.QuoteScale < 0 || r.QuoteScale > money.MaxScale:
		return refuse("quote scale %d is not 0 to %d", r.QuoteScale, money.MaxScale)
	}
	return nil
}

func (r Rules) checkSteps() error {
	if r.TickUnits <= 0 || r.LotUnits <= 0 {
		return refuse("tick %d and lot %d must be positive", r.TickUnits, r.LotUnits)
	}
	product, err := money.Mul(r.TickUnits, r.LotUnits)
	if err != nil {
		return refuse("tick %d × lot %d overflows", r.TickUnits, r.LotUnits)
	}
	if product%money.Pow10(r.BaseScale) != 0 {
		return refuse("tick %d × lot %d is not a whole number of quote units: turnover would round", r.TickUnits, r.LotUnits)
	}
	return nil
}

func (r Rules) checkRanges() error {
	switch {
	case r.MinPrice <= 0 || r.MinPrice > r.MaxPrice:
		return refuse("price range %d to %d is empty or not positive", r.MinPrice, r.MaxPrice)
	case r.MinPrice%r.TickUnits != 0 || r.MaxPrice%r.TickUnits != 0:
		return refuse("price range %d to %d is not on the tick %d", r.MinPrice, r.MaxPrice, r.TickUnits)
	case r.MinQty <= 0 || r.MinQty > r.MaxQty:
		return refuse("quantity range %d to %d is empty or not positive", r.MinQty, r.MaxQty)
	case r.MinQty%r.LotUnits != 0 || r.MaxQty%r.LotUnits != 0:
		return refuse("quantity range %d to %d is not on the lot %d", r.MinQty, r.MaxQty, r.LotUnits)
	}
	if _, err := r.Turnover(r.MaxPrice, r.MaxQty); err != nil {
		return refuse("highest price %d × largest quantity %d overflows", r.MaxPrice, r.MaxQty)
	}
	return nil
}

func (r Rules) checkNotional() error {
	if r.MinNotional < 0 || r.MaxNotional < 0 {
		return refuse("notional range %d to %d is negative", r.MinNotional, r.MaxNotional)
	}
	if r.MaxNotional != 0 && r.MaxNotional < r.MinNotional {
		return refuse("notional range %d to %d is empty", r.MinNotional, r.MaxNotional)
	}
	largest, err := r.Turnover(r.MaxPrice, r.MaxQty)
	if err != nil {
		return err
	}
	if r.MinNotional > largest {
		return refuse("no order can reach the smallest notional %d", r.MinNotional)
	}
	smallest, err := r.Turnover(r.MinPrice, r.MinQty)
	if err != nil {
		return err
	}
	if r.MaxNotional != 0 && r.MaxNotional < smallest {
		return refuse("no order can stay below the largest notional %d", r.MaxNotional)
	}
	return nil
}

func (r Rules) checkFeesAndLimits() error {
	switch {
	case r.MakerFeePpm < 0 || r.MakerFeePpm > MaxFeePpm:
		return refuse("maker fee %d ppm is not 0 to %d", r.MakerFeePpm, MaxFeePpm)
	case r.TakerFeePpm < 0 || r.TakerFeePpm > MaxFeePpm:
		return refuse("taker fee %d ppm is not 0 to %d", r.TakerFeePpm, MaxFeePpm)
	case r.BandUpPpm < 0 || r.BandUpPpm > MaxBandUpPpm:
		return refuse("upper band %d ppm is not 0 to %d", r.BandUpPpm, MaxBandUpPpm)
	case r.BandDownPpm < 0 || r.BandDownPpm >= PpmOne:
		return refuse("lower band %d ppm is not 0 to %d", r.BandDownPpm, PpmOne-1)
	case r.MaxOpenOrders < 0 || r.MaxOpenOrders > MaxOpenOrdersLimit:
		return refuse("limit of open orders %d is not 0 to %d", r.MaxOpenOrders, MaxOpenOrdersLimit)
	case r.Partition < 0:
		return refuse("partition %d is negative", r.Partition)
	}
	return nil
}

// refuse returns the error of Validate.
func refuse(format string, args ...any) error {
	return errs.New(errs.KindInvalidArgument, errs.CodeBadSymbolRules, "symbol rules are refused").With(fmt.Sprintf(format, args...))
}

// QuoteUnitsPerTickLot returns the turnover of one lot at a price of one tick, in
// quote units: turnover = ticks × lots × this. The rules must be valid.
func (r Rules) QuoteUnitsPerTickLot() int64 {
	return r.TickUnits * r.LotUnits / money.Pow10(r.BaseScale)
}

// Turnover returns price × qty in quote units, exactly. It returns ErrPriceTick or
// ErrLot when the price or quantity is not positive or off its step, and
// money.ErrRange when the result does not fit. The steps must be valid.
func (r Rules) Turnover(price, qty int64) (int64, error) {
	if price <= 0 || price%r.TickUnits != 0 {
		return 0, ErrPriceTick
	}
	if qty <= 0 || qty%r.LotUnits != 0 {
		return 0, ErrLot
	}
	// On tick and lot the quotient has no remainder, so this floor rounds nothing.
	return money.MulDivFloor(price, qty, money.Pow10(r.BaseScale))
}

// ValidCoinName reports whether name is 2 to 10 of A-Z and 0-9.
func ValidCoinName(name string) bool {
	if len(name) < 2 || len(name) > 10 {
		return false
	}
	for _, c := range []byte(name) {
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// Compact returns the name without the slash, as the public API shows it: "BTC/USDT"
// is "BTCUSDT".
func Compact(name string) string { return strings.ReplaceAll(name, "/", "") }
