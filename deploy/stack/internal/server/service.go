package server

import (
	"slices"
	"strings"

	"mscoin/deploy/stack/internal/layout"
)

// Secrets names every secret of a stack.
func Secrets() []string { return append(DatabaseSecrets(), RedisSecret, TokenSecret) }

// TokenSecret names the secret that the services share to know each other's calls.
const TokenSecret = "internal-token"

// Env returns the environment of services and tests as NAME=value.
func (s Site) Env() []string {
	brokers := strings.Join(s.Settings.BrokerAddrs(), ",")
	env := []string{
		"MSCOIN_TEST_MYSQL_DSN=" + s.TestDSN(),
		"MSCOIN_TEST_KAFKA_BROKERS=" + brokers,
		"MSCOIN_TEST_REDIS_ADDR=" + layout.Addr(s.Settings.RedisPort()),
		"MSCOIN_TEST_REDIS_PASSWORD=" + s.Secrets.Get(RedisSecret),
		"MSCOIN_KAFKA_BROKERS=" + brokers,
		"MSCOIN_REDIS_ADDR=" + layout.Addr(s.Settings.RedisPort()),
		"MSCOIN_REDIS_PASSWORD=" + s.Secrets.Get(RedisSecret),
		"MSCOIN_INTERNAL_TOKEN=" + s.Secrets.Get(TokenSecret),
	}
	for _, service := range Databases() {
		env = append(env, "MSCOIN_"+strings.ToUpper(service)+"_DSN="+s.DSN(service))
	}
	slices.Sort(env)
	return env
}

// Services returns the services of the settings, in the order of their start.
func Services(Site) []Component { return nil }
