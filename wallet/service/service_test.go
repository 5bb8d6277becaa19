package service_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	eventpb "mscoin/grpc-common/gen/event/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
	walletsvc "mscoin/wallet/service"
)

const (
	token  = "test-token"
	symbol = "BTC/USDT"
	alice  = int64(7)
	bob    = int64(8)
)

// running is a wallet service with its broker and a client.
type running struct {
	t      *testing.T
	broker string
	redis  string
	db     database.Config
	leases lease.Config
	// reconcileMs is how often the books are reconciled; 0 is the default.
	reconcileMs int64

	client walletpb.WalletServiceClient
	stop   func()
	seq    int64
	prev   []byte
}

func start(t *testing.T, db database.Config) *running {
	t.Helper()
	r := &running{t: t, broker: testkit.BrokerAddr(t, 1), redis: testkit.RedisServer(t).Addr(), db: db, leases: lease.Config{Mode: lease.Static}}
	r.run()
	return r
}

func (r *running) config() walletsvc.Config {
	return walletsvc.Config{
		ListenOn: "127.0.0.1:0", InternalToken: token, Database: r.db, Kafka: bus.Config{Brokers: []string{r.broker}},
		Redis: walletsvc.RedisConfig{Addr: r.redis}, Partitions: 1, Lease: r.leases, ReconcileEveryMs: r.reconcileMs,
	}
}

func (r *running) run() {
	r.t.Helper()
	svc, err := walletsvc.New(r.t.Context(), r.config())
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- svc.Run(ctx) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil {
			r.t.Errorf("stop: %v", err)
		}
	}
	r.t.Cleanup(func() { r.stop() })
	testkit.Eventually(r.t, 20*time.Second, func() bool { return svc.Ready(r.t.Context()) == nil }, "the service is ready")
	conn, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{svc.Addr()}, Token: token})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = closer.Close() })
	r.client = walletpb.NewWalletServiceClient(conn)
}

// publish writes records to the settlement topic as the order consumer forwards them.
func (r *running) publish(bodies ...*eventpb.RecordBody) [][]byte {
	r.t.Helper()
	var values [][]byte
	for _, b := range bodies {
		r.seq++
		b.Symbol, b.Seq, b.BaseCoin, b.QuoteCoin, b.LogTimeMs = symbol, r.seq, "BTC", "USDT", 1000+r.seq
		value, hash, err := stream.Seal(b, r.prev)
		if err != nil {
			r.t.Fatal(err)
		}
		r.prev = hash
		values = append(values, value)
	}
	r.send(values...)
	return values
}

func (r *running) send(values ...[]byte) {
	r.t.Helper()
	client := testkit.BusClient(r.t, r.broker)
	msgs := make([]bus.Message, len(values))
	for i, v := range values {
		msgs[i] = bus.Message{Key: []byte(symbol), Value: v}
	}
	if _, err := client.Produce(r.t.Context(), bus.TopicSettle, 0, msgs); err != nil {
		r.t.Fatal(err)
	}
}

func (r *running) setUp() {
	r.t.Helper()
	for _, coin := range []string{"BTC", "USDT"} {
		if _, err := r.client.CreateCoin(r.t.Context(), &walletpb.CreateCoinRequest{Coin: &walletpb.Coin{Name: coin, FullName: coin, Scale: 8}}); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, d := range []*walletpb.DepositRequest{
		{Reference: "a", MemberId: alice, Coin: "USDT", Amount: "1000"},
		{Reference: "b", MemberId: bob, Coin: "BTC", Amount: "2"},
	} {
		if _, err := r.client.Deposit(r.t.Context(), d); err != nil {
			r.t.Fatal(err)
		}
	}
	for _, h := range []*walletpb.PlaceHoldRequest{
		{OrderId: 1, MemberId: alice, Coin: "USDT", Amount: "500", Symbol: symbol},
		{OrderId: 2, MemberId: bob, Coin: "BTC", Amount: "1.5", Symbol: symbol},
	} {
		if res, err := r.client.PlaceHold(r.t.Context(), h); err != nil || res.GetHeldAmount() != h.GetAmount()+map[string]string{"500": ".00000000", "1.5": "0000000"}[h.GetAmount()] {
			r.t.Fatalf("%v %v", res, err)
		}
	}
}

func resting() *eventpb.RecordBody {
	return &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{
		OrderId: 2, MemberId: bob, Side: eventpb.Side_SIDE_SELL, State: eventpb.OrderState_ORDER_STATE_NEW, HeldRemaining: 150_000_000,
	}}}
}

// filled trades 1 BTC for 400 USDT, fees 0.001 BTC and 0.4 USDT; the buy ends, the sell stays.
func filled() *eventpb.RecordBody {
	return &eventpb.RecordBody{
		Trades: []*eventpb.Trade{{
			TradeId: 1, Price: 40_000_000_000, Quantity: 100_000_000, Turnover: 40_000_000_000, TakerSide: eventpb.Side_SIDE_BUY,
			MakerOrderId: 2, TakerOrderId: 1, MakerMemberId: bob, TakerMemberId: alice, MakerFee: 40_000_000, TakerFee: 100_000,
		}},
		Orders: []*eventpb.OrderUpdate{
			{OrderId: 1, MemberId: alice, Side: eventpb.Side_SIDE_BUY, State: eventpb.OrderState_ORDER_STATE_FILLED, TradedAmount: 100_000_000, Turnover: 40_000_000_000, Fee: 100_000},
			{OrderId: 2, MemberId: bob, Side: eventpb.Side_SIDE_SELL, State: eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED, TradedAmount: 100_000_000, Turnover: 40_000_000_000, Fee: 40_000_000, HeldRemaining: 50_000_000},
		},
	}
}

// wallets returns "available held" by coin once the settlement is at seq.
func (r *running) wallets(member int64) map[string]string {
	r.t.Helper()
	res, err := r.client.GetWallets(r.t.Context(), &walletpb.GetWalletsRequest{MemberId: member, ReadAfter: []*walletpb.Position{{Symbol: symbol, Seq: r.seq}}})
	if err != nil {
		r.t.Fatal(err)
	}
	got := map[string]string{}
	for _, w := range res.GetWallets() {
		got[w.GetCoin()] = w.GetAvailable() + " " + w.GetHeld()
	}
	return got
}

func (r *running) wantFilled() {
	r.t.Helper()
	if got := r.wallets(alice); got["BTC"] != "0.99900000 0.00000000" || got["USDT"] != "600.00000000 0.00000000" {
		r.t.Errorf("buyer has %v", got)
	}
	if got := r.wallets(bob); got["BTC"] != "0.50000000 0.50000000" || got["USDT"] != "399.60000000 0.00000000" {
		r.t.Errorf("seller has %v", got)
	}
}

func TestService_Settlement(t *testing.T) {
	testkit.DatabaseConfigs(t, func(t *testing.T, db database.Config) {
		r := start(t, db)
		r.setUp()
		var values [][]byte
		t.Run("a fill reaches both wallets, and a read after it sees it", func(*testing.T) {
			values = r.publish(resting(), filled())
			r.wantFilled()
		})
		t.Run("records delivered again do not settle again (fault 4)", func(*testing.T) {
			r.send(values...)
			r.publish(&eventpb.RecordBody{}) // what comes after shows that they were passed
			r.wantFilled()
		})
		t.Run("after a restart the settlement goes on where it was", func(t *testing.T) {
			r.stop()
			r.send(values...)
			r.run()
			r.publish(&eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{
				OrderId: 2, MemberId: bob, Side: eventpb.Side_SIDE_SELL, State: eventpb.OrderState_ORDER_STATE_CANCELED,
				TradedAmount: 100_000_000, Turnover: 40_000_000_000, Fee: 40_000_000,
			}}})
			if got := r.wallets(bob); got["BTC"] != "1.00000000 0.00000000" {
				t.Errorf("after the cancel: %v", got)
			}
		})
		t.Run("a read after a record that is not there yet is refused as behind within a second or so", func(t *testing.T) {
			_, err := r.client.GetWallets(t.Context(), &walletpb.GetWalletsRequest{MemberId: alice, ReadAfter: []*walletpb.Position{{Symbol: symbol, Seq: 999}}})
			if errs.KindOf(err) != errs.KindUnavailable {
				t.Fatal(err)
			}
		})
	})
}

func TestService_MemberLocks(t *testing.T) {
	t.Run("a lock that is held elsewhere does not make a settlement disappear (fault 3)", func(t *testing.T) {
		r := start(t, testkit.SQLiteConfig(t))
		r.setUp()
		rdb := redis.NewClient(&redis.Options{Addr: r.redis})
		defer func() { _ = rdb.Close() }()
		if err := rdb.Set(t.Context(), "order_complete_update_wallet::7", "somebody else", time.Hour).Err(); err != nil {
			t.Fatal(err)
		}
		r.publish(resting(), filled())
		r.wantFilled()
	})
	t.Run("a Redis that is away does not stop the settlement", func(t *testing.T) {
		r := start(t, testkit.SQLiteConfig(t))
		r.stop()
		r.redis = "127.0.0.1:1"
		r.run()
		r.setUp()
		r.publish(resting(), filled())
		r.wantFilled()
	})
}

func TestService_LogLost(t *testing.T) {
	t.Run("a log that is not the settled one is refused before a request is served", func(t *testing.T) {
		r := start(t, testkit.SQLiteConfig(t))
		r.setUp()
		r.publish(resting(), filled())
		r.wantFilled()
		r.stop()
		r.broker = testkit.BrokerAddr(t, 1) // an empty log
		svc, err := walletsvc.New(t.Context(), r.config())
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := svc.Run(ctx); !errors.Is(err, stream.ErrLogLost) {
			t.Fatal(err)
		}
	})
}

func TestService_Requests(t *testing.T) {
	r := start(t, testkit.SQLiteConfig(t))
	r.setUp()
	hold := func(change func(*walletpb.PlaceHoldRequest)) error {
		req := &walletpb.PlaceHoldRequest{OrderId: 100, MemberId: alice, Coin: "USDT", Amount: "1", Symbol: symbol}
		change(req)
		_, err := r.client.PlaceHold(t.Context(), req)
		return err
	}
	tests := []struct {
		rule string
		err  error
		want errs.Code
	}{
		{"too little money", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "500.00000001" }), errs.CodeInsufficientBalance},
		{"the refusal stays", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "500.00000001" }), errs.CodeInsufficientBalance},
		{"the same order with another amount", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "2" }), errs.CodeIdempotencyMismatch},
		{"too many decimals", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "1.000000001" }), errs.CodeBadPrecision},
		{"a sign", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "-1" }), errs.CodeBadNumber},
		{"an exponent", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "1e3" }), errs.CodeBadNumber},
		{"a megabyte of digits", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = strings.Repeat("1", 1<<20) }), errs.CodeBadNumber},
		{"zero", hold(func(q *walletpb.PlaceHoldRequest) { q.Amount = "0" }), errs.CodeBadRequest},
		{"a minimum above the amount", hold(func(q *walletpb.PlaceHoldRequest) { q.MinAmount = "2" }), errs.CodeBadRequest},
		{"an unknown coin", hold(func(q *walletpb.PlaceHoldRequest) { q.Coin = "DOGE" }), errs.CodeUnknownCoin},
		{"no order", hold(func(q *walletpb.PlaceHoldRequest) { q.OrderId = 0 }), errs.CodeBadRequest},
		{"no symbol", hold(func(q *walletpb.PlaceHoldRequest) { q.Symbol = "" }), errs.CodeBadRequest},
	}
	for _, tt := range tests {
		t.Run("a hold is refused: "+tt.rule, func(t *testing.T) {
			if errs.CodeOf(tt.err) != tt.want {
				t.Fatal(tt.err)
			}
		})
	}
	t.Run("a coin may be listed again as it is, and not otherwise", func(t *testing.T) {
		coin := &walletpb.Coin{Name: "BTC", FullName: "BTC", Scale: 8}
		if _, err := r.client.CreateCoin(t.Context(), &walletpb.CreateCoinRequest{Coin: coin}); err != nil {
			t.Fatal(err)
		}
		coin.Scale = 6
		if _, err := r.client.CreateCoin(t.Context(), &walletpb.CreateCoinRequest{Coin: coin}); errs.CodeOf(err) != errs.CodeCoinExists {
			t.Fatal(err)
		}
	})
	t.Run("the journal is listed in pages", func(t *testing.T) {
		seen, token := 0, ""
		for range 10 {
			res, err := r.client.ListTransactions(t.Context(), &walletpb.ListTransactionsRequest{MemberId: alice, PageSize: 2, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			seen += len(res.GetTransactions())
			if token = res.GetNextPageToken(); token == "" {
				break
			}
		}
		if seen != 3 || token != "" {
			t.Fatalf("%d lines, token %q", seen, token)
		}
		if _, err := r.client.ListTransactions(t.Context(), &walletpb.ListTransactionsRequest{MemberId: alice, PageToken: "x"}); errs.CodeOf(err) != errs.CodeBadRequest {
			t.Fatal(err)
		}
	})
}
