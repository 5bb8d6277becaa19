package app

import (
	"container/list"
	"sync"
	"time"

	"mscoin/mscoin-common/clock"
)

// ttlCache remembers a bounded number of values for a short time and forgets the least
// recently used first. Get and put are O(1).
//
// A value that is loaded while it is being deleted elsewhere must not come back: load
// it between snapshot and put, and put drops it when anything was forgotten since.
type ttlCache[K comparable, V any] struct {
	clk  clock.Clock
	ttl  time.Duration
	size int

	mu     sync.Mutex
	epoch  uint64
	byKey  map[K]*list.Element
	recent *list.List // of *cached[K, V], most recently used first
}

type cached[K comparable, V any] struct {
	key   K
	value V
	until time.Time
}

func newTTLCache[K comparable, V any](clk clock.Clock, ttl time.Duration, size int) *ttlCache[K, V] {
	return &ttlCache[K, V]{clk: clk, ttl: ttl, size: size, byKey: make(map[K]*list.Element), recent: list.New()}
}

// get returns a value that is not too old.
func (c *ttlCache[K, V]) get(k K) (v V, ok bool) {
	now := c.clk.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	e, found := c.byKey[k]
	if !found {
		return v, false
	}
	entry := entryOf[K, V](e)
	if !now.Before(entry.until) {
		c.drop(e)
		return v, false
	}
	c.recent.MoveToFront(e)
	return entry.value, true
}

// snapshot is to be taken before a value is loaded.
func (c *ttlCache[K, V]) snapshot() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.epoch
}

// put stores a value that was loaded after snapshot.
func (c *ttlCache[K, V]) put(snapshot uint64, k K, v V) {
	until := c.clk.Now().Add(c.ttl)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != snapshot {
		return
	}
	if e, found := c.byKey[k]; found {
		c.drop(e)
	}
	c.byKey[k] = c.recent.PushFront(&cached[K, V]{key: k, value: v, until: until})
	for len(c.byKey) > c.size {
		c.drop(c.recent.Back())
	}
}

// forget removes a value and spoils every put whose value was loaded before.
func (c *ttlCache[K, V]) forget(k K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	if e, found := c.byKey[k]; found {
		c.drop(e)
	}
}

func (c *ttlCache[K, V]) drop(e *list.Element) {
	delete(c.byKey, entryOf[K, V](e).key)
	c.recent.Remove(e)
}

func entryOf[K comparable, V any](e *list.Element) *cached[K, V] {
	return e.Value.(*cached[K, V])
}
