package backend

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) wellKnownPaths() []*framework.Path {
	return []*framework.Path{
		{
			Pattern: `\.well-known/keys`,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{
					Callback: b.with(b.jwks), Summary: "Read the public keys (RFC 7517).", DisplayAttrs: display("read", "jwks"),
					Responses: ok("A JSON Web Key Set.", map[string]*framework.FieldSchema{
						"keys": {Type: framework.TypeSlice, Description: "The keys that are published: active, next and retired ones."},
					}),
				},
			},
			HelpSynopsis:    "The public keys with which this mount's tokens are verified.",
			HelpDescription: "A raw JSON Web Key Set, for anybody. It may be cached for as long as its Cache-Control header says.",
		},
		b.metadataPath(`\.well-known/openid-configuration`, "openid-configuration", "OpenID Connect Discovery"),
		b.metadataPath(`\.well-known/oauth-authorization-server`, "oauth-authorization-server", "RFC 8414"),
	}
}

// metadataPath is one of the two places where metadata is looked for. Both have the
// same document.
func (b *backend) metadataPath(pattern, suffix, standard string) *framework.Path {
	return &framework.Path{
		Pattern: pattern,
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: &framework.PathOperation{
				Callback: b.with(b.metadata), Summary: "Read the metadata of the mount (" + standard + ").", DisplayAttrs: display("read", suffix),
				Responses: ok("The metadata.", metadataResponse),
			},
		},
		HelpSynopsis:    "The metadata by which clients and consumers find endpoints and public keys.",
		HelpDescription: "A raw JSON document, for anybody. It tells only what is served.",
	}
}

func (b *backend) jwks(_ context.Context, req *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	maxAge := exchange.NewConfig().JWKSMaxAge
	switch {
	case len(s.Keys) == 0:
		maxAge = 0 // whoever fetches too early need not wait for the first key
	case s.Config != nil:
		maxAge = s.Config.JWKSMaxAge
	}
	return public(req, keyring.JWKS(s.Keys, b.now()), "application/jwk-set+json", maxAge)
}

// metadata tells what is served (RFC 8414 §2, OpenID Connect Discovery §3).
// response_types_supported is required and means nothing here, for there is no
// authorization endpoint; ["id_token"] is what consumers expect of an issuer of
// that kind. The URLs come from the configuration, never from a request.
func (b *backend) metadata(_ context.Context, req *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	if s.Config == nil {
		return nil, denial.New(denial.InvalidRequest, denial.Configuration, "issuer", "the mount is not configured: write config first")
	}
	algorithms := []string{}
	for _, k := range s.Keys {
		if !slices.Contains(algorithms, string(k.Algorithm)) {
			algorithms = append(algorithms, string(k.Algorithm))
		}
	}
	slices.Sort(algorithms)
	issuer := s.Config.Issuer
	document := map[string]any{
		"issuer": issuer, "jwks_uri": issuer + "/.well-known/keys",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": algorithms, "grant_types_supported": []string{grantTokenExchange},
	}
	for _, endpoint := range []struct {
		name, path string
		methods    []string
	}{
		{"token_endpoint", "token", authMethods},
		{"introspection_endpoint", "introspect", slices.DeleteFunc(slices.Clone(authMethods), func(m string) bool { return m == client.None })},
		{"revocation_endpoint", "revoke", authMethods},
	} {
		document[endpoint.name] = issuer + "/" + oauthPrefix + endpoint.path
		document[endpoint.name+"_auth_methods_supported"] = endpoint.methods
		document[endpoint.name+"_auth_signing_alg_values_supported"] = token.Algorithms
	}
	if key := s.Keys[s.Config.DefaultKey]; key != nil {
		document["introspection_signing_alg_values_supported"] = []string{string(key.Algorithm)}
	}
	document["dpop_signing_alg_values_supported"] = token.Algorithms
	document["tls_client_certificate_bound_access_tokens"] = true
	return public(req, document, "application/json", s.Config.JWKSMaxAge)
}

// authMethods are those of the registry (RFC 8414 §2) that a client may have: an
// assertion that a trusted issuer made is private_key_jwt to whoever sends it.
var authMethods = []string{
	client.PrivateKeyJWT, client.ClientSecretBasic, client.ClientSecretPost, client.TLSClientAuth, client.SelfSignedTLS, client.None,
}

// public is a raw JSON response that anybody may cache. A wrapped one is refused:
// Vault would store a token for whoever asks.
func public(req *logical.Request, document any, contentType string, maxAge time.Duration) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "wrap_ttl", "what is public is not wrapped: leave X-Vault-Wrap-TTL out")
	}
	body, err := json.Marshal(document)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         http.StatusOK,
		logical.HTTPContentType:        contentType,
		logical.HTTPRawBody:            body,
		logical.HTTPCacheControlHeader: fmt.Sprintf("public, max-age=%d", seconds(maxAge)),
	}}, nil
}

var metadataResponse = map[string]*framework.FieldSchema{
	"issuer":                                           {Type: framework.TypeString, Description: `The "iss" of every token.`},
	"jwks_uri":                                         {Type: framework.TypeString, Description: "Where the public keys are."},
	"token_endpoint":                                   {Type: framework.TypeString, Description: "Where OAuth clients exchange tokens."},
	"introspection_endpoint":                           {Type: framework.TypeString, Description: "Where OAuth clients ask about tokens."},
	"revocation_endpoint":                              {Type: framework.TypeString, Description: "Where OAuth clients revoke tokens."},
	"grant_types_supported":                            {Type: framework.TypeStringSlice, Description: "The token exchange alone."},
	"response_types_supported":                         {Type: framework.TypeStringSlice, Description: "Required by the standard; there is no authorization endpoint."},
	"subject_types_supported":                          {Type: framework.TypeStringSlice, Description: "public: every audience sees the same subject."},
	"id_token_signing_alg_values_supported":            {Type: framework.TypeStringSlice, Description: "Signature algorithms of the keys."},
	"token_endpoint_auth_methods_supported":            {Type: framework.TypeStringSlice, Description: "How clients may authenticate themselves; the same for the other endpoints."},
	"token_endpoint_auth_signing_alg_values_supported": {Type: framework.TypeStringSlice, Description: "Signature algorithms of their assertions; the same for the other endpoints."},
}
