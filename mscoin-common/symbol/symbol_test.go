package symbol_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/symbol"
)

// btcusdt returns rules as they are listed: price step 0.01, quantity step 0.00001.
func btcusdt() symbol.Rules {
	return symbol.Rules{
		Name: "BTC/USDT", Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 8,
		TickUnits: 1_000_000, LotUnits: 1_000,
		MinPrice: 1_000_000, MaxPrice: 100_000_000_000_000, MinQty: 1_000, MaxQty: 900_000_000_000,
		MinNotional: 500_000_000, MakerFeePpm: 1000, TakerFeePpm: 1000,
		MarketBuyEnabled: true, MarketSellEnabled: true, BandUpPpm: 4_000_000, BandDownPpm: 800_000, MaxOpenOrders: 200,
	}
}

// seeded returns a random number generator and prints its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func TestRules_Validate(t *testing.T) {
	if err := btcusdt().Validate(); err != nil {
		t.Fatalf("sound rules are refused: %v", err)
	}
	cases := map[string]func(r *symbol.Rules){
		"lower-case coin":        func(r *symbol.Rules) { r.Base, r.Name = "btc", "btc/USDT" },
		"one letter":             func(r *symbol.Rules) { r.Base, r.Name = "B", "B/USDT" },
		"eleven letters":         func(r *symbol.Rules) { r.Quote, r.Name = "ABCDEFGHIJK", "BTC/ABCDEFGHIJK" },
		"coin with a slash":      func(r *symbol.Rules) { r.Base, r.Name = "B/C", "B/C/USDT" },
		"coin against itself":    func(r *symbol.Rules) { r.Quote, r.Name = "BTC", "BTC/BTC" },
		"name of another symbol": func(r *symbol.Rules) { r.Name = "ETH/USDT" },
		"name without slash":     func(r *symbol.Rules) { r.Name = "BTCUSDT" },
		"base scale 9":           func(r *symbol.Rules) { r.BaseScale = 9 },
		"negative quote scale":   func(r *symbol.Rules) { r.QuoteScale = -1 },
		"no tick":                func(r *symbol.Rules) { r.TickUnits = 0 },
		"negative lot":           func(r *symbol.Rules) { r.LotUnits = -1 },

		"tick × lot below one quote unit rounds":            func(r *symbol.Rules) { r.TickUnits, r.LotUnits = 1, 1 },
		"tick × lot with a fraction of a unit rounds":       func(r *symbol.Rules) { r.TickUnits, r.LotUnits = 1_000_001, 1_000 },
		"tick × lot overflows":                              func(r *symbol.Rules) { r.TickUnits, r.LotUnits = math.MaxInt64/2, 3 },
		"price of zero":                                     func(r *symbol.Rules) { r.MinPrice = 0 },
		"empty price range":                                 func(r *symbol.Rules) { r.MinPrice = r.MaxPrice + r.TickUnits },
		"smallest price off the tick":                       func(r *symbol.Rules) { r.MinPrice++ },
		"highest price off the tick":                        func(r *symbol.Rules) { r.MaxPrice++ },
		"quantity of zero":                                  func(r *symbol.Rules) { r.MinQty = 0 },
		"empty quantity range":                              func(r *symbol.Rules) { r.MinQty = r.MaxQty + r.LotUnits },
		"smallest quantity off the lot":                     func(r *symbol.Rules) { r.MinQty++ },
		"largest quantity off the lot":                      func(r *symbol.Rules) { r.MaxQty++ },
		"highest price × largest quantity overflows":        func(r *symbol.Rules) { r.MaxQty = 1_000_000_000_000_000 },
		"highest price × largest quantity overflows 64 bit": func(r *symbol.Rules) { r.MaxPrice, r.MaxQty = 9e18, 9e18 },
		"negative notional":                                 func(r *symbol.Rules) { r.MinNotional = -1 },
		"negative largest notional":                         func(r *symbol.Rules) { r.MaxNotional = -1 },
		"empty notional range":                              func(r *symbol.Rules) { r.MaxNotional = r.MinNotional - 1 },
		"smallest notional that no order reaches":           func(r *symbol.Rules) { r.MinNotional = math.MaxInt64 },
		"largest notional below every order": func(r *symbol.Rules) {
			r.MinPrice, r.MinQty, r.MinNotional, r.MaxNotional = 100_000_000_000, 100_000_000, 0, 1
		},
		"maker rebate":              func(r *symbol.Rules) { r.MakerFeePpm = -1 },
		"taker fee above the limit": func(r *symbol.Rules) { r.TakerFeePpm = symbol.MaxFeePpm + 1 },
		"maker fee above the limit": func(r *symbol.Rules) { r.MakerFeePpm = symbol.MaxFeePpm + 1 },
		"negative taker fee":        func(r *symbol.Rules) { r.TakerFeePpm = -1 },
		"band down to zero":         func(r *symbol.Rules) { r.BandDownPpm = symbol.PpmOne },
		"negative band":             func(r *symbol.Rules) { r.BandUpPpm = -1 },
		"endless band":              func(r *symbol.Rules) { r.BandUpPpm = symbol.MaxBandUpPpm + 1 },
		"negative open orders":      func(r *symbol.Rules) { r.MaxOpenOrders = -1 },
		"boundless open orders":     func(r *symbol.Rules) { r.MaxOpenOrders = symbol.MaxOpenOrdersLimit + 1 },
		"negative partition":        func(r *symbol.Rules) { r.Partition = -1 },
		"the zero value":            func(r *symbol.Rules) { *r = symbol.Rules{} },
	}
	for name, spoil := range cases {
		t.Run(name+" is not listed", func(t *testing.T) {
			r := btcusdt()
			spoil(&r)
			err := r.Validate()
			if errs.CodeOf(err) != errs.CodeBadSymbolRules || errs.KindOf(err) != errs.KindInvalidArgument {
				t.Fatalf("got %v", err)
			}
			if errs.From(err).Detail == "" {
				t.Error("the refusal must say which rule it was")
			}
		})
	}
}

// TestRules_Validate_Sound lists random rules and checks with math/big what listing
// promises: for every allowed price and quantity nothing rounds and nothing overflows.
func TestRules_Validate_Sound(t *testing.T) {
	rng := seeded(t)
	listed := 0
	for range 300_000 {
		r := btcusdt()
		r.BaseScale, r.QuoteScale = rng.IntN(9), rng.IntN(9)
		r.TickUnits = (1 + rng.Int64N(9)) * money.Pow10(rng.IntN(19))
		r.LotUnits = (1 + rng.Int64N(9)) * money.Pow10(rng.IntN(19))
		r.MinPrice, r.MinQty, r.MinNotional = r.TickUnits, r.LotUnits, 0
		r.MaxPrice = r.TickUnits * (1 + rng.Int64N(1<<rng.IntN(40)))
		r.MaxQty = r.LotUnits * (1 + rng.Int64N(1<<rng.IntN(40)))
		if r.Validate() != nil {
			continue
		}
		listed++
		price := r.TickUnits * (1 + rng.Int64N(r.MaxPrice/r.TickUnits))
		qty := r.LotUnits * (1 + rng.Int64N(r.MaxQty/r.LotUnits))
		exact, rem := new(big.Int).QuoRem(
			new(big.Int).Mul(big.NewInt(price), big.NewInt(qty)), big.NewInt(money.Pow10(r.BaseScale)), new(big.Int))
		if rem.Sign() != 0 || !exact.IsInt64() {
			t.Fatalf("%+v was listed: price %d × quantity %d is %v remainder %v", r, price, qty, exact, rem)
		}
		got, err := r.Turnover(price, qty)
		if err != nil || got != exact.Int64() {
			t.Fatalf("Turnover(%d, %d) = %d, %v; want %v", price, qty, got, err, exact)
		}
		if inTicks := price / r.TickUnits * (qty / r.LotUnits) * r.QuoteUnitsPerTickLot(); inTicks != got {
			t.Fatalf("%d ticks × lots × unit = %d, in units %d", price, inTicks, got)
		}
	}
	if listed < 10_000 {
		t.Fatalf("only %d rules were listed: the test proves nothing", listed)
	}
}

func TestRules_Turnover(t *testing.T) {
	r := btcusdt()
	cases := map[string]struct {
		price, qty int64
		err        error
	}{
		"price off the tick":   {1_000_001, 1_000, symbol.ErrPriceTick},
		"price of zero":        {0, 1_000, symbol.ErrPriceTick},
		"negative price":       {-1_000_000, 1_000, symbol.ErrPriceTick},
		"quantity off the lot": {1_000_000, 1_001, symbol.ErrLot},
		"quantity of zero":     {1_000_000, 0, symbol.ErrLot},
		"negative quantity":    {1_000_000, -1_000, symbol.ErrLot},
		"result out of range":  {9_000_000_000_000_000_000, 9_000_000_000_000_000_000, money.ErrRange},
	}
	for name, c := range cases {
		t.Run(name+" is refused", func(t *testing.T) {
			if got, err := r.Turnover(c.price, c.qty); !errors.Is(err, c.err) {
				t.Errorf("Turnover(%d, %d) = %d, %v; want %v", c.price, c.qty, got, err, c.err)
			}
		})
	}
}

func TestCompact(t *testing.T) {
	if got := symbol.Compact("BTC/USDT"); got != "BTCUSDT" {
		t.Errorf("got %q", got)
	}
}

func ExampleRules_Turnover() {
	r := symbol.Rules{
		Name: "BTC/USDT", Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 8,
		TickUnits: 1_000_000, LotUnits: 1_000, // 0.01 USDT, 0.00001 BTC
		MinPrice: 1_000_000, MaxPrice: 100_000_000_000_000, MinQty: 1_000, MaxQty: 900_000_000_000,
	}
	fmt.Println(r.Validate())
	turnover, err := r.Turnover(6_000_000_000_000, 50_000_000) // 60000.00 × 0.5
	fmt.Println(money.Format(turnover, r.QuoteScale), err)
	r.LotUnits = 1
	fmt.Println(r.Validate())
	// Output:
	// <nil>
	// 30000.00000000 <nil>
	// BAD_SYMBOL_RULES: symbol rules are refused (tick 1000000 × lot 1 is not a whole number of quote units: turnover would round)
}
