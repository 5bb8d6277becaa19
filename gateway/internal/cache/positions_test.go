package cache

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"mscoin/mscoin-common/clock"
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

func TestPositions(t *testing.T) { testkit.EachRedis(t, testPositions) }

func testPositions(t *testing.T, start testkit.StartRedis) {
	clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
	t.Run("what one gateway notes, another one reads", func(t *testing.T) {
		_, rdb := start(t)
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
		_, rdb := start(t)
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
		_, rdb := start(t)
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
		_, rdb := start(t)
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		NewPositions(rdb, clk, 10*time.Second, time.Second).Remember(gone, "BTC/USDT", 5, 7)
		if got := NewPositions(rdb, clk, 10*time.Second, time.Second).After(t.Context(), 7); len(got) != 1 {
			t.Error("the note is missing")
		}
	})
}
