package settlement_test

import (
	"errors"
	"testing"

	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

func TestSettleOrSuspend(t *testing.T) {
	good := func() (*settlement.Record, settlement.Holds) {
		return record(2, []settlement.Trade{trade(10, 100, 1, 2)},
			buy(settlement.Live, 10, 100, 2, 100), sell(settlement.Ended, 10, 100, 1, 0)), holds(200, 10)
	}
	r, h := good()
	entry, err := settlement.Settle(r, h)
	if err != nil {
		t.Fatal(err)
	}
	undisturbed := sums(entry)
	for contradiction, c := range map[string]struct {
		order  int64
		damage func(r *settlement.Record, h settlement.Holds)
		want   error
	}{
		"an order without a hold":                 {sellID, func(_ *settlement.Record, h settlement.Holds) { delete(h, sellID) }, settlement.ErrNoHold},
		"a hold of another member":                {sellID, func(_ *settlement.Record, h settlement.Holds) { h[sellID].MemberID = 99 }, settlement.ErrOtherHold},
		"an order that spends more than it holds": {buyID, func(_ *settlement.Record, h settlement.Holds) { h[buyID].Held = 199 }, ledger.ErrBadHold},
		"facts that skip a record":                {buyID, func(_ *settlement.Record, h settlement.Holds) { h[buyID].Facts.Traded = 1 }, settlement.ErrTradesDiffer},
		"a fill after the end": {sellID, func(_ *settlement.Record, h settlement.Holds) {
			h[sellID].State, h[sellID].Released, h[sellID].Seq = ledger.HoldClosed, 10, 1
		}, settlement.ErrAfterEnd},
	} {
		t.Run("only the order in doubt goes to suspense, its counterparty is settled: "+contradiction, func(t *testing.T) {
			r, h := good()
			c.damage(r, h)
			suspense := settlement.Suspense{}
			entry, err := settlement.SettleOrSuspend(r, h, suspense)
			if err != nil {
				t.Fatal(err)
			}
			s := suspense[c.order]
			if len(suspense) != 1 || s == nil || !errors.Is(s.Cause, c.want) || s.Seq != 2 || s.Symbol != "BTC/USDT" {
				t.Fatalf("suspense: %+v", suspense)
			}
			got, other := sums(entry), map[ledger.Account]int64{}
			for account, amount := range undisturbed {
				if !account.Kind.OfMember() || account.MemberID != s.MemberID {
					other[account] += amount
					continue
				}
				other[ledger.SuspenseOf(account.Coin)] += amount
			}
			delete(got, ledger.SuspenseOf("BTC"))
			delete(got, ledger.SuspenseOf("USDT"))
			for account, amount := range other {
				if account.Kind != ledger.Suspense && got[account] != amount {
					t.Errorf("%s got %d, want %d", account, got[account], amount)
				}
				delete(got, account)
			}
			if len(got) != 0 {
				t.Errorf("moved besides: %v", got)
			}
			if hold := h[c.order]; contradiction == "an order without a hold" && hold.State != ledger.HoldTombstone {
				t.Errorf("a late hold would be placed: %+v", hold)
			}
		})
		t.Run("nothing is suspended unless asked for: "+contradiction, func(t *testing.T) {
			r, h := good()
			c.damage(r, h)
			if _, err := settlement.Settle(r, h); !errors.Is(err, c.want) || !settlement.Suspendable(err) {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("what came to suspense is the order's pay and receipts, fees are the house's", func(t *testing.T) {
		r, h := good()
		delete(h, sellID)
		entry, err := settlement.SettleOrSuspend(r, h, settlement.Suspense{})
		if err != nil {
			t.Fatal(err)
		}
		got := sums(entry)
		if got[ledger.SuspenseOf("BTC")] != -10 || got[ledger.SuspenseOf("USDT")] != 100-1 || got[ledger.FeeOf("USDT")] != 1 {
			t.Errorf("got %v", got)
		}
	})
	t.Run("later records of the order go to suspense too", func(t *testing.T) {
		r, h := good()
		suspense := settlement.Suspense{buyID: {OrderID: buyID, MemberID: buyer}}
		entry, err := settlement.SettleOrSuspend(r, h, suspense)
		if err != nil {
			t.Fatal(err)
		}
		if got := sums(entry); got[ledger.HeldOf(buyer, "USDT")] != 0 || got[ledger.SuspenseOf("USDT")] != -100 || got[ledger.SuspenseOf("BTC")] != 10-2 {
			t.Errorf("got %v", got)
		}
		if h[buyID].Consumed != 0 || h[buyID].Seq != 2 {
			t.Errorf("the hold in doubt was changed: %+v", h[buyID])
		}
	})
	t.Run("a record that contradicts itself is refused all the same", func(t *testing.T) {
		for what, damage := range map[string]func(r *settlement.Record, h settlement.Holds){
			"a trade of somebody else":              func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].MakerMemberID = 99 },
			"a record that the hold has already":    func(r *settlement.Record, h settlement.Holds) { h[buyID].Seq = r.Seq },
			"a fee larger than what is received":    func(r *settlement.Record, _ settlement.Holds) { r.Trades[0].TakerFee, r.Orders[0].Fee = 11, 11 },
			"such a fee of an order without a hold": func(r *settlement.Record, h settlement.Holds) { r.Trades[0].TakerFee = 11; delete(h, buyID) },
			"no order state":                        func(r *settlement.Record, _ settlement.Holds) { r.Orders[0].State = 0 },
		} {
			r, h := good()
			damage(r, h)
			if _, err := settlement.SettleOrSuspend(r, h, settlement.Suspense{}); !errors.Is(err, settlement.ErrBadRecord) || settlement.Suspendable(err) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}
