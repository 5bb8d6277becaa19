package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Listed is a symbol with its phase.
type Listed struct {
	symbol.Rules
	Phase order.Phase
}

const (
	// reloadPause bounds how often unknown names make an instance ask the database.
	reloadPause = 250 * time.Millisecond
	// refreshPause is how old what is shown of symbols of other instances may be.
	refreshPause = time.Second
)

// symbols caches the rules; they are few and change rarely.
type symbols struct {
	mu       sync.RWMutex
	by       map[string]Listed
	reloaded time.Time
}

func newSymbols() *symbols { return &symbols{by: map[string]Listed{}} }

func (s *symbols) get(name string) (Listed, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	l, ok := s.by[name]
	return l, ok
}

func (s *symbols) put(all ...Listed) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range all {
		s.by[l.Name] = l
	}
}

// mayReload reports whether the last reload is long enough ago, and notes this one.
func (s *symbols) mayReload(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.reloaded) < reloadPause {
		return false
	}
	s.reloaded = now
	return true
}

func (s *symbols) list() []Listed {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return slices.SortedFunc(maps.Values(s.by), func(a, b Listed) int { return cmp.Compare(a.Name, b.Name) })
}

// LoadSymbols reads the rules of all symbols.
func (a *App) LoadSymbols(ctx context.Context) error {
	all, err := a.deps.Store.Symbols(ctx)
	if err != nil {
		return fmt.Errorf("load symbols: %w", err)
	}
	a.symbols.put(all...)
	return nil
}

// FollowSymbols reads the rules again and again until ctx ends: symbols are listed, and
// phases set, through other instances too.
func (a *App) FollowSymbols(ctx context.Context) error {
	for {
		if err := clock.Sleep(ctx, a.deps.Clock, refreshPause); err != nil {
			return nil //nolint:nilerr // asked to stop
		}
		if err := a.LoadSymbols(ctx); err != nil && ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("%v", err)
		}
	}
}

// RepairSymbols tells the matcher the symbols of a partition that it does not know, because
// a listing was interrupted. It returns when it knows all, but for those that are on their
// way to another partition: they are listed already.
func (a *App) RepairSymbols(ctx context.Context, partition int) error {
	moves, err := a.deps.Store.Moves(ctx) // before the symbols: one that has ended since is seen where it is now
	if err != nil {
		return fmt.Errorf("load moves: %w", err)
	}
	if err := a.LoadSymbols(ctx); err != nil {
		return err
	}
	for _, l := range a.symbols.list() {
		if l.Partition != partition || slices.ContainsFunc(moves, func(m Move) bool { return m.Symbol == l.Name }) {
			continue
		}
		if err := a.announce(ctx, l.Rules); err != nil {
			return fmt.Errorf("repair listing of %s: %w", l.Name, err)
		}
	}
	return nil
}

// ListSymbols returns the symbols by name.
func (a *App) ListSymbols(context.Context) []Listed {
	all := a.symbols.list()
	out := make([]Listed, 0, len(all))
	for _, l := range all {
		out = append(out, a.listed(l))
	}
	return out
}

// Symbol returns the rules of a listed symbol.
func (a *App) Symbol(ctx context.Context, name string) (symbol.Rules, error) {
	return a.rules(ctx, name)
}

// listed shows the phase as the matcher has it; of a symbol whose matcher is elsewhere, as
// the order store had it a moment ago.
func (a *App) listed(l Listed) Listed {
	if phase, ok := a.deps.Book.Phase(l.Rules); ok {
		l.Phase = phase
	}
	return l
}

// CreateSymbol lists a symbol: the rules are stored, then the matcher is told, and
// the answer waits until it knows them. Repeating it with the same rules is no error
// and repairs a listing that was interrupted. The partition of r is ignored.
func (a *App) CreateSymbol(ctx context.Context, r symbol.Rules) (Listed, error) {
	if err := a.checkNewSymbol(ctx, r); err != nil {
		return Listed{}, fmt.Errorf("create symbol: %w", err)
	}
	stored, err := a.deps.Store.InsertSymbol(ctx, r, a.cfg.Partitions)
	if errors.Is(err, ErrDuplicate) {
		stored, err = a.sameSymbol(ctx, r)
	}
	if err != nil {
		return Listed{}, fmt.Errorf("create symbol %s: %w", r.Name, err)
	}
	l := Listed{Rules: stored, Phase: order.PhaseTrading}
	a.symbols.put(l)
	if err := a.announce(ctx, stored); err != nil {
		return Listed{}, fmt.Errorf("create symbol %s: %w", r.Name, err)
	}
	return a.listed(l), nil
}

// checkNewSymbol checks the rules, and that both coins are kept with the scale the
// rules count in: amounts would mean something else in the wallet otherwise.
func (a *App) checkNewSymbol(ctx context.Context, r symbol.Rules) error {
	r.Partition = 0
	if err := r.Validate(); err != nil {
		return err
	}
	scales, err := a.deps.Wallet.Scales(ctx)
	if err != nil {
		return fmt.Errorf("list coins: %w", err)
	}
	for _, c := range []struct {
		coin  string
		scale int
	}{{r.Base, r.BaseScale}, {r.Quote, r.QuoteScale}} {
		scale, ok := scales[c.coin]
		if !ok {
			return errs.New(errs.KindNotFound, errs.CodeUnknownCoin, "unknown coin").With(c.coin)
		}
		if scale != c.scale {
			return errs.New(errs.KindInvalidArgument, errs.CodeBadSymbolRules, "the coin has another scale").
				With(fmt.Sprintf("%s has %d decimals, not %d", c.coin, scale, c.scale))
		}
	}
	return nil
}

// sameSymbol returns the stored rules if they are the ones asked for.
func (a *App) sameSymbol(ctx context.Context, r symbol.Rules) (symbol.Rules, error) {
	all, err := a.deps.Store.Symbols(ctx)
	if err != nil {
		return symbol.Rules{}, err
	}
	for _, stored := range all {
		if stored.Name != r.Name {
			continue
		}
		r.Partition = stored.Partition
		if stored.Rules == r {
			return r, nil
		}
	}
	return symbol.Rules{}, errs.New(errs.KindAlreadyExists, errs.CodeSymbolExists, "symbol is listed with other rules")
}

// announce tells the matcher a symbol, unless it knows it.
func (a *App) announce(ctx context.Context, r symbol.Rules) error {
	leave, err := a.deps.Book.Enter(r)
	if err != nil {
		return err
	}
	defer leave()
	if _, known := a.deps.Book.Phase(r); known {
		return nil
	}
	res, err := a.deps.Commands.SetRules(ctx, r)
	if err != nil {
		return err
	}
	if res.Rejected {
		return res.Reason.Refusal()
	}
	logx.WithContext(ctx).Infof("symbol %s is listed on partition %d", r.Name, r.Partition)
	return nil
}

// SetSymbolPhase halts, restricts or resumes a symbol.
func (a *App) SetSymbolPhase(ctx context.Context, name string, phase order.Phase) (Listed, error) {
	r, leave, err := a.enter(ctx, name)
	if err != nil {
		return Listed{}, fmt.Errorf("set phase of symbol: %w", err)
	}
	defer leave()
	if phase < order.PhaseTrading || phase > order.PhaseHalt {
		return Listed{}, errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "no such phase")
	}
	res, err := a.deps.Commands.SetPhase(ctx, r, phase)
	if err != nil {
		return Listed{}, fmt.Errorf("set phase of %s: %w", name, err)
	}
	if res.Rejected {
		return Listed{}, fmt.Errorf("set phase of %s: %w", name, res.Reason.Refusal())
	}
	return Listed{Rules: r, Phase: phase}, nil
}
