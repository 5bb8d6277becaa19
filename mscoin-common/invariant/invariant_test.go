package invariant_test

import (
	"errors"
	"fmt"
	"testing"

	"mscoin/mscoin-common/invariant"
)

func catch(f func()) (value any) {
	defer func() { value = recover() }()
	f()
	return nil
}

func TestMust(t *testing.T) {
	t.Run("a rule that holds does nothing", func(t *testing.T) {
		if v := catch(func() { invariant.Must(true, "never %d", 1) }); v != nil {
			t.Fatalf("panicked with %v", v)
		}
	})
	t.Run("a broken rule panics with a Violation that names it", func(t *testing.T) {
		err := invariant.Recovered(catch(func() { invariant.Must(false, "sum is %d", 7) }))
		if !invariant.IsViolation(fmt.Errorf("settle: %w", err)) {
			t.Fatalf("got %v, want a violation", err)
		}
		if got, want := err.Error(), "invariant violated: sum is 7"; got != want {
			t.Fatalf("got %q, want %q", got, want)
		}
	})
}

func TestRecovered(t *testing.T) {
	if err := invariant.Recovered(nil); err != nil {
		t.Errorf("nil became %v", err)
	}
	sentinel := errors.New("boom")
	if err := invariant.Recovered(sentinel); !errors.Is(err, sentinel) {
		t.Errorf("an error must stay itself, got %v", err)
	}
	if err := invariant.Recovered("text"); err == nil || invariant.IsViolation(err) {
		t.Errorf("a foreign panic is described and is no violation, got %v", err)
	}
}

func ExampleMust() {
	defer func() { fmt.Println(recover()) }()
	debit, credit := 5, 4
	invariant.Must(debit == credit, "journal entry does not sum to zero: %d != %d", debit, credit)
	// Output: invariant violated: journal entry does not sum to zero: 5 != 4
}
