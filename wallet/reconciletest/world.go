// Package reconciletest makes books that are right, for tests that then damage them.
package reconciletest

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/settlement"
)

// Symbol is the symbol that the books trade, SymbolNumber its number in the ids of its
// settlements.
const (
	Symbol       = "BTC/USDT"
	SymbolNumber = int64(1)
)

// Members of small books; the orders of Buyer are odd, those of Seller even.
const (
	Buyer  = int64(7)
	Seller = int64(8)
)

type world struct {
	facts    reconcile.Facts
	members  int64 // who trade with each other, from Buyer on
	balances *ledger.Balances
	holds    settlement.Holds
	lines    []ledger.Line
	txID     int64
	seq      int64
	trades   int64
}

// Facts returns the books of two members that traded pairs of orders: each pair a
// full fill, every third one a partial fill that is then cancelled, every fourth one
// left open. It returns an error only when the ledger itself is broken.
func Facts(pairs int) (*reconcile.Facts, error) {
	all := &reconcile.Facts{}
	err := Generate(pairs, 2, pairs+1, func(f *reconcile.Facts) error {
		*all = *f
		return nil
	})
	SortLines(all.Lines)
	return all, err
}

// Generate makes the books of that many members (an even number) from Buyer on, pair by pair as in
// [Facts], and hands them on in parts of that many pairs: holds, orders, trades, lines
// and transfers as they come; frame and wallets with the last part, which may be empty
// otherwise. A part is valid during the call only.
func Generate(pairs, members, part int, yield func(*reconcile.Facts) error) error {
	w := &world{members: int64(members), balances: ledger.NewBalances(), holds: settlement.Holds{}}
	for m := Buyer; m < Buyer+w.members; m++ {
		for _, c := range [...]string{"BTC", "USDT"} {
			w.balances.Load(ledger.WalletKey{MemberID: m, Coin: c}, ledger.Wallet{})
			if err := w.deposit(m, c, int64(pairs)*1_000_000); err != nil {
				return err
			}
		}
	}
	for i := range pairs {
		if err := w.pair(i); err != nil {
			return err
		}
		if (i+1)%part == 0 {
			if err := yield(w.flush()); err != nil {
				return err
			}
		}
	}
	f := w.flush()
	w.finish(f)
	return yield(f)
}

func (w *world) post(e ledger.Entry, err error) error {
	if err != nil {
		return err
	}
	w.txID++
	return w.postAs(w.txID, e)
}

func (w *world) postAs(txID int64, e ledger.Entry) (err error) {
	w.lines, err = w.balances.Post(txID, e, w.lines)
	return err
}

func (w *world) deposit(member int64, coin string, amount int64) error {
	ref := fmt.Sprintf("deposit-%d-%s", member, coin)
	if err := w.post(ledger.Deposit(ledger.Source{Ref: ref, TimeMs: 1}, member, coin, amount)); err != nil {
		return err
	}
	w.facts.Transfers = append(w.facts.Transfers, reconcile.Transfer{
		Reference: ref, Account: ledger.AvailableOf(member, coin), Amount: amount, TxID: w.txID, TimeMs: 1,
	})
	return nil
}

func (w *world) hold(order, member int64, coin string, amount int64) error {
	h := &ledger.Hold{OrderID: order, MemberID: member, Coin: coin, Symbol: Symbol, Held: amount, PlaceTimeMs: 1}
	w.holds[order] = h
	return w.post(h.Place(1))
}

// pair places a buy and a sell of 1000 at 100 and lets them trade at 90.
func (w *world) pair(i int) error {
	buyID, sellID := int64(2*i+1), int64(2*i+2)
	n, half := int64(i), w.members/2 // one half of the members buys, the other sells
	buyer := Buyer + 2*(n%half)
	seller := Seller + 2*((n+n/half)%half)
	if err := w.hold(buyID, buyer, "USDT", 100_000); err != nil {
		return err
	}
	if err := w.hold(sellID, seller, "BTC", 1000); err != nil {
		return err
	}
	buy := settlement.OrderUpdate{OrderID: buyID, MemberID: buyer, Side: settlement.Buy, State: settlement.Live, HeldRemaining: 100_000}
	sell := settlement.OrderUpdate{OrderID: sellID, MemberID: seller, Side: settlement.Sell, State: settlement.Live, HeldRemaining: 1000}
	if err := w.record(nil, sell); err != nil {
		return err
	}
	if i%4 == 3 {
		return w.record(nil, buy)
	}
	quantity := int64(1000)
	if i%3 == 2 {
		quantity = 400
	}
	w.trades++
	trade := settlement.Trade{
		TradeID: w.trades, Quantity: quantity, Turnover: quantity * 90, TakerSide: settlement.Buy,
		MakerOrderID: sellID, TakerOrderID: buyID, MakerMemberID: seller, TakerMemberID: buyer, MakerFee: quantity * 90 / 1000, TakerFee: quantity / 100,
	}
	buy.Traded, buy.Turnover, buy.Fee, buy.HeldRemaining = quantity, trade.Turnover, trade.TakerFee, (1000-quantity)*100
	sell.Traded, sell.Turnover, sell.Fee, sell.HeldRemaining = quantity, trade.Turnover, trade.MakerFee, 1000-quantity
	if quantity == 1000 {
		buy.State, sell.State = settlement.Ended, settlement.Ended
		return w.record([]settlement.Trade{trade}, buy, sell)
	}
	if err := w.record([]settlement.Trade{trade}, buy, sell); err != nil {
		return err
	}
	buy.State, buy.HeldRemaining = settlement.Ended, 0
	return w.record(nil, buy)
}

func (w *world) record(trades []settlement.Trade, orders ...settlement.OrderUpdate) error {
	w.seq++
	r := settlement.Record{Symbol: Symbol, Seq: w.seq, TimeMs: w.seq, BaseCoin: "BTC", QuoteCoin: "USDT", Trades: trades, Orders: orders}
	for _, t := range trades {
		w.facts.Trades = append(w.facts.Trades, reconcile.Trade{
			Symbol: Symbol, TradeID: t.TradeID, Seq: w.seq, Quantity: t.Quantity, Turnover: t.Turnover, TakerBuys: true,
			MakerOrderID: t.MakerOrderID, TakerOrderID: t.TakerOrderID, MakerMemberID: t.MakerMemberID, TakerMemberID: t.TakerMemberID,
			MakerFee: t.MakerFee, TakerFee: t.TakerFee, TimeMs: w.seq,
		})
	}
	e, err := settlement.Settle(&r, w.holds)
	if err != nil || e.Len() == 0 {
		return err
	}
	id, err := ledger.SettlementTx(SymbolNumber, w.seq)
	if err != nil {
		return err
	}
	return w.postAs(id, e)
}

// flush hands over what has been made since the last time. Its holds stay as they are.
func (w *world) flush() *reconcile.Facts {
	f := w.facts
	for _, h := range w.holds {
		f.Holds = append(f.Holds, *h)
		f.Orders = append(f.Orders, reconcile.Order{
			OrderID: h.OrderID, MemberID: h.MemberID, Symbol: h.Symbol, HoldCoin: h.Coin, HoldAmount: h.Held,
			HeldRemaining: h.Remaining(), Facts: h.Facts, Seq: h.Seq, TimeMs: h.UpdatedMs,
		})
	}
	slices.SortFunc(f.Holds, func(a, b ledger.Hold) int { return cmp.Compare(a.OrderID, b.OrderID) })
	slices.SortFunc(f.Orders, func(a, b reconcile.Order) int { return cmp.Compare(a.OrderID, b.OrderID) })
	for _, l := range w.lines {
		f.Lines = append(f.Lines, reconcile.Line{
			TxID: l.TxID, Line: l.Line, Account: l.Posting.Account, Amount: l.Posting.Amount, AccountSeq: l.AccountSeq,
			BalanceAfter: l.BalanceAfter, Symbol: l.Source.Symbol, Seq: l.Source.Seq, OrderID: l.Posting.OrderID, Reason: l.Posting.Reason,
			TimeMs: l.Source.TimeMs,
		})
	}
	w.facts, w.holds, w.lines = reconcile.Facts{}, settlement.Holds{}, w.lines[:0]
	return &f
}

func (w *world) finish(f *reconcile.Facts) {
	position := map[string]reconcile.Position{Symbol: {Seq: w.seq, Hash: "h"}}
	f.Frame = reconcile.Frame{
		Settled: position, Stored: maps.Clone(position),
		Symbols: map[string]reconcile.Symbol{Symbol: {Name: Symbol, Base: "BTC", Quote: "USDT"}},
		Numbers: map[string]int64{Symbol: SymbolNumber},
	}
	for _, key := range w.balances.Changed() {
		v, _ := w.balances.Wallet(key)
		f.Wallets = append(f.Wallets, reconcile.Wallet{
			MemberID: key.MemberID, Coin: key.Coin, Available: v.Available.Balance, Held: v.Held.Balance,
			AvailableSeq: v.Available.Seq, HeldSeq: v.Held.Seq, UpdatedMs: v.UpdatedMs,
		})
	}
}

// SortLines puts lines into the order that a Checker asks for.
func SortLines(lines []reconcile.Line) {
	slices.SortFunc(lines, func(a, b reconcile.Line) int {
		return cmp.Or(
			cmp.Compare(a.Account.MemberID, b.Account.MemberID), cmp.Compare(a.Account.Coin, b.Account.Coin),
			cmp.Compare(a.Account.Kind.String(), b.Account.Kind.String()), cmp.Compare(a.AccountSeq, b.AccountSeq),
			cmp.Compare(a.TxID, b.TxID), cmp.Compare(a.Line, b.Line),
		)
	})
}
