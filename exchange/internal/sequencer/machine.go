package sequencer

import (
	"bytes"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"

	"mscoin/exchange/internal/sequencer/snapshot"
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
	// maxRecordBytes is what a record and its key may have, with room for what wraps it.
	maxRecordBytes = bus.MaxBatchBytes - 256
)

// Machine is the deterministic state of one partition. It is for one goroutine.
type Machine struct {
	partition int
	newEngine func() matching.Engine
	known     []string // behaviour flags of this release
	books     map[string]*book
	left      map[string]snapshot.Left

	next      int64 // offset of the next command
	logTimeMs int64 // never runs backwards, whatever the broker's clock does
	skipped   int64
	last      bus.Message // the command before next, unless the machine was restored there
	lastPrint []byte      // its fingerprint, if it was

	decisions map[int64]snapshot.Decision
	obeyed    []snapshot.Skip

	decoder *decoder
	sealer  stream.Sealer
	parts   parts
	step    step
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

// PoisonError says which command the machine cannot execute. Until an operator has
// decided that it is skipped, every replay ends here.
type PoisonError struct {
	Partition   int
	Offset      int64
	Key         string
	Fingerprint []byte
	Cause       error
}

// Error names everything that the decision has to name.
func (e *PoisonError) Error() string {
	return fmt.Sprintf("poison command at %s/%d offset %d (symbol %q, fingerprint %x): %v",
		bus.TopicCommands, e.Partition, e.Offset, e.Key, e.Fingerprint, e.Cause)
}

// Unwrap returns the cause.
func (e *PoisonError) Unwrap() error { return e.Cause }

var (
	// ErrUnknownFlag says that the log switches on a behaviour that this release does not have.
	ErrUnknownFlag = errors.New("behaviour flag is unknown to this release")
	// ErrWrongDecision says that a skip decision is about another command than the log holds.
	ErrWrongDecision = errors.New("skip decision does not fit the log")
	// errTooLarge: the record does not fit into a message.
	errTooLarge = errors.New("record is too large")
)

// NewMachine returns the state before offset 0.
func NewMachine(partition int, newEngine func() matching.Engine) *Machine {
	return &Machine{
		partition: partition, newEngine: newEngine, known: knownFlags,
		books: map[string]*book{}, left: map[string]snapshot.Left{}, decoder: newDecoder(),
	}
}

// Decide has the machine skip the commands of decisions.
func (m *Machine) Decide(decisions []snapshot.Decision) {
	m.decisions = make(map[int64]snapshot.Decision, len(decisions))
	for _, d := range decisions {
		m.decisions[d.Offset] = d
	}
}

// Next returns the offset of the command to apply next.
func (m *Machine) Next() int64 { return m.next }

// Skipped returns how many messages yielded no record, because their key is no
// listed symbol.
func (m *Machine) Skipped() int64 { return m.skipped }

// Apply executes the message at offset Next. It returns false when the message
// yields no record. An error means that the log is not what it was or that the
// command cannot be executed (a *PoisonError); the machine must not be used
// afterwards.
func (m *Machine) Apply(msg bus.Message) (Sealed, bool, error) { return m.apply(msg, true) }

// Replay is Apply for a caller who only compares: the record has no Value, and is
// valid until the next call.
func (m *Machine) Replay(msg bus.Message) (Sealed, bool, error) { return m.apply(msg, false) }

func (m *Machine) apply(msg bus.Message, keep bool) (rec Sealed, ok bool, err error) {
	if msg.Offset != m.next {
		return Sealed{}, false, fmt.Errorf("command log: got offset %d, want %d", msg.Offset, m.next)
	}
	defer func() {
		if r := recover(); r != nil { // one bad command ends this machine, not the process (H16)
			rec, ok, err = Sealed{}, false, m.poison(msg, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	skip, err := m.decided(msg)
	if err != nil {
		return Sealed{}, false, err
	}
	m.next++
	m.logTimeMs = max(m.logTimeMs, msg.TimeMs)
	m.last, m.lastPrint = msg, nil
	s, err := m.execute(msg, skip, keep)
	if err == nil && s != nil {
		rec, err = m.seal(s, keep)
	}
	if err != nil {
		return Sealed{}, false, m.poison(msg, err)
	}
	if s == nil {
		return Sealed{}, false, nil
	}
	if s.leaving {
		m.leave(s)
	}
	return rec, true, nil
}

func (m *Machine) poison(msg bus.Message, cause error) error {
	return &PoisonError{m.partition, msg.Offset, string(msg.Key), bus.Fingerprint(msg), cause}
}

// decided reports whether the command is to be skipped.
func (m *Machine) decided(msg bus.Message) (bool, error) {
	d, ok := m.decisions[msg.Offset]
	if !ok {
		return false, nil
	}
	if got := bus.Fingerprint(msg); !bytes.Equal(got, d.Fingerprint) {
		return false, fmt.Errorf("%w: %s/%d offset %d has fingerprint %x, the decision names %x",
			ErrWrongDecision, bus.TopicCommands, m.partition, msg.Offset, got, d.Fingerprint)
	}
	m.obeyed = append(m.obeyed, d.Skip)
	return true, nil
}

// execute does what the command says, nil if it is of no symbol here.
func (m *Machine) execute(msg bus.Message, skip, keep bool) (*step, error) {
	b := m.books[string(msg.Key)]
	name := ""
	if b != nil {
		name = b.name
	}
	cmd, decodable := m.decoder.decode(msg.Value, name)
	var adopted *eventpb.Adopted
	if b == nil && decodable && !skip {
		var err error
		if b, adopted, err = m.admit(string(msg.Key), cmd); err != nil {
			return nil, err
		}
	}
	if b == nil {
		m.skipped++
		return nil, nil
	}
	s := m.begin(b, msg.Offset, keep)
	if decodable {
		s.body.CommandId = cmd.CommandId
	}
	switch {
	case skip:
		s.reject(order.ReasonSkipped)
	case !decodable:
		s.reject(order.ReasonUndecodable)
	case cmd.Symbol != b.name:
		s.reject(order.ReasonWrongSymbol)
	case adopted != nil:
		s.body.Adopted = adopted
	default:
		m.dispatch(s, cmd)
	}
	s.levels()
	return s, s.err
}

// admit opens a book for a symbol that is not here: for the first rules that it can
// take, or for the image with which it comes from another partition.
func (m *Machine) admit(key string, cmd *eventpb.Command) (*book, *eventpb.Adopted, error) {
	if cmd.Symbol != key {
		return nil, nil, nil
	}
	if a := cmd.GetAdopt(); a != nil {
		return m.adopt(key, a)
	}
	if _, gone := m.left[key]; gone { // its chain goes on elsewhere
		return nil, nil, nil
	}
	return m.list(key, cmd.GetSetRules()), nil, nil
}

// list opens a book for rules.
func (m *Machine) list(key string, r *eventpb.SetRulesCommand) *book {
	if r == nil || !checkRules(nil, r) {
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

func (m *Machine) begin(b *book, offset int64, keep bool) *step {
	body := m.parts.begin(!keep)
	body.Symbol, body.Seq = b.name, b.seq+1
	body.CommandPartition, body.CommandOffset, body.LogTimeMs = int32(m.partition), offset, m.logTimeMs
	body.BaseCoin, body.QuoteCoin = b.rules.BaseCoin, b.rules.QuoteCoin
	s := &m.step
	*s = step{b: b, nowMs: m.logTimeMs, body: body, parts: &m.parts, events: s.events[:0], touched: s.touched[:0]}
	return s
}

// seal puts the record into the symbol's chain.
func (m *Machine) seal(s *step, keep bool) (rec Sealed, err error) {
	b := s.b
	if keep {
		rec.Value, rec.Hash, err = m.sealer.Seal(s.body, b.hash)
	} else {
		b.sum, err = m.sealer.Hash(s.body, b.hash)
		rec.Hash = b.sum[:]
	}
	if err != nil {
		return Sealed{}, fmt.Errorf("record %d of %s: %w", s.body.Seq, b.name, err)
	}
	if size := m.sealer.Size() + len(b.name); size > maxRecordBytes {
		return Sealed{}, fmt.Errorf("%w: record %d of %s has %d bytes", errTooLarge, s.body.Seq, b.name, size)
	}
	b.seq, b.hash = s.body.Seq, rec.Hash
	rec.Symbol, rec.Body = b.name, s.body
	return rec, nil
}

func (m *Machine) dispatch(s *step, cmd *eventpb.Command) {
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
	case *eventpb.Command_Checkpoint:
		s.checkpoint()
	case *eventpb.Command_SetFlags:
		s.setFlags(c.SetFlags.Flags, m.known)
	case *eventpb.Command_Leave:
		s.leave(int(c.Leave.ToPartition), m.partition)
	default: // an Adopt, too: the symbol is here
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
	side := p.Side
	if side != eventpb.Side_SIDE_BUY && side != eventpb.Side_SIDE_SELL {
		side = eventpb.Side_SIDE_UNSPECIFIED
	}
	s.refuse(id, remembered{deadlineMs: p.DeadlineMs, member: uint64(p.MemberId), side: side}, reason)
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
		s.put(&e)
		return
	}
	if e, over := s.b.memory.get(id, s.nowMs); over {
		if e.member != member {
			s.reject(order.ReasonUnknownOrder)
			return
		}
		s.repeat(id, e)
		return
	}
	s.refuse(id, remembered{deadlineMs: c.DeadlineMs, member: member}, order.ReasonResolved)
}

// refuse says that an order will never be, and remembers it.
func (s *step) refuse(id uint64, e remembered, reason order.Reason) {
	e.state, e.reason = eventpb.OrderState_ORDER_STATE_REJECTED, int32(reason)
	s.repeat(id, e)
	s.b.memory.put(id, e, s.nowMs)
}

func (s *step) setRules(r *eventpb.SetRulesCommand) {
	if !checkRules(s.b.rules, r) || s.b.on(FlagBoundedBook) && !bounded(r) {
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
