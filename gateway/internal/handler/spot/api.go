// Package spot answers in the REST dialect that spot trading clients speak: bare
// objects, decimals as strings, ids as numbers, errors as {"code","msg"}.
//
// A request passes, in this order: weight limit, decoding of its parameters, key and
// signature, its handler. Status 200 means exactly success; 4xx means refused; 5xx
// means that what was asked for may have happened, except 503, which refuses before
// anything was done.
package spot

import (
	"context"
	"crypto/rand"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/rest"

	"mscoin/gateway/internal/cache"
	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/middleware"
	"mscoin/gateway/internal/param"
	"mscoin/gateway/internal/reply"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/mscoin-common/clock"
)

// Config sets the limits that clients meet and are told of.
type Config struct {
	// WeightPerMinute is the request weight of an address per minute; 0 is no limit.
	WeightPerMinute int64
	// OrdersPer10s is the new orders of an account per 10 s; 0 is no limit.
	OrdersPer10s int64
	// OrdersPerDay is the new orders of an account per UTC day; 0 is no limit.
	OrdersPerDay int64
	// ReadTimeout bounds a request that changes nothing.
	ReadTimeout time.Duration
	// WriteTimeout bounds an order or a cancel; more than the exchange waits for the
	// matcher.
	WriteTimeout time.Duration
	// ProxyHeader names the header with the client's address, "" for none.
	ProxyHeader string
}

// Limits counts what requests use.
type Limits struct {
	// Weight counts request weight by address, per minute.
	Weight middleware.Limiter
	// Orders10s and OrdersDay count new orders by account.
	Orders10s, OrdersDay middleware.Limiter
}

// API answers the dialect.
type API struct {
	cfg       Config
	backends  client.Backends
	catalog   *client.Catalog
	positions *cache.Positions
	limits    Limits
	clk       clock.Clock
}

// New returns the dialect over its backends.
func New(cfg Config, backends client.Backends, catalog *client.Catalog, positions *cache.Positions, limits Limits, clk clock.Clock) *API {
	return &API{cfg: cfg, backends: backends, catalog: catalog, positions: positions, limits: limits, clk: clk}
}

// call is a request on its way through.
type call struct {
	raw     param.Raw
	values  param.Values
	header  http.Header // of the request
	answer  http.Header // of the response
	address string
	member  int64
}

// params starts reading the call's parameters.
func (c *call) params() *decoder { return &decoder{values: c.values} }

// security is what a request must prove.
type security int

const (
	public security = iota
	userData
	trade
)

// endpoint is one method of one path.
type endpoint struct {
	method   string
	path     string
	security security
	effect   effect
	weight   func(param.Values) int64
	handle   func(context.Context, *call) (any, error)
}

func weighs(n int64) func(param.Values) int64 { return func(param.Values) int64 { return n } }

// weighsWith is n when the parameter was sent, without otherwise.
func weighsWith(name string, n, without int64) func(param.Values) int64 {
	return func(v param.Values) int64 {
		if text, _ := v.Lookup(name); text != "" {
			return n
		}
		return without
	}
}

func (a *API) endpoints() []endpoint {
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	return []endpoint{
		{get, "/api/v3/ping", public, reads, weighs(1), a.ping},
		{get, "/api/v3/time", public, reads, weighs(1), a.time},
		{get, "/api/v3/exchangeInfo", public, reads, weighs(20), a.exchangeInfo},
		{get, "/api/v3/depth", public, reads, depthWeight, a.depth},
		{get, "/api/v3/trades", public, reads, weighs(25), a.trades},
		{get, "/api/v1/trades", public, reads, weighs(25), a.trades},
		{get, "/api/v3/ticker/24hr", public, reads, dayTickerWeight, a.dayTicker},
		{get, "/api/v3/ticker/price", public, reads, weighsWith("symbol", 2, 4), a.priceTicker},
		{get, "/api/v3/ticker/bookTicker", public, reads, weighsWith("symbol", 2, 4), a.bookTicker},

		{post, "/api/v3/order", trade, writes, weighs(1), a.placeOrder},
		{post, "/api/v3/order/test", trade, reads, weighs(1), a.testOrder},
		{del, "/api/v3/order", trade, writes, weighs(1), a.cancelOrder},
		{del, "/api/v3/openOrders", trade, writes, weighs(1), a.cancelOpenOrders},

		{get, "/api/v3/order", userData, reads, weighs(4), a.getOrder},
		{get, "/api/v3/openOrders", userData, reads, weighsWith("symbol", 6, 80), a.openOrders},
		{get, "/api/v3/allOrders", userData, reads, weighs(20), a.allOrders},
		{get, "/api/v3/myTrades", userData, reads, weighsWith("orderId", 5, 20), a.myTrades},
		{get, "/api/v3/account", userData, reads, weighs(20), a.account},
	}
}

// Routes returns the dialect's routes.
func (a *API) Routes() []rest.Route {
	endpoints := a.endpoints()
	routes := make([]rest.Route, len(endpoints))
	for i, e := range endpoints {
		routes[i] = rest.Route{Method: e.method, Path: e.path, Handler: a.serve(e)}
	}
	return routes
}

// Speaks reports whether a path belongs to the dialect, also when nothing is there.
func Speaks(path string) bool {
	for _, prefix := range []string{"/api/", "/sapi/", "/fapi/", "/dapi/"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

// NotFound answers an unknown path.
func NotFound(w http.ResponseWriter, _ *http.Request) { fail(w, errNotFound) }

// MethodNotAllowed answers a method that a path does not have.
func MethodNotAllowed(w http.ResponseWriter, _ *http.Request) { fail(w, errMethod) }

// Busy refuses a request before anything of it was done.
func Busy(w http.ResponseWriter, _ *http.Request) { fail(w, errBusy) }

// Broken answers a request whose handler broke: what it did is unknown.
func Broken(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet {
		fail(w, errUnknown)
		return
	}
	fail(w, errUnexpected)
}

// serve wraps an endpoint into the steps that all share.
func (a *API) serve(e endpoint) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := a.bound(r.Context(), e.effect)
		defer cancel()
		c := &call{header: r.Header, answer: w.Header(), address: middleware.ClientAddress(r, a.cfg.ProxyHeader)}
		answer, err := a.run(ctx, e, r, c)
		if err == nil {
			reply.JSON(w, http.StatusOK, answer)
			return
		}
		failure := failureOf(err, e.effect)
		if failure.status >= http.StatusInternalServerError {
			logx.WithContext(ctx).Errorf("%s %s: member %d: answer %d: %v", e.method, e.path, c.member, failure.Code, err)
		}
		fail(w, failure)
	}
}

// bound gives a request its time. A write goes on when its client hangs up: it may
// have been done, and what it moved must be remembered.
func (a *API) bound(ctx context.Context, effect effect) (context.Context, context.CancelFunc) {
	if effect == writes {
		return context.WithTimeout(context.WithoutCancel(ctx), a.cfg.WriteTimeout)
	}
	return context.WithTimeout(ctx, a.cfg.ReadTimeout)
}

func (a *API) run(ctx context.Context, e endpoint, r *http.Request, c *call) (any, error) {
	raw, err := param.Read(r)
	if err == nil {
		c.raw = raw
		c.values, err = raw.Values()
	}
	// Also a request that cannot be read has its weight.
	if limited := a.countWeight(c, e.weight(c.values)); limited != nil {
		return nil, limited
	}
	if err != nil {
		return nil, failureOfParams(err)
	}
	switch e.security {
	case public:
	case userData:
		err = a.authenticate(ctx, c, ucenterpb.Permission_PERMISSION_READ)
	case trade:
		err = a.authenticate(ctx, c, ucenterpb.Permission_PERMISSION_TRADE)
	}
	if err != nil {
		return nil, err
	}
	return e.handle(ctx, c)
}

func (a *API) countWeight(c *call, weight int64) error {
	used, retryAfter, allowed := a.limits.Weight.Take(middleware.LimitKey(c.address), weight)
	text := strconv.FormatInt(used, 10)
	c.answer.Set("X-MBX-USED-WEIGHT", text)
	c.answer.Set("X-MBX-USED-WEIGHT-1M", text)
	if !allowed {
		return errWeight(a.cfg.WeightPerMinute, retryAfter)
	}
	return nil
}

func fail(w http.ResponseWriter, failure *Failure) {
	if failure.retryAfter > 0 {
		seconds := int64((failure.retryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	}
	reply.JSON(w, failure.status, failure)
}

// makeClientOrderID returns an id that nobody has used.
func makeClientOrderID() string { return rand.Text()[:22] }
