package app

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/member"
)

// apiKey is a key ready to verify with.
type apiKey struct {
	memberID    int64
	permissions member.Permissions
	ips         member.IPList
	secret      []byte
}

// CreateAPIKey makes a key for a member and returns it with its secret, which is shown
// this once. It returns the errors of package member, ErrTooManyAPIKeys and
// ErrUnknownMember.
func (a *App) CreateAPIKey(ctx context.Context, memberID int64, label string, permissions []member.Permission, ips []string) (APIKey, string, error) {
	if memberID <= 0 {
		return APIKey{}, "", ErrUnknownMember
	}
	req, err := member.NewKeyRequest(label, permissions, ips)
	if err != nil {
		return APIKey{}, "", err
	}
	key, err := secret.Text(member.KeyBytes, member.Alphabet)
	if err != nil {
		return APIKey{}, "", err
	}
	plain, err := secret.Text(member.KeyBytes, member.Alphabet)
	if err != nil {
		return APIKey{}, "", err
	}
	k := APIKey{Key: key, MemberID: memberID, Type: KeyTypeHMAC, KeyRequest: req, CreatedMs: a.Clock.NowMs()}
	k.SecretKeyID, k.Secret = a.Box.Seal([]byte(plain), k.sealContext())
	if err := a.Store.AddAPIKey(ctx, k, a.policy.MaxAPIKeys); err != nil {
		return APIKey{}, "", fmt.Errorf("add API key: %w", err)
	}
	return k, plain, nil
}

// sealContext binds a sealed secret to its key, owner and type.
func (k APIKey) sealContext() []byte {
	return []byte("api key v1\x00" + k.Key + "\x00" + strconv.FormatInt(k.MemberID, 10) + "\x00" + k.Type)
}

// APIKeys returns the keys of a member, oldest first, without their secrets.
func (a *App) APIKeys(ctx context.Context, memberID int64) ([]APIKey, error) {
	keys, err := a.Store.APIKeys(ctx, memberID)
	if err != nil {
		return nil, fmt.Errorf("list API keys: %w", err)
	}
	return keys, nil
}

// DeleteAPIKey deletes a key. When it returns, this instance refuses the key; others do
// within Policy.CacheTTL. Deleting it again is fine. It returns ErrUnknownAPIKey.
func (a *App) DeleteAPIKey(ctx context.Context, memberID int64, key string) error {
	if member.CheckKeyFormat(key) != nil {
		return ErrUnknownAPIKey
	}
	err := a.Store.DeleteAPIKey(ctx, memberID, key, a.Clock.NowMs())
	a.keys.forget(key) // also after an error: the outcome may be unknown
	if err != nil {
		return fmt.Errorf("delete API key: %w", err)
	}
	return nil
}

// SignedRequest is a request signed with an API key.
type SignedRequest struct {
	// Key is the public part.
	Key string
	// Payload is what was signed, as received.
	Payload []byte
	// Signature is in hex, in any case.
	Signature string
	// ClientIP is the client's address, empty when not known.
	ClientIP string
	// Permission is what the request needs.
	Permission member.Permission
}

// VerifySignature returns whose a signed request is. It returns member.ErrKeyFormat,
// ErrBadAPIKey, ErrBadSignature and ErrKeyNotPermitted, checked in the order: format,
// key, address, signature, permission.
func (a *App) VerifySignature(ctx context.Context, r SignedRequest) (memberID int64, err error) {
	if err := member.CheckKeyFormat(r.Key); err != nil {
		return 0, err
	}
	k, err := a.loadKey(ctx, r.Key)
	if err != nil {
		return 0, err
	}
	if addr, _ := member.ParseAddr(r.ClientIP); !k.ips.Allows(addr) {
		return 0, ErrKeyNotPermitted
	}
	if !validSignature(k.secret, r.Payload, r.Signature) {
		return 0, ErrBadSignature
	}
	if !k.permissions.Has(r.Permission) {
		return 0, ErrKeyNotPermitted
	}
	return k.memberID, nil
}

// validSignature compares in constant time.
func validSignature(key, payload []byte, signature string) bool {
	if len(signature) != member.SignatureBytes {
		return false
	}
	got, err := hex.DecodeString(signature)
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(payload)
	return hmac.Equal(got, mac.Sum(nil))
}

// loadKey returns a key from the cache or the database.
func (a *App) loadKey(ctx context.Context, key string) (apiKey, error) {
	if k, ok := a.keys.get(key); ok {
		return k, nil
	}
	snapshot := a.keys.snapshot()
	stored, err := a.Store.APIKey(ctx, key)
	if err != nil {
		return apiKey{}, fmt.Errorf("find API key: %w", err)
	}
	if stored.Type != KeyTypeHMAC {
		return apiKey{}, ErrBadAPIKey.With("keys of this type are not supported")
	}
	plain, err := a.Box.Open(stored.SecretKeyID, stored.Secret, stored.sealContext())
	if err != nil {
		return apiKey{}, fmt.Errorf("secret of an API key of member %d: %w", stored.MemberID, err)
	}
	k := apiKey{memberID: stored.MemberID, permissions: stored.Permissions, ips: stored.IPs, secret: plain}
	a.keys.put(snapshot, key, k)
	return k, nil
}
