package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mscoin/deploy/internal/api"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
)

const (
	loadSymbol  = "ETHUSDT"
	loadPrice   = "1000.00"
	loadTraders = 4
	// loadTimeout is longer than anything that the exchange waits for.
	loadTimeout = 30 * time.Second
	// loadPause follows an order that was not accepted.
	loadPause = 20 * time.Millisecond
)

// placed is an order as its trader knows it.
type placed struct {
	account int
	id      int64  // 0 unless it was acknowledged
	client  string // the client order id
}

// load is orders that trade with each other, until it is stopped, and what was answered.
type load struct {
	clients []*api.Client // by account
	stop    context.CancelFunc
	all     sync.WaitGroup

	mu      sync.Mutex
	acked   []placed
	refused []placed
	unknown []placed
	// unreached orders found no gateway; codes counts the answers that were no acknowledgement.
	unreached int
	codes     map[int]int
}

// startLoad has each trader sell and buy the same, by turns with the two demo accounts.
func (r *rig) startLoad(ctx context.Context) *load {
	r.t.Helper()
	a := r.access()
	l := &load{codes: map[int]int{}}
	for _, account := range a.Accounts {
		l.clients = append(l.clients, api.New(a.BaseURL, account.APIKey, account.APISecret, loadTraders, loadTimeout))
	}
	ctx, l.stop = context.WithCancel(ctx)
	for trader := range loadTraders {
		l.all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				o := placed{account: n % 2, client: fmt.Sprintf("rolling-%d-%d", trader, n)}
				if !l.place(context.WithoutCancel(ctx), o, []string{"SELL", "BUY"}[n%2]) {
					_ = clock.Sleep(ctx, clock.Real(), loadPause)
				}
			}
		})
	}
	return l
}

// place places one order and notes the answer.
func (l *load) place(ctx context.Context, o placed, side string) (accepted bool) {
	var answer struct {
		OrderID int64 `json:"orderId"`
	}
	err := l.clients[o.account].Call(ctx, http.MethodPost, "/api/v3/order", url.Values{
		"symbol": {loadSymbol}, "side": {side}, "type": {"LIMIT"}, "timeInForce": {"GTC"}, "quantity": {"0.01"},
		"price": {loadPrice}, "newClientOrderId": {o.client}, "newOrderRespType": {"RESULT"},
	}, &answer)
	l.mu.Lock()
	defer l.mu.Unlock()
	refusal, refused := errors.AsType[*api.Refusal](err)
	switch {
	case err == nil:
		o.id = answer.OrderID
		l.acked = append(l.acked, o)
	case refused && slices.Contains(unknownOutcome, refusal.Code):
		l.unknown = append(l.unknown, o)
		l.codes[refusal.Code]++
	case refused:
		l.refused = append(l.refused, o)
		l.codes[refusal.Code]++
	case strings.Contains(err.Error(), "connection refused"):
		l.unreached++
	default: // the connection broke under the request
		l.unknown = append(l.unknown, o)
	}
	return err == nil
}

// Codes of the API: what a restart may answer, and that there is no such order.
const (
	nothingDone = -1001
	noSuchOrder = -2013
)

// unknownOutcome says that an order may have been placed.
var unknownOutcome = []int{-1006, -1007}

func (l *load) accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// find asks for an order; found is false when there is none.
func (l *load) find(t *testing.T, o placed) (found bool) {
	t.Helper()
	query := url.Values{"symbol": {loadSymbol}}
	if o.id != 0 {
		query.Set("orderId", strconv.FormatInt(o.id, 10))
	} else {
		query.Set("origClientOrderId", o.client)
	}
	err := l.clients[o.account].Call(t.Context(), http.MethodGet, "/api/v3/order", query, nil)
	if refusal, ok := errors.AsType[*api.Refusal](err); ok && refusal.Code == noSuchOrder {
		return false
	}
	if err != nil {
		t.Fatalf("order %+v: %v", o, err)
	}
	return true
}

// wantTold holds what the traders were told against what is there.
func (l *load) wantTold(t *testing.T) {
	t.Logf("%d orders acknowledged, %d refused, %d of unknown outcome, %d found no gateway; codes %v",
		len(l.acked), len(l.refused), len(l.unknown), l.unreached, l.codes)
	for _, o := range l.acked {
		if !l.find(t, o) {
			t.Errorf("order %+v was acknowledged and is not there", o)
		}
	}
	for _, o := range l.refused {
		if l.find(t, o) {
			t.Errorf("order %+v was refused and is there", o)
		}
	}
	for code := range l.codes {
		if code != nothingDone && !slices.Contains(unknownOutcome, code) {
			t.Errorf("code %d is not what a restart explains", code)
		}
	}
	if lost := len(l.refused) + len(l.unknown); lost*10 > len(l.acked) {
		t.Errorf("%d of %d orders were not accepted", lost, lost+len(l.acked))
	}
}

// TestReal_RollingRestart restarts every service, one after another, while orders come in
// and trade.
func TestReal_RollingRestart(t *testing.T) {
	r := newExchange(t)
	l := r.startLoad(t.Context())
	defer func() { l.stop(); l.all.Wait() }()
	more := func(t *testing.T) {
		t.Helper()
		want := l.accepted() + 100
		testkit.Eventually(t, 2*time.Minute, func() bool { return l.accepted() >= want }, "orders are accepted")
	}
	more(t)
	for _, name := range layout.Services() {
		t.Run("orders are accepted while and after "+name+" is restarted", func(t *testing.T) {
			if out := r.in(t).do(0, "restart", name); strings.Contains(out, "killed") {
				t.Error("it did not stop by itself")
			}
			more(t)
		})
	}
	l.stop()
	l.all.Wait()
	t.Run("every acknowledged order is there, no refused one is", l.wantTold)
	t.Run("the books are clean, and nothing stays held once all is cancelled", func(t *testing.T) {
		for _, client := range l.clients {
			if err := client.CancelAll(t.Context(), loadSymbol); err != nil {
				t.Fatal(err)
			}
		}
		r.in(t).reconcile()
		for _, client := range l.clients {
			testkit.Eventually(t, time.Minute, func() bool {
				held, err := client.Held(t.Context())
				return err == nil && len(held) == 0
			}, "nothing is held")
		}
	})
}
