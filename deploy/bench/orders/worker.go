package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"mscoin/deploy/internal/api"
	"mscoin/mscoin-common/clock"
)

// Prices in hundredths: orders of both sides around one price, so that about half of
// them meet another; the rest stands in the book until others come or the end.
const (
	middle = 6_000_000
	spread = 200
	// lots of 0.00001 BTC: one order is worth 12 to 60 USDT.
	minLots, maxLots = 20, 100
)

// result is what a worker saw.
type result struct {
	accepted int
	took     []time.Duration // of accepted orders
	failures map[string]int  // by answer
}

// worker sends one order after another.
type worker struct {
	result

	symbol string
	client *api.Client
	rnd    *rand.Rand
}

func newWorker(o *options, c *api.Client, number int) *worker {
	return &worker{
		result: result{failures: make(map[string]int)},
		symbol: o.symbol, client: c, rnd: rand.New(rand.NewPCG(o.seed, uint64(number))), //nolint:gosec // load needs no secret
	}
}

// run sends orders until the time is over; an order that was sent is waited for.
func (w *worker) run(ctx, until context.Context) {
	clk := clock.Real()
	for until.Err() == nil {
		o := w.next()
		begin := clk.Now()
		err := w.client.Call(ctx, http.MethodPost, "/api/v3/order", o, nil)
		if err == nil {
			w.accepted++
			w.took = append(w.took, clk.Now().Sub(begin))
			continue
		}
		if _, ok := errors.AsType[*api.Refusal](err); !ok {
			err = fmt.Errorf("no answer: %w", errors.Unwrap(err)) // without the URL, which is different each time
		}
		w.failures[err.Error()]++
	}
}

func (w *worker) next() url.Values {
	side := "BUY"
	if w.rnd.IntN(2) == 0 {
		side = "SELL"
	}
	price := middle + w.rnd.IntN(2*spread+1) - spread
	lots := minLots + w.rnd.IntN(maxLots-minLots+1)
	return url.Values{
		"symbol": {w.symbol}, "side": {side}, "type": {"LIMIT"}, "timeInForce": {"GTC"}, "newOrderRespType": {"FULL"},
		"price":    {strconv.Itoa(price/100) + fmt.Sprintf(".%02d", price%100)},
		"quantity": {fmt.Sprintf("0.%05d", lots)},
	}
}

func sum(all []result) result {
	total := result{failures: make(map[string]int)}
	for _, r := range all {
		total.accepted += r.accepted
		total.took = append(total.took, r.took...)
		for k, n := range r.failures {
			total.failures[k] += n
		}
	}
	slices.Sort(total.took)
	return total
}

func (r *result) print(sent time.Duration) {
	at := func(share float64) time.Duration {
		if len(r.took) == 0 {
			return 0
		}
		return r.took[min(int(share*float64(len(r.took))), len(r.took)-1)].Round(10 * time.Microsecond)
	}
	fmt.Printf("accepted: %.0f orders/s (%d in %.1f s); POST p50 %v, p90 %v, p99 %v, max %v\n",
		float64(r.accepted)/sent.Seconds(), r.accepted, sent.Seconds(), at(0.5), at(0.9), at(0.99), at(1))
}

func keys(m map[string]int) iter.Seq[string] { return maps.Keys(m) }
