package secret

import (
	"os"
	"path/filepath"
	"testing"
)

func open(t *testing.T, path string, names ...string) *Store {
	t.Helper()
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Ensure(names...); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestStore(t *testing.T) {
	t.Run("every secret of every folder is another one", func(t *testing.T) {
		seen := map[string]bool{}
		for range 3 {
			s := open(t, filepath.Join(t.TempDir(), "s"), "a", "b")
			for _, v := range []string{s.Get("a"), s.Get("b")} {
				if len(v) != 2*secretBytes || seen[v] {
					t.Errorf("%q is short or repeated", v)
				}
				seen[v] = true
			}
		}
	})
	t.Run("a secret stays when others are added", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		first := open(t, path, "a").Get("a")
		if got := open(t, path, "a", "b").Get("a"); got != first {
			t.Errorf("%q became %q", first, got)
		}
	})
	t.Run("only its owner may read the file, and one that others can read is refused", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		open(t, path, "a")
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if err := os.Chmod(path, 0o640); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("a damaged file is an error, not an empty store", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path); err == nil {
			t.Error("accepted")
		}
	})
	t.Run("an unknown secret is empty", func(t *testing.T) {
		if v := open(t, filepath.Join(t.TempDir(), "s")).Get("x"); v != "" {
			t.Errorf("got %q", v)
		}
	})
}
