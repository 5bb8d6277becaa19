package service_test

import (
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/testkit"
)

func TestService_Metrics(t *testing.T) {
	r := &running{
		t: t, broker: testkit.BrokerAddr(t, 1), redis: testkit.RedisServer(t).Addr(), db: testkit.SQLiteConfig(t),
		leases: lease.Config{Mode: lease.Static}, reconcileMs: 100,
	}
	r.run()
	want := func(t *testing.T, value float64, name string, labels ...string) {
		t.Helper()
		testkit.Eventually(t, 20*time.Second, func() bool {
			got, found := testkit.Metric(t, name, labels...)
			return found && got == value
		}, "%s%v is %v", name, labels, value)
	}
	lines, locks := testkit.Counted(t, "mscoin_journal_lines_total"), testkit.Counted(t, "mscoin_lock_wait_seconds", "result", "obtained")
	t.Run("holds that no record has spoken of are counted by age", func(t *testing.T) {
		r.setUp()
		want(t, 2, "mscoin_holds_pending", "age", "10s")
		want(t, 0, "mscoin_holds_pending", "age", "more")
	})
	t.Run("what is settled is no lag, no pending hold, and lines of the journal", func(t *testing.T) {
		r.publish(resting(), filled())
		r.wantFilled()
		want(t, 0, "mscoin_consumer_lag_records", "consumer", "wallet", "partition", "0")
		want(t, 0, "mscoin_halted_symbols", "consumer", "wallet")
		want(t, 0, "mscoin_holds_pending", "age", "10s")
		if lines() < 6 || locks() < 1 {
			t.Errorf("%v lines, locks taken %v times", lines(), locks())
		}
	})
	t.Run("the last reconciliation is clean, and young", func(t *testing.T) {
		want(t, 0, "mscoin_reconcile_discrepancies")
		want(t, 0, "mscoin_reconcile_alarms")
		finished, _ := testkit.Metric(t, "mscoin_reconcile_finished_timestamp_seconds")
		if age := clock.Real().Now().Sub(time.UnixMilli(int64(finished * 1000))); age < -time.Second || age > time.Minute {
			t.Errorf("it ended %v ago", age)
		}
	})
	t.Run("a cent too many is a discrepancy", func(t *testing.T) {
		db := testkit.OpenDatabase(t, r.db)
		err := db.Tx(t.Context(), func(tx *database.Tx) error {
			return tx.DB().Exec("UPDATE member_wallet SET balance = balance + 1 WHERE member_id = ? AND coin_name = 'BTC'", alice).Error
		})
		if err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, 20*time.Second, func() bool {
			found, _ := testkit.Metric(t, "mscoin_reconcile_discrepancies")
			return found > 0
		}, "the discrepancy is told")
	})
	t.Run("a record that cannot be read halts its symbol", func(t *testing.T) {
		r.send([]byte("damaged"))
		want(t, 1, "mscoin_halted_symbols", "consumer", "wallet")
	})
}
