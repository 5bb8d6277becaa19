package bus_test

import (
	"testing"

	"mscoin/mscoin-common/bus/bustest"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/testkit"
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

func TestBus(t *testing.T) {
	testkit.EachBroker(t, func(t *testing.T, b testkit.Brokers) {
		bustest.Run(t, bustest.Suite{Brokers: b.Addrs, Prefix: b.Prefix})
	})
	t.Run("embedded, on disk", func(t *testing.T) {
		bustest.Run(t, bustest.Suite{Brokers: []string{startBroker(t, embedded.Config{Dir: t.TempDir()}).Addr()}})
	})
}
