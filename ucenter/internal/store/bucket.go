package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
)

type bucketRow struct {
	Bucket   string `gorm:"primaryKey"`
	Attempts int64
	EndMs    int64
}

func (bucketRow) TableName() string { return "attempt_bucket" }

// Take counts one more in every bucket, or in none when one is full.
func (s *Store) Take(ctx context.Context, buckets []app.Bucket, nowMs int64) (waitMs int64, err error) {
	buckets = sorted(buckets)
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		waitMs = 0
		rows, err := lockBuckets(tx, buckets, nowMs)
		if err != nil {
			return err
		}
		for i, b := range buckets {
			if rows[i].EndMs <= nowMs { // a new window
				rows[i].Attempts, rows[i].EndMs = 0, nowMs+b.WindowMs
			}
			if rows[i].Attempts >= int64(b.Limit) {
				waitMs = max(waitMs, rows[i].EndMs-nowMs)
			}
		}
		if waitMs > 0 {
			return nil
		}
		for _, row := range rows {
			row.Attempts++
			if err := saveBucket(tx, row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return waitMs, nil
}

// PutBack takes one off each bucket whose window has not ended.
func (s *Store) PutBack(ctx context.Context, buckets []app.Bucket, nowMs int64) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		for _, b := range sorted(buckets) {
			err := tx.DB().Exec("UPDATE attempt_bucket SET attempts = attempts - 1 WHERE bucket = ? AND end_ms > ? AND attempts > 0",
				b.Key, nowMs).Error
			if err != nil {
				return fmt.Errorf("put back %s: %w", b.Key, err)
			}
		}
		return nil
	})
}

// sorted returns the buckets in the order in which they are locked.
func sorted(buckets []app.Bucket) []app.Bucket {
	return slices.SortedFunc(slices.Values(buckets), func(a, b app.Bucket) int { return cmp.Compare(a.Key, b.Key) })
}

// lockBuckets returns the locked rows of the buckets, making those that are missing.
// Reading comes first: a duplicate key takes a shared lock, and two of those deadlock.
func lockBuckets(tx *database.Tx, buckets []app.Bucket, nowMs int64) ([]bucketRow, error) {
	rows := make([]bucketRow, len(buckets))
	for i, b := range buckets {
		var found []bucketRow
		if err := tx.ForUpdate().Where("bucket = ?", b.Key).Find(&found).Error; err != nil {
			return nil, fmt.Errorf("lock %s: %w", b.Key, err)
		}
		if len(found) == 1 {
			rows[i] = found[0]
			continue
		}
		rows[i] = bucketRow{Bucket: b.Key, EndMs: nowMs + b.WindowMs}
		inserted, err := tx.InsertIfAbsent(&rows[i])
		if err != nil {
			return nil, fmt.Errorf("make %s: %w", b.Key, err)
		}
		if inserted {
			continue
		}
		if err := tx.ForUpdate().Where("bucket = ?", b.Key).Take(&rows[i]).Error; err != nil {
			return nil, fmt.Errorf("lock %s: %w", b.Key, err)
		}
	}
	return rows, nil
}

func saveBucket(tx *database.Tx, row bucketRow) error {
	err := tx.DB().Model(&bucketRow{}).Where("bucket = ?", row.Bucket).
		Updates(map[string]any{"attempts": row.Attempts, "end_ms": row.EndMs}).Error
	if err != nil {
		return fmt.Errorf("count in %s: %w", row.Bucket, err)
	}
	return nil
}
