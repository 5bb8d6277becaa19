// Package server answers the exchange's gRPC. Protobuf types stop here.
package server

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/telemetry"
)

// maxShown bounds the fills or orders of one answer, so that it fits into a message.
const maxShown = 10_000

// Server implements exchange.v1.ExchangeService over the application.
type Server struct {
	exchangepb.UnimplementedExchangeServiceServer

	app    *app.App
	owners Owners
	clk    clock.Clock
}

// New returns a server. Commands of partitions that this instance does not own are sent on
// to their owner; everything else is answered here.
func New(a *app.App, owners Owners, clk clock.Clock) *Server {
	return &Server{app: a, owners: owners, clk: clk}
}

// PlaceOrder implements the service.
func (s *Server) PlaceOrder(ctx context.Context, req *exchangepb.PlaceOrderRequest) (*exchangepb.PlaceOrderResponse, error) {
	begin := s.clk.Now()
	res, err := s.placeOrder(ctx, req)
	if !rpc.Forwarded(ctx) { // the instance that sent it on counts it
		code := ""
		if err != nil {
			code = string(errs.CodeOf(err))
		}
		telemetry.Order(code, s.clk.Now().Sub(begin))
		telemetry.Log(ctx, "order placed", logx.Field("orderId", res.GetOrder().GetOrderId()), logx.Field("symbol", req.GetOrder().GetSymbol()),
			logx.Field("refusal", code), logx.Field("seq", res.GetPosition().GetSeq()))
	}
	return res, err
}

func (s *Server) placeOrder(ctx context.Context, req *exchangepb.PlaceOrderRequest) (*exchangepb.PlaceOrderResponse, error) {
	p, err := s.app.PlaceOrder(ctx, requestOf(req.GetOrder()))
	if refused, ok := errors.AsType[*app.Refused](err); ok {
		if sendErr := rpc.SendPosition(ctx, refused.Position.Symbol, refused.Position.Seq); sendErr != nil {
			logx.WithContext(ctx).Errorf("place order: %v (the refusal goes without it)", sendErr)
		}
	}
	if err != nil {
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.PlaceOrder)
	}
	res := &exchangepb.PlaceOrderResponse{
		Order: orderOf(p.Rules, &p.Order), Position: positionOf(p.Position), TouchedMemberIds: p.Touched,
	}
	for i := range p.Fills[:min(len(p.Fills), maxShown)] {
		t := &p.Fills[i]
		res.Fills = append(res.Fills, fillOf(p.Rules, t, t.MakerOrderID == p.Order.ID))
	}
	return res, nil
}

// ValidateOrder implements the service.
func (s *Server) ValidateOrder(ctx context.Context, req *exchangepb.ValidateOrderRequest) (*exchangepb.ValidateOrderResponse, error) {
	if err := s.app.ValidateOrder(ctx, requestOf(req.GetOrder())); err != nil {
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.ValidateOrder)
	}
	return &exchangepb.ValidateOrderResponse{}, nil
}

// CancelOrder implements the service.
func (s *Server) CancelOrder(ctx context.Context, req *exchangepb.CancelOrderRequest) (*exchangepb.CancelOrderResponse, error) {
	c, err := s.app.CancelOrder(ctx, app.OrderRef{
		Member: req.GetMemberId(), Symbol: req.GetSymbol(), OrderID: req.GetOrderId(), ClientOrderID: req.GetClientOrderId(),
	})
	if err != nil {
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.CancelOrder)
	}
	o, err := s.order(ctx, &c.Order)
	if err != nil {
		return nil, err
	}
	return &exchangepb.CancelOrderResponse{Order: o, Position: positionOf(c.Position)}, nil
}

// CancelAllOrders implements the service.
func (s *Server) CancelAllOrders(ctx context.Context, req *exchangepb.CancelAllOrdersRequest) (*exchangepb.CancelAllOrdersResponse, error) {
	c, err := s.app.CancelAllOrders(ctx, req.GetMemberId(), req.GetSymbol())
	if err != nil {
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.CancelAllOrders)
	}
	orders, err := s.orders(ctx, c.Orders[:min(len(c.Orders), maxShown)])
	if err != nil {
		return nil, err
	}
	return &exchangepb.CancelAllOrdersResponse{Orders: orders, Position: positionOf(c.Position)}, nil
}

// GetOrder implements the service.
func (s *Server) GetOrder(ctx context.Context, req *exchangepb.GetOrderRequest) (*exchangepb.GetOrderResponse, error) {
	found, err := s.app.GetOrder(ctx, app.OrderRef{
		Member: req.GetMemberId(), Symbol: req.GetSymbol(), OrderID: req.GetOrderId(), ClientOrderID: req.GetClientOrderId(),
	}, positionsOf(req.GetReadAfter()))
	if err != nil {
		return nil, err
	}
	o, err := s.order(ctx, &found)
	if err != nil {
		return nil, err
	}
	return &exchangepb.GetOrderResponse{Order: o}, nil
}

// ListOpenOrders implements the service.
func (s *Server) ListOpenOrders(ctx context.Context, req *exchangepb.ListOpenOrdersRequest) (*exchangepb.ListOpenOrdersResponse, error) {
	found, err := s.app.ListOpenOrders(ctx, req.GetMemberId(), req.GetSymbol(), positionsOf(req.GetReadAfter()))
	if err != nil {
		return nil, err
	}
	orders, err := s.orders(ctx, found)
	if err != nil {
		return nil, err
	}
	return &exchangepb.ListOpenOrdersResponse{Orders: orders}, nil
}

// ListOrders implements the service.
func (s *Server) ListOrders(ctx context.Context, req *exchangepb.ListOrdersRequest) (*exchangepb.ListOrdersResponse, error) {
	found, err := s.app.ListOrders(ctx, app.OrderQuery{
		Member: req.GetMemberId(), Symbol: req.GetSymbol(), FromID: req.GetFromOrderId(),
		StartMs: req.GetStartTimeMs(), EndMs: req.GetEndTimeMs(), Limit: int(req.GetPageSize()), FinalOnly: req.GetFinalOnly(),
	}, positionsOf(req.GetReadAfter()))
	if err != nil {
		return nil, err
	}
	orders, err := s.orders(ctx, found)
	if err != nil {
		return nil, err
	}
	return &exchangepb.ListOrdersResponse{Orders: orders}, nil
}

// ListTrades implements the service.
func (s *Server) ListTrades(ctx context.Context, req *exchangepb.ListTradesRequest) (*exchangepb.ListTradesResponse, error) {
	member := req.GetMemberId()
	trades, err := s.app.ListTrades(ctx, app.TradeQuery{
		Member: member, Symbol: req.GetSymbol(), Order: req.GetOrderId(), FromID: req.GetFromTradeId(),
		StartMs: req.GetStartTimeMs(), EndMs: req.GetEndTimeMs(), Limit: int(req.GetPageSize()),
	}, positionsOf(req.GetReadAfter()))
	if err != nil {
		return nil, err
	}
	r, err := s.app.Symbol(ctx, req.GetSymbol())
	if err != nil {
		return nil, fmt.Errorf("list trades: %w", err)
	}
	res := &exchangepb.ListTradesResponse{}
	for i := range trades {
		t := &trades[i]
		wanted := func(memberID, orderID int64) bool {
			return memberID == member && (req.GetOrderId() == 0 || req.GetOrderId() == orderID)
		}
		// A member that traded with itself has both fills.
		if wanted(t.MakerMemberID, t.MakerOrderID) {
			res.Fills = append(res.Fills, fillOf(r, t, true))
		}
		if wanted(t.TakerMemberID, t.TakerOrderID) {
			res.Fills = append(res.Fills, fillOf(r, t, false))
		}
	}
	return res, nil
}

// ListSymbols implements the service.
func (s *Server) ListSymbols(ctx context.Context, _ *exchangepb.ListSymbolsRequest) (*exchangepb.ListSymbolsResponse, error) {
	res := &exchangepb.ListSymbolsResponse{}
	for _, l := range s.app.ListSymbols(ctx) {
		res.Symbols = append(res.Symbols, symbolOf(l))
	}
	return res, nil
}

// CreateSymbol implements the service.
func (s *Server) CreateSymbol(ctx context.Context, req *exchangepb.CreateSymbolRequest) (*exchangepb.CreateSymbolResponse, error) {
	r, err := rulesOf(req.GetSymbol())
	if err != nil {
		return nil, err
	}
	l, err := s.app.CreateSymbol(ctx, r)
	if err != nil { // it is stored already, and listing it again is no error
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.CreateSymbol)
	}
	return &exchangepb.CreateSymbolResponse{Symbol: symbolOf(l)}, nil
}

// SetSymbolPhase implements the service.
func (s *Server) SetSymbolPhase(ctx context.Context, req *exchangepb.SetSymbolPhaseRequest) (*exchangepb.SetSymbolPhaseResponse, error) {
	phase := order.PhaseNone
	if p := req.GetPhase(); p >= eventpb.Phase_PHASE_TRADING && p <= eventpb.Phase_PHASE_HALT {
		phase = order.Phase(p)
	}
	l, err := s.app.SetSymbolPhase(ctx, req.GetSymbol(), phase)
	if err != nil {
		return elsewhere(ctx, s, req, err, exchangepb.ExchangeServiceClient.SetSymbolPhase)
	}
	return &exchangepb.SetSymbolPhaseResponse{Symbol: symbolOf(l)}, nil
}
