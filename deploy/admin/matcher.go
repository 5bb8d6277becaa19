package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

const (
	// longTime bounds what reads a whole log, moveTime a move, which waits for consumers.
	longTime = 6 * time.Hour
	moveTime = 5 * time.Minute
)

// exchange returns a client of what operators do with the matchers.
func (s *services) operator() (exchangepb.OperatorServiceClient, error) {
	conn, err := s.of("exchange")
	if err != nil {
		return nil, err
	}
	return exchangepb.NewOperatorServiceClient(conn), nil
}

func snapshots(ctx context.Context, s *services, _ *options) (*answer, error) {
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	res, err := op.ListSnapshots(ctx, &exchangepb.ListSnapshotsRequest{})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	a := newAnswer("PARTITION", "OFFSET", "TAKEN", "AGE", "SIZE", "FORMAT", "SYMBOLS", "STATE HASH", "VERIFIED", "NOT REACHED BY")
	for _, i := range res.GetSnapshots() {
		verified := "no"
		if i.GetVerifiedMs() > 0 {
			verified = moment(i.GetVerifiedMs())
		}
		age := clock.Real().Now().Sub(time.UnixMilli(i.GetTakenMs())).Round(time.Second)
		a.add(number(int64(i.GetPartition())), number(i.GetNextOffset()), moment(i.GetTakenMs()), age.String(), number(i.GetSize()), number(int64(i.GetFormat())),
			number(int64(i.GetSymbols())), hex.EncodeToString(i.GetStateHash()), verified, i.GetNotUsable())
	}
	return a, nil
}

// partitions returns the partitions that a command is about: the one that is named, that
// of the symbol, or all.
func (s *services) partitions(ctx context.Context, o *options) ([]int32, error) {
	conn, err := s.of("exchange")
	if err != nil {
		return nil, err
	}
	switch {
	case o.partition >= 0:
		return []int32{int32(o.partition)}, nil
	case o.symbol != "":
		res, err := exchangepb.NewExchangeServiceClient(conn).ListSymbols(ctx, &exchangepb.ListSymbolsRequest{})
		if err != nil {
			return nil, fmt.Errorf("list symbols: %w", err)
		}
		for _, l := range res.GetSymbols() {
			if l.GetName() == o.symbol {
				return []int32{l.GetPartition()}, nil
			}
		}
		return nil, fmt.Errorf("there is no symbol %q", o.symbol)
	}
	res, err := streampb.NewConsumerServiceClient(conn).GetPositions(ctx, &streampb.GetPositionsRequest{})
	if err != nil {
		return nil, fmt.Errorf("get positions: %w", err)
	}
	all := make([]int32, 0, len(res.GetPartitions()))
	for _, p := range res.GetPartitions() {
		all = append(all, p.GetPartition())
	}
	return all, nil
}

func verify(ctx context.Context, s *services, o *options) (*answer, error) {
	req := &exchangepb.VerifyLogRequest{Symbol: o.symbol}
	switch o.from {
	case "", "verified":
	case "beginning":
		req.From = exchangepb.VerifyFrom_VERIFY_FROM_BEGINNING
	default:
		offset, err := strconv.ParseInt(o.from, 10, 64)
		if err != nil || offset < 0 {
			return nil, errors.New("-from is verified, beginning, or the offset of a snapshot")
		}
		req.From, req.SnapshotOffset = exchangepb.VerifyFrom_VERIFY_FROM_SNAPSHOT, offset
	}
	partitions, err := s.partitions(ctx, o)
	if err != nil {
		return nil, err
	}
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	a := newAnswer("PARTITION", "FROM", "END", "RECORDS", "UNPUBLISHED", "SNAPSHOTS", "RESULT", "COMMAND", "RECORD", "SYMBOL", "SEQ", "FIELD", "STORED", "REPLAYED")
	for _, p := range partitions {
		req.Partition = p
		report, err := verifyOne(ctx, op, req, o.progress)
		if err != nil {
			return nil, fmt.Errorf("verify partition %d: %w", p, err)
		}
		at := make([]string, 0, len(report.GetSnapshots()))
		for _, next := range report.GetSnapshots() {
			at = append(at, number(next))
		}
		row := []string{
			number(int64(p)), number(report.GetFromOffset()), number(report.GetEndOffset()), number(report.GetRecords()),
			number(report.GetUnpublished()), strings.Join(at, " "),
		}
		d := report.GetDifference()
		if d == nil {
			a.add(append(row, "the same", "", "", "", "", "", "", "")...)
			continue
		}
		a.wrong = true
		a.add(append(row, d.GetWhat(), number(d.GetCommandOffset()), number(d.GetRecordOffset()), d.GetSymbol(), number(d.GetSeq()),
			d.GetField(), d.GetStored(), d.GetReplayed())...)
	}
	return a, nil
}

// verifyOne verifies a partition and tells how far it is.
func verifyOne(ctx context.Context, op exchangepb.OperatorServiceClient, req *exchangepb.VerifyLogRequest, progress io.Writer) (*exchangepb.VerifyReport, error) {
	stream, err := op.VerifyLog(ctx, req)
	if err != nil {
		return nil, err
	}
	for {
		res, err := stream.Recv()
		switch {
		case err != nil:
			return nil, err
		case res.GetReport() != nil:
			return res.GetReport(), nil
		}
		_, _ = fmt.Fprintf(progress, "partition %d: %d of %d\n", req.GetPartition(), res.GetNextOffset(), res.GetEndOffset())
	}
}

// followers are the consumers that the exchange does not know by itself.
func (s *services) followers(o *options) ([]*exchangepb.Follower, error) {
	addr, ok := s.addrs["market"]
	switch {
	case ok:
		return []*exchangepb.Follower{{Name: "market", Endpoint: addr}}, nil
	case o.withoutMarket:
		return nil, nil
	}
	return nil, errors.New("no address of the market, which must have passed as well: set -market, or -without-market if there is none")
}

func (o *options) decidedBy() *exchangepb.DecidedBy {
	id := o.requestID
	if id == "" {
		id = rand.Text()
	}
	return &exchangepb.DecidedBy{RequestId: id, Name: o.by, Reason: o.reason}
}

// again tells how to repeat a request whose outcome is not known.
func again(what string, by *exchangepb.DecidedBy, err error) error {
	switch errs.KindOf(err) { //nolint:exhaustive // all others are refusals
	case errs.KindUnknownOutcome, errs.KindUnavailable:
		return fmt.Errorf("%s: it is not finished: say it again with -request %s: %w", what, by.GetRequestId(), err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

func truncate(ctx context.Context, s *services, o *options) (*answer, error) {
	if o.partition < 0 {
		return nil, errors.New("-partition is missing")
	}
	followers, err := s.followers(o)
	if err != nil {
		return nil, err
	}
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	by := o.decidedBy()
	stream, err := op.TruncateLog(ctx, &exchangepb.TruncateLogRequest{
		Partition: int32(o.partition), DryRun: o.dryRun, Records: o.records, Followers: followers, DecidedBy: by,
	})
	var res *exchangepb.TruncateLogResponse
	if err == nil {
		res, err = stream.Recv()
	}
	if err != nil {
		return nil, again("truncate", by, err)
	}
	a := newAnswer("TOPIC", "BEGAN AT", "BEGINS AT", "ENDS AT", "OLDEST SNAPSHOT")
	for _, t := range res.GetTopics() {
		a.add(fmt.Sprintf("%s/%d", t.GetTopic(), o.partition), number(t.GetFirstOffset()), number(t.GetNewFirstOffset()), number(t.GetEndOffset()),
			number(res.GetSnapshotOffset()))
	}
	return a, nil
}

func move(ctx context.Context, s *services, o *options) (*answer, error) {
	if o.to < 0 || o.symbol == "" {
		return nil, errors.New("-symbol or -to is missing")
	}
	followers, err := s.followers(o)
	if err != nil {
		return nil, err
	}
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	by := o.decidedBy()
	stream, err := op.MoveSymbol(ctx, &exchangepb.MoveSymbolRequest{Symbol: o.symbol, ToPartition: int32(o.to), Followers: followers, DecidedBy: by})
	if err != nil {
		return nil, again("move", by, err)
	}
	a := newAnswer("STEP", "RECORD")
	for {
		res, err := stream.Recv()
		if err != nil {
			return nil, again("move", by, err)
		}
		seq := ""
		if res.GetSeq() > 0 {
			seq = number(res.GetSeq())
		}
		a.add(res.GetStep(), seq)
		_, _ = fmt.Fprintf(o.progress, "%s: %s\n", o.symbol, res.GetStep())
		if res.GetDone() {
			return a, nil
		}
	}
}

func setFlags(ctx context.Context, s *services, o *options) (*answer, error) {
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	flags := strings.FieldsFunc(o.set, func(r rune) bool { return r == ',' || r == ' ' })
	slices.Sort(flags)
	by := o.decidedBy()
	res, err := op.SetFlags(ctx, &exchangepb.SetFlagsRequest{Symbol: o.symbol, Flags: flags, DecidedBy: by})
	if err != nil {
		return nil, again("set flags", by, err)
	}
	a := newAnswer("SYMBOL", "FROM RECORD", "FLAGS", "KNOWN TO THIS RELEASE")
	a.add(o.symbol, number(res.GetSeq()), strings.Join(res.GetFlags(), " "), strings.Join(res.GetKnown(), " "))
	return a, nil
}

func skipCommand(ctx context.Context, s *services, o *options) (*answer, error) {
	if o.partition < 0 || o.offset < 0 {
		return nil, errors.New("-partition or -offset is missing")
	}
	fingerprint, err := hex.DecodeString(o.fingerprint)
	if err != nil {
		return nil, errors.New("the fingerprint is not hexadecimal")
	}
	op, err := s.operator()
	if err != nil {
		return nil, err
	}
	by := o.decidedBy()
	res, err := op.SkipCommand(ctx, &exchangepb.SkipCommandRequest{
		Partition: int32(o.partition), Offset: o.offset, Fingerprint: fingerprint, DecidedBy: by,
	})
	if err != nil {
		return nil, again("skip command", by, err)
	}
	a := newAnswer("PARTITION", "OFFSET", "FINGERPRINT", "WHY THE MATCHER COULD NOT")
	cause, _, _ := strings.Cut(res.GetCause(), "\n") // a stack may follow
	a.add(number(int64(o.partition)), number(o.offset), o.fingerprint, cause)
	return a, nil
}
