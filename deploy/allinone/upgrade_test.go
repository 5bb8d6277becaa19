package main

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"
)

// TestServices_Upgrade takes the steps of a rolling upgrade in a cluster (deploy/kubernetes)
// under load: an instance more is started and joins, then an old one is stopped in order.
func TestServices_Upgrade(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newCluster(t, "exchange", "wallet")
	before := totals(t, c.clients)
	l := &load{}
	ctx, cancel := context.WithCancel(t.Context())
	finished := make(chan struct{})
	go func() { defer close(finished); l.run(ctx, c.clients, seed) }()
	c.accepted(time.Now())
	for _, svc := range []string{"wallet", "exchange"} {
		c.running[svc] = append(c.running[svc], nil)
		free := 2
		for old := range 2 {
			c.running[svc][free] = c.startInstance(svc, free)
			c.joined(svc, 3)
			c.running[svc][old].terminate(30 * time.Second)
			took := c.accepted(time.Now())
			c.joined(svc, 2)
			c.running[svc][old], free = nil, old
			t.Logf("%s %d replaced: next order of each symbol accepted after %v, %d orders acknowledged so far",
				svc, old, took.Round(time.Millisecond), l.count.Load())
		}
	}
	cancel()
	<-finished
	l.verify(t)
	noneHeld(t, c.clients)
	for coin, b := range totals(t, c.clients) {
		if b.GreaterThan(before[coin]) {
			t.Errorf("members have %s %s, had %s", b, coin, before[coin])
		}
	}
	mustReconcile(t, c.dir, c.books()...)
}
