package middleware

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ipv6SitePrefix is what one IPv6 customer usually gets: limits count it as one.
const ipv6SitePrefix = 64

// ClientAddress returns the address a request came from. proxyHeader names the header
// in which a trusted proxy puts it (the last entry counts: that is the one the proxy
// itself added); with "" no header is believed. An address that cannot be read is "".
func ClientAddress(r *http.Request, proxyHeader string) string {
	if proxyHeader != "" {
		if values := r.Header.Values(proxyHeader); len(values) > 0 {
			list := values[len(values)-1]
			last := strings.TrimSpace(list[strings.LastIndexByte(list, ',')+1:])
			if addr, err := netip.ParseAddr(last); err == nil {
				return addr.Unmap().WithZone("").String()
			}
		}
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return addr.Unmap().WithZone("").String()
}

// LimitKey returns the key under which limits count an address.
func LimitKey(address string) string {
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Is4() {
		return address
	}
	site, err := addr.Prefix(ipv6SitePrefix)
	if err != nil {
		return address
	}
	return site.String()
}
