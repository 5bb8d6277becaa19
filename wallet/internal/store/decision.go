package store

import (
	"context"
	"errors"
	"fmt"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

type decisionRow struct {
	RequestID   string `gorm:"primaryKey"`
	Kind        string
	State       string
	Reason      string
	RequestedBy string
	RequestedMs int64
	ExpiresMs   int64
	DecidedBy   string
	DecidedMs   int64
	FromAccount string
	FromMember  int64
	ToAccount   string
	ToMember    int64
	Coin        string
	Amount      int64
	TxID        int64
	Scope       string
	Name        string
	StopReason  string
}

func (decisionRow) TableName() string { return "wallet_decision" }

func rowOfDecision(d *app.Decision) decisionRow {
	r := decisionRow{
		RequestID: d.RequestID, Kind: d.Kind, State: d.State, Reason: d.Reason, RequestedBy: d.RequestedBy, RequestedMs: d.RequestedMs,
		ExpiresMs: d.ExpiresMs, Scope: d.Scope, Name: d.Name, Coin: d.From.Coin, Amount: d.Amount,
	}
	if d.Kind == app.DecideCorrection {
		r.FromAccount, r.FromMember = d.From.Kind.String(), d.From.MemberID
		r.ToAccount, r.ToMember = d.To.Kind.String(), d.To.MemberID
	}
	return r
}

func (r *decisionRow) decision() (app.Decision, error) {
	d := app.Decision{
		RequestID: r.RequestID, Kind: r.Kind, State: r.State, Reason: r.Reason, RequestedBy: r.RequestedBy, RequestedMs: r.RequestedMs,
		ExpiresMs: r.ExpiresMs, DecidedBy: r.DecidedBy, DecidedMs: r.DecidedMs, Amount: r.Amount, TxID: r.TxID,
		Scope: r.Scope, Name: r.Name, StopReason: r.StopReason,
	}
	if r.Kind != app.DecideCorrection {
		return d, nil
	}
	from, err := ledger.ParseAccountKind(r.FromAccount)
	if err != nil {
		return app.Decision{}, err
	}
	to, err := ledger.ParseAccountKind(r.ToAccount)
	if err != nil {
		return app.Decision{}, err
	}
	d.From = ledger.Account{Kind: from, MemberID: r.FromMember, Coin: r.Coin}
	d.To = ledger.Account{Kind: to, MemberID: r.ToMember, Coin: r.Coin}
	return d, nil
}

// RequestDecision keeps a request once.
func (s *Store) RequestDecision(ctx context.Context, d *app.Decision, now func(app.Stop, *app.Pass, bool) bool) (out app.Decision, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("request decision")
		row := rowOfDecision(d)
		fresh, err := tx.InsertIfAbsent(&row)
		if err != nil {
			return err
		}
		if !fresh {
			if row, err = lockDecision(tx, d.RequestID); err != nil {
				return err
			}
			if out, err = row.decision(); err == nil && !out.SameRequest(d) {
				err = app.ErrMismatch
			}
			return err
		}
		if d.Kind == app.DecideLiftStop {
			if err := requestLift(tx, &row, d.RequestedMs, now); err != nil {
				return err
			}
		}
		out, err = row.decision()
		return err
	})
	return out, err
}

// requestLift notes why the withdrawals are stopped, and lets them go on if they may.
func requestLift(tx *database.Tx, row *decisionRow, nowMs int64, now func(app.Stop, *app.Pass, bool) bool) error {
	var stops []stopRow
	if err := tx.DB().Where("scope = ? AND name = ?", row.Scope, row.Name).Find(&stops).Error; err != nil {
		return err
	}
	if len(stops) == 0 {
		return tx.Fail(app.ErrNotStopped)
	}
	row.StopReason = stops[0].Reason
	pass, err := lastPass(tx.DB())
	if err != nil {
		return err
	}
	open, err := openMatters(tx.DB(), row)
	if err != nil {
		return err
	}
	switch {
	case now(app.Stop(stops[0]), &pass, open):
		row.State, row.DecidedMs = app.DecisionDone, nowMs
		if err := liftStop(tx, row); err != nil {
			return err
		}
	case row.RequestedBy == app.SharedOperator:
		return tx.Fail(app.ErrSharedOperator)
	}
	return tx.DB().Save(row).Error
}

// openMatters reports whether something of a stop is open that a clean reconciliation does
// not settle: orders in suspense, or what a chain has taken back after it was booked.
func openMatters(db *gorm.DB, row *decisionRow) (bool, error) {
	var orders, deposits, withdrawals int64
	switch row.Scope {
	case app.StopCoin:
		return false, nil
	case app.StopChain:
		if err := db.Model(&depositRecordRow{}).Where("coin = ? AND state = ?", row.Name, string(app.DepositOrphaned)).Count(&deposits).Error; err != nil {
			return false, err
		}
		err := db.Raw("SELECT COUNT(*) FROM withdraw_record w LEFT JOIN chain_spend p ON p.coin = w.coin AND p.chain_tx = w.chain_tx"+
			" WHERE w.coin = ? AND w.state = ? AND COALESCE(p.height, 0) = 0", row.Name, string(app.Confirmed)).Scan(&withdrawals).Error
		return deposits+withdrawals > 0, err
	}
	query := db.Model(&suspenseRow{})
	if row.Scope == app.StopMember {
		query = query.Where("member_id = ?", row.Name)
	}
	err := query.Count(&orders).Error
	return orders > 0, err
}

// liftStop ends the stop for the reason that the request shows; another that came since is
// another decision.
func liftStop(tx *database.Tx, row *decisionRow) error {
	res := tx.DB().Where("scope = ? AND name = ? AND reason = ?", row.Scope, row.Name, row.StopReason).Delete(&stopRow{})
	if res.Error != nil || res.RowsAffected > 0 {
		return res.Error
	}
	var others int64
	if err := tx.DB().Model(&stopRow{}).Where("scope = ? AND name = ?", row.Scope, row.Name).Count(&others).Error; err != nil {
		return err
	}
	if others > 0 {
		return tx.Fail(app.ErrNotPending.With("by now another reason stops the same: ask again"))
	}
	return tx.Fail(app.ErrNotStopped)
}

func lockDecision(tx *database.Tx, id string) (decisionRow, error) {
	var row decisionRow
	err := tx.DB().Clauses(clause.Locking{Strength: "UPDATE"}).Where("request_id = ?", id).Take(&row).Error
	if errors.Is(err, gorm.ErrRecordNotFound) {
		return row, tx.Fail(app.ErrUnknownDecision)
	}
	return row, err
}

// ApproveDecision carries out a request of another operator once.
func (s *Store) ApproveDecision(ctx context.Context, id, operator string) (out app.Decision, err error) {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return app.Decision{}, err
	}
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("approve decision")
		now := s.clk.NowMs()
		row, err := lockDecision(tx, id)
		if err != nil {
			return err
		}
		if out, err = row.decision(); err != nil {
			return err
		}
		switch {
		case row.State == app.DecisionDone && row.DecidedBy == operator:
			return nil // a repetition
		case row.RequestedBy == operator:
			return tx.Fail(app.ErrSameOperator)
		case operator == app.SharedOperator || row.RequestedBy == app.SharedOperator:
			return tx.Fail(app.ErrSharedOperator)
		case out.StateAt(now) != app.DecisionPending:
			return tx.Fail(app.ErrNotPending)
		}
		row.State, row.DecidedBy, row.DecidedMs = app.DecisionDone, operator, now
		if row.Kind == app.DecideCorrection {
			row.TxID = txIDs[0]
			err = s.in(ctx, tx).correct(&out, txIDs[0], now)
		} else {
			err = liftStop(tx, &row)
		}
		if err != nil {
			return err
		}
		if err := tx.DB().Save(&row).Error; err != nil {
			return err
		}
		out, err = row.decision()
		return err
	})
	return out, err
}

// correct books a correction.
func (b *batch) correct(d *app.Decision, txID, nowMs int64) error {
	entry, err := ledger.Move(ledger.Source{Ref: d.RequestID, TimeMs: nowMs}, ledger.ReasonCorrection, 0, d.From, d.To, d.Amount)
	if err != nil {
		return err
	}
	w, err := b.lockWallets(ledger.WalletKeys([]ledger.Entry{entry}), true)
	if err != nil {
		return err
	}
	lines, err := w.Post(txID, entry, nil)
	if errors.Is(err, ledger.ErrNegative) {
		return b.tx.Fail(app.ErrInsufficientBalance.Wrap(err))
	}
	if err != nil {
		return err
	}
	if err := b.writeWallets(w); err != nil {
		return err
	}
	return b.writeJournal(lines)
}

// RejectDecision refuses a request; it may be repeated.
func (s *Store) RejectDecision(ctx context.Context, id, operator string) (out app.Decision, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("reject decision")
		row, err := lockDecision(tx, id)
		if err != nil {
			return err
		}
		if row.State == app.DecisionPending {
			row.State, row.DecidedBy, row.DecidedMs = app.DecisionRejected, operator, s.clk.NowMs()
			if err := tx.DB().Save(&row).Error; err != nil {
				return err
			}
		}
		if row.State != app.DecisionRejected || row.DecidedBy != operator {
			return tx.Fail(app.ErrNotPending)
		}
		out, err = row.decision()
		return err
	})
	return out, err
}

// ListDecisions returns decisions, newest first.
func (s *Store) ListDecisions(ctx context.Context, pendingOnly bool, limit int) ([]app.Decision, error) {
	query := s.db.Read(ctx)
	if pendingOnly {
		query = query.Where("state = ? AND expires_ms > ?", app.DecisionPending, s.clk.NowMs())
	}
	var rows []decisionRow
	if err := query.Order("requested_ms DESC, request_id").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	out := make([]app.Decision, len(rows))
	for i := range rows {
		var err error
		if out[i], err = rows[i].decision(); err != nil {
			return nil, fmt.Errorf("decision %s: %w", rows[i].RequestID, err)
		}
	}
	return out, nil
}

// lifted reports whether operators have let withdrawals go on in spite of this reason.
func lifted(tx *database.Tx, stop *app.Stop) (bool, error) {
	var n int64
	err := tx.DB().Model(&decisionRow{}).
		Where("scope = ? AND name = ? AND kind = ? AND state = ? AND decided_by <> '' AND stop_reason = ?", stop.Scope, stop.Name, app.DecideLiftStop, app.DecisionDone, stop.Reason).
		Count(&n).Error
	return n > 0, err
}

// FeeIncome sums the fee account by day and coin. The journal's index by member and time
// finds its lines: the house is member 0.
func (s *Store) FeeIncome(ctx context.Context, firstDay, lastDay int64, coin string) ([]app.FeeIncome, error) {
	day := "(j.time DIV ?)"
	if s.db.Dialect() == database.SQLite {
		day = "(j.time / ?)"
	}
	query := s.db.Read(ctx).Table("wallet_journal AS j").
		Select(day+" AS day, j.coin, c.scale, SUM(CASE WHEN j.symbol <> '' THEN j.amount ELSE 0 END) AS trading, SUM(j.amount) AS total, COUNT(*) AS `lines`", reconcile.DayMs).
		Joins("JOIN coin c ON c.name = j.coin").
		Where("j.member_id = 0 AND j.account = ? AND j.time >= ? AND j.time < ?", ledger.Fee.String(), firstDay*reconcile.DayMs, (lastDay+1)*reconcile.DayMs)
	if coin != "" {
		query = query.Where("j.coin = ?", coin)
	}
	var out []app.FeeIncome
	err := query.Group("1, j.coin, c.scale").Order("1, j.coin").Scan(&out).Error
	return out, err
}
