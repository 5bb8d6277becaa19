package settlement_test

import (
	"errors"
	"maps"
	"testing"

	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

const (
	buyer  = int64(7)
	seller = int64(8)
	buyID  = int64(101)
	sellID = int64(102)
)

// order is one side of a reference scenario with zero fees.
func record(seq int64, trades []settlement.Trade, orders ...settlement.OrderUpdate) *settlement.Record {
	return &settlement.Record{
		Symbol: "BTC/USDT", Seq: seq, TimeMs: 1000 * seq, BaseCoin: "BTC", QuoteCoin: "USDT",
		Trades: trades, Orders: orders,
	}
}

func trade(quantity, turnover, makerFee, takerFee int64) settlement.Trade {
	return settlement.Trade{
		TradeID: 1, Quantity: quantity, Turnover: turnover, TakerSide: settlement.Buy,
		MakerOrderID: sellID, TakerOrderID: buyID, MakerMemberID: seller, TakerMemberID: buyer,
		MakerFee: makerFee, TakerFee: takerFee,
	}
}

func buy(state settlement.State, traded, turnover, fee, remaining int64) settlement.OrderUpdate {
	return settlement.OrderUpdate{
		OrderID: buyID, MemberID: buyer, Side: settlement.Buy, State: state,
		Traded: traded, Turnover: turnover, Fee: fee, HeldRemaining: remaining,
	}
}

func sell(state settlement.State, traded, turnover, fee, remaining int64) settlement.OrderUpdate {
	return settlement.OrderUpdate{
		OrderID: sellID, MemberID: seller, Side: settlement.Sell, State: state,
		Traded: traded, Turnover: turnover, Fee: fee, HeldRemaining: remaining,
	}
}

func holds(buyHeld, sellHeld int64) settlement.Holds {
	return settlement.Holds{
		buyID:  {OrderID: buyID, MemberID: buyer, Coin: "USDT", Symbol: "BTC/USDT", Held: buyHeld},
		sellID: {OrderID: sellID, MemberID: seller, Coin: "BTC", Symbol: "BTC/USDT", Held: sellHeld},
	}
}

// sums adds up an entry's postings by account.
func sums(e ledger.Entry) map[ledger.Account]int64 {
	got := make(map[ledger.Account]int64)
	for _, p := range e.Postings() {
		got[p.Account] += p.Amount
	}
	return got
}

// The reference's arithmetic for completed orders, price in quote units for one
// base coin of 10^8 units, quote scale 8.
func TestSettle_ReferenceArithmetic(t *testing.T) {
	const btc, usdt = int64(1e8), int64(1e8)
	tests := []struct {
		rule               string
		buyHeld, sellHeld  int64
		traded, turnover   int64
		buyEnd, sellEnd    bool
		buyRest, sellRest  int64 // held remaining
		buyQuote, sellBase int64 // what returns to available
	}{
		// limit BUY 2 BTC at 100, hold 200, filled at 90: balance += 200 − 180.
		{"limit buy: frozen −= hold, balance += hold − turnover, base += traded", 200 * usdt, 2 * btc, 2 * btc, 180 * usdt, true, true, 0, 0, 20 * usdt, 0},
		// market BUY with 200 to spend, 1.5 BTC found at 100.
		{"market buy: frozen −= amount, balance += amount − turnover, base += traded", 200 * usdt, 2 * btc, 15 * btc / 10, 150 * usdt, true, false, 0, btc / 2, 50 * usdt, 0},
		// SELL 2 BTC, 0.5 sold, rest cancelled: what was not sold returns.
		{"sell: frozen −= amount, quote += turnover, what was not sold returns", 200 * usdt, 2 * btc, btc / 2, 50 * usdt, false, true, 150 * usdt, 0, 0, 15 * btc / 10},
	}
	state := func(ended bool) settlement.State {
		if ended {
			return settlement.Ended
		}
		return settlement.Live
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h := holds(tt.buyHeld, tt.sellHeld)
			entry, err := settlement.Settle(record(1, []settlement.Trade{trade(tt.traded, tt.turnover, 0, 0)},
				buy(state(tt.buyEnd), tt.traded, tt.turnover, 0, tt.buyRest),
				sell(state(tt.sellEnd), tt.traded, tt.turnover, 0, tt.sellRest)), h)
			if err != nil {
				t.Fatal(err)
			}
			want := map[ledger.Account]int64{
				ledger.HeldOf(buyer, "USDT"):       -(tt.buyHeld - tt.buyRest),
				ledger.AvailableOf(buyer, "BTC"):   tt.traded,
				ledger.HeldOf(seller, "BTC"):       -(tt.sellHeld - tt.sellRest),
				ledger.AvailableOf(seller, "USDT"): tt.turnover,
			}
			if tt.buyQuote != 0 {
				want[ledger.AvailableOf(buyer, "USDT")] = tt.buyQuote
			}
			if tt.sellBase != 0 {
				want[ledger.AvailableOf(seller, "BTC")] = tt.sellBase
			}
			if got := sums(entry); !maps.Equal(got, want) {
				t.Errorf("moves %v, want %v", got, want)
			}
			if closed := h[buyID].State == ledger.HoldClosed; closed != tt.buyEnd {
				t.Errorf("buy hold %s", h[buyID].State)
			}
			if closed := h[sellID].State == ledger.HoldClosed; closed != tt.sellEnd {
				t.Errorf("sell hold %s", h[sellID].State)
			}
		})
	}
}

func TestSettle_Rules(t *testing.T) {
	t.Run("each side pays its fee from what it receives, into the fee account", func(t *testing.T) {
		entry, err := settlement.Settle(record(1, []settlement.Trade{trade(1000, 5000, 5, 1)},
			buy(settlement.Ended, 1000, 5000, 1, 0), sell(settlement.Ended, 1000, 5000, 5, 0)), holds(5000, 1000))
		if err != nil {
			t.Fatal(err)
		}
		got := sums(entry)
		if got[ledger.FeeOf("BTC")] != 1 || got[ledger.FeeOf("USDT")] != 5 ||
			got[ledger.AvailableOf(buyer, "BTC")] != 999 || got[ledger.AvailableOf(seller, "USDT")] != 4995 {
			t.Fatalf("moves %v", got)
		}
	})
	t.Run("a partial fill below the limit returns the difference at once", func(t *testing.T) {
		h := holds(200, 2)
		entry, err := settlement.Settle(record(1, []settlement.Trade{trade(1, 90, 0, 0)},
			buy(settlement.Live, 1, 90, 0, 100), sell(settlement.Live, 1, 90, 0, 1)), h)
		if err != nil {
			t.Fatal(err)
		}
		if got := sums(entry)[ledger.AvailableOf(buyer, "USDT")]; got != 10 || h[buyID].State != ledger.HoldOpen {
			t.Fatalf("returned %d, hold %s", got, h[buyID].State)
		}
	})
	t.Run("a cancelled, partly filled order keeps its fill and gets the rest back", func(t *testing.T) {
		h := holds(200, 2)
		if _, err := settlement.Settle(record(1, []settlement.Trade{trade(1, 100, 0, 0)},
			buy(settlement.Live, 1, 100, 0, 100), sell(settlement.Live, 1, 100, 0, 1)), h); err != nil {
			t.Fatal(err)
		}
		entry, err := settlement.Settle(record(2, nil, buy(settlement.Ended, 1, 100, 0, 0)), h)
		if err != nil {
			t.Fatal(err)
		}
		if got := sums(entry); got[ledger.AvailableOf(buyer, "USDT")] != 100 || got[ledger.HeldOf(buyer, "USDT")] != -100 || len(got) != 2 {
			t.Fatalf("moves %v", got)
		}
	})
	t.Run("a repeated state moves nothing", func(t *testing.T) {
		h := holds(200, 2)
		for seq := int64(1); seq <= 2; seq++ {
			entry, err := settlement.Settle(record(seq, nil, buy(settlement.Live, 0, 0, 0, 200)), h)
			if err != nil || entry.Len() != 0 || h[buyID].Seq != seq {
				t.Fatalf("entry %v hold %+v error %v", entry.Postings(), h[buyID], err)
			}
		}
	})
	t.Run("an order that is over stays over, whatever the matcher repeats or has forgotten (H3, H4)", func(t *testing.T) {
		h := holds(200, 2)
		if _, err := settlement.Settle(record(1, []settlement.Trade{trade(1, 100, 0, 0)},
			buy(settlement.Ended, 1, 100, 0, 0), sell(settlement.Live, 1, 100, 0, 1)), h); err != nil {
			t.Fatal(err)
		}
		ended := *h[buyID]
		for seq, u := range map[int64]settlement.OrderUpdate{
			2: buy(settlement.Ended, 1, 100, 0, 0),
			3: {OrderID: buyID, MemberID: buyer, State: settlement.Rejected}, // a resolve of a forgotten id
			4: buy(settlement.Rejected, 0, 0, 0, 0),                          // a late duplicate of its Place
		} {
			entry, err := settlement.Settle(record(seq, nil, u), h)
			if err != nil || entry.Len() != 0 || *h[buyID] != ended {
				t.Fatalf("%+v: moves %v, hold %+v, error %v", u, entry.Postings(), h[buyID], err)
			}
		}
		for _, u := range []settlement.OrderUpdate{
			buy(settlement.Live, 1, 100, 0, 0), buy(settlement.Ended, 0, 0, 0, 0), buy(settlement.Ended, 1, 100, 0, 1), buy(settlement.Rejected, 1, 100, 0, 0),
		} {
			if _, err := settlement.Settle(record(5, nil, u), h); !errors.Is(err, settlement.ErrAfterEnd) {
				t.Fatalf("%+v: error %v", u, err)
			}
		}
		if _, err := settlement.Settle(record(5, []settlement.Trade{trade(1, 100, 0, 0)},
			buy(settlement.Rejected, 0, 0, 0, 0), sell(settlement.Ended, 2, 200, 0, 0)), h); !errors.Is(err, settlement.ErrAfterEnd) {
			t.Fatalf("a fill after the end: error %v", err)
		}
	})
	t.Run("a rejected order gets its whole hold back", func(t *testing.T) {
		h := holds(200, 2)
		entry, err := settlement.Settle(record(1, nil, buy(settlement.Rejected, 0, 0, 0, 0)), h)
		if err != nil || sums(entry)[ledger.AvailableOf(buyer, "USDT")] != 200 || h[buyID].State != ledger.HoldClosed {
			t.Fatalf("entry %v error %v", entry.Postings(), err)
		}
	})
	t.Run("a rejected order without a hold leaves a tombstone (H2)", func(t *testing.T) {
		h := settlement.Holds{}
		entry, err := settlement.Settle(record(1, nil, settlement.OrderUpdate{OrderID: 5, MemberID: 7, State: settlement.Rejected}), h)
		if err != nil || entry.Len() != 0 || h[5] == nil || h[5].State != ledger.HoldTombstone || h[5].Seq != 1 {
			t.Fatalf("hold %+v error %v", h[5], err)
		}
		if _, err := settlement.Settle(record(2, nil, settlement.OrderUpdate{OrderID: 5, MemberID: 7, State: settlement.Rejected}), h); err != nil {
			t.Fatalf("rejected again: %v", err)
		}
	})
	t.Run("a member may trade with itself", func(t *testing.T) {
		h := holds(100, 1)
		h[sellID].MemberID = buyer
		tr := trade(1, 100, 0, 0)
		tr.MakerMemberID = buyer
		own := sell(settlement.Ended, 1, 100, 0, 0)
		own.MemberID = buyer
		if _, err := settlement.Settle(record(1, []settlement.Trade{tr}, buy(settlement.Ended, 1, 100, 0, 0), own), h); err != nil {
			t.Fatal(err)
		}
	})
}

// A record that contradicts itself or the holds is refused whole: its money
// would come from nowhere.
func TestSettle_Refuses(t *testing.T) {
	good := func() (*settlement.Record, settlement.Holds) {
		return record(2, []settlement.Trade{trade(10, 100, 1, 2)},
			buy(settlement.Live, 10, 100, 2, 100), sell(settlement.Ended, 10, 100, 1, 0)), holds(200, 10)
	}
	if r, h := good(); true {
		if _, err := settlement.Settle(r, h); err != nil {
			t.Fatalf("the undamaged record: %v", err)
		}
	}
	tests := []struct {
		rule   string
		damage func(r *settlement.Record, h settlement.Holds)
		want   error
	}{
		{"a fill that the order's facts do not show", func(r *settlement.Record, _ settlement.Holds) { r.Orders[0].Traded = 9 }, settlement.ErrTradesDiffer},
		{"a turnover that the trades do not have", func(r *settlement.Record, _ settlement.Holds) { r.Orders[0].Turnover = 101 }, settlement.ErrTradesDiffer},
		{"a fee that the trades do not have", func(r *settlement.Record, _ settlement.Holds) { r.Orders[1].Fee = 0 }, settlement.ErrTradesDiffer},
		{"facts that skip a record", func(_ *settlement.Record, h settlement.Holds) { h[buyID].Facts.Traded = 1 }, settlement.ErrTradesDiffer},
		{"a trade of an order that is not in the record", func(r *settlement.Record, _ settlement.Holds) { r.Orders = r.Orders[:1] }, settlement.ErrBadRecord},
		{"an order named twice", func(r *settlement.Record, _ settlement.Holds) { r.Orders = append(r.Orders, r.Orders[0]) }, settlement.ErrBadRecord},
		{"a trade between two buyers", func(r *settlement.Record, _ settlement.Holds) { r.Orders[1].Side = settlement.Buy }, settlement.ErrBadRecord},
		{"a trade of an order with itself", func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].MakerOrderID = buyID }, settlement.ErrBadRecord},
		{"a trade of somebody else", func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].MakerMemberID = 99 }, settlement.ErrBadRecord},
		{"a negative quantity", func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].Quantity = -10 }, settlement.ErrBadRecord},
		{"a negative fee", func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].MakerFee = -1 }, settlement.ErrBadRecord},
		{"a fee larger than what is received", func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].TakerFee, r.Orders[0].Fee = 11, 11 }, settlement.ErrBadRecord},
		{"no coins", func(r *settlement.Record, _ settlement.Holds) { r.BaseCoin = "" }, settlement.ErrBadRecord},
		{"no order state", func(r *settlement.Record, _ settlement.Holds) { r.Orders[0].State = 0 }, settlement.ErrBadRecord},
		{"a record that the hold has already", func(r *settlement.Record, h settlement.Holds) { h[buyID].Seq = r.Seq }, settlement.ErrBadRecord},
		{"an order without a hold", func(_ *settlement.Record, h settlement.Holds) { delete(h, sellID) }, settlement.ErrNoHold},
		{"a hold of another member", func(_ *settlement.Record, h settlement.Holds) { h[sellID].MemberID = 99 }, settlement.ErrOtherHold},
		{"a hold in the wrong coin", func(_ *settlement.Record, h settlement.Holds) { h[sellID].Coin = "USDT" }, settlement.ErrOtherHold},
		{"a hold on another symbol", func(_ *settlement.Record, h settlement.Holds) { h[sellID].Symbol = "ETH/USDT" }, settlement.ErrOtherHold},
		{"an order that spends more than it holds", func(_ *settlement.Record, h settlement.Holds) { h[buyID].Held = 199 }, ledger.ErrBadHold},
		{"an ended order that keeps a remainder", func(r *settlement.Record, h settlement.Holds) {
			h[sellID].Held, r.Orders[1].HeldRemaining = 11, 1
		}, ledger.ErrBadHold},
		{"a fill of a hold that was given back", func(_ *settlement.Record, h settlement.Holds) {
			h[sellID].Released, h[sellID].State = 10, ledger.HoldClosed
		}, ledger.ErrBadHold},
		{"a fill of a refused hold", func(_ *settlement.Record, h settlement.Holds) {
			h[sellID].Held, h[sellID].State = 0, ledger.HoldRefused
		}, ledger.ErrBadHold},
		{"a fill of a tombstone", func(_ *settlement.Record, h settlement.Holds) {
			h[sellID] = &ledger.Hold{OrderID: sellID, MemberID: seller, State: ledger.HoldTombstone}
		}, ledger.ErrBadHold},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			r, h := good()
			tt.damage(r, h)
			entry, err := settlement.Settle(r, h)
			var broken *settlement.Error
			if !errors.Is(err, tt.want) || !errors.As(err, &broken) || broken.Seq != 2 || broken.Symbol != "BTC/USDT" {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if entry.Len() != 0 {
				t.Fatal("a refused record moves money")
			}
		})
	}
}
