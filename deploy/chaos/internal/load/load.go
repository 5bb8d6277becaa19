// Package load trades on an exchange under test with several members at once, remembers
// what each request was answered, and checks afterwards that the exchange keeps its word.
package load

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/shopspring/decimal"

	"mscoin/deploy/chaos/internal/process"
	"mscoin/deploy/chaos/internal/site"
	"mscoin/deploy/internal/api"
	"mscoin/mscoin-common/clock"
)

const (
	setupWithin    = 2 * time.Minute
	requestTimeout = 15 * time.Second
	// voucher is a coin that is deposited and never traded, so that sums are exact.
	voucher   = "VCH"
	adminName = "X-Admin-Token"
	authName  = "x-auth-token"
)

type object = map[string]any

// market is a symbol with the price around which is traded.
type market struct {
	public string
	middle int // whole units of the quote
	lots   int // an order's quantity is 1 to 9 of 1/lots
}

var markets = []market{{"BTCUSDT", 60_000, 1000}, {"ETHUSDT", 3_000, 100}}

// member is an account with its session.
type member struct {
	id              any // as the operators' API gives it
	email, password string
	client          *api.Client
	token           string
	keys            int
}

// Load is the traffic of several members and all that was answered.
type Load struct {
	at      *site.Site
	site    *api.Site
	members []*member

	mu       sync.Mutex
	orders   []*Order
	deposits []*deposit
	keys     []*api.Client // acknowledged since they were checked
	sum      Counts
	made     int // names given out
	settled  map[string]int64

	quiet atomic.Int64 // no requests before this time, ms
}

// Counts are what was told and found so far.
type Counts struct {
	Acknowledged, Refused, Unknown int // orders
	Cancels, Deposits, Keys        int // acknowledged
	Found                          int // acknowledged orders that were found as told
	Placed                         int // orders without an answer that had been placed
}

// deposit is one that was asked for.
type deposit struct {
	reference string
	member    *member
	told      bool
}

// voucherAmount is what each deposit adds.
const voucherAmount = 7

// Open lists coins and symbols and opens funded accounts on an empty or a demo exchange.
func Open(ctx context.Context, at *site.Site, members int) (*Load, error) {
	l := &Load{at: at, site: api.NewSite(at.Base, requestTimeout), settled: map[string]int64{}}
	for _, coin := range []string{"BTC", "ETH", "USDT", voucher} {
		if err := l.admin(ctx, "/admin/coin", object{"name": coin, "fullName": coin, "scale": 8}); err != nil {
			return nil, err
		}
	}
	for _, pair := range [][2]string{{"BTC", "USDT"}, {"ETH", "USDT"}, {"ETH", "BTC"}} {
		err := l.list(ctx, pair[0], pair[1])
		if err != nil {
			return nil, err
		}
	}
	for n := range members {
		m, err := l.open(ctx, n)
		if err != nil {
			return nil, fmt.Errorf("member %d: %w", n, err)
		}
		l.members = append(l.members, m)
	}
	return l, nil
}

// admin asks until it is done. What is there already is fine.
func (l *Load) admin(ctx context.Context, path string, body object) error {
	return process.Poll(ctx, setupWithin, path, func(ctx context.Context) error {
		_, err := l.site.Post(ctx, path, adminName, l.at.Admin, body)
		if r, ok := errors.AsType[*api.Refusal](err); ok && exists(r) {
			return nil
		}
		return err
	})
}

// exists reports whether a refusal says that the thing is there already.
func exists(r *api.Refusal) bool { return r.Status == http.StatusConflict }

// open opens an account with funds.
func (l *Load) open(ctx context.Context, n int) (*member, error) {
	m, err := l.account(ctx, fmt.Sprintf("chaos%d", n))
	if err != nil {
		return nil, err
	}
	for coin, amount := range map[string]string{"BTC": "1000", "ETH": "10000", "USDT": "100000000"} {
		err := l.admin(ctx, "/admin/deposit", object{"reference": m.email + coin, "memberId": m.id, "coin": coin, "amount": amount})
		if err != nil {
			return nil, err
		}
	}
	return m, nil
}

// account opens one with a key. An account whose opening was not answered is left behind.
func (l *Load) account(ctx context.Context, name string) (*member, error) {
	m := &member{password: "correct horse " + name}
	err := process.Poll(ctx, setupWithin, "the account", func(ctx context.Context) error {
		unique := l.name(name + "x")
		m.email = unique + "@mscoin.example"
		data, err := l.site.Post(ctx, "/admin/member", adminName, l.at.Admin,
			object{"email": m.email, "password": m.password, "username": unique})
		m.id = data["memberId"]
		return err
	})
	if err != nil {
		return nil, err
	}
	err = process.Poll(ctx, setupWithin, "the key", func(ctx context.Context) error {
		if err := l.login(ctx, m); err != nil {
			return err
		}
		m.client, err = l.newKey(ctx, m)
		return err
	})
	return m, err
}

func (l *Load) login(ctx context.Context, m *member) error {
	data, err := l.site.Post(ctx, "/uc/login", authName, "", object{"username": m.email, "password": m.password})
	if err != nil {
		return err
	}
	token, ok := data["token"].(string)
	if !ok {
		return fmt.Errorf("login answers without a token: %v", data)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	m.token = token
	return nil
}

func (l *Load) newKey(ctx context.Context, m *member) (*api.Client, error) {
	l.mu.Lock()
	token := m.token
	l.mu.Unlock()
	data, err := l.site.Post(ctx, "/uc/api-key", authName, token, object{"label": "chaos"})
	if err != nil {
		return nil, err
	}
	key, ok1 := data["apiKey"].(string)
	secret, ok2 := data["secret"].(string)
	if !ok1 || !ok2 {
		return nil, errors.New("a key was answered without its secret")
	}
	return api.New(l.at.Base, key, secret, 8, requestTimeout), nil
}

// Start trades with workers connections until stop is called, which returns when every
// request has been answered. The requests follow from the seed, as far as answers do.
func (l *Load) Start(ctx context.Context, workers int, seed uint64) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			w := &worker{Load: l, rnd: rand.New(rand.NewPCG(seed, uint64(n)))} //nolint:gosec // load needs no secret
			w.run(ctx)
		})
	}
	return func() { cancel(); wg.Wait() }
}

// quietTime is long enough for everybody to notice that nothing comes.
const quietTime = 3 * time.Second

// Rest stops the traffic for a while.
func (l *Load) Rest(context.Context) error {
	l.quiet.Store(clock.Real().NowMs() + quietTime.Milliseconds())
	return nil
}

// Join opens an account with a key. It asks until that is done.
func (l *Load) Join(ctx context.Context) error {
	_, err := l.account(ctx, l.name("late"))
	return err
}

// Counts returns what was told and found so far.
func (l *Load) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}

// name returns a new name.
func (l *Load) name(prefix string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made++
	return fmt.Sprintf("%s%d", prefix, l.made)
}

// Symbols are the traded ones, as records name them.
func Symbols() []string { return []string{"BTC/USDT", "ETH/USDT"} }

// Probe places an order that rests, on each symbol, and cancels it: trading works.
func (l *Load) Probe(ctx context.Context) error {
	for _, symbol := range Symbols() {
		if err := l.ProbeOne(ctx, symbol); err != nil {
			return err
		}
	}
	return nil
}

// ProbeOne does so on one symbol.
func (l *Load) ProbeOne(ctx context.Context, symbol string) error {
	m := markets[slices.Index(Symbols(), symbol)]
	var placed struct {
		OrderID int64 `json:"orderId"`
	}
	o := url.Values{
		"symbol": {m.public}, "side": {"BUY"}, "type": {"LIMIT"}, "timeInForce": {"GTC"}, "newOrderRespType": {"RESULT"},
		"price": {decimal.NewFromInt(int64(m.middle / 2)).String()}, "quantity": {"0.01"},
	}
	c := l.members[0].client
	err := c.Call(ctx, http.MethodPost, "/api/v3/order", o, &placed)
	if r, ok := errors.AsType[*api.Refusal](err); ok && r.Code == codeFilter {
		err = c.CancelAll(ctx, m.public) // too many of the load's are open
	}
	if err != nil {
		return fmt.Errorf("order on %s: %w", m.public, err)
	}
	if placed.OrderID == 0 {
		return nil
	}
	cancel := url.Values{"symbol": {m.public}, "orderId": {fmt.Sprint(placed.OrderID)}}
	if err := c.Call(ctx, http.MethodDelete, "/api/v3/order", cancel, nil); err != nil {
		return fmt.Errorf("cancel on %s: %w", m.public, err)
	}
	return nil
}

// List lists a coin and a symbol that nobody trades. It asks until that is done.
func (l *Load) List(ctx context.Context) error {
	coin := strings.ToUpper(l.name("X"))
	if err := l.admin(ctx, "/admin/coin", object{"name": coin, "fullName": coin, "scale": 8}); err != nil {
		return err
	}
	return l.list(ctx, coin, "USDT")
}

func (l *Load) list(ctx context.Context, base, quote string) error {
	return l.admin(ctx, "/admin/symbol", object{
		"symbol": base + "/" + quote, "coinSymbol": base, "baseSymbol": quote, "coinScale": 8, "baseCoinScale": 8,
		"tickSize": "0.01", "lotSize": "0.00001", "minPrice": "0.01", "maxPrice": "1000000", "minVolume": "0.00001",
		"maxVolume": "9000", "minTurnover": "0.01", "makerFeePpm": 1000, "takerFeePpm": 1500, "enableMarketBuy": true, "enableMarketSell": true,
	})
}

// CancelAll cancels everything and waits until nothing is held.
func (l *Load) CancelAll(ctx context.Context) error {
	for n, m := range l.members {
		for _, mk := range markets {
			if err := m.client.CancelAll(ctx, mk.public); err != nil {
				return fmt.Errorf("cancel all: %w", err)
			}
		}
		held, err := m.client.Held(ctx)
		if err != nil {
			return fmt.Errorf("balances: %w", err)
		}
		if len(held) > 0 {
			return fmt.Errorf("member %d has nothing open, and %v is held", n, held)
		}
	}
	return nil
}
