package matching_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"mscoin/exchange/matching"
)

// drawRules draws ordinary rules, or ones under which nearly everything overflows.
func drawRules(t *rapid.T) *matching.Rules {
	r := &matching.Rules{
		BaseUnitsPerLot:      rapid.Int64Range(1, 1000).Draw(t, "base"),
		QuoteUnitsPerTickLot: rapid.Int64Range(1, 1000).Draw(t, "quote"),
		MaxPrice:             1000, MaxQty: 100,
		MaxFillsPerCommand: rapid.SampledFrom([]int32{0, 0, 1, 2, 3}).Draw(t, "fills"),
		MaxOpenOrders:      rapid.SampledFrom([]int32{0, 0, 0, 1, 4}).Draw(t, "open"),
	}
	if rapid.IntRange(0, 3).Draw(t, "banded") == 0 {
		r.BandUpPpm = rapid.Int64Range(1_000_000, 1_200_000).Draw(t, "up")
		r.BandDownPpm = rapid.Int64Range(800_000, 1_000_000).Draw(t, "down")
	}
	if rapid.IntRange(0, 3).Draw(t, "extreme") == 0 {
		r.BaseUnitsPerLot = 1 << rapid.IntRange(0, 62).Draw(t, "base bits")
		r.QuoteUnitsPerTickLot = 1 << rapid.IntRange(0, 62).Draw(t, "quote bits")
		r.MaxPrice, r.MaxQty = 1<<62, 1<<62
	}
	return r
}

func drawCommand(t *rapid.T, rules *matching.Rules) *matching.Command {
	id := rapid.Uint64Range(1, 12)
	c := &matching.Command{OrderID: id.Draw(t, "id"), MemberID: rapid.Uint64Range(0, 3).Draw(t, "member")}
	switch x := rapid.IntRange(0, 19).Draw(t, "op"); {
	case x < 11:
		c.Op = matching.OpPlace
	case x < 13:
		c.Op, c.TargetID = matching.OpReplace, id.Draw(t, "target")
	case x < 15:
		c.Op = matching.OpCancel
		return c
	case x < 17:
		c.Op, c.Qty = matching.OpReduce, rapid.Int64Range(0, 10).Draw(t, "less")
		return c
	case x < 19:
		c.Op = matching.OpContinue
		return c
	default:
		c.Op, c.Phase = matching.OpSetPhase, matching.Phase(rapid.IntRange(0, 4).Draw(t, "phase"))
		if rapid.Bool().Draw(t, "resume") {
			c.Phase = matching.PhaseTrading
		}
		return c
	}
	drawOrder(t, c, rules)
	return c
}

func drawOrder(t *rapid.T, c *matching.Command, rules *matching.Rules) {
	amount := func(most int64, name string) int64 {
		if rules.MaxPrice > 1000 && rapid.Bool().Draw(t, name+" large") {
			return 1<<rapid.IntRange(0, 62).Draw(t, name+" bits") - rapid.Int64Range(0, 1).Draw(t, name+" less")
		}
		return rapid.Int64Range(1, most).Draw(t, name)
	}
	c.Side = matching.Side(rapid.IntRange(0, 1).Draw(t, "side"))
	c.Type = matching.OrderType(rapid.SampledFrom([]int{1, 1, 1, 1, 2, 2, 3, 4, 5, 6}).Draw(t, "type"))
	c.TIF = matching.TimeInForce(rapid.SampledFrom([]int{1, 1, 1, 2, 3, 4}).Draw(t, "tif"))
	c.STP = matching.STPMode(rapid.IntRange(1, 5).Draw(t, "stp"))
	c.Qty = amount(10, "qty")
	c.Hold = math.MaxInt64
	c.MakerFeePpm = rapid.Int32Range(0, 1_000_000).Draw(t, "maker fee")
	c.TakerFeePpm = rapid.Int32Range(0, 1_000_000).Draw(t, "taker fee")
	if c.Type >= matching.StopLoss {
		c.StopPrice = amount(12, "stop")
	}
	switch c.Type {
	case matching.Limit, matching.StopLossLimit, matching.TakeProfitLimit:
		c.Price = amount(12, "price")
	case matching.Market, matching.StopLoss, matching.TakeProfit:
		if rapid.Bool().Draw(t, "by quote") {
			c.QuoteQty = amount(100*min(rules.QuoteUnitsPerTickLot, 1000), "quote qty")
			c.Qty *= rapid.Int64Range(0, 1).Draw(t, "and by qty")
		}
		if rapid.Bool().Draw(t, "short of hold") {
			c.Hold = amount(100, "hold")
		}
	}
}

func TestBook_Twin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwins()
		rules := drawRules(t)
		if err := w.apply(&matching.Command{Op: matching.OpSetRules, Rules: rules}); err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(1, 40).Draw(t, "commands") {
			if err := w.apply(drawCommand(t, rules)); err != nil {
				t.Fatal(err)
			}
			if err := w.compare(); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.swap(); err != nil {
			t.Fatal(err)
		}
	})
}

// ledger adds up what events say about each order and checks the identities
// that hold whatever the commands were.
type ledger struct {
	rules  *matching.Rules
	trades uint64
	orders map[uint64]*facts
}

type facts struct {
	side                     matching.Side
	cumQty, cumQuote, cumFee int64
}

func (l *ledger) see(events []matching.Event) error {
	for i := range events {
		e := &events[i]
		switch e.Kind {
		case matching.EventTrade:
			t := e.Trade()
			maker := &events[i+1]
			if maker.Kind != matching.EventOrder || maker.Side != t.TakerSide.Opposite() {
				return fmt.Errorf("the trade %+v is not followed by its maker", t)
			}
			if !slices.ContainsFunc(events[i+2:], func(e matching.Event) bool {
				return e.Kind == matching.EventOrder && e.OrderID == t.TakerID
			}) {
				return fmt.Errorf("the trade %+v is not followed by its taker", t)
			}
			if err := l.trade(&t, maker.OrderID); err != nil {
				return err
			}
		case matching.EventOrder:
			if err := l.order(e); err != nil {
				return err
			}
		case matching.EventReject, matching.EventRules, matching.EventPhase, matching.EventContinue:
		}
	}
	return nil
}

func (l *ledger) trade(e *matching.Trade, maker uint64) error {
	l.trades++
	if e.ID != l.trades || e.Quote != e.Price*e.Qty*l.rules.QuoteUnitsPerTickLot || e.MakerFee < 0 || e.TakerFee < 0 {
		return fmt.Errorf("trade %+v", *e)
	}
	for _, p := range []struct {
		id   uint64
		side matching.Side
		fee  int64
	}{{maker, e.TakerSide.Opposite(), e.MakerFee}, {e.TakerID, e.TakerSide, e.TakerFee}} {
		f := l.orders[p.id]
		if f == nil {
			f = &facts{side: p.side}
			l.orders[p.id] = f
		}
		if f.side != p.side {
			return fmt.Errorf("order %d trades on side %d: %+v", p.id, p.side, *e)
		}
		f.cumQty, f.cumQuote, f.cumFee = f.cumQty+e.Qty, f.cumQuote+e.Quote, f.cumFee+p.fee
	}
	return nil
}

func (l *ledger) order(e *matching.Event) error {
	f := l.orders[e.OrderID]
	if f == nil {
		f = &facts{side: e.Side}
		l.orders[e.OrderID] = f
	}
	if e.CumQty != f.cumQty || e.CumQuote != f.cumQuote || e.CumFee != f.cumFee {
		return fmt.Errorf("cumulative facts of %+v, trades say %+v", *e, *f)
	}
	if e.LeavesQty < 0 || e.HeldRemaining < 0 || e.State.Final() && e.LeavesQty|e.HeldRemaining != 0 {
		return errors.New("an order that is over holds something")
	}
	received := e.CumQuote
	if e.Side == matching.Buy {
		received = e.CumQty * l.rules.BaseUnitsPerLot
	}
	if e.CumFee > received {
		return fmt.Errorf("fee above what was received: %+v", *e)
	}
	if e.State.Final() {
		delete(l.orders, e.OrderID)
	}
	return nil
}

func TestBook_Facts(t *testing.T) {
	for kind, newEngine := range engines() {
		t.Run(kind+"/cumulative facts are the sums of the trades and nothing is spent beyond the hold", func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) { checkFacts(t, newEngine()) })
		})
	}
}

func checkFacts(t *rapid.T, b matching.Engine) {
	rules := drawRules(t)
	l := &ledger{rules: rules, orders: map[uint64]*facts{}}
	holds := map[uint64]int64{}
	b.Apply(&matching.Command{Op: matching.OpSetRules, Rules: rules}, nil)
	for range rapid.IntRange(1, 40).Draw(t, "commands") {
		c := drawCommand(t, rules)
		out := b.Apply(c, nil)
		if len(out) == 0 {
			t.Fatal("no event")
		}
		for _, e := range out {
			if e.OrderID == c.OrderID && e.Kind == matching.EventOrder && (c.Op == matching.OpPlace || c.Op == matching.OpReplace) {
				holds[c.OrderID] = c.Hold
			}
		}
		if err := l.see(out); err != nil {
			t.Fatalf("%+v: %v", *c, err)
		}
		for _, e := range out {
			if e.Kind != matching.EventOrder {
				continue
			}
			spent := e.CumQuote
			if e.Side == matching.Sell {
				spent = e.CumQty * rules.BaseUnitsPerLot
			}
			if spent > holds[e.OrderID]-e.HeldRemaining {
				t.Fatalf("%+v: spent beyond the hold %d", e, holds[e.OrderID])
			}
		}
	}
}
