package issuer

import "net/netip"

// The bounds that tests count against.
const (
	RefreshAfter = refreshAfter
	MinInterval  = minInterval
	MaxStale     = maxStale
)

// CheckAddress asks the address policy of an issuer whose URL names the host
// written, without a connection.
func CheckAddress(listed []string, written, host, ip string) error {
	prefixes, err := parsePrefixes(listed)
	if err != nil {
		return err
	}
	address, err := netip.ParseAddr(ip)
	if err != nil {
		return err
	}
	return addressPolicy{listed: prefixes, written: []string{written}}.check(host, address)
}
