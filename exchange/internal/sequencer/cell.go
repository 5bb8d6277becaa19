package sequencer

import eventpb "mscoin/grpc-common/gen/event/v1"

// cell is a record under construction, in one piece with room for what most records
// hold.
type cell struct {
	body   eventpb.RecordBody
	result eventpb.CommandResult

	trades [2]*eventpb.Trade
	orders [3]*eventpb.OrderUpdate
	levels [3]*eventpb.LevelUpdate
}

// parts hands out the messages that records are made of. A replay compares records
// and throws them away: it has each command use again what the one before has used.
type parts struct {
	cell   *cell
	ours   bool // cell and slabs may be used again: nobody has kept what is in them
	trades slab[eventpb.Trade]
	orders slab[eventpb.OrderUpdate]
	levels slab[eventpb.LevelUpdate]
}

// begin returns an empty body. With reuse, everything that was handed out before is
// handed out again.
func (p *parts) begin(reuse bool) *eventpb.RecordBody {
	if !reuse || !p.ours {
		p.cell, p.ours = new(cell), reuse
		if reuse {
			p.trades, p.orders, p.levels = slab[eventpb.Trade]{}, slab[eventpb.OrderUpdate]{}, slab[eventpb.LevelUpdate]{}
		}
		b := &p.cell.body
		b.Result, b.Trades, b.Orders, b.Levels = &p.cell.result, p.cell.trades[:0], p.cell.orders[:0], p.cell.levels[:0]
		return b
	}
	p.trades.used, p.orders.used, p.levels.used = 0, 0, 0
	b := &p.cell.body
	b.Trades, b.Orders, b.Levels = b.Trades[:0], b.Orders[:0], b.Levels[:0]
	b.CommandId, b.Rules, b.Phase, b.Checkpoint, b.Flags, b.Left, b.Adopted = 0, nil, 0, nil, nil, nil, nil
	b.Result.Rejected, b.Result.Reason, b.Result.OrderId = false, 0, 0
	return b
}

// slab hands out values from larger pieces.
type slab[T any] struct {
	all  []T
	used int
}

// slabSize is how many values a piece has at first.
const slabSize = 64

// next returns a value to be overwritten whole.
func (s *slab[T]) next() *T {
	if s.used == len(s.all) {
		s.all, s.used = make([]T, max(slabSize, min(2*len(s.all), 8*slabSize))), 0
	}
	s.used++
	return &s.all[s.used-1]
}
