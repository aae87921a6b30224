package client

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// names are the fields of which exactly one says which certificates are the
// client's (RFC 8705 §2.1.2).
func (c *Config) names() []string {
	return slices.DeleteFunc(c.set(), func(name string) bool {
		return name == "tls_client_auth_ca" || !strings.HasPrefix(name, "tls_client_auth_")
	})
}

func (c *Config) checkCertificate() error {
	if c.AuthMethod != TLSClientAuth {
		return nil
	}
	const one = "exactly one of tls_client_auth_subject_dn and tls_client_auth_san_dns, _san_uri, _san_ip and _san_email must be set"
	names := c.names()
	switch {
	case len(names) == 0:
		return denial.Field("tls_client_auth_subject_dn", one+": none is")
	case len(names) > 1:
		return denial.Field(names[1], one+": got %s", token.List(names))
	case c.TLSCA == "":
		return denial.Field("tls_client_auth_ca", "must be set to the certificates of the authorities that issue for the client: any other could name it as well")
	}
	if _, err := authorities(c.TLSCA); err != nil {
		return denial.Field("tls_client_auth_ca", "%s", err)
	}
	return c.checkName(names[0])
}

// checkName checks that the name can be one in a certificate.
func (c *Config) checkName(field string) error {
	switch field {
	case "tls_client_auth_subject_dn":
		if _, err := parseDN(c.TLSSubjectDN); err != nil {
			return denial.Field(field, "%s: give it as RFC 4514 writes it, such as CN=billing,O=Example", err)
		}
	case "tls_client_auth_san_dns":
		if strings.ContainsAny(c.TLSSANDNS, "* \t:/@") || strings.HasSuffix(c.TLSSANDNS, ".") {
			return denial.Field(field, "%q is not an exact host name such as billing.example", c.TLSSANDNS)
		}
	case "tls_client_auth_san_uri":
		if u, err := url.Parse(c.TLSSANURI); err != nil || !u.IsAbs() || u.String() != c.TLSSANURI {
			return denial.Field(field, "%q is not an absolute URI such as spiffe://example/billing", c.TLSSANURI)
		}
	case "tls_client_auth_san_ip":
		if ip, err := netip.ParseAddr(c.TLSSANIP); err != nil || ip.Zone() != "" {
			return denial.Field(field, "%.64q is not an IP address", c.TLSSANIP)
		}
	case "tls_client_auth_san_email":
		if local, host, ok := strings.Cut(c.TLSSANEmail, "@"); !ok || local == "" || host == "" || strings.ContainsAny(c.TLSSANEmail, " *<>") {
			return denial.Field(field, "%q is not an address such as billing@example.org", c.TLSSANEmail)
		}
	}
	return nil
}

// authorities reads certificates of certificate authorities in PEM form.
func authorities(text string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	rest, found := []byte(text), false
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, errors.New("has a PEM block that is no certificate: give certificates only")
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, errors.New("has a malformed certificate")
		}
		if !ca.BasicConstraintsValid || !ca.IsCA {
			return nil, errors.New("has a certificate that is no authority's: for one of the client's own use self_signed_tls_client_auth")
		}
		pool.AddCert(ca)
		found = true
	}
	if !found || strings.TrimSpace(string(rest)) != "" {
		return nil, errors.New("is not one or more certificates in PEM form")
	}
	return pool, nil
}

// proveByCertificate checks the certificate of the connection (RFC 8705 §2). TLS
// at the listener has proven that the peer has its key, and nothing more: Vault asks
// for any.
func (c *Client) proveByCertificate(ctx context.Context, chain []*x509.Certificate, env Env) *denial.Error {
	if len(chain) == 0 || chain[0] == nil {
		return unproven("no certificate came with the connection: does the listener ask for one, and is Vault the end of TLS?")
	}
	if c.AuthMethod == SelfSignedTLS {
		return c.proveByOwnCertificate(ctx, chain[0], env)
	}
	// Only the client's own authorities count: another one may issue the same
	// name to somebody else (RFC 8705 §7.4).
	options := x509.VerifyOptions{
		Roots: c.ca, Intermediates: x509.NewCertPool(), CurrentTime: env.Now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, intermediate := range chain[1:] {
		if intermediate != nil {
			options.Intermediates.AddCert(intermediate)
		}
	}
	if _, err := chain[0].Verify(options); err != nil {
		return unprovenBy(err)
	}
	if !c.isNamedBy(chain[0]) {
		return unproven("the certificate does not have the name that the client is registered with")
	}
	return nil
}

// proveByOwnCertificate checks a certificate whose key is registered (RFC 8705
// §2.2): no authority speaks for it.
func (c *Client) proveByOwnCertificate(ctx context.Context, own *x509.Certificate, env Env) *denial.Error {
	if env.Now.Before(own.NotBefore) || env.Now.After(own.NotAfter) {
		return unproven("the certificate is expired or not yet valid")
	}
	held, err := c.keys.Hold(ctx, own.PublicKey)
	switch {
	case err != nil:
		return c.noKeys(err)
	case !held:
		return unproven("the key of the certificate is not among the client's")
	}
	return nil
}

// isNamedBy tells whether a verified certificate has the client's name. A name is
// never a pattern, on either side.
func (c *Config) isNamedBy(own *x509.Certificate) bool {
	switch {
	case c.TLSSubjectDN != "":
		return sameDN(c.TLSSubjectDN, own.RawSubject)
	case c.TLSSANDNS != "":
		return slices.ContainsFunc(own.DNSNames, func(name string) bool { return strings.EqualFold(name, c.TLSSANDNS) })
	case c.TLSSANURI != "":
		return slices.ContainsFunc(own.URIs, func(u *url.URL) bool { return u.String() == c.TLSSANURI })
	case c.TLSSANEmail != "":
		return slices.Contains(own.EmailAddresses, c.TLSSANEmail)
	}
	wanted, err := netip.ParseAddr(c.TLSSANIP)
	if err != nil {
		return false
	}
	for _, raw := range own.IPAddresses {
		if ip, ok := netip.AddrFromSlice(raw); ok && ip.Unmap() == wanted.Unmap() {
			return true
		}
	}
	return false
}
