package spot

import (
	"context"
	"strconv"

	"mscoin/gateway/internal/client"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// placeOrder is POST /api/v3/order.
func (a *API) placeOrder(ctx context.Context, c *call) (any, error) {
	request, symbol, err := a.newOrder(ctx, c)
	if err != nil {
		return nil, err
	}
	d := c.params()
	length, err := d.responseType(typeName(request))
	if err != nil {
		return nil, err
	}
	if limited := a.countOrder(c); limited != nil {
		return nil, limited
	}
	resp, err := client.PlaceOrder(ctx, a.backends, a.positions, request)
	if err != nil {
		failure := orderFailure(err, request, symbol)
		if failure.status < 500 {
			a.uncountOrder(c)
		}
		return nil, failureWithCause{failure, err}
	}
	switch length {
	case responseAck:
		return ackOf(resp.GetOrder()), nil
	case responseResult:
		return resultOf(resp.GetOrder()), nil
	case responseFull:
	}
	return fullOf(resp.GetOrder(), resp.GetFills()), nil
}

// testOrder is POST /api/v3/order/test: every check, and no order.
func (a *API) testOrder(ctx context.Context, c *call) (any, error) {
	request, symbol, err := a.newOrder(ctx, c)
	if err != nil {
		return nil, err
	}
	d := c.params()
	if _, err = d.responseType(typeName(request)); err != nil {
		return nil, err
	}
	if _, err = a.backends.Exchange.ValidateOrder(ctx, &exchangepb.ValidateOrderRequest{Order: request}); err != nil {
		if errs.KindOf(err) == errs.KindUnknownOutcome || errs.KindOf(err) == errs.KindInternal {
			return nil, err
		}
		return nil, failureWithCause{orderFailure(err, request, symbol), err}
	}
	return struct{}{}, nil
}

// failureWithCause answers with the failure and logs the cause.
type failureWithCause struct {
	failure *Failure
	cause   error
}

func (f failureWithCause) Error() string   { return f.failure.Error() + ": " + f.cause.Error() }
func (f failureWithCause) Unwrap() []error { return []error{f.failure, f.cause} }

// newOrder reads an order. Its checks come in the dialect's order: symbol, side, type
// and time in force, what the type needs and does not take, precision.
func (a *API) newOrder(ctx context.Context, c *call) (*exchangepb.NewOrder, *exchangepb.Symbol, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, nil, err
	}
	request := &exchangepb.NewOrder{MemberId: c.member, Symbol: symbol.GetName()}
	request.Side = d.side()
	d.orderType(request)
	d.unwanted("stopPrice", "trailingDelta", "icebergQty")
	switch typeName(request) {
	case typeMarket:
		d.marketAmounts(request, symbol)
	default:
		d.mandatory("quantity")
		d.mandatory("price")
		d.unwanted("quoteOrderQty")
		request.Quantity = d.amount("quantity", symbol.GetBaseScale(), errBadQuantity)
		request.Price = d.amount("price", symbol.GetQuoteScale(), errBadPrice)
	}
	request.SelfTradePrevention = d.selfTradePrevention()
	request.ClientOrderId = d.newClientOrderID()
	d.long("strategyId")
	d.long("strategyType")
	if err := d.err(); err != nil {
		return nil, nil, err
	}
	return request, symbol, nil
}

// mandatorySymbol reads symbol and finds its rules.
func (a *API) mandatorySymbol(ctx context.Context, d *decoder) (*exchangepb.Symbol, error) {
	d.mandatory("symbol")
	name := d.symbolText()
	if err := d.err(); err != nil {
		return nil, err
	}
	symbol, err := a.catalog.ByPublic(ctx, name)
	if err != nil {
		return nil, failureOfAuth(err) // nothing has been done yet
	}
	return symbol, nil
}

func (d *decoder) side() eventpb.Side {
	switch d.mandatory("side") {
	case sideBuy:
		return eventpb.Side_SIDE_BUY
	case sideSell:
		return eventpb.Side_SIDE_SELL
	default:
		d.fail(errSide)
		return eventpb.Side_SIDE_UNSPECIFIED
	}
}

// orderType reads type and timeInForce into the order.
func (d *decoder) orderType(request *exchangepb.NewOrder) {
	request.Type = eventpb.OrderType_ORDER_TYPE_LIMIT
	switch d.mandatory("type") {
	case typeLimit:
		request.TimeInForce = d.timeInForce()
	case typeLimitMaker:
		request.TimeInForce = eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY
		d.unwanted("timeInForce")
	case typeMarket:
		request.Type = eventpb.OrderType_ORDER_TYPE_MARKET
		d.unwanted("timeInForce")
	case "STOP_LOSS":
		d.fail(rejected(-1013, "Stop loss orders are not supported for this symbol."))
	case "STOP_LOSS_LIMIT":
		d.fail(rejected(-1013, "Stop loss limit orders are not supported for this symbol."))
	case "TAKE_PROFIT":
		d.fail(rejected(-1013, "Take profit orders are not supported for this symbol."))
	case "TAKE_PROFIT_LIMIT":
		d.fail(rejected(-1013, "Take profit limit orders are not supported for this symbol."))
	default:
		d.fail(errOrderType)
	}
}

func (d *decoder) timeInForce() eventpb.TimeInForce {
	switch d.mandatory("timeInForce") {
	case tifGTC:
		return eventpb.TimeInForce_TIME_IN_FORCE_GTC
	case tifIOC:
		return eventpb.TimeInForce_TIME_IN_FORCE_IOC
	case tifFOK:
		return eventpb.TimeInForce_TIME_IN_FORCE_FOK
	default:
		d.fail(errTimeInForce)
		return eventpb.TimeInForce_TIME_IN_FORCE_UNSPECIFIED
	}
}

// marketAmounts reads what bounds a market order: quantity or quoteOrderQty.
func (d *decoder) marketAmounts(request *exchangepb.NewOrder, symbol *exchangepb.Symbol) {
	d.unwanted("price")
	quantity, quote := d.text("quantity"), d.text("quoteOrderQty")
	switch {
	case quantity == "" && quote == "":
		d.fail(errEitherMandatory("quantity", "quoteOrderQty"))
	case quantity != "" && quote != "":
		d.fail(errNotRequired("quoteOrderQty"))
	}
	request.Quantity = d.amount("quantity", symbol.GetBaseScale(), errBadQuantity)
	request.QuoteAmount = d.amount("quoteOrderQty", symbol.GetQuoteScale(), errBadQuoteQty)
}

func (d *decoder) selfTradePrevention() eventpb.SelfTradePrevention {
	text := d.text("selfTradePreventionMode")
	mode, ok := stpByName[text]
	if !ok {
		d.fail(errSTPMode)
	}
	return mode
}

// typeName is the dialect's name of a new order's type.
func typeName(o *exchangepb.NewOrder) string {
	return typeOf(&exchangepb.Order{Type: o.GetType(), TimeInForce: o.GetTimeInForce()})
}

// response is the length of the answer to a new order.
type response int

const (
	responseAck response = iota
	responseResult
	responseFull
)

// responseType reads newOrderRespType; LIMIT and MARKET are answered in full unless
// told otherwise.
func (d *decoder) responseType(orderType string) (response, error) {
	switch text := d.text("newOrderRespType"); text {
	case "ACK":
		return responseAck, d.err()
	case "RESULT":
		return responseResult, d.err()
	case "FULL":
		return responseFull, d.err()
	case "":
		if orderType == typeLimitMaker {
			return responseAck, d.err()
		}
		return responseFull, d.err()
	default:
		d.fail(errInvalid("newOrderRespType"))
		return responseAck, d.err()
	}
}

// orderFailure translates what the exchange said of an order. The exchange has one
// code for the symbol's price range and the band around the last price; the dialect
// has a filter for each.
func orderFailure(err error, request *exchangepb.NewOrder, symbol *exchangepb.Symbol) *Failure {
	if errs.CodeOf(err) == errs.CodeBadPriceRange && inStaticRange(request.GetPrice(), symbol) {
		return errPercentPrice
	}
	return failureOf(err, writes)
}

func inStaticRange(price string, symbol *exchangepb.Symbol) bool {
	scale := int(symbol.GetQuoteScale())
	units, err := money.Parse(price, scale)
	least, errLeast := money.Parse(symbol.GetMinPrice(), scale)
	most, errMost := money.Parse(symbol.GetMaxPrice(), scale)
	return err == nil && errLeast == nil && errMost == nil && units >= least && units <= most
}

// countOrder counts a new order of the account and refuses it when there were too
// many. The headers tell the use.
func (a *API) countOrder(c *call) error {
	key := strconv.FormatInt(c.member, 10)
	used10s, retryAfter, allowed := a.limits.Orders10s.Take(key, 1)
	if !allowed {
		return errOrderRate(a.cfg.OrdersPer10s, "10 SECOND", retryAfter)
	}
	usedDay, retryAfter, allowed := a.limits.OrdersDay.Take(key, 1)
	if !allowed {
		a.limits.Orders10s.Return(key, 1)
		return errOrderRate(a.cfg.OrdersPerDay, "1 DAY", retryAfter)
	}
	c.answer.Set("X-MBX-ORDER-COUNT-10S", strconv.FormatInt(used10s, 10))
	c.answer.Set("X-MBX-ORDER-COUNT-1D", strconv.FormatInt(usedDay, 10))
	return nil
}

// uncountOrder gives the count of a refused order back.
func (a *API) uncountOrder(c *call) {
	key := strconv.FormatInt(c.member, 10)
	a.limits.Orders10s.Return(key, 1)
	a.limits.OrdersDay.Return(key, 1)
	c.answer.Del("X-MBX-ORDER-COUNT-10S")
	c.answer.Del("X-MBX-ORDER-COUNT-1D")
}

// remember notes, before the answer goes out, what the member's later reads must see.
func (a *API) remember(ctx context.Context, member int64, position *exchangepb.Position) {
	a.positions.Remember(ctx, position.GetSymbol(), position.GetSeq(), member)
}

// cancelOrder is DELETE /api/v3/order.
func (a *API) cancelOrder(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	orderID, clientOrderID := d.orderIDs()
	cancelID := d.newClientOrderID()
	switch d.text("cancelRestrictions") {
	case "":
	case "ONLY_NEW", "ONLY_PARTIALLY_FILLED":
		// The matcher cannot make a cancel depend on the order's state, and asking first
		// would race with fills: refuse rather than pretend.
		d.fail(errNotRequired("cancelRestrictions"))
	default:
		d.fail(errRestrictions)
	}
	if err := d.err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.CancelOrder(ctx, &exchangepb.CancelOrderRequest{
		MemberId: c.member, Symbol: symbol.GetName(), OrderId: orderID, ClientOrderId: clientOrderID,
	})
	if err != nil {
		return nil, failureWithCause{failureOfCancel(err), err}
	}
	a.remember(ctx, c.member, resp.GetPosition())
	return cancelledOf(resp.GetOrder(), cancelID), nil
}

// orderIDs reads orderId and origClientOrderId, of which one must be sent.
func (d *decoder) orderIDs() (orderID int64, clientOrderID string) {
	orderID, sent := d.longIfSent("orderId")
	clientOrderID = d.clientOrderID("origClientOrderId")
	if !sent && clientOrderID == "" {
		d.fail(errEitherMandatory("origClientOrderId", "orderId"))
	}
	if sent && orderID == 0 {
		d.fail(errInvalid("orderId"))
	}
	return orderID, clientOrderID
}

// cancelOpenOrders is DELETE /api/v3/openOrders.
func (a *API) cancelOpenOrders(ctx context.Context, c *call) (any, error) {
	symbol, err := a.mandatorySymbol(ctx, c.params())
	if err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.CancelAllOrders(ctx, &exchangepb.CancelAllOrdersRequest{
		MemberId: c.member, Symbol: symbol.GetName(),
	})
	if err != nil {
		return nil, failureWithCause{failureOfCancel(err), err}
	}
	a.remember(ctx, c.member, resp.GetPosition())
	if len(resp.GetOrders()) == 0 {
		return nil, errUnknownSent
	}
	answer := make([]cancelled, len(resp.GetOrders()))
	for i, o := range resp.GetOrders() {
		answer[i] = cancelledOf(o, makeClientOrderID())
	}
	return answer, nil
}

// getOrder is GET /api/v3/order.
func (a *API) getOrder(ctx context.Context, c *call) (any, error) {
	d := c.params()
	symbol, err := a.mandatorySymbol(ctx, d)
	if err != nil {
		return nil, err
	}
	orderID, clientOrderID := d.orderIDs()
	if err := d.err(); err != nil {
		return nil, err
	}
	resp, err := a.backends.Exchange.GetOrder(ctx, &exchangepb.GetOrderRequest{
		MemberId: c.member, Symbol: symbol.GetName(), OrderId: orderID, ClientOrderId: clientOrderID,
		ReadAfter: client.ForExchange(a.positions.After(ctx, c.member)),
	})
	if err != nil {
		return nil, err
	}
	if clientOrderID != "" && resp.GetOrder().GetClientOrderId() != clientOrderID {
		return nil, errNoSuchOrder // both ids were sent, and only one is the order's
	}
	if resp.GetOrder().GetState() == eventpb.OrderState_ORDER_STATE_REJECTED {
		return nil, errNoSuchOrder // its member was told that nothing has happened
	}
	return orderOf(resp.GetOrder()), nil
}
