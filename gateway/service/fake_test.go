package service

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"mscoin/gateway/internal/client"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

const (
	testKey     = "keykeykeykeykeykeykeykeykeykeykey"
	readOnlyKey = "readonlyreadonlyreadonlyreadonly1"
	testSecret  = "secretsecretsecretsecret"
	testToken   = "session-token-of-member-7"
	testAdmin   = "admin-token-for-tests-only"
	testMember  = 7
)

// world is the fake services behind a gateway: a book without matching whose orders
// fill when their client order id says so. It records what it is asked.
type world struct {
	clk clock.Clock

	mu     sync.Mutex
	calls  []string
	orders []*exchangepb.Order
	fills  []*exchangepb.Fill
	seq    int64
	// verified runs during VerifySignature.
	verified func()
	// failing makes every call of a method fail.
	failing map[string]error
}

func newWorld(clk clock.Clock) *world {
	return &world{clk: clk, failing: map[string]error{}}
}

func (w *world) backends() client.Backends {
	return client.Backends{Exchange: fakeExchange{w: w}, Wallet: fakeWallet{w: w}, Operations: fakeOperations{w: w}, Market: fakeMarket{w: w}, Ucenter: fakeUcenter{w: w}}
}

// asked notes a request and returns the failure that the test wants.
func (w *world) asked(method string, request proto.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text, err := protojson.Marshal(request)
	if err != nil {
		return err
	}
	var plain any // protojson's spacing is random on purpose
	if err := json.Unmarshal(text, &plain); err != nil {
		return err
	}
	text, err = json.Marshal(plain)
	if err != nil {
		return err
	}
	w.calls = append(w.calls, method+" "+string(text))
	return w.failing[method]
}

func (w *world) takeCalls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	calls := w.calls
	w.calls = nil
	return calls
}

func (w *world) fail(method string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failing[method] = err
}

// kinds are the kinds of the codes that client order ids like fail-MARKET_CLOSED ask for.
var kinds = map[errs.Code]errs.Kind{
	errs.CodeUnknownOutcome: errs.KindUnknownOutcome,
	errs.CodeUnavailable:    errs.KindUnavailable,
	errs.CodeInternal:       errs.KindInternal,
	errs.CodeRateLimited:    errs.KindTooManyRequests,
	errs.CodeBadPriceRange:  errs.KindInvalidArgument,
	errs.CodeUnknownOrder:   errs.KindNotFound,
}

func wanted(clientOrderID string) error {
	code, ok := strings.CutPrefix(clientOrderID, "fail-")
	if !ok {
		return nil
	}
	kind, ok := kinds[errs.Code(code)]
	if !ok {
		kind = errs.KindFailedPrecondition
	}
	return errs.New(kind, errs.Code(code), "wanted by the test")
}

func testSymbols() []*exchangepb.Symbol {
	rules := func(base, quote string) *exchangepb.Symbol {
		return &exchangepb.Symbol{
			Name: base + "/" + quote, BaseCoin: base, QuoteCoin: quote, BaseScale: 8, QuoteScale: 8,
			TickSize: "0.01000000", LotSize: "0.00001000", MinPrice: "0.01000000", MaxPrice: "1000000.00000000",
			MinQuantity: "0.00001000", MaxQuantity: "9000.00000000", MinNotional: "5.00000000", MaxNotional: "0.00000000",
			MakerFeePpm: 1000, TakerFeePpm: 1000, MarketBuyEnabled: true, MarketSellEnabled: true,
			Phase: eventpb.Phase_PHASE_TRADING, MaxOpenOrders: 200,
		}
	}
	btc, eth := rules("BTC", "USDT"), rules("ETH", "USDT")
	eth.BandUpPpm, eth.BandDownPpm, eth.Phase, eth.MaxNotional = 50_000, 40_000, eventpb.Phase_PHASE_HALT, "9000000.00000000"
	eth.BaseScale, eth.LotSize = 4, "0.0001"
	return []*exchangepb.Symbol{btc, eth}
}

type fakeExchange struct {
	exchangepb.ExchangeServiceClient
	w *world
}

func (f fakeExchange) ListSymbols(_ context.Context, _ *exchangepb.ListSymbolsRequest, _ ...grpc.CallOption) (*exchangepb.ListSymbolsResponse, error) {
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return &exchangepb.ListSymbolsResponse{Symbols: testSymbols()}, f.w.failing["ListSymbols"]
}

func (f fakeExchange) PlaceOrder(_ context.Context, in *exchangepb.PlaceOrderRequest, _ ...grpc.CallOption) (*exchangepb.PlaceOrderResponse, error) {
	if err := f.w.asked("PlaceOrder", in); err != nil {
		return nil, err
	}
	if err := wanted(in.GetOrder().GetClientOrderId()); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return f.w.place(in.GetOrder()), nil
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}

// place rests an order; fill-… fills it whole at 100, part-… half.
func (w *world) place(n *exchangepb.NewOrder) *exchangepb.PlaceOrderResponse {
	w.seq++
	now := w.clk.NowMs()
	o := &exchangepb.Order{
		OrderId: 1000 + int64(len(w.orders)), MemberId: n.GetMemberId(), ClientOrderId: n.GetClientOrderId(), Symbol: n.GetSymbol(),
		Side: n.GetSide(), Type: n.GetType(), TimeInForce: n.GetTimeInForce(), SelfTradePrevention: n.GetSelfTradePrevention(),
		State: eventpb.OrderState_ORDER_STATE_NEW, Price: orZero(n.GetPrice()), Quantity: orZero(n.GetQuantity()),
		QuoteAmount: orZero(n.GetQuoteAmount()), StopPrice: "0", TradedAmount: "0", Turnover: "0", Fee: "0",
		CreateTimeMs: now, UpdateTimeMs: now,
	}
	resp := &exchangepb.PlaceOrderResponse{
		Order: o, Position: &exchangepb.Position{Symbol: n.GetSymbol(), Seq: w.seq}, TouchedMemberIds: []int64{n.GetMemberId()},
	}
	quantity, err := money.Parse(o.GetQuantity(), 8)
	if quantity == 0 || err != nil {
		quote, _ := money.Parse(o.GetQuoteAmount(), 8)
		quantity = quote / 100
		o.Quantity = money.Format(quantity, 8)
	}
	switch {
	case strings.HasPrefix(n.GetClientOrderId(), "fill-") || n.GetType() == eventpb.OrderType_ORDER_TYPE_MARKET:
		o.State = eventpb.OrderState_ORDER_STATE_FILLED
	case strings.HasPrefix(n.GetClientOrderId(), "part-"):
		o.State, quantity = eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED, quantity/2
	default:
		quantity = 0
	}
	if quantity > 0 {
		o.TradedAmount, o.Turnover = money.Format(quantity, 8), money.Format(quantity*100, 8)
		o.Fee = money.Format(quantity/1000, 8)
		fill := &exchangepb.Fill{
			TradeId: int64(len(w.fills) + 1), OrderId: o.GetOrderId(), Symbol: o.GetSymbol(), Price: "100", Quantity: o.GetTradedAmount(),
			Turnover: o.GetTurnover(), Fee: o.GetFee(), FeeCoin: "BTC", Side: o.GetSide(), TimeMs: now,
		}
		w.fills = append(w.fills, fill)
		resp.Fills, resp.TouchedMemberIds = []*exchangepb.Fill{fill}, []int64{n.GetMemberId(), 8}
	}
	w.orders = append(w.orders, o)
	return proto.CloneOf(resp)
}

func (f fakeExchange) ValidateOrder(_ context.Context, in *exchangepb.ValidateOrderRequest, _ ...grpc.CallOption) (*exchangepb.ValidateOrderResponse, error) {
	if err := f.w.asked("ValidateOrder", in); err != nil {
		return nil, err
	}
	return &exchangepb.ValidateOrderResponse{}, wanted(in.GetOrder().GetClientOrderId())
}

func open(o *exchangepb.Order) bool {
	return o.GetState() == eventpb.OrderState_ORDER_STATE_NEW || o.GetState() == eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED
}

var errUnknownOrder = errs.New(errs.KindNotFound, errs.CodeUnknownOrder, "no such order")

// find returns the member's order that both ids mean.
func (w *world) find(member, id int64, clientID string) (*exchangepb.Order, error) {
	for _, o := range slices.Backward(w.orders) {
		if o.GetMemberId() == member && (id == 0 || o.GetOrderId() == id) && (clientID == "" || o.GetClientOrderId() == clientID) {
			return o, nil
		}
	}
	return nil, errUnknownOrder
}

func (f fakeExchange) CancelOrder(_ context.Context, in *exchangepb.CancelOrderRequest, _ ...grpc.CallOption) (*exchangepb.CancelOrderResponse, error) {
	if err := f.w.asked("CancelOrder", in); err != nil {
		return nil, err
	}
	if err := wanted(in.GetClientOrderId()); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	o, err := f.w.find(in.GetMemberId(), in.GetOrderId(), in.GetClientOrderId())
	if err != nil {
		return nil, err
	}
	if !open(o) {
		return nil, errs.New(errs.KindFailedPrecondition, errs.CodeOrderNotOpen, "ended")
	}
	f.w.seq++
	o.State = eventpb.OrderState_ORDER_STATE_CANCELED
	return &exchangepb.CancelOrderResponse{Order: proto.CloneOf(o), Position: &exchangepb.Position{Symbol: o.GetSymbol(), Seq: f.w.seq}}, nil
}

func (f fakeExchange) CancelAllOrders(_ context.Context, in *exchangepb.CancelAllOrdersRequest, _ ...grpc.CallOption) (*exchangepb.CancelAllOrdersResponse, error) {
	if err := f.w.asked("CancelAllOrders", in); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	f.w.seq++
	resp := &exchangepb.CancelAllOrdersResponse{Position: &exchangepb.Position{Symbol: in.GetSymbol(), Seq: f.w.seq}}
	for _, o := range f.w.orders {
		if open(o) && o.GetSymbol() == in.GetSymbol() {
			o.State = eventpb.OrderState_ORDER_STATE_CANCELED
			resp.Orders = append(resp.Orders, proto.CloneOf(o))
		}
	}
	return resp, nil
}

func (f fakeExchange) GetOrder(_ context.Context, in *exchangepb.GetOrderRequest, _ ...grpc.CallOption) (*exchangepb.GetOrderResponse, error) {
	if err := f.w.asked("GetOrder", in); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	clientID := in.GetClientOrderId()
	if in.GetOrderId() != 0 {
		clientID = "" // the gateway compares
	}
	o, err := f.w.find(in.GetMemberId(), in.GetOrderId(), clientID)
	return &exchangepb.GetOrderResponse{Order: proto.CloneOf(o)}, err
}

func (f fakeExchange) ListOpenOrders(_ context.Context, in *exchangepb.ListOpenOrdersRequest, _ ...grpc.CallOption) (*exchangepb.ListOpenOrdersResponse, error) {
	if err := f.w.asked("ListOpenOrders", in); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	resp := &exchangepb.ListOpenOrdersResponse{}
	for _, o := range f.w.orders {
		if open(o) {
			resp.Orders = append(resp.Orders, proto.CloneOf(o))
		}
	}
	return resp, nil
}

func (f fakeExchange) ListOrders(_ context.Context, in *exchangepb.ListOrdersRequest, _ ...grpc.CallOption) (*exchangepb.ListOrdersResponse, error) {
	if err := f.w.asked("ListOrders", in); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	resp := &exchangepb.ListOrdersResponse{}
	for _, o := range f.w.orders {
		if !in.GetFinalOnly() || !open(o) {
			resp.Orders = append(resp.Orders, proto.CloneOf(o))
		}
	}
	return resp, nil
}

func (f fakeExchange) ListTrades(_ context.Context, in *exchangepb.ListTradesRequest, _ ...grpc.CallOption) (*exchangepb.ListTradesResponse, error) {
	if err := f.w.asked("ListTrades", in); err != nil {
		return nil, err
	}
	f.w.mu.Lock()
	defer f.w.mu.Unlock()
	return &exchangepb.ListTradesResponse{Fills: slices.Clone(f.w.fills)}, nil
}

func (f fakeExchange) CreateSymbol(_ context.Context, in *exchangepb.CreateSymbolRequest, _ ...grpc.CallOption) (*exchangepb.CreateSymbolResponse, error) {
	s := proto.CloneOf(in.GetSymbol())
	s.Phase = eventpb.Phase_PHASE_TRADING
	return &exchangepb.CreateSymbolResponse{Symbol: s}, f.w.asked("CreateSymbol", in)
}

func (f fakeExchange) SetSymbolPhase(_ context.Context, in *exchangepb.SetSymbolPhaseRequest, _ ...grpc.CallOption) (*exchangepb.SetSymbolPhaseResponse, error) {
	s := testSymbols()[0]
	s.Phase = in.GetPhase()
	return &exchangepb.SetSymbolPhaseResponse{Symbol: s}, f.w.asked("SetSymbolPhase", in)
}

type fakeWallet struct {
	walletpb.WalletServiceClient
	w *world
}

func (f fakeWallet) GetWallets(_ context.Context, in *walletpb.GetWalletsRequest, _ ...grpc.CallOption) (*walletpb.GetWalletsResponse, error) {
	if err := f.w.asked("GetWallets", in); err != nil {
		return nil, err
	}
	resp := &walletpb.GetWalletsResponse{Wallets: []*walletpb.Wallet{
		{Coin: "BTC", Available: "1.50000000", Held: "0.25000000", UpdateTimeMs: 1_700_000_000_000},
		{Coin: "ETH", Available: "0.0000", Held: "0.0000"},
		{Coin: "USDT", Available: "1000.00000000", Held: "0.00000000", UpdateTimeMs: 1_600_000_000_000},
	}}
	if in.GetCoin() != "" {
		resp.Wallets = slices.DeleteFunc(resp.Wallets, func(w *walletpb.Wallet) bool { return w.GetCoin() != in.GetCoin() })
	}
	return resp, nil
}

func (f fakeWallet) ListTransactions(_ context.Context, in *walletpb.ListTransactionsRequest, _ ...grpc.CallOption) (*walletpb.ListTransactionsResponse, error) {
	return &walletpb.ListTransactionsResponse{
		Transactions: []*walletpb.Transaction{{
			TxId: 5, Line: 1, Kind: "deposit", Coin: "BTC", Account: "AVAILABLE", Amount: "1.50000000",
			BalanceAfter: "1.50000000", Reference: "first", TimeMs: 1_700_000_000_000,
		}}, NextPageToken: "next",
	}, f.w.asked("ListTransactions", in)
}

func (f fakeWallet) ListCoins(_ context.Context, in *walletpb.ListCoinsRequest, _ ...grpc.CallOption) (*walletpb.ListCoinsResponse, error) {
	return &walletpb.ListCoinsResponse{Coins: []*walletpb.Coin{{Name: "BTC", FullName: "Bitcoin", Scale: 8}}}, f.w.asked("ListCoins", in)
}

func (f fakeWallet) CreateCoin(_ context.Context, in *walletpb.CreateCoinRequest, _ ...grpc.CallOption) (*walletpb.CreateCoinResponse, error) {
	return &walletpb.CreateCoinResponse{Coin: in.GetCoin()}, f.w.asked("CreateCoin", in)
}

func (f fakeWallet) Deposit(_ context.Context, in *walletpb.DepositRequest, _ ...grpc.CallOption) (*walletpb.DepositResponse, error) {
	return &walletpb.DepositResponse{
		Wallet: &walletpb.Wallet{Coin: in.GetCoin(), Available: in.GetAmount(), Held: "0"}, RepeatedRequest: in.GetReference() == "again",
	}, f.w.asked("Deposit", in)
}

type fakeMarket struct {
	marketpb.MarketServiceClient
	w *world
}

func (f fakeMarket) known(symbol string) error {
	if symbol == "BTC/USDT" {
		return nil
	}
	return errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "no such symbol")
}

func (f fakeMarket) GetDepth(_ context.Context, in *marketpb.GetDepthRequest, _ ...grpc.CallOption) (*marketpb.GetDepthResponse, error) {
	if err := f.w.asked("GetDepth", in); err != nil {
		return nil, err
	}
	if err := f.known(in.GetSymbol()); err != nil {
		return nil, err
	}
	return &marketpb.GetDepthResponse{
		Seq:  42,
		Bids: []*marketpb.Level{{Price: "99.50000000", Quantity: "2.00000000"}, {Price: "99.00000000", Quantity: "1.00000000"}},
		Asks: []*marketpb.Level{{Price: "100.50000000", Quantity: "0.50000000"}},
	}, nil
}

func (f fakeMarket) ListTrades(_ context.Context, in *marketpb.ListTradesRequest, _ ...grpc.CallOption) (*marketpb.ListTradesResponse, error) {
	if err := f.w.asked("ListPublicTrades", in); err != nil {
		return nil, err
	}
	if err := f.known(in.GetSymbol()); err != nil {
		return nil, err
	}
	return &marketpb.ListTradesResponse{Trades: []*marketpb.Trade{
		{TradeId: 1, Price: "100", Quantity: "0.5", Turnover: "50", TakerSide: eventpb.Side_SIDE_BUY, TimeMs: 1_700_000_000_000},
		{TradeId: 2, Price: "99.5", Quantity: "1", Turnover: "99.5", TakerSide: eventpb.Side_SIDE_SELL, TimeMs: 1_700_000_000_001},
	}}, nil
}

func (f fakeMarket) ListTickers(_ context.Context, in *marketpb.ListTickersRequest, _ ...grpc.CallOption) (*marketpb.ListTickersResponse, error) {
	if err := f.w.asked("ListTickers", in); err != nil {
		return nil, err
	}
	for _, s := range in.GetSymbols() {
		if err := f.known(s); err != nil {
			return nil, err
		}
	}
	return &marketpb.ListTickersResponse{Tickers: []*marketpb.Ticker{{
		Symbol: "BTC/USDT", OpenPrice: "90", HighPrice: "101", LowPrice: "89", LastPrice: "99.5", LastQuantity: "1", Volume: "3",
		QuoteVolume: "290", BidPrice: "99.5", BidQuantity: "2", AskPrice: "100.5", AskQuantity: "0.5",
		OpenTimeMs: 1_699_913_600_000, CloseTimeMs: 1_700_000_000_000, FirstTradeId: 1, LastTradeId: 2, Count: 2, PreviousClosePrice: "90",
	}}}, nil
}

type fakeUcenter struct {
	ucenterpb.UcenterServiceClient
	w *world
}

func sign(payload string) string {
	mac := hmac.New(sha256.New, []byte(testSecret))
	mac.Write([]byte(payload))
	return hex.EncodeToString(mac.Sum(nil))
}

func (f fakeUcenter) VerifySignature(_ context.Context, in *ucenterpb.VerifySignatureRequest, _ ...grpc.CallOption) (*ucenterpb.VerifySignatureResponse, error) {
	f.w.mu.Lock()
	err, verified := f.w.failing["VerifySignature"], f.w.verified
	f.w.mu.Unlock()
	if verified != nil {
		verified()
	}
	switch {
	case err != nil:
		return nil, err
	case in.GetKey() != testKey && in.GetKey() != readOnlyKey:
		return nil, errs.New(errs.KindUnauthenticated, errs.CodeBadAPIKey, "no such key")
	case strings.ToLower(in.GetSignature()) != sign(string(in.GetPayload())):
		return nil, errs.New(errs.KindUnauthenticated, errs.CodeBadSignature, "signature does not match")
	case in.GetKey() == readOnlyKey && in.GetPermission() != ucenterpb.Permission_PERMISSION_READ:
		return nil, errs.New(errs.KindPermissionDenied, errs.CodeAPIKeyNotPermitted, "key may not do this")
	}
	return &ucenterpb.VerifySignatureResponse{MemberId: testMember}, nil
}

func (f fakeUcenter) VerifySession(_ context.Context, in *ucenterpb.VerifySessionRequest, _ ...grpc.CallOption) (*ucenterpb.VerifySessionResponse, error) {
	if in.GetAccessToken() != testToken {
		return nil, errs.New(errs.KindUnauthenticated, errs.CodeTokenExpired, "session has ended")
	}
	return &ucenterpb.VerifySessionResponse{MemberId: testMember}, nil
}

func (f fakeUcenter) SendVerificationCode(_ context.Context, in *ucenterpb.SendVerificationCodeRequest, _ ...grpc.CallOption) (*ucenterpb.SendVerificationCodeResponse, error) {
	return &ucenterpb.SendVerificationCodeResponse{}, f.w.asked("SendVerificationCode", in)
}

var testProfile = &ucenterpb.Member{MemberId: testMember, Email: "seven@example.org", Username: "seven", CreateTimeMs: 1_700_000_000_000}

func (f fakeUcenter) Register(_ context.Context, in *ucenterpb.RegisterRequest, _ ...grpc.CallOption) (*ucenterpb.RegisterResponse, error) {
	return &ucenterpb.RegisterResponse{Member: testProfile}, f.w.asked("Register", in)
}

func (f fakeUcenter) CreateMember(_ context.Context, in *ucenterpb.CreateMemberRequest, _ ...grpc.CallOption) (*ucenterpb.CreateMemberResponse, error) {
	return &ucenterpb.CreateMemberResponse{Member: testProfile}, f.w.asked("CreateMember", in)
}

func (f fakeUcenter) GetMember(_ context.Context, in *ucenterpb.GetMemberRequest, _ ...grpc.CallOption) (*ucenterpb.GetMemberResponse, error) {
	if in.GetMemberId() > 1_000_000 {
		return nil, errs.New(errs.KindNotFound, errs.CodeUnknownMember, "no such member")
	}
	return &ucenterpb.GetMemberResponse{Member: testProfile}, nil
}

var testSession = &ucenterpb.Session{
	AccessToken: testToken, AccessExpireTimeMs: 1_700_000_900_000, RefreshToken: "refresh", RefreshExpireTimeMs: 1_700_600_000_000,
}

func (f fakeUcenter) Login(_ context.Context, in *ucenterpb.LoginRequest, _ ...grpc.CallOption) (*ucenterpb.LoginResponse, error) {
	if err := f.w.asked("Login", in); err != nil {
		return nil, err
	}
	if in.GetPassword() != "right" {
		return nil, errs.New(errs.KindUnauthenticated, errs.CodeBadCredentials, "name or password is wrong")
	}
	return &ucenterpb.LoginResponse{Member: testProfile, Session: testSession}, nil
}

func (f fakeUcenter) RefreshSession(_ context.Context, in *ucenterpb.RefreshSessionRequest, _ ...grpc.CallOption) (*ucenterpb.RefreshSessionResponse, error) {
	return &ucenterpb.RefreshSessionResponse{Session: testSession}, f.w.asked("RefreshSession", in)
}

func (f fakeUcenter) Logout(_ context.Context, in *ucenterpb.LogoutRequest, _ ...grpc.CallOption) (*ucenterpb.LogoutResponse, error) {
	return &ucenterpb.LogoutResponse{}, f.w.asked("Logout", in)
}

func (f fakeUcenter) CreateApiKey(_ context.Context, in *ucenterpb.CreateApiKeyRequest, _ ...grpc.CallOption) (*ucenterpb.CreateApiKeyResponse, error) { //nolint:revive // the generated interface's name
	return &ucenterpb.CreateApiKeyResponse{
		ApiKey: &ucenterpb.ApiKey{Key: testKey, Label: in.GetLabel(), Permissions: in.GetPermissions(), IpList: in.GetIpList()},
		Secret: testSecret,
	}, f.w.asked("CreateApiKey", in)
}

func (f fakeUcenter) ListApiKeys(_ context.Context, in *ucenterpb.ListApiKeysRequest, _ ...grpc.CallOption) (*ucenterpb.ListApiKeysResponse, error) { //nolint:revive // the generated interface's name
	return &ucenterpb.ListApiKeysResponse{ApiKeys: []*ucenterpb.ApiKey{{Key: testKey, Label: "bot"}}}, f.w.asked("ListApiKeys", in)
}

func (f fakeUcenter) DeleteApiKey(_ context.Context, in *ucenterpb.DeleteApiKeyRequest, _ ...grpc.CallOption) (*ucenterpb.DeleteApiKeyResponse, error) { //nolint:revive // the generated interface's name
	return &ucenterpb.DeleteApiKeyResponse{}, f.w.asked("DeleteApiKey", in)
}

// stamp returns a timestamp parameter, off by ms.
func stamp(clk clock.Clock, offMs int64) string {
	return "timestamp=" + strconv.FormatInt(clk.NowMs()+offMs, 10)
}
