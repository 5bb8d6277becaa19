package service

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"mscoin/gateway/internal/cache"
	"mscoin/gateway/internal/client"
	"mscoin/mscoin-common/clock"
)

var update = flag.Bool("update", false, "rewrite testdata with what the gateway answers now")

// door is a gateway over a fake world, with time standing still.
type door struct {
	*httptest.Server
	w         *world
	clk       *clock.Fake
	positions *cache.Positions
}

func testConfig() *Config {
	cfg := &Config{InternalToken: DevInternalToken, AdminToken: testAdmin, Profile: ProfileDev}
	cfg.SetDefaults()
	return cfg
}

func openDoor(t testing.TB, cfg *Config, clk clock.Clock) *door {
	t.Helper()
	w := newWorld(clk)
	d := &door{w: w, positions: cache.NewPositions(nil, clk, 10*time.Second, time.Second)}
	d.clk, _ = clk.(*clock.Fake)
	backends := w.backends()
	handler, err := newHandler(cfg, deps{
		backends: backends, catalog: client.NewCatalog(backends.Exchange, clk, time.Second, time.Second), positions: d.positions,
		clk: clk, ready: func(context.Context) error { return w.failing["ready"] },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.Server = httptest.NewServer(handler)
	t.Cleanup(d.Close)
	return d
}

func newDoor(t testing.TB) *door {
	t.Helper()
	return openDoor(t, testConfig(), clock.NewFake(time.UnixMilli(1_700_000_000_000)))
}

// TestGateway_Golden plays testdata/*.txt: each block is a request, "----", and what
// came of it: status, headers that matter, requests to the services (→), body.
func TestGateway_Golden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := newDoor(t).play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs; rewrite with -update and review\n%s", file, firstDifference(string(want), got))
			}
		})
	}
}

func firstDifference(want, got string) string {
	wantLines, gotLines := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(wantLines), len(gotLines)) {
		if wantLines[i] != gotLines[i] {
			return fmt.Sprintf("line %d\nwant %s\ngot  %s", i+1, wantLines[i], gotLines[i])
		}
	}
	return fmt.Sprintf("want %d lines, got %d", len(wantLines), len(gotLines))
}

func (d *door) play(t *testing.T, script string) string {
	t.Helper()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(script), "\n\n") {
		request, _, _ := strings.Cut(block, "\n----")
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(request + "\n")
		if answer := d.step(t, request); answer != "" {
			out.WriteString("----\n" + answer)
		}
	}
	return out.String()
}

// step plays the lines of one block and returns the answer to its request, if any.
func (d *door) step(t *testing.T, block string) string {
	t.Helper()
	var request *http.Request
	var method, target, payload, contentType string
	signed := false
	header := http.Header{}
	for line := range strings.SplitSeq(block, "\n") {
		word, rest, _ := strings.Cut(line, " ")
		switch word {
		case "#":
		case "advance":
			step, err := time.ParseDuration(rest)
			if err != nil {
				t.Fatal(err)
			}
			d.clk.Advance(step)
		case "fail":
			name, code, _ := strings.Cut(rest, " ")
			d.w.fail(name, failure(code))
		case "form":
			payload, contentType = rest, "application/x-www-form-urlencoded"
		case "json":
			payload, contentType = rest, "application/json"
		case "signed":
			signed = true
			header.Set("X-MBX-APIKEY", testKey)
		case "session":
			header.Set("x-auth-token", testToken)
		case "admin":
			header.Set("X-Admin-Token", testAdmin)
		case "header":
			name, value, _ := strings.Cut(rest, ": ")
			header.Set(name, value)
		default:
			method, target = word, rest
		}
	}
	if method == "" {
		return ""
	}
	if signed {
		target = d.signedTarget(target, payload)
	}
	request, err := http.NewRequestWithContext(t.Context(), method, d.URL+target, strings.NewReader(payload))
	if err != nil {
		t.Fatal(err)
	}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	request.Header = header
	return d.exchange(t, request)
}

// failure makes the error of a code, nil for "".
func failure(code string) error {
	if code == "" {
		return nil
	}
	return wanted("fail-" + code)
}

// signedTarget adds timestamp and signature to the query.
func (d *door) signedTarget(target, body string) string {
	path, query, _ := strings.Cut(target, "?")
	if query != "" {
		query += "&"
	}
	if !strings.Contains(query, "timestamp=") {
		query += stamp(d.clk, 0)
	}
	query = strings.TrimSuffix(query, "&")
	return path + "?" + query + "&signature=" + sign(query+body)
}

var madeID = regexp.MustCompile(`"[A-Z2-7]{22}"`)

func (d *door) exchange(t *testing.T, request *http.Request) string {
	t.Helper()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	fmt.Fprintln(&out, response.StatusCode)
	for _, name := range []string{"Retry-After", "X-Mbx-Order-Count-10s", "X-Mbx-Order-Count-1d"} {
		if value := response.Header.Get(name); value != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, value)
		}
	}
	for _, call := range d.w.takeCalls() {
		fmt.Fprintf(&out, "→ %s\n", madeID.ReplaceAllString(call, `"<made>"`))
	}
	if len(body) > 0 {
		fmt.Fprintf(&out, "%s\n", madeID.ReplaceAll(bytes.TrimSpace(body), []byte(`"<made>"`)))
	}
	return out.String()
}

// get asks for a path and returns status and body.
func (d *door) get(t *testing.T, target string) (int, string) {
	t.Helper()
	return d.do(t, http.MethodGet, target, "", nil)
}

func (d *door) do(t testing.TB, method, target, body string, header http.Header) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, d.URL+target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(answer)
}
