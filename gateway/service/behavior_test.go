package service

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
)

// signedHeader is a header with the test's key.
func signedHeader() http.Header { return http.Header{"X-Mbx-Apikey": {testKey}} }

func TestGateway_Signature(t *testing.T) {
	d := newDoor(t)
	form := func() http.Header {
		h := signedHeader()
		h.Set("Content-Type", "application/x-www-form-urlencoded")
		return h
	}
	const order = "symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=100"
	ts := stamp(d.clk, 0)
	tests := []struct{ rule, method, query, body string }{
		{"all in the query", http.MethodPost, order + "&" + ts + "&signature=" + sign(order+"&"+ts), ""},
		{"all in the body", http.MethodPost, "", order + "&" + ts + "&signature=" + sign(order+"&"+ts)},
		{"business in the body, security in the query", http.MethodPost, ts + "&signature=" + sign(ts+order), order},
		{"upper-case hex", http.MethodPost, order + "&" + ts + "&signature=" + strings.ToUpper(sign(order+"&"+ts)), ""},
		{"signature first", http.MethodPost, "signature=" + sign(order+"&"+ts) + "&" + order + "&" + ts, ""},
		{"a leading ampersand is signed", http.MethodGet, "&" + ts + "&signature=" + sign("&"+ts), ""},
		{
			"an encoded dash is not encoded again", http.MethodPost,
			order + "&newClientOrderId=a%2Db%2dc&" + ts + "&signature=" + sign(order+"&newClientOrderId=a%2Db%2dc&"+ts), "",
		},
		{"a DELETE's body counts", http.MethodDelete, ts + "&signature=" + sign(ts+"symbol=BTCUSDT"), "symbol=BTCUSDT"},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			path := "/api/v3/order/test"
			switch tt.method {
			case http.MethodGet:
				path = "/api/v3/account"
			case http.MethodDelete:
				path = "/api/v3/openOrders"
			}
			status, body := d.do(t, tt.method, path+"?"+tt.query, tt.body, form())
			if strings.Contains(body, "-1022") || strings.Contains(body, "-1102") || status == http.StatusUnauthorized {
				t.Errorf("%d %s", status, body)
			}
			status, body = d.do(t, tt.method, path+"?"+tt.query, tt.body+"&x=1", form())
			if status != http.StatusBadRequest || !strings.Contains(body, "-1022") {
				t.Errorf("tampered with, it is answered %d %s", status, body)
			}
		})
	}
	t.Run("a request that grew stale while it was checked is refused", func(t *testing.T) {
		d := newDoor(t)
		d.w.verified = func() { d.clk.Advance(6 * time.Second) }
		target := d.signedTarget("/api/v3/order?"+order, "")
		status, body := d.do(t, http.MethodPost, target, "", signedHeader())
		if status != http.StatusBadRequest || !strings.Contains(body, "-1021") || len(d.w.takeCalls()) != 0 {
			t.Errorf("%d %s", status, body)
		}
	})
}

func TestGateway_Limits(t *testing.T) {
	t.Run("weight is counted per address and told", func(t *testing.T) {
		cfg := testConfig()
		cfg.Limit.WeightPerMinute = 45
		d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
		for range 2 {
			if status, _ := d.get(t, "/api/v3/exchangeInfo"); status != http.StatusOK {
				t.Fatal(status)
			}
		}
		response, err := http.Get(d.URL + "/api/v3/exchangeInfo")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		var failure struct {
			Code int
			Msg  string
		}
		if err := json.NewDecoder(response.Body).Decode(&failure); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusTooManyRequests || failure.Code != -1003 || !strings.Contains(failure.Msg, "45 request weight per 1 MINUTE") ||
			response.Header.Get("Retry-After") == "" || response.Header.Get("X-MBX-USED-WEIGHT-1M") != "40" {
			t.Errorf("%d %+v %v", response.StatusCode, failure, response.Header)
		}
		if status, _ := d.get(t, "/api/v3/ping"); status != http.StatusOK {
			t.Error("what fits is refused")
		}
		d.clk.Advance(time.Minute)
		if status, _ := d.get(t, "/api/v3/exchangeInfo"); status != http.StatusOK {
			t.Error("the window does not end")
		}
	})
	t.Run("new orders are counted per account, refused ones are not", func(t *testing.T) {
		cfg := testConfig()
		cfg.Limit.OrdersPer10s = 2
		d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
		place := func(id string) (int, string) {
			return d.do(t, http.MethodPost, d.signedTarget("/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=100&newClientOrderId="+id, ""), "", signedHeader())
		}
		for _, id := range []string{"fail-INSUFFICIENT_BALANCE", "fail-BAD_LOT", "a", "b"} {
			if status, body := place(id); status == http.StatusTooManyRequests {
				t.Fatal(id, body)
			}
		}
		status, body := place("c")
		if status != http.StatusTooManyRequests || !strings.Contains(body, "Too many new orders; current limit is 2 orders per 10 SECOND.") {
			t.Errorf("%d %s", status, body)
		}
		d.clk.Advance(10 * time.Second)
		if status, body := place("d"); status != http.StatusOK {
			t.Errorf("%d %s", status, body)
		}
	})
	t.Run("an order whose outcome is unknown keeps its count", func(t *testing.T) {
		cfg := testConfig()
		cfg.Limit.OrdersPer10s = 1
		d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
		for i, want := range []int{http.StatusGatewayTimeout, http.StatusTooManyRequests} {
			target := d.signedTarget("/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=100&newClientOrderId=fail-UNKNOWN_OUTCOME", "")
			if status, body := d.do(t, http.MethodPost, target, "", signedHeader()); status != want {
				t.Errorf("order %d: %d %s", i, status, body)
			}
		}
	})
}

func TestGateway_HostileRequests(t *testing.T) {
	d := newDoor(t)
	digits := strings.Repeat("9", 1<<20)
	t.Run("a megabyte of digits costs nothing, in the body", func(t *testing.T) {
		status, body := d.do(t, http.MethodPost, "/api/v3/order", "quantity="+digits, signedHeader())
		if status != http.StatusRequestEntityTooLarge || !strings.Contains(body, `"code":-1101`) {
			t.Errorf("%d %.200s", status, body)
		}
		if status, body := d.do(t, http.MethodPost, "/uc/login", digits, nil); status != http.StatusBadRequest || len(body) > 200 {
			t.Errorf("%d %.200s", status, body)
		}
	})
	t.Run("and in the query", func(t *testing.T) {
		status, body := d.get(t, "/api/v3/depth?symbol=BTCUSDT&limit="+digits[:MaxQuery])
		if status != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %.200s", status, body)
		}
	})
	t.Run("60 KB of digits are a bad number", func(t *testing.T) {
		body := "symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&price=1&quantity=" + digits[:60_000]
		header := signedHeader()
		header.Set("Content-Type", "application/x-www-form-urlencoded")
		status, answer := d.do(t, http.MethodPost, d.signedTarget("/api/v3/order", body), body, header)
		if status != http.StatusBadRequest || !strings.Contains(answer, "-1100") || len(answer) > 300 {
			t.Errorf("%d %.300s", status, answer)
		}
	})
	t.Run("errors never repeat what was sent", func(t *testing.T) {
		for _, target := range []string{
			"/api/v3/depth?symbol=%3Cscript%3E", "/api/v3/depth?symbol=BTCUSDT&limit=%3Cscript%3E", "/%3Cscript%3E",
			"/market/symbol-info?symbol=%3Cscript%3E", "/api/v3/%3Cscript%3E", "/api/v3/exchangeInfo?permissions=%3Cscript%3E",
		} {
			if _, body := d.get(t, target); strings.Contains(body, "script") {
				t.Errorf("%s: %s", target, body)
			}
		}
		if _, body := d.do(t, http.MethodPost, "/uc/login", `{"username":"hunter2"`, http.Header{"Content-Type": {"application/json"}}); strings.Contains(body, "hunter2") {
			t.Error(body)
		}
	})
}

// MaxQuery is a query that is too long for the gateway and short enough for net/http.
const MaxQuery = 100_000

func TestGateway_Browsers(t *testing.T) {
	d := newDoor(t)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, d.URL+"/api/v3/order", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusNoContent || response.Header.Get("Access-Control-Allow-Origin") != "*" ||
		!strings.Contains(response.Header.Get("Access-Control-Allow-Headers"), "X-MBX-APIKEY") ||
		!strings.Contains(response.Header.Get("Access-Control-Allow-Methods"), "DELETE") {
		t.Errorf("%d %v", response.StatusCode, response.Header)
	}
}

func TestGateway_Overload(t *testing.T) {
	cfg := testConfig()
	cfg.Limit.InFlight = 1
	d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
	entered, leave := make(chan struct{}), make(chan struct{})
	d.w.verified = func() { close(entered); <-leave }
	target := d.signedTarget("/api/v3/account", "")
	var slow sync.WaitGroup
	slow.Go(func() { d.do(t, http.MethodGet, target, "", signedHeader()) })
	<-entered
	for path, want := range map[string]string{"/api/v3/ping": `"code":-1008`, "/market/symbol-thumb": `"code":5003`} {
		if status, body := d.get(t, path); status != http.StatusServiceUnavailable || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _ := d.get(t, "/healthz"); status != http.StatusOK {
		t.Error("the probe is refused")
	}
	close(leave)
	slow.Wait()
	if status, body := d.get(t, "/api/v3/ping"); status != http.StatusOK {
		t.Errorf("afterwards: %d %s", status, body)
	}
}

func TestGateway_Panics(t *testing.T) {
	d := newDoor(t)
	d.w.verified = func() { panic("secret detail") }
	const order = "/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT_MAKER&quantity=1&price=100"
	for method, want := range map[string]string{http.MethodPost: `"code":-1006`, http.MethodGet: `"code":-1000`} {
		status, body := d.do(t, method, d.signedTarget(order, ""), "", signedHeader())
		if status < 500 || !strings.Contains(body, want) || strings.Contains(body, "secret detail") {
			t.Errorf("%s: %d %s", method, status, body)
		}
	}
}

func TestGateway_ReadYourWrites(t *testing.T) {
	t.Run("an order is noted for every member it touches before it is answered", func(t *testing.T) {
		d := newDoor(t)
		target := d.signedTarget("/api/v3/order?symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=1&price=100&newClientOrderId=fill-1", "")
		if status, body := d.do(t, http.MethodPost, target, "", signedHeader()); status != http.StatusOK {
			t.Fatal(status, body)
		}
		for _, member := range []int64{testMember, 8} {
			if got := d.positions.After(t.Context(), member); len(got) != 1 || got[0].Seq != 1 {
				t.Errorf("member %d waits for %v", member, got)
			}
		}
	})
	t.Run("a client that hangs up does not stop its order", func(t *testing.T) {
		d := newDoor(t)
		ctx, hangUp := context.WithCancel(t.Context())
		d.w.verified = hangUp
		request, err := http.NewRequestWithContext(ctx, http.MethodPost,
			d.URL+d.signedTarget("/api/v3/order?symbol=BTCUSDT&side=BUY&type=MARKET&quantity=1", ""), nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header = signedHeader()
		if response, err := http.DefaultClient.Do(request); err == nil {
			_ = response.Body.Close()
		}
		testkit.Eventually(t, 5*time.Second, func() bool { return len(d.positions.After(t.Context(), testMember)) == 1 },
			"the order is not noted")
	})
}

func TestGateway_Admin(t *testing.T) {
	t.Run("without a configured token nobody is an operator", func(t *testing.T) {
		cfg := testConfig()
		cfg.AdminToken = ""
		d := openDoor(t, cfg, clock.NewFake(time.UnixMilli(1_700_000_000_000)))
		for _, token := range []string{"", " ", testAdmin} {
			if status, body := d.do(t, http.MethodGet, "/admin/coins", "", http.Header{"X-Admin-Token": {token}}); status != http.StatusUnauthorized {
				t.Errorf("%q: %d %s", token, status, body)
			}
		}
	})
}

func TestConfig_Validate(t *testing.T) {
	good := func() Config {
		c := *testConfig()
		c.Profile, c.InternalToken, c.AdminToken = ProfileNormal, strings.Repeat("i", 32), strings.Repeat("a", 32)
		for _, target := range []*Target{&c.Exchange, &c.Wallet, &c.Market, &c.Ucenter} {
			target.Endpoints = []string{"127.0.0.1:1"}
		}
		return c
	}
	c := good()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	for rule, spoil := range map[string]func(*Config){
		"a normal installation refuses the known internal token": func(c *Config) { c.InternalToken = DevInternalToken },
		"a normal installation refuses the known admin token":    func(c *Config) { c.AdminToken = DevAdminToken },
		"a short token":           func(c *Config) { c.InternalToken = "short" },
		"no token":                func(c *Config) { c.InternalToken = "" },
		"a service without place": func(c *Config) { c.Wallet = Target{} },
		"an address without port": func(c *Config) { c.ListenOn = "localhost" },
		"an unknown profile":      func(c *Config) { c.Profile = "production" },
	} {
		t.Run(rule, func(t *testing.T) {
			c := good()
			spoil(&c)
			err := c.Validate()
			if err == nil {
				t.Fatal("accepted")
			}
			for _, secret := range []string{DevInternalToken, DevAdminToken, strings.Repeat("i", 32)} {
				if strings.Contains(err.Error(), secret) {
					t.Error("the error shows a secret")
				}
			}
		})
	}
}
