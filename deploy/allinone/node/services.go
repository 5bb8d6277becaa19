package node

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"

	"google.golang.org/grpc"

	"mscoin/deploy/demo/seed"
	"mscoin/deploy/internal/private"
	exchangesvc "mscoin/exchange/service"
	gatewaysvc "mscoin/gateway/service"
	marketsvc "mscoin/market/service"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	ucentersvc "mscoin/ucenter/service"
	walletsvc "mscoin/wallet/service"
)

// addresses are where the services answer, known once they run.
type addresses struct{ ucenter, wallet, exchange, market, gateway string }

// alone takes every partition at once: the folder's lock keeps others out.
var alone = lease.Config{Mode: lease.Static}

// anyPort lets the system choose: only the public address is fixed.
const anyPort = "127.0.0.1:0"

// coins are how those of the demo may be deposited and withdrawn, and others of the same
// names.
var coins = []walletsvc.CoinConfig{
	{
		Name: "BTC", Confirmations: 3, MinDeposit: "0.0001", MinWithdraw: "0.001", MaxWithdraw: "10", DayLimit: "20", Fee: "0.0005",
		ReviewAbove: "1", TwoReviewsAbove: "5",
	},
	{
		Name: "ETH", Confirmations: 12, MinDeposit: "0.001", MinWithdraw: "0.01", MaxWithdraw: "100", DayLimit: "200", Fee: "0.005",
		ReviewAbove: "20", TwoReviewsAbove: "50",
	},
	{
		Name: "USDT", Confirmations: 12, MinDeposit: "1", MinWithdraw: "10", MaxWithdraw: "100000", DayLimit: "200000", Fee: "1",
		ReviewAbove: "20000", TwoReviewsAbove: "50000",
	},
}

func (n *node) addServices() {
	n.host("ucenter", n.ucenter, func(addr string) { n.addr.ucenter = addr })
	n.host("wallet", n.wallet, func(addr string) { n.addr.wallet = addr })
	n.host("exchange", n.exchange, func(addr string) { n.addr.exchange = addr })
	n.host("market", n.market, func(addr string) { n.addr.market = addr })
	n.group.Add("addresses", n.writeAddresses, nil)
	n.group.Add("demo", n.seedDemo, nil)
	n.host("gateway", n.gateway, func(addr string) { n.addr.gateway = addr })
}

func (n *node) kafka() bus.Config { return bus.Config{Brokers: []string{n.broker.Addr()}} }

func (n *node) database(name string) database.Config {
	return database.Config{Dialect: database.SQLite, DSN: filepath.Join(n.cfg.DataDir, name+".db")}
}

func (n *node) ucenter(ctx context.Context) (service, error) {
	key, err := hex.DecodeString(n.secrets.MasterKey)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	cfg := ucentersvc.Config{
		ListenOn: anyPort, Profile: string(n.cfg.Profile), InternalToken: n.secrets.InternalToken, Database: n.database("ucenter"),
		AccessSecret: n.secrets.SessionKey,
		MasterKeys:   []ucentersvc.MasterKey{{ID: "1", Key: base64.StdEncoding.EncodeToString(key)}},
	}
	if n.cfg.Profile == Demo {
		cfg.Sender = ucentersvc.SenderConfig{Email: "log", Phone: "log"}
	}
	cfg.SetDefaults()
	return ucentersvc.New(ctx, cfg)
}

func (n *node) wallet(ctx context.Context) (service, error) {
	cfg := walletsvc.Config{
		ListenOn: anyPort, InternalToken: n.secrets.InternalToken, Database: n.database("wallet"), Kafka: n.kafka(),
		Redis: walletsvc.RedisConfig{Addr: n.redis.Addr()}, Partitions: partitions,
		Lease: alone, Custody: walletsvc.CustodyConfig{URL: "http://" + n.chain.Addr(), Token: n.secrets.CustodyToken, AddressDelaySeconds: 86_400, Coins: coins},
	}
	if n.cfg.Profile == Demo {
		// Somebody who tries it out does not want to wait.
		cfg.Custody.AddressDelaySeconds, cfg.Custody.EveryMs = 5, 200
	}
	cfg.SetDefaults()
	return walletsvc.New(ctx, cfg)
}

func (n *node) exchange(ctx context.Context) (service, error) {
	cfg := exchangesvc.Config{
		ListenOn: anyPort, InternalToken: n.secrets.InternalToken, Database: n.database("exchange"), Kafka: n.kafka(),
		Wallet: exchangesvc.Target{Endpoints: []string{n.addr.wallet}}, Partitions: partitions,
		Lease: alone,
	}
	cfg.SetDefaults()
	return exchangesvc.New(ctx, cfg)
}

func (n *node) market(ctx context.Context) (service, error) {
	cfg := marketsvc.Config{
		ListenOn: anyPort, InternalToken: n.secrets.InternalToken, Database: n.database("market"), Kafka: n.kafka(), Partitions: partitions,
	}
	cfg.SetDefaults()
	return marketsvc.New(ctx, cfg)
}

func (n *node) gateway(ctx context.Context) (service, error) {
	cfg := gatewaysvc.Config{
		ListenOn: n.cfg.Addr, Profile: string(n.cfg.Profile), InternalToken: n.secrets.InternalToken, AdminToken: n.secrets.AdminToken,
		Exchange: gatewaysvc.Target{Endpoints: []string{n.addr.exchange}},
		Wallet:   gatewaysvc.Target{Endpoints: []string{n.addr.wallet}},
		Market:   gatewaysvc.Target{Endpoints: []string{n.addr.market}},
		Ucenter:  gatewaysvc.Target{Endpoints: []string{n.addr.ucenter}},
		Redis:    gatewaysvc.RedisConfig{Addr: n.redis.Addr()},
	}
	if n.cfg.Profile == Demo {
		// Somebody who tries it out measures it, too.
		cfg.Limit = gatewaysvc.LimitConfig{WeightPerMinute: 60_000_000, OrdersPer10s: 1_000_000, OrdersPerDay: 1_000_000_000}
	}
	cfg.SetDefaults()
	return gatewaysvc.New(ctx, cfg)
}

// writeAddresses tells the operator's tool where the services listen.
func (n *node) writeAddresses(context.Context) error {
	return private.WriteJSON(filepath.Join(n.cfg.DataDir, "services.json"), map[string]string{
		"exchange": n.addr.exchange, "wallet": n.addr.wallet, "market": n.addr.market,
		"chain": n.chain.Addr(),
	})
}

// seedDemo fills the exchange before its door opens.
func (n *node) seedDemo(ctx context.Context) error {
	if n.cfg.Profile != Demo {
		return nil
	}
	var to seed.Services
	for addr, conn := range map[string]*grpc.ClientConnInterface{
		n.addr.ucenter: &to.Ucenter, n.addr.wallet: &to.Wallet, n.addr.exchange: &to.Exchange,
	} {
		dialed, closer, err := rpc.Dial(rpc.ClientConfig{Endpoints: []string{addr}, TimeoutMs: 30_000, Token: n.secrets.InternalToken})
		if err != nil {
			return fmt.Errorf("dial %s: %w", addr, err)
		}
		defer func() { _ = closer.Close() }()
		*conn = dialed
	}
	host := n.cfg.Addr
	if h, port, err := net.SplitHostPort(host); err == nil && (h == "" || h == "0.0.0.0" || h == "::") {
		host = net.JoinHostPort("127.0.0.1", port) // listens everywhere; clients here need an address
	}
	first, err := seed.Seed(ctx, n.cfg.DataDir, to, "http://"+host, "ws://"+host)
	n.firstStart = first
	return err
}

// welcome says what to do next. It is the last part to start: everything answers by now.
func (n *node) welcome(context.Context) error {
	n.mu.Lock()
	n.ready = true
	n.mu.Unlock()
	if n.cfg.Out == nil {
		return nil
	}
	text := fmt.Sprintf("\nmscoin is ready: http://%s  (data in %s, profile %s)\n", n.addr.gateway, n.cfg.DataDir, n.cfg.Profile)
	if n.cfg.Profile == Demo {
		if n.firstStart {
			text += "\n  First start: BTC/USDT, ETH/USDT and ETH/BTC are listed; two accounts hold 100 BTC, 1,000 ETH and 10,000,000 USDT each.\n"
		}
		text += fmt.Sprintf("\n  keys of the demo accounts   %s\n", filepath.Join(n.cfg.DataDir, seed.File)) +
			"  watch them trade            make demo\n" +
			"  account for every cent      make reconcile\n"
	}
	text += fmt.Sprintf("  operator's token            %s (adminToken)\n  stop                        Ctrl-C\n\n", filepath.Join(n.cfg.DataDir, "secrets.json"))
	_, err := fmt.Fprint(n.cfg.Out, text)
	return err
}
