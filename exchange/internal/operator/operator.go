// Package operator is what operators do with the matchers and their logs: it lists and
// verifies snapshots, truncates logs, moves symbols between partitions, sets behaviour
// flags and decides that a command is skipped. What is done, by whom and why is recorded
// first, and each operation can be repeated, or gone on with, after any interruption.
package operator

import (
	"context"
	"fmt"
	"sync"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/exchange/matching/naive"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Actions as they are recorded.
const (
	actionMove     = "move"
	actionTruncate = "truncate"
	actionFlags    = "flags"
	actionSkip     = "skip-command"
)

// By says who decides something, and why.
type By struct {
	// RequestID makes a repetition harmless, 1 to 64 bytes.
	RequestID string
	// Name says who, 1 to 64 bytes, Reason why, 1 to 255 bytes.
	Name, Reason string
}

func (b *By) validate() error {
	switch {
	case b.RequestID == "" || len(b.RequestID) > 64:
		return errBadRequest.With("the request id must have 1 to 64 bytes")
	case b.Name == "" || len(b.Name) > 64:
		return errBadRequest.With("who decides must be said in 1 to 64 bytes")
	case b.Reason == "" || len(b.Reason) > 255:
		return errBadRequest.With("why must be said in 1 to 255 bytes")
	}
	return nil
}

// Decision is what is recorded of an operation.
type Decision struct {
	By

	Symbol, Action, Outcome string
	Fingerprint             []byte
	DecidedMs               int64
}

// Store keeps what operators decide, and where symbols are.
type Store interface {
	Symbols(ctx context.Context) ([]app.Listed, error)
	// Moves returns the symbols that are on their way.
	Moves(ctx context.Context) ([]app.Move, error)
	// BeginMove stores that a symbol is on its way. One that is already is no error:
	// nothing changes then.
	BeginMove(ctx context.Context, m app.Move) error
	// Route sends a symbol's commands to another partition from now on, unless they go
	// there already.
	Route(ctx context.Context, name string, from, to int) error
	// EndMove forgets that a symbol was on its way.
	EndMove(ctx context.Context, name string) error
	// RecordDecision stores a decision, which is never changed. The same one may be there
	// already; another with its request id is CodeIdempotencyMismatch.
	RecordDecision(ctx context.Context, d *Decision) error
}

// Matcher is what this instance knows of a partition that it owns.
type Matcher interface {
	Listed(name string) (phase order.Phase, ok bool)
	Left(name string) (to int, seq int64, image []byte, ok bool)
	ImageSize(name string) int
}

// Local finds what runs in this instance.
type Local interface {
	// Matcher returns that of a partition; *app.Elsewhere if this instance does not own
	// it, app.ErrMoving while it starts.
	Matcher(partition int) (Matcher, error)
	// Failure returns why a partition that this instance owns does not work, nil if it
	// does; *app.Elsewhere if this instance does not own it.
	Failure(partition int) (failure, err error)
}

// Place is a partition of a topic.
type Place struct {
	Topic     string
	Partition int
}

// Reach is how far a consumer is.
type Reach struct {
	sequencer.Follower

	// Next is, for each partition that it reads, the first offset that it may still need.
	Next map[Place]int64
}

// Endpoint is a consumer that the exchange does not know by itself.
type Endpoint struct{ Name, Address string }

// Deleter deletes the beginning of a log.
type Deleter interface {
	DeleteBefore(ctx context.Context, topic string, partition int, offset int64) (first int64, err error)
}

// Config is what an Operator is made of.
type Config struct {
	// Partitions of the topics.
	Partitions int
	Clock      clock.Clock
	Log        sequencer.Log
	Deleter    Deleter
	Snapshots  sequencer.Snapshots
	Store      Store
	Local      Local
	Ask        *sequencer.Asker
	// Reach asks all consumers how far they are: the order store, the wallet, and others.
	Reach func(ctx context.Context, others []Endpoint) ([]Reach, error)
	// Step, if set, is called before each step of a move: for tests that stop there.
	Step func(step string) error
}

// Operator carries out what operators ask for. It is safe for concurrent use.
type Operator struct {
	cfg Config

	verifying sync.Mutex
	moving    sync.Mutex
}

// New returns an operator.
func New(cfg Config) *Operator { return &Operator{cfg: cfg} }

var (
	errBadRequest = errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "the request does not fit")
	errBusy       = errs.New(errs.KindOverloaded, errs.CodeOverloaded, "this instance is doing the same already")
)

func (o *Operator) checkPartition(p int) error {
	if p < 0 || p >= o.cfg.Partitions {
		return errBadRequest.With(fmt.Sprintf("partition %d is not 0 to %d", p, o.cfg.Partitions-1))
	}
	return nil
}

// symbol returns the stored rules of a symbol.
func (o *Operator) symbol(ctx context.Context, name string) (symbol.Rules, error) {
	all, err := o.cfg.Store.Symbols(ctx)
	if err != nil {
		return symbol.Rules{}, err
	}
	for _, l := range all {
		if l.Name == name {
			return l.Rules, nil
		}
	}
	return symbol.Rules{}, errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "unknown symbol")
}

// record notes a decision before it is carried out.
func (o *Operator) record(ctx context.Context, by By, name, action, outcome string, fingerprint []byte) error {
	if err := by.validate(); err != nil {
		return err
	}
	return o.cfg.Store.RecordDecision(ctx, &Decision{
		By: by, Symbol: name, Action: action, Outcome: outcome, Fingerprint: fingerprint, DecidedMs: o.cfg.Clock.NowMs(),
	})
}

// Snapshot is a stored snapshot, and which consumer has not reached it, "" if all have.
type Snapshot struct {
	snapshot.Info

	Ahead string
}

// Snapshots lists the stored snapshots of all partitions, newest first in each. A
// consumer that does not answer is named in place of one that is behind.
func (o *Operator) Snapshots(ctx context.Context) ([]Snapshot, error) {
	reach, unknown := o.cfg.Reach(ctx, nil)
	var all []Snapshot
	for p := range o.cfg.Partitions {
		stored, err := o.cfg.Snapshots.Snapshots(ctx, p)
		if err != nil {
			return nil, fmt.Errorf("snapshots of partition %d: %w", p, err)
		}
		for i := range stored {
			s := Snapshot{Info: stored[i]}
			if unknown != nil {
				s.Ahead = unknown.Error()
			} else if s.Ahead, err = sequencer.Reached(&stored[i], followersOf(reach)); err != nil {
				s.Ahead = err.Error()
			}
			all = append(all, s)
		}
	}
	return all, nil
}

func followersOf(reach []Reach) []sequencer.Follower {
	all := make([]sequencer.Follower, len(reach))
	for i := range reach {
		all[i] = reach[i].Follower
	}
	return all
}

// Verify replays a partition's command log with the naive matcher; see sequencer.Verify.
// One at a time: it takes a processor for itself.
func (o *Operator) Verify(ctx context.Context, partition int, name string, from int64, progress func(next, end int64)) (*sequencer.Verification, error) {
	if err := o.checkPartition(partition); err != nil {
		return nil, err
	}
	if !o.verifying.TryLock() {
		return nil, errBusy
	}
	defer o.verifying.Unlock()
	return sequencer.Verify(ctx, sequencer.VerifyConfig{
		Partition: partition, Log: o.cfg.Log, Snapshots: o.cfg.Snapshots, Symbol: name, From: from, Progress: progress,
		NewEngine: func() matching.Engine { return naive.New() },
	})
}
