package reconciletest

import (
	"context"
	"fmt"
	"strings"

	"mscoin/mscoin-common/database"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

// rowsPerStatement keeps a statement below SQLite's number of parameters.
const rowsPerStatement = 500

// Load writes facts into the tables of a wallet and of an order store, for one symbol
// and the coins BTC and USDT. It may be called for part after part; the frame and what
// belongs to it is written when it is there.
func Load(ctx context.Context, wallet, orders *database.DB, f *reconcile.Facts) error {
	err := wallet.Tx(ctx, func(tx *database.Tx) error {
		l := loader{tx: tx}
		if f.Frame.Settled != nil {
			l.frame("wallet", f.Frame.Settled[Symbol])
			l.insert("coin (name, full_name, scale, time)", []any{"BTC", "", 8, 0}, []any{"USDT", "", 8, 0})
			l.insert("wallet_symbol (symbol, number)", []any{Symbol, SymbolNumber})
		}
		l.wallet(f)
		return l.err
	})
	if err != nil {
		return fmt.Errorf("load wallet: %w", err)
	}
	err = orders.Tx(ctx, func(tx *database.Tx) error {
		l := loader{tx: tx}
		if f.Frame.Stored != nil {
			l.frame("order", f.Frame.Stored[Symbol])
			l.insert(`exchange_coin (symbol, coin_symbol, base_symbol, coin_scale, base_coin_scale, tick_units, lot_units, min_price, max_price,
				min_volume, max_volume, min_turnover, max_turnover, maker_fee_ppm, taker_fee_ppm, enable_market_buy, enable_market_sell,
				max_trading_order, band_up_ppm, band_down_ppm, partition_id, phase, sort, time)`,
				[]any{Symbol, "BTC", "USDT", 8, 8, 1, 1, 1, 1_000_000, 1, 1_000_000, 1, 1_000_000, 1000, 1000, 1, 1, 0, 0, 0, 0, 1, 0, 0})
		}
		l.orders(f)
		return l.err
	})
	if err != nil {
		return fmt.Errorf("load order store: %w", err)
	}
	return nil
}

// loader inserts rows until the first error, which it keeps.
type loader struct {
	tx  *database.Tx
	err error
}

func (l *loader) insert(into string, rows ...[]any) {
	for len(rows) > 0 && l.err == nil {
		n := min(len(rows), rowsPerStatement)
		args := make([]any, 0, n*len(rows[0]))
		for _, r := range rows[:n] {
			args = append(args, r...)
		}
		marks := "(" + strings.Repeat("?,", len(rows[0])-1) + "?)"
		l.err = l.tx.DB().Exec("INSERT INTO "+into+" VALUES "+strings.Repeat(marks+",", n-1)+marks, args...).Error
		rows = rows[n:]
	}
}

func insertAll[T any](l *loader, into string, facts []T, row func(*T) []any) {
	rows := make([][]any, len(facts))
	for i := range facts {
		rows[i] = row(&facts[i])
	}
	l.insert(into, rows...)
}

func (l *loader) frame(consumer string, p reconcile.Position) {
	l.insert("symbol_position (consumer, symbol, seq, hash, updated_ms)", []any{consumer, Symbol, p.Seq, []byte(p.Hash), 0})
}

func (l *loader) wallet(f *reconcile.Facts) {
	insertAll(l, "member_wallet (member_id, coin_name, balance, frozen_balance, balance_seq, frozen_seq, is_lock, version, updated_time)", f.Wallets, func(w *reconcile.Wallet) []any {
		return []any{w.MemberID, w.Coin, w.Available, w.Held, w.AvailableSeq, w.HeldSeq, 0, 0, w.UpdatedMs}
	})
	insertAll(l, `wallet_hold (order_id, member_id, coin, symbol, request_hash, held, consumed, released, traded_amount, turnover, fee, state, seq,
		place_time, updated_time, pending_since)`, f.Holds, func(h *ledger.Hold) []any {
		return []any{
			h.OrderID, h.MemberID, h.Coin, h.Symbol, []byte("h"), h.Held, h.Consumed, h.Released,
			h.Facts.Traded, h.Facts.Turnover, h.Facts.Fee, int64(h.State), h.Seq, h.PlaceTimeMs, h.UpdatedMs, 0,
		}
	})
	insertAll(l, "wallet_deposit (reference, member_id, coin, amount, tx_id, time)", f.Transfers, func(d *reconcile.Transfer) []any {
		return []any{d.Reference, d.Account.MemberID, d.Account.Coin, d.Amount, d.TxID, d.TimeMs}
	})
	insertAll(l, `wallet_journal (tx_id, line, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time)`,
		f.Lines, func(r *reconcile.Line) []any {
			return []any{
				r.TxID, r.Line, r.Account.Kind.String(), r.Account.MemberID, r.Account.Coin, r.Amount, r.AccountSeq, r.BalanceAfter,
				r.Symbol, r.Seq, r.OrderID, string(r.Reason), "", r.TimeMs,
			}
		})
}

// status of an order in the order store.
const (
	statusTrading   = 0
	statusCompleted = 1
)

func (l *loader) orders(f *reconcile.Facts) {
	insertAll(l, `exchange_order (order_id, member_id, client_order_id, symbol, coin_symbol, base_symbol, direction, type, time_in_force,
		self_trade_prevention, price, stop_price, amount, quote_amount, hold_coin, hold_amount, held_remaining, traded_amount, turnover, fee, status, reason,
		maker_fee_ppm, taker_fee_ppm, deadline_ms, time, updated_time, completed_time, canceled_time, seq, use_discount)`, f.Orders, func(o *reconcile.Order) []any {
		status := statusCompleted
		if o.HeldRemaining > 0 {
			status = statusTrading
		}
		return []any{
			o.OrderID, o.MemberID, "", o.Symbol, "BTC", "USDT", 0, 1, 0, 0, 1, 0, 1, 0, o.HoldCoin, o.HoldAmount, o.HeldRemaining,
			o.Facts.Traded, o.Facts.Turnover, o.Facts.Fee, status, 0, 1000, 1000, 0, o.TimeMs, o.TimeMs, 0, 0, o.Seq, 0,
		}
	})
	insertAll(l, `exchange_trade (symbol, trade_id, seq, price, quantity, turnover, taker_side, maker_order_id, taker_order_id, maker_member_id,
		taker_member_id, maker_fee, taker_fee, time)`, f.Trades, func(t *reconcile.Trade) []any {
		return []any{
			t.Symbol, t.TradeID, t.Seq, 1, t.Quantity, t.Turnover, 0, t.MakerOrderID, t.TakerOrderID,
			t.MakerMemberID, t.TakerMemberID, t.MakerFee, t.TakerFee, t.TimeMs,
		}
	})
}

// Unlock takes away what keeps a wallet's tables insert-only on SQLite, for tests that
// damage them.
func Unlock(ctx context.Context, wallet *database.DB) error {
	if wallet.Dialect() != database.SQLite {
		return nil
	}
	return wallet.Tx(ctx, func(tx *database.Tx) error {
		for _, table := range [...]string{"wallet_journal", "wallet_deposit", "wallet_seal", "wallet_seal_segment"} {
			for _, what := range [...]string{"_no_update", "_no_delete"} {
				if err := tx.DB().Exec("DROP TRIGGER IF EXISTS " + table + what).Error; err != nil {
					return err
				}
			}
		}
		return nil
	})
}
