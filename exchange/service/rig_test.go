package service

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/testkit"
)

const (
	btc       = "BTC/USDT"
	buy       = eventpb.Side_SIDE_BUY
	sell      = eventpb.Side_SIDE_SELL
	waitLimit = 20 * time.Second
)

// rig is an exchange with a real broker and database and a wallet in memory. The
// exchange can be stopped, killed and started again; the rest stays.
type rig struct {
	t      testing.TB
	cfg    Config
	parts  parts
	wallet *fakeWallet
	bus    *bus.Client

	svc   *Service
	rpc   exchangepb.ExchangeServiceClient
	op    exchangepb.OperatorServiceClient
	stop  context.CancelFunc
	ended chan error
}

// newRig starts everything with BTC/USDT listed (fees 0.1 %) and two members funded:
// 1 has USDT, 2 has BTC.
func newRig(t testing.TB, partitions int) *rig {
	t.Helper()
	logx.Disable()
	dir := t.TempDir()
	broker, err := embedded.StartBroker(embedded.Config{Dir: filepath.Join(dir, "broker")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })
	client, err := bus.Connect(bus.Config{Brokers: []string{broker.Addr()}}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(t.Context(), bus.MoneyTopics(partitions)); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, wallet: newFakeWallet(), bus: client, parts: realParts()}
	for p := range partitions {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); r.wallet.settle(ctx, client, p) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	r.cfg = Config{
		ListenOn: "127.0.0.1:0", InternalToken: testToken, Partitions: partitions,
		Database: database.Config{Dialect: database.SQLite, DSN: filepath.Join(dir, "exchange.db")},
		Kafka:    bus.Config{Brokers: []string{broker.Addr()}},
		Wallet:   Target{Endpoints: []string{r.wallet.serve(t)}},
		// Short enough for a test to see the sweeper work, long enough for a busy machine.
		Order: OrderConfig{WaitMs: 3000, DeadlineMs: 2000},
		Lease: lease.Config{Mode: lease.Static},
		Sweep: SweepConfig{EveryMs: 20, AfterMs: 2500, ResendMs: 500},
		// So often that every test starts from snapshots, and has totals compared.
		Snapshot: SnapshotConfig{EveryCommands: 2},
	}
	r.cfg.SetDefaults()
	r.wallet.deposit(1, "USDT", "1000000")
	r.wallet.deposit(2, "BTC", "100")
	r.start()
	t.Cleanup(r.shutdown)
	if _, err := r.rpc.CreateSymbol(t.Context(), &exchangepb.CreateSymbolRequest{Symbol: listing()}); err != nil {
		t.Fatalf("list symbol: %v", err)
	}
	return r
}

func listing() *exchangepb.Symbol {
	return &exchangepb.Symbol{
		Name: btc, BaseCoin: "BTC", QuoteCoin: "USDT", BaseScale: 8, QuoteScale: 8,
		TickSize: "0.01", LotSize: "0.00001", MinPrice: "0.01", MaxPrice: "1000000",
		MinQuantity: "0.00001", MaxQuantity: "9000", MinNotional: "5", MaxNotional: "9000000",
		MakerFeePpm: 1000, TakerFeePpm: 1000, MarketBuyEnabled: true, MarketSellEnabled: true, MaxOpenOrders: 1000,
	}
}

// start runs the exchange and waits until it is ready.
func (r *rig) start() {
	r.t.Helper()
	r.launch()
	testkit.Eventually(r.t, waitLimit, func() bool { return r.svc.Ready(context.Background()) == nil }, "exchange is ready")
	conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{r.svc.Addr()}, Token: testToken, TimeoutMs: 10_000})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = closer.Close() })
	r.rpc, r.op = exchangepb.NewExchangeServiceClient(conn), exchangepb.NewOperatorServiceClient(conn)
}

// launch runs the exchange.
func (r *rig) launch() {
	r.t.Helper()
	svc, err := newService(context.Background(), r.cfg, r.parts)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	r.svc, r.stop, r.ended = svc, cancel, ended
}

// shutdown stops the exchange in order.
func (r *rig) shutdown() {
	if r.stop == nil {
		return
	}
	r.stop()
	if err := <-r.ended; err != nil && !errors.Is(err, errInjected) {
		r.t.Errorf("exchange ended: %v", err)
	}
	r.stop = nil
}

// restart stops and starts the exchange.
func (r *rig) restart() {
	r.t.Helper()
	r.shutdown()
	r.start()
}

// order is a request in few words.
type request = exchangepb.NewOrder

func limit(member int64, side eventpb.Side, price, quantity string) *request {
	return &request{MemberId: member, Symbol: btc, Side: side, Type: eventpb.OrderType_ORDER_TYPE_LIMIT, Price: price, Quantity: quantity}
}

func market(member int64, side eventpb.Side, quantity, quote string) *request {
	return &request{MemberId: member, Symbol: btc, Side: side, Type: eventpb.OrderType_ORDER_TYPE_MARKET, Quantity: quantity, QuoteAmount: quote}
}

func (r *rig) place(o *request) (*exchangepb.PlaceOrderResponse, error) {
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	return r.rpc.PlaceOrder(ctx, &exchangepb.PlaceOrderRequest{Order: o})
}

func (r *rig) must(o *request) *exchangepb.PlaceOrderResponse {
	r.t.Helper()
	res, err := r.place(o)
	if err != nil {
		r.t.Fatalf("place %v: %v", o, err)
	}
	return res
}

// get reads an order after a position.
func (r *rig) get(member, id int64, after ...*exchangepb.Position) *exchangepb.Order {
	r.t.Helper()
	res, err := r.rpc.GetOrder(r.t.Context(), &exchangepb.GetOrderRequest{MemberId: member, OrderId: id, ReadAfter: after})
	if err != nil {
		r.t.Fatalf("get order %d: %v", id, err)
	}
	return res.Order
}

// settled waits until the wallet has applied a position.
func (r *rig) settled(p *exchangepb.Position) {
	r.t.Helper()
	testkit.Eventually(r.t, waitLimit, func() bool {
		r.wallet.mu.Lock()
		defer r.wallet.mu.Unlock()
		return r.wallet.seqs[p.Symbol] >= p.Seq
	}, "the wallet has applied %s %d", p.Symbol, p.Seq)
}

// balances checks what members can spend.
func (r *rig) balances(want map[int64]map[string]string) {
	r.t.Helper()
	for member, coins := range want {
		for coin, amount := range coins {
			if got := r.wallet.free(member, coin); got != amount {
				r.t.Errorf("member %d has %s %s, want %s", member, got, coin, amount)
			}
		}
	}
	if got := r.wallet.total("USDT"); got != "1000000.00000000" {
		r.t.Errorf("there are %s USDT now", got)
	}
	if got := r.wallet.total("BTC"); got != "100.00000000" {
		r.t.Errorf("there are %s BTC now", got)
	}
}
