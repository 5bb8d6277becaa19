package private

import (
	"os"
	"path/filepath"
	"testing"
)

func TestWriteFile(t *testing.T) {
	t.Run("replaces the file, readable by its owner alone, and leaves nothing else behind", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "f")
		for _, content := range []string{"one", "two"} {
			if err := WriteFile(path, []byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != "two" {
			t.Errorf("got %q, %v", got, err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
			t.Errorf("%d entries, %v", len(entries), err)
		}
	})
	t.Run("a folder that is missing is an error", func(t *testing.T) {
		if err := WriteFile(filepath.Join(t.TempDir(), "missing", "f"), nil); err == nil {
			t.Error("accepted")
		}
	})
}
