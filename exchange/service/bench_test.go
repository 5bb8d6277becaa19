package service

import (
	"slices"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

// BenchmarkPlaceOrder is an order from the RPC to its answer, with the embedded
// broker and SQLite, both synced to disk, one caller.
func BenchmarkPlaceOrder(b *testing.B) {
	r := newRig(b, 1)
	r.wallet.deposit(2, "BTC", "10000000")
	r.wallet.deposit(1, "USDT", "10000000000")
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for i := range b.N {
		o := limit(1, buy, "100.00", "0.1")
		if i%2 == 0 {
			o = limit(2, sell, "100.00", "0.1")
		}
		start := clock.Real().Now()
		r.must(o)
		took = append(took, clock.Real().Now().Sub(start))
	}
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// BenchmarkPlaceOrderParallel is the same with many callers.
func BenchmarkPlaceOrderParallel(b *testing.B) {
	r := newRig(b, 1)
	r.wallet.deposit(2, "BTC", "10000000")
	r.wallet.deposit(1, "USDT", "10000000000")
	b.SetParallelism(32)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			o := limit(1, buy, "100.00", "0.1")
			if i%2 == 0 {
				o = limit(2, sell, "100.00", "0.1")
			}
			if _, err := r.place(o); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
}
