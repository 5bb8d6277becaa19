package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/adshao/go-binance/v2"
	"github.com/adshao/go-binance/v2/common"
	"github.com/shopspring/decimal"
)

func pause(d time.Duration) { <-time.After(d) }

// acked is an order whose placing was acknowledged to the client.
type acked struct {
	client *binance.Client
	symbol string
	id     int64
	final  bool // the acknowledgement said so
}

// load trades with both accounts until ctx ends, and remembers what was acknowledged.
type load struct {
	mu    sync.Mutex
	acked []acked
	count atomic.Int64
}

func (l *load) run(ctx context.Context, clients []*binance.Client, seed uint64) {
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(w)))
			for ctx.Err() == nil {
				l.one(ctx, clients[r.IntN(len(clients))], r)
			}
		})
	}
	wg.Wait()
}

func (l *load) one(ctx context.Context, c *binance.Client, r *rand.Rand) {
	symbol, price, lot := "BTCUSDT", 60000+r.IntN(20), "0.00"
	if r.IntN(3) == 0 {
		symbol, price = "ETHUSDT", 3000+r.IntN(20)
	}
	side := binance.SideTypeBuy
	if r.IntN(2) == 0 {
		side = binance.SideTypeSell
	}
	order := c.NewCreateOrderService().Symbol(symbol).Side(side).Quantity(lot + strconv.Itoa(1+r.IntN(9)) + "0")
	if r.IntN(5) == 0 {
		order.Type(binance.OrderTypeMarket)
	} else {
		order.Type(binance.OrderTypeLimit).TimeInForce(binance.TimeInForceTypeGTC).Price(strconv.Itoa(price))
	}
	answer, err := order.Do(ctx)
	if err != nil {
		return // refused, or the process is gone: nothing was promised
	}
	l.count.Add(1)
	if r.IntN(6) == 0 && answer.Status == binance.OrderStatusTypeNew {
		if _, err := c.NewCancelOrderService().Symbol(symbol).OrderID(answer.OrderID).Do(ctx); err == nil {
			answer.Status = binance.OrderStatusTypeCanceled
		}
	}
	final := answer.Status != binance.OrderStatusTypeNew && answer.Status != binance.OrderStatusTypePartiallyFilled
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked = append(l.acked, acked{client: c, symbol: symbol, id: answer.OrderID, final: final})
}

func (l *load) verify(t *testing.T) {
	for _, a := range l.acked {
		order, err := a.client.NewGetOrderService().Symbol(a.symbol).OrderID(a.id).Do(t.Context())
		if err != nil {
			t.Fatalf("order %d was acknowledged: %v", a.id, err)
		}
		open := order.Status == binance.OrderStatusTypeNew || order.Status == binance.OrderStatusTypePartiallyFilled
		if a.final && open {
			t.Fatalf("order %d was acknowledged as final and is %s", a.id, order.Status)
		}
	}
}

func noneHeld(t *testing.T, clients []*binance.Client) {
	// An order whose placing was cut off by a kill is resolved by the sweeper.
	poll(t, 60*time.Second, "all holds to be released", func() error {
		for _, c := range clients {
			for _, symbol := range []string{"BTCUSDT", "ETHUSDT"} {
				_, err := c.NewCancelOpenOrdersService().Symbol(symbol).Do(t.Context())
				if api := (&common.APIError{}); err != nil && (!errors.As(err, &api) || api.Code != -2011) {
					return err
				}
			}
			account, err := c.NewGetAccountService().Do(t.Context())
			if err != nil {
				return err
			}
			for _, b := range account.Balances {
				if !decimal.RequireFromString(b.Locked).IsZero() {
					return fmt.Errorf("%s %s are still held", b.Locked, b.Asset)
				}
			}
		}
		return nil
	})
}

func totals(t *testing.T, clients []*binance.Client) map[string]decimal.Decimal {
	t.Helper()
	sum := map[string]decimal.Decimal{}
	for _, c := range clients {
		account, err := c.NewGetAccountService().Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range account.Balances {
			sum[b.Asset] = sum[b.Asset].Add(decimal.RequireFromString(b.Free)).Add(decimal.RequireFromString(b.Locked))
		}
	}
	return sum
}
