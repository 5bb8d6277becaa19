package reconcile_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/reconciletest"
)

// memory reads facts as a database would.
type memory struct{ f *reconcile.Facts }

func each[T any](rows []T, yield func(T)) error {
	for _, r := range rows {
		yield(r)
	}
	return nil
}

func eachRef[T any](rows []T, yield func(*T)) error {
	for i := range rows {
		row := rows[i] // valid during the call only
		yield(&row)
	}
	return nil
}

func (m memory) Wallets(yield func(reconcile.Wallet)) error     { return each(m.f.Wallets, yield) }
func (m memory) Pending(yield func(reconcile.Pending)) error    { return each(m.f.Pending, yield) }
func (m memory) Transfers(yield func(reconcile.Transfer)) error { return each(m.f.Transfers, yield) }

func (m memory) Corrections(yield func(*reconcile.Correction)) error {
	return eachRef(m.f.Corrections, yield)
}

func (m memory) Trades(yield func(*reconcile.Trade)) error { return eachRef(m.f.Trades, yield) }

func (m memory) Holds(yield func(*ledger.Hold)) error {
	slices.SortStableFunc(m.f.Holds, func(a, b ledger.Hold) int { return cmp.Compare(a.OrderID, b.OrderID) })
	return eachRef(m.f.Holds, yield)
}

func (m memory) Orders(yield func(*reconcile.Order)) error {
	slices.SortStableFunc(m.f.Orders, func(a, b reconcile.Order) int { return cmp.Compare(a.OrderID, b.OrderID) })
	return eachRef(m.f.Orders, yield)
}

func (m memory) Lines(yield func(*reconcile.Line)) error {
	lines := slices.Clone(m.f.Lines)
	slices.SortStableFunc(lines, func(a, b reconcile.Line) int { return cmp.Or(cmp.Compare(a.TxID, b.TxID), cmp.Compare(a.Line, b.Line)) })
	return eachRef(lines, yield)
}

func (m memory) Chains(wanted func(int64) bool, yield func(*reconcile.Line)) error {
	lines := slices.DeleteFunc(slices.Clone(m.f.Lines), func(l reconcile.Line) bool { return !wanted(l.Account.MemberID) })
	reconciletest.SortLines(lines)
	return eachRef(lines, yield)
}

// scan is both passes: the sketch, then the suspects one by one.
func scan(t testing.TB, f *reconcile.Facts, seed uint64) (r reconcile.Report, suspects *reconcile.Suspects) {
	t.Helper()
	m, key := memory{f}, [2]uint64{seed, seed + 1}
	wallet, orders := reconcile.NewSketch(f.Frame, key), reconcile.NewSketch(f.Frame, key)
	unsure, err := orders.ReadOrderStore(m)
	if err != nil {
		t.Fatal(err)
	}
	if err := wallet.ReadBooks(m); err != nil {
		t.Fatal(err)
	}
	if err := wallet.ReadHolds(m, unsure); err != nil {
		t.Fatal(err)
	}
	wallet.Merge(orders)
	r, suspects = wallet.Finish()
	if suspects != nil {
		exact := reconcile.NewExact(f.Frame, suspects)
		if err := exact.Read(m, m); err != nil {
			t.Fatal(err)
		}
		second := exact.Finish()
		r.Join(&second)
	}
	return r, suspects
}

func TestSketch_Clean(t *testing.T) {
	t.Run("right books leave nothing to look into", func(t *testing.T) {
		f := books(t, 400)
		f.Orders = append(f.Orders,
			reconcile.Order{OrderID: 5000, MemberID: 7, Symbol: reconciletest.Symbol, HoldCoin: "USDT", HoldAmount: 10},                         // an intent
			reconcile.Order{OrderID: 5001, MemberID: 7, Symbol: reconciletest.Symbol, HoldCoin: "USDT", HoldAmount: 10, Seq: 3, Rejected: true}) // refused by the matcher
		f.Holds = append(f.Holds, ledger.Hold{OrderID: 5001, MemberID: 7, Symbol: reconciletest.Symbol, State: ledger.HoldTombstone, Seq: 3})
		r, suspects := scan(t, f, 1)
		if r.Found != 0 || suspects != nil {
			t.Fatalf("%d found: %+v, suspects %+v", r.Found, r.Discrepancies, suspects)
		}
		want := reconcile.Check(f)
		if !slices.Equal(r.Totals, want.Totals) || r.Counts != want.Counts {
			t.Fatalf("%+v, want %+v", r, want)
		}
	})
	t.Run("an order store that is ahead leaves nothing to look into", func(t *testing.T) {
		f := books(t, 12)
		ahead := f.Frame.Stored[reconciletest.Symbol]
		ahead.Seq += 2
		f.Frame.Stored[reconciletest.Symbol] = ahead
		for i := range f.Orders {
			if f.Orders[i].OrderID == 8 {
				f.Orders[i].Seq, f.Orders[i].HeldRemaining = ahead.Seq, 990
			}
		}
		if r, suspects := scan(t, f, 1); r.Found != 0 || suspects != nil {
			t.Fatalf("%+v", r.Discrepancies)
		}
	})
}

// Both find the same in books that are damaged at random.
func TestSketch_FindsWhatTheCheckerFinds(t *testing.T) {
	for seed := range uint64(500) {
		rng := rand.New(rand.NewPCG(seed, 0))
		f := books(t, 12)
		what := damage(f, rng)
		want := reconcile.Check(f)
		got, _ := scan(t, f, seed)
		missing := slices.DeleteFunc(slices.Clone(want.Discrepancies), func(d reconcile.Discrepancy) bool {
			return slices.ContainsFunc(got.Discrepancies, func(g reconcile.Discrepancy) bool {
				if strings.HasPrefix(d.What, "journal books the order") { // which of several lines is named is not fixed
					return g.What == d.What && strings.HasPrefix(g.Where, d.Where[:strings.Index(d.Where, ",")])
				}
				return g.Check == d.Check && g.What == d.What && g.Where == d.Where && g.Coin == d.Coin && g.Got == d.Got
			})
		})
		missing = slices.DeleteFunc(missing, func(d reconcile.Discrepancy) bool {
			// Counted against the line before instead of the number of all; or the
			// record's other half is named, with the same names.
			return d.What == "transaction has lost or gained lines" || d.What == "record was settled by two transactions"
		})
		if len(missing) > 0 || want.Found > 0 && got.Found == 0 {
			t.Fatalf("seed %d, %s: not found: %+v\nfound: %+v", seed, what, missing, got.Discrepancies)
		}
	}
}

// damage alters, deletes or doubles one fact.
func damage(f *reconcile.Facts, rng *rand.Rand) string {
	d := rng.Int64N(5) + 1
	switch rng.IntN(18) {
	case 0:
		f.Lines[rng.IntN(len(f.Lines))].Amount += d
		return "amount of a line"
	case 1:
		f.Lines = drop(f.Lines, rng.IntN(len(f.Lines)))
		return "line deleted"
	case 2:
		f.Lines[rng.IntN(len(f.Lines))].BalanceAfter += d
		return "balance after"
	case 3:
		f.Lines[rng.IntN(len(f.Lines))].AccountSeq += d
		reconciletest.SortLines(f.Lines)
		return "account sequence"
	case 4:
		f.Lines[rng.IntN(len(f.Lines))].OrderID += d
		return "line of another order"
	case 5:
		l := &f.Lines[rng.IntN(len(f.Lines))]
		if l.Account.Kind.OfMember() {
			l.Account.MemberID = 15 - l.Account.MemberID
		}
		reconciletest.SortLines(f.Lines)
		return "line of another member"
	case 6:
		f.Wallets[rng.IntN(len(f.Wallets))].Available += d
		return "available"
	case 7:
		f.Wallets[rng.IntN(len(f.Wallets))].Held += d
		return "held"
	case 8:
		f.Wallets = drop(f.Wallets, rng.IntN(len(f.Wallets)))
		return "wallet deleted"
	case 9:
		h := &f.Holds[rng.IntN(len(f.Holds))]
		for _, n := range []*int64{&h.Held, &h.Consumed, &h.Released, &h.Facts.Traded, &h.Facts.Turnover, &h.Facts.Fee}[rng.IntN(6):][:1] {
			*n += d
		}
		return "hold altered"
	case 10:
		f.Holds = drop(f.Holds, rng.IntN(len(f.Holds)))
		return "hold deleted"
	case 11:
		o := &f.Orders[rng.IntN(len(f.Orders))]
		for _, n := range []*int64{&o.HeldRemaining, &o.Facts.Traded, &o.Facts.Turnover, &o.Facts.Fee, &o.MemberID}[rng.IntN(5):][:1] {
			*n += d
		}
		return "order altered"
	case 12:
		f.Orders = drop(f.Orders, rng.IntN(len(f.Orders)))
		return "order deleted"
	case 13:
		tr := &f.Trades[rng.IntN(len(f.Trades))]
		for _, n := range []*int64{&tr.Quantity, &tr.Turnover, &tr.MakerFee, &tr.TakerFee, &tr.MakerMemberID, &tr.TakerOrderID}[rng.IntN(6):][:1] {
			*n += d
		}
		return "trade altered"
	case 14:
		f.Trades = drop(f.Trades, rng.IntN(len(f.Trades)))
		return "trade deleted"
	case 15:
		f.Transfers[rng.IntN(len(f.Transfers))].Amount += d
		return "transfer altered"
	case 16:
		f.Transfers = drop(f.Transfers, rng.IntN(len(f.Transfers)))
		return "transfer deleted"
	default:
		settled := maps.Clone(f.Frame.Settled)
		p := settled[reconciletest.Symbol]
		p.Seq -= d
		settled[reconciletest.Symbol] = p
		f.Frame.Settled = settled
		return "position set back"
	}
}

func BenchmarkSketch_AddLine(b *testing.B) {
	f := books(b, 1000)
	s := reconcile.NewSketch(f.Frame, [2]uint64{1, 2})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		s.AddLine(&f.Lines[i%len(f.Lines)])
	}
}
