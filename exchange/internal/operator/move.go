package operator

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// Refusals of a move. Nothing has changed.
var (
	// ErrMoveInProgress says that the symbol is on its way to another partition.
	ErrMoveInProgress = errs.New(errs.KindFailedPrecondition, errs.CodeMoveInProgress, "the symbol is on its way to another partition: finish that first")
	// ErrTooLarge says that the symbol's open orders and remembered ids do not fit into a message.
	ErrTooLarge = errs.New(errs.KindFailedPrecondition, errs.CodeSymbolTooLarge, "the symbol does not fit into a message: let it have fewer open orders first")
	errNotThere = errs.New(errs.KindUnavailable, errs.CodeMatcherMoving, "the matcher does not know the symbol: it is being listed, or its matcher starts; try again")
	errStopped  = errs.New(errs.KindUnavailable, errs.CodeFollowerBehind, "a consumer has not passed the symbol's last record: the symbol stays halted; repeat the move when it has")
)

const (
	// maxImageBytes bounds a symbol that moves; what its book gains until it is halted
	// must still fit into a message.
	maxImageBytes = 6 << 20
	// passPoll is how often consumers are asked whether they have passed.
	passPoll = 100 * time.Millisecond
)

// Steps of a move, as they are told. Each is repeated without harm.
const (
	StepBegun   = "begun"
	StepHalted  = "halted"
	StepLeft    = "left its partition"
	StepPassed  = "every consumer has passed its last record there"
	StepAdopted = "adopted by the other partition"
	StepRouted  = "new commands go there"
	StepResumed = "resumed"
	StepDone    = "moved"
)

// MoveRequest asks for a symbol to be moved.
type MoveRequest struct {
	Symbol string
	To     int
	// Others are consumers that must have passed, beside the order store and the wallet.
	Others []Endpoint
	By
}

// Move moves a symbol, with its open orders, to another partition:
//
//	begun    the way is stored, with who and why
//	halted   no order is taken any more
//	left     a command in the old partition's log ends the symbol there; its state is kept
//	passed   every consumer has applied that record: what comes from the other partition
//	         cannot overtake it
//	adopted  a command in the new partition's log goes on with the state and the chain
//	routed   the table of symbols sends commands there
//	resumed  the symbol has the phase that it had
//
// It runs where the old partition is owned (*app.Elsewhere otherwise). Interrupted
// anywhere, the symbol stays halted, nothing is lost, and a repetition goes on; after
// "left" there is no way back but moving it once more. tell is called after each step.
//
// Errors: CodeUnknownSymbol, CodeBadRequest (no such partition), ErrMoveInProgress,
// ErrTooLarge; KindUnavailable and KindUnknownOutcome ask for a repetition.
func (o *Operator) Move(ctx context.Context, req MoveRequest, tell func(step string, seq int64) error) error {
	if !o.moving.TryLock() {
		return errBusy
	}
	defer o.moving.Unlock()
	m, err := o.beginMove(ctx, &req)
	if err != nil {
		return fmt.Errorf("move %s: %w", req.Symbol, err)
	}
	if m == nil { // it is there
		return tell(StepDone, 0)
	}
	if err := o.move(ctx, m, req.Others, tell); err != nil {
		return fmt.Errorf("move %s from partition %d to %d: %w", m.Symbol, m.From, m.To, err)
	}
	return nil
}

// beginMove stores the way, or finds the one that is to be gone on with; nil when the
// symbol is where it should be.
func (o *Operator) beginMove(ctx context.Context, req *MoveRequest) (*app.Move, error) {
	if err := o.checkPartition(req.To); err != nil {
		return nil, err
	}
	if err := req.validate(); err != nil {
		return nil, err
	}
	if m, err := o.moveOf(ctx, req.Symbol); err != nil || m != nil {
		if m != nil && m.To != req.To {
			return nil, ErrMoveInProgress.With(fmt.Sprintf("from %d to %d, since request %s", m.From, m.To, m.RequestID))
		}
		return m, err
	}
	r, err := o.symbol(ctx, req.Symbol)
	if err != nil || r.Partition == req.To {
		return nil, err
	}
	matcher, err := o.cfg.Local.Matcher(r.Partition)
	if err != nil {
		return nil, err
	}
	phase, ok := matcher.Listed(req.Symbol)
	if !ok {
		return nil, errNotThere
	}
	if size := matcher.ImageSize(req.Symbol); size > maxImageBytes {
		return nil, ErrTooLarge.With(fmt.Sprintf("%d bytes, %d at most", size, maxImageBytes))
	}
	if err := o.step(StepBegun); err != nil {
		return nil, err
	}
	outcome := fmt.Sprintf("from partition %d to %d", r.Partition, req.To)
	if err := o.record(ctx, req.By, req.Symbol, actionMove, outcome, nil); err != nil {
		return nil, err
	}
	err = o.cfg.Store.BeginMove(ctx, app.Move{
		Symbol: req.Symbol, From: r.Partition, To: req.To, Phase: phase, RequestID: req.RequestID, BegunMs: o.cfg.Clock.NowMs(),
	})
	if err != nil {
		return nil, err
	}
	m, err := o.moveOf(ctx, req.Symbol) // what is stored, whoever was first
	if err == nil && (m == nil || m.To != req.To) {
		err = ErrMoveInProgress
	}
	return m, err
}

func (o *Operator) moveOf(ctx context.Context, name string) (*app.Move, error) {
	all, err := o.cfg.Store.Moves(ctx)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Symbol == name {
			return &all[i], nil
		}
	}
	return nil, nil //nolint:nilnil // it is not on its way
}

// step lets a test stop before a step.
func (o *Operator) step(name string) error {
	if o.cfg.Step == nil {
		return nil
	}
	return o.cfg.Step(name)
}

// move goes the rest of the way, wherever that begins.
func (o *Operator) move(ctx context.Context, m *app.Move, others []Endpoint, tell func(string, int64) error) error {
	if err := tell(StepBegun, 0); err != nil {
		return err
	}
	r, err := o.symbol(ctx, m.Symbol)
	if err != nil {
		return err
	}
	if r.Partition == m.From {
		if err := o.bring(ctx, m, others, tell); err != nil {
			return err
		}
	}
	if err := o.step(StepResumed); err != nil {
		return err
	}
	if m.Phase != order.PhaseHalt {
		a, err := o.cfg.Ask.SetPhase(ctx, m.To, m.Symbol, m.Phase)
		if err == nil && a.Rejected {
			err = refusal(a.Reason)
		}
		if err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		if err := tell(StepResumed, a.Seq); err != nil {
			return err
		}
	}
	if err := o.step(StepDone); err != nil {
		return err
	}
	if err := o.cfg.Store.EndMove(ctx, m.Symbol); err != nil {
		return err
	}
	return tell(StepDone, 0)
}

// bring takes the symbol from one partition to the other and routes it there.
func (o *Operator) bring(ctx context.Context, m *app.Move, others []Endpoint, tell func(string, int64) error) error {
	matcher, err := o.cfg.Local.Matcher(m.From)
	if err != nil {
		return err
	}
	if err := o.letGo(ctx, m, matcher, tell); err != nil {
		return err
	}
	to, seq, image, ok := matcher.Left(m.Symbol)
	if !ok || to != m.To {
		return errNotThere.With("it has left, and its state is not here")
	}
	if err := tell(StepLeft, seq); err != nil {
		return err
	}
	if err := o.step(StepPassed); err != nil {
		return err
	}
	if err := o.passed(ctx, m.Symbol, seq, others); err != nil {
		return err
	}
	if err := tell(StepPassed, seq); err != nil {
		return err
	}
	if err := o.step(StepAdopted); err != nil {
		return err
	}
	a, err := o.cfg.Ask.Adopt(ctx, m.To, m.Symbol, m.From, image)
	if err != nil {
		return fmt.Errorf("adopt: %w", err)
	}
	// The symbol's first record there is the adoption, so a refusal says that an earlier
	// attempt has brought it.
	if a.Rejected && (a.Reason != order.ReasonBadCommand || a.Seq <= seq+1) {
		return fmt.Errorf("adopt: %w", refusal(a.Reason))
	}
	if err := tell(StepAdopted, a.Seq); err != nil {
		return err
	}
	if err := o.step(StepRouted); err != nil {
		return err
	}
	if err := o.cfg.Store.Route(ctx, m.Symbol, m.From, m.To); err != nil {
		return err
	}
	return tell(StepRouted, a.Seq)
}

// letGo halts the symbol and has it leave, unless it has.
func (o *Operator) letGo(ctx context.Context, m *app.Move, matcher Matcher, tell func(string, int64) error) error {
	if _, _, _, gone := matcher.Left(m.Symbol); gone {
		return nil
	}
	phase, ok := matcher.Listed(m.Symbol)
	if !ok {
		return errNotThere
	}
	if err := o.step(StepHalted); err != nil {
		return err
	}
	if phase != order.PhaseHalt {
		a, err := o.cfg.Ask.SetPhase(ctx, m.From, m.Symbol, order.PhaseHalt)
		if err == nil && a.Rejected {
			err = refusal(a.Reason)
		}
		if err != nil {
			return fmt.Errorf("halt: %w", err)
		}
		if err := tell(StepHalted, a.Seq); err != nil {
			return err
		}
	}
	if err := o.step(StepLeft); err != nil {
		return err
	}
	a, err := o.cfg.Ask.Leave(ctx, m.From, m.Symbol, m.To)
	if err == nil && a.Rejected {
		err = refusal(a.Reason)
	}
	if err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// passed waits until every consumer has applied the symbol's last record in the old
// partition.
func (o *Operator) passed(ctx context.Context, name string, seq int64, others []Endpoint) error {
	for {
		waits, err := o.behind(ctx, name, seq, others)
		if err == nil && waits == "" {
			return nil
		}
		if sleepErr := clock.Sleep(ctx, o.cfg.Clock, passPoll); sleepErr != nil {
			return errStopped.With(waits).Wrap(errors.Join(sleepErr, err))
		}
	}
}

// behind says which consumer has not applied a symbol's record, "" if all have.
func (o *Operator) behind(ctx context.Context, name string, seq int64, others []Endpoint) (string, error) {
	reach, err := o.cfg.Reach(ctx, others)
	if err != nil {
		return err.Error(), err
	}
	for _, r := range reach {
		if at := r.Symbols[name].Seq; at < seq {
			return fmt.Sprintf("consumer %s has applied record %d of %d", r.Name, at, seq), nil
		}
	}
	return "", nil
}
