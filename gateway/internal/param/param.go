// Package param reads the parameters of a request from the bytes that were sent.
//
// The dialect signs bytes, not meanings: the signature covers the raw query and the
// raw body, so both are kept as they came and are never encoded again. Decoding is
// strict: what net/http would drop or merge silently (a DELETE's body, a repeated
// key, a bad percent sign) is read or refused here.
package param

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"strings"
)

const (
	// MaxBytes bounds the query and the body of a request, each.
	MaxBytes = 64 << 10
	// MaxPairs bounds the parameters of the query and of the body, each.
	MaxPairs = 64

	signatureKey = "signature"
	formType     = "application/x-www-form-urlencoded"
)

var (
	// ErrTooLarge means that the query or the body is longer than MaxBytes.
	ErrTooLarge = errors.New("request is larger than 64 KB")
	// ErrTooMany means more than MaxPairs parameters.
	ErrTooMany = errors.New("too many parameters")
	// ErrDuplicate means that a parameter stands twice in the query or twice in the body.
	ErrDuplicate = errors.New("duplicate parameter")
	// ErrEncoding means a percent sign that encodes nothing.
	ErrEncoding = errors.New("bad percent-encoding")
	// ErrBody means that the body could not be read whole.
	ErrBody = errors.New("body could not be read")
)

// Raw holds the bytes of a request that carry parameters.
type Raw struct {
	// Query is the query string without the question mark.
	Query string
	// Body is the whole body.
	Body string
	// ContentType is the media type of the body in lower case, "" if none was given.
	ContentType string
}

// Read reads the body of r, whatever its method. It returns ErrTooLarge or ErrBody.
func Read(r *http.Request) (Raw, error) {
	raw := Raw{Query: r.URL.RawQuery}
	if len(raw.Query) > MaxBytes {
		return Raw{}, ErrTooLarge
	}
	if given := r.Header.Get("Content-Type"); given != "" {
		media, _, err := mime.ParseMediaType(given)
		if err != nil {
			media, _, _ = strings.Cut(given, ";")
		}
		raw.ContentType = strings.ToLower(strings.TrimSpace(media))
	}
	if r.Body == nil || r.Body == http.NoBody {
		return raw, nil
	}
	if r.ContentLength > MaxBytes {
		return Raw{}, ErrTooLarge
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBytes+1))
	if err != nil {
		return Raw{}, fmt.Errorf("%w: %w", ErrBody, err)
	}
	if len(body) > MaxBytes {
		return Raw{}, ErrTooLarge
	}
	raw.Body = string(body)
	return raw, nil
}

// SignedPayload returns the bytes a client signs: the query without its signature,
// then the body without its signature, nothing in between.
func (r Raw) SignedPayload() []byte {
	query, body := WithoutSignature(r.Query), WithoutSignature(r.Body)
	payload := make([]byte, 0, len(query)+len(body))
	payload = append(payload, query...)
	return append(payload, body...)
}

// WithoutSignature returns raw without its signature pairs, wherever they stand. All
// other bytes stay, so that a leading '&' that a client signed is still there.
func WithoutSignature(raw string) string {
	if !strings.Contains(raw, signatureKey) {
		return raw
	}
	var kept []string
	for pair := range strings.SplitSeq(raw, "&") {
		if key, _, _ := strings.Cut(pair, "="); key != signatureKey {
			kept = append(kept, pair)
		}
	}
	return strings.Join(kept, "&")
}

// Values are the decoded parameters of a request. The zero value has none.
type Values struct {
	texts map[string]string
}

// Values decodes the parameters of the query and, if it is a form, of the body; where
// both have a key the query wins. A body of another type has no parameters, though
// its bytes are signed. Errors: ErrTooMany, ErrDuplicate, ErrEncoding.
func (r Raw) Values() (Values, error) {
	texts, err := decode(r.Query)
	if err != nil {
		return Values{}, fmt.Errorf("query: %w", err)
	}
	if r.Body == "" || (r.ContentType != "" && r.ContentType != formType) {
		return Values{texts: texts}, nil
	}
	form, err := decode(r.Body)
	if err != nil {
		return Values{}, fmt.Errorf("body: %w", err)
	}
	for key, text := range form {
		if _, ok := texts[key]; !ok {
			texts[key] = text
		}
	}
	return Values{texts: texts}, nil
}

// decode splits and decodes pairs. Empty pairs, as "&&" leaves them, are skipped.
func decode(raw string) (map[string]string, error) {
	texts := make(map[string]string, 8)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		if len(texts) == MaxPairs {
			return nil, ErrTooMany
		}
		rawKey, rawText, _ := strings.Cut(pair, "=")
		key, err := unescape(rawKey)
		if err != nil {
			return nil, err
		}
		text, err := unescape(rawText)
		if err != nil {
			return nil, err
		}
		if _, ok := texts[key]; ok {
			return nil, ErrDuplicate
		}
		texts[key] = text
	}
	return texts, nil
}

func unescape(raw string) (string, error) {
	if !strings.ContainsAny(raw, "%+") {
		return raw, nil
	}
	text, err := url.QueryUnescape(raw)
	if err != nil {
		return "", ErrEncoding // not wrapped: url's error repeats what was sent
	}
	return text, nil
}

// Of makes Values of pairs, for tests and for paths that carry a parameter.
func Of(texts map[string]string) Values { return Values{texts: texts} }

// Lookup returns the text of a parameter and whether it was sent.
func (v Values) Lookup(name string) (string, bool) {
	text, ok := v.texts[name]
	return text, ok
}

// Len returns how many parameters were sent.
func (v Values) Len() int { return len(v.texts) }

// All yields every parameter, in no order.
func (v Values) All() iter.Seq2[string, string] { return maps.All(v.texts) }
