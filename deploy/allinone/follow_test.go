package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/adshao/go-binance/v2"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"

	"mscoin/deploy/demo/story"
)

// collector is an OpenTelemetry collector: it keeps the spans that the services send.
type collector struct {
	collectorpb.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans map[string]map[string]*tracepb.Span // by trace; by service and name
}

func startCollector(t *testing.T) (c *collector, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a test server
	if err != nil {
		t.Fatal(err)
	}
	c = &collector{spans: map[string]map[string]*tracepb.Span{}}
	server := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(server, c)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	return c, l.Addr().String()
}

// Export implements the collector's service.
func (c *collector) Export(_ context.Context, req *collectorpb.ExportTraceServiceRequest) (*collectorpb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range req.GetResourceSpans() {
		service := ""
		for _, a := range r.GetResource().GetAttributes() {
			if a.GetKey() == "service.name" {
				service = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range r.GetScopeSpans() {
			for _, span := range scope.GetSpans() {
				id := hex.EncodeToString(span.GetTraceId())
				if c.spans[id] == nil {
					c.spans[id] = map[string]*tracepb.Span{}
				}
				c.spans[id][service+": "+strings.TrimPrefix(span.GetName(), "/")+kindOf(span)] = span
			}
		}
	}
	return &collectorpb.ExportTraceServiceResponse{}, nil
}

// kindOf tells the two ends of a call apart.
func kindOf(span *tracepb.Span) string {
	if span.GetKind() == tracepb.Span_SPAN_KIND_CLIENT {
		return " (call)"
	}
	return ""
}

func (c *collector) of(trace string) map[string]*tracepb.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.spans[trace])
}

// traced has a request say which trace it belongs to, as a client with traces of its own
// does.
type traced struct{ id string }

// RoundTrip adds the header.
func (t traced) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("traceparent", "00-"+t.id+"-00f067aa0ba902b7-01")
	return http.DefaultTransport.RoundTrip(r)
}

// way is an order's way: each step and the one that it comes after.
var way = [][2]string{
	{"gateway: api/v3/order", ""},
	{"gateway: exchange.v1.ExchangeService/PlaceOrder (call)", "gateway: api/v3/order"},
	{"exchange: exchange.v1.ExchangeService/PlaceOrder", "gateway: exchange.v1.ExchangeService/PlaceOrder (call)"},
	{"exchange: wallet.v1.WalletService/PlaceHold (call)", "exchange: exchange.v1.ExchangeService/PlaceOrder"},
	{"wallet: wallet.v1.WalletService/PlaceHold", "exchange: wallet.v1.WalletService/PlaceHold (call)"},
	{"exchange: command written", "exchange: exchange.v1.ExchangeService/PlaceOrder"},
	{"exchange: matched", "exchange: command written"},
	{"exchange: applied by order", "exchange: matched"},
	{"wallet: applied by wallet", "exchange: matched"},
	{"market: applied by market", "exchange: matched"},
}

// moved are the metrics that one order moves, each by one.
var moved = []struct{ service, name, labels string }{
	{"gateway", "http_server_requests_code_total", `code="200",method="POST",path="/api/v3/order"`},
	{"exchange", "rpc_server_requests_code_total", `code="0",method="/exchange.v1.ExchangeService/PlaceOrder"`},
	{"wallet", "rpc_server_requests_code_total", `code="0",method="/wallet.v1.WalletService/PlaceHold"`},
	{"exchange", "mscoin_orders_total", `result="accepted"`},
	{"exchange", "mscoin_order_answer_seconds_count", `result="accepted"`},
	{"exchange", "mscoin_match_seconds_count", `command="place"`},
	{"exchange", "mscoin_kafka_produce_seconds_count", `topic="exchange_order_trading"`},
	{"exchange", "mscoin_kafka_produce_seconds_count", `topic="exchange-order-completed"`},
	{"exchange", "mscoin_kafka_produce_seconds_count", `topic="exchange_order_complete_update_success"`},
	{"exchange", "mscoin_consumer_records_total", `consumer="order"`},
	{"exchange", "mscoin_consumer_delay_seconds_count", `consumer="order"`},
	{"wallet", "mscoin_consumer_records_total", `consumer="wallet"`},
	{"wallet", "mscoin_consumer_delay_seconds_count", `consumer="wallet"`},
	{"wallet", "mscoin_consumer_batch_seconds_count", `consumer="wallet"`},
	{"wallet", "mscoin_lock_wait_seconds_count", `result="obtained"`},
	{"market", "mscoin_consumer_records_total", `consumer="market"`},
}

// followed is an installation whose every request is traced, with the processes by name.
type followed struct {
	*installation
	watch     map[string]string // host:port of metrics and probes by service
	processes map[string]*process
}

func startFollowed(t *testing.T, collector string) *followed {
	t.Helper()
	f := &followed{installation: newInstallation(t), watch: map[string]string{}, processes: map[string]*process{}}
	pairs := []string{
		"Exporter: none", "Exporter: otlpgrpc", `Endpoint: ""`, "Endpoint: " + collector,
		"SamplePpm: 1000\n", "SamplePpm: 1000000\n", "AcceptParents: false", "AcceptParents: true",
	}
	services := []string{"ucenter", "exchange", "wallet", "market", "gateway"}
	for i, svc := range services {
		f.watch[svc] = freeAddr(t)
		pairs = append(pairs, fmt.Sprintf("127.0.0.1:%d", 9101+i), f.watch[svc])
	}
	f.pairs = append(pairs, f.pairs...)
	for _, svc := range services {
		f.processes[svc] = f.start(svc)
	}
	return f
}

// metric returns the sum of the series of that name and labels that a service gives.
func (f *followed) metric(service, name, labels string) float64 {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodGet, "http://"+f.watch[service]+"/metrics", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	defer res.Body.Close()
	sum := 0.0
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		at := strings.LastIndexByte(lines.Text(), ' ')
		if at < 0 {
			continue
		}
		got, has, _ := strings.Cut(strings.TrimSuffix(lines.Text()[:at], "}"), "{")
		if got != name || !includes(has, labels) {
			continue
		}
		number, err := strconv.ParseFloat(lines.Text()[at+1:], 64)
		if err != nil {
			f.t.Fatal(err)
		}
		sum += number
	}
	if err := lines.Err(); err != nil {
		f.t.Fatal(err)
	}
	return sum
}

// includes reports whether the labels of a series include those wanted.
func includes(has, want string) bool {
	if want == "" {
		return true
	}
	all := strings.Split(has, ",")
	for label := range strings.SplitSeq(want, ",") {
		if !slices.Contains(all, label) {
			return false
		}
	}
	return true
}

// lines returns the lines of a service's log that belong to the trace, by their message.
func (f *followed) lines(service, trace string) map[string]map[string]any {
	found := map[string]map[string]any{}
	for line := range strings.Lines(f.processes[service].out.String()) {
		var entry map[string]any
		numbers := json.NewDecoder(strings.NewReader(line))
		numbers.UseNumber()
		if err := numbers.Decode(&entry); err == nil && entry["trace"] == trace {
			found[fmt.Sprint(entry["content"])] = entry
		}
	}
	return found
}

// free returns what a member has of a coin and may spend.
func free(t *testing.T, client *binance.Client, coin string) string {
	t.Helper()
	account, err := client.NewGetAccountService().Do(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range account.Balances {
		if b.Asset == coin {
			return b.Free
		}
	}
	return ""
}

// TestOneOrder_Followed follows one order from the REST request to the settled balance: in
// one trace, in the log of each service, and in the metrics of each stage.
func TestOneOrder_Followed(t *testing.T) {
	c, addr := startCollector(t)
	f := startFollowed(t, addr)
	f.list("BTC")
	funds := map[string]string{"BTC": "10", "USDT": "1000000"}
	access := story.Access{BaseURL: f.base, Accounts: []story.Account{f.member("alice", funds), f.member("bob", funds)}}
	clients := make([]*binance.Client, 2)
	for i := range clients {
		clients[i] = binance.NewClient(access.Accounts[i].APIKey, access.Accounts[i].APISecret)
		clients[i].BaseURL = f.base
	}
	place := func(client *binance.Client, side binance.SideType) int64 {
		t.Helper()
		order, err := client.NewCreateOrderService().Symbol("BTCUSDT").Side(side).Type(binance.OrderTypeLimit).
			TimeInForce(binance.TimeInForceTypeGTC).Quantity("1").Price("50000").Do(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return order.OrderID
	}
	place(clients[0], binance.SideTypeSell)
	if got := free(t, clients[0], "BTC"); got != "9.00000000" { // which waits for the maker's settlement
		t.Fatalf("seller has %s", got)
	}
	poll(t, 30*time.Second, "every consumer to have applied the maker's record", func() error {
		if forwarded := f.metric("exchange", "mscoin_kafka_produce_seconds_count", `topic="exchange_order_complete_update_success"`); forwarded != 2 {
			return fmt.Errorf("the order store has forwarded %v batches", forwarded)
		}
		for svc, consumer := range map[string]string{"exchange": "order", "wallet": "wallet", "market": "market"} {
			labels := `consumer="` + consumer + `"`
			if lag := f.metric(svc, "mscoin_consumer_lag_records", labels); lag != 0 {
				return fmt.Errorf("%s is %v records behind", consumer, lag)
			}
			if applied := f.metric(svc, "mscoin_consumer_records_total", labels); applied != 2 { // the listing and the maker
				return fmt.Errorf("%s has applied %v records", consumer, applied)
			}
		}
		return nil
	})
	before := make([]float64, len(moved))
	for i, m := range moved {
		before[i] = f.metric(m.service, m.name, m.labels)
	}
	journal := f.metric("wallet", "mscoin_journal_lines_total", "")

	const trace = "4bf92f3577b34da6a3ce929d0e0e4736"
	clients[1].HTTPClient = &http.Client{Transport: traced{trace}}
	taker := place(clients[1], binance.SideTypeBuy)
	clients[1].HTTPClient = http.DefaultClient

	t.Run("the balance is settled", func(t *testing.T) {
		if got := free(t, clients[1], "BTC"); got != "10.99900000" {
			t.Errorf("buyer has %s", got)
		}
	})
	t.Run("one trace holds every step, each after the one that caused it", func(t *testing.T) {
		poll(t, 60*time.Second, "every step to reach the collector", func() error { return wantWay(c.of(trace)) })
	})
	t.Run("each service's log names the trace and the order", func(t *testing.T) {
		for _, want := range [][2]string{
			{"gateway", "order answered"},
			{"exchange", "order placed"},
			{"wallet", "hold placed"},
			{"exchange", "command written"},
			{"exchange", "matched"},
			{"exchange", "applied by order"},
			{"wallet", "applied by wallet"},
			{"market", "applied by market"},
		} {
			poll(t, 30*time.Second, want[1]+" in the log of "+want[0], func() error {
				entry, ok := f.lines(want[0], trace)[want[1]]
				if !ok {
					return errors.New("it is not there")
				}
				if text := fmt.Sprint(entry["orderId"], entry["orderIds"]); !strings.Contains(text, strconv.FormatInt(taker, 10)) {
					return fmt.Errorf("it names %s, not order %d", text, taker)
				}
				return nil
			})
		}
	})
	t.Run("each stage counts one order", func(t *testing.T) {
		for i, m := range moved {
			poll(t, 30*time.Second, "the metric", func() error { // the last of them moves a moment after the answer
				if got := f.metric(m.service, m.name, m.labels) - before[i]; got != 1 {
					return fmt.Errorf("%s: %s{%s} has moved by %v", m.service, m.name, m.labels, got)
				}
				return nil
			})
		}
		if got := f.metric("wallet", "mscoin_journal_lines_total", "") - journal; got < 8 { // hold 2, four amounts and two fees
			t.Errorf("%v lines of the journal", got)
		}
	})
	t.Run("the books are clean", func(t *testing.T) { mustReconcile(t, f.dir, f.books()...) })
}

// wantWay says what is missing from an order's way.
func wantWay(spans map[string]*tracepb.Span) error {
	for _, step := range way {
		span, ok := spans[step[0]]
		if !ok {
			return fmt.Errorf("there is no %q among %v", step[0], slices.Sorted(maps.Keys(spans)))
		}
		if step[1] != "" && string(span.GetParentSpanId()) != string(spans[step[1]].GetSpanId()) {
			return fmt.Errorf("%q does not come after %q", step[0], step[1])
		}
	}
	return nil
}
