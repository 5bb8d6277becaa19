package client

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

// lister is an exchange that lists symbols and counts how often it is asked.
type lister struct {
	exchangepb.ExchangeServiceClient
	asked   atomic.Int64
	symbols atomic.Pointer[[]string]
	down    atomic.Bool
}

func (l *lister) ListSymbols(context.Context, *exchangepb.ListSymbolsRequest, ...grpc.CallOption) (*exchangepb.ListSymbolsResponse, error) {
	l.asked.Add(1)
	if l.down.Load() {
		return nil, errors.New("down")
	}
	resp := &exchangepb.ListSymbolsResponse{}
	for _, name := range *l.symbols.Load() {
		resp.Symbols = append(resp.Symbols, &exchangepb.Symbol{Name: name})
	}
	return resp, nil
}

func TestCatalog(t *testing.T) {
	clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
	exchange := &lister{}
	exchange.symbols.Store(&[]string{"BTC/USDT"})
	c := NewCatalog(exchange, clk, time.Second, time.Second)

	t.Run("both names find a symbol", func(t *testing.T) {
		for _, name := range []string{"BTC/USDT", "BTCUSDT"} {
			if s, err := c.ByAnyName(t.Context(), name); err != nil || s.GetName() != "BTC/USDT" {
				t.Errorf("%s: %v %v", name, s, err)
			}
		}
		if _, err := c.ByPublic(t.Context(), "BTC/USDT"); errs.CodeOf(err) != errs.CodeUnknownSymbol {
			t.Errorf("the public name has no slash: %v", err)
		}
	})
	t.Run("unknown names do not flood the exchange", func(t *testing.T) {
		before := exchange.asked.Load()
		for range 1000 {
			if _, err := c.ByPublic(t.Context(), "NOPE"); errs.CodeOf(err) != errs.CodeUnknownSymbol {
				t.Fatal(err)
			}
		}
		if asked := exchange.asked.Load() - before; asked > 1 {
			t.Errorf("asked %d times", asked)
		}
	})
	t.Run("a new symbol is found before the next refresh", func(t *testing.T) {
		exchange.symbols.Store(&[]string{"BTC/USDT", "ETH/USDT"})
		clk.Advance(missInterval)
		if _, err := c.ByPublic(t.Context(), "ETHUSDT"); err != nil {
			t.Error(err)
		}
	})
	t.Run("the last listing outlives the exchange", func(t *testing.T) {
		exchange.down.Store(true)
		clk.Advance(time.Hour)
		if _, err := c.ByPublic(t.Context(), "BTCUSDT"); err != nil {
			t.Error(err)
		}
	})
	t.Run("an exchange that never answered refuses, without being asked each time", func(t *testing.T) {
		down := &lister{}
		down.down.Store(true)
		c := NewCatalog(down, clk, time.Second, time.Second)
		for range 100 {
			if _, err := c.All(t.Context()); errs.KindOf(err) != errs.KindUnavailable {
				t.Fatal(err)
			}
		}
		if down.asked.Load() != 1 {
			t.Errorf("asked %d times", down.asked.Load())
		}
	})
	t.Run("Run refreshes at its interval", func(t *testing.T) {
		exchange.down.Store(false)
		exchange.symbols.Store(&[]string{"SOL/USDT"})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		testkit.Eventually(t, 5*time.Second, func() bool {
			clk.Advance(time.Second)
			all, err := c.All(ctx)
			return err == nil && len(all) == 1 && all[0].GetName() == "SOL/USDT"
		}, "the listing stays old")
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
