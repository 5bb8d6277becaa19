package service

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	binance "github.com/adshao/go-binance/v2"
	"github.com/adshao/go-binance/v2/common"
	"google.golang.org/grpc"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/testkit"
)

// The servers put the fake world behind real gRPC.
type exchangeServer struct {
	exchangepb.UnimplementedExchangeServiceServer
	fakeExchange
}

func (s exchangeServer) ListSymbols(ctx context.Context, in *exchangepb.ListSymbolsRequest) (*exchangepb.ListSymbolsResponse, error) {
	return s.fakeExchange.ListSymbols(ctx, in)
}

func (s exchangeServer) PlaceOrder(ctx context.Context, in *exchangepb.PlaceOrderRequest) (*exchangepb.PlaceOrderResponse, error) {
	return s.fakeExchange.PlaceOrder(ctx, in)
}

func (s exchangeServer) CancelOrder(ctx context.Context, in *exchangepb.CancelOrderRequest) (*exchangepb.CancelOrderResponse, error) {
	return s.fakeExchange.CancelOrder(ctx, in)
}

func (s exchangeServer) CancelAllOrders(ctx context.Context, in *exchangepb.CancelAllOrdersRequest) (*exchangepb.CancelAllOrdersResponse, error) {
	return s.fakeExchange.CancelAllOrders(ctx, in)
}

func (s exchangeServer) ValidateOrder(ctx context.Context, in *exchangepb.ValidateOrderRequest) (*exchangepb.ValidateOrderResponse, error) {
	return s.fakeExchange.ValidateOrder(ctx, in)
}

func (s exchangeServer) GetOrder(ctx context.Context, in *exchangepb.GetOrderRequest) (*exchangepb.GetOrderResponse, error) {
	return s.fakeExchange.GetOrder(ctx, in)
}

func (s exchangeServer) ListOpenOrders(ctx context.Context, in *exchangepb.ListOpenOrdersRequest) (*exchangepb.ListOpenOrdersResponse, error) {
	return s.fakeExchange.ListOpenOrders(ctx, in)
}

func (s exchangeServer) ListOrders(ctx context.Context, in *exchangepb.ListOrdersRequest) (*exchangepb.ListOrdersResponse, error) {
	return s.fakeExchange.ListOrders(ctx, in)
}

func (s exchangeServer) ListTrades(ctx context.Context, in *exchangepb.ListTradesRequest) (*exchangepb.ListTradesResponse, error) {
	return s.fakeExchange.ListTrades(ctx, in)
}

func (s exchangeServer) CreateSymbol(ctx context.Context, in *exchangepb.CreateSymbolRequest) (*exchangepb.CreateSymbolResponse, error) {
	return s.fakeExchange.CreateSymbol(ctx, in)
}

func (s exchangeServer) SetSymbolPhase(ctx context.Context, in *exchangepb.SetSymbolPhaseRequest) (*exchangepb.SetSymbolPhaseResponse, error) {
	return s.fakeExchange.SetSymbolPhase(ctx, in)
}

type walletServer struct {
	walletpb.UnimplementedWalletServiceServer
	fake fakeWallet
}

func (s walletServer) GetWallets(ctx context.Context, in *walletpb.GetWalletsRequest) (*walletpb.GetWalletsResponse, error) {
	return s.fake.GetWallets(ctx, in)
}

type marketServer struct {
	marketpb.UnimplementedMarketServiceServer
	fake fakeMarket
}

func (s marketServer) GetDepth(ctx context.Context, in *marketpb.GetDepthRequest) (*marketpb.GetDepthResponse, error) {
	return s.fake.GetDepth(ctx, in)
}

func (s marketServer) ListTrades(ctx context.Context, in *marketpb.ListTradesRequest) (*marketpb.ListTradesResponse, error) {
	return s.fake.ListTrades(ctx, in)
}

func (s marketServer) ListTickers(ctx context.Context, in *marketpb.ListTickersRequest) (*marketpb.ListTickersResponse, error) {
	return s.fake.ListTickers(ctx, in)
}

type ucenterServer struct {
	ucenterpb.UnimplementedUcenterServiceServer
	fake fakeUcenter
}

func (s ucenterServer) VerifySignature(ctx context.Context, in *ucenterpb.VerifySignatureRequest) (*ucenterpb.VerifySignatureResponse, error) {
	return s.fake.VerifySignature(ctx, in)
}

// serveRPC starts one gRPC server and returns where it is.
func serveRPC(t *testing.T, register func(*grpc.Server)) Target {
	t.Helper()
	server, err := rpc.NewServer(rpc.ServerConfig{ListenOn: "127.0.0.1:0", InternalToken: DevInternalToken}, register)
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return Target{Endpoints: []string{server.Addr()}}
}

// runGateway runs the whole service over gRPC and a real Redis protocol.
func runGateway(t *testing.T, w *world) *Service {
	t.Helper()
	cfg := *testConfig()
	cfg.ListenOn = "127.0.0.1:0"
	cfg.Redis.Addr = testkit.RedisServer(t).Addr()
	cfg.Exchange = serveRPC(t, func(g *grpc.Server) {
		exchangepb.RegisterExchangeServiceServer(g, exchangeServer{fakeExchange: fakeExchange{w: w}})
	})
	cfg.Wallet = serveRPC(t, func(g *grpc.Server) { walletpb.RegisterWalletServiceServer(g, walletServer{fake: fakeWallet{w: w}}) })
	cfg.Market = serveRPC(t, func(g *grpc.Server) { marketpb.RegisterMarketServiceServer(g, marketServer{fake: fakeMarket{w: w}}) })
	cfg.Ucenter = serveRPC(t, func(g *grpc.Server) {
		ucenterpb.RegisterUcenterServiceServer(g, ucenterServer{fake: fakeUcenter{w: w}})
	})
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ready(t.Context()); err == nil {
		t.Error("ready before it runs")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("it does not stop")
		}
		if response, err := http.Get("http://" + s.Addr() + "/healthz"); err == nil {
			_ = response.Body.Close()
			t.Error("it still answers")
		}
	})
	testkit.Eventually(t, 10*time.Second, func() bool { return s.Ready(t.Context()) == nil }, "not ready")
	return s
}

// TestService_GoClient drives the whole gateway with an unmodified third-party client:
// only its base URL is changed.
func TestService_GoClient(t *testing.T) {
	s := runGateway(t, newWorld(clock.Real()))
	c := binance.NewClient(testKey, testSecret)
	c.BaseURL = "http://" + s.Addr()
	c.HTTPClient = &http.Client{Timeout: 10 * time.Second}
	t.Run("public data", func(t *testing.T) { goClientPublic(t, c) })
	t.Run("orders", func(t *testing.T) { goClientOrders(t, c) })
	t.Run("account", func(t *testing.T) { goClientAccount(t, c) })
	t.Run("refusals arrive with code and text", func(t *testing.T) { goClientRefusals(t, c, s) })
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func goClientPublic(t *testing.T, c *binance.Client) {
	ctx := t.Context()
	if err := c.NewPingService().Do(ctx); err != nil {
		t.Fatal(err)
	}
	if ms := must[int64](t)(c.NewServerTimeService().Do(ctx)); ms < 1_700_000_000_000 {
		t.Error(ms)
	}
	info := must[*binance.ExchangeInfo](t)(c.NewExchangeInfoService().Do(ctx))
	if len(info.Symbols) != 2 || len(info.RateLimits) != 3 {
		t.Fatalf("%+v", info)
	}
	btc, eth := info.Symbols[0], info.Symbols[1]
	if btc.Status != "TRADING" || btc.PriceFilter().TickSize != "0.01000000" || btc.LotSizeFilter().StepSize != "0.00001000" ||
		btc.NotionalFilter().MinNotional != "5.00000000" || btc.MaxNumOrdersFilter().MaxNumOrders != 200 ||
		btc.PercentPriceBySideFilter() != nil || eth.PercentPriceBySideFilter().BidMultiplierUp != "1.050000" {
		t.Errorf("%+v", btc)
	}
	depth := must[*binance.DepthResponse](t)(c.NewDepthService().Symbol("BTCUSDT").Limit(5).Do(ctx))
	if depth.LastUpdateID != 42 || len(depth.Bids) != 2 || depth.Asks[0].Price != "100.50000000" {
		t.Errorf("%+v", depth)
	}
	if trades := must[[]*binance.Trade](t)(c.NewRecentTradesService().Symbol("BTCUSDT").Do(ctx)); len(trades) != 2 || trades[0].Quantity != "0.50000000" {
		t.Errorf("%+v", trades)
	}
	if day := must[[]*binance.PriceChangeStats](t)(c.NewListPriceChangeStatsService().Symbol("BTCUSDT").Do(ctx)); len(day) != 1 || day[0].PriceChangePercent != "10.556" || day[0].Count != 2 {
		t.Errorf("%+v", day)
	}
	if day := must[[]*binance.PriceChangeStats](t)(c.NewListPriceChangeStatsService().Symbols([]string{"BTCUSDT", "ETHUSDT"}).Do(ctx)); len(day) != 2 || day[1].FirstID != -1 {
		t.Errorf("%+v", day)
	}
	if prices := must[[]*binance.SymbolPrice](t)(c.NewListPricesService().Do(ctx)); len(prices) != 2 || prices[0].Price != "99.50000000" {
		t.Errorf("%+v", prices)
	}
	if books := must[[]*binance.BookTicker](t)(c.NewListBookTickersService().Symbol("BTCUSDT").Do(ctx)); len(books) != 1 || books[0].AskQuantity != "0.50000000" {
		t.Errorf("%+v", books)
	}
}

func goClientOrders(t *testing.T, c *binance.Client) {
	ctx := t.Context()
	limit := func(id string) *binance.CreateOrderService {
		return c.NewCreateOrderService().Symbol("BTCUSDT").Side(binance.SideTypeBuy).Type(binance.OrderTypeLimit).
			TimeInForce(binance.TimeInForceTypeGTC).Quantity("0.5").Price("100").NewClientOrderID(id)
	}
	rested := must[*binance.CreateOrderResponse](t)(limit("rest-1").Do(ctx))
	if rested.Status != binance.OrderStatusTypeNew || rested.OrigQuantity != "0.50000000" || len(rested.Fills) != 0 {
		t.Errorf("%+v", rested)
	}
	filled := must[*binance.CreateOrderResponse](t)(limit("fill-1").NewOrderRespType(binance.NewOrderRespTypeFULL).Do(ctx))
	if filled.Status != binance.OrderStatusTypeFilled || len(filled.Fills) != 1 || filled.Fills[0].Commission != "0.00050000" ||
		filled.CummulativeQuoteQuantity != "50.00000000" {
		t.Errorf("%+v", filled)
	}
	market := must[*binance.CreateOrderResponse](t)(c.NewCreateOrderService().Symbol("BTCUSDT").Side(binance.SideTypeBuy).
		Type(binance.OrderTypeMarket).QuoteOrderQty("25").Do(ctx))
	if market.Price != "0.00000000" || market.ExecutedQuantity != "0.25000000" || market.ClientOrderID == "" {
		t.Errorf("%+v", market)
	}
	if err := limit("test-1").Test(ctx); err != nil {
		t.Error(err)
	}
	got := must[*binance.Order](t)(c.NewGetOrderService().Symbol("BTCUSDT").OrderID(rested.OrderID).Do(ctx))
	if got.ClientOrderID != "rest-1" || !got.IsWorking || got.Price != "100.00000000" {
		t.Errorf("%+v", got)
	}
	if open := must[[]*binance.Order](t)(c.NewListOpenOrdersService().Symbol("BTCUSDT").Do(ctx)); len(open) != 1 {
		t.Errorf("%+v", open)
	}
	cancelled := must[*binance.CancelOrderResponse](t)(c.NewCancelOrderService().Symbol("BTCUSDT").OrderID(rested.OrderID).NewClientOrderID("cancel-1").Do(ctx))
	if cancelled.Status != binance.OrderStatusTypeCanceled || cancelled.OrigClientOrderID != "rest-1" || cancelled.ClientOrderID != "cancel-1" {
		t.Errorf("%+v", cancelled)
	}
	must[*binance.CreateOrderResponse](t)(limit("rest-2").Do(ctx))
	if all := must[*binance.CancelOpenOrdersResponse](t)(c.NewCancelOpenOrdersService().Symbol("BTCUSDT").Do(ctx)); len(all.Orders) != 1 {
		t.Errorf("%+v", all)
	}
	if all := must[[]*binance.Order](t)(c.NewListOrdersService().Symbol("BTCUSDT").Do(ctx)); len(all) != 4 {
		t.Errorf("%d orders", len(all))
	}
	trades := must[[]*binance.TradeV3](t)(c.NewListTradesService().Symbol("BTCUSDT").Do(ctx))
	if len(trades) != 2 || trades[0].QuoteQuantity != "50.00000000" || !trades[0].IsBuyer || trades[0].CommissionAsset != "BTC" {
		t.Errorf("%+v", trades)
	}
}

func goClientAccount(t *testing.T, c *binance.Client) {
	account := must[*binance.Account](t)(c.NewGetAccountService().Do(t.Context()))
	if account.MakerCommission != 10 || !account.CanTrade || len(account.Balances) != 3 || account.Balances[0].Free != "1.50000000" ||
		account.UID != testMember {
		t.Errorf("%+v", account)
	}
	if c.UsedWeight.Used1M == 0 || c.OrderCount.Count1d == 0 {
		t.Errorf("the client saw no use: %+v %+v", c.UsedWeight, c.OrderCount)
	}
}

func goClientRefusals(t *testing.T, c *binance.Client, s *Service) {
	stranger := binance.NewClient("nobodynobodynobodynobodynobody12", testSecret)
	forger := binance.NewClient(testKey, "another secret")
	for _, client := range []*binance.Client{stranger, forger} {
		client.BaseURL = "http://" + s.Addr()
	}
	place := func(id string) error {
		_, err := c.NewCreateOrderService().Symbol("BTCUSDT").Side(binance.SideTypeBuy).Type(binance.OrderTypeLimitMaker).
			Quantity("1").Price("1").NewClientOrderID(id).Do(t.Context())
		return err
	}
	_, unknownOrder := c.NewGetOrderService().Symbol("BTCUSDT").OrderID(1).Do(t.Context())
	_, unknownCancel := c.NewCancelOrderService().Symbol("BTCUSDT").OrigClientOrderID("nobody").Do(t.Context())
	_, badSymbol := c.NewDepthService().Symbol("NOPE").Do(t.Context())
	_, badKey := stranger.NewGetAccountService().Do(t.Context())
	_, badSignature := forger.NewGetAccountService().Do(t.Context())
	for _, tt := range []struct {
		err  error
		code int64
		text string
	}{
		{place("fail-INSUFFICIENT_BALANCE"), -2010, "Account has insufficient balance for requested action."},
		{place("fail-BAD_LOT"), -1013, "Filter failure: LOT_SIZE"},
		{place("fail-UNKNOWN_OUTCOME"), -1007, "Timeout waiting for response from backend server. Send status unknown; execution status unknown."},
		{unknownOrder, -2013, "Order does not exist."},
		{unknownCancel, -2011, "Unknown order sent."},
		{badSymbol, -1121, "Invalid symbol."},
		{badKey, -2015, "Invalid API-key, IP, or permissions for action."},
		{badSignature, -1022, "Signature for this request is not valid."},
	} {
		var refusal *common.APIError
		if !errors.As(tt.err, &refusal) || refusal.Code != tt.code || refusal.Message != tt.text {
			t.Errorf("got %v, want %d %s", tt.err, tt.code, tt.text)
		}
	}
}

func TestService_BackendsDown(t *testing.T) {
	cfg := *testConfig()
	cfg.ListenOn = "127.0.0.1:0"
	for _, target := range []*Target{&cfg.Exchange, &cfg.Wallet, &cfg.Market, &cfg.Ucenter} {
		target.Endpoints = []string{"127.0.0.1:1"}
	}
	s, err := New(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	testkit.Eventually(t, 5*time.Second, func() bool {
		response, err := http.Get("http://" + s.Addr() + "/healthz")
		if err == nil {
			_ = response.Body.Close()
		}
		return err == nil
	}, "it does not answer")
	for path, want := range map[string]int{"/readyz": 503, "/api/v3/ping": 200, "/api/v3/exchangeInfo": 503, "/market/symbol-thumb": 503} {
		response, err := http.Get("http://" + s.Addr() + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, response.StatusCode, want)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
