package reconcile

import (
	"strings"
	"testing"
)

func rightWithdrawal() Withdrawal {
	return Withdrawal{ID: 7, MemberID: 1, Coin: "BTC", Amount: 100, Fee: 5, NetworkFee: 1, State: "CONFIRMED", Held: 105, Left: 105, World: 101, Payments: 1, Paid: 100}
}

func rightDeposit() ChainDeposit {
	return ChainDeposit{ID: 3, MemberID: 1, Coin: "BTC", Amount: 50, State: "CREDITED", OnChain: true, Credits: 1, Credited: 50, CreditTo: 1}
}

func TestCustody(t *testing.T) {
	t.Run("what is right is not named", func(t *testing.T) {
		c := NewCustody(Frame{})
		w, d := rightWithdrawal(), rightDeposit()
		c.AddWithdrawal(&w)
		for _, state := range []string{"PENDING_REVIEW", "APPROVED", "BROADCASTING", "SENT"} {
			c.AddWithdrawal(&Withdrawal{ID: 1, Coin: "BTC", Amount: 10, Held: 10, State: state})
		}
		c.AddWithdrawal(&Withdrawal{ID: 1, Coin: "BTC", Amount: 10, Held: 10, State: "SENT", Payments: 1, Paid: 10})
		for _, state := range []string{"REJECTED", "CANCELED", "FAILED"} {
			c.AddWithdrawal(&Withdrawal{ID: 1, Coin: "BTC", Amount: 10, Held: 10, Left: 10, Returned: 10, State: state})
		}
		c.AddDeposit(&d)
		c.AddDeposit(&ChainDeposit{ID: 4, Coin: "BTC", Amount: 5, State: "PENDING", OnChain: true})
		if r := c.Finish(); r.Found != 0 {
			t.Fatalf("%+v", r.Discrepancies)
		}
	})
	for _, tt := range []struct {
		damage string
		do     func(w *Withdrawal)
		want   string
	}{
		{"a lost payment", func(w *Withdrawal) { w.Payments, w.Paid = 0, 0 }, "in no block"},
		{"a doubled broadcast", func(w *Withdrawal) { w.Payments = 2 }, "more than once"},
		{"another amount on the chain", func(w *Withdrawal) { w.Paid = 99 }, "paid another amount"},
		{"a stale hold", func(w *Withdrawal) { w.Left = 0 }, "hold is stale"},
		{"a wrong booking", func(w *Withdrawal) { w.World = 100 }, "another amount"},
		{"a hold of another amount", func(w *Withdrawal) { w.Held = 104 }, "held something else"},
		{"money that did not return", func(w *Withdrawal) { w.State, w.Payments = "FAILED", 0 }, "did not return"},
		{"a canceled one that was paid", func(w *Withdrawal) { w.State, w.Returned = "CANCELED", 105 }, "paid a withdrawal that is CANCELED"},
		{"an open one whose hold was used", func(w *Withdrawal) { w.State = "SENT" }, "hold was used"},
		{"a state that does not exist", func(w *Withdrawal) { w.State = "GONE" }, "does not exist"},
	} {
		t.Run(tt.damage+" of a withdrawal is named", func(t *testing.T) {
			c, w := NewCustody(Frame{}), rightWithdrawal()
			tt.do(&w)
			c.AddWithdrawal(&w)
			wantFound(t, c, "withdrawal 7", tt.want)
		})
	}
	for _, tt := range []struct {
		damage string
		do     func(d *ChainDeposit)
		want   string
	}{
		{"a missing credit", func(d *ChainDeposit) { d.Credits, d.Credited = 0, 0 }, "but was not"},
		{"a credit too early", func(d *ChainDeposit) { d.State = "PENDING" }, "but is PENDING"},
		{"another amount", func(d *ChainDeposit) { d.Credited = 51 }, "another amount"},
		{"another member", func(d *ChainDeposit) { d.CreditTo = 2 }, "another member"},
		{"a block that is gone", func(d *ChainDeposit) { d.State, d.OnChain = "ORPHANED", false }, "in no block"},
	} {
		t.Run(tt.damage+" of a deposit is named", func(t *testing.T) {
			c, d := NewCustody(Frame{}), rightDeposit()
			tt.do(&d)
			c.AddDeposit(&d)
			wantFound(t, c, "deposit 3", tt.want)
		})
	}
	t.Run("a deposit credited to another member is named for both: one has the other's money", func(t *testing.T) {
		c, d := NewCustody(Frame{}), rightDeposit()
		d.CreditTo = 2
		c.AddDeposit(&d)
		members := map[int64]bool{}
		for _, found := range c.Finish().Discrepancies {
			members[found.MemberID] = true
		}
		if len(members) != 2 || !members[1] || !members[2] {
			t.Fatalf("%v", members)
		}
	})
	t.Run("the custody must have what came less what went, to the last decimal of the chain", func(t *testing.T) {
		c := NewCustody(Frame{})
		for _, m := range []struct {
			amount string
			out    bool
		}{{"2.000000000000000001", false}, {"0.5", true}, {"0.00001", true}} {
			c.AddMovement("ETH", m.amount, m.out)
		}
		c.Compare("ETH", "1.499990000000000001", 8)
		if r := c.Finish(); r.Found != 0 {
			t.Fatalf("%+v", r.Discrepancies)
		}
		c.Compare("ETH", "1.49999", 8)
		wantFound(t, c, "custody", "something else")
		for _, text := range []string{"1e3", "", "1.-5"} {
			c := NewCustody(Frame{})
			c.AddMovement("ETH", text, false)
			wantFound(t, c, "custody", "amount")
		}
	})
}

func wantFound(t *testing.T, c *Custody, where, what string) {
	t.Helper()
	r := c.Finish()
	for _, d := range r.Discrepancies {
		if d.Check == checkCustody && d.Where == where && strings.Contains(d.What, what) {
			return
		}
	}
	t.Fatalf("nothing at %s says %q: %+v", where, what, r.Discrepancies)
}
