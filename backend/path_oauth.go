package backend

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// oauthPaths declare the OAuth endpoints for help and OpenAPI alone: requests are
// answered by [backend.handleOAuth], which the framework does not see.
func (b *backend) oauthPaths() []*framework.Path {
	endpoint := func(pattern, verb, synopsis, help string, fields map[string]*framework.FieldSchema, responses map[int][]framework.Response) *framework.Path {
		return &framework.Path{
			Pattern: pattern, Fields: plus(fields, clientAuthentication),
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: &framework.PathOperation{
					Callback: b.with(unreachable), Summary: synopsis, DisplayAttrs: display(verb, "oauth"), Responses: responses,
				},
			},
			HelpSynopsis: synopsis, HelpDescription: help,
		}
	}
	return []*framework.Path{
		endpoint("oauth/token", "exchange", "Exchange a token as an OAuth client (RFC 8693).", oauthHelp,
			plus(without(exchangeFields, "ttl"), map[string]*framework.FieldSchema{
				"subject_token":      credential("The token of the party on whose behalf the request is made (RFC 8693 §2.1). Required."),
				"subject_token_type": {Type: framework.TypeString, Description: "Type of subject_token (RFC 8693 §3). Required."},
				"actor_token":        credential("The token of the party that acts. Left out if the role's actor_source is \"client\"."),
				"actor_token_type":   {Type: framework.TypeString, Description: "Type of actor_token. Required with it, and only then."},
				"grant_type":         {Type: framework.TypeString, Description: grantTokenExchange + ". Required."},
			}), ok("The token.", without(exchangeResponse, "jti", "txn", "subject", "audience", "act"))),
		endpoint("oauth/introspect", "introspect", "Ask about a token as an OAuth client (RFC 7662).", oauthHelp,
			tokenFields, ok("The token's state.", introspectResponse)),
		endpoint("oauth/revoke", "revoke", "Revoke a token as the OAuth client that asked for it (RFC 7009).", oauthHelp,
			tokenFields, ok("Revoked, or nothing to revoke.", nil)),
	}
}

func unreachable(context.Context, *logical.Request, *framework.FieldData, *exchange.Snapshot) (*logical.Response, error) {
	return nil, denial.New(denial.InvalidRequest, denial.Parse, "path", "the OAuth endpoints take POST")
}

var clientAuthentication = map[string]*framework.FieldSchema{
	"client_id":             {Type: framework.TypeString, Description: "Id of the client, unless its credentials tell it (RFC 6749 §2.3.1)."},
	"client_secret":         credential("Secret of a client whose auth_method is client_secret_post."),
	"client_assertion_type": {Type: framework.TypeString, Description: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer, with client_assertion (RFC 7523 §2.2)."},
	"client_assertion":      credential("JWT by which the client authenticates itself."),
}

const oauthHelp = `
A standard OAuth endpoint: a form in, JSON out, and OAuth's own errors. It takes no
Vault token: the client authenticates itself, as clients/NAME says. Answers are
never leased and never wrapped.
`
