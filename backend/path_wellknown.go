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

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
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
		{
			Pattern: `\.well-known/openid-configuration`,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.ReadOperation: &framework.PathOperation{
					Callback: b.with(b.discovery), Summary: "Read the metadata of the mount (OpenID Connect Discovery).", DisplayAttrs: display("read", "openid-configuration"),
					Responses: ok("The metadata.", discoveryResponse),
				},
			},
			HelpSynopsis:    "The metadata by which consumers find the public keys.",
			HelpDescription: "A raw JSON document, for anybody. It tells only what is served.",
		},
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

// discovery tells what is served. response_types_supported is required and
// means nothing here, for there is no authorization endpoint; ["id_token"] is
// what consumers expect of an issuer of that kind.
func (b *backend) discovery(_ context.Context, req *logical.Request, _ *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
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
	return public(req, map[string]any{
		"issuer": s.Config.Issuer, "jwks_uri": s.Config.Issuer + "/.well-known/keys",
		"response_types_supported": []string{"id_token"}, "subject_types_supported": []string{"public"},
		"id_token_signing_alg_values_supported": algorithms,
	}, "application/json", s.Config.JWKSMaxAge)
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

var discoveryResponse = map[string]*framework.FieldSchema{
	"issuer":                                {Type: framework.TypeString, Description: `The "iss" of every token.`},
	"jwks_uri":                              {Type: framework.TypeString, Description: "Where the public keys are."},
	"response_types_supported":              {Type: framework.TypeStringSlice, Description: "Required by the standard; there is no authorization endpoint."},
	"subject_types_supported":               {Type: framework.TypeStringSlice, Description: "public: every audience sees the same subject."},
	"id_token_signing_alg_values_supported": {Type: framework.TypeStringSlice, Description: "Signature algorithms of the keys."},
}
