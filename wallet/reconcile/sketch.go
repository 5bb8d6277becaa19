package reconcile

import (
	"math/bits"

	"mscoin/wallet/ledger"
)

// Sketch compares all books in one pass over their rows, in memory that does not grow
// with them. What must be equal is not kept but summed: both sides of a comparison go,
// with opposite signs and multiplied by a weight drawn from their names, into one of
// [Places] sums modulo 2^128. Rows that fit leave every sum at zero, whatever their
// order; rows that do not leave their place's sum at something else, except with a
// probability of 2^-64. An [Checker] over the [Suspects] then tells what is wrong.
//
// A line of an account enters as the step from (sequence − 1, balance − amount) to
// (sequence, balance): a chain without gap telescopes to its ends, which the wallet row
// must be.
//
// Rows that are wrong by themselves, transactions that do not sum to zero, gaps in the
// trades, totals and fees are found and named in this pass already.
type Sketch struct {
	Journal

	seed    [2]uint64
	orders  []sum
	members []sum
	txs     []sum
}

// Places is how many sums a sketch keeps of each sort.
const Places = 1 << 16

// Parts of an order that are compared; each has weights of its own.
const (
	partHeld uint64 = iota + 1
	partConsumed
	partReleased
	partTaken
	partReturned
	partReceived
	partFee
	partFeeHouse
	partOther
	partTraded
	partTurnover
	partTradeFee
	partOrder // five numbers: partOrder to partOrder + 4
	_
	_
	_
	_
	partPresent
	partHolds
	partChain
	partWorld
	partCredit
	partCorrection
)

// sum is a number modulo 2^128.
type sum struct{ hi, lo uint64 }

func (s *sum) add(w sum, amount int64) {
	hi, lo := bits.Mul64(w.lo, uint64(amount))
	hi += w.hi * uint64(amount)
	if amount < 0 { // the upper half of a negative number is all ones
		hi -= w.lo
	}
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, lo, 0)
	s.hi, _ = bits.Add64(s.hi, hi, carry)
}

// NewSketch returns an empty sketch. seed must be random and unknown to whoever may
// have damaged the books; two sketches to be joined need the same.
func NewSketch(f Frame, seed [2]uint64) *Sketch {
	return &Sketch{Journal: *NewJournal(f), seed: seed, orders: make([]sum, Places), members: make([]sum, Places), txs: make([]sum, Places)}
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

func (s *Sketch) weight(part uint64, a, b int64, c uint64) sum {
	h := mix(s.seed[0] + part)
	h = mix(h ^ uint64(a))
	h = mix(h + uint64(b))
	h = mix(h ^ c)
	return sum{hi: mix(h + s.seed[1]), lo: h}
}

// name is a number for a short text (FNV-1a).
func name(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

func placeOf(seed [2]uint64, id int64) uint64 {
	return mix(uint64(id)^seed[1]) % Places
}

func (s *Sketch) atOrder(id int64) *sum  { return &s.orders[placeOf(s.seed, id)] }
func (s *Sketch) atMember(id int64) *sum { return &s.members[placeOf(s.seed, id)] }
func (s *Sketch) atTx(id int64) *sum     { return &s.txs[placeOf(s.seed, id)] }
func account(a *ledger.Account) uint64   { return name(a.Coin) + uint64(a.Kind) }
func (s *sum) isZero() bool              { return s.hi == 0 && s.lo == 0 }

// AddWallet adds a wallet row.
func (s *Sketch) AddWallet(w Wallet) {
	s.wallet(&w)
	at := s.atMember(w.MemberID)
	s.end(at, ledger.AvailableOf(w.MemberID, w.Coin), w.AvailableSeq, w.Available)
	s.end(at, ledger.HeldOf(w.MemberID, w.Coin), w.HeldSeq, w.Held)
	at.add(s.weight(partHolds, w.MemberID, 0, name(w.Coin)), -w.Held)
}

// end takes the way from nothing to the end of an account.
func (s *Sketch) end(at *sum, a ledger.Account, seq, balance int64) {
	s.step(at, &a, seq, balance, -1)
	s.step(at, &a, 0, 0, 1)
}

// step adds or takes a point of an account.
func (s *Sketch) step(at *sum, a *ledger.Account, seq, balance, sign int64) {
	h := s.weight(partChain, a.MemberID, seq, account(a))
	h.lo = mix(h.lo ^ uint64(balance))
	h.hi = mix(h.lo + s.seed[1])
	at.add(h, sign)
}

// AddHold adds a hold. compare says that its order was among those that AddOrder
// returned true for, or should have been: see [Unsure].
func (s *Sketch) AddHold(h *ledger.Hold, compare bool) {
	s.hold(h)
	if h.State == ledger.HoldOpen || h.Remaining() != 0 {
		s.atMember(h.MemberID).add(s.weight(partHolds, h.MemberID, 0, name(h.Coin)), h.Remaining())
	}
	at, coin := s.atOrder(h.OrderID), name(h.Coin)
	at.add(s.weight(partHeld, h.OrderID, h.MemberID, coin), -h.Held)
	at.add(s.weight(partTaken, h.OrderID, h.MemberID, coin), -h.Held)
	at.add(s.weight(partConsumed, h.OrderID, h.MemberID, coin), -h.Consumed)
	at.add(s.weight(partReleased, h.OrderID, h.MemberID, coin), -h.Released)
	at.add(s.weight(partReturned, h.OrderID, h.MemberID, coin), -h.Released)
	if s.BooksOnly {
		return
	}
	_, received, other := s.settledBy(h)
	coin = name(other)
	at.add(s.weight(partReceived, h.OrderID, h.MemberID, coin), -received)
	at.add(s.weight(partFee, h.OrderID, h.MemberID, coin), -h.Facts.Fee)
	at.add(s.weight(partFeeHouse, h.OrderID, 0, coin), -h.Facts.Fee)
	at.add(s.weight(partTraded, h.OrderID, h.MemberID, 0), -h.Facts.Traded)
	at.add(s.weight(partTurnover, h.OrderID, h.MemberID, 0), -h.Facts.Turnover)
	at.add(s.weight(partTradeFee, h.OrderID, h.MemberID, 0), -h.Facts.Fee)
	if compare && h.Held != 0 {
		s.addWord(h.OrderID, h.MemberID, &h.Facts, h.Remaining(), h.Seq, -1)
	}
}

// addWord adds what a hold or an order says of an order at the same record.
func (s *Sketch) addWord(orderID, memberID int64, f *ledger.Facts, remaining, seq, sign int64) {
	at := s.atOrder(orderID)
	for i, n := range [...]int64{f.Traded, f.Turnover, f.Fee, remaining, seq} {
		at.add(s.weight(partOrder+uint64(i), orderID, memberID, 0), sign*n)
	}
	at.add(s.weight(partPresent, orderID, memberID, 0), sign)
}

// AddPending adds what is set aside for something else than an order.
func (s *Sketch) AddPending(p Pending) {
	s.atMember(p.MemberID).add(s.weight(partHolds, p.MemberID, 0, name(p.Coin)), p.Amount)
}

// AddTransfer adds what crossed the border to the world.
func (s *Sketch) AddTransfer(d Transfer) {
	s.transfer(&d)
	at := s.atTx(d.TxID)
	at.add(s.weight(partWorld, d.TxID, 0, name(d.Account.Coin)), d.Amount-d.NetworkFee)
	at.add(s.weight(partCredit, d.TxID, d.Account.MemberID, account(&d.Account)), -d.Amount)
}

// AddCorrection adds what operators have corrected.
func (s *Sketch) AddCorrection(c *Correction) {
	at := s.atTx(c.TxID)
	at.add(s.correctionWeight(c.TxID, &c.From), c.Amount)
	at.add(s.correctionWeight(c.TxID, &c.To), -c.Amount)
}

func (s *Sketch) correctionWeight(txID int64, a *ledger.Account) sum {
	return s.weight(partCorrection, txID, a.MemberID, account(a))
}

// AddLine adds a journal line. The lines of one transaction must come together.
func (s *Sketch) AddLine(l *Line) {
	s.Journal.AddLine(l)
	if l.Account.Kind.OfMember() {
		at := s.atMember(l.Account.MemberID)
		s.step(at, &l.Account, l.AccountSeq, l.BalanceAfter, 1)
		s.step(at, &l.Account, l.AccountSeq-1, l.BalanceAfter-l.Amount, -1)
	}
	switch {
	case l.Reason == ledger.ReasonCorrection:
		s.atTx(l.TxID).add(s.correctionWeight(l.TxID, &l.Account), l.Amount)
	case l.Account.Kind == ledger.World:
		s.atTx(l.TxID).add(s.weight(partWorld, l.TxID, 0, name(l.Account.Coin)), l.Amount)
	case crossesBorder(l):
		s.atTx(l.TxID).add(s.weight(partCredit, l.TxID, l.Account.MemberID, account(&l.Account)), l.Amount)
	}
	if l.OrderID != 0 {
		s.addToOrder(l)
	}
}

func (s *Sketch) addToOrder(l *Line) {
	p := part(l)
	if l.Account.Kind == ledger.Fee {
		p = partFeeHouse
	}
	if s.BooksOnly && (p == partReceived || p == partFee || p == partFeeHouse) {
		return
	}
	amount := l.Amount
	switch p {
	case partConsumed, partReleased, partTaken, partFee:
		amount = -amount
	}
	s.atOrder(l.OrderID).add(s.weight(p, l.OrderID, l.Account.MemberID, name(l.Account.Coin)), amount)
}

// AddTrade adds a trade. The trades of one symbol must come together, in the order of
// their ids.
func (s *Sketch) AddTrade(t *Trade) {
	if !s.trade(t) {
		return
	}
	s.addFill(t, t.MakerOrderID, t.MakerMemberID, t.MakerFee)
	s.addFill(t, t.TakerOrderID, t.TakerMemberID, t.TakerFee)
}

func (s *Sketch) addFill(t *Trade, orderID, memberID, fee int64) {
	at := s.atOrder(orderID)
	at.add(s.weight(partTraded, orderID, memberID, 0), t.Quantity)
	at.add(s.weight(partTurnover, orderID, memberID, 0), t.Turnover)
	at.add(s.weight(partTradeFee, orderID, memberID, 0), fee)
}

// AddOrder adds an order. It reports false for one whose hold cannot be compared with
// it: the matcher has not spoken of it, refused it, or spoke of it in a record that the
// wallet has not come to.
func (s *Sketch) AddOrder(o *Order) (compare bool) {
	if s.order(o) || o.Seq == 0 || o.Rejected {
		return false
	}
	s.addWord(o.OrderID, o.MemberID, &o.Facts, o.HeldRemaining, o.Seq, 1)
	return true
}

// Merge adds what another sketch of the same seed has seen, of other rows.
func (s *Sketch) Merge(o *Sketch) {
	o.endTx()
	for _, both := range [...]struct{ to, from []sum }{{s.orders, o.orders}, {s.members, o.members}, {s.txs, o.txs}} {
		for i := range both.to {
			both.to[i].add(both.from[i], 1)
		}
	}
	s.merge(&o.books)
}

// Finish ends the pass: the report of what it found by itself, and where to look
// closer. Suspects is nil when there is nothing to look for.
func (s *Sketch) Finish() (Report, *Suspects) {
	s.endTx()
	s.finish()
	s.report.sort()
	suspects := newSuspects(s.seed)
	suspects.collect(s.orders, suspects.orders)
	suspects.collect(s.members, suspects.members)
	suspects.collect(s.txs, suspects.txs)
	if suspects.Count == 0 {
		return s.report, nil
	}
	s.report.Unnamed = suspects.Left
	return s.report, suspects
}

// Suspects are the places of a sketch whose sums are not zero: every order, member or
// transaction that does not fit is among them, and some that do. A nil Suspects are all.
type Suspects struct {
	seed                 [2]uint64
	orders, members, txs map[uint64]struct{}
	// Count is how many places there are to look into; Left how many more were
	// seen, which is none unless something is wrong almost everywhere.
	Count, Left int64
}

// maxSuspects bounds the places of one sort that are looked into.
const maxSuspects = 64

func newSuspects(seed [2]uint64) *Suspects {
	return &Suspects{seed: seed, orders: map[uint64]struct{}{}, members: map[uint64]struct{}{}, txs: map[uint64]struct{}{}}
}

func (s *Suspects) collect(sums []sum, into map[uint64]struct{}) {
	for i := range sums {
		switch {
		case sums[i].isZero():
		case len(into) == maxSuspects:
			s.Left++
		default:
			into[uint64(i)] = struct{}{}
			s.Count++
		}
	}
}

// Order reports whether an order is suspect.
func (s *Suspects) Order(id int64) bool { return s == nil || s.has(s.orders, id) }

// Member reports whether a member is suspect.
func (s *Suspects) Member(id int64) bool { return s == nil || s.has(s.members, id) }

// Tx reports whether a transaction is suspect.
func (s *Suspects) Tx(id int64) bool { return s == nil || s.has(s.txs, id) }

func (s *Suspects) has(places map[uint64]struct{}, id int64) bool {
	_, ok := places[placeOf(s.seed, id)]
	return ok
}
