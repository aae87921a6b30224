// Package issuer turns a trusted issuer's configuration into verified claims.
// It makes the engine's only outbound requests.
package issuer

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Config is a trusted issuer as configured. The field names are those of the API.
type Config struct {
	Name string `json:"name"`
	Type string `json:"type"` // one of Types
	// BoundIssuer is the exact "iss" claim; the trust domain of a SPIFFE issuer.
	BoundIssuer string `json:"bound_issuer"`

	// Where the keys come from, or who is asked about a token: exactly one of these.
	DiscoveryURL     string   `json:"oidc_discovery_url"`
	JWKSURL          string   `json:"jwks_url"`
	JWKS             string   `json:"jwks"`
	PublicKeys       []string `json:"jwt_validation_pubkeys"`
	SPIFFEBundleURL  string   `json:"spiffe_bundle_url"`
	IntrospectionURL string   `json:"introspection_url"`

	// The engine's credentials at IntrospectionURL. The secret has no printable
	// form: Stored alone writes it.
	IntrospectionClientID     string     `json:"introspection_client_id"`
	IntrospectionClientSecret Credential `json:"introspection_client_secret"`

	CAPEM            string   `json:"ca_pem"`
	AllowedAddresses []string `json:"allowed_addresses"`

	// What its tokens must look like.
	AllowedAlgorithms []string      `json:"allowed_algorithms"`
	BoundAudiences    []string      `json:"bound_audiences"`
	MaxTokenAge       time.Duration `json:"max_token_age"`
	RequiredClaims    []string      `json:"required_claims"`

	// SubjectPrefix is put before "sub", so that the subjects of two issuers
	// cannot be the same.
	SubjectPrefix string `json:"subject_prefix"`
}

// ReservedPrefixes are the subject prefixes that belong to the engine: Vault
// entities, and the client_id of a role (RFC 9700 §4.15).
var ReservedPrefixes = []string{"entity:", "role:", "client:"}

// ReservedNames cannot name an issuer: "self" is this engine, and the default
// prefixes of the others are reserved.
var ReservedNames = []string{"self", "entity", "role"}

// Draft returns the configuration of an issuer that is being written: Fill sets
// the defaults of its type.
func Draft(name string) *Config {
	return &Config{Name: name, Type: Generic, SubjectPrefix: name + ":"}
}

// NewConfig returns an issuer's configuration with the defaults of the type
// generic.
func NewConfig(name string) *Config {
	c := Draft(name)
	c.Fill(func(string) bool { return false })
	return c
}

// Validate checks the configuration by itself.
func (c *Config) Validate() error {
	checks := []func() error{
		c.checkName, c.checkType, c.checkSource, c.checkIntrospection,
		c.checkAlgorithms, c.checkFit, c.checkClaims, c.checkAddresses, c.checkPrefix,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

func (c *Config) checkName() error {
	if slices.Contains(ReservedNames, c.Name) {
		return denial.Field("name", "%q is reserved: choose another name", c.Name)
	}
	if len(c.SubjectPrefix) > maxItems {
		return denial.Field("subject_prefix", "has more than %d characters", maxItems)
	}
	if c.BoundIssuer == "" {
		return denial.Field("bound_issuer", `must be set to the exact "iss" claim of the issuer's tokens`)
	}
	return nil
}

func (c *Config) checkAlgorithms() error {
	if len(c.AllowedAlgorithms) == 0 {
		return denial.Field("allowed_algorithms", "must name at least one algorithm")
	}
	supported := token.Algorithms
	if c.Type == SPIFFE {
		supported = svidAlgorithms
	}
	for _, a := range c.AllowedAlgorithms {
		if !slices.Contains(supported, jose.SignatureAlgorithm(a)) {
			return denial.Field("allowed_algorithms", "%q is not supported: use any of %v", a, supported)
		}
	}
	return nil
}

// maxItems is how many elements any list of an issuer may have.
const maxItems = 256

func (c *Config) checkClaims() error {
	for name, list := range map[string][]string{"bound_audiences": c.BoundAudiences, "required_claims": c.RequiredClaims, "allowed_addresses": c.AllowedAddresses} {
		if len(list) > maxItems {
			return denial.Field(name, "has more than %d elements", maxItems)
		}
	}
	if len(c.BoundAudiences) == 0 {
		return denial.Field("bound_audiences", `must be set: the "aud" claims that mean this engine`)
	}
	if slices.Contains(c.BoundAudiences, "") {
		return denial.Field("bound_audiences", "has an empty element")
	}
	if slices.Contains(c.RequiredClaims, "") {
		return denial.Field("required_claims", "has an empty element")
	}
	if c.MaxTokenAge < 0 {
		return denial.Field("max_token_age", "must not be negative")
	}
	return nil
}

func (c *Config) checkAddresses() error {
	if _, err := parsePrefixes(c.AllowedAddresses); err != nil {
		return denial.Field("allowed_addresses", "%s", err)
	}
	if c.CAPEM != "" {
		if _, err := certPool(c.CAPEM); err != nil {
			return denial.Field("ca_pem", "%s", err)
		}
	}
	return nil
}

func (c *Config) checkPrefix() error {
	for _, reserved := range ReservedPrefixes {
		if c.SubjectPrefix != "" && overlap(c.SubjectPrefix, reserved) {
			return denial.Field("subject_prefix", "%q cannot be told from the reserved prefix %q", c.SubjectPrefix, reserved)
		}
	}
	return nil
}

// CheckAgainst refuses a subject prefix that cannot be told from another
// issuer's: one of them would be the beginning of the other.
func (c *Config) CheckAgainst(other *Config) error {
	if c.Name == other.Name {
		return nil
	}
	if c.SubjectPrefix == "" && other.SubjectPrefix == "" {
		return denial.Field("subject_prefix", "is empty, as the issuer %q's already is: at most one may be", other.Name)
	}
	if c.SubjectPrefix != "" && other.SubjectPrefix != "" && overlap(c.SubjectPrefix, other.SubjectPrefix) {
		return denial.Field("subject_prefix", "%q cannot be told from %q of the issuer %q", c.SubjectPrefix, other.SubjectPrefix, other.Name)
	}
	if c.BoundIssuer == other.BoundIssuer {
		return denial.Field("bound_issuer", "%q is already the bound_issuer of the issuer %q", c.BoundIssuer, other.Name)
	}
	return nil
}

func overlap(a, b string) bool { return strings.HasPrefix(a, b) || strings.HasPrefix(b, a) }

func parsePrefixes(cidrs []string) ([]netip.Prefix, error) {
	out := make([]netip.Prefix, 0, len(cidrs))
	for _, cidr := range cidrs {
		p, err := netip.ParsePrefix(cidr)
		if err != nil {
			return nil, fmt.Errorf("%q is not a CIDR such as 10.0.0.0/8", cidr)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}
