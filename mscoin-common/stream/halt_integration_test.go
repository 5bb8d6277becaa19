package stream_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/testkit"
)

// TestConsumer_HaltInDatabase halts, decides and goes on with real databases: a lost record in the middle of large
// ones, poison of another symbol, and a good symbol among them.
func TestConsumer_HaltInDatabase(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		client, store := testkit.Broker(t), stream.DatabaseStore(db)
		if err := db.MigratePositions(t.Context()); err != nil {
			t.Fatal(err)
		}
		consumer, err := stream.New(stream.Config{Name: "orders", Topic: bus.TopicCompleted, MaxBatch: 50}, stream.Deps{
			Bus: stream.ClientBus(client), Store: store, Clock: clock.Real(),
			Apply: func(context.Context, *database.Tx, []stream.Entry) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- consumer.Run(ctx) }()
		defer func() {
			cancel()
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}()
		const records, lost = 300, 7
		values := chainValues(t, "A/B", records, 20_000)
		for i, value := range values {
			msgs := []bus.Message{{Key: []byte("A/B"), Value: value}}
			if i == lost-1 {
				msgs = []bus.Message{{Key: []byte("C/D"), Value: []byte("broken")}, {Key: []byte("C/D"), Value: nil}}
			}
			if _, err := client.Produce(t.Context(), bus.TopicCompleted, 0, msgs); err != nil {
				t.Fatal(err)
			}
		}
		produceChain(t, client, bus.TopicCompleted, "BTC/USDT", 100)
		wait, stop := context.WithTimeout(ctx, settleDone)
		defer stop()
		if err := consumer.WaitApplied(wait, "BTC/USDT", 100); err != nil {
			t.Fatal(err)
		}
		halted := consumer.Halted()
		if a, c := halted["A/B"], halted["C/D"]; len(halted) != 2 || a.Reason != stream.ReasonGap || a.Parked != records-lost ||
			c.Reason != stream.ReasonBadRecord || c.Parked != 2 || consumer.Applied("A/B") != lost-1 {
			t.Fatalf("halted: %v", halted)
		}
		decide := func(symbol string, action stream.Action, record []byte) {
			t.Helper()
			first, err := db.LoadParked(t.Context(), "orders", symbol, 0, 1, 1)
			if err != nil || len(first) != 1 {
				t.Fatalf("%v, %v", first, err)
			}
			_, err = stream.Decide(t.Context(), store, clock.Real(), stream.Request{
				ID: symbol + string(action) + strconv.FormatInt(first[0].Offset, 10), Consumer: "orders", Symbol: symbol, Action: action,
				Fingerprint: first[0].Fingerprint, By: "operator", Reason: strings.Repeat("ü", 600), Record: record,
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		decide("A/B", stream.ActionResync, values[lost-1])
		if err := consumer.WaitApplied(wait, "A/B", records); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			testkit.Eventually(t, settleDone, func() bool {
				halts, err := db.LoadHalts(t.Context(), "orders")
				h, ok := halts["C/D"]
				return err == nil && ok && h.State == database.Halted
			}, "halted, again")
			decide("C/D", stream.ActionSkip, nil)
		}
		testkit.Eventually(t, settleDone, func() bool { return len(consumer.Halted()) == 0 }, "live again")
		halts, err := db.LoadHalts(t.Context(), "orders")
		decisions, errDecisions := db.ListDecisions(t.Context(), "orders", 10)
		if err != nil || errDecisions != nil || len(halts) != 0 || len(decisions) != 3 {
			t.Errorf("halts %v, %d decisions, %v %v", halts, len(decisions), err, errDecisions)
		}
	})
}

// chainValues returns records 1 to n of a symbol, of at least size bytes each.
func chainValues(t *testing.T, symbol string, n int64, size int) [][]byte {
	t.Helper()
	var prev []byte
	values := make([][]byte, 0, n)
	for seq := int64(1); seq <= n; seq++ {
		value, hash, err := stream.Seal(&eventpb.RecordBody{Symbol: symbol, Seq: seq, BaseCoin: strings.Repeat("x", size)}, prev)
		if err != nil {
			t.Fatal(err)
		}
		prev = hash
		values = append(values, value)
	}
	return values
}
