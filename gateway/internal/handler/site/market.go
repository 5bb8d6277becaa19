package site

import (
	"context"
	"slices"

	"github.com/shopspring/decimal"

	"mscoin/gateway/internal/handler/admin"
	"mscoin/gateway/internal/param"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	"mscoin/mscoin-common/errs"
)

const (
	miniPlate = 24
	fullPlate = 100
)

type thumb struct {
	Symbol       string `json:"symbol"`
	Open         string `json:"open"`
	High         string `json:"high"`
	Low          string `json:"low"`
	Close        string `json:"close"`
	Chg          string `json:"chg"`    // change as a fraction of open
	Change       string `json:"change"` // change as a price
	Volume       string `json:"volume"`
	Turnover     string `json:"turnover"`
	LastDayClose string `json:"lastDayClose"`
}

// symbolThumb is /market/symbol-thumb: the last day of every symbol.
func (a *API) symbolThumb(ctx context.Context, _ *call) (any, error) {
	symbols, err := a.catalog.All(ctx)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Market.ListTickers(ctx, &marketpb.ListTickersRequest{})
	if err != nil {
		return nil, err
	}
	found := make(map[string]*marketpb.Ticker, len(resp.GetTickers()))
	for _, t := range resp.GetTickers() {
		found[t.GetSymbol()] = t
	}
	thumbs := make([]thumb, len(symbols))
	for i, s := range symbols {
		thumbs[i] = thumbOf(s.GetName(), found[s.GetName()])
	}
	return thumbs, nil
}

func thumbOf(symbol string, t *marketpb.Ticker) thumb {
	const fractionDecimals, priceDecimals = 4, 8
	open, last := number(t.GetOpenPrice()), number(t.GetLastPrice())
	change, chg := decimal.Zero, decimal.Zero
	if t.GetCount() > 0 && !open.IsZero() {
		change = last.Sub(open)
		chg = change.DivRound(open, fractionDecimals)
	}
	return thumb{
		Symbol: symbol, Open: param.Fixed8(t.GetOpenPrice()), High: param.Fixed8(t.GetHighPrice()),
		Low: param.Fixed8(t.GetLowPrice()), Close: param.Fixed8(t.GetLastPrice()), Chg: chg.StringFixed(fractionDecimals),
		Change: change.StringFixed(priceDecimals), Volume: param.Fixed8(t.GetVolume()),
		Turnover: param.Fixed8(t.GetQuoteVolume()), LastDayClose: param.Fixed8(t.GetPreviousClosePrice()),
	}
}

// number reads a decimal for display; what is none is zero.
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

// mandatorySymbol reads symbol and finds its rules.
func (a *API) mandatorySymbol(ctx context.Context, c *call) (*exchangepb.Symbol, error) {
	name := c.Mandatory("symbol", 21)
	if err := c.Err(); err != nil {
		return nil, err
	}
	return a.catalog.ByAnyName(ctx, name)
}

// symbolInfo is /market/symbol-info {symbol}: its rules.
func (a *API) symbolInfo(ctx context.Context, c *call) (any, error) {
	symbol, err := a.mandatorySymbol(ctx, c)
	if err != nil {
		return nil, err
	}
	return admin.SymbolOf(symbol), nil
}

type plateSide struct {
	Direction    string      `json:"direction"`
	Symbol       string      `json:"symbol"`
	MaxAmount    string      `json:"maxAmount"`
	MinAmount    string      `json:"minAmount"`
	HighestPrice string      `json:"highestPrice"`
	LowestPrice  string      `json:"lowestPrice"`
	Items        []plateItem `json:"items"`
}

type plateItem struct {
	Price  string `json:"price"`
	Amount string `json:"amount"`
}

// plate is /market/exchange-plate-mini and -full {symbol}: the best levels of the book,
// both sides from one record.
func (a *API) plate(levels int32) handler {
	return func(ctx context.Context, c *call) (any, error) {
		symbol, err := a.mandatorySymbol(ctx, c)
		if err != nil {
			return nil, err
		}
		resp, err := a.backends.Market.GetDepth(ctx, &marketpb.GetDepthRequest{Symbol: symbol.GetName(), Limit: levels})
		if err != nil && errs.CodeOf(err) != errs.CodeUnknownSymbol {
			return nil, err
		}
		return struct {
			Ask plateSide `json:"ask"`
			Bid plateSide `json:"bid"`
			Seq int64     `json:"seq"`
		}{plateSideOf(sell, symbol, resp.GetAsks()), plateSideOf(buy, symbol, resp.GetBids()), resp.GetSeq()}, nil
	}
}

func plateSideOf(direction string, symbol *exchangepb.Symbol, levels []*marketpb.Level) plateSide {
	side := plateSide{Direction: direction, Symbol: symbol.GetName(), Items: make([]plateItem, len(levels))}
	var least, most, low, high decimal.Decimal
	for i, l := range levels {
		side.Items[i] = plateItem{param.Fixed8(l.GetPrice()), param.Fixed8(l.GetQuantity())}
		price, amount := number(l.GetPrice()), number(l.GetQuantity())
		if i == 0 {
			least, most, low, high = amount, amount, price, price
			continue
		}
		least, most = decimal.Min(least, amount), decimal.Max(most, amount)
		low, high = decimal.Min(low, price), decimal.Max(high, price)
	}
	side.MinAmount, side.MaxAmount = param.Fixed8(least.String()), param.Fixed8(most.String())
	side.LowestPrice, side.HighestPrice = param.Fixed8(low.String()), param.Fixed8(high.String())
	return side
}

type latestTrade struct {
	ID        int64  `json:"id"`
	Symbol    string `json:"symbol"`
	Price     string `json:"price"`
	Amount    string `json:"amount"`
	Turnover  string `json:"turnover"`
	Direction string `json:"direction"` // the taker's
	Time      int64  `json:"time"`
}

// latestTrades is /market/latest-trade {symbol, size}: newest first.
func (a *API) latestTrades(ctx context.Context, c *call) (any, error) {
	symbol, err := a.mandatorySymbol(ctx, c)
	if err != nil {
		return nil, err
	}
	size := int32(c.Int("size", 20, 1, 1000))
	if err := c.Err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Market.ListTrades(ctx, &marketpb.ListTradesRequest{Symbol: symbol.GetName(), PageSize: size})
	if err != nil && errs.CodeOf(err) != errs.CodeUnknownSymbol {
		return nil, err
	}
	trades := resp.GetTrades()
	answer := make([]latestTrade, 0, len(trades))
	for _, t := range slices.Backward(trades) {
		answer = append(answer, latestTrade{
			t.GetTradeId(), symbol.GetName(), param.Fixed8(t.GetPrice()), param.Fixed8(t.GetQuantity()),
			param.Fixed8(t.GetTurnover()), directionName(t.GetTakerSide()), t.GetTimeMs(),
		})
	}
	return answer, nil
}
