package main

import (
	"os"
	"strconv"
	"testing"
	"time"

	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/reconciletest"
)

// largeEnv is how many orders the large books have; see `make bench-reconcile`.
const largeEnv = "MSCOIN_RECONCILE_ORDERS"

// maxComplete is the goal for a million orders.
const maxComplete = time.Minute

func TestRun_Large(t *testing.T) {
	orders := 20_000
	if value := os.Getenv(largeEnv); value != "" {
		var err error
		if orders, err = strconv.Atoi(value); err != nil {
			t.Fatalf("%s: %v", largeEnv, err)
		}
	}
	in := installEmpty(t, testkit.MariaDBConfig)
	begin := time.Now()
	err := reconciletest.Generate(orders/2, 10_000, 10_000, func(f *reconcile.Facts) error {
		return reconciletest.Load(t.Context(), in.wallet, in.exchange, f)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("loaded in %v", time.Since(begin))
	for _, damage := range []string{"", "UPDATE wallet_journal SET balance_after = balance_after + 1 WHERE tx_id = 20001 AND line = 1"} {
		want := 0
		if damage != "" {
			want = 1
			in.do(in.wallet, damage)
		}
		begin := time.Now()
		code, out, errs := in.reconcile()
		took := time.Since(begin)
		t.Logf("%v\n%s", took, out)
		if code != want {
			t.Fatalf("exit %d\n%s", code, errs)
		}
		if limit := maxComplete * time.Duration(max(orders, 1_000_000)) / 1_000_000; damage == "" && took > limit {
			t.Errorf("took %v, goal %v", took, limit)
		}
	}
}
