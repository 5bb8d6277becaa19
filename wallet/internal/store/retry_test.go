package store_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"mscoin/mscoin-common/database"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/testkit"
	"mscoin/wallet/custody/simchain"
	"mscoin/wallet/internal/app"
)

// write is a request that changes something; other is one with its key and another body.
type write struct {
	do, other func(ctx context.Context) error
}

// writes are the requests of one number: 10 kinds.
func (b *bank) writes(i int, canceled, reviewed int64) []write {
	n, id := strconv.Itoa(i), int64(1000+i)
	address := simchain.ForeignAddress("BTC", "of "+strconv.FormatInt(alice, 10))
	deposit := func(amount string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := b.app.Deposit(ctx, "r-"+n, bob, "USDT", amount)
			return err
		}
	}
	withdraw := func(amount string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, _, err := b.app.Withdraw(ctx, alice, "k-"+n, "BTC", address, amount)
			return err
		}
	}
	list := func(remark string) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := b.app.AddAddress(ctx, carol, "BTC", simchain.ForeignAddress("BTC", fmt.Sprint(i%rules.MaxAddresses)), remark)
			return err
		}
	}
	review := func(approve bool) func(context.Context) error {
		return func(ctx context.Context) error {
			_, err := b.app.ReviewWithdrawal(ctx, app.Review{WithdrawalID: reviewed, Operator: "olga", Approve: approve})
			return err
		}
	}
	hold := func(amount int64) func(context.Context) error {
		return func(ctx context.Context) error {
			results, err := b.PlaceHolds(ctx, []app.HoldRequest{buyHold(id, bob, amount)})
			if err != nil {
				return err
			}
			return results[0].Err
		}
	}
	return []write{
		{deposit("1"), deposit("2")},
		{withdraw("0.01"), withdraw("0.02")},
		{list("mine"), list("yours")},
		{review(false), review(true)},
		{hold(10), hold(11)},
		{do: func(ctx context.Context) error { _, err := b.app.CancelWithdrawal(ctx, alice, canceled); return err }},
		{do: func(ctx context.Context) error { _, err := b.app.DepositAddress(ctx, id, "BTC"); return err }},
		{do: func(ctx context.Context) error {
			return b.app.RemoveAddress(ctx, alice, "BTC", simchain.ForeignAddress("BTC", "gone"))
		}},
		{do: func(ctx context.Context) error {
			return b.app.SetStop(ctx, app.Stop{Scope: app.StopMember, Name: strconv.FormatInt(id, 10), Reason: "test"})
		}},
		{do: func(ctx context.Context) error { return b.ReleaseHold(ctx, 5000+id, bob) }},
	}
}

func TestTransfers_Retried(t *testing.T) {
	testkit.Databases(t, func(t *testing.T, db *database.DB) {
		b := newBank(t, db)
		b.fund(alice, "BTC", "1000")
		b.fund(bob, "BTC", "1")
		b.deposit(bob, "USDT", 1_000_000)
		b.book(alice, "BTC")
		const numbers = 20
		retries := 50
		if db.Dialect() != database.SQLite {
			retries = 5 // each commit waits for a disk
		}
		var all []write
		for i := range numbers {
			canceled := b.mustWithdraw(alice, "c-"+strconv.Itoa(i), "BTC", "0.01")
			reviewed := b.mustWithdraw(alice, "v-"+strconv.Itoa(i), "BTC", "12")
			b.clk.Advance(24 * 3600 * 1e9) // a day's limit for each
			all = append(all, b.writes(i, canceled.ID, reviewed.ID)...)
		}
		b.run(t, "10,000 retried writes (1,000 on servers) have one effect each", func(t *testing.T) {
			var wg sync.WaitGroup
			for worker := range 8 {
				wg.Go(func() {
					for i := worker; i < len(all)*retries; i += 8 {
						if err := all[i%len(all)].do(t.Context()); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			for table, want := range map[string]int64{
				"wallet_deposit": numbers + 3, "withdraw_record": 3 * numbers, "withdraw_review": numbers, "wallet_stop": numbers,
				"wallet_hold": 2 * numbers, "member_address": int64(rules.MaxAddresses) + 1, "wallet_address": numbers + 2,
			} {
				if n := b.count(table); n != want {
					t.Errorf("%d rows of %s, want %d", n, table, want)
				}
			}
			b.wantBalance(alice, "BTC", 100_000_000_000-numbers*1_050_000, numbers*1_050_000)
			b.wantBalance(bob, "USDT", 1_000_000+numbers*100_000_000-numbers*10, numbers*10)
		})
		b.run(t, "the same key with another body is refused", func(t *testing.T) {
			for i, w := range all {
				if w.other == nil {
					continue
				}
				if err := w.other(t.Context()); errs.CodeOf(err) != errs.CodeIdempotencyMismatch || !errors.Is(err, app.ErrMismatch) {
					t.Errorf("write %d: %v", i, err)
				}
			}
		})
		b.wantBooks()
	})
}
