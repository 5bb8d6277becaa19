package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"

	"mscoin/exchange/order"
	exchange "mscoin/exchange/simulate"
	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/symbol"
)

const (
	coinScale = 4
	// answerTimeoutMs is how long a member waits for the exchange.
	answerTimeoutMs = 5000
)

// members are the clients of the exchange, and what they were told.
type members struct {
	s       *sim
	listed  bool
	running int

	told     []answer
	clients  map[clientKey]*client
	deposits map[string]*deposit
	cancels  map[int64]bool     // orders whose cancel was asked for
	sweeps   map[sweepKey]bool  // all of whose orders were asked to be cancelled
	mine     map[int64][]placed // orders a member knows of
}

type clientKey struct {
	member int64
	id     string
}

// client is what became of the requests with one client order id.
type client struct {
	acked   map[int64]bool // orders that were told
	unknown int            // requests of which nothing is known for certain
}

type sweepKey struct {
	member int64
	symbol string
}

type placed struct {
	id     int64
	symbol string
}

// answer is an answer that must be found again.
type answer struct {
	what   string
	member int64
	id     int64
	symbol string
	seq    int64
	facts  order.Facts
}

type deposit struct {
	member int64
	coin   string
	amount int64
	acked  bool
}

func (s *sim) startMembers() *members {
	m := &members{
		s: s, clients: map[clientKey]*client{}, deposits: map[string]*deposit{}, cancels: map[int64]bool{},
		sweeps: map[sweepKey]bool{}, mine: map[int64][]placed{},
	}
	m.start("operator", m.list)
	n := 2 + s.rnd.IntN(3)
	for i := range n {
		member := int64(i + 1)
		m.start(fmt.Sprintf("member %d", member), func() { m.live(member) })
	}
	return m
}

func (m *members) start(name string, run func()) {
	m.running++
	m.s.spawn(nil, name, func() error { run(); return nil }, func(error) { m.running-- })
}

func (m *members) sleep(lo, hi int64) { m.s.park(nil, m.s.nowMs+m.s.between(lo, hi)) }

// list lists the symbols, as often as it takes.
func (m *members) list() {
	for _, r := range m.s.world.rules {
		for m.ask("list "+r.Name, func(ctx context.Context, x *exchange.App) error {
			_, err := x.CreateSymbol(ctx, r)
			return err
		}) != nil {
			m.sleep(50, 500)
		}
	}
	m.listed = true
}

// errNoAnswer is what a member knows when nothing came back.
var errNoAnswer = errors.New("no answer")

// ask sends a request to the newest exchange and waits for the answer.
func (m *members) ask(what string, handle func(context.Context, *exchange.App) error) error {
	s := m.s
	p := s.world.newest(exchangeKind)
	if p == nil || p.exchange == nil {
		return errUnavailable // no connection: nothing was done
	}
	var result error
	there, lost := false, s.chance(s.faults.lose)
	begin := func() bool {
		if !p.alive {
			return false
		}
		s.spawn(p, "request of "+m.name()+": "+what, func() error { return handle(context.Background(), p.exchange.App) }, func(err error) {
			result, there = err, true
		})
		return true
	}
	if s.chance(s.faults.late) {
		s.after(s.delayMs(), what, func() { begin() })
	} else if !begin() {
		return errUnavailable
	}
	s.park(func() bool { return there || !p.alive }, s.nowMs+answerTimeoutMs)
	if !there || lost {
		s.say(s.cur.name, "%s: no answer", what)
		return errNoAnswer
	}
	if result == nil {
		s.say(s.cur.name, "%s: done", what)
	} else {
		s.say(s.cur.name, "%s: %v", what, result)
	}
	return result
}

func (m *members) name() string {
	if m.s.cur == nil {
		return "somebody"
	}
	return m.s.cur.name
}

// uncertain reports whether a request that ended so may have done something.
func uncertain(err error) bool {
	if errors.Is(err, errNoAnswer) {
		return true
	}
	switch errs.KindOf(err) { //nolint:exhaustive // everything else is a refusal
	case errs.KindUnknownOutcome, errs.KindInternal:
		return true
	}
	return false
}

// live is what a member does.
func (m *members) live(member int64) {
	s := m.s
	for i, coin := range []string{"USDT", "BTC", "ETH"} {
		m.deposit(member, fmt.Sprintf("first-%d-%d", member, i), coin, s.between(1, 5)*[]int64{1_000_000, 60_000, 60_000}[i])
	}
	for !m.listed {
		m.sleep(20, 100)
	}
	for i := range 3 + s.rnd.IntN(8) {
		m.sleep(0, 800)
		r := s.world.rules[s.rnd.IntN(len(s.world.rules))]
		switch s.rnd.IntN(20) {
		case 0:
			m.deposit(member, fmt.Sprintf("more-%d-%d", member, i), r.Quote, s.between(1, 100)*10_000)
		case 1:
			m.cancelAll(member, r)
		case 2, 3, 4, 5:
			m.cancel(member)
		default:
			m.place(member, fmt.Sprintf("m%d-%d", member, i), r)
		}
	}
}

func (m *members) deposit(member int64, ref, coin string, amount int64) {
	d := &deposit{member: member, coin: coin, amount: amount}
	m.deposits[ref] = d
	req := &walletpb.DepositRequest{MemberId: member, Reference: ref, Coin: coin, Amount: money.Format(amount, coinScale)}
	for range 50 {
		if (conn{m.s}).Invoke(context.Background(), walletpb.WalletService_Deposit_FullMethodName, req, &walletpb.DepositResponse{}) == nil {
			d.acked = true
			return
		}
		m.sleep(10, 1000)
	}
}

// request makes up an order.
func (m *members) request(member int64, clientID string, r symbol.Rules) order.Request {
	s := m.s
	req := order.Request{
		MemberID: member, Symbol: r.Name, ClientOrderID: clientID, Side: order.Side(1 + s.rnd.IntN(2)), Type: order.Limit,
		Quantity: strconv.FormatInt(s.between(1, 6), 10), STP: order.SelfTradePrevention(s.rnd.IntN(5)),
	}
	if s.rnd.IntN(7) == 0 {
		req.Type = order.Market
		if s.rnd.IntN(3) == 0 {
			req.Quantity, req.QuoteAmount = "", strconv.FormatInt(s.between(50, 500), 10)
		}
		return req
	}
	req.Price = strconv.FormatInt(s.between(95, 105), 10)
	if s.rnd.IntN(3) == 0 {
		req.TIF = order.TimeInForce(1 + s.rnd.IntN(4))
	}
	return req
}

// place places an order, and perhaps again when nothing is known of it.
func (m *members) place(member int64, clientID string, r symbol.Rules) {
	s := m.s
	if s.rnd.IntN(10) == 0 {
		clientID = fmt.Sprintf("m%d-%d", member, s.rnd.IntN(4)) // one that was used before, perhaps
	}
	req := m.request(member, clientID, r)
	what := ""
	if s.story != nil {
		what = fmt.Sprintf("%s %s %s%s at %s (client id %s)", [...]string{"", "buy", "sell"}[req.Side], req.Symbol, req.Quantity, req.QuoteAmount, cmp.Or(req.Price, "market"), clientID)
	}
	for range 3 {
		if !m.placeOnce(what, req) || s.rnd.IntN(3) == 0 {
			return
		}
		m.sleep(0, 4000)
	}
}

// placeOnce reports whether the outcome is unknown.
func (m *members) placeOnce(what string, req order.Request) bool {
	key := clientKey{req.MemberID, req.ClientOrderID}
	c := m.clients[key]
	if c == nil {
		c = &client{acked: map[int64]bool{}}
		m.clients[key] = c
	}
	// Noted by the request itself, so that it counts whether its answer arrives or not.
	err := m.ask(what, func(ctx context.Context, x *exchange.App) error {
		p, err := x.PlaceOrder(ctx, req)
		if err != nil {
			return err
		}
		o := &p.Order
		c.acked[o.ID] = true
		m.mine[req.MemberID] = append(m.mine[req.MemberID], placed{o.ID, o.Symbol})
		m.told = append(m.told, answer{"placed", req.MemberID, o.ID, o.Symbol, p.Position.Seq, o.Facts})
		return nil
	})
	if refused, ok := errors.AsType[*exchange.Refused](err); ok && refused.Position.Seq <= 0 {
		m.s.fail("%s: refused by record %d", what, refused.Position.Seq)
	}
	if uncertain(err) {
		c.unknown++
	}
	return uncertain(err)
}

func (m *members) cancel(member int64) {
	mine := m.mine[member]
	if len(mine) == 0 {
		return
	}
	o := mine[m.s.rnd.IntN(len(mine))]
	m.cancels[o.id] = true
	_ = m.ask(fmt.Sprintf("cancel order %d", o.id), func(ctx context.Context, x *exchange.App) error {
		c, err := x.CancelOrder(ctx, exchange.OrderRef{Member: member, Symbol: o.symbol, OrderID: o.id})
		if err == nil {
			m.told = append(m.told, answer{"cancelled", member, o.id, o.symbol, c.Position.Seq, c.Order.Facts})
		}
		return err
	})
}

func (m *members) cancelAll(member int64, r symbol.Rules) {
	m.sweeps[sweepKey{member, r.Name}] = true
	_ = m.ask("cancel all of "+r.Name, func(ctx context.Context, x *exchange.App) error {
		c, err := x.CancelAllOrders(ctx, member, r.Name)
		if err != nil {
			return err
		}
		for i := range c.Orders {
			o := &c.Orders[i]
			m.told = append(m.told, answer{"cancelled", member, o.ID, o.Symbol, c.Position.Seq, o.Facts})
		}
		return nil
	})
}
