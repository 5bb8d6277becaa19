// Package consumer feeds the matcher's records into the wallet. The records' protobuf
// types stop here.
package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lock"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/settlement"
)

const (
	// Name is the consumer's name in the position tables.
	Name = "wallet"
	// lockPrefix is followed by the member's id.
	lockPrefix = "order_complete_update_wallet::"
	// lockTTL is how long a lock outlives a process that died.
	lockTTL = 5 * time.Second
	// lockWait bounds how long a batch waits for locks that somebody else holds.
	lockWait = 250 * time.Millisecond
	// lockPause is how long no lock is asked for after Redis did not answer.
	lockPause = 5 * time.Second
	// releaseWait bounds giving the locks back.
	releaseWait = 250 * time.Millisecond
)

// Store settles records within a transaction.
type Store interface {
	Settle(ctx context.Context, tx *database.Tx, records []settlement.Record) error
	// Check compares the open holds of a symbol, which trades base for quote, with the
	// matcher's totals, right after everything up to them was settled.
	Check(ctx context.Context, tx *database.Tx, c *stream.Checkpoint, base, quote string) error
}

// Locker takes several locks at once.
type Locker interface {
	Obtain(ctx context.Context, keys []string, ttl time.Duration) (*lock.Held, error)
}

// Settlement applies the records of one partition after another: Apply and Around fit
// stream.Deps. It is safe for concurrent use.
type Settlement struct {
	store       Store
	locks       Locker
	clk         clock.Clock
	pausedUntil atomic.Int64 // ms; no lock is asked for before
}

// New returns a settlement. locks may be nil: they only keep instances from waiting
// for each other in the database.
func New(store Store, locks Locker, clk clock.Clock) *Settlement {
	return &Settlement{store: store, locks: locks, clk: clk}
}

// Apply settles consecutive records in tx, and compares at each of the matcher's totals.
func (s *Settlement) Apply(ctx context.Context, tx *database.Tx, fresh []stream.Entry) error {
	for piece := range stream.AtCheckpoints(fresh) {
		if err := s.settle(ctx, tx, piece); err != nil {
			return err
		}
		last := &piece[len(piece)-1]
		c, ok := last.Checkpoint()
		if !ok {
			continue
		}
		if err := s.store.Check(ctx, tx, &c, last.Body.GetBaseCoin(), last.Body.GetQuoteCoin()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Settlement) settle(ctx context.Context, tx *database.Tx, fresh []stream.Entry) error {
	records := make([]settlement.Record, len(fresh))
	for i := range fresh {
		var err error
		if records[i], err = decode(fresh[i].Body); err != nil {
			return fmt.Errorf("settle %s record %d: %w", fresh[i].Body.GetSymbol(), fresh[i].Body.GetSeq(), err)
		}
	}
	return s.store.Settle(ctx, tx, records)
}

// Around holds the members' locks while the batch is committed. They are a courtesy
// between instances: rows are locked in the database and a batch is applied once
// through its position. So a lock that is held elsewhere, a lock that is lost, or a
// Redis that is down delay a settlement a little and never make it disappear.
func (s *Settlement) Around(ctx context.Context, fresh []stream.Entry, commit func(context.Context) error) error {
	defer s.lock(ctx, lockKeys(fresh))()
	return commit(ctx)
}

// lock takes the locks if it can within lockWait and returns what gives them back.
func (s *Settlement) lock(ctx context.Context, keys []string) (unlock func()) {
	if s.locks == nil || len(keys) == 0 || s.clk.NowMs() < s.pausedUntil.Load() {
		return func() {}
	}
	lockCtx, cancel := context.WithCancel(ctx) // the locks live under it: it must outlast the wait
	obtained := make(chan struct{})
	go func() {
		select {
		case <-obtained:
		case <-s.clk.After(lockWait):
			cancel()
		}
	}()
	held, err := s.locks.Obtain(lockCtx, keys, lockTTL)
	close(obtained)
	switch {
	case err == nil:
		return func() {
			defer cancel()
			s.release(ctx, held)
		}
	case ctx.Err() != nil: // stopping
	case errors.Is(err, lock.ErrNotObtained):
		logx.Infof("settlement: wallets of %d members are locked elsewhere, going on under row locks: %v", len(keys), err)
	default:
		s.pausedUntil.Store(s.clk.NowMs() + lockPause.Milliseconds())
		logx.Errorf("settlement: no member locks for the next %v, going on under row locks: %v", lockPause, err)
	}
	cancel()
	return func() {}
}

func (s *Settlement) release(ctx context.Context, held *lock.Held) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseWait)
	defer cancel()
	if err := held.Release(ctx); err != nil {
		logx.Infof("settlement: release member locks: %v", err)
	}
}

// lockKeys returns the lock of every member of the batch, each once, in order.
func lockKeys(fresh []stream.Entry) []string {
	var members []int64
	for i := range fresh {
		for _, u := range fresh[i].Body.GetOrders() {
			members = append(members, u.GetMemberId())
		}
	}
	slices.Sort(members)
	members = slices.Compact(members)
	keys := make([]string, len(members))
	for i, m := range members {
		keys[i] = lockPrefix + strconv.FormatInt(m, 10)
	}
	return keys
}

// decode keeps of a record what moves money.
func decode(b *eventpb.RecordBody) (settlement.Record, error) {
	r := settlement.Record{
		Symbol: b.GetSymbol(), Seq: b.GetSeq(), TimeMs: b.GetLogTimeMs(), BaseCoin: b.GetBaseCoin(), QuoteCoin: b.GetQuoteCoin(),
		Trades: make([]settlement.Trade, len(b.GetTrades())),
		Orders: make([]settlement.OrderUpdate, len(b.GetOrders())),
	}
	for i, t := range b.GetTrades() {
		side, err := decodeSide(t.GetTakerSide())
		if err != nil {
			return settlement.Record{}, fmt.Errorf("trade %d: %w", t.GetTradeId(), err)
		}
		r.Trades[i] = settlement.Trade{
			TradeID: t.GetTradeId(), Quantity: t.GetQuantity(), Turnover: t.GetTurnover(), TakerSide: side,
			MakerOrderID: t.GetMakerOrderId(), TakerOrderID: t.GetTakerOrderId(),
			MakerMemberID: t.GetMakerMemberId(), TakerMemberID: t.GetTakerMemberId(),
			MakerFee: t.GetMakerFee(), TakerFee: t.GetTakerFee(),
		}
	}
	for i, u := range b.GetOrders() {
		side, err := decodeSide(u.GetSide())
		if err != nil {
			return settlement.Record{}, fmt.Errorf("order %d: %w", u.GetOrderId(), err)
		}
		state, err := decodeState(u.GetState())
		if err != nil {
			return settlement.Record{}, fmt.Errorf("order %d: %w", u.GetOrderId(), err)
		}
		r.Orders[i] = settlement.OrderUpdate{
			OrderID: u.GetOrderId(), MemberID: u.GetMemberId(), Side: side, State: state,
			Traded: u.GetTradedAmount(), Turnover: u.GetTurnover(), Fee: u.GetFee(), HeldRemaining: u.GetHeldRemaining(),
		}
	}
	return r, nil
}

var errUnknownValue = errors.New("record has a value that this version does not know")

func decodeSide(s eventpb.Side) (settlement.Side, error) {
	switch s {
	case eventpb.Side_SIDE_UNSPECIFIED:
		return settlement.SideNone, nil
	case eventpb.Side_SIDE_BUY:
		return settlement.Buy, nil
	case eventpb.Side_SIDE_SELL:
		return settlement.Sell, nil
	default:
		return 0, fmt.Errorf("%w: side %d", errUnknownValue, s)
	}
}

func decodeState(s eventpb.OrderState) (settlement.State, error) {
	switch s {
	case eventpb.OrderState_ORDER_STATE_NEW, eventpb.OrderState_ORDER_STATE_PENDING_TRIGGER,
		eventpb.OrderState_ORDER_STATE_PARTIALLY_FILLED:
		return settlement.Live, nil
	case eventpb.OrderState_ORDER_STATE_FILLED, eventpb.OrderState_ORDER_STATE_CANCELED,
		eventpb.OrderState_ORDER_STATE_EXPIRED, eventpb.OrderState_ORDER_STATE_EXPIRED_IN_MATCH:
		return settlement.Ended, nil
	case eventpb.OrderState_ORDER_STATE_REJECTED:
		return settlement.Rejected, nil
	case eventpb.OrderState_ORDER_STATE_UNSPECIFIED:
		return 0, fmt.Errorf("%w: no order state", errUnknownValue)
	default:
		return 0, fmt.Errorf("%w: order state %d", errUnknownValue, s)
	}
}
