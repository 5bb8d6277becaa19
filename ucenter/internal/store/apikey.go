package store

import (
	"context"
	"fmt"
	"strings"

	"mscoin/mscoin-common/database"
	"mscoin/ucenter/internal/app"
	"mscoin/ucenter/member"
)

type apiKeyRow struct {
	APIKey      string `gorm:"column:api_key;primaryKey"`
	MemberID    int64
	KeyType     string
	Label       string
	Permissions int64
	IPList      string `gorm:"column:ip_list"`
	SecretKeyID string `gorm:"column:secret_key_id"`
	Secret      []byte
	CreatedMs   int64
	DeletedMs   int64
}

func (apiKeyRow) TableName() string { return "member_api_key" }

func (r apiKeyRow) key() (app.APIKey, error) {
	var texts []string
	if r.IPList != "" {
		texts = strings.Split(r.IPList, ",")
	}
	ips, err := member.ParseIPList(texts)
	if err != nil {
		// An unreadable list must not become an empty one, which allows everything.
		return app.APIKey{}, fmt.Errorf("stored address list of a key of member %d is malformed", r.MemberID)
	}
	return app.APIKey{
		Key: r.APIKey, MemberID: r.MemberID, Type: r.KeyType,
		KeyRequest: member.KeyRequest{
			Label: r.Label, Permissions: member.Permissions(r.Permissions), IPs: ips,
		},
		SecretKeyID: r.SecretKeyID, Secret: r.Secret, CreatedMs: r.CreatedMs,
	}, nil
}

// AddAPIKey stores a key unless the member has maxKeys.
func (s *Store) AddAPIKey(ctx context.Context, k app.APIKey, maxKeys int) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("api-key")
		if err := lockMember(tx, k.MemberID); err != nil {
			return err
		}
		var have int64
		err := tx.DB().Model(&apiKeyRow{}).Where("member_id = ? AND deleted_ms = 0", k.MemberID).Count(&have).Error
		if err != nil {
			return fmt.Errorf("count API keys: %w", err)
		}
		if have >= int64(maxKeys) {
			return app.ErrTooManyAPIKeys
		}
		row := apiKeyRow{
			APIKey: k.Key, MemberID: k.MemberID, KeyType: k.Type, Label: k.Label, Permissions: int64(k.Permissions),
			IPList: strings.Join(k.IPs.Strings(), ","), SecretKeyID: k.SecretKeyID, Secret: k.Secret, CreatedMs: k.CreatedMs,
		}
		if err := tx.DB().Create(&row).Error; err != nil {
			return fmt.Errorf("insert API key: %w", err)
		}
		return nil
	})
}

// APIKeys returns the keys of a member, oldest first, without their secrets.
func (s *Store) APIKeys(ctx context.Context, memberID int64) ([]app.APIKey, error) {
	var rows []apiKeyRow
	err := s.db.Read(ctx).Omit("secret", "secret_key_id").Where("member_id = ? AND deleted_ms = 0", memberID).
		Order("created_ms, api_key").Find(&rows).Error
	if err != nil {
		return nil, err
	}
	keys := make([]app.APIKey, len(rows))
	for i, row := range rows {
		if keys[i], err = row.key(); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

// APIKey returns a key that is not deleted, or app.ErrBadAPIKey.
func (s *Store) APIKey(ctx context.Context, key string) (app.APIKey, error) {
	var row apiKeyRow
	if err := s.db.Read(ctx).Where("api_key = ? AND deleted_ms = 0", key).Take(&row).Error; err != nil {
		return app.APIKey{}, notFound(err, app.ErrBadAPIKey)
	}
	return row.key()
}

// DeleteAPIKey deletes a key and its secret.
func (s *Store) DeleteAPIKey(ctx context.Context, memberID int64, key string, nowMs int64) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		var row apiKeyRow
		err := tx.ForUpdate().Select("api_key", "deleted_ms").Where("api_key = ? AND member_id = ?", key, memberID).Take(&row).Error
		if err != nil {
			return notFound(err, app.ErrUnknownAPIKey)
		}
		if row.DeletedMs != 0 {
			return nil
		}
		return tx.DB().Model(&apiKeyRow{}).Where("api_key = ?", key).
			Updates(map[string]any{"deleted_ms": nowMs, "secret": []byte{}, "secret_key_id": ""}).Error
	})
}
