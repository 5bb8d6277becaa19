package app

import (
	"context"
	"fmt"
	"time"

	"mscoin/ucenter/member"
)

// bucket counts by kind and party. The party is hashed where it is personal.
func bucket(kind, party string, l Limit) Bucket {
	return Bucket{Key: kind + ":" + party, Limit: l.Count, WindowMs: l.Window.Milliseconds()}
}

// addressBucket counts by client address; none when the address is not known.
func addressBucket(kind, clientIP string, l Limit) []Bucket {
	addr, ok := member.ParseAddr(clientIP)
	if !ok {
		return nil
	}
	return []Bucket{bucket(kind, member.LimitScope(addr), l)}
}

// take counts an attempt, or refuses it with ErrRateLimited.
func (a *App) take(ctx context.Context, buckets []Bucket) error {
	if len(buckets) == 0 {
		return nil
	}
	waitMs, err := a.Store.Take(ctx, buckets, a.Clock.NowMs())
	if err != nil {
		return fmt.Errorf("count attempt: %w", err)
	}
	if waitMs > 0 {
		wait := (time.Duration(waitMs)*time.Millisecond + time.Second - 1).Truncate(time.Second)
		return ErrRateLimited.With("in " + wait.String())
	}
	return nil
}
