package server

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/bus"
)

// Limits of a broker. After a kill it waits for its old session to end. The last of three
// to stop waits for a quorum that is gone, until it is killed; what it has acknowledged,
// another has too.
const (
	brokerReady     = 150 * time.Second
	brokerStop      = 20 * time.Second
	brokerStopOfSet = 8 * time.Second
)

func (s Site) brokerStop() time.Duration {
	if s.Settings.Brokers > 1 {
		return brokerStopOfSet
	}
	return brokerStop
}

func brokerName(n int) string { return "kafka-" + strconv.Itoa(n) }

func broker(s Site, n int) Component {
	name := brokerName(n)
	dir := s.Folder.Data(s.Settings, name)
	conf := s.Folder.Etc(name + ".properties")
	logConf := s.Folder.Etc(name + ".log4j2.properties")
	addr := layout.Addr(s.Settings.BrokerPort(n))
	args := append(s.javaArgs(logConf), "kafka.Kafka", conf)
	return Component{
		Name:  name,
		Addr:  addr,
		Ports: []int{s.Settings.BrokerPort(n), s.Settings.ControllerPort(n)},
		Prepare: func(ctx context.Context) error {
			err := errors.Join(
				private.WriteFile(conf, []byte(s.kafkaConf(n, filepath.Join(dir, "log")))),
				private.WriteFile(logConf, []byte(kafkaLogConf(s.Folder.Log(name+".server")))),
			)
			if err != nil {
				return err
			}
			return once(dir, func() error { return s.formatBroker(ctx, conf, n) })
		},
		Spec:        s.spec(name, s.Programs.Java, args...),
		Ready:       func(ctx context.Context) error { return s.brokerReady(ctx, addr) },
		ReadyWithin: brokerReady,
		StopWithin:  s.brokerStop(),
	}
}

// javaArgs are the virtual machine's arguments. One broker is tuned for its speed; three
// share a machine, and each is tuned for little work and memory.
func (s Site) javaArgs(logConf string) []string {
	tuning := []string{"-Xmx512m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20"}
	if s.Settings.Brokers > 1 {
		tuning = []string{"-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"}
	}
	return append(tuning, "-Xms128m", "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true",
		"-Dlog4j2.configurationFile="+logConf, "-cp", filepath.Join(s.Programs.KafkaJars, "*"))
}

// cluster is the identity of a Kafka cluster, made once for its data.
type cluster struct {
	ID          string   `json:"id"`
	Directories []string `json:"directories"`
}

func (s Site) clusterFile() string { return s.Folder.Data(s.Settings, "kafka.json") }

// EnsureCluster makes the cluster's identity when there is none. It comes before the
// brokers, which are set up at the same time and must share it.
func (s Site) EnsureCluster() error {
	_, err := s.cluster()
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var c cluster
	if c.ID, err = kafkaUUID(); err != nil {
		return err
	}
	for range s.Settings.Brokers {
		id, err := kafkaUUID()
		if err != nil {
			return err
		}
		c.Directories = append(c.Directories, id)
	}
	content, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return fmt.Errorf("identity of the Kafka cluster: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(s.clusterFile()), 0o700); err != nil {
		return fmt.Errorf("identity of the Kafka cluster: %w", err)
	}
	if err := private.WriteFile(s.clusterFile(), append(content, '\n')); err != nil {
		return fmt.Errorf("identity of the Kafka cluster: %w", err)
	}
	return nil
}

// cluster reads the identity.
func (s Site) cluster() (c cluster, err error) {
	content, err := os.ReadFile(s.clusterFile())
	if err != nil {
		return c, fmt.Errorf("identity of the Kafka cluster: %w", err)
	}
	if err := json.Unmarshal(content, &c); err != nil || c.ID == "" || len(c.Directories) != s.Settings.Brokers {
		return c, fmt.Errorf("%s is damaged: %w", s.clusterFile(), errors.Join(err, errors.New("it names no cluster of this size")))
	}
	return c, nil
}

// kafkaUUID makes a random id in Kafka's notation, which must not start with a dash.
func kafkaUUID() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", err
	}
	b[0] &= 0x7f // the first letter is then neither - nor _
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// formatBroker writes the cluster's identity into an empty log folder. Every broker is
// also a controller; with three the first quorum is named, since none of them exists yet.
func (s Site) formatBroker(ctx context.Context, conf string, n int) error {
	c, err := s.cluster()
	if err != nil {
		return err
	}
	args := append(s.javaArgs(s.Folder.Etc(brokerName(n)+".log4j2.properties")), "kafka.tools.StorageTool", "format", "-t", c.ID, "-c", conf)
	if s.Settings.Brokers == 1 {
		args = append(args, "--standalone")
	} else {
		var voters []string
		for i, dir := range c.Directories {
			voters = append(voters, fmt.Sprintf("%d@%s:%s", i+1, layout.Addr(s.Settings.ControllerPort(i+1)), dir))
		}
		args = append(args, "--initial-controllers", strings.Join(voters, ","))
	}
	return s.runTool(ctx, nil, s.Programs.Java, args...)
}

// Replication returns the replicas of a topic and how many must have a record before it
// is acknowledged.
func Replication(s layout.Settings) (factor, minInSync int) {
	if s.Brokers >= 3 {
		return 3, 2
	}
	return 1, 1
}

// kafkaConf renders server.properties. Short sessions make a broker that was killed
// come back in seconds; the standard 9 s belong to larger networks.
func (s Site) kafkaConf(n int, logDir string) string {
	var controllers []string
	for i := 1; i <= s.Settings.Brokers; i++ {
		controllers = append(controllers, layout.Addr(s.Settings.ControllerPort(i)))
	}
	factor, minInSync := Replication(s.Settings)
	client, quorum := layout.Addr(s.Settings.BrokerPort(n)), layout.Addr(s.Settings.ControllerPort(n))
	lines := []string{
		"process.roles=broker,controller",
		fmt.Sprintf("node.id=%d", n),
		"controller.quorum.bootstrap.servers=" + strings.Join(controllers, ","),
		"listeners=PLAINTEXT://" + client + ",CONTROLLER://" + quorum,
		"advertised.listeners=PLAINTEXT://" + client + ",CONTROLLER://" + quorum,
		"controller.listener.names=CONTROLLER",
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"log.dirs=" + logDir,
		"",
		"# What was acknowledged stays; what is not known to be there is not led.",
		fmt.Sprintf("default.replication.factor=%d", factor),
		fmt.Sprintf("min.insync.replicas=%d", minInSync),
		"unclean.leader.election.enable=false",
		fmt.Sprintf("offsets.topic.replication.factor=%d", factor),
		fmt.Sprintf("transaction.state.log.replication.factor=%d", factor),
		fmt.Sprintf("transaction.state.log.min.isr=%d", minInSync),
		fmt.Sprintf("share.coordinator.state.topic.replication.factor=%d", factor),
		fmt.Sprintf("share.coordinator.state.topic.min.isr=%d", minInSync),
		"",
		"# Topics are made by a tool; their times are the broker's; they keep everything.",
		"auto.create.topics.enable=false",
		fmt.Sprintf("num.partitions=%d", s.Settings.Partitions),
		"log.message.timestamp.type=LogAppendTime",
		"log.retention.ms=-1",
		"log.retention.bytes=-1",
		"message.max.bytes=8388608",
		"replica.fetch.max.bytes=8388608",
		"replica.fetch.response.max.bytes=16777216",
		"",
		"# A stack on one machine.",
		"broker.session.timeout.ms=3000",
		"broker.heartbeat.interval.ms=500",
		"initial.broker.registration.timeout.ms=150000",
		"controller.quorum.election.timeout.ms=2000",
		"controller.quorum.fetch.timeout.ms=4000",
		"group.initial.rebalance.delay.ms=0",
		"offsets.topic.num.partitions=1",
		"transaction.state.log.num.partitions=1",
		"share.coordinator.state.topic.num.partitions=1",
		"num.network.threads=2",
		"num.io.threads=4",
	}
	if s.Settings.Brokers == 1 && !s.Settings.Unsynced {
		lines = append(lines, "", "# There is no replica: each record is on the disk before it is acknowledged.", "log.flush.interval.messages=1")
	}
	return strings.Join(lines, "\n") + "\n"
}

// kafkaLogConf renders the broker's logging: a file of bounded size, and warnings to
// the process' own log.
func kafkaLogConf(file string) string {
	return strings.Join([]string{
		"status=error",
		"appender.file.type=RollingFile",
		"appender.file.name=File",
		"appender.file.fileName=" + file,
		"appender.file.filePattern=" + file + ".%i",
		"appender.file.layout.type=PatternLayout",
		"appender.file.layout.pattern=%d{ISO8601} %-5p %m (%c)%n",
		"appender.file.policies.type=Policies",
		"appender.file.policies.size.type=SizeBasedTriggeringPolicy",
		"appender.file.policies.size.size=16MB",
		"appender.file.strategy.type=DefaultRolloverStrategy",
		"appender.file.strategy.max=2",
		"appender.console.type=Console",
		"appender.console.name=Console",
		"appender.console.layout.type=PatternLayout",
		"appender.console.layout.pattern=%d{ISO8601} %-5p %m (%c)%n",
		"rootLogger.level=info",
		"rootLogger.appenderRef.file.ref=File",
		"rootLogger.appenderRef.console.ref=Console",
		"rootLogger.appenderRef.console.level=warn",
	}, "\n") + "\n"
}

// brokerReady asks one broker for its metadata.
func (s Site) brokerReady(ctx context.Context, addr string) error {
	client, err := s.connect(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.AssertTopics(ctx, nil)
}

// requestLimitMs bounds one request of this tool, so that polling stays quick.
const requestLimitMs = 2500

func (s Site) connect(addrs ...string) (*bus.Client, error) {
	return bus.Connect(bus.Config{
		Brokers: addrs, ClientID: "stack", DialTimeoutMs: requestLimitMs, RequestTimeoutMs: requestLimitMs,
	}, s.Clock)
}

// Topics returns the money topics as they are made on this stack.
func Topics(s layout.Settings) []bus.Topic {
	topics := bus.MoneyTopics(s.Partitions)
	factor, minInSync := Replication(s)
	for i := range topics {
		topics[i].Replication = factor
		topics[i].Configs["min.insync.replicas"] = strconv.Itoa(minInSync)
		topics[i].Configs["unclean.leader.election.enable"] = "false"
	}
	return topics
}

// EnsureTopics creates the money topics that are missing and checks all of them.
func (s Site) EnsureTopics(ctx context.Context) error {
	client, err := s.connect(s.Settings.BrokerAddrs()...)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.EnsureTopics(ctx, Topics(s.Settings))
}

// AssertTopics checks the money topics.
func (s Site) AssertTopics(ctx context.Context) error {
	client, err := s.connect(s.Settings.BrokerAddrs()...)
	if err != nil {
		return err
	}
	defer client.Close()
	return client.AssertTopics(ctx, Topics(s.Settings))
}
