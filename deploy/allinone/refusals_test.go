package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mscoin/deploy/demo/story"
)

// trader sends raw requests as one of the demo accounts.
type trader struct {
	t       *testing.T
	base    string
	account story.Account
}

// answer is the status and the body of an answer.
type answer struct {
	status int
	body   string
}

// failure is how the dialect refuses.
type failure struct {
	Code int    `json:"code"`
	Msg  string `json:"msg"`
}

func (a answer) failure(t *testing.T) failure {
	t.Helper()
	var f failure
	if err := json.Unmarshal([]byte(a.body), &f); err != nil {
		t.Fatalf("%d %.200q is no refusal: %v", a.status, a.body, err)
	}
	return f
}

func hmacHex(secret, payload string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(payload))
	return hex.EncodeToString(mac.Sum(nil))
}

// send sends a request as it is; header are pairs.
func (c *trader) send(method, path, query, body string, header ...string) answer {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.URL.RawQuery = query
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var text bytes.Buffer
	if _, err := io.Copy(&text, io.LimitReader(resp.Body, 1<<20)); err != nil {
		c.t.Fatal(err)
	}
	return answer{resp.StatusCode, text.String()}
}

// at is a timestamp that far from now.
func at(offset time.Duration) string {
	return "timestamp=" + strconv.FormatInt(time.Now().Add(offset).UnixMilli(), 10)
}

// signed signs query and body at a time and sends them.
func (c *trader) signed(method, path, query, body string) answer {
	c.t.Helper()
	query = join(query, at(0))
	return c.send(method, path, query+"&signature="+hmacHex(c.account.APISecret, query+body), body, "X-MBX-APIKEY", c.account.APIKey)
}

func join(query, more string) string {
	if query == "" {
		return more
	}
	return query + "&" + more
}

// state is what a refusal must not change: balances, open orders, and how many orders there were.
func (c *trader) state() string {
	c.t.Helper()
	var account struct {
		Balances json.RawMessage `json:"balances"`
	}
	var orders []struct {
		OrderID int64  `json:"orderId"`
		Status  string `json:"status"`
	}
	c.read("/api/v3/account", "", &account)
	c.read("/api/v3/allOrders", "symbol=BTCUSDT", &orders)
	seen, err := json.Marshal(orders)
	if err != nil {
		c.t.Fatal(err)
	}
	open := c.signed(http.MethodGet, "/api/v3/openOrders", "", "")
	return string(account.Balances) + "\n" + open.body + "\n" + string(seen)
}

func (c *trader) read(path, query string, into any) {
	c.t.Helper()
	got := c.signed(http.MethodGet, path, query, "")
	if got.status != http.StatusOK {
		c.t.Fatalf("%s: %d %.300s", path, got.status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), into); err != nil {
		c.t.Fatalf("%s: %v", path, err)
	}
}

// placed is what these tests read of a new order.
type placed struct {
	OrderID     int64  `json:"orderId"`
	Status      string `json:"status"`
	ExecutedQty string `json:"executedQty"`
}

func (c *trader) place(query string) placed {
	c.t.Helper()
	got := c.signed(http.MethodPost, "/api/v3/order", query, "")
	var p placed
	if err := json.Unmarshal([]byte(got.body), &p); err != nil || got.status != http.StatusOK {
		c.t.Fatalf("%s: %d %.300s", query, got.status, got.body)
	}
	return p
}

func (c *trader) cancel(orderID int64) {
	c.t.Helper()
	if got := c.signed(http.MethodDelete, "/api/v3/order", "symbol=BTCUSDT&orderId="+strconv.FormatInt(orderID, 10), ""); got.status != http.StatusOK {
		c.t.Fatalf("cancel %d: %d %.300s", orderID, got.status, got.body)
	}
}

// with is a good limit order with some parameters changed: "price=1" replaces, "price" alone removes.
func with(changes ...string) string {
	names := []string{"symbol", "side", "type", "timeInForce", "quantity", "price"}
	values := map[string]string{
		"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC", "quantity": "0.001", "price": "50000",
	}
	for _, change := range changes {
		name, value, given := strings.Cut(change, "=")
		if _, known := values[name]; !known && given {
			names = append(names, name)
		}
		if values[name] = value; !given {
			delete(values, name)
		}
	}
	pairs := make([]string, 0, len(names))
	for _, name := range names {
		if value, ok := values[name]; ok {
			pairs = append(pairs, name+"="+value)
		}
	}
	return strings.Join(pairs, "&")
}

const (
	badPrice    = `Illegal characters found in parameter 'price'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'.`
	badQuantity = `Illegal characters found in parameter 'quantity'; legal range is '^([0-9]{1,20})(\.[0-9]{1,20})?$'.`
	badSymbol   = `Illegal characters found in parameter 'symbol'; legal range is '^[A-Z0-9-_.]{1,20}$'.`
	badID       = `Illegal characters found in parameter 'newClientOrderId'; legal range is '^[a-zA-Z0-9-_.:/]{1,36}$'.`
	poor        = "Account has insufficient balance for requested action."
	tooLarge    = "Too many parameters; the request is larger than 64 KB."
)

// refusals are orders that must be refused, by the rule that does.
var refusals = []struct {
	rule, query string
	status      int
	code        int
	text        string
}{
	{"an unknown symbol", with("symbol=FOOBAR"), 400, -1121, "Invalid symbol."},
	{"a symbol in lower case", with("symbol=btcusdt"), 400, -1100, badSymbol},
	{"a symbol with a slash", with("symbol=BTC%2FUSDT"), 400, -1100, badSymbol},
	{"no symbol", with("symbol"), 400, -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or malformed."},
	{"an empty symbol", with("symbol="), 400, -1105, "Parameter 'symbol' was empty."},
	{"no side", with("side"), 400, -1102, "Mandatory parameter 'side' was not sent, was empty/null, or malformed."},
	{"a side in lower case", with("side=buy"), 400, -1117, "Invalid side."},
	{"an unknown type", with("type=limit"), 400, -1116, "Invalid orderType."},
	{"an unknown time in force", with("timeInForce=GTX"), 400, -1115, "Invalid timeInForce."},
	{"no time in force", with("timeInForce"), 400, -1102, "Mandatory parameter 'timeInForce' was not sent, was empty/null, or malformed."},
	{"no price", with("price"), 400, -1102, "Mandatory parameter 'price' was not sent, was empty/null, or malformed."},
	{"no quantity", with("quantity"), 400, -1102, "Mandatory parameter 'quantity' was not sent, was empty/null, or malformed."},
	{"an unknown self-trade mode", with("selfTradePreventionMode=DECREMENT"), 400, -1013, "This symbol does not allow the specified self-trade prevention mode."},
	{"a stop price that is not taken", with("stopPrice=1"), 400, -1106, "Parameter 'stopPrice' sent when not required."},
	{"a market order with a price", with("type=MARKET", "timeInForce"), 400, -1106, "Parameter 'price' sent when not required."},
	{"a market order by nothing", with("type=MARKET", "timeInForce", "price", "quantity"), 400, -1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"},
	{"a market order by both amounts", with("type=MARKET", "timeInForce", "price", "quoteOrderQty=10"), 400, -1106, "Parameter 'quoteOrderQty' sent when not required."},

	{"a price off the tick", with("price=50000.001"), 400, -1013, "Filter failure: PRICE_FILTER"},
	{"a price above the highest", with("price=1000000.01"), 400, -1013, "Filter failure: PRICE_FILTER"},
	{"a quantity off the lot", with("quantity=0.0010001"), 400, -1013, "Filter failure: LOT_SIZE"},
	{"a quantity below the least", with("quantity=0.000001"), 400, -1013, "Filter failure: LOT_SIZE"},
	{"a quantity above the most", with("quantity=9000.00001"), 400, -1013, "Filter failure: LOT_SIZE"},
	{"too little turnover", with("price=100"), 400, -1013, "Filter failure: NOTIONAL"},
	{"too much turnover", with("price=1000000", "quantity=100"), 400, -1013, "Filter failure: NOTIONAL"},
	{"a price of zero", with("price=0.00"), 400, -1013, "Invalid price."},
	{"a quantity of zero", with("quantity=0"), 400, -1013, "Invalid quantity."},
	{"too little to sell", with("side=SELL", "quantity=101"), 400, -2010, poor},
	{"too little to buy by quote amount", with("type=MARKET", "timeInForce", "price", "quantity", "quoteOrderQty=10000001"), 400, -2010, poor},
	{"post-only that would take", with("type=LIMIT_MAKER", "timeInForce", "price=60000"), 400, -2010, "Order would immediately match and take."},
	{"a client order id of an open order", with("newClientOrderId=taken"), 400, -2010, "Duplicate order sent."},

	{"a sign", with("quantity=-1"), 400, -1100, badQuantity},
	{"a plus", with("quantity=%2B1"), 400, -1100, badQuantity},
	{"an exponent", with("quantity=1e-3"), 400, -1100, badQuantity},
	{"a large exponent", with("price=5E4"), 400, -1100, badPrice},
	{"not a number", with("price=NaN"), 400, -1100, badPrice},
	{"infinity", with("price=Infinity"), 400, -1100, badPrice},
	{"hexadecimal", with("price=0x10"), 400, -1100, badPrice},
	{"a space", with("price=50000%20"), 400, -1100, badPrice},
	{"a comma", with("price=50%2C000"), 400, -1100, badPrice},
	{"Arabic digits", with("price=%D9%A1%D9%A2"), 400, -1100, badPrice},
	{"full-width digits", with("price=%EF%BC%91"), 400, -1100, badPrice},
	{"bytes that are no text", with("price=%ff%fe"), 400, -1100, badPrice},
	{"a zero byte", with("price=1%00"), 400, -1100, badPrice},
	{"a bare point", with("price=.5"), 400, -1100, badPrice},
	{"21 digits", with("price=" + strings.Repeat("1", 21)), 400, -1100, badPrice},
	{"20 digits", with("price=" + strings.Repeat("9", 20)), 400, -1108, "Parameter 'price' overflowed."},
	{"nine decimals", with("price=1.123456789"), 400, -1111, "Parameter 'price' has too much precision."},
	{"an empty price", with("price="), 400, -1105, "Parameter 'price' was empty."},
	{"60 KB of digits", with("price=" + strings.Repeat("9", 60_000)), 400, -1100, badPrice},
	{"70 KB of digits", with("price=" + strings.Repeat("9", 70_000)), 413, -1101, tooLarge},
	{"a bad percent sign", with("price=%zz"), 400, -1100, "Illegal characters found in a parameter."},
	{"a parameter twice", with() + "&symbol=BTCUSDT", 400, -1101, "Duplicate values for a parameter detected."},
	{"a parameter twice, once encoded", with() + "&%73ymbol=ETHUSDT", 400, -1101, "Duplicate values for a parameter detected."},
	{"a client order id that is too long", with("newClientOrderId=" + strings.Repeat("a", 37)), 400, -1100, badID},
	{"a client order id with a space", with("newClientOrderId=a%20b"), 400, -1100, badID},
	{"a window above a minute", with("recvWindow=60001"), 400, -1131, "recvWindow must be less than 60000."},
}

// TestExchange_Refusals sends a running exchange what it must refuse: right status, code and text, and nothing changed.
func TestExchange_Refusals(t *testing.T) {
	dir, addr := t.TempDir(), freeAddr(t)
	e := startExchange(t, dir, addr)
	a := e.access()
	one, two := &trader{t, a.BaseURL, a.Accounts[0]}, &trader{t, a.BaseURL, a.Accounts[1]}
	// Something to take, something that holds money, and a client order id in use.
	two.place(with("side=SELL", "price=60000"))
	one.place(with("price=40000", "newClientOrderId=taken"))
	before := one.state() + two.state()

	refused := func(t *testing.T, got answer, status, code int, text string) {
		t.Helper()
		f := got.failure(t)
		if got.status != status || f.Code != code || f.Msg != text {
			t.Errorf("got %d %d %q, want %d %d %q", got.status, f.Code, f.Msg, status, code, text)
		}
		if after := one.state() + two.state(); after != before {
			t.Fatalf("something changed: was\n%s\nis\n%s", before, after)
		}
	}
	for _, r := range refusals {
		t.Run(r.rule+" is refused", func(t *testing.T) {
			refused(t, one.signed(http.MethodPost, "/api/v3/order", r.query, ""), r.status, r.code, r.text)
		})
	}
	t.Run("a megabyte of digits in the body is refused", func(t *testing.T) {
		refused(t, one.signed(http.MethodPost, "/api/v3/order", "", with("price="+strings.Repeat("9", 1<<20))), 413, -1101, tooLarge)
	})
	refuseUnproven(t, one, refused)
	refuseCancels(t, one, two, refused)
	t.Run("an order that is only tested is not placed", func(t *testing.T) {
		if got := one.signed(http.MethodPost, "/api/v3/order/test", with(), ""); got.status != http.StatusOK || got.body != "{}" {
			t.Errorf("got %d %s", got.status, got.body)
		}
		refused(t, one.signed(http.MethodPost, "/api/v3/order/test", with("price=50000.001"), ""), 400, -1013, "Filter failure: PRICE_FILTER")
	})
	t.Run("money of an answer can be spent at once", func(t *testing.T) { spendAtOnce(t, one, two) })
	t.Run("a deposit to nobody is refused", func(t *testing.T) { depositToNobody(t, one, dir) })
	mustReconcile(t, dir)
}

type refusedFunc func(t *testing.T, got answer, status, code int, text string)

// refuseUnproven sends orders that prove nothing about their sender.
func refuseUnproven(t *testing.T, c *trader, refused refusedFunc) {
	t.Helper()
	const badSignature, outside = "Signature for this request is not valid.", "Timestamp for this request is outside of the recvWindow."
	const badKey, unknownKey = "API-key format invalid.", "Invalid API-key, IP, or permissions for action."
	send := func(key, secret, query string) answer {
		return c.send(http.MethodPost, "/api/v3/order", query+"&signature="+hmacHex(secret, query), "", "X-MBX-APIKEY", key)
	}
	key, secret := c.account.APIKey, c.account.APISecret
	for _, r := range []struct {
		rule, key, secret, query string
		status, code             int
		text                     string
	}{
		{"another secret's signature", key, "other", with() + "&" + at(0), 400, -1022, badSignature},
		{"a stale timestamp", key, secret, with() + "&" + at(-6*time.Second), 400, -1021, outside},
		{"a timestamp of the future", key, secret, with() + "&" + at(5*time.Second), 400, -1021, "Timestamp for this request was 1000ms ahead of the server's time."},
		{"no timestamp", key, secret, with(), 400, -1102, "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed."},
		{"a short key", "abc", secret, with() + "&" + at(0), 401, -2014, badKey},
		{"no key", "", secret, with() + "&" + at(0), 401, -2014, badKey},
		{"an unknown key", strings.Repeat("A", 64), secret, with() + "&" + at(0), 401, -2015, unknownKey},
	} {
		t.Run(r.rule+" is refused", func(t *testing.T) { refused(t, send(r.key, r.secret, r.query), r.status, r.code, r.text) })
	}
	t.Run("what was not signed is refused", func(t *testing.T) {
		query := with() + "&" + at(0)
		got := c.send(http.MethodPost, "/api/v3/order", query+"&signature="+hmacHex(secret, query), "quantity=5", "X-MBX-APIKEY", key)
		refused(t, got, 400, -1022, badSignature)
	})
}

// refuseCancels asks for orders that are not there or not the asker's.
func refuseCancels(t *testing.T, one, two *trader, refused refusedFunc) {
	t.Helper()
	const unknown, missing = "Unknown order sent.", "Order does not exist."
	for _, r := range []struct {
		rule          string
		who           *trader
		method, query string
		code          int
		text          string
	}{
		{"a cancel without an id", one, http.MethodDelete, "symbol=BTCUSDT", -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"},
		{"a cancel of what is not there", one, http.MethodDelete, "symbol=BTCUSDT&orderId=999999", -2011, unknown},
		{"a cancel of another member's order", two, http.MethodDelete, "symbol=BTCUSDT&origClientOrderId=taken", -2011, unknown},
		{"a cancel on another symbol", one, http.MethodDelete, "symbol=ETHUSDT&origClientOrderId=taken", -2011, unknown},
		{"a cancel by two ids that disagree", one, http.MethodDelete, "symbol=BTCUSDT&orderId=1&origClientOrderId=taken", -2011, unknown},
		{"a look at another member's order", two, http.MethodGet, "symbol=BTCUSDT&origClientOrderId=taken", -2013, missing},
		{"a look at what is not there", one, http.MethodGet, "symbol=BTCUSDT&orderId=999999", -2013, missing},
	} {
		t.Run(r.rule+" is refused", func(t *testing.T) {
			refused(t, r.who.signed(r.method, "/api/v3/order", r.query, ""), 400, r.code, r.text)
		})
	}
	t.Run("a refused order does not exist", func(t *testing.T) {
		got := one.signed(http.MethodPost, "/api/v3/order", with("side=SELL", "quantity=101", "newClientOrderId=refused"), "")
		refused(t, got, 400, -2010, poor)
		refused(t, one.signed(http.MethodGet, "/api/v3/order", "symbol=BTCUSDT&origClientOrderId=refused", ""), 400, -2013, missing)
	})
}

// spendAtOnce spends all there is right after the answer that told of it, several times.
func spendAtOnce(t *testing.T, one, two *trader) {
	t.Helper()
	for range 10 {
		one.cancel(one.place(with("side=SELL", "quantity=100", "price=70000")).OrderID)
		one.cancel(one.place(with("side=SELL", "quantity=100", "price=70000")).OrderID)
	}
	for i := range 5 {
		two.place(with("side=SELL", "quantity=0.1", "price=50000"))
		if got := one.place(with("quantity=0.1", "price=50000")); got.Status != "FILLED" {
			t.Fatalf("got %+v", got)
		}
		units := 100_0000 + 999*(i+1) // 0.1 less 0.1 % fee, each time
		all := fmt.Sprintf("%d.%04d", units/1_0000, units%1_0000)
		one.cancel(one.place(with("side=SELL", "quantity="+all, "price=70000")).OrderID)
	}
}

func depositToNobody(t *testing.T, c *trader, dir string) {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(dir, "secrets.json"))
	if err != nil {
		t.Fatal(err)
	}
	var secrets struct {
		AdminToken string `json:"adminToken"`
	}
	if err := json.Unmarshal(content, &secrets); err != nil {
		t.Fatal(err)
	}
	const deposit = `{"reference":"typo","memberId":999999999,"coin":"BTC","amount":"1.5"}`
	for token, want := range map[string]int{secrets.AdminToken: http.StatusNotFound, "wrong": http.StatusUnauthorized} {
		got := c.send(http.MethodPost, "/admin/deposit", "", deposit, "Content-Type", "application/json", "X-Admin-Token", token)
		if got.status != want {
			t.Errorf("got %d %s, want %d", got.status, got.body, want)
		}
	}
}
