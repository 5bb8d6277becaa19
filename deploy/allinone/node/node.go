// Package node runs every service of the exchange in one process, on the
// embedded default: a SQLite file per service, a Kafka-protocol broker with its
// log on disk, an in-memory Redis. The services are the very ones that run as
// separate processes; they meet over gRPC and Kafka on the loopback here too.
package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/lifecycle"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/custody/simchain"
)

// Profile says what the exchange is for.
type Profile string

// Profiles. The demo profile lists coins and symbols, creates two funded
// accounts and is generous with request limits; the normal one starts empty.
const (
	Demo   Profile = "demo"
	Normal Profile = "normal"
)

// partitions of the money topics: one writer and one disk gain nothing from more.
const partitions = 1

// readyTimeout bounds the start of one service; replaying a long log takes its time.
const readyTimeout = 5 * time.Minute

// Config of an all-in-one exchange.
type Config struct {
	// Addr is host:port of the public API.
	Addr string
	// DataDir keeps everything that must survive; one process at a time uses it.
	DataDir string
	// Profile, Demo or Normal.
	Profile Profile
	// Telemetry is host:port of metrics and probes; empty opens none.
	Telemetry string
	// BlockEvery is the time between two blocks of the simulated chains; zero makes blocks
	// on demand only.
	BlockEvery time.Duration
	// Out is told, in words for people, when the exchange is ready. Nil is silence.
	Out io.Writer
}

// Validate reports what cannot work.
func (c *Config) Validate() error {
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		return fmt.Errorf("address %q (MSCOIN_ADDR): want host:port: %w", c.Addr, err)
	}
	if c.DataDir == "" {
		return errors.New("data folder (MSCOIN_DATA) is empty")
	}
	if c.Profile != Demo && c.Profile != Normal {
		return fmt.Errorf("profile %q (MSCOIN_PROFILE): want %q or %q", c.Profile, Demo, Normal)
	}
	return nil
}

// Run starts the exchange, prints where it is, and blocks until ctx or a signal
// ends it or a part fails.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("data folder: %w", err)
	}
	n := &node{cfg: cfg, group: lifecycle.New(), clk: clock.Real()}
	n.group.Add("telemetry", n.startTelemetry, n.stopTelemetry)
	n.group.Add("broker", n.startBroker, n.stopBroker)
	n.group.Add("secrets", n.loadSecrets, nil)
	n.group.Add("redis", n.startRedis, n.stopRedis)
	n.group.Add("chain", n.startChain, n.stopChain)
	n.group.Add("topics", n.ensureTopics, nil)
	n.addServices()
	n.group.Add("welcome", n.welcome, nil)
	return n.group.Run(ctx)
}

// node holds what the parts learn while they start: each may use what came before it.
type node struct {
	cfg     Config
	group   *lifecycle.Group
	clk     clock.Clock
	secrets secrets
	broker  *embedded.Broker
	redis   *embedded.Redis
	chain   *simchain.Server
	addr    addresses
	// firstStart is set when the demo accounts were made by this process.
	firstStart bool
	watch      *telemetry.Server

	mu    sync.Mutex
	hosts []service // in the order of their start
	ready bool      // all of them have been started
}

func (n *node) startTelemetry(ctx context.Context) (err error) {
	n.watch, err = telemetry.Start(ctx, "mscoin", telemetry.Config{ListenOn: n.cfg.Telemetry}, n.isReady)
	return err
}

func (n *node) stopTelemetry(ctx context.Context) error { return n.watch.Stop(ctx) }

// isReady says whether every service does its work.
func (n *node) isReady(ctx context.Context) error {
	n.mu.Lock()
	hosts, ready := slices.Clone(n.hosts), n.ready
	n.mu.Unlock()
	if !ready {
		return errors.New("it is starting")
	}
	for _, svc := range hosts {
		if err := svc.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startBroker comes first: its lock on the folder keeps a second process out of all the rest.
func (n *node) startBroker(context.Context) (err error) {
	n.broker, err = embedded.StartBroker(embedded.Config{Dir: filepath.Join(n.cfg.DataDir, "broker"), Clock: n.clk})
	return err
}

func (n *node) stopBroker(context.Context) error { return n.broker.Close() }

func (n *node) loadSecrets(context.Context) (err error) {
	n.secrets, err = loadSecrets(filepath.Join(n.cfg.DataDir, "secrets.json"))
	return err
}

func (n *node) startRedis(context.Context) (err error) {
	n.redis, err = embedded.StartRedis("")
	return err
}

func (n *node) stopRedis(context.Context) error { return n.redis.Close() }

// startChain starts the simulated chains with their custody.
func (n *node) startChain(ctx context.Context) (err error) {
	n.chain, err = simchain.Start(ctx, simchain.ServerConfig{
		Config:   simchain.Config{File: filepath.Join(n.cfg.DataDir, "chain.log")},
		ListenOn: anyPort, Token: n.secrets.CustodyToken, BlockEvery: n.cfg.BlockEvery,
	}, n.clk)
	if err != nil {
		return err
	}
	go func() {
		select {
		case err := <-n.chain.Failed():
			n.group.Fail(err)
		case <-n.chain.Stopped():
		}
	}()
	return nil
}

func (n *node) stopChain(ctx context.Context) error { return n.chain.Stop(ctx) }

func (n *node) ensureTopics(ctx context.Context) error {
	client, err := bus.Connect(n.kafka(), n.clk)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.EnsureTopics(ctx, bus.MoneyTopics(partitions))
}

// service is what every service package offers.
type service interface {
	Run(ctx context.Context) error
	Ready(ctx context.Context) error
	Addr() string
}

// host adds a service: it is started when everything before it is ready, and
// stopped before them. open makes it once its dependencies' addresses are known.
func (n *node) host(name string, open func(ctx context.Context) (service, error), started func(addr string)) {
	var (
		cancel context.CancelFunc
		ended  = make(chan error, 1)
	)
	start := func(ctx context.Context) error {
		svc, err := open(ctx)
		if err != nil {
			return err
		}
		var runCtx context.Context
		runCtx, cancel = context.WithCancel(context.WithoutCancel(ctx))
		go func() {
			err := svc.Run(runCtx)
			if runCtx.Err() == nil {
				n.group.Fail(fmt.Errorf("%s ended: %w", name, errors.Join(err, errEnded)))
			}
			ended <- err
		}()
		if err := n.waitReady(ctx, svc); err != nil {
			cancel()
			return errors.Join(fmt.Errorf("%s is not ready: %w", name, err), <-ended)
		}
		n.mu.Lock()
		n.hosts = append(n.hosts, svc)
		n.mu.Unlock()
		if started != nil {
			started(svc.Addr())
		}
		return nil
	}
	stop := func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	n.group.Add(name, start, stop)
}

var errEnded = errors.New("nobody asked it to")

func (n *node) waitReady(ctx context.Context, svc service) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		err := svc.Ready(ctx)
		if err == nil {
			return nil
		}
		if errors.Is(err, stream.ErrHalted) {
			return err // waiting does not make a record good
		}
		if sleepErr := clock.Sleep(ctx, n.clk, 10*time.Millisecond); sleepErr != nil {
			return errors.Join(sleepErr, err)
		}
	}
}
