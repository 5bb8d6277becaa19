package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// secrets are made at the first start and kept in the data folder, readable by
// its owner only. There are no defaults that could be forgotten.
type secrets struct {
	// InternalToken lets the services trust each other.
	InternalToken string `json:"internalToken"`
	// AdminToken opens the operator's API (header X-Admin-Token).
	AdminToken string `json:"adminToken"`
	// SessionKey signs access tokens.
	SessionKey string `json:"sessionKey"`
	// MasterKey encrypts API secrets at rest: 32 bytes, hex.
	MasterKey string `json:"masterKey"`
}

func loadSecrets(path string) (secrets, error) {
	var s secrets
	found, err := readPrivate(path, &s)
	if err != nil {
		return s, fmt.Errorf("load secrets: %w", err)
	}
	if !found {
		s = secrets{InternalToken: randomHex(32), AdminToken: randomHex(32), SessionKey: randomHex(32), MasterKey: randomHex(32)}
		if err := writePrivate(path, s); err != nil {
			return s, fmt.Errorf("keep secrets: %w", err)
		}
	}
	if s.InternalToken == "" || s.AdminToken == "" || s.SessionKey == "" || s.MasterKey == "" {
		return s, fmt.Errorf("%s is incomplete: restore it from a backup; without the master key no API secret can be read", path)
	}
	return s, nil
}

// randomHex returns n random bytes as text.
func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: the runtime ends the process instead
	return hex.EncodeToString(b)
}

// readPrivate reads a JSON file into v; found is false when there is none.
func readPrivate(path string, v any) (found bool, err error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return false, fmt.Errorf("%s: %w", path, err)
	}
	return true, nil
}

// writePrivate replaces a JSON file as a whole (mode 0600): after a crash there is the old one or the new one.
func writePrivate(path string, v any) (err error) {
	content, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if _, err = f.Write(append(content, '\n')); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
