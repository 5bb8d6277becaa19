package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/symbol"
)

// Lag is how far a consumer is behind on a partition.
type Lag struct {
	// Records that it has not consumed, and how old the oldest of them is.
	Records int64
	Age     time.Duration
}

// Backlog is how far a consumer is behind, by partition, and where it stands still.
type Backlog struct {
	Lags   map[int]Lag
	Halted map[string]bool
}

// Consumers tells how far a consumer is behind.
type Consumers interface {
	Backlog(ctx context.Context) (Backlog, error)
}

// AdmissionConfig are the limits of order entry.
type AdmissionConfig struct {
	// MaxRecords and MaxAge bound how far the order store or the wallet may be behind on
	// the partition of a new order's symbol.
	MaxRecords int64
	MaxAge     time.Duration
	// PollEvery is how often they are asked.
	PollEvery time.Duration
}

// Refusals of order entry. Nothing is stored or held when one is returned.
var (
	ErrSymbolHalted = errs.New(errs.KindFailedPrecondition, errs.CodeSymbolHalted, "the symbol is halted, its orders could not be settled now")
	ErrOverloaded   = errs.New(errs.KindOverloaded, errs.CodeOverloaded, "settlement is behind; try again in a moment")
)

// Admission refuses new orders, before anything is stored or held, whose trades could
// not be settled soon: when the order store or the wallet is too far behind on the
// symbol's partition, or stands still at the symbol. A cancel only takes risk away: it
// passes however far anybody is behind, unless the wallet stands still at the symbol,
// because then its money cannot be returned.
//
// What is refused is admitted again when the lag has fallen to half of the limit. A
// consumer that cannot be asked for longer than MaxAge may be as far behind, and counts
// as over the limit.
type Admission struct {
	cfg    AdmissionConfig
	clk    clock.Clock
	orders *watched
	wallet *watched
}

// watched is what is known of a consumer.
type watched struct {
	name string
	ask  Consumers

	mu     sync.RWMutex
	asked  time.Time // when it answered last
	halted map[string]bool
	full   map[int]Lag // partitions over the limit
}

// NewAdmission returns an admission that admits until it has asked; Run it.
func NewAdmission(cfg AdmissionConfig, clk clock.Clock, orders, wallet Consumers) *Admission {
	watch := func(name string, c Consumers) *watched { return &watched{name: name, ask: c, asked: clk.Now()} }
	return &Admission{cfg: cfg, clk: clk, orders: watch("order store", orders), wallet: watch("wallet", wallet)}
}

// Run asks both consumers now and then until ctx ends. One that does not answer does
// not keep the other from being asked.
func (a *Admission) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, w := range []*watched{a.orders, a.wallet} {
		wg.Go(func() {
			for ctx.Err() == nil {
				a.poll(ctx, w)
				if clock.Sleep(ctx, a.clk, a.cfg.PollEvery) != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	return nil
}

// poll asks one consumer once.
func (a *Admission) poll(ctx context.Context, w *watched) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.MaxAge)
	defer cancel()
	b, err := w.ask.Backlog(ctx)
	if err != nil {
		if ctx.Err() == nil {
			logx.WithContext(ctx).Errorf("admission: %s does not tell how far it is: %v", w.name, err)
		}
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	full := make(map[int]Lag, len(w.full))
	for partition, lag := range b.Lags {
		limit := a.cfg
		_, was := w.full[partition]
		if was {
			limit.MaxRecords, limit.MaxAge = limit.MaxRecords/2, limit.MaxAge/2
		}
		over := lag.Records > limit.MaxRecords || lag.Age > limit.MaxAge
		if over {
			full[partition] = lag
		}
		if over != was {
			logx.WithContext(ctx).Errorf("ALARM admission: new orders of partition %d refused: %t; %s is %d records and %v behind",
				partition, over, w.name, lag.Records, lag.Age)
		}
	}
	w.asked, w.halted, w.full = a.clk.Now(), b.Halted, full
}

// Place returns nil when a new order may be taken, ErrSymbolHalted or ErrOverloaded.
func (a *Admission) Place(r symbol.Rules) error {
	for _, w := range []*watched{a.orders, a.wallet} {
		if err := w.place(r, a.clk.Now(), a.cfg.MaxAge); err != nil {
			return err
		}
	}
	return nil
}

func (w *watched) place(r symbol.Rules, now time.Time, maxAge time.Duration) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.halted[r.Name] {
		return ErrSymbolHalted.Wrap(fmt.Errorf("%s stands still at %s", w.name, r.Name))
	}
	if lag, full := w.full[r.Partition]; full {
		return ErrOverloaded.Wrap(fmt.Errorf("%s is %d records and %v behind on partition %d", w.name, lag.Records, lag.Age, r.Partition))
	}
	if silent := now.Sub(w.asked); silent > maxAge {
		return ErrOverloaded.Wrap(fmt.Errorf("%s has not told for %v how far it is", w.name, silent))
	}
	return nil
}

// Cancel returns nil when a cancel may be taken, ErrSymbolHalted otherwise.
func (a *Admission) Cancel(r symbol.Rules) error {
	if a.wallet.stands(r.Name) {
		return ErrSymbolHalted.Wrap(fmt.Errorf("wallet stands still at %s", r.Name))
	}
	return nil
}

// Halted reports whether a consumer stands still at the symbol.
func (a *Admission) Halted(name string) bool { return a.orders.stands(name) || a.wallet.stands(name) }

func (w *watched) stands(name string) bool {
	w.mu.RLock()
	defer w.mu.RUnlock()
	return w.halted[name]
}
