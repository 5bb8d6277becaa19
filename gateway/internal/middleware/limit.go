package middleware

import (
	"sync"
	"time"

	"mscoin/mscoin-common/clock"
)

// Limiter counts use against a limit per key. MemoryLimiter counts in this process;
// an implementation that counts for several gateways can take its place.
type Limiter interface {
	// Take uses n of the key's allowance if that much is left. used is what the
	// window has seen with this request; retryAfter is the time until the window
	// ends, for a refusal.
	Take(key string, n int64) (used int64, retryAfter time.Duration, allowed bool)
	// Return gives n back to the key's window that was taken from at most one window
	// ago.
	Return(key string, n int64)
}

// Unlimited is a limit that is never reached; the use is counted all the same.
const Unlimited = 0

// MemoryLimiter counts in fixed windows that all keys share (UTC minutes, days, …).
// Its memory is bounded: keys beyond maxKeys in one window share one allowance.
type MemoryLimiter struct {
	clk     clock.Clock
	limit   int64
	window  time.Duration
	maxKeys int

	mu    sync.Mutex
	start time.Time
	used  map[string]int64
}

// overflowKey is shared by the keys that came after maxKeys others.
const overflowKey = "\x00"

// NewMemoryLimiter returns a limiter of limit per window for each key; a limit of
// Unlimited never refuses.
func NewMemoryLimiter(clk clock.Clock, limit int64, window time.Duration, maxKeys int) *MemoryLimiter {
	return &MemoryLimiter{clk: clk, limit: limit, window: window, maxKeys: maxKeys, used: map[string]int64{}}
}

// Take implements Limiter.
func (l *MemoryLimiter) Take(key string, n int64) (used int64, retryAfter time.Duration, allowed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.roll()
	key = l.slot(key)
	used = l.used[key] + n
	if l.limit != Unlimited && used > l.limit {
		return l.used[key], l.start.Add(l.window).Sub(now), false
	}
	l.used[key] = used
	return used, 0, true
}

// Return implements Limiter. What was taken in the window before is forgotten anyway.
func (l *MemoryLimiter) Return(key string, n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.roll()
	key = l.slot(key)
	if used, ok := l.used[key]; ok {
		l.used[key] = max(used-n, 0)
	}
}

// roll starts a new window when its time has come, and returns the time.
func (l *MemoryLimiter) roll() time.Time {
	now := l.clk.Now().UTC()
	if start := now.Truncate(l.window); !start.Equal(l.start) {
		l.start = start
		l.used = make(map[string]int64, min(len(l.used), 1024))
	}
	return now
}

func (l *MemoryLimiter) slot(key string) string {
	if _, ok := l.used[key]; ok || len(l.used) < l.maxKeys {
		return key
	}
	return overflowKey
}
