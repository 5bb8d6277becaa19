package consumer_test

import (
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/market/internal/consumer"
)

func body() *eventpb.RecordBody {
	return &eventpb.RecordBody{
		Symbol: "BTC/USDT", Seq: 2, LogTimeMs: 5,
		Rules:  &eventpb.SetRulesCommand{BaseCoin: "BTC", QuoteCoin: "USDT", BaseScale: 8, QuoteScale: 6},
		Trades: []*eventpb.Trade{{TradeId: 1, Price: 2, Quantity: 3, Turnover: 6, TakerSide: eventpb.Side_SIDE_SELL}},
		Levels: []*eventpb.LevelUpdate{{Side: eventpb.Side_SIDE_BUY, Price: 2, Quantity: 0}},
	}
}

func TestConvert(t *testing.T) {
	r, err := consumer.Convert(body())
	if err != nil || r.Seq != 2 || r.Rules.QuoteScale != 6 || len(r.Trades) != 1 || r.Trades[0].TimeMs != 5 || len(r.Levels) != 1 {
		t.Fatalf("%+v, %v", r, err)
	}
	for name, change := range map[string]func(*eventpb.RecordBody){
		"scale":          func(b *eventpb.RecordBody) { b.Rules.BaseScale = 9 },
		"negative scale": func(b *eventpb.RecordBody) { b.Rules.QuoteScale = -1 },
		"trade id":       func(b *eventpb.RecordBody) { b.Trades[0].TradeId = 0 },
		"price":          func(b *eventpb.RecordBody) { b.Trades[0].Price = -1 },
		"quantity":       func(b *eventpb.RecordBody) { b.Trades[0].Quantity = 0 },
		"turnover":       func(b *eventpb.RecordBody) { b.Trades[0].Turnover = -1 },
		"taker side":     func(b *eventpb.RecordBody) { b.Trades[0].TakerSide = 7 },
		"level side":     func(b *eventpb.RecordBody) { b.Levels[0].Side = 0 },
		"level price":    func(b *eventpb.RecordBody) { b.Levels[0].Price = 0 },
		"negative level": func(b *eventpb.RecordBody) { b.Levels[0].Quantity = -1 },
	} {
		t.Run(name+" that cannot be is refused", func(t *testing.T) {
			b := body()
			change(b)
			if _, err := consumer.Convert(b); !errors.Is(err, consumer.ErrContent) {
				t.Fatal(err)
			}
		})
	}
}

func FuzzConvert(f *testing.F) {
	seed, err := proto.Marshal(body())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		var b eventpb.RecordBody
		if proto.Unmarshal(data, &b) != nil {
			return
		}
		r, err := consumer.Convert(&b)
		if err != nil {
			return
		}
		for _, trade := range r.Trades {
			if trade.Price < 1 || trade.Quantity < 1 || trade.Turnover < 0 {
				t.Fatalf("%+v", trade)
			}
		}
	})
}
