package service

import (
	"errors"
	"fmt"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/telemetry"
)

// Config is everything the service can be told.
type Config struct {
	// Name is the service's name in logs and metrics.
	Name string `json:",default=market"`
	// ListenOn is host:port of the gRPC server; port 0 takes a free one.
	ListenOn string `json:",default=127.0.0.1:8104"`
	// InternalToken must come with every request; the services share it.
	InternalToken string
	// Database is where the market's data is kept.
	Database database.Config
	// Kafka is where the matcher's records come from.
	Kafka bus.Config
	// Partitions is the number of partitions of the money topics; it must be theirs.
	Partitions int `json:",default=1,range=[1:1024]"`
	// MaxBatch is how many records one transaction takes at most.
	MaxBatch int `json:",default=500,range=[1:5000]"`
	// Telemetry says how the process is watched, when the service runs as one of its own.
	Telemetry telemetry.Config `json:",optional"`
}

const (
	maxPartitions = 1024
	maxBatch      = 5000
)

// SetDefaults fills in what is zero, for a Config made in code; one read from a file
// has its defaults already.
func (c *Config) SetDefaults() {
	if c.Name == "" {
		c.Name = "market"
	}
	if c.ListenOn == "" {
		c.ListenOn = "127.0.0.1:8104"
	}
	if c.Partitions == 0 {
		c.Partitions = 1
	}
	if c.MaxBatch == 0 {
		c.MaxBatch = 500
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
	check(c.MaxBatch >= 1 && c.MaxBatch <= maxBatch, "MaxBatch must be 1 to 5000")
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("configuration of market: %w", err)
	}
	return nil
}
