package sequencer

import (
	"math"

	"mscoin/exchange/internal/sequencer/snapshot"
	eventpb "mscoin/grpc-common/gen/event/v1"
)

// checkpoint emits the symbol's totals (MONEY-SAFETY H15), and begins a new window.
func (s *step) checkpoint() {
	b, w := s.b, &s.b.window
	c := &eventpb.Checkpoint{
		OpenOrders: int64(len(b.live)),
		AfterSeq:   w.AfterSeq, AfterTradeId: w.AfterTrade, LastTradeId: w.LastTrade,
		TradedAmount: w.Traded, Turnover: w.Turnover, BaseFees: w.BaseFees, QuoteFees: w.QuoteFees,
		StateHash: b.engine.StateHash(),
	}
	for id := range b.live { // in any order: none is negative, so neither sum depends on it
		e, _ := b.engine.Order(id)
		if sideOf(e.Side) == eventpb.Side_SIDE_SELL {
			c.BaseHeld = saturated(c.BaseHeld, e.HeldRemaining)
		} else {
			c.QuoteHeld = saturated(c.QuoteHeld, e.HeldRemaining)
		}
	}
	s.body.Checkpoint = c
	*w = snapshot.Window{AfterSeq: s.body.Seq, AfterTrade: w.LastTrade, LastTrade: w.LastTrade}
}

// sum adds a trade to the window. Each side pays its fee in what it receives.
func sum(w *snapshot.Window, t *eventpb.Trade) {
	w.LastTrade = t.TradeId
	w.Traded, w.Turnover = saturated(w.Traded, t.Quantity), saturated(w.Turnover, t.Turnover)
	buyer, seller := t.MakerFee, t.TakerFee
	if t.TakerSide == eventpb.Side_SIDE_BUY {
		buyer, seller = seller, buyer
	}
	w.BaseFees, w.QuoteFees = saturated(w.BaseFees, buyer), saturated(w.QuoteFees, seller)
}

// saturated adds what is not negative; a sum that does not fit is MaxInt64.
func saturated(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
