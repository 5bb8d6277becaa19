package main

import "math/rand/v2"

const (
	symbolName = "BTC/USDT"
	base       = "BTC"
	quote      = "USDT"
	whole      = 100_000_000 // units of a whole coin, both coins
	feeDivisor = 1000        // 0.1 %
	funds      = int64(1) << 50
)

// trade is two orders that fill each other: a seller's, which rests, and a buyer's,
// which holds more than it spends.
type trade struct {
	sell, buy         int64 // order ids
	seller, buyer     int64 // members
	quantity          int64 // base units
	turnover, buyHold int64 // quote units
}

// workload makes trades between random members, numbered from where it stopped.
type workload struct {
	rnd       *rand.Rand
	members   int64
	lastOrder int64
}

func newWorkload(seed uint64, members int64) *workload {
	return &workload{rnd: rand.New(rand.NewPCG(seed, seed)), members: members} //nolint:gosec // a workload needs no secret
}

func (w *workload) trades(n int) []trade {
	all := make([]trade, n)
	for i := range all {
		t := &all[i]
		t.sell, t.buy = w.lastOrder+1, w.lastOrder+2
		w.lastOrder += 2
		t.seller = 1 + w.rnd.Int64N(w.members)
		t.buyer = 1 + (t.seller+w.rnd.Int64N(w.members-1))%w.members
		t.quantity = 1000 * (1 + w.rnd.Int64N(1000))
		price := 50_000 + w.rnd.Int64N(10_000)
		t.turnover = t.quantity * price
		t.buyHold = t.quantity * (price + 100)
	}
	return all
}

// book is what the members must have after trades, with or without fees.
type book map[account]int64

type account struct {
	member int64
	coin   string
}

func (b book) settle(trades []trade, fees bool) {
	fee := func(received int64) int64 {
		if !fees {
			return 0
		}
		return received / feeDivisor
	}
	for _, t := range trades {
		b[account{t.seller, base}] -= t.quantity
		b[account{t.seller, quote}] += t.turnover - fee(t.turnover)
		b[account{t.buyer, quote}] -= t.turnover
		b[account{t.buyer, base}] += t.quantity - fee(t.quantity)
	}
}
