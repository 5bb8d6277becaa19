package solvency_test

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"mscoin/mscoin-common/money"
	"mscoin/wallet/solvency"
)

func nonce(member int64) [solvency.Size]byte {
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("secret"), uint64(member)))
}

func tree(t testing.TB, amounts ...int64) *solvency.Tree {
	t.Helper()
	var balances []solvency.Balance
	for i, a := range amounts {
		balances = append(balances, solvency.Balance{MemberID: int64(i + 1), Amount: a})
	}
	tr, err := solvency.Build("BTC", 1000, balances, nonce)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// A tree of three members, and what the second can verify.
func Example() {
	t, _ := solvency.Build("BTC", 1000, []solvency.Balance{{MemberID: 1, Amount: 50}, {MemberID: 2, Amount: 30}, {MemberID: 3, Amount: 20}}, nonce)
	proof, _ := t.Proof(2)
	fmt.Println(t.Root().Total, proof.Amount, solvency.Verify(t.Root(), proof))
	proof.Amount = 31
	fmt.Println(solvency.Verify(t.Root(), proof))
	// Output:
	// 100 30 <nil>
	// solvency: proof does not lead to the root
}

func TestTree_Proof(t *testing.T) {
	for n := range 40 {
		t.Run(fmt.Sprintf("each of %d members can verify its balance, and the total is the sum", n), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(n), 1))
			var amounts []int64
			var total int64
			for range n {
				amounts = append(amounts, rng.Int64N(1000))
				total += amounts[len(amounts)-1]
			}
			tr := tree(t, amounts...)
			if r := tr.Root(); r.Total != total || r.Members != int64(n) {
				t.Fatalf("%+v, want %d", r, total)
			}
			for i := range amounts {
				p, ok := tr.Proof(int64(i + 1))
				if !ok || p.Amount != amounts[i] {
					t.Fatalf("member %d: %+v", i+1, p)
				}
				if err := solvency.Verify(tr.Root(), p); err != nil {
					t.Fatal(err)
				}
			}
			if _, ok := tr.Proof(int64(n + 1)); ok {
				t.Error("a stranger has a proof")
			}
		})
	}
}

func TestBuild_Refuses(t *testing.T) {
	tests := []struct {
		rule     string
		balances []solvency.Balance
		want     error
	}{
		{"a negative balance, which would hide a debt", []solvency.Balance{{1, 50}, {2, -50}}, solvency.ErrBadBalance},
		{"a member named twice", []solvency.Balance{{1, 50}, {1, 50}}, solvency.ErrBadBalance},
		{"a total beyond the range", []solvency.Balance{{1, math.MaxInt64}, {2, 1}}, money.ErrRange},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			if _, err := solvency.Build("BTC", 1, tt.balances, nonce); !errors.Is(err, tt.want) {
				t.Fatal(err)
			}
		})
	}
}

func TestVerify_Refuses(t *testing.T) {
	tests := []struct {
		rule string
		do   func(r *solvency.Root, p *solvency.Proof)
		want error
	}{
		{"another amount", func(_ *solvency.Root, p *solvency.Proof) { p.Amount++ }, solvency.ErrNotProved},
		{"another member", func(_ *solvency.Root, p *solvency.Proof) { p.MemberID++ }, solvency.ErrNotProved},
		{"another nonce", func(_ *solvency.Root, p *solvency.Proof) { p.Nonce[0]++ }, solvency.ErrNotProved},
		{"another total", func(r *solvency.Root, _ *solvency.Proof) { r.Total-- }, solvency.ErrNotProved},
		{"another root", func(r *solvency.Root, _ *solvency.Proof) { r.Hash[0]++ }, solvency.ErrNotProved},
		{"another coin", func(r *solvency.Root, _ *solvency.Proof) { r.Coin = "ETH" }, solvency.ErrOtherRoot},
		{"another time", func(r *solvency.Root, _ *solvency.Proof) { r.AtMs++ }, solvency.ErrOtherRoot},
		{"a branch that was left out", func(_ *solvency.Root, p *solvency.Proof) { p.Steps = p.Steps[1:] }, solvency.ErrNotProved},
		{"a branch on the other side", func(_ *solvency.Root, p *solvency.Proof) { p.Steps[0].Left = !p.Steps[0].Left }, solvency.ErrNotProved},
		{"sums moved between two branches of the same total", func(_ *solvency.Root, p *solvency.Proof) { p.Steps[0].Sum++; p.Steps[1].Sum-- }, solvency.ErrNotProved},
		{"a negative branch", func(_ *solvency.Root, p *solvency.Proof) { p.Steps[0].Sum = -1 }, solvency.ErrMalformed},
		{"sums that overflow", func(_ *solvency.Root, p *solvency.Proof) { p.Steps[0].Sum = math.MaxInt64; p.Amount = 1 }, solvency.ErrMalformed},
		{"a proof without end", func(_ *solvency.Root, p *solvency.Proof) { p.Steps = make([]solvency.Step, 1000) }, solvency.ErrMalformed},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			tr := tree(t, 10, 20, 30, 40, 50)
			root := tr.Root()
			for member := int64(1); member <= 5; member++ {
				p, _ := tr.Proof(member)
				if len(p.Steps) < 2 {
					continue // the odd one out goes up alone
				}
				r := root
				tt.do(&r, &p)
				if err := solvency.Verify(r, p); !errors.Is(err, tt.want) {
					t.Fatalf("member %d: %v", member, err)
				}
			}
		})
	}
}

func FuzzParseProof(f *testing.F) {
	tr := tree(f, 10, 20, 30)
	for member := range int64(3) {
		p, _ := tr.Proof(member + 1)
		f.Add(p.String())
	}
	f.Add(tr.Root().String())
	f.Fuzz(func(t *testing.T, line string) {
		if p, err := solvency.ParseProof(line); err == nil && p.String() != line {
			t.Fatalf("%q is written %q", line, p)
		}
		if r, err := solvency.ParseRoot(line); err == nil && r.String() != line {
			t.Fatalf("%q is written %q", line, r)
		}
	})
}

func TestParse(t *testing.T) {
	t.Run("what was written is read again", func(t *testing.T) {
		tr := tree(t, 10, 20, 30, 0)
		p, _ := tr.Proof(3)
		again, err := solvency.ParseProof(p.String())
		if err != nil || solvency.Verify(tr.Root(), again) != nil {
			t.Fatal(err)
		}
		if root, err := solvency.ParseRoot(tr.Root().String()); err != nil || root != tr.Root() {
			t.Fatal(err)
		}
	})
	t.Run("anything else is refused", func(t *testing.T) {
		for _, line := range []string{"", "root", "proof BTC 1 2 3", "proof BTC 1 2 3 zz", "root BTC 1 2 3 00"} {
			if _, err := solvency.ParseProof(line); !errors.Is(err, solvency.ErrMalformed) {
				t.Errorf("%q: %v", line, err)
			}
			if _, err := solvency.ParseRoot(line); !errors.Is(err, solvency.ErrMalformed) {
				t.Errorf("%q: %v", line, err)
			}
		}
	})
}
