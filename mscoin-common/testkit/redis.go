package testkit

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"mscoin/mscoin-common/embedded"
)

// Redis starts an embedded Redis for this test and returns a client. Both end with the test.
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	_, client := startEmbedded(t)
	return client
}

// RedisServer starts an embedded Redis for this test.
func RedisServer(t testing.TB) *embedded.Redis {
	t.Helper()
	server, err := embedded.StartRedis("")
	if err != nil {
		t.Fatalf("start redis: %v", err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close redis: %v", err)
		}
	})
	return server
}

// StartRedis gives a test an empty Redis. Closing what it returns takes Redis away.
type StartRedis func(t testing.TB) (io.Closer, *redis.Client)

// EachRedis runs test on the embedded Redis, and on the real one of RedisEnv.
func EachRedis(t *testing.T, test func(t *testing.T, start StartRedis)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) { test(t, startEmbedded) })
	t.Run("redis", func(t *testing.T) {
		if os.Getenv(RedisEnv) == "" {
			missing(t, "Redis", onStack)
		}
		test(t, startReal)
	})
}

func redisOptions(addr string) *redis.Options {
	return &redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true}
}

func startEmbedded(t testing.TB) (io.Closer, *redis.Client) {
	t.Helper()
	server := RedisServer(t)
	client := redis.NewClient(redisOptions(server.Addr()))
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close redis client: %v", err)
		}
	})
	return server, client
}

// redisClaim bounds how long a test that was killed keeps its database from others.
const redisClaim = 10 * time.Minute

// startReal takes one of the databases of the real Redis for this test, empties it, and
// gives it back at the end. Which are taken stands in database 0.
func startReal(t testing.TB) (io.Closer, *redis.Client) {
	t.Helper()
	opts := redisOptions(os.Getenv(RedisEnv))
	opts.Password = os.Getenv(RedisPasswordEnv)
	shared := redis.NewClient(opts)
	t.Cleanup(func() { _ = shared.Close() })
	number, key := 0, ""
	Eventually(t, setupTimeout, func() bool {
		for number = 1; number <= 15; number++ {
			key = "mscoin-test-database-" + strconv.Itoa(number)
			taken, err := shared.SetNX(t.Context(), key, os.Getpid(), redisClaim).Result()
			if err != nil {
				t.Fatalf("take a database of the test Redis: %v", err)
			}
			if taken {
				return true
			}
		}
		return false
	}, "a database of the test Redis that no other test uses")
	t.Cleanup(func() { shared.Del(context.WithoutCancel(t.Context()), key) })

	way := &link{}
	opts = redisOptions(opts.Addr)
	opts.Password, opts.DB, opts.Dialer = os.Getenv(RedisPasswordEnv), number, way.dial
	client := redis.NewClient(opts)
	t.Cleanup(func() { _ = client.Close() }) // it may be closed already
	if err := client.FlushDB(t.Context()).Err(); err != nil {
		t.Fatalf("empty the test database: %v", err)
	}
	return way, client
}

// link is the way to a Redis that others use too: instead of the server, the connections
// to it are closed.
type link struct {
	mu     sync.Mutex
	conns  []net.Conn
	closed bool
}

func (l *link) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, errors.Join(net.ErrClosed, conn.Close())
	}
	l.conns = append(l.conns, conn)
	return conn, nil
}

// Close closes every connection and refuses new ones.
func (l *link) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	var errs []error
	for _, conn := range l.conns {
		errs = append(errs, conn.Close())
	}
	return errors.Join(errs...)
}
