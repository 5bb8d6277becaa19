package embedded

import (
	"fmt"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// redisTick is how often keys expire in the embedded Redis: a lock or a session lives at most this
// much longer than its time to live.
const redisTick = 100 * time.Millisecond

// Redis is a running embedded Redis.
type Redis struct {
	server *miniredis.Miniredis
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
}

// StartRedis starts an in-memory Redis on addr (host:port; empty means 127.0.0.1 and a free port).
func StartRedis(addr string) (*Redis, error) {
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	server := miniredis.NewMiniRedis()
	if err := server.StartAddr(addr); err != nil {
		return nil, fmt.Errorf("start redis on %s: %w", addr, err)
	}
	r := &Redis{server: server, stop: make(chan struct{}), done: make(chan struct{})}
	go r.expire()
	return r, nil
}

// Addr returns the host:port that clients connect to.
func (r *Redis) Addr() string { return r.server.Addr() }

// Close stops the server and closes all connections.
func (r *Redis) Close() error {
	r.once.Do(func() {
		close(r.stop)
		<-r.done
		r.server.Close()
	})
	return nil
}

// FastForward lets the time to live of every key pass by d at once (tests).
func (r *Redis) FastForward(d time.Duration) { r.server.FastForward(d) }

// expire moves the server's time forward: left alone, its keys would never expire. It counts the
// time between ticks, so that a paused process catches up.
func (r *Redis) expire() {
	defer close(r.done)
	ticker := time.NewTicker(redisTick)
	defer ticker.Stop()
	var last time.Time
	for {
		select {
		case <-r.stop:
			return
		case now := <-ticker.C:
			if !last.IsZero() {
				r.server.FastForward(now.Sub(last))
			}
			last = now
		}
	}
}
