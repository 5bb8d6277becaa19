// Package app holds the use cases of ucenter: registration, sessions and API keys.
//
// Nothing here tells a stranger who is a member: an address that is registered and one
// that is not get the same answers at the same cost.
package app

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/ucenter/internal/secret"
	"mscoin/ucenter/internal/token"
	"mscoin/ucenter/member"
)

// Errors of the use cases.
var (
	// ErrMemberExists is returned when an operator creates a member that exists.
	ErrMemberExists = errs.New(errs.KindAlreadyExists, errs.CodeMemberExists, "member exists")
	// ErrUnknownMember is returned for a member id that nobody has.
	ErrUnknownMember = errs.New(errs.KindNotFound, errs.CodeUnknownMember, "unknown member")
	// ErrBadCode is returned for a verification code that is wrong, used up or expired.
	ErrBadCode = errs.New(errs.KindFailedPrecondition, errs.CodeBadVerificationCode, "verification code is wrong or expired")
	// ErrBadCredentials is returned when name or password is wrong.
	ErrBadCredentials = errs.New(errs.KindUnauthenticated, errs.CodeBadCredentials, "name or password is wrong")
	// ErrTokenExpired is returned for a token that is not, or no longer, valid.
	ErrTokenExpired = errs.New(errs.KindUnauthenticated, errs.CodeTokenExpired, "session has ended, log in again")
	// ErrRateLimited is returned when a limit is used up; the detail says for how long.
	ErrRateLimited = errs.New(errs.KindTooManyRequests, errs.CodeRateLimited, "too many attempts, try again later")
	// ErrBadAPIKey is returned for a key that does not exist.
	ErrBadAPIKey = errs.New(errs.KindUnauthenticated, errs.CodeBadAPIKey, "invalid API key")
	// ErrKeyNotPermitted is returned when a key may not do this, or not from there.
	ErrKeyNotPermitted = errs.New(errs.KindPermissionDenied, errs.CodeAPIKeyNotPermitted, "API key does not permit this, or not from this address")
	// ErrBadSignature is returned for a signature that does not match.
	ErrBadSignature = errs.New(errs.KindUnauthenticated, errs.CodeBadSignature, "signature is not valid")
	// ErrUnknownAPIKey is returned when a member deletes a key that is not theirs.
	ErrUnknownAPIKey = errs.New(errs.KindNotFound, errs.CodeUnknownAPIKey, "unknown API key")
	// ErrTooManyAPIKeys is returned when a member has all the keys allowed.
	ErrTooManyAPIKeys = errs.New(errs.KindFailedPrecondition, errs.CodeTooManyAPIKeys, "too many API keys")
	// ErrNotOffered is returned for a kind of contact that no message can be sent to.
	ErrNotOffered = errs.New(errs.KindFailedPrecondition, errs.CodeBadContact, "registration with this kind of contact is not offered")
)

// IDs hands out ids of members and sessions, below 2^53.
type IDs interface {
	Next(ctx context.Context) (int64, error)
}

// Passwords hashes and verifies passwords, slowly on purpose.
type Passwords interface {
	Hash(ctx context.Context, password string) (string, error)
	Verify(ctx context.Context, password, encoded string) (ok, stale bool, err error)
	VerifyNobody(ctx context.Context, password string) error
}

// Sender delivers messages to members. Send only hands over: it does not wait for the
// delivery, so that its time says nothing about the receiver.
type Sender interface {
	// Offers reports whether messages to this kind of contact can be sent at all.
	Offers(member.ContactType) bool
	// Send hands a message over. An error means that it was not accepted.
	Send(ctx context.Context, m Message) error
}

// Message is something to tell the owner of a contact.
type Message struct {
	// To is the receiver.
	To member.Contact
	// Code is the verification code; empty in a message that says that the contact is
	// registered already.
	Code string
	// ValidFor is how long the code is valid.
	ValidFor time.Duration
}

// Limit bounds how often something may happen within a time.
type Limit struct {
	// Count is how often.
	Count int
	// Window is the time, from the first of them.
	Window time.Duration
}

// Policy has the numbers of the use cases.
type Policy struct {
	// CodeTTL is how long a verification code is valid.
	CodeTTL time.Duration
	// CodeAttempts is how often a code may be tried.
	CodeAttempts int
	// CodesPerContact and CodesPerContactDay bound the messages to one contact.
	CodesPerContact, CodesPerContactDay Limit
	// CodesPerAddress bounds the messages one client address causes.
	CodesPerAddress Limit
	// RegistersPerAddress bounds the attempts to register from one client address.
	RegistersPerAddress Limit
	// LoginsPerContactAddress bounds failed logins for a contact from one address.
	LoginsPerContactAddress Limit
	// LoginsPerContact bounds failed logins for a contact from everywhere.
	LoginsPerContact Limit
	// LoginsPerAddress bounds failed logins from one address.
	LoginsPerAddress Limit
	// AccessTTL is the life of an access token.
	AccessTTL time.Duration
	// RefreshTTL is the life of a refresh token that is not used.
	RefreshTTL time.Duration
	// SessionTTL is the life of a session, however often it is refreshed.
	SessionTTL time.Duration
	// MaxSessions bounds a member's sessions; a new one ends the oldest.
	MaxSessions int
	// MaxAPIKeys bounds a member's API keys.
	MaxAPIKeys int
	// TwoFactorPerMember bounds a member's wrong codes of the second factor.
	TwoFactorPerMember Limit
	// TwoFactorIssuer is how authenticators call the exchange.
	TwoFactorIssuer string
	// CacheTTL is how long keys and sessions are remembered, so how long another
	// instance may still accept what was deleted here.
	CacheTTL time.Duration
	// CacheSize bounds each of the two caches.
	CacheSize int
}

// Deps are the parts the use cases work with.
type Deps struct {
	Store     Store
	IDs       IDs
	Passwords Passwords
	Sender    Sender
	Tokens    *token.Signer
	Box       *secret.Box
	Clock     clock.Clock
	// HashKey keys the hashes of contacts, codes and refresh tokens in the database.
	HashKey []byte
}

// App has the use cases. It is safe for concurrent use.
type App struct {
	Deps

	policy   Policy
	keys     *ttlCache[string, apiKey]
	sessions *ttlCache[int64, int64]
}

// New returns the use cases.
func New(d Deps, p Policy) *App {
	return &App{
		Deps: d, policy: p,
		keys:     newTTLCache[string, apiKey](d.Clock, p.CacheTTL, p.CacheSize),
		sessions: newTTLCache[int64, int64](d.Clock, p.CacheTTL, p.CacheSize),
	}
}

// Member is a registered member.
type Member struct {
	// ID is the member id.
	ID int64
	// Email is empty when the member has none.
	Email string
	// Phone is empty when the member has none.
	Phone string
	// Username is the display name.
	Username string
	// CreatedMs is the time of registration.
	CreatedMs int64
}

// GetMember returns a member. It returns ErrUnknownMember.
func (a *App) GetMember(ctx context.Context, id int64) (Member, error) {
	if id <= 0 {
		return Member{}, ErrUnknownMember
	}
	m, err := a.Store.Member(ctx, id)
	if err != nil {
		return Member{}, fmt.Errorf("get member: %w", err)
	}
	return m, nil
}

// mac returns a keyed hash of values for the database, in hex. The purpose keeps hashes of
// different things apart; every part is preceded by its length, so that no two lists
// of parts look alike.
func (a *App) mac(purpose string, parts ...string) string {
	h := hmac.New(sha256.New, a.HashKey)
	for _, p := range append([]string{purpose}, parts...) {
		fmt.Fprintf(h, "%d:%s,", len(p), p)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// contactHash is what a contact is called in tables about people who may not be members.
func (a *App) contactHash(c member.Contact) string {
	return a.mac("contact", fmt.Sprint(c.Type), c.Value)
}

// randomToken returns 32 random bytes as text.
func randomToken() (string, error) {
	raw := make([]byte, tokenRawBytes)
	if _, err := rand.Read(raw); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

const (
	tokenRawBytes  = 32
	tokenTextBytes = 43 // 32 bytes in unpadded base64
)
