package service

import (
	"context"
	"fmt"
	"time"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/client"
	"mscoin/exchange/internal/operator"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/store"
	"mscoin/exchange/order"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
)

// newOperator wires what operators do with the matchers and their logs.
func (s *Service) newOperator(orders client.GetPositions, step func(string) error) *operator.Operator {
	return operator.New(operator.Config{
		Partitions: s.cfg.Partitions, Clock: s.clk, Log: s.log, Deleter: s.bus, Snapshots: store.NewSnapshots(s.db, s.clk),
		Store: s.store, Local: local{s}, Step: step,
		Ask: &sequencer.Asker{Log: s.log, IDs: s.ids, Clock: s.clk, Timeout: time.Duration(s.cfg.Order.WaitMs) * time.Millisecond},
		Reach: func(ctx context.Context, others []operator.Endpoint) ([]operator.Reach, error) {
			return s.reach(ctx, orders, others)
		},
	})
}

// reach asks the order store, the wallet and others how far they are.
func (s *Service) reach(ctx context.Context, orders client.GetPositions, others []operator.Endpoint) ([]operator.Reach, error) {
	ask := []struct {
		name string
		get  client.GetPositions
	}{{"order store", orders}, {"wallet", s.wallet}}
	for _, o := range others {
		peer, err := s.peers.At(o.Address)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o.Name, err)
		}
		ask = append(ask, struct {
			name string
			get  client.GetPositions
		}{o.Name, peer.Positions})
	}
	all := make([]operator.Reach, 0, len(ask))
	for _, a := range ask {
		r, err := a.get.Reach(ctx)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// local shows operators the partitions that are here.
type local struct{ s *Service }

// owns returns nil when this instance owns the partition.
func (l local) owns(partition int) error {
	if at, ok := l.s.leases.Owner(partition); !ok || at.Owner != l.s.id {
		return &app.Elsewhere{Partition: partition}
	}
	return nil
}

// Matcher implements operator.Local.
func (l local) Matcher(partition int) (operator.Matcher, error) {
	if err := l.owns(partition); err != nil {
		return nil, err
	}
	r := l.s.partitions[partition].run.Load()
	if r == nil || !r.sequencer.Ready() {
		return nil, app.ErrMoving
	}
	return matcher{r.sequencer}, nil
}

// Failure implements operator.Local.
func (l local) Failure(partition int) (failure, err error) {
	if err := l.owns(partition); err != nil {
		return nil, err
	}
	if f := l.s.partitions[partition].failure.Load(); f != nil {
		return *f, nil
	}
	return nil, nil //nolint:nilnil // it works
}

// matcher is a sequencer as operators see it.
type matcher struct{ *sequencer.Sequencer }

// Listed implements operator.Matcher.
func (m matcher) Listed(name string) (order.Phase, bool) {
	phase, ok := m.Sequencer.Listed(name)
	return order.Phase(phase), ok
}

// Operator implements server.Operators.
func (o owners) Operator(partition int) (exchangepb.OperatorServiceClient, error) {
	peer, err := o.peer(partition)
	if err != nil {
		return nil, err
	}
	return peer.Operator, nil
}
