package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"mscoin/mscoin-common/testkit"
)

var cheap = Params{MemoryKiB: 64, Time: 1, Threads: 1}

func newHasher(t *testing.T, p Params, parallel, waiting int) *Hasher {
	t.Helper()
	h, err := New(p, parallel, waiting)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHasher_Verify(t *testing.T) {
	h := newHasher(t, cheap, 1, 0)
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	other, err := h.Hash(t.Context(), "correct horse")
	if err != nil || other == hash {
		t.Fatalf("two hashes of one password must differ: %v", err)
	}
	t.Run("the password fits its hash", func(t *testing.T) {
		if ok, stale, err := h.Verify(t.Context(), "correct horse", hash); !ok || stale || err != nil {
			t.Fatal(ok, stale, err)
		}
	})
	t.Run("another password does not", func(t *testing.T) {
		if ok, stale, err := h.Verify(t.Context(), "correct hors", hash); ok || stale || err != nil {
			t.Fatal(ok, stale, err)
		}
	})
	t.Run("a hash made with other parameters still fits and is stale", func(t *testing.T) {
		dearer := newHasher(t, Params{MemoryKiB: 128, Time: 2, Threads: 2}, 1, 0)
		if ok, stale, err := dearer.Verify(t.Context(), "correct horse", hash); !ok || !stale || err != nil {
			t.Fatal(ok, stale, err)
		}
	})
	t.Run("nobody has no password", func(t *testing.T) {
		if err := h.VerifyNobody(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	})
}

func TestHasher_Verify_damagedHashes(t *testing.T) {
	h := newHasher(t, cheap, 1, 0)
	good, err := h.Hash(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":               "",
		"another algorithm":   strings.Replace(good, "argon2id", "argon2i", 1),
		"another version":     strings.Replace(good, "v=19", "v=16", 1),
		"gigabytes":           strings.Replace(good, "m=64", "m=4294967295", 1),
		"no memory":           strings.Replace(good, "m=64", "m=0", 1),
		"leading zero":        strings.Replace(good, "m=64", "m=064", 1),
		"no passes":           strings.Replace(good, "t=1", "t=0", 1),
		"a field too many":    good + "$",
		"a short hash":        good[:len(good)-30],
		"bytes that are text": good[:len(good)-1] + "!",
	} {
		t.Run(name, func(t *testing.T) {
			if ok, _, err := h.Verify(t.Context(), "x", bad); ok || !errors.Is(err, errEncoding) {
				t.Fatalf("got %v, %v", ok, err)
			}
		})
	}
}

func TestHasher_enter(t *testing.T) {
	h := newHasher(t, cheap, 2, 1)
	var leaves []func()
	for range 2 {
		leave, err := h.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var waited error
	wg.Go(func() { _, waited = h.enter(ctx) })
	testkit.Eventually(t, 10*time.Second, func() bool { return len(h.places) == 3 }, "the third caller waits")
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("a caller beyond the queue must be refused at once, got %v", err)
	}
	cancel()
	wg.Wait()
	if !errors.Is(waited, context.Canceled) {
		t.Errorf("a waiting caller must follow its context, got %v", waited)
	}
	for _, leave := range leaves {
		leave()
	}
	if _, err := h.Hash(t.Context(), "x"); err != nil {
		t.Errorf("turns must come back: %v", err)
	}
}

func TestNew_refusesParametersOutOfRange(t *testing.T) {
	for _, p := range []Params{{}, {MemoryKiB: 64, Time: 1}, {MemoryKiB: 7, Time: 1, Threads: 1}, {MemoryKiB: 2 << 20, Time: 1, Threads: 1}} {
		if _, err := New(p, 1, 0); err == nil {
			t.Errorf("%+v must be refused", p)
		}
	}
	if _, err := New(cheap, 0, 0); err == nil {
		t.Error("no hash at a time must be refused")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=3,p=2$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, s string) {
		p, salt, hash, err := decode(s)
		if err != nil {
			return
		}
		if again := encode(p, salt, hash); again != s {
			t.Fatalf("%q reads as %q", s, again)
		}
	})
}

func BenchmarkHasher_Hash(b *testing.B) {
	h, err := New(Params{MemoryKiB: 64 << 10, Time: 2, Threads: 2}, 1, 0)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Hash(b.Context(), "correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
