package spot

import (
	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/param"
	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
)

const (
	noOrderList  = -1 // orderListId of an order that is in no list
	zeroAmount   = "0.00000000"
	neverWorking = -1
)

// Names of the dialect's enumerations.
const (
	typeLimit      = "LIMIT"
	typeLimitMaker = "LIMIT_MAKER"
	typeMarket     = "MARKET"

	sideBuy  = "BUY"
	sideSell = "SELL"

	tifGTC = "GTC"
	tifIOC = "IOC"
	tifFOK = "FOK"

	defaultSTP = "EXPIRE_MAKER"
)

// stpModes are the self-trade prevention modes that orders may ask for.
var stpModes = []string{"NONE", "EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"}

var stpByName = map[string]eventpb.SelfTradePrevention{
	"":             eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_UNSPECIFIED,
	"NONE":         eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_NONE,
	"EXPIRE_TAKER": eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_TAKER,
	"EXPIRE_MAKER": eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_MAKER,
	"EXPIRE_BOTH":  eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_BOTH,
}

// ack, result and full are the three lengths of the answer to a new order.
type ack struct {
	Symbol        string `json:"symbol"`
	OrderID       int64  `json:"orderId"`
	OrderListID   int64  `json:"orderListId"`
	ClientOrderID string `json:"clientOrderId"`
	TransactTime  int64  `json:"transactTime"`
}

type result struct {
	ack
	Price         string `json:"price"`
	OrigQty       string `json:"origQty"`
	ExecutedQty   string `json:"executedQty"`
	OrigQuoteQty  string `json:"origQuoteOrderQty"`
	CumulativeQty string `json:"cummulativeQuoteQty"`
	Status        string `json:"status"`
	TimeInForce   string `json:"timeInForce"`
	Type          string `json:"type"`
	Side          string `json:"side"`
	WorkingTime   int64  `json:"workingTime"`
	STPMode       string `json:"selfTradePreventionMode"`
}

type full struct {
	result
	Fills []fill `json:"fills"`
}

type fill struct {
	Price           string `json:"price"`
	Qty             string `json:"qty"`
	Commission      string `json:"commission"`
	CommissionAsset string `json:"commissionAsset"`
	TradeID         int64  `json:"tradeId"`
}

// cancelled is the answer to a cancel.
type cancelled struct {
	Symbol            string `json:"symbol"`
	OrigClientOrderID string `json:"origClientOrderId"`
	OrderID           int64  `json:"orderId"`
	OrderListID       int64  `json:"orderListId"`
	ClientOrderID     string `json:"clientOrderId"`
	TransactTime      int64  `json:"transactTime"`
	Price             string `json:"price"`
	OrigQty           string `json:"origQty"`
	ExecutedQty       string `json:"executedQty"`
	OrigQuoteQty      string `json:"origQuoteOrderQty"`
	CumulativeQty     string `json:"cummulativeQuoteQty"`
	Status            string `json:"status"`
	TimeInForce       string `json:"timeInForce"`
	Type              string `json:"type"`
	Side              string `json:"side"`
	STPMode           string `json:"selfTradePreventionMode"`
}

// order is an order in a list.
type order struct {
	Symbol        string `json:"symbol"`
	OrderID       int64  `json:"orderId"`
	OrderListID   int64  `json:"orderListId"`
	ClientOrderID string `json:"clientOrderId"`
	Price         string `json:"price"`
	OrigQty       string `json:"origQty"`
	ExecutedQty   string `json:"executedQty"`
	CumulativeQty string `json:"cummulativeQuoteQty"`
	Status        string `json:"status"`
	TimeInForce   string `json:"timeInForce"`
	Type          string `json:"type"`
	Side          string `json:"side"`
	StopPrice     string `json:"stopPrice"`
	IcebergQty    string `json:"icebergQty"`
	Time          int64  `json:"time"`
	UpdateTime    int64  `json:"updateTime"`
	IsWorking     bool   `json:"isWorking"`
	WorkingTime   int64  `json:"workingTime"`
	OrigQuoteQty  string `json:"origQuoteOrderQty"`
	STPMode       string `json:"selfTradePreventionMode"`
}

// tradeOfMember is a fill of the member's.
type tradeOfMember struct {
	Symbol          string `json:"symbol"`
	ID              int64  `json:"id"`
	OrderID         int64  `json:"orderId"`
	OrderListID     int64  `json:"orderListId"`
	Price           string `json:"price"`
	Qty             string `json:"qty"`
	QuoteQty        string `json:"quoteQty"`
	Commission      string `json:"commission"`
	CommissionAsset string `json:"commissionAsset"`
	Time            int64  `json:"time"`
	IsBuyer         bool   `json:"isBuyer"`
	IsMaker         bool   `json:"isMaker"`
	IsBestMatch     bool   `json:"isBestMatch"`
}

func ackOf(o *exchangepb.Order) ack {
	return ack{
		Symbol: client.PublicName(o.GetSymbol()), OrderID: o.GetOrderId(), OrderListID: noOrderList,
		ClientOrderID: o.GetClientOrderId(), TransactTime: o.GetUpdateTimeMs(),
	}
}

func resultOf(o *exchangepb.Order) result {
	return result{
		ack: ackOf(o), Price: priceOf(o), OrigQty: param.Fixed8(o.GetQuantity()),
		ExecutedQty: param.Fixed8(o.GetTradedAmount()), OrigQuoteQty: param.Fixed8(o.GetQuoteAmount()),
		CumulativeQty: param.Fixed8(o.GetTurnover()), Status: statusOf(o.GetState()), TimeInForce: tifOf(o),
		Type: typeOf(o), Side: sideOf(o.GetSide()), WorkingTime: workingTimeOf(o), STPMode: stpOf(o.GetSelfTradePrevention()),
	}
}

func fullOf(o *exchangepb.Order, fills []*exchangepb.Fill) full {
	answer := full{result: resultOf(o), Fills: make([]fill, 0, len(fills))}
	for _, f := range fills {
		answer.Fills = append(answer.Fills, fill{
			Price: param.Fixed8(f.GetPrice()), Qty: param.Fixed8(f.GetQuantity()), Commission: param.Fixed8(f.GetFee()),
			CommissionAsset: f.GetFeeCoin(), TradeID: f.GetTradeId(),
		})
	}
	return answer
}

func cancelledOf(o *exchangepb.Order, cancelID string) cancelled {
	r := resultOf(o)
	return cancelled{
		Symbol: r.Symbol, OrigClientOrderID: r.ClientOrderID, OrderID: r.OrderID, OrderListID: noOrderList,
		ClientOrderID: cancelID, TransactTime: r.TransactTime, Price: r.Price, OrigQty: r.OrigQty,
		ExecutedQty: r.ExecutedQty, OrigQuoteQty: r.OrigQuoteQty, CumulativeQty: r.CumulativeQty, Status: r.Status,
		TimeInForce: r.TimeInForce, Type: r.Type, Side: r.Side, STPMode: r.STPMode,
	}
}

func orderOf(o *exchangepb.Order) order {
	r := resultOf(o)
	return order{
		Symbol: r.Symbol, OrderID: r.OrderID, OrderListID: noOrderList, ClientOrderID: r.ClientOrderID, Price: r.Price,
		OrigQty: r.OrigQty, ExecutedQty: r.ExecutedQty, CumulativeQty: r.CumulativeQty, Status: r.Status,
		TimeInForce: r.TimeInForce, Type: r.Type, Side: r.Side, StopPrice: param.Fixed8(o.GetStopPrice()),
		IcebergQty: zeroAmount, Time: o.GetCreateTimeMs(), UpdateTime: o.GetUpdateTimeMs(),
		IsWorking: r.WorkingTime != neverWorking, WorkingTime: r.WorkingTime, OrigQuoteQty: r.OrigQuoteQty, STPMode: r.STPMode,
	}
}

func ordersOf(orders []*exchangepb.Order) []order {
	answer := make([]order, len(orders))
	for i, o := range orders {
		answer[i] = orderOf(o)
	}
	return answer
}

func tradesOf(fills []*exchangepb.Fill) []tradeOfMember {
	answer := make([]tradeOfMember, len(fills))
	for i, f := range fills {
		answer[i] = tradeOfMember{
			Symbol: client.PublicName(f.GetSymbol()), ID: f.GetTradeId(), OrderID: f.GetOrderId(), OrderListID: noOrderList,
			Price: param.Fixed8(f.GetPrice()), Qty: param.Fixed8(f.GetQuantity()), QuoteQty: param.Fixed8(f.GetTurnover()),
			Commission: param.Fixed8(f.GetFee()), CommissionAsset: f.GetFeeCoin(), Time: f.GetTimeMs(),
			IsBuyer: f.GetSide() == eventpb.Side_SIDE_BUY, IsMaker: f.GetMaker(), IsBestMatch: true,
		}
	}
	return answer
}

func priceOf(o *exchangepb.Order) string {
	if o.GetType() == eventpb.OrderType_ORDER_TYPE_MARKET {
		return zeroAmount
	}
	return param.Fixed8(o.GetPrice())
}

// workingTimeOf is when the order appeared in the book.
func workingTimeOf(o *exchangepb.Order) int64 {
	state := o.GetState()
	if state == eventpb.OrderState_ORDER_STATE_UNSPECIFIED || state == eventpb.OrderState_ORDER_STATE_PENDING_TRIGGER ||
		state == eventpb.OrderState_ORDER_STATE_REJECTED {
		return neverWorking
	}
	return o.GetCreateTimeMs()
}

func statusOf(state eventpb.OrderState) string {
	switch state {
	case eventpb.OrderState_ORDER_STATE_NEW, eventpb.OrderState_ORDER_STATE_PENDING_TRIGGER:
		return "NEW"
	case eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED:
		return "PARTIALLY_FILLED"
	case eventpb.OrderState_ORDER_STATE_FILLED:
		return "FILLED"
	case eventpb.OrderState_ORDER_STATE_CANCELED:
		return "CANCELED"
	case eventpb.OrderState_ORDER_STATE_EXPIRED:
		return "EXPIRED"
	case eventpb.OrderState_ORDER_STATE_EXPIRED_IN_MATCH:
		return "EXPIRED_IN_MATCH"
	case eventpb.OrderState_ORDER_STATE_REJECTED:
		return "REJECTED"
	case eventpb.OrderState_ORDER_STATE_UNSPECIFIED:
		return "PENDING_NEW"
	default:
		return state.String()
	}
}

func typeOf(o *exchangepb.Order) string {
	switch o.GetType() {
	case eventpb.OrderType_ORDER_TYPE_LIMIT:
		if o.GetTimeInForce() == eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY {
			return typeLimitMaker
		}
		return typeLimit
	case eventpb.OrderType_ORDER_TYPE_MARKET:
		return typeMarket
	case eventpb.OrderType_ORDER_TYPE_STOP_LOSS:
		return "STOP_LOSS"
	case eventpb.OrderType_ORDER_TYPE_STOP_LOSS_LIMIT:
		return "STOP_LOSS_LIMIT"
	case eventpb.OrderType_ORDER_TYPE_TAKE_PROFIT:
		return "TAKE_PROFIT"
	case eventpb.OrderType_ORDER_TYPE_TAKE_PROFIT_LIMIT:
		return "TAKE_PROFIT_LIMIT"
	case eventpb.OrderType_ORDER_TYPE_UNSPECIFIED:
		return ""
	default:
		return o.GetType().String()
	}
}

// tifOf is GTC for types whose time in force is not a choice.
func tifOf(o *exchangepb.Order) string {
	if o.GetType() == eventpb.OrderType_ORDER_TYPE_MARKET {
		return tifGTC
	}
	switch o.GetTimeInForce() {
	case eventpb.TimeInForce_TIME_IN_FORCE_IOC:
		return tifIOC
	case eventpb.TimeInForce_TIME_IN_FORCE_FOK:
		return tifFOK
	case eventpb.TimeInForce_TIME_IN_FORCE_UNSPECIFIED, eventpb.TimeInForce_TIME_IN_FORCE_GTC,
		eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY:
		return tifGTC
	default:
		return o.GetTimeInForce().String()
	}
}

func sideOf(side eventpb.Side) string {
	if side == eventpb.Side_SIDE_SELL {
		return sideSell
	}
	return sideBuy
}

func stpOf(mode eventpb.SelfTradePrevention) string {
	switch mode {
	case eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_NONE:
		return "NONE"
	case eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_TAKER:
		return "EXPIRE_TAKER"
	case eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_BOTH:
		return "EXPIRE_BOTH"
	case eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_DECREMENT:
		return "DECREMENT"
	case eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_EXPIRE_MAKER,
		eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_UNSPECIFIED:
		return defaultSTP
	default:
		return mode.String()
	}
}
