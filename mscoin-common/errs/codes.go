package errs

// Code is the stable public name of a rule that refused a request. Clients compare
// codes, so a code is never renamed, reused or removed: this file is append-only.
// Each code says what it means and of which kind it is.
type Code string

// Codes of the machinery.
const (
	// CodeInternal (Internal): a defect or a broken dependency.
	CodeInternal Code = "INTERNAL"
	// CodeUnknownOutcome (UnknownOutcome): it may have happened; query before repeating.
	CodeUnknownOutcome Code = "UNKNOWN_OUTCOME"
	// CodeUnavailable (Unavailable): refused before anything was done; try again.
	CodeUnavailable Code = "UNAVAILABLE"
	// CodeBadRequest (InvalidArgument): a parameter is missing, empty or malformed.
	CodeBadRequest Code = "BAD_REQUEST"
	// CodeBadNumber (InvalidArgument): a text is not a plain decimal number.
	CodeBadNumber Code = "BAD_NUMBER"
	// CodeBadPrecision (InvalidArgument): more decimals than the coin keeps.
	CodeBadPrecision Code = "BAD_PRECISION"
	// CodeNumberOutOfRange (InvalidArgument): a number, or a result of arithmetic on
	// it, does not fit the units the exchange counts in.
	CodeNumberOutOfRange Code = "NUMBER_OUT_OF_RANGE"
	// CodeIdempotencyMismatch (FailedPrecondition): the idempotency key was used
	// before, for a different request.
	CodeIdempotencyMismatch Code = "IDEMPOTENCY_MISMATCH"
	// CodeRateLimited (TooManyRequests): the caller's limit is used up.
	CodeRateLimited Code = "RATE_LIMITED"
)

// Codes of symbols, coins and trading rules.
const (
	// CodeUnknownSymbol (NotFound): no such symbol is listed.
	CodeUnknownSymbol Code = "UNKNOWN_SYMBOL"
	// CodeUnknownCoin (NotFound): no such coin is listed.
	CodeUnknownCoin Code = "UNKNOWN_COIN"
	// CodeSymbolExists (AlreadyExists): the symbol is listed.
	CodeSymbolExists Code = "SYMBOL_EXISTS"
	// CodeCoinExists (AlreadyExists): the coin is listed.
	CodeCoinExists Code = "COIN_EXISTS"
	// CodeBadSymbolRules (InvalidArgument): rules that could overflow, round or
	// contradict each other are not listed.
	CodeBadSymbolRules Code = "BAD_SYMBOL_RULES"
	// CodeMarketClosed (FailedPrecondition): the symbol does not accept this now.
	CodeMarketClosed Code = "MARKET_CLOSED"
	// CodeBadPriceTick (InvalidArgument): the price is not a multiple of the tick.
	CodeBadPriceTick Code = "BAD_PRICE_TICK"
	// CodeBadLot (InvalidArgument): the quantity is not a multiple of the lot.
	CodeBadLot Code = "BAD_LOT"
	// CodeBadPriceRange (InvalidArgument): the price is outside the symbol's range or band.
	CodeBadPriceRange Code = "BAD_PRICE_RANGE"
	// CodeBadQtyRange (InvalidArgument): the quantity is outside the symbol's range.
	CodeBadQtyRange Code = "BAD_QTY_RANGE"
	// CodeBadNotional (InvalidArgument): price × quantity is outside the symbol's range.
	CodeBadNotional Code = "BAD_NOTIONAL"
)

// Codes of instances.
const (
	// CodeMatcherMoving (Unavailable): no instance matches the symbol right now, because it is
	// starting or moves to another one. Nothing was done; try again.
	CodeMatcherMoving Code = "MATCHER_MOVING"
)

// Codes of orders.
const (
	// CodeUnknownOrder (NotFound): no such order, or not the caller's.
	CodeUnknownOrder Code = "UNKNOWN_ORDER"
	// CodeOrderNotOpen (FailedPrecondition): the order has ended.
	CodeOrderNotOpen Code = "ORDER_NOT_OPEN"
	// CodeDuplicateClientOrderID (AlreadyExists): the member has used this client order id.
	CodeDuplicateClientOrderID Code = "DUPLICATE_CLIENT_ORDER_ID"
	// CodeTooManyOpenOrders (FailedPrecondition): the member's open orders are at the limit.
	CodeTooManyOpenOrders Code = "TOO_MANY_OPEN_ORDERS"
	// CodePostOnlyWouldTake (FailedPrecondition): a post-only order would trade on arrival.
	CodePostOnlyWouldTake Code = "POST_ONLY_WOULD_TAKE"
	// CodeFOKUnfillable (FailedPrecondition): a fill-or-kill order cannot be filled whole.
	CodeFOKUnfillable Code = "FOK_UNFILLABLE"
	// CodeNoLiquidity (FailedPrecondition): a market order finds no counterparty.
	CodeNoLiquidity Code = "NO_LIQUIDITY"
)

// Codes of the wallet.
const (
	// CodeInsufficientBalance (FailedPrecondition): the available balance is too small.
	CodeInsufficientBalance Code = "INSUFFICIENT_BALANCE"
	// CodeHoldRefused (FailedPrecondition): a hold for this order was refused or
	// closed before, and stays so.
	CodeHoldRefused Code = "HOLD_REFUSED"
)

// Codes of members, sessions and API keys.
const (
	// CodeMemberExists (AlreadyExists): the e-mail address or phone number is registered.
	CodeMemberExists Code = "MEMBER_EXISTS"
	// CodeUnknownMember (NotFound): no such member.
	CodeUnknownMember Code = "UNKNOWN_MEMBER"
	// CodeBadCredentials (Unauthenticated): name or password is wrong; which one is not said.
	CodeBadCredentials Code = "BAD_CREDENTIALS"
	// CodeBadVerificationCode (FailedPrecondition): the code is wrong, used up or expired.
	CodeBadVerificationCode Code = "BAD_VERIFICATION_CODE"
	// CodeTokenExpired (Unauthenticated): the session token is expired, revoked or invalid.
	CodeTokenExpired Code = "TOKEN_EXPIRED"
	// CodeBadAPIKey (Unauthenticated): no such API key, or it is revoked.
	CodeBadAPIKey Code = "BAD_API_KEY"
	// CodeBadSignature (Unauthenticated): the signature does not match the request.
	CodeBadSignature Code = "BAD_SIGNATURE"
	// CodeBadTimestamp (InvalidArgument): the request's time is outside its window.
	CodeBadTimestamp Code = "BAD_TIMESTAMP"
	// CodeAPIKeyNotPermitted (PermissionDenied): the key lacks the permission or the
	// address is not on its list.
	CodeAPIKeyNotPermitted Code = "API_KEY_NOT_PERMITTED"
	// CodePermissionDenied (PermissionDenied): the caller may not do this.
	CodePermissionDenied Code = "PERMISSION_DENIED"
	// CodeUnauthenticated (Unauthenticated): no credentials were given.
	CodeUnauthenticated Code = "UNAUTHENTICATED"
	// CodeBadAPIKeyFormat (Unauthenticated): the text cannot be an API key.
	CodeBadAPIKeyFormat Code = "BAD_API_KEY_FORMAT"
	// CodeUnknownAPIKey (NotFound): the member has no such API key.
	CodeUnknownAPIKey Code = "UNKNOWN_API_KEY"
	// CodeTooManyAPIKeys (FailedPrecondition): the member's API keys are at the limit.
	CodeTooManyAPIKeys Code = "TOO_MANY_API_KEYS"
	// CodeBadContact (InvalidArgument): not an e-mail address or phone number that is accepted.
	CodeBadContact Code = "BAD_CONTACT"
	// CodeWeakPassword (InvalidArgument): the password breaks the password rules.
	CodeWeakPassword Code = "WEAK_PASSWORD"
	// CodeBadUsername (InvalidArgument): the display name breaks the name rules.
	CodeBadUsername Code = "BAD_USERNAME"
)

// Codes of the parameters of an order.
const (
	// CodeMissingParameter (InvalidArgument): a parameter that this kind of order needs is missing; the detail names it.
	CodeMissingParameter Code = "MISSING_PARAMETER"
	// CodeUnexpectedParameter (InvalidArgument): a parameter that this kind of order does not take; the detail names it.
	CodeUnexpectedParameter Code = "UNEXPECTED_PARAMETER"
	// CodeBadSide (InvalidArgument): neither buy nor sell.
	CodeBadSide Code = "BAD_SIDE"
	// CodeBadOrderType (InvalidArgument): no such order type.
	CodeBadOrderType Code = "BAD_ORDER_TYPE"
	// CodeUnsupportedOrderType (InvalidArgument): the symbol does not take this type of order.
	CodeUnsupportedOrderType Code = "UNSUPPORTED_ORDER_TYPE"
	// CodeBadTimeInForce (InvalidArgument): no such time in force, or not for this type.
	CodeBadTimeInForce Code = "BAD_TIME_IN_FORCE"
	// CodeBadSelfTradePrevention (InvalidArgument): the mode is not allowed on the symbol.
	CodeBadSelfTradePrevention Code = "BAD_SELF_TRADE_PREVENTION"
	// CodeBadClientOrderID (InvalidArgument): not 1 to 36 of letters, digits and . : / _ -.
	CodeBadClientOrderID Code = "BAD_CLIENT_ORDER_ID"
)

// More codes of the wallet.
const (
	// CodeHoldInUse (FailedPrecondition): the order has reached the matcher; its hold ends with it.
	CodeHoldInUse Code = "HOLD_IN_USE"
)

// Codes of halts and of order entry under load.
const (
	// CodeSymbolHalted (FailedPrecondition): a service stands still at the symbol, so an
	// order could not be settled; it was refused before any money was held.
	CodeSymbolHalted Code = "SYMBOL_HALTED"
	// CodeOverloaded (Overloaded): settlement is too far behind; refused before any money
	// was held.
	CodeOverloaded Code = "OVERLOADED"
	// CodeNotHalted (NotFound): there is nothing to decide, the symbol is not halted.
	CodeNotHalted Code = "NOT_HALTED"
	// CodeHaltMoved (FailedPrecondition): another record halts the symbol by now.
	CodeHaltMoved Code = "HALT_MOVED"
)

// Codes of deposits and withdrawals.
const (
	// CodeTransferDisabled (FailedPrecondition): the coin cannot be deposited or withdrawn
	// here.
	CodeTransferDisabled Code = "TRANSFER_DISABLED"
	// CodeBadAddress (InvalidArgument): not an address of the coin's chain.
	CodeBadAddress Code = "BAD_ADDRESS"
	// CodeBadAmountRange (InvalidArgument): the amount is below the least or above the
	// most that can be withdrawn at once.
	CodeBadAmountRange Code = "BAD_AMOUNT_RANGE"
	// CodeAddressNotInBook (FailedPrecondition): the member has not listed the address.
	CodeAddressNotInBook Code = "ADDRESS_NOT_IN_BOOK"
	// CodeAddressTooNew (FailedPrecondition): the address was listed too short a time ago.
	CodeAddressTooNew Code = "ADDRESS_TOO_NEW"
	// CodeAddressBookFull (FailedPrecondition): the member's addresses are at the limit.
	CodeAddressBookFull Code = "ADDRESS_BOOK_FULL"
	// CodeDayLimit (FailedPrecondition): with this amount the member would withdraw more
	// of the coin than a day allows.
	CodeDayLimit Code = "DAY_LIMIT"
	// CodeWithdrawalsStopped (FailedPrecondition): withdrawals of the member or of the
	// coin are stopped until an operator has looked.
	CodeWithdrawalsStopped Code = "WITHDRAWALS_STOPPED"
	// CodeUnknownWithdrawal (NotFound): no such withdrawal, or not the caller's.
	CodeUnknownWithdrawal Code = "UNKNOWN_WITHDRAWAL"
	// CodeWithdrawalState (FailedPrecondition): the withdrawal is in a state in which this
	// is not possible any more, or not yet.
	CodeWithdrawalState Code = "WITHDRAWAL_STATE"
	// CodeTwoFactorRequired (FailedPrecondition): this needs a second factor, and the member
	// has none.
	CodeTwoFactorRequired Code = "TWO_FACTOR_REQUIRED"
	// CodeBadTwoFactorCode (FailedPrecondition): the code of the second factor is wrong,
	// used before or too old.
	CodeBadTwoFactorCode Code = "BAD_TWO_FACTOR_CODE"
	// CodeTwoFactorEnabled (FailedPrecondition): the member has a second factor already.
	CodeTwoFactorEnabled Code = "TWO_FACTOR_ENABLED"
)

// Codes of what operators do with matchers and logs.
const (
	// CodeMoveInProgress (FailedPrecondition): the symbol is on its way to another partition.
	CodeMoveInProgress Code = "MOVE_IN_PROGRESS"
	// CodeSymbolTooLarge (FailedPrecondition): the symbol's image does not fit into a message.
	CodeSymbolTooLarge Code = "SYMBOL_TOO_LARGE"
	// CodeNotVerified (FailedPrecondition): there are not two verified snapshots to keep.
	CodeNotVerified Code = "NOT_VERIFIED"
	// CodeFollowerBehind (FailedPrecondition): a consumer still needs what would be deleted.
	CodeFollowerBehind Code = "FOLLOWER_BEHIND"
	// CodeNotPoison (FailedPrecondition): the matcher does not stand at that command.
	CodeNotPoison Code = "NOT_POISON"
	// CodeCommandPublished (FailedPrecondition): the command has been executed and published.
	CodeCommandPublished Code = "COMMAND_PUBLISHED"
	// CodeUnknownFlag (InvalidArgument): no such behaviour flag in this release.
	CodeUnknownFlag Code = "UNKNOWN_FLAG"
)

// Codes of operators' decisions about the books.
const (
	// CodeSameOperator (FailedPrecondition): a request must be approved by somebody else than who made it.
	CodeSameOperator Code = "SAME_OPERATOR"
	// CodeSharedOperator (FailedPrecondition): what takes two operators takes two names that each belong to one of them.
	CodeSharedOperator Code = "SHARED_OPERATOR"
	// CodeUnknownDecision (NotFound): nobody has asked for that.
	CodeUnknownDecision Code = "UNKNOWN_DECISION"
	// CodeNotPending (FailedPrecondition): a request was carried out, rejected, or has expired.
	CodeNotPending Code = "NOT_PENDING"
	// CodeNotStopped (NotFound): those withdrawals are not stopped.
	CodeNotStopped Code = "NOT_STOPPED"
)
