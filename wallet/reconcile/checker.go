package reconcile

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"mscoin/wallet/ledger"
)

// Checker collects facts. Feed the wallet's before the order store's; the order
// among one kind only matters where a method says so. It is for one goroutine.
type Checker struct {
	report    Report
	settled   map[string]Position // the wallet's positions
	stored    map[string]Position // the order store's positions
	symbols   map[string]Symbol
	wallets   map[ledger.WalletKey]*walletFacts
	house     map[ledger.Account]int64
	txs       map[int64]*txFacts
	records   map[recordKey]*recordFacts
	orders    map[int64]*orderFacts
	fees      map[feeKey]int64 // journal minus trades
	chain     chain
	lastTrade Trade
}

type walletFacts struct {
	Wallet

	seen     [2]bool // has lines: available, held
	holdsSum int64   // Σ remaining of open holds
	missing  bool    // there is no such row
}

// txFacts are the sums of one transaction.
type txFacts struct {
	sums    map[string]int64 // non-zero ones
	lines   int64
	maxLine int64
	world   int64          // what the world gave, minus the deposit
	credit  ledger.Account // who got it
	deposit *Deposit
}

type recordKey struct {
	symbol string
	seq    int64
}

// recordFacts are what the journal says of one record.
type recordFacts struct {
	txID int64
}

// orderFacts are everything that is said about one order.
type orderFacts struct {
	hold     *ledger.Hold
	sawOrder bool
	trades   ledger.Facts // Σ trades
	held     int64        // journal: into the held account
	consumed int64        // journal: out of it to a counterparty
	released int64        // journal: back
	received int64        // journal: from counterparties
	fee      int64        // journal: fee withheld
	feeHouse int64        // journal: fee credited
	stranger string       // a journal account that is not this order's
}

type feeKey struct{ symbol, coin string }

// chain is the account whose lines are being read.
type chain struct {
	account ledger.Account
	seq     int64
	balance int64
}

// New returns an empty checker. settled is how far the wallet has settled each symbol.
func New(settled map[string]Position) *Checker {
	return &Checker{
		settled: settled,
		stored:  map[string]Position{},
		symbols: map[string]Symbol{},
		wallets: map[ledger.WalletKey]*walletFacts{},
		house:   map[ledger.Account]int64{},
		txs:     map[int64]*txFacts{},
		records: map[recordKey]*recordFacts{},
		orders:  map[int64]*orderFacts{},
		fees:    map[feeKey]int64{},
	}
}

// found notes a discrepancy.
func (c *Checker) found(check, what, where, coin string, want, got int64) {
	c.report.Found++
	if len(c.report.Discrepancies) < MaxListed {
		c.report.Discrepancies = append(c.report.Discrepancies, Discrepancy{
			Check: check, What: what, Where: where, Coin: coin, Want: want, Got: got, Amount: got - want,
		})
	}
}

// expect notes a discrepancy when got is not want.
func (c *Checker) expect(check, what, where, coin string, want, got int64) {
	if got != want {
		c.found(check, what, where, coin, want, got)
	}
}

// AddWallet adds a wallet row. All wallets come before the first line.
func (c *Checker) AddWallet(w Wallet) {
	c.report.Counts.Wallets++
	c.wallets[ledger.WalletKey{MemberID: w.MemberID, Coin: w.Coin}] = &walletFacts{Wallet: w}
	for _, part := range [...]struct {
		name   string
		amount int64
	}{{"available", w.Available}, {"held", w.Held}} {
		if part.amount < 0 {
			c.found("C2", part.name+" balance is negative", fmt.Sprintf("wallet of member %d", w.MemberID), w.Coin, 0, part.amount)
		}
	}
}

func (c *Checker) wallet(key ledger.WalletKey) *walletFacts {
	w := c.wallets[key]
	if w == nil {
		w = &walletFacts{Wallet: Wallet{MemberID: key.MemberID, Coin: key.Coin}, missing: true}
		c.wallets[key] = w
	}
	return w
}

func (c *Checker) order(id int64) *orderFacts {
	o := c.orders[id]
	if o == nil {
		o = &orderFacts{}
		c.orders[id] = o
	}
	return o
}

// AddHold adds a hold. All holds come before the first line.
func (c *Checker) AddHold(h ledger.Hold) {
	c.report.Counts.Holds++
	c.order(h.OrderID).hold = &h
	where := orderName(h.OrderID)
	if err := h.Validate(); err != nil {
		c.found("C4", "hold contradicts itself, state "+h.State.String(), where, h.Coin, h.Held, h.Consumed+h.Released)
	}
	if h.State == ledger.HoldOpen || h.Remaining() != 0 {
		c.wallet(ledger.WalletKey{MemberID: h.MemberID, Coin: h.Coin}).holdsSum += h.Remaining()
	}
	if settled := c.settled[h.Symbol].Seq; h.Seq > settled {
		c.found("C7", "hold is at a record that the wallet has not settled", where+" on "+h.Symbol, "", settled, h.Seq)
	}
}

// AddDeposit adds a deposit.
func (c *Checker) AddDeposit(d Deposit) {
	c.report.Counts.Deposits++
	t := c.tx(d.TxID)
	t.deposit = &d
	t.world -= d.Amount
}

func (c *Checker) tx(id int64) *txFacts {
	t := c.txs[id]
	if t == nil {
		t = &txFacts{maxLine: -1}
		c.txs[id] = t
	}
	return t
}

// AddLine adds a journal line. The lines of one account must come together, in the
// order of their AccountSeq.
func (c *Checker) AddLine(l Line) {
	c.report.Counts.Lines++
	c.addToTx(&l)
	if l.Account.Kind.OfMember() {
		c.addToChain(&l)
	} else {
		c.house[l.Account] += l.Amount
	}
	if l.Seq != 0 {
		c.addToRecord(&l)
	}
	if l.Account.Kind == ledger.Fee {
		c.fees[feeKey{l.Symbol, l.Account.Coin}] += l.Amount
	}
	if l.OrderID != 0 {
		c.addToOrder(&l)
	}
}

func (c *Checker) addToTx(l *Line) {
	t := c.tx(l.TxID)
	t.lines++
	t.maxLine = max(t.maxLine, int64(l.Line))
	if l.Account.Kind == ledger.World {
		t.world -= l.Amount
	} else if l.Reason == ledger.ReasonDeposit {
		t.credit = l.Account
	}
	if t.sums == nil {
		t.sums = make(map[string]int64, 2)
	}
	if t.sums[l.Account.Coin] += l.Amount; t.sums[l.Account.Coin] == 0 {
		delete(t.sums, l.Account.Coin)
	}
}

// addToChain checks C2 for a line and, at the end of an account, for its wallet.
func (c *Checker) addToChain(l *Line) {
	if l.Account != c.chain.account {
		c.endChain()
		c.chain = chain{account: l.Account}
	}
	where := fmt.Sprintf("%s, transaction %d line %d", l.Account, l.TxID, l.Line)
	if l.AccountSeq != c.chain.seq+1 {
		c.found("C2", "account sequence has a gap or a repetition", where, "", c.chain.seq+1, l.AccountSeq)
	}
	if want := c.chain.balance + l.Amount; l.BalanceAfter != want {
		c.found("C2", "balance after the line is not the one before plus its amount", where, l.Account.Coin, want, l.BalanceAfter)
	}
	if l.BalanceAfter < 0 {
		c.found("C2", "account became negative", where, l.Account.Coin, 0, l.BalanceAfter)
	}
	c.chain.seq, c.chain.balance = l.AccountSeq, l.BalanceAfter
}

func (c *Checker) endChain() {
	key, ok := c.chain.account.Wallet()
	if !ok {
		return
	}
	w := c.wallet(key)
	if w.missing {
		return // reported once at the end
	}
	balance, seq, i := w.Available, w.AvailableSeq, 0
	if c.chain.account.Kind == ledger.Held {
		balance, seq, i = w.Held, w.HeldSeq, 1
	}
	w.seen[i] = true
	c.expect("C2", "wallet row is not where its journal ends", c.chain.account.String(), key.Coin, c.chain.balance, balance)
	c.expect("C2", "wallet row counts other lines than its journal has", c.chain.account.String(), "", c.chain.seq, seq)
}

// addToRecord collects what a record moved, to be compared with its trades.
func (c *Checker) addToRecord(l *Line) {
	key := recordKey{l.Symbol, l.Seq}
	r := c.records[key]
	if r == nil {
		r = &recordFacts{txID: l.TxID}
		c.records[key] = r
	}
	if r.txID != l.TxID {
		c.found("C7", "record was settled by two transactions", key.String(), "", r.txID, l.TxID)
	}
}

func (c *Checker) addToOrder(l *Line) {
	o := c.order(l.OrderID)
	switch {
	case l.Account.Kind == ledger.Fee:
		o.feeHouse += l.Amount
	case o.hold == nil || l.Account.MemberID != o.hold.MemberID:
		o.stranger = l.Account.String()
	case l.Account.Kind == ledger.Held && l.Account.Coin != o.hold.Coin:
		o.stranger = l.Account.String()
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonHold:
		o.held += l.Amount
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonTrade:
		o.consumed -= l.Amount
	case l.Account.Kind == ledger.Held && l.Reason == ledger.ReasonRelease:
		o.released -= l.Amount
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonTrade:
		o.received += l.Amount
	case l.Account.Kind == ledger.Available && l.Reason == ledger.ReasonFee:
		o.fee -= l.Amount
	}
}

// AddStored adds how far the order store has applied a symbol.
func (c *Checker) AddStored(symbol string, p Position) { c.stored[symbol] = p }

// AddSymbol adds a symbol.
func (c *Checker) AddSymbol(s Symbol) { c.symbols[s.Name] = s }

// AddTrade adds a trade. The trades of one symbol must come together, in the order
// of their ids.
func (c *Checker) AddTrade(t Trade) {
	if t.Symbol != c.lastTrade.Symbol {
		c.lastTrade = Trade{}
	}
	where := fmt.Sprintf("%s trade %d", t.Symbol, t.TradeID)
	c.expect("C7", "trade ids have a gap", where, "", c.lastTrade.TradeID+1, t.TradeID)
	if t.Seq < c.lastTrade.Seq {
		c.found("C7", "trade is of an earlier record than the one before", where, "", c.lastTrade.Seq, t.Seq)
	}
	c.lastTrade = t
	if t.Seq > c.settled[t.Symbol].Seq {
		c.report.Counts.TradesAhead++
		return
	}
	c.report.Counts.Trades++
	c.addFill(&t, t.MakerOrderID, t.MakerMemberID, t.MakerFee, !t.TakerBuys)
	c.addFill(&t, t.TakerOrderID, t.TakerMemberID, t.TakerFee, t.TakerBuys)
	if r := c.records[recordKey{t.Symbol, t.Seq}]; r == nil {
		c.found("C5", "trade was not settled", where, "", t.Seq, 0)
	}
}

// addFill adds one side of a trade.
func (c *Checker) addFill(t *Trade, orderID, memberID, fee int64, buys bool) {
	where := fmt.Sprintf("%s trade %d, order %d", t.Symbol, t.TradeID, orderID)
	o := c.order(orderID)
	if o.hold == nil {
		c.found("C5", "trade of an order that has no hold", where, "", 0, 0)
	} else if o.hold.MemberID != memberID {
		c.found("C5", "trade names another member than the hold", where, "", o.hold.MemberID, memberID)
	}
	o.trades.Traded += t.Quantity
	o.trades.Turnover += t.Turnover
	o.trades.Fee += fee
	s := c.symbols[t.Symbol]
	coin := s.Quote
	if buys {
		coin = s.Base
	}
	c.fees[feeKey{t.Symbol, coin}] -= fee
}

// AddOrder adds an order.
func (c *Checker) AddOrder(r Order) {
	c.report.Counts.Orders++
	settled := c.settled[r.Symbol].Seq
	if r.Seq > settled {
		c.report.Counts.OrdersAhead++
	}
	where := orderName(r.OrderID)
	o := c.orders[r.OrderID]
	if o == nil || o.hold == nil {
		if r.Seq > 0 && r.Seq <= settled {
			c.found("C5", "order has no hold", where, r.HoldCoin, r.HoldAmount, 0)
		}
		return
	}
	o.sawOrder = true
	c.expect("C5", "hold is another member's than the order", where, "", r.MemberID, o.hold.MemberID)
	if r.Seq > settled {
		return // the order store is ahead: compared through its trades
	}
	if o.hold.Seq > r.Seq {
		c.found("C5", "order store has not applied what the wallet has settled", where, "", o.hold.Seq, r.Seq)
	}
	if o.hold.Seq == 0 && r.Seq == 0 {
		return // the matcher has not spoken
	}
	c.compareOrder(&r, o.hold, where)
}

func (c *Checker) compareOrder(r *Order, h *ledger.Hold, where string) {
	s := c.symbols[r.Symbol]
	c.expect("C5", "hold's traded amount is not the order's", where, s.Base, r.Facts.Traded, h.Facts.Traded)
	c.expect("C5", "hold's turnover is not the order's", where, s.Quote, r.Facts.Turnover, h.Facts.Turnover)
	feeCoin := s.Base
	if r.HoldCoin == s.Base {
		feeCoin = s.Quote
	}
	c.expect("C5", "hold's fee is not the order's", where, feeCoin, r.Facts.Fee, h.Facts.Fee)
	c.expect("C5", "what the hold has left is not what the order needs", where, r.HoldCoin, r.HeldRemaining, h.Remaining())
}

// Finish returns the report, with the discrepancies ordered by check and place.
func (c *Checker) Finish() Report {
	c.endChain()
	c.finishWallets()
	c.finishTxs()
	c.finishOrders()
	c.finishPositions()
	c.finishFees()
	c.finishTotals()
	slices.SortStableFunc(c.report.Discrepancies, func(a, b Discrepancy) int {
		return cmp.Or(cmp.Compare(a.Check, b.Check), cmp.Compare(a.Where, b.Where))
	})
	return c.report
}

func (c *Checker) finishWallets() {
	for _, key := range slices.SortedFunc(maps.Keys(c.wallets), ledger.WalletKey.Compare) {
		w := c.wallets[key]
		where := fmt.Sprintf("wallet of member %d", key.MemberID)
		if w.missing {
			c.found("C2", "journal or hold without a wallet row", where, key.Coin, 0, 0)
			continue
		}
		if !w.seen[0] && (w.Available != 0 || w.AvailableSeq != 0) {
			c.found("C2", "available balance without a journal", where, key.Coin, 0, w.Available)
		}
		if !w.seen[1] && (w.Held != 0 || w.HeldSeq != 0) {
			c.found("C2", "held balance without a journal", where, key.Coin, 0, w.Held)
		}
		c.expect("C4", "wallet holds something else than its open holds", where, key.Coin, w.holdsSum, w.Held)
	}
}

func (c *Checker) finishTxs() {
	c.report.Counts.Transactions = int64(len(c.txs))
	for _, id := range slices.Sorted(maps.Keys(c.txs)) {
		t := c.txs[id]
		where := fmt.Sprintf("transaction %d", id)
		for _, coin := range slices.Sorted(maps.Keys(t.sums)) {
			c.found("C1", "transaction does not sum to zero", where, coin, 0, t.sums[coin])
		}
		if t.lines != t.maxLine+1 {
			c.found("C1", "transaction has lost or gained lines", where, "", t.maxLine+1, t.lines)
		}
		c.finishDeposit(t, where)
	}
}

func (c *Checker) finishDeposit(t *txFacts, where string) {
	d := t.deposit
	switch {
	case d == nil && t.world == 0:
	case d == nil:
		c.found("C3", "money came from the world without a deposit", where, t.credit.Coin, 0, t.world)
	case t.world != 0:
		c.found("C3", "deposit is not what came from the world", where+", "+d.Reference, d.Coin, d.Amount, d.Amount+t.world)
	case t.credit != ledger.AvailableOf(d.MemberID, d.Coin):
		c.found("C3", "deposit was credited to another account", where+", "+d.Reference+", "+t.credit.String(), d.Coin, d.Amount, 0)
	}
}

func (c *Checker) finishOrders() {
	for _, id := range slices.Sorted(maps.Keys(c.orders)) {
		o := c.orders[id]
		where := orderName(id)
		if o.stranger != "" {
			c.found("C4", "journal books the order to an account that is not its", where+", "+o.stranger, "", 0, 0)
		}
		if o.hold == nil {
			continue
		}
		h := o.hold
		if !o.sawOrder && h.Held != 0 {
			c.found("C5", "hold has no order", where, h.Coin, 0, h.Held)
		}
		c.expect("C4", "journal held something else than the hold", where, h.Coin, h.Held, o.held)
		c.expect("C4", "journal consumed something else than the hold", where, h.Coin, h.Consumed, o.consumed)
		c.expect("C4", "journal released something else than the hold", where, h.Coin, h.Released, o.released)
		c.finishFills(o, where)
	}
}

// finishFills compares the hold's facts with the sum of the trades and with what the
// journal paid.
func (c *Checker) finishFills(o *orderFacts, where string) {
	h := o.hold
	s := c.symbols[h.Symbol]
	consumed, received, coin := h.Facts.Turnover, h.Facts.Traded, s.Base
	if h.Coin == s.Base {
		consumed, received, coin = h.Facts.Traded, h.Facts.Turnover, s.Quote
	}
	c.expect("C5", "hold's traded amount is not the sum of the trades", where, s.Base, o.trades.Traded, h.Facts.Traded)
	c.expect("C5", "hold's turnover is not the sum of the trades", where, s.Quote, o.trades.Turnover, h.Facts.Turnover)
	c.expect("C5", "hold's fee is not the sum of the trades", where, coin, o.trades.Fee, h.Facts.Fee)
	c.expect("C5", "hold consumed something else than the order traded", where, h.Coin, consumed, h.Consumed)
	c.expect("C5", "journal paid something else than the order traded", where, coin, received, o.received)
	c.expect("C5", "journal withheld another fee", where, coin, h.Facts.Fee, o.fee)
	c.expect("C9", "journal credited another fee than the order's", where, coin, h.Facts.Fee, o.feeHouse)
}

func (c *Checker) finishPositions() {
	for _, symbol := range slices.Sorted(maps.Keys(c.settled)) {
		wallet, orders := c.settled[symbol], c.stored[symbol]
		switch {
		case orders.Seq < wallet.Seq:
			c.found("C7", "order store is behind the wallet", symbol, "", wallet.Seq, orders.Seq)
		case orders.Seq == wallet.Seq && orders.Hash != wallet.Hash:
			c.found("C7", "order store and wallet have applied different records", fmt.Sprintf("%s record %d", symbol, wallet.Seq), "", 0, 0)
		}
	}
	for key := range c.records {
		if settled := c.settled[key.symbol].Seq; key.seq > settled {
			c.found("C7", "journal has a record beyond the wallet's position", key.String(), "", settled, key.seq)
		}
	}
}

func (c *Checker) finishFees() {
	for key, difference := range c.fees {
		if difference != 0 {
			c.found("C9", "fee account is not the sum of the trades' fees", "fees of "+key.symbol, key.coin, 0, difference)
		}
	}
}

func (c *Checker) finishTotals() {
	totals := map[string]*Totals{}
	of := func(coin string) *Totals {
		if totals[coin] == nil {
			totals[coin] = &Totals{Coin: coin}
		}
		return totals[coin]
	}
	for key, w := range c.wallets {
		of(key.Coin).Available += w.Available
		of(key.Coin).Held += w.Held
	}
	for account, sum := range c.house {
		t := of(account.Coin)
		switch account.Kind {
		case ledger.Fee:
			t.Fee += sum
		case ledger.Suspense:
			t.Suspense += sum
		case ledger.World:
			t.World += sum
		case ledger.Available, ledger.Held: // in the wallets
		}
	}
	for _, coin := range slices.Sorted(maps.Keys(totals)) {
		t := totals[coin]
		c.report.Totals = append(c.report.Totals, *t)
		c.expect("C3", "all accounts together do not sum to zero", "all accounts", coin, 0, t.Available+t.Held+t.Fee+t.Suspense+t.World)
	}
}

func orderName(id int64) string { return fmt.Sprintf("order %d", id) }

func (k recordKey) String() string { return fmt.Sprintf("%s record %d", k.symbol, k.seq) }
