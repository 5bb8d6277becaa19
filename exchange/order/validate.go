package order

import (
	"fmt"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
	"mscoin/mscoin-common/symbol"
)

// Request is what a member asks for; numbers are text as they came, empty when not
// given.
type Request struct {
	MemberID      int64
	Symbol        string
	Side          Side
	Type          Type
	TIF           TimeInForce
	STP           SelfTradePrevention
	Price         string
	Quantity      string
	QuoteAmount   string
	StopPrice     string
	ClientOrderID string
}

// MaxClientOrderIDBytes is the longest client order id.
const MaxClientOrderIDBytes = 36

// Names of the parameters, as the details of refusals give them.
const (
	paramPrice    = "price"
	paramQuantity = "quantity"
	paramQuote    = "quote_amount"
	paramStop     = "stop_price"
	paramTIF      = "time_in_force"
)

// Validate checks a request against the rules of its symbol and returns the order,
// without id, hold, deadline and times. Checks are made in the order that clients
// of the dialect know: side, type, time in force, mandatory parameters, precision,
// tick, lot, price range, quantity range, notional, market flags. The error is an
// errs.Error of KindInvalidArgument or KindFailedPrecondition.
func Validate(r symbol.Rules, req Request) (Order, error) {
	o := Order{
		MemberID: req.MemberID, ClientOrderID: req.ClientOrderID,
		Symbol: r.Name, Base: r.Base, Quote: r.Quote,
		Side: req.Side, Type: req.Type, TIF: req.TIF, STP: req.STP,
		MakerFeePpm: r.MakerFeePpm, TakerFeePpm: r.TakerFeePpm,
	}
	if err := checkKind(&o); err != nil {
		return Order{}, err
	}
	if err := checkMandatory(req, o.Type); err != nil {
		return Order{}, err
	}
	if err := checkClientOrderID(req.ClientOrderID); err != nil {
		return Order{}, err
	}
	if err := parseNumbers(r, req, &o); err != nil {
		return Order{}, err
	}
	if err := checkNumbers(r, &o); err != nil {
		return Order{}, err
	}
	return o, checkMarketFlags(r, &o)
}

// checkKind checks side, type, time in force and self-trade prevention, and fills
// in the defaults.
func checkKind(o *Order) error {
	if o.MemberID <= 0 {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "no member")
	}
	if o.Side != Buy && o.Side != Sell {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadSide, "side is neither buy nor sell")
	}
	if o.Type == TypeNone || o.Type > TakeProfitLimit {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadOrderType, "no such order type")
	}
	if o.Type != Limit && o.Type != Market {
		return errs.New(errs.KindInvalidArgument, errs.CodeUnsupportedOrderType, "this order type is not supported")
	}
	if o.TIF == TIFNone {
		o.TIF = GTC
	}
	if o.TIF > PostOnly {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadTimeInForce, "no such time in force")
	}
	if o.Type == Market && o.TIF != GTC {
		return unexpected(paramTIF)
	}
	if o.STP == STPDefault {
		o.STP = STPExpireMaker
	}
	// Decrementing leaves orders whose quantity the client never sent; the public
	// dialect does not offer it yet.
	if o.STP > STPExpireBoth {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadSelfTradePrevention, "self-trade prevention mode is not allowed on the symbol")
	}
	return nil
}

func checkMandatory(req Request, t Type) error {
	if req.StopPrice != "" {
		return unexpected(paramStop)
	}
	if t == Limit {
		switch {
		case req.Quantity == "":
			return missing(paramQuantity)
		case req.Price == "":
			return missing(paramPrice)
		case req.QuoteAmount != "":
			return unexpected(paramQuote)
		}
		return nil
	}
	switch {
	case req.Price != "":
		return unexpected(paramPrice)
	case req.Quantity == "" && req.QuoteAmount == "":
		return missing(paramQuantity)
	case req.Quantity != "" && req.QuoteAmount != "":
		return unexpected(paramQuote)
	}
	return nil
}

// checkClientOrderID accepts an empty id: one is made up for it.
func checkClientOrderID(id string) error {
	ok := len(id) <= MaxClientOrderIDBytes
	for i := 0; ok && i < len(id); i++ {
		c := id[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == ':' || c == '/'
	}
	if !ok {
		return errs.New(errs.KindInvalidArgument, errs.CodeBadClientOrderID, "client order id is not 1 to 36 of letters, digits and . : / _ -")
	}
	return nil
}

func parseNumbers(r symbol.Rules, req Request, o *Order) error {
	for _, field := range []struct {
		name, text string
		scale      int
		into       *int64
	}{
		{paramPrice, req.Price, r.QuoteScale, &o.Price},
		{paramQuantity, req.Quantity, r.BaseScale, &o.Quantity},
		{paramQuote, req.QuoteAmount, r.QuoteScale, &o.QuoteAmount},
	} {
		if field.text == "" {
			continue
		}
		units, err := money.Parse(field.text, field.scale)
		if err != nil {
			return errs.From(err).With(field.name)
		}
		*field.into = units
	}
	return nil
}

func checkNumbers(r symbol.Rules, o *Order) error {
	if o.Price%r.TickUnits != 0 {
		return refuse(errs.CodeBadPriceTick, "price is not a multiple of the tick size", o.Price, r.QuoteScale)
	}
	if o.Quantity%r.LotUnits != 0 {
		return refuse(errs.CodeBadLot, "quantity is not a multiple of the lot size", o.Quantity, r.BaseScale)
	}
	if o.Type == Limit && (o.Price < r.MinPrice || o.Price > r.MaxPrice) {
		return refuse(errs.CodeBadPriceRange, "price is out of range", o.Price, r.QuoteScale)
	}
	if o.QuoteAmount == 0 && (o.Quantity < r.MinQty || o.Quantity > r.MaxQty) {
		return refuse(errs.CodeBadQtyRange, "quantity is out of range", o.Quantity, r.BaseScale)
	}
	if o.Type == Market {
		return checkQuoteAmount(r, o)
	}
	notional, err := r.Turnover(o.Price, o.Quantity)
	if err != nil {
		return fmt.Errorf("notional: %w", err)
	}
	if notional < r.MinNotional || r.MaxNotional > 0 && notional > r.MaxNotional {
		return refuse(errs.CodeBadNotional, "price × quantity is out of range", notional, r.QuoteScale)
	}
	return nil
}

// checkQuoteAmount bounds a market order by quote amount by what the largest order
// can turn over.
func checkQuoteAmount(r symbol.Rules, o *Order) error {
	if o.Quantity > 0 {
		return nil
	}
	most, err := r.Turnover(r.MaxPrice, r.MaxQty)
	if err != nil {
		return fmt.Errorf("largest turnover: %w", err)
	}
	if o.QuoteAmount <= 0 || o.QuoteAmount > most {
		return refuse(errs.CodeBadNotional, "quote amount is out of range", o.QuoteAmount, r.QuoteScale)
	}
	return nil
}

func checkMarketFlags(r symbol.Rules, o *Order) error {
	if o.Type != Market || o.Side == Buy && r.MarketBuyEnabled || o.Side == Sell && r.MarketSellEnabled {
		return nil
	}
	return errs.New(errs.KindInvalidArgument, errs.CodeUnsupportedOrderType, "market orders of this side are switched off on the symbol")
}

func missing(param string) error {
	return errs.New(errs.KindInvalidArgument, errs.CodeMissingParameter, "a mandatory parameter is missing").With(param)
}

func unexpected(param string) error {
	return errs.New(errs.KindInvalidArgument, errs.CodeUnexpectedParameter, "a parameter was sent that this order does not take").With(param)
}

func refuse(code errs.Code, message string, units int64, scale int) error {
	return errs.New(errs.KindInvalidArgument, code, message).With(money.Format(units, scale))
}
