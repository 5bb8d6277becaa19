package settlement_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"mscoin/wallet/ledger"
	"mscoin/wallet/settlement"
)

// exchange is a small model of everything around the settlement: it deposits,
// holds, fills at random prices below the limits, and cancels, and hands the
// settlement the records that a matcher would. The books it is checked against
// are kept in the simplest way there is.
type exchange struct {
	t        *testing.T
	rng      *rand.Rand
	balances *ledger.Balances
	holds    settlement.Holds
	lines    []ledger.Line
	orders   map[int64]*modelOrder
	seq      int64
	nextID   int64
	txID     int64
	want     map[ledger.Account]int64
}

type modelOrder struct {
	update   settlement.OrderUpdate
	price    int64 // quote units for one base unit
	quantity int64
}

var (
	members = []int64{1, 2, 3, 4, 5}
	coins   = []string{"BTC", "USDT"}
)

func newExchange(t *testing.T, seed uint64) *exchange {
	x := &exchange{
		t: t, rng: rand.New(rand.NewPCG(seed, 1)), balances: ledger.NewBalances(), holds: settlement.Holds{},
		orders: map[int64]*modelOrder{}, want: map[ledger.Account]int64{},
	}
	for _, m := range members {
		for _, c := range coins {
			x.balances.Load(ledger.WalletKey{MemberID: m, Coin: c}, ledger.Wallet{})
		}
	}
	return x
}

func (x *exchange) post(e ledger.Entry, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
	x.txID++
	if x.lines, err = x.balances.Post(x.txID, e, x.lines); err != nil {
		x.t.Fatal(err)
	}
}

func (x *exchange) deposit() {
	m, c, amount := members[x.rng.IntN(len(members))], coins[x.rng.IntN(2)], x.rng.Int64N(1_000_000)+1
	x.post(ledger.Deposit(ledger.Source{TimeMs: 1}, m, c, amount))
	x.want[ledger.AvailableOf(m, c)] += amount
	x.want[ledger.WorldOf(c)] -= amount
}

func (x *exchange) place() {
	x.nextID++
	m, side := members[x.rng.IntN(len(members))], settlement.Side(x.rng.IntN(2)+1)
	o := &modelOrder{price: x.rng.Int64N(50) + 1, quantity: x.rng.Int64N(2000) + 1}
	coin, amount := "BTC", o.quantity
	if side == settlement.Buy {
		coin, amount = "USDT", o.quantity*o.price
	}
	w, _ := x.balances.Wallet(ledger.WalletKey{MemberID: m, Coin: coin})
	held, ok := ledger.AmountToHold(w.Available.Balance, amount, amount)
	if !ok {
		if w.Available.Balance >= amount {
			x.t.Fatalf("refused %d of %d", amount, w.Available.Balance)
		}
		return
	}
	hold := &ledger.Hold{OrderID: x.nextID, MemberID: m, Coin: coin, Symbol: "BTC/USDT", Held: held}
	x.post(hold.Place(1))
	x.holds[x.nextID] = hold
	x.want[ledger.AvailableOf(m, coin)] -= held
	x.want[ledger.HeldOf(m, coin)] += held
	o.update = settlement.OrderUpdate{OrderID: x.nextID, MemberID: m, Side: side, State: settlement.Live, HeldRemaining: held}
	x.orders[x.nextID] = o
	x.settle(nil, o)
}

// fill lets one order meet others of the other side, as a sweep would.
func (x *exchange) fill() {
	taker := x.pick(settlement.SideNone)
	if taker == nil {
		return
	}
	changed := []*modelOrder{taker}
	var trades []settlement.Trade
	for range x.rng.IntN(4) + 1 {
		maker := x.pick(opposite(taker.update.Side))
		if maker == nil || maker == taker || slices.Contains(changed, maker) || taker.left() == 0 {
			break
		}
		buyer, seller := taker, maker
		if taker.update.Side == settlement.Sell {
			buyer, seller = maker, taker
		}
		if seller.price > buyer.price {
			continue
		}
		price := seller.price + x.rng.Int64N(buyer.price-seller.price+1)
		quantity := x.rng.Int64N(min(taker.left(), maker.left())) + 1
		turnover := quantity * price
		tr := settlement.Trade{
			TradeID: int64(len(trades) + 1), Quantity: quantity, Turnover: turnover, TakerSide: taker.update.Side,
			MakerOrderID: maker.update.OrderID, TakerOrderID: taker.update.OrderID,
			MakerMemberID: maker.update.MemberID, TakerMemberID: taker.update.MemberID,
		}
		received := map[*modelOrder]int64{buyer: quantity, seller: turnover}
		tr.MakerFee, tr.TakerFee = x.rng.Int64N(received[maker]/100+1), x.rng.Int64N(received[taker]/100+1)
		maker.apply(quantity, turnover, tr.MakerFee)
		taker.apply(quantity, turnover, tr.TakerFee)
		x.book(buyer, seller, quantity, turnover, map[*modelOrder]int64{maker: tr.MakerFee, taker: tr.TakerFee})
		trades = append(trades, tr)
		changed = append(changed, maker)
	}
	for _, o := range changed {
		x.release(o)
	}
	x.settle(trades, changed...)
}

func opposite(s settlement.Side) settlement.Side { return 3 - s }

func (o *modelOrder) left() int64 { return o.quantity - o.update.Traded }

func (o *modelOrder) apply(quantity, turnover, fee int64) {
	o.update.Traded += quantity
	o.update.Turnover += turnover
	o.update.Fee += fee
	if o.left() == 0 {
		o.update.State = settlement.Ended
	}
}

func (o *modelOrder) coin() string {
	if o.update.Side == settlement.Buy {
		return "USDT"
	}
	return "BTC"
}

// book writes a trade into the expected balances.
func (x *exchange) book(buyer, seller *modelOrder, quantity, turnover int64, fees map[*modelOrder]int64) {
	x.want[ledger.HeldOf(buyer.update.MemberID, "USDT")] -= turnover
	x.want[ledger.AvailableOf(seller.update.MemberID, "USDT")] += turnover - fees[seller]
	x.want[ledger.FeeOf("USDT")] += fees[seller]
	x.want[ledger.HeldOf(seller.update.MemberID, "BTC")] -= quantity
	x.want[ledger.AvailableOf(buyer.update.MemberID, "BTC")] += quantity - fees[buyer]
	x.want[ledger.FeeOf("BTC")] += fees[buyer]
	buyer.update.HeldRemaining -= turnover
	seller.update.HeldRemaining -= quantity
}

// release returns what the order no longer needs.
func (x *exchange) release(o *modelOrder) {
	need := int64(0)
	if o.update.State == settlement.Live {
		need = o.left()
		if o.update.Side == settlement.Buy {
			need *= o.price
		}
	}
	back := o.update.HeldRemaining - need
	o.update.HeldRemaining = need
	x.want[ledger.HeldOf(o.update.MemberID, o.coin())] -= back
	x.want[ledger.AvailableOf(o.update.MemberID, o.coin())] += back
	if o.update.State != settlement.Live {
		delete(x.orders, o.update.OrderID)
	}
}

func (x *exchange) cancel() {
	if o := x.pick(settlement.SideNone); o != nil {
		o.update.State = settlement.Ended
		x.release(o)
		x.settle(nil, o)
	}
}

func (x *exchange) pick(side settlement.Side) *modelOrder {
	ids := slices.Sorted(maps.Keys(x.orders))
	ids = slices.DeleteFunc(ids, func(id int64) bool {
		return side != settlement.SideNone && x.orders[id].update.Side != side
	})
	if len(ids) == 0 {
		return nil
	}
	return x.orders[ids[x.rng.IntN(len(ids))]]
}

func (x *exchange) settle(trades []settlement.Trade, orders ...*modelOrder) {
	x.t.Helper()
	x.seq++
	r := record(x.seq, trades)
	for _, o := range orders {
		r.Orders = append(r.Orders, o.update)
	}
	x.post(settlement.Settle(r, x.holds))
}

// check compares every identity after every step.
func (x *exchange) check() {
	x.t.Helper()
	perCoin, perTx, remaining := map[string]int64{}, map[int64]map[string]int64{}, map[ledger.WalletKey]int64{}
	got, seqs := map[ledger.Account]int64{}, map[ledger.Account]int64{}
	for _, l := range x.lines {
		a := l.Posting.Account
		perCoin[a.Coin] += l.Posting.Amount
		if perTx[l.TxID] == nil {
			perTx[l.TxID] = map[string]int64{}
		}
		perTx[l.TxID][a.Coin] += l.Posting.Amount
		got[a] += l.Posting.Amount
		if a.Kind.OfMember() {
			if seqs[a]++; l.AccountSeq != seqs[a] || l.BalanceAfter != got[a] || got[a] < 0 {
				x.t.Fatalf("C2: line %+v, account at %d with %d", l, seqs[a], got[a])
			}
		}
	}
	for tx, sums := range perTx {
		for coin, sum := range sums {
			if sum != 0 {
				x.t.Fatalf("C1: transaction %d has %d %s", tx, sum, coin)
			}
		}
	}
	for coin, sum := range perCoin {
		if sum != 0 {
			x.t.Fatalf("C3: %d %s", sum, coin)
		}
	}
	for _, h := range x.holds {
		if err := h.Validate(); err != nil {
			x.t.Fatal(err)
		}
		remaining[ledger.WalletKey{MemberID: h.MemberID, Coin: h.Coin}] += h.Remaining()
	}
	for _, m := range members {
		for _, c := range coins {
			key := ledger.WalletKey{MemberID: m, Coin: c}
			w, _ := x.balances.Wallet(key)
			if w.Held.Balance != remaining[key] {
				x.t.Fatalf("C4: member %d holds %d %s, orders hold %d", m, w.Held.Balance, c, remaining[key])
			}
		}
	}
	for a, want := range x.want {
		if got[a] != want {
			x.t.Fatalf("%s has %d, the model %d", a, got[a], want)
		}
	}
}

func TestSettle_Property(t *testing.T) {
	t.Run("any sequence of deposits, holds, fills and cancels keeps every identity", func(t *testing.T) {
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		fills := 0
		for round := range uint64(20) {
			x := newExchange(t, seed+round)
			for range 150 {
				switch x.rng.IntN(10) {
				case 0:
					x.deposit()
				case 1, 2, 3, 4:
					x.place()
				case 5, 6, 7, 8:
					before := len(x.lines)
					x.fill()
					if len(x.lines) > before {
						fills++
					}
				default:
					x.cancel()
				}
				x.check()
			}
		}
		if fills < 200 {
			t.Fatalf("only %d fills: the model does not test much", fills)
		}
	})
}
