package simchain_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody"
	"mscoin/wallet/custody/simchain"
)

// controls are what only a simulated chain offers, next to the custody.
type controls interface {
	custody.Custody
	Pay(ctx context.Context, coin, id, to, amount string) (string, error)
	Mine(ctx context.Context, coin string, blocks int64) (custody.BlockID, error)
	Reorg(ctx context.Context, coin string, depth int64, drop bool) (custody.BlockID, error)
	Forget(ctx context.Context, coin, txID string) error
}

func open(t *testing.T, file string) *simchain.Node {
	t.Helper()
	n, err := simchain.Open(simchain.Config{File: file, Fees: map[string]string{"ETH": "0.002"}}, clock.Real())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close() })
	return n
}

// eachDoor runs a test in process and over HTTP.
func eachDoor(t *testing.T, test func(t *testing.T, c controls)) {
	t.Run("in process", func(t *testing.T) { test(t, open(t, filepath.Join(t.TempDir(), "chain.log"))) })
	t.Run("over HTTP", func(t *testing.T) {
		server := httptest.NewServer(simchain.Handler(open(t, filepath.Join(t.TempDir(), "chain.log")), "secret"))
		t.Cleanup(server.Close)
		c, err := simchain.NewClient(server.URL, "secret")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		test(t, c)
	})
}

// fund brings money to the owner's address, in a block of its own.
func fund(t *testing.T, c controls, coin, owner, amount string) (address, txID string) {
	t.Helper()
	ctx := t.Context()
	address, err := c.Address(ctx, coin, owner)
	if err != nil {
		t.Fatal(err)
	}
	txID, err = c.Pay(ctx, coin, "fund-"+owner, address, amount)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Mine(ctx, coin, 1); err != nil {
		t.Fatal(err)
	}
	return address, txID
}

func wantBalance(t *testing.T, c controls, coin, want string) {
	t.Helper()
	b, err := c.Balance(t.Context(), coin)
	if err != nil || b.Amount != want {
		t.Errorf("balance %q %v, want %s", b.Amount, err, want)
	}
}

func TestCustody_Address(t *testing.T) {
	eachDoor(t, func(t *testing.T, c controls) {
		ctx := t.Context()
		first, err := c.Address(ctx, "BTC", "member-1")
		if err != nil {
			t.Fatal(err)
		}
		t.Run("the same owner gets the same address, another one another, and so does another coin", func(t *testing.T) {
			again, err1 := c.Address(ctx, "BTC", "member-1")
			other, err2 := c.Address(ctx, "BTC", "member-2")
			coin, err3 := c.Address(ctx, "ETH", "member-1")
			if err := errors.Join(err1, err2, err3); err != nil || again != first || other == first || coin == first {
				t.Fatal(first, again, other, coin, err)
			}
		})
		t.Run("a changed character, another coin's address and no address are refused", func(t *testing.T) {
			if err := c.CheckAddress(ctx, "BTC", first); err != nil {
				t.Fatal(err)
			}
			for i := range first {
				bad := []byte(first)
				if bad[i]++; c.CheckAddress(ctx, "BTC", string(bad)) == nil {
					t.Errorf("%s is accepted", bad)
				}
			}
			for _, bad := range []string{"", "x", simchain.ForeignAddress("ETH", "x"), first + "0", " " + first} {
				if err := c.CheckAddress(ctx, "BTC", bad); !errors.Is(err, custody.ErrBadAddress) {
					t.Errorf("%q: %v", bad, err)
				}
			}
		})
		t.Run("a coin that cannot be one is unknown", func(t *testing.T) {
			if _, err := c.Address(ctx, "b/c", "member-1"); err == nil {
				t.Fatal("accepted")
			}
		})
	})
}

func TestCustody_Send(t *testing.T) {
	eachDoor(t, func(t *testing.T, c controls) {
		ctx, to := t.Context(), simchain.ForeignAddress("ETH", "shop")
		fund(t, c, "ETH", "member-1", "10")
		pay := custody.Payment{Key: "w-1", To: to, Amount: "4.000000000000000001"}
		first, err := c.Send(ctx, "ETH", pay)
		if err != nil || first.State != custody.Waiting || first.Fee != "0.002" {
			t.Fatal(first, err)
		}
		t.Run("a repeated request sends nothing and gets the same answer", func(t *testing.T) {
			again, err := c.Send(ctx, "ETH", pay)
			if err != nil || again != first {
				t.Fatal(again, err)
			}
		})
		t.Run("the same key for another payment is refused", func(t *testing.T) {
			other := pay
			other.Amount = "4"
			if _, err := c.Send(ctx, "ETH", other); !errors.Is(err, custody.ErrMismatch) {
				t.Fatal(err)
			}
		})
		t.Run("what is on its way cannot be spent again", func(t *testing.T) {
			if _, err := c.Send(ctx, "ETH", custody.Payment{Key: "w-2", To: to, Amount: "6"}); !errors.Is(err, custody.ErrFunds) {
				t.Fatal(err)
			}
		})
		t.Run("it is in the next block, and each block confirms it", func(t *testing.T) {
			if _, err := c.Mine(ctx, "ETH", 3); err != nil {
				t.Fatal(err)
			}
			s, err := c.Sent(ctx, "ETH", "w-1")
			if err != nil || s.State != custody.Mined || s.Confirmations != 3 || s.Block.Height != 2 {
				t.Fatal(s, err)
			}
			b, err := c.Block(ctx, "ETH", 2)
			if err != nil || len(b.Spends) != 1 || b.Spends[0].Key != "w-1" || b.Hash != s.Block.Hash {
				t.Fatal(b, err)
			}
			wantBalance(t, c, "ETH", "5.997999999999999999")
		})
		t.Run("a malformed payment is refused for good", func(t *testing.T) {
			for _, p := range []custody.Payment{
				{Key: "w-3", To: to, Amount: "0"}, {Key: "w-3", To: to, Amount: "-1"}, {Key: "w-3", To: to, Amount: "1e3"}, {Key: "", To: to, Amount: "1"},
			} {
				if _, err := c.Send(ctx, "ETH", p); !errors.Is(err, custody.ErrRefused) {
					t.Errorf("%+v: %v", p, err)
				}
			}
			if _, err := c.Send(ctx, "ETH", custody.Payment{Key: "w-3", To: "nowhere", Amount: "1"}); !errors.Is(err, custody.ErrBadAddress) {
				t.Error(err)
			}
		})
		t.Run("an abandoned key sends nothing, and a sent one cannot be abandoned", func(t *testing.T) {
			if _, err := c.Abandon(ctx, "ETH", "w-4"); !errors.Is(err, custody.ErrAbandoned) {
				t.Fatal(err)
			}
			if _, err := c.Send(ctx, "ETH", custody.Payment{Key: "w-4", To: to, Amount: "1"}); !errors.Is(err, custody.ErrAbandoned) {
				t.Fatal(err)
			}
			if s, err := c.Abandon(ctx, "ETH", "w-1"); err != nil || s.TxID != first.TxID {
				t.Fatal(s, err)
			}
			if _, err := c.Sent(ctx, "ETH", "w-9"); !errors.Is(err, custody.ErrUnknownPayment) {
				t.Fatal(err)
			}
		})
		t.Run("a payment that is forgotten failed, and its money is there", func(t *testing.T) {
			s, err := c.Send(ctx, "ETH", custody.Payment{Key: "w-5", To: to, Amount: "1"})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Forget(ctx, "ETH", s.TxID); err != nil {
				t.Fatal(err)
			}
			if s, err := c.Sent(ctx, "ETH", "w-5"); err != nil || s.State != custody.Failed {
				t.Fatal(s, err)
			}
			if _, err := c.Mine(ctx, "ETH", 1); err != nil {
				t.Fatal(err)
			}
			wantBalance(t, c, "ETH", "5.997999999999999999")
		})
	})
}

func TestCustody_Reorg(t *testing.T) {
	eachDoor(t, func(t *testing.T, c controls) {
		ctx := t.Context()
		_, txID := fund(t, c, "BTC", "member-1", "2")
		if _, err := c.Mine(ctx, "BTC", 2); err != nil {
			t.Fatal(err)
		}
		before, err := c.Block(ctx, "BTC", 1)
		if err != nil || len(before.Receipts) != 1 || before.Receipts[0].TxID != txID {
			t.Fatal(before, err)
		}
		t.Run("the replaced blocks have other hashes, the parent's link holds, payments come again", func(t *testing.T) {
			head, err := c.Reorg(ctx, "BTC", 3, false)
			if err != nil || head.Height != 4 {
				t.Fatal(head, err)
			}
			parent := ""
			for h := range head.Height + 1 {
				b, err := c.Block(ctx, "BTC", h)
				if err != nil || b.Parent != parent {
					t.Fatal(b, err)
				}
				if parent = b.Hash; h == 1 && b.Hash == before.Hash {
					t.Error("the block is the same")
				}
				if found := len(b.Receipts) == 1; found != (h == 4) {
					t.Errorf("block %d has %v", h, b.Receipts)
				}
			}
			wantBalance(t, c, "BTC", "2")
		})
		t.Run("dropped payments do not come again", func(t *testing.T) {
			if _, err := c.Reorg(ctx, "BTC", 1, true); err != nil {
				t.Fatal(err)
			}
			wantBalance(t, c, "BTC", "0")
		})
		t.Run("the genesis stays", func(t *testing.T) {
			if _, err := c.Reorg(ctx, "BTC", 1000, false); err == nil {
				t.Fatal("accepted")
			}
		})
	})
}

func TestHandler_Refuses(t *testing.T) {
	server := httptest.NewServer(simchain.Handler(open(t, filepath.Join(t.TempDir(), "chain.log")), "secret"))
	defer server.Close()
	t.Run("a wrong token", func(t *testing.T) {
		c, err := simchain.NewClient(server.URL, "other")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := c.Head(t.Context(), "BTC"); err == nil {
			t.Fatal("answered")
		}
	})
	t.Run("a URL that is none", func(t *testing.T) {
		for _, bad := range []string{"", "127.0.0.1:1", "ftp://x", "http://"} {
			if _, err := simchain.NewClient(bad, "x"); err == nil {
				t.Errorf("%q is accepted", bad)
			}
		}
	})
}

func TestOpen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "chain.log")
	n := open(t, file)
	address, txID := fund(t, n, "BTC", "member-1", "2")
	if _, err := n.Send(t.Context(), "BTC", custody.Payment{Key: "w-1", To: simchain.ForeignAddress("BTC", "x"), Amount: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Reorg(t.Context(), "BTC", 1, false); err != nil {
		t.Fatal(err)
	}
	head, err := n.Head(t.Context(), "BTC")
	if err != nil || n.Close() != nil {
		t.Fatal(err)
	}
	t.Run("after a restart everything is as it was, an incomplete last line is cut off", func(t *testing.T) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, append(text, `{"op":"mine","co`...), 0o600); err != nil {
			t.Fatal(err)
		}
		n := open(t, file)
		if again, err := n.Head(t.Context(), "BTC"); err != nil || again != head {
			t.Fatal(again, err)
		}
		if got, err := n.Pay(t.Context(), "BTC", "fund-member-1", address, "2"); err != nil || got != txID {
			t.Fatal(got, err)
		}
		if s, err := n.Sent(t.Context(), "BTC", "w-1"); err != nil || s.State != custody.Mined {
			t.Fatal(s, err)
		}
		if err := n.Close(); err != nil {
			t.Fatal(err)
		}
		if now, err := os.ReadFile(file); err != nil || string(now) != string(text) {
			t.Errorf("the log is another than before: %v", err)
		}
	})
	t.Run("a log that is damaged is refused", func(t *testing.T) {
		if err := os.WriteFile(file, []byte("{\"op\":\"steal\",\"coin\":\"BTC\"}\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := simchain.Open(simchain.Config{File: file}, clock.Real()); err == nil {
			t.Fatal("opened")
		}
	})
}

func TestNode_Run(t *testing.T) {
	t.Run("the clock makes blocks until the chain rests", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(0))
		n, err := simchain.Open(simchain.Config{File: filepath.Join(t.TempDir(), "chain.log")}, clk)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = n.Close() }()
		address, err := n.Address(t.Context(), "BTC", "member-1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := n.Pay(t.Context(), "BTC", "p-1", address, "1"); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- n.Run(t.Context(), time.Second) }()
		const enough = simchain.RestAfter + 20
		for range enough {
			if err := clk.WaitForSleepers(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			clk.Advance(time.Second)
		}
		if err := clk.WaitForSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		head, err := n.Head(t.Context(), "BTC")
		if err != nil || head.Height != simchain.RestAfter+1 {
			t.Fatal(head, err)
		}
	})
}
