package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/adshao/go-binance/v2"
	"github.com/adshao/go-binance/v2/common"
	"github.com/shopspring/decimal"
)

// killRounds is how often the exchange is killed; MSCOIN_TEST_KILL_ROUNDS=100 makes it a long run, which also
// stops the process for seconds, as a laptop's lid does.
const killRounds = 4

func rounds(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MSCOIN_TEST_KILL_ROUNDS")
	if text == "" {
		return killRounds
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("MSCOIN_TEST_KILL_ROUNDS is %q", text)
	}
	return n
}

// suspend stops the process for up to 14 s, longer than an order's deadline and a write's patience.
func (e *exchange) suspend(r *rand.Rand) {
	_ = e.cmd.Process.Signal(syscall.SIGSTOP)
	pause(time.Duration(r.IntN(14_000)) * time.Millisecond)
	_ = e.cmd.Process.Signal(syscall.SIGCONT)
	pause(time.Duration(r.IntN(2000)) * time.Millisecond)
}

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

func clientsOf(e *exchange) []*binance.Client {
	var clients []*binance.Client
	for _, a := range e.access().Accounts {
		c := binance.NewClient(a.APIKey, a.APISecret)
		c.BaseURL = e.access().BaseURL
		clients = append(clients, c)
	}
	return clients
}

func TestExchange_Kill9(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	total := rounds(t)
	dir, addr := t.TempDir(), freeAddr(t)
	e := startExchange(t, dir, addr)
	clients := clientsOf(e)
	before := totals(t, clients)
	l := &load{}
	for round := range total {
		ctx, cancel := context.WithCancel(t.Context())
		finished := make(chan struct{})
		go func() { defer close(finished); l.run(ctx, clients, seed+uint64(round)) }()
		target := l.count.Load() + 100 + int64(seed>>8%200)
		poll(t, 60*time.Second, "orders to be acknowledged", func() error {
			if n := l.count.Load(); n < target {
				return fmt.Errorf("%d of %d", n, target)
			}
			return nil
		})
		if total > killRounds && r.IntN(2) == 0 {
			e.suspend(r)
		}
		e.kill()
		cancel()
		<-finished
		for range r.IntN(3) { // the start and the replay are cut off, too
			starting := start(t, program(t, "mscoin/deploy/allinone"), []string{"MSCOIN_DATA=" + dir, "MSCOIN_ADDR=" + addr})
			pause(time.Duration(r.IntN(600)) * time.Millisecond)
			starting.kill()
		}
		e = startExchange(t, dir, addr)
		mustReconcile(t, dir)
	}
	t.Logf("%d orders acknowledged, %d kills", l.count.Load(), total)

	t.Run("no acknowledged order is lost or goes back", func(t *testing.T) { l.verify(t) })
	t.Run("no order is stuck and no money stays held once everything is cancelled", func(t *testing.T) {
		noneHeld(t, clients)
	})
	t.Run("no cent appears; only fees leave the members", func(t *testing.T) {
		for coin, b := range totals(t, clients) {
			if b.GreaterThan(before[coin]) {
				t.Errorf("members have %s %s, had %s", b, coin, before[coin])
			}
		}
		mustReconcile(t, dir)
	})
	e.terminate(10 * time.Second)
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
