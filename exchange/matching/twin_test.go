package matching_test

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/naive"
)

var (
	twinOps  = flag.Int("twin.ops", 400_000, "commands of the twin comparison")
	twinSeed = flag.Uint64("twin.seed", 1, "first seed of the twin comparison")
)

// twins feeds the same commands to the fast book and to the naive one.
type twins struct {
	fast       *matching.Book
	slow       *naive.Book
	outF, outS []matching.Event
	n          int
}

func newTwins() *twins {
	return &twins{fast: matching.New(), slow: naive.New()}
}

// apply executes a command on both and returns what differs.
func (w *twins) apply(cmd *matching.Command) error {
	w.n++
	w.outF, w.outS = w.fast.Apply(cmd, w.outF[:0]), w.slow.Apply(cmd, w.outS[:0])
	if err := diffEvents(w.outF, w.outS); err != nil {
		return fmt.Errorf("command %d %+v: %w", w.n, *cmd, err)
	}
	if f, s := w.fast.Open(), w.slow.Open(); f != s {
		return fmt.Errorf("command %d %+v: open %d, naive %d", w.n, *cmd, f, s)
	}
	for side := range matching.Side(2) {
		pf, okF := w.fast.Best(side)
		ps, okS := w.slow.Best(side)
		if pf != ps || okF != okS {
			return fmt.Errorf("command %d %+v: best of side %d: %d %t, naive %d %t", w.n, *cmd, side, pf, okF, ps, okS)
		}
	}
	return nil
}

func diffEvents(fast, slow []matching.Event) error {
	for i := range max(len(fast), len(slow)) {
		switch {
		case i >= len(slow):
			return fmt.Errorf("event %d: %+v, naive has none", i, fast[i])
		case i >= len(fast):
			return fmt.Errorf("event %d: none, naive has %+v", i, slow[i])
		case fast[i] != slow[i]:
			return fmt.Errorf("event %d: %+v\nnaive %+v", i, fast[i], slow[i])
		}
	}
	return nil
}

// compare holds the whole state of the two against each other.
func (w *twins) compare() error {
	if f, s := w.fast.StateHash(), w.slow.StateHash(); f != s {
		return fmt.Errorf("after command %d: state hash %#x, naive %#x", w.n, f, s)
	}
	f, s := w.fast.Snapshot(nil), w.slow.Snapshot(nil)
	if !bytes.Equal(f, s) {
		return fmt.Errorf("after command %d: snapshots differ\n%x\n%x", w.n, f, s)
	}
	for side := range matching.Side(2) {
		df, ds := depthOf(w.fast, side), depthOf(w.slow, side)
		if fmt.Sprint(df) != fmt.Sprint(ds) {
			return fmt.Errorf("after command %d: depth of side %d: %v, naive %v", w.n, side, df, ds)
		}
		for _, l := range ds {
			if got := w.fast.LevelQty(side, l[0]); got != l[1] {
				return fmt.Errorf("after command %d: LevelQty(%d, %d) = %d, want %d", w.n, side, l[0], got, l[1])
			}
		}
	}
	return nil
}

// swap saves each book and restores it in the other implementation's place.
func (w *twins) swap() error {
	f, s := w.fast.Snapshot(nil), w.slow.Snapshot(nil)
	w.fast, w.slow = matching.New(), naive.New()
	if err := w.fast.Restore(s); err != nil {
		return fmt.Errorf("after command %d: %w", w.n, err)
	}
	if err := w.slow.Restore(f); err != nil {
		return fmt.Errorf("after command %d: naive: %w", w.n, err)
	}
	return w.compare()
}

func depthOf(e matching.Engine, side matching.Side) [][2]int64 {
	var d [][2]int64
	e.Depth(side, func(price, qty int64) bool {
		d = append(d, [2]int64{price, qty})
		return true
	})
	return d
}

// mix makes commands of every kind, mostly sensible, on a book that hovers about
// a number of orders.
type mix struct {
	r       *rand.Rand
	next    uint64
	ids     []uint64 // that are open
	at      map[uint64]int
	resting int
	width   int64
	rules   matching.Rules
	pending bool
}

func newMix(seed uint64, resting int, width int64) *mix {
	return &mix{
		r: rand.New(rand.NewPCG(seed, 0)), resting: resting, width: width, at: map[uint64]int{},
		rules: matching.Rules{BaseUnitsPerLot: 1000, QuoteUnitsPerTickLot: 10, MaxPrice: 1 << 30, MaxQty: 1 << 20},
	}
}

func (m *mix) start() *matching.Command {
	r := m.rules
	return &matching.Command{Op: matching.OpSetRules, Rules: &r}
}

func (m *mix) id() uint64 {
	if len(m.ids) == 0 || m.r.IntN(50) == 0 {
		return m.r.Uint64N(m.next + 2)
	}
	return m.ids[m.r.IntN(len(m.ids))]
}

func (m *mix) newID() uint64 {
	if m.r.IntN(100) == 0 {
		return m.id() // perhaps a duplicate
	}
	m.next += 1 + m.r.Uint64N(3)
	return m.next
}

// see learns from events which orders are open and what may come next.
func (m *mix) see(events []matching.Event) {
	for i := range events {
		e := &events[i]
		m.pending = e.Kind == matching.EventContinue || e.Reason == matching.ReasonContinuePending
		if e.Kind != matching.EventOrder {
			continue
		}
		at, open := m.at[e.OrderID]
		switch {
		case !e.State.Final() && !open:
			m.at[e.OrderID] = len(m.ids)
			m.ids = append(m.ids, e.OrderID)
		case e.State.Final() && open:
			end := len(m.ids) - 1
			m.ids[at] = m.ids[end]
			m.at[m.ids[at]] = at
			m.ids = m.ids[:end]
			delete(m.at, e.OrderID)
		}
	}
}

const mid = 1_000_000

func (m *mix) command() *matching.Command {
	x := m.r.IntN(1000)
	switch {
	case m.pending && x < 900:
		return &matching.Command{Op: matching.OpContinue}
	case x < 500+200*(m.resting-len(m.ids))/m.resting:
		c := m.order()
		c.Op = matching.OpPlace
		return c
	case x < 740:
		c := m.order()
		c.Op, c.TargetID = matching.OpReplace, m.id()
		c.MemberID = 1 + c.TargetID%5
		return c
	case x < 940:
		return &matching.Command{Op: matching.OpCancel, OrderID: m.id(), MemberID: m.maybe(uint64(m.r.IntN(5)), 20)}
	case x < 985:
		return &matching.Command{Op: matching.OpReduce, OrderID: m.id(), Qty: m.r.Int64N(20)}
	case x < 990:
		return m.changeRules()
	case x < 996:
		c := &matching.Command{Op: matching.OpSetPhase, Phase: matching.PhaseTrading}
		if m.r.IntN(3) == 0 {
			c.Phase = matching.Phase(m.r.IntN(5))
		}
		return c
	}
	return m.garbage()
}

// maybe returns v once in n times, otherwise 0.
func (m *mix) maybe(v uint64, n int) uint64 {
	if m.r.IntN(n) == 0 {
		return v
	}
	return 0
}

func (m *mix) changeRules() *matching.Command {
	r := m.rules
	r.MaxFillsPerCommand = int32(m.r.IntN(6))
	if m.r.IntN(2) == 0 {
		r.BandUpPpm, r.BandDownPpm = 1_000_000+m.r.Int64N(100), 1_000_000-m.r.Int64N(100)
	}
	if m.r.IntN(2) == 0 {
		r.MaxOpenOrders = int32(m.resting/2 + m.r.IntN(m.resting+1))
	}
	if m.r.IntN(10) == 0 {
		r.BaseUnitsPerLot = 1 + m.r.Int64N(3)*999
	}
	return &matching.Command{Op: matching.OpSetRules, Rules: &r}
}

func (m *mix) order() *matching.Command {
	c := &matching.Command{
		OrderID: m.newID(), Side: matching.Side(m.r.IntN(2)),
		Type: matching.Limit, TIF: matching.GTC, STP: matching.STPMode(1 + m.r.IntN(5)),
		Qty: 1 + m.r.Int64N(30), MakerFeePpm: int32(m.r.IntN(2000)), TakerFeePpm: int32(m.r.IntN(2000)), Hold: math.MaxInt64,
	}
	if m.r.IntN(2) == 0 {
		c.STP = matching.STPNone
	}
	c.MemberID = 1 + c.OrderID%5 // so that who owns an id is known
	off := m.r.Int64N(m.width)
	if m.r.IntN(10) < 7 {
		off = -off * m.r.Int64N(2)
	}
	if m.r.IntN(200) == 0 {
		off = -m.r.Int64N(1 << 19)
	}
	if c.Side == matching.Sell {
		off = -off
	}
	c.Price = mid + off
	switch x := m.r.IntN(100); {
	case x < 8:
		c.TIF = matching.IOC
	case x < 16:
		c.TIF = matching.FOK
	case x < 24:
		c.TIF = matching.PostOnly
	case x < 32:
		m.market(c, matching.Market)
	case x < 48:
		c.StopPrice = mid + m.r.Int64N(2*m.width) - m.width
		c.Type = matching.StopLoss + matching.OrderType(m.r.IntN(4))
		if c.Type == matching.StopLoss || c.Type == matching.TakeProfit {
			m.market(c, c.Type)
		} else {
			c.TIF = matching.TimeInForce(1 + m.r.IntN(4))
		}
	}
	return c
}

func (m *mix) market(c *matching.Command, typ matching.OrderType) {
	c.Type, c.Price = typ, 0
	if m.r.IntN(3) == 0 {
		c.QuoteQty = 1 + m.r.Int64N(40*10*mid)
		if m.r.IntN(2) == 0 {
			c.Qty = 0
		}
	}
	if m.r.IntN(3) == 0 {
		c.Hold = 1 + m.r.Int64N(30*10*mid)
		if c.Side == matching.Sell {
			c.Hold = 1 + m.r.Int64N(30*1000)
		}
	}
}

// garbage is a command with fields out of any range.
func (m *mix) garbage() *matching.Command {
	c := m.order()
	c.Op = matching.Op(m.r.IntN(9))
	any64 := func() int64 {
		return []int64{0, 1, -1, math.MaxInt64, math.MinInt64, mid, int64(m.r.Uint64())}[m.r.IntN(7)]
	}
	for range 1 + m.r.IntN(3) {
		switch m.r.IntN(14) {
		case 0:
			c.Side = matching.Side(m.r.IntN(4))
		case 1:
			c.Type = matching.OrderType(m.r.IntN(9))
		case 2:
			c.TIF = matching.TimeInForce(m.r.IntN(7))
		case 3:
			c.STP = matching.STPMode(m.r.IntN(7))
		case 4:
			c.OrderID = uint64(any64())
		case 5:
			c.Price = any64()
		case 6:
			c.StopPrice = any64()
		case 7:
			c.Qty = any64()
		case 8:
			c.QuoteQty = any64()
		case 9:
			c.Hold = any64()
		case 10:
			c.MakerFeePpm = int32(any64())
		case 11:
			c.TakerFeePpm = int32(any64())
		case 12:
			c.Rules = &matching.Rules{
				BaseUnitsPerLot: any64(), QuoteUnitsPerTickLot: any64(), MaxPrice: any64(), MaxQty: any64(),
				BandUpPpm: any64(), BandDownPpm: any64(), MaxFillsPerCommand: int32(any64()), MaxOpenOrders: int32(any64()),
			}
			if c.Op == matching.OpSetRules && m.r.IntN(4) > 0 {
				c.Op = matching.OpPlace // such rules would spoil the rest of the run
			}
		case 13:
			c.Phase = matching.Phase(m.r.IntN(256))
		}
	}
	return c
}

// run compares n commands; the whole state now and then.
func (m *mix) run(w *twins, n int) error {
	if err := w.apply(m.start()); err != nil {
		return err
	}
	for i := range n {
		if err := w.apply(m.command()); err != nil {
			return err
		}
		m.see(w.outF)
		if i%64 == 0 {
			if f, s := w.fast.StateHash(), w.slow.StateHash(); f != s {
				return fmt.Errorf("after command %d: state hash %#x, naive %#x", w.n, f, s)
			}
		}
		if i%1024 == 0 {
			if err := w.compare(); err != nil {
				return err
			}
		}
		if i%5000 == 0 {
			if err := w.swap(); err != nil {
				return err
			}
		}
		if i%3000 == 0 { // out of rules or phases that let nothing in
			if m.pending {
				continue
			}
			for _, c := range []*matching.Command{m.start(), {Op: matching.OpSetPhase, Phase: matching.PhaseTrading}} {
				if err := w.apply(c); err != nil {
					return err
				}
			}
		}
	}
	return w.compare()
}

func TestBook_Apply(t *testing.T) {
	t.Run("the fast book agrees with the naive one on every event", func(t *testing.T) {
		const part = 20_000
		for i := range uint64(max(1, *twinOps/part)) {
			seed := *twinSeed + i
			r := rand.New(rand.NewPCG(seed, 1))
			resting := []int{5, 20, 100, 300}[r.IntN(4)]
			width := []int64{3, 10, 60, 400}[r.IntN(4)]
			m := newMix(seed, resting, width)
			if err := m.run(newTwins(), part); err != nil {
				t.Fatalf("seed %d, resting %d, width %d: %v", seed, resting, width, err)
			}
		}
	})
}

// The short ways are for orders on a page that is there already and with room
// in the buffer; each fault has to be seen there too.
func TestBook_ShortWays(t *testing.T) {
	rules := &matching.Rules{
		BaseUnitsPerLot: 10, QuoteUnitsPerTickLot: 10, MaxPrice: 100, MaxQty: 1000, MaxFillsPerCommand: 1,
	}
	place := func(id uint64, change func(*matching.Command)) *matching.Command {
		c := &matching.Command{
			Op: matching.OpPlace, Type: matching.Limit, TIF: matching.GTC, STP: matching.STPNone,
			OrderID: id, MemberID: id, Price: 98, Qty: 5, Hold: 98 * 5 * 10,
		}
		change(c)
		return c
	}
	sell := func(c *matching.Command) { c.Side, c.Price = matching.Sell, 99 }
	for _, f := range []struct {
		name   string
		change func(*matching.Command)
	}{
		{"nothing is wrong", func(*matching.Command) {}},
		{"hold too small", func(c *matching.Command) { c.Hold-- }},
		{"hold too small for a sell", func(c *matching.Command) { sell(c); c.Hold = 49 }},
		{"price above the range", func(c *matching.Command) { c.Price, c.Side = 101, matching.Sell }},
		{"no price", func(c *matching.Command) { c.Price = 0 }},
		{"lots above the range", func(c *matching.Command) { c.Qty, c.Hold = 1001, 1<<40 }},
		{"no lots", func(c *matching.Command) { c.Qty = 0 }},
		{"maker fee above the whole", func(c *matching.Command) { c.MakerFeePpm = 1_000_001 }},
		{"negative taker fee", func(c *matching.Command) { c.TakerFeePpm = -1 }},
		{"no mode of self-trade prevention", func(c *matching.Command) { c.STP = 0 }},
		{"an unknown one", func(c *matching.Command) { c.STP = matching.STPDecrement + 1 }},
		{"an unknown side", func(c *matching.Command) { c.Side = 2 }},
		{"an unknown time in force", func(c *matching.Command) { c.TIF = matching.PostOnly + 1 }},
		{"a stop price", func(c *matching.Command) { c.StopPrice = 1 }},
		{"a quote quantity", func(c *matching.Command) { c.QuoteQty = 1 }},
		{"no id", func(c *matching.Command) { c.OrderID = 0 }},
		{"an id in use", func(c *matching.Command) { c.OrderID = 1 }},
	} {
		t.Run(f.name, func(t *testing.T) {
			fast, slow := matching.New(), naive.New()
			for _, c := range []*matching.Command{
				{Op: matching.OpSetRules, Rules: rules},
				place(1, func(*matching.Command) {}), place(2, sell), place(3, sell),
				place(9, f.change), // before a continuation is due
				place(4, func(c *matching.Command) { c.Price, c.Qty, c.Hold = 99, 8, 99*8*10 }),
				place(10, f.change), // while one is
				{Op: matching.OpCancel, OrderID: 1},
				{Op: matching.OpContinue},
				place(11, f.change),
				{Op: matching.OpSetPhase, Phase: matching.PhaseHalt},
				place(12, f.change),
				{Op: matching.OpCancel, OrderID: 1},
			} {
				a, b := fast.Apply(c, usedBuffer()), slow.Apply(c, nil)
				if !slices.Equal(a, b) || fast.StateHash() != slow.StateHash() {
					t.Fatalf("%+v:\n%+v\nwant\n%+v", c, a, b)
				}
			}
		})
	}
}
