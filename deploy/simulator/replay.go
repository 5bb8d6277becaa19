package main

import (
	"errors"
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/naive"
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/money"
)

// truth is what the command log means, found out once more by the naive matcher and by
// the rules as they are written down, without any code of the sequencer.
type truth struct {
	books map[string]*trueBook
}

// trueBook is one symbol. record i has the number i+1.
type trueBook struct {
	name    string
	engine  *naive.Book
	rules   *eventpb.SetRulesCommand
	live    map[int64]*eventpb.PlaceCommand
	over    map[int64]gone
	records []*trueRecord
	nowMs   int64

	orders map[int64]*eventpb.OrderUpdate // the last word on each order
	trades []*eventpb.Trade
}

// gone is an order that is over; it is remembered until its deadline.
type gone struct {
	deadlineMs int64
	last       *eventpb.OrderUpdate
}

// trueRecord is what a command did.
type trueRecord struct {
	rejected bool
	reason   order.Reason
	orders   []*eventpb.OrderUpdate
	trades   []*eventpb.Trade
}

// replayAll finds the truth about a partition's commands.
func (t *truth) replayAll(msgs []bus.Message) {
	nowMs := int64(0)
	books := map[string]*trueBook{} // of this partition: elsewhere a key means nothing
	for _, m := range msgs {
		nowMs = max(nowMs, m.TimeMs)
		cmd := &eventpb.Command{}
		if proto.Unmarshal(m.Value, cmd) != nil {
			cmd = nil
		}
		b := books[string(m.Key)]
		if b == nil {
			if cmd == nil || cmd.GetSetRules() == nil || cmd.Symbol != string(m.Key) {
				continue
			}
			b = &trueBook{
				name: cmd.Symbol, engine: naive.New(), live: map[int64]*eventpb.PlaceCommand{}, over: map[int64]gone{},
				orders: map[int64]*eventpb.OrderUpdate{},
			}
			books[cmd.Symbol], t.books[cmd.Symbol] = b, b
		}
		b.nowMs = nowMs
		b.records = append(b.records, &trueRecord{})
		b.command(cmd)
	}
}

func (b *trueBook) record() *trueRecord { return b.records[len(b.records)-1] }

func (b *trueBook) reject(reason order.Reason) {
	b.record().rejected, b.record().reason = true, reason
}

func (b *trueBook) command(cmd *eventpb.Command) {
	if cmd == nil || cmd.Body == nil {
		b.reject(order.ReasonUndecodable)
		return
	}
	if cmd.Symbol != b.name {
		b.reject(order.ReasonWrongSymbol)
		return
	}
	switch c := cmd.Body.(type) {
	case *eventpb.Command_Place:
		b.place(c.Place)
	case *eventpb.Command_Cancel:
		b.settle(b.cancel(c.Cancel.OrderId, c.Cancel.MemberId))
	case *eventpb.Command_CancelAll:
		var ids []int64
		for id, p := range b.live {
			if p.MemberId == c.CancelAll.MemberId {
				ids = append(ids, id)
			}
		}
		slices.Sort(ids)
		for _, id := range ids {
			b.settle(b.cancel(id, c.CancelAll.MemberId))
		}
	case *eventpb.Command_Resolve:
		b.resolve(c.Resolve)
	case *eventpb.Command_SetRules:
		r := c.SetRules
		b.rules = r
		b.settle(b.do(&matching.Command{Op: matching.OpSetRules, Rules: &matching.Rules{
			BaseUnitsPerLot: r.LotUnits, QuoteUnitsPerTickLot: r.TickUnits * r.LotUnits / money.Pow10(int(r.BaseScale)),
			MaxPrice: r.MaxPrice / r.TickUnits, MaxQty: r.MaxQuantity / r.LotUnits, BandUpPpm: r.BandUpPpm, BandDownPpm: r.BandDownPpm,
			MaxFillsPerCommand: r.MaxFillsPerStep, MaxOpenOrders: r.MaxBookOrders,
		}}))
	}
}

func (b *trueBook) settle(reason matching.Reason) {
	if reason != matching.ReasonNone {
		b.reject(order.Reason(reason))
	}
}

func (b *trueBook) cancel(id, member int64) matching.Reason {
	return b.do(&matching.Command{Op: matching.OpCancel, OrderID: uint64(id), MemberID: uint64(member)})
}

// remembered returns what is known of an order that is over.
func (b *trueBook) remembered(id int64) (gone, bool) {
	g, ok := b.over[id]
	return g, ok && b.nowMs <= g.deadlineMs
}

func (b *trueBook) place(p *eventpb.PlaceCommand) {
	if _, open := b.live[p.OrderId]; open {
		b.reject(order.ReasonDuplicateOrder)
		return
	}
	if g, known := b.remembered(p.OrderId); known {
		if order.Reason(g.last.Reason) == order.ReasonResolved {
			b.reject(order.ReasonResolved)
		} else {
			b.reject(order.ReasonDuplicateOrder)
		}
		return
	}
	reason := order.ReasonLate
	if b.nowMs <= p.DeadlineMs {
		b.live[p.OrderId] = p
		reason = order.Reason(b.do(&matching.Command{
			Op: matching.OpPlace, Side: matching.Side(p.Side - 1), Type: matching.OrderType(p.Type),
			TIF: matching.TimeInForce(p.TimeInForce), STP: matching.STPMode(p.SelfTradePrevention),
			OrderID: uint64(p.OrderId), MemberID: uint64(p.MemberId), Price: p.Price / b.rules.TickUnits, Qty: p.Quantity / b.rules.LotUnits,
			QuoteQty: p.QuoteAmount, Hold: p.HoldAmount, MakerFeePpm: p.MakerFeePpm, TakerFeePpm: p.TakerFeePpm,
		}))
	}
	if p.DeadlineMs-b.nowMs > 3_600_000 {
		reason = order.ReasonBadDeadline
	}
	if reason != order.ReasonNone {
		delete(b.live, p.OrderId)
		b.reject(reason)
		b.end(&eventpb.OrderUpdate{
			OrderId: p.OrderId, MemberId: p.MemberId, Side: p.Side, State: eventpb.OrderState_ORDER_STATE_REJECTED, Reason: int32(reason),
		}, p.DeadlineMs)
	}
}

func (b *trueBook) resolve(c *eventpb.ResolveCommand) {
	if _, open := b.live[c.OrderId]; open {
		b.word(proto.Clone(b.orders[c.OrderId]).(*eventpb.OrderUpdate))
		return
	}
	if g, known := b.remembered(c.OrderId); known {
		b.word(proto.Clone(g.last).(*eventpb.OrderUpdate))
		return
	}
	b.end(&eventpb.OrderUpdate{
		OrderId: c.OrderId, MemberId: c.MemberId, State: eventpb.OrderState_ORDER_STATE_REJECTED, Reason: int32(order.ReasonResolved),
	}, c.DeadlineMs)
}

// end is the last word on an order.
func (b *trueBook) end(u *eventpb.OrderUpdate, deadlineMs int64) {
	b.word(u)
	b.over[u.OrderId] = gone{deadlineMs, u}
}

// word says something of an order in the record: the last thing said counts.
func (b *trueBook) word(u *eventpb.OrderUpdate) {
	r := b.record()
	if i := slices.IndexFunc(r.orders, func(x *eventpb.OrderUpdate) bool { return x.OrderId == u.OrderId }); i >= 0 {
		r.orders[i] = u
	} else {
		r.orders = append(r.orders, u)
	}
	// What is over stays so, whatever a matcher that has forgotten the id says.
	if before := b.orders[u.OrderId]; before == nil || !final(before.State) {
		b.orders[u.OrderId] = u
	}
}

func final(s eventpb.OrderState) bool { return s >= eventpb.OrderState_ORDER_STATE_FILLED }

// do applies a command to the naive book and books what it says.
func (b *trueBook) do(cmd *matching.Command) matching.Reason {
	r := b.record()
	for {
		goOn := false
		var taker *eventpb.Trade
		for _, e := range b.engine.Apply(cmd, nil) {
			switch e.Kind {
			case matching.EventReject:
				return e.Reason
			case matching.EventTrade:
				t := e.Trade()
				taker = &eventpb.Trade{
					TradeId: int64(t.ID), Price: t.Price * b.rules.TickUnits, Quantity: t.Qty * b.rules.LotUnits, Turnover: t.Quote,
					TakerSide: eventpb.Side(t.TakerSide + 1), TakerOrderId: int64(t.TakerID),
					TakerMemberId: b.live[int64(t.TakerID)].GetMemberId(), MakerFee: t.MakerFee, TakerFee: t.TakerFee,
				}
			case matching.EventOrder:
				if taker != nil {
					taker.MakerOrderId, taker.MakerMemberId = int64(e.OrderID), int64(e.MemberID)
					r.trades, b.trades, taker = append(r.trades, taker), append(b.trades, taker), nil
				}
				u := &eventpb.OrderUpdate{
					OrderId: int64(e.OrderID), MemberId: int64(e.MemberID), Side: eventpb.Side(e.Side + 1), State: eventpb.OrderState(e.State),
					Reason: int32(e.Reason), TradedAmount: e.CumQty * b.rules.LotUnits, Turnover: e.CumQuote, Fee: e.CumFee,
					HeldRemaining: e.HeldRemaining, OpenAmount: e.LeavesQty * b.rules.LotUnits,
				}
				if e.State.Final() {
					b.end(u, b.live[u.OrderId].GetDeadlineMs())
					delete(b.live, u.OrderId)
				} else {
					b.word(u)
				}
			case matching.EventContinue:
				goOn = true
			case matching.EventRules, matching.EventPhase:
			}
		}
		if !goOn {
			return matching.ReasonNone
		}
		cmd = &matching.Command{Op: matching.OpContinue}
	}
}

// matches compares a record with the truth.
func (r *trueRecord) matches(got *eventpb.RecordBody) error {
	if got.Result.GetRejected() != r.rejected || got.Result.GetReason() != int32(r.reason) {
		return fmt.Errorf("rejected %t for reason %d, should be %t for %d", got.Result.GetRejected(), got.Result.GetReason(), r.rejected, r.reason)
	}
	if len(got.Orders) != len(r.orders) || len(got.Trades) != len(r.trades) {
		return fmt.Errorf("it names %d orders and %d trades, should be %d and %d", len(got.Orders), len(got.Trades), len(r.orders), len(r.trades))
	}
	for i, u := range r.orders {
		g := got.Orders[i]
		same := g.OrderId == u.OrderId && g.MemberId == u.MemberId && g.State == u.State && g.TradedAmount == u.TradedAmount && g.Turnover == u.Turnover &&
			g.Fee == u.Fee && g.HeldRemaining == u.HeldRemaining
		if !same {
			return fmt.Errorf("it says %v, should be %v", g, u)
		}
	}
	for i, t := range r.trades {
		if !proto.Equal(got.Trades[i], t) {
			return fmt.Errorf("it has trade %v, should be %v", got.Trades[i], t)
		}
	}
	return nil
}

// purse is what the truth says that a member has of a coin.
type purse struct{ available, held int64 }

type purseKey struct {
	member int64
	coin   string
}

// ledgerOf computes all balances from deposits, trades and open orders alone.
func (t *truth) ledgerOf(deposits map[string]deposit) (purses map[purseKey]purse, fees map[string]int64, err error) {
	purses, fees = map[purseKey]purse{}, map[string]int64{}
	move := func(member int64, coin string, available, held int64) {
		p := purses[purseKey{member, coin}]
		purses[purseKey{member, coin}] = purse{p.available + available, p.held + held}
	}
	for _, d := range deposits {
		move(d.member, d.coin, d.amount, 0)
	}
	for _, b := range t.books {
		for _, x := range b.trades {
			buyer, seller, buyerFee, sellerFee := x.TakerMemberId, x.MakerMemberId, x.TakerFee, x.MakerFee
			if x.TakerSide == eventpb.Side_SIDE_SELL {
				buyer, seller, buyerFee, sellerFee = seller, buyer, sellerFee, buyerFee
			}
			move(buyer, b.rules.QuoteCoin, -x.Turnover, 0)
			move(buyer, b.rules.BaseCoin, x.Quantity-buyerFee, 0)
			move(seller, b.rules.BaseCoin, -x.Quantity, 0)
			move(seller, b.rules.QuoteCoin, x.Turnover-sellerFee, 0)
			fees[b.rules.BaseCoin] += buyerFee
			fees[b.rules.QuoteCoin] += sellerFee
		}
		for id := range b.live {
			u := b.orders[id]
			coin := b.rules.QuoteCoin
			if u.Side == eventpb.Side_SIDE_SELL {
				coin = b.rules.BaseCoin
			}
			move(u.MemberId, coin, -u.HeldRemaining, u.HeldRemaining)
		}
	}
	for k, p := range purses {
		if p.available < 0 || p.held < 0 {
			err = errors.Join(err, fmt.Errorf("the truth would leave member %d with %d and %d held of %s", k.member, p.available, p.held, k.coin))
		}
	}
	return purses, fees, err
}
