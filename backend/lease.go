package backend

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// leaseType is stored in every lease: renaming it would make those that exist
// impossible to revoke.
const leaseType = "token_exchange_access_token"

// leasedToken is a leased answer. It has no Renew: a token cannot live longer
// than it says, and Vault Agent shares renewable leases between requests.
func (b *backend) leasedToken() *framework.Secret {
	return &framework.Secret{
		Type:   leaseType,
		Fields: map[string]*framework.FieldSchema{"access_token": credential("The token.")},
		Revoke: b.revokeLease,
	}
}

func (b *backend) lease(a *exchange.Answer, data map[string]any) *logical.Response {
	resp := b.Secret(leaseType).Response(data, map[string]any{
		// A string, since numbers come back as floating point.
		"jti": a.ID, "expires": a.Expires.UTC().Format(time.RFC3339), "role": a.Role.Name,
	})
	resp.Secret.TTL = a.ExpiresIn()
	resp.Secret.MaxTTL = a.ExpiresIn()
	resp.Secret.Renewable = false
	return resp
}

// revokeLease revokes the leased token. Vault calls it also while the mount is
// being removed or moved, and a failure would hold that up: it needs nothing but
// the lease.
func (b *backend) revokeLease(ctx context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	jti, _ := req.Secret.InternalData["jti"].(string)
	text, _ := req.Secret.InternalData["expires"].(string)
	expires, err := time.Parse(time.RFC3339, text)
	if jti == "" || err != nil {
		return nil, errors.New("the lease does not say which token it is for")
	}
	return nil, b.revokeToken(ctx, req.Storage, jti, expires)
}
