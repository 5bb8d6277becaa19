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
	"net/url"
	"strconv"
	"strings"
	"time"

	"mscoin/mscoin-common/clock"
)

const (
	requestTimeout = 10 * time.Second
	recvWindowMs   = 30_000
	maxAnswer      = 8 << 20
	// codeNothing is the answer to cancelling all of nothing.
	codeNothing = -2011
)

// client speaks the public API for one account, over connections that stay open.
type client struct {
	http      http.Client
	base, key string
	secret    []byte
}

func newClient(base, key, secret string, connections int) *client {
	return &client{
		http: http.Client{
			Timeout:   requestTimeout,
			Transport: &http.Transport{MaxIdleConnsPerHost: connections, DisableCompression: true},
		},
		base: base, key: key, secret: []byte(secret),
	}
}

// refusal is an answer of the API that is no success.
type refusal struct {
	Status int    `json:"-"`
	Code   int    `json:"code"`
	Msg    string `json:"msg"`
}

// Error implements error.
func (r *refusal) Error() string { return fmt.Sprintf("HTTP %d, code %d: %s", r.Status, r.Code, r.Msg) }

// call sends a signed request and decodes the answer into out, unless that is nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, out any) error {
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
	res, err := c.http.Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	_ = res.Body.Close()
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		r := &refusal{Status: res.StatusCode}
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

func (c *client) order(ctx context.Context, o url.Values) error {
	return c.call(ctx, http.MethodPost, "/api/v3/order", o, nil)
}

func (c *client) cancelAll(ctx context.Context, symbol string) error {
	err := c.call(ctx, http.MethodDelete, "/api/v3/openOrders", url.Values{"symbol": {symbol}}, nil)
	if r, ok := err.(*refusal); ok && r.Code == codeNothing { //nolint:errorlint // call returns it bare
		return nil
	}
	return err
}

// held returns the coins of which something is held.
func (c *client) held(ctx context.Context) (map[string]string, error) {
	var a struct {
		Balances []struct{ Asset, Locked string } `json:"balances"`
	}
	if err := c.call(ctx, http.MethodGet, "/api/v3/account", url.Values{}, &a); err != nil {
		return nil, err
	}
	held := make(map[string]string)
	for _, b := range a.Balances {
		if strings.Trim(b.Locked, "0.") != "" {
			held[b.Asset] = b.Locked
		}
	}
	return held, nil
}
