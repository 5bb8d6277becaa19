// Package api is a client of the public API for programs that load an exchange and
// account for what was answered: it retries nothing and tells a refusal from silence.
package api

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mscoin/mscoin-common/clock"
)

const (
	recvWindowMs = 30_000
	maxAnswer    = 8 << 20
	// codeNothing is the answer to cancelling all of nothing.
	codeNothing = -2011
)

// Client speaks the public API for one account, over connections that stay open.
type Client struct {
	http      http.Client
	base, key string
	secret    []byte
}

// New returns a client of the exchange at base for the account of an API key, which keeps
// so many connections open. A request is given up after timeout.
func New(base, key, secret string, connections int, timeout time.Duration) *Client {
	return &Client{
		http: http.Client{
			Timeout:   timeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
		},
		base: base, key: key, secret: []byte(secret),
	}
}

// Refusal is an answer that is no success.
type Refusal struct {
	Status int    `json:"-"`
	Code   int    `json:"code"`
	Msg    string `json:"msg"`
}

// Error implements error.
func (r *Refusal) Error() string { return fmt.Sprintf("HTTP %d, code %d: %s", r.Status, r.Code, r.Msg) }

// Call sends a signed request and decodes the answer into out, unless that is nil. Errors:
// a *Refusal; anything else means that no answer came.
func (c *Client) Call(ctx context.Context, method, path string, query url.Values, out any) error {
	query.Set("timestamp", strconv.FormatInt(clock.Real().NowMs(), 10))
	query.Set("recvWindow", strconv.Itoa(recvWindowMs))
	text := query.Encode()
	mac := hmac.New(sha256.New, c.secret)
	mac.Write([]byte(text))
	text += "&signature=" + hex.EncodeToString(mac.Sum(nil))
	req, err := http.NewRequestWithContext(ctx, method, c.base+path+"?"+text, nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Mbx-Apikey", c.key)
	status, body, err := do(&c.http, req)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		r := &Refusal{Status: status}
		if json.Unmarshal(body, r) != nil {
			r.Msg = string(bytes.TrimSpace(body))
		}
		return r
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}

func do(client *http.Client, req *http.Request) (status int, body []byte, err error) {
	res, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, errors.Join(err, res.Body.Close())
}

// CancelAll cancels what the account has open on the symbol; nothing is fine too.
func (c *Client) CancelAll(ctx context.Context, symbol string) error {
	err := c.Call(ctx, http.MethodDelete, "/api/v3/openOrders", url.Values{"symbol": {symbol}}, nil)
	if r, ok := errors.AsType[*Refusal](err); ok && r.Code == codeNothing {
		return nil
	}
	return err
}

// Balance is what an account has of a coin, as decimal text.
type Balance struct{ Asset, Free, Locked string }

// Balances returns what the account has.
func (c *Client) Balances(ctx context.Context) ([]Balance, error) {
	var a struct {
		Balances []Balance `json:"balances"`
	}
	err := c.Call(ctx, http.MethodGet, "/api/v3/account", url.Values{}, &a)
	return a.Balances, err
}

// Held returns the coins of which something is held.
func (c *Client) Held(ctx context.Context) (map[string]string, error) {
	all, err := c.Balances(ctx)
	if err != nil {
		return nil, err
	}
	held := make(map[string]string)
	for _, b := range all {
		if strings.Trim(b.Locked, "0.") != "" {
			held[b.Asset] = b.Locked
		}
	}
	return held, nil
}

// Site speaks the API of members' sessions and of operators, whose answers are envelopes.
type Site struct {
	http http.Client
	base string
}

// NewSite returns a client of the exchange at base. A request is given up after timeout.
func NewSite(base string, timeout time.Duration) *Site {
	return &Site{http: http.Client{Timeout: timeout}, base: base}
}

// Post sends body as JSON with a header that carries a token, and returns the data of the
// envelope. Errors: a *Refusal; anything else means that no answer came.
func (s *Site) Post(ctx context.Context, path, header, token string, body any) (map[string]any, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(header, token)
	status, text, err := do(&s.http, req)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Code    int
		Message string
		Data    json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, &Refusal{Status: status, Code: status, Msg: string(bytes.TrimSpace(text))}
	}
	if answer.Code != 0 {
		return nil, &Refusal{Status: status, Code: answer.Code, Msg: answer.Message}
	}
	var data map[string]any
	if len(answer.Data) == 0 || answer.Data[0] != '{' {
		return data, nil
	}
	return data, json.Unmarshal(answer.Data, &data)
}
