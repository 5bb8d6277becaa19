package story

import (
	"context"
	"fmt"

	"github.com/adshao/go-binance/v2"
	"github.com/shopspring/decimal"
)

// answer is what a step must hear back.
type answer struct {
	status         binance.OrderStatusType
	executed, cost string
	fills          int
	fee, feeCoin   string // sum over the fills
}

func (a answer) check(r *binance.CreateOrderResponse) error {
	if r.Status != a.status || !same(r.ExecutedQuantity, a.executed) || !same(r.CummulativeQuoteQuantity, a.cost) || len(r.Fills) != a.fills {
		return fmt.Errorf("answered %s, executed %s for %s in %d fills; must be %s, %s, %s, %d",
			r.Status, r.ExecutedQuantity, r.CummulativeQuoteQuantity, len(r.Fills), a.status, a.executed, a.cost, a.fills)
	}
	fee := decimal.Zero
	for _, f := range r.Fills {
		if f.CommissionAsset != a.feeCoin {
			return fmt.Errorf("fee in %s, must be in %s", f.CommissionAsset, a.feeCoin)
		}
		c, err := decimal.NewFromString(f.Commission)
		if err != nil {
			return fmt.Errorf("fee %q: %w", f.Commission, err)
		}
		fee = fee.Add(c)
	}
	if a.fills > 0 && !same(fee.String(), a.fee) {
		return fmt.Errorf("fee %s %s, must be %s", fee, a.feeCoin, a.fee)
	}
	return nil
}

func same(got, want string) bool {
	g, err1 := decimal.NewFromString(got)
	w, err2 := decimal.NewFromString(want)
	return err1 == nil && err2 == nil && g.Equal(w)
}

func (w trader) limit(ctx context.Context, side binance.SideType, qty, price string, want answer) (string, error) {
	r, err := w.client.NewCreateOrderService().Symbol(Symbol).Side(side).Type(binance.OrderTypeLimit).
		TimeInForce(binance.TimeInForceTypeGTC).Quantity(qty).Price(price).NewOrderRespType(binance.NewOrderRespTypeFULL).Do(ctx)
	if err != nil {
		return "", err
	}
	return describe(r), want.check(r)
}

func describe(r *binance.CreateOrderResponse) string {
	if len(r.Fills) == 0 {
		return string(r.Status)
	}
	return fmt.Sprintf("%s, %s at %s", r.Status, trim(r.ExecutedQuantity), trim(r.Fills[0].Price))
}

func trim(s string) string {
	d, err := decimal.NewFromString(s)
	if err != nil {
		return s
	}
	return d.String()
}

func (t *teller) makerRests(ctx context.Context) (string, error) {
	return t.maker.limit(ctx, binance.SideTypeSell, "0.5", "60000.00", answer{status: binance.OrderStatusTypeNew, executed: "0", cost: "0"})
}

// takerCrosses buys above the resting price: it pays the maker's price and gets the difference back at once.
func (t *teller) takerCrosses(ctx context.Context) (string, error) {
	return t.taker.limit(ctx, binance.SideTypeBuy, "0.2", "60100.00",
		answer{status: binance.OrderStatusTypeFilled, executed: "0.2", cost: "12000", fills: 1, fee: "0.0002", feeCoin: "BTC"})
}

func (t *teller) makerCancels(ctx context.Context) (string, error) {
	open, err := t.maker.client.NewListOpenOrdersService().Symbol(Symbol).Do(ctx)
	if err != nil {
		return "", err
	}
	if len(open) != 1 || open[0].Status != binance.OrderStatusTypePartiallyFilled || !same(open[0].ExecutedQuantity, "0.2") {
		return "", fmt.Errorf("one partly filled open order expected, got %d", len(open))
	}
	r, err := t.maker.client.NewCancelOrderService().Symbol(Symbol).OrderID(open[0].OrderID).Do(ctx)
	if err != nil {
		return "", err
	}
	if r.Status != binance.OrderStatusTypeCanceled || !same(r.ExecutedQuantity, "0.2") || !same(r.CummulativeQuoteQuantity, "12000") {
		return "", fmt.Errorf("answered %s, executed %s for %s", r.Status, r.ExecutedQuantity, r.CummulativeQuoteQuantity)
	}
	trades, err := t.maker.client.NewListTradesService().Symbol(Symbol).OrderId(open[0].OrderID).Do(ctx)
	if err != nil {
		return "", err
	}
	if len(trades) != 1 || !trades[0].IsMaker || trades[0].CommissionAsset != "USDT" || !same(trades[0].Commission, "12") {
		return "", fmt.Errorf("one maker trade with a fee of 12 USDT expected, got %+v", trades)
	}
	return fmt.Sprintf("%s, %s had traded", r.Status, trim(r.ExecutedQuantity)), nil
}

func (t *teller) makerRestsAgain(ctx context.Context) (string, error) {
	return t.maker.limit(ctx, binance.SideTypeSell, "1", "60500.00", answer{status: binance.OrderStatusTypeNew, executed: "0", cost: "0"})
}

// takerSpends gives an amount of money instead of a quantity: floor(1000 / 60500) to the lot is 0.01652 BTC.
func (t *teller) takerSpends(ctx context.Context) (string, error) {
	r, err := t.taker.client.NewCreateOrderService().Symbol(Symbol).Side(binance.SideTypeBuy).Type(binance.OrderTypeMarket).
		QuoteOrderQty("1000").NewOrderRespType(binance.NewOrderRespTypeFULL).Do(ctx)
	if err != nil {
		return "", err
	}
	return describe(r), answer{status: binance.OrderStatusTypeFilled, executed: "0.01652", cost: "999.46", fills: 1, fee: "0.00001652", feeCoin: "BTC"}.check(r)
}

func (t *teller) makerCancelsAll(ctx context.Context) (string, error) {
	r, err := t.maker.client.NewCancelOpenOrdersService().Symbol(Symbol).Do(ctx)
	if err != nil {
		return "", err
	}
	if len(r.Orders) != 1 || r.Orders[0].Status != binance.OrderStatusTypeCanceled || !same(r.Orders[0].ExecutedQuantity, "0.01652") {
		return "", fmt.Errorf("one cancelled order expected, got %d", len(r.Orders))
	}
	return fmt.Sprintf("%s, %s had traded", r.Orders[0].Status, trim(r.Orders[0].ExecutedQuantity)), nil
}

// marketFindsNobody shows that a market order never rests: it ends and everything returns.
func (t *teller) marketFindsNobody(ctx context.Context) (string, error) {
	r, err := t.taker.client.NewCreateOrderService().Symbol(Symbol).Side(binance.SideTypeSell).Type(binance.OrderTypeMarket).
		Quantity("0.1").NewOrderRespType(binance.NewOrderRespTypeFULL).Do(ctx)
	if err != nil {
		return "", err
	}
	return describe(r), answer{status: binance.OrderStatusTypeExpired, executed: "0", cost: "0"}.check(r)
}
