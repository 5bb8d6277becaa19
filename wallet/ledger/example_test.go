package ledger_test

import (
	"fmt"

	"mscoin/wallet/ledger"
)

// A deposit of 100, of which 30 are then held for order 5.
func Example() {
	usdt := ledger.WalletKey{MemberID: 7, Coin: "USDT"}
	balances := ledger.NewBalances()
	balances.Load(usdt, ledger.Wallet{})

	deposit, _ := ledger.Deposit(ledger.Source{Ref: "bank-1"}, 7, "USDT", 100)
	hold := ledger.Hold{OrderID: 5, MemberID: 7, Coin: "USDT", Symbol: "BTC/USDT", Held: 30}
	placed, _ := hold.Place(0)

	lines, _ := balances.Post(1, deposit, nil)
	lines, _ = balances.Post(2, placed, lines)
	for _, l := range lines {
		fmt.Printf("tx %d: %s %+d, balance %d\n", l.TxID, l.Posting.Account, l.Posting.Amount, l.BalanceAfter)
	}
	// Output:
	// tx 1: WORLD/USDT -100, balance 0
	// tx 1: AVAILABLE/7/USDT +100, balance 100
	// tx 2: AVAILABLE/7/USDT -30, balance 70
	// tx 2: FROZEN/7/USDT +30, balance 30
}
