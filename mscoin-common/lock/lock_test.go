package lock_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/lock"
	"mscoin/mscoin-common/testkit"
)

const (
	ttl       = 800 * time.Millisecond
	testLimit = 20 * time.Second
)

func obtain(t *testing.T, l *lock.Locker, keys ...string) *lock.Held {
	t.Helper()
	h, err := l.Obtain(t.Context(), keys, ttl)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func waitEnd(t *testing.T, ctx context.Context) { //nolint:revive // t comes first in tests
	t.Helper()
	select {
	case <-ctx.Done():
	case <-time.NewTimer(testLimit).C:
		t.Fatal("context did not end")
	}
}

func TestLocker_Obtain(t *testing.T) { testkit.EachRedis(t, testLockerObtain) }

func testLockerObtain(t *testing.T, newRedis testkit.StartRedis) {
	t.Run("all keys or none", func(t *testing.T) {
		_, client := newRedis(t)
		l := lock.New(client, clock.Real())
		held := testkit.Counted(t, "mscoin_lock_wait_seconds", "result", "held by others")
		first := obtain(t, l, "b", "a", "b")
		if _, err := l.Obtain(t.Context(), []string{"c", "b"}, ttl); !errors.Is(err, lock.ErrNotObtained) {
			t.Fatalf("got %v", err)
		}
		if held() != 1 {
			t.Errorf("%v refusals are counted", held())
		}
		other := obtain(t, l, "c") // the refused attempt has not kept it
		for _, h := range []*lock.Held{first, other} {
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
		}
		again := obtain(t, l, "a", "b", "c")
		if err := again.Release(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("one at a time, and the next gets in when it is released", func(t *testing.T) {
		_, client := newRedis(t)
		l := lock.New(client, clock.Real())
		var mu sync.Mutex
		inside, most := 0, 0
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				h, err := l.Obtain(t.Context(), []string{"m1", "m2"}, ttl)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				inside++
				most = max(most, inside)
				mu.Unlock()
				mu.Lock()
				inside--
				mu.Unlock()
				if err := h.Release(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if most != 1 {
			t.Errorf("%d held the lock at once", most)
		}
	})
	t.Run("an ended context ends the wait", func(t *testing.T) {
		_, client := newRedis(t)
		l := lock.New(client, clock.Real())
		h := obtain(t, l, "a")
		defer func() { _ = h.Release(context.Background()) }()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := l.Obtain(ctx, []string{"a"}, ttl); err == nil {
			t.Error("obtained a held lock")
		}
	})
	t.Run("nonsense is refused", func(t *testing.T) {
		_, client := newRedis(t)
		l := lock.New(client, clock.Real())
		if _, err := l.Obtain(t.Context(), nil, ttl); err == nil {
			t.Error("no key was accepted")
		}
		if _, err := l.Obtain(t.Context(), []string{"a"}, time.Millisecond); err == nil {
			t.Error("a tiny time to live was accepted")
		}
	})
	t.Run("a Redis that is away is an error at once", func(t *testing.T) {
		server, client := newRedis(t)
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		failed := testkit.Counted(t, "mscoin_lock_wait_seconds", "result", "error")
		if _, err := lock.New(client, clock.Real()).Obtain(t.Context(), []string{"a"}, ttl); err == nil || errors.Is(err, lock.ErrNotObtained) {
			t.Errorf("got %v", err)
		}
		if failed() != 1 {
			t.Errorf("%v failures are counted", failed())
		}
	})
}

func TestHeld_Context(t *testing.T) { testkit.EachRedis(t, testHeldContext) }

func testHeldContext(t *testing.T, newRedis testkit.StartRedis) {
	t.Run("a lock outlives its time to live while it is refreshed", func(t *testing.T) {
		_, client := newRedis(t)
		l := lock.New(client, clock.Real())
		h := obtain(t, l, "a")
		if _, err := l.Obtain(t.Context(), []string{"a"}, ttl); !errors.Is(err, lock.ErrNotObtained) { // tries for a second
			t.Errorf("got %v", err)
		}
		if err := h.Context().Err(); err != nil {
			t.Errorf("context ended: %v", err)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if h.Context().Err() == nil {
			t.Error("context goes on after the release")
		}
	})
	t.Run("a lock that was taken away ends the work", func(t *testing.T) {
		_, client := newRedis(t)
		h := obtain(t, lock.New(client, clock.Real()), "a", "b")
		if err := client.Set(t.Context(), "b", "somebody else", 0).Err(); err != nil {
			t.Fatal(err)
		}
		waitEnd(t, h.Context())
		if !errors.Is(context.Cause(h.Context()), lock.ErrLost) {
			t.Errorf("cause %v", context.Cause(h.Context()))
		}
		if err := h.Release(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("release: %v", err)
		}
		if got := client.Get(t.Context(), "b").Val(); got != "somebody else" {
			t.Errorf("the other's lock holds %q", got)
		}
	})
	t.Run("a lock that cannot be refreshed ends the work before it expires", func(t *testing.T) {
		server, client := newRedis(t)
		h := obtain(t, lock.New(client, clock.Real()), "a")
		if err := server.Close(); err != nil {
			t.Fatal(err)
		}
		waitEnd(t, h.Context())
		if !errors.Is(context.Cause(h.Context()), lock.ErrLost) {
			t.Errorf("cause %v", context.Cause(h.Context()))
		}
		if err := h.Release(t.Context()); !errors.Is(err, lock.ErrLost) {
			t.Errorf("release: %v", err)
		}
	})
}
