package service

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/consumer"
	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/internal/store"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/stream"
)

// drainPatience bounds how long a partition that is handed over waits for the requests in
// it.
const drainPatience = 2 * time.Second

// partition is a place for what runs while this instance owns the partition.
type partition struct {
	run     atomic.Pointer[run]
	failure atomic.Pointer[error] // of the last run, until one is live
}

// run is one life of a partition's matcher: from a replay to the loss of the lease, or to
// an error, after which only a replay knows what was written. Nothing of it survives.
type run struct {
	partition int
	sequencer *sequencer.Sequencer
	gate      *sequencer.Gate
	consumer  *stream.Consumer
	listed    atomic.Bool // the matcher knows every symbol

	mu     sync.Mutex
	closed bool
	inside int
	empty  chan struct{} // closed when it is closed and nobody is inside
}

// enter keeps the run from being handed over until leave is called.
func (r *run) enter() (leave func(), err error) {
	if !r.sequencer.Ready() {
		return nil, app.ErrMoving
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil, app.ErrMoving
	}
	r.inside++
	return sync.OnceFunc(r.leave), nil
}

func (r *run) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inside--
	r.settle()
}

// close lets nobody in any more.
func (r *run) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		r.settle()
	}
}

func (r *run) settle() {
	if r.closed && r.inside == 0 {
		close(r.empty)
	}
}

// drain waits, bounded, until nobody is inside.
func (r *run) drain(clk clock.Clock) {
	r.close()
	select {
	case <-r.empty:
	case <-clk.After(drainPatience):
	}
}

// newRun makes the parts of a partition.
func (s *Service) newRun(p int) (*run, error) {
	r := &run{partition: p, empty: make(chan struct{})}
	r.gate = sequencer.NewGate(sequencer.GateConfig{
		Log: s.log, IDs: s.ids, Clock: s.clk, Partition: p, WaitTimeout: time.Duration(s.cfg.Order.WaitMs) * time.Millisecond,
	})
	r.sequencer = s.newSequencer(p, r.gate)
	var err error
	r.consumer, err = consumer.New(s.orderBus, stream.DatabaseStore(s.db), s.clk, s.progress, store.Apply, store.Check, p, s.cfg.ApplyBatch)
	return r, err
}

// own is the work on a partition: runs, one after the other, until the lease is over.
func (s *Service) own(ctx context.Context, l lease.Lease) {
	place := &s.partitions[l.Partition]
	defer place.failure.Store(nil)
	lease.Repeat(ctx, s.clk, func(ctx context.Context) error { return s.runOnce(ctx, l.Partition) }, func(err error) {
		place.failure.Store(&err)
		logx.Errorf("partition %d, epoch %d: %v", l.Partition, l.Epoch, err)
		if s.cfg.Lease.Mode == lease.Static && refusal(err) {
			s.group.Fail(err) // nobody else could do better
		}
	})
}

// refusal reports whether the logs and the database contradict each other, so that no
// start can succeed before an operator has looked.
func refusal(err error) bool {
	return sequencer.Refusal(err) || errors.Is(err, stream.ErrLogLost)
}

// runOnce runs the parts of a partition until ctx ends or one of them does.
func (s *Service) runOnce(ctx context.Context, p int) error {
	r, err := s.newRun(p)
	if err != nil {
		return err
	}
	place := &s.partitions[p]
	place.run.Store(r)
	defer place.run.Store(nil)

	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended := make(chan error, 4)
	var all sync.WaitGroup
	for name, loop := range map[string]func(context.Context) error{
		"order consumer": r.consumer.Run, "commands": r.gate.Run, "sequencer": r.sequencer.Run,
		"listings": func(ctx context.Context) error { return s.listings(ctx, r) },
	} {
		all.Go(func() {
			err := loop(work)
			if work.Err() == nil && (err != nil || name != "listings") {
				ended <- fmt.Errorf("%s: %w", name, errors.Join(err, errEnded))
			}
		})
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
		if errors.Is(context.Cause(ctx), lease.ErrHandOver) {
			r.drain(s.clk)
		}
	}
	r.close()
	stop()
	r.gate.Close() // whoever still waits does not know the outcome
	all.Wait()
	return err
}

var errEnded = errors.New("ended by itself")

// listings finishes interrupted listings, as often as it takes.
func (s *Service) listings(ctx context.Context, r *run) error {
	for !r.sequencer.Ready() {
		if err := clock.Sleep(ctx, s.clk, readyPoll); err != nil {
			return err
		}
	}
	for {
		err := s.app.RepairSymbols(ctx, r.partition)
		if err == nil {
			r.listed.Store(true)
			s.partitions[r.partition].failure.Store(nil)
			return nil
		}
		if ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("exchange: %v", err)
		}
		if err := clock.Sleep(ctx, s.clk, repairPause); err != nil {
			return err
		}
	}
}

// live returns why the partition does not answer, nil when it does.
func (p *partition) live(number int) error {
	r := p.run.Load()
	if r != nil && r.sequencer.Ready() && r.listed.Load() {
		return r.consumer.Stopped()
	}
	if failure := p.failure.Load(); failure != nil {
		return fmt.Errorf("exchange has no matcher of partition %d: %w", number, *failure)
	}
	if r != nil && r.sequencer.Ready() {
		return fmt.Errorf("exchange has symbols on partition %d that the matcher does not know", number)
	}
	return fmt.Errorf("exchange replays partition %d", number)
}
