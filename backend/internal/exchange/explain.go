package exchange

import (
	"context"
	"crypto/rand"
	"encoding/json"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/mint"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// Question asks what an exchange would come to, and why.
type Question struct {
	Request
	// Claims that stand for a token that nobody has: they are taken as verified.
	SubjectClaims, ActorClaims token.Claims
	// Live lets issuers be asked; else what is held must do.
	Live bool
}

// Explanation is what an exchange would come to.
type Explanation struct {
	Steps      []denial.Step
	Refusal    *denial.Error // nil if a token would be issued
	Claims     token.Claims  // of that token, which is not made
	Warnings   []string      // of the role
	Unverified bool          // claims stood for a token
}

// Explain runs the pipeline of an exchange up to the token, and tells each step.
// It makes no token and writes nothing.
func (x *Exchanger) Explain(ctx context.Context, s *Snapshot, q Question) *Explanation {
	a := &attempt{Exchanger: x, Snapshot: s, req: q.Request, trace: &denial.Trace{}, given: newGiven(s.Roles[q.Role], q)}
	e := &Explanation{Unverified: q.SubjectClaims != nil || q.ActorClaims != nil}
	claims, err := a.explain(ctx, q)
	if err != nil {
		e.Refusal = denial.From(err)
		a.trace.Fail(e.Refusal)
	}
	e.Claims, e.Steps = claims, a.trace.Steps
	if a.role != nil {
		e.Warnings = s.warningsFor(a.role)
	}
	return e
}

func (a *attempt) explain(ctx context.Context, q Question) (token.Claims, error) {
	for _, twice := range []struct {
		field  string
		token  token.Secret
		claims token.Claims
	}{
		{"subject_claims", q.SubjectToken, q.SubjectClaims},
		{"actor_claims", q.ActorToken, q.ActorClaims},
	} {
		if twice.token != "" && twice.claims != nil {
			return nil, denial.New(denial.InvalidRequest, denial.Parse, twice.field, "stands for a token: leave the token out")
		}
	}
	g, err := a.prepare(ctx)
	if err != nil {
		return nil, err
	}
	g.params.ID = rand.Text() // as long as that of the token would be
	payload, err := mint.Payload(g.params)
	if err != nil {
		return nil, err
	}
	var claims token.Claims
	if err := json.Unmarshal(payload, &claims); err != nil {
		return nil, denial.Server(denial.Mint, err)
	}
	delete(claims, "jti") // a token that is not made has none
	if q.SubjectClaims != nil || q.ActorClaims != nil {
		// Its pseudonyms would tell whether a guess of somebody's claims is right.
		delete(claims, "lineage")
	}
	a.trace.Pass(denial.Mint, "size", "the claims are %d bytes long", len(payload))
	if a.role.Opaque() {
		a.trace.Pass(denial.Mint, "format", "the token would be opaque: the claims are kept here and introspection tells them")
	} else {
		a.trace.Pass(denial.Mint, "format", "the token would be a JWT, signed with the key %q", a.KeyOf(a.role))
	}
	return claims, nil
}

// given is what an explanation takes for verified, or asks for. It is nil in an
// exchange.
type given struct {
	subject, actor token.Claims
	caller         *Caller
	live           bool
}

func newGiven(role *policy.Role, q Question) *given {
	g := &given{subject: q.SubjectClaims, actor: q.ActorClaims, live: q.Live}
	if role == nil {
		return g
	}
	if role.SubjectSource == policy.SourceCaller && q.SubjectClaims != nil {
		g.caller = callerFrom(q.SubjectClaims)
	}
	if role.ActorSource == policy.SourceCaller && q.ActorClaims != nil {
		g.caller = callerFrom(q.ActorClaims)
	}
	return g
}

func (g *given) subjectClaims() token.Claims {
	if g == nil {
		return nil
	}
	return g.subject
}

func (g *given) actorClaims() token.Claims {
	if g == nil {
		return nil
	}
	return g.actor
}

// claimedKey stands for the key that signed a token of ours of which the claims
// alone are known. No key has the id.
const claimedKey = ""

// verifyClaims takes claims for those of a verified token. What they say is held
// against the issuer as a token's is.
func (a *attempt) verifyClaims(t presented) (*party, error) {
	iss, err := t.claims.Text("iss")
	if err != nil {
		return nil, err
	}
	sub, _ := t.claims["sub"].(string)
	trusted, err := a.selectIssuer(t, &token.Unverified{Issuer: iss, Subject: sub})
	if err != nil && iss == "" { // what an issuer answers about an opaque token may be without
		if trusted, _ = a.opaqueIssuer(t); trusted != nil {
			err = nil
		}
	}
	if err != nil {
		return nil, err
	}
	if err := t.checkType(trusted); err != nil {
		return nil, err
	}
	a.trace.Pass(t.stage, "signature", "not checked: %s has no signature", t.field[:len(t.field)-len("token")]+"claims")
	if trusted == nil {
		own, err := readOwn(t.claims, "at+jwt", claimedKey, token.Expect{Issuer: a.Config.Issuer, Now: a.Now(), Leeway: a.Leeway()})
		if err != nil {
			return nil, err
		}
		return a.ownParty(t, own)
	}
	dates, err := trusted.CheckClaims(t.claims, a.check())
	if err != nil {
		return nil, err
	}
	payload, err := json.Marshal(t.claims)
	if err != nil {
		return nil, err
	}
	return a.foreignParty(t, trusted, t.claims, dates, payload)
}
