package store_test

import (
	"strings"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/settlement"
)

func (f *fixture) journalSum(account, coin string) (sum int64) {
	f.t.Helper()
	err := f.db.Read(f.t.Context()).Raw("SELECT COALESCE(SUM(amount), 0) FROM wallet_journal WHERE account = ? AND coin = ?", account, coin).Scan(&sum).Error
	if err != nil {
		f.t.Fatal(err)
	}
	return sum
}

func (f *fixture) wantFrozen(member int64, want bool) {
	f.t.Helper()
	if got, err := f.Frozen(f.t.Context(), member); err != nil || got != want {
		f.t.Errorf("withdrawals of member %d frozen: %t, %v", member, got, err)
	}
}

func TestStore_Settle_Suspense(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		f := newFixture(t, db)
		f.startConsumer()
		f.deposit(alice, "USDT", 1_000_000)
		f.deposit(bob, "BTC", 50_000)
		f.mustHold(buyHold(1, alice, 100_000))
		f.mustHold(buyHold(3, alice, 100_000))
		f.mustHold(sellHold(4, bob, 10_000))
		t.Run("an order without a hold goes to suspense, its counterparty and the rest of the batch are settled", func(t *testing.T) {
			err := f.settle(0, match(1, 1, alice, 2, bob, 10_000, 100_000), match(2, 3, alice, 4, bob, 10_000, 100_000))
			if err != nil {
				t.Fatal(err)
			}
			f.wantBalance(alice, "USDT", 800_000, 0)
			f.wantBalance(alice, "BTC", 2*(10_000-10), 0)
			f.wantBalance(bob, "BTC", 40_000, 0)
			f.wantBalance(bob, "USDT", 100_000-100, 0) // of order 4 only
			if btc, usdt := f.journalSum("SUSPENSE", "BTC"), f.journalSum("SUSPENSE", "USDT"); btc != -10_000 || usdt != 100_000-100 {
				t.Errorf("suspense holds %d BTC and %d USDT", btc, usdt)
			}
			f.wantFrozen(bob, true)
			f.wantFrozen(alice, false)
			got, err := f.Suspended(t.Context(), 0, 10)
			if err != nil || len(got) != 1 || got[0].OrderID != 2 || got[0].Seq != 1 || !strings.Contains(got[0].Cause, settlement.ErrNoHold.Error()) {
				t.Errorf("suspended: %+v, %v", got, err)
			}
			if _, err := f.hold(sellHold(2, bob, 10_000)); err == nil {
				t.Error("its hold could still be placed")
			}
		})
		t.Run("a wallet that holds less than its holds say sends the order there too", func(t *testing.T) {
			f.mustHold(buyHold(5, alice, 100_000))
			f.mustHold(sellHold(6, bob, 10_000))
			mustExec(t, db, "UPDATE member_wallet SET frozen_balance = 9999 WHERE member_id = ? AND coin_name = 'BTC'", bob)
			if err := f.settle(2, match(3, 5, alice, 6, bob, 10_000, 100_000)); err != nil {
				t.Fatal(err)
			}
			f.wantBalance(bob, "BTC", 30_000, 9999)
			f.wantBalance(alice, "BTC", 3*(10_000-10), 0)
			if btc := f.journalSum("SUSPENSE", "BTC"); btc != -20_000 {
				t.Errorf("suspense holds %d BTC", btc)
			}
			mustExec(t, db, "UPDATE member_wallet SET frozen_balance = 10000 WHERE member_id = ? AND coin_name = 'BTC'", bob)
		})
		t.Run("a hundred orders are too many: the books are in doubt, nothing is settled", func(t *testing.T) {
			var records []settlement.Record
			for seq := int64(4); seq < 4+100; seq++ {
				records = append(records, match(seq, 1000+2*seq, alice, 1001+2*seq, bob, 10, 100))
			}
			lines := f.count("wallet_journal")
			if err := f.settle(3, records...); err == nil || !strings.Contains(err.Error(), "too many orders") {
				t.Fatal(err)
			}
			if f.count("wallet_journal") != lines || f.count("wallet_suspense") != 2 {
				t.Error("something was settled")
			}
		})
		f.wantZeroSums()
	})
}

func mustExec(t *testing.T, db *database.DB, statement string, args ...any) {
	t.Helper()
	err := db.Tx(t.Context(), func(tx *database.Tx) error { return tx.DB().Exec(statement, args...).Error })
	if err != nil {
		t.Fatal(err)
	}
}
