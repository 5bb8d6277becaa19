package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
)

// Action is what an operator decides about a halted symbol.
type Action string

// The actions.
const (
	// ActionRetry applies the parked records as they are: the cause has been removed. A
	// missing record that came late, and is parked behind, takes its place.
	ActionRetry Action = "retry"
	// ActionSkip gives up what halted the symbol. A record that cannot be applied is
	// passed over; one that cannot be read, or is of another history, is dropped; at a
	// gap it is the missing records that are given up.
	ActionSkip Action = "skip"
	// ActionResync puts the missing record, found elsewhere, in its place.
	ActionResync Action = "resync"
)

// Refusals of a decision.
var (
	// ErrNotHalted: the consumer does not stand still at that symbol.
	ErrNotHalted = errs.New(errs.KindNotFound, errs.CodeNotHalted, "the symbol is not halted")
	// ErrHaltMoved: what was decided about is not what halts the symbol now.
	ErrHaltMoved = errs.New(errs.KindFailedPrecondition, errs.CodeHaltMoved, "something else halts the symbol by now: look again")
	// ErrBadDecision: the decision is incomplete or does not fit the halt.
	ErrBadDecision = errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "the decision does not fit")
)

// Request is an operator's decision.
type Request struct {
	// ID makes a repetition harmless, 1 to 64 characters.
	ID               string
	Consumer, Symbol string
	Action           Action
	// Fingerprint of the parked record that halts the symbol, as it was shown. It may be
	// left out of a retry.
	Fingerprint []byte
	// By and Reason say who and why.
	By, Reason string
	// Record is the missing record of a resync: the value of its message.
	Record []byte
}

func (r *Request) validate() error {
	switch {
	case r.ID == "" || len(r.ID) > maxNameBytes || r.Consumer == "" || r.Symbol == "":
		return ErrBadDecision.With("request id, consumer or symbol is missing")
	case r.By == "" || len(r.By) > maxNameBytes || r.Reason == "":
		return ErrBadDecision.With("who decides and why must be said")
	case r.Action != ActionRetry && r.Action != ActionSkip && r.Action != ActionResync:
		return ErrBadDecision.With("no such action")
	case r.Action != ActionRetry && len(r.Fingerprint) == 0:
		return ErrBadDecision.With("the fingerprint of the record is missing")
	case (r.Action == ActionResync) != (len(r.Record) > 0):
		return ErrBadDecision.With("a resync, and nothing else, brings a record")
	}
	return nil
}

// decideAttempts bounds how often a decision is tried again because records were parked
// at the same time.
const decideAttempts = 20

// Decide carries out a decision and records it, in one transaction. The consumer that
// owns the partition then applies the parked records, until none is left or another
// one halts the symbol. Repeating a request returns what was decided.
//
// Errors: ErrNotHalted, ErrHaltMoved, ErrBadDecision, KindFailedPrecondition with
// CodeIdempotencyMismatch for a request id of another decision, and those of the database.
func Decide(ctx context.Context, store Store, clk clock.Clock, r Request) (database.Decision, error) {
	if err := r.validate(); err != nil {
		return database.Decision{}, err
	}
	for attempt := 1; ; attempt++ {
		d, err := decideOnce(ctx, store, clk, &r)
		if attempt < decideAttempts && errors.Is(err, database.ErrFenced) {
			continue
		}
		if err != nil {
			return d, fmt.Errorf("decide about %s in %s: %w", r.Symbol, r.Consumer, err)
		}
		return d, nil
	}
}

func decideOnce(ctx context.Context, store Store, clk clock.Clock, r *Request) (database.Decision, error) {
	known, found, err := store.FindDecision(ctx, r.ID)
	if err != nil {
		return known, err
	}
	if found {
		if known.Consumer != r.Consumer || known.Symbol != r.Symbol || known.Action != string(r.Action) {
			return known, errs.New(errs.KindFailedPrecondition, errs.CodeIdempotencyMismatch, "the request id is another decision's")
		}
		return known, nil
	}
	v, err := viewHalt(ctx, store, r)
	if err != nil {
		return database.Decision{}, err
	}
	p, err := v.plan(ctx, store, r)
	if err != nil {
		return database.Decision{}, err
	}
	d := database.Decision{
		RequestID: r.ID, Consumer: r.Consumer, Symbol: r.Symbol, Action: string(r.Action), Fingerprint: v.first.Fingerprint,
		By: r.By, Reason: r.Reason, Outcome: p.outcome, DecidedMs: clk.NowMs(),
	}
	return d, store.Tx(ctx, func(fences Fences, _ *database.Tx) error { return p.write(fences, d) })
}

// haltView is what a decision is made about.
type haltView struct {
	halt  database.Halt
	first database.Parked // the record that halts the symbol
	seq   int64           // the last applied
	hash  []byte
}

func viewHalt(ctx context.Context, store Store, r *Request) (*haltView, error) {
	halts, err := store.LoadHalts(ctx, r.Consumer)
	if err != nil {
		return nil, err
	}
	h, halted := halts[r.Symbol]
	if !halted {
		return nil, ErrNotHalted
	}
	if h.State == database.Draining {
		return nil, ErrHaltMoved.With("its parked records are being applied")
	}
	rows, err := store.LoadParked(ctx, r.Consumer, r.Symbol, 0, 1, drainBytes)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, ErrHaltMoved.With("nothing is parked")
	}
	if len(r.Fingerprint) > 0 && !bytes.Equal(r.Fingerprint, rows[0].Fingerprint) {
		return nil, ErrHaltMoved
	}
	positions, err := store.LoadSymbolPositions(ctx, r.Consumer)
	if err != nil {
		return nil, err
	}
	p := positions[r.Symbol]
	return &haltView{halt: h, first: rows[0], seq: p.Seq, hash: p.Hash}, nil
}

// decided is what a decision does.
type decided struct {
	before  database.Halt
	after   database.Halt
	outcome string
	// move, if its to is not 0, moves the symbol over what is given up.
	move move
	// drop takes the first record away; front puts records before it, moved from others'
	// places or new.
	drop  *database.Parked
	moved []int64
	fresh *database.Parked
	place int64 // of the first record
}

func (p *decided) write(fences Fences, d database.Decision) error {
	consumer, symbol := p.before.Consumer, p.before.Symbol
	if p.move.to > 0 {
		if err := fences.AdvanceSymbol(consumer, symbol, p.move.from, p.move.to, p.move.hash); err != nil {
			return err
		}
	}
	if err := fences.AdvanceHalt(consumer, symbol, p.before.Version); err != nil {
		return err
	}
	if p.drop != nil {
		if err := fences.Unpark(consumer, symbol, p.drop.Place, p.drop.Place); err != nil {
			return err
		}
	}
	for i, from := range p.moved {
		if err := fences.MoveParked(consumer, symbol, from, p.place-int64(len(p.moved)-i)); err != nil {
			return err
		}
	}
	if p.fresh != nil {
		if err := fences.Park(consumer, symbol, []database.Parked{*p.fresh}); err != nil {
			return err
		}
	}
	if err := fences.SetHalt(p.after); err != nil {
		return err
	}
	return fences.RecordDecision(d)
}

// plan works out what a decision does.
func (v *haltView) plan(ctx context.Context, store Store, r *Request) (*decided, error) {
	p := &decided{before: v.halt, after: v.halt, place: v.first.Place}
	p.after.Version++
	p.after.State = database.Draining
	var err error
	switch r.Action {
	case ActionRetry:
		err = v.retry(ctx, store, p)
	case ActionSkip:
		v.skip(p)
	case ActionResync:
		err = v.resync(p, r.Record)
	}
	return p, err
}

// retry looks behind for records that are missing in front.
func (v *haltView) retry(ctx context.Context, store Store, p *decided) error {
	for seq := v.seq + 1; seq < v.first.Seq; seq++ {
		place, err := store.FindParked(ctx, v.halt.Consumer, v.halt.Symbol, seq)
		if err != nil {
			return err
		}
		if place == 0 {
			break
		}
		p.moved = append(p.moved, place)
	}
	p.outcome = fmt.Sprintf("applies %d parked records from %s on, %d of them came late",
		v.halt.Parked, v.where(), len(p.moved))
	return nil
}

// skip gives up what halts the symbol; see ActionSkip.
func (v *haltView) skip(p *decided) {
	e, err := OpenMessage(messagesOf([]database.Parked{v.first})[0])
	switch {
	case err == nil && e.Body.GetSeq() > v.seq+1:
		p.move = move{from: v.seq, to: e.Body.GetSeq() - 1, hash: e.PrevHash}
		p.outcome = fmt.Sprintf("gives up records %d to %d, which are missing before %s", v.seq+1, e.Body.GetSeq()-1, v.where())
		return
	case err == nil && e.Body.GetSeq() == v.seq+1 && bytes.Equal(e.PrevHash, v.hash):
		p.move = move{from: v.seq, to: e.Body.GetSeq(), hash: e.Hash}
		p.outcome = fmt.Sprintf("passes over record %d at %s without applying it", e.Body.GetSeq(), v.where())
	default:
		p.outcome = "drops what is at " + v.where()
	}
	p.drop = &v.first
	p.after.Parked--
	p.after.ParkedBytes -= v.first.Bytes()
}

// resync puts the record that is due before the first one. Its hash must fit between
// what was applied and what is parked, so that nothing else can be put there.
func (v *haltView) resync(p *decided, value []byte) error {
	e, err := Open(value)
	switch {
	case err != nil:
		return ErrBadDecision.With("the record cannot be read").Wrap(err)
	case e.Body.GetSymbol() != v.halt.Symbol:
		return ErrBadDecision.With("the record is of another symbol")
	case e.Body.GetSeq() != v.seq+1 || !bytes.Equal(e.PrevHash, v.hash):
		return ErrBadDecision.With(fmt.Sprintf("the record is not number %d, which is due", v.seq+1))
	}
	next, err := Open(v.first.Value)
	if err == nil && next.Body.GetSeq() == e.Body.GetSeq()+1 && !bytes.Equal(next.PrevHash, e.Hash) {
		return ErrBadDecision.With("the record does not fit the one that follows")
	}
	p.fresh = &database.Parked{
		Place: v.first.Place - 1, Topic: v.halt.Topic, Partition: v.halt.Partition, Offset: v.first.Offset, TimeMs: v.first.TimeMs,
		Seq: e.Body.GetSeq(), Fingerprint: e.Hash, Key: []byte(v.halt.Symbol), Value: value,
	}
	p.after.Parked++
	p.after.ParkedBytes += p.fresh.Bytes()
	p.outcome = fmt.Sprintf("puts record %d before %s", e.Body.GetSeq(), v.where())
	return nil
}

func (v *haltView) where() string {
	return fmt.Sprintf("offset %d of %s/%d", v.first.Offset, v.first.Topic, v.first.Partition)
}
