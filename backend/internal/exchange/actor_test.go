package exchange_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// mesh is a mount in which services act for users, one after the other, each by a
// token of ours: "identity" gives it to a service, "renew" makes another from it.
// "enter" takes a user's token, "next" a token that was made so.
type mesh struct {
	*world
	services *issuertest.Issuer
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	m := &mesh{world: newWorld(t), services: issuertest.New(t, servicesURL)}
	m.addIssuer("services", m.services, func(*issuer.Config) {})
	m.addKey("identities", func(*keyring.Key) {})
	actors := []string{"services:web", "services:shop", "services:stock"}
	m.addRole("identity", func(r *policy.Role) {
		r.Issuers, r.BoundSubject, r.BoundAudiences, r.Key = []string{"services"}, "", []string{"https://vault.example"}, "identities"
		r.AllowedAudiences, r.DefaultAudience = []string{ourIssuer}, ourIssuer
	})
	m.addRole("renew", func(r *policy.Role) {
		r.Issuers, r.BoundSubject, r.BoundAudiences = []string{policy.Self}, "", []string{ourIssuer}
		r.AllowedAudiences, r.DefaultAudience = []string{ourIssuer}, ourIssuer
	})
	m.addRole("enter", func(r *policy.Role) {
		r.Delegation, r.ActorIssuers, r.BoundActors = policy.DelegationRequired, []string{policy.Self}, actors
	})
	m.addRole("next", func(r *policy.Role) {
		r.Issuers, r.BoundSubject, r.BoundAudiences = []string{policy.Self}, "", []string{orders}
		r.Delegation, r.ActorIssuers, r.BoundActors = policy.DelegationOptional, []string{policy.Self}, actors
	})
	return m
}

// identity returns a service's token of ours.
func (m *mesh) identity(service string) *exchange.Answer {
	m.t.Helper()
	claims := m.services.Claims(m.now, map[string]any{"sub": service, "jti": "of-" + service})
	return m.mustExchange(exchange.Request{Role: "identity", SubjectToken: token.Secret(m.services.Sign(m.t, claims)), MountMaxTTL: time.Hour})
}

// act lets an actor act; nobody if it is nil.
func (m *mesh) act(role string, subject token.Secret, actor *exchange.Answer) (*exchange.Answer, error) {
	m.t.Helper()
	req := exchange.Request{Role: role, SubjectToken: subject, MountMaxTTL: time.Hour}
	if actor != nil {
		req.ActorToken, req.ActorTokenType = actor.AccessToken, exchange.TypeAccessToken
	}
	return m.exchange(req)
}

func (m *mesh) mustAct(role string, subject token.Secret, actor *exchange.Answer) *exchange.Answer {
	m.t.Helper()
	a, err := m.act(role, subject, actor)
	m.must(err)
	return a
}

func (m *mesh) lineage(a *exchange.Answer) token.Lineage {
	m.t.Helper()
	own, err := m.exchanger.Own(context.Background(), m.snapshot, m.records, a.AccessToken)
	m.must(err)
	return own.Lineage
}

// TX-22: whoever acts now stands outermost, and within it who acted before, to the
// letter; the subject stays, and so does the chain.
func TestActIsTheHistoryOfAChain(t *testing.T) {
	m := newMesh(t)
	first := m.mustAct("enter", m.subject(nil), m.identity("web"))
	second := m.mustAct("next", first.AccessToken, m.identity("shop"))
	third := m.mustAct("next", second.AccessToken, m.identity("stock"))
	const want = `{"act":{"act":{"iss":"` + ourIssuer + `","sub":"services:web"},"iss":"` + ourIssuer + `","sub":"services:shop"},"iss":"` + ourIssuer + `","sub":"services:stock"}`
	if got := string(mustJSON(t, m.claimsOf(third)["act"])); got != want {
		t.Errorf("act\ngot  %s\nwant %s", got, want)
	}
	for _, a := range []*exchange.Answer{first, second, third} {
		if a.Subject != "idp:ci-runner" || a.Chain != first.Chain {
			t.Errorf("subject %q, chain %q", a.Subject, a.Chain)
		}
	}
}

// What an actor comes from is kept apart from what the subject comes from: the
// one kills the token too, and does not count as hops.
func TestLineageHoldsTheActors(t *testing.T) {
	m := newMesh(t)
	web, shop := m.identity("web"), m.identity("shop")
	renewed := m.mustAct("renew", shop.AccessToken, nil)
	first := m.mustAct("enter", m.subject(nil), web)
	second := m.mustAct("next", first.AccessToken, renewed)
	got, start := m.lineage(second), m.lineage(first)

	actors := []string{m.lineage(web).Ancestors[0], web.ID, m.lineage(shop).Ancestors[0], shop.ID, renewed.ID}
	if !slices.Equal(got.Actors, actors) {
		t.Errorf("actors %v, want %v", got.Actors, actors)
	}
	ancestors := []string{start.Ancestors[0], first.ID}
	if !slices.Equal(got.Ancestors, ancestors) || got.Source != start.Source {
		t.Errorf("ancestors %v, want %v; source %s", got.Ancestors, ancestors, got.Source)
	}
	ref := func(role, key string) string {
		return m.snapshot.Roles[role].Ref() + " " + m.snapshot.Keys[key].Active().KeyID
	}
	var via []string
	for _, step := range got.Via {
		via = append(via, step.Role+" "+step.KeyID)
	}
	if want := []string{ref("identity", "identities"), ref("enter", "main"), ref("identity", "identities"), ref("renew", "main")}; !slices.Equal(via, want) {
		t.Errorf("via %v, want %v", via, want)
	}
}

// A delegated token lives no longer than that by which its actor acts, nor do its
// descendants.
func TestDelegatedTokenDiesWithItsActor(t *testing.T) {
	const (
		revoked = `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`
		deleted = `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`
	)
	for _, c := range []struct {
		name string
		kill func(m *mesh, identity, renewed *exchange.Answer)
		rule string
		text string
	}{
		{
			"the actor's own token is revoked", func(m *mesh, _, renewed *exchange.Answer) { m.revoke(renewed.ID) },
			"revoked", revoked,
		},
		{
			"what the actor's token was exchanged from is revoked", func(m *mesh, identity, _ *exchange.Answer) { m.revoke(identity.ID) },
			"revoked", revoked,
		},
		{
			"the actor's token of another issuer is revoked", func(m *mesh, identity, _ *exchange.Answer) { m.revoke(m.lineage(identity).Ancestors[0]) },
			"revoked", revoked,
		},
		{
			"the role that made the actor's token is deleted", func(m *mesh, _, _ *exchange.Answer) { delete(m.snapshot.Roles, "renew") },
			"role_deleted", deleted,
		},
		{
			"the role that made its ancestor is deleted and made again", func(m *mesh, _, _ *exchange.Answer) { m.snapshot.Roles["identity"].ID = "another" },
			"role_deleted", deleted,
		},
		{
			"the key that signed its ancestor is revoked", func(m *mesh, _, _ *exchange.Answer) { m.revokeKey("identities") },
			"key_revoked", `invalid_request: key_revoked: the key that signed the token, or one that it was exchanged from, was revoked`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			identity := m.identity("web")
			renewed := m.mustAct("renew", identity.AccessToken, nil)
			undelegated := m.mustExchange(m.request())
			first := m.mustAct("enter", m.subject(nil), renewed)
			second := m.mustAct("next", first.AccessToken, nil)
			for _, a := range []*exchange.Answer{first, second} {
				m.must(m.alive(a))
			}
			c.kill(m, identity, renewed)
			for _, dead := range []*exchange.Answer{first, second} {
				wantDenied(t, m.alive(dead), denial.Revocation, c.rule, c.text)
				_, err := m.act("next", dead.AccessToken, nil)
				wantDenied(t, err, denial.Revocation, c.rule, c.text)
			}
			if _, err := m.act("enter", m.subject(nil), renewed); err == nil {
				t.Error("the actor's token still lets act")
			}
			m.must(m.alive(undelegated))
		})
	}
}

// An actor's end is not that of another who acts for the same subject.
func TestActorsDieApart(t *testing.T) {
	m := newMesh(t)
	web, shop := m.identity("web"), m.identity("shop")
	subject := m.subject(nil)
	byWeb, byShop := m.mustAct("enter", subject, web), m.mustAct("enter", subject, shop)
	m.revoke(web.ID)
	wantDenied(t, m.alive(byWeb), denial.Revocation, "revoked", `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`)
	m.must(m.alive(byShop))
	m.must(m.alive(shop))
}

// The actor's life is a ceiling also for what is made later, without it.
func TestActorsEndIsKeptAcrossHops(t *testing.T) {
	m := newMesh(t)
	web := m.identity("web")
	m.now = m.now.Add(4 * time.Minute)
	first := m.mustAct("enter", m.subject(nil), web)
	second := m.mustAct("next", first.AccessToken, nil)
	if !first.Expires.Equal(web.Expires) || !second.Expires.Equal(web.Expires) {
		t.Errorf("live until %s and %s, the actor until %s", first.Expires, second.Expires, web.Expires)
	}
}

// The depth counts all who ever acted, whichever roles they came through.
func TestDepthIsKeptAcrossHops(t *testing.T) {
	m := newMesh(t)
	m.snapshot.Roles["next"].MaxDelegationDepth = 2
	first := m.mustAct("enter", m.subject(nil), m.identity("web"))
	second := m.mustAct("next", first.AccessToken, m.identity("shop"))
	_, err := m.act("next", second.AccessToken, m.identity("stock"))
	wantDenied(t, err, denial.Decide, "max_delegation_depth", `invalid_request: max_delegation_depth: the token would name 3 actors: max_delegation_depth is 2`)
	m.mustAct("next", second.AccessToken, nil)
	m.snapshot.Config.MaxDelegationDepth = 1
	_, err = m.act("next", second.AccessToken, nil)
	wantDenied(t, err, denial.Decide, "max_delegation_depth", `invalid_request: max_delegation_depth: the token would name 2 actors: max_delegation_depth of config is 1`)
}

// TX-23: to leave the actor out on the next hop does not make the user of a service.
func TestActorCannotBeDropped(t *testing.T) {
	m := newMesh(t)
	first := m.mustAct("enter", m.subject(nil), m.identity("web"))
	next := m.snapshot.Roles["next"]
	kept := m.mustAct("next", first.AccessToken, nil)
	if got := names(kept.Acting); !slices.Equal(got, []string{"services:web@us"}) {
		t.Errorf("act is %v", got)
	}
	if got, want := m.lineage(kept).Actors, m.lineage(first).Actors; !slices.Equal(got, want) {
		t.Errorf("lineage of the actors is %v, was %v", got, want)
	}
	for _, c := range []struct {
		name  string
		edit  func()
		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"a role that would not let it act", func() { next.BoundActors = []string{"services:shop"} },
			denial.Actor, "bound_actors", `invalid_request: actor: ["services:web"] is not among the bound_actors of the role "next"`,
		},
		{
			"a role that takes actors from elsewhere", func() { next.ActorIssuers = []string{"services"} },
			denial.Actor, "actor_issuers", `invalid_request: actor: "act" claim: the current actor is not of an issuer that the role "next" accepts actors from`,
		},
		{
			"a role that forbids delegation", func() {
				next.Delegation, next.ActorIssuers, next.BoundActors = policy.DelegationForbidden, nil, nil
			},
			denial.Subject, "act", `invalid_request: subject: "act" claim: the token is already a delegation, and the role does not allow delegation`,
		},
	} {
		c.edit()
		_, err := m.act("next", first.AccessToken, nil)
		wantDenied(t, err, c.stage, c.rule, c.text)
	}
	next.Delegation = policy.DelegationRequired
	_, err := m.act("next", first.AccessToken, nil)
	wantDenied(t, err, denial.Parse, "actor_token", `invalid_request: actor_token: is required by the role "next"`)
}

// An actor that acted by its own issuer's token, or as the caller, goes on acting
// under the name that the next role knows it by.
func TestCurrentActorIsNamedByItsIssuer(t *testing.T) {
	m := newMesh(t)
	byService := m.snapshot.Roles["enter"]
	byService.ActorIssuers = []string{"services"}
	web := token.Secret(m.services.Sign(t, m.services.Claims(m.now, map[string]any{"sub": "web"})))
	first := m.mustExchange(exchange.Request{Role: "enter", SubjectToken: m.subject(nil), ActorToken: web, ActorTokenType: exchange.TypeJWT, MountMaxTTL: time.Hour})
	next := m.snapshot.Roles["next"]
	_, err := m.act("next", first.AccessToken, nil)
	wantDenied(t, err, denial.Actor, "actor_issuers", `invalid_request: actor: "act" claim: the current actor is not of an issuer that the role "next" accepts actors from`)
	next.ActorIssuers, next.BoundActors = []string{"services"}, []string{"services:web"}
	if got := names(m.mustAct("next", first.AccessToken, nil).Acting); !slices.Equal(got, []string{"web@services"}) {
		t.Errorf("act is %v", got)
	}
	next.BoundActors = []string{"web"}
	_, err = m.act("next", first.AccessToken, nil)
	wantDenied(t, err, denial.Actor, "bound_actors", `invalid_request: actor: ["services:web"] is not among the bound_actors of the role "next"`)

	m.addRole("staff", func(r *policy.Role) {
		r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceCaller, []string{"entity:e-1"}
	})
	byAlice := m.mustExchange(exchange.Request{Role: "staff", SubjectToken: m.subject(nil), Caller: is(alice()), MountMaxTTL: time.Hour})
	next.ActorIssuers, next.BoundActors = []string{policy.Self}, []string{"entity:e-1"}
	if got := names(m.mustAct("next", byAlice.AccessToken, nil).Acting); !slices.Equal(got, []string{"entity:e-1@us"}) {
		t.Errorf("act is %v", got)
	}
	if lineage := m.lineage(byAlice); len(lineage.Actors) != 0 || len(lineage.Via) != 0 {
		t.Errorf("a caller has no token: actors %v, via %v", lineage.Actors, lineage.Via)
	}
}

func (m *mesh) takesActorsOf(issuers ...string) { m.snapshot.Roles["enter"].ActorIssuers = issuers }

// plainJWT returns an identity that is no access token.
func (m *mesh) plainJWT() token.Secret {
	m.t.Helper()
	m.snapshot.Roles["identity"].Type = "JWT"
	return m.identity("web").AccessToken
}

// ambiguous returns a token of ours for which both self and an issuer of workloads
// could be meant.
func (m *mesh) ambiguous() token.Secret {
	m.t.Helper()
	m.addIssuer("workloads", m.services, func(c *issuer.Config) {
		c.Type, c.BoundIssuer, c.JWKS = issuer.SPIFFE, "spiffe://mesh", strings.ReplaceAll(c.JWKS, `"use":"sig"`, `"use":"jwt-svid"`)
	})
	m.takesActorsOf(policy.Self, "workloads")
	identity := m.snapshot.Roles["identity"]
	identity.Subject = `"spiffe://mesh/" + subject.sub`
	m.must(identity.Compile())
	return m.identity("web").AccessToken
}

func TestOwnActorTokenRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(m *mesh, req *exchange.Request, web *exchange.Answer)

		stage      denial.Stage
		rule, text string
	}{
		{
			"a role that takes actors of other issuers alone", func(m *mesh, _ *exchange.Request, _ *exchange.Answer) { m.takesActorsOf("services") },
			denial.Actor, "actor_issuers", `invalid_request: actor: "iss" claim: ["https://vault.example/v1/token-exchange"] is not an issuer that the role "enter" accepts`,
		},
		{
			"JW-10 a token of ours that is no access token", func(m *mesh, req *exchange.Request, _ *exchange.Answer) { req.ActorToken = m.plainJWT() },
			denial.Actor, "typ", `invalid_request: actor: header "typ" "JWT": of this engine's tokens only access tokens (at+jwt) are accepted back`,
		},
		{
			"TX-5 a token of ours declared as an ID token", func(_ *mesh, req *exchange.Request, _ *exchange.Answer) { req.ActorTokenType = exchange.TypeIDToken },
			denial.Parse, "actor_token_type", `invalid_request: actor_token_type: this engine issues no ID tokens: use "urn:ietf:params:oauth:token-type:access_token"`,
		},
		{
			"one whose subject makes it look like a workload's of another issuer", func(m *mesh, req *exchange.Request, _ *exchange.Answer) { req.ActorToken = m.ambiguous() },
			denial.Actor, "actor_issuers", `invalid_request: actor: the token is ambiguous: it may be one of this engine or of the issuer "workloads"`,
		},
		{
			"an expired one", func(m *mesh, _ *exchange.Request, web *exchange.Answer) { m.now = web.Expires },
			denial.Actor, "exp", `invalid_request: actor: "exp" claim expired at 2027-01-15T08:05:00Z`,
		},
		{
			"a revoked one", func(m *mesh, _ *exchange.Request, web *exchange.Answer) { m.revoke(web.ID) },
			denial.Revocation, "revoked", `invalid_request: revoked: of the actor: the token, or one that it was exchanged from, was revoked`,
		},
		{
			"one whose key is not published any more", func(m *mesh, _ *exchange.Request, _ *exchange.Answer) { delete(m.snapshot.Keys, "identities") },
			denial.Actor, "kid", `invalid_request: actor: "kid" is not a published key of this engine`,
		},
		{
			"one that another acts with", func(m *mesh, req *exchange.Request, web *exchange.Answer) {
				req.ActorToken = m.mustAct("enter", m.subject(nil), web).AccessToken
			},
			denial.Actor, "act", `invalid_request: actor: "act" claim: the actor must act itself, and its token is for another to act with`,
		},
		{
			"one that the subject did not name", func(m *mesh, req *exchange.Request, _ *exchange.Answer) {
				req.SubjectToken = m.subject(map[string]any{"may_act": map[string]any{"iss": servicesURL, "sub": "web"}})
			},
			denial.Actor, "may_act", `invalid_request: actor: "may_act" claim of the subject token names another actor`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMesh(t)
			web := m.identity("web")
			req := exchange.Request{Role: "enter", SubjectToken: m.subject(nil), ActorToken: web.AccessToken, ActorTokenType: exchange.TypeAccessToken, MountMaxTTL: time.Hour}
			c.edit(m, &req, web)
			_, err := m.exchange(req)
			wantDenied(t, err, c.stage, c.rule, c.text)
		})
	}
}

// A subject may name an actor by what this engine calls it; each further member
// is held against the actor's token, so that it can name the role too.
func TestMayActNamesAnOwnActor(t *testing.T) {
	m := newMesh(t)
	web := m.identity("web")
	for _, c := range []struct {
		clientID string
		allowed  bool
	}{{"role:identity", true}, {"role:renew", false}} {
		may := map[string]any{"iss": ourIssuer, "sub": "services:web", "client_id": c.clientID}
		a, err := m.act("enter", m.subject(map[string]any{"may_act": may}), web)
		if (err == nil) != c.allowed {
			t.Errorf("client_id %s: %v", c.clientID, err)
		}
		if a != nil && m.claimsOf(a).Has("may_act") {
			t.Error("may_act went on")
		}
	}
}

// What one token depends on is bounded, however its actors came by theirs.
func TestActorsTokensAreBounded(t *testing.T) {
	m := newMesh(t)
	m.snapshot.Config.MaxHops, m.snapshot.Config.MaxDelegationDepth = 16, 8
	web := m.identity("web")
	for range 15 {
		web = m.mustAct("renew", web.AccessToken, nil)
	}
	depends := func(a *exchange.Answer) int { return len(m.lineage(a).Actors) }
	a := m.mustAct("enter", m.subject(nil), web)
	for want := 17; depends(a) < 3*17; want += 17 {
		if got := depends(a); got != want {
			t.Fatalf("depends on %d tokens, want %d", got, want)
		}
		a = m.mustAct("next", a.AccessToken, web)
	}
	_, err := m.act("next", a.AccessToken, web)
	wantDenied(t, err, denial.Decide, "max_delegation_depth", `invalid_request: max_delegation_depth: the token would depend on 68 tokens of actors: the limit is 64`)
}

// The lineage of a delegated token names nobody, and its pseudonyms are those of
// the mount.
func TestLineageOfActorsNamesNobody(t *testing.T) {
	m := newMesh(t)
	first := m.mustAct("enter", m.subject(nil), m.identity("web"))
	lineage := fmt.Sprint(m.lineage(first).Actors)
	if strings.Contains(lineage, "web") || !strings.Contains(lineage, "ext:") {
		t.Errorf("actors %s", lineage)
	}
}
