package reconcile

import (
	"mscoin/wallet/ledger"
)

// Books read a snapshot of the wallet's database, each table row by row. What is given
// to yield is valid during the call only.
type Books interface {
	Wallets(yield func(Wallet)) error
	// Holds are read in the order of their order ids.
	Holds(yield func(*ledger.Hold)) error
	Pending(yield func(Pending)) error
	Transfers(yield func(Transfer)) error
	Corrections(yield func(*Correction)) error
	// Lines are read in the order of transaction and line.
	Lines(yield func(*Line)) error
	// Chains reads the lines of some members' accounts, account by account in the
	// order of their sequence.
	Chains(wanted func(memberID int64) bool, yield func(*Line)) error
}

// OrderStore reads a snapshot of the order store, taken later than that of the books.
type OrderStore interface {
	// Orders are read in the order of their ids.
	Orders(yield func(*Order)) error
	// Trades are read in the order of symbol and id.
	Trades(yield func(*Trade)) error
}

// Unsure are the orders whose holds cannot be compared with them, each list ascending.
type Unsure struct {
	// Skip are those that the matcher refused, or spoke of in a record that the wallet
	// has not come to.
	Skip []int64
	// Silent are those of which no record has spoken: nor must it have of their holds.
	Silent []int64
}

// ReadOrderStore adds the order store. What it returns is for [Sketch.ReadHolds].
func (s *Sketch) ReadOrderStore(src OrderStore) (u Unsure, err error) {
	err = src.Orders(func(o *Order) {
		switch {
		case s.AddOrder(o):
		case o.Seq == 0:
			u.Silent = append(u.Silent, o.OrderID)
		default:
			u.Skip = append(u.Skip, o.OrderID)
		}
	})
	if err != nil {
		return Unsure{}, err
	}
	return u, src.Trades(s.AddTrade)
}

// ReadBooks adds everything of the wallet but its holds.
func (s *Sketch) ReadBooks(src Books) error {
	if err := src.Wallets(s.AddWallet); err != nil {
		return err
	}
	if err := src.Pending(s.AddPending); err != nil {
		return err
	}
	if err := src.Transfers(s.AddTransfer); err != nil {
		return err
	}
	if err := src.Corrections(s.AddCorrection); err != nil {
		return err
	}
	return src.Lines(s.AddLine)
}

// ReadHolds adds the holds.
func (s *Sketch) ReadHolds(src Books, u Unsure) error {
	has := func(ids *[]int64, id int64) bool {
		for len(*ids) > 0 && (*ids)[0] < id {
			*ids = (*ids)[1:]
		}
		return len(*ids) > 0 && (*ids)[0] == id
	}
	return src.Holds(func(h *ledger.Hold) {
		skip, silent := has(&u.Skip, h.OrderID), has(&u.Silent, h.OrderID)
		s.AddHold(h, !skip && (!silent || h.Seq != 0))
	})
}

// Read adds everything; orders is nil when the frame is of the books only.
func (c *Checker) Read(books Books, orders OrderStore) error {
	if err := books.Wallets(c.AddWallet); err != nil {
		return err
	}
	if err := books.Holds(c.AddHold); err != nil {
		return err
	}
	if err := books.Pending(c.AddPending); err != nil {
		return err
	}
	if err := books.Transfers(c.AddTransfer); err != nil {
		return err
	}
	if err := books.Corrections(c.AddCorrection); err != nil {
		return err
	}
	if err := books.Lines(c.AddLine); err != nil {
		return err
	}
	if err := books.Chains(c.suspects.Member, c.AddChain); err != nil || orders == nil {
		return err
	}
	if err := orders.Trades(c.AddTrade); err != nil {
		return err
	}
	return orders.Orders(c.AddOrder)
}
