package store

import (
	"context"
	"fmt"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
)

type twoFactorRow struct {
	MemberID    int64 `gorm:"primaryKey;autoIncrement:false"`
	SecretKeyID string
	Secret      []byte
	Enabled     int64
	Step        int64
	Purpose     string
	CreatedMs   int64
}

func (twoFactorRow) TableName() string { return "member_two_factor" }

func (r *twoFactorRow) factor() app.TwoFactor {
	return app.TwoFactor{
		MemberID: r.MemberID, SecretKeyID: r.SecretKeyID, Secret: r.Secret, Enabled: r.Enabled == 1,
		Step: r.Step, Purpose: r.Purpose, CreatedMs: r.CreatedMs,
	}
}

// TwoFactor returns a member's second factor, or false.
func (s *Store) TwoFactor(ctx context.Context, memberID int64) (app.TwoFactor, bool, error) {
	var rows []twoFactorRow
	if err := s.db.Read(ctx).Where("member_id = ?", memberID).Find(&rows).Error; err != nil || len(rows) == 0 {
		return app.TwoFactor{}, false, err
	}
	return rows[0].factor(), true, nil
}

// EnrollTwoFactor stores a second factor that does not count yet, in place of another one
// that does not.
func (s *Store) EnrollTwoFactor(ctx context.Context, f app.TwoFactor) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		if err := lockMember(tx, f.MemberID); err != nil {
			return err
		}
		var have int64
		if err := tx.DB().Model(&twoFactorRow{}).Where("member_id = ? AND enabled = 1", f.MemberID).Count(&have).Error; err != nil {
			return err
		}
		if have > 0 {
			return app.ErrTwoFactorEnabled
		}
		if err := tx.DB().Where("member_id = ?", f.MemberID).Delete(&twoFactorRow{}).Error; err != nil {
			return err
		}
		row := twoFactorRow{MemberID: f.MemberID, SecretKeyID: f.SecretKeyID, Secret: f.Secret, CreatedMs: f.CreatedMs}
		return tx.DB().Create(&row).Error
	})
}

// UseTwoFactor enables a second factor, if it was not, and notes the use of a step's code.
// Each code is used once, or again for the same purpose.
func (s *Store) UseTwoFactor(ctx context.Context, f app.TwoFactor) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("two-factor")
		var row twoFactorRow
		if err := tx.ForUpdate().Where("member_id = ? AND created_ms = ?", f.MemberID, f.CreatedMs).Take(&row).Error; err != nil {
			return notFound(err, app.ErrTwoFactorRequired)
		}
		if row.Step == f.Step && row.Purpose == f.Purpose {
			return nil
		}
		if row.Step >= f.Step {
			return app.ErrBadTwoFactorCode
		}
		err := tx.DB().Model(&twoFactorRow{}).Where("member_id = ?", f.MemberID).
			Updates(map[string]any{"enabled": 1, "step": f.Step, "purpose": f.Purpose}).Error
		if err != nil {
			return fmt.Errorf("use code: %w", err)
		}
		return nil
	})
}

// DeleteTwoFactor turns a second factor off.
func (s *Store) DeleteTwoFactor(ctx context.Context, memberID int64) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Where("member_id = ?", memberID).Delete(&twoFactorRow{}).Error
	})
}
