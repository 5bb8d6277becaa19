package matching_test

import (
	"flag"
	"fmt"
	"slices"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/workload"
)

var (
	oracleFull  = flag.Bool("oracle.full", false, "run the oracle over the full sizes of every shape")
	oracleSeeds = flag.Uint64("oracle.seeds", 2, "seeds of each shape")
)

// The rules under which workloads run.
const (
	stepBase  = 1000 // base units a lot
	stepQuote = 10   // quote units a lot at one tick
)

func stepRules() *matching.Command {
	return &matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
		BaseUnitsPerLot: stepBase, QuoteUnitsPerTickLot: stepQuote, MaxPrice: 1 << 40, MaxQty: 1 << 20,
	}}
}

// stepCommand turns a step into a command, with a member and fees that follow
// from the id.
func stepCommand(s *workload.Step, c *matching.Command) {
	if s.Kind == workload.Cancel {
		*c = matching.Command{Op: matching.OpCancel, OrderID: s.ID}
		return
	}
	*c = matching.Command{
		Op: matching.OpPlace, Side: matching.Side(s.Side), Type: matching.Limit, TIF: matching.TimeInForce(s.TIF + 1),
		STP: matching.STPNone, OrderID: s.ID, MemberID: s.ID % 1000, Price: s.Price, Qty: s.Qty, Hold: 1 << 62,
		MakerFeePpm: int32(s.ID % 1999), TakerFeePpm: int32(s.ID % 997),
	}
	if s.Kind == workload.Market {
		c.Type = matching.Market
	}
}

// expectation makes the events that a book must give for a step out of what the
// oracle has answered: the oracle knows who trades with whom and what comes to
// rest; who owns what and the money are added here.
type expectation struct {
	orders map[uint64]expectedOrder // at rest
	trades uint64
	want   []matching.Event
}

// expectedOrder is an order as events have to tell of it.
type expectedOrder struct {
	matching.Event       // Side, ids, cumulative facts, LeavesQty
	price          int64 // of a limit order
	makerFee       int32
}

// held is what a limit order still needs of its hold.
func (o *expectedOrder) held() int64 {
	if o.Side == matching.Buy {
		return o.LeavesQty * o.price * stepQuote
	}
	return o.LeavesQty * stepBase
}

// say appends the event that tells of the order as it is now.
func (w *expectation) say(o *expectedOrder, state matching.OrderState, reason matching.Reason) {
	e := o.Event
	e.Kind, e.State, e.Reason = matching.EventOrder, state, reason
	if state.Final() {
		e.LeavesQty = 0
	} else {
		e.HeldRemaining = o.held()
	}
	w.want = append(w.want, e)
}

// fill adds a trade to an order and returns its fee.
func (o *expectedOrder) fill(f *workload.Fill, ppm int32) int64 {
	quote, received := f.Price*f.Qty*stepQuote, f.Qty*stepBase
	if o.Side == matching.Sell {
		received = quote
	}
	fee := received * int64(ppm) / 1_000_000
	o.CumQty, o.CumQuote, o.CumFee = o.CumQty+f.Qty, o.CumQuote+quote, o.CumFee+fee
	o.LeavesQty -= f.Qty
	return fee
}

func (w *expectation) events(c *matching.Command, answer workload.Answer, fills []workload.Fill) []matching.Event {
	w.want = w.want[:0]
	o := expectedOrder{price: c.Price, makerFee: c.MakerFeePpm, Event: matching.Event{
		Side: c.Side, OrderID: c.OrderID, MemberID: c.MemberID, LeavesQty: c.Qty,
	}}
	for i := range fills {
		f := &fills[i]
		m := w.orders[f.Maker]
		t := matching.Trade{
			TakerID: c.OrderID, TakerSide: c.Side, ID: w.trades + 1, Price: f.Price, Qty: f.Qty, Quote: f.Price * f.Qty * stepQuote,
			MakerFee: m.fill(f, m.makerFee), TakerFee: o.fill(f, c.TakerFeePpm),
		}
		w.trades++
		w.want = append(w.want, matching.NewTrade(&t))
		if f.Done {
			delete(w.orders, f.Maker)
			w.say(&m, matching.StateFilled, matching.ReasonNone)
			continue
		}
		w.orders[f.Maker] = m
		w.say(&m, matching.StatePartiallyFilled, matching.ReasonNone)
	}
	w.last(c, &o, answer)
	return w.want
}

// last appends the event about the order of the command itself.
func (w *expectation) last(c *matching.Command, o *expectedOrder, answer workload.Answer) {
	reject := matching.Event{Kind: matching.EventReject, OrderID: c.OrderID, MemberID: c.MemberID}
	switch answer {
	case workload.Rested:
		w.orders[c.OrderID] = *o
		if o.CumQty > 0 {
			w.say(o, matching.StatePartiallyFilled, matching.ReasonNone)
		} else {
			w.say(o, matching.StateNew, matching.ReasonNone)
		}
	case workload.Finished:
		if o.LeavesQty > 0 {
			w.say(o, matching.StateExpired, matching.ReasonNoLiquidity)
		} else {
			w.say(o, matching.StateFilled, matching.ReasonNone)
		}
	case workload.Refused:
		if c.TIF == matching.FOK {
			w.say(o, matching.StateExpired, matching.ReasonFOKUnfillable)
			return
		}
		reject.State, reject.Reason = matching.StateRejected, matching.ReasonPostOnlyWouldTake
		w.want = append(w.want, reject)
	case workload.Canceled:
		gone := w.orders[c.OrderID]
		delete(w.orders, c.OrderID)
		w.say(&gone, matching.StateCanceled, matching.ReasonUserCancel)
	case workload.Unknown:
		reject.Reason = matching.ReasonUnknownOrder
		w.want = append(w.want, reject)
	}
}

// checkWorkload returns how many commands it has compared.
func checkWorkload(b matching.Engine, shape workload.Shape, seed uint64) (int, error) {
	steps, _ := workload.Generate(shape, seed)
	o, w := workload.NewOracle(), &expectation{orders: map[uint64]expectedOrder{}}
	out := b.Apply(stepRules(), nil)
	var c matching.Command
	for i := range steps {
		stepCommand(&steps[i], &c)
		out = b.Apply(&c, out[:0])
		answer := o.Do(&steps[i])
		if want := w.events(&c, answer, o.Fills); !slices.Equal(out, want) {
			return i, fmt.Errorf("step %d %+v:\n%+v\nwant\n%+v", i, steps[i], out, want)
		}
	}
	return len(steps), compareRest(o, b)
}

// compareRest holds the book at the end against the oracle's.
func compareRest(o *workload.Oracle, b matching.Engine) error {
	type row struct {
		id         uint64
		price, qty int64
	}
	for side := range uint8(2) {
		var want, got []row
		o.Each(side, func(id uint64, price, qty int64) { want = append(want, row{id, price, qty}) })
		b.Resting(matching.Side(side), func(id uint64, price, qty int64) bool {
			got = append(got, row{id, price, qty})
			return true
		})
		if len(got) != len(want) {
			return fmt.Errorf("side %d: %d orders at the end, want %d", side, len(got), len(want))
		}
		for i := range want {
			if got[i] != want[i] {
				return fmt.Errorf("side %d, place %d: %+v, want %+v", side, i, got[i], want[i])
			}
		}
	}
	if b.Open() != o.Resting() {
		return fmt.Errorf("open %d, want %d", b.Open(), o.Resting())
	}
	return nil
}

func TestBook_Oracle(t *testing.T) {
	for kind, newEngine := range engines() {
		for _, shape := range workload.Shapes(20_000) {
			t.Run(kind+"/"+shape.Name+" workload equals the oracle in every field of every event and in the book at the end", func(t *testing.T) {
				switch { // small copies of the shapes, but for -oracle.full
				case kind == "naive":
					shape.Steps, shape.Resting, shape.Wide = 5_000, min(shape.Resting, 500), min(shape.Wide, 200)
				case *oracleFull:
					shape.Steps = 200_000
				default:
					shape.Resting, shape.Wide = min(shape.Resting, 10_000), min(shape.Wide, 2_048)
				}
				commands := 0
				for seed := uint64(1); seed <= *oracleSeeds; seed++ {
					n, err := checkWorkload(newEngine(), shape, seed)
					if err != nil {
						t.Fatalf("seed %d: %v", seed, err)
					}
					commands += n
				}
				t.Logf("%d seeds, %d commands", *oracleSeeds, commands)
			})
		}
	}
}
