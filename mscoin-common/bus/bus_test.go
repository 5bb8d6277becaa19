package bus_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"mscoin/mscoin-common/bus/bustest"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
)

func startBroker(t *testing.T, cfg embedded.Config) *embedded.Broker {
	t.Helper()
	b, err := embedded.StartBroker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func TestBus_EmbeddedBroker(t *testing.T) {
	t.Run("in memory", func(t *testing.T) {
		bustest.Run(t, bustest.Suite{Brokers: []string{startBroker(t, embedded.Config{}).Addr()}})
	})
	t.Run("on disk", func(t *testing.T) {
		bustest.Run(t, bustest.Suite{Brokers: []string{startBroker(t, embedded.Config{Dir: t.TempDir()}).Addr()}})
	})
}

func TestBus_Kafka(t *testing.T) {
	brokers := os.Getenv("MSCOIN_TEST_KAFKA_BROKERS")
	if brokers == "" {
		t.Skip("set MSCOIN_TEST_KAFKA_BROKERS to host:port,… to run the suite against Apache Kafka")
	}
	bustest.Run(t, bustest.Suite{
		Brokers: strings.Split(brokers, ","),
		Prefix:  fmt.Sprintf("bustest-%d-", clock.Real().NowMs()),
	})
}
