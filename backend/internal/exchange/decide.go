package exchange

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/expression"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// maxSubject is the longest "sub", in bytes.
const maxSubject = 1024

// clientPrefix makes a role's "client_id", which no caller can choose (RFC 9068
// §5) and no subject can have: issuer.ReservedPrefixes holds it.
const clientPrefix = "role:"

// clientID is who asks for the token (RFC 8693 §4.3): the OAuth client, or the role
// at Vault's own entrance, where there is none.
func (a *attempt) clientID() string {
	if a.req.Client != nil {
		return a.req.Client.ID
	}
	return clientPrefix + a.role.Name
}

// clientRef identifies the client that asks, also from one that gets its id later.
func (a *attempt) clientRef() string {
	if a.req.Client != nil {
		return a.req.Client.Ref()
	}
	return ""
}

// decide tells what the role grants to the subject.
func (a *attempt) decide(ctx context.Context, s *subject, actor *party) (mint.Params, error) {
	p := mint.Params{
		Type: a.role.Type, Issuer: a.Config.Issuer, Subject: s.name, ClientID: a.clientID(),
		Chain: s.origin.chain, Acting: s.acting, Lineage: a.lineage(s.origin, actor),
	}
	if actor != nil {
		p.Acting = append(token.Acting{actor.Actor}, s.acting...)
	}
	var err error
	if p.Audience, err = a.role.Audiences(a.req.Audience, a.req.Resource, a.Config.AllowedAudiences, a.trace); err != nil {
		return mint.Params{}, err
	}
	if p.Scope, err = a.role.Scopes(a.req.Scope, s.scope, a.Config.AllowedScopes, a.trace); err != nil {
		return mint.Params{}, err
	}
	if err := a.checkChain(s, &p); err != nil {
		return mint.Params{}, err
	}
	if err := a.setLifetime(&p, s, actor); err != nil {
		return mint.Params{}, err
	}
	if err := a.evaluate(ctx, &p, s, actor); err != nil {
		return mint.Params{}, err
	}
	if err := a.checkSubject(p.Subject, s); err != nil {
		return mint.Params{}, err
	}
	p.Authentication, err = authentication(s.claims)
	return p, err
}

// checkChain bounds how often a token is exchanged, and how many act in it.
func (a *attempt) checkChain(s *subject, p *mint.Params) error {
	if err := s.origin.checkHops(a.Config.MaxHops); err != nil {
		return err
	}
	if n := len(p.Lineage.Actors); n > maxActors {
		return denial.New(denial.InvalidRequest, denial.Decide, "max_delegation_depth",
			"the token would depend on %d tokens of actors: the limit is %d", n, maxActors)
	}
	a.trace.Pass(denial.Decide, "max_hops", "tokens that came before: %d, at most %d may", len(s.origin.ancestors), a.Config.MaxHops)
	if err := a.role.CheckDepth(len(p.Acting), a.Config.MaxDelegationDepth); err != nil {
		return err
	}
	a.trace.Pass(denial.Decide, "max_delegation_depth", "actors: %d", len(p.Acting))
	return nil
}

func (a *attempt) setLifetime(p *mint.Params, s *subject, actor *party) error {
	p.IssuedAt = a.Now().Truncate(time.Second)
	expires, bound, err := a.lifetime(a.role, a.req, p.IssuedAt, s.party, actor)
	if err != nil {
		return err
	}
	p.Expires = expires
	life := p.Expires.Sub(p.IssuedAt).String()
	if bound != "" {
		life += ", bounded by " + bound
	}
	a.trace.Pass(denial.Lifetime, "exp", "the token would live %s", life)
	return nil
}

// evaluate runs the role's expressions, on what would be granted.
func (a *attempt) evaluate(ctx context.Context, p *mint.Params, s *subject, actor *party) error {
	if a.role.Condition == "" && a.role.Subject == "" && len(a.role.Claims) == 0 {
		return nil
	}
	in, err := a.input(ctx, p, s, actor)
	if err != nil {
		return err
	}
	if err := a.role.CheckCondition(in); err != nil {
		return err
	}
	if a.role.Condition != "" {
		a.trace.Pass(denial.Decide, "condition", "is met")
	}
	if p.Subject, err = a.role.MapSubject(s.name, in); err != nil {
		return err
	}
	p.Claims, err = a.role.MapClaims(in)
	return err
}

func (a *attempt) input(ctx context.Context, p *mint.Params, s *subject, actor *party) (expression.Input, error) {
	in := expression.Input{
		Subject: s.variable(), Actor: actor.variable(), Now: a.Now(),
		Request: expression.Request{
			Audience: p.Audience, Resource: a.req.Resource, Scope: p.Scope,
			TTL: p.Expires.Sub(p.IssuedAt), ClientID: p.ClientID,
		},
	}
	if !a.role.Uses("caller") {
		return in, nil
	}
	_, found, err := a.caller(ctx, denial.Decide, "caller")
	if err != nil {
		return in, err
	}
	in.Caller = found.variable()
	return in, nil
}

// checkSubject holds a subject that an expression made against the names that are
// others': those of the engine, and those of other issuers.
func (a *attempt) checkSubject(sub string, s *subject) error {
	if len(sub) > maxSubject {
		return denial.New(denial.InvalidRequest, denial.Decide, "sub", "the subject is %d bytes long: the limit is %d", len(sub), maxSubject)
	}
	if sub == s.name {
		return nil
	}
	if a.IssuerMissing {
		return a.missingIssuer()
	}
	for _, prefix := range a.prefixesOfOthers(s) {
		// An issuer without a prefix has all that nobody else's prefix begins.
		if strings.HasPrefix(sub, prefix) && (prefix != "" || !a.hasPrefixOf(sub, s)) {
			return denial.New(denial.InvalidRequest, denial.Decide, "subject",
				"the subject expression of the role %q yields a subject with the prefix %q, which belongs to others", a.role.Name, prefix)
		}
	}
	return nil
}

func (a *attempt) prefixesOfOthers(s *subject) []string {
	out := slices.Clone(issuer.ReservedPrefixes)
	for name, other := range a.Issuers {
		if name != s.issuer {
			out = append(out, other.SubjectPrefix)
		}
	}
	return out
}

func (a *attempt) hasPrefixOf(sub string, s *subject) bool {
	own := a.Issuers[s.issuer]
	return own != nil && own.SubjectPrefix != "" && strings.HasPrefix(sub, own.SubjectPrefix)
}

// authentication returns what the subject token says of the original
// authentication, which no exchange changes (RFC 9068 §2.2.1).
func authentication(claims token.Claims) (token.Claims, error) {
	out := token.Claims{}
	if _, err := claims.Date("auth_time"); err != nil {
		return nil, err
	}
	if _, err := claims.Text("acr"); err != nil {
		return nil, err
	}
	if _, err := claims.Strings("amr"); err != nil {
		return nil, err
	}
	for _, name := range []string{"auth_time", "acr", "amr"} {
		if claims.Has(name) {
			out[name] = claims[name]
		}
	}
	return out, nil
}
