package member

import (
	"net/netip"
	"slices"
	"strings"

	"mscoin/mscoin-common/errs"
)

// Sizes around API keys and verification codes, in bytes.
const (
	// KeyBytes is the length of an API key and of its HMAC secret: letters and digits.
	KeyBytes = 64
	// SignatureBytes is the length of an HMAC-SHA256 signature in hex.
	SignatureBytes = 64
	// CodeDigits is the length of a verification code.
	CodeDigits = 6
	// MaxLabelBytes bounds the label of an API key.
	MaxLabelBytes = 64
	// MaxIPRules bounds the list of addresses an API key may be used from.
	MaxIPRules = 30
	// MaxAddrBytes bounds an address or range as text.
	MaxAddrBytes = 64
)

// Alphabet has the characters of an API key.
const Alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

// Errors about API keys.
var (
	// ErrKeyFormat is returned for a text that cannot be an API key.
	ErrKeyFormat = errs.New(errs.KindUnauthenticated, errs.CodeBadAPIKeyFormat, "API-key format invalid")
	// ErrKeyRequest is returned for a request to create a key that breaks a rule.
	ErrKeyRequest = errs.New(errs.KindInvalidArgument, errs.CodeBadRequest, "API key cannot be created")
)

// CheckKeyFormat returns ErrKeyFormat unless key is 64 letters and digits.
func CheckKeyFormat(key string) error {
	if len(key) != KeyBytes {
		return ErrKeyFormat
	}
	for i := range len(key) {
		if !isAlnum(key[i]) {
			return ErrKeyFormat
		}
	}
	return nil
}

// ValidCode reports whether s looks like a verification code: six ASCII digits.
func ValidCode(s string) bool {
	return len(s) == CodeDigits && strings.Trim(s, "0123456789") == ""
}

// Permission is one thing an API key may do.
type Permission uint8

// Permissions. The zero value is none.
const (
	// Read allows to read the member's data.
	Read Permission = iota + 1
	// Trade allows to place and cancel orders.
	Trade
	// Withdraw allows to withdraw.
	Withdraw
)

// Permissions is a set of permissions, one bit each; the bits are stored and do not
// change.
type Permissions uint8

// NewPermissions makes a set. It returns ErrKeyRequest for an unknown permission.
func NewPermissions(list []Permission) (Permissions, error) {
	var set Permissions
	for _, p := range list {
		if p < Read || p > Withdraw {
			return 0, ErrKeyRequest.With("unknown permission")
		}
		set |= 1 << p
	}
	return set, nil
}

// Has reports whether p is in the set.
func (s Permissions) Has(p Permission) bool {
	return p >= Read && p <= Withdraw && s&(1<<p) != 0
}

// List returns the permissions of the set in a fixed order.
func (s Permissions) List() []Permission {
	var list []Permission
	for p := Read; p <= Withdraw; p++ {
		if s.Has(p) {
			list = append(list, p)
		}
	}
	return list
}

// IPList says where a key may be used from; an empty list is anywhere. Its ranges are
// in normal form (no host bits, IPv4 never as IPv6), sorted and without repetition.
type IPList []netip.Prefix

// ParseIPList reads addresses and CIDR ranges. It returns ErrKeyRequest for a text
// that is neither, for a range that is everything, and for too many.
func ParseIPList(texts []string) (IPList, error) {
	if len(texts) > MaxIPRules {
		return nil, ErrKeyRequest.With("at most 30 addresses")
	}
	list := make(IPList, 0, len(texts))
	for _, text := range texts {
		p, ok := parsePrefix(text)
		if !ok {
			return nil, ErrKeyRequest.With("not an address or CIDR range")
		}
		list = append(list, p)
	}
	slices.SortFunc(list, netip.Prefix.Compare)
	return slices.Compact(list), nil
}

func parsePrefix(text string) (netip.Prefix, bool) {
	if len(text) > MaxAddrBytes {
		return netip.Prefix{}, false
	}
	if !strings.Contains(text, "/") {
		a, ok := ParseAddr(text)
		if !ok {
			return netip.Prefix{}, false
		}
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	p, err := netip.ParsePrefix(text)
	// A range of IPv4 addresses written as IPv6 would never match, because addresses
	// are compared in their IPv4 form.
	if err != nil || p.Bits() == 0 || p.Addr().Is4In6() {
		return netip.Prefix{}, false
	}
	return p.Masked(), true
}

// Allows reports whether a request from that address may use the key. Without an
// address only an empty list allows it.
func (l IPList) Allows(addr netip.Addr) bool {
	if len(l) == 0 {
		return true
	}
	if !addr.IsValid() {
		return false
	}
	addr = addr.Unmap()
	return slices.ContainsFunc(l, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// Strings returns the list as texts that ParseIPList reads: a single address without
// its length.
func (l IPList) Strings() []string {
	texts := make([]string, 0, len(l))
	for _, p := range l {
		if p.IsSingleIP() {
			texts = append(texts, p.Addr().String())
			continue
		}
		texts = append(texts, p.String())
	}
	return texts
}

// ParseAddr reads the address of a client, without port and zone; IPv4 as IPv6 becomes
// IPv4. It reports whether the text was an address.
func ParseAddr(text string) (netip.Addr, bool) {
	if len(text) > MaxAddrBytes {
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(text)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// LimitScope returns what a limit per address counts by: the IPv4 address, or the /64
// network that one IPv6 customer has.
func LimitScope(a netip.Addr) string {
	if a.Is6() {
		if p, err := a.Prefix(64); err == nil {
			return p.String()
		}
	}
	return a.String()
}

// KeyRequest is what a member asks for when creating an API key.
type KeyRequest struct {
	// Label tells the member's keys apart.
	Label string
	// Permissions is what the key may do.
	Permissions Permissions
	// IPs is where the key may be used from.
	IPs IPList
}

// NewKeyRequest checks what a member asks for: a printable label, a permission at
// least, and a list of addresses when the key may withdraw. It returns ErrKeyRequest.
func NewKeyRequest(label string, permissions []Permission, ips []string) (KeyRequest, error) {
	if label == "" || len(label) > MaxLabelBytes || !printable(label) {
		return KeyRequest{}, ErrKeyRequest.With("a label has 1 to 64 bytes without control characters")
	}
	set, err := NewPermissions(permissions)
	if err != nil {
		return KeyRequest{}, err
	}
	if set == 0 {
		return KeyRequest{}, ErrKeyRequest.With("a key needs a permission")
	}
	list, err := ParseIPList(ips)
	if err != nil {
		return KeyRequest{}, err
	}
	if set.Has(Withdraw) && len(list) == 0 {
		return KeyRequest{}, ErrKeyRequest.With("a key that may withdraw needs a list of addresses")
	}
	return KeyRequest{Label: label, Permissions: set, IPs: list}, nil
}
