package app

import (
	"context"
	"errors"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// pages is a store with so many journal lines; the rest of Store is not used.
type pages struct {
	Store

	lines int
	asked int
}

func (p *pages) Transactions(_ context.Context, q TransactionQuery, limit int) ([]Transaction, error) {
	var out []Transaction
	for i := p.lines; i >= 1 && len(out) < limit; i-- {
		if q.After.TxID == 0 || int64(i) < q.After.TxID {
			out = append(out, Transaction{TxID: int64(i), TimeMs: 5})
		}
	}
	return out, nil
}

func (p *pages) Wallets(context.Context, int64, string) ([]Wallet, error) {
	p.asked++
	return nil, nil
}

// never is a settlement that does not come so far.
type never struct{}

func (never) WaitApplied(ctx context.Context, _ string, _ int64) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestApp_Transactions(t *testing.T) {
	a := New(&pages{lines: 5}, never{}, clock.Real())
	t.Run("the last page has no token, also when it is full", func(t *testing.T) {
		for lines, want := range map[int]bool{4: false, 5: false, 6: true} {
			a := New(&pages{lines: lines}, never{}, clock.Real())
			got, next, err := a.Transactions(t.Context(), TransactionQuery{MemberID: 1}, 5, "")
			if err != nil || (next != "") != want || len(got) != min(lines, 5) {
				t.Errorf("%d lines: %d and token %q, %v", lines, len(got), next, err)
			}
		}
	})
	t.Run("a token leads to what follows", func(t *testing.T) {
		_, next, err := a.Transactions(t.Context(), TransactionQuery{MemberID: 1}, 3, "")
		if err != nil {
			t.Fatal(err)
		}
		got, next, err := a.Transactions(t.Context(), TransactionQuery{MemberID: 1}, 3, next)
		if err != nil || len(got) != 2 || got[0].TxID != 2 || next != "" {
			t.Fatal(got, next, err)
		}
	})
	t.Run("a token that is not one of ours is refused", func(t *testing.T) {
		for _, token := range []string{"x", "!", "MS4yLjM=", "LTEuLTEuLTE", "MS4wLjA"} {
			if _, _, err := a.Transactions(t.Context(), TransactionQuery{MemberID: 1}, 3, token); errs.CodeOf(err) != errs.CodeBadRequest {
				t.Errorf("%q: %v", token, err)
			}
		}
	})
	t.Run("a page has 1 to 500 lines", func(t *testing.T) {
		for _, size := range []int{-1, 501} {
			if _, _, err := a.Transactions(t.Context(), TransactionQuery{MemberID: 1}, size, ""); errs.CodeOf(err) != errs.CodeBadRequest {
				t.Errorf("%d: %v", size, err)
			}
		}
	})
}

func TestApp_Wallets(t *testing.T) {
	t.Run("a read that waits for a settlement gives up after a second and reads nothing", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(0))
		store := &pages{}
		a := New(store, never{}, clk)
		done := make(chan error, 1)
		go func() {
			_, err := a.Wallets(t.Context(), 1, "", []Position{{Symbol: "A/B", Seq: 1}})
			done <- err
		}()
		for {
			select {
			case err := <-done:
				if !errors.Is(err, ErrBehind) && errs.CodeOf(err) != errs.CodeUnavailable || store.asked != 0 {
					t.Fatal(err, store.asked)
				}
				if clk.NowMs() < 1000 {
					t.Fatalf("gave up after %d ms", clk.NowMs())
				}
				return
			default:
				clk.Advance(100 * time.Millisecond)
			}
		}
	})
	t.Run("a read names a bounded number of positions", func(t *testing.T) {
		a := New(&pages{}, never{}, clock.Real())
		if _, err := a.Wallets(t.Context(), 1, "", make([]Position, 65)); errs.CodeOf(err) != errs.CodeBadRequest {
			t.Fatal(err)
		}
	})
}

func TestHoldRequest_Hash(t *testing.T) {
	t.Run("every field of a request makes another hash", func(t *testing.T) {
		base := HoldRequest{OrderID: 1, MemberID: 2, Coin: "AB", Symbol: "C/D", Amount: 3, MinAmount: 3}
		seen := map[string]bool{string(base.Hash()): true}
		for _, change := range []func(*HoldRequest){
			func(r *HoldRequest) { r.OrderID++ }, func(r *HoldRequest) { r.MemberID++ }, func(r *HoldRequest) { r.Coin = "ABC" },
			func(r *HoldRequest) { r.Coin, r.Symbol = "ABC", "/D" }, func(r *HoldRequest) { r.Symbol = "C/E" },
			func(r *HoldRequest) { r.Amount++ }, func(r *HoldRequest) { r.MinAmount-- },
		} {
			r := base
			change(&r)
			if seen[string(r.Hash())] {
				t.Errorf("%+v has the hash of another", r)
			}
			seen[string(r.Hash())] = true
		}
	})
}
