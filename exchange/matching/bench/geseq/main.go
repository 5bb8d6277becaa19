// Command geseq is the benchmark of package run with github.com/geseq/orderbook,
// the fastest Go library found, in the same rounds. It is a module of its own,
// so that nothing else depends on that library: `go get
// github.com/geseq/orderbook@latest` here, then `go run .`.
package main

import (
	"os"

	"github.com/geseq/orderbook"
	decimal "github.com/geseq/udecimal"

	"mscoin/exchange/matching/bench/run"
)

func main() {
	os.Exit(run.Main(os.Args[1:], os.Stdout, run.Rival{Name: "geseq/orderbook", New: newBook}))
}

// book drives the library: its own decimals, its pools as large as the book.
type book struct {
	ob    *orderbook.OrderBook
	token uint64
}

// count takes the library's notifications, so that they are made.
type count struct{ orders, trades int }

func (c *count) PutOrder(orderbook.MsgType, orderbook.OrderStatus, uint64, decimal.Decimal, error) {
	c.orders++
}

func (c *count) PutTrade(_, _ uint64, _, _ orderbook.OrderStatus, _, _ decimal.Decimal) { c.trades++ }

func newBook(capacity int) run.Runner {
	n := uint64(capacity)
	return &book{ob: orderbook.NewOrderBook(&count{}, orderbook.WithOrderPoolSize(n), orderbook.WithOrderQueuePoolSize(n),
		orderbook.WithNodeTreePoolSize(n), orderbook.WithOrderTreeNodePoolSIze(n))}
}

// Do executes a step; post-only, which the library does not know, is GTC here
// (the shapes compared have none).
func (b *book) Do(_ int, s *run.Step) {
	b.token++
	if s.Kind == run.Cancel {
		b.ob.CancelOrder(b.token, s.ID)
		return
	}
	class, side, flag := orderbook.Limit, orderbook.Sell, orderbook.None
	if s.Kind == run.Market {
		class = orderbook.Market
	}
	if s.Side == run.Buy {
		side = orderbook.Buy
	}
	switch s.TIF {
	case run.IOC:
		flag = orderbook.IoC
	case run.FOK:
		flag = orderbook.FoK
	}
	b.ob.AddOrder(b.token, s.ID, class, side, decimal.NewI(uint64(s.Qty), 0), decimal.NewI(uint64(s.Price), 0), decimal.Zero, flag)
}
