package service

import (
	"context"
	"testing"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

// TestPlaceOrder_Admission refuses orders that could not be settled, before anything is stored or held.
func TestPlaceOrder_Admission(t *testing.T) {
	r := newRig(t, 1)
	res := r.must(limit(1, buy, "100", "1"))
	id := res.GetOrder().GetOrderId()
	for what, c := range map[string]struct {
		claim  *streampb.GetPositionsResponse
		code   errs.Code
		kind   errs.Kind
		cancel bool
	}{
		"the wallet is too far behind": {
			&streampb.GetPositionsResponse{Partitions: []*streampb.PartitionPosition{{EndOffset: 1_000_000}}},
			errs.CodeOverloaded, errs.KindOverloaded, true,
		},
		"the wallet stands still at the symbol": {
			&streampb.GetPositionsResponse{Symbols: []*streampb.SymbolPosition{{Symbol: btc, Halt: &streampb.Halt{Reason: "gap"}}}},
			errs.CodeSymbolHalted, errs.KindFailedPrecondition, false,
		},
	} {
		r.wallet.claims(c.claim)
		var err error
		testkit.Eventually(t, waitLimit, func() bool {
			_, err = r.place(limit(1, buy, "90", "1"))
			return err != nil
		}, "%s: refused", what)
		if errs.CodeOf(err) != c.code || errs.KindOf(err) != c.kind {
			t.Errorf("%s: %v", what, err)
		}
		holds, intents := r.wallet.count(), r.orders()
		if _, err := r.place(limit(1, buy, "90", "1")); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
		if r.wallet.count() != holds || r.orders() != intents {
			t.Errorf("%s: something was held or stored", what)
		}
		_, err = r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 1, Symbol: btc, OrderId: id})
		if c.cancel != (errs.CodeOf(err) != errs.CodeSymbolHalted) {
			t.Errorf("%s: cancel: %v", what, err)
		}
		r.wallet.claims(nil)
		testkit.Eventually(t, waitLimit, func() bool {
			_, err = r.place(limit(1, buy, "80", "1"))
			return err == nil
		}, "%s no more: admitted", what)
	}
}

// count returns how many holds there are.
func (w *fakeWallet) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.holds)
}

// orders returns how many orders are stored.
func (r *rig) orders() (n int) {
	r.t.Helper()
	if err := r.svc.db.Read(context.Background()).Raw("SELECT COUNT(*) FROM exchange_order").Scan(&n).Error; err != nil {
		r.t.Fatal(err)
	}
	return n
}
