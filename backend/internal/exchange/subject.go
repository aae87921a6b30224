package exchange

import (
	"context"
	"slices"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// subject is a verified subject that the role takes.
type subject struct {
	name    string // "sub" of the token to be minted
	scope   policy.SubjectScope
	expires time.Time // zero for a caller, who does not expire
	origin  origin
}

// verifySubject finds out who the request is about, and whether the role takes
// them.
func (x *Exchanger) verifySubject(ctx context.Context, s *Snapshot, role *policy.Role, req Request) (*subject, error) {
	if role.SubjectSource == policy.SubjectCaller {
		return s.verifyCaller(ctx, role, req)
	}
	if req.SubjectToken == "" {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "subject_token", "is required by the role %q", role.Name)
	}
	u, err := token.Parse(req.SubjectToken)
	if err != nil {
		return nil, err
	}
	if slices.Contains(role.Issuers, policy.Self) && u.Issuer == s.Config.Issuer {
		return x.verifyOwnSubject(s, role, req, u)
	}
	for _, name := range role.Issuers {
		if trusted := s.Issuers[name]; trusted != nil && trusted.BoundIssuer == u.Issuer {
			return x.verifyForeignSubject(ctx, s, role, req, u, trusted)
		}
	}
	return nil, denial.New(denial.InvalidRequest, denial.Subject, "issuers",
		"\"iss\" claim: %s is not an issuer that the role %q accepts", token.List([]string{u.Issuer}), role.Name)
}

func (x *Exchanger) verifyForeignSubject(ctx context.Context, s *Snapshot, role *policy.Role, req Request, u *token.Unverified, trusted *issuer.Issuer) (*subject, error) {
	if req.SubjectTokenType == TypeAccessToken {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "subject_token_type",
			"%q means a token that this engine issued: use %q", TypeAccessToken, TypeJWT)
	}
	if key, _ := findVersion(s.Keys, u.Header.KeyID, x.Now()); key != nil {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, "kid",
			"the token is signed with a key of this engine: it is accepted by roles with the issuer %q alone", policy.Self)
	}
	claims, dates, err := trusted.Verify(ctx, u, x.Now(), s.leeway())
	if err != nil {
		return nil, err
	}
	if err := checkConstraints(claims); err != nil {
		return nil, err
	}
	if err := role.Match(claims); err != nil {
		return nil, err
	}
	name, err := trusted.Subject(claims, s.Issuers)
	if err != nil {
		return nil, err
	}
	scopes, err := claims.Scopes()
	if err != nil {
		return nil, err
	}
	jti, err := claims.Text("jti")
	if err != nil {
		return nil, err
	}
	sub, err := claims.Required("sub")
	if err != nil {
		return nil, err
	}
	return &subject{
		name: name, expires: dates.Expires, scope: policy.SubjectScope{Scopes: scopes},
		origin: externalOrigin(s.Secret, trusted.Name, sub, jti, u.Payload()),
	}, nil
}

func (x *Exchanger) verifyOwnSubject(s *Snapshot, role *policy.Role, req Request, u *token.Unverified) (*subject, error) {
	if req.SubjectTokenType == TypeIDToken {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "subject_token_type",
			"this engine issues no ID tokens: use %q", TypeAccessToken)
	}
	own, err := x.verifyOwn(s, u, []string{s.Config.Issuer})
	if err != nil {
		return nil, err
	}
	if err := x.CheckAlive(s, own); err != nil {
		return nil, err
	}
	if !own.Kind.Subject {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, "typ",
			"header \"typ\" %q: of this engine's tokens only access tokens (at+jwt) are accepted back", own.Kind.Type)
	}
	if err := checkConstraints(own.Claims); err != nil {
		return nil, err
	}
	if err := role.Match(own.Claims); err != nil {
		return nil, err
	}
	name, err := own.Claims.Required("sub")
	if err != nil {
		return nil, err
	}
	scopes, err := own.Claims.Scopes()
	if err != nil {
		return nil, err
	}
	return &subject{
		name: name, expires: own.Dates.Expires, origin: ownOrigin(own),
		scope: policy.SubjectScope{Scopes: scopes, Own: true},
	}, nil
}

// checkConstraints refuses a token that says who may use it, or for whom it
// acts: leaving the actor out of the request must not shake that off.
func checkConstraints(claims token.Claims) error {
	for _, c := range []struct{ name, why string }{
		{"cnf", "the token is bound to a key, whose proof cannot be given here"},
		{"act", "the token is already a delegation, and the role does not allow delegation"},
		{"may_act", "the token names who may act for its subject, and the request has no actor"},
	} {
		if claims.Has(c.name) {
			return denial.New(denial.InvalidRequest, denial.Subject, c.name, "%q claim: %s", c.name, c.why)
		}
	}
	return nil
}

// verifyCaller takes the Vault entity that makes the request as the subject.
func (s *Snapshot) verifyCaller(ctx context.Context, role *policy.Role, req Request) (*subject, error) {
	if req.SubjectToken != "" {
		return nil, denial.New(denial.InvalidRequest, denial.Parse, "subject_token",
			"the subject of the role %q is the caller: leave it out", role.Name)
	}
	noEntity := denial.New(denial.InvalidRequest, denial.Subject, "subject_source",
		"the subject of the role %q is the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)", role.Name)
	if req.Caller == nil {
		return nil, noEntity
	}
	caller, err := req.Caller(ctx)
	if err != nil {
		return nil, denial.Server(denial.Subject, err)
	}
	if caller == nil || caller.EntityID == "" {
		return nil, noEntity
	}
	if err := role.Match(caller.Claims); err != nil {
		return nil, err
	}
	return &subject{
		name: "entity:" + caller.EntityID, scope: policy.SubjectScope{Caller: true},
		origin: callerOrigin(s.Secret, caller.EntityID),
	}, nil
}
