package store

import (
	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/symbol"
)

// Status of an order as the reference design numbers it, and what it lacks.
const (
	statusTrading        = 0
	statusCompleted      = 1
	statusCanceled       = 2
	statusOvertimed      = 3
	statusInit           = 4
	statusRejected       = 5
	statusExpiredInMatch = 6
	statusPendingTrigger = 7
)

// orderRow is a row of exchange_order. coin_symbol is the base asset and base_symbol
// the quote asset.
type orderRow struct {
	OrderID             int64 `gorm:"primaryKey;autoIncrement:false"`
	MemberID            int64
	ClientOrderID       string
	ActiveClientOrderID *string
	Symbol              string
	CoinSymbol          string
	BaseSymbol          string
	Direction           int64
	Type                int64
	TimeInForce         int64
	SelfTradePrevention int64
	Price               int64
	StopPrice           int64
	Amount              int64
	QuoteAmount         int64
	HoldCoin            string
	HoldAmount          int64
	HeldRemaining       int64
	TradedAmount        int64
	Turnover            int64
	Fee                 int64
	Status              int64
	Reason              int64
	MakerFeePpm         int64
	TakerFeePpm         int64
	DeadlineMs          int64
	Time                int64
	UpdatedTime         int64
	CompletedTime       int64
	CanceledTime        int64
	Seq                 int64
	UseDiscount         int64
}

// TableName implements GORM's Tabler.
func (orderRow) TableName() string { return "exchange_order" }

// factColumns are what a record changes; everything else is the intent.
var factColumns = []string{
	"held_remaining", "traded_amount", "turnover", "fee", "status", "reason",
	"updated_time", "completed_time", "canceled_time", "seq",
}

// orderTypes maps the reference's numbers (market 0, limit 1) to ours.
var orderTypes = [...]order.Type{
	order.Market, order.Limit, order.StopLoss, order.StopLossLimit, order.TakeProfit, order.TakeProfitLimit,
}

func typeNumber(t order.Type) int64 {
	for i, known := range orderTypes {
		if known == t {
			return int64(i)
		}
	}
	return -1
}

func statusOf(s order.State) int64 {
	switch s {
	case order.StateInit:
		return statusInit
	case order.StateNew, order.StatePartiallyFilled:
		return statusTrading
	case order.StatePendingTrigger:
		return statusPendingTrigger
	case order.StateFilled:
		return statusCompleted
	case order.StateCanceled:
		return statusCanceled
	case order.StateExpired:
		return statusOvertimed
	case order.StateExpiredInMatch:
		return statusExpiredInMatch
	case order.StateRejected:
		return statusRejected
	}
	return -1
}

func stateOf(row *orderRow) order.State {
	switch row.Status {
	case statusTrading:
		if row.TradedAmount > 0 {
			return order.StatePartiallyFilled
		}
		return order.StateNew
	case statusPendingTrigger:
		return order.StatePendingTrigger
	case statusCompleted:
		return order.StateFilled
	case statusCanceled:
		return order.StateCanceled
	case statusOvertimed:
		return order.StateExpired
	case statusExpiredInMatch:
		return order.StateExpiredInMatch
	case statusRejected:
		return order.StateRejected
	}
	return order.StateInit
}

// intentRow returns the row of a new order.
func intentRow(o *order.Order) orderRow {
	active := o.ClientOrderID
	row := orderRow{
		OrderID: o.ID, MemberID: o.MemberID, ClientOrderID: o.ClientOrderID, ActiveClientOrderID: &active,
		Symbol: o.Symbol, CoinSymbol: o.Base, BaseSymbol: o.Quote,
		Direction: int64(o.Side) - 1, Type: typeNumber(o.Type),
		TimeInForce: int64(o.TIF), SelfTradePrevention: int64(o.STP),
		Price: o.Price, StopPrice: o.StopPrice, Amount: o.Quantity, QuoteAmount: o.QuoteAmount,
		HoldCoin: o.HoldCoin, HoldAmount: o.HoldAmount,
		MakerFeePpm: int64(o.MakerFeePpm), TakerFeePpm: int64(o.TakerFeePpm),
		DeadlineMs: o.DeadlineMs, Time: o.CreateTimeMs, UpdatedTime: o.CreateTimeMs,
	}
	row.setFacts(o)
	return row
}

// setFacts writes the matcher's facts into a row.
func (row *orderRow) setFacts(o *order.Order) {
	row.HeldRemaining, row.TradedAmount, row.Turnover, row.Fee = o.HeldRemaining, o.TradedAmount, o.Turnover, o.Fee
	row.Status, row.Reason, row.Seq = statusOf(o.State), int64(o.Reason), o.Seq
	if o.TimeMs > 0 {
		row.UpdatedTime = o.TimeMs
	}
	switch {
	case o.State == order.StateFilled:
		row.CompletedTime = o.TimeMs
	case o.State.Final():
		row.CanceledTime = o.TimeMs
	}
}

// found converts a row.
func (row *orderRow) found() app.Found {
	return app.Found{UpdateTimeMs: row.UpdatedTime, Order: order.Order{
		ID: row.OrderID, MemberID: row.MemberID, ClientOrderID: row.ClientOrderID,
		Symbol: row.Symbol, Base: row.CoinSymbol, Quote: row.BaseSymbol,
		Side:  order.Side(row.Direction + 1),
		Type:  orderTypes[min(max(row.Type, 0), int64(len(orderTypes)-1))],
		TIF:   order.TimeInForce(row.TimeInForce),
		STP:   order.SelfTradePrevention(row.SelfTradePrevention),
		Price: row.Price, StopPrice: row.StopPrice, Quantity: row.Amount, QuoteAmount: row.QuoteAmount,
		HoldCoin: row.HoldCoin, HoldAmount: row.HoldAmount,
		MakerFeePpm: int32(row.MakerFeePpm), TakerFeePpm: int32(row.TakerFeePpm),
		DeadlineMs: row.DeadlineMs, CreateTimeMs: row.Time,
		Facts: order.Facts{
			State: stateOf(row), Reason: order.Reason(row.Reason),
			TradedAmount: row.TradedAmount, Turnover: row.Turnover, Fee: row.Fee,
			HeldRemaining: row.HeldRemaining, Seq: row.Seq, TimeMs: row.UpdatedTime,
		},
	}}
}

// tradeRow is a row of exchange_trade.
type tradeRow struct {
	Symbol        string `gorm:"primaryKey"`
	TradeID       int64  `gorm:"primaryKey;autoIncrement:false"`
	Seq           int64
	Price         int64
	Quantity      int64
	Turnover      int64
	TakerSide     int64
	MakerOrderID  int64
	TakerOrderID  int64
	MakerMemberID int64
	TakerMemberID int64
	MakerFee      int64
	TakerFee      int64
	Time          int64
}

// TableName implements GORM's Tabler.
func (tradeRow) TableName() string { return "exchange_trade" }

func tradeRowOf(t *order.Trade) tradeRow {
	return tradeRow{
		Symbol: t.Symbol, TradeID: t.ID, Seq: t.Seq,
		Price: t.Price, Quantity: t.Quantity, Turnover: t.Turnover, TakerSide: int64(t.TakerSide) - 1,
		MakerOrderID: t.MakerOrderID, TakerOrderID: t.TakerOrderID,
		MakerMemberID: t.MakerMemberID, TakerMemberID: t.TakerMemberID,
		MakerFee: t.MakerFee, TakerFee: t.TakerFee, Time: t.TimeMs,
	}
}

func (row *tradeRow) trade() order.Trade {
	return order.Trade{
		Symbol: row.Symbol, ID: row.TradeID, Seq: row.Seq,
		Price: row.Price, Quantity: row.Quantity, Turnover: row.Turnover,
		TakerSide:    order.Side(row.TakerSide + 1),
		MakerOrderID: row.MakerOrderID, TakerOrderID: row.TakerOrderID,
		MakerMemberID: row.MakerMemberID, TakerMemberID: row.TakerMemberID,
		MakerFee: row.MakerFee, TakerFee: row.TakerFee, TimeMs: row.Time,
	}
}

// coinRow is a row of exchange_coin.
type coinRow struct {
	Symbol           string `gorm:"primaryKey"`
	CoinSymbol       string
	BaseSymbol       string
	CoinScale        int64
	BaseCoinScale    int64
	TickUnits        int64
	LotUnits         int64
	MinPrice         int64
	MaxPrice         int64
	MinVolume        int64
	MaxVolume        int64
	MinTurnover      int64
	MaxTurnover      int64
	MakerFeePpm      int64
	TakerFeePpm      int64
	EnableMarketBuy  int64
	EnableMarketSell int64
	MaxTradingOrder  int64
	BandUpPpm        int64
	BandDownPpm      int64
	PartitionID      int64
	Phase            int64
	Sort             int64
	Time             int64
}

// TableName implements GORM's Tabler.
func (coinRow) TableName() string { return "exchange_coin" }

func coinRowOf(r symbol.Rules, nowMs int64) coinRow {
	return coinRow{
		Symbol: r.Name, CoinSymbol: r.Base, BaseSymbol: r.Quote,
		CoinScale: int64(r.BaseScale), BaseCoinScale: int64(r.QuoteScale),
		TickUnits: r.TickUnits, LotUnits: r.LotUnits,
		MinPrice: r.MinPrice, MaxPrice: r.MaxPrice, MinVolume: r.MinQty, MaxVolume: r.MaxQty,
		MinTurnover: r.MinNotional, MaxTurnover: r.MaxNotional,
		MakerFeePpm: int64(r.MakerFeePpm), TakerFeePpm: int64(r.TakerFeePpm),
		EnableMarketBuy: number(r.MarketBuyEnabled), EnableMarketSell: number(r.MarketSellEnabled),
		MaxTradingOrder: int64(r.MaxOpenOrders), BandUpPpm: r.BandUpPpm, BandDownPpm: r.BandDownPpm,
		PartitionID: int64(r.Partition), Phase: int64(order.PhaseTrading), Time: nowMs,
	}
}

func (row *coinRow) rules() symbol.Rules {
	return symbol.Rules{
		Name: row.Symbol, Base: row.CoinSymbol, Quote: row.BaseSymbol,
		BaseScale: int(row.CoinScale), QuoteScale: int(row.BaseCoinScale),
		TickUnits: row.TickUnits, LotUnits: row.LotUnits,
		MinPrice: row.MinPrice, MaxPrice: row.MaxPrice, MinQty: row.MinVolume, MaxQty: row.MaxVolume,
		MinNotional: row.MinTurnover, MaxNotional: row.MaxTurnover,
		MakerFeePpm: int32(row.MakerFeePpm), TakerFeePpm: int32(row.TakerFeePpm),
		MarketBuyEnabled: row.EnableMarketBuy != 0, MarketSellEnabled: row.EnableMarketSell != 0,
		BandUpPpm: row.BandUpPpm, BandDownPpm: row.BandDownPpm,
		MaxOpenOrders: int(row.MaxTradingOrder), Partition: int(row.PartitionID),
	}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
