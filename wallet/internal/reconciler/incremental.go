package reconciler

import (
	"database/sql"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"mscoin/wallet/internal/app"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
)

const (
	// walletsPerChunk bounds the wallets that are compared at once.
	walletsPerChunk = 500
	// lateMs is how much older than a wallet's last change a line may be that is
	// written later, before all of the member's lines are read: a settlement carries the
	// time of its record.
	lateMs = 10 * 60_000
)

// changes compares what has changed since the last pass that found nothing: wallets that
// are no longer where they were with the lines that came since (C2) and their open holds
// (C4), these lines' transactions (C1, C7), and everything together (C3).
type changes struct {
	books books
	frame reconcile.Frame

	right   map[ledger.WalletKey]ledger.Wallet
	house   map[int64]struct{} // leased transactions that were counted and touch the house
	sums    map[string]*reconcile.Totals
	symbols map[string]int64
	report  reconcile.Report
}

// dirty is a wallet that changed, and where it was.
type dirty struct {
	now    reconcile.Wallet
	before reconcile.Wallet
}

func (c *changes) run() error {
	if err := c.readState(); err != nil {
		return err
	}
	if err := c.settlements(); err != nil {
		return err
	}
	after := ledger.WalletKey{}
	for {
		chunk, err := c.dirtyWallets(after)
		if err != nil {
			return err
		}
		if len(chunk) == 0 {
			break
		}
		last := &chunk[len(chunk)-1].now
		after = ledger.WalletKey{MemberID: last.MemberID, Coin: last.Coin}
		if err := c.compare(chunk); err != nil {
			return err
		}
	}
	if err := c.ages(); err != nil {
		return err
	}
	if err := c.sealAge(); err != nil {
		return err
	}
	return c.everything()
}

// readState reads where the last pass ended.
func (c *changes) readState() (err error) {
	c.right, c.house, c.sums = map[ledger.WalletKey]ledger.Wallet{}, map[int64]struct{}{}, map[string]*reconcile.Totals{}
	if c.symbols, err = c.books.numbers("SELECT symbol, seq FROM wallet_reconciled_symbol"); err != nil {
		return err
	}
	return c.books.each("SELECT coin, fee, suspense, world FROM wallet_reconciled_coin", func(rows *sql.Rows) error {
		t := &reconcile.Totals{}
		err := rows.Scan(&t.Coin, &t.Fee, &t.Suspense, &t.World)
		c.sums[t.Coin] = t
		return err
	})
}

// settlements reads the transactions of the records that came since.
func (c *changes) settlements() error {
	journal := reconcile.NewJournal(c.frame)
	for _, symbol := range slices.Sorted(maps.Keys(c.frame.Numbers)) {
		first, err1 := ledger.SettlementTx(c.frame.Numbers[symbol], c.symbols[symbol]+1)
		settled := c.frame.Settled[symbol].Seq
		if settled <= c.symbols[symbol] {
			continue
		}
		last, err2 := ledger.SettlementTx(c.frame.Numbers[symbol], settled)
		if err1 != nil || err2 != nil {
			return fmt.Errorf("records of %s: %w", symbol, err2)
		}
		if err := c.books.lines(lineColumns+" WHERE tx_id BETWEEN ? AND ? ORDER BY tx_id, line", journal.AddLine, first, last); err != nil {
			return err
		}
		c.symbols[symbol] = settled
	}
	c.gain(journal)
	return nil
}

// gain adds what a journal found, and what it moved to and from the house.
func (c *changes) gain(j *reconcile.Journal) {
	r := j.End()
	for i := range r.Totals {
		t := c.sum(r.Totals[i].Coin)
		t.Fee, t.Suspense, t.World = t.Fee+r.Totals[i].Fee, t.Suspense+r.Totals[i].Suspense, t.World+r.Totals[i].World
	}
	c.report.Counts.Lines += r.Counts.Lines
	c.report.Counts.Transactions += r.Counts.Transactions
	c.report.Join(&r)
}

func (c *changes) sum(coin string) *reconcile.Totals {
	t := c.sums[coin]
	if t == nil {
		t = &reconcile.Totals{Coin: coin}
		c.sums[coin] = t
	}
	return t
}

// dirtyWallets returns the next wallets that are not where the last pass found them.
func (c *changes) dirtyWallets(after ledger.WalletKey) ([]dirty, error) {
	const query = `SELECT w.member_id, w.coin_name, w.balance, w.frozen_balance, w.balance_seq, w.frozen_seq, w.updated_time,
		COALESCE(r.balance, 0), COALESCE(r.frozen_balance, 0), COALESCE(r.balance_seq, 0), COALESCE(r.frozen_seq, 0), COALESCE(r.updated_time, 0)
		FROM member_wallet w LEFT JOIN wallet_reconciled r ON r.member_id = w.member_id AND r.coin_name = w.coin_name
		WHERE (w.member_id > ? OR (w.member_id = ? AND w.coin_name > ?))
		AND (r.balance IS NULL OR w.balance <> r.balance OR w.frozen_balance <> r.frozen_balance OR w.balance_seq <> r.balance_seq OR w.frozen_seq <> r.frozen_seq)
		ORDER BY w.member_id, w.coin_name LIMIT ?`
	var chunk []dirty
	err := c.books.each(query, func(rows *sql.Rows) error {
		var d dirty
		n, b := &d.now, &d.before
		err := rows.Scan(&n.MemberID, &n.Coin, &n.Available, &n.Held, &n.AvailableSeq, &n.HeldSeq, &n.UpdatedMs,
			&b.Available, &b.Held, &b.AvailableSeq, &b.HeldSeq, &b.UpdatedMs)
		chunk = append(chunk, d)
		return err
	}, after.MemberID, after.MemberID, after.Coin, walletsPerChunk)
	return chunk, err
}

// compare compares some wallets. When something does not fit, all of their lines are
// read before it is said: one may have come later than it says.
func (c *changes) compare(chunk []dirty) error {
	since := int64(0)
	for i := range chunk {
		if at := chunk[i].before.UpdatedMs - lateMs; i == 0 || at < since {
			since = at
		}
	}
	report, leased, err := c.chains(chunk, since)
	if err == nil && report.Found > 0 && since > 0 {
		report, leased, err = c.chains(chunk, 0)
	}
	if err != nil {
		return err
	}
	c.report.Counts.Wallets += int64(len(chunk))
	c.report.Join(&report)
	if report.Found == 0 {
		for i := range chunk {
			n := &chunk[i].now
			c.right[ledger.WalletKey{MemberID: n.MemberID, Coin: n.Coin}] = ledger.Wallet{
				Available: ledger.Chain{Balance: n.Available, Seq: n.AvailableSeq}, Held: ledger.Chain{Balance: n.Held, Seq: n.HeldSeq}, UpdatedMs: n.UpdatedMs,
			}
		}
	}
	return c.leased(leased)
}

// chains reads the lines of these wallets that came since, and their open holds. It
// returns the transactions among them that are no settlement.
func (c *changes) chains(chunk []dirty, sinceMs int64) (reconcile.Report, map[int64]struct{}, error) {
	checker := reconcile.NewPart(c.frame)
	from := map[ledger.Account]int64{}
	var members []int64
	for i := range chunk {
		n, b := &chunk[i].now, &chunk[i].before
		checker.AddWallet(*n)
		available, held := ledger.AvailableOf(n.MemberID, n.Coin), ledger.HeldOf(n.MemberID, n.Coin)
		checker.StartAt(available, b.AvailableSeq, b.Available)
		checker.StartAt(held, b.HeldSeq, b.Held)
		from[available], from[held] = b.AvailableSeq, b.HeldSeq
		members = append(members, n.MemberID)
	}
	members = slices.Compact(members)
	leased := map[int64]struct{}{}
	in := " IN (" + idList(members) + ")"
	err := c.books.lines(lineColumns+" WHERE member_id"+in+" AND time >= ? ORDER BY member_id, coin, account, account_seq, tx_id, line", func(l *reconcile.Line) {
		if seq, ok := from[l.Account]; !ok || l.AccountSeq <= seq {
			return
		}
		checker.AddChain(l)
		if l.TxID < ledger.FirstSettlementTx {
			leased[l.TxID] = struct{}{}
		}
	}, sinceMs)
	if err != nil {
		return reconcile.Report{}, nil, err
	}
	const open = "SELECT member_id, coin, SUM(held - consumed - released) FROM wallet_hold WHERE member_id"
	err = c.books.each(open+in+" AND state = 0 GROUP BY member_id, coin", func(rows *sql.Rows) error {
		p := reconcile.Pending{}
		err := rows.Scan(&p.MemberID, &p.Coin, &p.Amount)
		if _, ok := from[ledger.HeldOf(p.MemberID, p.Coin)]; ok {
			checker.AddPending(p)
		}
		return err
	})
	if err != nil {
		return reconcile.Report{}, nil, err
	}
	err = c.books.pending(openWithdrawals+" AND member_id"+in, func(p reconcile.Pending) {
		if _, ok := from[ledger.HeldOf(p.MemberID, p.Coin)]; ok {
			checker.AddPending(p)
		}
	})
	return checker.Finish(), leased, err
}

// leased reads the transactions that are no settlement, each once.
func (c *changes) leased(ids map[int64]struct{}) error {
	journal := reconcile.NewJournal(c.frame)
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), walletsPerChunk) {
		chunk = slices.DeleteFunc(chunk, func(id int64) bool { _, counted := c.house[id]; return counted })
		if len(chunk) == 0 {
			continue
		}
		err := c.books.lines(lineColumns+" WHERE tx_id IN ("+idList(chunk)+") ORDER BY tx_id, line", func(l *reconcile.Line) {
			if !l.Account.Kind.OfMember() {
				c.house[l.TxID] = struct{}{}
			}
			journal.AddLine(l)
		})
		if err != nil {
			return err
		}
	}
	c.gain(journal)
	return nil
}

func idList(ids []int64) string {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = strconv.FormatInt(id, 10)
	}
	return strings.Join(text, ",")
}

// ages looks for what stands still.
func (c *changes) ages() error {
	const query = "SELECT order_id, pending_since FROM wallet_hold WHERE pending_since > 0 AND pending_since < ? ORDER BY pending_since LIMIT ?"
	return c.books.each(query, func(rows *sql.Rows) error {
		var id, since int64
		err := rows.Scan(&id, &since)
		c.report.Alarms = append(c.report.Alarms, reconcile.Alarm{
			What: "hold without a word from the matcher", Where: fmt.Sprintf("order %d", id), SinceMs: since, AgeMs: c.frame.NowMs - since,
		})
		c.report.AlarmsFound++
		return err
	}, c.frame.NowMs-reconcile.MaxHoldAgeMs, reconcile.MaxListed)
}

// everything sums all accounts (C3).
func (c *changes) everything() error {
	err := c.books.each("SELECT coin_name, SUM(balance), SUM(frozen_balance) FROM member_wallet GROUP BY coin_name", func(rows *sql.Rows) error {
		var coin string
		var available, held int64
		err := rows.Scan(&coin, &available, &held)
		t := c.sum(coin)
		t.Available, t.Held = available, held
		return err
	})
	if err != nil {
		return err
	}
	for _, coin := range slices.Sorted(maps.Keys(c.sums)) {
		t := c.sums[coin]
		c.report.Totals = append(c.report.Totals, *t)
		if sum := t.Sum(); sum != 0 {
			c.report.Join(&reconcile.Report{Found: 1, Discrepancies: []reconcile.Discrepancy{{
				Check: "C3", What: "all accounts together do not sum to zero", Where: "all accounts", Coin: coin, Got: sum, Amount: sum,
			}}})
		}
	}
	return nil
}

// stops says whose withdrawals must stop for a report, and why: each reason, since
// operators may have lifted one of them and not the others. What is not listed stops all.
func stops(r *reconcile.Report, nowMs int64) []app.Stop {
	var all []app.Stop
	for _, d := range r.Discrepancies {
		stop := app.Stop{Scope: app.StopAll, SinceMs: nowMs}
		switch {
		case d.MemberID > 0:
			stop.Scope, stop.Name = app.StopMember, strconv.FormatInt(d.MemberID, 10)
		case d.Coin != "":
			stop.Scope, stop.Name = app.StopCoin, d.Coin
		}
		reason := fmt.Sprintf("%s %s: %s, should be %d, is %d %s", d.Check, d.Where, d.What, d.Want, d.Got, d.Coin)
		stop.Reason = strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
		if !slices.Contains(all, stop) {
			all = append(all, stop)
		}
	}
	if listed := int64(len(r.Discrepancies)); r.Found > listed {
		all = append(all, app.Stop{Scope: app.StopAll, SinceMs: nowMs, Reason: fmt.Sprintf("%d discrepancies, of which only %d are listed", r.Found, listed)})
	}
	return all
}

// maxReason is what a stop's reason has room for.
const maxReason = 500
