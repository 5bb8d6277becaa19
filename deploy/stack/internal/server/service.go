package server

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/telemetry"
)

// Names of the services' secrets.
const (
	tokenSecret  = "internal-token"
	adminSecret  = "admin-token"
	accessSecret = "ucenter/access"
	masterSecret = "ucenter/master"
	hashSecret   = "ucenter/hash"
)

// Secrets names every secret of a stack.
func Secrets() []string {
	return append(DatabaseSecrets(), RedisSecret, tokenSecret, adminSecret, accessSecret, masterSecret, hashSecret)
}

// TestPrefix begins the names of the variables that are for tests: testkit reads them.
const TestPrefix = "MSCOIN_TEST_"

// Env returns the environment of services and tests as NAME=value.
func (s Site) Env() ([]string, error) {
	brokers := strings.Join(s.Settings.BrokerAddrs(), ",")
	master, err := s.key(masterSecret)
	if err != nil {
		return nil, err
	}
	hash, err := s.key(hashSecret)
	if err != nil {
		return nil, err
	}
	env := []string{
		"MSCOIN_DATA=" + s.DemoDir(),
		TestPrefix + strings.ToUpper(s.Settings.DB) + "_DSN=" + s.TestDSN(),
		TestPrefix + "KAFKA_BROKERS=" + brokers,
		TestPrefix + "REDIS_ADDR=" + layout.Addr(s.Settings.RedisPort()),
		TestPrefix + "REDIS_PASSWORD=" + s.Secrets.Get(RedisSecret),
		"MSCOIN_KAFKA_BROKERS=" + brokers,
		"MSCOIN_REDIS_ADDR=" + layout.Addr(s.Settings.RedisPort()),
		"MSCOIN_REDIS_PASSWORD=" + s.Secrets.Get(RedisSecret),
		"MSCOIN_INTERNAL_TOKEN=" + s.Secrets.Get(tokenSecret),
		"MSCOIN_ADMIN_TOKEN=" + s.Secrets.Get(adminSecret),
		"MSCOIN_UCENTER_ACCESS_SECRET=" + s.Secrets.Get(accessSecret),
		"MSCOIN_UCENTER_MASTER_KEY=" + master,
		"MSCOIN_UCENTER_HASH_KEY=" + hash,
	}
	for _, service := range Databases() {
		env = append(env, "MSCOIN_"+strings.ToUpper(service)+"_DSN="+s.DSN(service))
	}
	slices.Sort(env)
	return env, nil
}

// key returns a secret as the base64 of its 32 bytes.
func (s Site) key(name string) (string, error) {
	b, err := hex.DecodeString(s.Secrets.Get(name))
	if err != nil || len(b) == 0 {
		return "", fmt.Errorf("secret %s is damaged", name)
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

// Limits of a service. It stops by itself within 8 s; its start may replay a log.
const (
	serviceReady = 60 * time.Second
	serviceStop  = 15 * time.Second
)

// Services returns the services of the settings, in the order of their start.
func Services(s Site) []Component {
	var components []Component
	for _, name := range layout.Services() {
		if slices.Contains(s.Settings.Services, name) {
			components = append(components, service(s, name))
		}
	}
	return components
}

// service runs the program that `make build` has put into bin, with its committed
// configuration moved to this stack's addresses.
func service(s Site, name string) Component {
	addr := layout.Addr(s.Settings.ServicePort(name))
	conf := s.Folder.Etc(name + ".yaml")
	program := filepath.Join(s.Settings.Root, "bin", name)
	return Component{
		Name: name, Addr: addr, Ports: []int{s.Settings.ServicePort(name), s.Settings.TelemetryPort(name)},
		Prepare: func(context.Context) error {
			if _, err := os.Stat(program); err != nil {
				return fmt.Errorf("%w (make build makes it)", err)
			}
			text, err := os.ReadFile(filepath.Join(s.Settings.Root, name, "etc", name+".yaml"))
			if err != nil {
				return err
			}
			if text, err = overlay(text, s.changes(name)); err != nil {
				return fmt.Errorf("configuration: %w", err)
			}
			return private.WriteFile(conf, text)
		},
		Spec: s.spec(name, program, "-f", conf),
		Ready: func(ctx context.Context) error {
			return telemetry.Ask(ctx, layout.Addr(s.Settings.TelemetryPort(name)), telemetry.ReadyPath)
		},
		ReadyWithin: serviceReady,
		StopWithin:  serviceStop,
	}
}

// changes are the keys of a service's configuration that differ on this stack. A secret
// stays the name of a variable.
func (s Site) changes(name string) []change {
	listen := []change{
		{path: "ListenOn", value: layout.Addr(s.Settings.ServicePort(name))},
		{path: "Telemetry.ListenOn", value: layout.Addr(s.Settings.TelemetryPort(name))},
	}
	dsn := []change{
		{path: "Database.Dialect", value: "mysql"},
		{path: "Database.DSN", value: "${MSCOIN_" + strings.ToUpper(name) + "_DSN}"},
	}
	kafka := []change{
		{path: "Kafka.Brokers", value: s.Settings.BrokerAddrs()},
		{path: "Partitions", value: s.Settings.Partitions},
	}
	redis := []change{
		{path: "Redis.Addr", value: layout.Addr(s.Settings.RedisPort())},
		{path: "Redis.Password", value: "${MSCOIN_REDIS_PASSWORD}", add: true},
	}
	peer := func(name, service string) change {
		return change{path: name + ".Endpoints", value: []string{layout.Addr(s.Settings.ServicePort(service))}}
	}
	profile := change{path: "Profile", value: s.Settings.Profile}
	var sender, limits []change
	if s.Settings.Profile == layout.Demo { // codes are in the log; somebody who tries it out measures it, too
		sender = []change{{path: "Sender.Email", value: "log"}, {path: "Sender.Phone", value: "log"}}
		limits = []change{
			{path: "Limit.WeightPerMinute", value: -1}, {path: "Limit.OrdersPer10s", value: -1}, {path: "Limit.OrdersPerDay", value: -1},
		}
	}
	switch name {
	case "wallet":
		// Without a custody: coins of operators' deposits are on no chain, and its totals could not fit.
		custody := []change{{path: "Custody.URL", value: ""}, {path: "Custody.Token", value: ""}}
		return slices.Concat(listen, dsn, kafka, redis, custody)
	case "ucenter":
		return slices.Concat(listen, []change{profile}, dsn, sender)
	case "exchange":
		return slices.Concat(listen, []change{peer("Wallet", "wallet")}, dsn, kafka)
	case "market":
		return slices.Concat(listen, dsn, kafka)
	case layout.Gateway:
		return slices.Concat(listen, []change{
			profile, peer("Exchange", "exchange"), peer("Wallet", "wallet"), peer("Market", "market"), peer("Ucenter", "ucenter"),
		}, redis, limits)
	}
	return nil
}
