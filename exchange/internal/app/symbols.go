package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/order"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Listed is a symbol with its phase.
type Listed struct {
	symbol.Rules
	Phase order.Phase
}

// symbols caches the rules; they are few and change rarely.
type symbols struct {
	mu sync.RWMutex
	by map[string]symbol.Rules
}

func newSymbols() *symbols { return &symbols{by: map[string]symbol.Rules{}} }

func (s *symbols) get(name string) (symbol.Rules, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.by[name]
	return r, ok
}

func (s *symbols) put(all ...symbol.Rules) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range all {
		s.by[r.Name] = r
	}
}

func (s *symbols) list() []symbol.Rules {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := make([]symbol.Rules, 0, len(s.by))
	for _, r := range s.by {
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b symbol.Rules) int { return cmp.Compare(a.Name, b.Name) })
	return all
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

// RepairSymbols tells the matcher the symbols that it does not know, because a
// listing was interrupted. It returns when it knows all.
func (a *App) RepairSymbols(ctx context.Context) error {
	for _, r := range a.symbols.list() {
		if err := a.announce(ctx, r); err != nil {
			return fmt.Errorf("repair listing of %s: %w", r.Name, err)
		}
	}
	return nil
}

// ListSymbols returns the symbols by name.
func (a *App) ListSymbols(context.Context) []Listed {
	all := a.symbols.list()
	out := make([]Listed, 0, len(all))
	for _, r := range all {
		out = append(out, a.listed(r))
	}
	return out
}

// Symbol returns the rules of a listed symbol.
func (a *App) Symbol(name string) (symbol.Rules, bool) { return a.symbols.get(name) }

func (a *App) listed(r symbol.Rules) Listed {
	phase, ok := a.deps.Book.Phase(r)
	if !ok {
		phase = order.PhaseHalt
	}
	return Listed{Rules: r, Phase: phase}
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
	a.symbols.put(stored)
	if err := a.announce(ctx, stored); err != nil {
		return Listed{}, fmt.Errorf("create symbol %s: %w", r.Name, err)
	}
	return a.listed(stored), nil
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
		if stored == r {
			return stored, nil
		}
	}
	return symbol.Rules{}, errs.New(errs.KindAlreadyExists, errs.CodeSymbolExists, "symbol is listed with other rules")
}

// announce tells the matcher a symbol, unless it knows it.
func (a *App) announce(ctx context.Context, r symbol.Rules) error {
	if _, known := a.deps.Book.Phase(r); known {
		return nil
	}
	if !a.deps.Book.Ready(r) {
		return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "the matcher is starting")
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
	r, err := a.tradable(name)
	if err != nil {
		return Listed{}, fmt.Errorf("set phase of symbol: %w", err)
	}
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
