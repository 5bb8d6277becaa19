// Package site is the site's own API: members, sessions, API keys, wallets, orders and
// market data in the site's words, with a session token instead of a signature.
package site

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/rest"

	"mscoin/gateway/internal/cache"
	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/handler/envelope"
	"mscoin/gateway/internal/middleware"
	ucenterpb "mscoin/grpc-common/gen/ucenter/v1"
	"mscoin/mscoin-common/errs"
)

const (
	// TokenHeader carries the session's access token; "Authorization: Bearer" does too.
	TokenHeader = "x-auth-token" //nolint:gosec // a header's name

	maxTokenBytes = 4096
	maxContact    = 254
	maxPassword   = 1024
	maxID         = 1<<53 - 1
)

// Config sets the API's limits.
type Config struct {
	// ReadTimeout bounds a request that changes nothing.
	ReadTimeout time.Duration
	// WriteTimeout bounds the others; more than the exchange waits for the matcher.
	WriteTimeout time.Duration
	// ProxyHeader names the header with the client's address, "" for none.
	ProxyHeader string
}

// Limits counts what requests use. The site shares them with the dialect.
type Limits struct {
	// Weight counts request weight by address.
	Weight middleware.Limiter
	// Orders10s and OrdersDay count new orders by account.
	Orders10s, OrdersDay middleware.Limiter
}

// API serves the site.
type API struct {
	cfg       Config
	backends  client.Backends
	catalog   *client.Catalog
	positions *cache.Positions
	limits    Limits
}

// New returns the site's API over its backends.
func New(cfg Config, backends client.Backends, catalog *client.Catalog, positions *cache.Positions, limits Limits) *API {
	return &API{cfg: cfg, backends: backends, catalog: catalog, positions: positions, limits: limits}
}

// call is a request on its way through.
type call struct {
	*envelope.Fields
	request *http.Request
	address string
	token   string
	member  int64
}

// handler answers a call with the envelope's data.
type handler func(ctx context.Context, c *call) (any, error)

// Weights of requests, on the scale of the dialect.
const (
	light = 1
	usual = 5
	heavy = 20 // makes ucenter hash a password, send a message or check a second factor
)

// Routes returns the API's routes. Reads take GET and POST, as the site's pages do.
func (a *API) Routes() []rest.Route {
	var routes []rest.Route
	add := func(path string, weight int64, session bool, handle handler, methods ...string) {
		for _, method := range methods {
			routes = append(routes, rest.Route{Method: method, Path: path, Handler: a.serve(method, weight, session, handle)})
		}
	}
	const get, post, del = http.MethodGet, http.MethodPost, http.MethodDelete
	add("/uc/register/code", heavy, false, a.sendCode, post)
	add("/uc/register/phone", heavy, false, a.registerPhone, post)
	add("/uc/register/email", heavy, false, a.registerEmail, post)
	add("/uc/login", heavy, false, a.login, post)
	add("/uc/refresh", usual, false, a.refresh, post)
	add("/uc/logout", usual, false, a.logout, post)
	add("/uc/check/login", light, false, a.checkLogin, get, post)
	add("/uc/member", light, true, a.getMember, get)
	add("/uc/api-key", usual, true, a.createKey, post)
	add("/uc/api-key", usual, true, a.listKeys, get)
	add("/uc/api-key/:key", usual, true, a.deleteKey, del)
	add("/uc/asset/wallet", usual, true, a.listWallets, get, post)
	add("/uc/asset/wallet/:coinName", usual, true, a.getWallet, get, post)
	add("/uc/asset/wallet/reset-address", usual, true, a.depositAddress, post)
	add("/uc/asset/deposit/record", usual, true, a.listDeposits, get, post)
	add("/uc/two-factor", usual, true, a.getTwoFactor, get)
	add("/uc/two-factor/enroll", heavy, true, a.enrollTwoFactor, post)
	add("/uc/two-factor/confirm", heavy, true, a.confirmTwoFactor, post)
	add("/uc/two-factor/disable", heavy, true, a.disableTwoFactor, post)
	add("/uc/withdraw/support/coin/info", usual, true, a.withdrawInfo, get, post)
	add("/uc/withdraw/address/add", heavy, true, a.addAddress, post)
	add("/uc/withdraw/address/delete", usual, true, a.removeAddress, post)
	add("/uc/withdraw/address/page", usual, true, a.listAddresses, get, post)
	add("/uc/withdraw/apply", heavy, true, a.withdraw, post)
	add("/uc/withdraw/cancel/:id", usual, true, a.cancelWithdrawal, post)
	add("/uc/withdraw/record", usual, true, a.listWithdrawals, get, post)
	add("/uc/asset/transaction/all", usual, true, a.listTransactions, get, post)
	routes = append(routes, rest.Route{Method: get, Path: "/uc/asset/transaction/export", Handler: a.exportTransactions})

	add("/exchange/order/add", light, true, a.addOrder, post)
	add("/exchange/order/current", usual, true, a.currentOrders, get, post)
	add("/exchange/order/history", usual, true, a.orderHistory, get, post)
	add("/exchange/order/cancel/:orderId", light, true, a.cancelOrder, post, del)

	add("/market/symbol-thumb", usual, false, a.symbolThumb, get, post)
	add("/market/symbol-info", light, false, a.symbolInfo, get, post)
	add("/market/exchange-plate-mini", usual, false, a.plate(miniPlate), get, post)
	add("/market/exchange-plate-full", usual, false, a.plate(fullPlate), get, post)
	add("/market/latest-trade", usual, false, a.latestTrades, get, post)
	return routes
}

// serve wraps a handler into the steps that all share: limit, session, handler.
func (a *API) serve(method string, weight int64, session bool, handle handler) http.HandlerFunc {
	timeout := a.cfg.WriteTimeout
	if method == http.MethodGet {
		timeout = a.cfg.ReadTimeout
	}
	return envelope.Handle(timeout, func(ctx context.Context, r *http.Request, f *envelope.Fields) (any, error) {
		c, err := a.admit(ctx, r, f, weight, session)
		if err != nil {
			return nil, err
		}
		return handle(ctx, c)
	})
}

// admit lets a request in: limit, then session.
func (a *API) admit(ctx context.Context, r *http.Request, f *envelope.Fields, weight int64, session bool) (*call, error) {
	c := &call{Fields: f, request: r, address: middleware.ClientAddress(r, a.cfg.ProxyHeader), token: tokenOf(r)}
	if _, _, allowed := a.limits.Weight.Take(middleware.LimitKey(c.address), weight); !allowed {
		return nil, errs.New(errs.KindTooManyRequests, errs.CodeRateLimited, "too many requests; try again in a minute")
	}
	if !session {
		return c, nil
	}
	var err error
	c.member, err = a.verify(ctx, c.token)
	return c, err
}

// tokenOf returns the session token of a request, "" if there is none.
func tokenOf(r *http.Request) string {
	token := r.Header.Get(TokenHeader)
	if scheme, bearer, ok := strings.Cut(r.Header.Get("Authorization"), " "); token == "" && ok && strings.EqualFold(scheme, "Bearer") {
		token = strings.TrimSpace(bearer)
	}
	if len(token) > maxTokenBytes {
		return ""
	}
	return token
}

// verify tells whose a session is. It asks each time: a session that was ended is
// refused at once.
func (a *API) verify(ctx context.Context, token string) (int64, error) {
	if token == "" {
		return 0, envelope.ErrNotLoggedIn
	}
	resp, err := a.backends.Ucenter.VerifySession(ctx, &ucenterpb.VerifySessionRequest{AccessToken: token})
	if err != nil {
		return 0, nothingDone(err)
	}
	return resp.GetMemberId(), nil
}

// nothingDone turns a missing answer into a refusal, for questions that come before
// anything is done.
func nothingDone(err error) error {
	if kind := errs.KindOf(err); kind == errs.KindUnknownOutcome || kind == errs.KindInternal {
		return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "not available; try again").Wrap(err)
	}
	return err
}
