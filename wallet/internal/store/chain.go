package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"gorm.io/gorm"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/custody"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/reconcile"
)

// keptBlocks is how many blocks of a chain are remembered, to find where another branch
// begins.
const keptBlocks = 10_000

type chainRow struct {
	Coin      string `gorm:"primaryKey"`
	Height    int64
	Hash      string
	UpdatedMs int64
}

func (chainRow) TableName() string { return "wallet_chain" }

type blockRow struct {
	Coin   string `gorm:"primaryKey"`
	Height int64  `gorm:"primaryKey;autoIncrement:false"`
	Hash   string
}

func (blockRow) TableName() string { return "wallet_chain_block" }

type depositRecordRow struct {
	ID          int64 `gorm:"primaryKey;autoIncrement:false"`
	Coin        string
	ChainTx     string
	OutputIndex int64
	Address     string
	MemberID    int64
	ChainAmount string
	Amount      int64
	State       string
	Height      int64
	CreatedMs   int64
	UpdatedMs   int64
}

func (depositRecordRow) TableName() string { return "deposit_record" }

type spendRow struct {
	Coin        string `gorm:"primaryKey"`
	ChainTx     string `gorm:"primaryKey"`
	PaymentKey  string
	Address     string
	ChainAmount string
	ChainFee    string
	Height      int64
	UpdatedMs   int64
}

func (spendRow) TableName() string { return "chain_spend" }

// lockChain locks a coin's position; nil when its chain was never read. It is locked
// before deposits, withdrawals and wallets.
func (b *batch) lockChain(coin string) (*chainRow, error) {
	if err := b.step("lock wallet_chain"); err != nil {
		return nil, err
	}
	var rows []chainRow
	if err := b.tx.ForUpdate().Where("coin = ?", coin).Find(&rows).Error; err != nil || len(rows) == 0 {
		return nil, err
	}
	return &rows[0], nil
}

// chainStopped reports whether an operator has to look at the coin's chain.
func chainStopped(db *gorm.DB, coin string) (bool, error) {
	var n int64
	err := db.Model(&stopRow{}).Where("scope = ? AND name = ?", app.StopChain, coin).Count(&n).Error
	return n > 0, err
}

// ChainStopped reports whether the coin's chain is stopped.
func (s *Store) ChainStopped(ctx context.Context, coin string) (bool, error) {
	return chainStopped(s.db.Read(ctx), coin)
}

// ChainPosition returns the last block of the coin's chain that was read, or false.
func (s *Store) ChainPosition(ctx context.Context, coin string) (custody.BlockID, bool, error) {
	var rows []chainRow
	if err := s.db.Read(ctx).Where("coin = ?", coin).Find(&rows).Error; err != nil || len(rows) == 0 {
		return custody.BlockID{}, false, err
	}
	return custody.BlockID{Height: rows[0].Height, Hash: rows[0].Hash}, true, nil
}

// StartChain sets where the reading of a chain begins, unless it has begun.
func (s *Store) StartChain(ctx context.Context, coin string, at custody.BlockID) error {
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		row := chainRow{Coin: coin, Height: at.Height, Hash: at.Hash, UpdatedMs: s.clk.NowMs()}
		fresh, err := tx.InsertIfAbsent(&row)
		if err != nil || !fresh {
			return err
		}
		return tx.DB().Create(&blockRow{Coin: coin, Height: at.Height, Hash: at.Hash}).Error
	})
}

// ChainBlock returns the hash of a block that was read, "" when it is not remembered.
func (s *Store) ChainBlock(ctx context.Context, coin string, height int64) (string, error) {
	var rows []blockRow
	if err := s.db.Read(ctx).Where("coin = ? AND height = ?", coin, height).Find(&rows).Error; err != nil || len(rows) == 0 {
		return "", err
	}
	return rows[0].Hash, nil
}

// ApplyBlock notes what the block after the position has of deposits and payments. applied
// is false, and nothing is changed, when the position is not the block's parent (somebody
// else was faster, or the chain has another branch by now) or the chain is stopped.
//
// A block that says what cannot be is app.ErrBadChain, before anything is written.
func (s *Store) ApplyBlock(ctx context.Context, l *app.Limits, block *custody.Block) (applied bool, err error) {
	if err := checkBlock(block); err != nil {
		return false, fmt.Errorf("%w: block %d: %w", app.ErrBadChain, block.Height, err)
	}
	ids := make([]int64, len(block.Receipts))
	for i := range ids {
		if ids[i], err = s.deposits.Next(ctx); err != nil {
			return false, err
		}
	}
	err = s.db.Tx(ctx, func(tx *database.Tx) (err error) {
		tx.Name("chain_block")
		applied, err = s.applyBlock(s.in(ctx, tx), l, block, ids)
		return err
	})
	return applied && err == nil, err
}

// checkBlock refuses what the columns have no room for, and what is no amount.
func checkBlock(block *custody.Block) (err error) {
	text := func(what, text string, least, most int) {
		if len(text) < least || len(text) > most || !utf8.ValidString(text) {
			err = errors.Join(err, fmt.Errorf("%s of %d bytes, or not UTF-8", what, len(text)))
		}
	}
	amount := func(what, text string) {
		if n, wrong := reconcile.ChainAmount(text); wrong != nil || n.Sign() < 0 || len(text) > custody.MaxAmountBytes {
			err = errors.Join(err, fmt.Errorf("%s %.50q is no amount", what, text))
		}
	}
	text("hash", block.Hash, 1, custody.MaxHashBytes)
	for i := range block.Receipts {
		r := &block.Receipts[i]
		text("receipt's transaction", r.TxID, 1, custody.MaxTxIDBytes)
		text("receipt's address", r.Address, 0, custody.MaxAddressBytes)
		amount("receipt's amount", r.Amount)
		if r.Index < 0 {
			err = errors.Join(err, fmt.Errorf("receipt's index %d", r.Index))
		}
	}
	for i := range block.Spends {
		s := &block.Spends[i]
		text("payment's transaction", s.TxID, 1, custody.MaxTxIDBytes)
		text("payment's key", s.Key, 0, maxPaymentKey)
		text("payment's address", s.To, 0, custody.MaxAddressBytes)
		amount("payment's amount", s.Amount)
		amount("payment's fee", s.Fee)
	}
	return err
}

// maxPaymentKey is what chain_spend has room for.
const maxPaymentKey = 64

func (s *Store) applyBlock(b *batch, l *app.Limits, block *custody.Block, ids []int64) (bool, error) {
	coin, now := l.Coin.Name, s.clk.NowMs()
	at, err := b.lockChain(coin)
	if err != nil || at == nil || at.Height != block.Height-1 || at.Hash != block.Parent {
		return false, err
	}
	if stopped, err := chainStopped(b.tx.DB(), coin); err != nil || stopped {
		return false, err
	}
	for i := range block.Receipts {
		if err := b.receive(l, &block.Receipts[i], block.Height, ids[i], now); err != nil {
			return false, err
		}
	}
	for i := range block.Spends {
		if err := b.spend(coin, &block.Spends[i], block.Height, now); err != nil {
			return false, err
		}
	}
	if err := b.tx.DB().Create(&blockRow{Coin: coin, Height: block.Height, Hash: block.Hash}).Error; err != nil {
		return false, err
	}
	if err := b.tx.DB().Where("coin = ? AND height < ?", coin, block.Height-keptBlocks).Delete(&blockRow{}).Error; err != nil {
		return false, err
	}
	return true, b.moveChain(coin, block.BlockID, now)
}

func (b *batch) moveChain(coin string, to custody.BlockID, nowMs int64) error {
	if err := b.step("update wallet_chain"); err != nil {
		return err
	}
	return b.tx.DB().Model(&chainRow{}).Where("coin = ?", coin).
		Updates(map[string]any{"height": to.Height, "hash": to.Hash, "updated_ms": nowMs}).Error
}

// receive notes a receipt: new, or again after its block was replaced.
func (b *batch) receive(l *app.Limits, r *custody.Receipt, height, id, nowMs int64) error {
	if err := b.step("write deposit_record"); err != nil {
		return err
	}
	var owner []depositAddressRow
	if err := b.tx.DB().Where("coin = ? AND address = ?", l.Coin.Name, r.Address).Find(&owner).Error; err != nil {
		return err
	}
	member := int64(0)
	if len(owner) > 0 {
		member = owner[0].MemberID
	}
	d, err := app.NewChainDeposit(l, r, member, height)
	if err != nil {
		return b.tx.Fail(fmt.Errorf("%w: %w", app.ErrBadChain, err))
	}
	row := depositRecordRow{
		ID: id, Coin: d.Coin, ChainTx: d.ChainTx, OutputIndex: d.OutputIndex, Address: d.Address, MemberID: d.MemberID,
		ChainAmount: d.ChainAmount, Amount: d.Amount, State: string(d.State), Height: height, CreatedMs: nowMs, UpdatedMs: nowMs,
	}
	fresh, err := b.tx.InsertIfAbsent(&row)
	if err != nil || fresh {
		return err
	}
	var before depositRecordRow
	if err := b.tx.ForUpdate().Where("coin = ? AND chain_tx = ? AND output_index = ?", d.Coin, d.ChainTx, d.OutputIndex).Take(&before).Error; err != nil {
		return err
	}
	if before.Address != d.Address || before.ChainAmount != d.ChainAmount || before.Height > 0 {
		return b.tx.Fail(fmt.Errorf("%w: receipt %s/%d is in two blocks, or changed", app.ErrBadChain, d.ChainTx, d.OutputIndex))
	}
	before.Height, before.UpdatedMs = height, nowMs
	switch app.DepositState(before.State) {
	case app.DepositDropped:
		before.State, before.MemberID = string(d.State), d.MemberID
	case app.DepositOrphaned:
		before.State = string(app.DepositCredited) // it was, and is on the chain again
	case app.DepositPending, app.DepositCredited, app.DepositUnknown, app.DepositTooSmall, app.DepositTooLarge:
	}
	return b.tx.DB().Model(&depositRecordRow{}).Where("id = ?", before.ID).Select("*").Updates(&before).Error
}

// spend notes a payment of the custody: new, or again after its block was replaced.
func (b *batch) spend(coin string, p *custody.Spend, height, nowMs int64) error {
	if err := b.step("write chain_spend"); err != nil {
		return err
	}
	row := spendRow{
		Coin: coin, ChainTx: p.TxID, PaymentKey: p.Key, Address: p.To, ChainAmount: p.Amount, ChainFee: p.Fee, Height: height, UpdatedMs: nowMs,
	}
	fresh, err := b.tx.InsertIfAbsent(&row)
	if err != nil || fresh {
		return err
	}
	var before spendRow
	if err := b.tx.ForUpdate().Where("coin = ? AND chain_tx = ?", coin, p.TxID).Take(&before).Error; err != nil {
		return err
	}
	if before.PaymentKey != p.Key || before.Address != p.To || before.ChainAmount != p.Amount || before.ChainFee != p.Fee || before.Height > 0 {
		return b.tx.Fail(fmt.Errorf("%w: payment %s is in two blocks, or changed", app.ErrBadChain, p.TxID))
	}
	return b.tx.DB().Model(&spendRow{}).Where("coin = ? AND chain_tx = ?", coin, p.TxID).
		Updates(map[string]any{"height": height, "updated_ms": nowMs}).Error
}

// RollBack takes back the blocks above fork, which are not on the best chain any more.
// Deposits of theirs that were not credited are dropped. When one was credited, or a
// withdrawal was booked, the chain did what its confirmations should exclude: the coin's
// chain is stopped, and so are all withdrawals of the members who were credited. moved is false when the position is another by now.
func (s *Store) RollBack(ctx context.Context, coin string, from, fork custody.BlockID) (moved bool, err error) {
	err = s.db.Tx(ctx, func(tx *database.Tx) (err error) {
		tx.Name("chain_rollback")
		moved, err = s.rollBack(s.in(ctx, tx), coin, from, fork)
		return err
	})
	return moved && err == nil, err
}

func (s *Store) rollBack(b *batch, coin string, from, fork custody.BlockID) (bool, error) {
	at, err := b.lockChain(coin)
	if err != nil || at == nil || at.Height != from.Height || at.Hash != from.Hash {
		return false, err
	}
	now := s.clk.NowMs()
	var credited, booked int64
	above := func(model any) *gorm.DB {
		return b.tx.DB().Model(model).Where("coin = ? AND height > ?", coin, fork.Height)
	}
	if err := above(&depositRecordRow{}).Where("state = ?", string(app.DepositCredited)).Count(&credited).Error; err != nil {
		return false, err
	}
	err = b.tx.DB().Raw("SELECT COUNT(*) FROM withdraw_record w JOIN chain_spend p ON p.coin = w.coin AND p.chain_tx = w.chain_tx"+
		" WHERE w.coin = ? AND w.state = ? AND p.height > ?", coin, string(app.Confirmed), fork.Height).Scan(&booked).Error
	if err != nil {
		return false, err
	}
	if err := b.stopCredited(coin, fork.Height, now); err != nil {
		return false, err
	}
	for _, change := range []struct{ from, to app.DepositState }{{app.DepositPending, app.DepositDropped}, {app.DepositCredited, app.DepositOrphaned}} {
		err := above(&depositRecordRow{}).Where("state = ?", string(change.from)).
			Updates(map[string]any{"state": string(change.to), "updated_ms": now}).Error
		if err != nil {
			return false, err
		}
	}
	for _, model := range []any{&depositRecordRow{}, &spendRow{}} {
		if err := above(model).Updates(map[string]any{"height": 0, "updated_ms": now}).Error; err != nil {
			return false, err
		}
	}
	if err := above(&blockRow{}).Delete(&blockRow{}).Error; err != nil {
		return false, err
	}
	if credited+booked > 0 {
		reason := fmt.Sprintf("the chain of %s replaced %d blocks above %d: %d credited deposits and %d booked withdrawals are on it no more; "+
			"deposits and withdrawals of the coin stand still until an operator has looked (deposits ORPHANED) and lifts this stop",
			coin, from.Height-fork.Height, fork.Height, credited, booked)
		if err := setStop(b.ctx, b.tx, app.Stop{Scope: app.StopChain, Name: coin, SinceMs: now, Reason: reason}); err != nil {
			return false, err
		}
	}
	return true, b.moveChain(coin, fork, now)
}

// stopCredited stops the withdrawals, of any coin, of the members who were credited what a
// chain is taking back: they may have sold it.
func (b *batch) stopCredited(coin string, above, nowMs int64) error {
	var members []int64
	err := b.tx.DB().Model(&depositRecordRow{}).Where("coin = ? AND height > ? AND state = ?", coin, above, string(app.DepositCredited)).
		Distinct().Order("member_id").Pluck("member_id", &members).Error
	if err != nil {
		return err
	}
	for _, member := range members {
		err := setStop(b.ctx, b.tx, app.Stop{
			Scope: app.StopMember, Name: strconv.FormatInt(member, 10), SinceMs: nowMs,
			Reason: fmt.Sprintf("credited deposits of the member in %s above block %d are on the chain no more", coin, above),
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// DueDeposits returns the ids of pending deposits that have their confirmations, oldest
// first.
func (s *Store) DueDeposits(ctx context.Context, l *app.Limits, limit int) (ids []int64, err error) {
	at, ok, err := s.ChainPosition(ctx, l.Coin.Name)
	if err != nil || !ok {
		return nil, err
	}
	err = s.db.Read(ctx).Model(&depositRecordRow{}).
		Where("coin = ? AND state = ? AND height > 0 AND height <= ?", l.Coin.Name, string(app.DepositPending), at.Height-l.Confirmations+1).
		Order("height, id").Limit(limit).Pluck("id", &ids).Error
	return ids, err
}

// CreditDeposit credits a pending deposit that has its confirmations; one that has not, or
// is credited, is left alone.
func (s *Store) CreditDeposit(ctx context.Context, l *app.Limits, id int64) error {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return err
	}
	return s.db.Tx(ctx, func(tx *database.Tx) error {
		tx.Name("deposit_credit")
		return s.creditDeposit(s.in(ctx, tx), l, id, txIDs[0])
	})
}

func (s *Store) creditDeposit(b *batch, l *app.Limits, id, txID int64) error {
	at, err := b.lockChain(l.Coin.Name)
	if err != nil || at == nil {
		return err
	}
	if stopped, err := chainStopped(b.tx.DB(), l.Coin.Name); err != nil || stopped {
		return err
	}
	var row depositRecordRow
	if err := b.tx.ForUpdate().Where("id = ?", id).Take(&row).Error; err != nil {
		return err
	}
	if app.DepositState(row.State) != app.DepositPending || row.Height == 0 || at.Height-row.Height+1 < l.Confirmations {
		return nil
	}
	d := app.ChainDeposit{ID: row.ID}
	_, repeated, err := s.deposit(b.ctx, b.tx, app.Deposit{Reference: d.Reference(), MemberID: row.MemberID, Coin: row.Coin, Amount: row.Amount}, txID)
	if err != nil {
		return err
	}
	if repeated {
		return b.tx.Fail(fmt.Errorf("deposit %d is credited, but pending", id))
	}
	if err := b.step("update deposit_record"); err != nil {
		return err
	}
	return b.tx.DB().Model(&depositRecordRow{}).Where("id = ?", id).
		Updates(map[string]any{"state": string(app.DepositCredited), "updated_ms": s.clk.NowMs()}).Error
}

// Deposits returns what came by chains, newest first.
func (s *Store) Deposits(ctx context.Context, q app.TransferQuery, limit int) ([]app.ChainDeposit, error) {
	var rows []depositRecordRow
	if err := selectTransfers(s.db.Read(ctx), &q).Order("id DESC").Limit(limit).Find(&rows).Error; err != nil {
		return nil, err
	}
	scales, err := s.scales(ctx)
	if err != nil {
		return nil, err
	}
	var chains []chainRow
	if err := s.db.Read(ctx).Find(&chains).Error; err != nil {
		return nil, err
	}
	heights := make(map[string]int64, len(chains))
	for _, c := range chains {
		heights[c.Coin] = c.Height
	}
	out := make([]app.ChainDeposit, len(rows))
	for i, r := range rows {
		out[i] = app.ChainDeposit{
			ID: r.ID, Coin: r.Coin, Scale: scales[r.Coin], ChainTx: r.ChainTx, OutputIndex: r.OutputIndex, Address: r.Address,
			MemberID: r.MemberID, ChainAmount: r.ChainAmount, Amount: r.Amount, State: app.DepositState(r.State), Height: r.Height,
			CreatedMs: r.CreatedMs, UpdatedMs: r.UpdatedMs,
		}
		if r.Height > 0 {
			out[i].Confirmations = max(heights[r.Coin]-r.Height+1, 0)
		}
	}
	return out, nil
}
