package sequencer

import (
	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
)

// ResultOf converts a record into the words of the order package.
func ResultOf(body *eventpb.RecordBody) *order.Result {
	r := &order.Result{
		Symbol: body.Symbol, Seq: body.Seq, TimeMs: body.LogTimeMs,
		Rejected: body.Result.GetRejected(), Reason: order.Reason(body.Result.GetReason()),
		Updates: make([]order.Update, len(body.Orders)),
		Trades:  make([]order.Trade, len(body.Trades)),
	}
	for i, u := range body.Orders {
		r.Updates[i] = order.Update{
			OrderID: u.OrderId, MemberID: u.MemberId,
			Side: order.Side(u.Side),
			Facts: order.Facts{
				State:        order.State(u.State),
				Reason:       order.Reason(u.Reason),
				TradedAmount: u.TradedAmount, Turnover: u.Turnover, Fee: u.Fee, HeldRemaining: u.HeldRemaining,
				Seq: body.Seq, TimeMs: body.LogTimeMs,
			},
		}
	}
	for i, t := range body.Trades {
		r.Trades[i] = order.Trade{
			Symbol: body.Symbol, ID: t.TradeId, Seq: body.Seq, TimeMs: body.LogTimeMs,
			Price: t.Price, Quantity: t.Quantity, Turnover: t.Turnover,
			TakerSide:    order.Side(t.TakerSide),
			MakerOrderID: t.MakerOrderId, TakerOrderID: t.TakerOrderId,
			MakerMemberID: t.MakerMemberId, TakerMemberID: t.TakerMemberId,
			MakerFee: t.MakerFee, TakerFee: t.TakerFee,
		}
	}
	return r
}
