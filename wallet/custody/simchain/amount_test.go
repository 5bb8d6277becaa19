package simchain

import (
	"encoding/json"
	"testing"
)

func TestAmount(t *testing.T) {
	for text, want := range map[string]string{
		"0": "0", "1": "1", "0.1": "0.1", "10.50": "10.5", "0.000000000000000001": "0.000000000000000001", "99999999999999999999.999999999999999999": "99999999999999999999.999999999999999999",
	} {
		if n, err := parseAmount(text); err != nil || formatAmount(n) != want {
			t.Errorf("%s: %v %v", text, n, err)
		}
	}
	for _, bad := range []string{"", ".", ".5", "5.", "+1", "-1", "1e2", "1,0", "１", "0.0000000000000000001", "100000000000000000000"} {
		if _, err := parseAmount(bad); err == nil {
			t.Errorf("%q is an amount", bad)
		}
	}
}

func FuzzChain_apply(f *testing.F) {
	f.Add(`{"op":"pay","coin":"BTC","key":"a","to":"x","amount":"1"}`)
	f.Add(`{"op":"reorg","coin":"BTC","depth":1,"drop":true}`)
	f.Fuzz(func(t *testing.T, line string) {
		var o operation
		if json.Unmarshal([]byte(line), &o) != nil {
			return
		}
		c := newChain("BTC")
		for _, first := range []operation{{Op: opAddress, Key: "a"}, {Op: opPay, Key: "p", To: addressOf("BTC", "owner\x00a"), Amount: "5"}, {Op: opMine}} {
			if err := c.apply(&first); err != nil {
				t.Fatal(err)
			}
		}
		before := c.balance().String()
		if err := c.apply(&o); err != nil && c.balance().String() != before {
			t.Errorf("a refused operation changed the balance: %v", err)
		}
		if c.balance().Sign() < 0 {
			t.Errorf("negative balance after %s", line)
		}
	})
}
