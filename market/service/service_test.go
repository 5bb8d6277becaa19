package service_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	eventpb "mscoin/grpc-common/gen/event/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	marketsvc "mscoin/market/service"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

const token = "token"

// start runs a service until the test ends or stop is called, and returns when it is
// ready.
func start(t *testing.T, cfg marketsvc.Config) (client marketpb.MarketServiceClient, stop func()) {
	t.Helper()
	s, err := marketsvc.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("stop: %v", err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the service did not stop within 10 s")
		}
	}
	t.Cleanup(stop)
	testkit.Eventually(t, 20*time.Second, func() bool { return s.Ready(t.Context()) == nil }, "service is ready")
	conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{s.Addr()}, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = closer.Close() })
	return marketpb.NewMarketServiceClient(conn), stop
}

// matcher writes records.
type matcher struct {
	t      *testing.T // of the whole test
	client *bus.Client
	prev   []byte
	seq    int64
	nowMs  int64
}

func (m *matcher) write(bodies ...*eventpb.RecordBody) {
	m.t.Helper()
	msgs := make([]bus.Message, len(bodies))
	for i, body := range bodies {
		m.seq++
		body.Symbol, body.Seq, body.LogTimeMs = "BTC/USDT", m.seq, m.nowMs
		value, hash, err := stream.Seal(body, m.prev)
		if err != nil {
			m.t.Fatal(err)
		}
		m.prev = hash
		msgs[i] = bus.Message{Key: []byte("BTC/USDT"), Value: value}
	}
	if _, err := m.client.Produce(m.t.Context(), bus.TopicCompleted, 0, msgs); err != nil {
		m.t.Fatal(err)
	}
}

func rules() *eventpb.RecordBody {
	return &eventpb.RecordBody{Rules: &eventpb.SetRulesCommand{BaseCoin: "BTC", QuoteCoin: "USDT", BaseScale: 8, QuoteScale: 2}}
}

func level(side eventpb.Side, price, quantity int64) *eventpb.LevelUpdate {
	return &eventpb.LevelUpdate{Side: side, Price: price, Quantity: quantity}
}

func TestService(t *testing.T) {
	testkit.DatabaseConfigs(t, func(t *testing.T, db database.Config) {
		whole := t
		addr := testkit.BrokerAddr(t, 1)
		cfg := marketsvc.Config{
			ListenOn: "127.0.0.1:0", InternalToken: token, Database: db, Kafka: bus.Config{Brokers: []string{addr}},
		}
		m := &matcher{t: t, client: testkit.BusClient(t, addr), nowMs: time.Now().UnixMilli()}
		client, stop := start(t, cfg)
		ctx := t.Context()

		t.Run("a symbol is unknown until it is listed", func(t *testing.T) {
			_, err := client.GetDepth(ctx, &marketpb.GetDepthRequest{Symbol: "BTC/USDT"})
			if errs.CodeOf(err) != errs.CodeUnknownSymbol || errs.KindOf(err) != errs.KindNotFound {
				t.Fatal(err)
			}
		})
		m.write(rules(), &eventpb.RecordBody{Levels: []*eventpb.LevelUpdate{
			level(eventpb.Side_SIDE_BUY, 5_900_000, 150_000_000), level(eventpb.Side_SIDE_SELL, 6_000_000, 100_000_000),
		}})
		m.write(&eventpb.RecordBody{
			Trades: []*eventpb.Trade{{TradeId: 1, Price: 6_000_000, Quantity: 25_000_000, Turnover: 1_500_000, TakerSide: eventpb.Side_SIDE_BUY}},
			Levels: []*eventpb.LevelUpdate{level(eventpb.Side_SIDE_SELL, 6_000_000, 75_000_000)},
		})
		depthAt := func(t *testing.T, client marketpb.MarketServiceClient, seq int64) *marketpb.GetDepthResponse {
			t.Helper()
			var d *marketpb.GetDepthResponse
			testkit.Eventually(t, 10*time.Second, func() bool {
				var err error
				d, err = client.GetDepth(ctx, &marketpb.GetDepthRequest{Symbol: "BTC/USDT"})
				if err != nil && errs.CodeOf(err) != errs.CodeUnknownSymbol {
					t.Fatal(err)
				}
				return err == nil && d.GetSeq() == seq
			}, "depth of record %d", seq)
			return d
		}
		want := &marketpb.GetDepthResponse{
			Seq:  3,
			Bids: []*marketpb.Level{{Price: "59000.00", Quantity: "1.50000000"}},
			Asks: []*marketpb.Level{{Price: "60000.00", Quantity: "0.75000000"}},
		}
		if d := depthAt(t, client, 3); !proto.Equal(d, want) {
			t.Fatalf("got %v, want %v", d, want)
		}
		ticker := func(t *testing.T, client marketpb.MarketServiceClient) *marketpb.Ticker {
			t.Helper()
			list, err := client.ListTickers(ctx, &marketpb.ListTickersRequest{})
			if err != nil || len(list.GetTickers()) != 1 {
				t.Fatalf("%v, %v", list, err)
			}
			one := list.GetTickers()[0]
			one.OpenTimeMs, one.CloseTimeMs = 0, 0
			return one
		}
		wantTicker := &marketpb.Ticker{
			Symbol: "BTC/USDT", OpenPrice: "60000.00", HighPrice: "60000.00", LowPrice: "60000.00", LastPrice: "60000.00",
			LastQuantity: "0.25000000", Volume: "0.25000000", QuoteVolume: "15000.00", BidPrice: "59000.00", BidQuantity: "1.50000000",
			AskPrice: "60000.00", AskQuantity: "0.75000000", FirstTradeId: 1, LastTradeId: 1, Count: 1, PreviousClosePrice: "0.00",
		}
		if got := ticker(t, client); !proto.Equal(got, wantTicker) {
			t.Fatalf("got  %v\nwant %v", got, wantTicker)
		}
		stop()

		t.Run("what happened while it was away is there when it is ready again", func(t *testing.T) {
			m.write(&eventpb.RecordBody{Levels: []*eventpb.LevelUpdate{level(eventpb.Side_SIDE_SELL, 6_000_000, 0)}})
			client, stop = start(whole, cfg)
			d, err := client.GetDepth(ctx, &marketpb.GetDepthRequest{Symbol: "BTC/USDT"})
			if err != nil || d.GetSeq() != 4 || len(d.GetAsks()) != 0 || !proto.Equal(d.GetBids()[0], want.GetBids()[0]) {
				t.Fatalf("%v, %v", d, err)
			}
			page, err := client.ListTrades(ctx, &marketpb.ListTradesRequest{Symbol: "BTC/USDT"})
			wantTrade := &marketpb.Trade{
				TradeId: 1, Price: "60000.00", Quantity: "0.25000000", Turnover: "15000.00", TakerSide: eventpb.Side_SIDE_BUY, TimeMs: m.nowMs,
			}
			if err != nil || len(page.GetTrades()) != 1 || !proto.Equal(page.GetTrades()[0], wantTrade) {
				t.Fatalf("%v, %v", page, err)
			}
			wantTicker.AskPrice, wantTicker.AskQuantity = "0.00", "0.00000000"
			if got := ticker(t, client); !proto.Equal(got, wantTicker) {
				t.Fatalf("got  %v\nwant %v", got, wantTicker)
			}
		})
		t.Run("many records arrive, each once", func(t *testing.T) {
			const n = 2000
			var bodies []*eventpb.RecordBody
			for i := range int64(n) {
				bodies = append(bodies, &eventpb.RecordBody{
					Trades: []*eventpb.Trade{{TradeId: i + 2, Price: 6_000_000 + i, Quantity: 1, Turnover: 1, TakerSide: eventpb.Side_SIDE_SELL}},
					Levels: []*eventpb.LevelUpdate{level(eventpb.Side_SIDE_BUY, 5_000_000+i, 1+i)},
				})
			}
			began := time.Now()
			m.write(bodies...)
			depthAt(t, client, 4+n)
			t.Logf("%d records in %v", n, time.Since(began))
			got := ticker(t, client)
			if got.GetCount() != n+1 || got.GetHighPrice() != "60019.99" || got.GetVolume() != "0.25002000" {
				t.Fatal(got)
			}
			var ids []int64
			for from := int64(1); ; {
				page, err := client.ListTrades(ctx, &marketpb.ListTradesRequest{Symbol: "BTC/USDT", FromTradeId: from, PageSize: 1000})
				if err != nil {
					t.Fatal(err)
				}
				if len(page.GetTrades()) == 0 {
					break
				}
				for _, one := range page.GetTrades() {
					ids = append(ids, one.GetTradeId())
				}
				from = ids[len(ids)-1] + 1
			}
			if len(ids) != n+1 || ids[n] != n+1 {
				t.Fatalf("%d trades, the last is %d", len(ids), ids[len(ids)-1])
			}
		})
	})
}

func TestService_refusesALogThatIsNotItsOwn(t *testing.T) {
	db := testkit.SQLiteConfig(t)
	first := testkit.BrokerAddr(t, 1)
	cfg := marketsvc.Config{ListenOn: "127.0.0.1:0", InternalToken: token, Database: db, Kafka: bus.Config{Brokers: []string{first}}}
	m := &matcher{t: t, client: testkit.BusClient(t, first), nowMs: 1}
	m.write(rules())
	_, stop := start(t, cfg)
	stop()

	cfg.Kafka.Brokers = []string{testkit.BrokerAddr(t, 1)} // a broker that lost everything
	s, err := marketsvc.New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(t.Context()); !errors.Is(err, stream.ErrLogLost) {
		t.Fatalf("started on a log that lost records: %v", err)
	}
}

func TestConfig_Validate(t *testing.T) {
	cfg := marketsvc.Config{InternalToken: "x", Database: database.Config{DSN: "x"}, Kafka: bus.Config{Brokers: []string{"x:1"}}}
	cfg.SetDefaults()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := (&marketsvc.Config{}).Validate(); err == nil {
		t.Error("an empty configuration was accepted")
	}
}
