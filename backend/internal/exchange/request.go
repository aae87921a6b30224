package exchange

import (
	"context"
	"slices"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/client"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Token type identifiers (RFC 8693 §3).
const (
	TypeAccessToken = "urn:ietf:params:oauth:token-type:access_token" //nolint:gosec // a URI, not a credential
	TypeIDToken     = "urn:ietf:params:oauth:token-type:id_token"     //nolint:gosec // a URI, not a credential
	TypeJWT         = "urn:ietf:params:oauth:token-type:jwt"          //nolint:gosec // a URI, not a credential
)

// Request is a token exchange request (RFC 8693 §2.1), from whatever entrance.
type Request struct {
	Role               string
	SubjectToken       token.Secret
	SubjectTokenType   string
	ActorToken         token.Secret
	ActorTokenType     string
	Audience           []string
	Resource           []string
	Scope              []string
	RequestedTokenType string
	TTL                time.Duration // zero for the role's

	// Client is the OAuth client that has authenticated itself; nil at Vault's own
	// entrance.
	Client *client.Authenticated
	// Proof is the DPoP proof of the request, which was checked; nil if there is none.
	Proof *dpop.Proof
	// Caller identifies who makes the request, for the roles that ask for it;
	// nil where nobody did.
	Caller func(context.Context) (*Caller, error)
	// MountMaxTTL is Vault's own ceiling for the mount.
	MountMaxTTL time.Duration
	// Records keeps what opaque tokens stand for; without it none is made or known.
	Records Records
}

// checkForm checks what can be said before the role is known. What an explanation
// is given stands for a token.
func (r *Request) checkForm(g *given) error {
	for _, t := range []struct {
		name, typeName string
		isThere        bool
		tokenType      string
	}{
		{"subject_token", "subject_token_type", r.SubjectToken != "" || g.subjectClaims() != nil, r.SubjectTokenType},
		{"actor_token", "actor_token_type", r.ActorToken != "" || g.actorClaims() != nil, r.ActorTokenType},
	} {
		if !t.isThere && t.tokenType != "" {
			return denial.New(denial.InvalidRequest, denial.Parse, t.typeName, "is given without %s", t.name)
		}
	}
	if r.ActorToken != "" && r.ActorTokenType == "" {
		return denial.New(denial.InvalidRequest, denial.Parse, "actor_token_type", "is required with actor_token")
	}
	for name, tokenType := range map[string]string{"subject_token_type": r.SubjectTokenType, "actor_token_type": r.ActorTokenType} {
		if !slices.Contains([]string{"", TypeAccessToken, TypeIDToken, TypeJWT}, tokenType) {
			return denial.New(denial.InvalidRequest, denial.Parse, name, "%s is not supported: use one of %s",
				token.List([]string{tokenType}), token.List([]string{TypeJWT, TypeIDToken, TypeAccessToken}))
		}
	}
	if r.TTL < 0 {
		return denial.New(denial.InvalidRequest, denial.Parse, "ttl", "must not be negative")
	}
	return nil
}

// issuedType decides the type of the answer (RFC 8693 §2.2.1): a role for plain
// JWTs issues either type, a role for access tokens only access tokens, so that
// no caller can have the "typ" header weakened.
func (r *Request) issuedType(role *policy.Role) (string, error) {
	switch {
	case r.RequestedTokenType == "", r.RequestedTokenType == TypeAccessToken:
		return TypeAccessToken, nil
	case r.RequestedTokenType == TypeJWT && role.Opaque():
		return "", denial.New(denial.InvalidRequest, denial.Parse, "requested_token_type",
			"the role %q issues opaque tokens: ask for %q", role.Name, TypeAccessToken)
	case r.RequestedTokenType == TypeJWT && role.Type == "JWT":
		return TypeJWT, nil
	case r.RequestedTokenType == TypeJWT:
		return "", denial.New(denial.InvalidRequest, denial.Parse, "requested_token_type",
			"the role %q issues access tokens (typ at+jwt): ask for %q", role.Name, TypeAccessToken)
	}
	return "", denial.New(denial.InvalidRequest, denial.Parse, "requested_token_type", "%s is not supported: use %q or %q",
		token.List([]string{r.RequestedTokenType}), TypeAccessToken, TypeJWT)
}

// tokenType is "token_type" for an issued type (RFC 8693 §2.2.1, RFC 9449 §5).
func tokenType(issued string, bound dpop.Confirmation) string {
	switch {
	case issued != TypeAccessToken:
		return "N_A"
	case bound.ByKey():
		return "DPoP"
	}
	return "Bearer"
}

// Answer is a successful response (RFC 8693 §2.2.1) and what is logged of it.
type Answer struct {
	AccessToken     token.Secret
	IssuedTokenType string
	TokenType       string
	Scope           []string
	IssuedAt        time.Time
	Expires         time.Time

	ID       string // "jti"
	Chain    string // "txn"
	Subject  string
	Acting   token.Acting
	Audience []string
	KeyID    string // "" of an opaque token
	Role     *policy.Role
}

// ExpiresIn returns the token's life, in whole seconds.
func (a *Answer) ExpiresIn() time.Duration { return a.Expires.Sub(a.IssuedAt) }
