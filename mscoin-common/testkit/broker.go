package testkit

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
)

// Broker starts an embedded broker for this test, with the money topics of one partition each, and returns
// a client. Both end with the test.
func Broker(t testing.TB) *bus.Client {
	t.Helper()
	return BusClient(t, BrokerAddr(t, 1))
}

// BrokerAddr starts an embedded broker in memory for this test, creates the money topics with that many
// partitions, and returns its address.
func BrokerAddr(t testing.TB, partitions int) string {
	t.Helper()
	broker, err := embedded.StartBroker(embedded.Config{})
	if err != nil {
		t.Fatalf("start broker: %v", err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Errorf("close broker: %v", err)
		}
	})
	if err := BusClient(t, broker.Addr()).EnsureTopics(t.Context(), bus.MoneyTopics(partitions)); err != nil {
		t.Fatalf("create topics: %v", err)
	}
	return broker.Addr()
}

// BusClient connects to brokers for this test.
func BusClient(t testing.TB, addrs ...string) *bus.Client {
	t.Helper()
	client, err := bus.Connect(bus.Config{Brokers: addrs}, clock.Real())
	if err != nil {
		t.Fatalf("connect to broker: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}

// Brokers are the brokers that a test runs on.
type Brokers struct {
	// Addrs are host:port of each.
	Addrs []string
	// Prefix begins the names of the test's topics: the brokers may be shared.
	Prefix string
}

// topicPrefixes numbers the prefixes of this process.
var topicPrefixes atomic.Int64

// EachBroker runs test on an embedded broker of its own, and on the Kafka of KafkaEnv.
func EachBroker(t *testing.T, test func(t *testing.T, b Brokers)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, Brokers{Addrs: []string{BrokerAddr(t, 1)}, Prefix: "test-"}) })
	t.Run("kafka", func(t *testing.T) {
		given := os.Getenv(KafkaEnv)
		if given == "" {
			missing(t, "Apache Kafka", onStack)
		}
		// The time keeps what an earlier run has left apart.
		prefix := fmt.Sprintf("test-%d-%d-%d-", clock.Real().NowMs(), os.Getpid(), topicPrefixes.Add(1))
		test(t, Brokers{Addrs: strings.Split(given, ","), Prefix: prefix})
	})
}
