package reconcile

import (
	"cmp"
	"maps"
	"slices"

	"mscoin/wallet/ledger"
)

// Checker compares facts one by one, and so names each that does not fit. It keeps what
// it has seen in memory: it is for a part of the books, like the suspects of a [Sketch]
// or what has changed since the last look. It is for one goroutine.
//
// Feed the wallet's rows before the order store's, and wallets and holds before lines.
type Checker struct {
	books

	part     bool      // what needs all rows is left out
	suspects *Suspects // nil: everything
	starts   map[ledger.Account]chain
	wallets  map[ledger.WalletKey]*walletFacts
	txs      map[int64]*txFacts
	records  map[recordKey]int64 // transaction of a record
	orders   map[int64]*orderFacts
	chain    chain
}

type walletFacts struct {
	Wallet

	seen     [2]bool // has lines: available, held
	holdsSum int64   // Σ remaining of open holds, and what is pending
	missing  bool    // there is no such row
}

// txFacts are the sums of one transaction.
type txFacts struct {
	sums     map[string]int64 // non-zero ones
	lines    int64
	maxLine  int64
	world    int64          // what the world gave, minus the transfer
	coin     string         // of the world's line
	credit   ledger.Account // who got it
	credited int64
	transfer *Transfer
	last     Line

	correction *Correction
	corrected  map[ledger.Account]int64 // the journal's corrections, minus what was decided
}

type recordKey struct {
	symbol string
	seq    int64
}

// orderFacts are everything that is said about one order.
type orderFacts struct {
	hold     *ledger.Hold
	sawOrder bool
	trades   ledger.Facts // Σ trades
	held     int64        // journal: into the held account
	consumed int64        // journal: out of it to a counterparty
	released int64        // journal: back
	taken    int64        // journal: out of the available account
	returned int64        // journal: back into it
	received int64        // journal: from counterparties
	fee      int64        // journal: fee withheld
	feeHouse int64        // journal: fee credited
	stranger *Line        // a journal line that is not this order's
}

// chain is the account whose lines are being read.
type chain struct {
	account ledger.Account
	seq     int64
	balance int64
	last    place
}

// New returns an empty checker.
func New(f Frame) *Checker {
	return &Checker{
		books:   newBooks(f),
		wallets: map[ledger.WalletKey]*walletFacts{},
		txs:     map[int64]*txFacts{},
		records: map[recordKey]int64{},
		orders:  map[int64]*orderFacts{},
	}
}

// NewExact returns a checker that looks at the suspects alone and passes over every
// other row. What needs all rows (totals, fees, gaps in trades, the sum of each
// transaction) is the sketch's, and left out.
func NewExact(f Frame, s *Suspects) *Checker {
	c := NewPart(f)
	c.suspects = s
	return c
}

// NewPart returns a checker for a part of the books that is known to be whole in itself,
// like some members' wallets with what became of them since a place that was right:
// see [Checker.StartAt]. What needs all rows is left out, as in [NewExact].
func NewPart(f Frame) *Checker {
	c := New(f)
	c.part, c.starts = true, map[ledger.Account]chain{}
	return c
}

// StartAt says where the lines of a member's account begin: after this sequence, with
// this balance.
func (c *Checker) StartAt(a ledger.Account, seq, balance int64) {
	c.starts[a] = chain{account: a, seq: seq, balance: balance}
}

// AddWallet adds a wallet row.
func (c *Checker) AddWallet(w Wallet) {
	if !c.suspects.Member(w.MemberID) {
		return
	}
	c.wallet(&w)
	c.wallets[ledger.WalletKey{MemberID: w.MemberID, Coin: w.Coin}] = &walletFacts{Wallet: w}
}

func (c *Checker) walletOf(key ledger.WalletKey) *walletFacts {
	w := c.wallets[key]
	if w == nil {
		w = &walletFacts{Wallet: Wallet{MemberID: key.MemberID, Coin: key.Coin}, missing: true}
		c.wallets[key] = w
	}
	return w
}

func (c *Checker) orderOf(id int64) *orderFacts {
	o := c.orders[id]
	if o == nil {
		o = &orderFacts{}
		c.orders[id] = o
	}
	return o
}

// AddHold adds a hold.
func (c *Checker) AddHold(h *ledger.Hold) {
	if c.suspects.Order(h.OrderID) {
		held := *h
		c.orderOf(h.OrderID).hold = &held
		c.hold(h)
	}
	if c.suspects.Member(h.MemberID) && (h.State == ledger.HoldOpen || h.Remaining() != 0) {
		c.walletOf(ledger.WalletKey{MemberID: h.MemberID, Coin: h.Coin}).holdsSum += h.Remaining()
	}
}

// AddPending adds what is set aside for something else than an order.
func (c *Checker) AddPending(p Pending) {
	if c.suspects.Member(p.MemberID) {
		c.walletOf(ledger.WalletKey{MemberID: p.MemberID, Coin: p.Coin}).holdsSum += p.Amount
	}
}

// AddTransfer adds what crossed the border to the world.
func (c *Checker) AddTransfer(d Transfer) {
	if !c.part {
		c.transfer(&d)
	}
	if !c.suspects.Tx(d.TxID) {
		return
	}
	t := c.tx(d.TxID)
	t.transfer = &d
	t.world -= d.Amount - d.NetworkFee
	t.credited -= d.Amount
}

// AddCorrection adds what operators have corrected.
func (c *Checker) AddCorrection(d *Correction) {
	if !c.suspects.Tx(d.TxID) {
		return
	}
	kept, t := *d, c.tx(d.TxID)
	t.correction = &kept
	t.correct(d.From, d.Amount)
	t.correct(d.To, -d.Amount)
}

func (t *txFacts) correct(a ledger.Account, amount int64) {
	if t.corrected == nil {
		t.corrected = map[ledger.Account]int64{}
	}
	t.corrected[a] += amount
}

func (c *Checker) tx(id int64) *txFacts {
	t := c.txs[id]
	if t == nil {
		t = &txFacts{maxLine: -1}
		c.txs[id] = t
	}
	return t
}

// AddLine adds a journal line to its transaction, its record and its order, in any
// order; [Checker.AddChain] adds it to its account.
func (c *Checker) AddLine(l *Line) {
	if !c.part {
		c.line(l)
	}
	if c.suspects.Tx(l.TxID) {
		c.addToTx(l)
	}
	if l.OrderID == 0 || !c.suspects.Order(l.OrderID) {
		return
	}
	if l.Seq != 0 {
		key := recordKey{l.Symbol, l.Seq}
		if first, ok := c.records[key]; ok && first != l.TxID {
			at := place{where: recordName(l.Symbol, l.Seq), record: txName(l.TxID), sinceMs: l.TimeMs}
			c.found("C7", "record was settled by two transactions", at, "", first, l.TxID)
		} else if !ok {
			c.records[key] = l.TxID
		}
	}
	c.addToOrder(l)
}

func (c *Checker) addToTx(l *Line) {
	t := c.tx(l.TxID)
	t.lines++
	t.maxLine = max(t.maxLine, int64(l.Line))
	t.last = *l
	switch {
	case l.Reason == ledger.ReasonCorrection:
		t.correct(l.Account, l.Amount)
	case l.Account.Kind == ledger.World:
		t.world -= l.Amount
		t.coin = l.Account.Coin
	case crossesBorder(l):
		t.credit = l.Account
		t.credited += l.Amount
	}
	if t.sums == nil {
		t.sums = make(map[string]int64, 2)
	}
	if t.sums[l.Account.Coin] += l.Amount; t.sums[l.Account.Coin] == 0 {
		delete(t.sums, l.Account.Coin)
	}
}

// crossesBorder reports whether a member's line is the other side of the world's.
func crossesBorder(l *Line) bool {
	return l.Account.Kind.OfMember() && (l.Reason == ledger.ReasonDeposit || l.Reason == ledger.ReasonWithdraw)
}

// AddChain adds a line to its account (C2). The lines of one account must come together,
// in the order of their AccountSeq.
func (c *Checker) AddChain(l *Line) {
	if !l.Account.Kind.OfMember() || !c.suspects.Member(l.Account.MemberID) {
		return
	}
	if l.Account != c.chain.account {
		c.endChain()
		c.chain = c.starts[l.Account]
		c.chain.account = l.Account
	}
	if l.AccountSeq != c.chain.seq+1 {
		c.found("C2", "account sequence has a gap or a repetition", linePlace(l), "", c.chain.seq+1, l.AccountSeq)
	}
	if want := c.chain.balance + l.Amount; l.BalanceAfter != want {
		c.found("C2", "balance after the line is not the one before plus its amount", linePlace(l), l.Account.Coin, want, l.BalanceAfter)
	}
	c.chain.seq, c.chain.balance, c.chain.last = l.AccountSeq, l.BalanceAfter, linePlace(l)
}

func (c *Checker) endChain() {
	key, ok := c.chain.account.Wallet()
	if !ok {
		return
	}
	w := c.walletOf(key)
	if w.missing {
		return // reported once at the end
	}
	balance, seq, i := w.Available, w.AvailableSeq, 0
	if c.chain.account.Kind == ledger.Held {
		balance, seq, i = w.Held, w.HeldSeq, 1
	}
	w.seen[i] = true
	at := place{where: c.chain.account.String(), record: c.chain.last.record, sinceMs: c.chain.last.sinceMs, member: key.MemberID}
	c.expect("C2", "wallet row is not where its journal ends", at, key.Coin, c.chain.balance, balance)
	c.expect("C2", "wallet row counts other lines than its journal has", at, "", c.chain.seq, seq)
}

func (c *Checker) addToOrder(l *Line) {
	o := c.orderOf(l.OrderID)
	if l.Account.Kind == ledger.Fee {
		o.feeHouse += l.Amount
		return
	}
	if o.hold == nil || l.Account.MemberID != o.hold.MemberID {
		o.setStranger(l)
		return
	}
	own := l.Account.Coin == o.hold.Coin
	switch part(l) {
	case partHeld:
		o.held += l.Amount
	case partConsumed:
		o.consumed -= l.Amount
	case partReleased:
		o.released -= l.Amount
	case partTaken:
		o.taken -= l.Amount
	case partReturned:
		o.returned += l.Amount
	case partReceived:
		o.received, own = o.received+l.Amount, !own
	case partFee:
		o.fee, own = o.fee-l.Amount, !own
	default:
		own = false
	}
	if !own {
		o.setStranger(l)
	}
}

func (o *orderFacts) setStranger(l *Line) {
	if o.stranger == nil {
		first := *l
		o.stranger = &first
	}
}

// part is what a member's line of an order's is about.
func part(l *Line) uint64 {
	switch {
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonHold:
		return partHeld
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonTrade:
		return partConsumed
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonRelease:
		return partReleased
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonHold:
		return partTaken
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonRelease:
		return partReturned
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonTrade:
		return partReceived
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonFee:
		return partFee
	}
	return partOther
}

// AddTrade adds a trade. Without suspects the trades of one symbol must come together,
// in the order of their ids.
func (c *Checker) AddTrade(t *Trade) {
	if !c.part {
		if !c.trade(t) {
			return
		}
	} else if t.Seq > c.Settled[t.Symbol].Seq {
		return
	}
	c.addFill(t, t.MakerOrderID, t.MakerMemberID, t.MakerFee)
	c.addFill(t, t.TakerOrderID, t.TakerMemberID, t.TakerFee)
}

// addFill adds one side of a trade.
func (c *Checker) addFill(t *Trade, orderID, memberID, fee int64) {
	if !c.suspects.Order(orderID) {
		return
	}
	at := tradePlace(t)
	at.member = memberID
	o := c.orderOf(orderID)
	if o.hold == nil {
		at.where += ", " + orderName(orderID)
		c.found("C5", "trade of an order that has no hold", at, "", 0, 0)
	} else if o.hold.MemberID != memberID {
		at.where += ", " + orderName(orderID)
		c.found("C5", "trade names another member than the hold", at, "", o.hold.MemberID, memberID)
	}
	if _, ok := c.records[recordKey{t.Symbol, t.Seq}]; !ok {
		c.found("C5", "trade was not settled", at, "", t.Seq, 0)
	}
	o.trades.Traded += t.Quantity
	o.trades.Turnover += t.Turnover
	o.trades.Fee += fee
}

func orderPlace(o *Order) place {
	return place{where: orderName(o.OrderID), record: recordName(o.Symbol, o.Seq), sinceMs: o.TimeMs, member: o.MemberID}
}

// AddOrder adds an order.
func (c *Checker) AddOrder(r *Order) {
	if !c.suspects.Order(r.OrderID) {
		return
	}
	ahead := c.order(r)
	o := c.orders[r.OrderID]
	if o == nil || o.hold == nil {
		if r.Seq > 0 && !ahead {
			c.found("C5", "order has no hold", orderPlace(r), r.HoldCoin, r.HoldAmount, 0)
		}
		return
	}
	o.sawOrder = true
	c.expect("C5", "hold is another member's than the order", orderPlace(r), "", r.MemberID, o.hold.MemberID)
	if ahead {
		return // the order store is ahead: compared through its trades
	}
	if o.hold.Seq > r.Seq {
		c.found("C5", "order store has not applied what the wallet has settled", orderPlace(r), "", o.hold.Seq, r.Seq)
	}
	if o.hold.Seq == 0 && r.Seq == 0 {
		return // the matcher has not spoken
	}
	c.compareOrder(r, o.hold)
}

func (c *Checker) compareOrder(r *Order, h *ledger.Hold) {
	s, at := c.Symbols[r.Symbol], orderPlace(r)
	c.expect("C5", "hold's traded amount is not the order's", at, s.Base, r.Facts.Traded, h.Facts.Traded)
	c.expect("C5", "hold's turnover is not the order's", at, s.Quote, r.Facts.Turnover, h.Facts.Turnover)
	feeCoin := s.Base
	if r.HoldCoin == s.Base {
		feeCoin = s.Quote
	}
	c.expect("C5", "hold's fee is not the order's", at, feeCoin, r.Facts.Fee, h.Facts.Fee)
	c.expect("C5", "what the hold has left is not what the order needs", at, r.HoldCoin, r.HeldRemaining, h.Remaining())
}

// Finish returns the report, with the discrepancies ordered by check and place.
func (c *Checker) Finish() Report {
	c.endChain()
	c.finishWallets()
	c.finishTxs()
	c.finishOrders()
	if !c.part {
		c.finish()
	}
	c.report.sort()
	return c.report
}

func (c *Checker) finishWallets() {
	for _, key := range slices.SortedFunc(maps.Keys(c.wallets), ledger.WalletKey.Compare) {
		w, at := c.wallets[key], walletPlace(key.MemberID)
		if w.missing {
			c.found("C2", "journal or hold without a wallet row", at, key.Coin, 0, 0)
			continue
		}
		c.unseen(w.seen[0], ledger.AvailableOf(key.MemberID, key.Coin), w.Available, w.AvailableSeq)
		c.unseen(w.seen[1], ledger.HeldOf(key.MemberID, key.Coin), w.Held, w.HeldSeq)
		at.sinceMs = w.UpdatedMs
		c.expect("C4", "wallet holds something else than its open holds", at, key.Coin, w.holdsSum, w.Held)
	}
}

// unseen checks an account of which no line was read: it is where it began.
func (c *Checker) unseen(seen bool, a ledger.Account, balance, seq int64) {
	start := c.starts[a]
	if !seen && (balance != start.balance || seq != start.seq) {
		c.found("C2", "balance without a journal", place{where: a.String(), member: a.MemberID}, a.Coin, start.balance, balance)
	}
}

func (c *Checker) finishTxs() {
	c.report.Counts.Transactions = int64(len(c.txs))
	for _, id := range slices.Sorted(maps.Keys(c.txs)) {
		t := c.txs[id]
		at := place{where: txName(id), sinceMs: t.last.TimeMs}
		if t.last.Seq > 0 {
			at.record = recordName(t.last.Symbol, t.last.Seq)
		}
		for _, coin := range slices.Sorted(maps.Keys(t.sums)) {
			c.found("C1", "transaction does not sum to zero", at, coin, 0, t.sums[coin])
		}
		if t.lines != t.maxLine+1 {
			c.found("C1", "transaction has lost or gained lines", at, "", t.maxLine+1, t.lines)
		}
		c.finishTransfer(t, at)
		c.finishCorrection(t, at)
	}
}

func (c *Checker) finishCorrection(t *txFacts, at place) {
	what := "correction that nobody has approved"
	if d := t.correction; d != nil {
		what = "correction was booked as something else than was approved"
		at.where += ", " + d.Reference
		at.sinceMs = d.TimeMs
	}
	for _, a := range slices.SortedFunc(maps.Keys(t.corrected), func(x, y ledger.Account) int { return cmp.Compare(x.String(), y.String()) }) {
		if t.corrected[a] != 0 {
			here := at
			here.where, here.member = at.where+", "+a.String(), a.MemberID
			c.found("C3", what, here, a.Coin, 0, t.corrected[a])
		}
	}
}

func (c *Checker) finishTransfer(t *txFacts, at place) {
	d := t.transfer
	if d != nil {
		at.where += ", " + d.Reference
		at.sinceMs, at.member = d.TimeMs, d.Account.MemberID
	}
	switch {
	case d == nil && t.world == 0:
	case d == nil:
		at.member = t.credit.MemberID
		c.found("C3", "money came from the world without a deposit or went there without a withdrawal", at, t.coin, 0, t.world)
	case t.world != 0:
		crossed := d.Amount - d.NetworkFee
		c.found("C3", "transfer is not what crossed the border to the world", at, d.Account.Coin, crossed, crossed+t.world)
	case t.credit != d.Account:
		at.where += ", " + t.credit.String()
		c.found("C3", "transfer was booked to another account", at, d.Account.Coin, d.Amount, 0)
	default:
		c.expect("C3", "transfer was booked to its account with another amount", at, d.Account.Coin, d.Amount, d.Amount+t.credited)
	}
}

func (c *Checker) finishOrders() {
	for _, id := range slices.Sorted(maps.Keys(c.orders)) {
		o := c.orders[id]
		if l := o.stranger; l != nil {
			at := linePlace(l)
			at.where = orderName(id) + ", " + at.where
			c.found("C4", "journal books the order to an account that is not its", at, l.Account.Coin, 0, l.Amount)
		}
		if o.hold == nil {
			continue
		}
		h, at := o.hold, holdPlace(o.hold)
		if !o.sawOrder && h.Held != 0 && !c.BooksOnly {
			c.found("C5", "hold has no order", at, h.Coin, 0, h.Held)
		}
		c.expect("C4", "journal held something else than the hold", at, h.Coin, h.Held, o.held)
		c.expect("C4", "journal took something else than the hold from what was available", at, h.Coin, h.Held, o.taken)
		c.expect("C4", "journal consumed something else than the hold", at, h.Coin, h.Consumed, o.consumed)
		c.expect("C4", "journal released something else than the hold", at, h.Coin, h.Released, o.released)
		c.expect("C4", "journal returned something else than the hold released", at, h.Coin, h.Released, o.returned)
		if !c.BooksOnly {
			c.finishFills(o, at)
		}
	}
}

// finishFills compares the hold's facts with the sum of the trades and with what the
// journal paid.
func (c *Checker) finishFills(o *orderFacts, at place) {
	h := o.hold
	s := c.Symbols[h.Symbol]
	_, received, coin := c.settledBy(h)
	c.expect("C5", "hold's traded amount is not the sum of the trades", at, s.Base, o.trades.Traded, h.Facts.Traded)
	c.expect("C5", "hold's turnover is not the sum of the trades", at, s.Quote, o.trades.Turnover, h.Facts.Turnover)
	c.expect("C5", "hold's fee is not the sum of the trades", at, coin, o.trades.Fee, h.Facts.Fee)
	c.expect("C5", "journal paid something else than the order traded", at, coin, received, o.received)
	c.expect("C5", "journal withheld another fee", at, coin, h.Facts.Fee, o.fee)
	c.expect("C9", "journal credited another fee than the order's", at, coin, h.Facts.Fee, o.feeHouse)
}
