package backend

import (
	"context"
	"maps"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) issuerPaths() []*framework.Path {
	issuers := object{
		noun: "issuer", synopsis: "Trust the tokens of an issuer.", help: issuerHelp,
		fields: issuerFields, response: without(issuerFields, "introspection_client_secret"),
		example: map[string]any{
			"bound_issuer": "https://idp.example.com", "oidc_discovery_url": "https://idp.example.com",
			"bound_audiences": []string{"https://vault.example.com"},
		},
		exists: func(s *exchange.Snapshot, name string) bool { return s.Issuers[name] != nil },
		list:   b.issuerList, write: b.issuerWrite, read: b.issuerRead, delete: b.issuerDelete,
		listHelp:      "Lists the names of the issuers, with type and bound_issuer of each.",
		writeSummary:  "Write a trusted issuer; fields left out keep their value, lists are replaced whole.",
		readSummary:   "Read a trusted issuer.",
		deleteSummary: "Delete a trusted issuer that no role accepts.",
	}
	return append(b.objectPaths(issuers), b.heldKeysPaths(issuers, "an issuer", func(s *exchange.Snapshot, name string) (heldKeys, error) {
		i := s.Issuers[name]
		if i == nil {
			return nil, nil
		}
		return i, nil
	}, "An issuer with introspection_url has no keys: the dates are those of the last question about a token.")...)
}

func (b *backend) issuerWrite(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	var warnings []string
	err := b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		next := draftIssuer(d, s.Issuers[name], name)
		if err := next.Validate(); err != nil {
			return nil, err
		}
		if err := s.CheckIssuer(next, b.now()); err != nil {
			return nil, err
		}
		made, err := b.newIssuer(next)
		if err != nil {
			return nil, err
		}
		before := s.Clone()
		s.Issuers[name] = made
		if err := s.CheckUsers(name); err != nil {
			return nil, err
		}
		warnings = append(next.Warnings(), s.PrefixWarnings(before, name)...)
		c, err := put(issuerPrefix+name, issuer.Stored{Config: next})
		return []change{c}, err
	})
	if err != nil {
		return nil, err
	}
	return warn(nil, warnings), nil
}

// draftIssuer returns an issuer as a write makes it of what it was, if it was. A
// type sets its defaults when it is given: what is emptied later stays empty.
func draftIssuer(d *framework.FieldData, old *issuer.Issuer, name string) *issuer.Config {
	next := issuer.Draft(name)
	if old != nil {
		*next = *old.Config
	}
	readIssuer(d, next)
	if old == nil || next.Type != old.Type {
		next.Fill(func(field string) bool { _, wrote := d.GetOk(field); return wrote })
	}
	return next
}

func readIssuer(d *framework.FieldData, c *issuer.Config) {
	set(d, "type", &c.Type)
	set(d, "bound_issuer", &c.BoundIssuer)
	set(d, "oidc_discovery_url", &c.DiscoveryURL)
	set(d, "jwks_url", &c.JWKSURL)
	set(d, "jwks", &c.JWKS)
	set(d, "jwt_validation_pubkeys", &c.PublicKeys)
	set(d, "ca_pem", &c.CAPEM)
	set(d, "allowed_addresses", &c.AllowedAddresses)
	set(d, "allowed_algorithms", &c.AllowedAlgorithms)
	set(d, "bound_audiences", &c.BoundAudiences)
	set(d, "required_claims", &c.RequiredClaims)
	set(d, "subject_prefix", &c.SubjectPrefix)
	set(d, "spiffe_bundle_url", &c.SPIFFEBundleURL)
	setDuration(d, "max_token_age", &c.MaxTokenAge)
	readIntrospection(d, c)
}

// readIntrospection forgets the secret when the URL changes: whoever may write
// an issuer and not read its secret could have it sent to a server of theirs.
func readIntrospection(d *framework.FieldData, c *issuer.Config) {
	secret, before := c.IntrospectionClientSecret.Reveal(), c.IntrospectionURL
	set(d, "introspection_url", &c.IntrospectionURL)
	set(d, "introspection_client_id", &c.IntrospectionClientID)
	if c.IntrospectionURL != before {
		secret = ""
	}
	set(d, "introspection_client_secret", &secret)
	c.IntrospectionClientSecret = issuer.NewCredential(token.Secret(secret))
}

func (b *backend) issuerRead(_ context.Context, _ *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	i := s.Issuers[named(d)]
	if i == nil {
		return nil, nil
	}
	return &logical.Response{Data: issuerData(i.Config)}, nil
}

// issuerData leaves the client secret out: it is never shown.
func issuerData(c *issuer.Config) map[string]any {
	return map[string]any{
		"type": c.Type, "bound_issuer": c.BoundIssuer, "oidc_discovery_url": c.DiscoveryURL, "jwks_url": c.JWKSURL, "jwks": c.JWKS,
		"jwt_validation_pubkeys": list(c.PublicKeys), "ca_pem": c.CAPEM, "allowed_addresses": list(c.AllowedAddresses),
		"allowed_algorithms": list(c.AllowedAlgorithms), "bound_audiences": list(c.BoundAudiences), "required_claims": list(c.RequiredClaims),
		"subject_prefix": c.SubjectPrefix, "max_token_age": seconds(c.MaxTokenAge), "spiffe_bundle_url": c.SPIFFEBundleURL,
		"introspection_url": c.IntrospectionURL, "introspection_client_id": c.IntrospectionClientID,
	}
}

func (b *backend) issuerDelete(ctx context.Context, req *logical.Request, d *framework.FieldData, _ *exchange.Snapshot) (*logical.Response, error) {
	name := named(d)
	return nil, b.update(ctx, req.Storage, func(s *exchange.Snapshot) ([]change, error) {
		if slices.Contains(s.Unreadable, issuerPrefix+name) {
			return []change{remove(issuerPrefix + name)}, nil // who uses it is denied already
		}
		if users := s.UsersOfIssuer(name); len(users) > 0 {
			return nil, denial.Field("name", "the issuer %q is accepted by the roles %s: take it out of their issuers first", name, token.List(users))
		}
		if users := s.ClientsOfIssuer(name); len(users) > 0 {
			return nil, denial.Field("name", "the issuer %q makes the assertions of the clients %s: give them another federated_issuer first", name, token.List(users))
		}
		delete(s.Issuers, name)
		return []change{remove(issuerPrefix + name)}, nil
	})
}

func (b *backend) issuerList(_ context.Context, _ *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	info := map[string]any{}
	for name, i := range s.Issuers {
		info[name] = map[string]any{"type": i.Type, "bound_issuer": i.BoundIssuer}
	}
	return logical.ListResponseWithInfo(slices.Sorted(maps.Keys(s.Issuers)), info), nil
}

var issuerFields = map[string]*framework.FieldSchema{
	"type": {
		Type: framework.TypeString,
		Description: `What kind of issuer it is: "generic", "kubernetes", "github", "gitlab", "spiffe" or "vault". It sets defaults for the fields that are left out, and adds refusals. ` +
			`"github" and "gitlab" know bound_issuer and oidc_discovery_url of the public service. Default: generic.`,
		AllowedValues: []any{issuer.Generic, issuer.Kubernetes, issuer.GitHub, issuer.GitLab, issuer.SPIFFE, issuer.Vault},
	},
	"bound_issuer": {
		Type:        framework.TypeString,
		Description: `The exact "iss" claim of the issuer's tokens. For the type "spiffe" the trust domain, such as spiffe://example.org: "sub" must be of it, and "iss" is not looked at.`,
	},
	"oidc_discovery_url": {
		Type:        framework.TypeString,
		Description: "Base URL of OpenID Connect discovery: the keys are found through its /.well-known/openid-configuration.",
	},
	"jwks_url": {
		Type:        framework.TypeString,
		Description: "URL of the issuer's JSON Web Key Set.",
	},
	"jwks": {
		Type:        framework.TypeString,
		Description: `The issuer's JSON Web Key Set itself, for an issuer that cannot be reached. For the type "spiffe" the trust domain's bundle.`,
	},
	"jwt_validation_pubkeys": {
		Type:        framework.TypeCommaStringSlice,
		Description: "The issuer's public keys or certificates in PEM form, for an issuer that cannot be reached.",
	},
	"spiffe_bundle_url": {
		Type:        framework.TypeString,
		Description: `For the type "spiffe": URL of the trust domain's bundle endpoint (profile https_web). Of its keys those with "use" jwt-svid count.`,
	},
	"introspection_url": {
		Type: framework.TypeString,
		Description: "For tokens that only the issuer can read: URL of its introspection endpoint (RFC 7662). It is asked about each token; " +
			"that a token is active is taken from it for ten seconds. Needs introspection_client_id and introspection_client_secret.",
	},
	"introspection_client_id": {
		Type:        framework.TypeString,
		Description: "Client id of this engine at introspection_url, for HTTP Basic authentication.",
	},
	"introspection_client_secret": {
		Type:         framework.TypeString,
		Description:  "Client secret of this engine at introspection_url. It is never shown. A change of introspection_url forgets it: give it again.",
		DisplayAttrs: &framework.DisplayAttributes{Sensitive: true},
	},
	"ca_pem": {
		Type:        framework.TypeString,
		Description: "Certificates in PEM form that the issuer's TLS certificate is checked with. Default: those of the system.",
	},
	"allowed_addresses": {
		Type: framework.TypeCommaStringSlice,
		Description: "CIDRs of addresses that may be contacted beyond the default: public addresses, and private ones for the host of the configured URL. " +
			"Loopback and link-local addresses must be listed.",
	},
	"allowed_algorithms": {
		Type:        framework.TypeCommaStringSlice,
		Description: `Signature algorithms that the issuer's tokens may use, of RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, ES512, EdDSA. Default: RS256, ES256; for the types "github" and "gitlab" RS256; for "spiffe" all but EdDSA, which it cannot have.`,
	},
	"bound_audiences": {
		Type:        framework.TypeCommaStringSlice,
		Description: `The "aud" claims that mean this engine: a token must have one of them. Required. For the type "kubernetes" the API server's own are refused.`,
	},
	"max_token_age": {
		Type:        framework.TypeDurationSecond,
		Description: `The longest life ("exp" less "iat") that a token may have been issued with. Default: no limit.`,
	},
	"required_claims": {
		Type:        framework.TypeCommaStringSlice,
		Description: `Claims that every token of the issuer must have. Default: none; kubernetes.io for the type "kubernetes".`,
	},
	"subject_prefix": {
		Type:        framework.TypeString,
		Description: `Put before the issuer's "sub", so that subjects of different issuers differ. Default: the name and a colon. At most one issuer may have an empty one.`,
	},
}

const issuerHelp = `
An issuer is trusted by the exact value of its "iss" claim, for tokens whose
"aud" is one of bound_audiences, signed by one of its keys. Set exactly one of
oidc_discovery_url, jwks_url, jwks, jwt_validation_pubkeys and
introspection_url. The last is for opaque tokens: the issuer is asked about each.
A write keeps the fields that it leaves out: to change from one of the five to
another, empty the first, as in jwks=.

The type sets defaults for what is left out: "kubernetes", "github", "gitlab",
"vault", or "generic". An issuer of the type "spiffe" is a trust domain instead:
bound_issuer is spiffe:// and its name, "sub" must be a SPIFFE ID of it, and the
keys come from its bundle, by spiffe_bundle_url or jwks.

Trusting an issuer allows nothing yet: roles name the issuers that they accept.
The name "self" stands for this engine's own tokens and needs no configuration.
`
