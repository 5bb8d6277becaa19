package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"mscoin/wallet/custody/simchain"
)

// visitor is a member who uses the site over HTTP.
type visitor struct {
	e     *exchange
	token string
	// secret of the second factor; codes of later and later steps, each for one request.
	secret string
	step   time.Time
}

// do asks the site (or an operator's route) and decodes the envelope's data into out. It
// returns the reason of a refusal, "" for success.
func (v *visitor) do(method, path string, in map[string]any, out any) string {
	v.e.t.Helper()
	if in == nil {
		in = map[string]any{}
	}
	body, err := json.Marshal(in)
	if err != nil {
		v.e.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(v.e.t.Context(), method, "http://"+v.e.addr+path, bytes.NewReader(body))
	if err != nil {
		v.e.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-auth-token", v.token)
	req.Header.Set("X-Admin-Token", v.e.secret("adminToken"))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		v.e.t.Fatalf("%s: %v", path, err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		v.e.t.Fatal(err)
	}
	var answer struct {
		Code int
		Data json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		v.e.t.Fatalf("%s: %s", path, text)
	}
	if answer.Code != 0 {
		var why struct{ Reason string }
		_ = json.Unmarshal(answer.Data, &why)
		return why.Reason + " " + string(text)
	}
	if out != nil {
		if err := json.Unmarshal(answer.Data, out); err != nil {
			v.e.t.Fatalf("%s: %v in %s", path, err, text)
		}
	}
	return ""
}

func (v *visitor) must(method, path string, in map[string]any, out any) {
	v.e.t.Helper()
	if refusal := v.do(method, path, in, out); refusal != "" {
		v.e.t.Fatalf("%s: %s", path, refusal)
	}
}

// refused wants a refusal for a reason.
func (v *visitor) refused(reason, method, path string, in map[string]any) {
	v.e.t.Helper()
	if refusal := v.do(method, path, in, nil); len(refusal) < len(reason) || refusal[:len(reason)] != reason {
		v.e.t.Fatalf("%s: %q, want %s", path, refusal, reason)
	}
}

// code is the second factor's code of the next step: codes of up to one step ahead are
// accepted, so that nobody has to wait.
func (v *visitor) code() string {
	v.e.t.Helper()
	code, err := totp.GenerateCode(v.secret, v.step)
	if err != nil {
		v.e.t.Fatal(err)
	}
	v.step = v.step.Add(30 * time.Second)
	return code
}

// secret is one of the exchange's own.
func (e *exchange) secret(name string) string {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(e.dir, "secrets.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var all map[string]string
	if err := json.Unmarshal(content, &all); err != nil {
		e.t.Fatal(err)
	}
	return all[name]
}

// chain is the simulated chains of the exchange.
func (e *exchange) chain() *simchain.Client {
	e.t.Helper()
	content, err := os.ReadFile(filepath.Join(e.dir, "services.json"))
	if err != nil {
		e.t.Fatal(err)
	}
	var addresses map[string]string
	if err := json.Unmarshal(content, &addresses); err != nil {
		e.t.Fatal(err)
	}
	c, err := simchain.NewClient("http://"+addresses["chain"], e.secret("custodyToken"))
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(c.Close)
	return c
}

var codeInLog = regexp.MustCompile(`verification code is ([0-9]{6})`)

// register makes a member with the code that the demo profile writes to the log.
func (e *exchange) register(email string) *visitor {
	e.t.Helper()
	v := &visitor{e: e}
	const password = "a long enough passphrase"
	v.must(http.MethodPost, "/uc/register/code", map[string]any{"email": email}, nil)
	var code string
	poll(e.t, 20*time.Second, "the code in the log", func() error {
		if m := codeInLog.FindStringSubmatch(e.out.String()); m != nil {
			code = m[1]
			return nil
		}
		return errors.New("no code yet")
	})
	v.must(http.MethodPost, "/uc/register/email", map[string]any{"email": email, "code": code, "password": password}, nil)
	var login struct{ Token string }
	v.must(http.MethodPost, "/uc/login", map[string]any{"username": email, "password": password}, &login)
	v.token = login.Token
	return v
}

type transfer struct {
	ID      int64
	Status  string
	TxID    string
	Content []transfer
	Address string
}

// wait polls a list until its newest entry is in a state.
func (v *visitor) wait(path, status string) transfer {
	v.e.t.Helper()
	var list transfer
	poll(v.e.t, 30*time.Second, path+" "+status, func() error {
		v.must(http.MethodGet, path, nil, &list)
		if len(list.Content) == 0 || list.Content[0].Status != status {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	return list.Content[0]
}

func (v *visitor) wantBalance(coin, available, held string) {
	v.e.t.Helper()
	poll(v.e.t, 20*time.Second, "the balance of "+coin, func() error {
		var w struct{ Balance, FrozenBalance string }
		v.must(http.MethodGet, "/uc/asset/wallet/"+coin, nil, &w)
		if w.Balance != available || w.FrozenBalance != held {
			return fmt.Errorf("%s and %s held, want %s and %s", w.Balance, w.FrozenBalance, available, held)
		}
		return nil
	})
}

// A member comes with coins of a chain, trades, and leaves with others.
func TestExchange_Transfers(t *testing.T) {
	const post = http.MethodPost
	dir, addr := t.TempDir(), freeAddr(t)
	e := startExchange(t, dir, addr, "MSCOIN_BLOCK_MS=0")
	v, chain, ctx := e.register("visitor@example.com"), e.chain(), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	mine := func(coin string, blocks int64) {
		t.Helper()
		_, err := chain.Mine(ctx, coin, blocks)
		must(err)
	}

	var account struct{ Secret, URI string }
	v.must(post, "/uc/two-factor/enroll", nil, &account)
	v.secret, v.step = account.Secret, time.Now().Add(-30*time.Second)
	v.must(post, "/uc/two-factor/confirm", map[string]any{"code": v.code()}, nil)

	var mineAddress transfer
	v.must(post, "/uc/asset/wallet/reset-address", map[string]any{"unit": "BTC"}, &mineAddress)
	_, err := chain.Pay(ctx, "BTC", "first", mineAddress.Address, "0.5")
	must(err)
	mine("BTC", 1)
	v.wait("/uc/asset/deposit/record", "PENDING")
	_, err = chain.Reorg(ctx, "BTC", 1, true)
	must(err)
	v.wait("/uc/asset/deposit/record", "DROPPED")
	v.wantBalance("BTC", "0.00000000", "0.00000000")

	_, err = chain.Pay(ctx, "BTC", "second", mineAddress.Address, "1.5")
	must(err)
	mine("BTC", 3)
	v.wait("/uc/asset/deposit/record", "CREDITED")
	v.wantBalance("BTC", "1.50000000", "0.00000000")

	buyer := &visitor{e: e}
	buyer.must(post, "/uc/login", map[string]any{"username": e.access().Accounts[0].Email, "password": e.access().Accounts[0].Password}, &struct{ Token *string }{&buyer.token})
	buyer.must(post, "/exchange/order/add", map[string]any{"symbol": "BTC/USDT", "price": "50000", "amount": "1", "direction": "BUY", "type": "LIMIT_PRICE"}, nil)
	v.must(post, "/exchange/order/add", map[string]any{"symbol": "BTC/USDT", "price": "50000", "amount": "1", "direction": "SELL", "type": "LIMIT_PRICE"}, nil)
	v.wantBalance("USDT", "49950.00000000", "0.00000000")

	// The demo accounts were funded by the operator; their money is brought into custody.
	treasury, err := chain.Address(ctx, "USDT", "treasury")
	must(err)
	_, err = chain.Pay(ctx, "USDT", "house", treasury, "20000000")
	must(err)
	mine("USDT", 12)

	out := simchain.ForeignAddress("USDT", "visitor")
	apply := map[string]any{"requestId": "w1", "unit": "USDT", "address": out, "amount": "10000", "code": "000000"}
	v.refused("BAD_TWO_FACTOR_CODE", post, "/uc/withdraw/apply", apply)
	v.must(post, "/uc/withdraw/address/add", map[string]any{"unit": "USDT", "address": out, "remark": "mine", "code": v.code()}, nil)
	apply["code"] = v.code()
	var w transfer
	poll(t, 60*time.Second, "the address to be old enough", func() error {
		if refusal := v.do(post, "/uc/withdraw/apply", apply, &w); refusal != "" {
			return errors.New(refusal)
		}
		return nil
	})
	again := w
	v.must(post, "/uc/withdraw/apply", apply, &again)
	if again.ID != w.ID {
		t.Fatalf("a repeated request is another withdrawal: %+v, %+v", w, again)
	}
	apply["requestId"] = "w2"
	v.refused("BAD_TWO_FACTOR_CODE", post, "/uc/withdraw/apply", apply)
	v.wantBalance("USDT", "39949.00000000", "10001.00000000")
	if sent := v.wait("/uc/withdraw/record", "SENT"); sent.TxID == "" {
		t.Fatal(sent)
	}
	mine("USDT", 12)
	v.wait("/uc/withdraw/record", "CONFIRMED")
	v.wantBalance("USDT", "39949.00000000", "0.00000000")
	mustReconcile(t, dir)

	// A reorganisation of what was credited is for an operator.
	head, err := chain.Head(ctx, "BTC")
	must(err)
	_, err = chain.Reorg(ctx, "BTC", head.Height, true)
	must(err)
	v.wait("/uc/asset/deposit/record", "ORPHANED")
	if text := e.out.String(); !strings.Contains(text, "ALARM stopped: CHAIN BTC: the chain of BTC replaced") {
		t.Error("no alarm")
	}
	e.terminate(10 * time.Second)
}
