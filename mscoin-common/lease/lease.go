package lease

import (
	"errors"
	"fmt"
	"time"
)

// Modes of ownership.
const (
	// Shared lets several instances share the partitions.
	Shared = "shared"
	// Static is for a single instance: it takes every partition at its start, whoever
	// had it, without waiting for a lease to end.
	Static = "static"
)

const (
	// defaultTTLMs and defaultRenewMs move a dead owner's partitions within 2.5 s.
	defaultTTLMs   = 2000
	defaultRenewMs = 500
	minTTLMs       = 200
	maxTTLMs       = 60_000
	// renewals is how often a lease is renewed within its life, at least.
	renewals = 3
	// marginShare is the part of a lease's life that its owner does without: it covers
	// clocks that run at different rates and the time it takes to stop.
	marginShare = 8
)

// Config says how the instances of a service share its partitions.
type Config struct {
	// Mode is shared (several instances) or static (a single one).
	Mode string `json:",default=shared,options=shared|static"`
	// TTLMs is how long a lease lasts: that long a dead owner's partitions stand still.
	TTLMs int64 `json:",default=2000,range=[200:60000]"`
	// RenewMs is how often leases are renewed and looked at; a third of TTLMs at most.
	RenewMs int64 `json:",default=500,range=[20:20000]"`
}

// SetDefaults fills in what is zero.
func (c *Config) SetDefaults() {
	if c.Mode == "" {
		c.Mode = Shared
	}
	if c.TTLMs == 0 {
		c.TTLMs = defaultTTLMs
	}
	if c.RenewMs == 0 {
		c.RenewMs = defaultRenewMs
	}
}

// Validate reports what is wrong.
func (c *Config) Validate() error {
	if c.Mode != Shared && c.Mode != Static {
		return fmt.Errorf("Lease.Mode is %q, want %s or %s", c.Mode, Shared, Static)
	}
	if c.TTLMs < minTTLMs || c.TTLMs > maxTTLMs {
		return fmt.Errorf("Lease.TTLMs must be %d to %d", minTTLMs, maxTTLMs)
	}
	if c.RenewMs <= 0 || c.RenewMs*renewals > c.TTLMs {
		return errors.New("Lease.RenewMs must be positive and a third of Lease.TTLMs at most")
	}
	return nil
}

func (c *Config) ttl() time.Duration   { return time.Duration(c.TTLMs) * time.Millisecond }
func (c *Config) renew() time.Duration { return time.Duration(c.RenewMs) * time.Millisecond }

// Lease is one partition's row.
type Lease struct {
	Partition int
	// Owner is the instance that took it last, empty when it gave it back; Endpoint is
	// where it answers (host:port).
	Owner, Endpoint string
	// Epoch grows each time the lease is taken.
	Epoch int64
	// ExpiresAtMs is when it ends, by the database's clock.
	ExpiresAtMs int64
}

// Instance is one that shares the partitions.
type Instance struct {
	// ID is different for each start of an instance.
	ID string
	// Endpoint is where it answers (host:port).
	Endpoint string
	// StartedAtMs is its first sign of life, by the database's clock.
	StartedAtMs int64
}

// View is what the database shows at one moment of its time.
type View struct {
	NowMs int64
	// Leases by partition, from 0 on without gaps.
	Leases []Lease
	// Instances that are alive.
	Instances []Instance
}

// Ways in which a lease ends: the cause of the context of the work.
var (
	// ErrHandOver: the work is wanted elsewhere, or the instance stops. The lease is kept
	// until the work has ended.
	ErrHandOver = errors.New("lease is handed over")
	// ErrLost: the lease is over, or soon will be. Somebody else may be at work already.
	ErrLost = errors.New("lease is lost")
	// ErrReplaced ends a Manager whose partitions another instance has taken, though this
	// one is configured to be the only one.
	ErrReplaced = errors.New("another instance has taken over, though this one is configured to be alone (Lease.Mode static)")
)
