package client

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
)

func sorted(positions []Position) []Position {
	slices.SortFunc(positions, func(a, b Position) int {
		if a.Symbol < b.Symbol {
			return -1
		}
		return 1
	})
	return positions
}

func TestPositions(t *testing.T) {
	clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
	t.Run("what one gateway notes, another one reads", func(t *testing.T) {
		rdb := testkit.Redis(t)
		one, other := NewPositions(rdb, clk, 10*time.Second, time.Second), NewPositions(rdb, clk, 10*time.Second, time.Second)
		one.Remember(t.Context(), "BTC/USDT", 5, 7, 8)
		other.Remember(t.Context(), "ETH/USDT", 1<<53-1, 7)
		want := []Position{{"BTC/USDT", 5}, {"ETH/USDT", 1<<53 - 1}}
		for _, p := range []*Positions{one, other} {
			if got := sorted(p.After(t.Context(), 7)); !slices.Equal(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		}
		if got := other.After(t.Context(), 8); !slices.Equal(got, want[:1]) {
			t.Errorf("the maker's reads wait for %v", got)
		}
		if got := other.After(t.Context(), 9); len(got) != 0 {
			t.Errorf("a stranger's reads wait for %v", got)
		}
	})
	t.Run("a note never goes back", func(t *testing.T) {
		rdb := testkit.Redis(t)
		p := NewPositions(rdb, clk, 10*time.Second, time.Second)
		var answers sync.WaitGroup
		for seq := range int64(50) {
			answers.Go(func() { p.Remember(t.Context(), "BTC/USDT", seq+1, 7) })
		}
		answers.Wait()
		fresh := NewPositions(rdb, clk, 10*time.Second, time.Second)
		if got := fresh.After(t.Context(), 7); !slices.Equal(got, []Position{{"BTC/USDT", 50}}) {
			t.Errorf("got %v", got)
		}
	})
	t.Run("notes in Redis end", func(t *testing.T) {
		rdb := testkit.Redis(t)
		p := NewPositions(rdb, clk, 10*time.Second, time.Second)
		p.Remember(t.Context(), "BTC/USDT", 5, 7)
		ttl, err := rdb.PTTL(t.Context(), "ryw::7").Result()
		if err != nil || ttl <= 0 || ttl > 10*time.Second {
			t.Errorf("the note lives for %v, %v", ttl, err)
		}
	})
	t.Run("without Redis the process' own notes count, for their time", func(t *testing.T) {
		rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1})
		defer func() { _ = rdb.Close() }()
		clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
		p := NewPositions(rdb, clk, 10*time.Second, time.Second)
		p.Remember(t.Context(), "BTC/USDT", 5, 7)
		if got := p.After(t.Context(), 7); !slices.Equal(got, []Position{{"BTC/USDT", 5}}) {
			t.Fatalf("got %v", got)
		}
		clk.Advance(9 * time.Second)
		if got := p.After(t.Context(), 7); len(got) != 1 {
			t.Errorf("forgotten before its time")
		}
		clk.Advance(20 * time.Second)
		if got := p.After(t.Context(), 7); len(got) != 0 {
			t.Errorf("remembered for ever: %v", got)
		}
	})
	t.Run("a client that hangs up does not undo the note", func(t *testing.T) {
		rdb := testkit.Redis(t)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		NewPositions(rdb, clk, 10*time.Second, time.Second).Remember(gone, "BTC/USDT", 5, 7)
		if got := NewPositions(rdb, clk, 10*time.Second, time.Second).After(t.Context(), 7); len(got) != 1 {
			t.Error("the note is missing")
		}
	})
}

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
