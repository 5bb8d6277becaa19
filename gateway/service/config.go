package service

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"time"

	"mscoin/gateway/internal/handler/admin"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/telemetry"
)

// Profiles of an installation.
const (
	// ProfileNormal is a real installation: known secrets are refused.
	ProfileNormal = "normal"
	// ProfileDemo and ProfileDev are for trying it out and for development.
	ProfileDemo = "demo"
	ProfileDev  = "dev"
)

// Secrets of the demo and dev profiles. They are public, so a normal installation that
// uses one of them is refused.
const (
	// DevInternalToken is the token between the services.
	DevInternalToken = "mscoin-development-internal-token"
	// DevAdminToken is the operators' token.
	DevAdminToken = "mscoin-development-admin-token"
)

// minTokenBytes is the shortest token of a normal installation.
const minTokenBytes = 24

// Config is everything the gateway can be told.
type Config struct {
	// Name is the service's name in logs and metrics.
	Name string `json:",default=gateway"`
	// ListenOn is host:port of the HTTP server; port 0 takes a free one.
	ListenOn string `json:",default=127.0.0.1:8080"`
	// Profile is normal, demo or dev.
	Profile string `json:",default=normal,options=normal|demo|dev"`
	// InternalToken goes with every request to the services.
	InternalToken string
	// AdminToken opens the operators' API; empty closes it for everybody.
	AdminToken string `json:",optional"`
	// Operators have tokens of their own, so that what takes two operators takes two tokens.
	Operators []Operator `json:",optional"`
	// Exchange, Wallet, Market and Ucenter are where the services answer.
	Exchange Target
	Wallet   Target
	Market   Target
	Ucenter  Target
	// Redis carries what reads must wait for between gateways. Without it each gateway
	// knows only its own writes.
	Redis RedisConfig `json:",optional"`
	// TrustProxyHeader names the header in which a trusted proxy puts the client's
	// address, like X-Forwarded-For (its last entry counts). Empty believes none.
	TrustProxyHeader string `json:",optional"`
	// Limit has the limits of clients.
	Limit LimitConfig `json:",optional"`
	// Timeout has the times that requests may take.
	Timeout TimeoutConfig `json:",optional"`
	// SymbolRefreshMs is how often the list of symbols is asked for.
	SymbolRefreshMs int64 `json:",default=1000,range=[50:60000]"`
	// ReadAfterMs is how long a member's reads wait for what it wrote, at least: longer
	// than records take to be applied.
	ReadAfterMs int64 `json:",default=10000,range=[1000:600000]"`
	// Telemetry says how the process is watched, when the service runs as one of its own.
	Telemetry telemetry.Config `json:",optional"`
}

// Operator is somebody who may use the operators' API.
type Operator struct {
	// Name is who it is in records, 1 to 32 of A-Z a-z 0-9 . _ @ -.
	Name string
	// Token is the operator's, at least 24 bytes.
	Token string
}

var operatorName = regexp.MustCompile(`^[A-Za-z0-9._@-]{1,32}$`)

func (c *Config) operators() map[string]string {
	tokens := make(map[string]string, len(c.Operators))
	for _, o := range c.Operators {
		tokens[o.Name] = o.Token
	}
	return tokens
}

// operatorsDiffer reports whether every operator has a name and a token of its own.
func (c *Config) operatorsDiffer() bool {
	names, tokens := map[string]bool{admin.SharedName: true}, map[string]bool{c.AdminToken: true, c.InternalToken: true}
	for _, o := range c.Operators {
		if !operatorName.MatchString(o.Name) || names[o.Name] || len(o.Token) < minTokenBytes || tokens[o.Token] {
			return false
		}
		names[o.Name], tokens[o.Token] = true, true
	}
	return true
}

// Target is where a service answers.
type Target struct {
	// Endpoints are host:port of its instances.
	Endpoints []string `json:",optional"`
	// Target is a gRPC target instead of Endpoints.
	Target string `json:",optional"`
}

// RedisConfig is where Redis is.
type RedisConfig struct {
	// Addr is host:port; empty is no Redis.
	Addr string `json:",optional"`
	// Password logs in.
	Password string `json:",optional"`
	// TimeoutMs bounds an operation: an order waits no longer for its note.
	TimeoutMs int64 `json:",default=200,range=[10:5000]"`
}

// LimitConfig has the limits of clients. Less than zero is no limit.
type LimitConfig struct {
	// WeightPerMinute is the request weight of an address (IPv6: of a /64) per minute.
	WeightPerMinute int64 `json:",default=6000"`
	// OrdersPer10s is the new orders of an account per 10 seconds.
	OrdersPer10s int64 `json:",default=100"`
	// OrdersPerDay is the new orders of an account per UTC day.
	OrdersPerDay int64 `json:",default=200000"`
	// InFlight bounds the requests that are served at once; it is always on.
	InFlight int `json:",default=2000,range=[1:1000000]"`
	// Keys bounds the addresses and accounts that are counted one by one.
	Keys int `json:",default=100000,range=[1:10000000]"`
}

// TimeoutConfig has the times that requests may take.
type TimeoutConfig struct {
	// ReadMs bounds a request that changes nothing.
	ReadMs int64 `json:",default=5000,range=[100:60000]"`
	// WriteMs bounds an order or a cancel: more than the exchange waits for the matcher.
	WriteMs int64 `json:",default=12000,range=[100:60000]"`
}

// SetDefaults fills in what is zero, for a Config made in code; one read from a file has
// its defaults already.
func (c *Config) SetDefaults() {
	set(&c.Name, "gateway")
	set(&c.ListenOn, "127.0.0.1:8080")
	set(&c.Profile, ProfileNormal)
	set(&c.Redis.TimeoutMs, 200)
	set(&c.Limit.WeightPerMinute, 6000)
	set(&c.Limit.OrdersPer10s, 100)
	set(&c.Limit.OrdersPerDay, 200_000)
	set(&c.Limit.InFlight, 2000)
	set(&c.Limit.Keys, 100_000)
	set(&c.Timeout.ReadMs, 5000)
	set(&c.Timeout.WriteMs, 12_000)
	set(&c.SymbolRefreshMs, 1000)
	set(&c.ReadAfterMs, 10_000)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Watched says how the process is watched.
func (c *Config) Watched() telemetry.Config { return c.Telemetry }

// Validate reports what is wrong with the configuration, without showing a secret.
func (c *Config) Validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	_, _, err := net.SplitHostPort(c.ListenOn)
	check(err == nil, "ListenOn is not host:port")
	check(c.Profile == ProfileNormal || c.Profile == ProfileDemo || c.Profile == ProfileDev, "Profile is neither normal, demo nor dev")
	check(c.InternalToken != "", "InternalToken is missing")
	for name, target := range map[string]Target{"Exchange": c.Exchange, "Wallet": c.Wallet, "Market": c.Market, "Ucenter": c.Ucenter} {
		check(len(target.Endpoints) > 0 || target.Target != "", name+" has neither Endpoints nor Target")
	}
	check(c.Limit.InFlight > 0 && c.Limit.Keys > 0, "Limit.InFlight and Limit.Keys must be positive")
	check(c.Timeout.ReadMs > 0 && c.Timeout.WriteMs > 0 && c.SymbolRefreshMs > 0 && c.ReadAfterMs > 0 && c.Redis.TimeoutMs > 0,
		"times must be positive")
	check(c.operatorsDiffer(), "Operators need names and tokens that are nobody else's, tokens of 24 bytes; admin is taken")
	if c.Profile == ProfileNormal {
		check(len(c.InternalToken) >= minTokenBytes, "InternalToken needs 24 bytes")
		check(c.AdminToken == "" || len(c.AdminToken) >= minTokenBytes, "AdminToken needs 24 bytes")
		check(c.InternalToken != DevInternalToken && c.AdminToken != DevAdminToken && c.AdminToken != DevInternalToken,
			"a secret of the development profile is in use: make your own, for example with openssl rand -base64 32")
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("configuration of gateway: %w", err)
	}
	return nil
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// client is how to dial a target. The request's own deadline ends a call, so the
// connection's is longer than any.
func (c *Config) client(target Target) rpc.ClientConfig {
	return rpc.ClientConfig{
		Endpoints: target.Endpoints, Target: target.Target, Token: c.InternalToken,
		TimeoutMs: max(c.Timeout.ReadMs, c.Timeout.WriteMs) + 1000, PatienceMs: rpc.Patience,
	}
}
