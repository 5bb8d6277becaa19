package member

import (
	"strings"

	"mscoin/mscoin-common/errs"
)

// ContactType is how a member is reached.
type ContactType uint8

// Contact types. The zero value is none.
const (
	// Email is an e-mail address.
	Email ContactType = iota + 1
	// Phone is a phone number in E.164 form.
	Phone
)

// Bounds of contacts, in bytes. They follow RFC 5321 and E.164.
const (
	// MaxEmailBytes bounds an e-mail address.
	MaxEmailBytes = 254
	// MaxPhoneInputBytes bounds a phone number as typed, with its separators.
	MaxPhoneInputBytes = 32

	maxLocalBytes  = 64
	maxLabelBytes  = 63
	minPhoneDigits = 8
	maxPhoneDigits = 15
)

// ErrContact is returned for a text that is not a contact the exchange accepts.
var ErrContact = errs.New(errs.KindInvalidArgument, errs.CodeBadContact, "not a valid e-mail address or phone number")

// Contact is an address in its normal form: an e-mail address in lower case, a phone
// number as "+" and digits. Contacts are comparable.
type Contact struct {
	// Type says which of the two it is.
	Type ContactType
	// Value is the normal form.
	Value string
}

// ParseContact brings a contact of a known type into its normal form. It returns
// ErrContact for anything else.
func ParseContact(typ ContactType, text string) (Contact, error) {
	switch typ {
	case Email:
		return parseEmail(text)
	case Phone:
		return parsePhone(text)
	default:
		return Contact{}, ErrContact.With("contact type is missing")
	}
}

// GuessContact is ParseContact for a text of unknown type, as in a login form: what
// contains an "@" is an e-mail address, anything else a phone number.
func GuessContact(text string) (Contact, error) {
	if len(text) > MaxEmailBytes {
		return Contact{}, ErrContact.With("too long")
	}
	if strings.Contains(text, "@") {
		return parseEmail(text)
	}
	return parsePhone(text)
}

// parseEmail accepts the plain form that every provider uses: an ASCII dot-atom, "@"
// and a domain name of two labels or more. No quotes, comments, address literals or
// control characters, so an address can stand in a mail header as it is. The whole
// address is put in lower case: two members must not differ by case alone.
func parseEmail(text string) (Contact, error) {
	if len(text) > MaxEmailBytes {
		return Contact{}, ErrContact.With("too long")
	}
	local, domain, found := strings.Cut(text, "@")
	if !found || !validLocal(local) || !validDomain(domain) {
		return Contact{}, ErrContact
	}
	return Contact{Type: Email, Value: strings.ToLower(text)}, nil
}

// validLocal reports whether s is a dot-atom of RFC 5322.
func validLocal(s string) bool {
	if len(s) == 0 || len(s) > maxLocalBytes {
		return false
	}
	for atom := range strings.SplitSeq(s, ".") {
		if atom == "" {
			return false
		}
		for i := range len(atom) {
			if !isAlnum(atom[i]) && strings.IndexByte("!#$%&'*+/=?^_`{|}~-", atom[i]) < 0 {
				return false
			}
		}
	}
	return true
}

// validDomain reports whether s is a host name of two labels or more whose last label
// is not a number (that would be an address).
func validDomain(s string) bool {
	labels := 0
	last := ""
	for label := range strings.SplitSeq(s, ".") {
		if !validLabel(label) {
			return false
		}
		labels++
		last = label
	}
	return labels >= 2 && strings.Trim(last, "0123456789") != ""
}

func validLabel(s string) bool {
	if len(s) == 0 || len(s) > maxLabelBytes || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && s[i] != '-' {
			return false
		}
	}
	return true
}

// parsePhone accepts "+", the country code and the number, with spaces, dots, hyphens
// and round brackets between the digits. The "+" is required: without it a number of
// one country is another number elsewhere.
func parsePhone(text string) (Contact, error) {
	if len(text) > MaxPhoneInputBytes {
		return Contact{}, ErrContact.With("too long")
	}
	if !strings.HasPrefix(text, "+") {
		return Contact{}, ErrContact.With("a phone number starts with + and the country code")
	}
	digits := make([]byte, 0, maxPhoneDigits+1)
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
			digits = append(digits, c)
		case strings.IndexByte(" .-()", c) >= 0:
		default:
			return Contact{}, ErrContact
		}
	}
	if len(digits) < minPhoneDigits || len(digits) > maxPhoneDigits || digits[0] == '0' {
		return Contact{}, ErrContact
	}
	return Contact{Type: Phone, Value: "+" + string(digits)}, nil
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}
