package param

import "strings"

const (
	// LongPattern is the legal range of a whole number, as errors name it.
	LongPattern = `^[0-9]{1,20}$`
	// DecimalPattern is the legal range of an amount or a price, as errors name it.
	DecimalPattern = `^([0-9]{1,20})(\.[0-9]{1,20})?$`

	maxDigits = 20
)

// IsLong reports whether text matches LongPattern. Only ASCII digits are digits.
func IsLong(text string) bool {
	return len(text) >= 1 && len(text) <= maxDigits && digits(text)
}

// IsDecimal reports whether text matches DecimalPattern: no sign, no exponent, no
// bare point. Its cost is bounded by the pattern, not by the length of text.
func IsDecimal(text string) bool {
	if len(text) > 2*maxDigits+1 {
		return false
	}
	whole, fraction, pointed := strings.Cut(text, ".")
	return IsLong(whole) && (!pointed || IsLong(fraction))
}

func digits(text string) bool {
	for i := range len(text) {
		if text[i] < '0' || text[i] > '9' {
			return false
		}
	}
	return true
}

// Canonical returns a decimal (IsDecimal) without leading and trailing zeros, and how
// many decimals are left.
func Canonical(text string) (canonical string, decimals int) {
	whole, fraction, _ := strings.Cut(text, ".")
	whole = strings.TrimLeft(whole, "0")
	if whole == "" {
		whole = "0"
	}
	fraction = strings.TrimRight(fraction, "0")
	if fraction == "" {
		return whole, 0
	}
	return whole + "." + fraction, len(fraction)
}

// IsZero reports whether a decimal (IsDecimal) is zero.
func IsZero(text string) bool { return strings.Trim(text, "0.") == "" }

// Fixed8 writes a decimal of the services, signed or not, with 8 decimals, whatever
// scale it came with. It works on the text, so no amount is too large for it. An
// empty text is zero; one that is no decimal, or has more decimals, is returned as
// it is: better odd than wrong.
func Fixed8(text string) string {
	const scale = 8
	if text == "" {
		return "0.00000000"
	}
	magnitude := strings.TrimPrefix(text, "-")
	whole, fraction, _ := strings.Cut(magnitude, ".")
	if whole == "" || !digits(whole) || !digits(fraction) {
		return text
	}
	if len(fraction) > scale {
		if strings.Trim(fraction[scale:], "0") != "" {
			return text
		}
		return text[:len(text)-(len(fraction)-scale)]
	}
	if fraction == "" {
		return strings.TrimSuffix(text, ".") + "." + strings.Repeat("0", scale)
	}
	return text + strings.Repeat("0", scale-len(fraction))
}
