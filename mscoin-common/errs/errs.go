// Package errs is the one error type that crosses the borders of the services: a
// [Kind] for the machine that decides what to do, a stable public [Code] for the
// client that wants to know which rule refused it, and a message for people.
//
// Inside a service errors are wrapped with %w and the operation; the outermost
// *Error of the chain decides what the caller is told:
//
//	return fmt.Errorf("place hold: %w", errs.New(errs.KindFailedPrecondition,
//		errs.CodeInsufficientBalance, "account has insufficient balance").With("coin USDT"))
//
// An error without an *Error in its chain is internal: the client is told
// "internal error", the log the truth.
//
// Two kinds must never be mixed up. [KindUnavailable] says that nothing was done;
// [KindUnknownOutcome] says that it may have been done, or may still be: the caller
// asks again with the same idempotency key or queries, and never reports a failure.
package errs

import "errors"

// Error is a refusal or failure with a kind, a stable code and a message. Values
// are immutable: With and Wrap return copies, so that an Error can be a package
// variable.
type Error struct {
	// Kind decides how the error travels and what a caller may do about it.
	Kind Kind
	// Code is the stable public name of the rule that refused.
	Code Code
	// Message is for people, in English, safe to show to a client.
	Message string
	// Detail says which value was refused ("price 1.234"), safe to show to a
	// client; empty when there is nothing to add.
	Detail string

	cause error
}

// New returns an error of that kind and code. The message is shown to clients: no
// secrets, no SQL, no addresses.
func New(kind Kind, code Code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// With returns a copy with the detail set. The detail is shown to clients.
func (e *Error) With(detail string) *Error {
	c := *e
	c.Detail = detail
	return &c
}

// Wrap returns a copy with err as its cause. The cause is logged and found by
// errors.Is and errors.As, but never shown to clients.
func (e *Error) Wrap(err error) *Error {
	c := *e
	c.cause = err
	return &c
}

// Error describes the error with its cause, for logs. Clients get PublicMessage.
func (e *Error) Error() string {
	text := string(e.Code) + ": " + e.PublicMessage()
	if e.cause != nil {
		text += ": " + e.cause.Error()
	}
	return text
}

// PublicMessage is the message with its detail and without the cause.
func (e *Error) PublicMessage() string {
	if e.Detail == "" {
		return e.Message
	}
	return e.Message + " (" + e.Detail + ")"
}

// Unwrap returns the cause, or nil.
func (e *Error) Unwrap() error { return e.cause }

// Is makes errors.Is compare kind and code, so that a package variable matches its
// copies with a detail or a cause.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Code == e.Code
}

// From returns the outermost *Error of err's chain. An error without one becomes
// an internal error that wraps it; nil stays nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return New(KindInternal, CodeInternal, "internal error").Wrap(err)
}

// KindOf returns the kind of the outermost *Error in err's chain, KindInternal for
// any other error and KindNone for nil.
func KindOf(err error) Kind {
	if err == nil {
		return KindNone
	}
	return From(err).Kind
}

// CodeOf returns the code of the outermost *Error in err's chain, CodeInternal for
// any other error and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	return From(err).Code
}
