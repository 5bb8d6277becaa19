package load

import (
	"errors"
	"testing"

	"github.com/shopspring/decimal"

	"mscoin/deploy/internal/api"
)

func as(status string, executed int64) state {
	return state{OrderID: 7, Status: status, OrigQty: decimal.NewFromInt(9), ExecutedQty: decimal.NewFromInt(executed)}
}

func TestOrder_Agrees(t *testing.T) {
	acked := func(seen state) *Order {
		return &Order{clientID: "c1", quantity: decimal.NewFromInt(9), told: Done, seen: seen}
	}
	cancelled := func(o *Order, told Told, with state) *Order { o.cancel, o.cancelled = told, with; return o }
	refused := &Order{told: Refused}
	other := as("NEW", 0)
	other.OrderID = 8
	smaller := as("NEW", 0)
	smaller.OrigQty = decimal.NewFromInt(8)
	for name, c := range map[string]struct {
		order  *Order
		now    state
		exists bool
		ok     bool
	}{
		"an acknowledged order is there":                           {acked(as("NEW", 0)), as("NEW", 0), true, true},
		"it may have traded since":                                 {acked(as("NEW", 0)), as("FILLED", 9), true, true},
		"it is gone":                                               {acked(as("NEW", 0)), state{}, false, false},
		"it is another order":                                      {acked(as("NEW", 0)), other, true, false},
		"it is for another quantity":                               {acked(as("NEW", 0)), smaller, true, false},
		"it has traded less than was told":                         {acked(as("PARTIALLY_FILLED", 3)), as("PARTIALLY_FILLED", 2), true, false},
		"it is open again after its end":                           {acked(as("FILLED", 9)), as("PARTIALLY_FILLED", 9), true, false},
		"it ended in another way than was told":                    {acked(as("EXPIRED", 2)), as("CANCELED", 2), true, false},
		"it has traded after its end":                              {acked(as("EXPIRED", 2)), as("EXPIRED", 3), true, false},
		"it is in doubt again":                                     {acked(as("NEW", 0)), as(pendingNew, 0), true, false},
		"a cancelled order stays cancelled":                        {cancelled(acked(as("NEW", 0)), Done, as("CANCELED", 1)), as("CANCELED", 1), true, true},
		"a cancelled order is open":                                {cancelled(acked(as("NEW", 0)), Done, as("CANCELED", 0)), as("NEW", 0), true, false},
		"a cancelled order has traded more than was told":          {cancelled(acked(as("NEW", 0)), Done, as("CANCELED", 1)), as("CANCELED", 2), true, false},
		"an order that was told not to be open any more is":        {cancelled(acked(as("NEW", 0)), Refused, state{}), as("NEW", 0), true, false},
		"a refused order is nowhere":                               {refused, state{}, false, true},
		"a refused order was stored and rejected":                  {refused, as("REJECTED", 0), true, true},
		"a refused order trades":                                   {refused, as("FILLED", 9), true, false},
		"an order without an answer may be there or not":           {&Order{told: Unknown}, state{}, false, true},
		"an order without an answer may have been carried out too": {&Order{told: Unknown}, as("FILLED", 9), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.order.agrees(c.now, c.exists); (err == nil) != c.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestToldBy(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want Told
	}{
		"an acknowledgement":                        {nil, Done},
		"a refusal of the exchange":                 {&api.Refusal{Status: 400, Code: -2010}, Refused},
		"too busy, before anything was done":        {&api.Refusal{Status: 503, Code: -1008}, Refused},
		"an outcome that is not known (H14)":        {&api.Refusal{Status: 504, Code: -1007}, Unknown},
		"an error that the exchange did not expect": {&api.Refusal{Status: 500, Code: -1006}, Unknown},
		"a failure on the way":                      {&api.Refusal{Status: 502}, Unknown},
		"silence":                                   {errors.New("connection reset"), Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			if got := toldBy(c.err); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}
