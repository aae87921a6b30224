package exchange

import (
	"context"
	"slices"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// verifyActor finds out who acts for the subject, and whether they may; nil if
// nobody acts and the role and the subject token are content with that.
func (a *attempt) verifyActor(ctx context.Context, s *subject) (*party, error) {
	actor, err := a.presentedActor(ctx)
	if err != nil {
		return nil, atActor(err)
	}
	if actor == nil {
		return nil, a.checkNobodyActs(s)
	}
	if err := a.role.CheckActor(actor.name); err != nil {
		return nil, err
	}
	a.trace.Pass(denial.Actor, "bound_actors", "%s may act", token.List([]string{actor.name}))
	if err := a.role.CheckMayAct(s.claims, s.Issuer, actor.Actor, actor.claims); err != nil {
		return nil, err
	}
	if s.claims.Has("may_act") {
		a.trace.Pass(denial.Actor, "may_act", "the subject token names this actor")
	}
	return actor, nil
}

// atActor makes the checks that subject and actor share speak of the actor.
func atActor(err error) error {
	switch e := denial.From(err); {
	case e == nil:
		return nil
	case e.Stage == denial.Subject:
		return e.At(denial.Actor)
	case e.Stage == denial.Revocation:
		return denial.New(e.Code, e.Stage, e.Rule, "of the actor: %s", e.Reason)
	}
	return err
}

// presentedActor returns the verified actor; nil if there is none and none is
// required.
func (a *attempt) presentedActor(ctx context.Context) (*party, error) {
	t := presented{
		stage: denial.Actor, field: "actor_token", token: a.req.ActorToken, tokenType: a.req.ActorTokenType,
		claims: a.given.actorClaims(), issuers: a.role.ActorIssuers, list: "actor_issuers",
	}
	isGiven := t.token != "" || t.claims != nil
	allowed := a.role.Delegation == policy.DelegationOptional || a.role.Delegation == policy.DelegationRequired
	switch {
	case !allowed && isGiven:
		return nil, denial.New(denial.InvalidRequest, denial.Actor, "delegation", "the role %q does not allow delegation: leave %s out", a.role.Name, t.field)
	case !allowed:
		return nil, nil
	case a.role.ActorSource == policy.SourceCaller && t.token != "":
		return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field, "the actor of the role %q is the caller: leave it out", a.role.Name)
	case a.role.ActorSource == policy.SourceCaller:
		actor, _, err := a.caller(ctx, denial.Actor, "actor_source")
		return actor, err
	case a.role.ActorSource == policy.SourceClient && t.token != "":
		return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field, "the actor of the role %q is the client: leave it out", a.role.Name)
	case a.role.ActorSource == policy.SourceClient:
		return a.clientActor()
	case !isGiven && a.role.Delegation == policy.DelegationRequired:
		return nil, denial.New(denial.InvalidRequest, denial.Parse, t.field, "is required by the role %q", a.role.Name)
	case !isGiven:
		return nil, nil
	}
	actor, err := a.verify(ctx, t)
	if err != nil {
		return nil, err
	}
	return actor, a.checkActsItself(actor)
}

// checkActsItself refuses a token of which its holder is not plainly the owner: it
// says that somebody else is acting, or may be; it is bound to a key; or it is one
// of ours for somebody else, who has got it and could act with it. (What tokens of
// other issuers are for, their bound_audiences say.)
func (a *attempt) checkActsItself(actor *party) error {
	for _, name := range []string{"act", "may_act"} {
		if actor.claims.Has(name) {
			return denial.New(denial.InvalidRequest, denial.Actor, name, "%q claim: the actor must act itself, and its token is for another to act with", name)
		}
	}
	audience, err := actor.claims.Strings("aud")
	if err != nil {
		return err
	}
	if actor.own && !slices.Equal(audience, []string{a.Config.Issuer}) {
		return denial.New(denial.InvalidRequest, denial.Actor, "aud", "\"aud\" claim: a token of this engine by which somebody acts must be for the engine alone: expected %q but got %s",
			a.Config.Issuer, token.List(audience))
	}
	if actor.claims.Has("cnf") {
		return denial.New(denial.InvalidRequest, denial.Actor, "cnf", "\"cnf\" claim: the token is bound to a key, whose proof cannot be given for an actor")
	}
	return nil
}

// checkNobodyActs keeps the rules that the subject token carries when the request
// leaves the actor out.
func (a *attempt) checkNobodyActs(s *subject) error {
	if s.claims.Has("may_act") {
		return denial.New(denial.InvalidRequest, denial.Subject, "may_act", "\"may_act\" claim: the token names who may act for its subject, and the request has no actor")
	}
	if a.role.MayAct == policy.MayActRequire {
		return denial.New(denial.InvalidRequest, denial.Actor, "may_act", "the role %q wants an actor that the subject token names, and the request has no actor", a.role.Name)
	}
	if len(s.acting) == 0 {
		a.trace.Pass(denial.Actor, "delegation", "nobody acts for the subject")
		return nil
	}
	if a.role.Delegation != policy.DelegationOptional {
		return denial.New(denial.InvalidRequest, denial.Subject, "act", "\"act\" claim: the token is already a delegation, and the role does not allow delegation")
	}
	if !s.own && s.acting[0].Issuer != s.Issuer {
		return denial.New(denial.InvalidRequest, denial.Actor, "act", "\"act\" claim: an issuer is not believed who acts of another issuer")
	}
	if a.role.Uses("actor") {
		return denial.New(denial.InvalidRequest, denial.Actor, "act", "\"act\" claim: somebody acts for the subject already, and the expressions of the role %q want to see their token", a.role.Name)
	}
	current, err := a.nameOf(s.acting[0])
	if err != nil {
		return atActor(err)
	}
	if err := a.role.CheckActor(current); err != nil {
		return err
	}
	a.trace.Pass(denial.Actor, "act", "%s goes on acting", token.List([]string{current}))
	return nil
}

// nameOf returns how the role would name an actor of an "act" claim. It is held
// to what holds for a token of that actor.
func (a *attempt) nameOf(actor token.Actor) (string, error) {
	for _, name := range a.role.ActorIssuers {
		if name == policy.Self && actor.Issuer == a.Config.Issuer {
			return actor.Subject, nil
		}
		if trusted := a.Issuers[name]; trusted != nil && trusted.BoundIssuer == actor.Issuer {
			return a.subjectOf(trusted, token.Claims{"sub": actor.Subject})
		}
	}
	return "", denial.New(denial.InvalidRequest, denial.Actor, "actor_issuers", "\"act\" claim: the current actor is not of an issuer that the role %q accepts actors from", a.role.Name)
}
