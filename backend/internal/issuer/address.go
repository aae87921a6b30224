package issuer

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// CheckURL accepts an https URL with a host and without user, query and
// fragment. Plain http is for a literal loopback address alone: development.
func CheckURL(field, raw string) error {
	if err := checkURL(raw); err != nil {
		return denial.Field(field, "%q %s", raw, err)
	}
	if strings.Contains(raw, "?") {
		return denial.Field(field, "%q must have no query", raw)
	}
	return nil
}

func checkURL(raw string) error {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Opaque != "" {
		return errors.New("is not an absolute https URL")
	}
	switch {
	case u.User != nil || strings.Contains(raw, "#"):
		return errors.New("must have no user and no fragment")
	case u.Scheme == "https", IsLoopbackHTTP(u):
		return nil
	default:
		return errors.New("must be https (http is accepted for a literal loopback address such as 127.0.0.1 only)")
	}
}

// IsLoopbackHTTP tells whether a URL is plain http to a literal loopback address.
func IsLoopbackHTTP(u *url.URL) bool {
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && err == nil && ip.IsLoopback()
}

// special are ranges that are global unicast for net/netip and yet not public:
// IANA special-purpose address registries.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("168.63.129.16/32"), // Azure's platform endpoint
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("3fff::/20"),
}

// global is all of IPv6 that is assigned for global unicast.
var global = netip.MustParsePrefix("2000::/3")

// sharedSpace is carrier-grade NAT, private in all but name (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")

// addressPolicy decides which addresses a request may reach. It is asked after
// name resolution, for every connection, so that neither DNS nor a redirect
// leads around it.
type addressPolicy struct {
	listed []netip.Prefix
	// written are the hosts of the URL that the operator wrote: they may be
	// private. Any other host (a redirect, a jwks_uri) must be public or listed.
	written []string
}

func (p addressPolicy) check(host string, ip netip.Addr) error {
	ip = ip.Unmap().WithZone("")
	if slices.ContainsFunc(p.listed, func(c netip.Prefix) bool { return c.Contains(ip) }) {
		return nil
	}
	isPrivate := ip.IsPrivate() || sharedSpace.Contains(ip)
	isSpecial := ip.Is6() && !isPrivate && !global.Contains(ip) ||
		slices.ContainsFunc(special, func(c netip.Prefix) bool { return c.Contains(ip) })
	switch {
	case !ip.IsGlobalUnicast() || isSpecial:
		return fmt.Errorf("address %s of %s is not public: list it in allowed_addresses", ip, host)
	case isPrivate && !slices.Contains(p.written, host):
		return fmt.Errorf("address %s of %s is private, and %s is not the configured host: list it in allowed_addresses", ip, host, host)
	}
	return nil
}

func certPool(pem string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("has no certificate in PEM form")
	}
	return pool, nil
}
