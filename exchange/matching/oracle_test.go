package matching_test

import (
	"flag"
	"fmt"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/workload"
)

var (
	oracleFull  = flag.Bool("oracle.full", false, "run the oracle over the full sizes of every shape")
	oracleSeeds = flag.Uint64("oracle.seeds", 2, "seeds of each shape")
)

// stepCommand turns a step into a command; fees and members do not matter here.
func stepCommand(s *workload.Step, c *matching.Command) {
	if s.Kind == workload.Cancel {
		*c = matching.Command{Op: matching.OpCancel, OrderID: s.ID}
		return
	}
	*c = matching.Command{
		Op: matching.OpPlace, Side: matching.Side(s.Side), Type: matching.Limit, TIF: matching.TimeInForce(s.TIF + 1),
		STP: matching.STPNone, OrderID: s.ID, MemberID: s.ID % 1000, Price: s.Price, Qty: s.Qty, Hold: 1 << 62,
	}
	if s.Kind == workload.Market {
		c.Type = matching.Market
	}
}

// checkStep holds the events of one command against the oracle.
func checkStep(s *workload.Step, answer workload.Answer, fills []workload.Fill, out []matching.Event) error {
	trades := 0
	for i := range out {
		e := &out[i]
		if e.Kind != matching.EventTrade {
			continue
		}
		if trades == len(fills) {
			return fmt.Errorf("trade %+v is one too many", *e)
		}
		f := fills[trades]
		trades++
		got := e.Trade()
		if got.TakerID != s.ID || got.Price != f.Price || got.Qty != f.Qty || got.TakerSide != matching.Side(s.Side) {
			return fmt.Errorf("trade %+v, want %+v", got, f)
		}
		if m := &out[i+1]; m.OrderID != f.Maker || m.Side != got.TakerSide.Opposite() || (m.State == matching.StateFilled) != f.Done {
			return fmt.Errorf("maker %+v after %+v", *m, f)
		}
	}
	if trades != len(fills) {
		return fmt.Errorf("%d trades, want %d", trades, len(fills))
	}
	last := &out[len(out)-1]
	var ok bool
	switch answer {
	case workload.Rested:
		ok = last.State == matching.StateNew || last.State == matching.StatePartiallyFilled
	case workload.Finished:
		ok = last.State == matching.StateFilled || last.State == matching.StateExpired && last.Reason == matching.ReasonNoLiquidity
	case workload.Refused:
		ok = last.Reason == matching.ReasonPostOnlyWouldTake || last.Reason == matching.ReasonFOKUnfillable
	case workload.Canceled:
		ok = last.State == matching.StateCanceled
	case workload.Unknown:
		ok = last.Reason == matching.ReasonUnknownOrder
	}
	if !ok || last.OrderID != s.ID {
		return fmt.Errorf("last event %+v, answer %d", *last, answer)
	}
	return nil
}

func checkWorkload(shape workload.Shape, seed uint64) error {
	steps, _ := workload.Generate(shape, seed)
	o, b := workload.NewOracle(), matching.New()
	out := b.Apply(&matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
		BaseUnitsPerLot: 1000, QuoteUnitsPerTickLot: 10, MaxPrice: 1 << 40, MaxQty: 1 << 20,
	}}, nil)
	var c matching.Command
	for i := range steps {
		stepCommand(&steps[i], &c)
		out = b.Apply(&c, out[:0])
		answer := o.Do(&steps[i])
		if err := checkStep(&steps[i], answer, o.Fills, out); err != nil {
			return fmt.Errorf("step %d %+v: %w", i, steps[i], err)
		}
	}
	for side := range uint8(2) {
		type row struct {
			id         uint64
			price, qty int64
		}
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
	for _, shape := range workload.Shapes(20_000) {
		t.Run(shape.Name+" workload equals the oracle in every trade and in the book at the end", func(t *testing.T) {
			if *oracleFull {
				shape.Steps = 200_000
			} else {
				shape.Resting = min(shape.Resting, 10_000) // a small copy of the shape
				shape.Wide = min(shape.Wide, 2_048)
			}
			for seed := uint64(1); seed <= *oracleSeeds; seed++ {
				if err := checkWorkload(shape, seed); err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		})
	}
}
