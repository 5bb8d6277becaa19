package bus

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"mscoin/mscoin-common/clock"
)

// Topic describes a topic to create or to check.
type Topic struct {
	Name       string
	Partitions int
	// Replication is the replication factor; 0 means the broker's default.
	Replication int
	// Configs are the broker's topic settings.
	Configs map[string]string
}

// MoneyConfigs returns the settings of a topic of the money pipeline: broker append time, nothing
// expires, large batches are accepted.
func MoneyConfigs() map[string]string {
	return map[string]string{
		"cleanup.policy":         "delete",
		"message.timestamp.type": "LogAppendTime",
		"retention.ms":           "-1",
		"retention.bytes":        "-1",
		"max.message.bytes":      strconv.Itoa(maxMessageBytes),
	}
}

// MoneyTopics returns the three topics of the pipeline with the given partition count.
func MoneyTopics(partitions int) []Topic {
	names := []string{TopicCommands, TopicCompleted, TopicSettle}
	topics := make([]Topic, 0, len(names))
	for _, name := range names {
		topics = append(topics, Topic{Name: name, Partitions: partitions, Configs: MoneyConfigs()})
	}
	return topics
}

// EnsureTopics creates the topics that are missing, asserts all of them, and returns when every
// partition takes requests: a cluster names a new partition's leader a moment before that broker
// knows of it. It is for tools and for the embedded broker; a service only asserts.
func (c *Client) EnsureTopics(ctx context.Context, topics []Topic) error {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.requestTimeout())
	defer cancel()
	req := &kafka.CreateTopicsRequest{}
	for _, t := range topics {
		tc := kafka.TopicConfig{Topic: t.Name, NumPartitions: t.Partitions, ReplicationFactor: t.Replication}
		if t.Replication == 0 {
			tc.ReplicationFactor = -1
		}
		for _, name := range slices.Sorted(maps.Keys(t.Configs)) {
			tc.ConfigEntries = append(tc.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: t.Configs[name]})
		}
		req.Topics = append(req.Topics, tc)
	}
	res, err := c.kafka.CreateTopics(ctx, req)
	if err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(res.Errors)) {
		if err := res.Errors[name]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return c.waitServed(ctx, topics)
}

// servedPoll is how long waitServed waits between two looks.
const servedPoll = 20 * time.Millisecond

// waitServed asserts the topics and asks every partition for its bounds, again as long as the cluster
// calls the refusal temporary, until ctx ends.
func (c *Client) waitServed(ctx context.Context, topics []Topic) error {
	for {
		err := c.assertServed(ctx, topics)
		if code, ok := errors.AsType[kafka.Error](err); !ok || !code.Temporary() {
			return err
		}
		if clock.Sleep(ctx, c.clk, servedPoll) != nil {
			return err
		}
	}
}

func (c *Client) assertServed(ctx context.Context, topics []Topic) error {
	if err := c.AssertTopics(ctx, topics); err != nil {
		return err
	}
	for _, t := range topics {
		for partition := range t.Partitions {
			if _, _, err := c.Bounds(ctx, t.Name, partition); err != nil {
				return err
			}
		}
	}
	return nil
}

// AssertTopics checks that every topic exists with exactly the given number of partitions, each with
// a leader. A different count would send symbols to partitions that nobody owns.
func (c *Client) AssertTopics(ctx context.Context, topics []Topic) error {
	ctx, cancel := context.WithTimeout(ctx, 2*c.cfg.requestTimeout())
	defer cancel()
	// A transport of its own: the shared one answers from a cache that may be older than the topics.
	transport := newTransport(c.cfg)
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: c.kafka.Addr, Transport: transport}
	names := make([]string, 0, len(topics))
	for _, t := range topics {
		names = append(names, t.Name)
	}
	res, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: names})
	if err != nil {
		return fmt.Errorf("assert topics: %w", err)
	}
	found := make(map[string]kafka.Topic, len(res.Topics))
	for _, t := range res.Topics {
		found[t.Name] = t
	}
	for _, want := range topics {
		if err := assertTopic(want, found[want.Name]); err != nil {
			return fmt.Errorf("assert topics: %w", err)
		}
	}
	return nil
}

func assertTopic(want Topic, got kafka.Topic) error {
	if got.Error != nil {
		return fmt.Errorf("topic %s: %w", want.Name, got.Error)
	}
	if got.Name == "" {
		return fmt.Errorf("topic %s: %w", want.Name, kafka.UnknownTopicOrPartition)
	}
	if len(got.Partitions) != want.Partitions {
		return fmt.Errorf("topic %s has %d partitions, want %d", want.Name, len(got.Partitions), want.Partitions)
	}
	for _, p := range got.Partitions {
		if p.Leader.Host == "" {
			return fmt.Errorf("topic %s/%d: %w", want.Name, p.ID, kafka.LeaderNotAvailable)
		}
	}
	return nil
}
