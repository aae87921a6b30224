package backend

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
)

// oauthPrefix is where the endpoints are that speak OAuth and not Vault's API.
const oauthPrefix = "oauth/"

// oauthHandler answers a request of an OAuth endpoint from the snapshot.
type oauthHandler func(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*logical.Response, error)

func (b *backend) oauthHandlers() map[string]oauthHandler {
	return map[string]oauthHandler{
		oauthPrefix + "token":      b.oauthToken,
		oauthPrefix + "introspect": b.oauthIntrospect,
		oauthPrefix + "revoke":     b.oauthRevoke,
	}
}

// isOAuth tells whether the framework is left out of a request: it would refuse a
// malformed parameter in Vault's shape, and repeat its value. Help it answers.
func isOAuth(req *logical.Request) bool {
	return strings.HasPrefix(req.Path, oauthPrefix) && req.Operation != logical.HelpOperation
}

// handleOAuth answers a request of an OAuth endpoint. All that it says is OAuth's
// own, except that it answers nothing wrapped: Vault would make an answer of
// whatever kind a success, and store a token for somebody whom nobody knows.
func (b *backend) handleOAuth(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		return logical.ErrorResponse("invalid_request: the OAuth endpoints are not wrapped: leave X-Vault-Wrap-TTL out"), logical.ErrInvalidRequest
	}
	resp, err := b.answerOAuth(ctx, req)
	switch {
	case errors.Is(err, logical.ErrReadOnly):
		return nil, logical.ErrReadOnly // Vault forwards the request to a node that may write
	case err != nil:
		return b.refuseOAuth(req, err), nil
	}
	return resp, nil
}

func (b *backend) answerOAuth(ctx context.Context, req *logical.Request) (resp *logical.Response, err error) {
	defer b.recoverTo(req, &err)
	handler := b.oauthHandlers()[req.Path]
	switch {
	case handler == nil:
		return oauthAnswer(http.StatusNotFound, oauthError{denial.InvalidRequest, "there is no such endpoint: use oauth/token, oauth/introspect or oauth/revoke"}), nil
	case req.Operation != logical.UpdateOperation && req.Operation != logical.CreateOperation:
		resp := oauthAnswer(http.StatusMethodNotAllowed, oauthError{denial.InvalidRequest, "the method must be POST"})
		resp.Headers = map[string][]string{"Allow": {http.MethodPost}} // RFC 9110 §15.5.6, if the mount is tuned
		return resp, nil
	}
	s, err := b.state(ctx, req.Storage)
	if err != nil {
		return nil, err
	}
	return handler(ctx, req, s)
}
