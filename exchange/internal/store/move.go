package store

import (
	"context"
	"fmt"

	"mscoin/exchange/internal/app"
	"mscoin/exchange/internal/consumer"
	"mscoin/exchange/internal/operator"
	"mscoin/exchange/order"
	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
)

type moveRow struct {
	Symbol        string `gorm:"primaryKey"`
	FromPartition int64
	ToPartition   int64
	Phase         int64
	RequestID     string
	BegunMs       int64
}

func (moveRow) TableName() string { return "exchange_move" }

// Moves implements operator.Store.
func (s *Store) Moves(ctx context.Context) ([]app.Move, error) {
	var rows []moveRow
	if err := s.db.Read(ctx).Order("symbol").Find(&rows).Error; err != nil {
		return nil, fmt.Errorf("read moves: %w", err)
	}
	all := make([]app.Move, len(rows))
	for i, r := range rows {
		all[i] = app.Move{
			Symbol: r.Symbol, From: int(r.FromPartition), To: int(r.ToPartition), Phase: order.Phase(r.Phase),
			RequestID: r.RequestID, BegunMs: r.BegunMs,
		}
	}
	return all, nil
}

// BeginMove implements operator.Store.
func (s *Store) BeginMove(ctx context.Context, m app.Move) error {
	row := &moveRow{m.Symbol, int64(m.From), int64(m.To), int64(m.Phase), m.RequestID, m.BegunMs}
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		_, err := tx.InsertIfAbsent(row)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin move of %s: %w", m.Symbol, err)
	}
	return nil
}

// Route implements operator.Store.
func (s *Store) Route(ctx context.Context, name string, from, to int) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Model(&coinRow{}).Where("symbol = ? AND partition_id = ?", name, from).Update("partition_id", int64(to)).Error
	})
	if err != nil {
		return fmt.Errorf("route %s to partition %d: %w", name, to, err)
	}
	return nil
}

// EndMove implements operator.Store.
func (s *Store) EndMove(ctx context.Context, name string) error {
	err := s.db.Tx(ctx, func(tx *database.Tx) error {
		return tx.DB().Where("symbol = ?", name).Delete(&moveRow{}).Error
	})
	if err != nil {
		return fmt.Errorf("end move of %s: %w", name, err)
	}
	return nil
}

// RecordDecision implements operator.Store: operators' decisions about matchers and logs
// stand beside those about halted symbols.
func (s *Store) RecordDecision(ctx context.Context, d *operator.Decision) error {
	fingerprint := d.Fingerprint
	if fingerprint == nil {
		fingerprint = []byte{}
	}
	row := database.Decision{
		RequestID: d.RequestID, Consumer: consumer.Name, Symbol: d.Symbol, Action: d.Action, Fingerprint: fingerprint,
		By: d.Name, Reason: d.Reason, Outcome: d.Outcome, DecidedMs: d.DecidedMs,
	}
	known, found, err := s.db.FindDecision(ctx, row.RequestID)
	if err == nil && !found {
		err = s.db.Tx(ctx, func(tx *database.Tx) error { return tx.RecordDecision(row) })
		if err == nil {
			return nil
		}
		var findErr error
		if known, found, findErr = s.db.FindDecision(ctx, row.RequestID); findErr == nil && found {
			err = nil // somebody was faster
		}
	}
	if err != nil {
		return fmt.Errorf("record decision: %w", err)
	}
	if known.Consumer != row.Consumer || known.Symbol != row.Symbol || known.Action != row.Action {
		return errs.New(errs.KindFailedPrecondition, errs.CodeIdempotencyMismatch, "the request id is another decision's")
	}
	return nil
}
