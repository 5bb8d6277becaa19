package store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/money"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
)

const (
	dayMs = 86_400_000
	// never is when nobody looks again by himself.
	never = int64(1)<<53 - 1
	// maxNote is what the columns reason and attention have room for.
	maxNote = 255
)

type withdrawalRow struct {
	ID            int64 `gorm:"primaryKey;autoIncrement:false"`
	MemberID      int64
	RequestKey    string
	RequestHash   []byte
	Coin          string
	Address       string
	Amount        int64
	Fee           int64
	NetworkFee    int64
	State         string
	ReviewsNeeded int64
	Day           int64
	ChainTx       string
	Reason        string
	Attention     string
	Attempts      int64
	NextMs        int64
	HoldTx        int64
	EndTx         int64
	CreatedMs     int64
	SentMs        int64
	UpdatedMs     int64
}

func (withdrawalRow) TableName() string { return "withdraw_record" }

func (r *withdrawalRow) state() app.WithdrawalState { return app.WithdrawalState(r.State) }

func (r *withdrawalRow) money() *ledger.Withdrawal {
	return &ledger.Withdrawal{MemberID: r.MemberID, Coin: r.Coin, Amount: r.Amount, Fee: r.Fee}
}

func (r *withdrawalRow) source(nowMs int64) ledger.Source {
	return ledger.Source{Ref: "withdraw:" + strconv.FormatInt(r.ID, 10), TimeMs: nowMs}
}

func (r *withdrawalRow) withdrawal(scale int) app.Withdrawal {
	return app.Withdrawal{
		ID: r.ID, MemberID: r.MemberID, RequestKey: r.RequestKey, Coin: r.Coin, Scale: scale, Address: r.Address,
		Amount: r.Amount, Fee: r.Fee, NetworkFee: r.NetworkFee, State: r.state(), ReviewsNeeded: r.ReviewsNeeded,
		ChainTx: r.ChainTx, Reason: r.Reason, Attention: r.Attention, Attempts: r.Attempts, CreatedMs: r.CreatedMs, SentMs: r.SentMs, UpdatedMs: r.UpdatedMs,
	}
}

type reviewRow struct {
	WithdrawID int64  `gorm:"primaryKey;autoIncrement:false"`
	Operator   string `gorm:"primaryKey"`
	Decision   string
	Reason     string
	Time       int64
}

func (reviewRow) TableName() string { return "withdraw_review" }

const (
	decisionApprove = "APPROVE"
	decisionReject  = "REJECT"
)

// RequestWithdrawal checks a request and holds its money. The lock on the member's wallet
// row makes the requests of a member in a coin follow one another, so that the day's sum
// is that of all before.
func (s *Store) RequestWithdrawal(ctx context.Context, r app.WithdrawalRequest) (out app.Withdrawal, repeated bool, err error) {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return out, false, err
	}
	id, err := s.withdrawals.Next(ctx)
	if err != nil {
		return out, false, err
	}
	err = s.retryDuplicate(ctx, func(tx *database.Tx) (err error) {
		tx.Name("withdraw")
		out, repeated, err = s.requestWithdrawal(s.in(ctx, tx), &r, id, txIDs[0])
		return err
	})
	return out, repeated, err
}

func (s *Store) requestWithdrawal(b *batch, r *app.WithdrawalRequest, id, txID int64) (app.Withdrawal, bool, error) {
	coin, now := r.Limits.Coin, s.clk.NowMs()
	key := ledger.WalletKey{MemberID: r.MemberID, Coin: coin.Name}
	w, err := b.lockWallets([]ledger.WalletKey{key}, false)
	if err != nil {
		return app.Withdrawal{}, false, err
	}
	var before []withdrawalRow
	if err := b.tx.DB().Where("member_id = ? AND request_key = ?", r.MemberID, r.RequestKey).Limit(1).Find(&before).Error; err != nil {
		return app.Withdrawal{}, false, err
	}
	if len(before) > 0 {
		if !bytes.Equal(before[0].RequestHash, r.Hash()) {
			return app.Withdrawal{}, false, app.ErrMismatch
		}
		return before[0].withdrawal(coin.Scale), true, nil
	}
	row := withdrawalRow{
		ID: id, MemberID: r.MemberID, RequestKey: r.RequestKey, RequestHash: r.Hash(), Coin: coin.Name, Address: r.Address,
		Amount: r.Amount, Fee: r.Limits.Fee, State: string(app.Approved), Day: now / dayMs,
		NextMs: now, HoldTx: txID, CreatedMs: now, UpdatedMs: now,
	}
	daySum, err := b.mayWithdraw(&row, &r.Limits, now)
	if err != nil {
		return app.Withdrawal{}, false, err
	}
	if row.ReviewsNeeded = r.Limits.Reviews(daySum); row.ReviewsNeeded > 0 {
		row.State, row.NextMs = string(app.PendingReview), never
	}
	total, err := row.money().Total()
	if err != nil {
		return app.Withdrawal{}, false, err
	}
	if wallet, _ := w.Wallet(key); wallet.Available.Balance < total {
		return app.Withdrawal{}, false, app.ErrInsufficientBalance
	}
	entry, err := row.money().Hold(row.source(now))
	if err != nil {
		return app.Withdrawal{}, false, err
	}
	if err := b.book(w, entry, txID); err != nil {
		return app.Withdrawal{}, false, err
	}
	if err := b.step("insert withdraw_record"); err != nil {
		return app.Withdrawal{}, false, err
	}
	return row.withdrawal(coin.Scale), false, b.tx.DB().Create(&row).Error
}

// mayWithdraw checks stops, the address book and the day's limit, and returns the sum of
// the day with this one. The wallet row is locked.
func (b *batch) mayWithdraw(row *withdrawalRow, l *app.Limits, nowMs int64) (daySum int64, err error) {
	stop, err := stopOf(b.tx.DB(), strconv.FormatInt(row.MemberID, 10), row.Coin)
	if err != nil {
		return 0, err
	}
	if stop != nil {
		return 0, app.ErrStopped
	}
	var listed []addressRow
	err = b.tx.DB().Where("member_id = ? AND coin = ? AND address = ?", row.MemberID, row.Coin, row.Address).Find(&listed).Error
	switch {
	case err != nil:
		return 0, err
	case len(listed) == 0:
		return 0, app.ErrAddressNotInBook
	case listed[0].UsableMs > nowMs:
		return 0, app.ErrAddressTooNew
	}
	if l.DayLimit == 0 {
		return row.Amount, nil // and nothing is reviewed
	}
	err = b.tx.DB().Model(&withdrawalRow{}).Select("COALESCE(SUM(amount), 0)").
		Where("member_id = ? AND coin = ? AND day = ? AND state NOT IN ?", row.MemberID, row.Coin, row.Day,
			[]string{string(app.Rejected), string(app.Canceled), string(app.WithdrawalFailed)}).
		Scan(&daySum).Error
	if err != nil {
		return 0, err
	}
	if daySum, err = money.Add(daySum, row.Amount); err != nil || daySum > l.DayLimit {
		return 0, app.ErrDayLimit
	}
	return daySum, nil
}

// book books an entry on locked wallets.
func (b *batch) book(w *wallets, entry ledger.Entry, txID int64) error {
	lines, err := w.Post(txID, entry, nil)
	if err != nil {
		return err
	}
	if err := b.writeWallets(w); err != nil {
		return err
	}
	return b.writeJournal(lines)
}

// lockWithdrawal locks a withdrawal's row. Wallets are locked after it.
func (b *batch) lockWithdrawal(id int64) (*withdrawalRow, error) {
	var row withdrawalRow
	if err := b.step("lock withdraw_record"); err != nil {
		return nil, err
	}
	if err := b.tx.ForUpdate().Where("id = ?", id).Take(&row).Error; err != nil {
		return nil, notFound(err, app.ErrUnknownWithdrawal)
	}
	return &row, nil
}

func (b *batch) saveWithdrawal(row *withdrawalRow, nowMs int64) error {
	if err := b.step("update withdraw_record"); err != nil {
		return err
	}
	row.UpdatedMs = nowMs
	row.Reason, row.Attention = cut(row.Reason), cut(row.Attention)
	return b.tx.DB().Model(&withdrawalRow{}).Where("id = ?", row.ID).Select("*").Updates(row).Error
}

// cut shortens a text to maxNote bytes, between characters.
func cut(text string) string { return strings.ToValidUTF8(text[:min(len(text), maxNote)], "") }

// end books the end of a withdrawal and leaves it in state.
func (b *batch) end(row *withdrawalRow, state app.WithdrawalState, entry ledger.Entry, txID, nowMs int64) error {
	w, err := b.lockWallets(ledger.WalletKeys([]ledger.Entry{entry}), true)
	if err != nil {
		return err
	}
	if err := b.book(w, entry, txID); err != nil {
		return err
	}
	row.State, row.EndTx, row.NextMs, row.Attention = string(state), txID, never, ""
	return b.saveWithdrawal(row, nowMs)
}

// release returns a withdrawal's money.
func (b *batch) release(row *withdrawalRow, state app.WithdrawalState, txID, nowMs int64) error {
	entry, err := row.money().Release(row.source(nowMs))
	if err != nil {
		return err
	}
	return b.end(row, state, entry, txID, nowMs)
}

// change runs fn on a locked withdrawal in a transaction, with a transaction id for what
// it books.
func (s *Store) change(ctx context.Context, name string, id int64, fn func(b *batch, row *withdrawalRow, txID, nowMs int64) error) (app.Withdrawal, error) {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return app.Withdrawal{}, err
	}
	err = s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name(name)
		b := s.in(ctx, tx)
		row, err := b.lockWithdrawal(id)
		if err != nil {
			return err
		}
		return fn(b, row, txIDs[0], s.clk.NowMs())
	})
	if err != nil {
		return app.Withdrawal{}, err
	}
	return s.Withdrawal(ctx, id)
}

// wrongState refuses what the state does not allow.
func wrongState(row *withdrawalRow) error { return app.ErrWithdrawalState.With("it is " + row.State) }

// CancelWithdrawal ends a member's withdrawal that was not broadcast.
func (s *Store) CancelWithdrawal(ctx context.Context, memberID, id int64) (app.Withdrawal, error) {
	return s.change(ctx, "withdraw_cancel", id, func(b *batch, row *withdrawalRow, txID, nowMs int64) error {
		switch {
		case row.MemberID != memberID:
			return app.ErrUnknownWithdrawal
		case row.state() == app.Canceled:
			return nil
		case row.state() != app.PendingReview && row.state() != app.Approved:
			return wrongState(row)
		}
		return b.release(row, app.Canceled, txID, nowMs)
	})
}

// ReviewWithdrawal notes an operator's decision and acts on it.
func (s *Store) ReviewWithdrawal(ctx context.Context, r app.Review) (app.Withdrawal, error) {
	return s.change(ctx, "withdraw_review", r.WithdrawalID, func(b *batch, row *withdrawalRow, txID, nowMs int64) error {
		decision := reviewRow{WithdrawID: row.ID, Operator: r.Operator, Decision: decisionReject, Reason: r.Reason, Time: nowMs}
		if r.Approve {
			decision.Decision = decisionApprove
		}
		wanted := decision.Decision
		var before []reviewRow
		if err := b.tx.DB().Where("withdraw_id = ?", row.ID).Find(&before).Error; err != nil {
			return err
		}
		if i := slices.IndexFunc(before, func(o reviewRow) bool { return o.Operator == r.Operator }); i >= 0 {
			if before[i].Decision != wanted {
				return app.ErrMismatch
			}
			return nil
		}
		if r.Approve && row.ReviewsNeeded > 1 && r.Operator == app.SharedOperator {
			return app.ErrSharedOperator
		}
		open := row.state() == app.PendingReview || !r.Approve && row.state() == app.Approved
		if !open {
			return wrongState(row)
		}
		if err := b.step("insert withdraw_review"); err != nil {
			return err
		}
		if err := b.tx.DB().Create(&decision).Error; err != nil {
			return err
		}
		if !r.Approve {
			row.Reason = r.Reason
			return b.release(row, app.Rejected, txID, nowMs)
		}
		if int64(len(before))+1 < row.ReviewsNeeded {
			return nil
		}
		row.State, row.NextMs = string(app.Approved), nowMs
		return b.saveWithdrawal(row, nowMs)
	})
}

// RetryWithdrawal gives a withdrawal that needs attention back to the worker.
func (s *Store) RetryWithdrawal(ctx context.Context, id int64) (app.Withdrawal, error) {
	return s.change(ctx, "withdraw_retry", id, func(b *batch, row *withdrawalRow, _, nowMs int64) error {
		if row.state() != app.Approved && row.state() != app.Broadcasting && row.state() != app.SentOut {
			return wrongState(row)
		}
		row.Attempts, row.Attention, row.NextMs = 0, "", nowMs
		return b.saveWithdrawal(row, nowMs)
	})
}

// ClaimWithdrawal moves an approved withdrawal to BROADCASTING, so that from here on it
// may have been sent. It returns app.ErrStopped, and changes nothing, while withdrawals of
// the member or the coin are stopped, and app.ErrWithdrawalState when it is in another
// state by now.
func (s *Store) ClaimWithdrawal(ctx context.Context, id int64) (app.Withdrawal, error) {
	return s.change(ctx, "withdraw_claim", id, func(b *batch, row *withdrawalRow, _, nowMs int64) error {
		if row.state() != app.Approved && row.state() != app.Broadcasting {
			return wrongState(row)
		}
		stop, err := stopOf(b.tx.DB(), strconv.FormatInt(row.MemberID, 10), row.Coin)
		if err != nil {
			return err
		}
		if stop != nil {
			return app.ErrStopped
		}
		if row.state() == app.Broadcasting {
			return nil
		}
		row.State = string(app.Broadcasting)
		return b.saveWithdrawal(row, nowMs)
	})
}

// MarkSent notes that a withdrawal was broadcast. Repeating it changes nothing.
func (s *Store) MarkSent(ctx context.Context, id int64, chainTx string) error {
	_, err := s.change(ctx, "withdraw_sent", id, func(b *batch, row *withdrawalRow, _, nowMs int64) error {
		if row.ChainTx == chainTx && (row.state() == app.SentOut || row.state() == app.Confirmed) {
			return nil
		}
		if row.state() != app.Broadcasting {
			return wrongState(row)
		}
		row.State, row.ChainTx, row.Attempts, row.Attention, row.SentMs, row.NextMs = string(app.SentOut), chainTx, 0, "", nowMs, nowMs
		return b.saveWithdrawal(row, nowMs)
	})
	return err
}

// FailWithdrawal returns the money of a withdrawal that will never leave, if it is in one
// of the states. Repeating it changes nothing.
func (s *Store) FailWithdrawal(ctx context.Context, id int64, from []app.WithdrawalState, reason string) error {
	_, err := s.change(ctx, "withdraw_fail", id, func(b *batch, row *withdrawalRow, txID, nowMs int64) error {
		if row.state() == app.WithdrawalFailed {
			return nil
		}
		if !slices.Contains(from, row.state()) {
			return wrongState(row)
		}
		row.Reason = reason
		return b.release(row, app.WithdrawalFailed, txID, nowMs)
	})
	return err
}

// Postpone says when the worker looks again, and why; a withdrawal that needs attention is
// left alone until an operator gives it back, but for one that is sent, which is looked at
// still.
func (s *Store) Postpone(ctx context.Context, id int64, state app.WithdrawalState, attempts, nextMs int64, attention string) error {
	_, err := s.change(ctx, "withdraw_postpone", id, func(b *batch, row *withdrawalRow, _, nowMs int64) error {
		if row.state() != state {
			return nil // somebody else was faster
		}
		row.Attempts, row.NextMs, row.Attention = attempts, nextMs, attention
		if attention != "" && state != app.SentOut {
			row.NextMs = never
		}
		return b.saveWithdrawal(row, nowMs)
	})
	return err
}

// ConfirmWithdrawal books a withdrawal that has left when its payment is in a block that
// so many confirm, in the state of the chain that was read; done is false while it is not.
// app.ErrOtherPayment when the transaction pays something else.
func (s *Store) ConfirmWithdrawal(ctx context.Context, id int64, l *app.Limits) (done bool, err error) {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return false, err
	}
	err = s.db.Tx(ctx, func(tx *database.Tx) (err error) {
		tx.Name("withdraw_confirm")
		done, err = s.confirm(s.in(ctx, tx), id, l, txIDs[0])
		return err
	})
	return done && err == nil, err
}

func (s *Store) confirm(b *batch, id int64, l *app.Limits, txID int64) (bool, error) {
	at, err := b.lockChain(l.Coin.Name)
	if err != nil || at == nil {
		return false, err
	}
	stopped, err := chainStopped(b.tx.DB(), l.Coin.Name)
	if err != nil || stopped {
		return false, err
	}
	row, err := b.lockWithdrawal(id)
	if err != nil {
		return false, err
	}
	if row.state() == app.Confirmed {
		return true, nil
	}
	if row.state() != app.SentOut {
		return false, wrongState(row)
	}
	var spends []spendRow
	if err := b.tx.DB().Where("coin = ? AND chain_tx = ? AND height > 0", row.Coin, row.ChainTx).Find(&spends).Error; err != nil {
		return false, err
	}
	if len(spends) > 0 && !row.isPaidBy(&spends[0], l.Coin.Scale) {
		return false, b.tx.Fail(app.ErrOtherPayment)
	}
	if len(spends) == 0 || at.Height-spends[0].Height+1 < l.Confirmations {
		return false, nil
	}
	if row.NetworkFee, err = networkFee(spends[0].ChainFee, l.Coin.Scale); err != nil {
		return false, fmt.Errorf("network fee of withdrawal %d: %w", id, err)
	}
	now := s.clk.NowMs()
	entry, err := row.money().Settle(row.source(now), row.NetworkFee)
	if err != nil {
		return false, err
	}
	return true, b.end(row, app.Confirmed, entry, txID, now)
}

// isPaidBy reports whether a payment is the withdrawal's.
func (r *withdrawalRow) isPaidBy(p *spendRow, scale int) bool {
	units, exact, err := app.ChainUnits(p.ChainAmount, scale)
	return err == nil && exact && units == r.Amount && p.Address == r.Address && p.PaymentKey == app.WithdrawalKey(r.ID)
}

// networkFee counts a chain's fee in units, up to whole ones: what is cut off stays in
// custody.
func networkFee(text string, scale int) (int64, error) {
	units, exact, err := app.ChainUnits(text, scale)
	if err == nil && !exact {
		units, err = money.Add(units, 1)
	}
	return units, err
}

// DueWithdrawals returns what the worker has to look at, longest due first.
func (s *Store) DueWithdrawals(ctx context.Context, limit int) ([]app.Withdrawal, error) {
	var rows []withdrawalRow
	err := s.db.Read(ctx).Where("state IN ? AND next_ms <= ?",
		[]string{string(app.Approved), string(app.Broadcasting), string(app.SentOut)}, s.clk.NowMs()).
		Order("next_ms, id").Limit(limit).Find(&rows).Error
	if err != nil {
		return nil, err
	}
	return s.withScales(ctx, rows)
}

// Withdrawal returns one with its reviews.
func (s *Store) Withdrawal(ctx context.Context, id int64) (app.Withdrawal, error) {
	var row withdrawalRow
	if err := s.db.Read(ctx).Where("id = ?", id).Take(&row).Error; err != nil {
		return app.Withdrawal{}, notFound(err, app.ErrUnknownWithdrawal)
	}
	list, err := s.withScales(ctx, []withdrawalRow{row})
	if err != nil {
		return app.Withdrawal{}, err
	}
	return list[0], nil
}

// Withdrawals returns withdrawals with their reviews, newest first.
func (s *Store) Withdrawals(ctx context.Context, q app.TransferQuery, limit int) ([]app.Withdrawal, error) {
	find := selectTransfers(s.db.Read(ctx), &q)
	if q.Attention {
		find = find.Where("attention <> ''")
	}
	var rows []withdrawalRow
	if err := find.Order("id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	return s.withScales(ctx, rows)
}

func selectTransfers(find *gorm.DB, q *app.TransferQuery) *gorm.DB {
	if q.MemberID > 0 {
		find = find.Where("member_id = ?", q.MemberID)
	}
	if q.Coin != "" {
		find = find.Where("coin = ?", q.Coin)
	}
	if q.State != "" {
		find = find.Where("state = ?", q.State)
	}
	if q.Before > 0 {
		find = find.Where("id < ?", q.Before)
	}
	return find
}

// withScales adds what other tables know of withdrawals.
func (s *Store) withScales(ctx context.Context, rows []withdrawalRow) ([]app.Withdrawal, error) {
	scales, err := s.scales(ctx)
	if err != nil {
		return nil, err
	}
	ids := make([]int64, len(rows))
	for i := range rows {
		ids[i] = rows[i].ID
	}
	var reviews []reviewRow
	if err := s.db.Read(ctx).Where("withdraw_id IN ?", ids).Order("time, operator").Find(&reviews).Error; err != nil {
		return nil, err
	}
	of := make(map[int64][]app.Review, len(reviews))
	for _, r := range reviews {
		of[r.WithdrawID] = append(of[r.WithdrawID], app.Review{
			WithdrawalID: r.WithdrawID, Operator: r.Operator, Approve: r.Decision == decisionApprove, Reason: r.Reason, TimeMs: r.Time,
		})
	}
	out := make([]app.Withdrawal, len(rows))
	for i := range rows {
		out[i] = rows[i].withdrawal(scales[rows[i].Coin])
		out[i].Reviews = of[rows[i].ID]
	}
	return out, nil
}

func (s *Store) scales(ctx context.Context) (map[string]int, error) {
	coins, err := s.Coins(ctx)
	if err != nil {
		return nil, err
	}
	scales := make(map[string]int, len(coins))
	for _, c := range coins {
		scales[c.Name] = c.Scale
	}
	return scales, nil
}
