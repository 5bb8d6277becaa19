package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"time"

	"github.com/shopspring/decimal"

	"mscoin/deploy/internal/api"
	"mscoin/mscoin-common/clock"
)

const (
	maxPauseMs = 12
	// keysOfMember stays below what a member may have.
	keysOfMember = 20
	// ownOrders is how many of its last orders a worker may still cancel.
	ownOrders = 30
	// tooMuch is more than anybody has.
	tooMuch = 9000
)

// worker sends one request after another.
type worker struct {
	*Load

	rnd *rand.Rand
	own []*Order
}

// requests are what a worker sends, with how often in a thousand.
var requests = []struct {
	share int
	send  func(*worker, context.Context, *member)
}{
	{740, (*worker).place},
	{140, (*worker).cancelOne},
	{6, (*worker).cancelAll},
	{60, (*worker).read},
	{40, (*worker).deposit},
	{8, (*worker).makeKey},
	{4, (*worker).signIn},
	{2, (*worker).register},
}

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if rest := w.quiet.Load() - clock.Real().NowMs(); rest > 0 {
			if clock.Sleep(ctx, clock.Real(), time.Duration(rest)*time.Millisecond) != nil {
				return
			}
		}
		n := w.rnd.IntN(1000)
		m := w.members[w.rnd.IntN(len(w.members))]
		for _, r := range requests {
			if n -= r.share; n < 0 {
				// A request that was sent is waited for: its answer counts.
				r.send(w, context.WithoutCancel(ctx), m)
				break
			}
		}
		pause := time.Duration(w.rnd.IntN(maxPauseMs)) * time.Millisecond
		if clock.Sleep(ctx, clock.Real(), pause) != nil {
			return
		}
	}
}

func (w *worker) place(ctx context.Context, m *member) {
	mk := markets[w.rnd.IntN(len(markets))]
	quantity := decimal.New(int64(1+w.rnd.IntN(9)), 0).Div(decimal.New(int64(mk.lots), 0))
	if w.rnd.IntN(50) == 0 {
		quantity = decimal.NewFromInt(tooMuch)
	}
	o := &Order{member: m, symbol: mk.public, clientID: w.name("c"), quantity: quantity}
	values := url.Values{
		"symbol": {mk.public}, "side": {[]string{"BUY", "SELL"}[w.rnd.IntN(2)]}, "quantity": {quantity.String()},
		"newClientOrderId": {o.clientID}, "newOrderRespType": {[]string{"RESULT", "FULL"}[w.rnd.IntN(2)]}, "type": {"LIMIT"},
		"price": {fmt.Sprintf("%d.%02d", mk.middle+w.rnd.IntN(20)-10, w.rnd.IntN(100))},
	}
	switch n := w.rnd.IntN(20); {
	case n < 12:
		values.Set("timeInForce", "GTC")
	case n < 14:
		values.Set("timeInForce", "IOC")
	case n < 16:
		values.Set("timeInForce", "FOK")
	case n < 18:
		values.Set("type", "LIMIT_MAKER")
	default:
		values.Set("type", "MARKET")
		values.Del("price")
	}
	w.send(ctx, o, values)
	if o.told == Done && o.seen.open() {
		w.own = append(w.own[max(0, len(w.own)+1-ownOrders):], o)
	}
}

// send places an order and remembers the answer.
func (l *Load) send(ctx context.Context, o *Order, values url.Values) {
	err := o.member.client.Call(ctx, http.MethodPost, "/api/v3/order", values, &o.seen)
	o.told = toldBy(err)
	if err != nil {
		o.why = err.Error()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.orders = append(l.orders, o)
	switch o.told {
	case Done:
		l.sum.Acknowledged++
	case Refused:
		l.sum.Refused++
	case Unknown, Nothing:
		l.sum.Unknown++
	}
}

func (w *worker) cancelOne(ctx context.Context, _ *member) {
	if len(w.own) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.own))
	o := w.own[i]
	w.own = append(w.own[:i], w.own[i+1:]...)
	w.cancel(ctx, o)
}

// cancel asks for the end of an order and remembers the answer.
func (l *Load) cancel(ctx context.Context, o *Order) {
	var answer state
	err := o.member.client.Call(ctx, http.MethodDelete, "/api/v3/order", url.Values{"symbol": {o.symbol}, "orderId": {fmt.Sprint(o.seen.OrderID)}}, &answer)
	told := toldBy(err)
	if r, ok := errors.AsType[*api.Refusal](err); ok && r.Code != codeUnknownOrder {
		told = Unknown // the refusal is not about the order
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.noteCancel(o, told, answer)
}

// noteCancel remembers what a cancel was told. An acknowledged one is the last word.
func (l *Load) noteCancel(o *Order, told Told, answer state) {
	if o.cancel == Done {
		return
	}
	o.cancel, o.cancelled = told, answer
	if told == Done {
		l.sum.Cancels++
	}
}

func (w *worker) cancelAll(ctx context.Context, m *member) {
	mk := markets[w.rnd.IntN(len(markets))]
	var all []state
	if m.client.Call(ctx, http.MethodDelete, "/api/v3/openOrders", url.Values{"symbol": {mk.public}}, &all) != nil {
		return // some may have been cancelled: orders may end at any time
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	told := make(map[int64]state, len(all))
	for _, s := range all {
		told[s.OrderID] = s
	}
	for _, o := range w.orders {
		if s, ok := told[o.seen.OrderID]; ok && o.seen.OrderID != 0 {
			w.noteCancel(o, Done, s)
		}
	}
}

// read asks for something that changes nothing. Whatever is answered, it must not hurt.
func (w *worker) read(ctx context.Context, m *member) {
	mk := url.Values{"symbol": {markets[w.rnd.IntN(len(markets))].public}}
	paths := []string{"/api/v3/account", "/api/v3/openOrders", "/api/v3/myTrades", "/api/v3/depth", "/api/v3/trades", "/api/v3/ticker/24hr"}
	path := paths[w.rnd.IntN(len(paths))]
	if path == "/api/v3/account" {
		mk = url.Values{}
	}
	_ = m.client.Call(ctx, http.MethodGet, path, mk, nil)
}

func (w *worker) deposit(ctx context.Context, m *member) {
	d := &deposit{reference: w.name("d"), member: m}
	d.told = w.credit(ctx, d) == nil
	w.mu.Lock()
	defer w.mu.Unlock()
	w.deposits = append(w.deposits, d)
	if d.told {
		w.sum.Deposits++
	}
}

// credit asks for a deposit; asking again with the same reference changes nothing.
func (l *Load) credit(ctx context.Context, d *deposit) error {
	_, err := l.site.Post(ctx, "/admin/deposit", adminName, l.at.Admin,
		object{"reference": d.reference, "memberId": d.member.id, "coin": voucher, "amount": fmt.Sprint(voucherAmount)})
	return err
}

func (w *worker) makeKey(ctx context.Context, m *member) {
	w.mu.Lock()
	m.keys++
	enough := m.keys > keysOfMember
	w.mu.Unlock()
	if enough {
		return
	}
	c, err := w.newKey(ctx, m)
	if err != nil {
		w.signIn(ctx, m) // the session may have ended
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, c)
	w.sum.Keys++
}

func (w *worker) signIn(ctx context.Context, m *member) { _ = w.login(ctx, m) }

func (w *worker) register(ctx context.Context, _ *member) {
	name := w.name("member")
	_, _ = w.site.Post(ctx, "/admin/member", adminName, w.at.Admin,
		object{"email": name + "@mscoin.example", "password": "correct horse battery", "username": name})
}
