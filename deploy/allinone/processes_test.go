package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"mscoin/deploy/demo/story"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/testkit"
)

// serversEnv has the processes run on MariaDB (of testkit.MariaDBEnv, or the test's own) and,
// when testkit.KafkaEnv is set, on a Kafka without money topics, instead of SQLite and the
// embedded broker: any value but "".
const serversEnv = "MSCOIN_TEST_ON_SERVERS"

// installation is every service as a process of its own, started from the
// configuration files of the repository with nothing changed but addresses and the database.
type installation struct {
	t     *testing.T
	dir   string
	env   []string
	db    map[string]database.Config // by service
	pairs []string                   // what is replaced in the configuration files
	addr  map[string][]string        // of the instances of each service
	base  string
	admin string
}

func secret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.StdEncoding.EncodeToString(b)
}

// newInstallation prepares one instance of each service, and more of some.
func newInstallation(t *testing.T, more ...string) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir(), admin: secret(), addr: map[string][]string{}, db: map[string]database.Config{}}
	broker := in.broker()
	redis, err := embedded.StartRedis("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = redis.Close() })
	client, err := bus.Connect(bus.Config{Brokers: []string{broker}}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.EnsureTopics(t.Context(), bus.MoneyTopics(3)); err != nil {
		t.Fatal(err)
	}
	gateway := freeAddr(t)
	in.base = "http://" + gateway
	in.pairs = []string{
		"127.0.0.1:9092", broker, "127.0.0.1:6379", redis.Addr(), "0.0.0.0:8080", gateway,
		"Partitions: 1", "Partitions: 3", "OrdersPer10s: 100", "OrdersPer10s: 1000000",
		"OrdersPerDay: 200000", "OrdersPerDay: 100000000", "WeightPerMinute: 6000", "WeightPerMinute: -1",
	}
	for port := 9101; port <= 9105; port++ { // metrics and probes: any port
		in.pairs = append(in.pairs, fmt.Sprintf("127.0.0.1:%d", port), "127.0.0.1:0")
	}
	for i, svc := range []string{"ucenter", "exchange", "wallet", "market"} {
		for range 1 + count(more, svc) {
			in.addr[svc] = append(in.addr[svc], freeAddr(t))
		}
		here := fmt.Sprintf("127.0.0.1:%d", 8101+i)
		in.pairs = append(in.pairs, "["+here+"]", "["+strings.Join(in.addr[svc], ", ")+"]",
			"- "+here, "- "+strings.Join(in.addr[svc], "\n    - "))
	}
	in.env = []string{
		"MSCOIN_INTERNAL_TOKEN=" + secret(), "MSCOIN_ADMIN_TOKEN=" + in.admin, "MSCOIN_REDIS_PASSWORD=",
		"MSCOIN_UCENTER_ACCESS_SECRET=" + secret(), "MSCOIN_UCENTER_MASTER_KEY=" + secret(), "MSCOIN_UCENTER_HASH_KEY=" + secret(),
	}
	for _, svc := range []string{"ucenter", "wallet", "exchange", "market"} {
		in.db[svc] = database.Config{Dialect: database.SQLite, DSN: filepath.Join(in.dir, svc+".db")}
		if os.Getenv(serversEnv) != "" {
			in.db[svc] = testkit.MariaDBConfig(t)
		}
		in.pairs = append(in.pairs, "Dialect: mysql", "Dialect: "+in.db[svc].Dialect)
		in.env = append(in.env, fmt.Sprintf("MSCOIN_%s_DSN=%s", strings.ToUpper(svc), in.db[svc].DSN))
	}
	return in
}

// broker returns the address of the broker that the installation uses.
func (in *installation) broker() string {
	in.t.Helper()
	if given := os.Getenv(testkit.KafkaEnv); given != "" && os.Getenv(serversEnv) != "" {
		return strings.Split(given, ",")[0]
	}
	broker, err := embedded.StartBroker(embedded.Config{Dir: filepath.Join(in.dir, "broker")})
	if err != nil {
		in.t.Fatal(err)
	}
	in.t.Cleanup(func() { _ = broker.Close() })
	return broker.Addr()
}

// books are the databases for the operator's reconciliation.
func (in *installation) books() []string {
	env := make([]string, 0, 2)
	for _, svc := range []string{"wallet", "exchange"} {
		env = append(env, fmt.Sprintf("MSCOIN_%s_DSN=%s:%s", strings.ToUpper(svc), in.db[svc].Dialect, in.db[svc].DSN))
	}
	return env
}

func count(all []string, one string) int {
	n := 0
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func (in *installation) start(svc string) *process { return in.startInstance(svc, 0) }

// startInstance starts instance i of a service.
func (in *installation) startInstance(svc string, i int) *process {
	in.t.Helper()
	file := filepath.Join("..", "..", svc, "etc", svc+".yaml")
	content, err := os.ReadFile(file)
	if err != nil {
		in.t.Fatal(err)
	}
	pairs := in.pairs
	if len(in.addr[svc]) > 0 {
		old := regexp.MustCompile(`ListenOn: \S+`).FindString(string(content))
		pairs = append(slices.Clone(pairs), old, "ListenOn: "+in.addr[svc][i])
	}
	changed := filepath.Join(in.dir, fmt.Sprintf("%s-%d.yaml", svc, i))
	if err := os.WriteFile(changed, []byte(strings.NewReplacer(pairs...).Replace(string(content))), 0o600); err != nil {
		in.t.Fatal(err)
	}
	return start(in.t, program(in.t, "mscoin/"+svc), in.env, "-f", changed)
}

// post sends JSON and returns the data of the envelope.
func (in *installation) post(path, header, token string, body any) (map[string]any, error) {
	content, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(in.t.Context(), http.MethodPost, in.base+path, bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(header, token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Code    int
		Message string
		Data    map[string]any
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s answers %s: %.300s", path, resp.Status, text)
	}
	if answer.Code != 0 {
		return nil, fmt.Errorf("%s answers %d %s", path, answer.Code, answer.Message)
	}
	return answer.Data, nil
}

func (in *installation) must(path, header, token string, body any) map[string]any {
	in.t.Helper()
	data, err := in.post(path, header, token, body)
	if err != nil {
		in.t.Fatal(err)
	}
	return data
}

// member creates and funds a member over the operator's API, and makes its key over the site's.
func (in *installation) member(name string, funds map[string]string) story.Account {
	in.t.Helper()
	type m = map[string]any
	a := story.Account{Email: name + "@mscoin.example", Password: "correct horse " + name}
	id := in.must("/admin/member", "X-Admin-Token", in.admin, m{"email": a.Email, "password": a.Password, "username": name})["memberId"]
	for coin, amount := range funds {
		in.must("/admin/deposit", "X-Admin-Token", in.admin, m{"reference": name + coin, "memberId": id, "coin": coin, "amount": amount})
	}
	login := in.must("/uc/login", "x-auth-token", "", m{"username": a.Email, "password": a.Password})
	key := in.must("/uc/api-key", "x-auth-token", login["token"].(string), m{"label": "bot"})
	a.APIKey, a.APISecret = key["apiKey"].(string), key["secret"].(string)
	return a
}

// list lists coins and their symbols in USDT, once the services answer.
func (in *installation) list(coins ...string) {
	in.t.Helper()
	type m = map[string]any
	for _, coin := range append(coins, "USDT") {
		poll(in.t, 60*time.Second, "the services to answer", func() error {
			_, err := in.post("/admin/coin", "X-Admin-Token", in.admin, m{"name": coin, "fullName": "Coin " + coin, "scale": 8})
			return err
		})
	}
	for _, coin := range coins {
		symbol := m{
			"symbol": coin + "/USDT", "coinSymbol": coin, "baseSymbol": "USDT", "coinScale": 8, "baseCoinScale": 8, "tickSize": "0.01", "lotSize": "0.00001",
			"minPrice": "0.01", "maxPrice": "1000000", "minVolume": "0.00001", "maxVolume": "9000", "minTurnover": "5",
			"makerFeePpm": 1000, "takerFeePpm": 1000, "enableMarketBuy": true, "enableMarketSell": true,
		}
		poll(in.t, 30*time.Second, "the symbol to be listed", func() error {
			_, err := in.post("/admin/symbol", "X-Admin-Token", in.admin, symbol)
			return err
		})
	}
}

func TestServices_SeparateProcesses(t *testing.T) {
	type m = map[string]any
	in := newInstallation(t)
	running := make([]*process, 0, 5)
	for _, svc := range []string{"ucenter", "wallet", "exchange", "market", "gateway"} {
		running = append(running, in.start(svc))
	}
	in.list("BTC")
	t.Run("the operator's API needs its token", func(t *testing.T) {
		if _, err := in.post("/admin/coin", "X-Admin-Token", "wrong", m{"name": "DOGE", "scale": 8}); err == nil {
			t.Fatal("a wrong token listed a coin")
		}
	})
	funds := map[string]string{"BTC": "10", "USDT": "1000000"}
	access := story.Access{BaseURL: in.base, Accounts: []story.Account{in.member("alice", funds), in.member("bob", funds)}}
	t.Run("the same story comes out as in one process", func(t *testing.T) {
		var out strings.Builder
		if err := story.Tell(t.Context(), access, &out); err != nil {
			t.Fatalf("%v\n%s", err, out.String())
		}
		mustReconcile(t, in.dir, in.books()...)
	})
	t.Run("each process stops cleanly on SIGTERM", func(*testing.T) {
		for _, r := range slices.Backward(running) {
			r.terminate(10 * time.Second)
		}
	})
}
