package backend

import (
	"context"
	"maps"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

func (b *backend) tokenPaths() []*framework.Path {
	return []*framework.Path{
		{
			Pattern: "introspect",
			Fields:  tokenFields,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: &framework.PathOperation{
					Callback: b.with(strict(b.introspect)), Summary: "Tell whether a token of this mount is active, and what it says (RFC 7662).",
					DisplayAttrs: display("introspect", ""), Responses: ok("The token's state.", introspectResponse),
				},
			},
			HelpSynopsis: "Tell whether a token of this mount is active.",
			HelpDescription: `Answers as RFC 7662 says: {"active": false} and nothing more for a token that is unknown, ` +
				"malformed, expired, revoked, or whose role was deleted.",
		},
		{
			Pattern: "revoke",
			Fields:  tokenFields,
			Operations: map[logical.Operation]framework.OperationHandler{
				logical.UpdateOperation: &framework.PathOperation{
					Callback: b.with(strict(b.revoke)), Summary: "Revoke a token of this mount, and every token exchanged from it (RFC 7009).",
					DisplayAttrs: display("revoke", ""), Responses: noContent("Revoked."),
				},
			},
			HelpSynopsis: "Revoke a token of this mount.",
			HelpDescription: "The token and every token that was exchanged from it are inactive from then on, and useless as a subject token. " +
				"A token that is not this mount's, or has expired, needs no revoking: that is a warning, not an error (RFC 7009 §2.2).",
		},
	}
}

// introspect answers with what RFC 7662 §2.2 lists, and nothing but
// "active": false for a token that is not.
func (b *backend) introspect(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	own, err := b.ownToken(ctx, req, secretFor(d, "token"), s)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return &logical.Response{Data: maps.Clone(inactive)}, nil
	}
	return &logical.Response{Data: maps.Clone(b.introspection(s, own))}, nil
}

// ownToken returns the token that a request asks about, revoked or not; nil if it
// is not an unexpired one of ours.
func (b *backend) ownToken(ctx context.Context, req *logical.Request, raw token.Secret, s *exchange.Snapshot) (*exchange.Own, error) {
	if raw == "" {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "token", "is required")
	}
	own, err := b.exchanger.Own(ctx, s, records{req.Storage}, raw)
	switch {
	case err == nil && own.Kind.Introspected:
		return own, nil
	case err == nil || denial.From(err).Code == denial.InvalidRequest:
		return nil, nil
	default:
		return nil, err // cannot be told now, which is not the same as inactive
	}
}

// revoke takes a token back. It asks neither whether that has happened already
// nor whether its role still exists: what was exchanged from it may be alive.
func (b *backend) revoke(ctx context.Context, req *logical.Request, d *framework.FieldData, s *exchange.Snapshot) (*logical.Response, error) {
	own, err := b.ownToken(ctx, req, secretFor(d, "token"), s)
	if err != nil {
		return nil, err
	}
	if own == nil {
		return warn(nil, []string{"the token is not an unexpired token of this mount: there was nothing to revoke"}), nil
	}
	b.Logger().Info("token revoked", "request_id", req.ID, "jti", own.ID, "client_id", own.Claims["client_id"])
	return nil, b.revokeToken(ctx, req.Storage, own.ID, own.Dates.Expires)
}

// revokeToken is the one way in which a token is revoked. It has taken effect
// when it returns; a token that has expired needs no entry.
func (b *backend) revokeToken(ctx context.Context, storage logical.Storage, jti string, expires time.Time) error {
	if !b.now().Before(expires) {
		return nil
	}
	entry := revocation.Token(jti, expires)
	c, err := put(revocationPrefix+string(entry.Selector), entry)
	if err != nil {
		return err
	}
	if err := c.apply(ctx, storage); err != nil {
		return err
	}
	b.revocations.Add(entry)
	b.metrics.revoked()
	return nil
}

var tokenFields = map[string]*framework.FieldSchema{
	"token": credential("The token."),
	"token_type_hint": {
		Type:        framework.TypeString,
		Description: "Accepted for compatibility (RFC 7662 §2.1); every kind of token is looked for in any case.",
	},
}

var introspectResponse = map[string]*framework.FieldSchema{
	"active":     {Type: framework.TypeBool, Description: "Whether the token is this mount's, unexpired and not revoked. If not, nothing else is told."},
	"token_type": {Type: framework.TypeString, Description: "Bearer, or DPoP for a token that is bound to a key."},
	"scope":      {Type: framework.TypeString, Description: "Scopes, separated by spaces."},
	"client_id":  {Type: framework.TypeString, Description: "Who asked for the token: id of the OAuth client; role: and the name of the role at Vault's own entrance."},
	"sub":        {Type: framework.TypeString, Description: "Subject."},
	"aud":        {Type: framework.TypeStringSlice, Description: "Audiences."},
	"act":        {Type: framework.TypeMap, Description: "Who acts for the subject, if anybody does (RFC 8693 §4.1)."},
	"cnf":        {Type: framework.TypeMap, Description: "What the token is bound to, if it is (RFC 7800)."},
	"iss":        {Type: framework.TypeString, Description: "Issuer: this mount."},
	"exp":        {Type: framework.TypeInt, Description: "When it expires, in seconds since 1970."},
	"iat":        {Type: framework.TypeInt, Description: "When it was issued, in seconds since 1970."},
	"jti":        {Type: framework.TypeString, Description: "Id of the token."},
	"txn":        {Type: framework.TypeString, Description: "Id of the chain of exchanges that the token belongs to."},
}
