// Package client is an OAuth client: who may call the OAuth endpoints, and how it
// proves who it is. It knows no Vault, and no time but the one it is given.
package client

import (
	"crypto/rand"
	"fmt"
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
)

// Config is an OAuth client as configured. The field names are those of the API.
type Config struct {
	ID string `json:"id"`
	// Instance tells the client from one that gets its id after its deletion.
	Instance string `json:"instance"`
	// Role is what it may exchange tokens by; without one it may introspect and
	// revoke only.
	Role string `json:"role"`
	// Audiences are those of the tokens that it may introspect.
	Audiences  []string `json:"audiences"`
	AuthMethod string   `json:"auth_method"` // one of Methods

	// Where its public keys come from: for private_key_jwt and, as the keys of
	// its certificates, for self_signed_tls_client_auth.
	JWKS             string   `json:"jwks"`
	JWKSURL          string   `json:"jwks_url"`
	CAPEM            string   `json:"ca_pem"`
	AllowedAddresses []string `json:"allowed_addresses"`

	// Which tokens of which trusted issuer are its own, for federated_jwt.
	FederatedIssuer  string       `json:"federated_issuer"`
	FederatedSubject string       `json:"federated_subject"` // exact
	FederatedClaims  policy.Bound `json:"federated_claims"`

	// Which certificates of which authority are its own, for tls_client_auth:
	// exactly one of the names (RFC 8705 §2.1.2).
	TLSSubjectDN string `json:"tls_client_auth_subject_dn"`
	TLSSANDNS    string `json:"tls_client_auth_san_dns"`
	TLSSANURI    string `json:"tls_client_auth_san_uri"`
	TLSSANIP     string `json:"tls_client_auth_san_ip"`
	TLSSANEmail  string `json:"tls_client_auth_san_email"`
	TLSCA        string `json:"tls_client_auth_ca"` // PEM

	DPoPRequired bool `json:"dpop_required"`
	// RateLimit is how many requests it may make a minute; 0 for no limit.
	RateLimit int `json:"rate_limit"`
	// InsecurePublic lets a client without authentication go without DPoP, too.
	InsecurePublic bool `json:"insecure_public"`

	// Secrets have no printable form: Stored alone writes them.
	Secrets Secrets `json:"secrets"`
}

// Draft returns a new client without anything configured.
func Draft(id string) *Config { return &Config{ID: id, Instance: rand.Text()} }

// Ref names the client for as long as it exists: a token that holds it dies with
// the client, also if the id is given again.
func (c *Config) Ref() string { return c.ID + ":" + c.Instance }

// Bounds of a configuration.
const (
	maxID    = 128     // characters
	maxItems = 256     // elements of a list
	maxName  = 2048    // characters of a name that is compared
	maxText  = 1 << 18 // bytes of keys and certificates
)

// Validate checks the configuration by itself. That role and issuer exist is for
// the caller to check.
func (c *Config) Validate() error {
	checks := []func() error{
		c.checkID, c.checkSizes, c.checkAudiences, c.checkMethod, c.checkMeaning,
		c.checkRate, c.checkPublic, c.checkKeys, c.checkFederated, c.checkCertificate,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// maxRate is the highest rate_limit: what is above it limits nothing.
const maxRate = 1_000_000

func (c *Config) checkRate() error {
	if c.RateLimit < 0 || c.RateLimit > maxRate {
		return denial.Field("rate_limit", "must be from 0 (no limit) to %d requests a minute", maxRate)
	}
	return nil
}

// checkID holds an id to VSCHAR (RFC 6749 appendix A.1) without what separates it
// from other things: ':' from the secret of Basic and in the ids of roles, ',' in
// repeated form fields, '/' in paths.
func (c *Config) checkID() error {
	bad := strings.IndexFunc(c.ID, func(r rune) bool { return r < ' ' || r > '~' || strings.ContainsRune(":,/", r) })
	switch {
	case c.ID == "":
		return denial.Field("name", "must be set")
	case len(c.ID) > maxID:
		return denial.Field("name", "has %d characters: the limit is %d", len(c.ID), maxID)
	case bad >= 0:
		return denial.Field("name", `has a character that is not allowed: use printable ASCII other than ":", "," and "/"`)
	case strings.TrimSpace(c.ID) != c.ID, strings.Trim(c.ID, ".") == "":
		return denial.Field("name", "must not begin or end with a space, and not be dots only")
	}
	return nil
}

func (c *Config) checkSizes() error {
	for _, f := range []struct {
		name, value string
		limit       int
	}{
		{"jwks", c.JWKS, maxText},
		{"ca_pem", c.CAPEM, maxText},
		{"tls_client_auth_ca", c.TLSCA, maxText},
		{"jwks_url", c.JWKSURL, maxName},
		{"federated_subject", c.FederatedSubject, maxName},
		{"tls_client_auth_subject_dn", c.TLSSubjectDN, maxName},
		{"tls_client_auth_san_dns", c.TLSSANDNS, maxName},
		{"tls_client_auth_san_uri", c.TLSSANURI, maxName},
		{"tls_client_auth_san_email", c.TLSSANEmail, maxName},
	} {
		if len(f.value) > f.limit {
			return denial.Field(f.name, "has %d characters: the limit is %d", len(f.value), f.limit)
		}
	}
	return nil
}

func (c *Config) checkAudiences() error {
	if len(c.Audiences) > maxItems {
		return denial.Field("audiences", "has more than %d elements", maxItems)
	}
	for i, audience := range c.Audiences {
		switch {
		case audience == "":
			return denial.Field("audiences", "has an empty element")
		case len(audience) > maxName:
			return denial.Field("audiences", "has an element of %d characters: the limit is %d", len(audience), maxName)
		case strings.ContainsAny(audience, ",*"):
			return denial.Field("audiences", `%q has a comma or "*": give the exact audiences, one an element`, audience)
		case slices.Contains(c.Audiences[:i], audience):
			return denial.Field("audiences", "has %q twice", audience)
		}
	}
	return nil
}

// checkPublic refuses a client without authentication that nobody has asked for
// in so many words, and what such a client must never have: whoever introspects
// has to be authorized (RFC 7662 §2.1), and whoever knows the id could use up a
// rate_limit.
func (c *Config) checkPublic() error {
	switch {
	case c.AuthMethod != None:
		return nil
	case !c.DPoPRequired && !c.InsecurePublic:
		return denial.Field("auth_method", `"none" lets everyone who knows the id be the client: set dpop_required=true, or insecure_public=true if that is meant`)
	case len(c.Audiences) > 0:
		return denial.Field("audiences", `means nothing for the auth_method "none": only a client that proves who it is may introspect`)
	case c.RateLimit > 0:
		return denial.Field("rate_limit", `would be anybody's to exhaust with the auth_method "none": leave it 0`)
	case c.Role == "":
		return denial.Field("role", `must be set for the auth_method "none": without a role a client may only introspect, for which it has to prove who it is`)
	}
	return nil
}

// keySource tells where the client's keys come from.
func (c *Config) keySource() issuer.KeySource {
	return issuer.KeySource{
		Name: c.ID, JWKS: c.JWKS, JWKSURL: c.JWKSURL, CAPEM: c.CAPEM, AllowedAddresses: c.AllowedAddresses,
	}
}

func (c *Config) checkKeys() error {
	if !c.hasKeys() {
		return nil
	}
	return c.keySource().Validate()
}

// Warnings tells what is accepted but deserves a second look.
func (c *Config) Warnings() []string {
	var out []string
	if c.InsecurePublic && !c.DPoPRequired {
		out = append(out, fmt.Sprintf("insecure_public: everyone who knows the id %q can use the role %q: set dpop_required=true, or an auth_method", c.ID, c.Role))
	}
	if c.Role == "" && len(c.Audiences) == 0 {
		out = append(out, "the client has neither a role nor audiences: it can exchange and introspect nothing")
	}
	return out
}
