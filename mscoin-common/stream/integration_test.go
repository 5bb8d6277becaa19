package stream_test

import (
	"context"
	"errors"
	"testing"
	"time"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

const settleDone = 20 * time.Second

// TestConsumer_Pipeline runs the two hops of the pipeline on a real broker and database: the order consumer with two
// rival instances, and the wallet consumer behind it.
func TestConsumer_Pipeline(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		testkit.EachBroker(t, func(t *testing.T, b testkit.Brokers) { pipeline(t, b, db) })
	})
}

func pipeline(t *testing.T, b testkit.Brokers, db *database.DB) {
	client := testkit.BusClient(t, b.Addrs...)
	completed, settle := b.Prefix+"completed", b.Prefix+"settle"
	orderName, walletName := b.Prefix+"orders", b.Prefix+"wallet"
	topics := []bus.Topic{{Name: completed, Partitions: 1, Configs: bus.MoneyConfigs()}, {Name: settle, Partitions: 1, Configs: bus.MoneyConfigs()}}
	if err := client.EnsureTopics(t.Context(), topics); err != nil {
		t.Fatal(err)
	}
	if err := db.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 3)
	start := func(name, topic, forwardTo string) *stream.Consumer {
		c, err := stream.New(stream.Config{Name: name, Topic: topic, ForwardTo: forwardTo}, stream.Deps{
			Bus: stream.ClientBus(client), Store: stream.DatabaseStore(db), Clock: clock.Real(),
			Apply: func(_ context.Context, tx *database.Tx, fresh []stream.Entry) error {
				// One more transaction-bound statement; the positions are the proof.
				return tx.DB().Exec("UPDATE symbol_position SET updated_ms = updated_ms + ? WHERE consumer = ?", len(fresh), name).Error
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		go func() { done <- c.Run(ctx) }()
		return c
	}
	orders := start(orderName, completed, settle)
	rival := start(orderName, completed, settle)
	wallet := start(walletName, settle, "")

	const records = 300
	produceChain(t, client, completed, "BTC/USDT", records)
	wait, stop := context.WithTimeout(ctx, settleDone)
	defer stop()
	for _, c := range []*stream.Consumer{orders, rival, wallet} {
		if err := c.WaitApplied(wait, "BTC/USDT", records); err != nil {
			t.Fatal(err)
		}
		if len(c.Halted()) > 0 {
			t.Errorf("halted: %v", c.Halted())
		}
	}
	cancel()
	for range 3 {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	if err := orders.Check(t.Context()); err != nil {
		t.Error(err)
	}
	for _, name := range []string{orderName, walletName} {
		all, err := db.LoadSymbolPositions(t.Context(), name)
		if err != nil || all["BTC/USDT"].Seq != records {
			t.Errorf("%s is at %+v, %v", name, all, err)
		}
	}
}

// produceChain writes records 1 to n of a symbol, in batches.
func produceChain(t *testing.T, client *bus.Client, topic, symbol string, n int64) {
	t.Helper()
	var prev []byte
	var msgs []bus.Message
	for seq := int64(1); seq <= n; seq++ {
		value, hash, err := stream.Seal(&eventpb.RecordBody{Symbol: symbol, Seq: seq}, prev)
		if err != nil {
			t.Fatal(err)
		}
		prev = hash
		msgs = append(msgs, bus.Message{Key: []byte(symbol), Value: value})
		if len(msgs) == 7 || seq == n {
			if _, err := client.Produce(t.Context(), topic, 0, msgs); err != nil {
				t.Fatal(err)
			}
			msgs = nil
		}
	}
}
