// Package token signs and checks the access tokens of sessions: JSON Web Tokens with
// HMAC-SHA256. A token names its member and its session and says when it ends;
// everything else about a session is in the database.
package token

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"mscoin/mscoin-common/clock"
)

const (
	// MinSecretBytes is the shortest secret: as long as the hash.
	MinSecretBytes = 32
	// maxTokenBytes bounds what is parsed; our own tokens have about 250 bytes.
	maxTokenBytes = 1024
	issuer        = "mscoin"
)

// ErrInvalid is returned for a token that is malformed, expired or not ours.
var ErrInvalid = errors.New("invalid access token")

// Claims is what a token says.
type Claims struct {
	// MemberID is the session's owner.
	MemberID int64
	// SessionID is the session.
	SessionID int64
}

// Signer signs and checks tokens. It is safe for concurrent use.
type Signer struct {
	clk      clock.Clock
	secret   []byte
	previous []byte
	parser   *jwt.Parser
}

// New returns a signer. Tokens are signed with secret; those signed with previous,
// which may be empty, are accepted too, so that the secret can be changed without
// ending every session.
func New(clk clock.Clock, secret, previous []byte) (*Signer, error) {
	if len(secret) < MinSecretBytes || len(previous) > 0 && len(previous) < MinSecretBytes {
		return nil, fmt.Errorf("the secret of access tokens needs %d bytes", MinSecretBytes)
	}
	return &Signer{
		clk: clk, secret: secret, previous: previous,
		parser: jwt.NewParser(
			jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}),
			jwt.WithExpirationRequired(),
			jwt.WithIssuer(issuer),
			jwt.WithStrictDecoding(),
			jwt.WithTimeFunc(clk.Now),
		),
	}, nil
}

type claims struct {
	jwt.RegisteredClaims
	Session string `json:"sid"`
}

// Sign returns a token that is valid until end. Its precision is a second: end is cut
// down to one.
func (s *Signer) Sign(c Claims, end time.Time) (string, error) {
	text, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer:    issuer,
			Subject:   strconv.FormatInt(c.MemberID, 10),
			IssuedAt:  jwt.NewNumericDate(s.clk.Now()),
			ExpiresAt: jwt.NewNumericDate(end),
		},
		Session: strconv.FormatInt(c.SessionID, 10),
	}).SignedString(s.secret)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return text, nil
}

// Verify checks a token and returns what it says. It returns ErrInvalid, without the
// token in it.
func (s *Signer) Verify(text string) (Claims, error) {
	if len(text) > maxTokenBytes {
		return Claims{}, ErrInvalid
	}
	c, err := s.verify(text, s.secret)
	if err != nil && len(s.previous) > 0 {
		c, err = s.verify(text, s.previous)
	}
	return c, err
}

func (s *Signer) verify(text string, secret []byte) (Claims, error) {
	var c claims
	if _, err := s.parser.ParseWithClaims(text, &c, func(*jwt.Token) (any, error) { return secret, nil }); err != nil {
		return Claims{}, ErrInvalid
	}
	memberID, err1 := strconv.ParseInt(c.Subject, 10, 64)
	sessionID, err2 := strconv.ParseInt(c.Session, 10, 64)
	if err1 != nil || err2 != nil || memberID <= 0 || sessionID <= 0 {
		return Claims{}, ErrInvalid
	}
	return Claims{MemberID: memberID, SessionID: sessionID}, nil
}
