package server

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/deploy/stack/internal/programs"
	"mscoin/deploy/stack/internal/secret"
	"mscoin/mscoin-common/clock"
)

// checkout is the root of the module.
const checkout = "../../../.."

func newSite(t *testing.T, change func(*layout.Settings)) Site {
	t.Helper()
	folder, err := layout.Open(filepath.Join(t.TempDir(), "stack"))
	if err != nil {
		t.Fatal(err)
	}
	secrets, err := secret.Open(folder.Secrets())
	if err == nil {
		err = secrets.Ensure(Secrets()...)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := layout.Default()
	s.Services = layout.Services()
	s.Root = checkout
	if change != nil {
		change(&s)
	}
	return Site{Folder: folder, Settings: s, Secrets: secrets, Programs: programs.Find(folder), Clock: clock.Real()}
}

func threeBrokers(s *layout.Settings) { s.Brokers = 3 }
func onMySQL(s *layout.Settings)      { s.DB = layout.MySQL }

// wantLines fails for each line that text lacks.
func wantLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	have := strings.Split(text, "\n")
	for _, l := range lines {
		if !slices.Contains(have, l) {
			t.Errorf("there is no line %q in\n%s", l, text)
		}
	}
}

func TestSite_KafkaConf(t *testing.T) {
	t.Run("whatever the number of brokers: no topic by accident, no unclean leader, the broker's times, nothing expires", func(t *testing.T) {
		for _, s := range []Site{newSite(t, nil), newSite(t, threeBrokers)} {
			wantLines(t, s.kafkaConf(1, "/log"),
				"auto.create.topics.enable=false", "unclean.leader.election.enable=false", "log.message.timestamp.type=LogAppendTime",
				"log.retention.ms=-1", "log.retention.bytes=-1", "log.dirs=/log")
		}
	})
	t.Run("one broker syncs every record since no replica has it", func(t *testing.T) {
		wantLines(t, newSite(t, nil).kafkaConf(1, "/log"), "log.flush.interval.messages=1", "min.insync.replicas=1",
			"default.replication.factor=1", "controller.quorum.bootstrap.servers=127.0.0.1:21020",
			"listeners=PLAINTEXT://127.0.0.1:21010,CONTROLLER://127.0.0.1:21020")
	})
	t.Run("a benchmark may let the broker go without", func(t *testing.T) {
		s := newSite(t, func(s *layout.Settings) { s.Unsynced = true })
		if strings.Contains(s.kafkaConf(1, "/log"), "log.flush.interval.messages") {
			t.Error("every record is synced")
		}
	})
	t.Run("of three brokers two must have a record", func(t *testing.T) {
		text := newSite(t, threeBrokers).kafkaConf(2, "/log")
		wantLines(t, text, "node.id=2", "min.insync.replicas=2", "default.replication.factor=3", "transaction.state.log.min.isr=2",
			"controller.quorum.bootstrap.servers=127.0.0.1:21020,127.0.0.1:21021,127.0.0.1:21022",
			"listeners=PLAINTEXT://127.0.0.1:21011,CONTROLLER://127.0.0.1:21021")
		if strings.Contains(text, "log.flush.interval.messages") {
			t.Error("three brokers sync every record")
		}
	})
}

func TestTopics(t *testing.T) {
	s := newSite(t, threeBrokers).Settings
	s.Partitions = 4
	for _, topic := range Topics(s) {
		if topic.Partitions != 4 || topic.Replication != 3 || topic.Configs["min.insync.replicas"] != "2" ||
			topic.Configs["message.timestamp.type"] != "LogAppendTime" || topic.Configs["retention.ms"] != "-1" {
			t.Errorf("%+v", topic)
		}
	}
}

func TestSite_EnsureCluster(t *testing.T) {
	s := newSite(t, threeBrokers)
	t.Run("a broker never makes an identity of its own", func(t *testing.T) {
		if err := s.formatBroker(t.Context(), "none", 1); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	if err := s.EnsureCluster(); err != nil {
		t.Fatal(err)
	}
	first, err := s.cluster()
	if err != nil || len(first.Directories) != 3 {
		t.Fatalf("%+v, %v", first, err)
	}
	t.Run("the identity is made once", func(t *testing.T) {
		if err := s.EnsureCluster(); err != nil {
			t.Fatal(err)
		}
		again, err := s.cluster()
		if err != nil || again.ID != first.ID || !slices.Equal(again.Directories, first.Directories) {
			t.Errorf("%+v, %v", again, err)
		}
	})
	t.Run("the identity of another number of brokers is refused", func(t *testing.T) {
		if err := private.WriteFile(s.Folder.Data(s.Settings, "kafka.json"), []byte(`{"id":"x","directories":["y"]}`)); err != nil {
			t.Fatal(err)
		}
		if err := s.EnsureCluster(); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("ids have 22 letters and start with no dash", func(t *testing.T) {
		for range 200 {
			if id, err := kafkaUUID(); err != nil || len(id) != 22 || id[0] == '-' || id[0] == '_' {
				t.Fatalf("%q, %v", id, err)
			}
		}
	})
}

func TestSite_DatabaseConf(t *testing.T) {
	for name, change := range map[string]func(*layout.Settings){"mariadb": nil, "mysql": onMySQL} {
		t.Run(name+": what was acknowledged is on the disk, and statements behave alike", func(t *testing.T) {
			text, err := newSite(t, change).databaseConf("/data")
			if err != nil {
				t.Fatal(err)
			}
			wantLines(t, text, "innodb_flush_log_at_trx_commit=1", "innodb_doublewrite=1", "sync_binlog=1", "innodb_rollback_on_timeout=ON",
				"transaction-isolation=READ-COMMITTED", "collation-server=utf8mb4_bin", "bind-address=127.0.0.1", "port=21000", "skip-name-resolve")
			if got := strings.Contains(text, "skip-mysqlx"); got != (name == "mysql") {
				t.Errorf("skip-mysqlx: %v", got)
			}
		})
	}
}

func TestSite_DatabaseSQL(t *testing.T) {
	s := newSite(t, nil)
	text := s.databaseSQL()
	t.Run("each service has a database and a user of its own", func(t *testing.T) {
		for _, service := range Databases() {
			wantLines(t, text, "CREATE DATABASE IF NOT EXISTS `mscoin_"+service+"` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;")
			if service != "wallet" {
				wantLines(t, text, "GRANT ALL PRIVILEGES ON `mscoin\\_"+service+"`.* TO 'mscoin_"+service+"'@'127.0.0.1';")
			}
		}
	})
	t.Run("the wallet may add to its journal and nothing else", func(t *testing.T) {
		wantLines(t, text, "REVOKE ALL PRIVILEGES ON `mscoin\\_wallet`.* FROM 'mscoin_wallet'@'127.0.0.1';",
			"GRANT CREATE, UPDATE, DELETE ON `mscoin_wallet`.`member_wallet` TO 'mscoin_wallet'@'127.0.0.1';")
		if strings.Contains(text, "wallet_journal") {
			t.Error("changes to the journal are granted")
		}
	})
	t.Run("tests may create databases, and only such as bear their name", func(t *testing.T) {
		wantLines(t, text, "GRANT ALL PRIVILEGES ON `mscoin\\_test\\_%`.* TO 'mscoin_test'@'127.0.0.1';")
	})
	t.Run("MySQL's root gets a password before the server listens", func(t *testing.T) {
		s := newSite(t, onMySQL)
		wantLines(t, s.databaseSQL(), "ALTER USER 'root'@'localhost' IDENTIFIED BY '"+s.Secrets.Get(DatabaseSecret("root"))+"';")
	})
	t.Run("every statement has a line of its own", func(t *testing.T) {
		for l := range strings.Lines(text) {
			if !strings.HasSuffix(l, ";\n") || strings.Count(l, ";") != 1 {
				t.Errorf("%q", l)
			}
		}
	})
}

func TestSite_RedisConf(t *testing.T) {
	s := newSite(t, nil)
	wantLines(t, s.redisConf("/data"), "requirepass "+s.Secrets.Get(RedisSecret), "bind 127.0.0.1", "port 21001",
		"maxmemory-policy noeviction", "set-proc-title no", "appendonly yes")
}

func TestComponents(t *testing.T) {
	s := newSite(t, threeBrokers)
	all := append(Infrastructure(s), Services(s)...)
	t.Run("no secret is on a command line", func(t *testing.T) {
		for _, c := range all {
			for _, name := range Secrets() {
				if strings.Contains(strings.Join(c.Spec.Args, " "), s.Secrets.Get(name)) {
					t.Errorf("%s shows %s", c.Name, name)
				}
			}
		}
	})
	t.Run("every component has its files, its ports and its limits", func(t *testing.T) {
		logs := map[string]bool{}
		for _, c := range all {
			if c.Addr == "" || len(c.Ports) == 0 || c.ReadyWithin <= 0 || c.StopWithin <= 0 || c.Prepare == nil || c.Ready == nil {
				t.Errorf("%+v", c)
			}
			if logs[c.Spec.Log] {
				t.Errorf("%s shares a log", c.Name)
			}
			logs[c.Spec.Log] = true
		}
	})
	t.Run("services start after those they need", func(t *testing.T) {
		var names []string
		for _, c := range Services(s) {
			names = append(names, c.Name)
		}
		if !slices.Equal(names, []string{"wallet", "ucenter", "exchange", "market", "gateway"}) {
			t.Errorf("%v", names)
		}
	})
	t.Run("only the chosen services run", func(t *testing.T) {
		s := newSite(t, func(s *layout.Settings) { s.Services = []string{"wallet"} })
		if got := Services(s); len(got) != 1 || got[0].Name != "wallet" {
			t.Errorf("%+v", got)
		}
	})
}

// TestSite_ServiceConfigurations holds the services' own configurations against what
// the stack sets and gives.
func TestSite_ServiceConfigurations(t *testing.T) {
	s := newSite(t, nil)
	env, err := s.Env()
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]bool{}
	for _, entry := range env {
		name, value, _ := strings.Cut(entry, "=")
		given[name] = value != ""
	}
	variable := regexp.MustCompile(`\$\{(\w+)\}`)
	for _, name := range layout.Services() {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join(checkout, name, "etc", name+".yaml"))
			if err != nil {
				t.Fatal(err)
			}
			out, err := overlay(text, s.changes(name))
			if err != nil {
				t.Fatalf("the configuration has no such key: %v", err)
			}
			var got struct {
				ListenOn string `yaml:"ListenOn"`
			}
			if err := yaml.Unmarshal(out, &got); err != nil || got.ListenOn != layout.Addr(s.Settings.ServicePort(name)) {
				t.Errorf("listens on %q, %v", got.ListenOn, err)
			}
			for _, m := range variable.FindAllStringSubmatch(string(out), -1) {
				if !given[m[1]] {
					t.Errorf("it asks for %s, which the stack does not set", m[1])
				}
			}
			for _, port := range []string{":9092", ":6379", ":8101", ":8102", ":8103", ":8104", ":9101", ":9102", ":9103", ":9104", ":9105"} {
				if strings.Contains(string(out), port) {
					t.Errorf("an address with %s is left in\n%s", port, out)
				}
			}
		})
	}
}

func TestOverlay(t *testing.T) {
	const text = "# c\nA: 1\nB:\n  C: ${X}\n  D: [x]\n"
	t.Run("changes what it is told and keeps the rest, variables too", func(t *testing.T) {
		out, err := overlay([]byte(text), []change{{path: "A", value: 2}, {path: "B.D", value: []string{"v", "w"}}, {path: "B.E", value: "new", add: true}})
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, string(out), "A: 2", "  C: ${X}", "    - v", "    - w", "  E: new")
	})
	t.Run("a key or section that is gone is an error", func(t *testing.T) {
		for _, path := range []string{"Z", "B.Z", "Z.A", "A.B"} {
			if _, err := overlay([]byte(text), []change{{path: path, value: 1}}); err == nil {
				t.Errorf("%s was accepted", path)
			}
		}
	})
	t.Run("a damaged configuration is an error", func(t *testing.T) {
		if _, err := overlay([]byte("A: ["), nil); err == nil {
			t.Error("accepted")
		}
	})
}

func TestOnce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	boom := errors.New("boom")
	runs := 0
	t.Run("a set-up that failed is done again from nothing", func(t *testing.T) {
		err := once(dir, func() error {
			runs++
			return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o600), boom)
		})
		if !errors.Is(err, boom) {
			t.Fatal(err)
		}
		if err := once(dir, func() error { runs++; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(filepath.Join(dir, "half")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("left over: %v", err)
		}
	})
	t.Run("one that is complete is never done again", func(t *testing.T) {
		if err := os.WriteFile(filepath.Join(dir, "money"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := once(dir, func() error { runs++; return nil }); err != nil || runs != 2 {
			t.Errorf("%d runs, %v", runs, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "money")); err != nil {
			t.Error(err)
		}
	})
}

func TestSite_RunTool(t *testing.T) {
	s := newSite(t, nil)
	if err := s.runTool(t.Context(), []string{"X=7"}, "/bin/sh", "-c", `test "$X" = 7`); err != nil {
		t.Error(err)
	}
	err := s.runTool(t.Context(), nil, "/bin/sh", "-c", "echo what went wrong; exit 3")
	if err == nil || !strings.Contains(err.Error(), "what went wrong") {
		t.Errorf("got %v", err)
	}
}
