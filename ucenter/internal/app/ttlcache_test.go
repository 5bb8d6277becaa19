package app

import (
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

func TestTTLCache(t *testing.T) {
	clk := clock.NewFake(time.UnixMilli(0))
	c := newTTLCache[string, int](clk, time.Second, 2)
	has := func(k string, want bool) {
		t.Helper()
		if _, ok := c.get(k); ok != want {
			t.Errorf("%s: found %v, want %v", k, ok, want)
		}
	}
	c.put(c.snapshot(), "a", 1)
	c.put(c.snapshot(), "b", 2)
	has("a", true)
	c.put(c.snapshot(), "c", 3) // b was used least recently
	has("b", false)
	has("a", true)
	has("c", true)
	clk.Advance(time.Second)
	has("a", false)
	if len(c.byKey) != c.recent.Len() {
		t.Error("map and list disagree")
	}
	snapshot := c.snapshot()
	c.forget("d")
	c.put(snapshot, "d", 4) // loaded before it was deleted
	has("d", false)
}
