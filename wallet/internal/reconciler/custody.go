package reconciler

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"mscoin/wallet/custody"
	"mscoin/wallet/reconcile"
)

// custodyCheck compares withdrawals and deposits with what chains paid (C11).
type custodyCheck struct {
	books books
	check *reconcile.Custody
	// sinceMs leaves out what has not changed since then; 0 reads everything.
	sinceMs int64
	scales  map[string]int64
}

const (
	withdrawalColumns = `SELECT w.id, w.member_id, w.coin, w.amount, w.fee, w.network_fee, w.state, w.updated_ms,
		COALESCE((SELECT SUM(j.amount) FROM wallet_journal j WHERE j.tx_id = w.hold_tx AND j.account = 'FROZEN' AND j.member_id = w.member_id AND j.coin = w.coin), 0),
		COALESCE((SELECT -SUM(j.amount) FROM wallet_journal j WHERE w.end_tx > 0 AND j.tx_id = w.end_tx AND j.account = 'FROZEN' AND j.member_id = w.member_id AND j.coin = w.coin), 0),
		COALESCE((SELECT SUM(j.amount) FROM wallet_journal j WHERE w.end_tx > 0 AND j.tx_id = w.end_tx AND j.account = 'AVAILABLE' AND j.member_id = w.member_id AND j.coin = w.coin), 0),
		COALESCE((SELECT SUM(j.amount) FROM wallet_journal j WHERE w.end_tx > 0 AND j.tx_id = w.end_tx AND j.account = 'WORLD' AND j.coin = w.coin), 0)
		FROM withdraw_record w WHERE w.updated_ms >= ? ORDER BY w.id`
	depositColumns  = "SELECT id, member_id, coin, amount, state, height, updated_ms FROM deposit_record WHERE updated_ms >= ? ORDER BY id"
	chainReference  = "chain:"
	paymentPrefix   = "w-"
	transfersPerRun = 500
)

func (c *custodyCheck) run() error {
	if err := c.withdrawals(); err != nil {
		return fmt.Errorf("withdrawals: %w", err)
	}
	if err := c.deposits(); err != nil {
		return fmt.Errorf("deposits: %w", err)
	}
	if c.sinceMs > 0 {
		return nil
	}
	if err := c.strays(); err != nil {
		return fmt.Errorf("payments and credits: %w", err)
	}
	return nil
}

// withdrawals compares each withdrawal, with the payments that have its key.
func (c *custodyCheck) withdrawals() error {
	var chunk []reconcile.Withdrawal
	err := c.books.each(withdrawalColumns, func(rows *sql.Rows) error {
		var w reconcile.Withdrawal
		err := rows.Scan(&w.ID, &w.MemberID, &w.Coin, &w.Amount, &w.Fee, &w.NetworkFee, &w.State, &w.TimeMs, &w.Held, &w.Left, &w.Returned, &w.World)
		chunk = append(chunk, w)
		return err
	}, c.sinceMs)
	for part := range slices.Chunk(chunk, transfersPerRun) {
		if err == nil {
			err = c.payments(part)
		}
		for i := range part {
			c.check.AddWithdrawal(&part[i])
		}
	}
	return err
}

func (c *custodyCheck) payments(part []reconcile.Withdrawal) error {
	byKey := make(map[string]*reconcile.Withdrawal, len(part))
	keys := make([]any, len(part))
	for i := range part {
		key := paymentPrefix + strconv.FormatInt(part[i].ID, 10)
		byKey[key], keys[i] = &part[i], key
	}
	query := "SELECT coin, payment_key, chain_amount FROM chain_spend WHERE height > 0 AND payment_key IN (" + marks(len(keys)) + ")"
	return c.books.each(query, func(rows *sql.Rows) error {
		var coin, key, amount string
		if err := rows.Scan(&coin, &key, &amount); err != nil {
			return err
		}
		w := byKey[key]
		if w == nil || w.Coin != coin {
			return nil
		}
		n := c.check.Amount(coin, amount)
		if w.Payments++; w.Payments == 1 {
			w.Paid = reconcile.Units(n, int(c.scales[coin]))
		}
		return nil
	}, keys...)
}

func marks(n int) string { return strings.TrimSuffix(strings.Repeat("?,", n), ",") }

// deposits compares each deposit with the credit that has its reference.
func (c *custodyCheck) deposits() error {
	var all []reconcile.ChainDeposit
	err := c.books.each(depositColumns, func(rows *sql.Rows) error {
		var d reconcile.ChainDeposit
		var height int64
		err := rows.Scan(&d.ID, &d.MemberID, &d.Coin, &d.Amount, &d.State, &height, &d.TimeMs)
		d.OnChain = height > 0
		all = append(all, d)
		return err
	}, c.sinceMs)
	for part := range slices.Chunk(all, transfersPerRun) {
		if err == nil {
			err = c.credits(part)
		}
		for i := range part {
			c.check.AddDeposit(&part[i])
		}
	}
	return err
}

func (c *custodyCheck) credits(part []reconcile.ChainDeposit) error {
	byReference := make(map[string]*reconcile.ChainDeposit, len(part))
	references := make([]any, len(part))
	for i := range part {
		reference := chainReference + strconv.FormatInt(part[i].ID, 10)
		byReference[reference], references[i] = &part[i], reference
	}
	query := "SELECT reference, member_id, amount FROM wallet_deposit WHERE reference IN (" + marks(len(references)) + ")"
	return c.books.each(query, func(rows *sql.Rows) error {
		var reference string
		var member, amount int64
		err := rows.Scan(&reference, &member, &amount)
		if d := byReference[reference]; d != nil {
			d.Credits, d.Credited, d.CreditTo = d.Credits+1, d.Credited+amount, member
		}
		return err
	}, references...)
}

// strays looks for credits that no chain made and payments that nobody asked for, and adds
// up what the custody must have.
func (c *custodyCheck) strays() error {
	const booked = `SELECT d.reference, d.member_id, d.coin, d.amount, COALESCE(r.id, 0) FROM wallet_deposit d
		LEFT JOIN deposit_record r ON r.id = CAST(SUBSTR(d.reference, 7) AS DECIMAL(20)) AND r.coin = d.coin
		WHERE d.reference LIKE 'chain:%' ORDER BY d.reference`
	const payments = `SELECT p.coin, p.chain_tx, p.payment_key, p.chain_amount, p.chain_fee, COALESCE(w.id, 0) FROM chain_spend p
		LEFT JOIN withdraw_record w ON w.id = CAST(SUBSTR(p.payment_key, 3) AS DECIMAL(20)) AND w.coin = p.coin
		WHERE p.height > 0 ORDER BY p.coin, p.chain_tx`
	err := c.books.each(booked, func(rows *sql.Rows) error {
		var reference, coin string
		var member, amount, id int64
		err := rows.Scan(&reference, &member, &coin, &amount, &id)
		if err == nil && (id == 0 || reference != chainReference+strconv.FormatInt(id, 10)) {
			c.check.AddStrayCredit(reference, member, coin, amount)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := c.books.each(payments, c.addPayment); err != nil {
		return err
	}
	return c.books.each("SELECT coin, chain_amount FROM deposit_record WHERE height > 0", func(rows *sql.Rows) error {
		var coin, amount string
		if err := rows.Scan(&coin, &amount); err != nil {
			return err
		}
		c.check.AddMovement(coin, amount, false)
		return nil
	})
}

func (c *custodyCheck) addPayment(rows *sql.Rows) error {
	var coin, tx, key, amount, fee string
	var id int64
	if err := rows.Scan(&coin, &tx, &key, &amount, &fee, &id); err != nil {
		return err
	}
	if id == 0 || key != paymentPrefix+strconv.FormatInt(id, 10) {
		c.check.AddStrayPayment(coin, tx, key, reconcile.Units(c.check.Amount(coin, amount), int(c.scales[coin])))
	}
	c.check.AddMovement(coin, amount, true)
	c.check.AddMovement(coin, fee, true)
	return nil
}

// compare asks the custody what it has of each coin whose chain was read, at the block up
// to which it was read: what moved later is taken back.
func (c *custodyCheck) compare(ctx context.Context, keeper custody.Custody) error {
	at := map[string]custody.BlockID{}
	err := c.books.each("SELECT coin, height, hash FROM wallet_chain", func(rows *sql.Rows) error {
		var coin string
		var id custody.BlockID
		err := rows.Scan(&coin, &id.Height, &id.Hash)
		at[coin] = id
		return err
	})
	for coin, id := range at {
		if err == nil {
			err = c.compareCoin(ctx, keeper, coin, id)
		}
	}
	return err
}

func (c *custodyCheck) compareCoin(ctx context.Context, keeper custody.Custody, coin string, at custody.BlockID) error {
	balance, err := keeper.Balance(ctx, coin)
	if err != nil {
		return fmt.Errorf("custody's balance of %s: %w", coin, err)
	}
	for height := at.Height + 1; height <= balance.At.Height; height++ {
		b, err := keeper.Block(ctx, coin, height)
		if err != nil {
			return fmt.Errorf("block %d of %s: %w", height, coin, err)
		}
		for _, r := range b.Receipts {
			c.check.AddMovement(coin, r.Amount, false)
		}
		for _, s := range b.Spends {
			c.check.AddMovement(coin, s.Amount, true)
			c.check.AddMovement(coin, s.Fee, true)
		}
	}
	c.check.Compare(coin, balance.Amount, int(c.scales[coin]))
	return nil
}
