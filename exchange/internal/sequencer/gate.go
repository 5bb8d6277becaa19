package sequencer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"google.golang.org/protobuf/proto"

	"mscoin/exchange/order"
	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/telemetry"
)

const (
	// maxCommands bounds the commands of one write to the log.
	maxCommands = 1024
	// maxBookOrders bounds the orders of a book: at no more than 200 bytes for each
	// order that a sweep meets, its one record stays below the topics' 8 MiB.
	maxBookOrders = 40_000
)

var (
	errUnknown error = errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome,
		"the matcher has not answered in time: query the order before repeating")
	errNotSent error = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the command log is not reachable")
)

// IDs hands out ids of commands.
type IDs interface {
	Next(ctx context.Context) (int64, error)
}

// GateConfig is what a gate is made of.
type GateConfig struct {
	// Log is the broker.
	Log Log
	// IDs of commands.
	IDs IDs
	// Clock times the waiting.
	Clock clock.Clock
	// Partition of the command log.
	Partition int
	// WaitTimeout bounds writing a command and waiting for its record.
	WaitTimeout time.Duration
}

// Gate writes commands of one partition and waits for the records that answer them. It
// belongs to one run of the partition's sequencer: once closed it stays so, and the
// next run has a new one. It is safe for concurrent use.
type Gate struct {
	cfg     GateConfig
	writer  *batch.Writer[bus.Message]
	waiters *waiters
}

// NewGate returns a gate; Run it.
func NewGate(cfg GateConfig) *Gate {
	g := &Gate{cfg: cfg, waiters: newWaiters()}
	g.writer = batch.New(cfg.Clock, maxCommands, g.write)
	return g
}

// Run writes commands until ctx ends.
func (g *Gate) Run(ctx context.Context) error { return g.writer.Run(ctx) }

// Published answers the callers whose records have been written.
func (g *Gate) Published(records []Sealed) { g.waiters.complete(records) }

// Close ends all waiting; the outcomes are unknown then.
func (g *Gate) Close() { g.waiters.close() }

// write appends commands as one batch. One error is everybody's: the batch is in the
// log whole or not at all.
func (g *Gate) write(ctx context.Context, msgs []bus.Message) []error {
	_, err := g.cfg.Log.Produce(ctx, bus.TopicCommands, g.cfg.Partition, msgs)
	if err == nil {
		return nil
	}
	all := make([]error, len(msgs))
	for i := range all {
		all[i] = err
	}
	return all
}

// Place places an order. An error of KindUnavailable says that the order is not in the log and will not be;
// KindUnknownOutcome that it may be.
func (g *Gate) Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error) {
	return g.ask(ctx, r, &eventpb.Command{Body: &eventpb.Command_Place{Place: &eventpb.PlaceCommand{
		OrderId: o.ID, MemberId: o.MemberID,
		Side: eventpb.Side(o.Side), Type: eventpb.OrderType(o.Type),
		TimeInForce:         eventpb.TimeInForce(o.TIF),
		SelfTradePrevention: eventpb.SelfTradePrevention(o.STP),
		Price:               o.Price, StopPrice: o.StopPrice, Quantity: o.Quantity, QuoteAmount: o.QuoteAmount,
		HoldAmount: o.HoldAmount, MakerFeePpm: o.MakerFeePpm, TakerFeePpm: o.TakerFeePpm, DeadlineMs: o.DeadlineMs,
	}}})
}

// Cancel cancels an order of the member.
func (g *Gate) Cancel(ctx context.Context, r symbol.Rules, orderID, memberID int64) (*order.Result, error) {
	return g.ask(ctx, r, &eventpb.Command{Body: &eventpb.Command_Cancel{Cancel: &eventpb.CancelCommand{
		OrderId: orderID, MemberId: memberID,
	}}})
}

// CancelAll cancels all open orders of the member on the symbol.
func (g *Gate) CancelAll(ctx context.Context, r symbol.Rules, memberID int64) (*order.Result, error) {
	return g.ask(ctx, r, &eventpb.Command{Body: &eventpb.Command_CancelAll{CancelAll: &eventpb.CancelAllCommand{MemberId: memberID}}})
}

// Resolve asks what became of an order, and waits for no answer: the record finds
// the order store and the wallet by itself.
func (g *Gate) Resolve(ctx context.Context, r symbol.Rules, orderID, memberID, deadlineMs int64) error {
	ctx, cancel := clock.WithTimeout(ctx, g.cfg.Clock, g.cfg.WaitTimeout)
	defer cancel()
	_, err := g.send(ctx, r, &eventpb.Command{Body: &eventpb.Command_Resolve{Resolve: &eventpb.ResolveCommand{
		OrderId: orderID, MemberId: memberID, DeadlineMs: deadlineMs,
	}}}, false)
	return err
}

// SetRules tells the matcher the rules of a symbol.
func (g *Gate) SetRules(ctx context.Context, r symbol.Rules) (*order.Result, error) {
	return g.ask(ctx, r, &eventpb.Command{Body: &eventpb.Command_SetRules{SetRules: &eventpb.SetRulesCommand{
		BaseCoin: r.Base, QuoteCoin: r.Quote,
		BaseScale: int32(r.BaseScale), QuoteScale: int32(r.QuoteScale),
		TickUnits: r.TickUnits, LotUnits: r.LotUnits, MaxPrice: r.MaxPrice, MaxQuantity: r.MaxQty,
		BandUpPpm: r.BandUpPpm, BandDownPpm: r.BandDownPpm, MaxBookOrders: maxBookOrders,
	}}})
}

// SetPhase halts, restricts or resumes a symbol.
func (g *Gate) SetPhase(ctx context.Context, r symbol.Rules, phase order.Phase) (*order.Result, error) {
	return g.ask(ctx, r, &eventpb.Command{Body: &eventpb.Command_SetPhase{SetPhase: &eventpb.SetPhaseCommand{Phase: eventpb.Phase(phase)}}})
}

// ask writes a command and waits for its published record.
func (g *Gate) ask(ctx context.Context, r symbol.Rules, cmd *eventpb.Command) (*order.Result, error) {
	ctx, cancel := clock.WithTimeout(ctx, g.cfg.Clock, g.cfg.WaitTimeout)
	defer cancel()
	return g.send(ctx, r, cmd, true)
}

func (g *Gate) send(ctx context.Context, r symbol.Rules, cmd *eventpb.Command, wait bool) (*order.Result, error) {
	id, err := g.cfg.IDs.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("command id: %w", errNotSentBecause(err))
	}
	cmd.CommandId, cmd.Symbol = id, r.Name
	value, err := proto.Marshal(cmd)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	var answer <-chan *eventpb.RecordBody
	if wait {
		if answer, err = g.waiters.add(id); err != nil {
			return nil, err
		}
		defer g.waiters.drop(id)
	}
	begin := g.cfg.Clock.Now()
	sent, written := telemetry.Begin(ctx, "command written", logx.Field("symbol", r.Name), logx.Field("commandId", id),
		logx.Field("orderId", cmd.GetPlace().GetOrderId()))
	err = g.writer.Do(ctx, bus.Message{Key: []byte(r.Name), Value: value, Trace: telemetry.Parent(sent)})
	written()
	if errors.Is(err, batch.ErrNotTaken) || errors.Is(err, bus.ErrNotSent) {
		return nil, fmt.Errorf("write command: %w", errNotSentBecause(err))
	}
	if !wait {
		return nil, err
	}
	// After any other error the command may be in the log, or still land there: the
	// record tells.
	clock.Await(ctx, g.cfg.Clock, func() bool { return len(answer) > 0 })
	select { // an answer that is there counts, whatever else has happened
	case body := <-answer:
		g.count(cmd, begin)
		return answered(body, err)
	default:
	}
	select {
	case body := <-answer:
		g.count(cmd, begin)
		return answered(body, err)
	case <-ctx.Done():
		return nil, errUnknownBecause(errors.Join(err, ctx.Err()))
	}
}

// count counts a command whose record has been published.
func (g *Gate) count(cmd *eventpb.Command, begin time.Time) {
	name := "other"
	switch cmd.GetBody().(type) {
	case *eventpb.Command_Place:
		name = "place"
	case *eventpb.Command_Cancel, *eventpb.Command_CancelAll:
		name = "cancel"
	}
	telemetry.Matched(name, g.cfg.Clock.Now().Sub(begin))
}

// answered is the end of waiting: by a record, or by nil when none will be published.
func answered(body *eventpb.RecordBody, err error) (*order.Result, error) {
	if body == nil {
		return nil, errUnknownBecause(err)
	}
	return ResultOf(body), nil
}

func errUnknownBecause(err error) error {
	if err == nil {
		return errUnknown
	}
	return errs.From(errUnknown).Wrap(err)
}

func errNotSentBecause(err error) error { return errs.From(errNotSent).Wrap(err) }
