package sequencer

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/stream"
)

const (
	// maxID bounds ids of orders, members and commands: they are exact in JSON.
	maxID = int64(1) << 53
	// maxHorizonMs bounds how far ahead of log time a Place's deadline may lie, and
	// with it how long a finished id is remembered.
	maxHorizonMs = int64(3_600_000)
)

// Machine is the deterministic state of one partition. It is for one goroutine.
type Machine struct {
	partition int
	newEngine func() matching.Engine
	books     map[string]*book
	next      int64 // offset of the next command
	logTimeMs int64 // never runs backwards, whatever the broker's clock does
	skipped   int64

	events  []matching.Event
	touched []level
	index   map[uint64]int
}

// Sealed is an output record.
type Sealed struct {
	// Symbol is the key, Value the sealed record, Hash its place in the chain.
	Symbol string
	Value  []byte
	Hash   []byte
	// Body is what Value says. It must not be changed.
	Body *eventpb.RecordBody
	// Trace carries the command's trace on, see bus.Message.
	Trace string
}

// NewMachine returns the state before offset 0.
func NewMachine(partition int, newEngine func() matching.Engine) *Machine {
	return &Machine{
		partition: partition, newEngine: newEngine,
		books: map[string]*book{}, index: map[uint64]int{},
	}
}

// Next returns the offset of the command to apply next.
func (m *Machine) Next() int64 { return m.next }

// Skipped returns how many messages yielded no record, because their key is no
// listed symbol.
func (m *Machine) Skipped() int64 { return m.skipped }

// Apply executes the message at offset Next. It returns false when the message
// yields no record. An error means that the log is not what it was or that a record
// cannot be written; the machine must not be used afterwards.
func (m *Machine) Apply(msg bus.Message) (Sealed, bool, error) {
	if msg.Offset != m.next {
		return Sealed{}, false, fmt.Errorf("command log: got offset %d, want %d", msg.Offset, m.next)
	}
	m.next++
	m.logTimeMs = max(m.logTimeMs, msg.TimeMs)

	cmd := &eventpb.Command{}
	undecodable := proto.Unmarshal(msg.Value, cmd) != nil || cmd.Body == nil
	b, listed := m.books[string(msg.Key)]
	if !listed {
		b = m.list(string(msg.Key), cmd, undecodable)
		if b == nil {
			m.skipped++
			return Sealed{}, false, nil
		}
	}
	s := m.begin(b, msg.Offset)
	switch {
	case undecodable:
		s.reject(order.ReasonUndecodable)
	case cmd.Symbol != b.name:
		s.body.CommandId = cmd.CommandId
		s.reject(order.ReasonWrongSymbol)
	default:
		s.body.CommandId = cmd.CommandId
		s.dispatch(cmd)
	}
	s.levels()
	m.events, m.touched = s.events[:0], s.touched[:0]
	return m.seal(s)
}

// list opens a book for the first rules of a symbol that it can take.
func (m *Machine) list(key string, cmd *eventpb.Command, undecodable bool) *book {
	r := cmd.GetSetRules()
	if undecodable || r == nil || cmd.Symbol != key || !checkRules(nil, r) {
		return nil
	}
	b := newBook(key, m.newEngine())
	probe := b.engine.Apply(&matching.Command{Op: matching.OpSetRules, Rules: engineRules(r)}, nil)
	if slices.ContainsFunc(probe, func(e matching.Event) bool { return e.Kind == matching.EventReject }) {
		return nil
	}
	b.rules = r
	m.books[key] = b
	return b
}

func (m *Machine) begin(b *book, offset int64) *step {
	clear(m.index)
	return &step{
		b: b, nowMs: m.logTimeMs, events: m.events, touched: m.touched, index: m.index,
		body: &eventpb.RecordBody{
			Symbol: b.name, Seq: b.seq + 1,
			CommandPartition: int32(m.partition), CommandOffset: offset, LogTimeMs: m.logTimeMs,
			BaseCoin: b.rules.BaseCoin, QuoteCoin: b.rules.QuoteCoin,
			Result: &eventpb.CommandResult{},
		},
	}
}

func (m *Machine) seal(s *step) (Sealed, bool, error) {
	value, hash, err := stream.Seal(s.body, s.b.hash)
	if err != nil {
		return Sealed{}, false, fmt.Errorf("seal record %d of %s: %w", s.body.Seq, s.b.name, err)
	}
	s.b.seq, s.b.hash = s.body.Seq, hash
	return Sealed{Symbol: s.b.name, Value: value, Hash: hash, Body: s.body}, true, nil
}

func (s *step) dispatch(cmd *eventpb.Command) {
	switch c := cmd.Body.(type) {
	case *eventpb.Command_Place:
		s.place(c.Place)
	case *eventpb.Command_Cancel:
		s.cancel(c.Cancel)
	case *eventpb.Command_CancelAll:
		s.cancelAll(c.CancelAll)
	case *eventpb.Command_Resolve:
		s.resolve(c.Resolve)
	case *eventpb.Command_SetRules:
		s.setRules(c.SetRules)
	case *eventpb.Command_SetPhase:
		s.settle(s.do(&matching.Command{Op: matching.OpSetPhase, Phase: phaseOf(c.SetPhase.Phase)}))
	default:
		s.reject(order.ReasonBadCommand)
	}
}

// reject marks the command as refused.
func (s *step) reject(reason order.Reason) {
	s.body.Result.Rejected = true
	s.body.Result.Reason = int32(reason)
}

// settle marks the command as refused if the engine has refused it.
func (s *step) settle(reason matching.Reason) {
	if reason != matching.ReasonNone {
		s.reject(reasonOf(reason))
	}
}

// place executes a Place. An id that is known, open or over, is a duplicate in the
// log: the record says so and names no order, because nothing happened to it.
func (s *step) place(p *eventpb.PlaceCommand) {
	s.body.Result.OrderId = p.OrderId
	if !validID(p.OrderId) || !validID(p.MemberId) {
		s.reject(order.ReasonBadCommand)
		return
	}
	id := uint64(p.OrderId)
	if _, open := s.b.live[id]; open {
		s.reject(order.ReasonDuplicateOrder)
		return
	}
	if e, over := s.b.memory.get(id, s.nowMs); over {
		if e.reason == int32(order.ReasonResolved) {
			s.reject(order.ReasonResolved)
			return
		}
		s.reject(order.ReasonDuplicateOrder)
		return
	}
	cmd, reason := s.convert(p)
	if reason == order.ReasonNone {
		s.placed = id
		s.placedInfo = liveOrder{member: cmd.MemberID, price: cmd.Price, deadlineMs: p.DeadlineMs, side: cmd.Side}
		reason = reasonOf(s.do(cmd))
	}
	if reason == order.ReasonNone {
		return
	}
	s.reject(reason)
	u := &eventpb.OrderUpdate{
		OrderId: p.OrderId, MemberId: p.MemberId, Side: p.Side,
		State: eventpb.OrderState_ORDER_STATE_REJECTED, Reason: int32(reason),
	}
	if p.Side != eventpb.Side_SIDE_BUY && p.Side != eventpb.Side_SIDE_SELL {
		u.Side = eventpb.Side_SIDE_UNSPECIFIED
	}
	s.put(u)
	s.b.memory.put(id, rememberedOf(u, p.DeadlineMs), s.nowMs)
}

// convert checks what the engine cannot see and turns units into ticks and lots.
func (s *step) convert(p *eventpb.PlaceCommand) (*matching.Command, order.Reason) {
	r := s.b.rules
	switch {
	case s.nowMs > p.DeadlineMs:
		return nil, order.ReasonLate
	case p.DeadlineMs-s.nowMs > maxHorizonMs:
		return nil, order.ReasonBadDeadline
	case p.Side != eventpb.Side_SIDE_BUY && p.Side != eventpb.Side_SIDE_SELL,
		p.Type < eventpb.OrderType_ORDER_TYPE_LIMIT || p.Type > eventpb.OrderType_ORDER_TYPE_TAKE_PROFIT_LIMIT,
		p.TimeInForce < eventpb.TimeInForce_TIME_IN_FORCE_GTC || p.TimeInForce > eventpb.TimeInForce_TIME_IN_FORCE_POST_ONLY,
		p.SelfTradePrevention < eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_NONE ||
			p.SelfTradePrevention > eventpb.SelfTradePrevention_SELF_TRADE_PREVENTION_DECREMENT,
		p.Price < 0, p.StopPrice < 0, p.Quantity < 0, p.QuoteAmount < 0, p.HoldAmount < 0:
		return nil, order.ReasonBadCommand
	case p.Price%r.TickUnits != 0, p.StopPrice%r.TickUnits != 0, p.Quantity%r.LotUnits != 0:
		return nil, order.ReasonOffStep
	}
	side := matching.Buy
	if p.Side == eventpb.Side_SIDE_SELL {
		side = matching.Sell
	}
	return &matching.Command{
		Op: matching.OpPlace, Side: side,
		Type:      matching.OrderType(p.Type),
		TIF:       matching.TimeInForce(p.TimeInForce),
		STP:       matching.STPMode(p.SelfTradePrevention),
		OrderID:   uint64(p.OrderId),
		MemberID:  uint64(p.MemberId),
		Price:     p.Price / r.TickUnits,
		StopPrice: p.StopPrice / r.TickUnits,
		Qty:       p.Quantity / r.LotUnits, QuoteQty: p.QuoteAmount, Hold: p.HoldAmount,
		MakerFeePpm: p.MakerFeePpm, TakerFeePpm: p.TakerFeePpm,
	}, order.ReasonNone
}

func (s *step) cancel(c *eventpb.CancelCommand) {
	s.body.Result.OrderId = c.OrderId
	if !validID(c.OrderId) || !validID(c.MemberId) {
		s.reject(order.ReasonUnknownOrder)
		return
	}
	s.settle(s.do(&matching.Command{
		Op:       matching.OpCancel,
		OrderID:  uint64(c.OrderId),
		MemberID: uint64(c.MemberId),
	}))
}

// cancelAll cancels a member's orders by id, all in this record.
func (s *step) cancelAll(c *eventpb.CancelAllCommand) {
	if !validID(c.MemberId) {
		s.reject(order.ReasonBadCommand)
		return
	}
	member := uint64(c.MemberId)
	for _, id := range s.b.openOf(member) {
		reason := s.do(&matching.Command{Op: matching.OpCancel, OrderID: id, MemberID: member})
		if reason != matching.ReasonNone {
			s.reject(reasonOf(reason))
			return
		}
	}
}

// resolve says what became of an order, and cancels nothing: an open or remembered
// order has its state repeated, an unknown id can never be placed any more
// (MONEY-SAFETY H4).
func (s *step) resolve(c *eventpb.ResolveCommand) {
	s.body.Result.OrderId = c.OrderId
	if !validID(c.OrderId) || !validID(c.MemberId) {
		s.reject(order.ReasonBadCommand)
		return
	}
	id, member := uint64(c.OrderId), uint64(c.MemberId)
	if o, open := s.b.live[id]; open {
		e, ok := s.b.engine.Order(id)
		if o.member != member || !ok {
			s.reject(order.ReasonUnknownOrder)
			return
		}
		s.put(updateOf(s.b.rules, &e))
		return
	}
	if e, over := s.b.memory.get(id, s.nowMs); over {
		if e.member != member {
			s.reject(order.ReasonUnknownOrder)
			return
		}
		s.put(e.update(c.OrderId))
		return
	}
	u := &eventpb.OrderUpdate{
		OrderId: c.OrderId, MemberId: c.MemberId,
		State: eventpb.OrderState_ORDER_STATE_REJECTED, Reason: int32(order.ReasonResolved),
	}
	s.put(u)
	s.b.memory.put(id, rememberedOf(u, c.DeadlineMs), s.nowMs)
}

func (s *step) setRules(r *eventpb.SetRulesCommand) {
	if !checkRules(s.b.rules, r) {
		s.reject(order.ReasonBadRules)
		return
	}
	old := s.b.rules
	s.b.rules = r
	if reason := s.do(&matching.Command{Op: matching.OpSetRules, Rules: engineRules(r)}); reason != matching.ReasonNone {
		s.b.rules = old
		s.reject(reasonOf(reason))
	}
}

func phaseOf(p eventpb.Phase) matching.Phase {
	if p < eventpb.Phase_PHASE_TRADING || p > eventpb.Phase_PHASE_HALT {
		return 0 // the engine refuses it
	}
	return matching.Phase(p)
}

func validID(id int64) bool { return id > 0 && id < maxID }
