package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
)

// MaxMessageBytes is the largest batch the embedded broker accepts: 8 MiB, the same limit that the
// topics are created with on a real cluster.
const MaxMessageBytes = 8 << 20

// Config says where the embedded broker listens and keeps its log.
type Config struct {
	// Dir is the folder of the log. It is created when missing and locked while the broker runs.
	// Empty keeps everything in memory (tests that need no restart).
	Dir string
	// Addr is host:port to listen on; empty means 127.0.0.1 and a free port.
	Addr string
	// Advertise is host:port that clients are told to connect to, when that is not Addr: a
	// proxy stands in front.
	Advertise string
	// Clock stamps the records with their append time; nil means the real clock.
	Clock clock.Clock
}

// Broker is a running embedded broker.
type Broker struct {
	cluster *kfake.Cluster
	addr    string
	lock    *dirLock
	once    sync.Once
}

// StartBroker starts a broker on cfg and loads the log it finds in cfg.Dir.
//
// Each acknowledged batch has been written and synced (there is no replica that could hold it
// instead). The time of a record is the broker's append time and never runs backwards, as with
// message.timestamp.type=LogAppendTime on a real broker. Nothing expires: retention is off unless a
// topic asks for it.
func StartBroker(cfg Config) (*Broker, error) {
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.Real()
	}
	opts := []kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("mscoin-embedded"),
		kfake.WithLogger(brokerLog{}),
		kfake.ListenFn(func(network, _ string) (net.Listener, error) { return listen(network, cfg) }),
		kfake.BrokerConfigs(map[string]string{
			"log.retention.ms":           "-1",
			"log.retention.bytes":        "-1",
			"log.message.timestamp.type": "LogAppendTime",
			"message.max.bytes":          fmt.Sprint(MaxMessageBytes),
		}),
	}
	b := &Broker{}
	if cfg.Dir != "" {
		lock, err := lockDir(cfg.Dir)
		if err != nil {
			return nil, fmt.Errorf("start broker: %w", err)
		}
		b.lock = lock
		opts = append(opts, kfake.DataDir(filepath.Join(cfg.Dir, "log")), kfake.SyncWrites())
	}
	cluster, err := kfake.NewCluster(opts...)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start broker on %s: %w", cfg.Addr, err), b.lock.release())
	}
	b.cluster, b.addr = cluster, cluster.ListenAddrs()[0]
	stamps := &stamper{clk: cfg.Clock}
	cluster.ControlKey(int16(kmsg.Produce), stamps.stamp)
	return b, nil
}

// advertised is a listener that gives another address as its own: the one that the
// broker's answers then name.
type advertised struct {
	net.Listener

	addr net.Addr
}

// Addr implements net.Listener.
func (l advertised) Addr() net.Addr { return l.addr }

func listen(network string, cfg Config) (net.Listener, error) {
	l, err := net.Listen(network, cfg.Addr)
	if err != nil || cfg.Advertise == "" {
		return l, err
	}
	addr, err := net.ResolveTCPAddr(network, cfg.Advertise)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("address to advertise: %w", err), l.Close())
	}
	return advertised{l, addr}, nil
}

// Addr returns the host:port that clients connect to.
func (b *Broker) Addr() string { return b.addr }

// Close writes the index of the log, closes all files and connections and unlocks the folder.
// A broker that was never closed loses nothing: it only has to scan its log at the next start.
func (b *Broker) Close() error {
	var err error
	b.once.Do(func() {
		b.cluster.Close()
		err = b.lock.release()
	})
	return err
}

// Offsets of the fields that stamper rewrites within a version 2 record batch.
const (
	batchCRCAt       = 17
	batchAttrsAt     = 21 // the checksum covers everything from here on
	batchFirstTimeAt = 27
	batchMaxTimeAt   = 35
	batchHeaderBytes = 61
)

// stamper gives each produced batch its append time. The broker library keeps whatever time the
// producer wrote, even when the topic says LogAppendTime; a publish that a producer gave up long
// ago and that lands late must not look as if it had been in time. (It cannot use the LogAppendTime flag of a batch: the library
// would change the times once more without renewing the checksum. So records of one batch that a foreign
// producer gave different times keep their distance; mscoin-common/bus gives a batch one time.)
type stamper struct {
	clk clock.Clock

	mu     sync.Mutex
	lastMs int64
}

// stamp rewrites the times of a produce request in place and lets the broker go on with it.
func (s *stamper) stamp(req kmsg.Request) (kmsg.Response, error, bool) {
	produce, ok := req.(*kmsg.ProduceRequest)
	if !ok {
		return nil, nil, false
	}
	nowMs := s.nowMs()
	for i := range produce.Topics {
		for j := range produce.Topics[i].Partitions {
			stampBatch(produce.Topics[i].Partitions[j].Records, nowMs)
		}
	}
	return nil, nil, false
}

func (s *stamper) nowMs() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastMs = max(s.lastMs, s.clk.NowMs())
	return s.lastMs
}

// stampBatch leaves a batch that is damaged or of an old format alone: the broker refuses it.
func stampBatch(batch []byte, nowMs int64) {
	if len(batch) < batchHeaderBytes {
		return
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	if binary.BigEndian.Uint32(batch[batchCRCAt:]) != crc32.Checksum(batch[batchAttrsAt:], table) {
		return
	}
	binary.BigEndian.PutUint64(batch[batchFirstTimeAt:], uint64(nowMs))
	binary.BigEndian.PutUint64(batch[batchMaxTimeAt:], uint64(nowMs))
	binary.BigEndian.PutUint32(batch[batchCRCAt:], crc32.Checksum(batch[batchAttrsAt:], table))
}

// brokerLog passes the broker's warnings and errors on; requests are not logged.
type brokerLog struct{}

func (brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	switch level {
	case kfake.LogLevelError, kfake.LogLevelWarn:
		logx.Errorf("embedded broker: "+format, args...)
	case kfake.LogLevelNone, kfake.LogLevelInfo, kfake.LogLevelDebug:
	}
}

// dirLock keeps two brokers from writing the same log.
type dirLock struct {
	file *os.File
}

func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create log folder: %w", err)
	}
	file, err := os.OpenFile(filepath.Join(dir, "LOCK"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(fmt.Errorf("log folder %s is in use by another process: %w", dir, err), file.Close())
	}
	return &dirLock{file: file}, nil
}

// release is safe on nil; closing the file ends the lock.
func (l *dirLock) release() error {
	if l == nil {
		return nil
	}
	if err := l.file.Close(); err != nil {
		return fmt.Errorf("unlock log folder: %w", err)
	}
	return nil
}
