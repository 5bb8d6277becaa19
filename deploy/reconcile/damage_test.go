package main

import (
	"strings"
	"testing"

	"mscoin/mscoin-common/testkit"
)

// Every kind of damage is found in one run of the command and named: check, place,
// amount, record. The books are those of reconciletest.Facts(12): deposits are the
// transactions 1 to 4, the holds of orders 1 and 2 are 5 and 6, and their trade is
// record 2, whose transaction is 2^52 + 2^40 + 2.
func TestRun_Damage(t *testing.T) {
	const wallet, exchange = true, false
	const trade1 = "4504699138998274"
	tests := []struct {
		damage   string
		inWallet bool
		sql      string
		want     []string // all in one line of the report
	}{
		{"a flipped amount", wallet, "UPDATE wallet_journal SET amount = -amount WHERE tx_id = " + trade1 + " AND line = 0", []string{"C1", "transaction " + trade1, "does not sum to zero", "BTC/USDT record 2"}},
		{"an altered amount", wallet, "UPDATE wallet_journal SET amount = amount + 7 WHERE tx_id = 5 AND line = 1", []string{"C2", "FROZEN/7/USDT, transaction 5 line 1", "balance after", "-0.00000007 USDT"}},
		{"two altered amounts that cancel out", wallet, "UPDATE wallet_journal SET amount = amount + CASE line WHEN 0 THEN -9 ELSE 9 END WHERE tx_id = 5", []string{"C4", "order 1", "held something else", "0.00000009 USDT"}},
		{"a deleted journal line", wallet, "DELETE FROM wallet_journal WHERE tx_id = " + trade1 + " AND line = 0", []string{"C1", "transaction " + trade1, "lost or gained lines"}},
		{"a doubled journal line", wallet, "INSERT INTO wallet_journal SELECT tx_id, 77, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time FROM wallet_journal WHERE tx_id = " + trade1 + " AND line = 0", []string{"C2", "gap or a repetition", "transaction " + trade1 + " line 77"}},
		{"a deleted transaction", wallet, "DELETE FROM wallet_journal WHERE tx_id = " + trade1, []string{"C4", "order 1", "consumed"}},
		{"a record that was settled twice", wallet, "INSERT INTO wallet_journal SELECT 900, line, account, member_id, coin, amount, account_seq, balance_after, symbol, seq, order_id, kind, ref, time FROM wallet_journal WHERE tx_id = " + trade1, []string{"C7", "two transactions", "record 2", "transaction 900"}},
		{"a journal line of a record that does not exist", wallet, "UPDATE wallet_journal SET seq = 999 WHERE tx_id = " + trade1, []string{"C7", "beyond the wallet's position", "record 999"}},
		{"a line booked to another member", wallet, "UPDATE wallet_journal SET member_id = 8 WHERE tx_id = 5 AND line = 0", []string{"C4", "order 1", "AVAILABLE/8/USDT, transaction 5 line 0", "not its"}},
		{"a line booked for another order", wallet, "UPDATE wallet_journal SET order_id = 3 WHERE tx_id = 5", []string{"C4", "order 3", "held something else"}},
		{"an account number that was skipped", wallet, "UPDATE wallet_journal SET account_seq = account_seq + 1000 WHERE tx_id = 5 AND line = 0", []string{"C2", "gap or a repetition", "AVAILABLE/7/USDT"}},
		{"a drifted wallet row", wallet, "UPDATE member_wallet SET balance = balance + 5 WHERE member_id = 8 AND coin_name = 'BTC'", []string{"C2", "AVAILABLE/8/BTC", "0.00000005 BTC"}},
		{"a drifted held balance", wallet, "UPDATE member_wallet SET frozen_balance = frozen_balance + 5 WHERE member_id = 8 AND coin_name = 'BTC'", []string{"C4", "member 8", "open holds"}},
		{"money moved between wallets behind the journal", wallet, "UPDATE member_wallet SET balance = balance + CASE member_id WHEN 7 THEN 3 ELSE -3 END WHERE coin_name = 'BTC'", []string{"C2", "AVAILABLE/7/BTC", "0.00000003 BTC"}},
		{"a deleted wallet row", wallet, "DELETE FROM member_wallet WHERE member_id = 7 AND coin_name = 'BTC'", []string{"C2", "member 7", "without a wallet row"}},
		{"money from nowhere", wallet, "INSERT INTO member_wallet VALUES (55, 'BTC', 100, 0, 0, 0, 0, 0, 0)", []string{"C3", "all accounts", "0.00000100 BTC"}},
		{"a stale hold", wallet, "UPDATE wallet_hold SET consumed = 0, released = 0, state = 0 WHERE order_id = 1", []string{"C4", "order 1", "journal consumed"}},
		{"a deleted hold", wallet, "DELETE FROM wallet_hold WHERE order_id = 1", []string{"C5", "order 1", "order has no hold"}},
		{"a hold of another member", wallet, "UPDATE wallet_hold SET member_id = 8 WHERE order_id = 1", []string{"C5", "order 1", "another member's"}},
		{"a hold that forgot its fee", wallet, "UPDATE wallet_hold SET fee = 0 WHERE order_id = 2", []string{"C9", "order 2", "another fee"}},
		{"a wrong fee", exchange, "UPDATE exchange_trade SET taker_fee = taker_fee + 1 WHERE trade_id = 1", []string{"C9", "BTC/USDT", "-0.00000001 BTC"}},
		{"a fee paid to a member", wallet, "UPDATE wallet_journal SET account = 'AVAILABLE', member_id = 8, account_seq = 99 WHERE tx_id = " + trade1 + " AND account = 'FEE' AND coin = 'BTC'", []string{"C9", "fees of BTC/USDT", "-0.00000010 BTC"}},
		{"a missing trade", exchange, "DELETE FROM exchange_trade WHERE trade_id = 2", []string{"C7", "trade 3", "gap"}},
		{"a missing last trade", exchange, "DELETE FROM exchange_trade WHERE trade_id = 9", []string{"C5", "sum of the trades", "order 21"}},
		{"a trade that was made up", exchange, "INSERT INTO exchange_trade SELECT symbol, trade_id + 100, 16, price, quantity, turnover, taker_side, maker_order_id, taker_order_id, maker_member_id, taker_member_id, maker_fee, taker_fee, time FROM exchange_trade WHERE trade_id = 9", []string{"C5", "sum of the trades", "order 21"}},
		{"an altered trade", exchange, "UPDATE exchange_trade SET quantity = quantity + 1 WHERE trade_id = 2", []string{"C5", "order 3", "sum of the trades"}},
		{"a swapped member", exchange, "UPDATE exchange_trade SET maker_member_id = 7 WHERE trade_id = 2", []string{"C5", "trade 2", "another member"}},
		{"an altered order", exchange, "UPDATE exchange_order SET traded_amount = traded_amount + 1 WHERE order_id = 1", []string{"C5", "order 1", "traded amount", "BTC/USDT record 2"}},
		{"an order with another remainder", exchange, "UPDATE exchange_order SET held_remaining = 1 WHERE order_id = 1", []string{"C5", "order 1", "left"}},
		{"an order store that lost an update", exchange, "UPDATE exchange_order SET seq = 0, traded_amount = 0, turnover = 0, fee = 0 WHERE order_id = 1", []string{"C5", "order 1", "has not applied"}},
		{"a lost order", exchange, "DELETE FROM exchange_order WHERE order_id = 1", []string{"C5", "order 1", "hold has no order"}},
		{"a lost record between the hops", exchange, "UPDATE symbol_position SET seq = seq - 1", []string{"C7", "BTC/USDT", "behind"}},
		{"a broken chain", exchange, "UPDATE symbol_position SET hash = 'x'", []string{"C7", "different records"}},
		{"a deposit that never came", wallet, "DELETE FROM wallet_deposit WHERE member_id = 7 AND coin = 'BTC'", []string{"C3", "without a deposit", "transaction 1"}},
		{"an altered deposit", wallet, "UPDATE wallet_deposit SET amount = amount + 1 WHERE member_id = 7 AND coin = 'BTC'", []string{"C3", "deposit-7-BTC", "not what crossed the border", "-0.00000001 BTC"}},
		{"a deposit credited to another member", wallet, "UPDATE wallet_deposit SET member_id = 8 WHERE member_id = 7 AND coin = 'BTC'", []string{"C3", "deposit-7-BTC", "another account"}},
	}
	for _, tt := range tests {
		t.Run(tt.damage+" is found and named", func(t *testing.T) {
			in := install(t, testkit.SQLiteConfig)
			db := in.exchange
			if tt.inWallet {
				db = in.wallet
			}
			in.do(db, tt.sql)
			code, out, errs := in.reconcile()
			if code != 1 {
				t.Fatalf("exit %d\n%s%s", code, out, errs)
			}
			for line := range strings.Lines(out) {
				if containsAll(line, tt.want) {
					return
				}
			}
			t.Fatalf("no line with %q in\n%s", tt.want, out)
		})
	}
}

func containsAll(line string, parts []string) bool {
	for _, p := range parts {
		if !strings.Contains(line, p) {
			return false
		}
	}
	return true
}
