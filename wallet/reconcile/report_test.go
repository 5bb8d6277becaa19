package reconcile_test

import (
	"slices"
	"testing"

	"mscoin/wallet/reconcile"
)

func TestReport_Suspend(t *testing.T) {
	t.Run("an order in suspense is listed once, with its cause, and hides nothing about others", func(t *testing.T) {
		r := reconcile.Report{Found: 6, Discrepancies: []reconcile.Discrepancy{
			{Check: "C4", Where: "order 7"},
			{Check: "C4", Where: "order 7, AVAILABLE/7/BTC, transaction 5 line 1"},
			{Check: "C5", Where: "BTC/USDT trade 3, order 7"},
			{Check: "C9", Where: "fees of BTC/USDT"},
			{Check: "C2", Where: "AVAILABLE/7/BTC"},
			{Check: "C4", Where: "order 77"},
		}}
		r.Suspend([]reconcile.Suspended{{OrderID: 7, MemberID: 3, Symbol: "BTC/USDT", Seq: 9, Cause: "no hold", SinceMs: 5}})
		var got []string
		for _, d := range r.Discrepancies {
			got = append(got, d.Check+" "+d.Where)
		}
		if want := []string{"C2 AVAILABLE/7/BTC", "C4 order 77", "C5 order 7", "C9 fees of BTC/USDT"}; !slices.Equal(got, want) || r.Found != 4 {
			t.Fatalf("%d found: %q, want %q", r.Found, got, want)
		}
		if d := r.Discrepancies[2]; d.What != "order is in suspense: no hold" || d.Record != "BTC/USDT record 9" || d.MemberID != 3 || d.SinceMs != 5 {
			t.Fatalf("%+v", d)
		}
	})
	t.Run("without orders in suspense nothing changes", func(t *testing.T) {
		r := reconcile.Report{Found: 1, Discrepancies: []reconcile.Discrepancy{{Check: "C4", Where: "order 7"}}}
		r.Suspend(nil)
		if r.Found != 1 || len(r.Discrepancies) != 1 {
			t.Fatalf("%+v", r)
		}
	})
}
