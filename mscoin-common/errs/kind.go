package errs

// Kind is what a caller must know to act: whether the request was wrong, refused,
// not done, or perhaps done.
type Kind uint8

// The kinds. Business refusals (no funds, bad price) are KindInvalidArgument or
// KindFailedPrecondition, never KindInternal or KindUnavailable: breakers count
// those as failures of the service.
const (
	// KindNone is the kind of a nil error.
	KindNone Kind = iota
	// KindInvalidArgument: the request can never succeed as it is.
	KindInvalidArgument
	// KindFailedPrecondition: the request is well formed, the state refuses it.
	KindFailedPrecondition
	// KindNotFound: what the request names does not exist, or is not the caller's.
	KindNotFound
	// KindAlreadyExists: what the request would create exists.
	KindAlreadyExists
	// KindUnauthenticated: the caller did not prove who it is.
	KindUnauthenticated
	// KindPermissionDenied: the caller is known and may not do this.
	KindPermissionDenied
	// KindTooManyRequests: the caller's own limit is used up.
	KindTooManyRequests
	// KindOverloaded: refused before anything was done, because the exchange is behind
	// with its work; safe to send again after a pause. Unlike KindUnavailable it says
	// that the service is well and protects itself.
	KindOverloaded
	// KindUnavailable: refused before anything was done; safe to send again.
	KindUnavailable
	// KindUnknownOutcome: it may have happened, or may happen yet; query, or repeat
	// with the same idempotency key. Never to be reported as a failure.
	KindUnknownOutcome
	// KindInternal: a defect or a broken dependency; the log has the truth.
	KindInternal

	kindEnd // keep last
)

// kindInfo is a line of the table that maps a Kind to the outside.
type kindInfo struct {
	name string
	grpc uint32 // google.golang.org/grpc/codes, as numbers: this package is pure
	http int
}

// kinds is the one table Kind → gRPC code → HTTP status.
//
// KindTooManyRequests and KindOverloaded are Aborted and KindUnknownOutcome is Unknown
// on gRPC, because go-zero's breaker counts ResourceExhausted, Unavailable and
// DeadlineExceeded as failures of the service. The kind's name travels beside the code, so nothing is lost.
var kinds = [kindEnd]kindInfo{
	KindNone:               {"NONE", 0, 200},
	KindInvalidArgument:    {"INVALID_ARGUMENT", 3, 400},
	KindFailedPrecondition: {"FAILED_PRECONDITION", 9, 400},
	KindNotFound:           {"NOT_FOUND", 5, 404},
	KindAlreadyExists:      {"ALREADY_EXISTS", 6, 409},
	KindUnauthenticated:    {"UNAUTHENTICATED", 16, 401},
	KindPermissionDenied:   {"PERMISSION_DENIED", 7, 403},
	KindTooManyRequests:    {"TOO_MANY_REQUESTS", 10, 429},
	KindOverloaded:         {"OVERLOADED", 10, 503},
	KindUnavailable:        {"UNAVAILABLE", 14, 503},
	KindUnknownOutcome:     {"UNKNOWN_OUTCOME", 2, 504},
	KindInternal:           {"INTERNAL", 13, 500},
}

// String returns the stable name of the kind, "INTERNAL" for a value out of range.
func (k Kind) String() string { return k.info().name }

// HTTPStatus returns the HTTP status a client gets for this kind.
func (k Kind) HTTPStatus() int { return k.info().http }

// GRPCCode returns the number of the gRPC code this kind travels as.
func (k Kind) GRPCCode() uint32 { return k.info().grpc }

func (k Kind) info() kindInfo {
	if k >= kindEnd {
		return kinds[KindInternal]
	}
	return kinds[k]
}

// ParseKind returns the kind of that name and whether there is one.
func ParseKind(name string) (Kind, bool) {
	for k := range kinds {
		if kinds[k].name == name {
			return Kind(k), true
		}
	}
	return KindInternal, false
}

// KindFromGRPC returns the kind of a gRPC code that came without the name of one
// of ours, so from the library or the network. Codes a transport can produce after
// the request was sent (Canceled, Unknown, DeadlineExceeded, Aborted, Internal,
// Unavailable, DataLoss) mean that the outcome is unknown; so does any code we do
// not know.
func KindFromGRPC(code uint32) Kind {
	switch code {
	case 0:
		return KindNone
	case 3, 11: // InvalidArgument, OutOfRange
		return KindInvalidArgument
	case 5:
		return KindNotFound
	case 6:
		return KindAlreadyExists
	case 7:
		return KindPermissionDenied
	case 8: // ResourceExhausted: refused by a limit before the handler ran
		return KindTooManyRequests
	case 9:
		return KindFailedPrecondition
	case 12: // Unimplemented: there is no handler that could have done anything
		return KindInternal
	case 16:
		return KindUnauthenticated
	default:
		return KindUnknownOutcome
	}
}
