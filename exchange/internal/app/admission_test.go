package app_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/exchange/internal/app"
	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/symbol"
	"mscoin/mscoin-common/testkit"
)

func TestMain(m *testing.M) {
	logx.Disable()
	m.Run()
}

// backlogs answers as it is told, and counts.
type backlogs struct {
	answers chan app.Backlog // one for each poll; none is an error
	polls   chan struct{}
}

func newBacklogs() *backlogs {
	return &backlogs{answers: make(chan app.Backlog, 1), polls: make(chan struct{})}
}

var errAway = errors.New("away")

func (a *backlogs) Backlog(ctx context.Context) (app.Backlog, error) {
	select {
	case a.polls <- struct{}{}:
	case <-ctx.Done():
		return app.Backlog{}, ctx.Err()
	}
	select {
	case b := <-a.answers:
		return b, nil
	default:
		return app.Backlog{}, errAway
	}
}

const patience = 20 * time.Second

// rig is an admission whose two consumers are asked when the test says so.
type rig struct {
	*app.Admission

	t              *testing.T
	clk            *clock.Fake
	orders, wallet *backlogs
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, clk: clock.NewFake(time.UnixMilli(1_000_000)), orders: newBacklogs(), wallet: newBacklogs()}
	r.Admission = app.NewAdmission(app.AdmissionConfig{MaxRecords: 100, MaxAge: 10 * time.Second, PollEvery: time.Second}, r.clk, r.orders, r.wallet)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return r
}

// poll has both asked once; nil does not answer.
func (r *rig) poll(orders, wallet *app.Backlog) {
	r.t.Helper()
	for c, answer := range map[*backlogs]*app.Backlog{r.orders: orders, r.wallet: wallet} {
		if answer != nil {
			c.answers <- *answer
		}
		<-c.polls
	}
	testkit.Eventually(r.t, patience, func() bool { return r.clk.Sleepers() == 2 }, "both have been asked")
	r.clk.Advance(time.Second)
}

func behind(partition int, records int64, age time.Duration) *app.Backlog {
	return &app.Backlog{Lags: map[int]app.Lag{partition: {Records: records, Age: age}}}
}

func TestAdmission(t *testing.T) {
	btc, eth := symbol.Rules{Name: "BTC/USDT", Partition: 0}, symbol.Rules{Name: "ETH/USDT", Partition: 1}
	ok := &app.Backlog{}
	for who, lagging := range map[string]func(b *app.Backlog) (orders, wallet *app.Backlog){
		"order store": func(b *app.Backlog) (*app.Backlog, *app.Backlog) { return b, ok },
		"wallet":      func(b *app.Backlog) (*app.Backlog, *app.Backlog) { return ok, b },
	} {
		for what, lag := range map[string]*app.Backlog{
			"too many records": behind(0, 101, 0), "too old a record": behind(0, 1, 10*time.Second+1),
		} {
			t.Run("new orders of the partition are refused, cancels pass: "+who+", "+what, func(t *testing.T) {
				r := newRig(t)
				r.poll(lagging(lag))
				if err := r.Place(btc); !errors.Is(err, app.ErrOverloaded) {
					t.Errorf("place: %v", err)
				}
				if err := r.Place(eth); err != nil {
					t.Errorf("another partition: %v", err)
				}
				if err := r.Cancel(btc); err != nil {
					t.Errorf("cancel: %v", err)
				}
			})
		}
		t.Run("they are admitted again at half of the limit, not before: "+who, func(t *testing.T) {
			r := newRig(t)
			for _, step := range []struct {
				lag     *app.Backlog
				refused bool
			}{
				{behind(0, 100, 10*time.Second), false},
				{behind(0, 101, 0), true},
				{behind(0, 51, 0), true},
				{behind(0, 0, 5*time.Second+1), true},
				{behind(0, 50, 5*time.Second), false},
				{behind(0, 100, 0), false},
			} {
				r.poll(lagging(step.lag))
				if err := r.Place(btc); (err != nil) != step.refused {
					t.Errorf("%+v: %v", step.lag.Lags, err)
				}
			}
		})
	}
	t.Run("a consumer that cannot be asked counts as too far behind once it could be", func(t *testing.T) {
		r := newRig(t)
		for second := range 12 {
			if err := r.Place(btc); (err != nil) != (second > 10) {
				t.Errorf("after %d s: %v", second, err)
			}
			r.poll(ok, nil)
		}
		if err := r.Cancel(btc); err != nil {
			t.Errorf("cancel: %v", err)
		}
		r.poll(ok, ok)
		if err := r.Place(btc); err != nil {
			t.Errorf("it answers again: %v", err)
		}
	})
	t.Run("a symbol at which the order store stands still takes cancels only, one at which the wallet does nothing", func(t *testing.T) {
		r := newRig(t)
		r.poll(&app.Backlog{Halted: map[string]bool{btc.Name: true}}, &app.Backlog{Halted: map[string]bool{eth.Name: true}})
		for _, s := range []symbol.Rules{btc, eth} {
			if err := r.Place(s); !errors.Is(err, app.ErrSymbolHalted) || !r.Halted(s.Name) {
				t.Errorf("place on %s: %v", s.Name, err)
			}
		}
		if err := r.Cancel(btc); err != nil {
			t.Errorf("its money can be returned: %v", err)
		}
		if err := r.Cancel(eth); !errors.Is(err, app.ErrSymbolHalted) {
			t.Errorf("its money cannot be returned: %v", err)
		}
		if err := r.Place(symbol.Rules{Name: "LTC/USDT"}); err != nil {
			t.Errorf("others go on: %v", err)
		}
	})
}
