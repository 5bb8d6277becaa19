package operator

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/errs"
)

// Refusals of decisions. Nothing has changed.
var (
	// ErrNotPoison says that the matcher does not stand at the command.
	ErrNotPoison = errs.New(errs.KindFailedPrecondition, errs.CodeNotPoison, "the matcher does not stand at that command")
	// ErrPublished says that a record answers the command, or a later one: somebody has executed it.
	ErrPublished = errs.New(errs.KindFailedPrecondition, errs.CodeCommandPublished, "the command has been executed and published")
)

// SetFlags sets which behaviour flags of a symbol are on, all of them. It is for a time
// when every instance runs a release that knows them: one that does not stops at the command.
func (o *Operator) SetFlags(ctx context.Context, name string, flags []string, by By) (sequencer.Answer, error) {
	r, err := o.symbol(ctx, name)
	if err != nil {
		return sequencer.Answer{}, err
	}
	flags = slices.Compact(slices.Sorted(slices.Values(flags)))
	for _, f := range flags {
		if !slices.Contains(sequencer.KnownFlags(), f) {
			return sequencer.Answer{}, errs.New(errs.KindInvalidArgument, errs.CodeUnknownFlag, "no such behaviour flag in this release").
				With(fmt.Sprintf("%q; it has %s", f, strings.Join(sequencer.KnownFlags(), ", ")))
		}
	}
	if err := o.record(ctx, by, name, actionFlags, "on afterwards: "+listOf(flags), nil); err != nil {
		return sequencer.Answer{}, err
	}
	a, err := o.cfg.Ask.SetFlags(ctx, r.Partition, name, flags)
	if err != nil {
		return a, fmt.Errorf("set flags of %s: %w", name, err)
	}
	if a.Rejected {
		return a, fmt.Errorf("set flags of %s: %w", name, refusal(a.Reason))
	}
	return a, nil
}

func listOf(flags []string) string {
	if len(flags) == 0 {
		return "none"
	}
	return strings.Join(flags, ", ")
}

// refusal is what an operator is told when the matcher has refused.
func refusal(reason order.Reason) error {
	if reason == order.ReasonBadRules {
		return errs.New(errs.KindFailedPrecondition, errs.CodeBadSymbolRules, "the symbol's rules do not allow it")
	}
	return reason.Refusal()
}

// Skip decides that a command is not executed, because the matcher cannot: this instance
// owns its partition, stands at that very command, and no record answers it or a later
// one. The next start obeys, and so does every replay. It returns why the matcher could not.
func (o *Operator) Skip(ctx context.Context, partition int, offset int64, fingerprint []byte, by By) (cause string, err error) {
	if err := o.checkPartition(partition); err != nil {
		return "", err
	}
	failure, err := o.cfg.Local.Failure(partition)
	if err != nil {
		return "", err
	}
	poison, ok := errors.AsType[*sequencer.PoisonError](failure)
	if !ok || poison.Offset != offset || !bytes.Equal(poison.Fingerprint, fingerprint) {
		return "", ErrNotPoison.With(fmt.Sprintf("partition %d: %v", partition, failure))
	}
	answered, err := sequencer.Answered(ctx, o.cfg.Log, partition, offset)
	if err != nil {
		return "", fmt.Errorf("look for the command's record: %w", err)
	}
	if answered != nil {
		return "", ErrPublished.With(answered.Error())
	}
	outcome := fmt.Sprintf("skips the command at offset %d of partition %d", offset, partition)
	if err := o.record(ctx, by, poison.Key, actionSkip, outcome, fingerprint); err != nil {
		return "", err
	}
	err = o.cfg.Snapshots.SaveSkipDecision(ctx, &snapshot.Decision{
		Skip: snapshot.Skip{Offset: offset, Fingerprint: fingerprint}, Partition: partition, Reason: by.Reason, DecidedMs: o.cfg.Clock.NowMs(),
	})
	if err != nil {
		return "", err
	}
	return poison.Cause.Error(), nil
}
