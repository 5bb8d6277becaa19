package app

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/errs"
)

// holdStore places holds of odd orders and refuses those of even ones. before, if
// set, may fail a transaction or keep it waiting.
type holdStore struct {
	Store

	mu      sync.Mutex
	batches [][]HoldRequest
	before  func(reqs []HoldRequest) error
}

func (s *holdStore) Coin(_ context.Context, name string) (Coin, bool, error) {
	return Coin{Name: name, Scale: 8}, true, nil
}

func (s *holdStore) PlaceHolds(_ context.Context, reqs []HoldRequest) ([]HoldResult, error) {
	s.mu.Lock()
	s.batches = append(s.batches, slices.Clone(reqs))
	s.mu.Unlock()
	if s.before != nil {
		if err := s.before(reqs); err != nil {
			return nil, err
		}
	}
	out := make([]HoldResult, len(reqs))
	for i, r := range reqs {
		out[i] = HoldResult{Held: r.Amount}
		if r.OrderID%2 == 0 {
			out[i] = HoldResult{Err: ErrInsufficientBalance}
		}
	}
	return out, nil
}

func (s *holdStore) sizes() (sizes []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

func runHolds(t *testing.T, s *holdStore) *App {
	t.Helper()
	a := New(s, never{}, clock.Real())
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return a
}

func holdOf(order int64) PlaceHold {
	return PlaceHold{OrderID: order, MemberID: 7, Coin: "USDT", Symbol: "BTC/USDT", Amount: strconv.FormatInt(order, 10)}
}

// together places holds of orders 1 to n while another transaction is under way, so
// that they share one, and returns each one's error.
func together(t *testing.T, a *App, s *holdStore, n int64, shared func(reqs []HoldRequest) error) []error {
	t.Helper()
	entered, release := make(chan struct{}), make(chan struct{})
	s.before = func(reqs []HoldRequest) error {
		if reqs[0].OrderID == 999 {
			close(entered)
			<-release
			return nil
		}
		return shared(reqs)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := a.PlaceHold(t.Context(), holdOf(999)); err != nil {
			t.Error(err)
		}
	})
	<-entered
	all := make([]error, n+1)
	for order := int64(1); order <= n; order++ {
		wg.Go(func() {
			held, err := a.PlaceHold(t.Context(), holdOf(order))
			if all[order] = err; err == nil && held != strconv.FormatInt(order, 10)+".00000000" {
				t.Errorf("order %d holds %s", order, held)
			}
		})
	}
	for a.holds.Queued() < int(n) {
		if t.Context().Err() != nil {
			t.Fatal("the holds do not queue")
		}
	}
	close(release)
	wg.Wait()
	return all
}

func TestApp_PlaceHold(t *testing.T) {
	t.Run("holds that arrive together share a transaction, each gets its own answer", func(t *testing.T) {
		s := &holdStore{}
		a := runHolds(t, s)
		all := together(t, a, s, 50, func([]HoldRequest) error { return nil })
		for order := 1; order <= 50; order++ {
			if refused := errors.Is(all[order], ErrInsufficientBalance); refused != (order%2 == 0) {
				t.Errorf("order %d: %v", order, all[order])
			}
		}
		if got := s.sizes(); !slices.Equal(got, []int{1, 50}) {
			t.Errorf("transactions of %v", got)
		}
	})
	t.Run("a request that breaks its transaction fails alone", func(t *testing.T) {
		s := &holdStore{}
		a := runHolds(t, s)
		broken := errors.New("broken")
		all := together(t, a, s, 9, func(reqs []HoldRequest) error {
			if slices.ContainsFunc(reqs, func(r HoldRequest) bool { return r.OrderID == 5 }) {
				return broken
			}
			return nil
		})
		for order := 1; order <= 9; order++ {
			if got := errors.Is(all[order], broken); got != (order == 5) || order == 7 && all[order] != nil {
				t.Errorf("order %d: %v", order, all[order])
			}
		}
	})
	t.Run("a database that is away is everybody's answer, without a second try", func(t *testing.T) {
		s := &holdStore{}
		a := runHolds(t, s)
		away := errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "outcome unknown")
		all := together(t, a, s, 9, func([]HoldRequest) error { return away })
		for order := 1; order <= 9; order++ {
			if errs.KindOf(all[order]) != errs.KindUnknownOutcome {
				t.Errorf("order %d: %v", order, all[order])
			}
		}
		if got := s.sizes(); !slices.Equal(got, []int{1, 9}) {
			t.Errorf("transactions of %v", got)
		}
	})
	t.Run("a caller that leaves does not hear a refusal, and harms nobody", func(t *testing.T) {
		s := &holdStore{}
		a := runHolds(t, s)
		entered, release := make(chan struct{}), make(chan struct{})
		s.before = func(reqs []HoldRequest) error {
			if reqs[0].OrderID == 1 {
				close(entered)
				<-release
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() { _, err := a.PlaceHold(ctx, holdOf(1)); gone <- err }()
		<-entered
		cancel()
		if err := <-gone; errs.KindOf(err) != errs.KindUnknownOutcome {
			t.Errorf("left: %v", err)
		}
		close(release)
		if _, err := a.PlaceHold(t.Context(), holdOf(3)); err != nil {
			t.Error(err)
		}
	})
	t.Run("nothing is held when the writer is at its end", func(t *testing.T) {
		s := &holdStore{}
		a := New(s, never{}, clock.Real())
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := a.Run(ctx); err != nil {
			t.Fatal(err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := a.PlaceHold(ctx, holdOf(1)); errs.KindOf(err) != errs.KindUnavailable || len(s.sizes()) != 0 {
			t.Errorf("%v, transactions of %v", err, s.sizes())
		}
	})
}
