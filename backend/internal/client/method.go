package client

import (
	"slices"
	"strings"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
)

// The ways in which a client proves who it is: as the IANA registry of token
// endpoint authentication methods names them, and FederatedJWT.
const (
	PrivateKeyJWT     = "private_key_jwt"             // RFC 7523 §2.2, with its own key
	FederatedJWT      = "federated_jwt"               // RFC 7523 §2.2, with the token of a trusted issuer
	ClientSecretBasic = "client_secret_basic"         // RFC 6749 §2.3.1, in the header
	ClientSecretPost  = "client_secret_post"          // RFC 6749 §2.3.1, in the body
	TLSClientAuth     = "tls_client_auth"             // RFC 8705 §2.1
	SelfSignedTLS     = "self_signed_tls_client_auth" // RFC 8705 §2.2
	None              = "none"                        // RFC 6749 §2.1, a public client
)

// Methods are all the methods.
var Methods = []string{PrivateKeyJWT, FederatedJWT, ClientSecretBasic, ClientSecretPost, TLSClientAuth, SelfSignedTLS, None}

// meaningful are the fields that mean something for a method alone.
var meaningful = map[string][]string{
	PrivateKeyJWT: keyFields,
	FederatedJWT:  {"federated_issuer", "federated_subject", "federated_claims"},
	TLSClientAuth: {
		"tls_client_auth_subject_dn", "tls_client_auth_san_dns", "tls_client_auth_san_uri",
		"tls_client_auth_san_ip", "tls_client_auth_san_email", "tls_client_auth_ca",
	},
	SelfSignedTLS: keyFields,
	None:          {"insecure_public"},
}

var keyFields = []string{"jwks", "jwks_url", "ca_pem", "allowed_addresses"}

// set returns the names of those fields that are set.
func (c *Config) set() []string {
	var out []string
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"jwks", c.JWKS != ""},
		{"jwks_url", c.JWKSURL != ""},
		{"ca_pem", c.CAPEM != ""},
		{"allowed_addresses", len(c.AllowedAddresses) > 0},
		{"federated_issuer", c.FederatedIssuer != ""},
		{"federated_subject", c.FederatedSubject != ""},
		{"federated_claims", len(c.FederatedClaims) > 0},
		{"tls_client_auth_subject_dn", c.TLSSubjectDN != ""},
		{"tls_client_auth_san_dns", c.TLSSANDNS != ""},
		{"tls_client_auth_san_uri", c.TLSSANURI != ""},
		{"tls_client_auth_san_ip", c.TLSSANIP != ""},
		{"tls_client_auth_san_email", c.TLSSANEmail != ""},
		{"tls_client_auth_ca", c.TLSCA != ""},
		{"insecure_public", c.InsecurePublic},
	} {
		if f.set {
			out = append(out, f.name)
		}
	}
	return out
}

func (c *Config) checkMethod() error {
	if !slices.Contains(Methods, c.AuthMethod) {
		return denial.Field("auth_method", "must be one of %s", strings.Join(Methods, ", "))
	}
	return nil
}

// checkMeaning refuses what would be accepted and ignored.
func (c *Config) checkMeaning() error {
	for _, name := range c.set() {
		if !slices.Contains(meaningful[c.AuthMethod], name) {
			return denial.Field(name, "means nothing for the auth_method %q: leave it empty", c.AuthMethod)
		}
	}
	return nil
}

func (c *Config) hasKeys() bool {
	return c.AuthMethod == PrivateKeyJWT || c.AuthMethod == SelfSignedTLS
}

// HasSecret tells whether the method proves who the client is by a secret.
func (c *Config) HasSecret() bool {
	return c.AuthMethod == ClientSecretBasic || c.AuthMethod == ClientSecretPost
}
