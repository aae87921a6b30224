package exchange

import (
	"context"
	"slices"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// party is a verified identity: the subject, or the actor.
type party struct {
	token.Actor        // "iss" and "sub", as the issuer wrote them
	name        string // with the prefix of its issuer: unique in the mount
	issuer      string // the configured name
	own         bool   // by a token of this engine
	claims      token.Claims
	expires     time.Time // zero for a caller, who does not expire
	origin      origin
}

func (p *party) variable() expression.Party {
	if p == nil {
		return expression.Party{}
	}
	return expression.Party{Issuer: p.issuer, Claims: p.claims}
}

// presented is a token that came with the request, and what the role says of it.
type presented struct {
	stage     denial.Stage
	field     string // the parameter
	token     token.Secret
	tokenType string
	claims    token.Claims // of an explanation: stands for the token
	issuers   []string     // that the role accepts here
	list      string       // the field of the role that names them
}

// verify finds out whose token it is. The role's issuers alone are asked.
func (a *attempt) verify(ctx context.Context, t presented) (*party, error) {
	if t.claims != nil {
		return a.verifyClaims(t)
	}
	if own, err := a.recorded(ctx, a.Snapshot, a.req.Records, t.token); own != nil || err != nil {
		return a.recordedParty(t, own, err)
	}
	if i, err := a.opaqueIssuer(t); i != nil || err != nil {
		return a.introspect(ctx, t, i, err)
	}
	if _, isOurs := token.ParseOpaque(t.token); isOurs {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, "active", "the token is not an active token of this engine")
	}
	u, err := token.Parse(t.token)
	if err != nil {
		return nil, err
	}
	if a.req.Client != nil && a.req.Client.Presented(u) {
		return nil, denial.New(denial.InvalidRequest, t.stage, "client_assertion", "is the client's assertion too: one JWT must not be both (RFC 8725, 3.12)")
	}
	a.trace.Pass(t.stage, "form", "a signed JWT, header \"alg\" %q", u.Header.Algorithm)
	trusted, err := a.selectIssuer(t, u)
	switch {
	case err != nil:
		return nil, err
	case trusted == nil:
		return a.verifyOwnParty(t, u)
	case trusted.Introspects():
		return a.introspect(ctx, t, trusted, nil)
	}
	if err := t.checkType(trusted); err != nil {
		return nil, err
	}
	if err := a.checkForeign(u); err != nil {
		return nil, err
	}
	claims, dates, err := trusted.VerifyToken(ctx, u, a.check())
	if err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "signature", "signed by the issuer %q", trusted.Name)
	return a.foreignParty(t, trusted, claims, dates, u.Payload())
}

// selectIssuer returns the issuer of a token, nil if it is this engine.
func (a *attempt) selectIssuer(t presented, u *token.Unverified) (*issuer.Issuer, error) {
	var among []*issuer.Issuer
	for _, name := range t.issuers {
		if trusted := a.Issuers[name]; trusted != nil {
			among = append(among, trusted)
		}
	}
	trusted, err := issuer.Select(among, u)
	if err != nil {
		return nil, err
	}
	isOwn := slices.Contains(t.issuers, policy.Self) && u.Issuer == a.Config.Issuer
	if trusted == nil && !isOwn {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, t.list,
			"\"iss\" claim: %s is not an issuer that the role %q accepts", token.List([]string{u.Issuer}), a.role.Name)
	}
	if trusted != nil && isOwn {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, t.list, "the token is ambiguous: it may be one of this engine or of the issuer %q", trusted.Name)
	}
	name := policy.Self
	if trusted != nil {
		name = trusted.Name
	}
	a.trace.Pass(t.stage, t.list, "the issuer is %q", name)
	return trusted, nil
}

// checkType holds the declared type against whose token it is; nil is this engine.
func (t presented) checkType(trusted *issuer.Issuer) error {
	refuse := func(format string, args ...any) error {
		return denial.New(denial.InvalidRequest, denial.Parse, t.field+"_type", format, args...)
	}
	switch {
	case trusted == nil && t.tokenType == TypeIDToken:
		return refuse("this engine issues no ID tokens: use %q", TypeAccessToken)
	case trusted == nil:
		return nil
	case trusted.Introspects() && t.tokenType == TypeIDToken:
		return refuse("the issuer %q is asked about access tokens alone: use %q", trusted.Name, TypeAccessToken)
	case !trusted.Introspects() && t.tokenType == TypeAccessToken:
		return refuse("%q means a token that this engine issued: use %q", TypeAccessToken, TypeJWT)
	}
	return nil
}

// checkForeign refuses what would make a token of ours pass for another's.
func (a *attempt) checkForeign(u *token.Unverified) error {
	if key, _ := findVersion(a.Keys, u.Header.KeyID, a.Now()); key != nil {
		return denial.New(denial.InvalidRequest, denial.Subject, "kid",
			"the token is signed with a key of this engine: it is accepted by roles with the issuer %q alone", policy.Self)
	}
	return nil
}

func (a *attempt) foreignParty(t presented, trusted *issuer.Issuer, claims token.Claims, dates token.Dates, payload []byte) (*party, error) {
	sub, err := claims.Required("sub")
	if err != nil {
		return nil, err
	}
	name, err := a.subjectOf(trusted, claims)
	if err != nil {
		return nil, err
	}
	jti, err := claims.Text("jti")
	if err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "claims", "\"sub\" is %s, \"aud\", dates and required claims are as the issuer %q demands", token.List([]string{sub}), trusted.Name)
	return &party{
		Actor: token.Actor{Issuer: trusted.BoundIssuer, Subject: sub}, name: name, issuer: trusted.Name,
		claims: claims, expires: dates.Expires, origin: externalOrigin(a.Secret, trusted.Name, sub, jti, payload),
	}, nil
}

// subjectOf returns the name of a subject in this mount.
func (a *attempt) subjectOf(trusted *issuer.Issuer, claims token.Claims) (string, error) {
	if trusted.SubjectPrefix == "" && a.IssuerMissing {
		return "", a.missingIssuer()
	}
	return trusted.Subject(claims, a.Issuers)
}

// missingIssuer refuses a subject of which it cannot be told whose it is.
func (a *attempt) missingIssuer() error {
	return denial.New(denial.TemporarilyUnavailable, denial.Subject, "subject_prefix",
		"an issuer of the mount cannot be read, and its subjects cannot be told from others without a prefix: see the log")
}

func (a *attempt) verifyOwnParty(t presented, u *token.Unverified) (*party, error) {
	if err := t.checkType(nil); err != nil {
		return nil, err
	}
	own, err := a.verifyOwn(a.Snapshot, u, []string{a.Config.Issuer})
	if err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "signature", "signed by this engine")
	return a.ownParty(t, own)
}

func (a *attempt) ownParty(t presented, own *Own) (*party, error) {
	if err := a.CheckAlive(a.Snapshot, own); err != nil {
		return nil, err
	}
	a.trace.Pass(denial.Revocation, "revoked", "%s: neither it nor what it comes from was revoked", t.field)
	if !own.Kind.Subject {
		return nil, denial.New(denial.InvalidRequest, denial.Subject, "typ",
			"header \"typ\" %q: of this engine's tokens only access tokens (at+jwt) are accepted back", own.Kind.Type)
	}
	name, err := own.Claims.Required("sub")
	if err != nil {
		return nil, err
	}
	return &party{
		Actor: token.Actor{Issuer: a.Config.Issuer, Subject: name}, name: name, issuer: policy.Self, own: true,
		claims: own.Claims, expires: own.Dates.Expires, origin: ownOrigin(own),
	}, nil
}

func (a *attempt) check() issuer.Check {
	return issuer.Check{Now: a.Now(), Leeway: a.Leeway(), Offline: a.given != nil && !a.given.live}
}
