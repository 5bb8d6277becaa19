// Package admin is the operators' API: coins, symbols, deposits, members. It has a
// token of its own and answers in the site's envelope.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"

	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/handler/envelope"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

// TokenHeader carries the operators' token.
const TokenHeader = "X-Admin-Token"

// SharedName is who decides with the token that operators share. The wallet knows it: where
// two must decide, it is nobody.
const SharedName = "admin"

const maxID = 1<<53 - 1

// Config sets who may use the API.
type Config struct {
	// Token is what TokenHeader must carry; with "" the API refuses everybody but the
	// operators. Its owner's name in decisions is [SharedName].
	Token string
	// Operators have tokens of their own, by name: for what takes two of them.
	Operators map[string]string
	// Timeout bounds a request.
	Timeout time.Duration
}

// API serves operators.
type API struct {
	cfg      Config
	backends client.Backends
	catalog  *client.Catalog
}

// New returns the operators' API over its backends.
func New(cfg Config, backends client.Backends, catalog *client.Catalog) *API {
	return &API{cfg: cfg, backends: backends, catalog: catalog}
}

// Routes returns the API's routes.
func (a *API) Routes() []rest.Route {
	const get, post = http.MethodGet, http.MethodPost
	return []rest.Route{
		{Method: get, Path: "/admin/coins", Handler: a.serve(a.listCoins)},
		{Method: post, Path: "/admin/coin", Handler: a.serve(a.createCoin)},
		{Method: get, Path: "/admin/symbols", Handler: a.serve(a.listSymbols)},
		{Method: post, Path: "/admin/symbol", Handler: a.serve(a.createSymbol)},
		{Method: post, Path: "/admin/symbol/phase", Handler: a.serve(a.setPhase)},
		{Method: post, Path: "/admin/deposit", Handler: a.serveNamed(a.deposit)},
		{Method: get, Path: "/admin/deposits", Handler: a.serve(a.listDeposits)},
		{Method: get, Path: "/admin/withdrawals", Handler: a.serve(a.listWithdrawals)},
		{Method: post, Path: "/admin/withdraw/approve", Handler: a.serveNamed(a.reviewWithdrawal(true))},
		{Method: post, Path: "/admin/withdraw/reject", Handler: a.serveNamed(a.reviewWithdrawal(false))},
		{Method: post, Path: "/admin/withdraw/retry", Handler: a.serve(a.retryWithdrawal)},
		{Method: post, Path: "/admin/withdraw/abandon", Handler: a.serve(a.abandonWithdrawal)},
		{Method: get, Path: "/admin/stops", Handler: a.serve(a.listStops)},
		{Method: post, Path: "/admin/stop", Handler: a.serve(a.setStop)},
		{Method: post, Path: "/admin/member", Handler: a.serve(a.createMember)},
		{Method: post, Path: "/admin/correction", Handler: a.serveNamed(a.requestCorrection)},
		{Method: post, Path: "/admin/stop/lift", Handler: a.serveNamed(a.liftStop)},
		{Method: get, Path: "/admin/decisions", Handler: a.serve(a.listDecisions)},
		{Method: post, Path: "/admin/decision/approve", Handler: a.serveNamed(a.approveDecision)},
		{Method: post, Path: "/admin/decision/reject", Handler: a.serveNamed(a.rejectDecision)},
		{Method: get, Path: "/admin/fee-income", Handler: a.serve(a.listFeeIncome)},
	}
}

func (a *API) serve(handle func(context.Context, *envelope.Fields) (any, error)) http.HandlerFunc {
	return a.serveNamed(func(ctx context.Context, _ string, f *envelope.Fields) (any, error) { return handle(ctx, f) })
}

// serveNamed serves what is on record with who asked for it.
func (a *API) serveNamed(handle func(ctx context.Context, operator string, f *envelope.Fields) (any, error)) http.HandlerFunc {
	return envelope.Handle(a.cfg.Timeout, func(ctx context.Context, r *http.Request, f *envelope.Fields) (any, error) {
		operator, ok := a.operator(r.Header.Get(TokenHeader))
		if !ok {
			return nil, errs.New(errs.KindUnauthenticated, errs.CodeUnauthenticated, "operators only")
		}
		data, err := handle(ctx, operator, f)
		if r.Method != http.MethodGet {
			logx.WithContext(ctx).Infof("operator %s: %s: error %q", operator, r.URL.Path, errs.CodeOf(err))
		}
		return data, err
	})
}

// operator returns whose token it is. It compares with all of them, in constant time, the
// length included.
func (a *API) operator(token string) (name string, ok bool) {
	given := sha256.Sum256([]byte(token))
	same := func(wanted string) bool {
		hash := sha256.Sum256([]byte(wanted))
		return subtle.ConstantTimeCompare(given[:], hash[:]) == 1 && wanted != ""
	}
	if same(a.cfg.Token) {
		name, ok = SharedName, true
	}
	for who, wanted := range a.cfg.Operators {
		if same(wanted) {
			name, ok = who, true
		}
	}
	return name, ok
}

type coin struct {
	Name     string `json:"name"`
	FullName string `json:"fullName"`
	Scale    int32  `json:"scale"`
}

func coinOf(c *walletpb.Coin) coin {
	return coin{Name: c.GetName(), FullName: c.GetFullName(), Scale: c.GetScale()}
}

func (a *API) listCoins(ctx context.Context, _ *envelope.Fields) (any, error) {
	resp, err := a.backends.Wallet.ListCoins(ctx, &walletpb.ListCoinsRequest{})
	if err != nil {
		return nil, err
	}
	coins := make([]coin, len(resp.GetCoins()))
	for i, c := range resp.GetCoins() {
		coins[i] = coinOf(c)
	}
	return coins, nil
}

func (a *API) createCoin(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &walletpb.Coin{
		Name: f.Mandatory("name", 10), FullName: f.Text("fullName", 64), Scale: int32(f.Int("scale", 8, 0, 8)),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Wallet.CreateCoin(ctx, &walletpb.CreateCoinRequest{Coin: request})
	if err != nil {
		return nil, err
	}
	return coinOf(resp.GetCoin()), nil
}

// Symbol is a symbol with its rules, in the site's words.
type Symbol struct {
	// Symbol is its name, like "BTC/USDT".
	Symbol string `json:"symbol"`
	// CoinSymbol is the base asset.
	CoinSymbol string `json:"coinSymbol"`
	// BaseSymbol is the quote asset.
	BaseSymbol string `json:"baseSymbol"`
	// CoinScale and BaseCoinScale are the decimals of the two.
	CoinScale     int32 `json:"coinScale"`
	BaseCoinScale int32 `json:"baseCoinScale"`
	// TickSize and LotSize are the steps of prices and quantities.
	TickSize string `json:"tickSize"`
	LotSize  string `json:"lotSize"`
	// MinPrice to MaxTurnover bound an order.
	MinPrice    string `json:"minPrice"`
	MaxPrice    string `json:"maxPrice"`
	MinVolume   string `json:"minVolume"`
	MaxVolume   string `json:"maxVolume"`
	MinTurnover string `json:"minTurnover"`
	MaxTurnover string `json:"maxTurnover"`
	// MakerFeePpm and TakerFeePpm are the fee rates, millionths.
	MakerFeePpm int32 `json:"makerFeePpm"`
	TakerFeePpm int32 `json:"takerFeePpm"`
	// EnableMarketBuy and EnableMarketSell tell which market orders are accepted.
	EnableMarketBuy  bool `json:"enableMarketBuy"`
	EnableMarketSell bool `json:"enableMarketSell"`
	// Phase is TRADING, CANCEL_ONLY or HALT.
	Phase string `json:"phase"`
	// MaxTradingOrder is how many open orders a member may have; 0 is no limit.
	MaxTradingOrder int32 `json:"maxTradingOrder"`
	// BandUpPpm and BandDownPpm bound prices around the last trade, millionths; 0 is off.
	BandUpPpm   int64 `json:"bandUpPpm"`
	BandDownPpm int64 `json:"bandDownPpm"`
}

// SymbolOf tells a symbol in the site's words.
func SymbolOf(s *exchangepb.Symbol) Symbol {
	return Symbol{
		Symbol: s.GetName(), CoinSymbol: s.GetBaseCoin(), BaseSymbol: s.GetQuoteCoin(),
		CoinScale: s.GetBaseScale(), BaseCoinScale: s.GetQuoteScale(), TickSize: s.GetTickSize(), LotSize: s.GetLotSize(),
		MinPrice: s.GetMinPrice(), MaxPrice: s.GetMaxPrice(), MinVolume: s.GetMinQuantity(), MaxVolume: s.GetMaxQuantity(),
		MinTurnover: s.GetMinNotional(), MaxTurnover: s.GetMaxNotional(), MakerFeePpm: s.GetMakerFeePpm(),
		TakerFeePpm: s.GetTakerFeePpm(), EnableMarketBuy: s.GetMarketBuyEnabled(), EnableMarketSell: s.GetMarketSellEnabled(),
		Phase: phaseName(s.GetPhase()), MaxTradingOrder: s.GetMaxOpenOrders(),
		BandUpPpm: s.GetBandUpPpm(), BandDownPpm: s.GetBandDownPpm(),
	}
}

func (a *API) listSymbols(ctx context.Context, _ *envelope.Fields) (any, error) {
	resp, err := a.backends.Exchange.ListSymbols(ctx, &exchangepb.ListSymbolsRequest{})
	if err != nil {
		return nil, err
	}
	symbols := make([]Symbol, len(resp.GetSymbols()))
	for i, s := range resp.GetSymbols() {
		symbols[i] = SymbolOf(s)
	}
	return symbols, nil
}

func (a *API) createSymbol(ctx context.Context, f *envelope.Fields) (any, error) {
	request := symbolFrom(f)
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.CreateSymbol(ctx, &exchangepb.CreateSymbolRequest{Symbol: request})
	if err != nil {
		return nil, err
	}
	a.catalog.Forget()
	return SymbolOf(resp.GetSymbol()), nil
}

// symbolFrom reads the rules of a symbol; Int bounds every number.
func symbolFrom(f *envelope.Fields) *exchangepb.Symbol {
	const mostPpm, mostBand = 999_999, 1_000_000_000
	s := &exchangepb.Symbol{
		BaseCoin: f.Mandatory("coinSymbol", 10), QuoteCoin: f.Mandatory("baseSymbol", 10),
		BaseScale: int32(f.Int("coinScale", 8, 0, 8)), QuoteScale: int32(f.Int("baseCoinScale", 8, 0, 8)),
		TickSize: f.Amount("tickSize"), LotSize: f.Amount("lotSize"),
		MinPrice: f.Decimal("minPrice"), MaxPrice: f.Amount("maxPrice"),
		MinQuantity: f.Decimal("minVolume"), MaxQuantity: f.Amount("maxVolume"),
		MinNotional: f.Decimal("minTurnover"), MaxNotional: f.Decimal("maxTurnover"),
		MakerFeePpm: int32(f.Int("makerFeePpm", 1000, 0, mostPpm)), TakerFeePpm: int32(f.Int("takerFeePpm", 1000, 0, mostPpm)),
		MarketBuyEnabled:  !f.Sent("enableMarketBuy") || f.Bool("enableMarketBuy"),
		MarketSellEnabled: !f.Sent("enableMarketSell") || f.Bool("enableMarketSell"),
		MaxOpenOrders:     int32(f.Int("maxTradingOrder", 0, 0, 1_000_000)),
		BandUpPpm:         f.Int("bandUpPpm", 0, 0, mostBand), BandDownPpm: f.Int("bandDownPpm", 0, 0, mostPpm),
	}
	s.Name = s.GetBaseCoin() + "/" + s.GetQuoteCoin()
	if s.GetMinPrice() == "" {
		s.MinPrice = s.GetTickSize()
	}
	if s.GetMinQuantity() == "" {
		s.MinQuantity = s.GetLotSize()
	}
	for _, bound := range []*string{&s.MinNotional, &s.MaxNotional} {
		if *bound == "" {
			*bound = "0"
		}
	}
	return s
}

var phases = map[string]eventpb.Phase{
	"TRADING":     eventpb.Phase_PHASE_TRADING,
	"CANCEL_ONLY": eventpb.Phase_PHASE_CANCEL_ONLY,
	"HALT":        eventpb.Phase_PHASE_HALT,
}

func phaseName(phase eventpb.Phase) string {
	for name, p := range phases {
		if p == phase {
			return name
		}
	}
	return ""
}

func (a *API) setPhase(ctx context.Context, f *envelope.Fields) (any, error) {
	name := f.Mandatory("symbol", 21)
	phase, ok := phases[f.Mandatory("phase", 20)]
	if err := f.Err(); err != nil {
		return nil, err
	}
	if !ok {
		return nil, envelope.BadRequest("phase must be TRADING, CANCEL_ONLY or HALT")
	}
	symbol, err := a.catalog.ByAnyName(ctx, name)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.SetSymbolPhase(ctx, &exchangepb.SetSymbolPhaseRequest{Symbol: symbol.GetName(), Phase: phase})
	if err != nil {
		return nil, err
	}
	a.catalog.Forget()
	return SymbolOf(resp.GetSymbol()), nil
}

// deposit credits what came by no chain. Who credited what is in the log.
func (a *API) deposit(ctx context.Context, operator string, f *envelope.Fields) (any, error) {
	request := &walletpb.DepositRequest{
		Reference: f.Mandatory("reference", 64), MemberId: f.Int("memberId", 0, 1, maxID),
		Coin: f.Mandatory("coin", 10), Amount: f.Amount("amount"),
	}
	if request.GetMemberId() == 0 && f.Err() == nil {
		return nil, envelope.BadRequest("memberId is missing")
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	// The wallet knows no members: money of a mistyped one would be out of everybody's reach.
	if _, err := a.backends.Ucenter.GetMember(ctx, &ucenterpb.GetMemberRequest{MemberId: request.GetMemberId()}); err != nil {
		return nil, nothingDone(err)
	}
	resp, err := a.backends.Wallet.Deposit(ctx, request)
	if err != nil {
		return nil, err
	}
	logx.WithContext(ctx).Infof("operator %s credited member %d with %s %s, reference %q, again: %t",
		operator, request.GetMemberId(), request.GetAmount(), request.GetCoin(), request.GetReference(), resp.GetRepeatedRequest())
	w := resp.GetWallet()
	return struct {
		Coin          string `json:"coin"`
		Balance       string `json:"balance"`
		FrozenBalance string `json:"frozenBalance"`
		Repeated      bool   `json:"repeated"`
	}{w.GetCoin(), w.GetAvailable(), w.GetHeld(), resp.GetRepeatedRequest()}, nil
}

// nothingDone turns a missing answer into a refusal, for questions that come before
// anything is done.
func nothingDone(err error) error {
	if kind := errs.KindOf(err); kind == errs.KindUnknownOutcome || kind == errs.KindInternal {
		return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "not available; try again").Wrap(err)
	}
	return err
}

func (a *API) createMember(ctx context.Context, f *envelope.Fields) (any, error) {
	request := &ucenterpb.CreateMemberRequest{
		Email: f.Mandatory("email", 254), Password: f.Mandatory("password", 1024), Username: f.Text("username", 64),
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Ucenter.CreateMember(ctx, request)
	if err != nil {
		return nil, err
	}
	m := resp.GetMember()
	return struct {
		MemberID int64  `json:"memberId"`
		Email    string `json:"email"`
		Username string `json:"username"`
	}{m.GetMemberId(), m.GetEmail(), m.GetUsername()}, nil
}
