// Package bustest is the suite that every broker must pass before the pipeline may stand on it. It is
// run against the embedded broker and, when one is given, against Apache Kafka.
package bustest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
)

const (
	shortWait = 50 * time.Millisecond
	testLimit = 30 * time.Second
)

// Suite is a broker under test.
type Suite struct {
	// Brokers are its addresses.
	Brokers []string
	// Prefix makes the names of the topics unique on a broker that is used more than once.
	Prefix string
}

// Run runs the whole suite.
func Run(t *testing.T, s Suite) {
	t.Helper()
	tests := []struct {
		rule string
		run  func(*testing.T, fixture)
	}{
		{"offsets of a partition start at 0 and follow without a gap", s.contiguous},
		{"records come back whole: empty, nil and large values", s.roundTrip},
		{"partitions are apart", s.partitions},
		{"a topic that exists is left alone, another partition count is refused", s.topics},
		{"a waiting reader gets a record at once", s.longPoll},
		{"a reader that finds nothing comes back empty after its wait", s.idle},
		{"a cancelled reader returns at once and can go on", s.cancel},
		{"a closed reader ends its fetch", s.closed},
		{"bounds and single reads agree with the log", s.boundsAndReadOne},
		{"an offset outside of the log is an error, never a jump", s.outside},
		{"the beginning of a log can be deleted, and no more than that", s.deleteBefore},
		{"a write that cannot be sent says so", s.notSent},
		{"the time of a record is the append time and never runs backwards", s.appendTime},
		{"a producer whose clock is wrong does not decide the time of a record", s.foreignTime},
		{"random batches of random sizes are read in order from any offset", s.random},
	}
	for i, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) { tt.run(t, s.fixture(t, "t"+strconv.Itoa(i))) })
	}
}

// fixture is a client and a fresh topic with two partitions.
type fixture struct {
	ctx    context.Context //nolint:containedctx // lives as long as the test
	client *bus.Client
	topic  string
}

func (s Suite) fixture(t *testing.T, name string) fixture {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	client, err := bus.Connect(bus.Config{Brokers: s.Brokers}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	f := fixture{ctx: ctx, client: client, topic: s.Prefix + name}
	if err := client.EnsureTopics(ctx, []bus.Topic{{Name: f.topic, Partitions: 2, Configs: bus.MoneyConfigs()}}); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) produce(t *testing.T, partition int, values ...string) int64 {
	t.Helper()
	msgs := make([]bus.Message, len(values))
	for i, v := range values {
		msgs[i] = bus.Message{Key: []byte("k" + v), Value: []byte(v)}
	}
	base, err := f.client.Produce(f.ctx, f.topic, partition, msgs)
	if err != nil {
		t.Fatal(err)
	}
	return base
}

// read takes exactly n messages from offset on.
func (f fixture) read(t *testing.T, partition int, offset int64, n int) []bus.Message {
	t.Helper()
	sub := f.client.Subscribe(f.topic, partition, offset)
	defer sub.Close()
	var out []bus.Message
	for len(out) < n {
		msgs, err := sub.Fetch(f.ctx, n-len(out), time.Second)
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(out), n, err)
		}
		out = append(out, msgs...)
	}
	if got, want := sub.Next(), offset+int64(n); got != want {
		t.Errorf("position %d, want %d", got, want)
	}
	return out
}

func (Suite) contiguous(t *testing.T, f fixture) {
	for i := range 5 {
		if got := f.produce(t, 0, "a", "b"); got != int64(2*i) {
			t.Fatalf("base offset %d, want %d", got, 2*i)
		}
	}
	for i, m := range f.read(t, 0, 0, 10) {
		want := []string{"a", "b"}[i%2]
		if m.Offset != int64(i) || string(m.Value) != want || string(m.Key) != "k"+want {
			t.Errorf("message %d: offset %d key %q value %q", i, m.Offset, m.Key, m.Value)
		}
		if m.Topic != f.topic || m.Partition != 0 {
			t.Errorf("message %d says %s/%d", i, m.Topic, m.Partition)
		}
	}
}

func (Suite) roundTrip(t *testing.T, f fixture) {
	large := bytes.Repeat([]byte{0xfe, 0, 1, 0xff}, 1<<18) // 1 MiB, not text
	msgs := []bus.Message{
		{Key: nil, Value: nil},
		{Key: []byte{}, Value: []byte{}},
		{Key: []byte("BTC/USDT"), Value: []byte{0}},
		{Key: []byte("k"), Value: large},
	}
	if _, err := f.client.Produce(f.ctx, f.topic, 0, msgs); err != nil {
		t.Fatal(err)
	}
	for i, got := range f.read(t, 0, 0, len(msgs)) {
		if !bytes.Equal(got.Key, msgs[i].Key) || !bytes.Equal(got.Value, msgs[i].Value) {
			t.Errorf("message %d differs", i)
		}
		if (got.Value == nil) != (msgs[i].Value == nil) {
			t.Errorf("message %d: nil and empty are mixed up", i)
		}
	}
	tooLarge := []bus.Message{{Value: make([]byte, bus.MaxBatchBytes+1)}}
	if _, err := f.client.Produce(f.ctx, f.topic, 0, tooLarge); !errors.Is(err, bus.ErrTooLarge) || !errors.Is(err, bus.ErrNotSent) {
		t.Errorf("too large: %v", err)
	}
	largest := []bus.Message{{Value: make([]byte, bus.MaxBatchBytes)}}
	if _, err := f.client.Produce(f.ctx, f.topic, 0, largest); err != nil {
		t.Fatalf("the largest batch: %v", err)
	}
	if got := f.read(t, 0, 4, 1); len(got[0].Value) != bus.MaxBatchBytes {
		t.Errorf("the largest batch came back with %d bytes", len(got[0].Value))
	}
}

func (Suite) partitions(t *testing.T, f fixture) {
	f.produce(t, 0, "zero")
	f.produce(t, 1, "one", "two")
	if got := f.read(t, 0, 0, 1); string(got[0].Value) != "zero" {
		t.Errorf("partition 0 holds %q", got[0].Value)
	}
	if got := f.read(t, 1, 1, 1); string(got[0].Value) != "two" {
		t.Errorf("partition 1 holds %q", got[0].Value)
	}
	if _, err := f.client.Produce(f.ctx, f.topic, 2, []bus.Message{{Value: []byte("x")}}); !errors.Is(err, bus.ErrNotSent) {
		t.Errorf("a partition that does not exist: %v", err)
	}
}

func (Suite) topics(t *testing.T, f fixture) {
	f.produce(t, 0, "a")
	same := []bus.Topic{{Name: f.topic, Partitions: 2, Configs: bus.MoneyConfigs()}}
	if err := f.client.EnsureTopics(f.ctx, same); err != nil {
		t.Errorf("second time: %v", err)
	}
	if got := f.read(t, 0, 0, 1); string(got[0].Value) != "a" {
		t.Error("the topic was created anew")
	}
	if err := f.client.AssertTopics(f.ctx, []bus.Topic{{Name: f.topic, Partitions: 3}}); err == nil {
		t.Error("a wrong partition count was accepted")
	}
	if err := f.client.EnsureTopics(f.ctx, []bus.Topic{{Name: f.topic, Partitions: 3}}); err == nil {
		t.Error("a wrong partition count was accepted when ensuring")
	}
	if err := f.client.AssertTopics(f.ctx, []bus.Topic{{Name: f.topic + "-missing", Partitions: 1}}); err == nil {
		t.Error("a missing topic was accepted")
	}
}

func (Suite) longPoll(t *testing.T, f fixture) {
	sub := f.client.Subscribe(f.topic, 0, 0)
	defer sub.Close()
	if msgs, err := sub.Fetch(f.ctx, 1, shortWait); err != nil || len(msgs) != 0 {
		t.Fatalf("empty log: %d messages, %v", len(msgs), err)
	}
	type result struct {
		msgs []bus.Message
		err  error
	}
	got := make(chan result, 1)
	go func() {
		msgs, err := sub.Fetch(f.ctx, 10, testLimit/2)
		got <- result{msgs, err}
	}()
	f.produce(t, 0, "late")
	select {
	case r := <-got:
		if r.err != nil || len(r.msgs) != 1 || string(r.msgs[0].Value) != "late" {
			t.Errorf("got %d messages, %v", len(r.msgs), r.err)
		}
	case <-time.NewTimer(testLimit / 4).C:
		t.Error("the reader slept through the record")
	}
}

func (Suite) idle(t *testing.T, f fixture) {
	sub := f.client.Subscribe(f.topic, 0, 0)
	defer sub.Close()
	for range 3 {
		msgs, err := sub.Fetch(f.ctx, 1, shortWait)
		if err != nil || len(msgs) != 0 {
			t.Fatalf("%d messages, %v", len(msgs), err)
		}
	}
	f.produce(t, 0, "a")
	if msgs, err := sub.Fetch(f.ctx, 1, testLimit/2); err != nil || len(msgs) != 1 {
		t.Fatalf("after idling: %d messages, %v", len(msgs), err)
	}
}

func (Suite) cancel(t *testing.T, f fixture) {
	sub := f.client.Subscribe(f.topic, 0, 0)
	defer sub.Close()
	if _, err := sub.Fetch(f.ctx, 1, shortWait); err != nil { // connects
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan error, 1)
	go func() {
		_, err := sub.Fetch(ctx, 1, testLimit)
		done <- err
	}()
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	case <-time.NewTimer(testLimit / 4).C:
		t.Fatal("cancelling did not end the fetch")
	}
	f.produce(t, 0, "a")
	if msgs, err := sub.Fetch(f.ctx, 1, testLimit/2); err != nil || len(msgs) != 1 {
		t.Errorf("after a cancelled fetch: %d messages, %v", len(msgs), err)
	}
}

func (Suite) closed(t *testing.T, f fixture) {
	sub := f.client.Subscribe(f.topic, 0, 0)
	if _, err := sub.Fetch(f.ctx, 1, shortWait); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := sub.Fetch(f.ctx, 1, testLimit)
		done <- err
	}()
	sub.Close()
	select {
	case err := <-done:
		if err == nil {
			t.Error("a closed reader returned no error")
		}
	case <-time.NewTimer(testLimit / 4).C:
		t.Fatal("closing did not end the fetch")
	}
	if _, err := sub.Fetch(f.ctx, 1, shortWait); !errors.Is(err, bus.ErrClosed) {
		t.Errorf("after closing: %v", err)
	}
}

func (Suite) boundsAndReadOne(t *testing.T, f fixture) {
	if first, end, err := f.client.Bounds(f.ctx, f.topic, 0); err != nil || first != 0 || end != 0 {
		t.Errorf("empty: [%d, %d), %v", first, end, err)
	}
	f.produce(t, 0, "a", "b", "c")
	if first, end, err := f.client.Bounds(f.ctx, f.topic, 0); err != nil || first != 0 || end != 3 {
		t.Errorf("three: [%d, %d), %v", first, end, err)
	}
	if m, err := f.client.ReadOne(f.ctx, f.topic, 0, 1); err != nil || string(m.Value) != "b" || m.Offset != 1 {
		t.Errorf("record 1: %q at %d, %v", m.Value, m.Offset, err)
	}
	if _, err := f.client.ReadOne(f.ctx, f.topic, 0, 3); !errors.Is(err, bus.ErrNoRecord) {
		t.Errorf("record 3: %v", err)
	}
}

func (Suite) outside(t *testing.T, f fixture) {
	f.produce(t, 0, "a", "b")
	sub := f.client.Subscribe(f.topic, 0, 7)
	defer sub.Close()
	for range 2 { // and it stays so
		_, err := sub.Fetch(f.ctx, 1, shortWait)
		if !errors.Is(err, bus.ErrTruncated) {
			t.Fatalf("got %v", err)
		}
		var truncated *bus.TruncatedError
		if !errors.As(err, &truncated) || truncated.Offset != 7 || truncated.End != 2 {
			t.Errorf("details: %+v", truncated)
		}
	}
}

func (Suite) deleteBefore(t *testing.T, f fixture) {
	for _, v := range []string{"a", "b", "c", "d", "e"} {
		f.produce(t, 0, v) // a batch each
	}
	f.produce(t, 1, "other")
	for _, beyond := range []int64{6, -1} { // -1 is everything, to a broker
		if _, err := f.client.DeleteBefore(f.ctx, f.topic, 0, beyond); !errors.Is(err, bus.ErrNoRecord) {
			t.Errorf("before %d: %v", beyond, err)
		}
	}
	for _, step := range []struct{ before, want int64 }{{0, 0}, {2, 2}, {1, 2}, {2, 2}, {3, 3}} {
		first, err := f.client.DeleteBefore(f.ctx, f.topic, 0, step.before)
		if err != nil || first != step.want {
			t.Fatalf("before %d: first %d, %v, want %d", step.before, first, err, step.want)
		}
		if first, end, err := f.client.Bounds(f.ctx, f.topic, 0); err != nil || first != step.want || end != 5 {
			t.Errorf("before %d: bounds %d to %d, %v", step.before, first, end, err)
		}
	}
	if got := f.read(t, 0, 3, 2); string(got[0].Value) != "d" || string(got[1].Value) != "e" {
		t.Errorf("left are %q and %q", got[0].Value, got[1].Value)
	}
	sub := f.client.Subscribe(f.topic, 0, 2)
	defer sub.Close()
	if _, err := sub.Fetch(f.ctx, 1, shortWait); !errors.Is(err, bus.ErrTruncated) {
		t.Errorf("what is deleted: %v", err)
	}
	if at := f.produce(t, 0, "f"); at != 5 {
		t.Errorf("the next offset is %d", at)
	}
	if first, end, err := f.client.Bounds(f.ctx, f.topic, 1); err != nil || first != 0 || end != 1 {
		t.Errorf("the other partition: %d to %d, %v", first, end, err)
	}
}

func (s Suite) notSent(t *testing.T, f fixture) {
	msg := []bus.Message{{Value: []byte("x")}}
	if _, err := f.client.Produce(f.ctx, f.topic+"-missing", 0, msg); !errors.Is(err, bus.ErrNotSent) {
		t.Errorf("missing topic: %v", err)
	}
	ended, cancel := context.WithCancel(f.ctx)
	cancel()
	if _, err := f.client.Produce(ended, f.topic, 0, msg); !errors.Is(err, bus.ErrNotSent) || !errors.Is(err, context.Canceled) {
		t.Errorf("ended context: %v", err)
	}
	if _, err := f.client.Produce(f.ctx, f.topic, 0, nil); !errors.Is(err, bus.ErrNotSent) {
		t.Errorf("no message: %v", err)
	}
	other, err := bus.Connect(bus.Config{Brokers: s.Brokers}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	other.Close()
	if _, err := other.Produce(f.ctx, f.topic, 0, msg); !errors.Is(err, bus.ErrNotSent) || !errors.Is(err, bus.ErrClosed) {
		t.Errorf("closed client: %v", err)
	}
	if _, end, err := f.client.Bounds(f.ctx, f.topic, 0); err != nil || end != 0 {
		t.Errorf("%d records are in the log, %v", end, err)
	}
}

func (Suite) appendTime(t *testing.T, f fixture) {
	// The broker's clock is not ours: a minute of difference is allowed.
	before := clock.Real().NowMs()
	for range 20 {
		f.produce(t, 0, "a", "b", "c")
	}
	after := clock.Real().NowMs()
	last := int64(0)
	for _, m := range f.read(t, 0, 0, 60) {
		if m.TimeMs < last {
			t.Errorf("offset %d: time runs backwards from %d to %d", m.Offset, last, m.TimeMs)
		}
		last = m.TimeMs
		if m.TimeMs < before-60_000 || m.TimeMs > after+60_000 {
			t.Errorf("offset %d: time %d is not now", m.Offset, m.TimeMs)
		}
	}
}

// foreignTime writes with the library itself, as a producer with a wrong clock, or one whose publish was under
// way for an hour, would.
func (s Suite) foreignTime(t *testing.T, f fixture) {
	now := clock.Real().Now()
	client := &kafka.Client{Addr: kafka.TCP(s.Brokers...), Transport: &kafka.Transport{}}
	res, err := client.Produce(f.ctx, &kafka.ProduceRequest{
		Topic: f.topic, Partition: 0, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(
			kafka.Record{Time: now.Add(-time.Hour), Value: kafka.NewBytes([]byte("a"))},
			kafka.Record{Time: now.Add(-time.Hour), Value: kafka.NewBytes([]byte("b"))},
		),
	})
	if err != nil || res.Error != nil {
		t.Fatal(err, res)
	}
	for _, m := range f.read(t, 0, 0, 2) {
		if ageMs := now.UnixMilli() - m.TimeMs; ageMs > 60_000 {
			t.Errorf("offset %d looks %d ms old", m.Offset, ageMs)
		}
	}
}

func (Suite) random(t *testing.T, f fixture) {
	seed := rand.Uint64() //nolint:gosec // a test's
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test's
	n := 0
	for n < 2000 {
		values := make([]string, 1+rng.IntN(60))
		for i := range values {
			values[i] = fmt.Sprintf("%d:%s", n+i, bytes.Repeat([]byte("x"), rng.IntN(300)))
		}
		f.produce(t, 1, values...)
		n += len(values)
	}
	for range 5 {
		from := rng.IntN(n)
		for i, m := range f.read(t, 1, int64(from), n-from) {
			if want := fmt.Sprintf("%d:", from+i); !bytes.HasPrefix(m.Value, []byte(want)) {
				t.Fatalf("offset %d holds %.12q, want %s", m.Offset, m.Value, want)
			}
		}
	}
}
