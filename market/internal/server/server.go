// Package server is the market's gRPC side: numbers become decimal texts here.
package server

import (
	"context"

	eventpb "mscoin/grpc-common/gen/event/v1"
	marketpb "mscoin/grpc-common/gen/market/v1"
	"mscoin/market/depth"
	"mscoin/market/internal/app"
	"mscoin/market/ticker"
	"mscoin/mscoin-common/money"
)

// Server implements marketpb.MarketServiceServer.
type Server struct {
	marketpb.UnimplementedMarketServiceServer

	app *app.App
}

// New returns the gRPC side of the use cases.
func New(a *app.App) *Server { return &Server{app: a} }

// GetDepth returns the best price levels of a symbol.
func (s *Server) GetDepth(ctx context.Context, req *marketpb.GetDepthRequest) (*marketpb.GetDepthResponse, error) {
	d, err := s.app.GetDepth(ctx, req.GetSymbol(), int(req.GetLimit()))
	if err != nil {
		return nil, err
	}
	return &marketpb.GetDepthResponse{Seq: d.Seq, Bids: levelsPB(d.Symbol, d.Bids), Asks: levelsPB(d.Symbol, d.Asks)}, nil
}

// ListTrades lists trades of a symbol.
func (s *Server) ListTrades(ctx context.Context, req *marketpb.ListTradesRequest) (*marketpb.ListTradesResponse, error) {
	symbol, page, err := s.app.ListTrades(ctx, req.GetSymbol(), req.GetFromTradeId(), int(req.GetPageSize()))
	if err != nil {
		return nil, err
	}
	res := &marketpb.ListTradesResponse{Trades: make([]*marketpb.Trade, len(page))}
	for i, t := range page {
		res.Trades[i] = &marketpb.Trade{
			TradeId:  t.ID,
			Price:    money.Format(t.Price, symbol.QuoteScale),
			Quantity: money.Format(t.Quantity, symbol.BaseScale),
			Turnover: money.Format(t.Turnover, symbol.QuoteScale),
			TimeMs:   t.TimeMs, TakerSide: sidePB(t.TakerSide),
		}
	}
	return res, nil
}

// ListTickers lists 24-hour tickers.
func (s *Server) ListTickers(ctx context.Context, req *marketpb.ListTickersRequest) (*marketpb.ListTickersResponse, error) {
	list, err := s.app.ListTickers(ctx, req.GetSymbols())
	if err != nil {
		return nil, err
	}
	res := &marketpb.ListTickersResponse{Tickers: make([]*marketpb.Ticker, len(list))}
	for i, t := range list {
		res.Tickers[i] = tickerPB(t)
	}
	return res, nil
}

func tickerPB(t app.Ticker) *marketpb.Ticker {
	price := func(units int64) string { return money.Format(units, t.Symbol.QuoteScale) }
	quantity := func(units int64) string { return money.Format(units, t.Symbol.BaseScale) }
	return &marketpb.Ticker{
		Symbol:    t.Symbol.Name,
		OpenPrice: price(t.First.Price), HighPrice: price(t.High), LowPrice: price(t.Low),
		LastPrice: price(t.LastEver.Price), LastQuantity: quantity(t.LastEver.Quantity),
		Volume: t.Volume.Text(t.Symbol.BaseScale), QuoteVolume: t.Turnover.Text(t.Symbol.QuoteScale),
		BidPrice: price(t.Bid.Price), BidQuantity: quantity(t.Bid.Quantity),
		AskPrice: price(t.Ask.Price), AskQuantity: quantity(t.Ask.Quantity),
		OpenTimeMs: t.OpenTimeMs, CloseTimeMs: t.CloseTimeMs,
		FirstTradeId: idOrNone(t.First), LastTradeId: idOrNone(t.Last), Count: t.Count,
		PreviousClosePrice: price(t.PreviousClose.Price),
	}
}

// idOrNone returns −1 when there is no trade.
func idOrNone(m ticker.Mark) int64 {
	if m.ID == 0 {
		return -1
	}
	return m.ID
}

func levelsPB(s app.Symbol, levels []depth.Level) []*marketpb.Level {
	list := make([]*marketpb.Level, len(levels))
	for i, l := range levels {
		list[i] = &marketpb.Level{Price: money.Format(l.Price, s.QuoteScale), Quantity: money.Format(l.Quantity, s.BaseScale)}
	}
	return list
}

func sidePB(s app.Side) eventpb.Side {
	if s == app.Buy {
		return eventpb.Side_SIDE_BUY
	}
	return eventpb.Side_SIDE_SELL
}
