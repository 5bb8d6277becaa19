// Package simulate wires the wallet for deploy/simulator: the real use cases, gRPC server
// and settlement consumer over dependencies that the simulator makes. Only the simulator
// may import it.
package simulate

import (
	"context"
	"fmt"

	walletpb "mscoin/grpc-common/gen/wallet/v1"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/stream"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/internal/consumer"
	"mscoin/wallet/internal/server"
	"mscoin/wallet/internal/store/memory"
)

// The names under which the simulator sees the wallet's own types.
type (
	// Store is app.Store.
	Store = app.Store
	// Coin is app.Coin.
	Coin = app.Coin
	// Deposit is app.Deposit.
	Deposit = app.Deposit
	// HoldRequest is app.HoldRequest.
	HoldRequest = app.HoldRequest
	// HoldResult is app.HoldResult.
	HoldResult = app.HoldResult
	// StaleHold is app.StaleHold.
	StaleHold = app.StaleHold
	// Balance is app.Wallet.
	Balance = app.Wallet
	// Transaction is app.Transaction.
	Transaction = app.Transaction
	// TransactionQuery is app.TransactionQuery.
	TransactionQuery = app.TransactionQuery
	// Settler is consumer.Store.
	Settler = consumer.Store
	// DB is memory.Store.
	DB = memory.Store
	// Hold is memory.Hold.
	Hold = memory.Hold
)

// NewDB returns an empty wallet database in memory.
func NewDB(clk clock.Clock) *DB { return memory.New(clk) }

// ConsumerName is the wallet consumer's name in the positions.
const ConsumerName = consumer.Name

// Config is what one process of the wallet is made of.
type Config struct {
	Clock      clock.Clock
	Partitions int
	Bus        stream.Bus
	// Store and Positions are the database; Settler writes records within the
	// transaction of Positions that runs.
	Store     Store
	Positions stream.Store
	Settler   Settler
	// SettleBatch bounds the records of one transaction.
	SettleBatch int
}

// Task is one of the goroutines of a process. When it fails, the process is over.
type Task struct {
	Name string
	Run  func(ctx context.Context) error
}

// Wallet is one process.
type Wallet struct {
	Server walletpb.WalletServiceServer

	app       *app.App
	consumers []*stream.Consumer
}

// New wires a process as package service does, without the member locks: they are a
// courtesy, and no rule depends on them.
func New(cfg Config) (*Wallet, error) {
	w := &Wallet{}
	progress := stream.NewProgress(cfg.Positions, cfg.Clock, consumer.Name)
	settle := consumer.New(cfg.Settler, nil, cfg.Clock)
	for partition := range cfg.Partitions {
		c, err := stream.New(
			stream.Config{Name: consumer.Name, Topic: bus.TopicSettle, Partition: partition, MaxBatch: cfg.SettleBatch},
			stream.Deps{
				Bus: cfg.Bus, Store: cfg.Positions, Clock: cfg.Clock, Progress: progress,
				Apply: settle.Apply, Around: settle.Around,
			},
		)
		if err != nil {
			return nil, err
		}
		w.consumers = append(w.consumers, c)
	}
	w.app = app.New(cfg.Store, progress, cfg.Clock)
	w.Server = server.New(w.app, app.NewTransfers(w.app, nil, nil, cfg.Clock, app.TransferConfig{})) // money stays inside
	return w, nil
}

// Tasks are what runs in the process.
func (w *Wallet) Tasks() []Task {
	all := []Task{{"holds", w.app.Run}}
	for p, c := range w.consumers {
		all = append(all, Task{fmt.Sprintf("settlement %d", p), c.Run})
	}
	return all
}

// Halted returns what stands still and why.
func (w *Wallet) Halted() (all []error) {
	for _, c := range w.consumers {
		for _, h := range c.Halted() {
			all = append(all, h)
		}
		if err := c.Stopped(); err != nil {
			all = append(all, err)
		}
	}
	return all
}
