package store

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

type memberRow struct {
	MemberID     int64 `gorm:"primaryKey;autoIncrement:false"`
	Username     string
	PasswordHash string
	CreatedMs    int64
	UpdatedMs    int64
}

func (memberRow) TableName() string { return "member" }

type contactRow struct {
	ContactType int64  `gorm:"primaryKey;autoIncrement:false"`
	Contact     string `gorm:"primaryKey"`
	MemberID    int64
	CreatedMs   int64
}

func (contactRow) TableName() string { return "member_contact" }

type codeRow struct {
	ContactHash string `gorm:"primaryKey"`
	CodeHash    string
	Attempts    int64
	ExpiresMs   int64
}

func (codeRow) TableName() string { return "verification_code" }

// SaveCode stores the code of a contact in place of an earlier one.
func (s *Store) SaveCode(ctx context.Context, c app.Code) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		row := codeRow{ContactHash: c.ContactHash, CodeHash: c.CodeHash, ExpiresMs: c.ExpiresMs}
		res := tx.DB().Model(&codeRow{}).Where("contact_hash = ?", c.ContactHash).
			Updates(map[string]any{"code_hash": c.CodeHash, "attempts": 0, "expires_ms": c.ExpiresMs})
		if res.Error != nil || res.RowsAffected == 1 {
			return res.Error
		}
		// Two requests at once: one of the two codes is stored, and either is as good.
		_, err := tx.InsertIfAbsent(&row)
		return err
	})
}

// TryCode counts an attempt and reports whether the code was right.
func (s *Store) TryCode(ctx context.Context, contactHash, codeHash string, maxAttempts int, nowMs int64) (bool, error) {
	good := false
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		good = false
		var row codeRow
		err := tx.ForUpdate().Where("contact_hash = ?", contactHash).Take(&row).Error
		if errors.Is(err, gorm.ErrRecordNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if row.ExpiresMs <= nowMs || row.Attempts >= int64(maxAttempts) {
			return nil
		}
		good = subtle.ConstantTimeCompare([]byte(row.CodeHash), []byte(codeHash)) == 1
		return tx.DB().Model(&codeRow{}).Where("contact_hash = ?", contactHash).
			Updates(map[string]any{"attempts": row.Attempts + 1}).Error
	})
	return good && err == nil, err
}

// AddMember stores a member with its contacts, and uses up the code.
func (s *Store) AddMember(ctx context.Context, m app.Member, passwordHash string, use *app.Code) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("member")
		if use != nil {
			res := tx.DB().Where("contact_hash = ? AND code_hash = ?", use.ContactHash, use.CodeHash).Delete(&codeRow{})
			if res.Error != nil {
				return fmt.Errorf("use up code: %w", res.Error)
			}
			if res.RowsAffected != 1 {
				return app.ErrBadCode
			}
		}
		for _, c := range contactsOf(m) {
			inserted, err := tx.InsertIfAbsent(&contactRow{
				ContactType: int64(c.Type), Contact: c.Value, MemberID: m.ID, CreatedMs: m.CreatedMs,
			})
			if err != nil {
				return fmt.Errorf("insert contact: %w", err)
			}
			if !inserted {
				return app.ErrMemberExists
			}
		}
		row := memberRow{
			MemberID: m.ID, Username: m.Username, PasswordHash: passwordHash, CreatedMs: m.CreatedMs, UpdatedMs: m.CreatedMs,
		}
		if err := tx.DB().Create(&row).Error; err != nil {
			return fmt.Errorf("insert member: %w", err)
		}
		return nil
	})
}

func contactsOf(m app.Member) []member.Contact {
	var list []member.Contact
	if m.Email != "" {
		list = append(list, member.Contact{Type: member.Email, Value: m.Email})
	}
	if m.Phone != "" {
		list = append(list, member.Contact{Type: member.Phone, Value: m.Phone})
	}
	return list
}

// Member returns a member, or app.ErrUnknownMember.
func (s *Store) Member(ctx context.Context, id int64) (app.Member, error) {
	m, _, err := s.load(ctx, id)
	return m, err
}

// MemberByContact returns a member with the password hash, or app.ErrUnknownMember.
func (s *Store) MemberByContact(ctx context.Context, c member.Contact) (app.Member, string, error) {
	var row contactRow
	err := s.db.Read(ctx).Where("contact_type = ? AND contact = ?", int64(c.Type), c.Value).Take(&row).Error
	if err != nil {
		return app.Member{}, "", notFound(err, app.ErrUnknownMember)
	}
	return s.load(ctx, row.MemberID)
}

func (s *Store) load(ctx context.Context, id int64) (app.Member, string, error) {
	var row memberRow
	if err := s.db.Read(ctx).Where("member_id = ?", id).Take(&row).Error; err != nil {
		return app.Member{}, "", notFound(err, app.ErrUnknownMember)
	}
	m := app.Member{ID: row.MemberID, Username: row.Username, CreatedMs: row.CreatedMs}
	var contacts []contactRow
	if err := s.db.Read(ctx).Where("member_id = ?", id).Find(&contacts).Error; err != nil {
		return app.Member{}, "", err
	}
	for _, c := range contacts {
		switch member.ContactType(c.ContactType) {
		case member.Email:
			m.Email = c.Contact
		case member.Phone:
			m.Phone = c.Contact
		}
	}
	return m, row.PasswordHash, nil
}

// ReplacePasswordHash changes the hash if it is still old.
func (s *Store) ReplacePasswordHash(ctx context.Context, memberID int64, old, replacement string) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Model(&memberRow{}).Where("member_id = ? AND password_hash = ?", memberID, old).
			Updates(map[string]any{"password_hash": replacement}).Error
	})
}
