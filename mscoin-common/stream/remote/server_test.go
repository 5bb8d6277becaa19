package remote_test

import (
	"context"
	"errors"
	"testing"
	"time"

	eventpb "mscoin/grpc-common/gen/event/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/stream/remote"
	"mscoin/mscoin-common/testkit"
)

// caughtUp is how long a consumer may take in a test.
const caughtUp = 20 * time.Second

// produce appends records from to to (inclusive) of a symbol to partition 0.
func produce(t *testing.T, client *bus.Client, symbol string, from, to int64, prev []byte) []byte {
	t.Helper()
	for seq := from; seq <= to; seq++ {
		value, hash, err := stream.Seal(&eventpb.RecordBody{Symbol: symbol, Seq: seq}, prev)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Produce(t.Context(), bus.TopicCompleted, 0, []bus.Message{{Key: []byte(symbol), Value: value}}); err != nil {
			t.Fatal(err)
		}
		prev = hash
	}
	return prev
}

func TestServer_GetPositions(t *testing.T) {
	db, client := testkit.SQLite(t), testkit.BusClient(t, testkit.BrokerAddr(t, 2))
	if err := db.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := remote.NewServer(remote.ServerConfig{
		Consumer: "order", Topic: bus.TopicCompleted, Partitions: 2, DB: db, Bus: stream.ClientBus(client), Clock: clock.Real(),
	})
	get := func() *streampb.GetPositionsResponse {
		t.Helper()
		res, err := server.GetPositions(t.Context(), &streampb.GetPositionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	t.Run("a consumer that never ran is at the beginning of every partition", func(t *testing.T) {
		res := get()
		if len(res.GetPartitions()) != 2 || len(res.GetSymbols()) != 0 || res.GetConsumer() != "order" {
			t.Fatalf("got %v", res)
		}
		for i, p := range res.GetPartitions() {
			if p.GetTopic() != bus.TopicCompleted || int(p.GetPartition()) != i || p.GetNextOffset() != 0 || p.GetEndOffset() != 0 || p.GetAgeMs() != 0 {
				t.Errorf("partition %d: %v", i, p)
			}
		}
	})
	head := produce(t, client, "BTC/USDT", 1, 3, nil)
	t.Run("what waits is counted, and its age grows", func(t *testing.T) {
		if p := get().GetPartitions()[0]; p.GetNextOffset() != 0 || p.GetEndOffset() != 3 {
			t.Errorf("got %v", p)
		}
		testkit.Eventually(t, caughtUp, func() bool { return get().GetPartitions()[0].GetAgeMs() >= 5 }, "the oldest record gets older")
	})
	t.Run("what is applied and forwarded is told", func(t *testing.T) {
		c, err := stream.New(stream.Config{Name: "order", Topic: bus.TopicCompleted, ForwardTo: bus.TopicSettle}, stream.Deps{
			Bus: stream.ClientBus(client), Store: stream.DatabaseStore(db), Clock: clock.Real(),
			Apply: func(context.Context, *database.Tx, []stream.Entry) error { return nil },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		testkit.Eventually(t, caughtUp, func() bool { return get().GetPartitions()[0].GetForwardedOffset() == 3 }, "all is forwarded")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		res := get()
		if p := res.GetPartitions()[0]; p.GetNextOffset() != 3 || p.GetEndOffset() != 3 || p.GetAgeMs() != 0 || len(p.GetFingerprint()) == 0 {
			t.Errorf("partition: %v", p)
		}
		if len(res.GetSymbols()) != 1 {
			t.Fatalf("symbols: %v", res.GetSymbols())
		}
		if p := res.GetSymbols()[0]; p.GetSymbol() != "BTC/USDT" || p.GetSeq() != 3 || string(p.GetHash()) != string(head) {
			t.Errorf("symbol: %v", p)
		}
	})
	t.Run("a broker that does not answer makes the positions unknown", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := server.GetPositions(ctx, &streampb.GetPositionsRequest{}); errs.KindOf(err) != errs.KindUnavailable || !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	})
}

func TestServer_Decide(t *testing.T) {
	db, client := testkit.SQLite(t), testkit.BusClient(t, testkit.BrokerAddr(t, 1))
	if err := db.MigratePositions(t.Context()); err != nil {
		t.Fatal(err)
	}
	server := remote.NewServer(remote.ServerConfig{
		Consumer: "wallet", Topic: bus.TopicSettle, Partitions: 1, DB: db, Bus: stream.ClientBus(client), Clock: clock.Real(),
	})
	c, err := stream.New(stream.Config{Name: "wallet", Topic: bus.TopicSettle}, stream.Deps{
		Bus: stream.ClientBus(client), Store: stream.DatabaseStore(db), Clock: clock.Real(),
		Apply: func(context.Context, *database.Tx, []stream.Entry) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}()
	const symbol = "BTC/USDT"
	produce(t, client, symbol, 1, 5, nil) // all are in the topic before
	for offset := range int64(5) {
		m, err := client.ReadOne(t.Context(), bus.TopicCompleted, 0, offset)
		if err != nil {
			t.Fatal(err)
		}
		if offset == 2 {
			continue
		}
		if _, err := client.Produce(t.Context(), bus.TopicSettle, 0, []bus.Message{{Key: m.Key, Value: m.Value}}); err != nil {
			t.Fatal(err)
		}
	}
	halt := func() *streampb.SymbolPosition {
		res, err := server.GetPositions(t.Context(), &streampb.GetPositionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		if len(res.GetSymbols()) == 0 {
			return nil
		}
		return res.GetSymbols()[0]
	}
	testkit.Eventually(t, caughtUp, func() bool { return halt().GetHalt().GetParked() == 2 }, "the gap halts the symbol")
	if p := halt(); p.GetSeq() != 2 || p.GetHalt().GetReason() != string(stream.ReasonGap) || p.GetHalt().GetWantSeq() != 3 || p.GetHalt().GetGotSeq() != 4 {
		t.Errorf("got %v", p)
	}
	parked, err := server.ListParked(t.Context(), &streampb.ListParkedRequest{Symbol: symbol, WithValues: true})
	if err != nil || len(parked.GetRecords()) != 2 || parked.GetRecords()[0].GetSeq() != 4 || len(parked.GetRecords()[0].GetValue()) == 0 {
		t.Fatalf("parked: %v, %v", parked, err)
	}
	req := &streampb.DecideRequest{
		RequestId: "r1", Symbol: symbol, Action: streampb.Action_ACTION_RESYNC, DecidedBy: "operator", Reason: "the broker lost it",
		Fingerprint: parked.GetRecords()[0].GetFingerprint(), SearchTopic: bus.TopicSettle,
	}
	if _, err := server.Decide(t.Context(), req); errs.KindOf(err) != errs.KindNotFound {
		t.Errorf("a record that is not in the topic: %v", err)
	}
	req.SearchTopic = bus.TopicCompleted
	res, err := server.Decide(t.Context(), req)
	if err != nil || res.GetDecision().GetDecidedBy() != "operator" {
		t.Fatalf("got %v, %v", res, err)
	}
	testkit.Eventually(t, caughtUp, func() bool { p := halt(); return p.GetHalt() == nil && p.GetSeq() == 5 }, "live again")
	list, err := server.ListDecisions(t.Context(), &streampb.ListDecisionsRequest{})
	if err != nil || len(list.GetDecisions()) != 1 || list.GetDecisions()[0].GetAction() != "resync" {
		t.Errorf("decisions: %v, %v", list, err)
	}
	req.RequestId = "r2"
	if _, err := server.Decide(t.Context(), req); !errors.Is(err, stream.ErrNotHalted) {
		t.Errorf("not halted any more: %v", err)
	}
}
