package service

import (
	"errors"
	"time"

	"mscoin/exchange/internal/app"
	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/rpc"
	"mscoin/mscoin-common/telemetry"
)

// Config is everything the service can be told.
type Config struct {
	// Name is the service's name in logs and metrics.
	Name string `json:",default=exchange"`
	// ListenOn is host:port of the gRPC server; port 0 takes a free one.
	ListenOn string `json:",default=127.0.0.1:8102"`
	// Endpoint is host:port at which other instances reach this one; empty is where it
	// listens, with the machine's name when it listens everywhere.
	Endpoint string `json:",optional"`
	// InternalToken must come with every request; the services share it.
	InternalToken string
	// Database keeps orders, trades, symbols and positions.
	Database database.Config
	// Kafka has the money topics.
	Kafka bus.Config
	// Partitions of the money topics; checked at the start.
	Partitions int `json:",default=1,range=[1:1024]"`
	// Lease says how instances share the partitions.
	Lease lease.Config `json:",optional"`
	// Wallet is where holds are placed.
	Wallet Target
	// Order has the times and limits of orders.
	Order OrderConfig `json:",optional"`
	// Sweep has the pace of the sweeper.
	Sweep SweepConfig `json:",optional"`
	// Admission has the limits beyond which new orders are refused.
	Admission AdmissionConfig `json:",optional"`
	// Snapshot has when snapshots of the matcher are taken.
	Snapshot SnapshotConfig `json:",optional"`
	// ApplyBatch is how many records one transaction of the order store takes.
	ApplyBatch int `json:",default=200,range=[1:5000]"`
	// Telemetry says how the process is watched, when the service runs as one of its own.
	Telemetry telemetry.Config `json:",optional"`
}

// Target is where a service answers.
type Target struct {
	// Endpoints are host:port of its instances.
	Endpoints []string `json:",optional"`
	// Target is a gRPC target instead of Endpoints.
	Target string `json:",optional"`
	// TimeoutMs bounds a call.
	TimeoutMs int64 `json:",default=5000"`
}

// OrderConfig has the times and limits of orders.
type OrderConfig struct {
	// WaitMs bounds writing a command and waiting for the matcher's answer.
	WaitMs int64 `json:",default=5000,range=[100:60000]"`
	// DeadlineMs is how long after its intent an order may reach the matcher.
	DeadlineMs int64 `json:",default=8000,range=[100:600000]"`
	// ClientOrderIDReuseMs is how long after its end an order that traded keeps its client order id.
	ClientOrderIDReuseMs int64 `json:",default=60000,range=[0:86400000]"`
	// ReadAfterMs bounds how long a read waits for the order store.
	ReadAfterMs int64 `json:",default=1000,range=[1:10000]"`
	// MaxOpen bounds a member's open orders on a symbol whose rules do not.
	MaxOpen int `json:",default=200,range=[1:100000]"`
}

// AdmissionConfig has the limits beyond which new orders are refused, before anything is
// held, because the order store or the wallet is too far behind. Cancels always pass.
type AdmissionConfig struct {
	// MaxRecords that may wait on a symbol's partition.
	MaxRecords int64 `json:",default=200000,range=[1:100000000]"`
	// MaxAgeMs of the oldest of them.
	MaxAgeMs int64 `json:",default=10000,range=[100:3600000]"`
	// PollMs is how often they are asked.
	PollMs int64 `json:",default=500,range=[10:60000]"`
}

// SweepConfig has the pace of the sweeper.
type SweepConfig struct {
	// EveryMs is how often it looks.
	EveryMs int64 `json:",default=2000,range=[10:600000]"`
	// AfterMs is how old an intent or a hold must be; more than Order.DeadlineMs.
	AfterMs int64 `json:",default=10000,range=[100:3600000]"`
	// ResendMs is when it asks about the same order again.
	ResendMs int64 `json:",default=30000,range=[100:3600000]"`
	// Batch is how many intents, and holds, it asks about in one look.
	Batch int `json:",default=500,range=[1:1000]"`
}

// SnapshotConfig has when snapshots of the matcher are taken.
type SnapshotConfig struct {
	// EveryCommands is after how many commands of a partition.
	EveryCommands int64 `json:",default=200000,range=[100:100000000]"`
	// AfterMs is after what time, if there was any command.
	AfterMs int64 `json:",default=300000,range=[1000:86400000]"`
}

// SetDefaults fills in what is zero, for a Config made in code; one read from a file
// has its defaults already.
func (c *Config) SetDefaults() {
	set(&c.Name, "exchange")
	set(&c.ListenOn, "127.0.0.1:8102")
	set(&c.Partitions, 1)
	c.Lease.SetDefaults()
	set(&c.Wallet.TimeoutMs, 5000)
	set(&c.Order.WaitMs, 5000)
	set(&c.Order.DeadlineMs, 8000)
	set(&c.Order.ClientOrderIDReuseMs, 60_000)
	set(&c.Order.ReadAfterMs, 1000)
	set(&c.Order.MaxOpen, 200)
	set(&c.Sweep.EveryMs, 2000)
	set(&c.Sweep.AfterMs, 10_000)
	set(&c.Sweep.ResendMs, 30_000)
	set(&c.Sweep.Batch, 500)
	set(&c.Admission.MaxRecords, 200_000)
	set(&c.Admission.MaxAgeMs, 10_000)
	set(&c.Admission.PollMs, 500)
	set(&c.Snapshot.EveryCommands, 200_000)
	set(&c.Snapshot.AfterMs, 300_000)
	set(&c.ApplyBatch, 200)
}

func set[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Watched says how the process is watched.
func (c *Config) Watched() telemetry.Config { return c.Telemetry }

// Validate reports what is wrong with the configuration, without showing a secret.
func (c *Config) Validate() error {
	var problems []error
	check := func(ok bool, problem string) {
		if !ok {
			problems = append(problems, errors.New(problem))
		}
	}
	check(c.InternalToken != "", "InternalToken is missing")
	check(c.Database.DSN != "", "Database.DSN is missing")
	check(len(c.Kafka.Brokers) > 0, "Kafka.Brokers is missing")
	check(c.Partitions > 0, "Partitions must be positive")
	check(len(c.Wallet.Endpoints) > 0 || c.Wallet.Target != "", "Wallet has neither Endpoints nor Target")
	check(c.Order.WaitMs > 0 && c.Order.DeadlineMs > 0 && c.Order.ReadAfterMs > 0 && c.Order.MaxOpen > 0 && c.ApplyBatch > 0,
		"the times and limits of Order and ApplyBatch must be positive")
	check(c.Order.ClientOrderIDReuseMs >= 0, "Order.ClientOrderIDReuseMs must not be negative")
	check(c.Snapshot.EveryCommands > 0 && c.Snapshot.AfterMs > 0, "the numbers of Snapshot must be positive")
	check(c.Sweep.EveryMs > 0 && c.Sweep.ResendMs > 0 && c.Sweep.Batch > 0, "the times and limits of Sweep must be positive")
	check(c.Admission.MaxRecords > 0 && c.Admission.MaxAgeMs > 0 && c.Admission.PollMs > 0, "the limits of Admission must be positive")
	check(c.Sweep.AfterMs > c.Order.DeadlineMs,
		"Sweep.AfterMs must be more than Order.DeadlineMs: an order that is still in time must not be given up")
	return errors.Join(append(problems, c.Lease.Validate())...)
}

func (c *Config) wallet() rpc.ClientConfig {
	return rpc.ClientConfig{
		Endpoints: c.Wallet.Endpoints, Target: c.Wallet.Target, TimeoutMs: c.Wallet.TimeoutMs, Token: c.InternalToken,
		PatienceMs: rpc.Patience,
	}
}

func ms(v int64) time.Duration { return time.Duration(v) * time.Millisecond }

func (c *Config) admission() app.AdmissionConfig {
	return app.AdmissionConfig{
		MaxRecords: c.Admission.MaxRecords, MaxAge: ms(c.Admission.MaxAgeMs), PollEvery: ms(c.Admission.PollMs),
	}
}

func (c *Config) app() app.Config {
	return app.Config{
		PlaceDeadline: ms(c.Order.DeadlineMs), ClientOrderIDReuseAfter: ms(c.Order.ClientOrderIDReuseMs),
		ReadAfterTimeout: ms(c.Order.ReadAfterMs), MaxOpenOrders: c.Order.MaxOpen,
		SweepEvery: ms(c.Sweep.EveryMs), SweepAfter: ms(c.Sweep.AfterMs), ResendAfter: ms(c.Sweep.ResendMs),
		SweepBatch: c.Sweep.Batch, Partitions: c.Partitions,
	}
}
