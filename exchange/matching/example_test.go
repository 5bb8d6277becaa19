package matching_test

import (
	"fmt"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/workload"
)

func ExampleBook() {
	b := matching.New()
	events := b.Apply(&matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
		BaseUnitsPerLot: 1000, QuoteUnitsPerTickLot: 10, MaxPrice: 1_000_000, MaxQty: 1_000_000,
	}}, nil)
	order := matching.Command{
		Op: matching.OpPlace, Side: matching.Sell, Type: matching.Limit, TIF: matching.GTC, STP: matching.STPExpireMaker,
		OrderID: 1, MemberID: 7, Price: 100, Qty: 5, Hold: 5 * 1000,
	}
	events = b.Apply(&order, events[:0]) // the buffer is used again
	order.Side, order.OrderID, order.MemberID, order.Price, order.Qty, order.Hold = matching.Buy, 2, 8, 101, 3, 101*3*10
	events = b.Apply(&order, events[:0])
	for _, e := range events {
		if e.Kind == matching.EventTrade {
			t := e.Trade()
			fmt.Println("trade of", t.Qty, "lots at", t.Price)
		} else {
			fmt.Println("order", e.OrderID, e.State, "holds", e.HeldRemaining)
		}
	}
	// Output:
	// trade of 3 lots at 100
	// order 1 PARTIALLY_FILLED holds 2000
	// order 2 FILLED holds 0
}

// BenchmarkBook_Apply runs the base workload; bench/ compares it with a floor
// and with rivals.
func BenchmarkBook_Apply(b *testing.B) {
	steps, preload := workload.Generate(workload.Shapes(500_000)[0], 1)
	var commands []matching.Command
	for i := range steps {
		var c matching.Command
		stepCommand(&steps[i], &c)
		commands = append(commands, c)
	}
	rules := stepRules()
	out := make([]matching.Event, 0, 1024)
	var book *matching.Book
	i := len(commands)
	b.ReportAllocs()
	for b.Loop() {
		if i == len(commands) {
			b.StopTimer()
			book = matching.New(matching.WithCapacity(8_000))
			out = book.Apply(rules, out[:0])
			for i = range preload {
				out = book.Apply(&commands[i], out[:0])
			}
			i = preload
			b.StartTimer()
		}
		out = book.Apply(&commands[i], out[:0])
		i++
	}
}
