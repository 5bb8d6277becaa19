package spot

import (
	"context"
	"strings"

	"github.com/shopspring/decimal"

	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/param"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	"mscoin/mscoin-common/errs"
)

const (
	usualDepth = 100
	mostDepth  = 5000

	noTrade = -1 // firstId and lastId of a day without trades
)

type depthAnswer struct {
	LastUpdateID int64       `json:"lastUpdateId"`
	Bids         [][2]string `json:"bids"`
	Asks         [][2]string `json:"asks"`
}

// depthWeight grows with the levels that are asked for.
func depthWeight(v param.Values) int64 {
	d := decoder{values: v}
	switch limit := d.limit(usualDepth, mostDepth); {
	case limit <= 100:
		return 5
	case limit <= 500:
		return 25
	case limit <= 1000:
		return 50
	default:
		return 250
	}
}

// depth is GET /api/v3/depth.
func (a *API) depth(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	limit := d.limit(usualDepth, mostDepth)
	if err := d.err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Market.GetDepth(ctx, &marketpb.GetDepthRequest{Symbol: symbol.GetName(), Limit: limit})
	if err != nil && !silent(err) {
		return nil, err
	}
	return depthAnswer{LastUpdateID: resp.GetSeq(), Bids: levelsOf(resp.GetBids()), Asks: levelsOf(resp.GetAsks())}, nil
}

// silent reports whether the market has not heard of a symbol that is listed: nothing
// has happened in it yet.
func silent(err error) bool { return errs.CodeOf(err) == errs.CodeUnknownSymbol }

func levelsOf(levels []*marketpb.Level) [][2]string {
	answer := make([][2]string, len(levels))
	for i, l := range levels {
		answer[i] = [2]string{param.Fixed8(l.GetPrice()), param.Fixed8(l.GetQuantity())}
	}
	return answer
}

type publicTrade struct {
	ID           int64  `json:"id"`
	Price        string `json:"price"`
	Qty          string `json:"qty"`
	QuoteQty     string `json:"quoteQty"`
	Time         int64  `json:"time"`
	IsBuyerMaker bool   `json:"isBuyerMaker"`
	IsBestMatch  bool   `json:"isBestMatch"`
}

// trades is GET /api/v3/trades and its old path /api/v1/trades.
func (a *API) trades(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	limit := d.limit(usualPage, mostPage)
	if err := d.err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Market.ListTrades(ctx, &marketpb.ListTradesRequest{Symbol: symbol.GetName(), PageSize: limit})
	if err != nil && !silent(err) {
		return nil, err
	}
	answer := make([]publicTrade, len(resp.GetTrades()))
	for i, t := range resp.GetTrades() {
		answer[i] = publicTrade{
			ID: t.GetTradeId(), Price: param.Fixed8(t.GetPrice()), Qty: param.Fixed8(t.GetQuantity()),
			QuoteQty: param.Fixed8(t.GetTurnover()), Time: t.GetTimeMs(),
			IsBuyerMaker: t.GetTakerSide() == eventpb.Side_SIDE_SELL, IsBestMatch: true,
		}
	}
	return answer, nil
}

type dayTicker struct {
	Symbol             string `json:"symbol"`
	PriceChange        string `json:"priceChange"`
	PriceChangePercent string `json:"priceChangePercent"`
	WeightedAvgPrice   string `json:"weightedAvgPrice"`
	PrevClosePrice     string `json:"prevClosePrice"`
	LastPrice          string `json:"lastPrice"`
	LastQty            string `json:"lastQty"`
	BidPrice           string `json:"bidPrice"`
	BidQty             string `json:"bidQty"`
	AskPrice           string `json:"askPrice"`
	AskQty             string `json:"askQty"`
	OpenPrice          string `json:"openPrice"`
	HighPrice          string `json:"highPrice"`
	LowPrice           string `json:"lowPrice"`
	Volume             string `json:"volume"`
	QuoteVolume        string `json:"quoteVolume"`
	OpenTime           int64  `json:"openTime"`
	CloseTime          int64  `json:"closeTime"`
	FirstID            int64  `json:"firstId"`
	LastID             int64  `json:"lastId"`
	Count              int64  `json:"count"`
}

type miniTicker struct {
	Symbol      string `json:"symbol"`
	OpenPrice   string `json:"openPrice"`
	HighPrice   string `json:"highPrice"`
	LowPrice    string `json:"lowPrice"`
	LastPrice   string `json:"lastPrice"`
	Volume      string `json:"volume"`
	QuoteVolume string `json:"quoteVolume"`
	OpenTime    int64  `json:"openTime"`
	CloseTime   int64  `json:"closeTime"`
	FirstID     int64  `json:"firstId"`
	LastID      int64  `json:"lastId"`
	Count       int64  `json:"count"`
}

type priceTicker struct {
	Symbol string `json:"symbol"`
	Price  string `json:"price"`
}

type bookTicker struct {
	Symbol   string `json:"symbol"`
	BidPrice string `json:"bidPrice"`
	BidQty   string `json:"bidQty"`
	AskPrice string `json:"askPrice"`
	AskQty   string `json:"askQty"`
}

// dayTickerWeight grows with the symbols that are asked for.
func dayTickerWeight(v param.Values) int64 {
	if sent(v, "symbol") {
		return 2
	}
	names, listed := v.Lookup("symbols")
	switch count := strings.Count(names, ",") + 1; {
	case !listed || count > 100:
		return 80
	case count > 20:
		return 40
	default:
		return 2
	}
}

// dayTicker is GET /api/v3/ticker/24hr.
func (a *API) dayTicker(ctx context.Context, c *call) (any, error) {
	d := c.params()
	switch d.text("type") {
	case "", "FULL":
		return tickers(ctx, a, d, dayTickerOf)
	case "MINI":
		return tickers(ctx, a, d, miniTickerOf)
	default:
		return nil, errTickerType
	}
}

// priceTicker is GET /api/v3/ticker/price.
func (a *API) priceTicker(ctx context.Context, c *call) (any, error) {
	return tickers(ctx, a, c.params(), func(name string, t *marketpb.Ticker) priceTicker {
		return priceTicker{Symbol: name, Price: param.Fixed8(t.GetLastPrice())}
	})
}

// bookTicker is GET /api/v3/ticker/bookTicker.
func (a *API) bookTicker(ctx context.Context, c *call) (any, error) {
	return tickers(ctx, a, c.params(), func(name string, t *marketpb.Ticker) bookTicker {
		return bookTicker{
			Symbol: name, BidPrice: param.Fixed8(t.GetBidPrice()), BidQty: param.Fixed8(t.GetBidQuantity()),
			AskPrice: param.Fixed8(t.GetAskPrice()), AskQty: param.Fixed8(t.GetAskQuantity()),
		}
	})
}

// tickers answers with one object for symbol and with a list otherwise. Listed symbols
// that the market has not heard of have empty tickers.
func tickers[T any](ctx context.Context, a *API, d *decoder, shape func(name string, t *marketpb.Ticker) T) (any, error) {
	symbols, one, err := a.symbols(ctx, d)
	if err != nil {
		return nil, err
	}
	found, err := a.marketTickers(ctx, symbols, d.hasSymbols())
	if err != nil {
		return nil, err
	}
	answer := make([]T, len(symbols))
	for i, s := range symbols {
		t := found[s.GetName()]
		if t == nil {
			now := a.clk.NowMs()
			t = &marketpb.Ticker{
				OpenTimeMs: now - maxLookup.Milliseconds(), CloseTimeMs: now, FirstTradeId: noTrade, LastTradeId: noTrade,
			}
		}
		answer[i] = shape(client.PublicName(s.GetName()), t)
	}
	if one {
		return answer[0], nil
	}
	return answer, nil
}

// marketTickers returns tickers by name, those of the symbols at least that the market
// has heard of.
func (a *API) marketTickers(ctx context.Context, symbols []*exchangepb.Symbol, named bool) (map[string]*marketpb.Ticker, error) {
	request := &marketpb.ListTickersRequest{}
	if named {
		for _, s := range symbols {
			request.Symbols = append(request.Symbols, s.GetName())
		}
	}
	resp, err := a.backends.Market.ListTickers(ctx, request)
	if silent(err) {
		// One unknown name refuses the whole list: take all there are instead.
		resp, err = a.backends.Market.ListTickers(ctx, &marketpb.ListTickersRequest{})
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]*marketpb.Ticker, len(resp.GetTickers()))
	for _, t := range resp.GetTickers() {
		found[t.GetSymbol()] = t
	}
	return found, nil
}

func dayTickerOf(name string, t *marketpb.Ticker) dayTicker {
	change, percent := changeOf(t)
	return dayTicker{
		Symbol: name, PriceChange: change, PriceChangePercent: percent, WeightedAvgPrice: averageOf(t),
		PrevClosePrice: param.Fixed8(t.GetPreviousClosePrice()), LastPrice: param.Fixed8(t.GetLastPrice()),
		LastQty: param.Fixed8(t.GetLastQuantity()), BidPrice: param.Fixed8(t.GetBidPrice()),
		BidQty: param.Fixed8(t.GetBidQuantity()), AskPrice: param.Fixed8(t.GetAskPrice()),
		AskQty: param.Fixed8(t.GetAskQuantity()), OpenPrice: param.Fixed8(t.GetOpenPrice()),
		HighPrice: param.Fixed8(t.GetHighPrice()), LowPrice: param.Fixed8(t.GetLowPrice()),
		Volume: param.Fixed8(t.GetVolume()), QuoteVolume: param.Fixed8(t.GetQuoteVolume()),
		OpenTime: t.GetOpenTimeMs(), CloseTime: t.GetCloseTimeMs(),
		FirstID: t.GetFirstTradeId(), LastID: t.GetLastTradeId(), Count: t.GetCount(),
	}
}

func miniTickerOf(name string, t *marketpb.Ticker) miniTicker {
	return miniTicker{
		Symbol: name, OpenPrice: param.Fixed8(t.GetOpenPrice()), HighPrice: param.Fixed8(t.GetHighPrice()),
		LowPrice: param.Fixed8(t.GetLowPrice()), LastPrice: param.Fixed8(t.GetLastPrice()),
		Volume: param.Fixed8(t.GetVolume()), QuoteVolume: param.Fixed8(t.GetQuoteVolume()),
		OpenTime: t.GetOpenTimeMs(), CloseTime: t.GetCloseTimeMs(),
		FirstID: t.GetFirstTradeId(), LastID: t.GetLastTradeId(), Count: t.GetCount(),
	}
}

const (
	displayDecimals = 8
	percentDecimals = 3
)

// changeOf returns last − open and that in percent of open, zero without trades.
func changeOf(t *marketpb.Ticker) (change, percent string) {
	open, last := number(t.GetOpenPrice()), number(t.GetLastPrice())
	if t.GetCount() == 0 || open.IsZero() {
		return zeroAmount, "0.000"
	}
	difference := last.Sub(open)
	return difference.StringFixed(displayDecimals),
		difference.Mul(decimal.NewFromInt(100)).DivRound(open, percentDecimals).StringFixed(percentDecimals)
}

// averageOf returns quote volume / volume, zero without trades.
func averageOf(t *marketpb.Ticker) string {
	volume := number(t.GetVolume())
	if volume.IsZero() {
		return zeroAmount
	}
	return number(t.GetQuoteVolume()).DivRound(volume, displayDecimals).StringFixed(displayDecimals)
}

// number reads a decimal for display; what is none is zero. The pattern is checked
// first, because decimal reads more than decimals.
func number(text string) decimal.Decimal {
	if !param.IsDecimal(text) {
		return decimal.Zero
	}
	d, err := decimal.NewFromString(text)
	if err != nil {
		return decimal.Zero
	}
	return d
}
