package sequencer

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/invariant"
)

// Capture returns a copy of the state. It takes as long as copying takes: sorting and
// encoding are left to snapshot.Encode, which may run while the machine goes on.
func (m *Machine) Capture() *snapshot.State { return m.capture(true) }

func (m *Machine) capture(engines bool) *snapshot.State {
	s := &snapshot.State{
		Partition: m.partition, Next: m.next, LogTimeMs: m.logTimeMs, Skipped: m.skipped, Fingerprint: m.fingerprint(),
		Obeyed: append([]snapshot.Skip{}, m.obeyed...),
		Books:  make([]snapshot.Book, 0, len(m.books)),
		Left:   make([]snapshot.Left, 0, len(m.left)),
	}
	for _, b := range m.books { // in any order: Encode sorts
		s.Books = append(s.Books, *b.capture(m.logTimeMs, engines))
	}
	for _, l := range m.left {
		s.Left = append(s.Left, l)
	}
	return s
}

// fingerprint identifies the last consumed command, empty if there is none.
func (m *Machine) fingerprint() []byte {
	if m.next > 0 && m.lastPrint == nil {
		m.lastPrint = bus.Fingerprint(m.last)
	}
	return m.lastPrint
}

// capture copies what decides the symbol's future; with its engine, or only with the
// engine's hash. Ids whose time has passed decide nothing.
func (b *book) capture(nowMs int64, engine bool) *snapshot.Book {
	rules, err := proto.MarshalOptions{Deterministic: true}.Marshal(b.rules)
	invariant.Must(err == nil, "rules of %s came from a message and do not go into one: %v", b.name, err)
	c := &snapshot.Book{
		Name: b.name, Seq: b.seq, Head: bytes.Clone(b.hash), Rules: rules, Phase: uint8(b.phase), Flags: b.flags, Window: b.window,
		Live:       make([]snapshot.Order, 0, len(b.live)),
		IDs:        make([]snapshot.Remembered, 0, len(b.memory.entries)),
		EngineHash: b.engine.StateHash(),
	}
	for id, o := range b.live {
		c.Live = append(c.Live, snapshot.Order{ID: id, Member: o.member, Price: o.price, DeadlineMs: o.deadlineMs, Side: uint8(o.side)})
	}
	for id, e := range b.memory.entries {
		if nowMs <= e.deadlineMs {
			c.IDs = append(c.IDs, snapshot.Remembered{
				ID: id, Member: e.member, DeadlineMs: e.deadlineMs, Traded: e.traded, Turnover: e.turnover, Fee: e.fee,
				Reason: e.reason, Side: uint8(e.side), State: uint8(e.state),
			})
		}
	}
	if engine {
		c.Engine = b.engine.Snapshot(nil)
	}
	return c
}

// RestoreMachine returns the machine whose state an image holds. It is checked against
// the state hash of the image: every error wraps snapshot.ErrDamaged or ErrUnknownFlag.
func RestoreMachine(s *snapshot.State, stateHash []byte, newEngine func() matching.Engine) (*Machine, error) {
	m := NewMachine(s.Partition, newEngine)
	m.next, m.logTimeMs, m.skipped, m.lastPrint, m.obeyed = s.Next, s.LogTimeMs, s.Skipped, s.Fingerprint, s.Obeyed
	for i := range s.Books {
		b, err := m.restoreBook(&s.Books[i])
		if err != nil {
			return nil, err
		}
		m.books[b.name] = b
	}
	for _, l := range s.Left {
		m.left[l.Name] = l
	}
	again := m.capture(false)
	again.Sort()
	if !bytes.Equal(again.Hash(), stateHash) {
		return nil, fmt.Errorf("%w: the restored state does not have the hash that was taken", snapshot.ErrDamaged)
	}
	return m, nil
}

func (m *Machine) restoreBook(c *snapshot.Book) (*book, error) {
	r := &eventpb.SetRulesCommand{}
	if err := proto.Unmarshal(c.Rules, r); err != nil || !checkRules(nil, r) {
		return nil, fmt.Errorf("%w: rules of %s", snapshot.ErrDamaged, c.Name)
	}
	for _, f := range c.Flags {
		if !slices.Contains(m.known, f) {
			return nil, fmt.Errorf("%w: %q of %s", ErrUnknownFlag, f, c.Name)
		}
	}
	b := newBook(c.Name, m.newEngine())
	if err := b.engine.Restore(c.Engine); err != nil {
		return nil, fmt.Errorf("%w: book of %s: %w", snapshot.ErrDamaged, c.Name, err)
	}
	b.rules, b.phase, b.flags, b.window = r, eventpb.Phase(c.Phase), c.Flags, c.Window
	b.seq, b.hash = c.Seq, c.Head
	if len(c.Live) != b.engine.Open() {
		return nil, fmt.Errorf("%w: %s has %d open orders, its book %d", snapshot.ErrDamaged, c.Name, len(c.Live), b.engine.Open())
	}
	for _, o := range c.Live {
		e, ok := b.engine.Order(o.ID)
		if !ok || e.MemberID != o.Member || uint8(e.Side) != o.Side {
			return nil, fmt.Errorf("%w: order %d of %s is not in its book", snapshot.ErrDamaged, o.ID, c.Name)
		}
		b.addLive(o.ID, liveOrder{member: o.Member, price: o.Price, deadlineMs: o.DeadlineMs, side: matching.Side(o.Side)})
	}
	for _, e := range c.IDs {
		b.memory.entries[e.ID] = remembered{
			deadlineMs: e.DeadlineMs, member: e.Member, traded: e.Traded, turnover: e.Turnover, fee: e.Fee,
			reason: e.Reason, side: eventpb.Side(e.Side), state: eventpb.OrderState(e.State),
		}
		b.memory.push(expiring{e.DeadlineMs, e.ID})
	}
	return b, nil
}

// leave lets a halted symbol go. What happens to it from here on happens in another
// partition.
func (s *step) leave(to, from int) {
	switch {
	case to < 0 || to == from:
		s.reject(order.ReasonBadCommand)
	case s.b.phase != eventpb.Phase_PHASE_HALT:
		s.reject(order.ReasonNotHalted)
	default:
		s.body.Left = &eventpb.Left{ToPartition: int32(to), StateHash: s.b.capture(s.nowMs, false).Hash()}
		s.leaving = true
	}
}

func imageOf(b *book, logTimeMs int64) []byte {
	return snapshot.EncodeSymbol(b.capture(logTimeMs, true), logTimeMs)
}

// leave keeps the image of a symbol that has left, for whoever brings it over.
func (m *Machine) leave(s *step) {
	b := s.b
	m.left[b.name] = snapshot.Left{
		Name: b.name, To: int(s.body.Left.ToPartition), Seq: b.seq, Hash: bytes.Clone(b.hash),
		Image: imageOf(b, m.logTimeMs),
	}
	delete(m.books, b.name)
}

// adopt takes over a symbol that has left another partition. It returns nil if the
// command is not what takes a symbol over, or comes a second time: an image from
// before the symbol left this partition does. An image that is whole but cannot be
// restored is another release's; no command can be executed without it.
func (m *Machine) adopt(key string, a *eventpb.AdoptCommand) (*book, *eventpb.Adopted, error) {
	c, logTimeMs, err := snapshot.DecodeSymbol(a.Image)
	if errors.Is(err, snapshot.ErrFormat) {
		return nil, nil, err
	}
	if err != nil || c.Name != key || a.FromPartition < 0 || int(a.FromPartition) == m.partition {
		return nil, nil, nil
	}
	if l, gone := m.left[key]; gone && c.Seq <= l.Seq {
		return nil, nil, nil
	}
	b, err := m.restoreBook(c)
	if err != nil {
		return nil, nil, err
	}
	hash := c.Hash()
	if !bytes.Equal(b.capture(logTimeMs, false).Hash(), hash) {
		return nil, nil, fmt.Errorf("%w: the restored %s does not have the hash that was taken", snapshot.ErrDamaged, key)
	}
	delete(m.left, key)
	m.books[key] = b
	// Ids that the symbol has forgotten by its time must not become placeable again.
	m.logTimeMs = max(m.logTimeMs, logTimeMs)
	return b, &eventpb.Adopted{FromPartition: a.FromPartition, StateHash: hash}, nil
}
