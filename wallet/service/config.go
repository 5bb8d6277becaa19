package service

import (
	"errors"
	"fmt"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/telemetry"
)

// Config is everything the service can be told.
type Config struct {
	// Name is the service's name in logs and metrics.
	Name string `json:",default=wallet"`
	// ListenOn is host:port of the gRPC server; port 0 takes a free one.
	ListenOn string `json:",default=127.0.0.1:8103"`
	// Endpoint is host:port at which others reach this instance; empty is where it listens,
	// with the machine's name when it listens everywhere.
	Endpoint string `json:",optional"`
	// InternalToken must come with every request; the services share it.
	InternalToken string
	// Database is where the money is booked.
	Database database.Config
	// Kafka is where the settlement's records come from.
	Kafka bus.Config
	// Redis keeps the member locks, which only save waiting.
	Redis RedisConfig
	// Partitions is the number of partitions of the money topics; it must be theirs.
	Partitions int `json:",default=1,range=[1:1024]"`
	// Lease says how instances share the settlement of the partitions.
	Lease lease.Config `json:",optional"`
	// ReconcileEveryMs is how often the books are reconciled while the service runs.
	ReconcileEveryMs int64 `json:",default=60000,range=[100:3600000]"`
	// SettleBatch is how many records one settlement transaction takes at most.
	SettleBatch int `json:",default=2000,range=[1:2000]"`
	// Telemetry says how the process is watched, when the service runs as one of its own.
	Telemetry telemetry.Config `json:",optional"`
}

// RedisConfig is how to reach Redis.
type RedisConfig struct {
	// Addr is host:port; empty settles without member locks.
	Addr string `json:",optional"`
	// Password, if Redis wants one.
	Password string `json:",optional"`
}

const (
	maxPartitions = 1024
	maxBatch      = 2000
	// defaultBatch only matters when records have piled up: a batch is what is there.
	// The more records, the more of them share wallets and a commit: measured with
	// make bench-settlement, 1000 cost a quarter less each than 200, 2000 a tenth less
	// than 1000. Beyond that holds wait too long for the rows of a batch.
	defaultBatch = 2000
)

// SetDefaults fills in what is zero, for a Config made in code; one read from a file
// has its defaults already.
func (c *Config) SetDefaults() {
	if c.Name == "" {
		c.Name = "wallet"
	}
	if c.ListenOn == "" {
		c.ListenOn = "127.0.0.1:8103"
	}
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	c.Lease.SetDefaults()
	if c.ReconcileEveryMs == 0 {
		c.ReconcileEveryMs = 60_000
	}
	if c.SettleBatch == 0 {
		c.SettleBatch = defaultBatch
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
	check(c.Partitions >= 1 && c.Partitions <= maxPartitions, "Partitions must be 1 to 1024")
	check(c.ReconcileEveryMs >= 100, "ReconcileEveryMs must be at least 100")
	check(c.SettleBatch >= 1 && c.SettleBatch <= maxBatch, "SettleBatch must be 1 to 2000")
	if err := errors.Join(append(problems, c.Lease.Validate())...); err != nil {
		return fmt.Errorf("configuration of wallet: %w", err)
	}
	return nil
}
