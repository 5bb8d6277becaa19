package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"mscoin/exchange/order"
	exchange "mscoin/exchange/simulate"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
	wallet "mscoin/wallet/simulate"
)

// checks is what the checkers remember from step to step.
type checks struct {
	s        *sim
	lines    int // of the journal that are summed
	sums     map[ledger.Account]int64
	answers  map[int64]int64  // order → what its first answered hold holds, 0: refused
	settled  []int64          // next offset of the settle topic whose rejections are noted
	rejected map[int64]bool   // orders whose rejection the wallet has applied
	seqs     map[string]int64 // last settled record of each symbol
	settling []settlement.Record
}

// counting notes what is settled in the transaction that runs.
type counting struct {
	wallet.Settler
	w *world
}

// Settle implements the wallet's Settler.
func (c counting) Settle(ctx context.Context, tx *database.Tx, records []settlement.Record) error {
	c.w.checks.settling = records
	return c.Settler.Settle(ctx, tx, records)
}

// settledOnce holds after every transaction: each record is settled once, in order (H8).
func (w *world) settledOnce() {
	for _, r := range w.checks.settling {
		if last := w.checks.seqs[r.Symbol]; r.Seq != last+1 {
			w.s.fail("exactly once: the wallet settles record %d of %s after record %d", r.Seq, r.Symbol, last)
		}
		w.checks.seqs[r.Symbol] = r.Seq
	}
	w.checks.settling = nil
}

func newChecks(s *sim) checks {
	return checks{s: s, sums: map[ledger.Account]int64{}, answers: map[int64]int64{}, rejected: map[int64]bool{}, seqs: map[string]int64{}}
}

// checkMoney holds after every transaction of the wallet: each coin sums to zero over
// all accounts, no member has less than nothing, what is held is what the open holds
// say, and every balance is the sum of its journal.
func (w *world) checkMoney() {
	c := &w.checks
	for _, l := range w.funds.Lines[c.lines:] {
		c.sums[l.Posting.Account] += l.Posting.Amount
	}
	c.lines = len(w.funds.Lines)
	total := map[string]int64{}
	for a, sum := range c.sums {
		if !a.Kind.OfMember() {
			total[a.Coin] += sum
		}
	}
	held := map[ledger.WalletKey]int64{}
	for _, h := range w.funds.Holds {
		if h.State == ledger.HoldOpen {
			held[ledger.WalletKey{MemberID: h.MemberID, Coin: h.Coin}] += h.Remaining()
		}
	}
	for k, b := range w.funds.Balances {
		total[k.Coin] += b.Available.Balance + b.Held.Balance
		switch {
		case b.Available.Balance < 0 || b.Held.Balance < 0:
			w.s.fail("non-negative: member %d has %d and %d held of %s", k.MemberID, b.Available.Balance, b.Held.Balance, k.Coin)
		case b.Held.Balance != held[k]:
			w.s.fail("holds: member %d has %d %s held, but its open holds have %d left", k.MemberID, b.Held.Balance, k.Coin, held[k])
		case b.Available.Balance != c.sums[ledger.AvailableOf(k.MemberID, k.Coin)] || b.Held.Balance != c.sums[ledger.HeldOf(k.MemberID, k.Coin)]:
			w.s.fail("journal: the balance of member %d in %s is not the sum of its journal", k.MemberID, k.Coin)
		}
		delete(held, k)
	}
	for k, left := range held {
		if left != 0 {
			w.s.fail("holds: member %d has no %s, but its open holds have %d left", k.MemberID, k.Coin, left)
		}
	}
	for coin, sum := range total {
		if sum != 0 {
			w.s.fail("conservation: all accounts in %s sum to %d, not to zero", coin, sum)
		}
	}
	w.noteRejections()
}

// noteRejections reads what the wallet has applied since.
func (w *world) noteRejections() {
	c := &w.checks
	if c.settled == nil {
		c.settled = make([]int64, w.partitions)
	}
	for p := range w.partitions {
		at, _ := w.funds.LoadPosition(context.Background(), wallet.ConsumerName, bus.TopicSettle, p)
		if c.settled[p] == at.NextOffset {
			continue
		}
		heads, _ := w.funds.LoadSymbolPositions(context.Background(), wallet.ConsumerName)
		for ; c.settled[p] < at.NextOffset; c.settled[p]++ {
			e, err := stream.OpenMessage(w.broker.topics[bus.TopicSettle][p][c.settled[p]])
			if err != nil || e.Body.Seq > heads[e.Body.Symbol].Seq { // set aside, not applied
				continue
			}
			for _, u := range e.Body.Orders {
				if u.State == eventpb.OrderState_ORDER_STATE_REJECTED {
					c.rejected[u.OrderId] = true
				}
			}
		}
	}
}

// holdsAnswered checks that the wallet never contradicts itself about an order (H2).
func (w *world) holdsAnswered(reqs []wallet.HoldRequest, out []wallet.HoldResult) {
	c := &w.checks
	for i := range out {
		id, held := reqs[i].OrderID, out[i].Held
		w.s.say(w.s.who(), "  order %d holds %d (%v)", id, held, out[i].Err)
		first, before := c.answers[id]
		switch {
		case held > 0 && c.rejected[id]:
			w.s.fail("hold after rejection: order %d holds %d, though the wallet has applied its rejection", id, held)
		case before && held > 0 && held != first:
			w.s.fail("hold answered twice: order %d was told %d and now %d", id, first, held)
		case !before:
			c.answers[id] = held
		}
	}
}

// checkHalted holds at all times: nothing that the faults of a schedule do may make a
// consumer stand still.
func (w *world) checkHalted() {
	for _, p := range w.processes {
		var halted []error
		if p.exchange != nil {
			halted = p.exchange.Halted()
		}
		if p.wallet != nil {
			halted = p.wallet.Halted()
		}
		for _, err := range halted {
			w.s.fail("halted: %s: %v", p.name, err)
		}
	}
}

// quiet returns what is still under way, nil when nothing is.
func (w *world) quiet() error {
	for _, id := range slices.Sorted(maps.Keys(w.orders.Rows)) {
		if row := w.orders.Rows[id]; row.State == order.StateInit {
			return fmt.Errorf("order %d of member %d (client id %s) is still in doubt", id, row.MemberID, row.ClientOrderID)
		}
	}
	if stale, _ := w.funds.StaleHolds(context.Background(), math.MaxInt64, nil, 1); len(stale) > 0 {
		return fmt.Errorf("no record has spoken of the hold of order %d of member %d", stale[0].OrderID, stale[0].MemberID)
	}
	for p := range w.partitions {
		for _, c := range []struct {
			db          stream.Store
			name, topic string
		}{{w.orders, exchange.ConsumerName, bus.TopicCompleted}, {w.funds, wallet.ConsumerName, bus.TopicSettle}} {
			at, _ := c.db.LoadPosition(context.Background(), c.name, c.topic, p)
			if end := int64(len(w.broker.topics[c.topic][p])); at.NextOffset < end {
				return fmt.Errorf("consumer %s has applied %s/%d up to offset %d of %d", c.name, c.topic, p, at.NextOffset, end)
			}
		}
	}
	if p := w.newest(exchangeKind); p == nil || p.exchange == nil || !p.exchange.Ready() {
		return fmt.Errorf("no exchange is ready")
	}
	if n := w.s.world.members.running; n > 0 {
		return fmt.Errorf("%d members wait", n)
	}
	return nil
}

// finish compares everything with the truth.
func (w *world) finish() error {
	t := &truth{books: map[string]*trueBook{}}
	for p := range w.partitions {
		t.replayAll(w.broker.topics[bus.TopicCommands][p])
	}
	checks := []func(*truth) error{w.checkOrders, w.checkBalances, w.checkAnswers, w.checkClients}
	if m := w.s.mutant; m == nil || !m.damagesLog { // what a damaged log says is no question
		checks = append([]func(*truth) error{w.checkRecords}, checks...)
	}
	for _, check := range checks {
		if err := check(t); err != nil {
			return err
		}
	}
	return nil
}

// checkRecords compares the published records with the truth: all, once, in a chain; and
// both consumers have applied them.
func (w *world) checkRecords(t *truth) error {
	last := map[string]stream.Entry{}
	seen := map[string][]byte{}
	for p := range w.partitions {
		for _, m := range w.broker.topics[bus.TopicCompleted][p] {
			e, err := stream.OpenMessage(m)
			if err != nil {
				return fmt.Errorf("record at offset %d: %w", m.Offset, err)
			}
			name, seq := e.Body.Symbol, e.Body.Seq
			key := fmt.Sprintf("%s %d", name, seq)
			if hash, dup := seen[key]; dup {
				if !bytes.Equal(hash, e.Hash) {
					return fmt.Errorf("record %d of %s was published twice, differently", seq, name)
				}
				continue
			}
			if before := last[name]; seq != before.Body.GetSeq()+1 || !bytes.Equal(e.PrevHash, before.Hash) {
				return fmt.Errorf("record %d of %s does not follow record %d", seq, name, before.Body.GetSeq())
			}
			b := t.books[name]
			if b == nil || int(seq) > len(b.records) {
				return fmt.Errorf("record %d of %s answers no command", seq, name)
			}
			if err := b.records[seq-1].matches(e.Body); err != nil {
				return fmt.Errorf("record %d of %s: %w", seq, name, err)
			}
			seen[key], last[name] = e.Hash, e
		}
	}
	for name, b := range t.books {
		if got := last[name].Body.GetSeq(); int(got) != len(b.records) {
			return fmt.Errorf("%s has %d commands, but %d records", name, len(b.records), got)
		}
	}
	return w.checkApplied(last)
}

// checkApplied checks that both consumers have applied every record.
func (w *world) checkApplied(last map[string]stream.Entry) error {
	for name, db := range map[string]stream.Store{exchange.ConsumerName: w.orders, wallet.ConsumerName: w.funds} {
		at, _ := db.LoadSymbolPositions(context.Background(), name)
		for symbol, e := range last {
			if at[symbol].Seq != e.Body.Seq || !bytes.Equal(at[symbol].Hash, e.Hash) {
				return fmt.Errorf("consumer %s is at record %d of %s, the last one is %d", name, at[symbol].Seq, symbol, e.Body.Seq)
			}
		}
	}
	return nil
}

// checkOrders compares the order store with the truth.
func (w *world) checkOrders(t *truth) error {
	trades := 0
	for _, b := range t.books {
		trades += len(b.trades)
		for id, u := range b.orders {
			row, ok := w.orders.Rows[id]
			if !ok {
				if u.State == eventpb.OrderState_ORDER_STATE_REJECTED {
					continue
				}
				return fmt.Errorf("order %d of member %d is not stored", id, u.MemberId)
			}
			if int32(row.State) != int32(u.State) || row.TradedAmount != u.TradedAmount || row.Turnover != u.Turnover || row.Fee != u.Fee || row.HeldRemaining != u.HeldRemaining {
				return fmt.Errorf("order %d of member %d is stored as %+v, the truth is %v", id, u.MemberId, row.Facts, u)
			}
			if err := w.members.mayBeCancelled(b.name, u); err != nil {
				return err
			}
			if h, ok := w.funds.Holds[id]; ok && h.State == ledger.HoldOpen && final(u.State) {
				return fmt.Errorf("order %d of member %d is over, but its hold has %d left", id, u.MemberId, h.Remaining())
			}
		}
		for _, x := range b.trades {
			got, ok := w.orders.Trades[exchange.TradeKey{Symbol: b.name, ID: x.TradeId}]
			if !ok || got.Quantity != x.Quantity || got.Turnover != x.Turnover || got.MakerOrderID != x.MakerOrderId || got.TakerOrderID != x.TakerOrderId {
				return fmt.Errorf("trade %d of %s is stored as %+v, the truth is %v", x.TradeId, b.name, got, x)
			}
		}
	}
	if len(w.orders.Trades) != trades {
		return fmt.Errorf("%d trades are stored, the truth has %d", len(w.orders.Trades), trades)
	}
	return nil
}

// mayBeCancelled: nothing but its member cancels an order (H4).
func (m *members) mayBeCancelled(symbol string, u *eventpb.OrderUpdate) error {
	if u.State != eventpb.OrderState_ORDER_STATE_CANCELED || m.cancels[u.OrderId] || m.sweeps[sweepKey{u.MemberId, symbol}] ||
		order.Reason(u.Reason) != order.ReasonUserCancel {
		return nil
	}
	return fmt.Errorf("order %d of member %d is cancelled, which nobody has asked for", u.OrderId, u.MemberId)
}

// checkBalances compares the wallet with the truth.
func (w *world) checkBalances(t *truth) error {
	deposits := map[string]deposit{}
	for ref, d := range w.funds.Deposits {
		asked := w.members.deposits[ref]
		if asked == nil || asked.member != d.MemberID || asked.coin != d.Coin || asked.amount != d.Amount {
			return fmt.Errorf("deposit %s was never made like that", ref)
		}
		deposits[ref] = *asked
	}
	for ref, d := range w.members.deposits {
		if _, credited := deposits[ref]; d.acked && !credited {
			return fmt.Errorf("deposit %s of %d %s to member %d was confirmed and is lost", ref, d.amount, d.coin, d.member)
		}
	}
	purses, fees, err := t.ledgerOf(deposits)
	if err != nil {
		return err
	}
	for k := range w.funds.Balances { // also those that the truth does not know
		if _, known := purses[purseKey{k.MemberID, k.Coin}]; !known {
			purses[purseKey{k.MemberID, k.Coin}] = purse{}
		}
	}
	for k, want := range purses {
		b := w.funds.Balances[ledger.WalletKey{MemberID: k.member, Coin: k.coin}]
		if got := (purse{b.Available.Balance, b.Held.Balance}); got != want {
			return fmt.Errorf("member %d has %d and %d held of %s, the truth is %d and %d", k.member, got.available, got.held, k.coin, want.available, want.held)
		}
	}
	for coin, want := range fees {
		if got := w.checks.sums[ledger.FeeOf(coin)]; got != want {
			return fmt.Errorf("the fee account has %d %s, the truth is %d", got, coin, want)
		}
	}
	return nil
}

// checkAnswers finds every answer again in the record that it named.
func (w *world) checkAnswers(t *truth) error {
	for _, a := range w.members.told {
		b := t.books[a.symbol]
		if b == nil || a.seq < 1 || int(a.seq) > len(b.records) {
			return fmt.Errorf("member %d was told that order %d is %s by record %d of %s, which does not exist", a.member, a.id, a.what, a.seq, a.symbol)
		}
		r := b.records[a.seq-1]
		i := slices.IndexFunc(r.orders, func(u *eventpb.OrderUpdate) bool { return u.OrderId == a.id })
		if i < 0 {
			return fmt.Errorf("member %d was told that order %d is %s by record %d of %s, which does not name it", a.member, a.id, a.what, a.seq, a.symbol)
		}
		u := r.orders[i]
		if int32(a.facts.State) != int32(u.State) || a.facts.TradedAmount != u.TradedAmount || a.facts.Turnover != u.Turnover || a.facts.Fee != u.Fee {
			return fmt.Errorf("member %d was told %+v of order %d, record %d of %s says %v", a.member, a.facts, a.id, a.seq, a.symbol, u)
		}
		if _, stored := w.orders.Rows[a.id]; !stored {
			return fmt.Errorf("member %d was told that order %d is %s, and it is not stored", a.member, a.id, a.what)
		}
	}
	return nil
}

// checkClients: an order that nobody was told of is one whose request ended in doubt
// (H14), and a client order id is never active twice.
func (w *world) checkClients(t *truth) error {
	untold := map[clientKey]int{}
	open := map[clientKey]int64{}
	for _, id := range slices.Sorted(maps.Keys(w.orders.Rows)) {
		row := w.orders.Rows[id]
		b := t.books[row.Symbol]
		if b == nil || b.orders[id] == nil || b.orders[id].State == eventpb.OrderState_ORDER_STATE_REJECTED {
			continue
		}
		key := clientKey{row.MemberID, row.ClientOrderID}
		c := w.members.clients[key]
		if c == nil {
			return fmt.Errorf("order %d of member %d (client id %s) was never asked for", id, key.member, key.id)
		}
		if !c.acked[id] {
			if untold[key]++; untold[key] > c.unknown {
				return fmt.Errorf("order %d of member %d (client id %s) was accepted, but its request was told to have failed", id, key.member, key.id)
			}
		}
		if !row.State.Final() {
			if other := open[key]; other != 0 {
				return fmt.Errorf("orders %d and %d of member %d are open with the same client id %s", other, id, key.member, key.id)
			}
			open[key] = id
		}
	}
	return nil
}
