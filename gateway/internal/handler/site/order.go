package site

import (
	"context"
	"strconv"

	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/handler/envelope"
	"mscoin/gateway/internal/param"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/errs"
)

// order is an order in the site's words: coinSymbol is what is traded, baseSymbol what
// it is paid with, and the amount of a market BUY is money.
type order struct {
	OrderID       int64  `json:"orderId"`
	ClientOrderID string `json:"clientOrderId"`
	MemberID      int64  `json:"memberId"`
	Symbol        string `json:"symbol"`
	CoinSymbol    string `json:"coinSymbol"`
	BaseSymbol    string `json:"baseSymbol"`
	Direction     string `json:"direction"`
	Type          string `json:"type"`
	Price         string `json:"price"`
	Amount        string `json:"amount"`
	TradedAmount  string `json:"tradedAmount"`
	Turnover      string `json:"turnover"`
	Fee           string `json:"fee"`
	Status        string `json:"status"`
	UseDiscount   string `json:"useDiscount"`
	Time          int64  `json:"time"`
	CompletedTime int64  `json:"completedTime"`
	CanceledTime  int64  `json:"canceledTime"`
}

const (
	buy, sell   = "BUY", "SELL"
	marketPrice = "MARKET_PRICE"
	limitPrice  = "LIMIT_PRICE"
)

func (a *API) orderOf(ctx context.Context, o *exchangepb.Order) order {
	answer := order{
		OrderID: o.GetOrderId(), ClientOrderID: o.GetClientOrderId(), MemberID: o.GetMemberId(), Symbol: o.GetSymbol(),
		Direction: directionName(o.GetSide()), Type: limitPrice, Price: o.GetPrice(), Amount: o.GetQuantity(),
		TradedAmount: o.GetTradedAmount(), Turnover: o.GetTurnover(), Fee: o.GetFee(), Status: statusName(o.GetState()),
		UseDiscount: "0", Time: o.GetCreateTimeMs(),
	}
	if s, err := a.catalog.ByAnyName(ctx, o.GetSymbol()); err == nil {
		answer.CoinSymbol, answer.BaseSymbol = s.GetBaseCoin(), s.GetQuoteCoin()
	}
	if o.GetType() == eventpb.OrderType_ORDER_TYPE_MARKET {
		answer.Type = marketPrice
		if quote := param.Fixed8(o.GetQuoteAmount()); !param.IsZero(quote) {
			answer.Amount = o.GetQuoteAmount()
		}
	}
	switch answer.Status {
	case "COMPLETED":
		answer.CompletedTime = o.GetUpdateTimeMs()
	case "CANCELED", "OVERTIMED":
		answer.CanceledTime = o.GetUpdateTimeMs()
	}
	return answer
}

func directionName(side eventpb.Side) string {
	if side == eventpb.Side_SIDE_SELL {
		return sell
	}
	return buy
}

func statusName(state eventpb.OrderState) string {
	switch state {
	case eventpb.OrderState_ORDER_STATE_NEW, eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED,
		eventpb.OrderState_ORDER_STATE_PENDING_TRIGGER:
		return "TRADING"
	case eventpb.OrderState_ORDER_STATE_FILLED:
		return "COMPLETED"
	case eventpb.OrderState_ORDER_STATE_CANCELED:
		return "CANCELED"
	case eventpb.OrderState_ORDER_STATE_EXPIRED, eventpb.OrderState_ORDER_STATE_EXPIRED_IN_MATCH:
		return "OVERTIMED"
	case eventpb.OrderState_ORDER_STATE_REJECTED:
		return "REJECTED"
	case eventpb.OrderState_ORDER_STATE_UNSPECIFIED:
		return "INIT"
	default:
		return state.String()
	}
}

// addOrder is POST /exchange/order/add {symbol, price, amount, direction, type}.
func (a *API) addOrder(ctx context.Context, c *call) (any, error) {
	request, err := a.newOrder(ctx, c)
	if err != nil {
		return nil, err
	}
	key := strconv.FormatInt(c.member, 10)
	if !a.countOrder(key) {
		return nil, errs.New(errs.KindTooManyRequests, errs.CodeRateLimited, "too many new orders")
	}
	resp, err := client.PlaceOrder(ctx, a.backends, a.positions, request)
	if err != nil {
		if kind := errs.KindOf(err); kind != errs.KindUnknownOutcome && kind != errs.KindInternal {
			a.limits.Orders10s.Return(key, 1)
			a.limits.OrdersDay.Return(key, 1)
		}
		return nil, unknownIfInternal(err)
	}
	return a.orderOf(ctx, resp.GetOrder()), nil
}

// countOrder counts a new order of the account, unless there were too many.
func (a *API) countOrder(key string) bool {
	if _, _, allowed := a.limits.Orders10s.Take(key, 1); !allowed {
		return false
	}
	if _, _, allowed := a.limits.OrdersDay.Take(key, 1); !allowed {
		a.limits.Orders10s.Return(key, 1)
		return false
	}
	return true
}

func (a *API) newOrder(ctx context.Context, c *call) (*exchangepb.NewOrder, error) {
	name, direction, kind := c.Mandatory("symbol", 21), c.Mandatory("direction", 8), c.Mandatory("type", 16)
	amount := c.Amount("amount")
	if err := c.Err(); err != nil {
		return nil, err
	}
	symbol, err := a.catalog.ByAnyName(ctx, name)
	if err != nil {
		return nil, err
	}
	request := &exchangepb.NewOrder{
		MemberId: c.member, Symbol: symbol.GetName(), ClientOrderId: c.Text("clientOrderId", 36),
		TimeInForce: eventpb.TimeInForce_TIME_IN_FORCE_GTC,
	}
	switch direction {
	case buy:
		request.Side = eventpb.Side_SIDE_BUY
	case sell:
		request.Side = eventpb.Side_SIDE_SELL
	default:
		return nil, envelope.BadRequest("direction must be BUY or SELL")
	}
	switch {
	case kind == limitPrice:
		request.Type, request.Quantity, request.Price = eventpb.OrderType_ORDER_TYPE_LIMIT, amount, c.Amount("price")
	case kind == marketPrice && direction == buy:
		request.Type, request.QuoteAmount = eventpb.OrderType_ORDER_TYPE_MARKET, amount
	case kind == marketPrice:
		request.Type, request.Quantity = eventpb.OrderType_ORDER_TYPE_MARKET, amount
	default:
		return nil, envelope.BadRequest("type must be LIMIT_PRICE or MARKET_PRICE")
	}
	return request, c.Err()
}

// unknownIfInternal keeps a write that broke from being called a failure.
func unknownIfInternal(err error) error {
	if errs.KindOf(err) != errs.KindInternal {
		return err
	}
	return errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "no clear answer").Wrap(err)
}

// currentOrders is /exchange/order/current {symbol}: the member's open orders.
func (a *API) currentOrders(ctx context.Context, c *call) (any, error) {
	symbol, err := a.optionalSymbol(ctx, c)
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.ListOpenOrders(ctx, &exchangepb.ListOpenOrdersRequest{
		MemberId: c.member, Symbol: symbol, ReadAfter: client.ForExchange(a.positions.After(ctx, c.member)),
	})
	if err != nil {
		return nil, err
	}
	return a.page(ctx, resp.GetOrders()), nil
}

// orderHistory is /exchange/order/history {symbol, fromOrderId, startTime, endTime,
// pageSize}: the member's ended orders, by id; without fromOrderId the newest ones.
func (a *API) orderHistory(ctx context.Context, c *call) (any, error) {
	symbol, err := a.optionalSymbol(ctx, c)
	if err != nil {
		return nil, err
	}
	request := &exchangepb.ListOrdersRequest{
		MemberId: c.member, Symbol: symbol, FinalOnly: true, FromOrderId: c.Int("fromOrderId", 0, 0, maxID),
		StartTimeMs: c.Int("startTime", 0, 0, maxID), EndTimeMs: c.Int("endTime", 0, 0, maxID),
		PageSize: int32(c.Int("pageSize", 100, 1, 1000)),
	}
	if err := c.Err(); err != nil {
		return nil, err
	}
	request.ReadAfter = client.ForExchange(a.positions.After(ctx, c.member))
	resp, err := a.backends.Exchange.ListOrders(ctx, request)
	if err != nil {
		return nil, err
	}
	return a.page(ctx, resp.GetOrders()), nil
}

type orderPage struct {
	Content []order `json:"content"`
}

func (a *API) page(ctx context.Context, orders []*exchangepb.Order) orderPage {
	page := orderPage{Content: make([]order, len(orders))}
	for i, o := range orders {
		page.Content[i] = a.orderOf(ctx, o)
	}
	return page
}

// optionalSymbol reads symbol, "" for all.
func (a *API) optionalSymbol(ctx context.Context, c *call) (string, error) {
	name := c.Text("symbol", 21)
	if err := c.Err(); err != nil || name == "" {
		return "", err
	}
	symbol, err := a.catalog.ByAnyName(ctx, name)
	if err != nil {
		return "", err
	}
	return symbol.GetName(), nil
}

// cancelOrder is /exchange/order/cancel/:orderId.
func (a *API) cancelOrder(ctx context.Context, c *call) (any, error) {
	text := c.path("orderId")
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || !param.IsLong(text) || id <= 0 {
		return nil, envelope.BadRequest("orderId must be a whole number")
	}
	resp, err := a.backends.Exchange.CancelOrder(ctx, &exchangepb.CancelOrderRequest{MemberId: c.member, OrderId: id})
	if err != nil {
		return nil, unknownIfInternal(err)
	}
	a.positions.Remember(ctx, resp.GetPosition().GetSymbol(), resp.GetPosition().GetSeq(), c.member)
	return a.orderOf(ctx, resp.GetOrder()), nil
}
