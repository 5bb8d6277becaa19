// Package app holds the wallet's use cases: holds, deposits, balances, the journal
// of a member and the list of coins. Amounts come and go as decimal strings and are
// counted in units in between; what moves money happens in one transaction of the
// [Store].
package app

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"regexp"
	"sync"
	"time"

	"mscoin/mscoin-common/batch"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// Store keeps the wallet's data. Each method is one transaction.
type Store interface {
	// PlaceHolds decides the requests in order, all in one transaction; each gets
	// its own result. Idempotent by order id.
	PlaceHolds(ctx context.Context, reqs []HoldRequest) ([]HoldResult, error)
	// ReleaseHold gives back the hold of an order that never reached the matcher,
	// and forbids one that comes later.
	ReleaseHold(ctx context.Context, orderID, memberID int64) error
	// Deposit credits a deposit; repeated is true when its reference was credited
	// before with the same content.
	Deposit(ctx context.Context, d Deposit) (w Wallet, repeated bool, err error)
	// Wallets returns the member's balance in every listed coin, or in one.
	Wallets(ctx context.Context, memberID int64, coin string) ([]Wallet, error)
	// Transactions returns at most limit lines of the member's journal, newest first.
	Transactions(ctx context.Context, q TransactionQuery, limit int) ([]Transaction, error)
	// Coins returns the listed coins by name.
	Coins(ctx context.Context) ([]Coin, error)
	// Coin returns a coin, or false.
	Coin(ctx context.Context, name string) (Coin, bool, error)
	// CreateCoin lists a coin; when the name is taken it returns the coin that has it.
	CreateCoin(ctx context.Context, c Coin) (Coin, error)
	// StaleHolds returns open holds placed before a time of which no record has
	// spoken, oldest first, but for those of some symbols.
	StaleHolds(ctx context.Context, beforeMs int64, except []string, limit int) ([]StaleHold, error)
	// Suspended returns the orders in suspense, oldest first; member 0 is all.
	Suspended(ctx context.Context, member int64, limit int) ([]Suspended, error)
}

// Settled tells how far the settlement has come.
type Settled interface {
	// WaitApplied returns once the symbol's record seq has been applied, or the
	// context's error.
	WaitApplied(ctx context.Context, symbol string, seq int64) error
}

// Coin is a listed coin. Scale is the decimals of its smallest kept unit.
type Coin struct {
	Name     string
	FullName string
	Scale    int
}

// HoldRequest asks for money to be set aside for an order, in units. With less
// than Amount available everything is held, but not less than MinAmount.
type HoldRequest struct {
	OrderID   int64
	MemberID  int64
	Coin      string
	Symbol    string
	Amount    int64
	MinAmount int64
}

// Hash identifies the request's content: the same order id with another hash is
// another request under the same key.
func (r HoldRequest) Hash() []byte {
	b := make([]byte, 0, 64)
	for _, n := range [...]int64{r.OrderID, r.MemberID, r.Amount, r.MinAmount} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	b = append(append(append(b, r.Coin...), 0), r.Symbol...)
	sum := sha256.Sum256(b)
	return sum[:]
}

// HoldResult is what became of a request: Held units, or the refusal Err.
type HoldResult struct {
	Held int64
	Err  error
}

// Deposit is money that arrives from outside, in units.
type Deposit struct {
	Reference string
	MemberID  int64
	Coin      string
	Amount    int64
}

// Wallet is a member's balance in a coin, in units of Scale decimals.
type Wallet struct {
	Coin      string
	Scale     int
	Available int64
	Held      int64
	UpdatedMs int64
}

// Transaction is a line of a member's journal, in units of Scale decimals.
type Transaction struct {
	TxID         int64
	Line         int32
	Kind         string
	Coin         string
	Scale        int
	Held         bool // of the held account, else of the available one
	Amount       int64
	BalanceAfter int64
	Symbol       string
	OrderID      int64
	Reference    string
	TimeMs       int64
}

// Cursor is the place of a line in a member's journal, which is ordered by time,
// transaction and line; the zero Cursor is the newest end.
type Cursor struct {
	TimeMs int64
	TxID   int64
	Line   int32
}

// TransactionQuery selects lines of a member's journal. Empty fields select all.
type TransactionQuery struct {
	MemberID int64
	Coin     string
	Kind     string
	Symbol   string
	StartMs  int64 // at or after
	EndMs    int64 // at or before
	After    Cursor
}

// StaleHold is an open hold of which no record has spoken.
type StaleHold struct {
	OrderID     int64
	MemberID    int64
	Symbol      string
	PlaceTimeMs int64
}

// Suspended is an order of which the matcher and the books say different things.
type Suspended struct {
	OrderID  int64
	MemberID int64
	Symbol   string
	Seq      int64 // the record that put it there
	Cause    string
	SinceMs  int64
}

// Position is a point in a symbol's stream of records.
type Position struct {
	Symbol string
	Seq    int64
}

// Refusals of the wallet. Each is final for its request.
var (
	ErrInsufficientBalance = errs.New(errs.KindFailedPrecondition, errs.CodeInsufficientBalance, "account has insufficient balance for the requested action")
	ErrHoldRefused         = errs.New(errs.KindFailedPrecondition, errs.CodeHoldRefused, "a hold for this order was closed or forbidden before")
	ErrHoldInUse           = errs.New(errs.KindFailedPrecondition, errs.CodeHoldInUse, "the order has reached the matcher, its hold ends with it")
	ErrMismatch            = errs.New(errs.KindFailedPrecondition, errs.CodeIdempotencyMismatch, "the key was used before, for a different request")
	ErrUnknownCoin         = errs.New(errs.KindNotFound, errs.CodeUnknownCoin, "no such coin is listed")
	ErrUnknownOrder        = errs.New(errs.KindNotFound, errs.CodeUnknownOrder, "no such order")
	ErrCoinExists          = errs.New(errs.KindAlreadyExists, errs.CodeCoinExists, "the coin is listed with other properties")
	ErrBehind              = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "settlement has not come that far yet")
)

func badRequest(detail string) error {
	return errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "parameter is missing or malformed").With(detail)
}

const (
	// readAfterWait bounds how long a read waits for the member's own writes.
	readAfterWait = time.Second
	// maxReadAfter bounds how many positions a read may name.
	maxReadAfter = 64

	defaultPage   = 100
	maxPage       = 500
	maxStalePage  = 1000
	maxExcept     = 1000
	maxSymbolName = 32
	maxReference  = 64
	maxFullName   = 64
	maxID         = 1<<53 - 1
)

var coinName = regexp.MustCompile(`^[A-Z0-9]{2,10}$`)

// App is the use cases. It is safe for concurrent use.
type App struct {
	store   Store
	settled Settled
	clk     clock.Clock
	holds   *batch.Writer[*holding]

	mu    sync.RWMutex
	coins map[string]Coin // listed coins never change, so they may be kept
}

// New returns the use cases over a store. Holds are only placed while Run runs.
func New(store Store, settled Settled, clk clock.Clock) *App {
	a := &App{store: store, settled: settled, clk: clk, coins: make(map[string]Coin)}
	a.holds = batch.New(clk, maxHolds, a.placeHolds)
	return a
}

// Run places the holds that arrive, those that arrive together in one transaction,
// until ctx ends.
func (a *App) Run(ctx context.Context) error { return a.holds.Run(ctx) }

// coin returns a listed coin, ErrUnknownCoin otherwise.
func (a *App) coin(ctx context.Context, name string) (Coin, error) {
	if !coinName.MatchString(name) {
		return Coin{}, ErrUnknownCoin
	}
	a.mu.RLock()
	c, ok := a.coins[name]
	a.mu.RUnlock()
	if ok {
		return c, nil
	}
	c, ok, err := a.store.Coin(ctx, name)
	if err != nil {
		return Coin{}, fmt.Errorf("coin %s: %w", name, err)
	}
	if !ok {
		return Coin{}, ErrUnknownCoin.With(name)
	}
	a.mu.Lock()
	a.coins[name] = c
	a.mu.Unlock()
	return c, nil
}

// amount parses a positive amount of the coin.
func amount(text string, c Coin, field string) (int64, error) {
	n, err := money.Parse(text, c.Scale)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", field, err)
	}
	if n <= 0 {
		return 0, badRequest(field + " must be positive")
	}
	return n, nil
}

func validID(id int64) bool { return id > 0 && id <= maxID }
