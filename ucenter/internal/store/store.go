// Package store keeps what ucenter knows in its database: SQLite, MySQL or MariaDB.
package store

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
)

//go:embed migration/*.sql
var migrations embed.FS

// Store implements app.Store. It is safe for concurrent use.
type Store struct {
	db *database.DB
}

var _ app.Store = (*Store)(nil)

// New returns a store.
func New(db *database.DB) *Store { return &Store{db: db} }

// Migrate brings the tables up to date.
func (s *Store) Migrate(ctx context.Context) error {
	return s.db.Migrate(ctx, "ucenter", migrations)
}

// Ping reports whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	var one int
	if err := s.db.Read(ctx).Raw("SELECT 1").Scan(&one).Error; err != nil {
		return fmt.Errorf("ping database: %w", err)
	}
	return nil
}

// notFound turns "no row" into an error of the use cases.
func notFound(err, instead error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return instead
	}
	return err
}

// Purge deletes what is of no use any more, at most limit rows of each kind.
func (s *Store) Purge(ctx context.Context, nowMs int64, limit int) (int, error) {
	total := 0
	for _, p := range []struct {
		table, key, until string
	}{
		{"verification_code", "contact_hash", "expires_ms"},
		{"refresh_token", "token_hash", "expires_ms"},
		{"member_session", "session_id", "expires_ms"},
		{"attempt_bucket", "bucket", "end_ms"},
	} {
		n, err := s.purgeTable(ctx, p.table, p.key, p.until, nowMs, limit)
		if err != nil {
			return total, fmt.Errorf("purge %s: %w", p.table, err)
		}
		total += n
	}
	return total, nil
}

// purgeTable reads the keys first: DELETE with LIMIT is not portable, and locking few
// rows by key disturbs nobody. A row that was renewed meanwhile stays.
func (s *Store) purgeTable(ctx context.Context, table, key, until string, nowMs int64, limit int) (int, error) {
	var keys []string
	err := s.db.Read(ctx).Table(table).Where(until+" <= ?", nowMs).Order(until).Limit(limit).Pluck(key, &keys).Error
	if err != nil || len(keys) == 0 {
		return 0, err
	}
	deleted := 0
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		res := tx.DB().Exec("DELETE FROM "+table+" WHERE "+key+" IN ? AND "+until+" <= ?", keys, nowMs)
		deleted = int(res.RowsAffected)
		return res.Error
	})
	return deleted, err
}
