package bus

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/produce"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/failpoint"
	"mscoin/mscoin-common/telemetry"
)

// Config is how to reach the brokers. Zero values mean the defaults.
type Config struct {
	// Brokers are host:port of at least one broker.
	Brokers []string
	// ClientID names this process in the broker's logs.
	ClientID string `json:",default=mscoin"`
	// DialTimeoutMs bounds one connection attempt.
	DialTimeoutMs int `json:",default=3000"`
	// ProduceTimeoutMs bounds one Produce call when its context does not end earlier.
	ProduceTimeoutMs int `json:",default=10000"`
	// RequestTimeoutMs bounds every other request; a long poll gets it on top of its wait.
	RequestTimeoutMs int `json:",default=5000"`
	// FetchMaxBytes is how much one fetch returns at most (a single larger batch still comes whole).
	FetchMaxBytes int `json:",default=4194304"`
}

func (c Config) withDefaults() Config {
	set := func(field *int, value int) {
		if *field == 0 {
			*field = value
		}
	}
	set(&c.DialTimeoutMs, 3000)
	set(&c.ProduceTimeoutMs, 10000)
	set(&c.RequestTimeoutMs, 5000)
	set(&c.FetchMaxBytes, 4<<20)
	if c.ClientID == "" {
		c.ClientID = "mscoin"
	}
	return c
}

func (c Config) validate() error {
	if len(c.Brokers) == 0 {
		return errors.New("no broker address")
	}
	for _, addr := range c.Brokers {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return fmt.Errorf("broker address %q: %w", addr, err)
		}
	}
	if c.DialTimeoutMs < 0 || c.ProduceTimeoutMs < 0 || c.RequestTimeoutMs < 0 || c.FetchMaxBytes < 0 {
		return errors.New("negative limit")
	}
	return nil
}

func (c Config) dialTimeout() time.Duration { return time.Duration(c.DialTimeoutMs) * time.Millisecond }

func (c Config) produceTimeout() time.Duration {
	return time.Duration(c.ProduceTimeoutMs) * time.Millisecond
}

func (c Config) requestTimeout() time.Duration {
	return time.Duration(c.RequestTimeoutMs) * time.Millisecond
}

// longest is the limit of the library's client, from which it also derives how long brokers may wait
// for their replicas: half of what a call has left. Without one that is 500 ms whatever the context
// says, and a slow replica makes the outcome unknown. The contexts set here end earlier.
func (c Config) longest() time.Duration { return max(c.produceTimeout(), 2*c.requestTimeout()) }

// Client talks to one cluster. It is safe for concurrent use.
type Client struct {
	cfg       Config
	clk       clock.Clock
	transport *kafka.Transport
	kafka     *kafka.Client
	closed    atomic.Bool
}

// metadataTTL bounds how long a changed leader stays unknown; idleTimeout stays below the brokers'
// ten minutes, so that it is never the broker that closes an idle connection under a request.
const (
	metadataTTL = 2 * time.Second
	idleTimeout = 9 * time.Minute
)

// Connect checks cfg and returns a client. Connections are opened when they are needed: a broker
// that is down shows at the first request (use AssertTopics at boot).
func Connect(cfg Config, clk clock.Clock) (*Client, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("connect to kafka: %w", err)
	}
	c := &Client{cfg: cfg, clk: clk, transport: newTransport(cfg)}
	c.kafka = &kafka.Client{Addr: kafka.TCP(cfg.Brokers...), Timeout: cfg.longest(), Transport: c.transport}
	return c, nil
}

func newTransport(cfg Config) *kafka.Transport {
	return &kafka.Transport{
		Dial:        (&net.Dialer{Timeout: cfg.dialTimeout()}).DialContext,
		DialTimeout: cfg.dialTimeout(),
		IdleTimeout: idleTimeout,
		MetadataTTL: metadataTTL,
		ClientID:    cfg.ClientID,
	}
}

// Close closes idle connections; later calls fail with ErrClosed. Subscriptions are closed by their
// owners.
func (c *Client) Close() {
	if !c.closed.Swap(true) {
		c.transport.CloseIdleConnections()
	}
}

// Produce writes msgs to one partition as one batch and waits until all in-sync replicas have it. It
// returns the offset of the first record; the others follow without a gap.
//
// There is one attempt. After an error the outcome is unknown (the batch may be in the log, or land
// there later, whole or not at all), unless errors.Is(err, ErrNotSent).
func (c *Client) Produce(ctx context.Context, topic string, partition int, msgs []Message) (int64, error) {
	if err := c.checkProduce(ctx, msgs); err != nil {
		return 0, fmt.Errorf("produce to %s/%d: %w: %w", topic, partition, ErrNotSent, err)
	}
	if failpoint.Enabled {
		if err := failpoint.Hit("produce." + topic + ".before"); err != nil {
			return 0, fmt.Errorf("produce to %s/%d: %w: %w", topic, partition, ErrNotSent, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.produceTimeout())
	defer cancel()
	records := make([]kafka.Record, len(msgs))
	for i := range msgs {
		records[i].Key = kafka.NewBytes(msgs[i].Key)
		records[i].Value = kafka.NewBytes(msgs[i].Value)
		if msgs[i].Trace != "" {
			records[i].Headers = []kafka.Header{{Key: telemetry.ParentHeader, Value: []byte(msgs[i].Trace)}}
		}
	}
	begin := c.clk.Now()
	res, err := c.kafka.Produce(ctx, &kafka.ProduceRequest{
		Topic:        topic,
		Partition:    partition,
		RequiredAcks: kafka.RequireAll,
		Records:      kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = res.Error
	}
	if failpoint.Enabled && err == nil {
		err = failpoint.Hit("produce." + topic + ".after")
	}
	if err != nil {
		telemetry.KafkaError("produce")
		if notSent(err) {
			return 0, fmt.Errorf("produce to %s/%d: %w: %w", topic, partition, ErrNotSent, err)
		}
		return 0, fmt.Errorf("produce to %s/%d: outcome unknown: %w", topic, partition, err)
	}
	telemetry.Produced(topic, c.clk.Now().Sub(begin))
	return res.BaseOffset, nil
}

func (c *Client) checkProduce(ctx context.Context, msgs []Message) error {
	if c.closed.Load() {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(msgs) == 0 {
		return errors.New("no message")
	}
	size := 0
	for i := range msgs {
		size += len(msgs[i].Key) + len(msgs[i].Value)
	}
	if size > MaxBatchBytes {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, size)
	}
	return nil
}

// notSent reports whether err proves that the batch was not appended: it found no leader to go to,
// no connection could be opened, or the broker refused it before writing. A broker that has lost the
// partition while it waited for its replicas also says "not the leader" or "unknown partition", of a batch
// that it has appended and the new leader may have: those prove nothing.
func notSent(err error) bool {
	if routing, ok := errors.AsType[*produce.Error](err); ok && routing != nil {
		return true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	if errors.Is(err, kafka.BrokerNotAvailable) {
		return true
	}
	code, ok := errors.AsType[kafka.Error](err)
	if !ok {
		return false
	}
	switch code { //nolint:exhaustive // every other code leaves the outcome unknown
	case kafka.InvalidMessage, kafka.MessageSizeTooLarge, kafka.InvalidTopic, kafka.RecordListTooLarge,
		kafka.NotEnoughReplicas, kafka.InvalidRequiredAcks, kafka.TopicAuthorizationFailed,
		kafka.InvalidTimestamp, kafka.PolicyViolation, kafka.UnsupportedForMessageFormat:
		return true
	}
	return false
}

// Bounds returns the log of a partition as a half-open range: offsets first <= o < end exist. An
// empty partition has first == end.
func (c *Client) Bounds(ctx context.Context, topic string, partition int) (first, end int64, err error) {
	if c.closed.Load() {
		return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, ErrClosed)
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.requestTimeout())
	defer cancel()
	res, err := c.kafka.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{
			topic: {kafka.FirstOffsetOf(partition), kafka.LastOffsetOf(partition)},
		},
	})
	if err != nil {
		telemetry.KafkaError("bounds")
		return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, err)
	}
	for _, p := range res.Topics[topic] {
		if p.Partition != partition {
			continue
		}
		if p.Error != nil {
			return 0, 0, fmt.Errorf("bounds of %s/%d: %w", topic, partition, p.Error)
		}
		return p.FirstOffset, p.LastOffset, nil
	}
	return 0, 0, fmt.Errorf("bounds of %s/%d: partition is missing in the answer", topic, partition)
}

// ReadOne returns the record at offset: ErrNoRecord when the log ends before it, ErrTruncated when it
// lies outside of the log otherwise.
func (c *Client) ReadOne(ctx context.Context, topic string, partition int, offset int64) (Message, error) {
	_, end, err := c.Bounds(ctx, topic, partition)
	if err != nil {
		return Message{}, fmt.Errorf("read one: %w", err)
	}
	if offset >= end {
		return Message{}, fmt.Errorf("read %s/%d at %d: %w", topic, partition, offset, ErrNoRecord)
	}
	sub := c.Subscribe(topic, partition, offset)
	defer sub.Close()
	msgs, err := sub.Fetch(ctx, 1, c.cfg.requestTimeout())
	if err != nil {
		return Message{}, fmt.Errorf("read %s/%d at %d: %w", topic, partition, offset, err)
	}
	if len(msgs) == 0 {
		return Message{}, fmt.Errorf("read %s/%d at %d: broker has not delivered it in time", topic, partition, offset)
	}
	return msgs[0], nil
}

// DeleteBefore deletes the records of a partition before an offset, for good, and returns
// where the log begins then. Offsets beyond its end are refused. An error leaves the
// outcome unknown; a repetition is harmless.
func (c *Client) DeleteBefore(ctx context.Context, topic string, partition int, offset int64) (first int64, err error) {
	fail := func(err error) (int64, error) {
		return 0, fmt.Errorf("delete records of %s/%d before %d: %w", topic, partition, offset, err)
	}
	first, end, err := c.Bounds(ctx, topic, partition)
	switch {
	case err != nil:
		return fail(err)
	case offset > end || offset < 0: // a negative one means everything to the broker
		return fail(fmt.Errorf("the log ends at %d: %w", end, ErrNoRecord))
	case offset <= first:
		return first, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.requestTimeout())
	defer cancel()
	addr, err := c.leader(ctx, topic, partition)
	if err != nil {
		return fail(err)
	}
	conn, err := dialFetch(ctx, addr, c.cfg.ClientID, c.cfg.dialTimeout())
	if err != nil {
		return fail(err)
	}
	defer conn.close()
	if first, err = conn.deleteRecords(ctx, topic, partition, offset, c.cfg.requestTimeout()); err != nil {
		return fail(err)
	}
	return first, nil
}

// leader returns host:port of the broker that leads a partition.
func (c *Client) leader(ctx context.Context, topic string, partition int) (string, error) {
	res, err := c.kafka.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return "", fmt.Errorf("find leader: %w", err)
	}
	for _, t := range res.Topics {
		if t.Name != topic {
			continue
		}
		if t.Error != nil {
			return "", fmt.Errorf("find leader: %w", t.Error)
		}
		for _, p := range t.Partitions {
			if p.ID != partition {
				continue
			}
			if p.Leader.Host == "" {
				return "", fmt.Errorf("find leader: %w", kafka.LeaderNotAvailable)
			}
			return net.JoinHostPort(p.Leader.Host, fmt.Sprint(p.Leader.Port)), nil
		}
	}
	return "", fmt.Errorf("find leader: %w", kafka.UnknownTopicOrPartition)
}

// String names the brokers for logs.
func (c *Client) String() string { return "kafka " + strings.Join(c.cfg.Brokers, ",") }
