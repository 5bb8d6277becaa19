package remote

import (
	"context"
	"fmt"
	"time"

	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
)

const (
	defaultPage = 100
	maxPage     = 500
	// pageBytes bounds the values of a page; a single larger record goes alone.
	pageBytes = 2 << 20
	// searchBatch and searchWait pace the search for a missing record.
	searchBatch = 500
	searchWait  = time.Second
)

func page(size int32) (int, error) {
	switch {
	case size == 0:
		return defaultPage, nil
	case size < 0 || size > maxPage:
		return 0, errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "page size is not 1 to 500")
	}
	return int(size), nil
}

// ListParked lists the records that are set aside behind a halted symbol.
func (s *Server) ListParked(ctx context.Context, req *streampb.ListParkedRequest) (*streampb.ListParkedResponse, error) {
	limit, err := page(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	rows, err := s.cfg.DB.LoadParked(ctx, s.cfg.Consumer, req.GetSymbol(), req.GetFromPlace(), limit, pageBytes)
	if err != nil {
		return nil, unavailable("parked records cannot be read", err)
	}
	res := &streampb.ListParkedResponse{}
	for i := range rows {
		r := &rows[i]
		out := &streampb.ParkedRecord{
			Place: r.Place, Topic: r.Topic, Partition: int32(r.Partition), Offset: r.Offset, TimeMs: r.TimeMs,
			Seq: r.Seq, Fingerprint: r.Fingerprint, Key: r.Key, Size: r.Bytes(),
		}
		if req.GetWithValues() {
			out.Value = r.Value
		}
		res.Records = append(res.Records, out)
	}
	return res, nil
}

var actions = map[streampb.Action]stream.Action{
	streampb.Action_ACTION_RETRY:  stream.ActionRetry,
	streampb.Action_ACTION_SKIP:   stream.ActionSkip,
	streampb.Action_ACTION_RESYNC: stream.ActionResync,
}

// Decide carries out an operator's decision; see stream.Decide.
func (s *Server) Decide(ctx context.Context, req *streampb.DecideRequest) (*streampb.DecideResponse, error) {
	r := stream.Request{
		ID: req.GetRequestId(), Consumer: s.cfg.Consumer, Symbol: req.GetSymbol(), Action: actions[req.GetAction()],
		Fingerprint: req.GetFingerprint(), By: req.GetDecidedBy(), Reason: req.GetReason(),
	}
	if r.Action == stream.ActionResync {
		value, err := s.search(ctx, req.GetSymbol(), req.GetSearchTopic())
		if err != nil {
			return nil, err
		}
		r.Record = value
	}
	d, err := stream.Decide(ctx, stream.DatabaseStore(s.cfg.DB), s.cfg.Clock, r)
	if err != nil {
		return nil, err
	}
	return &streampb.DecideResponse{Decision: decisionOf(&d)}, nil
}

// search looks in a topic for the record that is due at a halted symbol.
func (s *Server) search(ctx context.Context, symbol, topic string) ([]byte, error) {
	halts, err := s.cfg.DB.LoadHalts(ctx, s.cfg.Consumer)
	if err != nil {
		return nil, unavailable("halts cannot be read", err)
	}
	h, halted := halts[symbol]
	if !halted {
		return nil, stream.ErrNotHalted
	}
	if topic == "" {
		return nil, stream.ErrBadDecision.With("the topic with the missing record is not named")
	}
	first, end, err := s.cfg.Bus.Bounds(ctx, topic, h.Partition)
	if err != nil {
		return nil, unavailable("the topic cannot be read", err)
	}
	source := s.cfg.Bus.Open(topic, h.Partition, first)
	defer source.Close()
	for at := first; at < end; {
		msgs, err := source.Fetch(ctx, searchBatch, searchWait)
		if err != nil {
			return nil, unavailable("the topic cannot be read", err)
		}
		for _, m := range msgs {
			at = m.Offset + 1
			if stream.SymbolOf(m.Key) != symbol {
				continue
			}
			if e, err := stream.Open(m.Value); err == nil && e.Body.GetSymbol() == symbol && e.Body.GetSeq() == h.WantSeq {
				return m.Value, nil
			}
		}
	}
	return nil, errs.New(errs.KindNotFound, errs.CodeNotHalted, "the missing record is not in the topic").
		With(fmt.Sprintf("record %d of %s in %s/%d", h.WantSeq, symbol, topic, h.Partition))
}

// ListDecisions lists what has been decided, newest first.
func (s *Server) ListDecisions(ctx context.Context, req *streampb.ListDecisionsRequest) (*streampb.ListDecisionsResponse, error) {
	limit, err := page(req.GetPageSize())
	if err != nil {
		return nil, err
	}
	all, err := s.cfg.DB.ListDecisions(ctx, s.cfg.Consumer, limit)
	if err != nil {
		return nil, unavailable("decisions cannot be read", err)
	}
	res := &streampb.ListDecisionsResponse{}
	for i := range all {
		res.Decisions = append(res.Decisions, decisionOf(&all[i]))
	}
	return res, nil
}

func decisionOf(d *database.Decision) *streampb.Decision {
	return &streampb.Decision{
		RequestId: d.RequestID, Symbol: d.Symbol, Action: d.Action, Fingerprint: d.Fingerprint,
		DecidedBy: d.By, Reason: d.Reason, Outcome: d.Outcome, DecidedMs: d.DecidedMs,
	}
}
