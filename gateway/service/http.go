package service

import (
	"context"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	zeroservice "github.com/zeromicro/go-zero/core/service"
	"github.com/zeromicro/go-zero/rest"

	"mscoin/gateway/internal/cache"
	"mscoin/gateway/internal/client"
	"mscoin/gateway/internal/handler/admin"
	"mscoin/gateway/internal/handler/envelope"
	"mscoin/gateway/internal/handler/site"
	"mscoin/gateway/internal/handler/spot"
	"mscoin/gateway/internal/middleware"
	"mscoin/gateway/internal/reply"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/telemetry"
)

// deps is what the HTTP side is made of.
type deps struct {
	backends  client.Backends
	catalog   *client.Catalog
	positions *cache.Positions
	clk       clock.Clock
	ready     func(context.Context) error
}

// newHandler returns everything the gateway answers over HTTP.
func newHandler(cfg *Config, d deps) (http.Handler, error) {
	server, err := rest.NewServer(restConf(cfg),
		rest.WithNotFoundHandler(byDialect(spot.NotFound, envelope.NotFound)),
		rest.WithNotAllowedHandler(byDialect(spot.MethodNotAllowed, envelope.MethodNotAllowed)))
	if err != nil {
		return nil, err
	}
	limits := newLimits(cfg.Limit, d.clk)
	server.AddRoutes(spot.New(spot.Config{
		WeightPerMinute: limit(cfg.Limit.WeightPerMinute), OrdersPer10s: limit(cfg.Limit.OrdersPer10s),
		OrdersPerDay: limit(cfg.Limit.OrdersPerDay), ReadTimeout: millis(cfg.Timeout.ReadMs),
		WriteTimeout: millis(cfg.Timeout.WriteMs), ProxyHeader: cfg.TrustProxyHeader,
	}, d.backends, d.catalog, d.positions, limits, d.clk).Routes())
	server.AddRoutes(site.New(site.Config{
		ReadTimeout: millis(cfg.Timeout.ReadMs), WriteTimeout: millis(cfg.Timeout.WriteMs), ProxyHeader: cfg.TrustProxyHeader,
	}, d.backends, d.catalog, d.positions, site.Limits(limits)).Routes())
	server.AddRoutes(admin.New(admin.Config{Token: cfg.AdminToken, Operators: cfg.operators(), Timeout: millis(cfg.Timeout.WriteMs)}, d.backends, d.catalog).Routes())

	router, err := rest.NewServerless(server)
	if err != nil {
		return nil, err
	}
	busy := byDialect(spot.Busy, envelope.Busy).ServeHTTP
	broken := byDialect(spot.Broken, envelope.Broken).ServeHTTP
	bounded := middleware.InFlight(cfg.Limit.InFlight, busy)(http.HandlerFunc(router.Serve))
	return middleware.CORS(middleware.Recover(broken)(probes(d.ready, untraced(cfg, bounded)))), nil
}

// untraced keeps clients from deciding that their requests are traced, unless they may:
// everybody could have every request traced.
func untraced(cfg *Config, next http.Handler) http.Handler {
	if cfg.Telemetry.Traces.AcceptParents {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del(telemetry.ParentHeader)
		next.ServeHTTP(w, r)
	})
}

// restConf turns off what go-zero adds and an order path cannot bear: its time-out
// answers text while the order goes on, its breaker and shedding refuse cancels under
// load, its log writes signatures, and it unpacks bodies that were signed packed.
func restConf(cfg *Config) rest.RestConf {
	conf := rest.RestConf{
		ServiceConf: zeroservice.ServiceConf{
			Name: cfg.Name, Mode: zeroservice.ProMode,
			Log: logx.LogConf{ServiceName: cfg.Name, Mode: "console", Encoding: "json", Level: "info"},
		},
		Host: "127.0.0.1", MaxConns: cfg.Limit.InFlight,
	}
	conf.Middlewares.Trace, conf.Middlewares.Prometheus = true, true
	return conf
}

// limit reads a configured limit: zero or less is none.
func limit(n int64) int64 { return max(n, middleware.Unlimited) }

func newLimits(cfg LimitConfig, clk clock.Clock) spot.Limits {
	const day = 24 * time.Hour
	return spot.Limits{
		Weight:    middleware.NewMemoryLimiter(clk, limit(cfg.WeightPerMinute), time.Minute, cfg.Keys),
		Orders10s: middleware.NewMemoryLimiter(clk, limit(cfg.OrdersPer10s), 10*time.Second, cfg.Keys),
		OrdersDay: middleware.NewMemoryLimiter(clk, limit(cfg.OrdersPerDay), day, cfg.Keys),
	}
}

// byDialect answers in the dialect of the path. Paths that go-zero's router cannot
// hold (streams have several segments) will branch off here.
func byDialect(inSpot, inSite http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if spot.Speaks(r.URL.Path) {
			inSpot(w, r)
			return
		}
		inSite(w, r)
	})
}

type probe struct {
	Status string `json:"status"`
}

// probes answers /healthz (the process lives) and /readyz (it can do its work), also
// when everything else is busy.
func probes(ready func(context.Context) error, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/healthz":
			reply.JSON(w, http.StatusOK, probe{"ok"})
		case "/readyz":
			if err := ready(r.Context()); err != nil {
				logx.WithContext(r.Context()).Infof("not ready: %v", err)
				reply.JSON(w, http.StatusServiceUnavailable, probe{"not ready"})
				return
			}
			reply.JSON(w, http.StatusOK, probe{"ready"})
		default:
			next.ServeHTTP(w, r)
		}
	})
}
