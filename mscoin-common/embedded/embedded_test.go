package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/embedded"
)

const (
	topic     = "log"
	childEnv  = "MSCOIN_TEST_BROKER_DIR"
	testLimit = 30 * time.Second
)

// TestMain lets the test binary be the process that is killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		produceUntilKilled(dir)
		return
	}
	m.Run()
}

// produceUntilKilled prints each offset once it is acknowledged.
func produceUntilKilled(dir string) {
	b, err := embedded.StartBroker(embedded.Config{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	client, err := bus.Connect(bus.Config{Brokers: []string{b.Addr()}}, clock.Real())
	if err == nil {
		err = client.EnsureTopics(context.Background(), []bus.Topic{{Name: topic, Partitions: 1, Configs: bus.MoneyConfigs()}})
	}
	for err == nil {
		var base int64
		if base, err = client.Produce(context.Background(), topic, 0, []bus.Message{{Key: []byte("k"), Value: []byte("value")}}); err == nil {
			fmt.Println(base)
		}
	}
	fmt.Println(err)
	os.Exit(1)
}

func start(t *testing.T, cfg embedded.Config) (*embedded.Broker, *bus.Client) {
	t.Helper()
	b, err := embedded.StartBroker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	client, err := bus.Connect(bus.Config{Brokers: []string{b.Addr()}}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(t.Context(), []bus.Topic{{Name: topic, Partitions: 1, Configs: bus.MoneyConfigs()}}); err != nil {
		t.Fatal(err)
	}
	return b, client
}

func produce(t *testing.T, client *bus.Client, values ...string) {
	t.Helper()
	var msgs []bus.Message
	for _, v := range values {
		msgs = append(msgs, bus.Message{Key: []byte("k"), Value: []byte(v)})
	}
	if _, err := client.Produce(t.Context(), topic, 0, msgs); err != nil {
		t.Fatal(err)
	}
}

func readAll(t *testing.T, client *bus.Client) []bus.Message {
	t.Helper()
	_, end, err := client.Bounds(t.Context(), topic, 0)
	if err != nil {
		t.Fatal(err)
	}
	sub := client.Subscribe(topic, 0, 0)
	defer sub.Close()
	var all []bus.Message
	for int64(len(all)) < end {
		msgs, err := sub.Fetch(t.Context(), 1000, time.Second)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, msgs...)
	}
	return all
}

func TestBroker_Advertise(t *testing.T) {
	t.Run("clients are told the proxy's address, and the broker listens on its own", func(t *testing.T) {
		b, client := start(t, embedded.Config{Addr: "127.0.0.1:0"})
		produce(t, client, "a")
		own := b.Addr()
		client.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		const proxy = "127.0.0.1:1" // nobody is there
		b, err := embedded.StartBroker(embedded.Config{Addr: own, Advertise: proxy})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		if b.Addr() != proxy {
			t.Errorf("it is told to be at %s", b.Addr())
		}
		if client, err = bus.Connect(bus.Config{Brokers: []string{own}}, clock.Real()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(client.Close)
		// The first request reaches it; the ones to the leader go to the proxy.
		if err := client.EnsureTopics(t.Context(), []bus.Topic{{Name: topic, Partitions: 1, Configs: bus.MoneyConfigs()}}); err == nil {
			t.Error("a client has reached it behind the proxy's back")
		}
	})
}

func TestBroker_Restart(t *testing.T) {
	t.Run("topics, records and times survive an orderly restart", func(t *testing.T) {
		dir := t.TempDir()
		b, client := start(t, embedded.Config{Dir: dir})
		produce(t, client, "a", "b")
		produce(t, client, "c")
		before := readAll(t, client)
		client.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		_, client = start(t, embedded.Config{Dir: dir})
		after := readAll(t, client)
		if len(after) != 3 {
			t.Fatalf("%d records, want 3", len(after))
		}
		for i := range after {
			if string(bus.Fingerprint(before[i])) != string(bus.Fingerprint(after[i])) {
				t.Errorf("record %d differs: %+v, was %+v", i, after[i], before[i])
			}
		}
		produce(t, client, "d")
		if all := readAll(t, client); len(all) != 4 || string(all[3].Value) != "d" {
			t.Errorf("after the restart: %d records", len(all))
		}
	})
	t.Run("what was acknowledged survives SIGKILL", func(t *testing.T) {
		dir := t.TempDir()
		for round := range 3 {
			acked := killed(t, dir)
			b, client := start(t, embedded.Config{Dir: dir})
			all := readAll(t, client)
			if int64(len(all)) <= acked {
				t.Errorf("round %d: offset %d was acknowledged, the log ends at %d", round, acked, len(all))
			}
			for i, m := range all {
				if m.Offset != int64(i) || string(m.Value) != "value" {
					t.Fatalf("round %d: record %d is %q at %d", round, i, m.Value, m.Offset)
				}
			}
			client.Close()
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Run("a torn write at the end is cut off", func(t *testing.T) {
		dir := t.TempDir()
		b, client := start(t, embedded.Config{Dir: dir})
		produce(t, client, "a")
		produce(t, client, "b")
		client.Close()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		tearLog(t, dir)
		_, client = start(t, embedded.Config{Dir: dir})
		if all := readAll(t, client); len(all) != 1 || string(all[0].Value) != "a" {
			t.Errorf("%d records are left", len(all))
		}
		produce(t, client, "c")
		if all := readAll(t, client); len(all) != 2 || string(all[1].Value) != "c" {
			t.Errorf("the log does not go on: %d records", len(all))
		}
	})
}

// killed runs a producing process on dir, kills it, and returns the last offset it saw acknowledged.
func killed(t *testing.T, dir string) int64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	last, lines := int64(-1), 0
	for {
		var offset int64
		if _, err := fmt.Fscanln(out, &offset); err != nil {
			break
		}
		last = offset
		if lines++; lines == 200 {
			_ = cmd.Process.Kill()
		}
	}
	if err := cmd.Wait(); err == nil || lines < 200 {
		t.Fatalf("the process ended by itself after %d records: %v", lines, err)
	}
	return last
}

// tearLog cuts the last bytes off the only segment.
func tearLog(t *testing.T, dir string) {
	t.Helper()
	found := false
	err := fsWalk(dir, func(path string, size int64) error {
		if strings.HasSuffix(path, ".dat") && size > 0 {
			found = true
			return os.Truncate(path, size-5)
		}
		return nil
	})
	if err != nil || !found {
		t.Fatalf("no segment: %v", err)
	}
}

func fsWalk(dir string, visit func(path string, size int64) error) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := dir + "/" + e.Name()
		info, err := e.Info()
		switch {
		case err != nil:
		case e.IsDir():
			err = fsWalk(path, visit)
		default:
			err = visit(path, info.Size())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func TestStartBroker(t *testing.T) {
	t.Run("a folder has one broker at a time", func(t *testing.T) {
		dir := t.TempDir()
		b, _ := start(t, embedded.Config{Dir: dir})
		if second, err := embedded.StartBroker(embedded.Config{Dir: dir}); err == nil {
			_ = second.Close()
			t.Fatal("a second broker was started")
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		again, err := embedded.StartBroker(embedded.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(again.Close(), again.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Run("an address that is taken is an error and leaves the folder free", func(t *testing.T) {
		dir := t.TempDir()
		b, _ := start(t, embedded.Config{})
		if _, err := embedded.StartBroker(embedded.Config{Dir: dir, Addr: b.Addr()}); err == nil {
			t.Fatal("no error")
		}
		start(t, embedded.Config{Dir: dir})
	})
	t.Run("a record has the broker's time, which never runs backwards", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(5_000))
		_, client := start(t, embedded.Config{Clock: clk, Dir: t.TempDir()})
		produce(t, client, "a")
		clk.Advance(time.Second)
		produce(t, client, "b", "c")
		for i, m := range readAll(t, client) {
			if want := []int64{5_000, 6_000, 6_000}[i]; m.TimeMs != want {
				t.Errorf("record %d: time %d, want %d", i, m.TimeMs, want)
			}
		}
	})
}

func TestRedis_Expiry(t *testing.T) {
	server, err := embedded.StartRedis("")
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	if err := client.Set(t.Context(), "short", "v", 200*time.Millisecond).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Set(t.Context(), "long", "v", time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
	deadline := time.NewTimer(testLimit)
	defer deadline.Stop()
	for client.Exists(t.Context(), "short").Val() != 0 {
		select {
		case <-deadline.C:
			t.Fatal("the key does not expire")
		case <-time.NewTimer(5 * time.Millisecond).C:
		}
	}
	if client.Exists(t.Context(), "long").Val() != 1 {
		t.Error("the long key is gone")
	}
	if err := errors.Join(server.Close(), server.Close()); err != nil {
		t.Error(err)
	}
}
