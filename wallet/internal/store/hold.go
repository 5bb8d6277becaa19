package store

import (
	"bytes"
	"context"
	"fmt"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
)

// PlaceHolds decides the requests in order in one transaction (group commit).
func (s *Store) PlaceHolds(ctx context.Context, reqs []app.HoldRequest) ([]app.HoldResult, error) {
	txIDs, err := s.nextTxIDs(ctx, len(reqs))
	if err != nil {
		return nil, err
	}
	var results []app.HoldResult
	err = s.retryDuplicate(ctx, func(tx *database.Tx) error {
		tx.Name("hold")
		var err error
		results, err = s.placeHolds(s.in(ctx, tx), reqs, txIDs)
		return err
	})
	if err != nil {
		return nil, err
	}
	return results, nil
}

// placing is the state of one PlaceHolds.
type placing struct {
	nowMs   int64
	found   map[int64]*hold
	wallets *wallets
	created []*hold
	lines   []ledger.Line
}

func (s *Store) placeHolds(b *batch, reqs []app.HoldRequest, txIDs []int64) ([]app.HoldResult, error) {
	ids := make([]int64, len(reqs))
	for i := range reqs {
		ids[i] = reqs[i].OrderID
	}
	found, err := b.lockHolds(ids)
	if err != nil {
		return nil, err
	}
	p := &placing{nowMs: s.clk.NowMs(), found: found}
	if p.wallets, err = b.lockWallets(newHoldWallets(reqs, found), false); err != nil {
		return nil, err
	}
	results := make([]app.HoldResult, len(reqs))
	for i := range reqs {
		if results[i], err = p.place(&reqs[i], txIDs[i]); err != nil {
			return nil, err
		}
	}
	if err := b.insert(holdTable, len(p.created), func(args []any, i int) []any { return p.created[i].values(args) }); err != nil {
		return nil, err
	}
	if err := b.writeWallets(p.wallets); err != nil {
		return nil, err
	}
	return results, b.writeJournal(p.lines)
}

// newHoldWallets returns the wallets that the requests without a hold draw on, in
// lock order.
func newHoldWallets(reqs []app.HoldRequest, found map[int64]*hold) []ledger.WalletKey {
	var keys []ledger.WalletKey
	for i := range reqs {
		if found[reqs[i].OrderID] == nil {
			keys = append(keys, ledger.WalletKey{MemberID: reqs[i].MemberID, Coin: reqs[i].Coin})
		}
	}
	return sortedKeys(keys)
}

// place answers one request: again what was answered before, or by the balance.
func (p *placing) place(r *app.HoldRequest, txID int64) (app.HoldResult, error) {
	hash := r.Hash()
	if h, ok := p.found[r.OrderID]; ok {
		return repeatAnswer(h, hash), nil
	}
	wallet, _ := p.wallets.Wallet(ledger.WalletKey{MemberID: r.MemberID, Coin: r.Coin})
	amount, ok := ledger.AmountToHold(wallet.Available.Balance, r.Amount, r.MinAmount)
	h := &hold{
		Hold: ledger.Hold{
			OrderID: r.OrderID, MemberID: r.MemberID, Coin: r.Coin, Symbol: r.Symbol, Held: amount,
			State: ledger.HoldOpen, PlaceTimeMs: p.nowMs, UpdatedMs: p.nowMs,
		},
		requestHash: hash,
	}
	p.found[r.OrderID] = h
	p.created = append(p.created, h)
	if !ok {
		h.Held, h.State = 0, ledger.HoldRefused
		return app.HoldResult{Err: app.ErrInsufficientBalance}, nil
	}
	entry, err := h.Place(p.nowMs)
	if err != nil {
		return app.HoldResult{}, err
	}
	if p.lines, err = p.wallets.Post(txID, entry, p.lines); err != nil {
		return app.HoldResult{}, fmt.Errorf("order %d: %w", r.OrderID, err)
	}
	return app.HoldResult{Held: amount}, nil
}

// repeatAnswer answers a request whose order has a hold. A closed hold answers
// refused even to the request that placed it: whoever still asks must not believe
// that money is set aside.
func repeatAnswer(h *hold, hash []byte) app.HoldResult {
	switch {
	case h.State == ledger.HoldTombstone:
		return app.HoldResult{Err: app.ErrHoldRefused}
	case !bytes.Equal(h.requestHash, hash):
		return app.HoldResult{Err: app.ErrMismatch}
	case h.State == ledger.HoldRefused:
		return app.HoldResult{Err: app.ErrInsufficientBalance}
	case h.State == ledger.HoldClosed:
		return app.HoldResult{Err: app.ErrHoldRefused}
	}
	return app.HoldResult{Held: h.Held}
}

// ReleaseHold gives back the hold of an order that never reached the matcher, and
// leaves a tombstone when there is none.
func (s *Store) ReleaseHold(ctx context.Context, orderID, memberID int64) error {
	txIDs, err := s.nextTxIDs(ctx, 1)
	if err != nil {
		return err
	}
	return s.retryDuplicate(ctx, func(tx *database.Tx) error {
		return s.releaseHold(s.in(ctx, tx), orderID, memberID, txIDs[0])
	})
}

func (s *Store) releaseHold(b *batch, orderID, memberID, txID int64) error {
	found, err := b.lockHolds([]int64{orderID})
	if err != nil {
		return err
	}
	now := s.clk.NowMs()
	h, ok := found[orderID]
	if !ok {
		h = &hold{Hold: ledger.Hold{OrderID: orderID, MemberID: memberID, State: ledger.HoldTombstone, PlaceTimeMs: now, UpdatedMs: now}}
		return b.insert(holdTable, 1, func(args []any, _ int) []any { return h.values(args) })
	}
	switch {
	case h.MemberID != memberID:
		return app.ErrUnknownOrder
	case h.State == ledger.HoldRefused || h.State == ledger.HoldTombstone:
		return nil // nothing is held and nothing will be
	case h.State == ledger.HoldClosed && h.Facts == (ledger.Facts{}):
		return nil // given back already, by us or by the order's rejection
	case h.Seq != 0:
		return app.ErrHoldInUse
	}
	entry, err := h.Cancel(now)
	if err != nil {
		return err
	}
	w, err := b.lockWallets(ledger.WalletKeys([]ledger.Entry{entry}), true)
	if err != nil {
		return err
	}
	lines, err := w.Post(txID, entry, nil)
	if err != nil {
		return err
	}
	if err := b.upsert(holdTable, 1, func(args []any, _ int) []any { return h.values(args) }); err != nil {
		return err
	}
	if err := b.writeWallets(w); err != nil {
		return err
	}
	return b.writeJournal(lines)
}

// StaleHolds returns open holds of which no record has spoken.
func (s *Store) StaleHolds(ctx context.Context, beforeMs int64, except []string, limit int) ([]app.StaleHold, error) {
	var out []app.StaleHold
	query := s.db.Read(ctx).Table("wallet_hold").
		Select("order_id, member_id, symbol, place_time AS place_time_ms").
		Where("pending_since > 0 AND pending_since < ?", beforeMs)
	if len(except) > 0 {
		query = query.Where("symbol NOT IN ?", except)
	}
	err := query.Order("pending_since, order_id").Limit(limit).Find(&out).Error
	return out, err
}
