package simchain

import (
	"errors"
	"math/big"
	"regexp"
	"strings"

	"mscoin/wallet/custody"
)

var errAmount = errors.New("amount is not a positive decimal with at most 18 decimals")

var amountText = regexp.MustCompile(`^[0-9]{1,20}(\.[0-9]{1,18})?$`)

// parseAmount counts an amount in units of 10^-18.
func parseAmount(text string) (*big.Int, error) {
	if len(text) > custody.MaxAmountBytes || !amountText.MatchString(text) {
		return nil, errAmount
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, ok := new(big.Int).SetString(whole+fraction+strings.Repeat("0", custody.MaxDecimals-len(fraction)), 10)
	if !ok {
		return nil, errAmount
	}
	return n, nil
}

// formatAmount is the inverse, without trailing zeros.
func formatAmount(n *big.Int) string {
	sign := ""
	if n.Sign() < 0 {
		sign = "-"
	}
	digits := new(big.Int).Abs(n).String()
	if len(digits) <= custody.MaxDecimals {
		digits = strings.Repeat("0", custody.MaxDecimals+1-len(digits)) + digits
	}
	whole, fraction := digits[:len(digits)-custody.MaxDecimals], strings.TrimRight(digits[len(digits)-custody.MaxDecimals:], "0")
	if fraction == "" {
		return sign + whole
	}
	return sign + whole + "." + fraction
}
