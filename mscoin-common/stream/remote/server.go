// Package remote lets other processes see how a service's consumer is: the gRPC
// service stream.v1.ConsumerService, which every service that follows the matcher's
// records offers beside its own, and the client of it. Whoever asks any instance gets
// the state of all: it comes from the database, not from one process.
package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	streampb "mscoin/grpc-common/gen/stream/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/stream"
)

// ServerConfig is what a Server is made of.
type ServerConfig struct {
	// Consumer is the name in the position tables, Topic what it reads.
	Consumer, Topic string
	// Partitions of the topic.
	Partitions int
	DB         *database.DB
	Bus        stream.Bus
	Clock      clock.Clock
}

// Server implements streampb.ConsumerServiceServer.
type Server struct {
	streampb.UnimplementedConsumerServiceServer

	cfg ServerConfig
}

// NewServer returns the service of one consumer.
func NewServer(cfg ServerConfig) *Server { return &Server{cfg: cfg} }

// GetPositions tells how far the consumer is. It fails with KindUnavailable when the
// database or the broker does not answer.
func (s *Server) GetPositions(ctx context.Context, _ *streampb.GetPositionsRequest) (*streampb.GetPositionsResponse, error) {
	at, err := s.partitions(ctx)
	if err != nil {
		return nil, unavailable("positions of the consumer are not known", err)
	}
	symbols, err := s.symbols(ctx)
	if err != nil {
		return nil, unavailable("positions of the consumer are not known", err)
	}
	return &streampb.GetPositionsResponse{Consumer: s.cfg.Consumer, Partitions: at, Symbols: symbols}, nil
}

// symbols returns the symbols that have a position or a halt, by name.
func (s *Server) symbols(ctx context.Context) ([]*streampb.SymbolPosition, error) {
	halts, err := s.cfg.DB.LoadHalts(ctx, s.cfg.Consumer)
	if err != nil {
		return nil, err
	}
	positions, err := s.cfg.DB.LoadSymbolPositions(ctx, s.cfg.Consumer)
	if err != nil {
		return nil, err
	}
	by := make(map[string]*streampb.SymbolPosition, len(positions))
	for name, p := range positions {
		by[name] = &streampb.SymbolPosition{Symbol: name, Seq: p.Seq, Hash: p.Hash}
	}
	for name, h := range halts {
		if by[name] == nil {
			by[name] = &streampb.SymbolPosition{Symbol: name}
		}
		by[name].Halt = &streampb.Halt{
			Reason: h.Reason, Cause: h.Cause, Topic: h.Topic, Partition: int32(h.Partition), Offset: h.Offset,
			WantSeq: h.WantSeq, GotSeq: h.GotSeq, SinceMs: h.SinceMs, Parked: h.Parked, ParkedBytes: h.ParkedBytes,
			Draining: h.State == database.Draining,
		}
	}
	out := make([]*streampb.SymbolPosition, 0, len(by))
	for _, name := range slices.Sorted(maps.Keys(by)) {
		out = append(out, by[name])
	}
	return out, nil
}

func unavailable(message string, err error) error {
	return errs.New(errs.KindUnavailable, errs.CodeUnavailable, message).Wrap(err)
}

// partitions returns the position in each partition of the topic; one that nobody has
// begun is at 0.
func (s *Server) partitions(ctx context.Context) ([]*streampb.PartitionPosition, error) {
	applied, err := s.byPartition(ctx, s.cfg.Consumer)
	if err != nil {
		return nil, err
	}
	forwarded, err := s.byPartition(ctx, stream.ForwardName(s.cfg.Consumer))
	if err != nil {
		return nil, err
	}
	out := make([]*streampb.PartitionPosition, s.cfg.Partitions)
	for partition := range out {
		p := applied[partition]
		_, end, err := s.cfg.Bus.Bounds(ctx, s.cfg.Topic, partition)
		if err != nil {
			return nil, fmt.Errorf("end of %s/%d: %w", s.cfg.Topic, partition, err)
		}
		age, err := s.age(ctx, partition, p.NextOffset, end)
		if err != nil {
			return nil, err
		}
		out[partition] = &streampb.PartitionPosition{
			Topic: s.cfg.Topic, Partition: int32(partition), NextOffset: p.NextOffset, Fingerprint: p.Fingerprint,
			EndOffset: end, AgeMs: age, ForwardedOffset: forwarded[partition].NextOffset,
		}
	}
	return out, nil
}

func (s *Server) byPartition(ctx context.Context, consumer string) (map[int]database.Position, error) {
	all, err := s.cfg.DB.LoadPositions(ctx, consumer)
	if err != nil {
		return nil, err
	}
	by := make(map[int]database.Position, len(all))
	for _, p := range all {
		if p.Topic == s.cfg.Topic {
			by[p.Partition] = p
		}
	}
	return by, nil
}

// age returns how long the record at next has been waiting, 0 when there is none. A
// record that was read as the log's end moved is not waiting.
func (s *Server) age(ctx context.Context, partition int, next, end int64) (int64, error) {
	if next >= end {
		return 0, nil
	}
	m, err := s.cfg.Bus.ReadOne(ctx, s.cfg.Topic, partition, next)
	if errors.Is(err, bus.ErrNoRecord) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("oldest record of %s/%d: %w", s.cfg.Topic, partition, err)
	}
	return max(0, s.cfg.Clock.NowMs()-m.TimeMs), nil
}
