package order_test

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// btcusdt: tick 0.01 USDT, lot 0.00001 BTC, 0.01 to 1,000,000 USDT, up to 9,000 BTC.
func btcusdt() symbol.Rules {
	return symbol.Rules{
		Name: "BTC/USDT", Base: "BTC", Quote: "USDT", BaseScale: 8, QuoteScale: 8,
		TickUnits: 1_000_000, LotUnits: 1_000,
		MinPrice: 1_000_000, MaxPrice: 100_000_000_000_000, MinQty: 1_000, MaxQty: 9_000_00000000,
		MinNotional: 5_00000000, MaxNotional: 9_000_000_00000000,
		MakerFeePpm: 1000, TakerFeePpm: 2000, MarketBuyEnabled: true, MarketSellEnabled: true,
	}
}

func limitBuy() order.Request {
	return order.Request{MemberID: 1, Symbol: "BTC/USDT", Side: order.Buy, Type: order.Limit, Price: "60000.00", Quantity: "0.5"}
}

func marketBuy() order.Request {
	return order.Request{MemberID: 1, Symbol: "BTC/USDT", Side: order.Buy, Type: order.Market, Quantity: "0.5"}
}

func TestRules_Listed(t *testing.T) {
	if err := btcusdt().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestValidate_Refusals(t *testing.T) {
	cases := map[string]struct {
		base   func() order.Request
		change func(*order.Request)
		want   errs.Code
	}{
		"no member":                                {limitBuy, func(r *order.Request) { r.MemberID = 0 }, errs.CodeBadRequest},
		"no side":                                  {limitBuy, func(r *order.Request) { r.Side = 0 }, errs.CodeBadSide},
		"a side that is none":                      {limitBuy, func(r *order.Request) { r.Side = 3 }, errs.CodeBadSide},
		"no type":                                  {limitBuy, func(r *order.Request) { r.Type = 0 }, errs.CodeBadOrderType},
		"a type that is none":                      {limitBuy, func(r *order.Request) { r.Type = 9 }, errs.CodeBadOrderType},
		"stop orders are not taken yet":            {limitBuy, func(r *order.Request) { r.Type = order.StopLossLimit; r.StopPrice = "1" }, errs.CodeUnsupportedOrderType},
		"a time in force that is none":             {limitBuy, func(r *order.Request) { r.TIF = 5 }, errs.CodeBadTimeInForce},
		"market orders take no time in force":      {marketBuy, func(r *order.Request) { r.TIF = order.IOC }, errs.CodeUnexpectedParameter},
		"decrement is not offered":                 {limitBuy, func(r *order.Request) { r.STP = order.STPDecrement }, errs.CodeBadSelfTradePrevention},
		"a limit order without price":              {limitBuy, func(r *order.Request) { r.Price = "" }, errs.CodeMissingParameter},
		"a limit order without quantity":           {limitBuy, func(r *order.Request) { r.Quantity = "" }, errs.CodeMissingParameter},
		"a limit order by quote amount":            {limitBuy, func(r *order.Request) { r.QuoteAmount = "1" }, errs.CodeUnexpectedParameter},
		"a limit order with stop price":            {limitBuy, func(r *order.Request) { r.StopPrice = "1" }, errs.CodeUnexpectedParameter},
		"a market order with price":                {marketBuy, func(r *order.Request) { r.Price = "1" }, errs.CodeUnexpectedParameter},
		"a market order without bound":             {marketBuy, func(r *order.Request) { r.Quantity = "" }, errs.CodeMissingParameter},
		"a market order with both bounds":          {marketBuy, func(r *order.Request) { r.QuoteAmount = "100" }, errs.CodeUnexpectedParameter},
		"a client order id that is too long":       {limitBuy, func(r *order.Request) { r.ClientOrderID = strings.Repeat("x", 37) }, errs.CodeBadClientOrderID},
		"a client order id with odd characters":    {limitBuy, func(r *order.Request) { r.ClientOrderID = "a b" }, errs.CodeBadClientOrderID},
		"a negative price":                         {limitBuy, func(r *order.Request) { r.Price = "-1" }, errs.CodeBadNumber},
		"an exponent":                              {limitBuy, func(r *order.Request) { r.Quantity = "1e3" }, errs.CodeBadNumber},
		"a megabyte of digits":                     {limitBuy, func(r *order.Request) { r.Quantity = strings.Repeat("9", 1<<20) }, errs.CodeBadNumber},
		"digits of another script":                 {limitBuy, func(r *order.Request) { r.Quantity = "١" }, errs.CodeBadNumber},
		"more decimals than the quote coin keeps":  {limitBuy, func(r *order.Request) { r.Price = "1.000000001" }, errs.CodeBadPrecision},
		"more decimals than the base coin keeps":   {limitBuy, func(r *order.Request) { r.Quantity = "1.000000001" }, errs.CodeBadPrecision},
		"a price off the tick":                     {limitBuy, func(r *order.Request) { r.Price = "60000.001" }, errs.CodeBadPriceTick},
		"a quantity off the lot":                   {limitBuy, func(r *order.Request) { r.Quantity = "0.500001" }, errs.CodeBadLot},
		"a price of zero":                          {limitBuy, func(r *order.Request) { r.Price = "0" }, errs.CodeBadPriceRange},
		"a price above the range":                  {limitBuy, func(r *order.Request) { r.Price = "1000000.01" }, errs.CodeBadPriceRange},
		"a quantity of zero":                       {limitBuy, func(r *order.Request) { r.Quantity = "0" }, errs.CodeBadQtyRange},
		"a quantity above the range":               {limitBuy, func(r *order.Request) { r.Quantity = "9000.00001" }, errs.CodeBadQtyRange},
		"a market quantity of zero":                {marketBuy, func(r *order.Request) { r.Quantity = "0.0" }, errs.CodeBadQtyRange},
		"a notional below the least":               {limitBuy, func(r *order.Request) { r.Price, r.Quantity = "1.00", "4.99999" }, errs.CodeBadNotional},
		"a notional above the most":                {limitBuy, func(r *order.Request) { r.Price, r.Quantity = "900000.00", "10.00001" }, errs.CodeBadNotional},
		"a quote amount of zero":                   {marketBuy, func(r *order.Request) { r.Quantity, r.QuoteAmount = "", "0" }, errs.CodeBadQtyRange},
		"a quote amount beyond any order":          {marketBuy, func(r *order.Request) { r.Quantity, r.QuoteAmount = "", "9000000001" }, errs.CodeBadNotional},
		"precision is checked before tick and lot": {limitBuy, func(r *order.Request) { r.Price, r.Quantity = "60000.001", "0.000000001" }, errs.CodeBadPrecision},
		"mandatory comes before precision":         {limitBuy, func(r *order.Request) { r.Price, r.Quantity = "1.000000001", "" }, errs.CodeMissingParameter},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			req := c.base()
			c.change(&req)
			_, err := order.Validate(btcusdt(), req)
			if got := errs.CodeOf(err); got != c.want {
				t.Errorf("got %q (%v), want %q", got, err, c.want)
			}
			if len(fmt.Sprint(err)) > 200 {
				t.Error("the refusal echoes its input")
			}
		})
	}
	t.Run("market orders of a side can be switched off", func(t *testing.T) {
		r := btcusdt()
		r.MarketBuyEnabled = false
		if _, err := order.Validate(r, marketBuy()); errs.CodeOf(err) != errs.CodeUnsupportedOrderType {
			t.Errorf("buy: %v", err)
		}
		sell := marketBuy()
		sell.Side = order.Sell
		if _, err := order.Validate(r, sell); err != nil {
			t.Errorf("sell: %v", err)
		}
	})
}

func TestValidate_Accepts(t *testing.T) {
	for _, tif := range []order.TimeInForce{order.TIFNone, order.GTC, order.IOC, order.FOK, order.PostOnly} {
		req := limitBuy()
		req.TIF = tif
		o, err := order.Validate(btcusdt(), req)
		if err != nil {
			t.Fatal(err)
		}
		if want := max(tif, order.GTC); o.TIF != want {
			t.Errorf("time in force %d became %d", tif, o.TIF)
		}
		if o.Price != 60000_00000000 || o.Quantity != 50000000 || o.STP != order.STPExpireMaker || o.TakerFeePpm != 2000 || o.MakerFeePpm != 1000 {
			t.Errorf("got %+v", o)
		}
	}
	t.Run("the least notional and the edges of the ranges are allowed", func(t *testing.T) {
		for _, pq := range [][2]string{{"5.00", "1"}, {"0.01", "500"}, {"1000000", "0.00001"}, {"0.01", "9000"}} {
			req := limitBuy()
			req.Price, req.Quantity = pq[0], pq[1]
			if _, err := order.Validate(btcusdt(), req); err != nil {
				t.Errorf("%v: %v", pq, err)
			}
		}
	})
}

type lvl struct{ price, qty int64 }

func book(levels ...lvl) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for _, l := range levels {
			if !yield(l.price, l.qty) {
				return
			}
		}
	}
}

const coin = 100_000_000 // one whole coin of scale 8

func TestHoldFor(t *testing.T) {
	const p = 60000 * coin
	asks := book(lvl{p, coin / 2}, lvl{p + coin, coin})
	bids := book(lvl{p, coin / 2}, lvl{p - coin, coin})
	cases := map[string]struct {
		o           order.Order
		q           order.Quotes
		coin        string
		amount, min int64
	}{
		"a limit buy holds price × quantity exactly": {
			order.Order{Side: order.Buy, Type: order.Limit, Price: 60000_01000000, Quantity: 1000}, order.Quotes{}, "USDT", 60000010, 60000010,
		},
		"a limit sell holds its quantity": {
			order.Order{Side: order.Sell, Type: order.Limit, Price: p, Quantity: 3 * coin}, order.Quotes{}, "BTC", 3 * coin, 3 * coin,
		},
		"a market sell holds its quantity": {
			order.Order{Side: order.Sell, Type: order.Market, Quantity: 3 * coin}, order.Quotes{}, "BTC", 3 * coin, 3 * coin,
		},
		"a market buy by quote amount holds it": {
			order.Order{Side: order.Buy, Type: order.Market, QuoteAmount: 777}, order.Quotes{}, "USDT", 777, 777,
		},
		"a market buy by quantity holds the book's price and 5 %, at least one lot": {
			order.Order{Side: order.Buy, Type: order.Market, Quantity: coin},
			order.Quotes{Levels: asks},
			"USDT",
			(30000*coin + 30000*coin + coin/2) / 100 * 105, 60000 * 1000,
		},
		"what the book does not offer is taken at the last level": {
			order.Order{Side: order.Buy, Type: order.Market, Quantity: 2 * coin},
			order.Quotes{Levels: asks},
			"USDT",
			(30000*coin + 60001*coin + 30000*coin + coin/2) / 100 * 105, 60000 * 1000,
		},
		"without asks the last trade's price counts": {
			order.Order{Side: order.Buy, Type: order.Market, Quantity: coin}, order.Quotes{LastPrice: p}, "USDT", 63000 * coin, 60000 * 1000,
		},
		"without any price the lowest price counts, and never nothing": {
			order.Order{Side: order.Buy, Type: order.Market, Quantity: 1000}, order.Quotes{}, "USDT", 10, 10,
		},
		"never more than at the highest price": {
			order.Order{Side: order.Buy, Type: order.Market, Quantity: coin}, order.Quotes{LastPrice: 999_999 * coin}, "USDT", 1_000_000 * coin, 999_999 * 1000,
		},
		"a market sell by quote amount holds what the bids need and 5 %, in lots": {
			order.Order{Side: order.Sell, Type: order.Market, QuoteAmount: 30000 * coin}, order.Quotes{Levels: bids}, "BTC", coin / 2 / 100 * 105, 1000,
		},
		"a market sell by quote amount goes down the book": {
			// 0.5 at 60000, the other 29999.5 at 59999 are 0.5000000 − exactly 0.49999999…: rounded up to a lot
			order.Order{Side: order.Sell, Type: order.Market, QuoteAmount: 30000*coin + 59999*coin/2}, order.Quotes{Levels: bids}, "BTC", coin / 100 * 105, 1000,
		},
		"a market sell by quote amount without bids or price is bounded by the largest order": {
			order.Order{Side: order.Sell, Type: order.Market, QuoteAmount: 9_000_000_000 * coin}, order.Quotes{}, "BTC", btcusdt().MaxQty, 1000,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			h, err := order.HoldFor(btcusdt(), &c.o, c.q)
			if err != nil {
				t.Fatal(err)
			}
			if h.Coin != c.coin || h.Amount != c.amount || h.Min != c.min || h.Scale != 8 {
				t.Errorf("got %+v, want %s %d (%d)", h, c.coin, c.amount, c.min)
			}
		})
	}
}

func placed() order.Order {
	return order.Order{
		ID: 7, MemberID: 1, Side: order.Buy, Type: order.Limit, Price: 100, Quantity: 1000,
		HoldAmount: 500, Facts: order.Facts{HeldRemaining: 500},
	}
}

func say(state order.State, seq, traded, held int64) order.Update {
	return order.Update{OrderID: 7, MemberID: 1, Side: order.Buy, Facts: order.Facts{
		State: state, Seq: seq, TradedAmount: traded, Turnover: traded / 2, HeldRemaining: held,
	}}
}

func TestOrder_Advance(t *testing.T) {
	type word struct {
		u       order.Update
		changed bool
		bad     bool
	}
	cases := map[string][]word{
		"an order rests, fills in parts and is over": {
			{say(order.StateNew, 1, 0, 500), true, false},
			{say(order.StatePartiallyFilled, 2, 400, 300), true, false},
			{say(order.StateFilled, 3, 1000, 0), true, false},
		},
		"a record that was applied changes nothing": {
			{say(order.StatePartiallyFilled, 5, 400, 300), true, false},
			{say(order.StatePartiallyFilled, 5, 400, 300), false, false},
			{say(order.StateNew, 4, 0, 500), false, false},
		},
		"a repeated state of an open order only moves the record number": {
			{say(order.StateNew, 1, 0, 500), true, false}, {say(order.StateNew, 9, 0, 500), true, false},
		},
		"a final order stays, whatever Resolve or a late duplicate brings": {
			{say(order.StateCanceled, 1, 400, 0), true, false},
			{say(order.StateCanceled, 2, 400, 0), false, false},
			{say(order.StateRejected, 3, 0, 0), false, false},
		},
		"a final order cannot be revived":               {{say(order.StateFilled, 1, 1000, 0), true, false}, {say(order.StatePartiallyFilled, 2, 400, 1), false, true}},
		"a canceled order cannot trade":                 {{say(order.StateCanceled, 1, 0, 0), true, false}, {say(order.StateCanceled, 2, 400, 0), false, true}},
		"facts never shrink":                            {{say(order.StatePartiallyFilled, 1, 400, 300), true, false}, {say(order.StatePartiallyFilled, 2, 399, 300), false, true}},
		"the hold never grows":                          {{say(order.StateNew, 1, 0, 400), true, false}, {say(order.StateNew, 2, 0, 401), false, true}},
		"no more is traded than asked for":              {{say(order.StateFilled, 1, 1001, 0), false, true}},
		"an accepted order cannot be rejected":          {{say(order.StateNew, 1, 0, 500), true, false}, {say(order.StateRejected, 2, 0, 0), false, true}},
		"money is never held for an order that is over": {{say(order.StateFilled, 1, 1000, 1), false, true}},
		"an unknown state is refused":                   {{say(order.StateInit, 1, 0, 500), false, true}, {say(9, 1, 0, 500), false, true}},
	}
	for name, words := range cases {
		t.Run(name, func(t *testing.T) {
			o := placed()
			for i, w := range words {
				before := o
				changed, err := o.Advance(w.u)
				if changed != w.changed || errors.Is(err, order.ErrImpossible) != w.bad {
					t.Fatalf("word %d: changed %v, err %v", i, changed, err)
				}
				if !changed && o != before {
					t.Fatalf("word %d changed the order without saying so", i)
				}
			}
		})
	}
	t.Run("another order's or member's update is impossible", func(t *testing.T) {
		for _, change := range []func(*order.Update){
			func(u *order.Update) { u.OrderID = 8 },
			func(u *order.Update) { u.MemberID = 2 },
			func(u *order.Update) { u.Side = order.Sell },
		} {
			o, u := placed(), say(order.StateNew, 1, 0, 500)
			change(&u)
			if _, err := o.Advance(u); !errors.Is(err, order.ErrImpossible) {
				t.Errorf("%+v: %v", u, err)
			}
		}
	})
	t.Run("an order that the wallet has refused notes the first record that names it, as the wallet does", func(t *testing.T) {
		o := placed()
		o.State, o.Reason, o.HeldRemaining = order.StateRejected, order.ReasonHoldRefused, 0
		if got, err := o.Advance(say(order.StateRejected, 4, 0, 0)); !got || err != nil || o.Seq != 4 || o.Reason != order.ReasonHoldRefused {
			t.Errorf("%v %v %+v", got, err, o)
		}
		if got, err := o.Advance(say(order.StateRejected, 5, 0, 0)); got || err != nil || o.Seq != 4 {
			t.Errorf("again: %v %v %+v", got, err, o)
		}
		if _, err := o.Advance(say(order.StateNew, 6, 0, 500)); !errors.Is(err, order.ErrImpossible) {
			t.Errorf("revived: %v", err)
		}
	})
	t.Run("Resolve rejects without knowing the side", func(t *testing.T) {
		o, u := placed(), say(order.StateRejected, 1, 0, 0)
		u.Side = order.SideNone
		if changed, err := o.Advance(u); !changed || err != nil || o.State != order.StateRejected {
			t.Errorf("%v %v %+v", changed, err, o)
		}
	})
	t.Run("a market order never rests", func(t *testing.T) {
		o := placed()
		o.Type = order.Market
		if _, err := o.Advance(say(order.StateNew, 1, 0, 500)); !errors.Is(err, order.ErrImpossible) {
			t.Error(err)
		}
	})
}

func TestResult_Touched(t *testing.T) {
	r := order.Result{
		Updates: []order.Update{{OrderID: 1, MemberID: 9}, {OrderID: 2, MemberID: 3}},
		Trades:  []order.Trade{{MakerMemberID: 3, TakerMemberID: 9}},
	}
	if got := fmt.Sprint(r.Touched()); got != "[3 9]" {
		t.Errorf("got %s", got)
	}
	if u, ok := r.Update(2); !ok || u.MemberID != 3 {
		t.Errorf("got %+v %v", u, ok)
	}
}

func TestReason_Refusal(t *testing.T) {
	if order.ReasonNone.Refusal() != nil {
		t.Error("no reason is no refusal")
	}
	for r := order.Reason(1); r < 110; r++ {
		if k := errs.KindOf(r.Refusal()); k == errs.KindInternal || k == errs.KindUnknownOutcome || k == errs.KindNone {
			t.Errorf("reason %d is told as %v: a refusal is a refusal", r, k)
		}
	}
}

func ExampleHoldFor() {
	r := btcusdt()
	o, err := order.Validate(r, order.Request{
		MemberID: 1, Side: order.Buy, Type: order.Limit, Price: "60000.00", Quantity: "0.25",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h, err := order.HoldFor(r, &o, order.Quotes{})
	fmt.Println(h.Amount, h.Coin, err)
	// Output: 1500000000000 USDT <nil>
}
