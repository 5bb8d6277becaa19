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
	"mscoin/mscoin-common/bus"
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

// Codes of the API.
const noSuchOrder, internalError = -2013, -1001

var (
	// nothingDone says that an order was not placed: no matcher, or too much that waits.
	nothingDone = []int{-1001, -1008}
	// unknownOutcome says that an order may have been placed.
	unknownOutcome = []int{-1006, -1007}
)

func (l *load) accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// status asks for an order; it is "" when there is none.
func (l *load) status(t *testing.T, o placed) string {
	t.Helper()
	query := url.Values{"symbol": {loadSymbol}}
	if o.id != 0 {
		query.Set("orderId", strconv.FormatInt(o.id, 10))
	} else {
		query.Set("origClientOrderId", o.client)
	}
	var order struct{ Status string }
	var err error
	testkit.Eventually(t, time.Minute, func() bool { // right after an outage a request may still be turned away
		err = l.clients[o.account].Call(t.Context(), http.MethodGet, "/api/v3/order", query, &order)
		refusal, ok := errors.AsType[*api.Refusal](err)
		return !ok || refusal.Code != internalError
	}, "the gateway tells of order %+v", o)
	if refusal, ok := errors.AsType[*api.Refusal](err); ok && refusal.Code == noSuchOrder {
		return ""
	}
	if err != nil {
		t.Fatalf("order %+v: %v", o, err)
	}
	return order.Status
}

// wantTold holds what the traders were told against what is there.
func (l *load) wantTold(t *testing.T) {
	t.Logf("%d orders acknowledged, %d refused, %d of unknown outcome, %d found no gateway; codes %v",
		len(l.acked), len(l.refused), len(l.unknown), l.unreached, l.codes)
	for _, o := range l.acked {
		if status := l.status(t, o); status != "NEW" && status != "PARTIALLY_FILLED" && status != "FILLED" {
			t.Errorf("order %+v was acknowledged and is %q", o, status)
		}
	}
	for _, o := range l.refused { // its intent may be there until the sweeper has looked
		testkit.Eventually(t, time.Minute, func() bool {
			status := l.status(t, o)
			return status == "" || status == "REJECTED"
		}, "order %+v, which was refused, is not there, or rejected", o)
	}
	for code := range l.codes {
		if !slices.Contains(nothingDone, code) && !slices.Contains(unknownOutcome, code) {
			t.Errorf("code %d is not what an outage explains", code)
		}
	}
}

// more waits until more orders are accepted.
func (l *load) more(t *testing.T) {
	t.Helper()
	want := l.accepted() + 100
	testkit.Eventually(t, 2*time.Minute, func() bool { return l.accepted() >= want }, "orders are accepted")
}

// end stops the traders and waits for their last answers.
func (l *load) end() {
	l.stop()
	l.all.Wait()
}

// wantClean cancels everything: the books are clean then, and nothing stays held.
func (l *load) wantClean(t *testing.T, r *rig) {
	t.Helper()
	for _, client := range l.clients {
		if err := client.CancelAll(t.Context(), loadSymbol); err != nil {
			t.Fatal(err)
		}
	}
	r.reconcile()
	for _, client := range l.clients {
		testkit.Eventually(t, time.Minute, func() bool {
			held, err := client.Held(t.Context())
			return err == nil && len(held) == 0
		}, "nothing is held")
	}
}

// TestReal_RollingRestart restarts every service, one after another, while orders come in
// and trade.
func TestReal_RollingRestart(t *testing.T) {
	r := newExchange(t)
	l := r.startLoad(t.Context())
	defer l.end()
	l.more(t)
	for _, name := range layout.Services() {
		t.Run("orders are accepted while and after "+name+" is restarted", func(t *testing.T) {
			if out := r.in(t).do(0, "restart", name); strings.Contains(out, "killed") {
				t.Error("it did not stop by itself")
			}
			l.more(t)
		})
	}
	l.end()
	t.Run("every acknowledged order is there, no refused one is", l.wantTold)
	t.Run("few orders were not accepted", func(t *testing.T) {
		if lost := len(l.refused) + len(l.unknown); lost*10 > len(l.acked) {
			t.Errorf("%d of %d", lost, lost+len(l.acked))
		}
	})
	t.Run("the books are clean, and nothing stays held once all is cancelled", func(t *testing.T) { l.wantClean(t, r.in(t)) })
}

// withoutLeader kills the broker that leads the command log while orders trade.
func withoutLeader(t *testing.T, r *rig) {
	l := r.startLoad(t.Context())
	defer l.end()
	l.more(t)
	r.kill(r.leader(bus.TopicCommands))
	l.more(t)
	l.end()
	l.wantTold(t)
	l.wantClean(t, r)
	r.do(0, "up")
	r.do(0, "status")
}
