package backend

import (
	"context"
	"net/http"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// grantTokenExchange is the one grant type of the token endpoint (RFC 8693 §2.1).
const grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange" //nolint:gosec // a URI, not a credential

// oauthToken is the token endpoint (RFC 8693 §2). It is never leased: an answer to
// somebody whom Vault does not know cannot be. Its tokens are revoked by oauth/revoke.
func (b *backend) oauthToken(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*logical.Response, error) {
	grant, err := form(req.Data).one("grant_type")
	if err == nil {
		err = checkGrantType(grant)
	}
	if err != nil {
		return nil, err
	}
	if s.Config == nil {
		return nil, notConfigured()
	}
	who, err := b.authenticate(ctx, req, s)
	if err != nil {
		return nil, err
	}
	if who.Role == "" {
		return nil, denial.New(denial.UnauthorizedClient, denial.Client, "role", "the client has no role: it may introspect and revoke alone")
	}
	request, err := b.readForm(form(req.Data))
	if err != nil {
		return nil, err
	}
	request.Role, request.Client, request.Records = who.Role, who, records{req.Storage}
	if request.Proof, err = b.proof(req, s, who); err != nil {
		return nil, err
	}
	answer, err := b.grant(ctx, req, s, request)
	if err != nil {
		return nil, err
	}
	resp := oauthAnswer(http.StatusOK, tokenResponse{
		AccessToken: answer.AccessToken.Reveal(), IssuedTokenType: answer.IssuedTokenType, TokenType: answer.TokenType,
		ExpiresIn: seconds(answer.ExpiresIn()), Scope: strings.Join(answer.Scope, " "),
	})
	if request.Proof != nil {
		b.offerNonce(resp)
	}
	return resp, nil
}

// tokenResponse is a successful answer (RFC 8693 §2.2.1). The scope is always
// there: a default may have been granted.
type tokenResponse struct {
	AccessToken     string `json:"access_token"`
	IssuedTokenType string `json:"issued_token_type"`
	TokenType       string `json:"token_type"`
	ExpiresIn       int64  `json:"expires_in"`
	Scope           string `json:"scope"`
}

func checkGrantType(grant string) error {
	switch grant {
	case grantTokenExchange:
		return nil
	case "":
		return malformed("grant_type", "is required: "+grantTokenExchange)
	default:
		return denial.New(denial.UnsupportedGrantType, denial.Parse, "grant_type", "the one that is supported is %s", grantTokenExchange)
	}
}

// readForm reads a token exchange request (RFC 8693 §2.1). What the Vault entrance
// lets its callers leave out is required here.
func (b *backend) readForm(f form) (exchange.Request, error) {
	r := reader{form: f}
	request := exchange.Request{
		SubjectToken: token.Secret(r.one("subject_token")), SubjectTokenType: r.one("subject_token_type"),
		ActorToken: token.Secret(r.one("actor_token")), ActorTokenType: r.one("actor_token_type"),
		Audience: r.many("audience"), Resource: r.many("resource"), Scope: strings.Fields(r.one("scope")),
		RequestedTokenType: r.one("requested_token_type"), MountMaxTTL: b.mountTTL.get(b.System()),
	}
	switch {
	case r.err != nil:
		return request, r.err
	case !f.absent("authorization_details"):
		return request, malformed("authorization_details", "is not supported, and leaving it out would grant more than was asked for: use audience and scope")
	case request.SubjectToken == "":
		return request, malformed("subject_token", "is required")
	case request.SubjectTokenType == "":
		return request, malformed("subject_token_type", "is required")
	}
	return request, nil
}
