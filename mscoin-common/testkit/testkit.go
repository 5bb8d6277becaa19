// Package testkit is what the tests of every service share: databases of every
// dialect, a broker, Redis, polling with a deadline, and printed seeds. Only tests
// import it.
package testkit

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

// SeedEnv names the environment variable that replays a random test: set it to the
// seed that a failed run printed.
const SeedEnv = "MSCOIN_TEST_SEED"

// Seed returns the seed of a random test and prints it, so that a failure can be
// replayed with SeedEnv.
func Seed(t testing.TB) uint64 {
	t.Helper()
	seed := rand.Uint64()
	if text := os.Getenv(SeedEnv); text != "" {
		given, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", SeedEnv, err)
		}
		seed = given
	}
	t.Logf("replay with %s=%d", SeedEnv, seed)
	return seed
}

// Rand returns a random number generator with a printed Seed. It is for one
// goroutine.
func Rand(t testing.TB) *rand.Rand {
	t.Helper()
	return rand.New(rand.NewPCG(Seed(t), 0))
}

// pollEvery is how long Eventually waits between two looks.
const pollEvery = 2 * time.Millisecond

// Eventually looks until cond holds, and fails the test when it does not within
// timeout. The message says what was waited for; args are formatted into it.
func Eventually(t testing.TB, timeout time.Duration, cond func() bool, message string, args ...any) {
	t.Helper()
	clk := clock.Real()
	deadline := clk.Now().Add(timeout)
	for !cond() {
		if clk.Now().After(deadline) {
			t.Fatalf("not within %v: %s", timeout, fmt.Sprintf(message, args...))
		}
		<-clk.After(pollEvery)
	}
}

// FreeAddr returns a loopback host:port that was free a moment ago.
func FreeAddr(t testing.TB) string {
	t.Helper()
	port, err := freePort(t.Context())
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
