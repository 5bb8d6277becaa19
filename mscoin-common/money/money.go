// Package money is the arithmetic of the exchange: amounts are int64 counts of a
// coin's smallest kept unit, which has the coin's scale (0 to [MaxScale] decimals).
//
// Text is read by [Parse], which checks the length before it looks at a digit, and
// written by [Format]. Everything between is integers: sums, differences and products
// report [ErrRange] instead of wrapping around, and [MulDivFloor] keeps a product
// of 128 bits, so that price × quantity ÷ scale is never cut short. There is no
// float and no rounding but the one floor that is named.
//
// All operations are O(1) and allocate at most the returned text.
package money

import (
	"errors"
	"math"
	"math/bits"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/invariant"
)

const (
	// MaxScale is the largest number of decimals a coin may keep.
	MaxScale = 8
	// MaxTextBytes is the longest text Parse looks at.
	MaxTextBytes = 40

	// maxPartDigits bounds the digits before and after the point.
	maxPartDigits = 20
	// maxPow10 is the largest power of ten an int64 holds.
	maxPow10 = 18
)

// Errors of this package. They are invalid arguments with a public code, so that a
// service may return them as they are.
var (
	// ErrSyntax: the text is not a plain decimal number.
	ErrSyntax error = errs.New(errs.KindInvalidArgument, errs.CodeBadNumber, "not a decimal number")
	// ErrPrecision: the text has non-zero digits beyond the coin's scale.
	ErrPrecision error = errs.New(errs.KindInvalidArgument, errs.CodeBadPrecision, "too many decimals")
	// ErrRange: the number or the result does not fit an int64 of units.
	ErrRange error = errs.New(errs.KindInvalidArgument, errs.CodeNumberOutOfRange, "number out of range")
)

// IsError reports whether err is, or wraps, an error of this package.
func IsError(err error) bool {
	return errors.Is(err, ErrSyntax) || errors.Is(err, ErrPrecision) || errors.Is(err, ErrRange)
}

// pow10 holds the powers of ten that fit an int64.
var pow10 = [maxPow10 + 1]int64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9,
	1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
}

// Pow10 returns 10ⁿ for 0 ≤ n ≤ 18; any other n is a defect of the caller.
func Pow10(n int) int64 {
	invariant.Must(n >= 0 && n <= maxPow10, "10^%d does not fit an int64", n)
	return pow10[n]
}

// Add returns a + b, or ErrRange.
func Add(a, b int64) (int64, error) {
	sum := a + b
	// The sum is wrong exactly when both operands have the sign that it has not.
	if (a^sum)&(b^sum) < 0 {
		return 0, ErrRange
	}
	return sum, nil
}

// Sub returns a − b, or ErrRange.
func Sub(a, b int64) (int64, error) {
	diff := a - b
	if (a^b)&(a^diff) < 0 {
		return 0, ErrRange
	}
	return diff, nil
}

// Mul returns a × b, or ErrRange.
func Mul(a, b int64) (int64, error) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	if hi != 0 {
		return 0, ErrRange
	}
	return signed(lo, (a < 0) != (b < 0))
}

// MulDivFloor returns the largest integer ≤ a × b ÷ c, computed from the exact
// product. It returns ErrRange when the result does not fit or c is zero. The floor
// is towards minus infinity: −1 × 1 ÷ 2 is −1.
func MulDivFloor(a, b, c int64) (int64, error) {
	hi, lo := bits.Mul64(magnitude(a), magnitude(b))
	div := magnitude(c)
	if hi >= div { // the quotient needs more than 64 bits, or c is zero
		return 0, ErrRange
	}
	quo, rem := bits.Div64(hi, lo, div)
	negative := ((a < 0) != (b < 0)) != (c < 0)
	if negative && rem != 0 {
		if quo == math.MaxUint64 {
			return 0, ErrRange
		}
		quo++
	}
	return signed(quo, negative)
}

// magnitude returns |v|, which fits a uint64 for every int64.
func magnitude(v int64) uint64 {
	if v < 0 {
		return -uint64(v)
	}
	return uint64(v)
}

// signed returns ±mag as an int64, or ErrRange.
func signed(mag uint64, negative bool) (int64, error) {
	switch {
	case !negative && mag <= math.MaxInt64:
		return int64(mag), nil
	case negative && mag <= 1<<63:
		return int64(-mag), nil
	default:
		return 0, ErrRange
	}
}
