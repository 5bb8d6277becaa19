package bus_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
)

// benchClient starts a broker that syncs every batch, like the one the exchange runs on by default.
func benchClient(b *testing.B) *bus.Client {
	b.Helper()
	broker, err := embedded.StartBroker(embedded.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = broker.Close() })
	client, err := bus.Connect(bus.Config{Brokers: []string{broker.Addr()}}, clock.Real())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	if err := client.EnsureTopics(b.Context(), []bus.Topic{{Name: faultTopic, Partitions: 1, Configs: bus.MoneyConfigs()}}); err != nil {
		b.Fatal(err)
	}
	return client
}

func batchOf(n int) []bus.Message {
	msgs := make([]bus.Message, n)
	for i := range msgs {
		msgs[i] = bus.Message{Key: []byte("BTC/USDT"), Value: bytes.Repeat([]byte{7}, 200)}
	}
	return msgs
}

// report adds percentiles to a benchmark's line.
func report(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

func BenchmarkProduce(b *testing.B) {
	for name, n := range map[string]int{"1": 1, "100": 100} {
		b.Run("batch of "+name, func(b *testing.B) {
			client, msgs, clk := benchClient(b), batchOf(n), clock.Real()
			var took []time.Duration
			for b.Loop() {
				start := clk.Now()
				if _, err := client.Produce(b.Context(), faultTopic, 0, msgs); err != nil {
					b.Fatal(err)
				}
				took = append(took, clk.Now().Sub(start))
			}
			report(b, took)
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
}

// BenchmarkFetch_AfterProduce measures from the call of Produce until a waiting reader has the record.
func BenchmarkFetch_AfterProduce(b *testing.B) {
	client, msgs, clk := benchClient(b), batchOf(1), clock.Real()
	sub := client.Subscribe(faultTopic, 0, 0)
	defer sub.Close()
	arrived := make(chan error)
	go func() {
		for {
			got, err := sub.Fetch(b.Context(), 100, time.Second)
			if err == nil && len(got) == 0 {
				continue
			}
			select {
			case arrived <- err:
			case <-b.Context().Done():
				return
			}
		}
	}()
	var took []time.Duration
	for b.Loop() {
		start := clk.Now()
		if _, err := client.Produce(b.Context(), faultTopic, 0, msgs); err != nil {
			b.Fatal(err)
		}
		if err := <-arrived; err != nil {
			b.Fatal(err)
		}
		took = append(took, clk.Now().Sub(start))
	}
	report(b, took)
}

// BenchmarkFetch_Sequential reads a long log from the beginning.
func BenchmarkFetch_Sequential(b *testing.B) {
	client := benchClient(b)
	const total = 100_000
	for range total / 1000 {
		if _, err := client.Produce(b.Context(), faultTopic, 0, batchOf(1000)); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		sub := client.Subscribe(faultTopic, 0, 0)
		for n := 0; n < total; {
			msgs, err := sub.Fetch(b.Context(), 10_000, time.Second)
			if err != nil {
				b.Fatal(err)
			}
			n += len(msgs)
		}
		sub.Close()
	}
	b.ReportMetric(total*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
