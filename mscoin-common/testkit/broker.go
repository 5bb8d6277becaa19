package testkit

import (
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

// BusClient connects to a broker for this test.
func BusClient(t testing.TB, addr string) *bus.Client {
	t.Helper()
	client, err := bus.Connect(bus.Config{Brokers: []string{addr}}, clock.Real())
	if err != nil {
		t.Fatalf("connect to broker: %v", err)
	}
	t.Cleanup(client.Close)
	return client
}
