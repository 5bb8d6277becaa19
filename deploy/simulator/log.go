package main

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/simulate"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

// broker is the log: topics of partitions that only grow.
type broker struct {
	s      *sim
	skewMs int64 // of the broker's clock
	topics map[string][][]bus.Message
}

func newBroker(s *sim, partitions int) *broker {
	b := &broker{s: s, topics: map[string][][]bus.Message{}}
	for _, t := range []string{bus.TopicCommands, bus.TopicCompleted, bus.TopicSettle} {
		b.topics[t] = make([][]bus.Message, partitions)
	}
	return b
}

func (b *broker) append(topic string, partition int, msgs []bus.Message) int64 {
	log := &b.topics[topic][partition]
	base := int64(len(*log))
	for _, m := range msgs {
		m.Topic, m.Partition, m.Offset, m.TimeMs = topic, partition, int64(len(*log)), b.s.nowMs+b.skewMs
		*log = append(*log, m)
	}
	return base
}

// busClient is the broker as one process sees it; it implements simulate.Log and
// stream.Bus.
type busClient struct {
	b *broker
}

var _ simulate.Log = busClient{}

// Bounds implements both.
func (c busClient) Bounds(_ context.Context, topic string, partition int) (first, end int64, err error) {
	if err := c.b.s.read(logService); err != nil {
		return 0, 0, err
	}
	return 0, int64(len(c.b.topics[topic][partition])), nil
}

// ReadOne implements both.
func (c busClient) ReadOne(_ context.Context, topic string, partition int, offset int64) (bus.Message, error) {
	if err := c.b.s.read(logService); err != nil {
		return bus.Message{}, err
	}
	log := c.b.topics[topic][partition]
	if offset >= int64(len(log)) {
		return bus.Message{}, bus.ErrNoRecord
	}
	return log[offset], nil
}

// Produce implements both.
func (c busClient) Produce(_ context.Context, topic string, partition int, msgs []bus.Message) (int64, error) {
	b, s := c.b, c.b.s
	what := func() string { return fmt.Sprintf("writes %s to %s/%d", describe(msgs), shortTopic[topic], partition) }
	switch s.fate(logService, what) {
	case refused:
		return 0, bus.ErrNotSent
	case lost:
		b.append(topic, partition, msgs)
		s.pass()
		return 0, errUnknown
	case late:
		s.after(s.delayMs(), s.tell(func() string { return describe(msgs) + " in " + shortTopic[topic] }), func() { b.append(topic, partition, msgs) })
		s.pass()
		return 0, errUnknown
	case doubled:
		b.append(topic, partition, msgs)
	case torn:
		b.append(topic, partition, msgs[:s.rnd.IntN(len(msgs))])
		s.pass()
		return 0, errUnknown
	case dies:
		b.append(topic, partition, msgs)
		s.die("after it did so")
	case works:
	}
	base := b.append(topic, partition, msgs)
	s.pass()
	return base, nil
}

// Open implements stream.Bus.
func (c busClient) Open(topic string, partition int, offset int64) stream.Source {
	return &subscription{b: c.b, topic: topic, partition: partition, next: offset}
}

// Subscribe implements simulate.Log.
func (c busClient) Subscribe(topic string, partition int, offset int64) simulate.Subscription {
	return &subscription{b: c.b, topic: topic, partition: partition, next: offset}
}

type subscription struct {
	b         *broker
	topic     string
	partition int
	next      int64
}

// Fetch implements both subscriptions.
func (r *subscription) Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error) {
	s := r.b.s
	s.park(func() bool { return int64(len(r.b.topics[r.topic][r.partition])) > r.next || ctx.Err() != nil }, s.nowMs+ms(wait))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if s.chance(s.faults.crashBefore) {
		s.die("while it reads " + shortTopic[r.topic])
	}
	if s.world.awayUntilMs[logService] > s.nowMs && !s.calm || s.chance(s.faults.refuse/4) {
		return nil, errUnavailable
	}
	log := r.b.topics[r.topic][r.partition]
	n := min(int64(len(log))-r.next, int64(limit))
	if n > 1 {
		n = 1 + s.rnd.Int64N(n) // a broker gives what it likes
	}
	msgs := log[r.next : r.next+n : r.next+n]
	r.next += n
	return msgs, nil
}

// Close implements both subscriptions.
func (r *subscription) Close() {}

var shortTopic = map[string]string{bus.TopicCommands: "commands", bus.TopicCompleted: "records", bus.TopicSettle: "settle"}

// describe tells messages to a person.
func describe(msgs []bus.Message) string {
	text := ""
	for i, m := range msgs {
		if i > 0 {
			text += " + "
		}
		if i == 3 {
			return text + fmt.Sprintf("%d more", len(msgs)-i)
		}
		text += describeOne(m)
	}
	return text
}

func describeOne(m bus.Message) string {
	if e, err := stream.OpenMessage(m); err == nil {
		return fmt.Sprintf("record %d of %s (%s)", e.Body.Seq, e.Body.Symbol, describeBody(e.Body))
	}
	var cmd eventpb.Command
	if proto.Unmarshal(m.Value, &cmd) != nil {
		return "garbage"
	}
	switch c := cmd.Body.(type) {
	case *eventpb.Command_Place:
		p := c.Place
		return fmt.Sprintf("Place order %d of member %d (%v %d at %d)", p.OrderId, p.MemberId, p.Side, p.Quantity, p.Price)
	case *eventpb.Command_Cancel:
		return fmt.Sprintf("Cancel order %d", c.Cancel.OrderId)
	case *eventpb.Command_CancelAll:
		return fmt.Sprintf("CancelAll of member %d", c.CancelAll.MemberId)
	case *eventpb.Command_Resolve:
		return fmt.Sprintf("Resolve order %d", c.Resolve.OrderId)
	}
	return fmt.Sprintf("command %d", cmd.CommandId)
}

func describeBody(b *eventpb.RecordBody) string {
	text := ""
	if b.Result.GetRejected() {
		text = fmt.Sprintf("refused, reason %d", b.Result.Reason)
	}
	for _, u := range b.Orders {
		if text != "" {
			text += ", "
		}
		text += fmt.Sprintf("order %d %v", u.OrderId, u.State)
	}
	if len(b.Trades) > 0 {
		text += fmt.Sprintf(", %d trades", len(b.Trades))
	}
	return text
}
