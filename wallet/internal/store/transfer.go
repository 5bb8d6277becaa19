package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/zeromicro/go-zero/core/logx"
	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
)

type depositAddressRow struct {
	Coin      string `gorm:"primaryKey"`
	Address   string `gorm:"primaryKey"`
	MemberID  int64
	CreatedMs int64
}

func (depositAddressRow) TableName() string { return "wallet_address" }

// DepositAddress returns the member's address in the coin, "" for none.
func (s *Store) DepositAddress(ctx context.Context, memberID int64, coin string) (string, error) {
	return depositAddress(s.db.Read(ctx), memberID, coin)
}

func depositAddress(db *gorm.DB, memberID int64, coin string) (string, error) {
	var rows []depositAddressRow
	err := db.Where("member_id = ? AND coin = ?", memberID, coin).Limit(1).Find(&rows).Error
	if err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0].Address, nil
}

// SaveDepositAddress keeps an address unless the member has one, and returns the one that
// is kept.
func (s *Store) SaveDepositAddress(ctx context.Context, memberID int64, coin, address string) (kept string, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		row := depositAddressRow{Coin: coin, Address: address, MemberID: memberID, CreatedMs: s.clk.NowMs()}
		if _, err := tx.InsertIfAbsent(&row); err != nil {
			return err
		}
		kept, err = depositAddress(tx.DB(), memberID, coin)
		if err == nil && kept == "" {
			return fmt.Errorf("address of member %d in %s was issued to another member", memberID, coin)
		}
		return err
	})
	return kept, err
}

type addressRow struct {
	MemberID  int64  `gorm:"primaryKey;autoIncrement:false"`
	Coin      string `gorm:"primaryKey"`
	Address   string `gorm:"primaryKey"`
	Remark    string
	CreatedMs int64
	UsableMs  int64
}

func (addressRow) TableName() string { return "member_address" }

// AddAddress adds to the address book.
func (s *Store) AddAddress(ctx context.Context, a app.Address, most int) (app.Address, error) {
	row := addressRow(a)
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		row = addressRow(a)
		fresh, err := tx.InsertIfAbsent(&row)
		if err != nil {
			return err
		}
		if !fresh {
			row = addressRow{}
			err := tx.DB().Where("member_id = ? AND coin = ? AND address = ?", a.MemberID, a.Coin, a.Address).Take(&row).Error
			if err == nil && row.Remark != a.Remark {
				return app.ErrMismatch
			}
			return err
		}
		var count int64
		if err := tx.DB().Model(&addressRow{}).Where("member_id = ?", a.MemberID).Count(&count).Error; err != nil {
			return err
		}
		if count > int64(most) {
			return tx.Fail(app.ErrAddressBookFull)
		}
		return nil
	})
	if err != nil {
		return app.Address{}, err
	}
	return app.Address(row), nil
}

// RemoveAddress removes from the address book.
func (s *Store) RemoveAddress(ctx context.Context, memberID int64, coin, address string) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Where("member_id = ? AND coin = ? AND address = ?", memberID, coin, address).Delete(&addressRow{}).Error
	})
}

// Addresses returns the member's address book, newest first.
func (s *Store) Addresses(ctx context.Context, memberID int64, coin string) ([]app.Address, error) {
	q := s.db.Read(ctx).Where("member_id = ?", memberID)
	if coin != "" {
		q = q.Where("coin = ?", coin)
	}
	var rows []addressRow
	if err := q.Order("created_ms DESC, coin, address").Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]app.Address, len(rows))
	for i, r := range rows {
		out[i] = app.Address(r)
	}
	return out, nil
}

// SetStop adds a stop; one that is there stays as it is.
func (s *Store) SetStop(ctx context.Context, stop app.Stop) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error { return setStop(ctx, tx, stop) })
}

func setStop(ctx context.Context, tx *database.Tx, stop app.Stop) error {
	row := stopRow(stop)
	fresh, err := tx.InsertIfAbsent(&row)
	if err == nil && fresh {
		logx.WithContext(ctx).Errorf("ALARM stopped: %s %s: %s", stop.Scope, stop.Name, stop.Reason)
	}
	return err
}

// stopOf returns a stop that keeps the coin, and the member if not "", from withdrawing.
func stopOf(db *gorm.DB, member, coin string) (*app.Stop, error) {
	q := db.Where("scope = ? OR (scope IN (?, ?) AND name = ?) OR (scope = ? AND name = ?)",
		app.StopAll, app.StopCoin, app.StopChain, coin, app.StopMember, member)
	var rows []stopRow
	if err := q.Order("since_ms").Limit(1).Find(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	stop := app.Stop(rows[0])
	return &stop, nil
}

// notFound turns GORM's answer into ours.
func notFound(err, ours error) error {
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return ours
	}
	return err
}
