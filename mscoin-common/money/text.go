package money

import (
	"math"
	"strconv"

	"mscoin/mscoin-common/invariant"
)

// Parse reads a plain decimal number, like "12" or "0.50", as units of a coin with
// that scale (0 to MaxScale). The text is 1 to 20 ASCII digits, then perhaps a point
// and 1 to 20 more: no sign, exponent, space, separator or other script's digits,
// and at most MaxTextBytes in all, which is checked first.
//
// It returns ErrSyntax for any other text, ErrPrecision when a digit beyond the
// scale is not zero ("1.50" is fine at scale 1, "1.55" is not), and ErrRange when
// the number does not fit an int64 of units.
func Parse(s string, scale int) (int64, error) {
	invariant.Must(scale >= 0 && scale <= MaxScale, "scale is %d", scale)
	whole, frac, err := split(s)
	if err != nil {
		return 0, err
	}
	if len(frac) > scale {
		for i := scale; i < len(frac); i++ {
			if frac[i] != '0' {
				return 0, ErrPrecision
			}
		}
		frac = frac[:scale]
	}

	var units int64
	for i := range len(whole) + scale {
		var digit int64
		switch {
		case i < len(whole):
			digit = int64(whole[i] - '0')
		case i-len(whole) < len(frac):
			digit = int64(frac[i-len(whole)] - '0')
		}
		if units > (math.MaxInt64-digit)/10 {
			return 0, ErrRange
		}
		units = units*10 + digit
	}
	return units, nil
}

// split checks the text against ^[0-9]{1,20}(\.[0-9]{1,20})?$ and returns the
// digits before and after the point.
func split(s string) (whole, frac string, err error) {
	if len(s) == 0 || len(s) > MaxTextBytes {
		return "", "", ErrSyntax
	}
	point := -1
	for i := range len(s) {
		switch c := s[i]; {
		case c >= '0' && c <= '9':
		case c == '.' && point < 0:
			point = i
		default:
			return "", "", ErrSyntax
		}
	}
	whole = s
	if point >= 0 {
		whole, frac = s[:point], s[point+1:]
		if len(frac) == 0 {
			return "", "", ErrSyntax
		}
	}
	if len(whole) == 0 || len(whole) > maxPartDigits || len(frac) > maxPartDigits {
		return "", "", ErrSyntax
	}
	return whole, frac, nil
}

// Format writes units of a coin with that scale (0 to MaxScale), always with all
// of its decimals: Format(150000000, 8) is "1.50000000", Format(-1, 2) is "-0.01".
// Parse reads what Format writes for amounts that are not negative.
func Format(units int64, scale int) string {
	return format(units, scale, scale)
}

// FormatFixed8 is Format with eight decimals whatever the scale, as the public API
// shows every number.
func FormatFixed8(units int64, scale int) string {
	return format(units, scale, MaxScale)
}

// format writes units of scale with decimals ≥ scale places.
func format(units int64, scale, decimals int) string {
	invariant.Must(scale >= 0 && scale <= MaxScale, "scale is %d", scale)
	// Sign, 19 digits, point and up to eight zeros: 29 bytes at most.
	var buf [32]byte
	text := buf[:0]
	if units < 0 {
		text = append(text, '-')
	}
	mag, unit := magnitude(units), uint64(pow10[scale])
	text = strconv.AppendUint(text, mag/unit, 10)
	if decimals == 0 {
		return string(text)
	}
	text = append(text, '.')
	frac := mag % unit
	for place := unit / 10; place > 0; place /= 10 {
		text = append(text, byte('0'+frac/place%10))
	}
	for range decimals - scale {
		text = append(text, '0')
	}
	return string(text)
}
