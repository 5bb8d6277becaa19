package sequencer

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/matching"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
)

// BenchmarkStart is a start through a broker: the embedded one, and the Kafka of
// testkit.KafkaEnv if there is one. It replays 300,000 commands whose records are
// published; "fetch" only reads them. Kafka needs topics of its own: it is for a stack
// that nothing else uses.
func BenchmarkStart(b *testing.B) {
	logx.Disable()
	b.Run("embedded", func(b *testing.B) { benchmarkStart(b, testkit.BusClient(b, testkit.BrokerAddr(b, 1)), 0) })
	b.Run("kafka", func(b *testing.B) {
		addr := os.Getenv(testkit.KafkaEnv)
		if addr == "" {
			b.Skip("no Kafka: " + testkit.KafkaEnv)
		}
		client := testkit.BusClient(b, addr)
		if err := client.EnsureTopics(b.Context(), bus.MoneyTopics(1)); err != nil {
			b.Fatal(err)
		}
		benchmarkStart(b, client, 0)
	})
}

func benchmarkStart(b *testing.B, client *bus.Client, partition int) {
	const commands, batch = 300_000, 4096
	_, end, err := client.Bounds(b.Context(), bus.TopicCommands, partition)
	if err != nil || end > 0 && end != commands { // else they are those of a run before
		b.Skipf("the command log is in use: %d commands, %v", end, err)
	}
	msgs := flow(commands)
	for at := int(end); at < len(msgs); at += batch {
		if _, err := client.Produce(b.Context(), bus.TopicCommands, partition, msgs[at:min(at+batch, len(msgs))]); err != nil {
			b.Fatal(err)
		}
	}
	start := func() time.Duration {
		s := New(Config{
			Partition: partition, NewEngine: func() matching.Engine { return matching.New() }, Clock: clock.Real(), Log: BusLog{client},
			Positions: func(context.Context) (Positions, error) { return Positions{}, nil },
		})
		ctx, cancel := context.WithCancel(b.Context())
		ended := make(chan error, 1)
		begin := time.Now()
		go func() { ended <- s.Run(ctx) }()
		for !s.Ready() {
			select {
			case err := <-ended:
				b.Fatal(err)
			case <-time.After(time.Millisecond):
			}
		}
		took := time.Since(begin)
		cancel()
		if err := <-ended; err != nil {
			b.Fatal(err)
		}
		return took
	}
	start() // publishes
	b.Run("replay", func(b *testing.B) {
		var took time.Duration
		for range b.N {
			took += start()
		}
		b.ReportMetric(float64(commands)*float64(b.N)/took.Seconds(), "commands/s")
	})
	b.Run("fetch", func(b *testing.B) {
		for range b.N {
			sub := client.Subscribe(bus.TopicCommands, partition, 0)
			for n := 0; n < commands; {
				got, err := sub.Fetch(b.Context(), replayBatch, idleWait)
				if err != nil {
					b.Fatal(err)
				}
				n += len(got)
			}
			sub.Close()
		}
		b.ReportMetric(float64(commands)*float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	})
}
