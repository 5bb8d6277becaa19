package transfer

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/custody"
	"mscoin/wallet/internal/app"
)

// Store keeps what the worker reads and does. Each method is one transaction.
type Store interface {
	ChainStopped(ctx context.Context, coin string) (bool, error)
	ChainPosition(ctx context.Context, coin string) (custody.BlockID, bool, error)
	StartChain(ctx context.Context, coin string, at custody.BlockID) error
	ChainBlock(ctx context.Context, coin string, height int64) (string, error)
	ApplyBlock(ctx context.Context, l *app.Limits, block *custody.Block) (applied bool, err error)
	RollBack(ctx context.Context, coin string, from, fork custody.BlockID) (moved bool, err error)
	DueDeposits(ctx context.Context, l *app.Limits, limit int) ([]int64, error)
	CreditDeposit(ctx context.Context, l *app.Limits, id int64) error
	SetStop(ctx context.Context, s app.Stop) error

	DueWithdrawals(ctx context.Context, limit int) ([]app.Withdrawal, error)
	ClaimWithdrawal(ctx context.Context, id int64) (app.Withdrawal, error)
	MarkSent(ctx context.Context, id int64, chainTx string) error
	FailWithdrawal(ctx context.Context, id int64, from []app.WithdrawalState, reason string) error
	Postpone(ctx context.Context, id int64, state app.WithdrawalState, attempts, nextMs int64, attention string) error
	ConfirmWithdrawal(ctx context.Context, id int64, l *app.Limits) (done bool, err error)
}

// Coins tells how coins may be transferred.
type Coins interface {
	Offered(ctx context.Context) ([]app.Limits, error)
	Limits(ctx context.Context, coin string) (app.Limits, error)
}

const (
	// maxBlocks, maxDeposits and maxDue bound one turn.
	maxBlocks   = 200
	maxDeposits = 500
	maxDue      = 200
	// maxAttempts is how often a withdrawal is tried before an operator must look: with
	// the waits between, after about 20 minutes.
	maxAttempts = 10
	firstWait   = time.Second
	maxWait     = 5 * time.Minute
	// confirmWait is between two looks for the blocks of a payment.
	confirmWait = time.Second
	// slowAfter is when a payment that no block takes needs attention.
	slowAfter = time.Hour
)

// Worker reads chains and moves withdrawals on. Run it once for each database: under a
// lease.
type Worker struct {
	store   Store
	coins   Coins
	custody custody.Custody
	clk     clock.Clock
	every   time.Duration
	failing map[string]bool // what failed the last time, by coin
}

// New returns a worker that looks every so often.
func New(store Store, coins Coins, c custody.Custody, clk clock.Clock, every time.Duration) *Worker {
	return &Worker{store: store, coins: coins, custody: c, clk: clk, every: every, failing: map[string]bool{}}
}

// Run works until ctx ends.
func (w *Worker) Run(ctx context.Context) error {
	for {
		if err := w.Turn(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("transfers: %v", err)
		}
		if err := clock.Sleep(ctx, w.clk, w.every); err != nil {
			return err
		}
	}
}

// Turn does what is due. What fails for one coin or one withdrawal keeps no other from its
// turn; it is logged and tried again.
func (w *Worker) Turn(ctx context.Context) error {
	coins, err := w.coins.Offered(ctx)
	if err != nil {
		return fmt.Errorf("offered coins: %w", err)
	}
	for i := range coins {
		w.note(ctx, coins[i].Coin.Name, w.Watch(ctx, &coins[i]))
	}
	due, err := w.store.DueWithdrawals(ctx, maxDue)
	if err != nil {
		return fmt.Errorf("due withdrawals: %w", err)
	}
	for i := range due {
		if err := w.move(ctx, &due[i]); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("withdrawal %d, %s: %v", due[i].ID, due[i].State, err)
		}
	}
	return ctx.Err()
}

// note logs the first of several failures of a coin, and their end.
func (w *Worker) note(ctx context.Context, coin string, err error) {
	switch {
	case ctx.Err() != nil:
		return
	case err != nil && !w.failing[coin]:
		logx.WithContext(ctx).Errorf("chain of %s: %v", coin, err)
	case err == nil && w.failing[coin]:
		logx.WithContext(ctx).Infof("chain of %s: it goes on", coin)
	}
	w.failing[coin] = err != nil
}

// Watch reads a coin's new blocks and credits what has its confirmations.
func (w *Worker) Watch(ctx context.Context, l *app.Limits) error {
	for range maxBlocks {
		if stopped, err := w.store.ChainStopped(ctx, l.Coin.Name); err != nil || stopped {
			return err
		}
		more, err := w.nextBlock(ctx, l)
		if errors.Is(err, app.ErrBadChain) {
			return errors.Join(err, w.stop(ctx, l.Coin.Name, err.Error()))
		}
		if err != nil {
			return err
		}
		if !more {
			break
		}
	}
	ids, err := w.store.DueDeposits(ctx, l, maxDeposits)
	if err != nil {
		return fmt.Errorf("due deposits: %w", err)
	}
	var failed []error
	for _, id := range ids { // one that fails keeps no other waiting
		if err := w.store.CreditDeposit(ctx, l, id); err != nil {
			failed = append(failed, fmt.Errorf("credit deposit %d: %w", id, err))
		}
	}
	return errors.Join(failed...)
}

// nextBlock reads the block after the position, or goes back to where the best chain
// branches off; more is false at the end.
func (w *Worker) nextBlock(ctx context.Context, l *app.Limits) (more bool, err error) {
	coin := l.Coin.Name
	at, ok, err := w.store.ChainPosition(ctx, coin)
	if err != nil {
		return false, fmt.Errorf("position: %w", err)
	}
	if !ok {
		first, err := w.custody.Block(ctx, coin, l.StartHeight)
		if err != nil {
			return false, fmt.Errorf("block %d: %w", l.StartHeight, err)
		}
		return true, w.store.StartChain(ctx, coin, first.BlockID)
	}
	block, err := w.custody.Block(ctx, coin, at.Height+1)
	if err == nil && block.Parent == at.Hash && block.Height == at.Height+1 {
		_, err := w.store.ApplyBlock(ctx, l, &block)
		return err == nil, err
	}
	if err != nil && !errors.Is(err, custody.ErrNoBlock) {
		return false, fmt.Errorf("block %d: %w", at.Height+1, err)
	}
	if err != nil { // the end, or a shorter branch
		if on, err := w.onChain(ctx, coin, at); err != nil || on {
			return false, err
		}
	}
	fork, err := w.fork(ctx, coin, at)
	if err != nil {
		return false, err
	}
	_, err = w.store.RollBack(ctx, coin, at, fork)
	return err == nil, err
}

// onChain reports whether a block is on the best chain.
func (w *Worker) onChain(ctx context.Context, coin string, id custody.BlockID) (bool, error) {
	b, err := w.custody.Block(ctx, coin, id.Height)
	if errors.Is(err, custody.ErrNoBlock) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("block %d: %w", id.Height, err)
	}
	return b.Hash == id.Hash, nil
}

// fork returns the last block that was read and is on the best chain.
func (w *Worker) fork(ctx context.Context, coin string, at custody.BlockID) (custody.BlockID, error) {
	for height := at.Height - 1; height >= 0; height-- {
		hash, err := w.store.ChainBlock(ctx, coin, height)
		if err != nil {
			return custody.BlockID{}, fmt.Errorf("remembered block %d: %w", height, err)
		}
		if hash == "" {
			break
		}
		id := custody.BlockID{Height: height, Hash: hash}
		if on, err := w.onChain(ctx, coin, id); err != nil || on {
			return id, err
		}
	}
	return custody.BlockID{}, fmt.Errorf("%w: none of the blocks of %s that are remembered up to %d is on it", app.ErrBadChain, coin, at.Height)
}

func (w *Worker) stop(ctx context.Context, coin, reason string) error {
	return w.store.SetStop(ctx, app.Stop{Scope: app.StopChain, Name: coin, SinceMs: w.clk.NowMs(), Reason: strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")})
}

// maxReason is what a stop's reason has room for.
const maxReason = 500

// move moves a withdrawal one step on.
func (w *Worker) move(ctx context.Context, wd *app.Withdrawal) error {
	if wd.State == app.SentOut {
		return w.confirm(ctx, wd)
	}
	claimed, err := w.store.ClaimWithdrawal(ctx, wd.ID)
	switch {
	case errors.Is(err, app.ErrStopped):
		return w.store.Postpone(ctx, wd.ID, wd.State, wd.Attempts, w.clk.NowMs()+maxWait.Milliseconds()/10, "")
	case errors.Is(err, app.ErrWithdrawalState):
		return nil // somebody else was faster
	case err != nil:
		return fmt.Errorf("claim: %w", err)
	}
	return w.send(ctx, &claimed)
}

// send asks the custody to pay, once for the withdrawal's key.
func (w *Worker) send(ctx context.Context, wd *app.Withdrawal) error {
	sent, err := w.custody.Send(ctx, wd.Coin, custody.Payment{Key: wd.Key(), To: wd.Address, Amount: wd.AmountText()})
	switch {
	case err == nil:
		if sent.TxID == "" || len(sent.TxID) > custody.MaxTxIDBytes {
			return w.attend(ctx, wd, "the custody's answer names no transaction")
		}
		if err := w.store.MarkSent(ctx, wd.ID, sent.TxID); err != nil {
			return fmt.Errorf("note that it was sent: %w", err)
		}
		return nil
	case errors.Is(err, custody.ErrRefused), errors.Is(err, custody.ErrBadAddress), errors.Is(err, custody.ErrAbandoned):
		return w.refused(ctx, wd, err)
	case errors.Is(err, custody.ErrMismatch):
		return w.attend(ctx, wd, err.Error())
	}
	return w.again(ctx, wd, err)
}

// refused fails what the custody will not send, once it promises never to, nor to have sent
// it before: an earlier request may still be on its way, and money that may have left is
// never given back.
func (w *Worker) refused(ctx context.Context, wd *app.Withdrawal, why error) error {
	sent, err := w.custody.Abandon(ctx, wd.Coin, wd.Key())
	switch {
	case err == nil:
		return w.store.MarkSent(ctx, wd.ID, sent.TxID)
	case errors.Is(err, custody.ErrAbandoned):
		return w.store.FailWithdrawal(ctx, wd.ID, []app.WithdrawalState{app.Broadcasting}, why.Error())
	}
	return w.again(ctx, wd, errors.Join(why, err))
}

// again postpones a withdrawal whose outcome is unknown, or gives it to an operator.
func (w *Worker) again(ctx context.Context, wd *app.Withdrawal, cause error) error {
	attempts := wd.Attempts + 1
	if attempts >= maxAttempts {
		return w.attend(ctx, wd, fmt.Sprintf("tried %d times: %v", attempts, cause))
	}
	wait := min(firstWait<<(attempts-1), maxWait)
	if err := w.store.Postpone(ctx, wd.ID, wd.State, attempts, w.clk.NowMs()+wait.Milliseconds(), ""); err != nil {
		return errors.Join(cause, err)
	}
	return cause
}

// attend leaves a withdrawal to an operator.
func (w *Worker) attend(ctx context.Context, wd *app.Withdrawal, why string) error {
	if wd.Attention == "" {
		logx.WithContext(ctx).Errorf("ALARM withdrawal %d of member %d needs an operator: %s", wd.ID, wd.MemberID, why)
	}
	return w.store.Postpone(ctx, wd.ID, wd.State, wd.Attempts, w.clk.NowMs()+maxWait.Milliseconds(), why)
}

// confirm books a withdrawal that has left, fails one that never will, and looks again
// later at the others.
func (w *Worker) confirm(ctx context.Context, wd *app.Withdrawal) error {
	l, err := w.coins.Limits(ctx, wd.Coin)
	if err != nil {
		return err
	}
	if done, err := w.store.ConfirmWithdrawal(ctx, wd.ID, &l); err != nil || done {
		switch {
		case errors.Is(err, app.ErrWithdrawalState):
			return nil
		case errors.Is(err, app.ErrOtherPayment):
			return w.attend(ctx, wd, err.Error())
		}
		return err
	}
	sent, err := w.custody.Sent(ctx, wd.Coin, wd.Key())
	switch {
	case errors.Is(err, custody.ErrUnknownPayment), errors.Is(err, custody.ErrAbandoned):
		return w.attend(ctx, wd, "the custody does not know the payment that it made: "+err.Error())
	case err != nil:
		return w.again(ctx, wd, err)
	case sent.TxID != wd.ChainTx:
		return w.attend(ctx, wd, "the custody has made the payment with another transaction: "+sent.TxID)
	case sent.State == custody.Failed:
		return w.store.FailWithdrawal(ctx, wd.ID, []app.WithdrawalState{app.SentOut}, "the chain will never take it")
	}
	if now := w.clk.NowMs(); now-wd.SentMs > slowAfter.Milliseconds() {
		return w.attend(ctx, wd, "no block confirms it for an hour")
	}
	return w.store.Postpone(ctx, wd.ID, wd.State, 0, w.clk.NowMs()+confirmWait.Milliseconds(), "")
}
