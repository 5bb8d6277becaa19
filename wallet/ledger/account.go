package ledger

import (
	"cmp"
	"fmt"
)

// AccountKind says what an account is for.
type AccountKind uint8

// Kinds of accounts. Available and Held belong to a member; the others belong
// to the house or to the world outside.
const (
	Available AccountKind = iota + 1
	Held
	Fee
	Suspense
	World
)

var kindNames = [...]string{Available: "AVAILABLE", Held: "FROZEN", Fee: "FEE", Suspense: "SUSPENSE", World: "WORLD"}

// String returns the name under which the kind is stored in wallet_journal.
func (k AccountKind) String() string {
	if k < Available || k > World {
		return fmt.Sprintf("AccountKind(%d)", uint8(k))
	}
	return kindNames[k]
}

// ParseAccountKind is the inverse of [AccountKind.String].
func ParseAccountKind(name string) (AccountKind, error) {
	for k := Available; k <= World; k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	return 0, fmt.Errorf("%w: account kind %q", ErrBadAccount, name)
}

// OfMember reports whether accounts of this kind belong to a member, have a
// wallet row and may not become negative.
func (k AccountKind) OfMember() bool { return k == Available || k == Held }

// Account names one account. MemberID is 0 for accounts of the house.
type Account struct {
	Kind     AccountKind
	MemberID int64
	Coin     string
}

// AvailableOf is what the member can spend of the coin.
func AvailableOf(memberID int64, coin string) Account { return Account{Available, memberID, coin} }

// HeldOf is what is set aside for the member's open orders and withdrawals.
func HeldOf(memberID int64, coin string) Account { return Account{Held, memberID, coin} }

// FeeOf is the house's fee income in the coin.
func FeeOf(coin string) Account { return Account{Fee, 0, coin} }

// SuspenseOf is where money waits whose owner is not certain.
func SuspenseOf(coin string) Account { return Account{Suspense, 0, coin} }

// WorldOf is the world outside: deposits come from it, withdrawals go to it.
func WorldOf(coin string) Account { return Account{World, 0, coin} }

// String is the account for reports, like "AVAILABLE/42/BTC".
func (a Account) String() string {
	if a.Kind.OfMember() {
		return fmt.Sprintf("%s/%d/%s", a.Kind, a.MemberID, a.Coin)
	}
	return fmt.Sprintf("%s/%s", a.Kind, a.Coin)
}

// Validate returns [ErrBadAccount] when the parts do not belong together.
func (a Account) Validate() error {
	switch {
	case a.Kind < Available || a.Kind > World, a.Coin == "":
		return fmt.Errorf("%w: %s", ErrBadAccount, a)
	case a.Kind.OfMember() != (a.MemberID > 0):
		return fmt.Errorf("%w: %s with member %d", ErrBadAccount, a, a.MemberID)
	}
	return nil
}

// Wallet returns the key of the wallet row that keeps the account's balance;
// ok is false for accounts of the house.
func (a Account) Wallet() (key WalletKey, ok bool) {
	return WalletKey{a.MemberID, a.Coin}, a.Kind.OfMember()
}

// WalletKey names one wallet row. Rows are always locked in the order of
// [WalletKey.Compare], so that two transactions cannot wait for each other.
type WalletKey struct {
	MemberID int64
	Coin     string
}

// Compare orders keys by member, then coin.
func (k WalletKey) Compare(o WalletKey) int {
	return cmp.Or(cmp.Compare(k.MemberID, o.MemberID), cmp.Compare(k.Coin, o.Coin))
}
