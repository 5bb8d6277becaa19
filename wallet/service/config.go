package service

import (
	"errors"
	"fmt"

	"mscoin/mscoin-common/bus"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/lease"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/telemetry"
	"mscoin/wallet/internal/app"
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
	// Custody is where the coins are, and how they may be deposited and withdrawn.
	Custody CustodyConfig `json:",optional"`
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

// CustodyConfig is where the coins are, and how they may be deposited and withdrawn.
type CustodyConfig struct {
	// URL is that of the custody (wallet/custody/simchain's protocol); empty offers no
	// deposits by chain and no withdrawals.
	URL string `json:",optional"`
	// Token is what the custody wants to see.
	Token string `json:",optional"`
	// EveryMs is how often chains and withdrawals are looked at.
	EveryMs int64 `json:",default=1000,range=[10:3600000]"`
	// AddressDelaySeconds is how old an address must be before money goes there.
	AddressDelaySeconds int64 `json:",default=86400,range=[0:31536000]"`
	// MaxAddresses bounds a member's address book.
	MaxAddresses int `json:",default=50,range=[1:1000]"`
	// Coins are those that can be deposited and withdrawn.
	Coins []CoinConfig `json:",optional"`
}

// CoinConfig says how a coin may be deposited and withdrawn. Amounts are decimals in the
// coin; an empty limit is none.
type CoinConfig struct {
	// Name of the coin.
	Name string
	// Confirmations are the blocks, the first one included, after which a deposit is
	// credited and a withdrawal done.
	Confirmations int64 `json:",range=[1:10000]"`
	// StartHeight is the last block of the chain that is not looked at.
	StartHeight int64 `json:",default=0,range=[0:1000000000000]"`
	// MinDeposit is the least that is credited.
	MinDeposit string `json:",optional"`
	// MinWithdraw is the least that is withdrawn at once.
	MinWithdraw string `json:",optional"`
	// MaxWithdraw is the most that is withdrawn at once.
	MaxWithdraw string `json:",optional"`
	// DayLimit is the most that a member withdraws in a UTC day.
	DayLimit string `json:",optional"`
	// Fee of a withdrawal, on top of its amount.
	Fee string `json:",optional"`
	// ReviewAbove is the amount above which an operator approves first, counted from all
	// that the member withdraws in a UTC day. It needs a DayLimit.
	ReviewAbove string `json:",optional"`
	// TwoReviewsAbove is the amount above which two do.
	TwoReviewsAbove string `json:",optional"`
}

// rules are the rules for the use cases.
func (c *CoinConfig) rules() app.CoinRules {
	return app.CoinRules{
		Coin: c.Name, Confirmations: c.Confirmations, StartHeight: c.StartHeight, MinDeposit: c.MinDeposit, MinWithdraw: c.MinWithdraw,
		MaxWithdraw: c.MaxWithdraw, DayLimit: c.DayLimit, Fee: c.Fee, ReviewAbove: c.ReviewAbove, TwoReviewsAbove: c.TwoReviewsAbove,
	}
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
	c.Custody.setDefaults()
	if c.SettleBatch == 0 {
		c.SettleBatch = defaultBatch
	}
}

func (c *CustodyConfig) setDefaults() {
	if c.EveryMs == 0 {
		c.EveryMs = 1000
	}
	if c.MaxAddresses == 0 {
		c.MaxAddresses = 50
	}
}

// validate reports what cannot be; coins are checked as far as that is possible without
// their scales.
func (c *CustodyConfig) validate() error {
	if c.URL == "" {
		return nil
	}
	var problems []error
	if c.Token == "" {
		problems = append(problems, errors.New("Custody.Token is missing"))
	}
	if c.EveryMs < 10 || c.AddressDelaySeconds < 0 || c.MaxAddresses < 1 {
		problems = append(problems, errors.New("in Custody EveryMs must be at least 10, AddressDelaySeconds 0, MaxAddresses 1"))
	}
	seen := map[string]bool{}
	for i := range c.Coins {
		coin := &c.Coins[i]
		rules := coin.rules()
		limits, err := rules.Limits(app.Coin{Name: coin.Name, Scale: money.MaxScale})
		switch {
		case err != nil:
			problems = append(problems, err)
		case coin.Name == "" || seen[coin.Name] || coin.Confirmations < 1 || coin.StartHeight < 0:
			problems = append(problems, fmt.Errorf("in Custody.Coins %q: a name that is there once, and at least one confirmation", coin.Name))
		case limits.MaxWithdraw > 0 && limits.MaxWithdraw < limits.MinWithdraw, limits.TwoReviewsAbove > 0 && limits.TwoReviewsAbove < limits.ReviewAbove:
			problems = append(problems, fmt.Errorf("in Custody.Coins %q: MinWithdraw must not be above MaxWithdraw, ReviewAbove not above TwoReviewsAbove", coin.Name))
		}
		seen[coin.Name] = true
	}
	return errors.Join(problems...)
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
	if err := errors.Join(append(problems, c.Lease.Validate(), c.Custody.validate())...); err != nil {
		return fmt.Errorf("configuration of wallet: %w", err)
	}
	return nil
}
