package load

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/shopspring/decimal"

	"mscoin/mscoin-common/clock"
)

// Resting places n orders far below the market, which stay, and returns them. What is
// refused (a partition may be moving) is tried again as another order.
func (l *Load) Resting(ctx context.Context, n int) ([]*Order, error) {
	ctx, cancel := context.WithTimeout(ctx, setupWithin)
	defer cancel()
	orders := make([]*Order, n)
	var wg sync.WaitGroup
	for w := range len(l.members) { // each member sends one after the other
		wg.Go(func() {
			for i := w; i < n && ctx.Err() == nil; {
				o := l.resting(ctx, l.members[w], markets[i/len(l.members)%len(markets)])
				if o.told == Done {
					orders[i] = o
					i += len(l.members)
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("orders that rest: %w", ctx.Err())
	}
	return orders, nil
}

func (l *Load) resting(ctx context.Context, m *member, mk market) *Order {
	o := &Order{member: m, symbol: mk.public, clientID: l.name("r"), quantity: decimal.New(1, 0).Div(decimal.New(int64(mk.lots), 0))}
	l.send(context.WithoutCancel(ctx), o, url.Values{
		"symbol": {o.symbol}, "side": {"BUY"}, "quantity": {o.quantity.String()}, "newClientOrderId": {o.clientID}, "newOrderRespType": {"RESULT"},
		"type": {"LIMIT"}, "timeInForce": {"GTC"}, "price": {fmt.Sprint(mk.middle / 2)},
	})
	return o
}

// CancelOver cancels orders one after the other, evenly over a time, and returns how many
// cancels were acknowledged.
func (l *Load) CancelOver(ctx context.Context, orders []*Order, over time.Duration) int {
	begin, done := clock.Real().Now(), 0
	for i, o := range orders {
		due := over * time.Duration(i) / time.Duration(len(orders))
		if wait := due - clock.Real().Now().Sub(begin); wait > 0 && clock.Sleep(ctx, clock.Real(), wait) != nil {
			return done
		}
		l.cancel(ctx, o)
		if o.cancel == Done {
			done++
		}
	}
	return done
}
