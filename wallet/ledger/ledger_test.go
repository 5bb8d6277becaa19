package ledger_test

import (
	"errors"
	"math"
	"testing"

	"mscoin/mscoin-common/money"
	"mscoin/wallet/ledger"
)

var source = ledger.Source{Symbol: "BTC/USDT", TimeMs: 1000}

func TestNewEntry(t *testing.T) {
	post := func(a ledger.Account, amount int64) ledger.Posting {
		return ledger.Posting{Account: a, Amount: amount, Reason: ledger.ReasonTrade, OrderID: 1}
	}
	btc, usdt := ledger.AvailableOf(7, "BTC"), ledger.AvailableOf(7, "USDT")
	tests := []struct {
		rule     string
		postings []ledger.Posting
		want     error
	}{
		{"postings that sum to zero are an entry", []ledger.Posting{post(btc, -5), post(ledger.FeeOf("BTC"), 5)}, nil},
		{"no postings are an empty entry", nil, nil},
		{"one side alone is refused", []ledger.Posting{post(btc, 5)}, ledger.ErrUnbalanced},
		{"coins do not balance each other", []ledger.Posting{post(btc, 5), post(usdt, -5)}, ledger.ErrUnbalanced},
		{"every coin must balance", []ledger.Posting{post(btc, -5), post(ledger.FeeOf("BTC"), 5), post(usdt, -1)}, ledger.ErrUnbalanced},
		{"a sum that overflows is refused, not wrapped", []ledger.Posting{post(btc, math.MaxInt64), post(btc, 1), post(btc, math.MinInt64)}, money.ErrRange},
		{"a zero amount is no posting", []ledger.Posting{post(btc, 0)}, ledger.ErrBadPosting},
		{"a member account has a member", []ledger.Posting{post(ledger.AvailableOf(0, "BTC"), 1)}, ledger.ErrBadAccount},
		{"a house account has no member", []ledger.Posting{post(ledger.Account{Kind: ledger.Fee, MemberID: 3, Coin: "BTC"}, 1)}, ledger.ErrBadAccount},
		{"an account has a coin", []ledger.Posting{post(ledger.FeeOf(""), 1)}, ledger.ErrBadAccount},
		{"a posting has a reason", []ledger.Posting{{Account: btc, Amount: 1}}, ledger.ErrBadPosting},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			entry, err := ledger.NewEntry(source, tt.postings...)
			if !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if err != nil && entry.Len() != 0 {
				t.Fatalf("a refused entry holds %d postings", entry.Len())
			}
		})
	}
	t.Run("an entry does not change with the slice it was made of", func(t *testing.T) {
		postings := []ledger.Posting{post(btc, -5), post(ledger.FeeOf("BTC"), 5)}
		entry, err := ledger.NewEntry(source, postings...)
		if err != nil {
			t.Fatal(err)
		}
		postings[0].Amount = -50
		if entry.Postings()[0].Amount != -5 {
			t.Fatal("the entry is unbalanced now")
		}
	})
}

func TestBalances_Post(t *testing.T) {
	key := ledger.WalletKey{MemberID: 7, Coin: "USDT"}
	load := func() *ledger.Balances {
		b := ledger.NewBalances()
		b.Load(key, ledger.Wallet{Available: ledger.Chain{Balance: 100, Seq: 4}, Exists: true})
		return b
	}
	move := func(t *testing.T, amount int64) ledger.Entry {
		t.Helper()
		e, err := ledger.Move(source, ledger.ReasonHold, 9, ledger.AvailableOf(7, "USDT"), ledger.HeldOf(7, "USDT"), amount)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	t.Run("lines are numbered within the transaction and the account", func(t *testing.T) {
		b := load()
		lines, err := b.Post(50, move(t, 30), nil)
		if err != nil || len(lines) != 2 {
			t.Fatalf("%d lines, error %v", len(lines), err)
		}
		if l := lines[0]; l.TxID != 50 || l.Line != 0 || l.AccountSeq != 5 || l.BalanceAfter != 70 {
			t.Errorf("available line %+v", l)
		}
		if l := lines[1]; l.Line != 1 || l.AccountSeq != 1 || l.BalanceAfter != 30 {
			t.Errorf("held line %+v", l)
		}
		if w, _ := b.Wallet(key); !w.Changed || w.UpdatedMs != 1000 {
			t.Errorf("wallet %+v", w)
		}
	})
	t.Run("the whole balance may be spent", func(t *testing.T) {
		if _, err := load().Post(50, move(t, 100), nil); err != nil {
			t.Fatal(err)
		}
	})
	t.Run("one unit more than there is changes nothing", func(t *testing.T) {
		b := load()
		lines, err := b.Post(50, move(t, 101), nil)
		if !errors.Is(err, ledger.ErrNegative) || len(lines) != 0 {
			t.Fatalf("%d lines, error %v", len(lines), err)
		}
		if w, _ := b.Wallet(key); w.Changed || w.Available.Balance != 100 || w.Available.Seq != 4 {
			t.Errorf("wallet %+v", w)
		}
	})
	t.Run("an entry that fails at a later line is undone whole", func(t *testing.T) {
		b := load()
		e, err := ledger.Move(source, ledger.ReasonTrade, 9, ledger.AvailableOf(7, "USDT"), ledger.AvailableOf(8, "USDT"), 10)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Post(50, e, nil); !errors.Is(err, ledger.ErrNotLoaded) {
			t.Fatalf("error %v", err)
		}
		if w, _ := b.Wallet(key); w.Available != (ledger.Chain{Balance: 100, Seq: 4}) {
			t.Errorf("wallet %+v", w)
		}
	})
}

func TestAmountToHold(t *testing.T) {
	tests := []struct {
		rule                     string
		available, amount, least int64
		hold                     int64
		ok                       bool
	}{
		{"enough money holds the amount", 100, 40, 40, 40, true},
		{"the full balance may be spent", 100, 100, 100, 100, true},
		{"one unit short is refused", 99, 100, 100, 0, false},
		{"with a smaller minimum all there is is held", 99, 100, 50, 99, true},
		{"below the minimum is refused", 49, 100, 50, 0, false},
		{"nothing cannot be held", 0, 100, 0, 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			hold, ok := ledger.AmountToHold(tt.available, tt.amount, tt.least)
			if ok != tt.ok || ok && hold != tt.hold {
				t.Fatalf("got %d %t", hold, ok)
			}
		})
	}
}

func TestHold_Settle(t *testing.T) {
	open := func() *ledger.Hold {
		return &ledger.Hold{OrderID: 1, MemberID: 7, Coin: "USDT", Symbol: "BTC/USDT", Held: 100}
	}
	tests := []struct {
		rule                string
		before              func(h *ledger.Hold)
		consumed, remaining int64
		final               bool
		want                ledger.Change
		state               ledger.HoldState
		bad                 bool
	}{
		{"a resting order keeps its hold", nil, 0, 100, false, ledger.Change{}, ledger.HoldOpen, false},
		{"a fill at a better price releases the difference", nil, 40, 50, false, ledger.Change{Consumed: 40, Released: 10}, ledger.HoldOpen, false},
		{"the end releases what was not consumed", nil, 40, 0, true, ledger.Change{Consumed: 40, Released: 60}, ledger.HoldClosed, false},
		{"a repeated word moves nothing", func(h *ledger.Hold) { h.Consumed, h.Released, h.State = 40, 60, ledger.HoldClosed }, 40, 0, true, ledger.Change{}, ledger.HoldClosed, false},
		{"a refused hold stays refused when its order is rejected", func(h *ledger.Hold) { h.Held, h.State = 0, ledger.HoldRefused }, 0, 0, true, ledger.Change{}, ledger.HoldRefused, false},
		{"spending more than is held is broken", nil, 101, 0, true, ledger.Change{}, 0, true},
		{"spending and keeping more than is held is broken", nil, 60, 41, false, ledger.Change{}, 0, true},
		{"consumed money does not come back", func(h *ledger.Hold) { h.Consumed = 40 }, 39, 61, false, ledger.Change{}, 0, true},
		{"released money does not come back", func(h *ledger.Hold) { h.Released = 10 }, 0, 100, false, ledger.Change{}, 0, true},
		{"an ended order keeps nothing", nil, 40, 1, true, ledger.Change{}, 0, true},
		{"a closed hold has no living order", func(h *ledger.Hold) { h.Released, h.State = 100, ledger.HoldClosed }, 0, 0, false, ledger.Change{}, 0, true},
		{"negative amounts are broken", nil, -1, 101, false, ledger.Change{}, 0, true},
		{"amounts that overflow are broken", nil, math.MaxInt64, math.MaxInt64, false, ledger.Change{}, 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			h := open()
			if tt.before != nil {
				tt.before(h)
			}
			before := *h
			got, err := h.Settle(tt.consumed, tt.remaining, tt.final)
			if tt.bad {
				if !errors.Is(err, ledger.ErrBadHold) || *h != before {
					t.Fatalf("error %v, hold %+v", err, *h)
				}
				return
			}
			if err != nil || got != tt.want || h.State != tt.state {
				t.Fatalf("change %+v state %s error %v", got, h.State, err)
			}
			if err := h.Validate(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestHold_Cancel(t *testing.T) {
	h := &ledger.Hold{OrderID: 1, MemberID: 7, Coin: "USDT", Symbol: "BTC/USDT", Held: 100}
	t.Run("the whole hold returns", func(t *testing.T) {
		e, err := h.Cancel(5)
		if err != nil || e.Len() != 2 || e.Postings()[1].Amount != 100 || h.State != ledger.HoldClosed || h.Remaining() != 0 {
			t.Fatalf("entry %+v hold %+v error %v", e, h, err)
		}
	})
	t.Run("a closed hold returns nothing again", func(t *testing.T) {
		if _, err := h.Cancel(5); !errors.Is(err, ledger.ErrBadHold) {
			t.Fatal(err)
		}
	})
	t.Run("a hold that the matcher has spoken of is not cancelled", func(t *testing.T) {
		h := &ledger.Hold{OrderID: 1, MemberID: 7, Coin: "USDT", Held: 100, Seq: 3}
		if _, err := h.Cancel(5); !errors.Is(err, ledger.ErrBadHold) {
			t.Fatal(err)
		}
	})
}

func TestAccountKind(t *testing.T) {
	for k := ledger.Available; k <= ledger.World; k++ {
		if got, err := ledger.ParseAccountKind(k.String()); err != nil || got != k {
			t.Errorf("%s parses as %v, %v", k, got, err)
		}
	}
	if _, err := ledger.ParseAccountKind("CASH"); !errors.Is(err, ledger.ErrBadAccount) {
		t.Errorf("error %v", err)
	}
}
