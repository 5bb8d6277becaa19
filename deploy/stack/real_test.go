package main

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/process"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/testkit"
)

// realEnv asks for the tests that start the real servers. They take minutes and fetch
// programs.
const realEnv = "MSCOIN_STACK_TEST"

// programs is the folder with Kafka and MySQL, which the stacks of all tests share.
var programs = sync.OnceValues(func() (string, error) { return os.MkdirTemp("", "mscoin-stack-servers-") })

// rig is a real stack in a folder of its own.
type rig struct {
	t      *testing.T
	flags  []string
	folder layout.Folder
}

func newRig(t *testing.T, flags ...string) *rig {
	t.Helper()
	testkit.Elsewhere(t, realEnv, "make test-stack")
	folder, err := layout.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	fetched, err := programs()
	if err == nil {
		err = os.Symlink(fetched, folder.Programs())
	}
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, folder: folder, flags: append([]string{"-dir", string(folder), "-port", "0"}, flags...)}
	t.Cleanup(func() {
		r.do(0, "down")
		if strays, err := process.Strays(string(folder)); err != nil || len(strays) > 0 {
			t.Errorf("left running: %v, %v", strays, err)
		}
	})
	r.do(0, "install")
	return r
}

// in returns the rig for a sub-test.
func (r *rig) in(t *testing.T) *rig {
	sub := *r
	sub.t = t
	return &sub
}

// do runs a command, expects its exit code, and logs what it took.
func (r *rig) do(want int, command string, args ...string) string {
	r.t.Helper()
	var out bytes.Buffer
	begin := clock.Real().Now()
	got := run(context.WithoutCancel(r.t.Context()), append(append([]string{command}, r.flags...), args...), &out, &out)
	r.t.Logf("%s: %v\n%s", command, clock.Real().Now().Sub(begin).Round(time.Millisecond), out.String())
	if got != want {
		r.t.Fatalf("%s: exit code %d, want %d", command, got, want)
	}
	return out.String()
}

// env returns a variable of the stack's environment.
func (r *rig) env(name string) string {
	r.t.Helper()
	content, err := os.ReadFile(r.folder.Env())
	if err != nil {
		r.t.Fatal(err)
	}
	for line := range strings.Lines(string(content)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "export "+name+"='"); ok {
			return strings.TrimSuffix(value, "'")
		}
	}
	r.t.Fatalf("there is no %s", name)
	return ""
}

func (r *rig) databaseAddr() string {
	r.t.Helper()
	settings, _, err := r.folder.Load()
	if err != nil {
		r.t.Fatal(err)
	}
	return layout.Addr(settings.DatabasePort())
}

func (r *rig) kill(names ...string) {
	r.t.Helper()
	for _, name := range names {
		state, rec, err := process.Look(r.folder.PIDFile(name))
		if err != nil || state != process.Running {
			r.t.Fatalf("%s: %v, %v", name, state, err)
		}
		if err := syscall.Kill(rec.PID, syscall.SIGKILL); err != nil {
			r.t.Fatal(err)
		}
		for state == process.Running {
			state, _, _ = process.Look(r.folder.PIDFile(name))
		}
	}
}

func (r *rig) wallet() *sql.DB {
	r.t.Helper()
	db, err := sql.Open("mysql", r.env("MSCOIN_WALLET_DSN"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = db.Close() })
	return db
}

func (r *rig) bus() *bus.Client {
	r.t.Helper()
	client, err := bus.Connect(bus.Config{Brokers: strings.Split(r.env("MSCOIN_KAFKA_BROKERS"), ",")}, clock.Real())
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(client.Close)
	return client
}

func (r *rig) kafka() *kafka.Client {
	r.t.Helper()
	transport := &kafka.Transport{}
	r.t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(strings.Split(r.env("MSCOIN_KAFKA_BROKERS"), ",")...), Transport: transport}
}

// wantVariables checks the database's settings as the server sees them.
func (r *rig) wantVariables(db *sql.DB) {
	r.t.Helper()
	for name, want := range map[string]string{
		"innodb_flush_log_at_trx_commit": "1", "innodb_doublewrite": "ON", "innodb_rollback_on_timeout": "ON", "log_bin": "OFF",
		"collation_database": "utf8mb4_bin", "character_set_server": "utf8mb4", "skip_name_resolve": "ON", "bind_address": "127.0.0.1",
	} {
		var got string
		if err := db.QueryRow("SHOW VARIABLES LIKE '"+name+"'").Scan(new(string), &got); err != nil || got != want {
			r.t.Errorf("%s is %q, %v; want %q", name, got, err, want)
		}
	}
	var name, isolation string
	if err := db.QueryRow("SHOW VARIABLES WHERE variable_name IN ('tx_isolation', 'transaction_isolation')").Scan(&name, &isolation); err != nil || isolation != "READ-COMMITTED" {
		r.t.Errorf("%s is %q, %v", name, isolation, err)
	}
}

// wantTopics checks the settings that the brokers keep for the money topics.
func (r *rig) wantTopics(minInSync string) {
	r.t.Helper()
	for _, topic := range bus.MoneyTopics(1) {
		res, err := r.kafka().DescribeConfigs(r.t.Context(), &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic.Name}},
		})
		if err != nil || len(res.Resources) != 1 {
			r.t.Fatalf("%+v, %v", res, err)
		}
		got := map[string]string{}
		for _, entry := range res.Resources[0].ConfigEntries {
			got[entry.ConfigName] = entry.ConfigValue
		}
		for name, want := range map[string]string{
			"message.timestamp.type": "LogAppendTime", "retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete",
			"min.insync.replicas": minInSync, "unclean.leader.election.enable": "false", "max.message.bytes": "8388608",
		} {
			if got[name] != want {
				r.t.Errorf("%s: %s is %q, want %q", topic.Name, name, got[name], want)
			}
		}
	}
}

func TestReal_OneBroker(t *testing.T) {
	for db, server := range map[string]string{layout.MariaDB: "MariaDB", layout.MySQL: "MySQL Community"} {
		t.Run(db, func(t *testing.T) { oneBroker(t, newRig(t, "-db", db), db, server) })
	}
}

func oneBroker(t *testing.T, r *rig, db, server string) {
	ctx := t.Context()
	r.do(exitDown, "status")
	r.do(0, "up")
	r.do(0, "status")
	wallet := r.wallet()
	t.Run("the servers have the settings that money needs", func(t *testing.T) {
		r := r.in(t)
		var version string
		if err := wallet.QueryRow("SELECT CONCAT(@@version, ' ', @@version_comment)").Scan(&version); err != nil || !strings.Contains(version, server) {
			t.Errorf("version %q, %v", version, err)
		}
		r.wantVariables(wallet)
		r.wantTopics("1")
	})
	t.Run("a service sees its own database alone, and nobody gets in without a password", func(t *testing.T) {
		if _, err := wallet.Exec("USE mscoin_ucenter"); err == nil {
			t.Error("the wallet may use ucenter's database")
		}
		for _, user := range []string{"root", "mscoin_wallet"} {
			stranger, err := sql.Open("mysql", user+"@tcp("+r.databaseAddr()+")/")
			if err != nil {
				t.Fatal(err)
			}
			if err := stranger.Ping(); err == nil {
				t.Errorf("%s got in without a password", user)
			}
			_ = stranger.Close()
		}
	})
	client := r.bus()
	t.Run("no topic comes into being by accident", func(t *testing.T) {
		if _, err := client.Produce(ctx, "typo", 0, []bus.Message{{Value: []byte("x")}}); !errors.Is(err, bus.ErrNotSent) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("the environment reaches a command", func(t *testing.T) {
		r := r.in(t)
		r.do(0, "run", "/bin/sh", "-c", `test -n "$MSCOIN_TEST_`+strings.ToUpper(db)+`_DSN" && test -n "$MSCOIN_TEST_KAFKA_BROKERS" && test -n "$MSCOIN_TEST_REDIS_ADDR"`)
		r.do(0, "test", "/bin/sh", "-c", `test -z "$MSCOIN_WALLET_DSN" && test -n "$MSCOIN_TEST_KAFKA_BROKERS"`)
		r.do(7, "run", "/bin/sh", "-c", "exit 7")
	})
	t.Run("what was acknowledged survives kill -9 of everything", func(t *testing.T) {
		r := r.in(t)
		if _, err := wallet.Exec("CREATE TABLE survivor (id BIGINT PRIMARY KEY)"); err != nil {
			t.Fatal(err)
		}
		if _, err := wallet.Exec("INSERT INTO survivor VALUES (42)"); err != nil {
			t.Fatal(err)
		}
		offset, err := client.Produce(ctx, bus.TopicCommands, 0, []bus.Message{{Key: []byte("k"), Value: []byte("42")}})
		if err != nil {
			t.Fatal(err)
		}
		r.kill(db, "redis", "kafka-1")
		if out := r.do(exitUnhealthy, "status"); strings.Count(out, "crashed") != 3 {
			t.Error("a crash is not shown")
		}
		r.do(0, "up")
		var id int64
		if err := r.wallet().QueryRow("SELECT id FROM survivor").Scan(&id); err != nil || id != 42 {
			t.Errorf("row %d, %v", id, err)
		}
		if m, err := r.bus().ReadOne(ctx, bus.TopicCommands, 0, offset); err != nil || string(m.Value) != "42" {
			t.Errorf("record %q, %v", m.Value, err)
		}
	})
	t.Run("starting twice changes nothing, stopping leaves nothing", func(t *testing.T) {
		r := r.in(t)
		_, before, _ := process.Look(r.folder.PIDFile("kafka-1"))
		r.do(0, "up")
		if _, after, _ := process.Look(r.folder.PIDFile("kafka-1")); after.PID != before.PID {
			t.Error("the broker was started again")
		}
		if out := r.do(0, "down"); strings.Contains(out, "killed") {
			t.Error("a server did not stop by itself")
		}
		r.do(exitDown, "status")
	})
}

// TestReal_ThreeBrokers loses the leader of the command log under load.
func TestReal_ThreeBrokers(t *testing.T) {
	r := newRig(t, "-brokers", "3")
	r.do(0, "up")
	r.wantTopics("2")
	client := r.bus()
	leader := r.leader(bus.TopicCommands)

	const before, total = 200, 600
	var acked []string
	unknown := 0
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for i := 0; i < total; {
		if i == before && leader != "" {
			r.kill(leader)
			leader = ""
		}
		value := strconv.Itoa(i)
		_, err := client.Produce(ctx, bus.TopicCommands, 0, []bus.Message{{Key: []byte("k"), Value: []byte(value)}})
		if ctx.Err() != nil {
			t.Fatalf("stuck at %d: %v", i, err)
		}
		if err == nil {
			acked = append(acked, value)
			i++
			continue
		}
		if !errors.Is(err, bus.ErrNotSent) {
			unknown++
		}
		<-clock.Real().After(20 * time.Millisecond)
	}
	t.Run("writing goes on without the broker that led", func(t *testing.T) {
		r := r.in(t)
		t.Logf("%d writes with an unknown outcome", unknown)
		if out := r.do(exitUnhealthy, "status"); strings.Count(out, "crashed") != 1 {
			t.Error("not exactly one broker is gone")
		}
	})
	t.Run("nothing that was acknowledged is lost, in its order", func(t *testing.T) { r.in(t).wantInOrder(ctx, client, acked) })
	t.Run("the broker comes back and nothing changes", func(t *testing.T) {
		r := r.in(t)
		r.do(0, "up")
		r.do(0, "status")
		r.wantInOrder(ctx, client, acked)
	})
}

// leader returns the name of the broker that leads the topic's first partition.
func (r *rig) leader(topic string) string {
	r.t.Helper()
	res, err := r.kafka().Metadata(r.t.Context(), &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil || len(res.Topics) != 1 || len(res.Topics[0].Partitions) != 1 {
		r.t.Fatalf("%+v, %v", res, err)
	}
	return fmt.Sprintf("kafka-%d", res.Topics[0].Partitions[0].Leader.ID)
}

// wantInOrder reads the whole command log: every acknowledged value is there once it was
// acknowledged, in order; a write whose outcome was unknown may be there besides.
func (r *rig) wantInOrder(ctx context.Context, client *bus.Client, acked []string) {
	r.t.Helper()
	_, end, err := client.Bounds(ctx, bus.TopicCommands, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	sub := client.Subscribe(bus.TopicCommands, 0, 0)
	defer sub.Close()
	found := 0
	for read := int64(0); read < end; {
		msgs, err := sub.Fetch(ctx, 1000, time.Second)
		if err != nil {
			r.t.Fatalf("at %d: %v", read, err)
		}
		for _, m := range msgs {
			if found < len(acked) && string(m.Value) == acked[found] {
				found++
			}
		}
		read += int64(len(msgs))
	}
	if found != len(acked) {
		r.t.Errorf("%d of %d acknowledged records are there in order", found, len(acked))
	}
}
