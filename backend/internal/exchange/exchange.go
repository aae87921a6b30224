package exchange

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// maxSubject is the longest "sub", in bytes.
const maxSubject = 1024

// clientPrefix makes a role's "client_id", which no caller can choose (RFC 9068
// §5) and no subject can have: issuer.ReservedPrefixes holds it.
const clientPrefix = "role:"

// Exchanger runs exchanges. Both fields must be set.
type Exchanger struct {
	Now         func() time.Time
	Revocations *revocation.Set
}

// Exchange answers a request with a token, or refuses it with a
// [denial.Error]. It writes nothing.
func (x *Exchanger) Exchange(ctx context.Context, s *Snapshot, req Request) (*Answer, error) {
	if err := req.checkForm(); err != nil {
		return nil, err
	}
	role, err := s.findRole(req.Role)
	if err != nil {
		return nil, err
	}
	issuedType, err := req.issuedType(role)
	if err != nil {
		return nil, err
	}
	subject, err := x.verifySubject(ctx, s, role, req)
	if err != nil {
		return nil, err
	}
	if err := verifyActor(role, req); err != nil {
		return nil, err
	}
	grant, err := s.decide(role, subject, req)
	if err != nil {
		return nil, err
	}
	grant.IssuedAt = x.Now().Truncate(time.Second)
	if grant.Expires, err = s.lifetime(role, subject, req, grant.IssuedAt); err != nil {
		return nil, err
	}
	return x.mint(s, role, grant, issuedType)
}

func (s *Snapshot) findRole(name string) (*policy.Role, error) {
	if s.Config == nil {
		return nil, denial.New(denial.InvalidRequest, denial.FindRole, "config", "the mount is not configured: write config first")
	}
	if name == "" {
		return nil, denial.New(denial.InvalidRequest, denial.FindRole, "role", "is required")
	}
	role := s.Roles[name]
	if role == nil {
		return nil, denial.New(denial.InvalidRequest, denial.FindRole, "role", "the role %s does not exist", token.List([]string{name}))
	}
	return role, nil
}

// verifyActor refuses every actor: no role allows delegation.
func verifyActor(role *policy.Role, req Request) error {
	if req.ActorToken != "" {
		return denial.New(denial.InvalidRequest, denial.Actor, "actor_token", "delegation is not supported yet, by the role %q or any other: leave it out", role.Name)
	}
	return nil
}

// decide tells what the role grants to the subject.
func (s *Snapshot) decide(role *policy.Role, subject *subject, req Request) (mint.Params, error) {
	if len(subject.name) > maxSubject {
		return mint.Params{}, denial.New(denial.InvalidRequest, denial.Decide, "sub", "the subject is %d bytes long: the limit is %d", len(subject.name), maxSubject)
	}
	audience, err := role.Audiences(req.Audience, req.Resource, s.Config.AllowedAudiences)
	if err != nil {
		return mint.Params{}, err
	}
	scope, err := role.Scopes(req.Scope, subject.scope, s.Config.AllowedScopes)
	if err != nil {
		return mint.Params{}, err
	}
	if err := subject.origin.checkHops(s.Config.MaxHops); err != nil {
		return mint.Params{}, err
	}
	return mint.Params{
		Type: role.Type, Issuer: s.Config.Issuer, Subject: subject.name, ClientID: clientPrefix + role.Name,
		Audience: audience, Scope: scope, Chain: subject.origin.chain,
		Lineage: token.Lineage{
			Role: role.Ref(), Source: subject.origin.source,
			Ancestors: subject.origin.ancestors, Via: subject.origin.via,
		},
	}, nil
}

func (x *Exchanger) mint(s *Snapshot, role *policy.Role, p mint.Params, issuedType string) (*Answer, error) {
	key := s.Keys[s.KeyOf(role)]
	if key == nil {
		return nil, denial.Server(denial.Mint, errors.New("the role's key is missing"))
	}
	p.ID = rand.Text()
	signed, err := mint.Token(key, p, x.Now())
	if err != nil {
		return nil, err
	}
	return &Answer{
		AccessToken: signed, IssuedTokenType: issuedType, TokenType: tokenType(issuedType),
		Scope: p.Scope, IssuedAt: p.IssuedAt, Expires: p.Expires,
		ID: p.ID, Chain: p.Chain, Subject: p.Subject, Audience: p.Audience, KeyID: key.Active().KeyID, Role: role,
	}, nil
}
