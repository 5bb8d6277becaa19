package reconciler

import (
	"testing"
	"unicode/utf8"

	"mscoin/wallet/internal/app"
	"mscoin/wallet/reconcile"
)

func TestStops(t *testing.T) {
	one := reconcile.Discrepancy{Check: "C2", Where: "wallet of member 7", MemberID: 7}
	t.Run("what is not listed stops all withdrawals", func(t *testing.T) {
		got := stops(&reconcile.Report{Found: 2, Discrepancies: []reconcile.Discrepancy{one}}, 1)
		if len(got) != 2 || got[0].Scope != app.StopMember || got[1].Scope != app.StopAll {
			t.Fatalf("%+v", got)
		}
	})
	t.Run("a reason that is too long is cut between characters", func(t *testing.T) {
		for pad := range 3 {
			one := one
			one.What = string(make([]byte, pad))
			for range maxReason {
				one.What += "\u20ac"
			}
			got := stops(&reconcile.Report{Found: 1, Discrepancies: []reconcile.Discrepancy{one}}, 1)
			if len(got) != 1 || len(got[0].Reason) > maxReason || !utf8.ValidString(got[0].Reason) {
				t.Fatalf("%+v", got)
			}
		}
	})
}
