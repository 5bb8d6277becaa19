package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	streampb "mscoin/grpc-common/gen/stream/v1"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
)

// shortTime bounds a command that only asks or decides.
const shortTime = 30 * time.Second

// command is what the program can do.
type command struct {
	what string
	do   func(ctx context.Context, s *services, o *options) (*answer, error)
	// time it takes at most, unless -timeout says so.
	time time.Duration
}

var commands = map[string]command{
	"positions":    {"how far each consumer is, by partition and symbol", positions, shortTime},
	"lag":          {"how far each consumer is behind, by partition", lag, shortTime},
	"halted":       {"symbols at which a consumer stands still, and why", halted, shortTime},
	"parked":       {"records that are set aside behind a halted symbol", parked, shortTime},
	"retry":        {"apply the parked records of a symbol, because the cause is removed", decide(streampb.Action_ACTION_RETRY), shortTime},
	"skip":         {"give up the record that halts a symbol, or those missing before it", decide(streampb.Action_ACTION_SKIP), shortTime},
	"resync":       {"put the missing record, found in another topic, in its place", decide(streampb.Action_ACTION_RESYNC), shortTime},
	"decisions":    {"what has been decided, by whom and why", decisions, shortTime},
	"suspense":     {"orders of which the matcher and the books say different things", suspense, shortTime},
	"snapshots":    {"the matchers' snapshots, and whether a replay has verified them", snapshots, shortTime},
	"verify":       {"replay a command log with the naive matcher, and name the first difference", verify, longTime},
	"truncate":     {"delete the beginning of a command log that no start needs any more", truncate, moveTime},
	"move":         {"move a symbol to another partition, or go on with it", move, moveTime},
	"flag":         {"set which behaviour flags of a symbol are on", setFlags, shortTime},
	"stops":        {"withdrawals that are stopped, and why", stops, shortTime},
	"lift-stop":    {"let withdrawals go on; a second operator must approve while the books do not fit", liftStop, shortTime},
	"correct":      {"ask for an amount to be moved between two accounts; a second operator must approve", correct, shortTime},
	"approve":      {"approve what another operator has asked for, and carry it out", approve, shortTime},
	"reject":       {"refuse what was asked for", reject, shortTime},
	"corrections":  {"corrections and lifted stops: who asked, who approved, and why", corrections, shortTime},
	"fee-income":   {"fee income by coin and day", feeIncome, shortTime},
	"skip-command": {"decide that a command which the matcher cannot execute is skipped", skipCommand, shortTime},
}

func commandNames() []string { return slices.Sorted(maps.Keys(commands)) }

// each asks every service for its positions.
func each(ctx context.Context, s *services, show func(service string, res *streampb.GetPositionsResponse)) error {
	for _, name := range serviceNames {
		conn, ok := s.conns[name]
		if !ok {
			continue
		}
		res, err := streampb.NewConsumerServiceClient(conn).GetPositions(ctx, &streampb.GetPositionsRequest{})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		show(name, res)
	}
	return nil
}

func positions(ctx context.Context, s *services, _ *options) (*answer, error) {
	a := newAnswer("SERVICE", "WHAT", "POSITION", "HASH OR FINGERPRINT", "STATE")
	err := each(ctx, s, func(service string, res *streampb.GetPositionsResponse) {
		for _, p := range res.GetPartitions() {
			a.add(service, fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition()), number(p.GetNextOffset()),
				hex.EncodeToString(p.GetFingerprint()), "end "+number(p.GetEndOffset()))
		}
		for _, p := range res.GetSymbols() {
			a.add(service, p.GetSymbol(), number(p.GetSeq()), hex.EncodeToString(p.GetHash()), stateOf(p.GetHalt()))
			a.wrong = a.wrong || p.GetHalt() != nil
		}
	})
	return a, err
}

func stateOf(h *streampb.Halt) string {
	switch {
	case h == nil:
		return "live"
	case h.GetDraining():
		return "applying parked records"
	}
	return "halted: " + h.GetReason()
}

func lag(ctx context.Context, s *services, _ *options) (*answer, error) {
	a := newAnswer("SERVICE", "PARTITION", "RECORDS", "AGE MS", "NOT FORWARDED")
	err := each(ctx, s, func(service string, res *streampb.GetPositionsResponse) {
		for _, p := range res.GetPartitions() {
			notForwarded := int64(0)
			if p.GetForwardedOffset() > 0 {
				notForwarded = p.GetNextOffset() - p.GetForwardedOffset()
			}
			a.add(service, fmt.Sprintf("%s/%d", p.GetTopic(), p.GetPartition()), number(p.GetEndOffset()-p.GetNextOffset()),
				number(p.GetAgeMs()), number(notForwarded))
		}
	})
	return a, err
}

func halted(ctx context.Context, s *services, _ *options) (*answer, error) {
	a := newAnswer("SERVICE", "SYMBOL", "STATE", "WHERE", "WANT SEQ", "GOT SEQ", "SINCE", "PARKED", "BYTES", "CAUSE")
	err := each(ctx, s, func(service string, res *streampb.GetPositionsResponse) {
		for _, p := range res.GetSymbols() {
			h := p.GetHalt()
			if h == nil {
				continue
			}
			a.wrong = true
			a.add(service, p.GetSymbol(), stateOf(h), where(h.GetTopic(), h.GetPartition(), h.GetOffset()), number(h.GetWantSeq()),
				number(h.GetGotSeq()), moment(h.GetSinceMs()), number(h.GetParked()), number(h.GetParkedBytes()), h.GetCause())
		}
	})
	return a, err
}

func parked(ctx context.Context, s *services, o *options) (*answer, error) {
	conn, err := s.of(o.service)
	if err != nil {
		return nil, err
	}
	res, err := streampb.NewConsumerServiceClient(conn).ListParked(ctx, &streampb.ListParkedRequest{
		Symbol: o.symbol, PageSize: int32(min(o.limit, 500)), WithValues: o.values,
	})
	if err != nil {
		return nil, fmt.Errorf("list parked records: %w", err)
	}
	a := newAnswer("WHERE", "SEQ", "TIME", "KEY", "SIZE", "FINGERPRINT", "VALUE")
	for _, r := range res.GetRecords() {
		a.add(where(r.GetTopic(), r.GetPartition(), r.GetOffset()), number(r.GetSeq()), moment(r.GetTimeMs()),
			strconv.Quote(string(r.GetKey())), number(r.GetSize()), hex.EncodeToString(r.GetFingerprint()), hex.EncodeToString(r.GetValue()))
	}
	return a, nil
}

// decide carries out a decision. After an unknown outcome the same request id can be
// given again.
func decide(action streampb.Action) func(ctx context.Context, s *services, o *options) (*answer, error) {
	return func(ctx context.Context, s *services, o *options) (*answer, error) {
		conn, err := s.of(o.service)
		if err != nil {
			return nil, err
		}
		fingerprint, err := hex.DecodeString(o.fingerprint)
		if err != nil {
			return nil, errors.New("the fingerprint is not hexadecimal")
		}
		id := o.requestID
		if id == "" {
			id = rand.Text()
		}
		res, err := streampb.NewConsumerServiceClient(conn).Decide(ctx, &streampb.DecideRequest{
			RequestId: id, Symbol: o.symbol, Action: action, Fingerprint: fingerprint, DecidedBy: o.by, Reason: o.reason, SearchTopic: o.from,
		})
		if errs.KindOf(err) == errs.KindUnknownOutcome {
			return nil, fmt.Errorf("whether it was decided is not known: say it again with -request %s: %w", id, err)
		}
		if err != nil {
			return nil, fmt.Errorf("decide: %w", err)
		}
		a := newDecisions()
		a.decision(o.service, res.GetDecision())
		return a, nil
	}
}

func decisions(ctx context.Context, s *services, o *options) (*answer, error) {
	a := newDecisions()
	for _, name := range serviceNames {
		conn, ok := s.conns[name]
		if !ok {
			continue
		}
		res, err := streampb.NewConsumerServiceClient(conn).ListDecisions(ctx, &streampb.ListDecisionsRequest{PageSize: int32(min(o.limit, 500))})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, d := range res.GetDecisions() {
			a.decision(name, d)
		}
	}
	return a, nil
}

func newDecisions() *answer {
	return newAnswer("SERVICE", "SYMBOL", "ACTION", "WHEN", "BY", "REASON", "OUTCOME", "FINGERPRINT", "REQUEST")
}

func (a *answer) decision(service string, d *streampb.Decision) {
	a.add(service, d.GetSymbol(), d.GetAction(), moment(d.GetDecidedMs()), d.GetDecidedBy(), d.GetReason(), d.GetOutcome(),
		hex.EncodeToString(d.GetFingerprint()), d.GetRequestId())
}

func suspense(ctx context.Context, s *services, o *options) (*answer, error) {
	conn, err := s.of("wallet")
	if err != nil {
		return nil, err
	}
	res, err := walletpb.NewWalletServiceClient(conn).ListSuspense(ctx, &walletpb.ListSuspenseRequest{PageSize: int32(min(o.limit, 1000))})
	if err != nil {
		return nil, fmt.Errorf("list suspense: %w", err)
	}
	a := newAnswer("ORDER", "MEMBER", "SYMBOL", "SEQ", "SINCE", "CAUSE")
	for _, order := range res.GetOrders() {
		a.wrong = true
		a.add(number(order.GetOrderId()), number(order.GetMemberId()), order.GetSymbol(), number(order.GetSeq()),
			moment(order.GetSinceMs()), order.GetCause())
	}
	return a, nil
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func moment(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z") }

func where(topic string, partition int32, offset int64) string {
	return fmt.Sprintf("%s/%d@%d", topic, partition, offset)
}
