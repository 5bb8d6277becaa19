package sequencer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/telemetry"
)

const (
	// maxBatch bounds the commands that are executed between two writes.
	maxBatch = 512
	// replayBatch is how many commands a replay fetches at once.
	replayBatch = 8192
	// maxBatchBytes bounds the records of one write; a single larger record goes alone.
	maxBatchBytes = 1 << 20
	// lookBack is how many records a boot reads at once in search of the last one.
	lookBack = 512
	// idleWait is how long a fetch waits for a command.
	idleWait = time.Second
)

// Log is what a sequencer needs of the broker.
type Log interface {
	// Bounds returns the offsets first ≤ o < end that a partition holds.
	Bounds(ctx context.Context, topic string, partition int) (first, end int64, err error)
	// ReadOne returns the record at an offset.
	ReadOne(ctx context.Context, topic string, partition int, offset int64) (bus.Message, error)
	// Produce appends msgs as one batch, all or nothing; one attempt.
	Produce(ctx context.Context, topic string, partition int, msgs []bus.Message) (int64, error)
	// Subscribe reads a partition from an offset on, without gaps.
	Subscribe(topic string, partition int, offset int64) Subscription
}

// Subscription reads one partition; see bus.Subscription.
type Subscription interface {
	Fetch(ctx context.Context, limit int, wait time.Duration) ([]bus.Message, error)
	Close()
}

// BusLog is the Log of a real broker.
type BusLog struct{ *bus.Client }

// Subscribe implements Log.
func (l BusLog) Subscribe(topic string, partition int, offset int64) Subscription {
	return l.Client.Subscribe(topic, partition, offset)
}

// Positions are how far the order consumer has applied this partition's records;
// the log must agree with them.
type Positions struct {
	// NextOffset in the output topic.
	NextOffset int64
	// Symbols of this partition by name.
	Symbols map[string]database.SymbolPosition
	// Elsewhere are the symbols of other partitions: some may have been here before.
	Elsewhere map[string]database.SymbolPosition
	// NothingListed says that the database lists no symbol on this partition. Symbols
	// are stored before they are announced: then there cannot be a command either.
	NothingListed bool
}

// Config is what a sequencer is made of.
type Config struct {
	// Partition it owns.
	Partition int
	// NewEngine makes an empty book.
	NewEngine func() matching.Engine
	// Clock times pauses after errors; no result depends on it.
	Clock clock.Clock
	// Log is the broker.
	Log Log
	// Positions loads how far the order consumer is.
	Positions func(ctx context.Context) (Positions, error)
	// Snapshots, if set, keeps snapshots and decisions; without it every start replays the
	// whole log.
	Snapshots Snapshots
	// SnapshotEvery is after how many commands a snapshot is taken, SnapshotAfter after
	// what time if there was any command; 0 is never.
	SnapshotEvery int64
	SnapshotAfter time.Duration
	// Followers, if set, loads how far the consumers beside the order store have applied
	// the records: a snapshot that is ahead of one of them is not started from.
	Followers func(ctx context.Context) ([]Follower, error)
	// Background runs a snapshot's writing beside the matching; nil is a goroutine.
	Background func(func())
	// Published, if set, is called with each batch of records after it was written.
	Published func(records []Sealed)
}

// Sequencer owns a partition. Run it once; the views are safe at any time.
type Sequencer struct {
	cfg   Config
	ready atomic.Bool

	mu sync.RWMutex // guards the machine against the views
	m  *Machine

	from   int64 // where the replay began
	keeper keeper
}

// New returns a sequencer that has read nothing yet.
func New(cfg Config) *Sequencer {
	return &Sequencer{cfg: cfg, m: NewMachine(cfg.Partition, cfg.NewEngine)}
}

// Ready reports whether the replay is done and commands are answered.
func (s *Sequencer) Ready() bool { return s.ready.Load() }

// Run replays the log, checks it, publishes what is missing, and executes commands
// until ctx ends (nil) or anything fails. After an error this Sequencer is of no more
// use: a write may or may not have happened, and only a replay tells.
func (s *Sequencer) Run(ctx context.Context) error {
	defer s.ready.Store(false)
	err := s.run(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("sequencer of partition %d: %w", s.cfg.Partition, err)
	}
	return nil
}

func (s *Sequencer) run(ctx context.Context) error {
	plan, err := s.inspect(ctx)
	if err != nil {
		return err
	}
	s.from = s.m.Next()
	s.keeper.at, s.keeper.since = s.from, s.cfg.Clock.Now()
	sub := s.cfg.Log.Subscribe(bus.TopicCommands, s.cfg.Partition, s.m.Next())
	defer sub.Close()
	if err := s.replay(ctx, sub, plan); err != nil {
		return err
	}
	defer s.endKeeping(ctx)
	if s.m.Next() >= plan.commandEnd {
		s.ready.Store(true)
	}
	for {
		msgs, err := sub.Fetch(ctx, maxBatch, idleWait)
		if err != nil {
			if err := s.fetchError(ctx, err); err != nil {
				return err
			}
			continue
		}
		if err := s.execute(ctx, msgs); err != nil {
			s.keeper.broken = true
			return err
		}
		s.keep(ctx)
		if !s.ready.Load() && s.m.Next() >= plan.commandEnd {
			s.ready.Store(true)
			logx.Infof("sequencer of partition %d is live at offset %d", s.cfg.Partition, s.m.Next())
		}
	}
}

// retryPause keeps a reader without a broker from spinning.
const retryPause = 100 * time.Millisecond

// fetchError decides whether reading goes on: a reader keeps its position over an
// outage, but not over a log that lost records.
func (s *Sequencer) fetchError(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, bus.ErrGap) || errors.Is(err, bus.ErrTruncated) || errors.Is(err, bus.ErrClosed) {
		return fmt.Errorf("read command log: %w", err)
	}
	logx.Errorf("sequencer of partition %d: read command log: %v", s.cfg.Partition, err)
	return clock.Sleep(ctx, s.cfg.Clock, retryPause)
}

// execute applies commands and publishes their records, at most one write in flight.
func (s *Sequencer) execute(ctx context.Context, msgs []bus.Message) error {
	for len(msgs) > 0 {
		records, n, err := s.apply(ctx, msgs)
		if err != nil {
			return err
		}
		msgs = msgs[n:]
		if err := s.publish(ctx, records); err != nil {
			return err
		}
	}
	return nil
}

// apply executes commands until their records fill a write. It returns how many.
func (s *Sequencer) apply(ctx context.Context, msgs []bus.Message) (records []Sealed, n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records = make([]Sealed, 0, len(msgs))
	size := 0
	begin := s.cfg.Clock.Now()
	for n < len(msgs) && size < maxBatchBytes {
		rec, ok, err := s.m.Apply(msgs[n])
		if err != nil {
			return nil, 0, err
		}
		if !ok {
			logx.Errorf("sequencer of partition %d: command at offset %d is of no listed symbol: %q",
				s.cfg.Partition, msgs[n].Offset, msgs[n].Key)
		}
		n++
		if ok {
			if msg := &msgs[n-1]; msg.Trace != "" {
				rec.Trace = telemetry.Step(ctx, msg.Trace, "matched", begin, s.cfg.Clock.Now(),
					logx.Field("symbol", rec.Symbol), logx.Field("seq", rec.Body.GetSeq()), logx.Field("orderIds", stream.OrderIDs(rec.Body)))
			}
			records = append(records, rec)
			size += len(rec.Value)
		}
	}
	return records, n, nil
}

// publish writes records as one batch. It ignores the end of ctx on purpose: a stop
// must not leave a write in doubt. The broker client bounds it.
func (s *Sequencer) publish(ctx context.Context, records []Sealed) error {
	for len(records) > 0 {
		n := fit(records)
		msgs := make([]bus.Message, n)
		for i := range n {
			msgs[i] = bus.Message{Key: []byte(records[i].Symbol), Value: records[i].Value, Trace: records[i].Trace}
		}
		if _, err := s.cfg.Log.Produce(context.WithoutCancel(ctx), bus.TopicCompleted, s.cfg.Partition, msgs); err != nil {
			first := records[0].Body
			return fmt.Errorf("publish %d records from seq %d of %s (command offset %d): %w", n, first.Seq, first.Symbol, first.CommandOffset, err)
		}
		if s.cfg.Published != nil {
			s.cfg.Published(records[:n])
		}
		records = records[n:]
	}
	return nil
}

// fit returns how many records, at least one, go into one write.
func fit(records []Sealed) int {
	size := len(records[0].Value)
	for i := 1; i < len(records); i++ {
		if size += len(records[i].Value); size > maxBatchBytes {
			return i
		}
	}
	return len(records)
}

// Listed reports whether the matcher knows the symbol, and its phase. What it shows
// may be ahead of what is published.
func (s *Sequencer) Listed(name string) (phase eventpb.Phase, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.m.books[name]
	if !ok {
		return 0, false
	}
	return b.phase, true
}

// OpenOrders returns how many orders a member has open on the symbol.
func (s *Sequencer) OpenOrders(name string, member int64) int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.m.books[name]
	if !ok || member <= 0 {
		return 0
	}
	return len(b.members[uint64(member)])
}

// Open reports whether the order is open in the symbol's book, and the number of the
// symbol's last record, which may not be published yet.
func (s *Sequencer) Open(name string, orderID int64) (seq int64, open bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.m.books[name]
	if !ok || orderID <= 0 {
		return 0, false
	}
	_, open = b.engine.Order(uint64(orderID))
	return b.seq, open
}

// Hold computes what an order needs held by the book as it is now.
func (s *Sequencer) Hold(r symbol.Rules, o *order.Order) (order.Hold, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b, ok := s.m.books[o.Symbol]
	if !ok {
		return order.HoldFor(r, o, order.Quotes{})
	}
	side := matching.Sell
	if o.Side == order.Sell {
		side = matching.Buy
	}
	return order.HoldFor(r, o, order.Quotes{
		LastPrice: b.engine.LastPrice() * b.rules.TickUnits,
		Levels: func(yield func(int64, int64) bool) {
			b.engine.Depth(side, func(price, qty int64) bool {
				return yield(price*b.rules.TickUnits, qty*b.rules.LotUnits)
			})
		},
	})
}

// Symbols returns the listed symbols of the partition in order of their names.
func (s *Sequencer) Symbols() []string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	names := make([]string, 0, len(s.m.books))
	for name := range s.m.books {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
