// Package invariant stops the program where a rule that must always hold does
// not: the only place of this module that panics.
//
// An invariant is a statement about our own code and data ("a level of the book
// has orders", "a transaction sums to zero"), never about what a client, the
// network or a disk may do: those are errors and are returned. A loop that owns a
// symbol or a partition lets the panic through, so that it stops loudly instead of
// going on with wrong numbers; a server turns it into an internal error with
// [Recovered].
package invariant

import (
	"errors"
	"fmt"
)

// Violation is the value of the panic: the rule that was broken, in words.
type Violation struct {
	// Message names the rule and the values that break it.
	Message string
}

// Error implements error, so that a recovered violation can be logged and wrapped.
func (v *Violation) Error() string { return "invariant violated: " + v.Message }

// Must panics with a *Violation unless cond holds. The message is formatted only
// when it does not, yet the arguments are evaluated always: keep them cheap.
func Must(cond bool, format string, args ...any) {
	if cond {
		return
	}
	panic(&Violation{Message: fmt.Sprintf(format, args...)})
}

// Recovered turns the value of recover() into an error: a *Violation stays itself,
// anything else is described. It returns nil for nil.
func Recovered(value any) error {
	if value == nil {
		return nil
	}
	if err, ok := value.(error); ok {
		return err
	}
	return fmt.Errorf("panic: %v", value)
}

// IsViolation reports whether err is, or wraps, a broken invariant.
func IsViolation(err error) bool {
	var v *Violation
	return errors.As(err, &v)
}
