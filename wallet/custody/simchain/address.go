package simchain

import (
	"crypto/sha256"
	"encoding/hex"
	"regexp"
	"strings"

	"mscoin/wallet/custody"
)

var (
	coinName   = regexp.MustCompile(`^[A-Z0-9]{2,10}$`)
	addressHex = regexp.MustCompile(`^[0-9a-f]{48}$`)
)

// addressOf returns an address of the coin's chain for a seed: sim-<coin>-, 20 bytes of
// the seed's hash and 4 of checksum, in hex.
func addressOf(coin, seed string) string {
	sum := sha256.Sum256([]byte("address\x00" + coin + "\x00" + seed))
	payload := hex.EncodeToString(sum[:20])
	return prefix(coin) + payload + checksum(coin, payload)
}

func prefix(coin string) string { return "sim-" + strings.ToLower(coin) + "-" }

func checksum(coin, payload string) string {
	sum := sha256.Sum256([]byte("checksum\x00" + coin + "\x00" + payload))
	return hex.EncodeToString(sum[:4])
}

// ForeignAddress returns a valid address that is not the custody's.
func ForeignAddress(coin, name string) string { return addressOf(coin, "foreign\x00"+name) }

// CheckAddress returns custody.ErrBadAddress for what is no address of the coin's chain.
func CheckAddress(coin, address string) error {
	if !coinName.MatchString(coin) {
		return custody.ErrUnknownCoin
	}
	rest, ok := strings.CutPrefix(address, prefix(coin))
	if !ok || !addressHex.MatchString(rest) || checksum(coin, rest[:40]) != rest[40:] {
		return custody.ErrBadAddress
	}
	return nil
}
