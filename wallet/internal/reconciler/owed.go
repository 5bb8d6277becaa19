package reconciler

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"mscoin/mscoin-common/clock"
	"mscoin/wallet/ledger"
	"mscoin/wallet/reconcile"
	"mscoin/wallet/solvency"
)

// Owed is what the exchange owes in one coin, in units of Scale decimals: to each member,
// available and held together, and to itself.
type Owed struct {
	Coin    string
	Scale   int
	Members []solvency.Balance
	// Totals are the sums of all accounts. World, with its sign turned, is what must be
	// in custody.
	Totals reconcile.Totals
}

// OwedNow reads what is owed in each listed coin, in one snapshot of a wallet's database,
// dialect:dsn. It returns an error when the accounts of a coin do not sum to zero.
func OwedNow(ctx context.Context, source string, clk clock.Clock) (owed []Owed, atMs int64, err error) {
	s, closer, err := openSnapshot(ctx, source)
	if err != nil {
		return nil, 0, fmt.Errorf("wallet: %w", err)
	}
	defer func() { err = errors.Join(err, closer()) }()
	place := map[string]int{}
	err = s.each("SELECT name, scale FROM coin ORDER BY name", func(rows *sql.Rows) error {
		var o Owed
		err := rows.Scan(&o.Coin, &o.Scale)
		o.Totals.Coin, place[o.Coin] = o.Coin, len(owed)
		owed = append(owed, o)
		return err
	})
	atMs = clk.NowMs() // the snapshot is that of the first read
	if err == nil {
		err = addMembers(s, owed, place)
	}
	if err == nil {
		err = addHouse(s, owed, place)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("wallet: %w", err)
	}
	for i := range owed {
		if sum := owed[i].Totals.Sum(); sum != 0 {
			return nil, 0, fmt.Errorf("the accounts of %s sum to %d units, not to zero: reconcile first", owed[i].Coin, sum)
		}
	}
	return owed, atMs, nil
}

func addMembers(s *snapshot, owed []Owed, place map[string]int) error {
	return books{s}.Wallets(func(w reconcile.Wallet) {
		i, ok := place[w.Coin]
		if !ok || w.Available == 0 && w.Held == 0 {
			return
		}
		o := &owed[i]
		o.Totals.Available += w.Available
		o.Totals.Held += w.Held
		o.Members = append(o.Members, solvency.Balance{MemberID: w.MemberID, Amount: w.Available + w.Held})
	})
}

func addHouse(s *snapshot, owed []Owed, place map[string]int) error {
	const query = "SELECT account, coin, SUM(amount) FROM wallet_journal WHERE member_id = 0 GROUP BY account, coin"
	return s.each(query, func(rows *sql.Rows) error {
		var account, coin string
		var sum int64
		if err := rows.Scan(&account, &coin, &sum); err != nil {
			return err
		}
		kind, err := ledger.ParseAccountKind(account)
		i, ok := place[coin]
		if err != nil || !ok {
			return errors.Join(err, fmt.Errorf("account %s in %s", account, coin))
		}
		t := &owed[i].Totals
		switch kind {
		case ledger.Fee:
			t.Fee = sum
		case ledger.Suspense:
			t.Suspense = sum
		case ledger.World:
			t.World = sum
		case ledger.Available, ledger.Held: // have members
		}
		return nil
	})
}
