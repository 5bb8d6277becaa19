package store_test

import (
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/settlement"
)

func dialects(b *testing.B, run func(b *testing.B, db *database.DB)) {
	b.Run("sqlite", func(b *testing.B) { run(b, testkit.SQLite(b)) })
	b.Run("mariadb", func(b *testing.B) { run(b, testkit.OpenDatabase(b, testkit.MariaDBConfig(b))) })
}

// BenchmarkStore_PlaceHold is one hold in a transaction of its own.
func BenchmarkStore_PlaceHold(b *testing.B) {
	dialects(b, func(b *testing.B, db *database.DB) {
		f := newFixture(b, db)
		f.deposit(alice, "USDT", 1<<50)
		order := int64(0)
		for b.Loop() {
			order++
			f.mustHold(buyHold(order, alice, 10))
		}
	})
}

// BenchmarkStore_PlaceHolds100 is 100 holds of different members in one transaction.
func BenchmarkStore_PlaceHolds100(b *testing.B) {
	dialects(b, func(b *testing.B, db *database.DB) {
		f := newFixture(b, db)
		for m := range int64(100) {
			f.deposit(100+m, "USDT", 1<<50)
		}
		order := int64(0)
		for b.Loop() {
			reqs := make([]app.HoldRequest, 100)
			for i := range reqs {
				order++
				reqs[i] = buyHold(order, 100+int64(i), 10)
			}
			if _, err := f.PlaceHolds(b.Context(), reqs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkStore_Settle100 settles 100 records with one trade each, between 200
// members, in one transaction with its positions.
func BenchmarkStore_Settle100(b *testing.B) {
	dialects(b, func(b *testing.B, db *database.DB) {
		const n = 100
		f := newFixture(b, db)
		f.startConsumer()
		for m := range int64(n) {
			f.deposit(1000+m, "USDT", 1<<50)
			f.deposit(2000+m, "BTC", 1<<50)
		}
		order, seq := int64(0), int64(0)
		for b.Loop() {
			b.StopTimer()
			var reqs []app.HoldRequest
			var records []settlement.Record
			for i := range int64(n) {
				order += 2
				reqs = append(reqs, buyHold(order, 1000+i, 100_000), sellHold(order+1, 2000+i, 100_000))
				records = append(records, match(seq+i+1, order, 1000+i, order+1, 2000+i, 100_000, 90_000))
			}
			if _, err := f.PlaceHolds(b.Context(), reqs); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
			if err := f.settle(seq, records...); err != nil {
				b.Fatal(err)
			}
			seq += n
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "trades/s")
	})
}
