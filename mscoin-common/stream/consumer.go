package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/telemetry"
)

// ErrLogLost ends Run: the log does not hold what the position says was consumed. It was truncated,
// recreated or restored from a backup; going on would apply other records than the ones that are due.
var ErrLogLost = errors.New("log does not match the stored position")

const (
	defaultMaxBatch  = 200
	defaultParkRows  = 100_000
	defaultParkBytes = 256 << 20
	defaultWait      = 500 * time.Millisecond
	firstBackoff     = 50 * time.Millisecond
	maxBackoff       = 5 * time.Second
	// applyAttempts is how often one record may fail to be applied before its symbol is halted.
	applyAttempts = 3
	// haltPoll is how often halted symbols are looked at for a decision.
	haltPoll = time.Second
	// maxHalts is at how many symbols a consumer may stand still before it stops altogether.
	maxHalts = 1000
	// forwardSuffix names the position up to which records have been forwarded.
	forwardSuffix = "/forward"
	// maxNameBytes is what the position tables hold.
	maxNameBytes = 64
)

// ForwardName is the name under which the position up to which a consumer has forwarded
// is stored.
func ForwardName(consumer string) string { return consumer + forwardSuffix }

// Config says what a consumer reads.
type Config struct {
	// Name of the consumer; its positions are stored under it. All partitions share one name.
	Name string
	// Topic and Partition to read.
	Topic     string
	Partition int
	// ForwardTo is the topic that gets every record once it has been applied; empty is none.
	ForwardTo string `json:",optional"`
	// MaxBatch is how many records one transaction takes at most.
	MaxBatch int `json:",default=200"`
	// ParkRows and ParkBytes bound what is set aside of a halted symbol; beyond, the whole
	// partition stops.
	ParkRows  int64 `json:",default=100000"`
	ParkBytes int64 `json:",default=268435456"`
}

// Deps are what a consumer works with.
type Deps struct {
	Bus   Bus
	Store Store
	Clock clock.Clock
	// Progress is shared by the consumers of several partitions; nil makes an own one.
	Progress *Progress
	// Apply writes what the fresh records (at least one; verified, without duplicates, in order) mean,
	// within the transaction that moves the position. It may run more than once for the same records when
	// the database asks for a repetition: it must change nothing but the transaction. Its error rolls back
	// everything; the batch is tried again after a pause.
	Apply func(ctx context.Context, tx *database.Tx, fresh []Entry) error
	// Around, if not nil, runs commit, which is the transaction of the fresh records (at least one) with
	// Apply in it, once: good for taking locks before and giving them back afterwards, so that a
	// transaction never waits for them. It must return commit's error, and must call it unless it returns
	// an error of its own.
	Around func(ctx context.Context, fresh []Entry, commit func(context.Context) error) error
	// AfterCommit, if not nil, is told what has been committed. It must be quick, and is not called again
	// when the process dies in between: good for pushing news, not for work that must happen.
	AfterCommit func(applied []Entry)
}

// Consumer follows one partition. Create it with New; Run it once.
type Consumer struct {
	cfg      Config
	deps     Deps
	progress *Progress

	// Owned by Run.
	source    Source
	next      int64 // first offset that is not applied
	heads     chains
	forwarded int64 // first offset that is not forwarded, as far as this process knows
	published int64 // the same, as stored: forwarded or less
	halts     map[string]database.Halt
	looked    int64 // when halts were last looked at, ms
	limit     int   // how many messages one transaction takes now: less after a refusal
	refused   refusal

	mu      sync.Mutex
	halted  map[string]*HaltError
	stopped error
}

// refusal counts how often in a row the record at an offset could not be applied.
type refusal struct {
	offset int64
	times  int
}

// New checks cfg and returns a consumer.
func New(cfg Config, deps Deps) (*Consumer, error) {
	if cfg.MaxBatch == 0 {
		cfg.MaxBatch = defaultMaxBatch
	}
	if cfg.ParkRows == 0 {
		cfg.ParkRows = defaultParkRows
	}
	if cfg.ParkBytes == 0 {
		cfg.ParkBytes = defaultParkBytes
	}
	switch {
	case cfg.Name == "" || cfg.Topic == "":
		return nil, errors.New("new consumer: name or topic is empty")
	case len(cfg.Name)+len(forwardSuffix) > maxNameBytes:
		return nil, fmt.Errorf("new consumer: name %q is too long", cfg.Name)
	case cfg.Partition < 0 || cfg.MaxBatch < 0 || cfg.ParkRows < 0 || cfg.ParkBytes < 0:
		return nil, fmt.Errorf("new consumer %s: negative partition or limit", cfg.Name)
	case cfg.ForwardTo == cfg.Topic:
		return nil, fmt.Errorf("new consumer %s: it would forward to its own topic", cfg.Name)
	case deps.Bus == nil || deps.Store == nil || deps.Clock == nil || deps.Apply == nil:
		return nil, fmt.Errorf("new consumer %s: a dependency is missing", cfg.Name)
	}
	progress := deps.Progress
	if progress == nil {
		progress = NewProgress(deps.Store, deps.Clock, cfg.Name)
	}
	return &Consumer{cfg: cfg, deps: deps, progress: progress, limit: cfg.MaxBatch, halted: make(map[string]*HaltError)}, nil
}

// Applied returns the last seq of the symbol that this process knows to be applied.
func (c *Consumer) Applied(symbol string) int64 { return c.progress.Applied(symbol) }

// WaitApplied returns when the symbol's record seq has been applied, by whichever instance.
func (c *Consumer) WaitApplied(ctx context.Context, symbol string, seq int64) error {
	return c.progress.WaitApplied(ctx, symbol, seq)
}

// Halted returns the symbols at which this consumer stands still, with the reason. Empty is healthy.
func (c *Consumer) Halted() map[string]*HaltError {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.halted)
}

// Stopped returns why the whole partition stands still although database and broker
// answer: ErrParkFull, when too much is set aside. nil is healthy.
func (c *Consumer) Stopped() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopped
}

// Check compares the log with the stored position, as Run does: ErrLogLost when they do not fit. A service
// calls it before it accepts work.
func (c *Consumer) Check(ctx context.Context) error {
	position, err := c.deps.Store.LoadPosition(ctx, c.cfg.Name, c.cfg.Topic, c.cfg.Partition)
	if err != nil {
		return fmt.Errorf("check consumer %s: %w", c.cfg.Name, err)
	}
	return c.checkLog(ctx, position)
}

// Run consumes until ctx ends and returns its error, or ErrLogLost. Everything else (broker or database
// away, another instance at work, too much set aside) is logged and tried again after a pause that grows up
// to five seconds.
func (c *Consumer) Run(ctx context.Context) error {
	defer c.closeSource()
	telemetry.ConsumerStarts(c.cfg.Name)
	backoff := firstBackoff
	for {
		err := c.follow(ctx, func() { backoff = firstBackoff })
		if ctx.Err() != nil {
			return ctx.Err()
		}
		c.closeSource()
		if isLogLost(err) {
			return fmt.Errorf("consumer %s: %w", c.cfg.Name, err)
		}
		c.note(err)
		if err := clock.Sleep(ctx, c.deps.Clock, backoff); err != nil {
			return err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

func isLogLost(err error) bool {
	return errors.Is(err, ErrLogLost) || errors.Is(err, bus.ErrTruncated) || errors.Is(err, bus.ErrGap)
}

// note logs what Run goes on after.
func (c *Consumer) note(err error) {
	if errors.Is(err, ErrParkFull) {
		c.mu.Lock()
		c.stopped = err
		c.mu.Unlock()
	}
	if errors.Is(err, database.ErrFenced) {
		logx.Infof("consumer %s of %s/%d: another instance has moved the position: reloading", c.cfg.Name, c.cfg.Topic, c.cfg.Partition)
		return
	}
	telemetry.ConsumerError(c.cfg.Name)
	logx.Errorf("consumer %s of %s/%d: %v", c.cfg.Name, c.cfg.Topic, c.cfg.Partition, err)
}

// follow loads the position and works until the first error. progressed is called after each batch.
func (c *Consumer) follow(ctx context.Context, progressed func()) error {
	if err := c.load(ctx); err != nil {
		return err
	}
	if err := c.forwardBacklog(ctx); err != nil {
		return err
	}
	c.source = c.deps.Bus.Open(c.cfg.Topic, c.cfg.Partition, c.next)
	for {
		if err := c.drain(ctx); err != nil {
			return err
		}
		msgs, err := c.source.Fetch(ctx, c.cfg.MaxBatch, defaultWait)
		if err != nil {
			return fmt.Errorf("fetch: %w", err)
		}
		if len(msgs) == 0 {
			if err := c.savePublished(ctx); err != nil {
				return err
			}
		}
		if err := c.work(ctx, msgs, progressed); err != nil {
			return err
		}
	}
}

// load reads the positions. The partition's comes before the symbols': if another instance commits in
// between, known records are seen again and the fence refuses; the other way round they would look missing.
// So do the halts: one that ends in between is still believed in, and its fence refuses; the other way round
// what its end has applied would look missing.
func (c *Consumer) load(ctx context.Context) error {
	position, err := c.deps.Store.LoadPosition(ctx, c.cfg.Name, c.cfg.Topic, c.cfg.Partition)
	if err != nil {
		return err
	}
	halts, err := c.deps.Store.LoadHalts(ctx, c.cfg.Name)
	if err != nil {
		return err
	}
	stored, err := c.deps.Store.LoadSymbolPositions(ctx, c.cfg.Name)
	if err != nil {
		return err
	}
	if c.cfg.ForwardTo != "" {
		out, err := c.deps.Store.LoadPosition(ctx, ForwardName(c.cfg.Name), c.cfg.Topic, c.cfg.Partition)
		if err != nil {
			return err
		}
		c.published, c.forwarded = out.NextOffset, out.NextOffset
	}
	if err := c.checkLog(ctx, position); err != nil {
		return err
	}
	c.next, c.heads = position.NextOffset, newChains(stored, c.heads)
	c.takeHalts(halts)
	seqs := make(map[string]int64, len(stored))
	for symbol, p := range stored {
		seqs[symbol] = p.Seq
	}
	c.progress.advance(seqs)
	return nil
}

// checkLog makes sure that the log holds the record before the position, and that it is the same one.
func (c *Consumer) checkLog(ctx context.Context, position database.Position) error {
	first, end, err := c.deps.Bus.Bounds(ctx, c.cfg.Topic, c.cfg.Partition)
	if err != nil {
		return fmt.Errorf("check log: %w", err)
	}
	last := position.NextOffset - 1
	where := fmt.Sprintf("%s/%d", c.cfg.Topic, c.cfg.Partition)
	if last < 0 {
		if first > 0 {
			return fmt.Errorf("check log: %w: nothing of %s is consumed, but it begins at offset %d", ErrLogLost, where, first)
		}
		return nil
	}
	if last < first || last >= end {
		return fmt.Errorf("check log: %w: %s is consumed up to offset %d, but it holds %d up to %d", ErrLogLost, where, last, first, end-1)
	}
	m, err := c.deps.Bus.ReadOne(ctx, c.cfg.Topic, c.cfg.Partition, last)
	if err != nil {
		return fmt.Errorf("check log: %w", err)
	}
	if !bytes.Equal(bus.Fingerprint(m), position.Fingerprint) {
		return fmt.Errorf("check log: %w: the record at offset %d of %s is not the one that was consumed", ErrLogLost, last, where)
	}
	return nil
}

// work takes in messages: what can be applied is applied, what cannot is set aside.
func (c *Consumer) work(ctx context.Context, msgs []bus.Message, progressed func()) error {
	for len(msgs) > 0 {
		b, full, err := c.plan(ctx, msgs[:min(c.limit, len(msgs))])
		if err != nil {
			return err
		}
		if len(b.msgs) > 0 {
			if b, err = c.commit(ctx, b); err != nil {
				return err
			}
			if err := c.forward(ctx, b.msgs); err != nil {
				return err
			}
			progressed()
		}
		if full != nil {
			return full
		}
		c.setStopped(nil)
		c.limit = min(2*c.limit, c.cfg.MaxBatch)
		msgs = msgs[len(b.msgs):]
	}
	return nil
}

// plan sorts messages. Before a symbol is halted its position is looked up: records of
// another partition, from which it has moved to this one, may have been applied meanwhile.
func (c *Consumer) plan(ctx context.Context, msgs []bus.Message) (b batch, full, err error) {
	b, full = c.planner().plan(msgs)
	if !slices.ContainsFunc(b.parks, func(k *parking) bool { return k.begins }) {
		return b, full, nil
	}
	stored, err := c.deps.Store.LoadSymbolPositions(ctx, c.cfg.Name)
	if err != nil {
		return b, nil, err
	}
	c.heads = newChains(stored, c.heads)
	b, full = c.planner().plan(msgs)
	return b, full, nil
}

func (c *Consumer) planner() planner {
	return planner{
		chains: c.heads, consumer: c.cfg.Name, nowMs: c.deps.Clock.NowMs(), halts: c.halts,
		limits: limits{halts: maxHalts, rows: c.cfg.ParkRows, bytes: c.cfg.ParkBytes},
	}
}

// commit takes in a batch, and returns what it took: less when records cannot be
// applied, or one that is set aside because it cannot.
func (c *Consumer) commit(ctx context.Context, b batch) (batch, error) {
	err := c.commitOnce(ctx, b)
	refused, ok := errors.AsType[*applyError](err)
	if !ok {
		return b, err
	}
	first := b.msgs[0]
	if len(b.msgs) > 1 {
		c.limit = len(b.msgs) / 2
		return b, fmt.Errorf("offsets %d to %d, to be tried in smaller batches: %w", first.Offset, b.msgs[len(b.msgs)-1].Offset, err)
	}
	if c.refused.offset != first.Offset {
		c.refused = refusal{offset: first.Offset}
	}
	if c.refused.times++; c.refused.times < applyAttempts {
		return b, fmt.Errorf("offset %d, attempt %d: %w", first.Offset, c.refused.times, err)
	}
	if b, err = c.planner().refuse(first, b.fresh[0], refused.cause); err != nil {
		return b, err
	}
	return b, c.commitOnce(ctx, b)
}

// commitOnce runs the transaction of a batch: fences first, then the work.
func (c *Consumer) commitOnce(ctx context.Context, b batch) error {
	last := b.msgs[len(b.msgs)-1]
	next, fingerprint := last.Offset+1, bus.Fingerprint(last)
	begin := c.deps.Clock.Now()
	err := c.transact(ctx, b, func(fences Fences) error {
		if err := fences.AdvancePosition(c.cfg.Name, c.cfg.Topic, c.cfg.Partition, c.next, next, fingerprint); err != nil {
			return err
		}
		if err := c.advancePublished(fences); err != nil {
			return err
		}
		for _, k := range b.parks {
			if !k.begins {
				if err := fences.AdvanceHalt(c.cfg.Name, k.halt.Symbol, k.halt.Version); err != nil {
					return err
				}
			}
		}
		return nil
	}, func(fences Fences) error { return c.park(fences, b.parks) })
	if err != nil {
		return err
	}
	c.next, c.published = next, c.forwarded
	c.parked(b.parks)
	c.tell(ctx, b.fresh, begin)
	return nil
}

// transact applies the fresh records of a batch in one transaction: first the fences,
// then what else is to be written, then the records.
func (c *Consumer) transact(ctx context.Context, b batch, fence, write func(fences Fences) error) error {
	err := c.around(ctx, b.fresh, func(fences Fences, tx *database.Tx) error {
		tx.Name(c.cfg.Name)
		if err := fence(fences); err != nil {
			return err
		}
		for _, m := range b.moves {
			if err := fences.AdvanceSymbol(c.cfg.Name, m.symbol, m.from, m.to, m.hash); err != nil {
				return err
			}
		}
		if err := write(fences); err != nil {
			return err
		}
		if len(b.fresh) == 0 {
			return nil
		}
		return c.apply(ctx, tx, b.fresh)
	})
	if err != nil {
		return err
	}
	c.heads.commit(b)
	seqs := make(map[string]int64, len(b.moves))
	for _, m := range b.moves {
		seqs[m.symbol] = m.to
	}
	c.progress.advance(seqs)
	if c.deps.AfterCommit != nil && len(b.fresh) > 0 {
		c.deps.AfterCommit(b.fresh)
	}
	return nil
}

// applyError is the refusal of records that is their own fault, as far as one can tell.
type applyError struct{ cause error }

func (e *applyError) Error() string { return "apply: " + e.cause.Error() }

func (e *applyError) Unwrap() error { return e.cause }

// apply has the service apply records. Unless the database is at fault, an error or a
// panic is an *applyError: the records may be the reason.
func (c *Consumer) apply(ctx context.Context, tx *database.Tx, fresh []Entry) (err error) {
	defer func() {
		if r := recover(); r != nil {
			logx.Errorf("consumer %s: panic while applying records: %v\n%s", c.cfg.Name, r, debug.Stack())
			err = &applyError{fmt.Errorf("panic: %v", r)}
		}
	}()
	if err = c.deps.Apply(ctx, tx, fresh); err == nil {
		return nil
	}
	kind := errs.KindOf(err)
	passing := kind == errs.KindUnavailable || kind == errs.KindUnknownOutcome || database.IsRetryable(err) || database.IsFault(err) ||
		errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if passing {
		return fmt.Errorf("apply: %w", err)
	}
	return &applyError{err}
}

// around runs the transaction of a batch, within Around when there is something to apply.
func (c *Consumer) around(ctx context.Context, fresh []Entry, fn func(fences Fences, tx *database.Tx) error) error {
	commit := func(ctx context.Context) error { return c.deps.Store.Tx(ctx, fn) }
	if c.deps.Around == nil || len(fresh) == 0 {
		return commit(ctx)
	}
	return c.deps.Around(ctx, fresh, commit)
}

// advancePublished stores how far the forwarding had come before this transaction.
func (c *Consumer) advancePublished(fences Fences) error {
	if c.cfg.ForwardTo == "" || c.forwarded == c.published {
		return nil
	}
	return fences.AdvancePosition(ForwardName(c.cfg.Name), c.cfg.Topic, c.cfg.Partition, c.published, c.forwarded, nil)
}

// savePublished does so when there is nothing else to do, so that a restart has little to forward again.
func (c *Consumer) savePublished(ctx context.Context) error {
	if c.cfg.ForwardTo == "" || c.forwarded == c.published {
		return nil
	}
	err := c.deps.Store.Tx(ctx, func(fences Fences, tx *database.Tx) error {
		tx.Name(c.cfg.Name + "-forwarded")
		return c.advancePublished(fences)
	})
	if err != nil {
		return fmt.Errorf("save forwarded position: %w", err)
	}
	c.published = c.forwarded
	return nil
}

// forwardBacklog forwards again what has been applied but is not known to have been forwarded.
func (c *Consumer) forwardBacklog(ctx context.Context) error {
	if c.cfg.ForwardTo == "" || c.forwarded >= c.next {
		return nil
	}
	source := c.deps.Bus.Open(c.cfg.Topic, c.cfg.Partition, c.forwarded)
	defer source.Close()
	for c.forwarded < c.next {
		limit := min(int64(c.cfg.MaxBatch), c.next-c.forwarded)
		msgs, err := source.Fetch(ctx, int(limit), maxBackoff)
		if err != nil {
			return fmt.Errorf("fetch records to forward: %w", err)
		}
		if len(msgs) == 0 {
			return fmt.Errorf("records %d up to %d, which are to be forwarded, do not arrive", c.forwarded, c.next)
		}
		if err := c.forward(ctx, msgs); err != nil {
			return err
		}
	}
	return nil
}

// forward writes the messages to the next topic as they are: same partition, key and value, in order,
// duplicates included. It stops at the first error; what comes after must not overtake.
func (c *Consumer) forward(ctx context.Context, msgs []bus.Message) error {
	if c.cfg.ForwardTo == "" {
		return nil
	}
	for len(msgs) > 0 {
		n := chunk(msgs)
		if _, err := c.deps.Bus.Produce(ctx, c.cfg.ForwardTo, c.cfg.Partition, msgs[:n]); err != nil {
			return fmt.Errorf("forward offsets %d to %d: %w", msgs[0].Offset, msgs[n-1].Offset, err)
		}
		c.forwarded = msgs[n-1].Offset + 1
		msgs = msgs[n:]
	}
	return nil
}

// chunk returns how many messages fit into one write; a single one always does, it came through one.
func chunk(msgs []bus.Message) int {
	size := 0
	for i := range msgs {
		size += len(msgs[i].Key) + len(msgs[i].Value)
		if i > 0 && size > bus.MaxBatchBytes {
			return i
		}
	}
	return len(msgs)
}

func (c *Consumer) closeSource() {
	if c.source != nil {
		c.source.Close()
		c.source = nil
	}
}
