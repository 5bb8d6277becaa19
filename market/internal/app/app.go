// Package app holds the public view of each symbol: depth, recent trades and the
// statistics of 24 hours, all of the same record.
//
// A view is changed only by records whose transaction has been committed, and a reader
// gets everything from one moment of it.
package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"mscoin/market/depth"
	"mscoin/market/ticker"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// Bounds of what a request may ask for.
const (
	// DefaultDepth is the number of levels of a side when none is asked for.
	DefaultDepth = 100
	// MaxDepth is the largest number of levels of a side.
	MaxDepth = 5000
	// DefaultPage is the number of trades of a page when none is asked for.
	DefaultPage = 500
	// MaxPage is the largest number of trades of a page.
	MaxPage = 1000

	// recentTrades are kept in memory at least; twice as many at most.
	recentTrades = MaxPage
)

// Errors of the use cases.
var (
	// ErrUnknownSymbol is returned for a symbol that has no record.
	ErrUnknownSymbol = errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "unknown symbol")
	// ErrLimit is returned for a limit or page size out of range.
	ErrLimit = errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "limit is out of range")
)

// Side is the side of an order, with the numbers that are stored.
type Side int64

// Sides.
const (
	// Buy is the side of the buyer.
	Buy Side = 0
	// Sell is the side of the seller.
	Sell Side = 1
)

// Symbol is what must be known of a symbol to show its numbers.
type Symbol struct {
	// Name is like "BTC/USDT".
	Name string
	// Base and Quote are its coins.
	Base, Quote string
	// BaseScale and QuoteScale are the decimals of their units.
	BaseScale, QuoteScale int
}

// Trade is a public trade.
type Trade struct {
	ticker.Trade
	// TakerSide is the side of the taker.
	TakerSide Side
}

// Record is what the matcher's record of one command says to the public.
type Record struct {
	// Symbol is the symbol's name.
	Symbol string
	// Seq counts the symbol's records from 1 without gaps.
	Seq int64
	// Rules is set when the symbol was listed or its rules changed.
	Rules *Symbol
	// Trades are in order.
	Trades []Trade
	// Levels are the changes of the book.
	Levels []depth.Change
}

// State is what is stored of a symbol, all of one moment.
type State struct {
	Symbol Symbol
	// Seq is the last record.
	Seq int64
	// Levels are the levels of the book.
	Levels []depth.Change
	// Recent are the newest trades, ascending.
	Recent []Trade
	// Minutes sum up the trades since the asked time; Before is the last one before.
	Minutes []ticker.Minute
	Before  ticker.Mark
}

// Store reads what has been committed.
type Store interface {
	// Symbols returns the names of all symbols.
	Symbols(ctx context.Context) ([]string, error)
	// Load returns the state of a symbol, with at most recent trades and the minutes
	// from sinceMs on. It returns ErrUnknownSymbol.
	Load(ctx context.Context, symbol string, recent int, sinceMs int64) (State, error)
	// Trades returns trades from an id on, ascending, at most limit.
	Trades(ctx context.Context, symbol string, from int64, limit int) ([]Trade, error)
}

// App has the views. It is safe for concurrent use.
type App struct {
	store Store
	clk   clock.Clock

	mu    sync.RWMutex
	views map[string]*view
}

// view is the public view of a symbol.
type view struct {
	mu     sync.RWMutex
	symbol Symbol
	book   *depth.Book
	recent []Trade // ascending, the newest are last
	window ticker.Window
	stale  bool // a record was missed: it must be loaded again
}

// New returns an App without symbols; Load fills it.
func New(store Store, clk clock.Clock) *App {
	return &App{store: store, clk: clk, views: make(map[string]*view)}
}

// Load reads the state of every symbol. It comes before the first Committed.
func (a *App) Load(ctx context.Context) error {
	names, err := a.store.Symbols(ctx)
	if err != nil {
		return fmt.Errorf("load symbols: %w", err)
	}
	for _, name := range names {
		v := a.viewOrNew(name)
		v.mu.Lock()
		err := a.reload(ctx, name, v)
		v.mu.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// reload replaces a view by what is stored. The caller holds its lock, so that no
// record can slip in between.
func (a *App) reload(ctx context.Context, name string, v *view) error {
	// A little more than the window, for a clock that is behind that of the records.
	sinceMs := (ticker.MinuteOf(a.clk.NowMs()) - ticker.WindowMinutes - 10) * ticker.MinuteMs
	state, err := a.store.Load(ctx, name, recentTrades, sinceMs)
	if err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	book, err := depth.New(state.Seq, state.Levels)
	if err != nil {
		return fmt.Errorf("load %s: %w", name, err)
	}
	v.symbol, v.book, v.recent, v.stale = state.Symbol, book, state.Recent, false
	v.window = ticker.Window{}
	v.window.AddBefore(state.Before)
	for _, m := range state.Minutes {
		v.window.AddMinute(m)
	}
	return nil
}

// Committed takes over records whose transaction has been committed, in order. Records
// that a view has already are skipped. A view that cannot take one, because another
// instance has committed those before it, is loaded again when it is read next; the
// error says so, and nothing needs to be done about it.
func (a *App) Committed(records []Record) error {
	var all []error
	for _, r := range records {
		v := a.viewOrNew(r.Symbol)
		v.mu.Lock()
		err := v.apply(r)
		v.mu.Unlock()
		if err != nil {
			all = append(all, fmt.Errorf("view of %s: %w", r.Symbol, err))
		}
	}
	return errors.Join(all...)
}

func (v *view) apply(r Record) error {
	if v.stale || r.Seq <= v.book.Seq() {
		return nil
	}
	if r.Rules == nil && v.symbol.Name == "" {
		v.stale = true
		return fmt.Errorf("its first record here is %d", r.Seq)
	}
	if err := v.book.Apply(r.Seq, r.Levels); err != nil {
		v.stale = true
		return err
	}
	if r.Rules != nil {
		v.symbol = *r.Rules
	}
	for _, t := range r.Trades {
		v.window.Add(t.Trade)
	}
	v.recent = append(v.recent, r.Trades...)
	if len(v.recent) > 2*recentTrades {
		v.recent = slices.Clone(v.recent[len(v.recent)-recentTrades:])
	}
	return nil
}

func (a *App) viewOrNew(name string) *view {
	a.mu.RLock()
	v := a.views[name]
	a.mu.RUnlock()
	if v != nil {
		return v
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if v = a.views[name]; v == nil {
		v = &view{book: new(depth.Book)}
		a.views[name] = v
	}
	return v
}

// read runs fn with a view that is up to date, locked against changes.
func (a *App) read(ctx context.Context, name string, fn func(v *view)) error {
	a.mu.RLock()
	v := a.views[name]
	a.mu.RUnlock()
	if v == nil {
		return ErrUnknownSymbol
	}
	v.mu.RLock()
	if !v.stale {
		defer v.mu.RUnlock()
		if v.symbol.Name == "" { // its first record is just being applied
			return ErrUnknownSymbol
		}
		fn(v)
		return nil
	}
	v.mu.RUnlock()
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.stale {
		if err := a.reload(ctx, name, v); err != nil {
			return err
		}
	}
	fn(v)
	return nil
}

// Depth are the best levels of a symbol after one record.
type Depth struct {
	Symbol Symbol
	// Seq is the record.
	Seq int64
	// Bids and Asks are best first.
	Bids, Asks []depth.Level
}

// GetDepth returns the best levels; limit 0 is DefaultDepth. It returns ErrUnknownSymbol
// and ErrLimit.
func (a *App) GetDepth(ctx context.Context, symbol string, limit int) (Depth, error) {
	limit, err := bounded(limit, DefaultDepth, MaxDepth)
	if err != nil {
		return Depth{}, err
	}
	var d Depth
	err = a.read(ctx, symbol, func(v *view) {
		d = Depth{Symbol: v.symbol, Seq: v.book.Seq(), Bids: v.book.Top(depth.Bid, limit), Asks: v.book.Top(depth.Ask, limit)}
	})
	return d, err
}

// ListTrades returns the newest trades, or, with from > 0, those from that id on, in
// both cases ascending and at most size (0 is DefaultPage). It returns ErrUnknownSymbol
// and ErrLimit.
func (a *App) ListTrades(ctx context.Context, symbol string, from int64, size int) (Symbol, []Trade, error) {
	size, err := bounded(size, DefaultPage, MaxPage)
	if err != nil {
		return Symbol{}, nil, err
	}
	if from < 0 {
		return Symbol{}, nil, ErrLimit.With("trade id is negative")
	}
	var page []Trade
	var s Symbol
	inMemory := false
	err = a.read(ctx, symbol, func(v *view) {
		s = v.symbol
		page, inMemory = v.page(from, size)
	})
	if err != nil || inMemory {
		return s, page, err
	}
	page, err = a.store.Trades(ctx, symbol, from, size)
	if err != nil {
		return s, nil, fmt.Errorf("list trades: %w", err)
	}
	return s, page, nil
}

// page returns copies of recent trades, and whether those are all that were asked for.
func (v *view) page(from int64, size int) ([]Trade, bool) {
	if from == 0 {
		return slices.Clone(v.recent[max(0, len(v.recent)-size):]), true
	}
	if len(v.recent) > 0 && from < v.recent[0].ID {
		return nil, false
	}
	i, _ := slices.BinarySearchFunc(v.recent, from, func(t Trade, id int64) int {
		switch {
		case t.ID < id:
			return -1
		case t.ID > id:
			return 1
		}
		return 0
	})
	return slices.Clone(v.recent[i:min(i+size, len(v.recent))]), true
}

// Ticker are the statistics of a symbol with its best prices, all of one moment.
type Ticker struct {
	Symbol Symbol
	ticker.Stats
	// Bid and Ask are the best levels; zero when there is none.
	Bid, Ask depth.Level
}

// ListTickers returns the statistics of the given symbols in their order, or of all by
// name. It returns ErrUnknownSymbol.
func (a *App) ListTickers(ctx context.Context, symbols []string) ([]Ticker, error) {
	all := len(symbols) == 0
	if all {
		symbols = a.names()
	}
	list := make([]Ticker, 0, len(symbols))
	nowMs := a.clk.NowMs()
	for _, name := range symbols {
		err := a.read(ctx, name, func(v *view) {
			t := Ticker{Symbol: v.symbol, Stats: v.window.At(nowMs)}
			t.Bid, _ = v.book.Best(depth.Bid)
			t.Ask, _ = v.book.Best(depth.Ask)
			list = append(list, t)
		})
		if all && errs.CodeOf(err) == errs.CodeUnknownSymbol {
			continue // listed this very moment
		}
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Seq returns the number of the last record that the symbol's view shows, 0 when there
// is no view.
func (a *App) Seq(ctx context.Context, symbol string) (seq int64, err error) {
	err = a.read(ctx, symbol, func(v *view) { seq = v.book.Seq() })
	if errors.Is(err, ErrUnknownSymbol) {
		return 0, nil
	}
	return seq, err
}

func (a *App) names() []string {
	a.mu.RLock()
	defer a.mu.RUnlock()
	names := make([]string, 0, len(a.views))
	for name := range a.views {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// bounded replaces 0 by the default and checks the range.
func bounded(n, otherwise, largest int) (int, error) {
	if n == 0 {
		return otherwise, nil
	}
	if n < 0 || n > largest {
		return 0, ErrLimit.With(fmt.Sprintf("1 to %d", largest))
	}
	return n, nil
}
