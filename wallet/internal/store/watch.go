package store

import (
	"context"
	"fmt"
	"time"
)

// pendingAges are the ages by which pending holds are counted: up to each, and more.
var pendingAges = []struct {
	name string
	upTo time.Duration
}{{"10s", 10 * time.Second}, {"1m", time.Minute}, {"1h", time.Hour}, {"more", 1 << 62}}

// PendingHolds counts the holds that no output record has spoken of yet, by their age: up to
// 10s, 1m, 1h, and more.
func (s *Store) PendingHolds(ctx context.Context) (map[string]int64, error) {
	now, counts := s.clk.NowMs(), map[string]int64{}
	younger := now + 1
	for _, age := range pendingAges {
		older := max(1, now-age.upTo.Milliseconds()) // 0 is a hold that is not pending
		var count int64
		err := s.db.Read(ctx).Table("wallet_hold").Where("pending_since >= ? AND pending_since < ?", older, younger).Count(&count).Error
		if err != nil {
			return nil, fmt.Errorf("count pending holds: %w", err)
		}
		counts[age.name], younger = count, older
	}
	return counts, nil
}
