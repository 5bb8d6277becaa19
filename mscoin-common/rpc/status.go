package rpc

import (
	"context"
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"mscoin/mscoin-common/errs"
)

// errorDomain marks our own errors among the details of a status.
const errorDomain = "mscoin"

// Keys of the metadata that travels with an error.
const (
	metaKind    = "kind"
	metaMessage = "message"
	metaDetail  = "detail"
)

// Code returns the gRPC code that errors of this kind travel with.
func Code(kind errs.Kind) codes.Code { return codes.Code(kind.GRPCCode()) }

// OutcomeUnknown reports whether a write that ended with err may nevertheless have been executed, or may
// be yet. Such a write must be repeated with the same idempotency key or looked up; it is never to be
// reported as a failure.
func OutcomeUnknown(err error) bool {
	kind := errs.KindOf(err)
	return kind == errs.KindUnknownOutcome || kind == errs.KindInternal
}

// toStatus turns a handler's error into what is sent. Only the *errs.Error of the chain is shown; an ended
// context without one has an unknown outcome.
func toStatus(err error) error {
	if err == nil {
		return nil
	}
	e := errs.From(err)
	if _, own := errors.AsType[*errs.Error](err); !own && contextEnded(err) {
		e = errs.New(errs.KindUnknownOutcome, errs.CodeUnknownOutcome, "request ran out of time")
	}
	info := &errdetails.ErrorInfo{
		Reason:   string(e.Code),
		Domain:   errorDomain,
		Metadata: map[string]string{metaKind: e.Kind.String(), metaMessage: e.Message},
	}
	if e.Detail != "" {
		info.Metadata[metaDetail] = e.Detail
	}
	st, detailErr := status.New(Code(e.Kind), e.PublicMessage()).WithDetails(info)
	if detailErr != nil { // only for a code of OK, which no error has
		return status.Error(codes.Internal, "internal error")
	}
	return st.Err()
}

func contextEnded(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// fromStatus turns what a call returned into an *errs.Error. sent says whether the request may have left
// this process.
func fromStatus(err error, sent bool) error {
	if err == nil {
		return nil
	}
	st := status.Convert(err)
	for _, detail := range st.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok || info.GetDomain() != errorDomain {
			continue
		}
		kind, _ := errs.ParseKind(info.GetMetadata()[metaKind])
		return errs.New(kind, errs.Code(info.GetReason()), info.GetMetadata()[metaMessage]).
			With(info.GetMetadata()[metaDetail])
	}
	if !sent {
		return notSent(st.Code(), err)
	}
	kind := errs.KindFromGRPC(uint32(st.Code()))
	code, message := foreign(kind)
	return errs.New(kind, code, message).Wrap(err)
}

// notSent is for a request that never left: nothing was done.
func notSent(code codes.Code, err error) error {
	switch code { //nolint:exhaustive // all others are defects on this side
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled:
		return errs.New(errs.KindUnavailable, errs.CodeUnavailable, "service is not reachable").Wrap(err)
	default:
		return errs.New(errs.KindInternal, errs.CodeInternal, "internal error").Wrap(err)
	}
}

// foreign names a status that did not come from one of our handlers.
func foreign(kind errs.Kind) (errs.Code, string) {
	switch kind {
	case errs.KindInvalidArgument, errs.KindNotFound, errs.KindAlreadyExists, errs.KindFailedPrecondition:
		return errs.CodeBadRequest, "request was refused"
	case errs.KindUnauthenticated:
		return errs.CodeUnauthenticated, "caller is not authenticated"
	case errs.KindPermissionDenied:
		return errs.CodePermissionDenied, "caller may not do this"
	case errs.KindTooManyRequests:
		return errs.CodeRateLimited, "too many requests"
	case errs.KindUnavailable:
		return errs.CodeUnavailable, "service is not reachable"
	case errs.KindUnknownOutcome:
		return errs.CodeUnknownOutcome, "outcome is unknown"
	case errs.KindNone, errs.KindOverloaded, errs.KindInternal:
	}
	return errs.CodeInternal, "internal error"
}
