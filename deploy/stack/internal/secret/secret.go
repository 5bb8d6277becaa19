// Package secret makes the passwords of a stack: random, one for each purpose, kept in
// one file that only its owner may read.
package secret

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"mscoin/deploy/internal/private"
)

// Store holds the passwords of one stack.
type Store struct {
	path   string
	values map[string]string
}

// Open reads the file; a missing one is an empty store. A file that others may read is
// refused.
func Open(path string) (*Store, error) {
	s := &Store{path: path, values: map[string]string{}}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("secrets: %s has mode %#o: others may have read it; delete it together with the data, or chmod 600", path, mode)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("secrets: %w", err)
	}
	if err := json.Unmarshal(content, &s.values); err != nil {
		return nil, fmt.Errorf("secrets: %s is damaged: %w", path, err)
	}
	return s, nil
}

// secretBytes makes 256 bits: 64 hexadecimal digits that need no quoting anywhere.
const secretBytes = 32

// Ensure makes the named secrets that do not exist yet and saves the file.
func (s *Store) Ensure(names ...string) error {
	changed := false
	for _, name := range names {
		if s.values[name] != "" {
			continue
		}
		s.values[name] = private.RandomHex(secretBytes)
		changed = true
	}
	if !changed {
		return nil
	}
	if err := private.WriteJSON(s.path, s.values); err != nil {
		return fmt.Errorf("secrets: %w", err)
	}
	return nil
}

// Get returns a secret that Ensure has made, or "" when there is none.
func (s *Store) Get(name string) string { return s.values[name] }
