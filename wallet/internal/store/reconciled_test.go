package store_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/custody"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/reconciler"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/reconciletest"
	"mscoin/wallet/settlement"
)

// auditor is a bank whose books are reconciled with its custody.
type auditor struct {
	*bank

	source string
}

func newAuditor(t testing.TB, cfg database.Config) *auditor {
	t.Helper()
	return &auditor{bank: newBank(t, testkit.OpenDatabase(t, cfg)), source: cfg.Dialect + ":" + cfg.DSN}
}

func (a *auditor) full() reconcile.Report {
	a.t.Helper()
	r, err := reconciler.Full(a.t.Context(), a.source, "", a.chain, a.clk)
	a.must(err)
	return r.Report
}

func (a *auditor) wantClean() {
	a.t.Helper()
	if r := a.full(); r.Found != 0 {
		a.t.Fatalf("complete: %+v", r.Discrepancies)
	}
	p, err := reconciler.New(a.db, a.Store, a.clk, time.Minute).Pass(a.t.Context())
	if a.must(err); p.Found != 0 {
		a.t.Fatalf("pass: %s", p.Report)
	}
}

// exec changes the database behind the wallet's back.
func (a *auditor) exec(statement string) {
	a.t.Helper()
	a.must(a.db.Tx(a.t.Context(), func(tx *database.Tx) error {
		res := tx.DB().Exec(statement)
		if res.Error == nil && res.RowsAffected == 0 {
			return fmt.Errorf("no row is concerned: %s", statement)
		}
		return res.Error
	}))
}

// withdrawalsStory leaves alice with a confirmed withdrawal, one that is sent, one that
// waits for review, and one that was canceled, and deposits of every sort.
func (a *auditor) withdrawalsStory() {
	a.t.Helper()
	a.fund(alice, "BTC", "100.123456789")
	a.fund(alice, "BTC", "0.0001")
	treasury, err := a.chain.Address(a.t.Context(), "BTC", "treasury")
	a.must(err)
	_, err = a.chain.Pay(a.t.Context(), "BTC", "house", treasury, "3")
	a.must(err)
	a.book(alice, "BTC")
	confirmed := a.mustWithdraw(alice, "confirmed", "BTC", "2")
	a.turn()
	a.mine("BTC", 3)
	a.turn()
	a.turn()
	a.wantState(confirmed.ID, app.Confirmed)
	a.mustWithdraw(alice, "sent", "BTC", "1")
	a.turn()
	a.mine("BTC", 1)
	a.turn()
	a.mustWithdraw(alice, "review", "BTC", "15")
	w := a.mustWithdraw(alice, "canceled", "BTC", "1")
	_, err = a.app.CancelWithdrawal(a.t.Context(), alice, w.ID)
	a.must(err)
	a.pay(alice, "BTC", "1")
	a.mine("BTC", 1)
	a.turn()
	a.mine("BTC", 1) // the custody is ahead of what was read
}

func TestTransfers_Reconciled(t *testing.T) {
	const chainTx = "(SELECT chain_tx FROM (SELECT chain_tx FROM withdraw_record WHERE request_key = 'confirmed') x)"
	for _, tt := range []struct {
		damage, sql string
		want        [2]string // place and what of one discrepancy
	}{
		{"nothing", "", [2]string{}},
		{"a lost withdrawal", "UPDATE chain_spend SET height = 0 WHERE chain_tx = " + chainTx, [2]string{"withdrawal", "in no block of its chain"}},
		{"a doubled broadcast", "INSERT INTO chain_spend SELECT coin, 'again', payment_key, address, chain_amount, chain_fee, height, updated_ms FROM chain_spend WHERE chain_tx = " + chainTx, [2]string{"withdrawal", "more than once"}},
		{"a payment that nobody asked for", "INSERT INTO chain_spend VALUES ('BTC', 'thief', '', 'x', '1', '0', 5, 0)", [2]string{"payment thief", "no withdrawal asked for"}},
		{"a withdrawal that is confirmed, but its hold is stale", "UPDATE withdraw_record SET state = 'CONFIRMED' WHERE request_key = 'sent'", [2]string{"withdrawal", "hold is stale"}},
		{"a withdrawal that was canceled, but its money did not return", "UPDATE withdraw_record SET state = 'CANCELED' WHERE request_key = 'review'", [2]string{"withdrawal", "did not return"}},
		{"an altered withdrawal", "UPDATE withdraw_record SET amount = amount + 1 WHERE request_key = 'confirmed'", [2]string{"withdrawal", "held something else"}},
		{"a withdrawal's altered fee", "UPDATE withdraw_record SET fee = fee - 1 WHERE request_key = 'confirmed'", [2]string{"withdrawal", "hold is stale"}},
		{"a lost withdrawal record", "DELETE FROM withdraw_record WHERE request_key = 'confirmed'", [2]string{"payment", "no withdrawal asked for"}},
		{"an open withdrawal whose record is gone", "DELETE FROM withdraw_record WHERE request_key = 'review'", [2]string{"wallet of member 11", "open holds"}},
		{"a deposit credited twice", "INSERT INTO wallet_deposit VALUES ('chain:999999', 11, 'BTC', 5, 999, 0)", [2]string{"credit chain:999999", "or twice"}},
		{"a credit that never was", "UPDATE deposit_record SET state = 'CREDITED' WHERE state = 'TOO_SMALL'", [2]string{"deposit", "but was not"}},
		{"a credited deposit that is on the chain no more", "UPDATE deposit_record SET height = 0 WHERE state = 'CREDITED'", [2]string{"deposit", "in no block"}},
		{"a deposit credited to another member", "UPDATE deposit_record SET member_id = 12 WHERE state = 'CREDITED'", [2]string{"deposit", "another member"}},
		{"an amount of a chain that is none", "UPDATE chain_spend SET chain_fee = '1e3' WHERE chain_tx = " + chainTx, [2]string{"custody", "is none"}},
		{"money that the custody does not have", "UPDATE deposit_record SET chain_amount = '3.5' WHERE state = 'UNKNOWN_ADDRESS'", [2]string{"custody", "something else"}},
	} {
		t.Run(tt.damage+" is found and named", func(t *testing.T) {
			testkit.Dialects(t, func(t *testing.T, empty func(testing.TB) database.Config) {
				a := newAuditor(t, empty(t))
				a.withdrawalsStory()
				a.wantClean()
				if tt.sql == "" {
					return
				}
				a.must(reconciletest.Unlock(t.Context(), a.db))
				a.exec(tt.sql)
				r := a.full()
				for _, d := range r.Discrepancies {
					if strings.HasPrefix(d.Where, tt.want[0]) && strings.Contains(d.What, tt.want[1]) {
						return
					}
				}
				t.Fatalf("%+v", r.Discrepancies)
			})
		})
	}
}

func TestReconciler_StopsWithdrawals(t *testing.T) {
	t.Run("a withdrawal that does not fit stops its member's withdrawals within a pass", func(t *testing.T) {
		a := newAuditor(t, testkit.SQLiteConfig(t))
		a.withdrawalsStory()
		a.exec("UPDATE withdraw_record SET state = 'CONFIRMED' WHERE request_key = 'sent'")
		_, err := reconciler.New(a.db, a.Store, a.clk, time.Minute).Pass(t.Context())
		a.must(err)
		if _, err := a.withdraw(alice, "more", "BTC", "1"); errs.CodeOf(err) != errs.CodeWithdrawalsStopped {
			t.Fatal(err)
		}
	})
}

func TestReconciler_RemembersDamage(t *testing.T) {
	t.Run("a deposit that does not fit is found until it fits, however old it is", func(t *testing.T) {
		a := newAuditor(t, testkit.SQLiteConfig(t))
		a.withdrawalsStory()
		a.exec("UPDATE deposit_record SET height = 0 WHERE state = 'CREDITED'")
		for i := range 4 {
			p, err := reconciler.New(a.db, a.Store, a.clk, time.Minute).Pass(t.Context())
			if a.must(err); p.Found == 0 {
				t.Fatalf("pass %d has forgotten it", i+1)
			}
			a.clk.Advance(time.Hour)
		}
	})
}

// Whatever happens in whatever order, every identity holds.
func TestTransfers_Property(t *testing.T) {
	const runs, steps = 6, 120
	for run := range runs {
		seed := uint64(time.Now().UnixNano()) + uint64(run)
		t.Run(fmt.Sprintf("any sequence of holds, fills, cancels, deposits and withdrawals keeps every identity, seed %d", seed), func(t *testing.T) {
			a := newAuditor(t, testkit.SQLiteConfig(t))
			w := &walk{auditor: a, random: rand.New(rand.NewPCG(seed, 7))}
			w.begin()
			for step := range steps {
				w.step()
				if step%20 == 0 {
					a.wantBooks()
				}
			}
			a.wantBooks()
			w.end()
		})
	}
}

// walk does things at random.
type walk struct {
	*auditor

	random *rand.Rand
	key    int
	order  int64
	seq    int64
	offset int64
}

func (w *walk) begin() {
	w.startConsumer()
	for _, member := range []int64{alice, bob} {
		w.fund(member, "BTC", "20")
		w.deposit(member, "USDT", 1_000_000_000_000)
		w.book(member, "BTC")
	}
}

func (w *walk) member() int64 { return []int64{alice, bob}[w.random.IntN(2)] }

func (w *walk) step() {
	w.t.Helper()
	w.key++
	ctx := w.t.Context()
	switch w.random.IntN(10) {
	case 0:
		w.pay(w.member(), "BTC", "0."+strconv.Itoa(1+w.random.IntN(999_999_999)))
	case 1, 2:
		w.mine("BTC", 1+w.random.Int64N(3))
	case 3, 4:
		w.must(w.worker.Turn(ctx))
		w.clk.Advance(time.Duration(w.random.IntN(20)) * time.Second)
	case 5:
		_, _ = w.withdraw(w.member(), strconv.Itoa(w.key), "BTC", fmt.Sprintf("%d.%d", w.random.IntN(15), w.random.IntN(100))) // a refusal does nothing
	case 6:
		w.decide()
	case 7:
		if w.random.IntN(3) == 0 { // the deposit of a deep one would stop the coin
			_, _ = w.chain.Reorg(ctx, "BTC", 1+w.random.Int64N(2), w.random.IntN(2) == 0)
		}
	case 8:
		w.trade()
	case 9:
		w.custody.before, w.custody.after = nil, nil
		if w.random.IntN(3) == 0 {
			w.custody.before = []error{errAway, custody.ErrRefused, custody.ErrFunds}[w.random.IntN(3)]
		} else if w.random.IntN(3) == 0 {
			w.custody.after = errAway
		}
	}
}

// decide cancels, approves or rejects one of the newest withdrawals; a refusal does
// nothing.
func (w *walk) decide() {
	list, err := w.Withdrawals(w.t.Context(), app.TransferQuery{}, 5)
	w.must(err)
	if len(list) == 0 {
		return
	}
	one := list[w.random.IntN(len(list))]
	if w.random.IntN(2) == 0 {
		_, _ = w.app.CancelWithdrawal(w.t.Context(), one.MemberID, one.ID)
		return
	}
	_, _ = w.app.ReviewWithdrawal(w.t.Context(), app.Review{
		WithdrawalID: one.ID, Operator: "o" + strconv.Itoa(w.random.IntN(2)), Approve: w.random.IntN(3) > 0,
	})
}

// trade holds for two orders and fills them, or gives one hold back.
func (w *walk) trade() {
	buy, sell := w.order+1, w.order+2
	w.order += 2
	quantity := 1000 + w.random.Int64N(100_000)
	if _, err := w.hold(buyHold(buy, alice, 2*quantity)); err != nil {
		return
	}
	if _, err := w.hold(sellHold(sell, bob, quantity)); err != nil || w.random.IntN(4) == 0 {
		w.must(w.ReleaseHold(w.t.Context(), buy, alice))
		if err == nil {
			w.must(w.ReleaseHold(w.t.Context(), sell, bob))
		}
		return
	}
	w.seq++
	r := match(w.seq, buy, alice, sell, bob, quantity, 2*quantity)
	r.TimeMs = w.clk.NowMs()
	w.must(w.settle(w.offset, []settlement.Record{r}...))
	w.offset++
}

// end lets everything come to its end, and compares the custody with it.
func (w *walk) end() {
	w.custody.before, w.custody.after = nil, nil
	for range 6 {
		w.clk.Advance(10 * time.Minute)
		w.must(w.worker.Turn(w.t.Context()))
		w.mine("BTC", 3)
	}
	w.wantBooks()
	if r := w.full(); r.Found != 0 {
		w.t.Fatalf("%+v", r.Discrepancies)
	}
	if stops := w.stops(); len(stops) != 0 {
		w.t.Fatalf("%+v", stops)
	}
}
