package app_test

import (
	"context"
	"testing"
	"time"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/store/memory"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/symbol"
)

// asked notes the orders that the matcher is asked about.
type asked struct {
	app.Commands
	orders []int64
}

func (a *asked) Resolve(_ context.Context, _ symbol.Rules, orderID, _, _ int64) error {
	a.orders = append(a.orders, orderID)
	return nil
}

// noHolds is a wallet without stale holds.
type noHolds struct{ app.Wallet }

func (noHolds) StaleHolds(context.Context, int64, int) ([]app.StaleHold, error) { return nil, nil }

// here is a matcher that answers.
type here struct{ app.Book }

func (here) Enter(symbol.Rules) (func(), error) { return func() {}, nil }

func TestSweeper_Sweep(t *testing.T) {
	t.Run("intents on a symbol that another instance has listed since are resolved too (H1)", func(t *testing.T) {
		ctx, store, commands := t.Context(), memory.New(), &asked{}
		a := app.New(app.Config{SweepBatch: 10}, app.Deps{
			Store: store, Wallet: noHolds{}, Commands: commands, Book: here{}, Clock: clock.NewFake(time.UnixMilli(1000)),
		})
		if err := a.LoadSymbols(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := store.InsertSymbol(ctx, symbol.Rules{Name: "ETH/USDT"}, 1); err != nil {
			t.Fatal(err)
		}
		if err := store.InsertOrder(ctx, &order.Order{ID: 7, MemberID: 1, ClientOrderID: "a", Symbol: "ETH/USDT", CreateTimeMs: 10}); err != nil {
			t.Fatal(err)
		}
		n, err := app.NewSweeper(a).Sweep(ctx)
		if err != nil || n != 1 || len(commands.orders) != 1 || commands.orders[0] != 7 {
			t.Errorf("asked about %v: %d, %v", commands.orders, n, err)
		}
	})
}
