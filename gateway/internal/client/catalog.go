package client

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	eventpb "mscoin/grpc-common/gen/event/v1"
	exchangepb "mscoin/grpc-common/gen/exchange/v1"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// missInterval bounds how often unknown names make the catalog ask the exchange.
const missInterval = 250 * time.Millisecond

// errUnknownSymbol is what lookups of names that nobody listed return.
var errUnknownSymbol = errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "no such symbol")

// Catalog knows the listed symbols and their public names (BTC/USDT is BTCUSDT). It
// is a copy, refreshed at an interval and when a name is unknown: the exchange has
// the last word on rules and phase. Safe for concurrent use.
type Catalog struct {
	exchange exchangepb.ExchangeServiceClient
	clk      clock.Clock
	interval time.Duration
	timeout  time.Duration

	current atomic.Pointer[listing]

	mu       sync.Mutex // one refresh at a time
	failedAt time.Time
	failure  error // of the last refresh
}

// listing is one answer of the exchange. It is never changed.
type listing struct {
	symbols  []*exchangepb.Symbol
	byName   map[string]*exchangepb.Symbol
	byPublic map[string]*exchangepb.Symbol
	at       time.Time
}

// NewCatalog returns an empty catalog that Run refreshes every interval. A question to
// the exchange takes at most timeout.
func NewCatalog(exchange exchangepb.ExchangeServiceClient, clk clock.Clock, interval, timeout time.Duration) *Catalog {
	return &Catalog{exchange: exchange, clk: clk, interval: interval, timeout: timeout}
}

// Run refreshes the catalog until ctx ends. While the exchange does not answer the
// last listing stays.
func (c *Catalog) Run(ctx context.Context) error {
	ticker := c.clk.NewTicker(c.interval)
	defer ticker.Stop()
	failing := false
	for {
		_, err := c.refresh(ctx, 0)
		if failed := err != nil && ctx.Err() == nil; failed != failing {
			failing = failed
			if failed {
				logx.Errorf("symbol catalog: keep the last listing: %v", err)
			} else {
				logx.Info("symbol catalog: the exchange answers again")
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// All returns the symbols by name. The slice and its elements must not be changed.
func (c *Catalog) All(ctx context.Context) ([]*exchangepb.Symbol, error) {
	l, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	return l.symbols, nil
}

// ByPublic returns the symbol of a public name like BTCUSDT; errs.CodeUnknownSymbol
// when there is none.
func (c *Catalog) ByPublic(ctx context.Context, public string) (*exchangepb.Symbol, error) {
	return c.find(ctx, func(l *listing) *exchangepb.Symbol { return l.byPublic[public] })
}

// ByAnyName returns the symbol of a name like BTC/USDT or BTCUSDT;
// errs.CodeUnknownSymbol when there is none.
func (c *Catalog) ByAnyName(ctx context.Context, name string) (*exchangepb.Symbol, error) {
	return c.find(ctx, func(l *listing) *exchangepb.Symbol {
		if s, ok := l.byName[name]; ok {
			return s
		}
		return l.byPublic[name]
	})
}

// Forget makes the next lookup ask the exchange, after an operator changed a listing.
func (c *Catalog) Forget() { c.current.Store(nil) }

// PublicName returns the name the dialect uses: BTC/USDT is BTCUSDT.
func PublicName(name string) string { return strings.Replace(name, "/", "", 1) }

func (c *Catalog) find(ctx context.Context, pick func(*listing) *exchangepb.Symbol) (*exchangepb.Symbol, error) {
	l, err := c.load(ctx)
	if err != nil {
		return nil, err
	}
	if s := pick(l); s != nil {
		return s, nil
	}
	if l, err = c.refresh(ctx, missInterval); err != nil {
		return nil, err
	}
	if s := pick(l); s != nil {
		return s, nil
	}
	return nil, errUnknownSymbol
}

func (c *Catalog) load(ctx context.Context) (*listing, error) {
	if l := c.current.Load(); l != nil {
		return l, nil
	}
	return c.refresh(ctx, missInterval)
}

// refresh asks the exchange unless the last answer, or failure, is younger than minAge.
// Callers that meet a refresh under way wait for it and share its result.
func (c *Catalog) refresh(ctx context.Context, minAge time.Duration) (*listing, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l := c.current.Load(); l != nil && c.clk.Now().Sub(l.at) < minAge {
		return l, nil
	}
	if c.failure != nil && c.clk.Now().Sub(c.failedAt) < minAge {
		return nil, c.failure
	}
	// Others wait for this answer, so one caller that leaves must not spoil it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	resp, err := c.exchange.ListSymbols(ctx, &exchangepb.ListSymbolsRequest{})
	if err != nil {
		c.failedAt = c.clk.Now()
		c.failure = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "symbols are not known yet").
			Wrap(fmt.Errorf("list symbols: %w", err))
		return nil, c.failure
	}
	c.failure = nil
	l := &listing{symbols: resp.GetSymbols(), at: c.clk.Now()}
	l.byName = make(map[string]*exchangepb.Symbol, len(l.symbols))
	l.byPublic = make(map[string]*exchangepb.Symbol, len(l.symbols))
	for _, s := range l.symbols {
		l.byName[s.GetName()] = s
		public := PublicName(s.GetName())
		if other, taken := l.byPublic[public]; taken {
			logx.Errorf("symbol catalog: %s and %s share the public name %s", other.GetName(), s.GetName(), public)
			continue
		}
		l.byPublic[public] = s
	}
	c.current.Store(l)
	return l, nil
}

// Trading reports whether the symbol accepts everything.
func Trading(s *exchangepb.Symbol) bool { return s.GetPhase() == eventpb.Phase_PHASE_TRADING }
