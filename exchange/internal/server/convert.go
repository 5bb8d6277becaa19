package server

import (
	"context"
	"fmt"
	"math"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/symbol"
)

// enum casts a protobuf enumeration; what does not fit is a value that nothing has,
// so that validation refuses it.
func enum[T ~uint8, P ~int32](v P) T {
	if v < 0 || v > math.MaxUint8 {
		return math.MaxUint8
	}
	return T(v)
}

func requestOf(o *exchangepb.NewOrder) order.Request {
	return order.Request{
		MemberID: o.GetMemberId(), Symbol: o.GetSymbol(),
		Side: enum[order.Side](o.GetSide()), Type: enum[order.Type](o.GetType()),
		TIF: enum[order.TimeInForce](o.GetTimeInForce()), STP: enum[order.SelfTradePrevention](o.GetSelfTradePrevention()),
		Price: o.GetPrice(), Quantity: o.GetQuantity(), QuoteAmount: o.GetQuoteAmount(), StopPrice: o.GetStopPrice(),
		ClientOrderID: o.GetClientOrderId(),
	}
}

// order converts a stored order by the rules of its symbol.
func (s *Server) order(ctx context.Context, found *app.Found) (*exchangepb.Order, error) {
	r, err := s.app.Symbol(ctx, found.Symbol)
	if err != nil {
		return nil, fmt.Errorf("show order %d of %q: %w", found.ID, found.Symbol, err)
	}
	return orderOf(r, found), nil
}

func (s *Server) orders(ctx context.Context, found []app.Found) ([]*exchangepb.Order, error) {
	all := make([]*exchangepb.Order, len(found))
	for i := range found {
		o, err := s.order(ctx, &found[i])
		if err != nil {
			return nil, err
		}
		all[i] = o
	}
	return all, nil
}

// orderOf shows an order. The quantity of a market order by quote amount is what it
// has traded.
func orderOf(r symbol.Rules, f *app.Found) *exchangepb.Order {
	quantity := f.Quantity
	if quantity == 0 {
		quantity = f.TradedAmount
	}
	feeScale := r.QuoteScale
	if f.Side == order.Buy {
		feeScale = r.BaseScale
	}
	return &exchangepb.Order{
		OrderId: f.ID, MemberId: f.MemberID, ClientOrderId: f.ClientOrderID, Symbol: f.Symbol,
		Side: eventpb.Side(f.Side), Type: eventpb.OrderType(f.Type),
		TimeInForce: eventpb.TimeInForce(f.TIF), SelfTradePrevention: eventpb.SelfTradePrevention(f.STP),
		State:       eventpb.OrderState(f.State),
		Price:       money.Format(f.Price, r.QuoteScale),
		Quantity:    money.Format(quantity, r.BaseScale),
		QuoteAmount: money.Format(f.QuoteAmount, r.QuoteScale),
		StopPrice:   money.Format(f.StopPrice, r.QuoteScale),

		TradedAmount: money.Format(f.TradedAmount, r.BaseScale),
		Turnover:     money.Format(f.Turnover, r.QuoteScale),
		Fee:          money.Format(f.Fee, feeScale),
		CreateTimeMs: f.CreateTimeMs, UpdateTimeMs: f.UpdateTimeMs,
	}
}

// fillOf shows one side of a trade.
func fillOf(r symbol.Rules, t *order.Trade, maker bool) *exchangepb.Fill {
	side, orderID, fee := t.TakerSide, t.TakerOrderID, t.TakerFee
	if maker {
		orderID, fee = t.MakerOrderID, t.MakerFee
		side = order.Buy
		if t.TakerSide == order.Buy {
			side = order.Sell
		}
	}
	coin, scale := r.Quote, r.QuoteScale
	if side == order.Buy {
		coin, scale = r.Base, r.BaseScale
	}
	return &exchangepb.Fill{
		TradeId: t.ID, OrderId: orderID, Symbol: t.Symbol,
		Price:    money.Format(t.Price, r.QuoteScale),
		Quantity: money.Format(t.Quantity, r.BaseScale),
		Turnover: money.Format(t.Turnover, r.QuoteScale),
		Fee:      money.Format(fee, scale), FeeCoin: coin,
		Side: eventpb.Side(side), Maker: maker, TimeMs: t.TimeMs,
	}
}

func positionOf(p app.Position) *exchangepb.Position {
	return &exchangepb.Position{Symbol: p.Symbol, Seq: p.Seq}
}

func positionsOf(all []*exchangepb.Position) []app.Position {
	out := make([]app.Position, len(all))
	for i, p := range all {
		out[i] = app.Position{Symbol: p.GetSymbol(), Seq: p.GetSeq()}
	}
	return out
}

func symbolOf(l app.Listed) *exchangepb.Symbol {
	price := func(v int64) string { return money.Format(v, l.QuoteScale) }
	quantity := func(v int64) string { return money.Format(v, l.BaseScale) }
	return &exchangepb.Symbol{
		Name: l.Name, BaseCoin: l.Base, QuoteCoin: l.Quote,
		BaseScale: int32(l.BaseScale), QuoteScale: int32(l.QuoteScale),
		TickSize: price(l.TickUnits), LotSize: quantity(l.LotUnits),
		MinPrice: price(l.MinPrice), MaxPrice: price(l.MaxPrice),
		MinQuantity: quantity(l.MinQty), MaxQuantity: quantity(l.MaxQty),
		MinNotional: price(l.MinNotional), MaxNotional: price(l.MaxNotional),
		MakerFeePpm: l.MakerFeePpm, TakerFeePpm: l.TakerFeePpm,
		MarketBuyEnabled: l.MarketBuyEnabled, MarketSellEnabled: l.MarketSellEnabled,
		Phase:         eventpb.Phase(l.Phase),
		MaxOpenOrders: int32(l.MaxOpenOrders), Partition: int32(l.Partition),
		BandUpPpm: l.BandUpPpm, BandDownPpm: l.BandDownPpm,
	}
}

// rulesOf reads the rules of a symbol to list; empty bounds of the notional are none.
func rulesOf(s *exchangepb.Symbol) (symbol.Rules, error) {
	r := symbol.Rules{
		Name: s.GetName(), Base: s.GetBaseCoin(), Quote: s.GetQuoteCoin(),
		BaseScale: int(s.GetBaseScale()), QuoteScale: int(s.GetQuoteScale()),
		MakerFeePpm: s.GetMakerFeePpm(), TakerFeePpm: s.GetTakerFeePpm(),
		MarketBuyEnabled: s.GetMarketBuyEnabled(), MarketSellEnabled: s.GetMarketSellEnabled(),
		BandUpPpm: s.GetBandUpPpm(), BandDownPpm: s.GetBandDownPpm(), MaxOpenOrders: int(s.GetMaxOpenOrders()),
	}
	for _, scale := range []int{r.BaseScale, r.QuoteScale} {
		if scale < 0 || scale > money.MaxScale {
			return r, errs.New(errs.KindInvalidArgument, errs.CodeBadSymbolRules, "scale is not 0 to 8")
		}
	}
	for _, field := range []struct {
		name, text string
		scale      int
		into       *int64
	}{
		{"tick_size", s.GetTickSize(), r.QuoteScale, &r.TickUnits},
		{"lot_size", s.GetLotSize(), r.BaseScale, &r.LotUnits},
		{"min_price", s.GetMinPrice(), r.QuoteScale, &r.MinPrice},
		{"max_price", s.GetMaxPrice(), r.QuoteScale, &r.MaxPrice},
		{"min_quantity", s.GetMinQuantity(), r.BaseScale, &r.MinQty},
		{"max_quantity", s.GetMaxQuantity(), r.BaseScale, &r.MaxQty},
		{"min_notional", orZero(s.GetMinNotional()), r.QuoteScale, &r.MinNotional},
		{"max_notional", orZero(s.GetMaxNotional()), r.QuoteScale, &r.MaxNotional},
	} {
		units, err := money.Parse(field.text, field.scale)
		if err != nil {
			return r, errs.From(err).With(field.name)
		}
		*field.into = units
	}
	return r, nil
}

func orZero(text string) string {
	if text == "" {
		return "0"
	}
	return text
}
