package testkit

import (
	"os"
	"testing"
)

// The environment variables through which a test is told of real servers. `stack run`
// (see deploy/stack) sets them for the servers that it has started.
const (
	// MariaDBEnv is the DSN of a MariaDB server. Without it one is started for the test
	// process when mariadbd is installed.
	MariaDBEnv = "MSCOIN_TEST_MARIADB_DSN"
	// MySQLEnv is the DSN of a MySQL server. Its user, and that of MariaDBEnv, must be
	// allowed to create databases; each test gets its own.
	MySQLEnv = "MSCOIN_TEST_MYSQL_DSN"
	// KafkaEnv is host:port,… of Kafka brokers. Each test makes topics of its own.
	KafkaEnv = "MSCOIN_TEST_KAFKA_BROKERS"
	// RedisEnv is host:port of a Redis whose databases 1 to 15 tests may empty, and
	// RedisPasswordEnv its password.
	RedisEnv         = "MSCOIN_TEST_REDIS_ADDR"
	RedisPasswordEnv = "MSCOIN_TEST_REDIS_PASSWORD" //nolint:gosec // its name, not the password
)

// onStack tells how to get the servers that are not started for a test process.
const onStack = "make stack-up DB=mysql STACK_SERVICES=none && make test ON=stack"

// missing ends a test that needs a server which is not there: it is left out, and named
// at the end of `make test`. With CI=true nothing is left out: the test fails.
func missing(t testing.TB, what, remedy string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("no %s, and CI leaves nothing out: %s", what, remedy)
	}
	t.Skipf("no %s: %s", what, remedy)
}

// Elsewhere leaves out a test that takes minutes unless the environment variable is 1,
// which the command sets. `.ci/run` runs that command too.
func Elsewhere(t testing.TB, env, command string) {
	t.Helper()
	if os.Getenv(env) != "1" {
		t.Skip("run by " + command)
	}
}
