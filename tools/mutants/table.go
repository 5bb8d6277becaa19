package main

// mutant is the order book without one of its rules.
type mutant struct {
	rule string // what is taken out
	file string // below exchange/matching
	old  string // is there exactly once
	new  string
	test string // turns red, by this name
}

// golden names a scenario of testdata/<file>.txt, played on the fast book.
func golden(file, scenario string) string { return "TestBook_Golden/book/" + file + "/" + scenario }

func restore(fault string) string {
	return "TestBook_Restore/book/an image with " + fault + " is refused and changes nothing"
}

func short(fault string) string { return "TestBook_ShortWays/" + fault }

const (
	flipped     = "TestBook_Restore/book/a whole image is restored, and any flipped bit or cut is noticed"
	twin        = "TestBook_Apply/the fast book agrees with the naive one on every event"
	allocations = "TestBook_Allocations/a command allocates nothing in steady state"
	collisions  = "TestBook_Index/ids that all hash to one value are found, and deleted in any order"
	oracleTiny  = "TestBook_Oracle/book/tiny workload equals the oracle in every field of every event and in the book at the end"
	neighbours  = "TestBook_Index/so are ids that want neighbouring places"
)

// toTheEnd moves the order in slot to the end of its queue.
const toTheEnd = `
	if lv, q := b.slab.at(b.recs[slot].level), &b.links[slot]; q.next != 0 {
		if lv.head == slot {
			lv.head = q.next
		}
		b.links[q.next].prev = q.prev
		b.links[q.prev].next = q.next
		b.links[lv.tail].next = slot
		q.prev, q.next, lv.tail = lv.tail, 0, slot
	}`

var mutants = []mutant{
	// Priority.
	{
		"price priority: the best level is found again when it empties", "ladder.go",
		"at := bits.TrailingZeros64(p.used)", "at := 63 - bits.LeadingZeros64(p.used)",
		golden("priority", "the better price trades first"),
	},
	{
		"price priority: a better price becomes the best level", "place.go",
		"if key < best {", "if key > best {", golden("priority", "the better bid trades first"),
	},
	{
		"price priority: a better price becomes the best level, where a page is new", "slab.go",
		"if key < l.best {", "if l.best == noKey {", golden("priority", "far away prices are levels like any other"),
	},
	{
		"time priority", "match.go",
		"slot := b.slab.at(l.bestAt).head", "slot := b.slab.at(l.bestAt).tail",
		golden("priority", "at one price the older order trades first"),
	},
	{
		"time priority: a partial fill keeps the place", "match.go",
		"\tb.lessen(m, n)\n", "\tb.lessen(m, n)" + toTheEnd + "\n",
		golden("priority", "a partial fill keeps the place in the queue"),
	},
	{
		"time priority: a reduced order keeps its place", "book.go",
		"\tb.lessen(r, cmd.Qty)\n", "\tb.lessen(r, cmd.Qty)" + toTheEnd + "\n",
		golden("priority", "a reduced order keeps its place in the queue"),
	},
	{
		"trades are at the maker's price", "match.go",
		"price, quote, base := m.price, n*unit, n*b.base", "price, quote, base := max(m.price, t.price), n*unit, n*b.base",
		golden("priority", "trades are at the maker's price and the unneeded hold is released"),
	},
	{
		"a trade takes what both have", "match.go",
		"n := min(t.leaves, m.leaves)", "n := m.leaves",
		golden("priority", "a partial fill keeps the place in the queue"),
	},
	{
		"the turnover is at the maker's price", "match.go",
		"unit := m.price * b.quote", "unit := max(m.price, t.price) * b.quote",
		golden("priority", "trades are at the maker's price and the unneeded hold is released"),
	},

	// Fees.
	{
		"the maker pays the maker's rate", "match.go",
		"fee(makerGets, m.makerFee)", "fee(makerGets, t.takerFee)",
		golden("fees", "fees are a part of what each side receives, rounded down in each fill"),
	},
	{
		"the taker pays the taker's rate", "match.go",
		"fee(takerGets, t.takerFee)", "fee(takerGets, t.makerFee)",
		golden("fees", "fees are a part of what each side receives, rounded down in each fill"),
	},
	{
		"fees are of the asset received", "match.go",
		"if Side(m.side) == Buy {\n\t\tmakerGets = base", "if Side(m.side) == Sell {\n\t\tmakerGets = base",
		golden("fees", "a buying maker pays in base, a selling taker in quote"),
	},
	{
		"fees are rounded down", "match.go",
		"return int64(lo / image.MaxFee)", "return int64((lo + image.MaxFee - 1) / image.MaxFee)",
		golden("fees", "fees are a part of what each side receives, rounded down in each fill"),
	},
	{
		"fees have 128 bits", "match.go",
		"if hi == 0 {", "if hi >= 0 {", golden("fees", "large amounts do not lose the fee"),
	},
	{
		"a maker's facts add up over its trades", "match.go",
		"f.quote+old.quote, f.fee+old.fee", "f.quote, f.fee",
		golden("fees", "fees are a part of what each side receives, rounded down in each fill"),
	},

	// Self-trade prevention.
	{
		"NONE", "match.go",
		" && STPMode(t.stp) != STPNone\n\t\tif prevented", "\n\t\tif prevented",
		golden("self_trade", "NONE lets a member trade with himself"),
	},
	{
		"EXPIRE_TAKER", "match.go",
		"if prevented && STPMode(t.stp) == STPExpireTaker {", "if false {",
		golden("self_trade", "EXPIRE_TAKER ends the incoming order"),
	},
	{
		"EXPIRE_MAKER: the maker ends", "match.go",
		"case STPExpireMaker:\n\t\treturn b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out), false",
		"case STPExpireMaker:\n\t\treturn out, false",
		golden("self_trade", "EXPIRE_MAKER ends the resting order and goes on"),
	},
	{
		"EXPIRE_MAKER: the taker goes on", "match.go",
		"case STPExpireMaker:\n\t\treturn b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out), false",
		"case STPExpireMaker:\n\t\treturn t.over(StateExpiredInMatch, ReasonSelfTrade, b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out)), true",
		golden("self_trade", "EXPIRE_MAKER ends the resting order and goes on"),
	},
	{
		"EXPIRE_BOTH: the maker ends", "match.go",
		"case STPExpireBoth:\n\t\tout = b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out)\n", "case STPExpireBoth:\n",
		golden("self_trade", "EXPIRE_BOTH ends both"),
	},
	{
		"EXPIRE_BOTH: the taker ends", "match.go",
		"case STPExpireBoth:\n\t\tout = b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out)\n\t\treturn t.over(StateExpiredInMatch, ReasonSelfTrade, out), true",
		"case STPExpireBoth:\n\t\treturn b.end(slot, j, StateExpiredInMatch, ReasonSelfTrade, out), false",
		golden("self_trade", "EXPIRE_BOTH ends both"),
	},
	{
		"DECREMENT: the maker shrinks", "match.go",
		"\t\t\tb.lessen(m, both)\n", "",
		golden("self_trade", "DECREMENT ends the smaller incoming order and reduces the resting one"),
	},
	{
		"DECREMENT: the smaller maker ends", "match.go",
		"if both == m.leaves {", "if both > m.leaves {",
		golden("self_trade", "DECREMENT ends the smaller resting order and reduces the incoming one"),
	},
	{
		"DECREMENT: the smaller taker ends", "match.go",
		"if both == n {", "if both > n {",
		golden("self_trade", "DECREMENT ends the smaller incoming order and reduces the resting one"),
	},
	{
		"DECREMENT: the taker shrinks", "match.go",
		"b.take(t, both, both*m.price*b.quote)", "",
		golden("self_trade", "DECREMENT ends the smaller resting order and reduces the incoming one"),
	},
	{
		"DECREMENT: every bound of the taker shrinks", "match.go",
		"b.take(t, both, both*m.price*b.quote)", "t.leaves -= both",
		golden("self_trade", "DECREMENT shrinks the bounds of a market order as a fill would"),
	},
	{
		"only orders of the same member are prevented", "match.go",
		"prevented := t.member == m.member && STPMode", "prevented := STPMode",
		golden("self_trade", "orders of others are not prevented"),
	},

	// Time in force.
	{
		"FOK", "match.go",
		"if TimeInForce(t.tif) == FOK && !b.fillable(t) {", "if false {",
		golden("time_in_force", "a FOK order that cannot fill whole expires without a trade"),
	},
	{
		"FOK: the limit counts", "match.go",
		"if pg.key<<pageShift|int64(at) > t.reach {", "if false {",
		golden("limits", "a FOK order counts no lots beyond its limit"),
	},
	{
		"FOK: own orders do not count", "match.go",
		"if STPMode(t.stp) != STPNone {\n\t\t\t\tn, met", "if false {\n\t\t\t\tn, met",
		golden("time_in_force", "FOK counts no own orders when they expire the taker"),
	},
	{
		"FOK: own orders that give way do not stop it", "match.go",
		"} else if STPMode(t.stp) != STPExpireMaker {", "} else {",
		golden("time_in_force", "FOK counts past own orders when they give way"),
	},
	{
		"FOK: own orders that do not give way stop it", "match.go",
		"if met {", "if met && false {", golden("time_in_force", "an own order at a better price stops a FOK order"),
	},
	{
		"FOK: the turnover counts", "match.go",
		"if n > quote/unit {", "if false {", golden("limits", "a FOK order whose turnover does not fit cannot fill"),
	},
	{
		"IOC never rests", "match.go",
		"t.market || tif == IOC || tif == FOK", "t.market || tif == FOK",
		golden("time_in_force", "the rest of an IOC order expires"),
	},
	{
		"post-only", "check.go",
		"if cmd.TIF == PostOnly && b.bestKey", "if false && b.bestKey",
		golden("time_in_force", "a post-only order that would cross is rejected"),
	},
	{
		"post-only on the short way", "place.go",
		"cmd.Hold < need || cmd.TIF != GTC {", "cmd.Hold < need {",
		golden("time_in_force", "a post-only order that would cross is rejected"),
	},
	{
		"post-only when triggered", "match.go",
		"if TimeInForce(t.tif) == PostOnly && l.best <= t.reach {", "if false {",
		golden("stops", "a triggered post-only order that would take expires"),
	},

	// Market orders.
	{
		"a market order never rests", "match.go",
		"t.market || tif == IOC || tif == FOK", "tif == IOC || tif == FOK",
		golden("market", "a market order never rests"),
	},
	{
		"a market order by quantity is bounded by it", "match.go",
		"if t.leaves == 0 && !t.anyQty {", "if t.leaves == 0 && !t.market {",
		golden("market", "a market order by quantity takes no more than that"),
	},
	{
		"a market order by quote amount is bounded by it", "match.go",
		"n == 0 || n*unit > t.quote ||", "n == 0 ||",
		golden("market", "a market buy by quote amount never spends more and is filled"),
	},
	{
		"reaching the quote amount fills an order without quantity", "match.go",
		"why == ReasonQuoteQtyReached && t.anyQty && t.cumQty > 0", "false",
		golden("market", "a market buy by quote amount never spends more and is filled"),
	},
	{
		"reaching the quote amount expires an order with a quantity", "match.go",
		"why == ReasonQuoteQtyReached && t.anyQty && t.cumQty > 0", "why == ReasonQuoteQtyReached && t.cumQty > 0",
		golden("market", "a quantity with a quote bound expires where the bound is reached"),
	},
	{
		"an order by quote amount that buys nothing expires", "match.go",
		"why == ReasonQuoteQtyReached && t.anyQty && t.cumQty > 0", "why == ReasonQuoteQtyReached && t.anyQty",
		golden("market", "a market buy by quote amount that buys no lot expires"),
	},
	{
		"a market order takes no more than its hold", "match.go",
		" || t.market && b.cost(t, n, unit) > t.hold {", " {",
		golden("market", "a market buy takes no more than its hold"),
	},
	{
		"the hold of a market sell is of the base asset", "match.go",
		"\treturn n * b.base\n", "\treturn n * unit\n", golden("market", "a market sell takes no more than its hold"),
	},

	// Ranges, band, hold.
	{
		"price range of a limit order", "check.go",
		"case uint64(cmd.Price-1) >= uint64(b.maxPrice):", "case false:",
		golden("limits", "prices and quantities stay within the rules"),
	},
	{
		"price range on the short way", "place.go",
		" || uint64(cmd.Price-1) >= uint64(b.maxPrice) ||", " ||", short("price above the range"),
	},
	{
		"price range of a stop price", "check.go",
		"if stop && uint64(cmd.StopPrice-1) >= uint64(b.maxPrice) {", "if false {",
		golden("limits", "prices and quantities stay within the rules"),
	},
	{
		"quantity range of a limit order", "check.go",
		"case uint64(cmd.Qty-1) >= uint64(b.maxQty):", "case false:",
		golden("limits", "prices and quantities stay within the rules"),
	},
	{
		"quantity range of a market order", "check.go",
		"cmd.Qty < 0 || cmd.Qty > b.maxQty ||", "cmd.Qty < 0 ||",
		golden("limits", "prices and quantities stay within the rules"),
	},
	{
		"a market order has a quantity or a quote amount", "check.go",
		" || cmd.Qty|cmd.QuoteQty == 0 {", " {", golden("limits", "prices and quantities stay within the rules"),
	},
	{
		"price band, upper bound", "check.go",
		"up > 0 && more(price, image.MaxFee, b.last, up)", "up < 0",
		golden("limits", "a price outside the band around the last price is rejected"),
	},
	{
		"price band, lower bound", "check.go",
		"down > 0 && more(b.last, down, price, image.MaxFee)", "down < 0",
		golden("limits", "a price outside the band around the last price is rejected"),
	},
	{
		"price band: a bound of 0 is none", "check.go",
		"up > 0 && more(", "more(", golden("limits", "the upper band can be off"),
	},
	{
		"price band on the short way", "book.go",
		"b.closed != ReasonNone || b.band || b.pending", "b.closed != ReasonNone || b.pending",
		golden("limits", "a price outside the band around the last price is rejected"),
	},
	{
		"the band follows the last trade", "match.go",
		"\tb.last = price\n", "", golden("limits", "a price outside the band around the last price is rejected"),
	},
	{
		"a limit order is covered by its hold", "check.go",
		"case cmd.Hold < b.held(uint8(cmd.Side), cmd.Price, cmd.Qty):", "case false:",
		golden("limits", "a limit order must be covered by its hold"),
	},
	{
		"a limit order is covered by its hold, on the short way", "place.go",
		"if cmd.Hold < need || b.lads", "if b.lads", short("hold too small"),
	},
	{
		"a market order has a hold", "check.go",
		"if cmd.Hold < 1 {", "if cmd.Hold < 0 {", golden("limits", "a limit order must be covered by its hold"),
	},

	// Overflow.
	{
		"overflow of an order's amounts", "check.go",
		"case b.wide && b.overflows(cmd):", "case false:", golden("limits", "amounts that do not fit are rejected"),
	},
	{
		"overflow of a limit order's base amount", "check.go",
		"return !ok1 || !ok2", "return !ok2 || false && ok1", golden("limits", "a base amount that does not fit is rejected"),
	},
	{
		"overflow of a limit order's quote amount", "check.go",
		"return !ok1 || !ok2", "return !ok1 || false && ok2", golden("limits", "amounts that do not fit are rejected"),
	},
	{
		"overflow of a market order's base amount", "check.go",
		"if _, ok := product(cmd.Qty, b.base, 1); !ok {", "if false {",
		golden("limits", "amounts that do not fit are rejected"),
	},
	{
		"overflow of an order's amounts on the short way", "book.go",
		"b.easyQty = min(r.MaxQty, math.MaxInt64/r.BaseUnitsPerLot, math.MaxInt64/r.MaxPrice/r.QuoteUnitsPerTickLot)",
		"b.easyQty = min(r.MaxQty, math.MaxInt64)",
		golden("limits", "amounts that do not fit are rejected"),
	},
	{
		"overflow of a level", "check.go",
		"if qty > math.MaxInt64-cmd.Qty {", "if qty > math.MaxInt64-0*cmd.Qty {",
		golden("limits", "the lots of a level may not overflow"),
	},
	{
		"overflow of a level on the short way", "place.go",
		" || lots < 0 {", " {", golden("limits", "the lots of a level may not overflow"),
	},
	{
		"overflow of a level by a triggered order", "match.go",
		" || b.levelSum(t.side, key) > math.MaxInt64-t.leaves {", " || key < 0 {",
		golden("limits", "a triggered order whose lots do not fit its level expires"),
	},
	{
		"a replaced order's lots do not count", "check.go",
		"qty -= b.recs[old].leaves", "qty -= 0",
		golden("replace", "the lots of the order to be replaced do not count on its level"),
	},
	{
		"overflow of a taker's turnover", "match.go",
		"n == 0 || n*unit > t.quote ||", "n == 0 ||", golden("limits", "turnover that does not fit ends the taker"),
	},
	{
		"overflow of the turnover to come", "match.go",
		"t.cumQuote > math.MaxInt64-t.price*t.leaves*b.quote || ", "",
		golden("limits", "turnover to come that does not fit keeps the rest from resting"),
	},
	{
		"overflow has its own reason", "match.go",
		"if t.anyQuote {\n\t\t\twhy = ReasonOverflow", "if false {\n\t\t\twhy = ReasonOverflow",
		golden("limits", "turnover that does not fit ends the taker"),
	},

	// Stop orders.
	{
		"stop orders wait for their direction", "check.go",
		"if image.Rising(uint8(typ), uint8(side)) {", "if !image.Rising(uint8(typ), uint8(side)) {",
		golden("stops", "take-profit sells when the price has risen and buys when it has fallen"),
	},
	{
		"a stop price that is reached already", "check.go",
		"if stop && b.last > 0 && keyOf(", "if false && keyOf(",
		golden("stops", "a stop whose price is reached already is rejected"),
	},
	{
		"stop orders are triggered", "match.go",
		"slot := b.triggered()", "slot := 0 * b.triggered()",
		golden("stops", "a sell stop waits and runs when the last price falls to it"),
	},
	{
		"falling before rising", "match.go",
		"for i := uint8(falling); i <= rising; i++ {\n\t\tl", "for i := uint8(rising); i >= falling; i-- {\n\t\tl",
		golden("stops", "what waits for a fall starts before what waits for a rise"),
	},
	{
		"the nearest stop price first", "match.go",
		"\t\t\treturn b.slab.at(l.bestAt).head\n",
		"\t\t\tslot := uint32(0)\n\t\t\tb.levels(i, func(key int64, lv *level) bool {\n\t\t\t\tif key <= keyOf(i, price) {\n\t\t\t\t\tslot = lv.head\n\t\t\t\t}\n\t\t\t\treturn true\n\t\t\t})\n\t\t\treturn slot\n",
		golden("stops", "falling stops start before rising ones, the nearest first, the oldest first"),
	},
	{
		"the oldest stop first at one price", "match.go",
		"return b.slab.at(l.bestAt).head", "return b.slab.at(l.bestAt).tail",
		golden("stops", "falling stops start before rising ones, the nearest first, the oldest first"),
	},
	{
		"every trade of a sweep counts", "match.go",
		"b.low, b.high = min(b.low, price), max(b.high, price)", "b.low, b.high = price, price",
		golden("stops", "every trade of a sweep counts, not only the last"),
	},
	{
		"trades from before a stop order's time do not count", "match.go",
		"\t\t\tb.low, b.high = image.NoLow, image.NoHigh\n", "",
		golden("stops", "a stop order does not compare with trades from before its time"),
	},

	// Commands about an open order.
	{
		"replace is all or nothing", "book.go",
		"\tif reason := b.check(cmd, slot); reason != ReasonNone {\n\t\treturn refuse(cmd, reason, out)\n\t}\n\tout = b.end(slot, j, StateCanceled, ReasonUserCancel, out)\n",
		"\tout = b.end(slot, j, StateCanceled, ReasonUserCancel, out)\n\tif reason := b.check(cmd, 0); reason != ReasonNone {\n\t\treturn refuse(cmd, reason, out)\n\t}\n",
		golden("replace", "a replace whose order is refused changes nothing"),
	},
	{
		"replace checks the new order", "book.go",
		"if reason := b.check(cmd, slot); reason != ReasonNone {", "if reason := b.check(cmd, slot); reason == 255 {",
		golden("replace", "a replace whose order is refused changes nothing"),
	},
	{
		"replace cancels the old order", "book.go",
		"\tout = b.end(slot, j, StateCanceled, ReasonUserCancel, out)\n\treturn b.enter(cmd, out)", "\t_ = j\n\treturn b.enter(cmd, out)",
		golden("replace", "replace cancels and places as one"),
	},
	{
		"replace is by the owner", "book.go",
		"slot == 0 || b.recs[slot].member != cmd.MemberID", "slot == 0",
		golden("replace", "a replace of an unknown or foreign order changes nothing"),
	},
	{
		"the order to be replaced does not cross", "check.go",
		"b.bestKey(cmd.Side.Opposite(), old)", "b.bestKey(cmd.Side.Opposite(), 0)",
		golden("replace", "the order to be replaced does not make a post-only order cross"),
	},
	{
		"other orders at the price of the replaced one do", "check.go",
		" || b.links[old] != (links{}) ||", " ||", golden("replace", "another order at the same price does"),
	},
	{
		"a replace makes room for itself", "check.go",
		"\t\topen--\n", "", golden("replace", "a replace makes room for itself in a full book"),
	},
	{
		"cancel by the owner", "book.go",
		"slot != 0 && member != 0 && b.recs[slot].member != member", "false",
		golden("limits", "a member cancels only his own orders"),
	},
	{
		"cancel by the owner, on the short way", "book.go",
		" || cmd.MemberID != 0 && cmd.MemberID != member {", " {", golden("limits", "a member cancels only his own orders"),
	},
	{
		"a canceled order leaves its level", "slab.go",
		"\tlv.qty -= r.leaves\n", "", golden("limits", "the lots of a level may not overflow"),
	},
	{
		"a reduce leaves a lot", "book.go",
		"cmd.Qty <= 0 || cmd.Qty >= r.leaves", "cmd.Qty <= 0 || cmd.Qty > r.leaves",
		golden("limits", "a reduce leaves at least one lot"),
	},
	{
		"a reduce takes lots", "book.go",
		"cmd.Qty <= 0 || cmd.Qty >= r.leaves", "cmd.Qty < 0 || cmd.Qty >= r.leaves",
		golden("limits", "a reduce leaves at least one lot"),
	},
	{
		"a reduce takes lots off the level", "book.go",
		"\tb.slab.at(r.level).qty -= qty\n", "", golden("priority", "a reduced order keeps its place in the queue"),
	},
	{
		"a stop order without a limit price cannot be reduced", "book.go",
		"if r.ladder >= falling && !image.IsLimit(b.waits.all[r.more].Type) {", "if false {",
		golden("stops", "a waiting order can be canceled, reduced and replaced"),
	},

	// Phases, caps, room, ids.
	{
		"no rules", "book.go", "b.closed = ReasonNoRules", "b.closed = ReasonHalted",
		golden("limits", "nothing is placed before the symbol has rules"),
	},
	{
		"halt: nothing is placed", "book.go", "b.closed = ReasonHalted", "b.closed = ReasonNone",
		golden("phases", "in halt nothing moves"),
	},
	{
		"halt: nothing is canceled", "book.go",
		"\tif b.phase == PhaseHalt {\n\t\treturn refuse(cmd, ReasonHalted, out)\n\t}\n\tslot, j := b.target", "\tslot, j := b.target",
		golden("phases", "in halt nothing moves"),
	},
	{
		"halt: nothing is canceled, on the short way", "book.go",
		"b.calm = b.phase != PhaseHalt && !b.pending", "b.calm = !b.pending", golden("phases", "in halt nothing moves"),
	},
	{
		"halt: nothing is reduced", "book.go",
		"\tif b.phase == PhaseHalt {\n\t\treturn refuse(cmd, ReasonHalted, out)\n\t}\n\tslot, _ := b.target", "\tslot, _ := b.target",
		golden("phases", "in halt nothing moves"),
	},
	{
		"cancel-only", "book.go", "b.closed = ReasonCancelOnly", "b.closed = ReasonNone",
		golden("phases", "in cancel-only nothing is placed, but canceled and reduced"),
	},
	{
		"the cap on trades", "match.go",
		"if b.steps >= b.cap {\n\t\t\treturn out, false", "if false {\n\t\t\treturn out, false",
		golden("caps", "a command stops at its cap and goes on with continue"),
	},
	{
		"the cap on triggered orders", "match.go",
		"if b.steps >= b.cap {\n\t\t\tb.setPending", "if false {\n\t\t\tb.setPending",
		golden("caps", "triggered orders count against the cap"),
	},
	{
		"only OpContinue while one is due", "book.go",
		"if b.pending && cmd.Op != OpContinue {", "if false {",
		golden("caps", "a command stops at its cap and goes on with continue"),
	},
	{
		"no cancel while a continuation is due", "book.go",
		"\tif b.pending {\n\t\treturn refuse(cmd, ReasonContinuePending, out)\n\t}\n\tif b.phase", "\tif b.phase",
		golden("caps", "a command stops at its cap and goes on with continue"),
	},
	{
		"OpContinue only where one is due", "match.go",
		"if !b.pending {", "if false {", golden("caps", "a command stops at its cap and goes on with continue"),
	},
	{
		"a continuation keeps the taker's bounds", "state.go",
		"Price: t.price, Leaves: t.leaves, Quote: t.quote, Hold: t.hold,", "Price: t.price, Leaves: t.leaves, Quote: t.quote, Hold: t.hold + 1,",
		golden("caps", "a market order keeps its bounds over a continuation"),
	},
	{
		"a full book", "check.go",
		"if open >= b.maxOpen && stays(cmd) {", "if false {", golden("limits", "a full book takes only orders that cannot stay"),
	},
	{
		"a full book, on the short way", "book.go",
		"b.room = min(b.maxOpen, b.ids.most, len(b.recs)-1)", "b.room = min(b.ids.most, len(b.recs)-1)",
		golden("limits", "a full book takes only orders that cannot stay"),
	},
	{
		"units under open orders", "book.go",
		"if b.open > 0 && (", "if false && (", golden("limits", "the units of a symbol do not change under open orders"),
	},
	{
		"an id in use", "check.go",
		"if slot, _ := b.lookup(cmd.OrderID); slot != 0 {", "if false {", golden("limits", "an id in use is rejected"),
	},
	{
		"an id in use, on the short way", "place.go",
		"if d++; (e^tagOf(hash))&^uint32(mask) == 0 || d == maxFar {", "if d++; d == maxFar {",
		golden("limits", "an id in use is rejected"),
	},
	{
		"an id is forgotten when its order ends", "slab.go",
		"\t\ttab[j] = 0\n\t} else", "\t} else", golden("limits", "an id in use is rejected"),
	},
	{
		"what follows a deleted id is shifted back", "index.go",
		"\t\t\ttab[j&mask] = e\n", "", collisions,
	},
	{
		"ids far from home are found", "index.go",
		"if j-int(hash) >= maxFar {", "if false {", collisions,
	},
	{
		"only ids that can be nearer are shifted back", "index.go",
		"if int(dist) >= k-j {", "if int(dist) >= 0 {", neighbours,
	},
	{
		"slots are used again", "slab.go",
		"q.next, b.free = b.free, slot", "q.next = 0", oracleTiny,
	},
	{
		"pages are used again", "ladder.go",
		"pg.key, pg.next, s.freePage = noPage, s.freePage, p", "pg.key = noPage", allocations,
	},
	{
		"facts of fills are used again", "slab.go",
		"func (s *fillSlab) put(i uint32) { s.all[i].qty, s.free = int64(s.free), i }", "func (s *fillSlab) put(i uint32) {}", allocations,
	},
	{
		"places of waiting orders are used again", "slab.go",
		"func (s *waitSlab) put(i uint32) { s.all[i].ID, s.free = uint64(s.free), i }", "func (s *waitSlab) put(i uint32) {}", allocations,
	},
	{
		"an empty page is dropped", "slab.go",
		"if pg.used == 0 {", "if false {", golden("tiny", "an emptied book is as new"),
	},

	// Impossible fields.
	{"an order has an id", "place.go", " || cmd.OrderID == 0 ||", " ||", short("no id")},
	{"an order has a side", "check.go", "cmd.OrderID != 0 && cmd.Side <= Sell &&", "cmd.OrderID != 0 &&", short("an unknown side")},
	{
		"an order has a mode of self-trade prevention", "check.go",
		"cmd.STP-1 <= STPDecrement-1 &&", "", short("no mode of self-trade prevention"),
	},
	{
		"a limit order has a time in force", "check.go",
		"limit && (cmd.TIF-1 > PostOnly-1 || cmd.QuoteQty != 0)", "limit && cmd.QuoteQty != 0", short("an unknown time in force"),
	},
	{
		"a limit order has no quote amount", "check.go",
		"limit && (cmd.TIF-1 > PostOnly-1 || cmd.QuoteQty != 0)", "limit && cmd.TIF-1 > PostOnly-1", short("a quote quantity"),
	},
	{"a limit order has no stop price", "check.go", "!stop && cmd.StopPrice != 0 ||", "", short("a stop price")},
	{
		"the maker's fee is a part", "check.go",
		"uint32(cmd.MakerFeePpm) <= image.MaxFee && ", "", short("maker fee above the whole"),
	},
	{
		"the taker's fee is a part", "check.go",
		" && uint32(cmd.TakerFeePpm) <= image.MaxFee", "", short("negative taker fee"),
	},

	// Facts and hashes.
	{"trades are counted", "match.go", "\tb.trades++\n", "", golden("priority", "the better price trades first")},
	{
		"the state hash follows a canceled order", "book.go",
		"\tb.sum -= r.hash\n\tb.remove(r, slot, j)\n", "\tb.remove(r, slot, j)\n", golden("tiny", "a book of five orders comes and goes"),
	},
	{
		"the state hash follows a filled order", "match.go",
		"\t\tb.sum -= m.hash\n", "", golden("tiny", "a book of five orders comes and goes"),
	},
	{
		"the state hash follows a placed order", "place.go",
		"\tb.sum += sum\n", "", golden("tiny", "a book of five orders comes and goes"),
	},
	{
		"the state hash follows a reduced order", "book.go",
		"\tb.slab.at(r.level).qty -= qty\n\tb.rehash(r)\n", "\tb.slab.at(r.level).qty -= qty\n", twin,
	},
	{"a level's sequence is kept", "place.go", "\tb.open++\n\tb.seq++\n", "\tb.open++\n", twin},

	// Snapshots.
	{
		"snapshot: checksum", "internal/image/read.go",
		"if checksum(src[:end]) != get64(src[end:]) {", "if false {", flipped,
	},
	{
		"snapshot: state hash", "internal/image/read.go",
		`r.must(stateHash == r.hash, "state hash")`, "", restore("a state hash that is not its own"),
	},
	{
		"snapshot: version", "internal/image/read.go",
		"|| string(src[:len(Magic)]) != Magic {", "{", restore("another version"),
	},
	{
		"snapshot: nothing is left over", "internal/image/read.go",
		`r.must(len(r.b) == 0, "bytes left over")`, "", restore("bytes left over"),
	},
	{
		"snapshot: price priority", "internal/image/read.go",
		`r.must(first || (o.Price < p.Price) == (side == 0), "price order")`, "", restore("bids out of order"),
	},
	{
		"snapshot: time priority", "internal/image/read.go",
		`r.must(o.Seq > p.Seq, "priority")`, "", restore("a queue out of order"),
	},
	{
		"snapshot: no crossed book", "internal/image/read.go",
		`r.must(r.best[0] < r.best[1], "crossed")`, "", restore("a crossed book"),
	},
	{
		"snapshot: an id once", "state.go",
		"if slot != 0 || b.working && b.work.id == o.ID {", "if false {", restore("a duplicate id"),
	},
	{
		"snapshot: sequence numbers given out", "internal/image/read.go",
		`r.must(o.Seq != 0 && o.Seq <= h.Seq, "sequence")`, "", restore("a sequence number from the future"),
	},
	{
		"snapshot: waiting orders by sequence", "internal/image/read.go",
		"o.Seq > r.prev.Seq && o.Seq <= h.Seq", "o.Seq <= h.Seq", restore("waiting orders out of sequence"),
	},
	{
		"snapshot: amounts fit", "internal/image/read.go",
		"r.must(total <= math.MaxInt64 && product(int64(total), h.BaseUnitsPerLot, 1) &&\n\t\tproduct(o.Price, o.Leaves, h.QuoteUnitsPerTickLot), \"overflow\")", "_ = total",
		restore("lots that overflow"),
	},
	{
		"snapshot: fees are a part", "internal/image/read.go",
		`r.must(o.CumFee <= received, "fee")`, "_ = received", restore("a fee above what was received"),
	},
}
