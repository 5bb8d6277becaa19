package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/custody"
	"mscoin/wallet/custody/simchain"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/store"
	"mscoin/wallet/internal/transfer"
)

const addressDelayMs = 60_000

var rules = app.TransferConfig{
	Coins: []app.CoinRules{
		{
			Coin: "BTC", Confirmations: 3, MinDeposit: "0.001", MinWithdraw: "0.01", MaxWithdraw: "50", DayLimit: "100", Fee: "0.0005",
			ReviewAbove: "10", TwoReviewsAbove: "20",
		},
		{Coin: "ETH", Confirmations: 1},
	},
	AddressDelayMs: addressDelayMs, MaxAddresses: 3,
}

// bank is a wallet with a custody of its own; time and blocks come when the test says so.
type bank struct {
	*fixture

	clk     *clock.Fake
	app     *app.Transfers
	worker  *transfer.Worker
	chain   *simchain.Node
	custody *unreliable
	payID   int
}

// unreliable is a custody that can be away, before it does anything or after it did.
type unreliable struct {
	custody.Custody

	before, after error
	sends         int
	lie           func(*custody.Block)
}

func (u *unreliable) Block(ctx context.Context, coin string, height int64) (custody.Block, error) {
	b, err := u.Custody.Block(ctx, coin, height)
	if err == nil && u.lie != nil {
		u.lie(&b)
	}
	return b, err
}

func (u *unreliable) Send(ctx context.Context, coin string, p custody.Payment) (custody.Sent, error) {
	u.sends++
	if u.before != nil {
		return custody.Sent{}, u.before
	}
	s, err := u.Custody.Send(ctx, coin, p)
	if u.after != nil {
		return custody.Sent{}, u.after
	}
	return s, err
}

var errAway = errors.New("connection lost")

func newBank(t testing.TB, db *database.DB) *bank {
	t.Helper()
	b := &bank{fixture: newFixture(t, db), clk: clock.NewFake(time.UnixMilli(1_800_000_000_000))}
	b.Store = store.New(db, b.clk)
	chain, err := simchain.Open(simchain.Config{File: filepath.Join(t.TempDir(), "chain.log")}, b.clk)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = chain.Close() })
	b.chain, b.custody = chain, &unreliable{Custody: chain}
	b.app = app.NewTransfers(app.New(b.Store, nil, b.clk), b.Store, b.custody, b.clk, rules)
	b.worker = transfer.New(b.Store, b.app, b.custody, b.clk, time.Second)
	return b
}

// run runs a sub-test whose failures are its own.
func (b *bank) run(t *testing.T, rule string, test func(t *testing.T)) {
	t.Run(rule, func(t *testing.T) {
		outer := b.t
		b.t = t
		defer func() { b.t = outer }()
		test(t)
	})
}

// lift ends a stop, as a decision of operators does.
func (b *bank) lift(scope, name string) {
	b.t.Helper()
	b.must(b.db.Tx(b.t.Context(), func(tx *database.Tx) error {
		return tx.DB().Exec("DELETE FROM wallet_stop WHERE scope = ? AND name = ?", scope, name).Error
	}))
}

func (b *bank) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// turn lets the worker work, and time pass.
func (b *bank) turn() {
	b.t.Helper()
	b.must(b.worker.Turn(b.t.Context()))
	b.clk.Advance(2 * time.Second)
}

func (b *bank) mine(coin string, blocks int64) {
	b.t.Helper()
	_, err := b.chain.Mine(b.t.Context(), coin, blocks)
	b.must(err)
}

// pay brings money from outside to the member's address.
func (b *bank) pay(member int64, coin, amount string) {
	b.t.Helper()
	address, err := b.app.DepositAddress(b.t.Context(), member, coin)
	b.must(err)
	b.payID++
	_, err = b.chain.Pay(b.t.Context(), coin, "p-"+strconv.Itoa(b.payID), address, amount)
	b.must(err)
}

// fund credits the member by the chain.
func (b *bank) fund(member int64, coin, amount string) {
	b.t.Helper()
	b.pay(member, coin, amount)
	b.mine(coin, 3)
	b.turn()
}

// book lists an address and lets its delay pass.
func (b *bank) book(member int64, coin string) string {
	b.t.Helper()
	address := simchain.ForeignAddress(coin, fmt.Sprint("of ", member))
	_, err := b.app.AddAddress(b.t.Context(), member, coin, address, "")
	b.must(err)
	b.clk.Advance(addressDelayMs * time.Millisecond)
	return address
}

func (b *bank) withdraw(member int64, key, coin, amount string) (app.Withdrawal, error) {
	address := simchain.ForeignAddress(coin, fmt.Sprint("of ", member))
	w, _, err := b.app.Withdraw(b.t.Context(), member, key, coin, address, amount)
	return w, err
}

func (b *bank) mustWithdraw(member int64, key, coin, amount string) app.Withdrawal {
	b.t.Helper()
	w, err := b.withdraw(member, key, coin, amount)
	b.must(err)
	return w
}

func (b *bank) wantState(id int64, want app.WithdrawalState) app.Withdrawal {
	b.t.Helper()
	w, err := b.Withdrawal(b.t.Context(), id)
	b.must(err)
	if w.State != want {
		b.t.Fatalf("withdrawal %d is %s (%q, %q), want %s", id, w.State, w.Reason, w.Attention, want)
	}
	return w
}

func (b *bank) wantDeposits(want ...app.DepositState) []app.ChainDeposit {
	b.t.Helper()
	list, err := b.Deposits(b.t.Context(), app.TransferQuery{}, 100)
	b.must(err)
	if len(list) != len(want) {
		b.t.Fatalf("%d deposits %+v, want %v", len(list), list, want)
	}
	for i := range list {
		if list[i].State != want[len(want)-1-i] {
			b.t.Fatalf("deposits %+v, want %v", list, want)
		}
	}
	return list
}

func (b *bank) stops() []app.Stop {
	b.t.Helper()
	stops, err := b.Stops(b.t.Context())
	b.must(err)
	return stops
}

// wantBooks checks that everything sums to zero, that what is held is what open
// withdrawals hold, and that the world has what the chain says.
func (b *bank) wantBooks() {
	b.t.Helper()
	for what, query := range map[string]string{
		"C1 a transaction": "SELECT COUNT(*) FROM (SELECT tx_id FROM wallet_journal GROUP BY tx_id, coin HAVING SUM(amount) <> 0) x",
		"C2 a wallet": `SELECT COUNT(*) FROM member_wallet w WHERE
			w.balance <> (SELECT COALESCE(SUM(amount), 0) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'AVAILABLE') OR
			w.frozen_balance <> (SELECT COALESCE(SUM(amount), 0) FROM wallet_journal j WHERE j.member_id = w.member_id AND j.coin = w.coin_name AND j.account = 'FROZEN')`,
		"C4 a held balance": `SELECT COUNT(*) FROM member_wallet w WHERE w.frozen_balance <>
			(SELECT COALESCE(SUM(held - consumed - released), 0) FROM wallet_hold h WHERE h.member_id = w.member_id AND h.coin = w.coin_name) +
			(SELECT COALESCE(SUM(amount + fee), 0) FROM withdraw_record d WHERE d.member_id = w.member_id AND d.coin = w.coin_name AND d.end_tx = 0)`,
		"C3 the world": `SELECT COUNT(*) FROM coin c WHERE
			(SELECT COALESCE(SUM(amount), 0) FROM wallet_journal j WHERE j.account = 'WORLD' AND j.coin = c.name) <>
			(SELECT COALESCE(SUM(amount + network_fee), 0) FROM withdraw_record d WHERE d.coin = c.name AND d.state = 'CONFIRMED') -
			(SELECT COALESCE(SUM(amount), 0) FROM wallet_deposit d WHERE d.coin = c.name)`,
		"a deposit that is credited without being in the books, or twice": `SELECT COUNT(*) FROM deposit_record r WHERE r.state IN ('CREDITED', 'ORPHANED') AND
			(SELECT COUNT(*) FROM wallet_deposit d WHERE d.reference LIKE 'chain:%' AND CAST(SUBSTR(d.reference, 7) AS DECIMAL(20)) = r.id AND d.amount = r.amount AND d.member_id = r.member_id) <> 1`,
	} {
		var n int64
		if err := b.db.Read(b.t.Context()).Raw(query).Scan(&n).Error; err != nil {
			b.t.Fatal(what, err)
		}
		if n != 0 {
			b.t.Errorf("%s is off, %d times", what, n)
		}
	}
}

func TestTransfers_Deposit(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.run(t, "an address is issued once", func(t *testing.T) {
			first, err1 := b.app.DepositAddress(t.Context(), alice, "BTC")
			again, err2 := b.app.DepositAddress(t.Context(), alice, "BTC")
			if err := errors.Join(err1, err2); err != nil || first != again || b.count("wallet_address") != 1 {
				t.Fatal(first, again, err)
			}
		})
		b.run(t, "a deposit is seen at once and credited with its last confirmation, once", func(t *testing.T) {
			b.pay(alice, "BTC", "2.5")
			b.mine("BTC", 2)
			b.turn()
			if d := b.wantDeposits(app.DepositPending); d[0].Confirmations != 2 || d[0].MemberID != alice {
				t.Fatal(d)
			}
			b.wantBalance(alice, "BTC", 0, 0)
			b.mine("BTC", 1)
			for range 3 {
				b.turn()
			}
			b.wantDeposits(app.DepositCredited)
			b.wantBalance(alice, "BTC", 250_000_000, 0)
		})
		b.run(t, "what is finer than a unit is cut off, and what the chain paid is recorded", func(t *testing.T) {
			b.fund(alice, "BTC", "0.123456789")
			d := b.wantDeposits(app.DepositCredited, app.DepositCredited)
			if d[0].ChainAmount != "0.123456789" || d[0].Amount != 12_345_678 {
				t.Fatal(d[0])
			}
			b.wantBalance(alice, "BTC", 262_345_678, 0)
		})
		b.run(t, "less than the least, nobody's and too much are recorded and not credited", func(t *testing.T) {
			b.fund(alice, "BTC", "0.0009")
			b.fund(alice, "BTC", "99999999999999999999")
			address, err := b.chain.Address(t.Context(), "BTC", "treasury")
			b.must(err)
			_, err = b.chain.Pay(t.Context(), "BTC", "house", address, "7")
			b.must(err)
			b.mine("BTC", 3)
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositCredited, app.DepositTooSmall, app.DepositTooLarge, app.DepositUnknown)
			b.wantBalance(alice, "BTC", 262_345_678, 0)
		})
		b.run(t, "an operator cannot credit with a chain's reference", func(t *testing.T) {
			if _, _, err := b.app.Deposit(t.Context(), "chain:1", alice, "BTC", "1"); errs.CodeOf(err) != errs.CodeBadRequest {
				t.Fatal(err)
			}
		})
		b.run(t, "a coin without rules has no address", func(t *testing.T) {
			if _, err := b.app.DepositAddress(t.Context(), alice, "USDT"); !errors.Is(err, app.ErrTransferDisabled) {
				t.Fatal(err)
			}
		})
		b.wantBooks()
	})
}

func TestTransfers_Reorg(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "ETH", "1")
		b.run(t, "a reorganisation before the confirmations drops the deposit, and its return is credited once", func(t *testing.T) {
			b.pay(alice, "BTC", "2")
			b.mine("BTC", 2)
			b.turn()
			_, err := b.chain.Reorg(t.Context(), "BTC", 2, false)
			b.must(err)
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositPending)
			b.mine("BTC", 2)
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositCredited)
			b.wantBalance(alice, "BTC", 200_000_000, 0)
		})
		b.run(t, "a deposit that does not return is dropped", func(t *testing.T) {
			b.pay(alice, "BTC", "3")
			b.mine("BTC", 1)
			b.turn()
			_, err := b.chain.Reorg(t.Context(), "BTC", 1, true)
			b.must(err)
			b.mine("BTC", 5)
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositCredited, app.DepositDropped)
			if stops := b.stops(); len(stops) != 0 {
				t.Fatal(stops)
			}
		})
		b.run(t, "a reorganisation of a credited deposit stops the coin's deposits and withdrawals, no other coin's, and the credited member's of every coin", func(t *testing.T) {
			b.book(alice, "BTC")
			b.book(alice, "ETH")
			head, err := b.chain.Head(t.Context(), "BTC")
			b.must(err)
			_, err = b.chain.Reorg(t.Context(), "BTC", head.Height, false)
			b.must(err)
			b.turn()
			stops := b.stops()
			if len(stops) != 2 || stops[0].Scope != app.StopChain || stops[0].Name != "BTC" || !strings.Contains(stops[0].Reason, "1 credited deposits") ||
				stops[1].Scope != app.StopMember || stops[1].Name != strconv.FormatInt(alice, 10) {
				t.Fatal(stops)
			}
			ops := app.NewOperations(b.Store, app.New(b.Store, nil, b.clk), b.clk)
			lift := app.Decision{RequestID: "l-1", RequestedBy: "olga", Reason: "x", Scope: app.StopChain, Name: "BTC"}
			if d, err := ops.LiftStop(t.Context(), lift); err != nil || d.State != app.DecisionPending {
				t.Fatalf("one operator lifts the stop of a chain that took a credited deposit back: %+v %v", d, err)
			}
			b.pay(bob, "BTC", "1")
			b.mine("BTC", 5)
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositOrphaned, app.DepositDropped)
			if _, err := b.withdraw(alice, "w1", "BTC", "1"); !errors.Is(err, app.ErrStopped) {
				t.Fatal(err)
			}
			if _, err := b.withdraw(alice, "w2", "ETH", "0.5"); !errors.Is(err, app.ErrStopped) {
				t.Fatalf("who sold the deposit for another coin takes that: %v", err)
			}
			b.fund(bob, "ETH", "1")
			b.wantBalance(bob, "ETH", 100_000_000, 0)
			b.book(bob, "ETH")
			b.mustWithdraw(bob, "w2", "ETH", "0.5")
		})
		b.run(t, "once an operator lifts the stop it goes on, and what is on the chain again is not credited again", func(*testing.T) {
			b.lift(app.StopChain, "BTC")
			b.lift(app.StopMember, strconv.FormatInt(alice, 10))
			b.turn()
			b.wantDeposits(app.DepositCredited, app.DepositCredited, app.DepositDropped, app.DepositCredited, app.DepositCredited)
			b.wantBalance(alice, "BTC", 200_000_000, 0)
			b.wantBalance(bob, "BTC", 100_000_000, 0)
			b.mustWithdraw(alice, "w3", "BTC", "1")
		})
		b.wantBooks()
	})
}

func TestTransfers_Withdraw(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "5")
		address := b.book(alice, "BTC")
		var id int64
		b.run(t, "a request holds amount and fee", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w1", "BTC", "2")
			if id = w.ID; w.State != app.Approved || w.Fee != 50_000 || w.Address != address {
				t.Fatal(w)
			}
			b.wantBalance(alice, "BTC", 299_950_000, 200_050_000)
		})
		b.run(t, "a repeated request holds nothing and gets the same answer", func(t *testing.T) {
			w, repeated, err := b.app.Withdraw(t.Context(), alice, "w1", "BTC", address, "2.0")
			if err != nil || !repeated || w.ID != id {
				t.Fatal(w, repeated, err)
			}
			b.wantBalance(alice, "BTC", 299_950_000, 200_050_000)
		})
		b.run(t, "the same key for another amount is refused", func(t *testing.T) {
			if _, err := b.withdraw(alice, "w1", "BTC", "2.1"); !errors.Is(err, app.ErrMismatch) {
				t.Fatal(err)
			}
		})
		b.run(t, "it is sent once, and booked with its last confirmation", func(t *testing.T) {
			b.turn()
			w := b.wantState(id, app.SentOut)
			if w.ChainTx == "" {
				t.Fatal(w)
			}
			if _, err := b.app.CancelWithdrawal(t.Context(), alice, id); !errors.Is(err, app.ErrWithdrawalState) {
				t.Fatal(err)
			}
			b.mine("BTC", 2)
			b.turn()
			b.turn()
			b.wantState(id, app.SentOut)
			b.wantBalance(alice, "BTC", 299_950_000, 200_050_000)
			b.mine("BTC", 1)
			b.turn()
			b.turn()
			if w := b.wantState(id, app.Confirmed); w.NetworkFee != 1000 || b.custody.sends != 1 {
				t.Fatal(w, b.custody.sends)
			}
			b.wantBalance(alice, "BTC", 299_950_000, 0)
			balance, err := b.chain.Balance(t.Context(), "BTC")
			if err != nil || balance.Amount != "2.99999" {
				t.Fatal(balance, err)
			}
		})
		b.run(t, "a canceled one returns its money once", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w2", "BTC", "1")
			for range 2 {
				if w, err := b.app.CancelWithdrawal(t.Context(), alice, w.ID); err != nil || w.State != app.Canceled {
					t.Fatal(w, err)
				}
			}
			b.turn()
			b.wantState(w.ID, app.Canceled)
			b.wantBalance(alice, "BTC", 299_950_000, 0)
			if _, err := b.app.CancelWithdrawal(t.Context(), bob, w.ID); !errors.Is(err, app.ErrUnknownWithdrawal) {
				t.Fatal(err)
			}
		})
		b.run(t, "one that the chain drops for good fails and returns its money", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w3", "BTC", "1")
			b.turn()
			b.must(b.chain.Forget(t.Context(), "BTC", b.wantState(w.ID, app.SentOut).ChainTx))
			b.turn()
			b.wantState(w.ID, app.WithdrawalFailed)
			b.wantBalance(alice, "BTC", 299_950_000, 0)
		})
		b.wantBooks()
	})
}

func TestTransfers_Withdraw_Refusals(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "500")
		b.book(alice, "BTC")
		stop := func(scope, name string) func() func() {
			return func() func() {
				b.must(b.app.SetStop(t.Context(), app.Stop{Scope: scope, Name: name, Reason: "test"}))
				return func() { b.lift(scope, name) }
			}
		}
		foreign := func(name string) string { return simchain.ForeignAddress("BTC", name) }
		mine := foreign("of " + strconv.FormatInt(alice, 10))
		for _, tt := range []struct {
			rule                  string
			coin, address, amount string
			want                  errs.Code
			before                func() func()
		}{
			{"less than the least", "BTC", mine, "0.0099", errs.CodeBadAmountRange, nil},
			{"more than the most", "BTC", mine, "50.00000001", errs.CodeBadAmountRange, nil},
			{"finer than a unit", "BTC", mine, "1.000000001", errs.CodeBadPrecision, nil},
			{"a negative amount", "BTC", mine, "-1", errs.CodeBadNumber, nil},
			{"more than there is", "BTC", mine, "", errs.CodeInsufficientBalance, func() func() {
				b.must(func() error { _, err := b.hold(sellHold(77, alice, 49_999_000_000)); return err }())
				return func() { b.must(b.ReleaseHold(t.Context(), 77, alice)) }
			}},
			{"a wrong checksum", "BTC", mine[:len(mine)-1] + "x", "1", errs.CodeBadAddress, nil},
			{"another coin's address", "BTC", simchain.ForeignAddress("ETH", "x"), "1", errs.CodeBadAddress, nil},
			{"an address that is not in the book", "BTC", foreign("stranger"), "1", errs.CodeAddressNotInBook, nil},
			{"an address that is too new", "BTC", foreign("new"), "1", errs.CodeAddressTooNew, func() func() {
				_, err := b.app.AddAddress(t.Context(), alice, "BTC", foreign("new"), "")
				b.must(err)
				return func() { b.must(b.app.RemoveAddress(t.Context(), alice, "BTC", foreign("new"))) }
			}},
			{"a coin without rules", "USDT", mine, "1", errs.CodeTransferDisabled, nil},
			{"a coin that is not listed", "DOGE", mine, "1", errs.CodeUnknownCoin, nil},
			{"while the member is stopped", "BTC", mine, "1", errs.CodeWithdrawalsStopped, stop(app.StopMember, strconv.FormatInt(alice, 10))},
			{"while the coin is stopped", "BTC", mine, "1", errs.CodeWithdrawalsStopped, stop(app.StopCoin, "BTC")},
			{"while the coin's chain is stopped", "BTC", mine, "1", errs.CodeWithdrawalsStopped, stop(app.StopChain, "BTC")},
			{"while everything is stopped", "BTC", mine, "1", errs.CodeWithdrawalsStopped, stop(app.StopAll, "")},
		} {
			b.run(t, tt.rule+" is refused, and nothing is held", func(t *testing.T) {
				if tt.before != nil {
					defer tt.before()()
				}
				if tt.amount == "" {
					tt.amount = "1"
				}
				_, _, err := b.app.Withdraw(t.Context(), alice, "refused", tt.coin, tt.address, tt.amount)
				if errs.CodeOf(err) != tt.want || b.count("withdraw_record") != 0 {
					t.Fatal(err)
				}
			})
		}
		b.run(t, "stops of others do not matter, and the refused key may be used", func(*testing.T) {
			stop(app.StopMember, strconv.FormatInt(bob, 10))()
			stop(app.StopCoin, "ETH")()
			b.mustWithdraw(alice, "refused", "BTC", "1")
		})
		b.run(t, "a day's limit ends with the day", func(t *testing.T) {
			b.mustWithdraw(alice, "d1", "BTC", "50")
			if _, err := b.withdraw(alice, "d2", "BTC", "49.01"); errs.CodeOf(err) != errs.CodeDayLimit {
				t.Fatal(err)
			}
			b.mustWithdraw(alice, "d2", "BTC", "49")
			b.clk.Advance(24 * time.Hour)
			b.mustWithdraw(alice, "d3", "BTC", "49.01")
		})
		b.run(t, "the address book is bounded", func(t *testing.T) {
			for i := range 2 {
				_, err := b.app.AddAddress(t.Context(), alice, "BTC", foreign(strconv.Itoa(i)), "")
				b.must(err)
			}
			if _, err := b.app.AddAddress(t.Context(), alice, "BTC", foreign("last"), ""); errs.CodeOf(err) != errs.CodeAddressBookFull {
				t.Fatal(err)
			}
			if list, err := b.app.Addresses(t.Context(), alice, ""); err != nil || len(list) != 3 {
				t.Fatal(list, err)
			}
		})
		b.run(t, "an address that is added again keeps its delay, and another remark is refused", func(t *testing.T) {
			before, err := b.app.Addresses(t.Context(), alice, "BTC")
			b.must(err)
			b.clk.Advance(time.Second)
			again, err := b.app.AddAddress(t.Context(), alice, "BTC", before[0].Address, "")
			if err != nil || again != before[0] {
				t.Fatal(again, before[0], err)
			}
			if _, err := b.app.AddAddress(t.Context(), alice, "BTC", before[0].Address, "other"); !errors.Is(err, app.ErrMismatch) {
				t.Fatal(err)
			}
		})
		b.wantBooks()
	})
}

func TestTransfers_Withdraw_Parallel(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "1000")
		b.book(alice, "BTC")
		b.run(t, "100 parallel withdrawals never pass the day's limit", func(t *testing.T) {
			var done, refused atomic.Int64
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					switch _, err := b.withdraw(alice, "p"+strconv.Itoa(i), "BTC", "3"); {
					case err == nil:
						done.Add(1)
					case errs.CodeOf(err) == errs.CodeDayLimit:
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if done.Load() != 33 || refused.Load() != 67 { // 99 of 100
				t.Errorf("%d done and %d refused", done.Load(), refused.Load())
			}
			b.wantBalance(alice, "BTC", 100_000_000_000-33*300_050_000, 33*300_050_000)
		})
		b.run(t, "nor the balance", func(t *testing.T) {
			b.fund(bob, "BTC", "10")
			b.book(bob, "BTC")
			var done atomic.Int64
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					switch _, err := b.withdraw(bob, "p"+strconv.Itoa(i), "BTC", "3"); {
					case err == nil:
						done.Add(1)
					case errs.CodeOf(err) != errs.CodeInsufficientBalance:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if done.Load() != 3 {
				t.Errorf("%d done", done.Load())
			}
		})
		b.run(t, "the same request from many at once is one", func(t *testing.T) {
			b.fund(carol, "BTC", "10")
			b.book(carol, "BTC")
			var ids sync.Map
			var wg sync.WaitGroup
			for range 30 {
				wg.Go(func() {
					if w, err := b.withdraw(carol, "same", "BTC", "1"); err != nil {
						t.Error(err)
					} else {
						ids.Store(w.ID, true)
					}
				})
			}
			wg.Wait()
			n := 0
			ids.Range(func(any, any) bool { n++; return true })
			if n != 1 {
				t.Errorf("%d withdrawals", n)
			}
			b.wantBalance(carol, "BTC", 899_950_000, 100_050_000)
		})
		b.wantBooks()
	})
}

func TestTransfers_Review(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "500")
		b.book(alice, "BTC")
		review := func(id int64, operator string, approve bool) (app.Withdrawal, error) {
			return b.app.ReviewWithdrawal(t.Context(), app.Review{WithdrawalID: id, Operator: operator, Approve: approve, Reason: "looked"})
		}
		b.run(t, "above the threshold an operator approves first", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w1", "BTC", "10.1")
			b.turn()
			b.wantState(w.ID, app.PendingReview)
			if w, err := review(w.ID, "olga", true); err != nil || w.State != app.Approved || len(w.Reviews) != 1 {
				t.Fatal(w, err)
			}
			b.turn()
			b.wantState(w.ID, app.SentOut)
		})
		b.run(t, "above the second threshold two different ones do", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w2", "BTC", "20.1")
			for range 2 {
				if w, err := review(w.ID, "olga", true); err != nil || w.State != app.PendingReview {
					t.Fatal(w, err)
				}
			}
			if _, err := review(w.ID, "olga", false); !errors.Is(err, app.ErrMismatch) {
				t.Fatal(err)
			}
			if _, err := review(w.ID, app.SharedOperator, true); !errors.Is(err, app.ErrSharedOperator) {
				t.Fatalf("the shared token is a second operator: %v", err)
			}
			if w, err := review(w.ID, "otto", true); err != nil || w.State != app.Approved {
				t.Fatal(w, err)
			}
			b.turn()
			b.wantState(w.ID, app.SentOut)
			if _, err := review(w.ID, "oleg", false); !errors.Is(err, app.ErrWithdrawalState) {
				t.Fatal(err)
			}
		})
		b.run(t, "a rejected one returns its money, once", func(t *testing.T) {
			before := b.balance(alice, "BTC")
			w := b.mustWithdraw(alice, "w3", "BTC", "15")
			for range 2 {
				if w, err := review(w.ID, "olga", false); err != nil || w.State != app.Rejected || w.Reason != "looked" {
					t.Fatal(w, err)
				}
			}
			if after := b.balance(alice, "BTC"); after != before {
				t.Fatal(before, after)
			}
		})
		b.run(t, "what many small ones of a day come to is reviewed like a large one", func(t *testing.T) {
			b.fund(bob, "BTC", "50")
			b.book(bob, "BTC")
			for i, want := range []app.WithdrawalState{app.Approved, app.PendingReview, app.PendingReview, app.PendingReview} {
				if w := b.mustWithdraw(bob, "s"+strconv.Itoa(i), "BTC", "6"); w.State != want || w.ReviewsNeeded != []int64{0, 1, 1, 2}[i] {
					t.Fatalf("%d: %+v", i, w)
				}
			}
		})
		b.run(t, "an approval without a name is refused", func(t *testing.T) {
			if _, err := review(1, "", true); errs.CodeOf(err) != errs.CodeBadRequest {
				t.Fatal(err)
			}
		})
		b.wantBooks()
	})
}

func TestTransfers_Attention(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "10")
		b.book(alice, "BTC")
		waitForAttention := func(id int64) app.Withdrawal {
			t.Helper()
			for range 30 {
				b.turn()
				b.clk.Advance(5 * time.Minute)
				if w := b.wantState(id, app.Broadcasting); w.Attention != "" {
					return w
				}
			}
			t.Fatal("it is tried for ever")
			return app.Withdrawal{}
		}
		b.run(t, "a custody that stays away is not asked for ever: an operator must look", func(t *testing.T) {
			b.custody.before = errAway
			w := b.mustWithdraw(alice, "w1", "BTC", "1")
			if w := waitForAttention(w.ID); !strings.Contains(w.Attention, "connection lost") {
				t.Fatal(w)
			}
			tried := b.custody.sends
			b.clk.Advance(time.Hour)
			b.turn()
			if b.custody.sends != tried {
				t.Error("tried again")
			}
			list, _, err := b.app.Withdrawals(t.Context(), app.TransferQuery{Attention: true}, 0)
			if err != nil || len(list) != 1 || list[0].ID != w.ID {
				t.Fatal(list, err)
			}
			b.custody.before = nil
			_, err = b.app.RetryWithdrawal(t.Context(), w.ID)
			b.must(err)
			b.turn()
			b.wantState(w.ID, app.SentOut)
		})
		b.run(t, "an abandoned one returns its money, and can never be sent", func(t *testing.T) {
			b.custody.before = errAway
			w := b.mustWithdraw(alice, "w2", "BTC", "1")
			waitForAttention(w.ID)
			b.custody.before = nil
			got, err := b.app.AbandonWithdrawal(t.Context(), w.ID)
			if err != nil || got.State != app.WithdrawalFailed {
				t.Fatal(got, err)
			}
			if _, err := b.chain.Send(t.Context(), "BTC", custody.Payment{Key: w.Key(), To: w.Address, Amount: "1"}); !errors.Is(err, custody.ErrAbandoned) {
				t.Fatal(err)
			}
		})
		b.run(t, "one that was sent after all is not failed by abandoning it", func(t *testing.T) {
			b.custody.after = errAway
			w := b.mustWithdraw(alice, "w3", "BTC", "1")
			waitForAttention(w.ID)
			b.custody.after = nil
			got, err := b.app.AbandonWithdrawal(t.Context(), w.ID)
			if err != nil || got.State != app.SentOut || got.ChainTx == "" {
				t.Fatal(got, err)
			}
		})
		b.run(t, "what the custody refuses fails at once", func(t *testing.T) {
			b.custody.before = custody.ErrRefused
			before := b.balance(alice, "BTC")
			w := b.mustWithdraw(alice, "w4", "BTC", "1")
			b.turn()
			b.wantState(w.ID, app.WithdrawalFailed)
			if after := b.balance(alice, "BTC"); after != before {
				t.Fatal(before, after)
			}
			b.custody.before = nil
			// An earlier request may come to the custody only now: it must not be paid.
			if _, err := b.chain.Send(t.Context(), "BTC", custody.Payment{Key: w.Key(), To: w.Address, Amount: "1"}); !errors.Is(err, custody.ErrAbandoned) {
				t.Fatal(err)
			}
		})
		b.run(t, "a stop holds back what is approved", func(t *testing.T) {
			w := b.mustWithdraw(alice, "w5", "BTC", "1")
			b.must(b.app.SetStop(t.Context(), app.Stop{Scope: app.StopMember, Name: strconv.FormatInt(alice, 10), Reason: "test"}))
			b.turn()
			b.wantState(w.ID, app.Approved)
			b.lift(app.StopMember, strconv.FormatInt(alice, 10))
			b.clk.Advance(time.Minute)
			b.turn()
			b.wantState(w.ID, app.SentOut)
		})
		b.wantBooks()
	})
}

func TestTransfers_BadChain(t *testing.T) {
	receipt := custody.Receipt{TxID: "t", Address: "a", Amount: "1"}
	spend := custody.Spend{TxID: "t", Key: "w-1", To: "a", Amount: "1", Fee: "0"}
	for what, lie := range map[string]func(b *custody.Block){
		"an amount that is none": func(b *custody.Block) { r := receipt; r.Amount = "1e3"; b.Receipts = append(b.Receipts, r) },
		"an address that is too long": func(b *custody.Block) {
			r := receipt
			r.Address = strings.Repeat("a", 129)
			b.Receipts = append(b.Receipts, r)
		},
		"a receipt before the first":    func(b *custody.Block) { r := receipt; r.Index = -1; b.Receipts = append(b.Receipts, r) },
		"a payment's negative amount":   func(b *custody.Block) { s := spend; s.Amount = "-1"; b.Spends = append(b.Spends, s) },
		"a payment without a fee":       func(b *custody.Block) { s := spend; s.Fee = ""; b.Spends = append(b.Spends, s) },
		"a payment's key that is long":  func(b *custody.Block) { s := spend; s.Key = strings.Repeat("k", 65); b.Spends = append(b.Spends, s) },
		"a transaction without an id":   func(b *custody.Block) { s := spend; s.TxID = ""; b.Spends = append(b.Spends, s) },
		"a text that is not UTF-8":      func(b *custody.Block) { s := spend; s.To = "\xff"; b.Spends = append(b.Spends, s) },
		"a payment that is there twice": func(b *custody.Block) { b.Spends = append(b.Spends, spend, spend) },
	} {
		t.Run(what+" stops the coin's chain, and nothing of the block is kept", func(t *testing.T) {
			b := newBank(t, testkit.OpenDatabase(t, testkit.SQLiteConfig(t)))
			b.turn() // begins the chain
			b.mine("BTC", 1)
			b.custody.lie = lie
			b.turn()
			if stops := b.stops(); len(stops) != 1 || stops[0].Scope != app.StopChain || stops[0].Name != "BTC" {
				t.Fatalf("%+v", stops)
			}
			if n := b.count("chain_spend") + b.count("deposit_record"); n != 0 {
				t.Fatalf("%d rows are kept", n)
			}
		})
	}
}

func TestTransfers_OneFails(t *testing.T) {
	b := newBank(t, testkit.OpenDatabase(t, testkit.SQLiteConfig(t)))
	b.run(t, "a deposit that cannot be credited keeps no later one waiting", func(*testing.T) {
		b.pay(alice, "BTC", "1")
		b.pay(bob, "BTC", "2")
		b.mine("BTC", 3)
		failed := false
		b.SetFault(func(step string) error {
			if step == "update deposit_record" && !failed {
				failed = true
				return errAway
			}
			return nil
		})
		b.turn()
		b.SetFault(nil)
		b.wantDeposits(app.DepositPending, app.DepositCredited)
		b.turn()
		b.wantDeposits(app.DepositCredited, app.DepositCredited)
	})
	b.run(t, "a coin whose rules cannot be keeps no other from being offered", func(t *testing.T) {
		for name, bad := range map[string]app.CoinRules{
			"a limit finer than a unit":      {Coin: "BTC", Confirmations: 1, MinDeposit: "0.000000001"},
			"a review without a day's limit": {Coin: "BTC", Confirmations: 1, ReviewAbove: "1"},
		} {
			cfg := app.TransferConfig{Coins: []app.CoinRules{bad, {Coin: "ETH", Confirmations: 1}}, MaxAddresses: 1}
			all, err := app.NewTransfers(app.New(b.Store, nil, b.clk), b.Store, b.custody, b.clk, cfg).Offered(t.Context())
			if err != nil || len(all) != 1 || all[0].Coin.Name != "ETH" {
				t.Errorf("%s: %+v %v", name, all, err)
			}
		}
	})
	b.run(t, "a reason that is too long is cut between characters", func(t *testing.T) {
		b.fund(alice, "BTC", "5")
		b.book(alice, "BTC")
		w := b.mustWithdraw(alice, "w1", "BTC", "1")
		b.must(b.FailWithdrawal(t.Context(), w.ID, []app.WithdrawalState{app.Approved}, "x"+strings.Repeat("\u20ac", 100)))
		if w = b.wantState(w.ID, app.WithdrawalFailed); !utf8.ValidString(w.Reason) || len(w.Reason) != 253 {
			t.Fatalf("%q", w.Reason)
		}
	})
}

func TestTransfers_OtherPayment(t *testing.T) {
	for what, set := range map[string]string{"amount": "chain_amount = '0.5'", "address": "address = 'x'", "key": "payment_key = ''"} {
		t.Run("a transaction with another "+what+" is not booked: an operator must look", func(t *testing.T) {
			b := newBank(t, testkit.OpenDatabase(t, testkit.SQLiteConfig(t)))
			b.fund(alice, "BTC", "5")
			b.book(alice, "BTC")
			w := b.mustWithdraw(alice, "w1", "BTC", "1")
			b.turn()
			b.mine("BTC", 1)
			b.turn()
			b.must(b.db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec("UPDATE chain_spend SET " + set).Error }))
			b.mine("BTC", 5)
			b.turn()
			b.turn()
			if w = b.wantState(w.ID, app.SentOut); w.Attention == "" {
				t.Fatalf("%+v", w)
			}
		})
	}
}

// Every write and every answer of the custody may be the last of a process. Whichever it
// is, another one brings each withdrawal and deposit to its end exactly once.
func TestTransfers_Crash(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "1000")
		b.book(alice, "BTC")
		crash := errors.New("crash")
		story := func(key string) (id int64) {
			b.pay(bob, "BTC", "0.5")
			w, err := b.withdraw(alice, key, "BTC", "0.1")
			if err != nil {
				return 0
			}
			_ = b.worker.Turn(t.Context())
			b.mine("BTC", 3)
			b.clk.Advance(2 * time.Second)
			_ = b.worker.Turn(t.Context())
			return w.ID
		}
		finish := func(key string) {
			t.Helper()
			w := b.mustWithdraw(alice, key, "BTC", "0.1")
			for i := 0; ; i++ {
				b.clk.Advance(10 * time.Second)
				b.turn()
				b.mine("BTC", 1)
				if w, err := b.Withdrawal(t.Context(), w.ID); err != nil || w.State == app.Confirmed {
					b.must(err)
					break
				}
				if i > 20 {
					t.Fatalf("it does not end: %+v", b.wantState(w.ID, app.Confirmed))
				}
			}
		}
		check := func(stories int) {
			t.Helper()
			var payments int64
			b.must(db.Read(t.Context()).Table("chain_spend").Count(&payments).Error)
			if payments != int64(stories) {
				t.Errorf("%d payments for %d withdrawals", payments, stories)
			}
			b.wantBalance(alice, "BTC", 100_000_000_000-int64(stories)*10_050_000, 0)
			b.wantBalance(bob, "BTC", int64(stories)*50_000_000, 0)
			b.wantBooks()
		}
		stories := 0
		steps := 0
		b.SetFault(func(string) error { steps++; return nil })
		story("count")
		finish("count")
		stories++
		check(stories)
		if steps < 20 {
			t.Fatalf("only %d steps", steps)
		}
		for at := 1; at <= steps; at++ {
			n := 0
			b.SetFault(func(string) error {
				if n++; n >= at { // from here on nothing is written: the process is dead
					return crash
				}
				return nil
			})
			key := "crash-" + strconv.Itoa(at)
			story(key)
			b.SetFault(nil)
			finish(key)
			stories++
		}
		check(stories)
		for _, side := range []*error{&b.custody.before, &b.custody.after} {
			*side = errAway
			key := fmt.Sprintf("custody-%p", side)
			story(key)
			*side = nil
			finish(key)
			stories++
		}
		check(stories)
		t.Logf("%d boundaries", stories)
	})
}
