package exchange_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// TestDecisions is what the engine allows and refuses, to be read aloud. Each row
// is a sentence that holds, tried with the one thing that differs from a world in
// which all is well. Explain must come to the same in every way of asking.
func TestDecisions(t *testing.T) {
	rows := slices.Concat(
		issuersAccepted(), subjectsBound(), claimsBound(), conditions(), conditionsOnRequests(), callers(),
		actors(), actorsTokens(), actorsByCaller(), mayAct(), delegatedAlready(), depths(),
		targets(), scopesAsked(), subjectScopes(), lifetimes(), hops(), subjectsMapped(), claimsMapped(), borders(),
	)
	if len(rows) < 60 {
		t.Fatalf("%d rows: the table has lost some", len(rows))
	}
	said := map[string]bool{}
	for _, r := range rows {
		if said[r.sentence] {
			t.Errorf("%q is said twice", r.sentence)
		}
		said[r.sentence] = true
		t.Run(r.sentence, func(t *testing.T) {
			s := newScene(t, r.differs)
			answer, err := s.exchange(s.req)
			r.want.check(t, s, answer, err)
			for _, q := range s.questions(r.noClaims == "") {
				t.Run(q.way, func(t *testing.T) { s.same(t, s.explain(t, q.Question), answer, err) })
			}
		})
	}
}

func issuersAccepted() []row {
	return []row{
		{"a user of the role's issuer gets what the role grants", nothing, granted(), ""},
		{
			"an issuer that the role does not name is refused, though the mount trusts it", subjectOf(theServices),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://services.example"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"an issuer that nobody configured is refused", subject("iss", "https://evil.example"),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://evil.example"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"a token without an issuer is refused", subject("iss", nil),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: [""] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"an issuer cannot sign for another one of the role",
			with(role(func(r *policy.Role) { r.Issuers = []string{"idp", "services"} }), subjectOf(theServices), subject("iss", "https://idp.example")),
			refused(denial.Subject, "signature", `invalid_request: subject: the signature does not verify with key "k1"`), "claims have no signature",
		},
		{
			"of two issuers, the subject bears the prefix of its own",
			with(role(func(r *policy.Role) { r.Issuers = []string{"idp", "services"} }), subjectOf(theServices)),
			granted(sub("services:ci-runner")), "",
		},
		{
			"one of our own tokens is refused by a role that does not name self",
			with(ownSubject("orders:read"), role(func(r *policy.Role) { r.Issuers = []string{"idp"} })),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://vault.example/v1/token-exchange"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"an expired token is refused, however little ago", subject("exp", 1_800_000_000),
			refused(denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:00:00Z`), "",
		},
		{
			"a role for our own tokens refuses those of others", role(func(r *policy.Role) {
				r.Issuers, r.BoundSubject, r.BoundAudiences = []string{policy.Self}, "", []string{"https://vault.example"}
			}),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://idp.example"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"a token that never expires is refused", subject("exp", nil),
			refused(denial.Subject, "exp", `invalid_request: subject: "exp" claim is missing: a token that never expires is not accepted`), "",
		},
		{
			"a token for somebody else is refused", subject("aud", "https://other.example"),
			refused(denial.Subject, "aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://other.example"]`), "",
		},
		{
			"a token without an audience is refused", subject("aud", nil),
			refused(denial.Subject, "aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got []`), "",
		},
	}
}

func subjectsBound() []row {
	const other = `invalid_request: subject: "sub" claim: the role "orders" is bound to another subject`
	audiences := func(r *policy.Role) { r.BoundSubject, r.BoundAudiences = "", []string{"https://vault.example/orders"} }
	return []row{
		{"a subject that the role is not bound to is refused", subject("sub", "mallory"), refused(denial.Subject, "bound_subject", other), ""},
		{"the bound subject is compared with case", subject("sub", "CI-Runner"), refused(denial.Subject, "bound_subject", other), ""},
		{
			"the bound subject is the issuer's name for it, without our prefix", subject("sub", "idp:ci-runner"),
			refused(denial.Subject, "bound_subject", other), "",
		},
		{
			"a token without a subject is refused", subject("sub", nil),
			refused(denial.Subject, "sub", `invalid_request: subject: "sub" claim is missing or empty`), "",
		},
		{
			"one of several audiences may be the one that the role is bound to",
			with(role(audiences), subject("aud", []string{"https://vault.example", "https://vault.example/orders"})), granted(), "",
		},
		{
			"a token without the audience that the role is bound to is refused", role(audiences),
			refused(denial.Subject, "bound_audiences", `invalid_request: subject: "aud" claim: the role "orders" expects one of ["https://vault.example/orders"] but got ["https://vault.example"]`), "",
		},
		{
			"a token bound to a key is refused, for no proof of the key can be given", subject("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}),
			refused(denial.Subject, "cnf", `invalid_request: subject: "cnf" claim: the token is bound to a key, and the role "orders" would answer with one that is not: set binding`), "",
		},
	}
}

func claimsBound() []row {
	missing := func(name string) outcome {
		return refused(denial.Subject, "bound_claims", `invalid_request: subject: claim "`+name+`" is missing and the role "orders" binds it`)
	}
	differs := func(name string, why ...string) outcome {
		reasons := append([]string{`invalid_request: subject: claim "` + name + `" does not have a value that the role "orders" is bound to`}, why...)
		return refused(denial.Subject, "bound_claims", strings.Join(reasons, ": "))
	}
	k8s := map[string]any{"namespace": "shop", "a/b": "slash"}
	return []row{
		{"a bound claim with its value is taken", with(bound("team", "red"), subject("team", "red")), granted(), ""},
		{"a bound claim with another value is refused", with(bound("team", "red"), subject("team", "blue")), differs("team"), ""},
		{"a bound claim that is missing is refused", bound("team", "red"), missing("team"), ""},
		{"a bound claim that is null is refused", with(bound("team", "red"), subject("team", json.RawMessage("null"))), differs("team"), ""},
		{"any of the values of a bound claim will do", with(bound("team", []any{"blue", "red"}), subject("team", "red")), granted(), ""},
		{"one element of a claim that is a list will do", with(bound("groups", "dev"), subject("groups", []string{"ops", "dev"})), granted(), ""},
		{"a list without a bound value is refused", with(bound("groups", "dev"), subject("groups", []string{"ops", "devs"})), differs("groups"), ""},
		{"an empty list is refused", with(bound("groups", "dev"), subject("groups", []string{})), differs("groups"), ""},
		{"a star is a star while bound_claims_type is string", with(bound("ref", "main*"), subject("ref", "main-2")), differs("ref"), ""},
		{"a star is any text when bound_claims_type is glob", with(glob(), bound("ref", "main*"), subject("ref", "main-2")), granted(), ""},
		{"a pattern covers the claim from its beginning", with(glob(), bound("ref", "main*"), subject("ref", "not-main")), differs("ref"), ""},
		{"a pattern is not held against a number", with(glob(), bound("ref", "7*"), subject("ref", 7)), differs("ref", "it is a number, and the role binds text"), ""},
		{"a pointer finds a claim within a claim", with(bound("/k8s/namespace", "shop"), subject("k8s", k8s)), granted(), ""},
		{"a pointer finds a name with a slash", with(bound("/k8s/a~1b", "slash"), subject("k8s", k8s)), granted(), ""},
		{"a pointer to nothing is refused", with(bound("/k8s/pod", "shop"), subject("k8s", k8s)), missing("/k8s/pod"), ""},
		{"a number is bound to that number", with(bound("project", 7), subject("project", 7)), granted(), ""},
		{"another number is refused", with(bound("project", 7), subject("project", 8)), differs("project"), ""},
		{"a number beside it by a fraction is refused", with(bound("project", 7), subject("project", 7.5)), differs("project"), ""},
		{"a text of digits is no number", with(bound("project", 7), subject("project", "7")), differs("project", "it is text, and the role binds a number"), ""},
		{"true is bound to true", with(bound("verified", true), subject("verified", true)), granted(), ""},
		{"false is not true", with(bound("verified", true), subject("verified", false)), differs("verified"), ""},
		{"the text true is not true", with(bound("verified", true), subject("verified", "true")), differs("verified", "it is text, and the role binds a boolean"), ""},
		{
			"every bound claim must fit, not one of them",
			with(role(func(r *policy.Role) { r.BoundClaims = map[string]any{"team": "red", "project": 7} }), subject("team", "red"), subject("project", 8)),
			differs("project"), "",
		},
	}
}

func conditions() []row {
	notMet := refused(denial.Decide, "condition", `invalid_request: condition: the condition of the role "orders" is not met`)
	unclear := func(why string) outcome {
		return refused(denial.Decide, "condition", `invalid_request: condition: the condition of the role "orders" cannot be evaluated: `+why)
	}
	return []row{
		{"a condition that is true lets the subject pass", with(condition(`subject.team == "red"`), subject("team", "red")), granted(), ""},
		{"a condition that is false refuses", with(condition(`subject.team == "red"`), subject("team", "blue")), notMet, ""},
		{"a condition on a claim that is missing refuses", condition(`subject.team == "red"`), unclear("no such key: team"), ""},
		{"a condition that asks first whether a claim is there refuses without an error", condition(`subject.hasClaim("team")`), notMet, ""},
		{"a condition that yields a text refuses", with(condition(`subject.vip`), subject("vip", "true")), unclear("yields string instead of a boolean"), ""},
		{"a condition knows the issuer by its configured name", condition(`subject.issuer == "idp"`), granted(), ""},
		{"no claim can pretend to be the issuer's name", with(condition(`subject.issuer == "idp"`), subject("issuer", "services")), granted(), ""},
		{"a condition may hold the actor against the subject", delegated(condition(`actor.sub != subject.sub`)), granted(act("api@services")), ""},
		{"a condition on the actor may refuse it", delegated(condition(`actor.issuer == "idp"`)), notMet, ""},
		{"a condition on the actor refuses when nobody acts", with(delegates(policy.DelegationOptional), condition(`actor.sub == "api"`)), unclear("no such key: sub"), ""},
		{"a condition may name the caller's group", with(condition(`"on-call" in caller.groups`), calledBy(alice())), granted(), ""},
		{"a condition may refuse the caller", with(condition(`"admins" in caller.groups`), calledBy(alice())), notMet, ""},
		{
			"a condition on the caller refuses a root token", with(condition(`caller.id != "e-9"`), calledBy(&exchange.Caller{})),
			refused(denial.Decide, "caller", `invalid_request: caller: the role "orders" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`), "",
		},
		{
			"a condition on the caller refuses while Vault cannot say who it is", with(condition(`caller.id != "e-9"`), vaultIsDown),
			refused(denial.Decide, "internal", `server_error: internal: internal error`), "",
		},
		{"a condition may be met at this time", condition(`now < timestamp("2027-01-16T00:00:00Z") && subject.sub != ""`), granted(), ""},
		{"a condition may not be met any more", condition(`now < timestamp("2027-01-15T00:00:00Z") && subject.sub != ""`), notMet, ""},
	}
}

func conditionsOnRequests() []row {
	notMet := refused(denial.Decide, "condition", `invalid_request: condition: the condition of the role "orders" is not met`)
	two := asks(func(r *exchange.Request) { r.Audience = []string{orders, billing} })
	write := asks(func(r *exchange.Request) { r.Scope = []string{"orders:write"} })
	return []row{
		{"a condition sees the default audience as if it were asked for", condition(`request.audience == ["https://orders.example"]`), granted(), ""},
		{"leaving the audience out is no way around a condition on it", condition(`!("https://orders.example" in request.audience)`), notMet, ""},
		{"a condition may refuse several audiences", with(condition(`size(request.audience) == 1`), two), notMet, ""},
		{"a condition sees the default scopes as if they were asked for", condition(`request.scope == ["orders:read"]`), granted(), ""},
		{"a condition may refuse a scope", with(condition(`!("orders:write" in request.scope)`), write), notMet, ""},
		{"a condition sees the scopes that are granted, not those that are left out", with(condition(`request.scope == []`), subject("scope", "x")), granted(scope()), ""},
		{"a condition sees the life that the token will have", with(condition(`request.ttl == duration("90s")`), subject("exp", 1_800_000_090)), granted(life(90 * time.Second)), ""},
		{"a condition sees a resource among the audiences too", with(condition(`request.resource == request.audience`), asks(func(r *exchange.Request) { r.Resource = []string{billing} })), granted(aud(billing)), ""},
		{"a condition knows who the client is", condition(`request.client_id == "role:orders"`), granted(), ""},
	}
}

func callers() []row {
	noEntity := refused(denial.Subject, "subject_source", `invalid_request: subject: the role "orders" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`)
	return []row{
		{"a caller who is the subject needs no token, and has the role's scopes", callerIsSubject(), granted(sub("entity:e-1")), ""},
		{"a root token cannot be the subject", callerIsSubject(calledBy(&exchange.Caller{})), noEntity, ""},
		{"nobody cannot be the subject", callerIsSubject(calledBy(nil)), noEntity, ""},
		{"a caller may be bound by metadata", callerIsSubject(bound("/metadata/team", "platform")), granted(sub("entity:e-1")), ""},
		{
			"a caller outside the bound group is refused", callerIsSubject(bound("groups", "admins")),
			refused(denial.Subject, "bound_claims", `invalid_request: subject: claim "groups" does not have a value that the role "orders" is bound to`), "",
		},
		{
			"a caller cannot show a token and be the subject", callerIsSubject(func(s *scene) {
				asks(func(r *exchange.Request) { r.SubjectToken = s.who.token(s.world) })(s)
			}),
			refused(denial.Parse, "subject_token", `invalid_request: subject_token: the subject of the role "orders" is the caller: leave it out`), "claims of the caller are no subject token",
		},
		{
			"where the subject is not the caller, a token is required", asks(func(r *exchange.Request) { r.SubjectToken = "" }),
			refused(denial.Parse, "subject_token", `invalid_request: subject_token: is required by the role "orders"`), "",
		},
		{"a service may act for a caller", callerIsSubject(delegated()), granted(sub("entity:e-1"), act("api@services")), ""},
	}
}

func actors() []row {
	return []row{
		{"a service that the role names may act", delegated(), granted(act("api@services")), ""},
		{"where delegation is optional, a service may act", with(delegates(policy.DelegationOptional), actor(nil)), granted(act("api@services")), ""},
		{"where delegation is optional, nobody need act", delegates(policy.DelegationOptional), granted(), ""},
		{
			"where delegation is required, somebody must act", delegates(policy.DelegationRequired),
			refused(denial.Parse, "actor_token", `invalid_request: actor_token: is required by the role "orders"`), "",
		},
		{
			"where delegation is forbidden, nobody may act", actor(nil),
			refused(denial.Actor, "delegation", `invalid_request: actor: the role "orders" does not allow delegation: leave actor_token out`), "",
		},
		{
			"a service that the role does not name may not act", delegated(actor(map[string]any{"sub": "mallory"})),
			refused(denial.Actor, "bound_actors", `invalid_request: actor: ["services:mallory"] is not among the bound_actors of the role "orders"`), "",
		},
		{
			"an actor is known by its name with the prefix of its issuer", delegated(role(func(r *policy.Role) { r.BoundActors = []string{"api"} })),
			refused(denial.Actor, "bound_actors", `invalid_request: actor: ["services:api"] is not among the bound_actors of the role "orders"`), "",
		},
		{
			"an actor of an issuer that is good for subjects alone is refused", delegated(actorOf(theUsers)),
			refused(denial.Actor, "actor_issuers", `invalid_request: actor: "iss" claim: ["https://idp.example"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"a subject of an issuer that is good for actors alone is refused", delegated(subjectOf(theServices)),
			refused(denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://services.example"] is not an issuer that the role "orders" accepts`), "",
		},
		{
			"a condition on the actor is enough to name it",
			delegated(role(func(r *policy.Role) { r.BoundActors, r.Condition = nil, `actor.team == "shop"` }), actor(map[string]any{"team": "shop"})), granted(act("api@services")), "",
		},
		{"the actor brings no scopes to the subject", delegated(subject("scope", "")), granted(act("api@services"), scope()), ""},
		{"the token names the actor and nothing else of it", delegated(actor(map[string]any{"email": "api@example.com"})), granted(act("api@services")), ""},
		{
			"a token of ours for another service is refused, since that service could act with it",
			with(ownActor, func(s *scene) {
				req := exchange.Request{Role: "identity", SubjectToken: token.Secret(s.services.Sign(s.t, s.services.Claims(s.now, map[string]any{"sub": "api"}))), Audience: []string{orders}, MountMaxTTL: time.Hour}
				s.actor.ready = s.mustExchange(req).AccessToken
			}),
			refused(denial.Actor, "aud", `invalid_request: actor: "aud" claim: a token of this engine by which somebody acts must be for the engine alone: expected "https://vault.example/v1/token-exchange" but got ["https://orders.example"]`), "",
		},
		{"a service may act by a token of ours", ownActor, granted(act("services:api@us")), ""},
	}
}

func actorsTokens() []row {
	return []row{
		{
			"an actor whose token has expired may not act", delegated(actor(map[string]any{"exp": 1_800_000_000})),
			refused(denial.Actor, "exp", `invalid_request: actor: "exp" claim expired at 2027-01-15T08:00:00Z`), "",
		},
		{
			"an actor's token for somebody else is refused", delegated(actor(map[string]any{"aud": "https://other.example"})),
			refused(denial.Actor, "aud", `invalid_request: actor: "aud" claim expected one of ["https://vault.example"] but got ["https://other.example"]`), "",
		},
		{
			"an actor's token that another issuer signed is refused", delegated(actorOf(theUsers), actorClaim("iss", servicesURL)),
			refused(denial.Actor, "signature", `invalid_request: actor: the signature does not verify with key "k1"`), "claims have no signature",
		},
		{
			"an actor's token that is itself a delegation is refused", delegated(actor(map[string]any{"act": map[string]any{"sub": "x"}})),
			refused(denial.Actor, "act", `invalid_request: actor: "act" claim: the actor must act itself, and its token is for another to act with`), "",
		},
		{
			"an actor's token that names who may act for it is refused", delegated(actor(map[string]any{"may_act": map[string]any{"sub": "x"}})),
			refused(denial.Actor, "may_act", `invalid_request: actor: "may_act" claim: the actor must act itself, and its token is for another to act with`), "",
		},
		{
			"an actor's token that is bound to a key is refused", delegated(actor(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})),
			refused(denial.Actor, "cnf", `invalid_request: actor: "cnf" claim: the token is bound to a key, whose proof cannot be given for an actor`), "",
		},
		{
			"an actor's token without a type is refused", delegated(asks(func(r *exchange.Request) { r.ActorTokenType = "" })),
			refused(denial.Parse, "actor_token_type", `invalid_request: actor_token_type: is required with actor_token`), "claims have no type",
		},
		{
			"an actor's token of another issuer is not one of ours", delegated(asks(func(r *exchange.Request) { r.ActorTokenType = exchange.TypeAccessToken })),
			refused(denial.Parse, "actor_token_type", `invalid_request: actor_token_type: "urn:ietf:params:oauth:token-type:access_token" means a token that this engine issued: use "urn:ietf:params:oauth:token-type:jwt"`), "claims have no type",
		},
	}
}

func actorsByCaller() []row {
	return []row{
		{"the caller may act for the subject", callerActs(), granted(act("entity:e-1@us")), ""},
		{
			"a root token cannot act", callerActs(calledBy(&exchange.Caller{})),
			refused(denial.Actor, "actor_source", `invalid_request: actor: the role "orders" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`), "",
		},
		{
			"a caller that the role does not name may not act", callerActs(calledBy(&exchange.Caller{ID: "e-3"})),
			refused(denial.Actor, "bound_actors", `invalid_request: actor: ["entity:e-3"] is not among the bound_actors of the role "orders"`), "",
		},
		{
			"while Vault cannot say who the caller is, nobody acts", callerActs(vaultIsDown),
			refused(denial.Actor, "internal", `server_error: actor: internal error`), "claims say who the caller is",
		},
		{
			"a caller who acts cannot show another's token", with(actor(nil), callerActs()),
			refused(denial.Parse, "actor_token", `invalid_request: actor_token: the actor of the role "orders" is the caller: leave it out`), "claims of the caller are no actor token",
		},
		{"the subject may name the caller in may_act", callerActs(subject("may_act", map[string]any{"iss": ourIssuer, "sub": "entity:e-1"})), granted(act("entity:e-1@us")), ""},
		{
			"the subject may name another than the caller in may_act", callerActs(subject("may_act", map[string]any{"iss": ourIssuer, "sub": "entity:e-2"})),
			refused(denial.Actor, "may_act", `invalid_request: actor: "may_act" claim of the subject token names another actor`), "",
		},
		{"a condition may hold the caller who acts to a group", callerActs(condition(`"dev" in caller.groups && subject.sub != ""`)), granted(act("entity:e-1@us")), ""},
	}
}

func mayAct() []row {
	allows := func(members map[string]any) edit { return delegated(subject("may_act", members)) }
	another := refused(denial.Actor, "may_act", `invalid_request: actor: "may_act" claim of the subject token names another actor`)
	noObject := refused(denial.Actor, "may_act", `invalid_request: actor: "may_act" claim of the subject token must be an object that names an actor`)
	noActor := refused(denial.Subject, "may_act", `invalid_request: subject: "may_act" claim: the token names who may act for its subject, and the request has no actor`)
	require := role(func(r *policy.Role) { r.MayAct = policy.MayActRequire })
	named := map[string]any{"iss": servicesURL, "sub": "api"}
	return []row{
		{"a service acts for a user who named it in may_act", allows(named), granted(act("api@services")), ""},
		{"a service does not act for a user who named another service", allows(map[string]any{"iss": servicesURL, "sub": "web"}), another, ""},
		{"a service does not act for a user who named one of the same name elsewhere", allows(map[string]any{"iss": "https://idp.example", "sub": "api"}), another, ""},
		{"may_act without an issuer means one of the subject's own", allows(map[string]any{"sub": "api"}), another, ""},
		{
			"may_act without an issuer names an actor of the subject's own issuer",
			delegated(subject("may_act", map[string]any{"sub": "api"}), actorOf(theUsers), role(func(r *policy.Role) {
				r.ActorIssuers, r.BoundActors = []string{"idp"}, []string{"idp:api"}
			})), granted(act("api@idp")), "",
		},
		{
			"a further member of may_act must be a claim of the actor", allows(map[string]any{"iss": servicesURL, "sub": "api", "azp": "shop"}), another, "",
		},
		{
			"a further member of may_act that is a claim of the actor is met",
			with(allows(map[string]any{"iss": servicesURL, "sub": "api", "azp": "shop"}), actorClaim("azp", "shop")), granted(act("api@services")), "",
		},
		{"a member of may_act that is no text names nobody", with(allows(map[string]any{"iss": servicesURL, "sub": "api", "level": 7}), actorClaim("level", 7)), another, ""},
		{"may_act that is empty names nobody", allows(map[string]any{}), noObject, ""},
		{"a member of may_act that is empty names nobody", with(allows(map[string]any{"iss": servicesURL, "sub": "api", "azp": ""}), actorClaim("azp", "")), another, ""},
		{"may_act that is a text names nobody", delegated(subject("may_act", "api")), noObject, ""},
		{
			"may_act does not let a service act that the role does not name", with(allows(map[string]any{"iss": servicesURL, "sub": "web"}), actorClaim("sub", "web")),
			refused(denial.Actor, "bound_actors", `invalid_request: actor: ["services:web"] is not among the bound_actors of the role "orders"`), "",
		},
		{"a role may require may_act, and take whomever it names", with(allows(named), require, role(func(r *policy.Role) { r.BoundActors = nil })), granted(act("api@services")), ""},
		{
			"a role that requires may_act refuses a user who named nobody", delegated(require),
			refused(denial.Actor, "may_act", `invalid_request: actor: the subject token has no "may_act" claim and the role "orders" requires it`), "",
		},
		{
			"a role that requires may_act refuses a request in which nobody acts", with(delegates(policy.DelegationOptional), require),
			refused(denial.Actor, "may_act", `invalid_request: actor: the role "orders" wants an actor that the subject token names, and the request has no actor`), "",
		},
		{"a user who named an actor is not exchanged without one", subject("may_act", named), noActor, ""},
		{"nor where delegation is optional", with(delegates(policy.DelegationOptional), subject("may_act", named)), noActor, ""},
	}
}

func delegatedAlready() []row {
	optional := func(edits ...edit) edit {
		return with(delegates(policy.DelegationOptional), role(func(r *policy.Role) {
			r.ActorIssuers, r.BoundActors = []string{"services", "idp"}, []string{"services:api", "idp:api"}
		}), with(edits...))
	}
	api := map[string]any{"sub": "api"}
	return []row{
		{"who acts already goes on acting, if the role would let it", optional(subject("act", api)), granted(act("api@idp")), ""},
		{
			"who acts already does not go on acting, if the role would not let it", optional(subject("act", map[string]any{"sub": "web"})),
			refused(denial.Actor, "bound_actors", `invalid_request: actor: ["idp:web"] is not among the bound_actors of the role "orders"`), "",
		},
		{
			"who acts already does not go on acting, if the role wants to see the actor's token",
			optional(condition(`!has(actor.sub) || actor.team == "x"`), subject("act", api)),
			refused(denial.Actor, "act", `invalid_request: actor: "act" claim: somebody acts for the subject already, and the expressions of the role "orders" want to see their token`), "",
		},
		{
			"another issuer's word is not taken for who acted in this engine",
			with(delegated(), subject("act", map[string]any{"iss": ourIssuer, "sub": "entity:admin"})),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim: another issuer is not believed who acts by the names of this engine`), "",
		},
		{
			"another issuer's word is not taken for who acted before in this engine",
			with(delegated(), subject("act", map[string]any{"sub": "x", "act": map[string]any{"iss": ourIssuer, "sub": "entity:admin"}})),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim: another issuer is not believed who acts by the names of this engine`), "",
		},
		{
			"another issuer's word is not taken for who acted under a former name of this engine",
			with(delegated(), func(s *scene) {
				s.snapshot.FormerIssuers = []exchange.FormerIssuer{{Issuer: "https://old.example", Until: s.now.Add(time.Second)}}
			},
				subject("act", map[string]any{"sub": "x", "act": map[string]any{"iss": "https://old.example", "sub": "entity:admin"}})),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim: another issuer is not believed who acts by the names of this engine`), "",
		},
		{
			"an actor's token of ours is for the engine alone",
			with(ownActor, func(s *scene) {
				req := exchange.Request{Role: "identity", SubjectToken: token.Secret(s.services.Sign(s.t, s.services.Claims(s.now, map[string]any{"sub": "api"}))), Audience: []string{ourIssuer, orders}, MountMaxTTL: time.Hour}
				s.actor.ready = s.mustExchange(req).AccessToken
			}),
			refused(denial.Actor, "aud", `invalid_request: actor: "aud" claim: a token of this engine by which somebody acts must be for the engine alone: expected "https://vault.example/v1/token-exchange" but got ["https://vault.example/v1/token-exchange", "https://orders.example"]`), "",
		},
		{
			"a list that no condition can take is refused", with(condition(`subject.sub == "ci-runner"`), subject("many", slices.Repeat([]any{1}, 1001))),
			refused(denial.Decide, "condition", `invalid_request: condition: the condition of the role "orders" cannot be evaluated: a claim has a list of more than 1000 elements`), "",
		},
		{
			"a caller's name is not that of an issuer's subject, of an issuer without a prefix",
			with(func(s *scene) { s.addIssuer("services", s.services, func(c *issuer.Config) { c.SubjectPrefix = "" }) }, subjectIs(`subject.email`), subject("email", "ceo@corp.example")),
			refused(denial.Decide, "subject", `invalid_request: subject: the subject expression of the role "orders" yields a subject with the prefix "", which belongs to others`), "",
		},
		{
			"a subject may be made with the prefix of its issuer, beside an issuer without one",
			with(func(s *scene) { s.addIssuer("services", s.services, func(c *issuer.Config) { c.SubjectPrefix = "" }) }, subjectIs(`"idp:" + subject.email`), subject("email", "ceo@corp.example")),
			granted(sub("idp:ceo@corp.example")), "",
		},
		{
			"while an issuer cannot be read, one without a prefix is not believed", func(s *scene) {
				s.addIssuer("idp", s.idp, func(c *issuer.Config) { c.SubjectPrefix = "" })
				s.snapshot.IssuerMissing = true
			},
			refused(denial.Subject, "subject_prefix", `temporarily_unavailable: subject: an issuer of the mount cannot be read, and its subjects cannot be told from others without a prefix: see the log`), "",
		},
		{
			"while an issuer cannot be read, no subject is made", with(subjectIs(`subject.email`), subject("email", "x"), func(s *scene) { s.snapshot.IssuerMissing = true }),
			refused(denial.Subject, "subject_prefix", `temporarily_unavailable: subject: an issuer of the mount cannot be read, and its subjects cannot be told from others without a prefix: see the log`), "",
		},
		{"while an issuer cannot be read, others go on", func(s *scene) { s.snapshot.IssuerMissing = true }, granted(), ""},
		{
			"a delegation is not turned into the user itself where delegation is forbidden", subject("act", api),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim: the token is already a delegation, and the role does not allow delegation`), "",
		},
		{
			"an issuer is not believed that another issuer's service acts", optional(subject("act", map[string]any{"iss": servicesURL, "sub": "api"})),
			refused(denial.Actor, "act", `invalid_request: actor: "act" claim: an issuer is not believed who acts of another issuer`), "",
		},
		{
			"who acts already must be of an issuer that the role takes actors from", with(delegates(policy.DelegationOptional), subject("act", api)),
			refused(denial.Actor, "actor_issuers", `invalid_request: actor: "act" claim: the current actor is not of an issuer that the role "orders" accepts actors from`), "",
		},
		{"a service that acts now stands before who acted so far", delegated(subject("act", map[string]any{"sub": "old"})), granted(act("api@services", "old@idp")), ""},
		{
			"who acted so far need not be one that the role names",
			delegated(subject("act", map[string]any{"sub": "old", "act": map[string]any{"sub": "older"}})), granted(act("api@services", "old@idp", "older@idp")), "",
		},
		{
			"an act claim that names nobody is refused", delegated(subject("act", map[string]any{"iss": servicesURL})),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim has an actor without "sub"`), "",
		},
		{
			"an act claim that is a text is refused", delegated(subject("act", "api")),
			refused(denial.Subject, "act", `invalid_request: subject: "act" claim must be an object`), "",
		},
		{
			"only who acts now must be of the token's own issuer",
			optional(subject("act", map[string]any{"sub": "api", "act": map[string]any{"iss": servicesURL, "sub": "x"}})), granted(act("api@idp", "x@services")), "",
		},
	}
}

func depths() []row {
	before := subject("act", map[string]any{"sub": "old"})
	tooDeep := func(limit string) outcome {
		return refused(denial.Decide, "max_delegation_depth", `invalid_request: max_delegation_depth: the token would name 2 actors: `+limit)
	}
	roleDepth := func(n int) edit { return role(func(r *policy.Role) { r.MaxDelegationDepth = n }) }
	return []row{
		{"one actor is within a depth of one", delegated(roleDepth(1)), granted(act("api@services")), ""},
		{"two actors are within a depth of two", delegated(roleDepth(2), before), granted(act("api@services", "old@idp")), ""},
		{"two actors are too many for a role with a depth of one", delegated(roleDepth(1), before), tooDeep("max_delegation_depth is 1"), ""},
		{
			"two actors are too many for a mount with a depth of one", delegated(mount(func(c *exchange.Config) { c.MaxDelegationDepth = 1 }), before),
			tooDeep("max_delegation_depth of config is 1"), "",
		},
		{
			"a role that was written before the mount's depth shrank does not exceed it",
			delegated(roleDepth(3), mount(func(c *exchange.Config) { c.MaxDelegationDepth = 1 }), before), tooDeep("max_delegation_depth of config is 1"), "",
		},
		{
			"a token that names too many already is refused, though nobody is added", with(delegates(policy.DelegationOptional), roleDepth(1),
				role(func(r *policy.Role) { r.ActorIssuers, r.BoundActors = []string{"idp"}, []string{"idp:old"} }),
				subject("act", map[string]any{"sub": "old", "act": map[string]any{"sub": "older"}})), tooDeep("max_delegation_depth is 1"), "",
		},
	}
}

func targets() []row {
	audience := func(list ...string) edit { return asks(func(r *exchange.Request) { r.Audience = list }) }
	resource := func(list ...string) edit { return asks(func(r *exchange.Request) { r.Resource = list }) }
	evil := refused(denial.Decide, "allowed_audiences", `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://evil.example"]`)
	return []row{
		{"an audience that the role allows is granted", audience(billing), granted(aud(billing)), ""},
		{"an audience that the role does not allow is refused", audience("https://evil.example"), evil, ""},
		{"an audience is compared to the letter", audience("https://orders.example/"), refused(denial.Decide, "allowed_audiences", `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://orders.example/"]`), ""},
		{"several audiences that the role allows are granted", audience(orders, billing), granted(aud(orders, billing)), ""},
		{"one refused audience refuses all", audience(orders, "https://evil.example"), evil, ""},
		{"an audience that is asked for twice is granted once", audience(orders, orders), granted(), ""},
		{"a resource is an audience", resource(billing), granted(aud(billing)), ""},
		{"an audience and a resource are both granted", with(audience(orders), resource(billing)), granted(aud(orders, billing)), ""},
		{"a resource that the role does not allow refuses all", with(audience(orders), resource("https://evil.example")), evil, ""},
		{"a resource with a fragment is refused", resource(billing + "#x"), refused(denial.Parse, "resource", `invalid_target: resource: ["https://billing.example#x"] is not an absolute URI without a fragment`), ""},
		{"without a target, the default is granted", nothing, granted(aud(orders)), ""},
		{
			"without a target and a default, nothing is granted", role(func(r *policy.Role) { r.DefaultAudience = "" }),
			refused(denial.Decide, "audience", `invalid_target: audience: is missing and the role "orders" has no default_audience: ask for one of its allowed_audiences`), "",
		},
		{
			"a guardrail that shrank refuses what the role still allows", mount(func(c *exchange.Config) { c.AllowedAudiences = policy.Guardrail{billing} }),
			refused(denial.Decide, "config allowed_audiences", `invalid_target: config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`), "",
		},
		{
			"a mount without guardrails allows nothing", mount(func(c *exchange.Config) { c.AllowedAudiences = nil }),
			refused(denial.Decide, "config allowed_audiences", `invalid_target: config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`), "",
		},
	}
}

// scopesFor asks for scopes.
func scopesFor(list ...string) edit { return asks(func(r *exchange.Request) { r.Scope = list }) }

func scopesAsked() []row {
	lacks := func(scope string) outcome {
		return refused(denial.Decide, "subject_scopes", `invalid_scope: subject_scopes: the subject token does not have the scope "`+scope+`", and subject_scopes is "intersect"`)
	}
	return []row{
		{"a scope that role and subject have is granted", scopesFor("orders:write"), granted(scope("orders:write")), ""},
		{
			"a scope that the role does not allow is refused, though the subject has it", with(scopesFor("admin"), subject("scope", "admin")),
			refused(denial.Decide, "allowed_scopes", `invalid_scope: allowed_scopes: the role "orders" does not allow the scope ["admin"]`), "",
		},
		{"a scope that is asked for and that the subject lacks is refused", with(scopesFor("orders:write"), subject("scope", "orders:read")), lacks("orders:write"), ""},
		{"one refused scope refuses all", with(scopesFor("orders:read", "orders:write"), subject("scope", "orders:read")), lacks("orders:write"), ""},
		{"a default scope that the subject lacks is left out", subject("scope", "orders:write"), granted(scope()), ""},
		{"a scope that is asked for twice is granted once", scopesFor("orders:read", "orders:read"), granted(), ""},
		{"scopes in a list called scp count", with(subject("scope", nil), subject("scp", []string{"orders:read"})), granted(), ""},
		{
			"a token with both scope and scp is refused", subject("scp", "orders:read"),
			refused(denial.Subject, "scp", `invalid_request: subject: "scp" claim stands beside "scope": one of them must be left out`), "",
		},
		{
			"a guardrail refuses a scope that is asked for", with(scopesFor("orders:read"), mount(func(c *exchange.Config) { c.AllowedScopes = policy.Guardrail{"billing:*"} })),
			refused(denial.Decide, "config allowed_scopes", `invalid_scope: config allowed_scopes: the mount's guardrail does not allow the scope "orders:read"`), "",
		},
		{"a guardrail leaves a default scope out", mount(func(c *exchange.Config) { c.AllowedScopes = nil }), granted(scope()), ""},
	}
}

func subjectScopes() []row {
	rule := func(how string, scopeMap map[string][]string) edit {
		return role(func(r *policy.Role) { r.SubjectScopes, r.ScopeMap = how, scopeMap })
	}
	maps := rule(policy.ScopesMap, map[string][]string{"api": {"orders:read"}})
	ignores := rule(policy.ScopesIgnore, nil)
	both := role(func(r *policy.Role) { r.DefaultScopes = []string{"orders:read", "orders:write"} })
	lacks := refused(denial.Decide, "subject_scopes", `invalid_scope: subject_scopes: the subject token does not have the scope "orders:write", and subject_scopes is "intersect"`)
	return []row{
		{"intersect: a token with scopes gets those it has", with(both, subject("scope", "orders:read x")), granted(), ""},
		{"intersect: a token that says nothing of scopes gets none", subject("scope", nil), granted(scope()), ""},
		{"intersect: a token with an empty scope gets none", subject("scope", ""), granted(scope()), ""},
		{"map: a token with scopes gets those they map to", with(both, maps, subject("scope", "api")), granted(), ""},
		{"map: a token that says nothing of scopes gets none", with(both, maps, subject("scope", nil)), granted(scope()), ""},
		{"map: a token with an empty scope gets none", with(both, maps, subject("scope", "")), granted(scope()), ""},
		{"ignore: a token with scopes gets the role's", with(both, ignores, subject("scope", "x")), granted(scope("orders:read", "orders:write")), ""},
		{"ignore: a token that says nothing of scopes gets the role's", with(both, ignores, subject("scope", nil)), granted(scope("orders:read", "orders:write")), ""},
		{"ignore: a token with an empty scope gets the role's", with(both, ignores, subject("scope", "")), granted(scope("orders:read", "orders:write")), ""},
		{
			"map: a scope of the role that the token has itself is not granted", with(maps, scopesFor("orders:read"), subject("scope", "orders:read")),
			refused(denial.Decide, "scope_map", `invalid_scope: scope_map: no scope of the subject token maps to "orders:read"`), "",
		},
		{"self: a token of ours gets no scope that it does not have", with(ownSubject("orders:read"), both), granted(), ""},
		{"self: ignore does not widen a token of ours", with(ownSubject("orders:read"), ignores, both), granted(), ""},
		{"self: ignore does not grant what is asked for beyond a token of ours", with(ownSubject("orders:read"), ignores, scopesFor("orders:write")), lacks, ""},
		{
			"self: map does not widen a token of ours",
			with(ownSubject("orders:read"), rule(policy.ScopesMap, map[string][]string{"orders:read": {"orders:write"}}), scopesFor("orders:write")), lacks, "",
		},
	}
}

func lifetimes() []row {
	ttl := func(d time.Duration) edit { return asks(func(r *exchange.Request) { r.TTL = d }) }
	soon := func(life int) int { return 1_800_000_000 + life }
	return []row{
		{"a token lives as long as is asked for", ttl(20 * time.Minute), granted(life(20 * time.Minute)), ""},
		{
			"more life than the role allows is refused", ttl(31 * time.Minute),
			refused(denial.Lifetime, "ttl", `invalid_request: ttl: 31m0s is more than the max_ttl of the role "orders", which is 30m0s`), "",
		},
		{"a role without a ttl has the mount's", with(role(func(r *policy.Role) { r.TTL = 0 }), mount(func(c *exchange.Config) { c.DefaultTTL = 7 * time.Minute })), granted(life(7 * time.Minute)), ""},
		{"the mount's max_ttl shortens a life", mount(func(c *exchange.Config) { c.MaxTTL = 2 * time.Minute }), granted(life(2 * time.Minute)), ""},
		{"Vault's max TTL of the mount shortens a life", asks(func(r *exchange.Request) { r.MountMaxTTL = time.Minute }), granted(life(time.Minute)), ""},
		{"the subject token's end shortens a life", subject("exp", soon(90)), granted(life(90 * time.Second)), ""},
		{"the actor token's end shortens a life", delegated(actor(map[string]any{"exp": soon(80)})), granted(act("api@services"), life(80*time.Second)), ""},
		{"the earlier of both ends counts", delegated(subject("exp", soon(70)), actor(map[string]any{"exp": soon(80)})), granted(act("api@services"), life(70*time.Second)), ""},
		{
			"an actor about to expire makes no token", delegated(actor(map[string]any{"exp": 1_800_000_000.5})),
			refused(denial.Lifetime, "exp", `invalid_request: exp: the subject token, or the actor token, expires too soon for a token to be made from it`), "",
		},
		{"the publication of the key shortens a life", func(s *scene) { s.snapshot.Keys["main"].Active().VerificationPeriod = 10 * time.Second }, granted(life(10 * time.Second)), ""},
	}
}

func hops() []row {
	most := func(n int) edit { return mount(func(c *exchange.Config) { c.MaxHops = n }) }
	return []row{
		{"a token of ours may be exchanged again", ownSubject("orders:read"), granted(), ""},
		{"two tokens before this one are within two hops", with(ownSubject("orders:read"), most(2)), granted(), ""},
		{
			"two tokens before this one are too many for one hop", with(ownSubject("orders:read"), most(1)),
			refused(denial.Decide, "max_hops", `invalid_request: max_hops: the chain of exchanges would have 2 tokens before this one: max_hops of config is 1`), "",
		},
		{"the actor's own chain does not count as hops", with(ownActor, most(1)), granted(act("services:api@us")), ""},
		{
			"a token of ours for another audience than the role's is refused", with(ownSubject("orders:read"), role(func(r *policy.Role) { r.BoundAudiences = []string{billing} })),
			refused(denial.Subject, "bound_audiences", `invalid_request: subject: "aud" claim: the role "orders" expects one of ["https://billing.example"] but got ["https://orders.example"]`), "",
		},
	}
}

func subjectsMapped() []row {
	foreign := func(prefix string) outcome {
		return refused(denial.Decide, "subject", `invalid_request: subject: the subject expression of the role "orders" yields a subject with the prefix "`+prefix+`", which belongs to others`)
	}
	return []row{
		{"a role may make the subject from a claim", with(subjectIs(`"idp:" + subject.email`), subject("email", "a@x")), granted(sub("idp:a@x")), ""},
		{"a role may drop the prefix of the issuer", subjectIs(`subject.sub`), granted(sub("ci-runner")), ""},
		{"a role cannot make a subject of another issuer", subjectIs(`"services:" + subject.sub`), foreign("services:"), ""},
		{"a claim cannot make a subject of another issuer", with(subjectIs(`subject.email`), subject("email", "services:api")), foreign("services:"), ""},
		{"a claim cannot make a Vault entity", with(subjectIs(`subject.email`), subject("email", "entity:e-1")), foreign("entity:"), ""},
		{"a claim cannot make a client id", with(subjectIs(`subject.email`), subject("email", "role:orders")), foreign("role:"), ""},
		{"a caller cannot be made a subject of an issuer", callerIsSubject(subjectIs(`"idp:" + subject.name`)), foreign("idp:"), ""},
		{"a caller cannot be made another entity", callerIsSubject(subjectIs(`"entity:" + subject.name`)), foreign("entity:"), ""},
		{"a caller may be made itself", callerIsSubject(subjectIs(`"entity:" + subject.sub`)), granted(sub("entity:e-1")), ""},
		{
			"an empty subject is refused", with(subjectIs(`subject.email`), subject("email", "")),
			refused(denial.Decide, "subject", `invalid_request: subject: the subject expression of the role "orders" yields nothing`), "",
		},
		{
			"a subject of a claim that is missing is refused", subjectIs(`subject.email`),
			refused(denial.Decide, "subject", `invalid_request: subject: the subject expression of the role "orders" cannot be evaluated: no such key: email`), "",
		},
		{
			"a subject that is too long is refused", with(subjectIs(`subject.email`), subject("email", strings.Repeat("x", 1025))),
			refused(denial.Decide, "sub", `invalid_request: sub: the subject is 1025 bytes long: the limit is 1024`), "",
		},
	}
}

func claimsMapped() []row {
	return []row{
		{"a role may copy a claim", with(claimIs("team", "subject.team"), subject("team", "red")), granted(claim("team", "red")), ""},
		{"a role may copy a list", with(claimIs("groups", "subject.groups"), subject("groups", []string{"a", "b"})), granted(claim("groups", []any{"a", "b"})), ""},
		{"a role may state a claim of its own", claimIs("tier", `"gold"`), granted(claim("tier", "gold")), ""},
		{"a claim that is null is left out", claimIs("team", `subject.hasClaim("team") ? subject.team : null`), granted(), ""},
		{
			"a claim of a claim that is missing refuses the exchange", claimIs("team", "subject.team"),
			refused(denial.Decide, "claims", `invalid_request: claims: the expression of the claim ["team"] of the role "orders" cannot be evaluated: no such key: team`), "",
		},
		{"a claim may tell of the actor", delegated(claimIs("via", "actor.sub")), granted(act("api@services"), claim("via", "api")), ""},
		{"a claim may tell of the caller", with(claimIs("by", "caller.name"), calledBy(alice())), granted(claim("by", "alice")), ""},
		{"what the subject says of its login goes on", with(subject("acr", "high"), subject("amr", []string{"otp"})), granted(claim("acr", "high"), claim("amr", []any{"otp"})), ""},
		{
			"what the subject says of its login must be well formed", subject("acr", 7),
			refused(denial.Subject, "acr", `invalid_request: subject: "acr" claim must be a string`), "",
		},
		{
			"the methods of its login must be texts", subject("amr", []int{7}),
			refused(denial.Subject, "amr", `invalid_request: subject: "amr" claim must hold strings only`), "",
		},
		{
			"the time of its login must be a date", subject("auth_time", "today"),
			refused(denial.Subject, "auth_time", `invalid_request: subject: "auth_time" claim must be a number of seconds since 1970`), "",
		},
		{"no other claim of the subject goes on", with(subject("email", "a@x"), subject("roles", []string{"admin"})), granted(), ""},
		{"may_act does not go on", delegated(subject("may_act", map[string]any{"iss": servicesURL, "sub": "api"})), granted(act("api@services")), ""},
	}
}

// vaultIsDown lets nobody find out who the caller is.
func vaultIsDown(s *scene) {
	asks(func(r *exchange.Request) {
		r.Caller = func(context.Context) (*exchange.Caller, error) { return nil, errors.New("identity store") }
	})(s)
}

// actorClaim sets one claim of the actor token of a world that has one.
func actorClaim(name string, value any) edit { return func(s *scene) { s.actor.claims[name] = value } }

// borders are cases that look like others and are not.
func borders() []row {
	noPrefix := func(s *scene) { s.addIssuer("idp", s.idp, func(c *issuer.Config) { c.SubjectPrefix = "" }) }
	return []row{
		{
			"an issuer without a prefix is not believed that who acts is another issuer's",
			with(noPrefix, delegates(policy.DelegationOptional), role(func(r *policy.Role) { r.ActorIssuers = []string{"idp", "services"} }), subject("act", map[string]any{"sub": "services:api"})),
			refused(denial.Actor, "subject_prefix", `invalid_request: actor: "sub" claim begins with the prefix of the issuer "services"`), "",
		},
		{
			"an issuer without a prefix is not believed that a Vault entity acts",
			with(noPrefix, delegates(policy.DelegationOptional), role(func(r *policy.Role) {
				r.ActorIssuers, r.BoundActors = []string{"idp", policy.Self}, []string{"entity:e-1"}
			}), subject("act", map[string]any{"sub": "entity:e-1"})),
			refused(denial.Actor, "subject_prefix", `invalid_request: actor: "sub" claim begins with the reserved prefix "entity:"`), "",
		},
		{
			"a token of ours whose role was deleted is refused", with(ownSubject("orders:read"), func(s *scene) { delete(s.snapshot.Roles, "first") }),
			refused(denial.Revocation, "role_deleted", `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`), "",
		},
		{
			"claims that are a few bytes too long are refused", with(claimIs("big", "subject.big"), subject("big", strings.Repeat("x", 10_390))),
			refused(denial.Mint, "size", `invalid_request: size: the claims would be 10762 bytes long: the limit is 10752; ask for fewer audiences or scopes, or map fewer claims`), "",
		},
		{
			"a subject that no token can hold is refused", with(subjectIs(`subject.email.replace("a", "\uFFFD")`), subject("email", "a@x")),
			refused(denial.Decide, "subject", `invalid_request: subject: the subject expression of the role "orders" cannot be evaluated: yields a value that no token can hold: text holds U+FFFD or half of a surrogate pair`), "",
		},
		{
			"a condition may name a login of the caller who acts",
			callerActs(condition(`caller.aliases.exists(a, a.name == "alice@corp")`), func(s *scene) { s.caller.Aliases = []exchange.Alias{{Name: "alice@corp"}} }),
			granted(act("entity:e-1@us")), "",
		},
		{
			"of a token with two faults, the first that is looked for is told", with(subject("sub", 7), subject("exp", 5)),
			refused(denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 1970-01-01T00:00:05Z`), "",
		},
	}
}
