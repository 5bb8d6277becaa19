// Package consumer follows the matcher's records and keeps the order store up to
// date: orders, trades and the position in one transaction for a batch of records,
// then the records go on, whole, to the wallet.
package consumer

import (
	"context"

	"mscoin/exchange/internal/sequencer"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/stream"
)

// Name of the order consumer in the position tables.
const Name = "order"

// Apply writes a batch of records into the order store, within the transaction that
// moves the position.
type Apply func(tx *database.Tx, b *order.Batch) error

// Check compares the order store with the matcher's totals, right after Apply has
// written everything up to them.
type Check func(tx *database.Tx, c *stream.Checkpoint) error

// New returns the order consumer of a partition.
func New(client stream.Bus, store stream.Store, clk clock.Clock, progress *stream.Progress, apply Apply, check Check, partition, maxBatch int) (*stream.Consumer, error) {
	return stream.New(stream.Config{
		Name: Name, Topic: bus.TopicCompleted, Partition: partition,
		ForwardTo: bus.TopicSettle, MaxBatch: maxBatch,
	}, stream.Deps{
		Bus: client, Store: store, Clock: clk, Progress: progress,
		Apply: func(_ context.Context, tx *database.Tx, fresh []stream.Entry) error {
			return applyAll(tx, fresh, apply, check)
		},
	})
}

func applyAll(tx *database.Tx, fresh []stream.Entry, apply Apply, check Check) error {
	for piece := range stream.AtCheckpoints(fresh) {
		if err := apply(tx, batchOf(piece)); err != nil {
			return err
		}
		c, ok := piece[len(piece)-1].Checkpoint()
		if !ok {
			continue
		}
		if err := check(tx, &c); err != nil {
			return err
		}
	}
	return nil
}

// batchOf gathers what records say.
func batchOf(fresh []stream.Entry) *order.Batch {
	b := &order.Batch{Phases: map[string]order.Phase{}}
	for i := range fresh {
		body := fresh[i].Body
		r := sequencer.ResultOf(body)
		b.Updates = append(b.Updates, r.Updates...)
		b.Trades = append(b.Trades, r.Trades...)
		if body.GetPhase() != 0 {
			b.Phases[body.GetSymbol()] = order.Phase(body.GetPhase())
		}
	}
	return b
}
