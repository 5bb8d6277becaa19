package spot

import (
	"encoding/json"
	"strconv"
	"time"

	"mscoin/gateway/internal/param"
	"mscoin/mscoin-common/money"
)

const (
	symbolPattern        = `^[A-Z0-9-_.]{1,20}$`
	symbolsPattern       = `^\[("[A-Z0-9-_.]{1,20}"(,"[A-Z0-9-_.]{1,20}"){0,}){0,1}\]$`
	clientOrderIDPattern = `^[a-zA-Z0-9-_.:/]{1,36}$`
	recvWindowPattern    = `^[0-9]{1,20}(\.[0-9]{1,3})?$`
	boolPattern          = `^(true|false)$`

	// microsecondsFrom tells a time in microseconds from one in milliseconds: as
	// milliseconds it would be in the year 5138.
	microsecondsFrom = 100_000_000_000_000

	maxLookup = 24 * time.Hour
)

// decoder reads typed parameters and keeps the first failure; after one, every read
// returns a zero value. A parameter that was sent but is empty is a failure.
type decoder struct {
	values  param.Values
	failure *Failure
}

func (d *decoder) fail(failure *Failure) {
	if d.failure == nil {
		d.failure = failure
	}
}

// err returns the first failure as an error.
func (d *decoder) err() error {
	if d.failure == nil {
		return nil
	}
	return d.failure
}

// text returns an optional parameter, "" if it was not sent.
func (d *decoder) text(name string) string {
	text, sent := d.values.Lookup(name)
	if sent && text == "" {
		d.fail(errEmpty(name))
	}
	if d.failure != nil {
		return ""
	}
	return text
}

// mandatory returns a parameter that must be sent.
func (d *decoder) mandatory(name string) string {
	text := d.text(name)
	if text == "" {
		d.fail(errMandatory(name))
	}
	return text
}

// unwanted fails when any of the parameters was sent.
func (d *decoder) unwanted(names ...string) {
	for _, name := range names {
		if _, sent := d.values.Lookup(name); sent {
			d.fail(errNotRequired(name))
		}
	}
}

// long returns an optional whole number, 0 if it was not sent.
func (d *decoder) long(name string) int64 {
	n, _ := d.longIfSent(name)
	return n
}

// longIfSent is long with whether it was sent.
func (d *decoder) longIfSent(name string) (n int64, sent bool) {
	text := d.text(name)
	if text == "" {
		return 0, false
	}
	if !param.IsLong(text) {
		d.fail(errIllegal(name, param.LongPattern))
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		d.fail(errOverflow(name))
		return 0, false
	}
	return n, true
}

// limit returns how many entries are asked for: clamped to most, usual if not sent.
func (d *decoder) limit(usual, most int64) int32 {
	n, sent := d.longIfSent("limit")
	switch {
	case !sent:
		n = usual
	case n == 0:
		d.fail(errInvalid("limit"))
	}
	return int32(min(n, most))
}

// timeMs returns a time in ms (sent as ms or µs), 0 if it was not sent.
func (d *decoder) timeMs(name string) int64 {
	n := d.long(name)
	if n >= microsecondsFrom {
		n /= 1000
	}
	return n
}

// interval returns startTime and endTime, at most 24 hours apart.
func (d *decoder) interval() (start, end int64) {
	start, end = d.timeMs("startTime"), d.timeMs("endTime")
	if start == 0 || end == 0 || d.failure != nil {
		return start, end
	}
	if end < start {
		d.fail(errCombination)
	} else if end-start > maxLookup.Milliseconds() {
		d.fail(errInterval)
	}
	return start, end
}

// boolean returns an optional truth value, usual if it was not sent.
func (d *decoder) boolean(name string, usual bool) bool {
	switch d.text(name) {
	case "":
		return usual
	case "true", "TRUE", "True":
		return true
	case "false", "FALSE", "False":
		return false
	default:
		d.fail(errIllegal(name, boolPattern))
		return usual
	}
}

// amount returns an optional decimal > 0 with at most scale decimals, in canonical
// form; "" if it was not sent. zero is the failure for an amount of nothing.
func (d *decoder) amount(name string, scale int32, zero *Failure) string {
	text := d.text(name)
	if text == "" {
		return ""
	}
	if !param.IsDecimal(text) {
		d.fail(errIllegal(name, param.DecimalPattern))
		return ""
	}
	if param.IsZero(text) {
		d.fail(zero)
		return ""
	}
	canonical, decimals := param.Canonical(text)
	if decimals > int(scale) {
		d.fail(errTooPrecise(name))
		return ""
	}
	if _, err := money.Parse(canonical, int(scale)); err != nil {
		d.fail(errOverflow(name))
		return ""
	}
	return canonical
}

// clientOrderID returns an optional client order id, "" if it was not sent.
func (d *decoder) clientOrderID(name string) string {
	text := d.text(name)
	if text != "" && !isClientOrderID(text) {
		d.fail(errIllegal(name, clientOrderIDPattern))
		return ""
	}
	return text
}

// newClientOrderID returns the id for an order or a cancel: the one that was sent, or
// a new one. An empty one counts as not sent.
func (d *decoder) newClientOrderID() string {
	if text, sent := d.values.Lookup("newClientOrderId"); sent && text == "" {
		return makeClientOrderID()
	}
	if id := d.clientOrderID("newClientOrderId"); id != "" {
		return id
	}
	return makeClientOrderID()
}

// symbolText returns the public name of a symbol, "" if it was not sent.
func (d *decoder) symbolText() string {
	text := d.text("symbol")
	if text != "" && !isSymbolText(text) {
		d.fail(errIllegal("symbol", symbolPattern))
		return ""
	}
	return text
}

// symbolTexts returns the names of a JSON list like ["BTCUSDT","ETHUSDT"], nil if it
// was not sent.
func (d *decoder) symbolTexts() []string {
	text := d.text("symbols")
	if text == "" {
		return nil
	}
	names := []string{}
	if err := json.Unmarshal([]byte(text), &names); err != nil || names == nil {
		d.fail(errIllegal("symbols", symbolsPattern))
		return nil
	}
	seen := make(map[string]bool, len(names))
	for _, name := range names {
		if !isSymbolText(name) {
			d.fail(errIllegal("symbols", symbolsPattern))
		}
		if seen[name] {
			d.fail(errRepeatedSymbol)
		}
		seen[name] = true
	}
	return names
}

func isSymbolText(text string) bool {
	return matches(text, 20, func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
	})
}

func isClientOrderID(text string) bool {
	return matches(text, 36, func(c byte) bool {
		return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == ':' || c == '/'
	})
}

// matches reports whether text has 1 to most bytes, all of them legal.
func matches(text string, most int, legal func(byte) bool) bool {
	if len(text) == 0 || len(text) > most {
		return false
	}
	for i := range len(text) {
		if !legal(text[i]) {
			return false
		}
	}
	return true
}
