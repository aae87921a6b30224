package issuer

import (
	"cmp"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// The fields of which exactly one says how an issuer's tokens are verified.
var (
	tokenSources = []string{"oidc_discovery_url", "jwks_url", "jwks", "jwt_validation_pubkeys", "introspection_url"}
	svidSources  = []string{"spiffe_bundle_url", "jwks"}
)

// sources returns the names of those fields that are set.
func (c *Config) sources() []string {
	var set []string
	for _, s := range []struct {
		field string
		used  bool
	}{
		{"oidc_discovery_url", c.DiscoveryURL != ""},
		{"jwks_url", c.JWKSURL != ""},
		{"jwks", c.JWKS != ""},
		{"jwt_validation_pubkeys", len(c.PublicKeys) > 0},
		{"introspection_url", c.IntrospectionURL != ""},
		{"spiffe_bundle_url", c.SPIFFEBundleURL != ""},
	} {
		if s.used {
			set = append(set, s.field)
		}
	}
	return set
}

// remoteURL is where requests go to; "" if the keys are inline.
func (c *Config) remoteURL() string {
	return cmp.Or(c.DiscoveryURL, c.JWKSURL, c.SPIFFEBundleURL, c.IntrospectionURL)
}

func (c *Config) checkSource() error {
	accepted := tokenSources
	if c.Type == SPIFFE {
		accepted = svidSources
	}
	names, set := strings.Join(accepted, ", "), c.sources()
	for _, field := range set {
		if !slices.Contains(accepted, field) {
			return denial.Field(field, "means nothing for the type %q: set exactly one of %s", c.Type, names)
		}
	}
	switch {
	case len(set) == 0:
		return denial.Field(accepted[0], "exactly one of %s must be set: none is", names)
	case len(set) > 1:
		return denial.Field(set[1], "exactly one of %s must be set: got %s: empty all but one", names, token.List(set))
	case c.remoteURL() != "":
		return CheckURL(set[0], c.remoteURL())
	case c.CAPEM != "" || len(c.AllowedAddresses) > 0:
		return denial.Field(set[0], "the keys are given inline: ca_pem and allowed_addresses would mean nothing")
	}
	_, err := c.inlineKeys()
	return err
}

// checkIntrospection checks the credentials, which belong to introspection_url.
func (c *Config) checkIntrospection() error {
	for _, f := range []struct{ name, value, missing string }{
		{"introspection_client_id", c.IntrospectionClientID, "must be set with introspection_url"},
		{"introspection_client_secret", c.IntrospectionClientSecret.Reveal(), "must be set with introspection_url, and again when that changes"},
	} {
		switch {
		case c.IntrospectionURL == "" && f.value != "":
			return denial.Field(f.name, "means nothing without introspection_url")
		case c.IntrospectionURL != "" && f.value == "":
			return denial.Field(f.name, "%s", f.missing)
		case !isPrintable(f.value):
			return denial.Field(f.name, "has a character other than printable ASCII, such as a line break at its end")
		}
	}
	return nil
}

// isPrintable tells whether all of a text is VSCHAR, of which client credentials
// and access tokens consist (RFC 6749 appendix A).
func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// sameOrigin tells whether keys and answers come from the same place, and are
// asked for in the same way.
func (c *Config) sameOrigin(other *Config) bool {
	return c.Name == other.Name && c.BoundIssuer == other.BoundIssuer &&
		c.DiscoveryURL == other.DiscoveryURL && c.JWKSURL == other.JWKSURL &&
		c.SPIFFEBundleURL == other.SPIFFEBundleURL && c.IntrospectionURL == other.IntrospectionURL &&
		c.IntrospectionClientID == other.IntrospectionClientID && c.IntrospectionClientSecret.Reveal() == other.IntrospectionClientSecret.Reveal() &&
		c.CAPEM == other.CAPEM && slices.Equal(c.AllowedAddresses, other.AllowedAddresses)
}
