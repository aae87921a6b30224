package backend

import (
	"context"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// oauthIntrospect tells a client of a token that is for it, or that it asked for
// (RFC 7662). Of others it says what it says of those that there are not.
func (b *backend) oauthIntrospect(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*logical.Response, error) {
	who, own, err := b.askedAbout(ctx, req, s)
	if err != nil {
		return nil, err
	}
	if who.AuthMethod == client.None { // whoever asks must be authorized (RFC 7662 §2.1)
		return nil, denial.New(denial.UnauthorizedClient, denial.Client, "auth_method", "only a client that proves who it is may introspect")
	}
	said := inactive
	if own != nil && mayKnow(who, own) {
		said = forClient(b.introspection(s, own), who, own)
	}
	if s.Config != nil && wantsSigned(req) {
		return b.signedIntrospection(s, who.ID, said)
	}
	return oauthAnswer(http.StatusOK, said), nil
}

// signedType is the media type of an answer that is signed (RFC 9701 §4).
const signedType = "application/token-introspection+jwt"

// wantsSigned tells whether a request asks for a signed answer. The header arrives
// only if the mount's passthrough_request_headers name Accept.
func wantsSigned(req *logical.Request) bool {
	for name, values := range req.Headers {
		if !strings.EqualFold(name, "Accept") {
			continue
		}
		for accepted := range strings.SplitSeq(strings.Join(values, ","), ",") {
			media, parameters, err := mime.ParseMediaType(accepted)
			if quality, bad := strconv.ParseFloat(parameters["q"], 64); bad == nil && quality == 0 {
				continue // it is what the client does not want
			}
			if err == nil && media == signedType {
				return true
			}
		}
	}
	return false
}

// signedIntrospection answers with a JWT for the client, by the key of the mount.
func (b *backend) signedIntrospection(s *exchange.Snapshot, clientID string, said map[string]any) (*logical.Response, error) {
	key := s.Keys[s.Config.DefaultKey]
	if key == nil {
		return nil, denial.New(denial.InvalidRequest, denial.Mint, "default_key", "config has no default_key to sign an answer with: leave the header Accept out")
	}
	signed, err := mint.Introspection(key, s.Config.Issuer, clientID, said, b.now())
	if err != nil {
		return nil, err
	}
	return rawAnswer(http.StatusOK, signedType, []byte(signed.Reveal())), nil
}

// forClient leaves out of an answer for whom else a token is: that is no concern of
// a client that did not ask for it. Scopes hold at every audience, and stay.
func forClient(said map[string]any, who *client.Authenticated, own *exchange.Own) map[string]any {
	if own.Lineage.Client == who.Ref() || said["aud"] == nil {
		return said
	}
	said["aud"] = slices.DeleteFunc(slices.Clone(own.Audience), func(a string) bool { return !slices.Contains(who.Audiences, a) })
	return said
}

// mayKnow tells whether a client is told of a token.
func mayKnow(who *client.Authenticated, own *exchange.Own) bool {
	return token.Intersects(own.Audience, who.Audiences) || own.Lineage.Client == who.Ref()
}

// oauthRevoke revokes a token that the client asked for (RFC 7009). The answer to
// another's token is that to an unknown one: it tells nothing, and does nothing.
func (b *backend) oauthRevoke(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*logical.Response, error) {
	who, own, err := b.askedAbout(ctx, req, s)
	if err != nil {
		return nil, err
	}
	if own != nil && own.Lineage.Client == who.Ref() {
		b.Logger().Info("token revoked", "request_id", req.ID, "jti", own.ID, "client_id", who.ID)
		if err := b.revokeToken(ctx, req.Storage, own.ID, own.Dates.Expires); err != nil {
			return nil, denial.New(denial.TemporarilyUnavailable, denial.Revocation, "token", "the token cannot be revoked now").Because(err)
		}
	}
	return rawAnswer(http.StatusOK, "application/json", []byte{}), nil
}

// askedAbout authenticates the client and returns the token that it asks about; nil
// if that is none of ours.
func (b *backend) askedAbout(ctx context.Context, req *logical.Request, s *exchange.Snapshot) (*client.Authenticated, *exchange.Own, error) {
	who, err := b.authenticate(ctx, req, s)
	if err != nil {
		return nil, nil, err
	}
	f := form(req.Data)
	raw, err := f.one("token")
	if err != nil {
		return nil, nil, err
	}
	if raw == "" { // a success would tell who revokes that it was done
		return nil, nil, malformed("token", "is required")
	}
	if _, err := f.one("token_type_hint"); err != nil { // of which no value changes anything (RFC 7009 §2.1)
		return nil, nil, err
	}
	own, err := b.ownToken(ctx, req, token.Secret(raw), s)
	return who, own, err
}

// inactive is all that is told of a token that is not (RFC 7662 §2.2).
var inactive = map[string]any{"active": false}

// introspection is what RFC 7662 §2.2 lists of a token of ours.
func (b *backend) introspection(s *exchange.Snapshot, own *exchange.Own) map[string]any {
	if b.exchanger.CheckAlive(s, own) != nil {
		return inactive
	}
	data := map[string]any{
		"active": true, "token_type": "Bearer", "exp": own.Dates.Expires.Unix(), "iat": own.Dates.IssuedAt.Unix(),
		"aud": slices.Clone(own.Audience), "jti": own.ID, "txn": own.Chain,
	}
	for _, name := range []string{"iss", "sub", "client_id", "scope", "act", "cnf"} {
		if own.Claims.Has(name) {
			data[name] = own.Claims[name]
		}
	}
	if bound, err := dpop.ParseConfirmation(own.Claims); err == nil && bound.ByKey() {
		data["token_type"] = "DPoP" // RFC 9449 §6.2
	}
	return data
}
