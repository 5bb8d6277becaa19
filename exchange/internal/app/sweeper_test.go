package app_test

import (
	"context"
	"errors"
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
	broken string // symbol whose commands cannot be written
}

func (a *asked) Resolve(_ context.Context, r symbol.Rules, orderID, _, _ int64) error {
	if r.Name == a.broken {
		return errAway
	}
	a.orders = append(a.orders, orderID)
	return nil
}

// noHolds is a wallet without stale holds.
type noHolds struct{ app.Wallet }

func (noHolds) StaleHolds(context.Context, int64, []string, int) ([]app.StaleHold, error) {
	return nil, nil
}

// here is a matcher that answers, but for the symbols that are elsewhere.
type here struct {
	app.Book
	elsewhere string
}

func (b here) Enter(r symbol.Rules) (func(), error) {
	if r.Name == b.elsewhere {
		return nil, app.ErrMoving
	}
	return func() {}, nil
}

func (here) Phase(symbol.Rules) (order.Phase, bool) { return order.PhaseTrading, true }

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
	t.Run("a symbol that fails, is halted, or is matched elsewhere keeps no other from being swept", func(t *testing.T) {
		ctx, store, commands := t.Context(), memory.New(), &asked{broken: "A/USDT"}
		r := newRig(t)
		r.poll(&app.Backlog{Halted: map[string]bool{"B/USDT": true}}, &app.Backlog{})
		a := app.New(app.Config{SweepBatch: 2}, app.Deps{
			Store: store, Wallet: noHolds{}, Commands: commands, Book: here{elsewhere: "C/USDT"}, Clock: r.clk, Admission: r.Admission,
		})
		for i, name := range []string{"B/USDT", "C/USDT", "A/USDT", "D/USDT"} {
			if _, err := store.InsertSymbol(ctx, symbol.Rules{Name: name}, 1); err != nil {
				t.Fatal(err)
			}
			for n := range int64(2) {
				id := int64(i)*10 + n
				if name == "A/USDT" && n == 1 || name == "D/USDT" && n == 1 {
					continue // the batch takes one of each
				}
				err := store.InsertOrder(ctx, &order.Order{ID: id + 1, MemberID: id + 1, ClientOrderID: "a", Symbol: name, CreateTimeMs: 10})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := a.LoadSymbols(ctx); err != nil {
			t.Fatal(err)
		}
		n, err := app.NewSweeper(a).Sweep(ctx)
		if !errors.Is(err, errAway) || n != 1 || len(commands.orders) != 1 || commands.orders[0] != 31 {
			t.Errorf("asked about %v: %d, %v", commands.orders, n, err)
		}
	})
}
