// Package secret makes and guards secrets: random texts, keys derived from a master
// key, and values encrypted at rest with AES-256-GCM.
//
// An encrypted value names the master key it was sealed with, so that a new master key
// can be added while old values still open.
package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
)

const (
	// MasterKeyBytes is the length of a master key.
	MasterKeyBytes = 32
	// MaxKeyIDBytes bounds the id of a master key.
	MaxKeyIDBytes = 32
)

// ErrUnknownKey says that a value was sealed with a master key that is not configured.
var ErrUnknownKey = errors.New("value is sealed with a master key that is not configured")

// MasterKey is a key of 32 random bytes with the id that sealed values name it by.
type MasterKey struct {
	// ID is stored with every value sealed with the key and never changes.
	ID string
	// Key has MasterKeyBytes bytes.
	Key []byte
}

// Box seals values with the first master key and opens them with any. It is safe for
// concurrent use.
type Box struct {
	active string
	aeads  map[string]cipher.AEAD
}

// NewBox returns a box. The first key seals; ids must differ.
func NewBox(keys []MasterKey) (*Box, error) {
	if len(keys) == 0 {
		return nil, errors.New("no master key")
	}
	b := &Box{active: keys[0].ID, aeads: make(map[string]cipher.AEAD, len(keys))}
	for _, k := range keys {
		if k.ID == "" || len(k.ID) > MaxKeyIDBytes {
			return nil, fmt.Errorf("the id of a master key has 1 to %d bytes", MaxKeyIDBytes)
		}
		if len(k.Key) != MasterKeyBytes {
			return nil, fmt.Errorf("master key %q has %d bytes, not %d", k.ID, len(k.Key), MasterKeyBytes)
		}
		if b.aeads[k.ID] != nil {
			return nil, fmt.Errorf("master key %q is given twice", k.ID)
		}
		derived, err := Derive(k.Key, "values at rest, AES-256-GCM")
		if err != nil {
			return nil, err
		}
		block, err := aes.NewCipher(derived)
		if err != nil {
			return nil, fmt.Errorf("master key %q: %w", k.ID, err)
		}
		if b.aeads[k.ID], err = cipher.NewGCMWithRandomNonce(block); err != nil {
			return nil, fmt.Errorf("master key %q: %w", k.ID, err)
		}
	}
	return b, nil
}

// Seal encrypts plain. The result opens only with the same context, which says what the
// value belongs to, so that a value copied to another row does not open there.
func (b *Box) Seal(plain, context []byte) (keyID string, sealed []byte) {
	return b.active, b.aeads[b.active].Seal(nil, nil, plain, context) //nolint:gosec // NewGCMWithRandomNonce draws the nonce
}

// Open decrypts what Seal returned. It returns ErrUnknownKey, or an error when the
// value or its context was changed.
func (b *Box) Open(keyID string, sealed, context []byte) ([]byte, error) {
	aead := b.aeads[keyID]
	if aead == nil {
		return nil, fmt.Errorf("%w: %q", ErrUnknownKey, keyID)
	}
	plain, err := aead.Open(nil, nil, sealed, context)
	if err != nil {
		return nil, fmt.Errorf("open sealed value: %w", err)
	}
	return plain, nil
}

// Derive returns a key of 32 bytes for one purpose, so that no key is used for two.
func Derive(master []byte, purpose string) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, master, nil, "mscoin ucenter: "+purpose, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return key, nil
}

// Text returns n characters, each drawn evenly from the alphabet by the operating
// system's random source. The alphabet has 2 to 256 characters of one byte.
func Text(n int, alphabet string) (string, error) {
	if n < 0 || len(alphabet) < 2 || len(alphabet) > 256 {
		return "", fmt.Errorf("random text of %d from %d characters is out of range", n, len(alphabet))
	}
	// Bytes at or above the largest multiple of the alphabet's size would make its
	// first characters more likely.
	limit := 256 - 256%len(alphabet)
	text := make([]byte, 0, n)
	buf := make([]byte, n+16)
	for len(text) < n {
		if _, err := rand.Read(buf); err != nil {
			return "", fmt.Errorf("read random bytes: %w", err)
		}
		for _, c := range buf {
			if int(c) < limit && len(text) < n {
				text = append(text, alphabet[int(c)%len(alphabet)])
			}
		}
	}
	return string(text), nil
}
