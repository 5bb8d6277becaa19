package reconcile_test

import (
	"slices"
	"strings"
	"testing"

	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/reconciletest"
)

func books(t testing.TB, pairs int) *reconcile.Facts {
	t.Helper()
	f, err := reconciletest.Facts(pairs)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCheck_Clean(t *testing.T) {
	t.Run("right books have no discrepancy", func(t *testing.T) {
		r := reconcile.Check(books(t, 100))
		if r.Found != 0 {
			t.Fatalf("%d false alarms: %+v", r.Found, r.Discrepancies[0])
		}
		if r.Counts.Holds != 200 || r.Counts.Trades != 75 || len(r.Totals) != 2 || r.Totals[0].World != -200_000_000 || r.Totals[1].Fee == 0 {
			t.Fatalf("%+v", r)
		}
	})
	t.Run("an order store that is ahead of the wallet is no discrepancy", func(t *testing.T) {
		f := books(t, 12)
		ahead := f.Frame.Stored[reconciletest.Symbol]
		ahead.Seq += 2
		f.Frame.Stored[reconciletest.Symbol] = ahead
		// The open pair (order 8) trades in records that the wallet has not settled yet.
		i := slices.IndexFunc(f.Orders, func(o reconcile.Order) bool { return o.OrderID == 8 })
		o := &f.Orders[i]
		o.Seq, o.HeldRemaining, o.Facts = ahead.Seq, 990, ledger.Facts{Traded: 10, Turnover: 900}
		last := f.Trades[len(f.Trades)-1]
		f.Trades = append(f.Trades, reconcile.Trade{
			Symbol: last.Symbol, TradeID: last.TradeID + 1, Seq: ahead.Seq, Quantity: 10, Turnover: 900, MakerOrderID: 8, TakerOrderID: 999, MakerMemberID: reconciletest.Seller, TakerMemberID: 5,
		})
		f.Orders = append(f.Orders, reconcile.Order{OrderID: 999, MemberID: 5, Symbol: last.Symbol, HoldCoin: "USDT", HoldAmount: 900, Seq: ahead.Seq})
		if r := reconcile.Check(f); r.Found != 0 || r.Counts.OrdersAhead != 2 || r.Counts.TradesAhead != 1 {
			t.Fatalf("%+v", r)
		}
	})
	t.Run("an intent that has no hold yet is no discrepancy", func(t *testing.T) {
		f := books(t, 4)
		f.Orders = append(f.Orders, reconcile.Order{OrderID: 500, MemberID: 7, Symbol: reconciletest.Symbol, HoldCoin: "USDT", HoldAmount: 10, HeldRemaining: 10})
		if r := reconcile.Check(f); r.Found != 0 {
			t.Fatalf("%+v", r.Discrepancies)
		}
	})
	t.Run("a tombstone and a refused hold are no discrepancies", func(t *testing.T) {
		f := books(t, 4)
		f.Holds = append(f.Holds,
			ledger.Hold{OrderID: 500, MemberID: 7, Symbol: reconciletest.Symbol, State: ledger.HoldTombstone, Seq: 3},
			ledger.Hold{OrderID: 501, MemberID: 7, Coin: "USDT", Symbol: reconciletest.Symbol, State: ledger.HoldRefused})
		if r := reconcile.Check(f); r.Found != 0 {
			t.Fatalf("%+v", r.Discrepancies)
		}
	})
}

// line returns the first line of that kind.
func line(f *reconcile.Facts, kind ledger.AccountKind, reason ledger.Reason) *reconcile.Line {
	i := slices.IndexFunc(f.Lines, func(l reconcile.Line) bool { return l.Account.Kind == kind && l.Reason == reason })
	return &f.Lines[i]
}

func drop[T any](s []T, i int) []T { return slices.Delete(slices.Clone(s), i, i+1) }

// Every kind of damage is found in one pass, by its check, at its place.
func TestCheck_Damage(t *testing.T) {
	const symbol = reconciletest.Symbol
	tests := []struct {
		damage string
		do     func(f *reconcile.Facts)
		check  string
		what   string
		where  string
	}{
		{"a flipped amount in the journal", func(f *reconcile.Facts) { l := line(f, ledger.Available, ledger.ReasonTrade); l.Amount++ }, "C1", "sum to zero", "transaction"},
		{"a flipped amount breaks the account's chain", func(f *reconcile.Facts) { l := line(f, ledger.Available, ledger.ReasonTrade); l.Amount++ }, "C2", "balance after", "AVAILABLE/7/BTC"},
		{"a deleted journal line", func(f *reconcile.Facts) {
			f.Lines = drop(f.Lines, slices.IndexFunc(f.Lines, func(l reconcile.Line) bool { return l.Account.Kind == ledger.Held }))
		}, "C1", "does not sum to zero", "transaction 5"},
		{"a deleted transaction", func(f *reconcile.Facts) {
			id := line(f, ledger.Available, ledger.ReasonTrade).TxID
			f.Lines = slices.DeleteFunc(f.Lines, func(l reconcile.Line) bool { return l.TxID == id })
		}, "C2", "gap", "AVAILABLE/7/BTC"},
		{"a record settled twice", func(f *reconcile.Facts) {
			id := line(f, ledger.Available, ledger.ReasonTrade).TxID
			for _, l := range slices.Clone(f.Lines) {
				if l.TxID == id {
					l.TxID = 1_000_000
					f.Lines = append(f.Lines, l)
				}
			}
			reconciletest.SortLines(f.Lines)
		}, "C7", "two transactions", symbol + " record"},
		{"a wallet row that drifted", func(f *reconcile.Facts) { f.Wallets[0].Available += 5 }, "C2", "not where its journal ends", "AVAILABLE/7/BTC"},
		{"a wallet row whose held money drifted", func(f *reconcile.Facts) { f.Wallets[1].Held -= 5 }, "C4", "open holds", "member 7"},
		{"a drifted wallet row breaks the sum of everything", func(f *reconcile.Facts) { f.Wallets[0].Available += 5 }, "C3", "sum to zero", "all accounts"},
		{"a deleted wallet row", func(f *reconcile.Facts) { f.Wallets = drop(f.Wallets, 2) }, "C2", "without a wallet row", "member 8"},
		{"money moved between two members behind the journal", func(f *reconcile.Facts) { f.Wallets[0].Available++; f.Wallets[2].Available-- }, "C2", "not where its journal ends", "AVAILABLE/8/BTC"},
		{"a hold that is too large", func(f *reconcile.Facts) { f.Holds[6].Held++ }, "C4", "held something else", "order 7"},
		{"a hold that was consumed without a trade", func(f *reconcile.Facts) { f.Holds[6].Consumed++ }, "C5", "consumed something else", "order 7"},
		{"a hold that was released behind the journal", func(f *reconcile.Facts) { f.Holds[6].Released++ }, "C4", "released something else", "order 7"},
		{"a hold closed with money in it", func(f *reconcile.Facts) { f.Holds[6].State = ledger.HoldClosed }, "C4", "contradicts itself", "order 7"},
		{"a hold of another member", func(f *reconcile.Facts) { f.Holds[0].MemberID = reconciletest.Seller }, "C5", "another member", "order 1"},
		{"a deleted hold", func(f *reconcile.Facts) { f.Holds = drop(f.Holds, 0) }, "C5", "order has no hold", "order 1"},
		{"a deleted order", func(f *reconcile.Facts) { f.Orders = drop(f.Orders, 0) }, "C5", "hold has no order", "order 1"},
		{"an order whose traded amount was altered", func(f *reconcile.Facts) { f.Orders[0].Facts.Traded-- }, "C5", "traded amount is not the order's", "order 1"},
		{"an order whose fee was altered", func(f *reconcile.Facts) { f.Orders[0].Facts.Fee = 0 }, "C5", "fee is not the order's", "order 1"},
		{"an order that needs another remainder", func(f *reconcile.Facts) { f.Orders[6].HeldRemaining-- }, "C5", "left", "order 7"},
		{"an order store that lost an update", func(f *reconcile.Facts) { f.Orders[0].Seq = 0; f.Orders[0].Facts = ledger.Facts{} }, "C5", "has not applied", "order 1"},
		{"a missing trade", func(f *reconcile.Facts) { f.Trades = drop(f.Trades, 1) }, "C7", "gap", symbol + " trade 3"},
		{"a missing last trade", func(f *reconcile.Facts) { f.Trades = f.Trades[:len(f.Trades)-1] }, "C5", "sum of the trades", "order"},
		{"a trade whose quantity was altered", func(f *reconcile.Facts) { f.Trades[0].Quantity++ }, "C5", "traded amount is not the sum", "order 1"},
		{"a trade whose turnover was altered", func(f *reconcile.Facts) { f.Trades[0].Turnover-- }, "C5", "turnover is not the sum", "order 2"},
		{"a trade whose fee was altered", func(f *reconcile.Facts) { f.Trades[0].MakerFee++ }, "C9", "sum of the fees charged", symbol},
		{"a trade of a swapped member", func(f *reconcile.Facts) { f.Trades[0].MakerMemberID = 99 }, "C5", "names another member", symbol + " trade 1"},
		{"a trade that the wallet never settled", func(f *reconcile.Facts) {
			last := f.Trades[len(f.Trades)-1]
			last.TradeID++
			last.Seq = f.Frame.Settled[symbol].Seq - 3
			f.Trades = append(f.Trades, last)
		}, "C5", "sum of the trades", "order"},
		{"a fee that went to a member instead", func(f *reconcile.Facts) {
			l := line(f, ledger.Fee, ledger.ReasonFee)
			l.Account = ledger.AvailableOf(reconciletest.Seller, l.Account.Coin)
			reconciletest.SortLines(f.Lines)
		}, "C9", "sum of the fees charged", symbol},
		{"a journal line booked to another order", func(f *reconcile.Facts) { line(f, ledger.Held, ledger.ReasonTrade).OrderID = 2 }, "C4", "not its", "order 2"},
		{"a deposit that was altered", func(f *reconcile.Facts) { f.Transfers[0].Amount++ }, "C3", "not what crossed the border", "deposit-7-BTC"},
		{"a deposit credited to another member", func(f *reconcile.Facts) { f.Transfers[0].Account.MemberID = 99 }, "C3", "another account", "deposit-7-BTC"},
		{"a deposit that was deleted", func(f *reconcile.Facts) { f.Transfers = drop(f.Transfers, 0) }, "C3", "without a deposit", "transaction 1"},
		{"an order store that is behind the wallet", func(f *reconcile.Facts) { f.Frame.Stored[symbol] = reconcile.Position{Seq: 1} }, "C7", "behind", symbol},
		{"two services that applied different records", func(f *reconcile.Facts) {
			p := f.Frame.Stored[symbol]
			p.Hash = "x"
			f.Frame.Stored[symbol] = p
		}, "C7", "different records", symbol},
		{"a wallet position that was set back", func(f *reconcile.Facts) {
			f.Frame.Settled[symbol] = reconcile.Position{Seq: f.Frame.Settled[symbol].Seq - 1, Hash: "g"}
		}, "C7", "not settled", "order"},
	}
	for _, tt := range tests {
		t.Run(tt.damage, func(t *testing.T) {
			f := books(t, 12)
			f.Frame.Stored = map[string]reconcile.Position{symbol: f.Frame.Stored[symbol]}
			tt.do(f)
			scanned, _ := scan(t, f, 1)
			for way, r := range map[string]reconcile.Report{"one by one": reconcile.Check(f), "by sketch": scanned} {
				if !slices.ContainsFunc(r.Discrepancies, func(d reconcile.Discrepancy) bool {
					return d.Check == tt.check && strings.Contains(d.What, tt.what) && strings.Contains(d.Where, tt.where)
				}) {
					t.Errorf("%s: no %s %q at %q in %d discrepancies:", way, tt.check, tt.what, tt.where, r.Found)
					for _, d := range r.Discrepancies {
						t.Errorf("%+v", d)
					}
				}
			}
		})
	}
}

func TestCheck_Bounds(t *testing.T) {
	t.Run("a report lists a bounded number and counts them all", func(t *testing.T) {
		f := books(t, 400)
		for i := range f.Orders {
			f.Orders[i].Facts.Traded++
			f.Orders[i].Facts.Turnover++
		}
		r := reconcile.Check(f)
		if len(r.Discrepancies) != reconcile.MaxListed || r.Found != 1600 {
			t.Fatalf("%d listed, %d found", len(r.Discrepancies), r.Found)
		}
	})
}
