package main

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite" // registers the driver "sqlite"

	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

// books is a report and what it takes to print it.
type books struct {
	report    reconcile.Report
	scales    map[string]int
	positions map[string]reconcile.Position
}

// load reads one consistent snapshot of the wallet and then one of the order store,
// which is never behind it.
func load(ctx context.Context, walletSource, exchangeSource string) (*books, error) {
	b := &books{scales: map[string]int{}, positions: map[string]reconcile.Position{}}
	var checker *reconcile.Checker
	err := snapshot(ctx, walletSource, func(r *reader) error {
		r.positions("wallet", b.positions)
		r.coins(b.scales)
		checker = reconcile.New(b.positions)
		r.wallet(checker)
		return r.err
	})
	if err != nil {
		return nil, fmt.Errorf("wallet: %w", err)
	}
	err = snapshot(ctx, exchangeSource, func(r *reader) error {
		stored := map[string]reconcile.Position{}
		r.positions("order", stored)
		for symbol, p := range stored {
			checker.AddStored(symbol, p)
		}
		r.exchange(checker)
		return r.err
	})
	if err != nil {
		return nil, fmt.Errorf("order store: %w", err)
	}
	b.report = checker.Finish()
	return b, nil
}

// snapshot runs read in a read-only transaction that sees one state of the database.
func snapshot(ctx context.Context, source string, read func(r *reader) error) (err error) {
	db, opts, err := open(source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, &opts)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing was written
	return read(&reader{ctx: ctx, tx: tx})
}

// open connects to a data source. Errors never show a DSN: it holds the password.
func open(source string) (*sql.DB, sql.TxOptions, error) {
	dialect, dsn, _ := strings.Cut(source, ":")
	if _, err := mysql.ParseDSN(source); err == nil && dialect != "sqlite" && dialect != "mysql" {
		dialect, dsn = "mysql", source // as the services take it
	}
	opts := sql.TxOptions{ReadOnly: true}
	switch dialect {
	case "sqlite":
		if _, err := os.Stat(dsn); err != nil {
			return nil, opts, fmt.Errorf("no database there: %w", err)
		}
		params := url.Values{"mode": {"ro"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: dsn}).EscapedPath()+"?"+params.Encode())
		return db, opts, err
	case "mysql":
		cfg, err := mysql.ParseDSN(dsn)
		if err != nil {
			return nil, opts, errors.New("the DSN is malformed")
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, opts, errors.New("the DSN is not usable")
		}
		opts.Isolation = sql.LevelRepeatableRead
		return sql.OpenDB(connector), opts, nil
	default:
		return nil, opts, errors.New("a data source is sqlite:file or mysql:user:password@tcp(host:port)/name (mysql: may be left out)")
	}
}

// reader runs queries until the first error, which it keeps.
type reader struct {
	ctx context.Context //nolint:containedctx // of one snapshot
	tx  *sql.Tx
	err error
}

// each calls row for every row of the query.
func (r *reader) each(query string, row func(rows *sql.Rows) error, args ...any) {
	if r.err == nil {
		r.err = r.rows(query, row, args...)
	}
}

func (r *reader) rows(query string, row func(rows *sql.Rows) error, args ...any) error {
	rows, err := r.tx.QueryContext(r.ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // Err tells what Close would
	for rows.Next() {
		if err := row(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (r *reader) positions(consumer string, out map[string]reconcile.Position) {
	r.each("SELECT symbol, seq, hash FROM symbol_position WHERE consumer = ?", func(rows *sql.Rows) error {
		var symbol string
		var hash []byte
		var p reconcile.Position
		err := rows.Scan(&symbol, &p.Seq, &hash)
		p.Hash = hex.EncodeToString(hash)
		out[symbol] = p
		return err
	}, consumer)
}

func (r *reader) coins(out map[string]int) {
	r.each("SELECT name, scale FROM coin", func(rows *sql.Rows) error {
		var name string
		var scale int
		err := rows.Scan(&name, &scale)
		out[name] = scale
		return err
	})
}

// wallet feeds the wallet's tables in the order that the checker asks for.
func (r *reader) wallet(c *reconcile.Checker) {
	r.each("SELECT member_id, coin_name, balance, frozen_balance, balance_seq, frozen_seq FROM member_wallet", func(rows *sql.Rows) error {
		var w reconcile.Wallet
		err := rows.Scan(&w.MemberID, &w.Coin, &w.Available, &w.Held, &w.AvailableSeq, &w.HeldSeq)
		c.AddWallet(w)
		return err
	})
	r.each("SELECT order_id, member_id, coin, symbol, held, consumed, released, traded_amount, turnover, fee, state, seq FROM wallet_hold", func(rows *sql.Rows) error {
		var h ledger.Hold
		err := rows.Scan(&h.OrderID, &h.MemberID, &h.Coin, &h.Symbol, &h.Held, &h.Consumed, &h.Released,
			&h.Facts.Traded, &h.Facts.Turnover, &h.Facts.Fee, &h.State, &h.Seq)
		c.AddHold(h)
		return err
	})
	r.each("SELECT reference, member_id, coin, amount, tx_id FROM wallet_deposit", func(rows *sql.Rows) error {
		var d reconcile.Deposit
		err := rows.Scan(&d.Reference, &d.MemberID, &d.Coin, &d.Amount, &d.TxID)
		c.AddDeposit(d)
		return err
	})
	r.each(`SELECT tx_id, line, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind
		FROM wallet_journal ORDER BY member_id, coin, account, account_seq, tx_id, line`, func(rows *sql.Rows) error {
		var l reconcile.Line
		var account string
		if err := rows.Scan(&l.TxID, &l.Line, &account, &l.Account.MemberID, &l.Account.Coin, &l.Amount, &l.AccountSeq, &l.BalanceAfter,
			&l.Symbol, &l.Seq, &l.OrderID, &l.Reason); err != nil {
			return err
		}
		kind, err := ledger.ParseAccountKind(account)
		l.Account.Kind = kind
		if err == nil {
			c.AddLine(l)
		}
		return err
	})
}

// exchange feeds the order store's tables.
func (r *reader) exchange(c *reconcile.Checker) {
	r.each("SELECT symbol, coin_symbol, base_symbol FROM exchange_coin", func(rows *sql.Rows) error {
		var s reconcile.Symbol
		err := rows.Scan(&s.Name, &s.Base, &s.Quote) // the reference calls the quote asset base_symbol
		c.AddSymbol(s)
		return err
	})
	r.each(`SELECT symbol, trade_id, seq, quantity, turnover, taker_side, maker_order_id, taker_order_id,
		maker_member_id, taker_member_id, maker_fee, taker_fee FROM exchange_trade ORDER BY symbol, trade_id`, func(rows *sql.Rows) error {
		var t reconcile.Trade
		var takerSide int64
		err := rows.Scan(&t.Symbol, &t.TradeID, &t.Seq, &t.Quantity, &t.Turnover, &takerSide, &t.MakerOrderID, &t.TakerOrderID,
			&t.MakerMemberID, &t.TakerMemberID, &t.MakerFee, &t.TakerFee)
		t.TakerBuys = takerSide == 0
		c.AddTrade(t)
		return err
	})
	r.each(`SELECT order_id, member_id, symbol, hold_coin, hold_amount, held_remaining, traded_amount, turnover, fee, seq
		FROM exchange_order`, func(rows *sql.Rows) error {
		var o reconcile.Order
		err := rows.Scan(&o.OrderID, &o.MemberID, &o.Symbol, &o.HoldCoin, &o.HoldAmount, &o.HeldRemaining,
			&o.Facts.Traded, &o.Facts.Turnover, &o.Facts.Fee, &o.Seq)
		c.AddOrder(o)
		return err
	})
}
