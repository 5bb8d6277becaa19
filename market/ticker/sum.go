package ticker

import (
	"math/big"
	"math/bits"
	"strings"

	"mscoin/mscoin-common/invariant"
)

// Sum is a sum of amounts that are not negative, with 128 bits: 2^64 of the largest
// amounts fit. The zero value is zero; Sums are comparable.
type Sum struct {
	hi, lo uint64
}

// SumOf returns units ≥ 0 as a Sum.
func SumOf(units int64) Sum {
	invariant.Must(units >= 0, "amount %d is negative", units)
	return Sum{lo: uint64(units)}
}

// SumOfParts returns billions × 10^9 + rest: how a database sums up without overflow.
func SumOfParts(billions, rest int64) Sum {
	invariant.Must(billions >= 0 && rest >= 0, "parts %d and %d are negative", billions, rest)
	hi, lo := bits.Mul64(uint64(billions), partUnits)
	return Sum{hi: hi, lo: lo}.plus(SumOf(rest))
}

// partUnits is the unit of the first part of SumOfParts.
const partUnits = 1_000_000_000

func (s Sum) plus(o Sum) Sum {
	lo, carry := bits.Add64(s.lo, o.lo, 0)
	hi, overflow := bits.Add64(s.hi, o.hi, carry)
	invariant.Must(overflow == 0, "sum of more than 2^64 amounts")
	return Sum{hi: hi, lo: lo}
}

// Text writes the sum as a decimal number with scale decimals, as money.Format does.
func (s Sum) Text(scale int) string {
	invariant.Must(scale >= 0 && scale <= maxScale, "scale is %d", scale)
	n := new(big.Int).SetUint64(s.hi)
	n.Lsh(n, 64).Or(n, new(big.Int).SetUint64(s.lo))
	digits := n.String()
	if scale == 0 {
		return digits
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	point := len(digits) - scale
	return digits[:point] + "." + digits[point:]
}

const maxScale = 18
