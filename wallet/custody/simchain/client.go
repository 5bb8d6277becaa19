package simchain

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mscoin/wallet/custody"
)

const (
	// clientTimeout bounds a request.
	clientTimeout = 5 * time.Second
	// maxAnswer bounds an answer.
	maxAnswer = 16 << 20
)

// Client is a node elsewhere. It is safe for concurrent use.
type Client struct {
	base  string
	token string
	http  *http.Client
}

var _ custody.Custody = (*Client)(nil)

// NewClient returns a client of the node at a URL like http://127.0.0.1:8110.
func NewClient(base, token string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("the custody's URL must be http:// or https:// with a host")
	}
	return &Client{base: strings.TrimSuffix(base, "/"), token: token, http: &http.Client{Timeout: clientTimeout}}, nil
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// call asks the node; an error that is none of package custody's is an unknown outcome.
func (c *Client) call(ctx context.Context, method string, path []string, in, out any) (err error) {
	for i := range path {
		path[i] = url.PathEscape(path[i])
	}
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("simchain: %w", err)
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base+"/"+strings.Join(path, "/"), body)
	if err != nil {
		return fmt.Errorf("simchain: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	resp, err := c.http.Do(req)
	if err != nil {
		return fmt.Errorf("simchain: %w", err)
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("simchain: %w", err)
	}
	if resp.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, out); err != nil {
			return fmt.Errorf("simchain: answer: %w", err)
		}
		return nil
	}
	var f failure
	_ = json.Unmarshal(text, &f) // the status says enough
	if known := codes[f.Code]; known != nil && resp.StatusCode == http.StatusUnprocessableEntity {
		return known
	}
	return fmt.Errorf("simchain: status %d %s", resp.StatusCode, f.Code)
}

const get, post = http.MethodGet, http.MethodPost

// Address implements custody.Custody.
func (c *Client) Address(ctx context.Context, coin, owner string) (string, error) {
	var out addressBody
	err := c.call(ctx, post, []string{"v1", coin, "addresses"}, request{Owner: owner}, &out)
	return out.Address, err
}

// CheckAddress implements custody.Custody.
func (c *Client) CheckAddress(_ context.Context, coin, address string) error {
	return CheckAddress(coin, address)
}

// Head implements custody.Custody.
func (c *Client) Head(ctx context.Context, coin string) (out custody.BlockID, err error) {
	err = c.call(ctx, get, []string{"v1", coin, "head"}, nil, &out)
	return out, err
}

// Block implements custody.Custody.
func (c *Client) Block(ctx context.Context, coin string, height int64) (out custody.Block, err error) {
	err = c.call(ctx, get, []string{"v1", coin, "blocks", strconv.FormatInt(height, 10)}, nil, &out)
	return out, err
}

// Send implements custody.Custody.
func (c *Client) Send(ctx context.Context, coin string, p custody.Payment) (out custody.Sent, err error) {
	err = c.call(ctx, post, []string{"v1", coin, "payments"}, p, &out)
	return out, err
}

// Sent implements custody.Custody.
func (c *Client) Sent(ctx context.Context, coin, key string) (out custody.Sent, err error) {
	err = c.call(ctx, get, []string{"v1", coin, "payments", key}, nil, &out)
	return out, err
}

// Abandon implements custody.Custody.
func (c *Client) Abandon(ctx context.Context, coin, key string) (out custody.Sent, err error) {
	err = c.call(ctx, post, []string{"v1", coin, "payments", key, "abandon"}, nil, &out)
	return out, err
}

// Balance implements custody.Custody.
func (c *Client) Balance(ctx context.Context, coin string) (out custody.Balance, err error) {
	err = c.call(ctx, get, []string{"v1", coin, "balance"}, nil, &out)
	return out, err
}

// Pay is Node.Pay.
func (c *Client) Pay(ctx context.Context, coin, id, to, amount string) (string, error) {
	var out txBody
	err := c.call(ctx, post, []string{"control", coin, "pay"}, request{ID: id, To: to, Amount: amount}, &out)
	return out.TxID, err
}

// Mine is Node.Mine.
func (c *Client) Mine(ctx context.Context, coin string, blocks int64) (out custody.BlockID, err error) {
	err = c.call(ctx, post, []string{"control", coin, "mine"}, request{Blocks: blocks}, &out)
	return out, err
}

// Reorg is Node.Reorg.
func (c *Client) Reorg(ctx context.Context, coin string, depth int64, drop bool) (out custody.BlockID, err error) {
	err = c.call(ctx, post, []string{"control", coin, "reorg"}, request{Depth: depth, Drop: drop}, &out)
	return out, err
}

// Forget is Node.Forget.
func (c *Client) Forget(ctx context.Context, coin, txID string) error {
	var out struct{}
	return c.call(ctx, post, []string{"control", coin, "forget"}, request{TxID: txID}, &out)
}
