package app

import (
	"context"

	"mscoin/ucenter/member"
)

// Store keeps members, codes, sessions, keys and limits. All times are milliseconds
// since the Unix epoch, all hashes are hex texts of 64 characters.
type Store interface {
	// Take counts one more in every bucket, or in none when one is full. It returns how
	// long the fullest one stays full, 0 when all had room.
	Take(ctx context.Context, buckets []Bucket, nowMs int64) (waitMs int64, err error)
	// PutBack takes one off each bucket again.
	PutBack(ctx context.Context, buckets []Bucket, nowMs int64) error

	// SaveCode stores the code of a contact in place of an earlier one.
	SaveCode(ctx context.Context, c Code) error
	// TryCode counts an attempt and reports whether codeHash is the contact's code, it
	// has not expired, and there were fewer than maxAttempts before.
	TryCode(ctx context.Context, contactHash, codeHash string, maxAttempts int, nowMs int64) (bool, error)

	// AddMember stores a member. With a code it is used up in the same transaction;
	// ErrBadCode when it is gone. ErrMemberExists when a contact is taken.
	AddMember(ctx context.Context, m Member, passwordHash string, use *Code) error
	// Member returns a member, or ErrUnknownMember.
	Member(ctx context.Context, id int64) (Member, error)
	// MemberByContact returns a member with the password hash, or ErrUnknownMember.
	MemberByContact(ctx context.Context, c member.Contact) (Member, string, error)
	// ReplacePasswordHash changes the hash if it is still old.
	ReplacePasswordHash(ctx context.Context, memberID int64, old, replacement string) error

	// AddSession stores a session with its first refresh token, and ends the member's
	// oldest sessions beyond maxSessions. It returns the ids of those.
	AddSession(ctx context.Context, s Session, t RefreshToken, maxSessions int) (ended []int64, err error)
	// Rotate uses up a refresh token and stores the next one. Using one a second time
	// ends its session; the outcome says so.
	Rotate(ctx context.Context, tokenHash string, next RefreshToken, nowMs int64) (Rotation, error)
	// EndSession ends a session; one that has ended stays so.
	EndSession(ctx context.Context, sessionID, nowMs int64) error
	// SessionMember returns the owner of a session that has not ended, or
	// ErrTokenExpired.
	SessionMember(ctx context.Context, sessionID, nowMs int64) (int64, error)

	// AddAPIKey stores a key, or returns ErrTooManyAPIKeys or ErrUnknownMember.
	AddAPIKey(ctx context.Context, k APIKey, maxKeys int) error
	// APIKeys returns the keys of a member, oldest first, without their secrets.
	APIKeys(ctx context.Context, memberID int64) ([]APIKey, error)
	// APIKey returns a key that is not deleted, or ErrBadAPIKey.
	APIKey(ctx context.Context, key string) (APIKey, error)
	// DeleteAPIKey deletes a key and its secret. A key deleted before is fine; one that
	// is not the member's is ErrUnknownAPIKey.
	DeleteAPIKey(ctx context.Context, memberID int64, key string, nowMs int64) error

	// TwoFactor returns a member's second factor, or false.
	TwoFactor(ctx context.Context, memberID int64) (TwoFactor, bool, error)
	// EnrollTwoFactor stores a second factor that does not count yet, in place of another
	// one that does not. ErrTwoFactorEnabled, ErrUnknownMember.
	EnrollTwoFactor(ctx context.Context, f TwoFactor) error
	// UseTwoFactor enables a second factor, if it was not, and notes the use of a step's
	// code: once, or again for the same purpose. ErrBadTwoFactorCode, ErrTwoFactorRequired.
	UseTwoFactor(ctx context.Context, f TwoFactor) error
	// DeleteTwoFactor turns a second factor off.
	DeleteTwoFactor(ctx context.Context, memberID int64) error

	// Purge deletes at most limit rows of each kind that are of no use any more, and
	// returns how many there were.
	Purge(ctx context.Context, nowMs int64, limit int) (int, error)
}

// Bucket counts attempts of one kind by one party.
type Bucket struct {
	// Key names kind and party.
	Key string
	// Limit is how many fit.
	Limit int
	// WindowMs is how long they count, from the first.
	WindowMs int64
}

// Code is a verification code as stored.
type Code struct {
	// ContactHash says whose it is.
	ContactHash string
	// CodeHash is its keyed hash.
	CodeHash string
	// ExpiresMs is its end.
	ExpiresMs int64
}

// Session is a login.
type Session struct {
	// ID is the session id; later sessions have larger ones within an instance.
	ID int64
	// MemberID is the owner.
	MemberID int64
	// CreatedMs is the time of the login.
	CreatedMs int64
	// ExpiresMs is its end, whatever happens.
	ExpiresMs int64
}

// RefreshToken is a refresh token as stored.
type RefreshToken struct {
	// Hash is its keyed hash.
	Hash string
	// ExpiresMs is its end; a session's end comes first.
	ExpiresMs int64
}

// RotationState says how a refresh token fared.
type RotationState uint8

// Outcomes of a rotation.
const (
	// Rotated: the token was good and is used up, the next one is valid.
	Rotated RotationState = iota + 1
	// Refused: unknown, expired, or its session has ended.
	Refused
	// Reused: it was used before, so somebody else may have it; its session has ended.
	Reused
)

// Rotation is the outcome of using a refresh token.
type Rotation struct {
	// State is what happened.
	State RotationState
	// Session is the token's session, unless Refused.
	Session Session
	// NextExpiresMs is the end of the next token, when Rotated.
	NextExpiresMs int64
}

// KeyTypeHMAC is the type of API keys whose requests are signed with HMAC-SHA256.
const KeyTypeHMAC = "HMAC"

// APIKey is an API key as stored.
type APIKey struct {
	// Key is the public part.
	Key string
	// MemberID is the owner.
	MemberID int64
	// Type says how requests are signed; KeyTypeHMAC is the only one yet.
	Type string
	// Label, permissions and addresses.
	member.KeyRequest
	// SecretKeyID names the master key of Secret.
	SecretKeyID string
	// Secret is the sealed secret.
	Secret []byte
	// CreatedMs is the time of creation.
	CreatedMs int64
}
