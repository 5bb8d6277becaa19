package clock_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
)

var start = time.Date(2024, 1, 2, 3, 4, 5, 0, time.UTC)

func fired(c <-chan time.Time) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestFake_After(t *testing.T) {
	t.Run("fires when the clock reaches it and not before", func(t *testing.T) {
		f := clock.NewFake(start)
		c := f.After(time.Second)
		f.Advance(time.Second - 1)
		if fired(c) {
			t.Fatal("fired a nanosecond early")
		}
		f.Advance(1)
		if !fired(c) {
			t.Fatal("did not fire when due")
		}
		if n := f.Sleepers(); n != 0 {
			t.Fatalf("%d sleepers left", n)
		}
	})
	t.Run("a delay of zero or less fires at once", func(t *testing.T) {
		f := clock.NewFake(start)
		if !fired(f.After(0)) || !fired(f.After(-time.Second)) {
			t.Fatal("did not fire")
		}
	})
	t.Run("one advance fires several in order, each at its own time", func(t *testing.T) {
		f := clock.NewFake(start)
		late, early := f.After(2*time.Second), f.After(time.Second)
		f.Advance(time.Minute)
		if got := <-early; !got.Equal(start.Add(time.Second)) {
			t.Errorf("early got %v", got)
		}
		if got := <-late; !got.Equal(start.Add(2 * time.Second)) {
			t.Errorf("late got %v", got)
		}
		if got := f.Now(); !got.Equal(start.Add(time.Minute)) {
			t.Errorf("clock shows %v", got)
		}
	})
}

func TestFake_NewTicker(t *testing.T) {
	f := clock.NewFake(start)
	ticker := f.NewTicker(time.Second)
	f.Advance(3 * time.Second)
	if !fired(ticker.C) || fired(ticker.C) {
		t.Error("a slow reader gets one tick, the others are dropped")
	}
	f.Advance(time.Second)
	if !fired(ticker.C) {
		t.Error("the next tick is missing")
	}
	ticker.Stop()
	ticker.Stop()
	f.Advance(time.Hour)
	if fired(ticker.C) {
		t.Error("a stopped ticker ticked")
	}
}

func TestFake_AdvanceToNext(t *testing.T) {
	f := clock.NewFake(start)
	if f.AdvanceToNext() {
		t.Fatal("nothing is pending")
	}
	c := f.After(7 * time.Second)
	if !f.AdvanceToNext() || !fired(c) || f.NowMs() != start.Add(7*time.Second).UnixMilli() {
		t.Fatal("did not move to the pending sleeper")
	}
}

func TestFake_WaitForSleepers(t *testing.T) {
	t.Run("returns once the loop under test sleeps", func(t *testing.T) {
		f := clock.NewFake(start)
		done := make(chan error, 1)
		go func() { done <- clock.Sleep(t.Context(), f, time.Hour) }()
		if err := f.WaitForSleepers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		f.Advance(time.Hour)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
	t.Run("gives up with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := clock.NewFake(start).WaitForSleepers(ctx, 1); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
	})
}

func TestSleep(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	f := clock.NewFake(start)
	if err := clock.Sleep(ctx, f, 0); err != nil {
		t.Errorf("no delay: %v", err)
	}
	cancel()
	if err := clock.Sleep(ctx, f, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context is reported even without a delay: %v", err)
	}
	if err := clock.Sleep(ctx, f, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled context does not sleep: %v", err)
	}
}

func TestReal(t *testing.T) {
	clk := clock.Real()
	before := clk.Now()
	<-clk.After(time.Millisecond)
	if clk.Now().Sub(before) < time.Millisecond {
		t.Error("After returned early")
	}
	ticker := clk.NewTicker(time.Millisecond)
	<-ticker.C
	ticker.Stop()
	if clk.NowMs() < before.UnixMilli() {
		t.Error("time went back")
	}
}

func ExampleFake() {
	clk := clock.NewFake(time.UnixMilli(1_700_000_000_000))
	wake := clk.After(time.Second)
	clk.Advance(time.Second)
	fmt.Println((<-wake).UnixMilli(), clk.NowMs())
	// Output: 1700000001000 1700000001000
}

// byHand is a Scheduler that notes what is left to it.
type byHand struct {
	clock.Clock
	asked []string
}

func (s *byHand) Sleep(context.Context, time.Duration) error {
	s.asked = append(s.asked, "sleep")
	return nil
}

func (s *byHand) Await(_ context.Context, ready func() bool) {
	s.asked = append(s.asked, fmt.Sprintf("await %t", ready()))
}

func (s *byHand) WithTimeout(ctx context.Context, _ time.Duration) (context.Context, context.CancelFunc) {
	s.asked = append(s.asked, "timeout")
	return context.WithCancel(ctx)
}

func TestScheduler(t *testing.T) {
	wait := func(clk clock.Clock) {
		if err := clock.Sleep(t.Context(), clk, time.Nanosecond); err != nil {
			t.Fatal(err)
		}
		clock.Await(t.Context(), clk, func() bool { return true })
		_, cancel := clock.WithTimeout(t.Context(), clk, time.Hour)
		cancel()
	}
	t.Run("all waiting is left to a Scheduler", func(t *testing.T) {
		s := &byHand{Clock: clock.NewFake(time.UnixMilli(0))}
		wait(s)
		if got, want := fmt.Sprint(s.asked), "[sleep await true timeout]"; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})
	t.Run("the machine's clock is no Scheduler", func(*testing.T) { wait(clock.Real()) })
}
