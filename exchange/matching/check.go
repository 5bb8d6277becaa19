package matching

import (
	"math"
	"math/bits"

	"mscoin/exchange/matching/internal/image"
)

// checkLimit says why a limit order, waiting or not, cannot be let in, apart
// from what the order book itself has to say.
func (b *Book) checkLimit(cmd *Command) Reason {
	switch {
	case uint64(cmd.Price-1) >= uint64(b.maxPrice):
		return ReasonPriceRange
	case uint64(cmd.Qty-1) >= uint64(b.maxQty):
		return ReasonQtyRange
	case b.wide && b.overflows(cmd):
		return ReasonOverflow
	case cmd.Hold < b.held(uint8(cmd.Side), cmd.Price, cmd.Qty):
		return ReasonHoldTooSmall
	case b.band && b.outOfBand(cmd.Price):
		return ReasonPriceBand
	}
	return ReasonNone
}

// overflows reports whether the amounts of an order within its ranges can be
// more than an int64 holds. The rules of most symbols exclude that.
func (b *Book) overflows(cmd *Command) bool {
	_, ok1 := product(cmd.Qty, b.base, 1)
	_, ok2 := product(cmd.Price, cmd.Qty, b.quote)
	return !ok1 || !ok2
}

// sane reports whether a new order can be an order at all, whatever the rules.
func sane(cmd *Command) bool {
	return cmd.OrderID != 0 && cmd.Side <= Sell && cmd.STP-1 <= STPDecrement-1 &&
		uint32(cmd.MakerFeePpm) <= image.MaxFee && uint32(cmd.TakerFeePpm) <= image.MaxFee
}

// outOfBand holds a price against the last trade price.
func (b *Book) outOfBand(price int64) bool {
	up, down := b.rules.BandUpPpm, b.rules.BandDownPpm
	return b.last > 0 && (up > 0 && more(price, image.MaxFee, b.last, up) ||
		down > 0 && more(b.last, down, price, image.MaxFee))
}

// more reports whether x×y > v×w; none is negative.
func more(x, y, v, w int64) bool {
	hi1, lo1 := bits.Mul64(uint64(x), uint64(y))
	hi2, lo2 := bits.Mul64(uint64(v), uint64(w))
	return hi1 > hi2 || hi1 == hi2 && lo1 > lo2
}

// stays reports whether an order may be open after the command that brings it.
func stays(cmd *Command) bool {
	return cmd.Type >= StopLoss || cmd.Type == Limit && (cmd.TIF == GTC || cmd.TIF == PostOnly)
}

// check says why a new order of any type cannot be let in. The order in slot
// old (0: none) is thought away, since it is to be replaced. It agrees with
// Apply, which does the same in less time for what comes most often.
func (b *Book) check(cmd *Command, old uint32) Reason {
	if b.closed != ReasonNone {
		return b.closed
	}
	limit := image.IsLimit(uint8(cmd.Type))
	stop := cmd.Type >= StopLoss
	if !sane(cmd) || cmd.Type-1 > TakeProfitLimit-1 || !stop && cmd.StopPrice != 0 ||
		!limit && cmd.Price != 0 ||
		limit && (cmd.TIF-1 > PostOnly-1 || cmd.QuoteQty != 0) {
		return ReasonBadCommand
	}
	if slot, _ := b.lookup(cmd.OrderID); slot != 0 {
		return ReasonDuplicateOrder
	}
	if stop && uint64(cmd.StopPrice-1) >= uint64(b.maxPrice) {
		return ReasonPriceRange
	}
	if limit {
		if reason := b.checkLimit(cmd); reason != ReasonNone {
			return reason
		}
	} else if reason := b.checkMarket(cmd); reason != ReasonNone {
		return reason
	}
	if stop && b.last > 0 && keyOf(waitLadder(cmd.Type, cmd.Side), cmd.StopPrice) <=
		keyOf(waitLadder(cmd.Type, cmd.Side), b.last) {
		return ReasonWouldTrigger
	}
	open := b.open
	if old != 0 {
		open--
	}
	if open >= b.maxOpen && stays(cmd) {
		return ReasonBookFull
	}
	if cmd.Type != Limit || !stays(cmd) {
		return ReasonNone
	}
	if cmd.TIF == PostOnly && b.bestKey(cmd.Side.Opposite(), old) <= b.reach(cmd.Side, cmd.Price) {
		return ReasonPostOnlyWouldTake
	}
	qty := b.LevelQty(cmd.Side, cmd.Price)
	if old != 0 && b.recs[old].ladder == uint8(cmd.Side) && b.recs[old].price == cmd.Price {
		qty -= b.recs[old].leaves
	}
	if qty > math.MaxInt64-cmd.Qty {
		return ReasonOverflow
	}
	return ReasonNone
}

func (b *Book) checkMarket(cmd *Command) Reason {
	if cmd.Qty < 0 || cmd.Qty > b.maxQty || cmd.QuoteQty < 0 || cmd.Qty|cmd.QuoteQty == 0 {
		return ReasonQtyRange
	}
	if _, ok := product(cmd.Qty, b.base, 1); !ok {
		return ReasonOverflow
	}
	if cmd.Hold < 1 {
		return ReasonHoldTooSmall
	}
	return ReasonNone
}

// reach is the last key of the opposite ladder that a limit may trade with.
func (b *Book) reach(side Side, price int64) int64 {
	return keyOf(uint8(side)^1, price)
}

// bestKey returns the best key of a side without the order in slot old.
func (b *Book) bestKey(side Side, old uint32) int64 {
	l := &b.lads[side&1]
	r := &b.recs[old]
	if old == 0 || r.ladder != uint8(side) || b.links[old] != (links{}) || keyOf(r.ladder, r.price) != l.best {
		return l.best
	}
	pg := &b.slab.pages[l.first]
	if rest := pg.used &^ (1 << (l.best & pageMask)); rest != 0 {
		return pg.key<<pageShift | int64(bits.TrailingZeros64(rest))
	}
	if pg.next == 0 {
		return noKey
	}
	pg = &b.slab.pages[pg.next]
	return pg.key<<pageShift | int64(bits.TrailingZeros64(pg.used))
}

// waitLadder is where a stop order waits.
func waitLadder(typ OrderType, side Side) uint8 {
	if image.Rising(uint8(typ), uint8(side)) {
		return rising
	}
	return falling
}
