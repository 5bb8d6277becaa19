package app

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mscoin/mscoin-common/errs"
	"mscoin/ucenter/internal/token"
	"mscoin/ucenter/member"
)

// Tokens are what a client holds of a session.
type Tokens struct {
	// Access goes with every request.
	Access string
	// AccessExpiresMs is its end.
	AccessExpiresMs int64
	// Refresh gets the next pair, once.
	Refresh string
	// RefreshExpiresMs is its end.
	RefreshExpiresMs int64
}

// Login opens a session. Every attempt counts against its limits until it succeeds. A
// name that nobody has costs as much as a wrong password. It returns ErrBadCredentials
// and ErrRateLimited.
func (a *App) Login(ctx context.Context, name, password, clientIP string) (Member, Tokens, error) {
	contact, err := member.GuessContact(name)
	if err != nil || !member.PlausiblePassword(password) {
		return Member{}, Tokens{}, ErrBadCredentials // what it may look like is no secret
	}
	buckets := a.loginBuckets(contact, clientIP)
	if err := a.take(ctx, buckets); err != nil {
		return Member{}, Tokens{}, err
	}
	m, err := a.authenticate(ctx, contact, password)
	if err != nil {
		if errs.CodeOf(err) != errs.CodeBadCredentials {
			// Not the client's fault: it must not use up the limit.
			err = errors.Join(err, a.Store.PutBack(context.WithoutCancel(ctx), buckets, a.Clock.NowMs()))
		}
		return Member{}, Tokens{}, err
	}
	if err := a.Store.PutBack(ctx, buckets, a.Clock.NowMs()); err != nil {
		return Member{}, Tokens{}, fmt.Errorf("uncount attempt: %w", err)
	}
	tokens, err := a.openSession(ctx, m.ID)
	if err != nil {
		return Member{}, Tokens{}, fmt.Errorf("open session: %w", err)
	}
	return m, tokens, nil
}

func (a *App) loginBuckets(contact member.Contact, clientIP string) []Bucket {
	hash := a.contactHash(contact)
	scope := "unknown"
	if addr, ok := member.ParseAddr(clientIP); ok {
		scope = member.LimitScope(addr)
	}
	return append(addressBucket("login-ip", clientIP, a.policy.LoginsPerAddress),
		bucket("login", hash, a.policy.LoginsPerContact),
		bucket("login-pair", hash+"@"+scope, a.policy.LoginsPerContactAddress))
}

// authenticate finds the member and checks the password. Both ways through it hash once.
func (a *App) authenticate(ctx context.Context, contact member.Contact, password string) (Member, error) {
	m, hash, err := a.Store.MemberByContact(ctx, contact)
	if errs.CodeOf(err) == errs.CodeUnknownMember {
		if err := a.Passwords.VerifyNobody(ctx, password); err != nil {
			return Member{}, err
		}
		return Member{}, ErrBadCredentials
	}
	if err != nil {
		return Member{}, fmt.Errorf("find member: %w", err)
	}
	ok, stale, err := a.Passwords.Verify(ctx, password, hash)
	if err != nil {
		return Member{}, fmt.Errorf("verify password of member %d: %w", m.ID, err)
	}
	if !ok {
		return Member{}, ErrBadCredentials
	}
	if stale {
		if err := a.renewHash(ctx, m.ID, password, hash); err != nil {
			return Member{}, err
		}
	}
	return m, nil
}

// renewHash hashes again with the parameters of today.
func (a *App) renewHash(ctx context.Context, memberID int64, password, old string) error {
	hash, err := a.Passwords.Hash(ctx, password)
	if err != nil {
		return fmt.Errorf("renew password hash: %w", err)
	}
	if err := a.Store.ReplacePasswordHash(ctx, memberID, old, hash); err != nil {
		return fmt.Errorf("renew password hash: %w", err)
	}
	return nil
}

func (a *App) openSession(ctx context.Context, memberID int64) (Tokens, error) {
	id, err := a.IDs.Next(ctx)
	if err != nil {
		return Tokens{}, fmt.Errorf("session id: %w", err)
	}
	refresh, err := randomToken()
	if err != nil {
		return Tokens{}, err
	}
	now := a.Clock.Now()
	s := Session{ID: id, MemberID: memberID, CreatedMs: now.UnixMilli(), ExpiresMs: now.Add(a.policy.SessionTTL).UnixMilli()}
	t := RefreshToken{Hash: a.refreshHash(refresh), ExpiresMs: min(now.Add(a.policy.RefreshTTL).UnixMilli(), s.ExpiresMs)}
	ended, err := a.Store.AddSession(ctx, s, t, a.policy.MaxSessions)
	if err != nil {
		return Tokens{}, err
	}
	for _, id := range ended {
		a.sessions.forget(id)
	}
	return a.issue(s, refresh, t.ExpiresMs)
}

// RefreshSession exchanges a refresh token for a new pair. A token that was exchanged
// before ends its session: either its thief or its owner is asking. It returns
// ErrTokenExpired.
func (a *App) RefreshSession(ctx context.Context, refresh string) (Tokens, error) {
	if len(refresh) != tokenTextBytes {
		return Tokens{}, ErrTokenExpired
	}
	next, err := randomToken()
	if err != nil {
		return Tokens{}, err
	}
	now := a.Clock.Now()
	r, err := a.Store.Rotate(ctx, a.refreshHash(refresh),
		RefreshToken{Hash: a.refreshHash(next), ExpiresMs: now.Add(a.policy.RefreshTTL).UnixMilli()}, now.UnixMilli())
	if err != nil {
		return Tokens{}, fmt.Errorf("refresh session: %w", err)
	}
	switch r.State {
	case Rotated:
		return a.issue(r.Session, next, r.NextExpiresMs)
	case Reused:
		a.sessions.forget(r.Session.ID)
		return Tokens{}, ErrTokenExpired
	case Refused:
	}
	return Tokens{}, ErrTokenExpired
}

// issue signs an access token for a session.
func (a *App) issue(s Session, refresh string, refreshExpiresMs int64) (Tokens, error) {
	end := a.Clock.Now().Add(a.policy.AccessTTL)
	if sessionEnd := time.UnixMilli(s.ExpiresMs); end.After(sessionEnd) {
		end = sessionEnd
	}
	end = end.Truncate(time.Second) // the precision of the token
	access, err := a.Tokens.Sign(token.Claims{MemberID: s.MemberID, SessionID: s.ID}, end)
	if err != nil {
		return Tokens{}, err
	}
	return Tokens{Access: access, AccessExpiresMs: end.UnixMilli(), Refresh: refresh, RefreshExpiresMs: refreshExpiresMs}, nil
}

// Logout ends the session of an access token. A session that has ended is fine; a token
// that is not ours is ErrTokenExpired.
func (a *App) Logout(ctx context.Context, access string) error {
	c, err := a.Tokens.Verify(access)
	if err != nil {
		return ErrTokenExpired
	}
	err = a.Store.EndSession(ctx, c.SessionID, a.Clock.NowMs())
	a.sessions.forget(c.SessionID)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// VerifySession returns whose an access token is. It returns ErrTokenExpired, also when
// the token is valid but its session has ended.
func (a *App) VerifySession(ctx context.Context, access string) (memberID int64, err error) {
	c, err := a.Tokens.Verify(access)
	if err != nil {
		return 0, ErrTokenExpired
	}
	memberID, ok := a.sessions.get(c.SessionID)
	if !ok {
		snapshot := a.sessions.snapshot()
		if memberID, err = a.Store.SessionMember(ctx, c.SessionID, a.Clock.NowMs()); err != nil {
			return 0, fmt.Errorf("find session: %w", err)
		}
		a.sessions.put(snapshot, c.SessionID, memberID)
	}
	if memberID != c.MemberID {
		return 0, ErrTokenExpired
	}
	return memberID, nil
}

func (a *App) refreshHash(refresh string) string { return a.mac("refresh token", refresh) }
