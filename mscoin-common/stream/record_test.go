package stream_test

import (
	"bytes"
	"errors"
	"testing"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

func body(seq int64) *eventpb.RecordBody {
	b := &eventpb.RecordBody{
		Symbol: "BTC/USDT", Seq: seq, CommandOffset: 41, LogTimeMs: 1_700_000_000_000, CommandId: 7, BaseCoin: "BTC", QuoteCoin: "USDT",
		Result: &eventpb.CommandResult{OrderId: 5},
	}
	for i := range int64(3) {
		b.Trades = append(b.Trades, &eventpb.Trade{TradeId: i + 1, Price: 60000_00000000, Quantity: 1_000, Turnover: 60_000_000})
		b.Orders = append(b.Orders, &eventpb.OrderUpdate{OrderId: i, State: eventpb.OrderState_ORDER_STATE_FILLED, TradedAmount: 1_000})
	}
	return b
}

func TestSeal(t *testing.T) {
	prev := bytes.Repeat([]byte{7}, 32)
	t.Run("what is sealed can be opened, and the chain can be followed", func(t *testing.T) {
		value, hash, err := stream.Seal(body(2), prev)
		if err != nil {
			t.Fatal(err)
		}
		e, err := stream.Open(value)
		if err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(e.Body, body(2)) || !bytes.Equal(e.PrevHash, prev) || !bytes.Equal(e.Hash, hash) || len(hash) != 32 {
			t.Errorf("got %+v", e)
		}
	})
	t.Run("the same record gives the same bytes every time", func(t *testing.T) {
		first, firstHash, err := stream.Seal(body(2), prev)
		if err != nil {
			t.Fatal(err)
		}
		for range 100 {
			value, hash, err := stream.Seal(body(2), prev)
			if err != nil || !bytes.Equal(value, first) || !bytes.Equal(hash, firstHash) {
				t.Fatalf("differs, %v", err)
			}
		}
	})
	t.Run("a record that cannot be in a chain is refused", func(t *testing.T) {
		for _, c := range []struct {
			body *eventpb.RecordBody
			prev []byte
		}{
			{&eventpb.RecordBody{Seq: 1}, nil},
			{&eventpb.RecordBody{Symbol: "A"}, nil},
			{&eventpb.RecordBody{Symbol: "A", Seq: -1}, nil},
			{body(1), prev},
			{body(2), nil},
			{body(2), prev[:31]},
			{&eventpb.RecordBody{Symbol: "A\xff", Seq: 1}, nil},
		} {
			if _, _, err := stream.Seal(c.body, c.prev); !errors.Is(err, stream.ErrBadRecord) {
				t.Errorf("%v after %x: %v", c.body, c.prev, err)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	value, _, err := stream.Seal(body(2), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	t.Run("every changed bit is found", func(t *testing.T) {
		for i := range value {
			for bit := range 8 {
				changed := bytes.Clone(value)
				changed[i] ^= 1 << bit
				e, err := stream.Open(changed)
				if err == nil {
					t.Fatalf("byte %d bit %d: opened as %+v", i, bit, e)
				}
			}
		}
	})
	t.Run("every truncation is found", func(t *testing.T) {
		for n := range value {
			if _, err := stream.Open(value[:n]); !errors.Is(err, stream.ErrBadRecord) {
				t.Fatalf("%d bytes: %v", n, err)
			}
		}
	})
	t.Run("a record under another symbol's key is refused", func(t *testing.T) {
		if _, err := stream.OpenMessage(bus.Message{Key: []byte("ETH/USDT"), Value: value}); !errors.Is(err, stream.ErrBadRecord) {
			t.Errorf("got %v", err)
		}
		if _, err := stream.OpenMessage(bus.Message{Key: []byte("BTC/USDT"), Value: value}); err != nil {
			t.Error(err)
		}
	})
}

func FuzzOpen(f *testing.F) {
	value, _, err := stream.Seal(body(1), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(value)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		e, err := stream.Open(value)
		if err != nil {
			if !errors.Is(err, stream.ErrBadRecord) {
				t.Errorf("error %v", err)
			}
			return
		}
		if e.Body.GetSymbol() == "" || e.Body.GetSeq() < 1 || len(e.Hash) != 32 {
			t.Errorf("opened %+v", e)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	record, prev := body(2), bytes.Repeat([]byte{7}, 32)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := stream.Seal(record, prev); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	value, _, err := stream.Seal(body(2), bytes.Repeat([]byte{7}, 32))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := stream.Open(value); err != nil {
			b.Fatal(err)
		}
	}
}
