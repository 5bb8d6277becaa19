package naive

import (
	"math"
	"math/bits"

	"mscoin/exchange/matching"
	"mscoin/exchange/matching/internal/image"
)

// check says why a new order cannot be let in; the order old (nil: none) is
// thought away, since it is to be replaced.
func (b *Book) check(cmd *matching.Command, old *order) matching.Reason {
	h := &b.head
	if !h.Listed {
		return matching.ReasonNoRules
	}
	switch matching.Phase(h.Phase) {
	case matching.PhaseHalt:
		return matching.ReasonHalted
	case matching.PhaseCancelOnly:
		return matching.ReasonCancelOnly
	case matching.PhaseTrading:
	}
	if !b.sane(cmd) {
		return matching.ReasonBadCommand
	}
	if _, open := b.byID[cmd.OrderID]; open {
		return matching.ReasonDuplicateOrder
	}
	limit, stop := image.IsLimit(uint8(cmd.Type)), cmd.Type >= matching.StopLoss
	if limit && (cmd.Price < 1 || cmd.Price > h.MaxPrice) || stop && (cmd.StopPrice < 1 || cmd.StopPrice > h.MaxPrice) {
		return matching.ReasonPriceRange
	}
	if cmd.Qty < 0 || cmd.Qty > h.MaxQty || cmd.QuoteQty < 0 ||
		limit && cmd.Qty == 0 || !limit && cmd.Qty == 0 && cmd.QuoteQty == 0 {
		return matching.ReasonQtyRange
	}
	base, ok := fits(cmd.Qty, h.BaseUnitsPerLot, 1)
	if !ok {
		return matching.ReasonOverflow
	}
	if limit {
		need, ok := fits(cmd.Price, cmd.Qty, h.QuoteUnitsPerTickLot)
		if !ok {
			return matching.ReasonOverflow
		}
		if cmd.Side == matching.Sell {
			need = base
		}
		if cmd.Hold < need {
			return matching.ReasonHoldTooSmall
		}
	} else if cmd.Hold < 1 {
		return matching.ReasonHoldTooSmall
	}
	return b.checkBook(cmd, old)
}

// sane refuses what no order can be, whatever the rules.
func (b *Book) sane(cmd *matching.Command) bool {
	if cmd.OrderID == 0 || cmd.Side > matching.Sell ||
		cmd.Type < matching.Limit || cmd.Type > matching.TakeProfitLimit ||
		cmd.STP < matching.STPNone || cmd.STP > matching.STPDecrement {
		return false
	}
	if cmd.MakerFeePpm < 0 || cmd.MakerFeePpm > image.MaxFee || cmd.TakerFeePpm < 0 || cmd.TakerFeePpm > image.MaxFee {
		return false
	}
	if cmd.Type < matching.StopLoss && cmd.StopPrice != 0 {
		return false
	}
	if image.IsLimit(uint8(cmd.Type)) {
		return cmd.TIF >= matching.GTC && cmd.TIF <= matching.PostOnly && cmd.QuoteQty == 0
	}
	return cmd.Price == 0
}

// checkBook holds an order against the state of the book.
func (b *Book) checkBook(cmd *matching.Command, old *order) matching.Reason {
	h := &b.head
	limit, stop := image.IsLimit(uint8(cmd.Type)), cmd.Type >= matching.StopLoss
	if limit && h.Last > 0 {
		if h.BandUpPpm > 0 && more(cmd.Price, 1_000_000, h.Last, h.BandUpPpm) ||
			h.BandDownPpm > 0 && more(h.Last, h.BandDownPpm, cmd.Price, 1_000_000) {
			return matching.ReasonPriceBand
		}
	}
	if stop && h.Last > 0 && reached(uint8(cmd.Type), uint8(cmd.Side), cmd.StopPrice, h.Last, h.Last) {
		return matching.ReasonWouldTrigger
	}
	open := len(b.byID)
	if old != nil {
		open--
	}
	stays := stop || limit && (cmd.TIF == matching.GTC || cmd.TIF == matching.PostOnly)
	most := int(h.MaxOpenOrders)
	if most == 0 {
		most = image.MaxOrders
	}
	if stays && open >= most {
		return matching.ReasonBookFull
	}
	if stop {
		return matching.ReasonNone
	}
	if limit && cmd.TIF == matching.PostOnly && b.wouldTake(cmd.Side, cmd.Price, old) {
		return matching.ReasonPostOnlyWouldTake
	}
	if stays && b.levelFull(cmd.Side, cmd.Price, cmd.Qty, old) {
		return matching.ReasonOverflow
	}
	return matching.ReasonNone
}

// more reports whether a×b > c×d; none is negative.
func more(a, b, c, d int64) bool {
	hi1, lo1 := bits.Mul64(uint64(a), uint64(b))
	hi2, lo2 := bits.Mul64(uint64(c), uint64(d))
	return hi1 > hi2 || hi1 == hi2 && lo1 > lo2
}

// reached reports whether a stop order's price lies in a range of trade prices.
func reached(typ, side uint8, stop, low, high int64) bool {
	if image.Rising(typ, side) {
		return high >= stop
	}
	return low <= stop
}

// crosses reports whether a taker with this limit may trade at a price.
func crosses(side matching.Side, limit, price int64) bool {
	if side == matching.Buy {
		return price <= limit
	}
	return price >= limit
}

func (b *Book) wouldTake(side matching.Side, limit int64, old *order) bool {
	for _, m := range b.side[side.Opposite()] {
		if m != old {
			return crosses(side, limit, m.Price)
		}
	}
	return false
}

// levelFull reports whether the open lots of a level would overflow.
func (b *Book) levelFull(side matching.Side, price, qty int64, old *order) bool {
	for _, o := range b.side[side] {
		if o.Price == price && o != old {
			if o.Leaves > math.MaxInt64-qty {
				return true
			}
			qty += o.Leaves
		}
	}
	return false
}
