package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"mscoin/wallet/ledger"
)

// Ages beyond which something stands still (C10).
const (
	MaxHoldAgeMs     = 60_000
	MaxSuspenseAgeMs = 5 * 60_000
	MaxLagMs         = 5_000
)

// books are the rules that one row, or a sum over few names, can be checked by. The
// exact checker and the sketch share them.
type books struct {
	Frame

	report    Report
	totals    map[string]*Totals
	fees      map[feeKey]int64 // journal minus trades and withdrawals
	suspense  map[string]int64 // time of the newest line in suspense, by coin
	lastTrade Trade
	firstLag  map[string]int64 // time of the oldest order that is ahead, by symbol
}

type feeKey struct{ symbol, coin string }

// place is where a discrepancy was found.
type place struct {
	where   string
	record  string
	sinceMs int64
	member  int64
}

func newBooks(f Frame) books {
	return books{
		Frame: f, totals: map[string]*Totals{}, fees: map[feeKey]int64{}, suspense: map[string]int64{}, firstLag: map[string]int64{},
	}
}

func (b *books) found(check, what string, at place, coin string, want, got int64) {
	b.report.Found++
	if len(b.report.Discrepancies) < MaxListed {
		b.report.Discrepancies = append(b.report.Discrepancies, Discrepancy{
			Check: check, What: what, Where: at.where, Record: at.record, SinceMs: at.sinceMs, MemberID: at.member,
			Coin: coin, Want: want, Got: got, Amount: got - want,
		})
	}
}

// expect notes a discrepancy when got is not want.
func (b *books) expect(check, what string, at place, coin string, want, got int64) {
	if got != want {
		b.found(check, what, at, coin, want, got)
	}
}

func (b *books) alarm(what, where string, sinceMs, limitMs int64) {
	age := b.NowMs - sinceMs
	if b.NowMs == 0 || sinceMs == 0 || age <= limitMs {
		return
	}
	b.report.AlarmsFound++
	if len(b.report.Alarms) < MaxListed {
		b.report.Alarms = append(b.report.Alarms, Alarm{What: what, Where: where, SinceMs: sinceMs, AgeMs: age})
	}
}

func (b *books) total(coin string) *Totals {
	t := b.totals[coin]
	if t == nil {
		t = &Totals{Coin: coin}
		b.totals[coin] = t
	}
	return t
}

func walletPlace(member int64) place {
	return place{where: fmt.Sprintf("wallet of member %d", member), member: member}
}

// wallet checks a wallet row by itself.
func (b *books) wallet(w *Wallet) {
	b.report.Counts.Wallets++
	t := b.total(w.Coin)
	t.Available += w.Available
	t.Held += w.Held
	if w.Available < 0 {
		b.found("C2", "available balance is negative", walletPlace(w.MemberID), w.Coin, 0, w.Available)
	}
	if w.Held < 0 {
		b.found("C2", "held balance is negative", walletPlace(w.MemberID), w.Coin, 0, w.Held)
	}
}

func holdPlace(h *ledger.Hold) place {
	at := place{where: orderName(h.OrderID), sinceMs: h.UpdatedMs, member: h.MemberID}
	if h.Seq > 0 {
		at.record = recordName(h.Symbol, h.Seq)
	}
	return at
}

// hold checks a hold by itself and against the position.
func (b *books) hold(h *ledger.Hold) {
	b.report.Counts.Holds++
	if err := h.Validate(); err != nil {
		b.found("C4", "hold contradicts itself, state "+h.State.String(), holdPlace(h), h.Coin, h.Held, h.Consumed+h.Released)
	}
	if settled := b.Settled[h.Symbol].Seq; h.Seq > settled {
		at := holdPlace(h)
		at.where += " on " + h.Symbol
		b.found("C7", "hold is at a record that the wallet has not settled", at, "", settled, h.Seq)
	}
	if h.State != ledger.HoldOpen && h.Held == 0 {
		return
	}
	if consumed, _, _ := b.settledBy(h); !b.BooksOnly && consumed != h.Consumed {
		b.found("C5", "hold consumed something else than the order traded", holdPlace(h), h.Coin, consumed, h.Consumed)
	}
	if h.State == ledger.HoldOpen && h.Seq == 0 {
		b.alarm("hold without a word from the matcher", orderName(h.OrderID), h.PlaceTimeMs, MaxHoldAgeMs)
	}
}

// settledBy returns what the facts of a hold say that it consumed and received, and
// the coin received.
func (b *books) settledBy(h *ledger.Hold) (consumed, received int64, coin string) {
	s := b.Symbols[h.Symbol]
	if h.Coin == s.Base {
		return h.Facts.Traded, h.Facts.Turnover, s.Quote
	}
	return h.Facts.Turnover, h.Facts.Traded, s.Base
}

func linePlace(l *Line) place {
	at := place{where: fmt.Sprintf("%s, %s line %d", l.Account, txName(l.TxID), l.Line), sinceMs: l.TimeMs, member: l.Account.MemberID}
	if l.Seq > 0 {
		at.record = recordName(l.Symbol, l.Seq)
	}
	return at
}

// line checks a journal line by itself.
func (b *books) line(l *Line) {
	b.report.Counts.Lines++
	switch l.Account.Kind {
	case ledger.Available, ledger.Held:
		if l.BalanceAfter < 0 {
			b.found("C2", "account became negative", linePlace(l), l.Account.Coin, 0, l.BalanceAfter)
		}
	case ledger.Fee:
		b.total(l.Account.Coin).Fee += l.Amount
		if l.Reason != ledger.ReasonCorrection {
			b.fees[feeKey{l.Symbol, l.Account.Coin}] += l.Amount
		}
	case ledger.Suspense:
		b.total(l.Account.Coin).Suspense += l.Amount
		b.suspense[l.Account.Coin] = max(b.suspense[l.Account.Coin], l.TimeMs)
	case ledger.World:
		b.total(l.Account.Coin).World += l.Amount
	}
	if l.Seq == 0 {
		return
	}
	if settled := b.Settled[l.Symbol].Seq; l.Seq > settled {
		b.found("C7", "journal has a record beyond the wallet's position", place{where: recordName(l.Symbol, l.Seq), sinceMs: l.TimeMs}, "", settled, l.Seq)
	}
	if number, ok := b.Numbers[l.Symbol]; ok {
		if id, err := ledger.SettlementTx(number, l.Seq); err != nil || id != l.TxID {
			at := place{where: recordName(l.Symbol, l.Seq), record: txName(l.TxID), sinceMs: l.TimeMs}
			b.found("C7", "record was settled by two transactions", at, "", id, l.TxID)
		}
	}
}

// transfer counts a transfer and its fees.
func (b *books) transfer(d *Transfer) {
	b.report.Counts.Transfers++
	if d.Fee != 0 || d.NetworkFee != 0 {
		b.fees[feeKey{"", d.Account.Coin}] -= d.Fee - d.NetworkFee
	}
}

func tradePlace(t *Trade) place {
	return place{where: fmt.Sprintf("%s trade %d", t.Symbol, t.TradeID), record: recordName(t.Symbol, t.Seq), sinceMs: t.TimeMs}
}

// trade checks that trades follow one another, and adds its fees. It reports false for
// one that the wallet has not come to.
func (b *books) trade(t *Trade) bool {
	if t.Symbol != b.lastTrade.Symbol {
		b.lastTrade = Trade{}
	}
	if t.TradeID != b.lastTrade.TradeID+1 {
		b.found("C7", "trade ids have a gap", tradePlace(t), "", b.lastTrade.TradeID+1, t.TradeID)
	}
	if t.Seq < b.lastTrade.Seq {
		b.found("C7", "trade is of an earlier record than the one before", tradePlace(t), "", b.lastTrade.Seq, t.Seq)
	}
	b.lastTrade = *t
	if t.Seq > b.Settled[t.Symbol].Seq {
		b.report.Counts.TradesAhead++
		return false
	}
	b.report.Counts.Trades++
	s := b.Symbols[t.Symbol]
	makerCoin, takerCoin := s.Base, s.Quote
	if t.TakerBuys {
		makerCoin, takerCoin = takerCoin, makerCoin
	}
	b.fees[feeKey{t.Symbol, makerCoin}] -= t.MakerFee
	b.fees[feeKey{t.Symbol, takerCoin}] -= t.TakerFee
	return true
}

// order counts an order and reports whether it is ahead of the wallet.
func (b *books) order(o *Order) (ahead bool) {
	b.report.Counts.Orders++
	if o.Seq <= b.Settled[o.Symbol].Seq {
		return false
	}
	b.report.Counts.OrdersAhead++
	if first := b.firstLag[o.Symbol]; first == 0 || o.TimeMs < first {
		b.firstLag[o.Symbol] = o.TimeMs
	}
	return true
}

// finish compares positions, fees and totals.
func (b *books) finish() {
	if !b.BooksOnly {
		b.finishPositions()
		b.finishFees()
	}
	for _, coin := range sortedKeys(b.totals) {
		t := b.totals[coin]
		b.report.Totals = append(b.report.Totals, *t)
		b.expect("C3", "all accounts together do not sum to zero", place{where: "all accounts"}, coin, 0, t.Sum())
		if t.Suspense != 0 {
			b.alarm("money in suspense", coin, b.suspense[coin], MaxSuspenseAgeMs)
		}
	}
}

func (b *books) finishPositions() {
	for _, symbol := range sortedKeys(b.Settled) {
		wallet, orders := b.Settled[symbol], b.Stored[symbol]
		switch {
		case orders.Seq < wallet.Seq:
			b.found("C7", "order store is behind the wallet", place{where: symbol}, "", wallet.Seq, orders.Seq)
		case orders.Seq == wallet.Seq && orders.Hash != wallet.Hash:
			b.found("C7", "order store and wallet have applied different records", place{where: recordName(symbol, wallet.Seq)}, "", 0, 0)
		}
		b.alarm("wallet is behind the order store", symbol, b.firstLag[symbol], MaxLagMs)
	}
}

func (b *books) finishFees() {
	for _, key := range slices.SortedFunc(maps.Keys(b.fees), func(x, y feeKey) int {
		return cmp.Or(cmp.Compare(x.symbol, y.symbol), cmp.Compare(x.coin, y.coin))
	}) {
		where := "fees of " + key.symbol
		if key.symbol == "" {
			where = "fees of withdrawals"
		}
		b.expect("C9", "fee account is not the sum of the fees charged", place{where: where}, key.coin, 0, b.fees[key])
	}
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

func orderName(id int64) string { return fmt.Sprintf("order %d", id) }

func txName(id int64) string { return fmt.Sprintf("transaction %d", id) }

func recordName(symbol string, seq int64) string { return fmt.Sprintf("%s record %d", symbol, seq) }

// merge adds what another pass over other rows of the same snapshots found.
func (b *books) merge(o *books) {
	b.report.Found += o.report.Found
	b.report.Discrepancies = append(b.report.Discrepancies, o.report.Discrepancies[:min(len(o.report.Discrepancies), MaxListed-len(b.report.Discrepancies))]...)
	b.report.AlarmsFound += o.report.AlarmsFound
	b.report.Alarms = append(b.report.Alarms, o.report.Alarms[:min(len(o.report.Alarms), MaxListed-len(b.report.Alarms))]...)
	b.report.Counts.add(&o.report.Counts)
	for coin, t := range o.totals {
		sum := b.total(coin)
		sum.Available, sum.Held, sum.Fee = sum.Available+t.Available, sum.Held+t.Held, sum.Fee+t.Fee
		sum.Suspense, sum.World = sum.Suspense+t.Suspense, sum.World+t.World
	}
	for key, n := range o.fees {
		b.fees[key] += n
	}
	for coin, ms := range o.suspense {
		b.suspense[coin] = max(b.suspense[coin], ms)
	}
	for symbol, ms := range o.firstLag {
		if first := b.firstLag[symbol]; first == 0 || ms < first {
			b.firstLag[symbol] = ms
		}
	}
}

func (c *Counts) add(o *Counts) {
	c.Lines += o.Lines
	c.Transactions += o.Transactions
	c.Wallets += o.Wallets
	c.Holds += o.Holds
	c.Transfers += o.Transfers
	c.Orders += o.Orders
	c.OrdersAhead += o.OrdersAhead
	c.Trades += o.Trades
	c.TradesAhead += o.TradesAhead
}
