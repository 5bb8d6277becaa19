package testkit

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"mscoin/mscoin-common/embedded"
)

// Redis starts an embedded Redis for this test and returns a client. Both end with the test.
func Redis(t testing.TB) *redis.Client {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: RedisServer(t).Addr(), MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Errorf("close redis client: %v", err)
		}
	})
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
