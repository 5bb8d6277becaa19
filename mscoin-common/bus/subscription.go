package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/telemetry"
)

const (
	// watchdogInterval is how long a quiet partition is believed before its end is asked for over
	// another connection.
	watchdogInterval = 5 * time.Second
	// maxBlankAnswers is how many answers in a row may withhold records that the same answer says exist.
	maxBlankAnswers = 3
)

// Subscription reads one partition in order, from one offset on. Fetch is for one goroutine at a time;
// Close may be called from anywhere.
type Subscription struct {
	client    *Client
	topic     string
	partition int

	next    int64     // offset of the next message to fetch from the broker
	ready   []Message // fetched, not delivered yet; ends at next-1
	blanks  int
	checked time.Time // last time that progress or a watchdog check vouched for the connection
	suspect int64     // end of the log that the watchdog has seen and the connection has not delivered

	mu     sync.Mutex
	conn   *fetchConn
	closed bool
}

// Subscribe returns a reader that starts at offset. Nothing is sent before the first Fetch.
func (c *Client) Subscribe(topic string, partition int, offset int64) *Subscription {
	return &Subscription{client: c, topic: topic, partition: partition, next: offset, checked: c.clk.Now()}
}

// Next returns the offset of the message that the next Fetch delivers first.
func (s *Subscription) Next() int64 { return s.next - int64(len(s.ready)) }

// Fetch returns the next messages, at least one and at most limit, as soon as there are any. When
// none arrive within wait it returns an empty slice and no error.
//
// ErrGap and ErrTruncated are final: every later call returns the like, because going on would lose
// records. Any other error (no broker, no leader, context ended) leaves the position where it was:
// call again, after a pause.
//
// The keys and values stay valid; they must not be modified.
func (s *Subscription) Fetch(ctx context.Context, limit int, wait time.Duration) ([]Message, error) {
	if limit < 1 {
		return nil, fmt.Errorf("fetch %s/%d: limit %d", s.topic, s.partition, limit)
	}
	if len(s.ready) == 0 {
		if err := s.fill(ctx, wait); err != nil {
			if ctx.Err() == nil && !errors.Is(err, ErrClosed) {
				telemetry.KafkaError("fetch")
			}
			return nil, fmt.Errorf("fetch %s/%d at %d: %w", s.topic, s.partition, s.next, err)
		}
	}
	n := min(limit, len(s.ready))
	out := s.ready[:n:n]
	s.ready = s.ready[n:]
	return out, nil
}

// Close ends a running Fetch and releases the connection.
func (s *Subscription) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.conn != nil {
		s.conn.close()
		s.conn = nil
	}
}

// fill gets one answer from the leader. An old connection that turns out to be broken is replaced once.
func (s *Subscription) fill(ctx context.Context, wait time.Duration) error {
	for attempt := 0; ; attempt++ {
		conn, fresh, err := s.connect(ctx)
		if err != nil {
			return err
		}
		err = s.fetchOnce(ctx, conn, wait)
		if err == nil {
			return s.watch(ctx)
		}
		s.drop(conn)
		if fresh || attempt > 0 || ctx.Err() != nil || isFinal(err) {
			return err
		}
	}
}

func isFinal(err error) bool { return errors.Is(err, ErrGap) || errors.Is(err, ErrTruncated) }

func (s *Subscription) fetchOnce(ctx context.Context, conn *fetchConn, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, wait+s.client.cfg.requestTimeout())
	defer cancel()
	a, err := conn.fetch(ctx, fetchQuery{
		topic: s.topic, partition: s.partition, offset: s.next,
		maxWait: wait, maxBytes: s.client.cfg.FetchMaxBytes,
	})
	if err != nil {
		return err
	}
	switch a.code { //nolint:exhaustive // all other codes are errors to come back from
	case 0:
	case kafka.OffsetOutOfRange:
		return s.outOfRange(ctx)
	default:
		return fmt.Errorf("broker refused: %w", a.code)
	}
	if a.logStart > s.next {
		return s.truncated(a.logStart, a.highMark)
	}
	msgs, err := decodeRecords(nil, a.recordSet, s.topic, s.partition, s.next)
	if err != nil {
		return err
	}
	return s.accept(msgs, a)
}

// accept checks that msgs continue the log without a gap and takes them.
func (s *Subscription) accept(msgs []Message, a fetchAnswer) error {
	for i := range msgs {
		if want := s.next + int64(i); msgs[i].Offset != want {
			return &GapError{Topic: s.topic, Partition: s.partition, Want: want, Got: msgs[i].Offset}
		}
	}
	if len(msgs) > 0 {
		s.next += int64(len(msgs))
		s.ready = msgs
		s.blanks, s.suspect = 0, 0
		s.checked = s.client.clk.Now()
		return nil
	}
	if a.highMark > s.next {
		if s.blanks++; s.blanks >= maxBlankAnswers {
			s.blanks = 0
			return fmt.Errorf("broker withholds records up to %d", a.highMark)
		}
	}
	return nil
}

func (s *Subscription) outOfRange(ctx context.Context) error {
	first, end, err := s.client.Bounds(ctx, s.topic, s.partition)
	if err != nil {
		return fmt.Errorf("offset is out of range: %w", err)
	}
	if first <= s.next && s.next <= end {
		// The log has caught up between the two requests (a new leader): not a loss.
		return fmt.Errorf("offset was out of range of [%d, %d]: %w", first, end, kafka.OffsetOutOfRange)
	}
	return s.truncated(first, end)
}

func (s *Subscription) truncated(first, end int64) error {
	return &TruncatedError{Topic: s.topic, Partition: s.partition, Offset: s.next, First: first, End: end}
}

// watch distrusts a connection that has been quiet for long: it asks the current leader for the end of
// the log over another connection, and when the end has moved and one more fetch brings nothing either,
// it makes the next fetch start over with a new connection.
func (s *Subscription) watch(ctx context.Context) error {
	now := s.client.clk.Now()
	if len(s.ready) > 0 {
		return nil
	}
	if s.suspect > s.next {
		logx.Errorf("bus: %s/%d has moved to %d while its reader waits at %d: reconnecting",
			s.topic, s.partition, s.suspect, s.next)
		s.suspect = 0
		s.drop(nil)
		return nil
	}
	if now.Sub(s.checked) < watchdogInterval {
		return nil
	}
	s.checked = now
	first, end, err := s.client.Bounds(ctx, s.topic, s.partition)
	if err != nil {
		return fmt.Errorf("watchdog: %w", err)
	}
	if end < s.next || first > s.next {
		return s.truncated(first, end)
	}
	s.suspect = end
	return nil
}

// connect returns the connection to the partition's leader; fresh says that it was just opened.
func (s *Subscription) connect(ctx context.Context) (conn *fetchConn, fresh bool, err error) {
	s.mu.Lock()
	conn, closed := s.conn, s.closed
	s.mu.Unlock()
	switch {
	case closed || s.client.closed.Load():
		return nil, false, ErrClosed
	case conn != nil:
		return conn, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.client.cfg.requestTimeout())
	defer cancel()
	addr, err := s.client.leader(ctx, s.topic, s.partition)
	if err != nil {
		return nil, false, err
	}
	conn, err = dialFetch(ctx, addr, s.client.cfg.ClientID, s.client.cfg.dialTimeout())
	if err != nil {
		return nil, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		conn.close()
		return nil, false, ErrClosed
	}
	s.conn = conn
	return conn, true, nil
}

// drop closes the connection; nil stands for the current one.
func (s *Subscription) drop(conn *fetchConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if conn == nil {
		conn = s.conn
	}
	if conn != nil {
		conn.close()
	}
	if s.conn == conn {
		s.conn = nil
	}
}
