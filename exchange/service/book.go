package service

import (
	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/client"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/order"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/symbol"
)

// books shows the matchers' state to the application, of the partitions that are here.
type books struct{ s *Service }

func (b books) run(r symbol.Rules) *run {
	if r.Partition < 0 || r.Partition >= len(b.s.partitions) {
		return nil
	}
	return b.s.partitions[r.Partition].run.Load()
}

// of returns the matcher of a partition that is here and has caught up.
func (b books) of(r symbol.Rules) *sequencer.Sequencer {
	run := b.run(r)
	if run == nil || !run.sequencer.Ready() {
		return nil
	}
	return run.sequencer
}

// Enter implements app.Book.
func (b books) Enter(r symbol.Rules) (leave func(), err error) {
	run := b.run(r)
	if run == nil {
		return nil, &app.Elsewhere{Partition: r.Partition}
	}
	return run.enter()
}

// Phase implements app.Book.
func (b books) Phase(r symbol.Rules) (order.Phase, bool) {
	q := b.of(r)
	if q == nil {
		return order.PhaseNone, false
	}
	phase, ok := q.Listed(r.Name)
	return order.Phase(phase), ok
}

// OpenOrders implements app.Book.
func (b books) OpenOrders(r symbol.Rules, member int64) int {
	q := b.of(r)
	if q == nil {
		return 0
	}
	return q.OpenOrders(r.Name, member)
}

// Open implements app.Book.
func (b books) Open(r symbol.Rules, orderID int64) (seq int64, open, known bool) {
	q := b.of(r)
	if q == nil {
		return 0, false, false
	}
	seq, open = q.Open(r.Name, orderID)
	return seq, open, true
}

// Hold implements app.Book.
func (b books) Hold(r symbol.Rules, o *order.Order) (order.Hold, error) {
	q := b.of(r)
	if q == nil {
		return order.Hold{}, app.ErrMoving
	}
	return q.Hold(r, o)
}

// owners finds the instances that own the other partitions.
type owners struct{ s *Service }

// Owner implements server.Owners.
func (o owners) Owner(partition int) (exchangepb.ExchangeServiceClient, error) {
	peer, err := o.peer(partition)
	if err != nil {
		return nil, err
	}
	return peer, nil
}

func (o owners) peer(partition int) (*client.Peer, error) {
	l, ok := o.s.leases.Owner(partition)
	if !ok {
		o.s.leases.Poke()
		return nil, app.ErrMoving
	}
	if l.Owner == o.s.id {
		return nil, app.ErrMoving // it is about to start, or has just stopped
	}
	return o.s.peers.At(l.Endpoint)
}

// Unreachable implements server.Owners.
func (o owners) Unreachable(int) { o.s.leases.Poke() }
