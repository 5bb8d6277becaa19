// Package app is what the exchange does for its members and operators: it places,
// cancels and finds orders, lists symbols, and sweeps up what a crash left behind.
//
// The order of its writes is the safety of the money (MONEY-SAFETY H1): the intent
// is stored before the hold is placed, and the hold before the command is written.
// Whatever is interrupted in between is an intent that the sweeper resolves. A
// request whose outcome is not known is never called a failure (H14).
package app

import (
	"context"
	"fmt"
	"strings"
	"time"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Store keeps orders, trades and the rules of the symbols.
type Store interface {
	// InsertOrder stores an intent whose client order id is active: ErrDuplicate when
	// another active order of the member bears it.
	InsertOrder(ctx context.Context, o *order.Order) error
	// FindActive returns the order that a client order id is active for.
	FindActive(ctx context.Context, member int64, clientOrderID string) (Found, error)
	// Deactivate gives the client order id of a final order free.
	Deactivate(ctx context.Context, orderID int64) error
	// Refuse ends an intent whose order was never sent to the matcher.
	Refuse(ctx context.Context, orderID int64, reason order.Reason, nowMs int64) error
	// SetHold corrects what is held, before the order is sent.
	SetHold(ctx context.Context, orderID, held int64) error

	// Order, OrderByClientID (the newest that bears it), and Orders by id return
	// what is stored; ErrNotFound.
	Order(ctx context.Context, orderID int64) (Found, error)
	OrderByClientID(ctx context.Context, member int64, clientOrderID string) (Found, error)
	Orders(ctx context.Context, ids []int64) ([]Found, error)
	OpenOrders(ctx context.Context, member int64, symbol string) ([]Found, error)
	ListOrders(ctx context.Context, q OrderQuery) ([]Found, error)
	ListTrades(ctx context.Context, q TradeQuery) ([]order.Trade, error)
	// Intents returns orders that the matcher has not spoken of, stored before, but for
	// those of some symbols.
	Intents(ctx context.Context, beforeMs int64, except []string, limit int) ([]Found, error)

	Symbols(ctx context.Context) ([]Listed, error)
	// Moves returns the symbols that are on their way to another partition.
	Moves(ctx context.Context) ([]Move, error)
	// InsertSymbol lists a symbol on a partition that it chooses: the one with the
	// fewest, the lowest of several. ErrDuplicate when the symbol exists.
	InsertSymbol(ctx context.Context, r symbol.Rules, partitions int) (symbol.Rules, error)
}

// Wallet sets money aside.
type Wallet interface {
	// PlaceHold returns what is held. Errors: see errs; an unknown outcome may be a hold.
	PlaceHold(ctx context.Context, o *order.Order, h order.Hold) (held int64, err error)
	// StaleHolds returns holds without any settlement, placed before, but for those of
	// some symbols.
	StaleHolds(ctx context.Context, beforeMs int64, except []string, limit int) ([]StaleHold, error)
	// Scales returns the scale of each coin.
	Scales(ctx context.Context) (map[string]int, error)
}

// Commands is the way to the matcher and back. An error of KindUnavailable says that
// the command is not in the log and will not be; KindUnknownOutcome that it may be.
type Commands interface {
	Place(ctx context.Context, r symbol.Rules, o *order.Order) (*order.Result, error)
	Cancel(ctx context.Context, r symbol.Rules, orderID, memberID int64) (*order.Result, error)
	CancelAll(ctx context.Context, r symbol.Rules, memberID int64) (*order.Result, error)
	Resolve(ctx context.Context, r symbol.Rules, orderID, memberID, deadlineMs int64) error
	SetRules(ctx context.Context, r symbol.Rules) (*order.Result, error)
	SetPhase(ctx context.Context, r symbol.Rules, phase order.Phase) (*order.Result, error)
}

// Book shows the matcher's state; it may be ahead of what is published. This instance has
// the state of the partitions that it owns; of others nothing is known.
type Book interface {
	// Enter keeps the symbol's partition here until leave is called: its commands are
	// answered. The error is an *Elsewhere, or ErrMoving while the matcher starts or moves.
	Enter(r symbol.Rules) (leave func(), err error)
	// Phase of a symbol that the matcher knows.
	Phase(r symbol.Rules) (order.Phase, bool)
	// OpenOrders of a member on the symbol.
	OpenOrders(r symbol.Rules, member int64) int
	// Open reports whether an order is open in the book, and the symbol's last record; known
	// is false when the book is not here.
	Open(r symbol.Rules, orderID int64) (seq int64, open, known bool)
	// Hold an order needs by the book as it is.
	Hold(r symbol.Rules, o *order.Order) (order.Hold, error)
}

// IDs hands out ids.
type IDs interface {
	Next(ctx context.Context) (int64, error)
}

// Progress knows how far the order store is.
type Progress interface {
	WaitApplied(ctx context.Context, symbol string, seq int64) error
}

// Found is a stored order with its times.
type Found struct {
	order.Order
	// UpdateTimeMs is the last change.
	UpdateTimeMs int64
}

// StaleHold is a hold without any settlement.
type StaleHold struct {
	OrderID, MemberID int64
	Symbol            string
}

// Position is a record that a read must have seen.
type Position struct {
	Symbol string
	Seq    int64
}

// OrderQuery selects a member's orders.
type OrderQuery struct {
	Member int64
	Symbol string // empty: all
	// FromID is the lowest id; without it and times the newest are returned.
	FromID, StartMs, EndMs int64
	Limit                  int
	FinalOnly              bool
}

// TradeQuery selects a member's trades of a symbol.
type TradeQuery struct {
	Member int64
	Symbol string
	Order  int64 // 0: all
	// FromID is the lowest trade id; without it and times the newest are returned.
	FromID, StartMs, EndMs int64
	Limit                  int
}

// Errors of a Store.
var (
	ErrNotFound  = errs.New(errs.KindNotFound, errs.CodeUnknownOrder, "order does not exist")
	ErrDuplicate = errs.New(errs.KindAlreadyExists, errs.CodeDuplicateClientOrderID, "client order id is in use")
)

// ErrMoving says that no instance answers commands of the symbol's partition right now. Nothing was
// done.
var ErrMoving error = errs.New(errs.KindUnavailable, errs.CodeMatcherMoving,
	"the symbol's matcher is starting or moves to another instance: nothing was done, try again")

// Elsewhere refuses a command whose partition this instance does not own. Nothing was done,
// so it may be sent to the owner.
type Elsewhere struct {
	Partition int
}

// Error names the partition.
func (e *Elsewhere) Error() string {
	return fmt.Sprintf("partition %d is not owned by this instance: %v", e.Partition, ErrMoving)
}

// Unwrap returns what a caller is told who cannot be helped.
func (e *Elsewhere) Unwrap() error { return ErrMoving }

// Config are the times and limits of the application.
type Config struct {
	// PlaceDeadline is how long after its intent a Place may reach the matcher.
	PlaceDeadline time.Duration
	// ClientOrderIDReuseAfter is how long after its end an order that traded keeps its client
	// order id, so that a repeated request is still recognised.
	ClientOrderIDReuseAfter time.Duration
	// ReadAfterTimeout bounds how long a read waits for the order store.
	ReadAfterTimeout time.Duration
	// MaxOpenOrders bounds a member's open orders on a symbol whose rules do not.
	MaxOpenOrders int
	// SweepEvery, SweepAfter, SweepBatch and ResendAfter pace the sweeper: how often
	// it looks, how old an intent or hold must be, how many of each it resolves at
	// once, and when it repeats itself.
	SweepEvery, SweepAfter, ResendAfter time.Duration
	SweepBatch                          int
	// Partitions of the money topics.
	Partitions int
}

// Deps are what the application works with.
type Deps struct {
	Store    Store
	Wallet   Wallet
	Commands Commands
	Book     Book
	IDs      IDs
	Progress Progress
	Clock    clock.Clock
	// Admission refuses what could not be settled; nil admits everything.
	Admission *Admission
}

// App is the application. It is safe for concurrent use.
type App struct {
	cfg     Config
	deps    Deps
	symbols *symbols
}

// New returns the application; LoadSymbols before its first request.
func New(cfg Config, deps Deps) *App {
	return &App{cfg: cfg, deps: deps, symbols: newSymbols()}
}

// rules returns the rules of a listed symbol. One that is not known may have been listed
// through another instance.
func (a *App) rules(ctx context.Context, name string) (symbol.Rules, error) {
	if l, ok := a.symbols.get(name); ok {
		return l.Rules, nil
	}
	if name != "" && a.symbols.mayReload(a.deps.Clock.Now()) {
		if err := a.LoadSymbols(ctx); err != nil {
			return symbol.Rules{}, err
		}
		if l, ok := a.symbols.get(name); ok {
			return l.Rules, nil
		}
	}
	return symbol.Rules{}, errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "unknown symbol")
}

// enter returns the rules of a symbol whose commands this instance takes; its partition
// stays here until leave is called.
func (a *App) enter(ctx context.Context, name string) (r symbol.Rules, leave func(), err error) {
	if r, err = a.rules(ctx, name); err != nil {
		return r, nil, err
	}
	if leave, err = a.deps.Book.Enter(r); err != nil {
		return r, nil, err
	}
	if _, known := a.deps.Book.Phase(r); !known { // its listing is not finished, or it has moved to another partition
		leave()
		return r, nil, ErrMoving
	}
	return r, leave, nil
}

// waitRead waits, bounded, until the order store has applied what a read must see.
func (a *App) waitRead(ctx context.Context, after []Position) error {
	if len(after) == 0 {
		return nil
	}
	ctx, cancel := clock.WithTimeout(ctx, a.deps.Clock, a.cfg.ReadAfterTimeout)
	defer cancel()
	for _, p := range after {
		if err := a.deps.Progress.WaitApplied(ctx, p.Symbol, p.Seq); err != nil {
			return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "orders are not up to date yet").
				Wrap(fmt.Errorf("wait for %s %d: %w", p.Symbol, p.Seq, err))
		}
	}
	return nil
}

// madeUpID returns the client order id of an order that came without one.
func madeUpID(orderID int64) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var b strings.Builder
	b.WriteString("o-")
	var rev [14]byte
	n := 0
	for v := orderID; v > 0; v /= 36 {
		rev[n] = digits[v%36]
		n++
	}
	for n--; n >= 0; n-- {
		b.WriteByte(rev[n])
	}
	return b.String()
}
