package reconciler

import (
	"database/sql"
	"strconv"
	"strings"

	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

// books reads the wallet's tables.
type books struct{ *snapshot }

// Wallets implements reconcile.Books.
func (b books) Wallets(yield func(reconcile.Wallet)) error {
	const query = "SELECT member_id, coin_name, balance, frozen_balance, balance_seq, frozen_seq, updated_time FROM member_wallet"
	var w reconcile.Wallet
	var coin sql.RawBytes
	return b.each(query, func(rows *sql.Rows) error {
		err := rows.Scan(&w.MemberID, &coin, &w.Available, &w.Held, &w.AvailableSeq, &w.HeldSeq, &w.UpdatedMs)
		w.Coin = b.name(coin)
		yield(w)
		return err
	})
}

// Holds implements reconcile.Books.
func (b books) Holds(yield func(*ledger.Hold)) error {
	const query = `SELECT order_id, member_id, coin, symbol, held, consumed, released, traded_amount, turnover, fee, state, seq, place_time, updated_time
		FROM wallet_hold ORDER BY order_id`
	var h ledger.Hold
	var coin, symbol sql.RawBytes
	return b.each(query, func(rows *sql.Rows) error {
		err := rows.Scan(&h.OrderID, &h.MemberID, &coin, &symbol, &h.Held, &h.Consumed, &h.Released,
			&h.Facts.Traded, &h.Facts.Turnover, &h.Facts.Fee, &h.State, &h.Seq, &h.PlaceTimeMs, &h.UpdatedMs)
		h.Coin, h.Symbol = b.name(coin), b.name(symbol)
		yield(&h)
		return err
	})
}

// openWithdrawals are those whose money is held: neither booked nor returned.
const openWithdrawals = "SELECT id, member_id, coin, amount + fee FROM withdraw_record WHERE state IN ('PENDING_REVIEW', 'APPROVED', 'BROADCASTING', 'SENT')"

// Pending implements reconcile.Books.
func (b books) Pending(yield func(reconcile.Pending)) error { return b.pending(openWithdrawals, yield) }

func (b books) pending(query string, yield func(reconcile.Pending)) error {
	return b.each(query, func(rows *sql.Rows) error {
		var id int64
		var p reconcile.Pending
		err := rows.Scan(&id, &p.MemberID, &p.Coin, &p.Amount)
		p.Reference = "withdrawal " + strconv.FormatInt(id, 10)
		yield(p)
		return err
	})
}

// Transfers implements reconcile.Books.
func (b books) Transfers(yield func(reconcile.Transfer)) error {
	err := b.each("SELECT reference, member_id, coin, amount, tx_id, time FROM wallet_deposit", func(rows *sql.Rows) error {
		d := reconcile.Transfer{Account: ledger.Account{Kind: ledger.Available}}
		err := rows.Scan(&d.Reference, &d.Account.MemberID, &d.Account.Coin, &d.Amount, &d.TxID, &d.TimeMs)
		yield(d)
		return err
	})
	if err != nil {
		return err
	}
	const left = "SELECT id, member_id, coin, -amount, fee, network_fee, end_tx, updated_ms FROM withdraw_record WHERE state = 'CONFIRMED'"
	return b.each(left, func(rows *sql.Rows) error {
		var id int64
		d := reconcile.Transfer{Account: ledger.Account{Kind: ledger.Held}}
		err := rows.Scan(&id, &d.Account.MemberID, &d.Account.Coin, &d.Amount, &d.Fee, &d.NetworkFee, &d.TxID, &d.TimeMs)
		d.Reference = "withdrawal " + strconv.FormatInt(id, 10)
		yield(d)
		return err
	})
}

// Corrections implements reconcile.Books.
func (b books) Corrections(yield func(*reconcile.Correction)) error {
	const query = `SELECT request_id, from_account, from_member, to_account, to_member, coin, amount, tx_id, decided_ms
		FROM wallet_decision WHERE kind = 'CORRECTION' AND state = 'DONE'`
	return b.each(query, func(rows *sql.Rows) error {
		var c reconcile.Correction
		var from, to, coin string
		if err := rows.Scan(&c.Reference, &from, &c.From.MemberID, &to, &c.To.MemberID, &coin, &c.Amount, &c.TxID, &c.TimeMs); err != nil {
			return err
		}
		var err error
		if c.From.Kind, err = ledger.ParseAccountKind(from); err != nil {
			return err
		}
		if c.To.Kind, err = ledger.ParseAccountKind(to); err != nil {
			return err
		}
		c.From.Coin, c.To.Coin = coin, coin
		yield(&c)
		return nil
	})
}

// suspended returns the orders in suspense.
func (b books) suspended() (all []reconcile.Suspended, err error) {
	const query = "SELECT order_id, member_id, symbol, seq, cause, since_ms FROM wallet_suspense ORDER BY order_id"
	err = b.each(query, func(rows *sql.Rows) error {
		var o reconcile.Suspended
		err := rows.Scan(&o.OrderID, &o.MemberID, &o.Symbol, &o.Seq, &o.Cause, &o.SinceMs)
		all = append(all, o)
		return err
	})
	return all, err
}

const lineColumns = "SELECT tx_id, line, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time FROM wallet_journal"

// Lines implements reconcile.Books.
func (b books) Lines(yield func(*reconcile.Line)) error {
	return b.lines(lineColumns+" ORDER BY tx_id, line", yield)
}

func (b books) lines(query string, yield func(*reconcile.Line), args ...any) error {
	var l reconcile.Line
	var account, coin, symbol, reason, ref sql.RawBytes
	return b.each(query, func(rows *sql.Rows) error {
		if err := rows.Scan(&l.TxID, &l.Line, &account, &l.Account.MemberID, &coin, &l.Amount, &l.AccountSeq, &l.BalanceAfter,
			&symbol, &l.Seq, &l.OrderID, &reason, &ref, &l.TimeMs); err != nil {
			return err
		}
		kind, err := ledger.ParseAccountKind(b.name(account))
		if err != nil {
			return err
		}
		l.Account.Kind, l.Account.Coin = kind, b.name(coin)
		l.Symbol, l.Reason, l.Ref = b.name(symbol), ledger.Reason(b.name(reason)), ""
		if len(ref) > 0 {
			l.Ref = string(ref) // every one is another: not kept
		}
		yield(&l)
		return nil
	}, args...)
}

// chainMembers bounds the members of one query.
const chainMembers = 200

// Chains implements reconcile.Books. Members are found by their lines: a damaged wallet
// row may be missing.
func (b books) Chains(wanted func(memberID int64) bool, yield func(*reconcile.Line)) error {
	var members []int64
	err := b.each("SELECT DISTINCT member_id FROM wallet_journal WHERE member_id > 0 ORDER BY member_id", func(rows *sql.Rows) error {
		var id int64
		err := rows.Scan(&id)
		if err == nil && wanted(id) {
			members = append(members, id)
		}
		return err
	})
	for len(members) > 0 && err == nil {
		n := min(len(members), chainMembers)
		ids := make([]string, n)
		for i, id := range members[:n] {
			ids[i] = strconv.FormatInt(id, 10)
		}
		members = members[n:]
		err = b.lines(lineColumns+" WHERE member_id IN ("+strings.Join(ids, ",")+") ORDER BY member_id, coin, account, account_seq, tx_id, line", yield)
	}
	return err
}

// orders reads the order store's tables.
type orders struct{ *snapshot }

// stateRejected is exchange_order.status of an order that the matcher or the wallet
// refused.
const stateRejected = 5

// Orders implements reconcile.OrderStore.
func (o orders) Orders(yield func(*reconcile.Order)) error {
	const query = `SELECT order_id, member_id, symbol, hold_coin, hold_amount, held_remaining, traded_amount, turnover, fee, status, seq, updated_time
		FROM exchange_order ORDER BY order_id`
	var r reconcile.Order
	var symbol, coin sql.RawBytes
	var status int64
	return o.each(query, func(rows *sql.Rows) error {
		err := rows.Scan(&r.OrderID, &r.MemberID, &symbol, &coin, &r.HoldAmount, &r.HeldRemaining,
			&r.Facts.Traded, &r.Facts.Turnover, &r.Facts.Fee, &status, &r.Seq, &r.TimeMs)
		r.Symbol, r.HoldCoin, r.Rejected = o.name(symbol), o.name(coin), status == stateRejected
		yield(&r)
		return err
	})
}

// Trades implements reconcile.OrderStore.
func (o orders) Trades(yield func(*reconcile.Trade)) error {
	const query = `SELECT symbol, trade_id, seq, quantity, turnover, taker_side, maker_order_id, taker_order_id,
		maker_member_id, taker_member_id, maker_fee, taker_fee, time FROM exchange_trade ORDER BY symbol, trade_id`
	var t reconcile.Trade
	var symbol sql.RawBytes
	var takerSide int64
	return o.each(query, func(rows *sql.Rows) error {
		err := rows.Scan(&symbol, &t.TradeID, &t.Seq, &t.Quantity, &t.Turnover, &takerSide, &t.MakerOrderID, &t.TakerOrderID,
			&t.MakerMemberID, &t.TakerMemberID, &t.MakerFee, &t.TakerFee, &t.TimeMs)
		t.Symbol, t.TakerBuys = o.name(symbol), takerSide == 0
		yield(&t)
		return err
	})
}

// symbols returns the coins of each symbol; the reference calls the quote asset
// base_symbol.
func (o orders) symbols() (map[string]reconcile.Symbol, error) {
	out := map[string]reconcile.Symbol{}
	err := o.each("SELECT symbol, coin_symbol, base_symbol FROM exchange_coin", func(rows *sql.Rows) error {
		var s reconcile.Symbol
		err := rows.Scan(&s.Name, &s.Base, &s.Quote)
		out[s.Name] = s
		return err
	})
	return out, err
}
