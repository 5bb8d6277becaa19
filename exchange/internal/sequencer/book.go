package sequencer

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"mscoin/exchange/internal/sequencer/snapshot"
	"mscoin/exchange/matching"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/money"
)

// book is a listed symbol: its engine, and what the engine does not keep.
type book struct {
	name   string
	rules  *eventpb.SetRulesCommand
	engine matching.Engine
	phase  eventpb.Phase
	flags  []string // behaviour flags that are on, sorted
	window snapshot.Window

	seq  int64             // of the last record
	hash []byte            // of the last record
	sum  [sha256.Size]byte // room for hash in a replay

	live    map[uint64]liveOrder
	members map[uint64][]uint64 // open orders of a member, in no particular order
	memory  memory
}

// liveOrder is an order that the engine knows.
type liveOrder struct {
	member     uint64
	price      int64 // ticks, 0 if the order has none
	deadlineMs int64
	at         int // index in members[member]
	side       matching.Side
}

func newBook(name string, engine matching.Engine) *book {
	return &book{
		name: name, engine: engine, phase: eventpb.Phase_PHASE_TRADING,
		live: map[uint64]liveOrder{}, members: map[uint64][]uint64{}, memory: newMemory(),
	}
}

// addLive notes that the engine knows the order.
func (b *book) addLive(id uint64, o liveOrder) {
	ids := b.members[o.member]
	o.at = len(ids)
	b.members[o.member] = append(ids, id)
	b.live[id] = o
}

// dropLive notes that the order is over.
func (b *book) dropLive(id uint64, o liveOrder) {
	delete(b.live, id)
	ids := b.members[o.member]
	last := len(ids) - 1
	if o.at != last {
		moved := ids[last]
		ids[o.at] = moved
		m := b.live[moved]
		m.at = o.at
		b.live[moved] = m
	}
	if last == 0 {
		delete(b.members, o.member)
		return
	}
	b.members[o.member] = ids[:last]
}

// openOf returns the open orders of a member, oldest id first.
func (b *book) openOf(member uint64) []uint64 {
	ids := slices.Clone(b.members[member])
	slices.Sort(ids)
	return ids
}

// level is a price of a side whose quantity may have changed.
type level struct {
	side  matching.Side
	price int64
}

// step collects what one command does.
type step struct {
	b       *book
	nowMs   int64
	body    *eventpb.RecordBody
	parts   *parts
	events  []matching.Event
	touched []level
	index   map[int64]int // order id → position in body.Orders, once they are many
	err     error         // why the command cannot be executed
	leaving bool

	// placed is the order that this command places; zero for other commands.
	placed     uint64
	placedInfo liveOrder
}

// do applies one command to the engine, with all its continuations, and books the
// events. It returns the reason of a refusal.
func (s *step) do(cmd *matching.Command) matching.Reason {
	s.events = s.b.engine.Apply(cmd, s.events[:0])
	for {
		goOn, refused := s.book()
		if refused != matching.ReasonNone {
			return refused
		}
		if !goOn {
			return matching.ReasonNone
		}
		s.events = s.b.engine.Apply(&matching.Command{Op: matching.OpContinue}, s.events[:0])
	}
}

// book books one slice of events.
func (s *step) book() (goOn bool, refused matching.Reason) {
	for i := range s.events {
		e := &s.events[i]
		switch e.Kind {
		case matching.EventTrade:
			s.trade(e.Trade(), &s.events[i+1])
		case matching.EventOrder:
			s.order(e)
		case matching.EventReject:
			refused = e.Reason
		case matching.EventRules:
			s.body.Rules = s.b.rules
		case matching.EventPhase:
			s.b.phase = eventpb.Phase(e.Phase)
			s.body.Phase = s.b.phase
		case matching.EventContinue:
			goOn = true
		}
	}
	return goOn, refused
}

// trade books a trade; the event after it is about its maker.
func (s *step) trade(t matching.Trade, maker *matching.Event) {
	p := s.parts.trades.next()
	p.TradeId = int64(t.ID)
	p.Price = t.Price * s.b.rules.TickUnits
	p.Quantity = t.Qty * s.b.rules.LotUnits
	p.Turnover = t.Quote
	p.TakerSide = sideOf(t.TakerSide)
	p.MakerOrderId = int64(maker.OrderID)
	p.TakerOrderId = int64(t.TakerID)
	p.MakerMemberId = int64(maker.MemberID)
	p.TakerMemberId = int64(s.memberOf(t.TakerID))
	p.MakerFee = t.MakerFee
	p.TakerFee = t.TakerFee
	s.body.Trades = append(s.body.Trades, p)
	s.touched = append(s.touched, level{maker.Side, t.Price})
	sum(&s.b.window, p)
}

// memberOf returns the owner of a taker: of the order that this command places,
// or of an open one that goes on.
func (s *step) memberOf(id uint64) uint64 {
	if id == s.placed {
		return s.placedInfo.member
	}
	return s.b.live[id].member
}

// order books an order's new state; the last word of the record counts.
func (s *step) order(e *matching.Event) {
	u := s.put(e)
	info, known := s.b.live[e.OrderID]
	switch {
	case !known && e.OrderID == s.placed:
		info = s.placedInfo
		if !e.State.Final() {
			s.b.addLive(e.OrderID, info)
			s.touch(info)
			return
		}
	case known:
		s.touch(info)
	}
	if !e.State.Final() {
		return
	}
	if known {
		s.b.dropLive(e.OrderID, info)
	}
	s.b.memory.put(e.OrderID, rememberedOf(u, info.deadlineMs), s.nowMs)
}

func (s *step) touch(o liveOrder) {
	if o.price > 0 {
		s.touched = append(s.touched, level{o.side, o.price})
	}
}

// put merges what the engine says of an order into the record.
func (s *step) put(e *matching.Event) *eventpb.OrderUpdate {
	u := s.update(int64(e.OrderID))
	u.MemberId, u.Side = int64(e.MemberID), sideOf(e.Side)
	u.State, u.Reason = eventpb.OrderState(e.State), int32(e.Reason)
	u.TradedAmount, u.Turnover, u.Fee = e.CumQty*s.b.rules.LotUnits, e.CumQuote, e.CumFee
	u.HeldRemaining, u.OpenAmount = e.HeldRemaining, e.LeavesQty*s.b.rules.LotUnits
	return u
}

// repeat merges the last word on an order that is over into the record.
func (s *step) repeat(id uint64, e remembered) {
	u := s.update(int64(id))
	u.MemberId, u.Side, u.State, u.Reason = int64(e.member), e.side, e.state, e.reason
	u.TradedAmount, u.Turnover, u.Fee, u.HeldRemaining, u.OpenAmount = e.traded, e.turnover, e.fee, 0, 0
}

// indexFrom is how many orders of a record are found by looking at each.
const indexFrom = 16

// update returns the record's update of an order, to be overwritten: one for each.
func (s *step) update(id int64) *eventpb.OrderUpdate {
	all := s.body.Orders
	if len(all) < indexFrom {
		for _, u := range all {
			if u.OrderId == id {
				return u
			}
		}
	} else if at, ok := s.indexed()[id]; ok {
		return all[at]
	}
	u := s.parts.orders.next()
	u.OrderId = id
	if s.index != nil {
		s.index[id] = len(all)
	}
	s.body.Orders = append(all, u)
	return u
}

func (s *step) indexed() map[int64]int {
	if s.index == nil {
		s.index = make(map[int64]int, 4*indexFrom)
		for i, u := range s.body.Orders {
			s.index[u.OrderId] = i
		}
	}
	return s.index
}

// levels asks the engine for the quantity of each touched price.
func (s *step) levels() {
	slices.SortFunc(s.touched, func(a, b level) int {
		return cmp.Or(cmp.Compare(a.side, b.side), cmp.Compare(a.price, b.price))
	})
	s.touched = slices.Compact(s.touched)
	for _, l := range s.touched {
		u := s.parts.levels.next()
		u.Side = sideOf(l.side)
		u.Price = l.price * s.b.rules.TickUnits
		u.Quantity = s.b.engine.LevelQty(l.side, l.price) * s.b.rules.LotUnits
		s.body.Levels = append(s.body.Levels, u)
	}
}

func sideOf(s matching.Side) eventpb.Side {
	if s == matching.Buy {
		return eventpb.Side_SIDE_BUY
	}
	return eventpb.Side_SIDE_SELL
}

func rememberedOf(u *eventpb.OrderUpdate, deadlineMs int64) remembered {
	return remembered{
		deadlineMs: deadlineMs,
		member:     uint64(u.MemberId),
		traded:     u.TradedAmount, turnover: u.Turnover, fee: u.Fee,
		reason: u.Reason, side: u.Side, state: u.State,
	}
}

// checkRules says whether a symbol can take rules; old is nil for a new symbol.
func checkRules(old, r *eventpb.SetRulesCommand) bool {
	if r.BaseScale < 0 || r.BaseScale > money.MaxScale || r.QuoteScale < 0 || r.QuoteScale > money.MaxScale ||
		r.TickUnits <= 0 || r.LotUnits <= 0 || r.MaxPrice <= 0 || r.MaxQuantity <= 0 ||
		r.MaxPrice%r.TickUnits != 0 || r.MaxQuantity%r.LotUnits != 0 || r.BaseCoin == "" || r.QuoteCoin == "" {
		return false
	}
	perStep, err := money.Mul(r.TickUnits, r.LotUnits)
	if err != nil || perStep%money.Pow10(int(r.BaseScale)) != 0 {
		return false
	}
	if _, err := money.MulDivFloor(r.MaxPrice, r.MaxQuantity, money.Pow10(int(r.BaseScale))); err != nil {
		return false
	}
	// Units never change: prices and quantities of open orders and of history are
	// counted in them.
	return old == nil || old.BaseCoin == r.BaseCoin && old.QuoteCoin == r.QuoteCoin &&
		old.BaseScale == r.BaseScale && old.QuoteScale == r.QuoteScale &&
		old.TickUnits == r.TickUnits && old.LotUnits == r.LotUnits
}

func engineRules(r *eventpb.SetRulesCommand) *matching.Rules {
	return &matching.Rules{
		BaseUnitsPerLot:      r.LotUnits,
		QuoteUnitsPerTickLot: r.TickUnits * r.LotUnits / money.Pow10(int(r.BaseScale)),
		MaxPrice:             r.MaxPrice / r.TickUnits,
		MaxQty:               r.MaxQuantity / r.LotUnits,
		BandUpPpm:            r.BandUpPpm,
		BandDownPpm:          r.BandDownPpm,
		MaxFillsPerCommand:   r.MaxFillsPerStep,
		MaxOpenOrders:        r.MaxBookOrders,
	}
}

// reasonOf names a refusal of the engine.
func reasonOf(r matching.Reason) order.Reason { return order.Reason(r) }
