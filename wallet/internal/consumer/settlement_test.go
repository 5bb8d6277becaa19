package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	eventpb "mscoin/grpc-common/gen/event/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lock"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/settlement"
)

type storeFunc func(records []settlement.Record) error

func (f storeFunc) Settle(_ context.Context, _ *database.Tx, records []settlement.Record) error {
	return f(records)
}

func (storeFunc) Check(context.Context, *database.Tx, *stream.Checkpoint, string, string) error {
	return nil
}

// checking is a store that notes in which order it settles and compares.
type checking struct {
	steps []string
	err   error
}

func (c *checking) Settle(_ context.Context, _ *database.Tx, records []settlement.Record) error {
	for i := range records {
		c.steps = append(c.steps, fmt.Sprint(records[i].Symbol, records[i].Seq))
	}
	return nil
}

func (c *checking) Check(_ context.Context, _ *database.Tx, at *stream.Checkpoint, base, quote string) error {
	c.steps = append(c.steps, fmt.Sprint("check ", at.Symbol, at.Seq, " ", base, quote))
	return c.err
}

func TestSettlement_Check(t *testing.T) {
	total := &eventpb.Checkpoint{OpenOrders: 1}
	fresh := []stream.Entry{
		{Body: &eventpb.RecordBody{Symbol: "A/B", Seq: 1}},
		{Body: &eventpb.RecordBody{Symbol: "A/B", Seq: 2, BaseCoin: "A", QuoteCoin: "B", Checkpoint: total}},
		{Body: &eventpb.RecordBody{Symbol: "C/B", Seq: 7}},
	}
	t.Run("totals are compared where they were taken: after what is before, and before what comes after (H15)", func(t *testing.T) {
		c := &checking{}
		if err := New(c, nil, clock.Real()).Apply(t.Context(), nil, fresh); err != nil {
			t.Fatal(err)
		}
		if want := []string{"A/B1", "A/B2", "check A/B2 AB", "C/B7"}; !slices.Equal(c.steps, want) {
			t.Errorf("got %q, want %q", c.steps, want)
		}
	})
	t.Run("totals that differ are the error of the batch", func(t *testing.T) {
		c := &checking{err: stream.ErrDrift}
		if err := New(c, nil, clock.Real()).Apply(t.Context(), nil, fresh); !errors.Is(err, stream.ErrDrift) || len(c.steps) != 3 {
			t.Errorf("got %v after %q", err, c.steps)
		}
	})
}

func TestSettlement_Apply(t *testing.T) {
	tests := []struct {
		rule string
		body *eventpb.RecordBody
		ok   bool
	}{
		{"a record without orders is passed on", &eventpb.RecordBody{Symbol: "A/B", Seq: 1}, true},
		{"a rejection without a side is passed on", &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{OrderId: 1, MemberId: 2, State: eventpb.OrderState_ORDER_STATE_REJECTED}}}, true},
		{"an order without a state is refused", &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{OrderId: 1, Side: eventpb.Side_SIDE_BUY}}}, false},
		{"a state of a later version is refused, not guessed", &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{OrderId: 1, State: 99}}}, false},
		{"a side of a later version is refused", &eventpb.RecordBody{Trades: []*eventpb.Trade{{TradeId: 1, TakerSide: 9}}}, false},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			settled := false
			s := New(storeFunc(func([]settlement.Record) error { settled = true; return nil }), nil, clock.Real())
			err := s.Apply(t.Context(), nil, []stream.Entry{{Body: tt.body}})
			if settled != tt.ok || (err == nil) != tt.ok {
				t.Fatalf("settled %t, %v", settled, err)
			}
		})
	}
	t.Run("every state of the contract is known", func(t *testing.T) {
		for number, name := range eventpb.OrderState_name {
			if _, err := decodeState(eventpb.OrderState(number)); (err != nil) != (number == 0) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// brokenLocks counts how often it is asked.
type brokenLocks struct {
	asked int
	err   error
}

func (l *brokenLocks) Obtain(context.Context, []string, time.Duration) (*lock.Held, error) {
	l.asked++
	return nil, l.err
}

func TestSettlement_Around(t *testing.T) {
	batch := []stream.Entry{{Body: &eventpb.RecordBody{Orders: []*eventpb.OrderUpdate{{MemberId: 9}, {MemberId: 7}, {MemberId: 9}}}}}
	run := func(s *Settlement) (committed int) {
		if err := s.Around(t.Context(), batch, func(context.Context) error { committed++; return nil }); err != nil {
			t.Fatal(err)
		}
		return committed
	}
	t.Run("each member is locked once, in order", func(t *testing.T) {
		keys := lockKeys(batch)
		if len(keys) != 2 || keys[0] != "order_complete_update_wallet::7" || keys[1] != "order_complete_update_wallet::9" {
			t.Fatal(keys)
		}
	})
	t.Run("a lock held elsewhere is asked for each time and never stops a settlement (fault 3)", func(t *testing.T) {
		locks := &brokenLocks{err: lock.ErrNotObtained}
		s := New(nil, locks, clock.Real())
		if run(s)+run(s) != 2 || locks.asked != 2 {
			t.Fatal(locks.asked)
		}
	})
	t.Run("a Redis that does not answer is left alone for a while", func(t *testing.T) {
		clk := clock.NewFake(time.UnixMilli(1_000_000))
		locks := &brokenLocks{err: errors.New("connection refused")}
		s := New(nil, locks, clk)
		if run(s)+run(s) != 2 || locks.asked != 1 {
			t.Fatal(locks.asked)
		}
		clk.Advance(lockPause)
		if run(s) != 1 || locks.asked != 2 {
			t.Fatal(locks.asked)
		}
	})
	t.Run("an error of the commit is the outcome", func(t *testing.T) {
		want := errors.New("commit")
		s := New(nil, nil, clock.Real())
		if err := s.Around(t.Context(), batch, func(context.Context) error { return want }); !errors.Is(err, want) {
			t.Fatal(err)
		}
	})
}
