package load

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/shopspring/decimal"

	"mscoin/deploy/internal/api"
)

// Told is what a request was answered.
type Told uint8

const (
	// Nothing was asked.
	Nothing Told = iota
	// Done was acknowledged.
	Done
	// Refused was refused in a way that promises that nothing has happened.
	Refused
	// Unknown was not answered, or with "unknown".
	Unknown
)

// Codes of the API.
const (
	codeFilter       = -1013
	codeUnexpected   = -1006
	codeTimeout      = -1007
	codeUnknownOrder = -2011
)

// toldBy reads an answer.
func toldBy(err error) Told {
	if err == nil {
		return Done
	}
	r, ok := errors.AsType[*api.Refusal](err)
	switch {
	case !ok, r.Code == codeTimeout, r.Code == codeUnexpected:
		return Unknown
	case r.Status >= http.StatusInternalServerError && r.Code >= 0:
		return Unknown // not the API's word
	}
	return Refused
}

// Order is an order that was sent, with what was told of it.
type Order struct {
	member   *member
	symbol   string
	clientID string
	quantity decimal.Decimal

	told Told
	why  string // the answer, when it was not Done
	seen state  // as acknowledged

	cancel    Told
	cancelled state
	found     bool // it ended, or nothing is to be expected of it
	counted   bool
}

// state is an order as the API shows it.
type state struct {
	OrderID       int64           `json:"orderId"`
	ClientOrderID string          `json:"clientOrderId"`
	OrigClientID  string          `json:"origClientOrderId"` // in the answer to a cancel
	Status        string          `json:"status"`
	OrigQty       decimal.Decimal `json:"origQty"`
	ExecutedQty   decimal.Decimal `json:"executedQty"`
}

func (s *state) open() bool { return s.Status == "NEW" || s.Status == "PARTIALLY_FILLED" }

// pendingNew is an order of which the matcher has not spoken: it may yet be refused.
const pendingNew = "PENDING_NEW"

var finals = []string{"FILLED", "CANCELED", "EXPIRED", "EXPIRED_IN_MATCH", "REJECTED"}

// agrees reports how the exchange's order contradicts what was told.
func (o *Order) agrees(now state, exists bool) error {
	fault := func(format string, args ...any) error {
		return fmt.Errorf("order %s (%d) of %s: %s", o.clientID, o.seen.OrderID, o.symbol, fmt.Sprintf(format, args...))
	}
	switch {
	case o.told == Refused && exists && now.Status != "REJECTED" && now.Status != pendingNew:
		return fault("was refused (%s) and is %s, executed %s", o.why, now.Status, now.ExecutedQty)
	case o.told != Done:
		return nil
	case !exists:
		return fault("was acknowledged as %s and is not found", o.seen.Status)
	case o.seen.OrderID != 0 && now.OrderID != o.seen.OrderID:
		return fault("is now number %d", now.OrderID)
	case !now.OrigQty.Equal(o.quantity) && !o.quantity.IsZero():
		return fault("was for %s and is for %s", o.quantity, now.OrigQty)
	case !now.open() && !slices.Contains(finals, now.Status):
		return fault("is in state %q", now.Status)
	}
	if err := follows(o.seen, now); err != nil {
		return fault("acknowledged: %v", err)
	}
	switch {
	case o.cancel == Done:
		if now.Status != "CANCELED" || !now.ExecutedQty.Equal(o.cancelled.ExecutedQty) {
			return fault("a cancel was acknowledged with %s executed; it is %s with %s", o.cancelled.ExecutedQty, now.Status, now.ExecutedQty)
		}
	case o.cancel == Refused && now.open():
		return fault("a cancel was told that it is not open; it is %s", now.Status)
	}
	return nil
}

// follows reports whether an order that was before may be now later.
func follows(before, now state) error {
	switch {
	case before.OrderID == 0:
		return nil // nothing was told of its state
	case now.ExecutedQty.LessThan(before.ExecutedQty):
		return fmt.Errorf("%s were executed, now %s", before.ExecutedQty, now.ExecutedQty)
	case !before.open() && (now.Status != before.Status || !now.ExecutedQty.Equal(before.ExecutedQty)):
		return fmt.Errorf("it ended as %s with %s, now it is %s with %s", before.Status, before.ExecutedQty, now.Status, now.ExecutedQty)
	}
	return nil
}
