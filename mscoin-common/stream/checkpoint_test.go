package stream

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	eventpb "mscoin/grpc-common/gen/event/v1"
)

func TestCheckpoint(t *testing.T) {
	t.Run("every total that differs is named", func(t *testing.T) {
		e := Entry{Body: &eventpb.RecordBody{Symbol: "BTC/USDT", Seq: 9, Checkpoint: &eventpb.Checkpoint{
			OpenOrders: 1, BaseHeld: 2, QuoteHeld: 3, AfterSeq: 4, AfterTradeId: 5, LastTradeId: 6,
			TradedAmount: 7, Turnover: 8, BaseFees: 9, QuoteFees: 10,
		}}}
		c, ok := e.Checkpoint()
		if want := (Checkpoint{"BTC/USDT", 9, 4, 5, 6, Totals{1, 2, 3, 7, 8, 9, 10}}); !ok || c != want || !c.Fits() {
			t.Fatalf("got %+v", c)
		}
		if err := c.Compare(c.Totals); err != nil {
			t.Error(err)
		}
		v := reflect.ValueOf(&Totals{}).Elem()
		for i := range v.NumField() {
			v.Set(reflect.ValueOf(c.Totals))
			v.Field(i).SetInt(v.Field(i).Int() + 1)
			err := c.Compare(v.Interface().(Totals)) //nolint:forcetypeassert // it is one
			if !errors.Is(err, ErrDrift) || strings.Count(err.Error(), "matcher") != 2 || !strings.Contains(err.Error(), "record 9 of BTC/USDT") {
				t.Errorf("%s: %v", v.Type().Field(i).Name, err)
			}
		}
		if c.QuoteHeld = math.MaxInt64; c.Fits() {
			t.Error("a sum that did not fit is compared")
		}
	})
	t.Run("records are cut after each checkpoint, and none is left out", func(t *testing.T) {
		for text, want := range map[string]string{"": "", "r": "r", "c": "c", "rcr": "rc r", "rrccr": "rrc c r", "rrc": "rrc"} {
			var fresh []Entry
			for _, kind := range text {
				e := Entry{Body: &eventpb.RecordBody{}}
				if kind == 'c' {
					e.Body.Checkpoint = &eventpb.Checkpoint{}
				}
				fresh = append(fresh, e)
			}
			var got []string
			for piece := range AtCheckpoints(fresh) {
				s := ""
				for i := range piece {
					if _, ok := piece[i].Checkpoint(); ok {
						s += "c"
					} else {
						s += "r"
					}
				}
				got = append(got, s)
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s is cut into %v, want %s", text, got, want)
			}
		}
	})
}
