package secret_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"mscoin/ucenter/internal/secret"
)

func key(id string, fill byte) secret.MasterKey {
	return secret.MasterKey{ID: id, Key: bytes.Repeat([]byte{fill}, 32)}
}

func newBox(t *testing.T, keys ...secret.MasterKey) *secret.Box {
	t.Helper()
	b, err := secret.NewBox(keys)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBox(t *testing.T) {
	old := newBox(t, key("2025", 1))
	id, sealed := old.Seal([]byte("the secret"), []byte("row 7"))

	t.Run("what is sealed does not show", func(t *testing.T) {
		if bytes.Contains(sealed, []byte("secret")) {
			t.Fatal("plain text in the sealed value")
		}
	})
	t.Run("a value opens with its context", func(t *testing.T) {
		plain, err := old.Open(id, sealed, []byte("row 7"))
		if err != nil || string(plain) != "the secret" {
			t.Fatal(string(plain), err)
		}
	})
	t.Run("a value copied to another row does not open", func(t *testing.T) {
		if _, err := old.Open(id, sealed, []byte("row 8")); err == nil {
			t.Fatal("opened")
		}
	})
	t.Run("a changed value does not open", func(t *testing.T) {
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			if _, err := old.Open(id, bad, []byte("row 7")); err == nil {
				t.Fatalf("opened with byte %d changed", i)
			}
		}
		if _, err := old.Open(id, nil, []byte("row 7")); err == nil {
			t.Fatal("nothing opened")
		}
	})
	t.Run("after a rotation old values open and new ones use the new key", func(t *testing.T) {
		rotated := newBox(t, key("2026", 2), key("2025", 1))
		if plain, err := rotated.Open(id, sealed, []byte("row 7")); err != nil || string(plain) != "the secret" {
			t.Fatal(string(plain), err)
		}
		newID, newSealed := rotated.Seal([]byte("x"), nil)
		if newID != "2026" {
			t.Fatalf("sealed with %q", newID)
		}
		if _, err := old.Open(newID, newSealed, nil); !errors.Is(err, secret.ErrUnknownKey) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestNewBox_refusesBadKeys(t *testing.T) {
	for name, keys := range map[string][]secret.MasterKey{
		"none":           nil,
		"a short key":    {{ID: "a", Key: make([]byte, 31)}},
		"no id":          {key("", 1)},
		"a long id":      {key(strings.Repeat("a", 33), 1)},
		"the same twice": {key("a", 1), key("a", 2)},
	} {
		if _, err := secret.NewBox(keys); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestDerive(t *testing.T) {
	a, err1 := secret.Derive(make([]byte, 32), "a")
	b, err2 := secret.Derive(make([]byte, 32), "b")
	if err := errors.Join(err1, err2); err != nil || len(a) != 32 || bytes.Equal(a, b) {
		t.Fatalf("keys for two purposes must differ: %x %x %v", a, b, err)
	}
}

func TestText(t *testing.T) {
	seen := map[rune]int{}
	for range 200 {
		s, err := secret.Text(64, "0123456789")
		if err != nil || len(s) != 64 {
			t.Fatal(s, err)
		}
		for _, r := range s {
			seen[r]++
		}
	}
	// 12,800 draws of 10 characters: 1,280 each; nine standard deviations are 306.
	for _, r := range "0123456789" {
		if n := seen[r]; n < 974 || n > 1586 {
			t.Errorf("%q was drawn %d times of 12800", r, n)
		}
	}
	if len(seen) != 10 {
		t.Errorf("characters outside the alphabet: %v", seen)
	}
	if _, err := secret.Text(1, "a"); err == nil {
		t.Error("an alphabet of one is no secret")
	}
}
