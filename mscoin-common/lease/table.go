package lease

import (
	"context"
	"embed"
	"fmt"

	"mscoin/mscoin-common/database"
)

//go:embed migration/*.sql
var migrations embed.FS

// Migrate creates the tables (set "lease").
func Migrate(ctx context.Context, db *database.DB) error {
	return db.Migrate(ctx, "lease", migrations)
}

// forgetMs is when the row of an instance that died is removed.
const forgetMs = 600_000

// Table is the leases of one service. Each method but Prepare is one statement by itself,
// or two that need not go together; one whose outcome is unknown may be repeated.
type Table interface {
	// Beat is a sign of life of an instance.
	Beat(ctx context.Context, in Instance, ttlMs int64) error
	// Leave takes it back.
	Leave(ctx context.Context, instance string) error
	// Renew prolongs what the instance took and what has not ended; with force also what
	// has, as long as nobody else took it.
	Renew(ctx context.Context, instance string, ttlMs int64, force bool) error
	// Take takes a lease that has ended, if it still is as it was seen; with force also
	// one that has not. It does not say whether it was successful: Read does.
	Take(ctx context.Context, seen Lease, in Instance, ttlMs int64, force bool) error
	// Release ends a lease that the instance took with that epoch, and leaves it ownerless.
	Release(ctx context.Context, partition int, instance string, epoch int64) error
	// Read returns all leases and the living instances.
	Read(ctx context.Context) (View, error)
}

// DatabaseTable is the Table of a service in its database.
type DatabaseTable struct {
	db         *database.DB
	service    string
	partitions int
	now        string // SQL: the database's time in ms
}

// NewTable returns the leases of a service with that many partitions. Prepare it.
func NewTable(db *database.DB, service string, partitions int) *DatabaseTable {
	// Of the statement's start: a statement that had to wait believes to be earlier than
	// it is, so that nothing ends too early and nothing lasts too long.
	now := "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)"
	if db.Dialect() == database.SQLite {
		now = "CAST(ROUND(unixepoch('subsec') * 1000) AS INTEGER)"
	}
	return &DatabaseTable{db: db, service: service, partitions: partitions, now: now}
}

// Prepare makes sure that every partition has its row.
func (t *DatabaseTable) Prepare(ctx context.Context) error {
	var have []int
	if err := t.db.Read(ctx).Raw("SELECT partition_id FROM lease WHERE service = ?", t.service).Scan(&have).Error; err != nil {
		return fmt.Errorf("prepare leases: %w", err)
	}
	known := make(map[int]bool, len(have))
	for _, p := range have {
		known[p] = true
	}
	for p := range t.partitions {
		if known[p] {
			continue
		}
		_, err := t.db.Exec(ctx, "INSERT INTO lease (service, partition_id, owner, endpoint, epoch, expires_at_ms) VALUES (?, ?, '', '', 0, "+t.now+")",
			t.service, p)
		if err != nil && !database.IsDuplicateKey(err) {
			return fmt.Errorf("prepare lease of partition %d: %w", p, err)
		}
	}
	return nil
}

// Beat implements Table.
func (t *DatabaseTable) Beat(ctx context.Context, in Instance, ttlMs int64) error {
	rows, err := t.db.Exec(ctx, "UPDATE lease_instance SET expires_at_ms = "+t.now+" + ? WHERE service = ? AND instance = ?",
		ttlMs, t.service, in.ID)
	if err != nil {
		return fmt.Errorf("sign of life: %w", err)
	}
	if rows == 1 {
		return nil
	}
	_, err = t.db.Exec(ctx, "INSERT INTO lease_instance (service, instance, endpoint, started_at_ms, expires_at_ms) VALUES (?, ?, ?, "+
		t.now+", "+t.now+" + ?)", t.service, in.ID, in.Endpoint, ttlMs)
	if err != nil && !database.IsDuplicateKey(err) {
		return fmt.Errorf("first sign of life: %w", err)
	}
	if _, err := t.db.Exec(ctx, "DELETE FROM lease_instance WHERE service = ? AND expires_at_ms < "+t.now+" - ?", t.service, forgetMs); err != nil {
		return fmt.Errorf("forget dead instances: %w", err)
	}
	return nil
}

// Leave implements Table.
func (t *DatabaseTable) Leave(ctx context.Context, instance string) error {
	if _, err := t.db.Exec(ctx, "DELETE FROM lease_instance WHERE service = ? AND instance = ?", t.service, instance); err != nil {
		return fmt.Errorf("leave: %w", err)
	}
	return nil
}

// Renew implements Table.
func (t *DatabaseTable) Renew(ctx context.Context, instance string, ttlMs int64, force bool) error {
	statement := "UPDATE lease SET expires_at_ms = " + t.now + " + ? WHERE service = ? AND owner = ?"
	if !force {
		statement += " AND expires_at_ms > " + t.now
	}
	if _, err := t.db.Exec(ctx, statement, ttlMs, t.service, instance); err != nil {
		return fmt.Errorf("renew leases: %w", err)
	}
	return nil
}

// Take implements Table.
func (t *DatabaseTable) Take(ctx context.Context, seen Lease, in Instance, ttlMs int64, force bool) error {
	statement := "UPDATE lease SET owner = ?, endpoint = ?, epoch = epoch + 1, expires_at_ms = " + t.now +
		" + ? WHERE service = ? AND partition_id = ? AND epoch = ?"
	if !force {
		statement += " AND expires_at_ms <= " + t.now
	}
	if _, err := t.db.Exec(ctx, statement, in.ID, in.Endpoint, ttlMs, t.service, seen.Partition, seen.Epoch); err != nil {
		return fmt.Errorf("take lease of partition %d: %w", seen.Partition, err)
	}
	return nil
}

// Release implements Table.
func (t *DatabaseTable) Release(ctx context.Context, partition int, instance string, epoch int64) error {
	_, err := t.db.Exec(ctx, "UPDATE lease SET owner = '', expires_at_ms = "+t.now+
		" WHERE service = ? AND partition_id = ? AND owner = ? AND epoch = ? AND expires_at_ms > "+t.now,
		t.service, partition, instance, epoch)
	if err != nil {
		return fmt.Errorf("release lease of partition %d: %w", partition, err)
	}
	return nil
}

// Read implements Table.
func (t *DatabaseTable) Read(ctx context.Context) (View, error) {
	var leases []struct {
		PartitionID        int
		Owner, Endpoint    string
		Epoch, ExpiresAtMs int64
		NowMs              int64
	}
	var v View
	err := t.db.Read(ctx).Raw("SELECT partition_id, owner, endpoint, epoch, expires_at_ms, "+t.now+
		" AS now_ms FROM lease WHERE service = ? AND partition_id < ? ORDER BY partition_id", t.service, t.partitions).Scan(&leases).Error
	if err != nil {
		return v, fmt.Errorf("read leases: %w", err)
	}
	for i := range leases {
		l := &leases[i]
		v.Leases = append(v.Leases, Lease{l.PartitionID, l.Owner, l.Endpoint, l.Epoch, l.ExpiresAtMs})
		v.NowMs = l.NowMs
	}
	if len(v.Leases) != t.partitions {
		return v, fmt.Errorf("read leases: %d rows for %d partitions", len(v.Leases), t.partitions)
	}
	var alive []struct {
		Instance, Endpoint string
		StartedAtMs        int64
	}
	err = t.db.Read(ctx).Raw("SELECT instance, endpoint, started_at_ms FROM lease_instance WHERE service = ? AND expires_at_ms > "+t.now,
		t.service).Scan(&alive).Error
	if err != nil {
		return v, fmt.Errorf("read instances: %w", err)
	}
	for _, in := range alive {
		v.Instances = append(v.Instances, Instance{in.Instance, in.Endpoint, in.StartedAtMs})
	}
	return v, nil
}
