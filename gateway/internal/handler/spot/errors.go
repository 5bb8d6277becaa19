package spot

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"mscoin/gateway/internal/param"
	"mscoin/mscoin-common/errs"
)

// Failure is an answer other than success: a status and the dialect's code and text.
// Clients match the texts, so they stand here literally and nowhere else.
type Failure struct {
	status     int
	retryAfter time.Duration

	// Code is the dialect's error code, below 0.
	Code int `json:"code"`
	// Message is the text that belongs to the code.
	Message string `json:"msg"`
}

// Error names the failure.
func (f *Failure) Error() string { return fmt.Sprintf("%d %d %s", f.status, f.Code, f.Message) }

func rejected(code int, message string) *Failure {
	return &Failure{status: http.StatusBadRequest, Code: code, Message: message}
}

// Failures without arguments.
var (
	errUnknown        = &Failure{status: http.StatusInternalServerError, Code: -1000, Message: "An unknown error occurred while processing the request."}
	errDisconnected   = &Failure{status: http.StatusServiceUnavailable, Code: -1001, Message: "Internal error; unable to process your request. Please try again."}
	errTooManyQueued  = &Failure{status: http.StatusTooManyRequests, Code: -1003, Message: "Too many requests queued.", retryAfter: time.Second}
	errUnexpected     = &Failure{status: http.StatusBadGateway, Code: -1006, Message: "An unexpected response was received from the message bus. Execution status unknown."}
	errTimeout        = &Failure{status: http.StatusGatewayTimeout, Code: -1007, Message: "Timeout waiting for response from backend server. Send status unknown; execution status unknown."}
	errBusy           = &Failure{status: http.StatusServiceUnavailable, Code: -1008, Message: "Server is currently overloaded with other requests. Please try again in a few minutes.", retryAfter: time.Second}
	errKeyFormat      = &Failure{status: http.StatusUnauthorized, Code: -2014, Message: "API-key format invalid."}
	errKeyRejected    = &Failure{status: http.StatusUnauthorized, Code: -2015, Message: "Invalid API-key, IP, or permissions for action."}
	errNotFound       = &Failure{status: http.StatusNotFound, Code: -1000, Message: "No such endpoint."}
	errMethod         = &Failure{status: http.StatusMethodNotAllowed, Code: -1020, Message: "This operation is not supported."}
	errTooLarge       = &Failure{status: http.StatusRequestEntityTooLarge, Code: -1101, Message: "Too many parameters; the request is larger than 64 KB."}
	errRejectedByAPI  = rejected(-1013, "The request is rejected by the API.")
	errSignature      = rejected(-1022, "Signature for this request is not valid.")
	errAhead          = rejected(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
	errOutsideWindow  = rejected(-1021, "Timestamp for this request is outside of the recvWindow.")
	errIllegalChars   = rejected(-1100, "Illegal characters found in a parameter.")
	errTooManyParams  = rejected(-1101, "Too many parameters sent for this endpoint.")
	errDuplicateParam = rejected(-1101, "Duplicate values for a parameter detected.")
	errPrecision      = rejected(-1111, "Precision is over the maximum defined for this asset.")
	errTimeInForce    = rejected(-1115, "Invalid timeInForce.")
	errOrderType      = rejected(-1116, "Invalid orderType.")
	errSide           = rejected(-1117, "Invalid side.")
	errSymbol         = rejected(-1121, "Invalid symbol.")
	errSymbolStatus   = rejected(-1122, "Invalid symbolStatus.")
	errInterval       = rejected(-1127, "More than 24 hours between startTime and endTime.")
	errCombination    = rejected(-1128, "Combination of optional parameters invalid.")
	errData           = rejected(-1130, "Invalid data sent for a parameter.")
	errRecvWindow     = rejected(-1131, "recvWindow must be less than 60000.")
	errTickerType     = rejected(-1139, "Invalid ticker type.")
	errRestrictions   = rejected(-1145, "Invalid cancelRestrictions")
	errRepeatedSymbol = rejected(-1151, "Symbol is present multiple times in the list.")
	errBadQuantity    = rejected(-1013, "Invalid quantity.")
	errBadPrice       = rejected(-1013, "Invalid price.")
	errBadQuoteQty    = rejected(-1013, "Invalid quoteOrderQty.")
	errClosed         = rejected(-1013, "Market is closed.")
	errSTPMode        = rejected(-1013, "This symbol does not allow the specified self-trade prevention mode.")
	errPercentPrice   = rejected(-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")
	errUnknownSent    = rejected(-2011, "Unknown order sent.")
	errNoSuchOrder    = rejected(-2013, "Order does not exist.")
)

// Failures that name a parameter. Only names that are written in this package get in,
// never what a client sent.

func errIllegal(name, legal string) *Failure {
	return rejected(-1100, fmt.Sprintf("Illegal characters found in parameter '%s'; legal range is '%s'.", name, legal))
}

func errMandatory(name string) *Failure {
	return rejected(-1102, fmt.Sprintf("Mandatory parameter '%s' was not sent, was empty/null, or malformed.", name))
}

func errEitherMandatory(one, other string) *Failure {
	return rejected(-1102, fmt.Sprintf("Param '%s' or '%s' must be sent, but both were empty/null!", one, other))
}

func errEmpty(name string) *Failure {
	return rejected(-1105, fmt.Sprintf("Parameter '%s' was empty.", name))
}

func errNotRequired(name string) *Failure {
	return rejected(-1106, fmt.Sprintf("Parameter '%s' sent when not required.", name))
}

func errOverflow(name string) *Failure {
	return rejected(-1108, fmt.Sprintf("Parameter '%s' overflowed.", name))
}

func errTooPrecise(name string) *Failure {
	return rejected(-1111, fmt.Sprintf("Parameter '%s' has too much precision.", name))
}

func errInvalid(name string) *Failure {
	return rejected(-1130, fmt.Sprintf("Data sent for parameter '%s' is not valid.", name))
}

func errWeight(limit int64, retryAfter time.Duration) *Failure {
	return &Failure{
		status: http.StatusTooManyRequests, retryAfter: retryAfter, Code: -1003,
		Message: fmt.Sprintf("Too much request weight used; current limit is %d request weight per 1 MINUTE. "+
			"Please use WebSocket Streams for live updates to avoid polling the API.", limit),
	}
}

func errOrderRate(limit int64, interval string, retryAfter time.Duration) *Failure {
	return &Failure{
		status: http.StatusTooManyRequests, retryAfter: retryAfter, Code: -1015,
		Message: fmt.Sprintf("Too many new orders; current limit is %d orders per %s.", limit, interval),
	}
}

// byCode is what the services' refusals are called in the dialect.
var byCode = map[errs.Code]*Failure{
	errs.CodeUnknownSymbol:          errSymbol,
	errs.CodeBadPriceTick:           rejected(-1013, "Filter failure: PRICE_FILTER"),
	errs.CodeBadPriceRange:          rejected(-1013, "Filter failure: PRICE_FILTER"),
	errs.CodeBadLot:                 rejected(-1013, "Filter failure: LOT_SIZE"),
	errs.CodeBadQtyRange:            rejected(-1013, "Filter failure: LOT_SIZE"),
	errs.CodeBadNotional:            rejected(-1013, "Filter failure: NOTIONAL"),
	errs.CodeNumberOutOfRange:       rejected(-1013, "Filter failure: NOTIONAL"),
	errs.CodeTooManyOpenOrders:      rejected(-1013, "Filter failure: MAX_NUM_ORDERS"),
	errs.CodeMarketClosed:           errClosed,
	errs.CodeSymbolHalted:           errClosed,
	errs.CodeBadNumber:              errData,
	errs.CodeBadRequest:             errData,
	errs.CodeBadPrecision:           errPrecision,
	errs.CodeMissingParameter:       rejected(-1102, "A mandatory parameter was not sent, was empty/null, or malformed."),
	errs.CodeUnexpectedParameter:    rejected(-1106, "A parameter was sent when not required."),
	errs.CodeBadTimeInForce:         errTimeInForce,
	errs.CodeBadOrderType:           errOrderType,
	errs.CodeBadSide:                errSide,
	errs.CodeBadSelfTradePrevention: errSTPMode,
	errs.CodeBadClientOrderID:       errIllegal("newClientOrderId", clientOrderIDPattern),
	// Types that no symbol takes are refused by their names before; this is a switch.
	errs.CodeUnsupportedOrderType:   rejected(-1013, "Market orders are not supported for this symbol."),
	errs.CodeInsufficientBalance:    rejected(-2010, "Account has insufficient balance for requested action."),
	errs.CodeDuplicateClientOrderID: rejected(-2010, "Duplicate order sent."),
	errs.CodeIdempotencyMismatch:    rejected(-2010, "Duplicate order sent."),
	errs.CodePostOnlyWouldTake:      rejected(-2010, "Order would immediately match and take."),
	errs.CodeNoLiquidity:            rejected(-2010, "Order book liquidity is less than symbol minimum quantity."),
	errs.CodeFOKUnfillable:          rejected(-2010, "Order book liquidity is less than symbol minimum quantity."),
	errs.CodeHoldRefused:            rejected(-2010, "This action is disabled on this account."),
	errs.CodeHoldInUse:              rejected(-2010, "This action is disabled on this account."),
	errs.CodeUnknownOrder:           errNoSuchOrder,
	errs.CodeOrderNotOpen:           errUnknownSent,
	errs.CodeBadAPIKey:              errKeyRejected,
	errs.CodeUnknownAPIKey:          errKeyRejected,
	errs.CodeAPIKeyNotPermitted:     errKeyRejected,
	errs.CodePermissionDenied:       errKeyRejected,
	errs.CodeUnknownMember:          errKeyRejected,
	errs.CodeBadAPIKeyFormat:        errKeyFormat,
	errs.CodeBadSignature:           errSignature,
	errs.CodeBadTimestamp:           errOutsideWindow,
	errs.CodeRateLimited:            errTooManyQueued,
}

// effect says what a request may have done when its answer is missing.
type effect int

const (
	// reads changes nothing: a missing answer is only a missing answer.
	reads effect = iota
	// writes may have happened, so a failure must not be called one.
	writes
)

// failureOf translates an error. A refusal becomes the dialect's; whatever may have
// happened becomes "execution status unknown" with a 5xx status.
func failureOf(err error, effect effect) *Failure {
	if failure, ok := errors.AsType[*Failure](err); ok {
		return failure
	}
	fault := errs.From(err)
	refusal, refused := byKind[fault.Kind]
	switch {
	case fault.Kind == errs.KindOverloaded:
		return errBusy
	case fault.Kind == errs.KindUnavailable:
		return errDisconnected
	case fault.Kind == errs.KindUnknownOutcome:
		return errTimeout
	case !refused && effect == writes:
		return errUnexpected
	case !refused:
		return errUnknown
	}
	if known, ok := byCode[fault.Code]; ok {
		return known
	}
	return refusal
}

// byKind is what refusals are called whose code is new to byCode.
var byKind = map[errs.Kind]*Failure{
	errs.KindInvalidArgument:    errData,
	errs.KindFailedPrecondition: errRejectedByAPI,
	errs.KindNotFound:           errRejectedByAPI,
	errs.KindAlreadyExists:      errRejectedByAPI,
	errs.KindUnauthenticated:    errKeyRejected,
	errs.KindPermissionDenied:   errKeyRejected,
	errs.KindTooManyRequests:    errTooManyQueued,
}

// failureOfCancel is failureOf for cancels, where an order that is not there is
// "Unknown order sent.".
func failureOfCancel(err error) *Failure {
	if failure := failureOf(err, writes); failure != errNoSuchOrder {
		return failure
	}
	return errUnknownSent
}

// failureOfAuth is failureOf while nothing of the request has been done yet, so that a
// missing answer is a refusal.
func failureOfAuth(err error) *Failure {
	switch failure := failureOf(err, reads); failure {
	case errTimeout, errUnknown:
		return errDisconnected
	default:
		return failure
	}
}

// failureOfParams translates what package param refuses.
func failureOfParams(err error) *Failure {
	switch {
	case errors.Is(err, param.ErrTooLarge):
		return errTooLarge
	case errors.Is(err, param.ErrTooMany):
		return errTooManyParams
	case errors.Is(err, param.ErrDuplicate):
		return errDuplicateParam
	default:
		return errIllegalChars
	}
}
