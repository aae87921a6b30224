package exchange_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// row is one decision: a sentence, what is different from a world in which all
// is well, and what comes of it.
type row struct {
	sentence string
	differs  edit
	want     outcome
	// noClaims says why claims cannot stand for the tokens of this row in an
	// explanation; "" if they can.
	noClaims string
}

// scene is the world of one row. The role is "orders"; a service that may act is
// "api" of the issuer "services".
type scene struct {
	*world
	services *issuertest.Issuer
	role     *policy.Role
	who      holder
	actor    *holder // nil if nobody acts by a token
	caller   *exchange.Caller
	req      exchange.Request
	late     []func(*exchange.Request)
}

// holder is the token that somebody shows: one that an issuer signs, or a ready one.
type holder struct {
	by     *issuertest.Issuer
	claims map[string]any // that differ from those of a good token
	ready  token.Secret
}

func (h *holder) token(w *world) token.Secret {
	if h.ready != "" {
		return h.ready
	}
	return token.Secret(h.by.Sign(w.t, h.by.Claims(w.now, h.claims)))
}

// edit changes one thing.
type edit func(*scene)

const servicesURL = "https://services.example"

func newScene(t testing.TB, differs edit) *scene {
	t.Helper()
	s := &scene{world: newWorld(t), services: issuertest.New(t, servicesURL)}
	s.addIssuer("services", s.services, func(*issuer.Config) {})
	s.role = s.snapshot.Roles["orders"]
	s.who = holder{by: s.idp, claims: map[string]any{}}
	s.req = exchange.Request{Role: "orders", MountMaxTTL: 768 * time.Hour}
	differs(s)
	s.must(s.role.Validate())
	if s.role.SubjectSource == policy.SourceToken {
		s.req.SubjectToken = s.who.token(s.world)
	}
	if s.actor != nil {
		s.req.ActorToken, s.req.ActorTokenType = s.actor.token(s.world), exchange.TypeJWT
	}
	s.req.Caller = is(s.caller)
	for _, change := range s.late {
		change(&s.req)
	}
	return s
}

func is(c *exchange.Caller) func(context.Context) (*exchange.Caller, error) {
	return func(context.Context) (*exchange.Caller, error) { return c, nil }
}

// The vocabulary of the rows.

func nothing(*scene) {}

func with(edits ...edit) edit {
	return func(s *scene) {
		for _, e := range edits {
			e(s)
		}
	}
}

func role(change func(*policy.Role)) edit { return func(s *scene) { change(s.role) } }

func mount(change func(*exchange.Config)) edit { return func(s *scene) { change(s.snapshot.Config) } }

func asks(change func(*exchange.Request)) edit {
	return func(s *scene) { s.late = append(s.late, change) }
}

// subject sets a claim of the subject token; nil leaves it out.
func subject(claim string, value any) edit { return func(s *scene) { s.who.claims[claim] = value } }

// subjectOf lets another issuer sign the subject token.
func subjectOf(by func(*scene) *issuertest.Issuer) edit { return func(s *scene) { s.who.by = by(s) } }

func theServices(s *scene) *issuertest.Issuer { return s.services }
func theUsers(s *scene) *issuertest.Issuer    { return s.idp }

func calledBy(c *exchange.Caller) edit { return func(s *scene) { s.caller = c } }

// alice is a Vault entity.
func alice() *exchange.Caller {
	return &exchange.Caller{ID: "e-1", Name: "alice", Metadata: map[string]string{"team": "platform"}, Groups: []string{"dev", "on-call"}}
}

// bound binds a claim to values, as text.
func bound(claim string, to any) edit {
	return role(func(r *policy.Role) { r.BoundClaims = map[string]any{claim: to} })
}

func glob() edit { return role(func(r *policy.Role) { r.BoundClaimsType = policy.MatchGlob }) }

func condition(c string) edit { return role(func(r *policy.Role) { r.Condition = c }) }

func subjectIs(expression string) edit { return role(func(r *policy.Role) { r.Subject = expression }) }

func claimIs(name, expression string) edit {
	return role(func(r *policy.Role) { r.Claims = map[string]string{name: expression} })
}

// delegates lets the service "api" act; it does so only if a token of it is shown.
func delegates(how string) edit {
	return role(func(r *policy.Role) {
		r.Delegation, r.ActorIssuers, r.BoundActors = how, []string{"services"}, []string{"services:api"}
	})
}

// actor sets claims of an actor token of the service "api".
func actor(claims map[string]any) edit {
	return func(s *scene) {
		s.actor = &holder{by: s.services, claims: map[string]any{"sub": "api", "jti": "actor-1"}}
		maps.Copy(s.actor.claims, claims)
	}
}

func actorOf(by func(*scene) *issuertest.Issuer) edit { return func(s *scene) { s.actor.by = by(s) } }

// delegated is the world in which the service "api" does act.
func delegated(edits ...edit) edit {
	return with(delegates(policy.DelegationRequired), actor(nil), with(edits...))
}

// callerActs is the world in which alice acts by her Vault token.
func callerActs(edits ...edit) edit {
	return with(role(func(r *policy.Role) {
		r.Delegation, r.ActorSource, r.BoundActors = policy.DelegationRequired, policy.SourceCaller, []string{"entity:e-1"}
	}), calledBy(alice()), with(edits...))
}

// callerIsSubject is the world in which alice herself is the subject.
func callerIsSubject(edits ...edit) edit {
	return with(role(func(r *policy.Role) {
		r.SubjectSource, r.Issuers, r.BoundSubject = policy.SourceCaller, nil, ""
	}), calledBy(alice()), with(edits...))
}

// ownSubject is the world in which the subject token is one of ours, with scopes.
func ownSubject(scopes ...string) edit {
	return func(s *scene) {
		s.addRole("first", func(*policy.Role) {})
		req := s.request()
		req.Role, req.Scope = "first", scopes
		s.who.ready = s.mustExchange(req).AccessToken
		s.role.Issuers, s.role.BoundSubject, s.role.BoundAudiences = []string{policy.Self}, "", []string{orders}
	}
}

// ownActor is the world in which "api" acts by a token of ours.
func ownActor(s *scene) {
	s.addRole("identity", func(r *policy.Role) {
		r.Issuers, r.BoundSubject, r.AllowedAudiences, r.DefaultAudience = []string{"services"}, "api", []string{ourIssuer, orders}, ourIssuer
	})
	signed := token.Secret(s.services.Sign(s.t, s.services.Claims(s.now, map[string]any{"sub": "api"})))
	first := s.mustExchange(exchange.Request{Role: "identity", SubjectToken: signed, MountMaxTTL: time.Hour})
	with(delegates(policy.DelegationRequired), actor(nil))(s)
	s.role.ActorIssuers, s.actor.ready = []string{policy.Self}, first.AccessToken
}

// outcome is a refusal, if it has a rule, or what the token says.
type outcome struct {
	stage denial.Stage
	rule  string
	text  string

	sub    string
	aud    []string
	scope  []string
	act    []string // "sub@issuer", the current actor first
	life   time.Duration
	claims map[string]any // further ones, that an exchange does not have by itself
}

func refused(stage denial.Stage, rule, text string) outcome {
	return outcome{stage: stage, rule: rule, text: text}
}

// granted is what a good request comes to, but for what differs.
func granted(differ ...func(*outcome)) outcome {
	o := outcome{sub: "idp:ci-runner", aud: []string{orders}, scope: []string{"orders:read"}, life: 5 * time.Minute, claims: map[string]any{}}
	for _, d := range differ {
		d(&o)
	}
	return o
}

func sub(want string) func(*outcome)         { return func(o *outcome) { o.sub = want } }
func aud(want ...string) func(*outcome)      { return func(o *outcome) { o.aud = want } }
func scope(want ...string) func(*outcome)    { return func(o *outcome) { o.scope = want } }
func act(want ...string) func(*outcome)      { return func(o *outcome) { o.act = want } }
func life(want time.Duration) func(*outcome) { return func(o *outcome) { o.life = want } }

func claim(name string, want any) func(*outcome) {
	return func(o *outcome) { o.claims[name] = want }
}

// always are the claims that every token has, and those that outcome knows.
var always = []string{"iss", "sub", "aud", "client_id", "iat", "exp", "jti", "txn", "lineage", "scope", "act"}

func (o outcome) check(t *testing.T, s *scene, answer *exchange.Answer, err error) {
	t.Helper()
	if o.rule != "" {
		if answer != nil {
			t.Fatalf("a token was minted: want a refusal by %q", o.rule)
		}
		wantDenied(t, err, o.stage, o.rule, o.text)
		return
	}
	if err != nil {
		t.Fatalf("refused: %s", err)
	}
	claims := s.claimsOf(answer)
	got := outcome{sub: answer.Subject, aud: answer.Audience, scope: answer.Scope, act: names(answer.Acting), life: answer.ExpiresIn(), claims: further(claims)}
	if got.says() != o.says() {
		t.Errorf("\ngot  %s\nwant %s", got.says(), o.says())
	}
	if acting, err := token.ParseActing(claims, ""); err != nil || !slices.Equal(acting, answer.Acting) {
		t.Errorf("\"act\" is %v (%v), the answer says %v", claims["act"], err, answer.Acting)
	}
}

func (o outcome) says() string {
	return fmt.Sprintf("sub %q aud %q scope %q act %q lives %s further %v", o.sub, o.aud, o.scope, o.act, o.life, o.claims)
}

// further are the claims that a token does not have by itself.
func further(claims token.Claims) map[string]any {
	out := map[string]any{}
	for name, v := range claims {
		if !slices.Contains(always, name) {
			out[name] = v
		}
	}
	return out
}

// names writes actors as "sub@issuer".
func names(acting token.Acting) []string {
	short := map[string]string{servicesURL: "services", "https://idp.example": "idp", ourIssuer: "us"}
	var out []string
	for _, a := range acting {
		out = append(out, a.Subject+"@"+short[a.Issuer])
	}
	return out
}

// question is one way to ask for an explanation of what a scene comes to.
type question struct {
	way string
	exchange.Question
}

// questions asks in every way in which claims can stand for tokens.
func (s *scene) questions(claims bool) []question {
	asked := exchange.Question{Request: s.req}
	out := []question{{"by tokens", asked}}
	if !claims {
		return out
	}
	bySubject, ofSubject := s.claimsInstead(asked, true)
	if ofSubject {
		out = append(out, question{"by subject_claims", bySubject})
	}
	if byActor, ok := s.claimsInstead(asked, false); ok {
		out = append(out, question{"by actor_claims", byActor})
	}
	if both, ok := s.claimsInstead(bySubject, false); ok && ofSubject {
		out = append(out, question{"by claims alone", both})
	}
	return out
}

// claimsInstead puts claims in the place of a token, or of the caller; whoever
// asks is then another caller.
func (s *scene) claimsInstead(q exchange.Question, ofSubject bool) (exchange.Question, bool) {
	byCaller := s.role.SubjectSource == policy.SourceCaller
	shown, shownType, claims := &q.SubjectToken, &q.SubjectTokenType, &q.SubjectClaims
	if !ofSubject {
		byCaller = s.role.Delegation != policy.DelegationForbidden && s.role.ActorSource == policy.SourceCaller
		shown, shownType, claims = &q.ActorToken, &q.ActorTokenType, &q.ActorClaims
	}
	switch {
	case byCaller && s.caller != nil:
		*claims = decoded(s.t, mustJSON(s.t, s.caller.Claims()))
		q.Caller = is(&exchange.Caller{ID: "e-2", Name: "whoever is on call"})
	case *shown != "":
		*claims = decoded(s.t, payload(s.t, *shown))
	default:
		return q, false
	}
	*shown, *shownType = "", ""
	return q, true
}

// payload reads a token without a check, as whoever has it from a log would.
func payload(t testing.TB, signed token.Secret) []byte {
	t.Helper()
	data, err := base64.RawURLEncoding.DecodeString(strings.Split(signed.Reveal(), ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func decoded(t testing.TB, data []byte) token.Claims {
	t.Helper()
	claims, err := token.ParseClaims(data)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// explain asks, and checks what must hold of every explanation.
func (w *world) explain(t *testing.T, q exchange.Question) *exchange.Explanation {
	t.Helper()
	revoked := w.revoked.Len()
	e := w.exchanger.Explain(context.Background(), w.snapshot, q)
	if w.revoked.Len() != revoked {
		t.Error("the explanation has written a revocation")
	}
	checkSteps(t, e)
	if unverified := q.SubjectClaims != nil || q.ActorClaims != nil; e.Unverified != unverified {
		t.Errorf("unverified is %v", e.Unverified)
	}
	if (e.Claims == nil) != (e.Refusal != nil) {
		t.Errorf("claims %v beside the refusal %v", e.Claims, e.Refusal)
	}
	printed := fmt.Sprintf("%+v", *e) + string(mustJSON(t, e))
	for _, secret := range []string{q.SubjectToken.Reveal(), q.ActorToken.Reveal(), "eyJ"} {
		if secret != "" && strings.Contains(printed, secret) {
			t.Errorf("the explanation holds a token: %s", printed)
		}
	}
	return e
}

// checkSteps: the last step failed if the exchange would be refused, and no other did.
func checkSteps(t *testing.T, e *exchange.Explanation) {
	t.Helper()
	if len(e.Steps) == 0 {
		t.Fatal("no step was told")
	}
	for i, step := range e.Steps {
		last := i == len(e.Steps)-1
		if want := !last || e.Refusal == nil; step.Passed != want {
			t.Errorf("step %d of %d, passed %v: %+v", i+1, len(e.Steps), step.Passed, step)
		}
		if step.Stage == "" || step.Rule == "" || step.Detail == "" {
			t.Errorf("step %d says too little: %+v", i+1, step)
		}
	}
	if last := e.Steps[len(e.Steps)-1]; e.Refusal != nil && (last.Stage != e.Refusal.Stage || last.Rule != e.Refusal.Rule || !strings.HasPrefix(last.Detail, e.Refusal.Reason)) {
		t.Errorf("the last step %+v is not the refusal %+v", last, e.Refusal)
	}
}

// same checks that an explanation comes to what the exchange came to.
func (s *scene) same(t *testing.T, e *exchange.Explanation, answer *exchange.Answer, err error) {
	t.Helper()
	refusal := denial.From(err)
	switch {
	case refusal == nil && e.Refusal != nil:
		t.Fatalf("the exchange was allowed, the explanation refuses: %s", e.Refusal)
	case refusal == nil:
		if got, want := compared(t, e.Claims, e.Unverified), compared(t, s.claimsOf(answer), e.Unverified); got != want {
			t.Errorf("claims\nexplained %s\nminted    %s", got, want)
		}
	case e.Refusal == nil:
		t.Fatalf("the exchange was refused (%s), the explanation allows", err)
	default:
		got, want := e.Refusal, refusal
		if got.Code != want.Code || got.Stage != want.Stage || got.Rule != want.Rule || got.Reason != want.Reason {
			t.Errorf("\nexplained %s at %s by %s: %s\nrefused   %s at %s by %s: %s",
				got.Code, got.Stage, got.Rule, got.Reason, want.Code, want.Stage, want.Rule, want.Reason)
		}
	}
}

// compared writes claims without what is random, or is not told of claims that
// nobody has verified.
func compared(t testing.TB, claims token.Claims, unverified bool) string {
	t.Helper()
	c := decoded(t, mustJSON(t, claims))
	delete(c, "jti")
	delete(c, "txn")
	if unverified {
		delete(c, "lineage")
	}
	return string(mustJSON(t, c))
}

// revoke takes a token back by its id.
func (w *world) revoke(id string) { w.revoked.Add(revocation.Token(id, w.now.Add(time.Hour))) }

// revokeKey takes a key's active version back, in an emergency.
func (w *world) revokeKey(name string) {
	w.t.Helper()
	key, err := w.snapshot.Keys[name].Revoke("", w.now)
	w.must(err)
	w.snapshot.Keys[name] = key
}
