package service

import (
	"errors"
	"testing"
	"time"

	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

var errInjected = errors.New("injected fault")

func TestService_Trading(t *testing.T) {
	t.Run("a limit order rests, another takes it, both are settled with fees", func(t *testing.T) {
		r := newRig(t, 1)
		rest := r.must(limit(2, sell, "60000.00", "1"))
		if rest.Order.State != eventpb.OrderState_ORDER_STATE_NEW || len(rest.Fills) != 0 {
			t.Fatalf("got %v", rest)
		}
		took := r.must(limit(1, buy, "60000.00", "1"))
		if took.Order.State != eventpb.OrderState_ORDER_STATE_FILLED || len(took.Fills) != 1 {
			t.Fatalf("got %v", took)
		}
		f := took.Fills[0]
		if f.TradeId != 1 || f.Price != "60000.00000000" || f.Quantity != "1.00000000" || f.Fee != "0.00100000" || f.FeeCoin != "BTC" || f.Maker {
			t.Errorf("fill %v", f)
		}
		if got := took.TouchedMemberIds; len(got) != 2 || got[0] != 1 || got[1] != 2 {
			t.Errorf("touched %v", got)
		}
		maker := r.get(2, rest.Order.OrderId, took.Position)
		if maker.State != eventpb.OrderState_ORDER_STATE_FILLED || maker.Fee != "60.00000000" || maker.Turnover != "60000.00000000" {
			t.Errorf("maker %v", maker)
		}
		r.settled(took.Position)
		r.balances(map[int64]map[string]string{
			1: {"USDT": "940000.00000000", "BTC": "0.99900000"}, 2: {"USDT": "59940.00000000", "BTC": "99.00000000"},
		})
	})
	t.Run("a partly filled order that is cancelled keeps its fills and gets the rest back", func(t *testing.T) {
		r := newRig(t, 1)
		rest := r.must(limit(2, sell, "60000.00", "1"))
		r.must(limit(1, buy, "60000.00", "0.4"))
		res, err := r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 2, Symbol: btc, OrderId: rest.Order.OrderId})
		if err != nil {
			t.Fatal(err)
		}
		if res.Order.State != eventpb.OrderState_ORDER_STATE_CANCELED || res.Order.TradedAmount != "0.40000000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{2: {"BTC": "99.60000000", "USDT": "23976.00000000"}})
		if _, err := r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 2, OrderId: rest.Order.OrderId}); errs.CodeOf(err) != errs.CodeUnknownOrder {
			t.Errorf("a second cancel: %v", err)
		}
	})
	t.Run("a market buy spends at most its quote amount and gets the rest back", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "60000.00", "1"))
		res := r.must(market(1, buy, "", "100"))
		// 100 / 60000 = 0.0016666…: 166 lots of 0.00001 cost 99.60.
		if res.Order.State != eventpb.OrderState_ORDER_STATE_FILLED || res.Order.TradedAmount != "0.00166000" || res.Order.Turnover != "99.60000000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "999900.40000000"}})
	})
	t.Run("a market buy by quantity holds no more than it may need", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "60000.00", "1"))
		res := r.must(market(1, buy, "0.5", ""))
		if res.Order.State != eventpb.OrderState_ORDER_STATE_FILLED || res.Order.Turnover != "30000.00000000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "970000.00000000", "BTC": "0.49950000"}})
	})
	t.Run("a market sell by quote amount sells what that takes", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(1, buy, "50000.00", "1"))
		res := r.must(market(2, sell, "", "1000"))
		if res.Order.State != eventpb.OrderState_ORDER_STATE_FILLED || res.Order.TradedAmount != "0.02000000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{2: {"BTC": "99.98000000", "USDT": "999.00000000"}})
	})
	t.Run("a market buy by someone who cannot pay for all buys what the money does", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "60000.00", "100"))
		res := r.must(market(1, buy, "100", ""))
		if res.Order.State != eventpb.OrderState_ORDER_STATE_EXPIRED || res.Order.TradedAmount != "16.66666000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "0.40000000"}})
	})
	t.Run("price improvement returns the difference at once", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "50000.00", "1"))
		res := r.must(limit(1, buy, "60000.00", "1"))
		if res.Order.Turnover != "50000.00000000" {
			t.Errorf("got %v", res.Order)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "950000.00000000"}})
	})
	t.Run("the full balance can be spent", func(t *testing.T) {
		r := newRig(t, 1)
		res := r.must(limit(1, buy, "50000.00", "20"))
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "0.00000000"}})
	})
	t.Run("IOC and FOK expire, post-only is refused instead of taking", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "60000.00", "1"))
		with := func(tif eventpb.TimeInForce, quantity string) *request {
			o := limit(1, buy, "60000.00", quantity)
			o.TimeInForce = tif
			return o
		}
		if _, err := r.place(with(eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY, "1")); errs.CodeOf(err) != errs.CodePostOnlyWouldTake {
			t.Errorf("post-only: %v", err)
		}
		fok := r.must(with(eventpb.TimeInForce_TIME_IN_FORCE_FOK, "2"))
		if fok.Order.State != eventpb.OrderState_ORDER_STATE_EXPIRED || len(fok.Fills) != 0 {
			t.Errorf("FOK: %v", fok)
		}
		ioc := r.must(with(eventpb.TimeInForce_TIME_IN_FORCE_IOC, "2"))
		if ioc.Order.State != eventpb.OrderState_ORDER_STATE_EXPIRED || ioc.Order.TradedAmount != "1.00000000" {
			t.Errorf("IOC: %v", ioc)
		}
		r.settled(ioc.Position)
		r.balances(map[int64]map[string]string{1: {"USDT": "940000.00000000"}})
	})
	t.Run("cancelling all cancels the member's own, oldest first", func(t *testing.T) {
		r := newRig(t, 1)
		a := r.must(limit(2, sell, "60000.00", "1"))
		b := r.must(limit(2, sell, "61000.00", "1"))
		other := r.must(limit(1, buy, "100.00", "1"))
		res, err := r.rpc.CancelAllOrders(t.Context(), &exchangepb.CancelAllOrdersRequest{MemberId: 2, Symbol: btc})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.Orders) != 2 || res.Orders[0].OrderId != a.Order.OrderId || res.Orders[1].OrderId != b.Order.OrderId ||
			res.Orders[1].State != eventpb.OrderState_ORDER_STATE_CANCELED {
			t.Errorf("got %v", res.Orders)
		}
		r.settled(res.Position)
		r.balances(map[int64]map[string]string{2: {"BTC": "100.00000000"}, 1: {"USDT": "999900.00000000"}})
		open, err := r.rpc.ListOpenOrders(t.Context(), &exchangepb.ListOpenOrdersRequest{MemberId: 1, ReadAfter: []*exchangepb.Position{res.Position}})
		if err != nil || len(open.Orders) != 1 || open.Orders[0].OrderId != other.Order.OrderId {
			t.Errorf("open: %v %v", open, err)
		}
		again, err := r.rpc.CancelAllOrders(t.Context(), &exchangepb.CancelAllOrdersRequest{MemberId: 2, Symbol: btc})
		if err != nil || len(again.Orders) != 0 {
			t.Errorf("none open: %v %v", again, err)
		}
	})
}

func TestService_Refusals(t *testing.T) {
	r := newRig(t, 1)
	refuse := func(name string, o *request, want errs.Code) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, err := r.place(o)
			if errs.CodeOf(err) != want {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
	unknown := limit(1, buy, "1.00", "1")
	unknown.Symbol = "BTC/EUR"
	refuse("unknown symbol", unknown, errs.CodeUnknownSymbol)
	refuse("bad tick", limit(1, buy, "1.001", "10"), errs.CodeBadPriceTick)
	refuse("bad lot", limit(1, buy, "1.00", "10.000001"), errs.CodeBadLot)
	refuse("bad notional", limit(1, buy, "1.00", "1"), errs.CodeBadNotional)
	refuse("too little money", limit(1, buy, "500000.00", "3"), errs.CodeInsufficientBalance)
	refuse("a member without any", limit(3, sell, "60000.00", "1"), errs.CodeInsufficientBalance)
	t.Run("a refused hold ends the order, and its client order id is free at once", func(t *testing.T) {
		o := limit(1, buy, "500000.00", "3")
		o.ClientOrderId = "mine"
		if _, err := r.place(o); errs.CodeOf(err) != errs.CodeInsufficientBalance {
			t.Fatal(err)
		}
		got, err := r.rpc.GetOrder(t.Context(), &exchangepb.GetOrderRequest{MemberId: 1, ClientOrderId: "mine"})
		if err != nil || got.Order.State != eventpb.OrderState_ORDER_STATE_REJECTED {
			t.Errorf("got %v %v", got, err)
		}
		o.Quantity = "1"
		res := r.must(o)
		if res.Order.ClientOrderId != "mine" {
			t.Errorf("got %v", res.Order)
		}
		t.Run("a client order id is unique among open orders", func(t *testing.T) {
			if _, err := r.place(o); errs.CodeOf(err) != errs.CodeDuplicateClientOrderID {
				t.Errorf("got %v", err)
			}
			other := limit(2, sell, "900000.00", "1")
			other.ClientOrderId = "mine"
			r.must(other) // of another member
		})
		t.Run("another member's order is unknown", func(t *testing.T) {
			for _, req := range []*exchangepb.CancelOrderRequest{
				{MemberId: 2, OrderId: res.Order.OrderId},
				{MemberId: 2, OrderId: res.Order.OrderId, ClientOrderId: "mine"},
				{MemberId: 1, OrderId: res.Order.OrderId, ClientOrderId: "other"},
				{MemberId: 1, OrderId: res.Order.OrderId, Symbol: "ETH/BTC"},
				{MemberId: 1, OrderId: 1 << 40},
				{MemberId: 1, ClientOrderId: "nothing"},
			} {
				if _, err := r.rpc.CancelOrder(t.Context(), req); errs.CodeOf(err) != errs.CodeUnknownOrder {
					t.Errorf("%v: %v", req, err)
				}
			}
		})
		t.Run("a client order id cancels its order", func(t *testing.T) {
			res, err := r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 1, Symbol: btc, ClientOrderId: "mine"})
			if err != nil || res.Order.State != eventpb.OrderState_ORDER_STATE_CANCELED {
				t.Fatalf("got %v %v", res, err)
			}
			r.settled(res.Position)
		})
	})
}

func TestService_NoLiquidity(t *testing.T) {
	r := newRig(t, 1)
	for name, o := range map[string]*request{
		"a market buy by quote amount":  market(1, buy, "", "1000"),
		"a market buy by quantity":      market(1, buy, "1", ""),
		"a market sell by quantity":     market(2, sell, "1", ""),
		"a market sell by quote amount": market(2, sell, "", "1000"),
	} {
		t.Run("fault 8: "+name+" without a counterparty expires and gets everything back", func(t *testing.T) {
			res := r.must(o)
			if res.Order.State != eventpb.OrderState_ORDER_STATE_EXPIRED || len(res.Fills) != 0 {
				t.Errorf("got %v", res.Order)
			}
			r.settled(res.Position)
			r.balances(map[int64]map[string]string{1: {"USDT": "1000000.00000000"}, 2: {"BTC": "100.00000000"}})
			if got := r.get(o.MemberId, res.Order.OrderId, res.Position); got.State != eventpb.OrderState_ORDER_STATE_EXPIRED {
				t.Errorf("stored %v", got)
			}
		})
	}
}

func TestService_Symbols(t *testing.T) {
	r := newRig(t, 3)
	list := func(name, base, quote string) (*exchangepb.Symbol, error) {
		s := listing()
		s.Name, s.BaseCoin, s.QuoteCoin = name, base, quote
		if quote == "BTC" {
			s.TickSize, s.LotSize, s.MinPrice, s.MaxPrice, s.MinQuantity, s.MinNotional, s.MaxNotional = "0.00001", "0.001", "0.00001", "1000", "0.001", "0.0001", ""
		}
		res, err := r.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s})
		if err != nil {
			return nil, err
		}
		return res.Symbol, nil
	}
	t.Run("symbols spread over the partitions and stay there", func(t *testing.T) {
		for i, names := range [][3]string{{"BTC/USDT", "BTC", "USDT"}, {"ETH/USDT", "ETH", "USDT"}, {"ETH/BTC", "ETH", "BTC"}} {
			for range 2 { // repeated: no error, the same answer
				s, err := list(names[0], names[1], names[2])
				if err != nil || int(s.Partition) != i || s.Phase != eventpb.Phase_PHASE_TRADING {
					t.Errorf("%s: %v %v", names[0], s, err)
				}
			}
		}
	})
	t.Run("other rules for a listed symbol are refused", func(t *testing.T) {
		s := listing()
		s.MakerFeePpm = 7
		if _, err := r.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s}); errs.CodeOf(err) != errs.CodeSymbolExists {
			t.Errorf("got %v", err)
		}
	})
	t.Run("unknown coins and other scales are refused", func(t *testing.T) {
		if _, err := list("BTC/EUR", "BTC", "EUR"); errs.CodeOf(err) != errs.CodeUnknownCoin {
			t.Errorf("got %v", err)
		}
		s := listing()
		s.Name, s.BaseCoin, s.BaseScale, s.LotSize, s.MinQuantity = "ETH/USDT", "ETH", 6, "0.000001", "0.000001"
		if _, err := r.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: s}); errs.KindOf(err) != errs.KindInvalidArgument {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a halted symbol takes no orders, a cancel-only one takes cancels", func(t *testing.T) {
		rest := r.must(limit(2, sell, "60000.00", "1"))
		set := func(p eventpb.Phase) {
			res, err := r.rpc.SetSymbolPhase(t.Context(), &exchangepb.SetSymbolPhaseRequest{Symbol: btc, Phase: p})
			if err != nil || res.Symbol.Phase != p {
				t.Fatalf("phase %v: %v %v", p, res, err)
			}
		}
		set(eventpb.Phase_PHASE_HALT)
		cancel := &exchangepb.CancelOrderRequest{MemberId: 2, OrderId: rest.Order.OrderId}
		if _, err := r.rpc.CancelOrder(t.Context(), cancel); errs.CodeOf(err) != errs.CodeMarketClosed {
			t.Errorf("cancel while halted: %v", err)
		}
		set(eventpb.Phase_PHASE_CANCEL_ONLY)
		if _, err := r.place(limit(1, buy, "60000.00", "1")); errs.CodeOf(err) != errs.CodeMarketClosed {
			t.Errorf("place: %v", err)
		}
		r.restart() // the phase is part of the log
		if _, err := r.place(limit(1, buy, "60000.00", "1")); errs.CodeOf(err) != errs.CodeMarketClosed {
			t.Errorf("place after restart: %v", err)
		}
		if _, err := r.rpc.CancelOrder(t.Context(), cancel); err != nil {
			t.Errorf("cancel: %v", err)
		}
		set(eventpb.Phase_PHASE_TRADING)
		r.must(limit(1, buy, "60000.00", "1"))
	})
}

func TestService_Queries(t *testing.T) {
	r := newRig(t, 1)
	var last *exchangepb.Position
	var makers []int64
	for range 3 {
		m := r.must(limit(2, sell, "60000.00", "1"))
		makers = append(makers, m.Order.OrderId)
		last = r.must(limit(1, buy, "60000.00", "1")).Position
	}
	after := []*exchangepb.Position{last}
	trades := func(req *exchangepb.ListTradesRequest) []*exchangepb.Fill {
		t.Helper()
		req.Symbol, req.ReadAfter = btc, after
		res, err := r.rpc.ListTrades(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		return res.Fills
	}
	t.Run("trades are listed by id, for maker and taker", func(t *testing.T) {
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 1}); len(f) != 3 || f[0].TradeId != 1 || f[2].TradeId != 3 || f[0].Maker || f[0].Side != buy {
			t.Errorf("taker: %v", f)
		}
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 2, PageSize: 2}); len(f) != 2 || f[0].TradeId != 2 || !f[0].Maker || f[0].FeeCoin != "USDT" {
			t.Errorf("maker, newest two: %v", f)
		}
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 2, FromTradeId: 2, PageSize: 1}); len(f) != 1 || f[0].TradeId != 2 {
			t.Errorf("from: %v", f)
		}
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 2, OrderId: makers[1]}); len(f) != 1 || f[0].TradeId != 2 {
			t.Errorf("by order: %v", f)
		}
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 1, OrderId: makers[1]}); len(f) != 0 {
			t.Errorf("another member's order: %v", f)
		}
		if f := trades(&exchangepb.ListTradesRequest{MemberId: 3}); len(f) != 0 {
			t.Errorf("a stranger: %v", f)
		}
	})
	t.Run("orders are listed by id", func(t *testing.T) {
		list := func(req *exchangepb.ListOrdersRequest) []*exchangepb.Order {
			t.Helper()
			req.MemberId, req.ReadAfter = 2, after
			res, err := r.rpc.ListOrders(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			return res.Orders
		}
		if o := list(&exchangepb.ListOrdersRequest{Symbol: btc}); len(o) != 3 || o[0].OrderId != makers[0] || o[2].State != eventpb.OrderState_ORDER_STATE_FILLED {
			t.Errorf("all: %v", o)
		}
		if o := list(&exchangepb.ListOrdersRequest{PageSize: 1}); len(o) != 1 || o[0].OrderId != makers[2] {
			t.Errorf("newest: %v", o)
		}
		if o := list(&exchangepb.ListOrdersRequest{FromOrderId: makers[1], FinalOnly: true}); len(o) != 2 || o[0].OrderId != makers[1] {
			t.Errorf("from: %v", o)
		}
	})
	t.Run("a read that waits for what never comes says so in time", func(t *testing.T) {
		_, err := r.rpc.GetOrder(t.Context(), &exchangepb.GetOrderRequest{
			MemberId: 2, OrderId: makers[0], ReadAfter: []*exchangepb.Position{{Symbol: btc, Seq: last.Seq + 100}},
		})
		if errs.KindOf(err) != errs.KindUnavailable {
			t.Errorf("got %v", err)
		}
	})
}

func TestService_ClientOrderID(t *testing.T) {
	r := newRig(t, 1)
	o := limit(1, buy, "100.00", "1")
	o.ClientOrderId = "mine"
	first := r.must(o)
	t.Run("an open order keeps its client order id", func(t *testing.T) {
		if _, err := r.place(o); errs.CodeOf(err) != errs.CodeDuplicateClientOrderID {
			t.Errorf("got %v", err)
		}
	})
	t.Run("an order that ended without trading gives it free at once, and both are found", func(t *testing.T) {
		c, err := r.rpc.CancelOrder(t.Context(), &exchangepb.CancelOrderRequest{MemberId: 1, ClientOrderId: "mine"})
		if err != nil {
			t.Fatal(err)
		}
		second, err := r.place(o) // the order store may not know of the cancel yet
		if err != nil {
			t.Fatal(err)
		}
		r.get(1, first.Order.OrderId, c.Position)
		got, err := r.rpc.GetOrder(t.Context(), &exchangepb.GetOrderRequest{MemberId: 1, ClientOrderId: "mine"})
		if err != nil || got.Order.OrderId != second.Order.OrderId {
			t.Errorf("got %v %v", got, err)
		}
		if old := r.get(1, first.Order.OrderId); old.ClientOrderId != "mine" {
			t.Errorf("got %v", old)
		}
	})
	t.Run("an order that traded keeps it for a while, so that a repeated request does not trade twice", func(t *testing.T) {
		r.must(limit(2, sell, "100.00", "1"))
		if _, err := r.place(o); errs.CodeOf(err) != errs.CodeDuplicateClientOrderID {
			t.Errorf("got %v", err)
		}
		r.cfg.Order.ClientOrderIDReuseMs = 1
		r.restart()
		testkit.Eventually(t, waitLimit, func() bool {
			_, err := r.place(o)
			return err == nil
		}, "the id is free")
	})
	t.Run("an order without one gets one", func(t *testing.T) {
		if res := r.must(limit(1, buy, "100.00", "1")); res.Order.ClientOrderId == "" || len(res.Order.ClientOrderId) > 36 {
			t.Errorf("got %v", res.Order)
		}
	})
}

func TestService_Faults(t *testing.T) {
	t.Run("fault 2: what the matcher writes is what the order store and the wallet read", func(t *testing.T) {
		r := newRig(t, 1)
		r.must(limit(2, sell, "100.00", "1"))
		res := r.must(limit(1, buy, "100.00", "1"))
		r.settled(res.Position) // the wallet has read the record
		stored := r.get(1, res.Order.OrderId, res.Position)
		if stored.Turnover != "100.00000000" || stored.State != res.Order.State {
			t.Errorf("stored %v, answered %v", stored, res.Order)
		}
	})
	t.Run("fault 12: orders do not wait for a batch to fill", func(t *testing.T) {
		r := newRig(t, 1)
		start := clock.Real().Now()
		const orders = 20
		for range orders {
			r.must(limit(2, sell, "100.00", "1"))
		}
		// The reference needs a second for each; a busy machine may need a tenth.
		if took := clock.Real().Now().Sub(start); took > orders*250*time.Millisecond {
			t.Errorf("%d orders took %v", orders, took)
		}
	})
}
