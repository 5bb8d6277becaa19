package sequencer

import (
	"fmt"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/naive"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

const (
	btc     = "BTC/USDT"
	usdt    = int64(100_000_000) // one whole USDT in units
	bitcoin = int64(100_000_000)
	buy     = eventpb.Side_SIDE_BUY
	sell    = eventpb.Side_SIDE_SELL
)

func newNaive() matching.Engine { return naive.New() }

func rules(name, base, quote string) *eventpb.Command {
	return &eventpb.Command{CommandId: 1, Symbol: name, Body: &eventpb.Command_SetRules{SetRules: &eventpb.SetRulesCommand{
		BaseCoin: base, QuoteCoin: quote, BaseScale: 8, QuoteScale: 8,
		TickUnits: 1_000_000, LotUnits: 1000, MaxPrice: 1_000_000 * usdt, MaxQuantity: 9000 * bitcoin,
	}}}
}

// rig feeds a machine by hand.
type rig struct {
	t     *testing.T
	m     *Machine
	nowMs int64
	id    int64
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, m: NewMachine(0, newNaive), nowMs: 1_000_000, id: 1000}
	r.do(rules(btc, "BTC", "USDT"))
	return r
}

func (r *rig) raw(key string, value []byte) (*eventpb.RecordBody, bool) {
	r.t.Helper()
	rec, ok, err := r.m.Apply(bus.Message{Offset: r.m.Next(), TimeMs: r.nowMs, Key: []byte(key), Value: value})
	if err != nil {
		r.t.Fatal(err)
	}
	if !ok {
		return nil, false
	}
	if e, err := stream.Open(rec.Value); err != nil || !proto.Equal(e.Body, rec.Body) {
		r.t.Fatalf("record does not open: %v", err)
	}
	return rec.Body, true
}

func (r *rig) do(cmd *eventpb.Command) *eventpb.RecordBody {
	r.t.Helper()
	r.id++
	cmd.CommandId = r.id
	value, err := proto.Marshal(cmd)
	if err != nil {
		r.t.Fatal(err)
	}
	body, ok := r.raw(cmd.Symbol, value)
	if !ok {
		r.t.Fatalf("no record for %v", cmd)
	}
	if body.CommandId != cmd.CommandId || body.LogTimeMs != r.nowMs {
		r.t.Fatalf("record %v", body)
	}
	return body
}

func placing(id, member int64, side eventpb.Side, price, quantity int64) *eventpb.PlaceCommand {
	hold := quantity
	if side == buy {
		hold = price / 1_000_000 * (quantity / 1000) * 10
	}
	return &eventpb.PlaceCommand{
		OrderId: id, MemberId: member, Side: side, Type: eventpb.OrderType_ORDER_TYPE_LIMIT,
		TimeInForce:         eventpb.TimeInForce_TIME_IN_FORCE_GTC,
		SelfTradePrevention: eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_MAKER,
		Price:               price, Quantity: quantity, HoldAmount: hold, MakerFeePpm: 1000, TakerFeePpm: 2000,
		DeadlineMs: 1_010_000,
	}
}

func (r *rig) place(p *eventpb.PlaceCommand) *eventpb.RecordBody {
	r.t.Helper()
	return r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Place{Place: p}})
}

func (r *rig) resolve(id, member, deadline int64) *eventpb.RecordBody {
	r.t.Helper()
	return r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Resolve{Resolve: &eventpb.ResolveCommand{OrderId: id, MemberId: member, DeadlineMs: deadline}}})
}

func (r *rig) cancel(id, member int64) *eventpb.RecordBody {
	r.t.Helper()
	return r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{OrderId: id, MemberId: member}}})
}

func states(body *eventpb.RecordBody) string {
	s := ""
	for _, u := range body.Orders {
		s += fmt.Sprintf("%d:%d ", u.OrderId, u.State)
	}
	return s
}

func refused(t *testing.T, body *eventpb.RecordBody, want order.Reason) {
	t.Helper()
	if !body.Result.Rejected || body.Result.Reason != int32(want) {
		t.Errorf("result %v, want reason %d", body.Result, want)
	}
}

func TestMachine_Place(t *testing.T) {
	t.Run("one record holds the trades, each order once, and each changed level once", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		r.place(placing(2, 11, sell, 101*usdt, bitcoin))
		body := r.place(placing(3, 12, buy, 101*usdt, 3*bitcoin))
		if body.Seq != 4 || len(body.Trades) != 2 || states(body) != "1:4 2:4 3:3 " {
			t.Fatalf("record %v", body)
		}
		if tr := body.Trades[0]; tr.Price != 100*usdt || tr.Quantity != bitcoin || tr.Turnover != 100*usdt || tr.TakerSide != buy ||
			tr.MakerFee != usdt/10 || tr.TakerFee != bitcoin/500 {
			t.Errorf("trade %v", tr)
		}
		u := body.Orders[2]
		if u.TradedAmount != 2*bitcoin || u.Turnover != 201*usdt || u.OpenAmount != bitcoin || u.HeldRemaining != 101*usdt {
			t.Errorf("taker %v", u)
		}
		want := []*eventpb.LevelUpdate{
			{Side: buy, Price: 101 * usdt, Quantity: bitcoin}, {Side: sell, Price: 100 * usdt}, {Side: sell, Price: 101 * usdt},
		}
		if !slices.EqualFunc(body.Levels, want, func(a, b *eventpb.LevelUpdate) bool { return proto.Equal(a, b) }) {
			t.Errorf("levels %v", body.Levels)
		}
	})
	t.Run("fault 6: the best price trades first", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 110*usdt, bitcoin))
		r.place(placing(2, 11, sell, 100*usdt, bitcoin))
		if body := r.place(placing(3, 12, buy, 120*usdt, bitcoin)); body.Trades[0].Price != 100*usdt || body.Trades[0].MakerOrderId != 2 {
			t.Errorf("trades %v", body.Trades)
		}
	})
	t.Run("fault 7: makers that a market order fills are in its record", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		p := placing(2, 11, buy, 0, bitcoin)
		p.Type, p.HoldAmount = eventpb.OrderType_ORDER_TYPE_MARKET, 1000*usdt
		if body := r.place(p); states(body) != "1:4 2:4 " || body.Orders[1].HeldRemaining != 0 {
			t.Errorf("record %v", body)
		}
	})
	t.Run("a duplicate of an open order changes nothing", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		for range 2 {
			body := r.place(placing(1, 10, sell, 100*usdt, bitcoin))
			refused(t, body, order.ReasonDuplicateOrder)
			if len(body.Orders)+len(body.Levels)+len(body.Trades) != 0 {
				t.Errorf("record %v", body)
			}
			r.nowMs = 1_020_000 // past the deadline it is a duplicate still
		}
		if body := r.cancel(1, 10); body.Orders[0].State != eventpb.OrderState_ORDER_STATE_CANCELED {
			t.Errorf("the order is gone: %v", body)
		}
	})
	t.Run("a duplicate of a finished order never executes again", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		body := r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		refused(t, body, order.ReasonDuplicateOrder)
		if len(body.Orders) != 0 {
			t.Errorf("record %v", body)
		}
		r.nowMs = 1_010_001
		body = r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		refused(t, body, order.ReasonLate)
		if states(body) != "2:8 " { // the stores know that the order is over, and keep that
			t.Errorf("record %v", body)
		}
	})
	t.Run("an order that was refused cannot come back as a duplicate", func(t *testing.T) {
		r := newRig(t)
		halt := func(p eventpb.Phase) {
			r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_SetPhase{SetPhase: &eventpb.SetPhaseCommand{Phase: p}}})
		}
		halt(eventpb.Phase_PHASE_HALT)
		body := r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		refused(t, body, order.ReasonHalted)
		if states(body) != "1:8 " {
			t.Errorf("record %v", body)
		}
		halt(eventpb.Phase_PHASE_TRADING)
		refused(t, r.place(placing(1, 10, sell, 100*usdt, bitcoin)), order.ReasonDuplicateOrder)
	})
	t.Run("what comes after its deadline is refused, at the deadline it is not", func(t *testing.T) {
		r := newRig(t)
		r.nowMs = 1_010_000
		if body := r.place(placing(1, 10, sell, 100*usdt, bitcoin)); body.Result.Rejected {
			t.Errorf("record %v", body)
		}
		r.nowMs++
		body := r.place(placing(2, 10, sell, 100*usdt, bitcoin))
		refused(t, body, order.ReasonLate)
		if states(body) != "2:8 " || body.Orders[0].Side != sell {
			t.Errorf("record %v", body)
		}
	})
	t.Run("log time never runs backwards", func(t *testing.T) {
		r := newRig(t)
		r.nowMs = 1_010_001
		r.resolve(99, 10, 0)
		value, err := proto.Marshal(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_Place{Place: placing(1, 10, sell, 100*usdt, bitcoin)}})
		if err != nil {
			t.Fatal(err)
		}
		r.nowMs = 1_000_000
		body, _ := r.raw(btc, value)
		refused(t, body, order.ReasonLate)
		if body.LogTimeMs != 1_010_001 {
			t.Errorf("log time %d", body.LogTimeMs)
		}
	})
	for name, c := range map[string]struct {
		change func(p *eventpb.PlaceCommand)
		want   order.Reason
		named  bool
	}{
		"no order id":             {func(p *eventpb.PlaceCommand) { p.OrderId = 0 }, order.ReasonBadCommand, false},
		"an order id too large":   {func(p *eventpb.PlaceCommand) { p.OrderId = 1 << 53 }, order.ReasonBadCommand, false},
		"no member":               {func(p *eventpb.PlaceCommand) { p.MemberId = -1 }, order.ReasonBadCommand, false},
		"no side":                 {func(p *eventpb.PlaceCommand) { p.Side = 7 }, order.ReasonBadCommand, true},
		"no type":                 {func(p *eventpb.PlaceCommand) { p.Type = 0 }, order.ReasonBadCommand, true},
		"a wrapped type":          {func(p *eventpb.PlaceCommand) { p.Type = 257 }, order.ReasonBadCommand, true},
		"a negative quantity":     {func(p *eventpb.PlaceCommand) { p.Quantity = -1000 }, order.ReasonBadCommand, true},
		"a price off the tick":    {func(p *eventpb.PlaceCommand) { p.Price++ }, order.ReasonOffStep, true},
		"a quantity off the lot":  {func(p *eventpb.PlaceCommand) { p.Quantity++ }, order.ReasonOffStep, true},
		"too little held":         {func(p *eventpb.PlaceCommand) { p.HoldAmount-- }, order.ReasonHoldTooSmall, true},
		"a deadline far ahead":    {func(p *eventpb.PlaceCommand) { p.DeadlineMs = 1 << 60 }, order.ReasonBadDeadline, true},
		"a price above the range": {func(p *eventpb.PlaceCommand) { p.Price = 2_000_000 * usdt }, order.ReasonPriceRange, true},
	} {
		t.Run("a Place that cannot be is refused deterministically: "+name, func(t *testing.T) {
			r := newRig(t)
			p := placing(1, 10, sell, 100*usdt, bitcoin)
			c.change(p)
			body := r.place(p)
			refused(t, body, c.want)
			if (len(body.Orders) == 1) != c.named {
				t.Errorf("record %v", body)
			}
		})
	}
}

func TestMachine_Resolve(t *testing.T) {
	t.Run("an open order has its state repeated and stays", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, 2*bitcoin))
		r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		body := r.resolve(1, 10, 1_010_000)
		if body.Result.Rejected || states(body) != "1:3 " || body.Orders[0].HeldRemaining != bitcoin || len(body.Levels) != 0 {
			t.Errorf("record %v", body)
		}
		if body := r.cancel(1, 10); body.Result.Rejected {
			t.Errorf("the order is gone: %v", body)
		}
	})
	t.Run("a finished order has its end repeated", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		last := r.place(placing(2, 11, buy, 100*usdt, bitcoin))
		body := r.resolve(2, 11, 1_010_000)
		if len(body.Orders) != 1 || !proto.Equal(body.Orders[0], last.Orders[1]) {
			t.Errorf("got %v, want %v", body.Orders, last.Orders[1])
		}
	})
	t.Run("an unknown order is refused for good", func(t *testing.T) {
		r := newRig(t)
		body := r.resolve(1, 10, 1_010_000)
		if states(body) != "1:8 " || body.Orders[0].Reason != int32(order.ReasonResolved) || body.Orders[0].MemberId != 10 {
			t.Errorf("record %v", body)
		}
		late := r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		refused(t, late, order.ReasonResolved)
		if len(late.Orders) != 0 {
			t.Errorf("record %v", late)
		}
		r.nowMs = 1_010_001 // forgotten, but late
		refused(t, r.place(placing(1, 10, sell, 100*usdt, bitcoin)), order.ReasonLate)
	})
	t.Run("another member's order is unknown and not harmed", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		body := r.resolve(1, 11, 1_010_000)
		refused(t, body, order.ReasonUnknownOrder)
		if len(body.Orders) != 0 {
			t.Errorf("record %v", body)
		}
	})
}

func TestMachine_Cancel(t *testing.T) {
	t.Run("fault 9: a cancelled order does not trade", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		if body := r.cancel(1, 10); states(body) != "1:5 " || len(body.Levels) != 1 || body.Levels[0].Quantity != 0 {
			t.Errorf("record %v", body)
		}
		if body := r.place(placing(2, 11, buy, 100*usdt, bitcoin)); len(body.Trades) != 0 {
			t.Errorf("record %v", body)
		}
		refused(t, r.cancel(1, 10), order.ReasonUnknownOrder)
	})
	t.Run("another member's order is unknown", func(t *testing.T) {
		r := newRig(t)
		r.place(placing(1, 10, sell, 100*usdt, bitcoin))
		refused(t, r.cancel(1, 11), order.ReasonUnknownOrder)
		refused(t, r.cancel(1, 0), order.ReasonUnknownOrder)
		refused(t, r.cancel(-1, 10), order.ReasonUnknownOrder)
	})
	t.Run("cancelling all goes by id, in one record", func(t *testing.T) {
		r := newRig(t)
		for _, id := range []int64{5, 3, 9, 7} {
			r.place(placing(id, 10, sell, 100*usdt, bitcoin))
		}
		r.place(placing(4, 11, sell, 100*usdt, bitcoin))
		r.cancel(9, 10)
		all := func(member int64) *eventpb.RecordBody {
			return r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_CancelAll{CancelAll: &eventpb.CancelAllCommand{MemberId: member}}})
		}
		body := all(10)
		if states(body) != "3:5 5:5 7:5 " || len(body.Levels) != 1 || body.Levels[0].Quantity != bitcoin {
			t.Errorf("record %v", body)
		}
		if body := all(10); body.Result.Rejected || len(body.Orders) != 0 {
			t.Errorf("nothing open: %v", body)
		}
		refused(t, all(0), order.ReasonBadCommand)
	})
}

// A record that does not fit into a message would end the process at every replay.
func TestMachine_Largest(t *testing.T) {
	const price, each, first = 900_000 * usdt, bitcoin / 5, maxID - 2*maxBookOrders
	full := func(t *testing.T, member func(i int64) int64) *rig {
		r := &rig{t: t, m: NewMachine(0, func() matching.Engine { return matching.New() }), nowMs: 1_000_000, id: 1000}
		listing := rules(btc, "BTC", "USDT")
		listing.GetSetRules().MaxBookOrders = maxBookOrders
		r.do(listing)
		for i := range int64(maxBookOrders) {
			if got := r.place(placing(first+i, member(i), sell, price+i*1_000_000, each)); got.Result.Rejected {
				t.Fatalf("order %d: %v", i, got.Result)
			}
		}
		refused(t, r.place(placing(first-1, 1, sell, price, each)), order.ReasonBookFull)
		return r
	}
	fits := func(t *testing.T, body *eventpb.RecordBody) {
		t.Helper()
		size := proto.Size(body)
		t.Logf("%d trades, %d orders, %d bytes", len(body.Trades), len(body.Orders), size)
		if size+len(btc)+256 > bus.MaxBatchBytes {
			t.Errorf("the record has %d bytes", size)
		}
	}
	t.Run("the record of a sweep through a full book fits into a message (H5)", func(t *testing.T) {
		r := full(t, func(i int64) int64 { return maxID - 1 - i })
		sweep := placing(maxID-1, maxID-1, buy, 1_000_000*usdt, each*maxBookOrders)
		sweep.TimeInForce = eventpb.TimeInForce_TIME_IN_FORCE_IOC // one that could rest is refused
		sweep.SelfTradePrevention = eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_NONE
		body := r.place(sweep)
		if len(body.Trades) != maxBookOrders || len(body.Orders) != maxBookOrders+1 || len(body.Levels) != maxBookOrders {
			t.Fatalf("%d trades, %d orders, %d levels: %v", len(body.Trades), len(body.Orders), len(body.Levels), body.Result)
		}
		fits(t, body)
	})
	t.Run("a member with a full book of orders cancels all of them in one record that fits (H5)", func(t *testing.T) {
		r := full(t, func(int64) int64 { return maxID - 1 })
		body := r.do(&eventpb.Command{Symbol: btc, Body: &eventpb.Command_CancelAll{CancelAll: &eventpb.CancelAllCommand{MemberId: maxID - 1}}})
		if len(body.Orders) != maxBookOrders {
			t.Fatalf("%d orders: %v", len(body.Orders), body.Result)
		}
		fits(t, body)
	})
}

func TestMachine_Poison(t *testing.T) {
	r := newRig(t)
	t.Run("what is no command is a record that refuses it", func(t *testing.T) {
		for _, value := range [][]byte{nil, {0xff}, []byte("{}")} {
			body, ok := r.raw(btc, value)
			if !ok {
				t.Fatal("no record")
			}
			refused(t, body, order.ReasonUndecodable)
		}
	})
	t.Run("a command of another symbol than its key is refused", func(t *testing.T) {
		cmd := rules("ETH/USDT", "ETH", "USDT")
		cmd.CommandId = 77
		value, err := proto.Marshal(cmd)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := r.raw(btc, value)
		refused(t, body, order.ReasonWrongSymbol)
		if body.CommandId != 77 {
			t.Errorf("record %v", body)
		}
	})
	t.Run("what is of no listed symbol is counted and skipped", func(t *testing.T) {
		before := r.m.Skipped()
		bad := rules("ETH/USDT", "ETH", "USDT")
		bad.GetSetRules().TickUnits = 7
		for _, cmd := range []*eventpb.Command{
			{Symbol: "ETH/USDT", Body: &eventpb.Command_Place{Place: placing(1, 10, sell, 100*usdt, bitcoin)}}, bad,
		} {
			value, err := proto.Marshal(cmd)
			if err != nil {
				t.Fatal(err)
			}
			if body, ok := r.raw("ETH/USDT", value); ok {
				t.Errorf("record %v", body)
			}
		}
		if _, ok := r.raw("", nil); ok || r.m.Skipped() != before+3 {
			t.Errorf("skipped %d", r.m.Skipped()-before)
		}
	})
	t.Run("units of a listed symbol never change", func(t *testing.T) {
		cmd := rules(btc, "BTC", "USDT")
		cmd.GetSetRules().TickUnits *= 10
		refused(t, r.do(cmd), order.ReasonBadRules)
		ok := rules(btc, "BTC", "USDT")
		ok.GetSetRules().MaxPrice /= 10
		if body := r.do(ok); body.Result.Rejected || body.Rules.GetMaxPrice() != 100_000*usdt {
			t.Errorf("record %v", body)
		}
	})
	t.Run("a gap in the log is an error", func(t *testing.T) {
		if _, _, err := r.m.Apply(bus.Message{Offset: r.m.Next() + 1}); err == nil {
			t.Error("no error")
		}
	})
}

func TestMemory(t *testing.T) {
	m := newMemory()
	for i := range uint64(1000) {
		m.put(i+1, remembered{deadlineMs: int64((i * 7919) % 500)}, 0)
	}
	for now := int64(0); now < 600; now += 50 {
		m.put(100_000+uint64(now), remembered{deadlineMs: now + 1000}, now)
		for id, e := range m.entries {
			if e.deadlineMs < now {
				t.Fatalf("id %d with deadline %d is remembered at %d", id, e.deadlineMs, now)
			}
		}
		if len(m.entries) != len(m.expiry) || m.minDeadline() < now {
			t.Fatalf("%d entries, %d in the heap", len(m.entries), len(m.expiry))
		}
	}
	if len(m.entries) != 12 {
		t.Errorf("%d ids are remembered", len(m.entries))
	}
}
