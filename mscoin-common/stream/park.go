package stream

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
)

const (
	// drainBatches is how many batches of a symbol's parked records are applied between
	// two batches of the partition: more than can come meanwhile.
	drainBatches = 4
	// drainBytes bounds the parked records that are in memory at once.
	drainBytes = 8 << 20
)

// park writes what a batch sets aside, after the fences.
func (c *Consumer) park(fences Fences, parks []*parking) error {
	for _, k := range parks {
		h := k.halt
		h.Version++
		write := fences.SetHalt
		if k.begins {
			write = fences.InsertHalt
		}
		if err := write(h); err != nil {
			return err
		}
		if err := fences.Park(c.cfg.Name, h.Symbol, k.records); err != nil {
			return err
		}
	}
	return nil
}

// parked takes over what a batch has set aside.
func (c *Consumer) parked(parks []*parking) {
	for _, k := range parks {
		k.halt.Version++
		c.halts[k.halt.Symbol] = k.halt
		if k.begins {
			c.alarm(&k.halt)
		}
	}
	if len(parks) > 0 {
		c.showHalts()
	}
}

// alarm says loudly that a symbol stands still.
func (c *Consumer) alarm(h *database.Halt) {
	logx.Errorf("ALARM %v; its records are set aside until an operator decides, other symbols go on", HaltOf(h))
}

// takeHalts takes over the stored halts.
func (c *Consumer) takeHalts(stored map[string]database.Halt) {
	for symbol, h := range stored {
		old, known := c.halts[symbol]
		if h.State == database.Halted && (!known || old.State != database.Halted) {
			c.alarm(&h)
		}
	}
	c.halts, c.looked = stored, c.deps.Clock.NowMs()
	c.showHalts()
}

// showHalts makes the halts visible to Halted.
func (c *Consumer) showHalts() {
	halted := make(map[string]*HaltError, len(c.halts))
	for symbol, h := range c.halts {
		halted[symbol] = HaltOf(&h)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.halted = halted
}

func (c *Consumer) setStopped(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = err
}

// own reports whether this consumer's partition is the one that drains the symbol.
func (c *Consumer) own(h *database.Halt) bool {
	return h.Topic == c.cfg.Topic && h.Partition == c.cfg.Partition
}

// drain applies parked records of the symbols that operators have decided about.
func (c *Consumer) drain(ctx context.Context) error {
	if len(c.halts) == 0 {
		return nil
	}
	if err := c.lookAtHalts(ctx); err != nil {
		return err
	}
	for _, symbol := range slices.Sorted(maps.Keys(c.halts)) {
		for range drainBatches {
			h, halted := c.halts[symbol]
			if !halted || h.State != database.Draining || !c.own(&h) {
				break
			}
			if err := c.drainSymbol(ctx, h, c.cfg.MaxBatch); err != nil {
				return fmt.Errorf("apply parked records of %s: %w", symbol, err)
			}
		}
	}
	return nil
}

// lookAtHalts looks for decisions, now and then.
func (c *Consumer) lookAtHalts(ctx context.Context) error {
	if c.deps.Clock.NowMs()-c.looked < haltPoll.Milliseconds() {
		return nil
	}
	stored, err := c.deps.Store.LoadHalts(ctx, c.cfg.Name)
	if err != nil {
		return err
	}
	for symbol := range c.halts {
		if _, still := stored[symbol]; !still {
			return fmt.Errorf("halt of %s has ended: %w", symbol, database.ErrFenced) // the heads are out of date
		}
	}
	c.takeHalts(stored)
	return nil
}

// drainSymbol applies the first parked records of a symbol. When one cannot be, the
// symbol is halted again at it.
func (c *Consumer) drainSymbol(ctx context.Context, h database.Halt, limit int) error {
	rows, err := c.deps.Store.LoadParked(ctx, c.cfg.Name, h.Symbol, 0, limit, drainBytes)
	if err != nil {
		return err
	}
	b, halt := c.headsOf(h.Symbol).prefix(messagesOf(rows))
	rows = rows[:len(b.msgs)]
	err = c.drainBatch(ctx, h, b, rows, halt)
	refused, ok := errors.AsType[*applyError](err)
	switch {
	case !ok:
		return err
	case len(rows) > 1:
		return c.drainSymbol(ctx, h, len(rows)/2)
	}
	halt = &HaltError{
		Offset: rows[0].Offset, Symbol: h.Symbol, WantSeq: rows[0].Seq, GotSeq: rows[0].Seq, Reason: ReasonApply, Cause: refused.cause,
	}
	return c.drainBatch(ctx, h, batch{}, nil, halt)
}

// headsOf returns the head of one symbol, to be planned with alone.
func (c *Consumer) headsOf(symbol string) chains {
	one := chains{}
	if h := c.heads[symbol]; h != nil {
		one[symbol] = h
	}
	return one
}

// drainBatch applies the batch made of the first parked rows, and halts the symbol
// again if halt is not nil.
func (c *Consumer) drainBatch(ctx context.Context, h database.Halt, b batch, rows []database.Parked, halt *HaltError) error {
	after := h
	after.Version++
	for i := range rows {
		after.Parked--
		after.ParkedBytes -= rows[i].Bytes()
	}
	if halt != nil {
		again := halt.row()
		after.State, after.Offset, after.WantSeq, after.GotSeq = database.Halted, again.Offset, again.WantSeq, again.GotSeq
		after.Reason, after.Cause = again.Reason, again.Cause
	}
	over := after.Parked <= 0
	err := c.transact(ctx, b, func(fences Fences) error {
		return fences.AdvanceHalt(c.cfg.Name, h.Symbol, h.Version)
	}, func(fences Fences) error {
		if len(rows) > 0 {
			if err := fences.Unpark(c.cfg.Name, h.Symbol, rows[0].Place, rows[len(rows)-1].Place); err != nil {
				return err
			}
		}
		if over {
			return fences.DropHalt(c.cfg.Name, h.Symbol)
		}
		return fences.SetHalt(after)
	})
	if err != nil {
		return err
	}
	if over {
		delete(c.halts, h.Symbol)
		logx.Infof("consumer %s: %s is live again", c.cfg.Name, h.Symbol)
	} else {
		c.halts[h.Symbol] = after
	}
	if halt != nil {
		c.alarm(&after)
	}
	c.showHalts()
	return nil
}

func messagesOf(rows []database.Parked) []bus.Message {
	msgs := make([]bus.Message, len(rows))
	for i := range rows {
		r := &rows[i]
		msgs[i] = bus.Message{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, TimeMs: r.TimeMs, Key: r.Key, Value: r.Value}
	}
	return msgs
}
