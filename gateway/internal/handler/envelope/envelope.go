// Package envelope is how the site's and the operators' APIs answer:
// {"code","message","data"} with code 0 for success and 4000 for a missing or ended
// session. The HTTP status says the same in HTTP's words.
package envelope

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/zeromicro/go-zero/core/logx"

	"mscoin/gateway/internal/param"
	"mscoin/gateway/internal/reply"
	"mscoin/mscoin-common/errs"
)

// Codes of the envelope.
const (
	// Success is the code of an answer with data.
	Success = 0
	// NotLoggedIn is the code of a request without a living session.
	NotLoggedIn = 4000
)

// codes are the envelope's codes by kind of error.
var codes = map[errs.Kind]int{
	errs.KindInvalidArgument:    4001,
	errs.KindPermissionDenied:   4003,
	errs.KindNotFound:           4004,
	errs.KindAlreadyExists:      4009,
	errs.KindFailedPrecondition: 4022,
	errs.KindTooManyRequests:    4029,
	errs.KindUnauthenticated:    NotLoggedIn,
	errs.KindInternal:           5000,
	errs.KindOverloaded:         5003,
	errs.KindUnavailable:        5003,
	errs.KindUnknownOutcome:     5004,
}

const badCredentials = 4002

type body struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Data    any    `json:"data"`
}

// reason is the data of a failure.
type reason struct {
	Reason errs.Code `json:"reason"`
}

// OK writes data.
func OK(w http.ResponseWriter, data any) {
	reply.JSON(w, http.StatusOK, body{Code: Success, Message: "success", Data: data})
}

// Fail writes an error: its public message and stable code, never its cause.
func Fail(w http.ResponseWriter, err error) {
	fault := errs.From(err)
	code, ok := codes[fault.Kind]
	if !ok {
		code = codes[errs.KindInternal]
	}
	if fault.Code == errs.CodeBadCredentials {
		code = badCredentials // a wrong password is not an ended session
	}
	message := fault.PublicMessage()
	if fault.Kind == errs.KindUnknownOutcome {
		message = "no answer in time; it may have been done: query before repeating it"
	}
	reply.JSON(w, fault.Kind.HTTPStatus(), body{Code: code, Message: message, Data: reason{fault.Code}})
}

// Errors of requests that no service has seen.
var (
	ErrNotLoggedIn = errs.New(errs.KindUnauthenticated, errs.CodeUnauthenticated, "not logged in")
	errNotFound    = errs.New(errs.KindNotFound, errs.CodeBadRequest, "no such endpoint")
	errBusy        = errs.New(errs.KindUnavailable, errs.CodeUnavailable, "too many requests at once; try again")
	errBroken      = errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "internal error")
)

// BadRequest refuses a request and says what is wrong with it. The text must not
// repeat what the client sent.
func BadRequest(text string) error {
	return errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, text)
}

// NotFound answers an unknown path.
func NotFound(w http.ResponseWriter, _ *http.Request) { Fail(w, errNotFound) }

// MethodNotAllowed answers a method that a path does not have.
func MethodNotAllowed(w http.ResponseWriter, _ *http.Request) {
	reply.JSON(w, http.StatusMethodNotAllowed, body{Code: 4005, Message: "method not allowed", Data: reason{errs.CodeBadRequest}})
}

// Busy refuses a request before anything of it was done.
func Busy(w http.ResponseWriter, _ *http.Request) { Fail(w, errBusy) }

// Broken answers a request whose handler broke: what it did is unknown.
func Broken(w http.ResponseWriter, _ *http.Request) { Fail(w, errBroken) }

// Handle wraps a handler: it reads the fields of the request, gives it its time, and
// writes what it returns. A handler that changes something goes on when its client
// hangs up.
func Handle(timeout time.Duration, handle func(ctx context.Context, r *http.Request, f *Fields) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx := r.Context()
		if r.Method != http.MethodGet {
			ctx = context.WithoutCancel(ctx)
		}
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		fields, err := Read(r)
		var data any
		if err == nil {
			data, err = handle(ctx, r, fields)
		}
		if err != nil {
			if errs.KindOf(err).HTTPStatus() >= http.StatusInternalServerError {
				logx.WithContext(ctx).Errorf("%s %s: %v", r.Method, r.URL.Path, err)
			}
			Fail(w, err)
			return
		}
		OK(w, data)
	}
}

// Read reads the fields of a request; errors repeat nothing of it.
func Read(r *http.Request) (*Fields, error) {
	raw, err := param.Read(r)
	if err != nil {
		return nil, refusal(err)
	}
	fields, err := decode(raw)
	if err != nil {
		return nil, refusal(err)
	}
	return fields, nil
}

func refusal(err error) error {
	for _, known := range []error{param.ErrTooLarge, param.ErrTooMany, param.ErrDuplicate, param.ErrEncoding, errJSON} {
		if errors.Is(err, known) {
			return BadRequest(known.Error())
		}
	}
	return BadRequest("the request could not be read")
}
