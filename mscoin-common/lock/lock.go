// Package lock takes several named locks at once in Redis, keeps them while the work goes on, and says when
// they were lost.
//
// A lock here saves work, it does not protect money: a process that is paused for longer than the time to
// live goes on believing in its lock. What must not happen twice is fenced in the database.
package lock

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bsm/redislock"
	"github.com/redis/go-redis/v9"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/telemetry"
)

var (
	// ErrNotObtained means that somebody else held one of the keys for as long as we tried.
	ErrNotObtained = errors.New("lock is held by somebody else")
	// ErrLost is the cause of a Held's ended context: the locks expired, were taken away, or could not be
	// refreshed in time.
	ErrLost = errors.New("lock was lost")
)

const (
	// obtainAttempts and obtainPause bound how long Obtain tries: about a second.
	obtainAttempts = 50
	obtainPause    = 20 * time.Millisecond
	// minTTL leaves room for a few refreshes and for the granularity with which keys expire.
	minTTL = 300 * time.Millisecond
	// refreshesPerTTL is how often a lock is refreshed within its time to live.
	refreshesPerTTL = 3
)

// Locker obtains locks in one Redis.
type Locker struct {
	client *redislock.Client
	clk    clock.Clock
}

// New returns a locker on rdb.
func New(rdb redis.UniversalClient, clk clock.Clock) *Locker {
	return &Locker{client: redislock.New(rdb), clk: clk}
}

// Obtain takes all keys or none, trying for about a second while somebody holds one of them; then it
// returns ErrNotObtained. The locks are refreshed until Release, and expire ttl (at least 300 ms) after this
// process stops refreshing them. On a Redis cluster all keys must share a hash tag.
func (l *Locker) Obtain(ctx context.Context, keys []string, ttl time.Duration) (*Held, error) {
	keys = slices.Compact(slices.Sorted(slices.Values(keys)))
	if len(keys) == 0 {
		return nil, errors.New("obtain lock: no key")
	}
	if ttl < minTTL {
		return nil, fmt.Errorf("obtain lock: time to live %v is below %v", ttl, minTTL)
	}
	begin := l.clk.Now()
	held, err := l.try(ctx, keys, ttl)
	result := "obtained"
	switch {
	case errors.Is(err, ErrNotObtained):
		result = "held by others"
	case err != nil:
		result = "error"
	}
	telemetry.Locked(result, l.clk.Now().Sub(begin))
	return held, err
}

// try takes all keys or none, a bounded number of times.
func (l *Locker) try(ctx context.Context, keys []string, ttl time.Duration) (*Held, error) {
	for attempt := 1; ; attempt++ {
		obtained := l.clk.Now()
		lk, err := l.client.ObtainMulti(ctx, keys, ttl, nil)
		if err == nil {
			return l.hold(ctx, lk, ttl, obtained), nil
		}
		if !errors.Is(err, redislock.ErrNotObtained) {
			return nil, fmt.Errorf("obtain lock %v: %w", keys, err)
		}
		if attempt == obtainAttempts {
			return nil, fmt.Errorf("obtain lock %v: %w", keys, ErrNotObtained)
		}
		if err := clock.Sleep(ctx, l.clk, obtainPause); err != nil {
			return nil, fmt.Errorf("obtain lock %v: %w: %w", keys, ErrNotObtained, err)
		}
	}
}

// Held is a set of locks that is being refreshed. Release it.
type Held struct {
	lk     *redislock.Lock
	clk    clock.Clock
	ttl    time.Duration
	ctx    context.Context //nolint:containedctx // it is what Held is about
	cancel context.CancelCauseFunc
	once   sync.Once
	stop   chan struct{}
	done   chan struct{}
}

func (l *Locker) hold(ctx context.Context, lk *redislock.Lock, ttl time.Duration, obtained time.Time) *Held {
	h := &Held{lk: lk, clk: l.clk, ttl: ttl, stop: make(chan struct{}), done: make(chan struct{})}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	go h.refresh(obtained) //nolint:contextcheck // it works under h.ctx, made from ctx above
	return h
}

// Context ends when the locks are lost (its cause is ErrLost), released, or when the context given to Obtain
// ends. Do the work under it.
func (h *Held) Context() context.Context { return h.ctx }

// Release gives the locks back. It returns ErrLost when they were not ours any more; the work may then have
// run beside somebody else's. Releasing twice returns ErrLost, too.
func (h *Held) Release(ctx context.Context) error {
	h.once.Do(func() { close(h.stop) })
	<-h.done
	lost := errors.Is(context.Cause(h.ctx), ErrLost) //nolint:contextcheck // asks how the lock's own context ended
	h.cancel(nil)
	err := h.lk.Release(ctx)
	if lost || errors.Is(err, redislock.ErrLockNotHeld) {
		return fmt.Errorf("release lock %v: %w", h.lk.Keys(), ErrLost)
	}
	if err != nil {
		return fmt.Errorf("release lock %v: %w", h.lk.Keys(), err)
	}
	return nil
}

// refresh prolongs the locks a few times within each time to live. It gives up when they are gone, or when
// it could not refresh them for so long that they may be.
func (h *Held) refresh(last time.Time) {
	defer close(h.done)
	every := h.ttl / refreshesPerTTL
	ticker := h.clk.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-h.stop:
			return
		case <-h.ctx.Done():
			return
		case <-ticker.C:
		}
		asked := h.clk.Now()
		ctx, cancel := context.WithTimeout(h.ctx, every)
		err := h.lk.Refresh(ctx, h.ttl, nil)
		cancel()
		switch {
		case err == nil:
			last = asked // the time to live began no earlier than we asked
		case errors.Is(err, redislock.ErrNotObtained):
			h.cancel(fmt.Errorf("%w: %v", ErrLost, h.lk.Keys()))
			return
		case h.clk.Now().Sub(last) >= h.ttl-every:
			h.cancel(fmt.Errorf("%w: %v: refreshing fails: %w", ErrLost, h.lk.Keys(), err))
			return
		}
	}
}
