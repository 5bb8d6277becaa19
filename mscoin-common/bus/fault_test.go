package bus_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
	"mscoin/mscoin-common/testkit"
)

const faultTopic = "faults"

// faultyCluster is a broker whose answers a test can change.
func faultyCluster(t *testing.T, opts ...kfake.Opt) (*kfake.Cluster, *bus.Client) {
	t.Helper()
	c, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.SeedTopics(1, faultTopic)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, connect(t, c.ListenAddrs()[0], clock.Real())
}

func connect(t *testing.T, addr string, clk clock.Clock) *bus.Client {
	t.Helper()
	client, err := bus.Connect(bus.Config{Brokers: []string{addr}, RequestTimeoutMs: 2000, ProduceTimeoutMs: 2000}, clk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

func write(t *testing.T, client *bus.Client, values ...string) {
	t.Helper()
	for _, v := range values {
		if _, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: []byte(v)}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestSubscription_Fetch(t *testing.T) {
	t.Run("deleted records are an error, never a jump", func(t *testing.T) {
		c, client := faultyCluster(t)
		write(t, client, "a", "b", "c", "d")
		sub := client.Subscribe(faultTopic, 0, 0)
		defer sub.Close()
		if msgs, err := sub.Fetch(t.Context(), 1, time.Second); err != nil || len(msgs) != 1 {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
		deleteBefore(t, c, 3)
		late := client.Subscribe(faultTopic, 0, 1)
		defer late.Close()
		var truncated *bus.TruncatedError
		if _, err := late.Fetch(t.Context(), 1, time.Second); !errors.As(err, &truncated) || truncated.First != 3 {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a missing offset is an error, never a jump", func(t *testing.T) {
		c, client := faultyCluster(t)
		write(t, client, "a", "b", "c")
		shiftFetches(c, 1) // the reader asks for 0 and gets what is at 1
		sub := client.Subscribe(faultTopic, 0, 0)
		defer sub.Close()
		for range 2 {
			var gap *bus.GapError
			if _, err := sub.Fetch(t.Context(), 1, time.Second); !errors.As(err, &gap) || gap.Want != 0 || gap.Got != 1 {
				t.Errorf("got %v", err)
			}
			if sub.Next() != 0 {
				t.Errorf("position moved to %d", sub.Next())
			}
		}
	})
	t.Run("a broken connection is replaced without loss", func(t *testing.T) {
		broker := startBroker(t, embedded.Config{})
		direct := connect(t, broker.Addr(), clock.Real())
		if err := direct.EnsureTopics(t.Context(), []bus.Topic{{Name: faultTopic, Partitions: 1}}); err != nil {
			t.Fatal(err)
		}
		sub := direct.Subscribe(faultTopic, 0, 0)
		defer sub.Close()
		for i := range 5 {
			write(t, direct, "x")
			msgs, err := sub.Fetch(t.Context(), 10, time.Second)
			if err != nil || len(msgs) != 1 || msgs[0].Offset != int64(i) {
				t.Fatalf("round %d: %d messages, %v", i, len(msgs), err)
			}
			sub.BreakConnection()
		}
	})
	t.Run("the watchdog replaces a connection that has gone silent", func(t *testing.T) {
		c, _ := faultyCluster(t)
		clk := clock.NewFake(time.UnixMilli(0))
		client := connect(t, c.ListenAddrs()[0], clk)
		write(t, client, "a")
		stale := staleFetches(c) // answers as a leader would that has lost touch: nothing new, for ever
		sub := client.Subscribe(faultTopic, 0, 0)
		defer sub.Close()
		if msgs, err := sub.Fetch(t.Context(), 1, 20*time.Millisecond); err != nil || len(msgs) != 0 {
			t.Fatalf("the stale leader delivered %d messages, %v", len(msgs), err)
		}
		clk.Advance(6 * time.Second)
		for i, connected := range []bool{true, false} { // first it only suspects
			if _, err := sub.Fetch(t.Context(), 1, 20*time.Millisecond); err != nil {
				t.Fatal(err)
			}
			if sub.Connected() != connected {
				t.Errorf("after fetch %d: connected is %v", i, sub.Connected())
			}
		}
		stale.Store(false)
		if msgs, err := sub.Fetch(t.Context(), 1, time.Second); err != nil || len(msgs) != 1 || msgs[0].Offset != 0 {
			t.Errorf("after reconnecting: %d messages, %v", len(msgs), err)
		}
	})
	t.Run("a broker that is away is an error in bounded time, and the reader goes on when it is back", func(t *testing.T) {
		dir := t.TempDir()
		broker, err := embedded.StartBroker(embedded.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		addr := broker.Addr()
		client := connect(t, addr, clock.Real())
		if err := client.EnsureTopics(t.Context(), []bus.Topic{{Name: faultTopic, Partitions: 1}}); err != nil {
			t.Fatal(err)
		}
		write(t, client, "a")
		sub := client.Subscribe(faultTopic, 0, 0)
		defer sub.Close()
		if msgs, err := sub.Fetch(t.Context(), 1, time.Second); err != nil || len(msgs) != 1 {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
		if err := broker.Close(); err != nil {
			t.Fatal(err)
		}
		fetches, writes := testkit.Counted(t, "mscoin_kafka_errors_total", "operation", "fetch"), testkit.Counted(t, "mscoin_kafka_errors_total", "operation", "produce")
		if _, err := sub.Fetch(t.Context(), 1, time.Second); err == nil {
			t.Fatal("no error while the broker is away")
		}
		if _, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: []byte("x")}}); err == nil {
			t.Fatal("no error while the broker is away")
		}
		if fetches() != 1 || writes() != 1 {
			t.Errorf("%v fetches and %v writes are counted as failed", fetches(), writes())
		}
		startBroker(t, embedded.Config{Dir: dir, Addr: addr})
		second := connect(t, addr, clock.Real())
		write(t, second, "b")
		for {
			msgs, err := sub.Fetch(t.Context(), 1, time.Second)
			if err == nil && len(msgs) == 1 {
				if msgs[0].Offset != 1 {
					t.Errorf("went on at %d", msgs[0].Offset)
				}
				break
			}
			if errors.Is(err, bus.ErrTruncated) || errors.Is(err, bus.ErrGap) || t.Context().Err() != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestClient_Produce(t *testing.T) {
	t.Run("the broker may wait for its replicas for half of the call's time", func(t *testing.T) {
		c, client := faultyCluster(t)
		got := make(chan int32, 1)
		c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
			got <- req.(*kmsg.ProduceRequest).TimeoutMillis
			return nil, nil, false
		})
		write(t, client, "a")
		if ms := <-got; ms < 900 || ms > 1000 { // of 2000
			t.Errorf("the broker gets %d ms", ms)
		}
	})
	t.Run("no broker: certainly not sent", func(t *testing.T) {
		client := connect(t, deadAddr(t), clock.Real())
		if _, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: []byte("x")}}); err == nil {
			t.Error("no error")
		}
	})
	t.Run("an answer that never comes leaves the outcome unknown, in bounded time", func(t *testing.T) {
		c, client := faultyCluster(t)
		write(t, client, "a")
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			c.KeepControl()
			return nil, nil, true // swallowed
		})
		_, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: []byte("x")}})
		if err == nil || errors.Is(err, bus.ErrNotSent) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a cancelled write leaves the outcome unknown", func(t *testing.T) {
		c, client := faultyCluster(t)
		write(t, client, "a")
		ctx, cancel := context.WithCancel(t.Context())
		c.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
			cancel()
			return nil, nil, true
		})
		if _, err := client.Produce(ctx, faultTopic, 0, []bus.Message{{Value: []byte("x")}}); !errors.Is(err, context.Canceled) || errors.Is(err, bus.ErrNotSent) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("a leader that has lost the partition leaves the outcome unknown: it may have appended before (H14)", func(t *testing.T) {
		const unknownPartition, notLeader = 3, 6
		for _, code := range []int16{unknownPartition, notLeader} {
			c, client := faultyCluster(t)
			write(t, client, "a")
			c.ControlKey(int16(kmsg.Produce), func(req kmsg.Request) (kmsg.Response, error, bool) {
				res, ok := req.ResponseKind().(*kmsg.ProduceResponse)
				if !ok {
					t.Errorf("no produce response: %T", req.ResponseKind())
				}
				p := kmsg.NewProduceResponseTopicPartition()
				p.ErrorCode = code
				res.Topics = []kmsg.ProduceResponseTopic{{Topic: faultTopic, Partitions: []kmsg.ProduceResponseTopicPartition{p}}}
				return res, nil, true
			})
			_, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: []byte("x")}})
			if want := kafka.Error(code); !errors.Is(err, want) || errors.Is(err, bus.ErrNotSent) {
				t.Errorf("got %v, want %v with an unknown outcome", err, want)
			}
		}
	})
	t.Run("a refusal of the broker is certainly not written", func(t *testing.T) {
		_, client := faultyCluster(t) // its default limit is 1 MiB
		_, err := client.Produce(t.Context(), faultTopic, 0, []bus.Message{{Value: make([]byte, 2<<20)}})
		if !errors.Is(err, bus.ErrNotSent) {
			t.Errorf("got %v", err)
		}
	})
}

func deadAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// deleteBefore moves the beginning of the log.
func deleteBefore(t *testing.T, c *kfake.Cluster, offset int64) {
	t.Helper()
	conn, err := net.Dial("tcp", c.ListenAddrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version = 0
	req.TimeoutMillis = 1000
	topic := kmsg.NewDeleteRecordsRequestTopic()
	topic.Topic = faultTopic
	partition := kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Offset = offset
	topic.Partitions = append(topic.Partitions, partition)
	req.Topics = append(req.Topics, topic)
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("test")).AppendRequest(nil, req, 1)
	if _, err := conn.Write(frame); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
		t.Fatal(err)
	}
}

// shiftFetches makes the broker answer every fetch from an offset that is by later than asked.
func shiftFetches(c *kfake.Cluster, by int64) {
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		fetch := req.(*kmsg.FetchRequest)
		fetch.Topics[0].Partitions[0].FetchOffset += by
		return nil, nil, false
	})
}

// staleFetches makes the broker answer every fetch with an empty log while the returned flag is set.
func staleFetches(c *kfake.Cluster) *atomic.Bool {
	stale := new(atomic.Bool)
	stale.Store(true)
	c.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
		if !stale.Load() {
			return nil, nil, false
		}
		c.KeepControl()
		fetch := req.(*kmsg.FetchRequest)
		res := fetch.ResponseKind().(*kmsg.FetchResponse)
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = fetch.Topics[0].Topic
		partition := kmsg.NewFetchResponseTopicPartition()
		partition.HighWatermark = fetch.Topics[0].Partitions[0].FetchOffset
		partition.RecordBatches = []byte{}
		topic.Partitions = append(topic.Partitions, partition)
		res.Topics = append(res.Topics, topic)
		return res, nil, true
	})
	return stale
}
