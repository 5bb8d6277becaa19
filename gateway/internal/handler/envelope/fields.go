package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"strconv"
	"strings"

	"mscoin/gateway/internal/param"
	"mscoin/mscoin-common/errs"
)

const jsonType = "application/json"

// errJSON: the body is not one flat JSON object.
var errJSON = errors.New("the body is not one JSON object")

// Fields are the fields of a request, from its query and from its body, a JSON object
// or a form. The body wins. Reads keep the first failure, see Err; fields that nobody
// reads are ignored.
type Fields struct {
	texts map[string]string
	lists map[string][]string
	err   error
}

func decode(raw param.Raw) (*Fields, error) {
	f := &Fields{texts: map[string]string{}, lists: map[string][]string{}}
	form := param.Raw{Query: raw.Query}
	isJSON := raw.ContentType == jsonType || raw.ContentType == "" && strings.HasPrefix(strings.TrimSpace(raw.Body), "{")
	if !isJSON {
		form.Body, form.ContentType = raw.Body, raw.ContentType
	}
	values, err := form.Values()
	if err != nil {
		return nil, err
	}
	maps.Insert(f.texts, values.All())
	if isJSON && strings.TrimSpace(raw.Body) != "" {
		return f, f.decodeJSON(raw.Body)
	}
	return f, nil
}

// decodeJSON reads one object and nothing after it, each name once. Numbers are kept
// as they were written.
func (f *Fields) decodeJSON(body string) error {
	dec := json.NewDecoder(strings.NewReader(body))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return errJSON
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return errJSON
		}
		if seen[name] {
			return param.ErrDuplicate
		}
		if len(seen) == param.MaxPairs {
			return param.ErrTooMany
		}
		seen[name] = true
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return errJSON
		}
		f.set(name, value)
	}
	if _, err := dec.Token(); err != nil {
		return errJSON
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errJSON
	}
	return nil
}

// set keeps a JSON value as text or as a list of texts. Objects are nobody's field.
func (f *Fields) set(name string, value json.RawMessage) {
	delete(f.texts, name)
	switch value = bytes.TrimSpace(value); value[0] {
	case '"':
		var text string
		if json.Unmarshal(value, &text) == nil {
			f.texts[name] = text
		}
	case '[':
		var list []string
		if json.Unmarshal(value, &list) == nil {
			f.lists[name] = list
		} else {
			f.lists[name] = []string{""} // not texts: refused where it is read
		}
	case '{', 'n':
	default: // a number, true or false
		f.texts[name] = string(value)
	}
}

// Err returns the first failure of the reads so far.
func (f *Fields) Err() error { return f.err }

func (f *Fields) fail(format string, args ...any) {
	if f.err == nil {
		f.err = BadRequest(fmt.Sprintf(format, args...))
	}
}

// Text returns an optional text of at most most bytes, "" if it was not sent.
func (f *Fields) Text(name string, most int) string {
	text := f.texts[name]
	if len(text) > most {
		f.fail("%s is longer than %d bytes", name, most)
		return ""
	}
	return text
}

// Mandatory returns a text that must be sent and not be empty.
func (f *Fields) Mandatory(name string, most int) string {
	text := f.Text(name, most)
	if text == "" {
		f.fail("%s is missing", name)
	}
	return text
}

// Sent reports whether a field was sent and is not empty.
func (f *Fields) Sent(name string) bool { return f.texts[name] != "" }

// Int returns an optional whole number from least to most, usual if it was not sent.
func (f *Fields) Int(name string, usual, least, most int64) int64 {
	text := f.texts[name]
	if text == "" {
		return usual
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if !param.IsLong(text) || err != nil || n < least || n > most {
		f.fail("%s must be a whole number from %d to %d", name, least, most)
		return usual
	}
	return n
}

// Decimal returns an optional decimal ≥ 0 in canonical form, "" if it was not sent.
func (f *Fields) Decimal(name string) string {
	text := f.texts[name]
	if text == "" {
		return ""
	}
	if !param.IsDecimal(text) {
		if f.err == nil {
			f.err = errs.New(errs.KindInvalidArgument, errs.CodeBadNumber, name+" must be a plain decimal number")
		}
		return ""
	}
	canonical, _ := param.Canonical(text)
	return canonical
}

// Amount returns a decimal > 0 that must be sent.
func (f *Fields) Amount(name string) string {
	f.Mandatory(name, len(f.texts[name]))
	text := f.Decimal(name)
	if text == "" || param.IsZero(text) {
		f.fail("%s must be above 0", name)
	}
	return text
}

// Bool returns an optional truth value, false if it was not sent.
func (f *Fields) Bool(name string) bool {
	switch f.texts[name] {
	case "", "false", "0":
		return false
	case "true", "1":
		return true
	default:
		f.fail("%s must be true or false", name)
		return false
	}
}

// List returns an optional list of texts: a JSON array, or a text with commas.
func (f *Fields) List(name string, most int) []string {
	list, ok := f.lists[name]
	if text := f.texts[name]; !ok && text != "" {
		list = strings.Split(text, ",")
	}
	if len(list) > most {
		f.fail("%s has more than %d entries", name, most)
		return nil
	}
	for i := range list {
		if list[i] = strings.TrimSpace(list[i]); list[i] == "" || len(list[i]) > 128 {
			f.fail("%s has an empty or too long entry", name)
			return nil
		}
	}
	return list
}
