package exchange

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/dpop"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/ratelimit"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Exchanger runs exchanges. Every field must be set.
type Exchanger struct {
	Now         func() time.Time
	Revocations *revocation.Set
	Limits      *ratelimit.Limits
}

// Exchange answers a request with a token, or refuses it with a
// [denial.Error]. It writes nothing but the record of an opaque token.
func (x *Exchanger) Exchange(ctx context.Context, s *Snapshot, req Request) (*Answer, error) {
	a := &attempt{Exchanger: x, Snapshot: s, req: req}
	grant, err := a.prepare(ctx)
	if err != nil {
		return nil, err
	}
	return a.mint(ctx, grant)
}

// attempt is one run of the pipeline: that of an exchange, or of an explanation,
// which ends before the token is minted.
type attempt struct {
	*Exchanger
	*Snapshot
	req  Request
	role *policy.Role

	trace *denial.Trace // of an explanation
	given *given        // of an explanation
}

// grant is what an exchange comes to.
type grant struct {
	issuedType string // RFC 8693 §2.2.1
	bound      dpop.Confirmation
	params     mint.Params
}

// prepare decides: everything but the token.
func (a *attempt) prepare(ctx context.Context) (*grant, error) {
	if err := a.req.checkForm(a.given); err != nil {
		return nil, err
	}
	if err := a.findRole(); err != nil {
		return nil, err
	}
	issuedType, err := a.req.issuedType(a.role)
	if err != nil {
		return nil, err
	}
	subject, err := a.verifySubject(ctx)
	if err != nil {
		return nil, err
	}
	if err := a.checkRate(subject); err != nil {
		return nil, err
	}
	actor, err := a.verifyActor(ctx, subject)
	if err != nil {
		return nil, err
	}
	bound, err := a.confirm()
	if err != nil {
		return nil, err
	}
	params, err := a.decide(ctx, subject, actor)
	if err != nil {
		return nil, err
	}
	params.Confirmation = bound.Claim()
	return &grant{issuedType: issuedType, bound: bound, params: params}, nil
}

func (a *attempt) findRole() error {
	name := a.req.Role
	if a.Config == nil {
		return denial.New(denial.InvalidRequest, denial.FindRole, "config", "the mount is not configured: write config first")
	}
	if name == "" {
		return denial.New(denial.InvalidRequest, denial.FindRole, "role", "is required")
	}
	if a.role = a.Roles[name]; a.role == nil {
		return denial.New(denial.InvalidRequest, denial.FindRole, "role", "the role %s does not exist", token.List([]string{name}))
	}
	a.trace.Pass(denial.FindRole, "role", "%q exists", name)
	return nil
}

func (a *attempt) mint(ctx context.Context, g *grant) (*Answer, error) {
	p := g.params
	p.ID = rand.Text()
	answer := &Answer{
		IssuedTokenType: g.issuedType, TokenType: tokenType(g.issuedType, g.bound), Scope: p.Scope, IssuedAt: p.IssuedAt, Expires: p.Expires,
		ID: p.ID, Chain: p.Chain, Subject: p.Subject, Acting: p.Acting, Audience: p.Audience, Role: a.role,
	}
	var err error
	if a.role.Opaque() {
		answer.AccessToken, err = a.record(ctx, p)
	} else {
		answer.AccessToken, answer.KeyID, err = a.sign(p)
	}
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (a *attempt) sign(p mint.Params) (signed token.Secret, keyID string, err error) {
	key := a.Keys[a.KeyOf(a.role)]
	if key == nil {
		return "", "", denial.Server(denial.Mint, errors.New("the role's key is missing"))
	}
	signed, err = mint.Token(key, p, a.Now())
	return signed, key.Active().KeyID, err
}
