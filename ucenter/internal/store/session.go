package store

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
)

type sessionRow struct {
	SessionID int64 `gorm:"primaryKey;autoIncrement:false"`
	MemberID  int64
	CreatedMs int64
	ExpiresMs int64
	EndedMs   int64
}

func (sessionRow) TableName() string { return "member_session" }

func (r sessionRow) session() app.Session {
	return app.Session{ID: r.SessionID, MemberID: r.MemberID, CreatedMs: r.CreatedMs, ExpiresMs: r.ExpiresMs}
}

type refreshRow struct {
	TokenHash string `gorm:"primaryKey"`
	SessionID int64
	ExpiresMs int64
	UsedMs    int64
}

func (refreshRow) TableName() string { return "refresh_token" }

// AddSession stores a session with its first refresh token and ends the oldest ones
// beyond maxSessions.
func (s *Store) AddSession(ctx context.Context, n app.Session, t app.RefreshToken, maxSessions int) (ended []int64, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("session")
		ended = nil
		// The member's row orders logins of one member: without it two could both find
		// room for one.
		if err := lockMember(tx, n.MemberID); err != nil {
			return err
		}
		err := tx.DB().Model(&sessionRow{}).
			Where("member_id = ? AND ended_ms = 0 AND expires_ms > ?", n.MemberID, n.CreatedMs).
			Order("created_ms DESC, session_id DESC").Pluck("session_id", &ended).Error
		if err != nil {
			return fmt.Errorf("find sessions: %w", err)
		}
		ended = ended[min(maxSessions-1, len(ended)):]
		for _, id := range ended {
			if err := endSession(tx, id, n.CreatedMs); err != nil {
				return err
			}
		}
		row := sessionRow{SessionID: n.ID, MemberID: n.MemberID, CreatedMs: n.CreatedMs, ExpiresMs: n.ExpiresMs}
		if err := tx.DB().Create(&row).Error; err != nil {
			return fmt.Errorf("insert session: %w", err)
		}
		return addRefreshToken(tx, n.ID, t)
	})
	return ended, err
}

func lockMember(tx *database.Tx, memberID int64) error {
	var row memberRow
	if err := tx.ForUpdate().Select("member_id").Where("member_id = ?", memberID).Take(&row).Error; err != nil {
		return fmt.Errorf("lock member: %w", notFound(err, app.ErrUnknownMember))
	}
	return nil
}

func addRefreshToken(tx *database.Tx, sessionID int64, t app.RefreshToken) error {
	row := refreshRow{TokenHash: t.Hash, SessionID: sessionID, ExpiresMs: t.ExpiresMs}
	if err := tx.DB().Create(&row).Error; err != nil {
		return fmt.Errorf("insert refresh token: %w", err)
	}
	return nil
}

func endSession(tx *database.Tx, sessionID, nowMs int64) error {
	err := tx.DB().Model(&sessionRow{}).Where("session_id = ? AND ended_ms = 0", sessionID).
		Updates(map[string]any{"ended_ms": nowMs}).Error
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	return nil
}

// Rotate uses up a refresh token and stores the next one, or ends the session of a
// token that was used before.
func (s *Store) Rotate(ctx context.Context, tokenHash string, next app.RefreshToken, nowMs int64) (app.Rotation, error) {
	var r app.Rotation
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		var err error
		r, err = rotate(tx, tokenHash, next, nowMs)
		return err
	})
	return r, err
}

func rotate(tx *database.Tx, tokenHash string, next app.RefreshToken, nowMs int64) (app.Rotation, error) {
	refused := app.Rotation{State: app.Refused}
	var token refreshRow
	err := tx.ForUpdate().Where("token_hash = ?", tokenHash).Take(&token).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return refused, nil
	}
	if err != nil {
		return refused, fmt.Errorf("lock refresh token: %w", err)
	}
	var session sessionRow
	err = tx.ForUpdate().Where("session_id = ?", token.SessionID).Take(&session).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return refused, nil // purged
	}
	if err != nil {
		return refused, fmt.Errorf("lock session: %w", err)
	}
	switch {
	case session.EndedMs != 0 || session.ExpiresMs <= nowMs:
		return refused, nil
	case token.UsedMs != 0:
		return app.Rotation{State: app.Reused, Session: session.session()}, endSession(tx, session.SessionID, nowMs)
	case token.ExpiresMs <= nowMs:
		return refused, nil
	}
	err = tx.DB().Model(&refreshRow{}).Where("token_hash = ?", tokenHash).
		Updates(map[string]any{"used_ms": nowMs, "expires_ms": session.ExpiresMs}).Error // kept as long as its session
	if err != nil {
		return refused, fmt.Errorf("use up refresh token: %w", err)
	}
	next.ExpiresMs = min(next.ExpiresMs, session.ExpiresMs)
	return app.Rotation{State: app.Rotated, Session: session.session(), NextExpiresMs: next.ExpiresMs},
		addRefreshToken(tx, session.SessionID, next)
}

// EndSession ends a session.
func (s *Store) EndSession(ctx context.Context, sessionID, nowMs int64) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error { return endSession(tx, sessionID, nowMs) })
}

// SessionMember returns the owner of a session that has not ended, or
// app.ErrTokenExpired.
func (s *Store) SessionMember(ctx context.Context, sessionID, nowMs int64) (int64, error) {
	var row sessionRow
	err := s.db.Read(ctx).Where("session_id = ? AND ended_ms = 0 AND expires_ms > ?", sessionID, nowMs).Take(&row).Error
	if err != nil {
		return 0, notFound(err, app.ErrTokenExpired)
	}
	return row.MemberID, nil
}
