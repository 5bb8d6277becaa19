package order

import "mscoin/mscoin-common/errs"

// Reason says why a command was refused or an order ended. Up to 99 the numbers
// are those of exchange/matching, from 100 on those of the sequencer. They are part
// of the log's meaning: never renumber.
type Reason int32

// Reasons of the book.
const (
	ReasonNone              Reason = 0
	ReasonUnknownOrder      Reason = 1
	ReasonDuplicateOrder    Reason = 2
	ReasonBadCommand        Reason = 3
	ReasonNoRules           Reason = 4
	ReasonHalted            Reason = 5
	ReasonCancelOnly        Reason = 6
	ReasonPriceRange        Reason = 7
	ReasonQtyRange          Reason = 8
	ReasonOverflow          Reason = 9
	ReasonHoldTooSmall      Reason = 10
	ReasonPostOnlyWouldTake Reason = 11
	ReasonFOKUnfillable     Reason = 12
	ReasonNoLiquidity       Reason = 13
	ReasonSelfTrade         Reason = 14
	ReasonPriceBand         Reason = 15
	ReasonWouldTrigger      Reason = 16
	ReasonUserCancel        Reason = 17
	ReasonHoldExhausted     Reason = 18
	ReasonQuoteQtyReached   Reason = 19
	ReasonContinuePending   Reason = 20
	ReasonOpenOrders        Reason = 21
	ReasonBookFull          Reason = 22
)

// Reasons of the sequencer, which refuses before the book is asked.
const (
	// ReasonUndecodable: the command's bytes are not a command.
	ReasonUndecodable Reason = 100
	// ReasonWrongSymbol: the command names another symbol than its key.
	ReasonWrongSymbol Reason = 101
	// ReasonLate: the Place came after its deadline.
	ReasonLate Reason = 102
	// ReasonBadDeadline: the deadline lies further ahead than ids are remembered.
	ReasonBadDeadline Reason = 103
	// ReasonResolved: the order had not reached the matcher when it was resolved,
	// and never will.
	ReasonResolved Reason = 104
	// ReasonOffStep: a price or quantity is not on the tick or lot.
	ReasonOffStep Reason = 105
	// ReasonBadRules: rules that the symbol cannot take.
	ReasonBadRules Reason = 106
	// ReasonSkipped: the matcher cannot execute the command, and an operator has
	// decided that it is skipped.
	ReasonSkipped Reason = 107
	// ReasonNotHalted: a symbol leaves its partition halted only.
	ReasonNotHalted Reason = 108
)

// ReasonHoldRefused marks a row whose order never reached the log, because the
// wallet refused the hold. No record carries it.
const ReasonHoldRefused Reason = 200

// Refusal returns the error that tells a member why an order was refused, or nil
// for ReasonNone.
func (r Reason) Refusal() error {
	if r == ReasonNone {
		return nil
	}
	if err, ok := refusals[r]; ok {
		return err
	}
	return errRefused
}

var errRefused error = errs.New(errs.KindFailedPrecondition, errs.CodeBadRequest, "the matcher refused the command")

var refusals = map[Reason]error{
	ReasonUnknownOrder:   errs.New(errs.KindNotFound, errs.CodeUnknownOrder, "unknown order"),
	ReasonDuplicateOrder: errs.New(errs.KindAlreadyExists, errs.CodeDuplicateClientOrderID, "duplicate order"),
	ReasonNoRules:        errs.New(errs.KindNotFound, errs.CodeUnknownSymbol, "unknown symbol"),
	ReasonHalted:         errs.New(errs.KindFailedPrecondition, errs.CodeMarketClosed, "market is closed"),
	ReasonCancelOnly:     errs.New(errs.KindFailedPrecondition, errs.CodeMarketClosed, "market accepts cancels only"),
	ReasonPriceRange:     errs.New(errs.KindInvalidArgument, errs.CodeBadPriceRange, "price is out of range"),
	ReasonPriceBand:      errs.New(errs.KindInvalidArgument, errs.CodeBadPriceRange, "price is too far from the last trade"),
	ReasonQtyRange:       errs.New(errs.KindInvalidArgument, errs.CodeBadQtyRange, "quantity is out of range"),
	ReasonOverflow:       errs.New(errs.KindInvalidArgument, errs.CodeNumberOutOfRange, "number out of range"),
	ReasonOffStep:        errs.New(errs.KindInvalidArgument, errs.CodeBadPriceTick, "price or quantity is not on its step"),
	ReasonPostOnlyWouldTake: errs.New(errs.KindFailedPrecondition, errs.CodePostOnlyWouldTake,
		"order would immediately match and take"),
	ReasonFOKUnfillable: errs.New(errs.KindFailedPrecondition, errs.CodeFOKUnfillable, "order cannot be filled whole"),
	ReasonLate:          errs.New(errs.KindUnavailable, errs.CodeUnavailable, "order reached the matcher too late"),
	ReasonBadDeadline:   errs.New(errs.KindUnavailable, errs.CodeUnavailable, "clocks of service and log differ too much"),
	ReasonResolved:      errs.New(errs.KindUnavailable, errs.CodeUnavailable, "order did not reach the matcher in time"),
	ReasonBookFull:      errs.New(errs.KindFailedPrecondition, errs.CodeTooManyOpenOrders, "the book is full"),
}
