package exchange_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// claimsFor are those of a good subject token, with some replaced.
func (w *world) claimsFor(replaced map[string]any) token.Claims {
	w.t.Helper()
	return decoded(w.t, mustJSON(w.t, w.idp.Claims(w.now, replaced)))
}

// wantRefusal checks the refusal of an explanation.
func wantRefusal(t *testing.T, e *exchange.Explanation, stage denial.Stage, rule, text string) {
	t.Helper()
	if e.Refusal == nil {
		t.Fatalf("allowed: %v", e.Claims)
	}
	wantDenied(t, e.Refusal, stage, rule, text)
}

// rules are those of the steps, in order.
func rules(e *exchange.Explanation) []string {
	var out []string
	for _, s := range e.Steps {
		out = append(out, s.Rule)
	}
	return out
}

func TestExplainRefusesWhatAnswersNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*world, *exchange.Question)

		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"a subject token and claims in its place", func(w *world, q *exchange.Question) { q.SubjectClaims = w.claimsFor(nil) },
			denial.Parse, "subject_claims", `invalid_request: subject_claims: stands for a token: leave the token out`,
		},
		{
			"the same, with claims that are empty", func(_ *world, q *exchange.Question) { q.SubjectClaims = token.Claims{} },
			denial.Parse, "subject_claims", `invalid_request: subject_claims: stands for a token: leave the token out`,
		},
		{
			"an actor token and claims in its place", func(w *world, q *exchange.Question) {
				q.ActorToken, q.ActorTokenType, q.ActorClaims = w.subject(nil), exchange.TypeJWT, w.claimsFor(nil)
			},
			denial.Parse, "actor_claims", `invalid_request: actor_claims: stands for a token: leave the token out`,
		},
		{
			"a type that a token with these claims cannot have", func(w *world, q *exchange.Question) {
				q.SubjectToken, q.SubjectTokenType, q.SubjectClaims = "", exchange.TypeAccessToken, w.claimsFor(nil)
			},
			denial.Parse, "subject_token_type",
			`invalid_request: subject_token_type: "urn:ietf:params:oauth:token-type:access_token" means a token that this engine issued: use "urn:ietf:params:oauth:token-type:jwt"`,
		},
		{
			"the type of a token that is not there, nor its claims", func(_ *world, q *exchange.Question) {
				q.SubjectToken, q.SubjectTokenType = "", exchange.TypeJWT
			},
			denial.Parse, "subject_token_type", `invalid_request: subject_token_type: is given without subject_token`,
		},
		{
			"claims that are empty", func(_ *world, q *exchange.Question) { q.SubjectToken, q.SubjectClaims = "", token.Claims{} },
			denial.Subject, "issuers", `invalid_request: subject: "iss" claim: [""] is not an issuer that the role "orders" accepts`,
		},
		{
			"neither token nor claims", func(_ *world, q *exchange.Question) { q.SubjectToken = "" },
			denial.Parse, "subject_token", `invalid_request: subject_token: is required by the role "orders"`,
		},
		{
			"a mount that is not configured", func(w *world, _ *exchange.Question) { w.snapshot.Config = nil },
			denial.FindRole, "config", `invalid_request: config: the mount is not configured: write config first`,
		},
		{"an unknown role", func(_ *world, q *exchange.Question) { q.Role = "nobody" }, denial.FindRole, "role", `invalid_request: role: the role ["nobody"] does not exist`},
		{"no role", func(_ *world, q *exchange.Question) { q.Role = "" }, denial.FindRole, "role", `invalid_request: role: is required`},
		{
			"actor_claims for a role without delegation", func(w *world, q *exchange.Question) { q.ActorClaims = w.claimsFor(nil) },
			denial.Actor, "delegation", `invalid_request: actor: the role "orders" does not allow delegation: leave actor_token out`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			q := exchange.Question{Request: w.request()}
			c.edit(w, &q)
			wantRefusal(t, w.explain(t, q), c.stage, c.rule, c.text)
		})
	}
}

// The steps are told in the order in which the pipeline takes them, up to the one
// that refused.
func TestExplainTellsTheStepsInOrder(t *testing.T) {
	all := []string{
		"role", "form", "issuers", "signature", "claims", "bound_subject", "bound_audiences", "bound_claims",
		"form", "actor_issuers", "signature", "claims", "bound_actors", "may_act",
		"allowed_audiences", "allowed_scopes", "max_hops", "max_delegation_depth", "exp", "condition", "size", "format",
	}
	everything := with(
		role(func(r *policy.Role) { r.BoundAudiences = []string{"https://vault.example"} }),
		bound("team", "red"), subject("team", "red"), condition(`subject.team == "red"`),
		delegated(subject("may_act", map[string]any{"iss": servicesURL, "sub": "api"})),
	)
	s := newScene(t, everything)
	e := s.explain(t, exchange.Question{Request: s.req})
	if got := rules(e); !slices.Equal(got, all) {
		t.Errorf("steps\ngot  %q\nwant %q", got, all)
	}
	for _, c := range []struct {
		name    string
		differs edit
		passed  int // of all
	}{
		{"refused by its issuer", subject("iss", "https://evil.example"), 2},
		{"refused by its end", subject("exp", 1), 3},
		{"refused by a bound claim", subject("team", "blue"), 7},
		{"refused by may_act", subject("may_act", map[string]any{"sub": "x"}), 13},
		{"refused by the audience", asks(func(r *exchange.Request) { r.Audience = []string{"urn:x"} }), 14},
		{"refused by the condition", condition(`subject.team == "green"`), 19},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, with(everything, c.differs))
			e := s.explain(t, exchange.Question{Request: s.req})
			if e.Refusal == nil {
				t.Fatal("allowed")
			}
			got := rules(e)
			if !slices.Equal(got[:len(got)-1], all[:c.passed]) {
				t.Errorf("passed %q, want %q", got[:len(got)-1], all[:c.passed])
			}
		})
	}
}

// A default scope that is left out refuses nothing, and is told.
func TestExplainTellsWhatIsLeftOut(t *testing.T) {
	s := newScene(t, subject("scope", "orders:write"))
	e := s.explain(t, exchange.Question{Request: s.req})
	want := denial.Step{
		Stage: denial.Decide, Rule: "subject_scopes", Passed: true,
		Detail: `the default scope "orders:read" is left out: the subject token does not have the scope "orders:read", and subject_scopes is "intersect"`,
	}
	if e.Refusal != nil || !slices.Contains(e.Steps, want) {
		t.Errorf("refusal %v, steps %+v", e.Refusal, e.Steps)
	}
}

// Whoever is on call asks about a caller by what is known of it; who asks does not
// matter.
func TestExplainCallerByClaims(t *testing.T) {
	known := token.Claims{"sub": "e-1", "name": "alice", "metadata": map[string]any{"team": "platform", "level": 7}, "groups": []any{"dev", 7}}
	for _, c := range []struct {
		name    string
		claims  token.Claims
		differs edit
		sub     string // "" if refused
		rule    string
	}{
		{"its id", known, nothing, "entity:e-1", ""},
		{"the group that the role binds", known, bound("groups", "dev"), "entity:e-1", ""},
		{"the metadata that the role binds", known, bound("/metadata/team", "platform"), "entity:e-1", ""},
		{"what Vault cannot hold is left out", known, condition(`!("level" in caller.metadata) && caller.groups == ["dev"]`), "entity:e-1", ""},
		{"a condition on the caller", known, condition(`caller.name == "alice" && caller.id == "e-1" && "dev" in caller.groups && caller.metadata.team == "platform"`), "entity:e-1", ""},
		{"without its id, nobody is known", token.Claims{"name": "alice"}, nothing, "", "subject_source"},
		{"an id that is no text is none", token.Claims{"sub": true}, nothing, "", "subject_source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(t, callerIsSubject(c.differs))
			s.req.Caller = is(&exchange.Caller{ID: "e-2", Name: "whoever is on call", Groups: []string{"dev"}})
			e := s.explain(t, exchange.Question{Request: s.req, SubjectClaims: c.claims})
			if got, _ := e.Claims["sub"].(string); got != c.sub || c.rule != "" && (e.Refusal == nil || e.Refusal.Rule != c.rule) {
				t.Errorf("subject %q, refusal %v", got, e.Refusal)
			}
		})
	}
}

// Our own tokens by claims: what they say is held against the mount as it is, as
// far as claims tell.
func TestExplainOwnTokenByClaims(t *testing.T) {
	const dead = `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`
	for _, c := range []struct {
		name string
		edit func(w *world, parent *exchange.Answer, claims token.Claims)

		stage denial.Stage // "" if allowed
		rule  string
		text  string
	}{
		{"as it was issued", func(*world, *exchange.Answer, token.Claims) {}, "", "", ""},
		{
			"revoked", func(w *world, _ *exchange.Answer, c token.Claims) { w.revoke(c["jti"].(string)) },
			denial.Revocation, "revoked", dead,
		},
		{
			"its parent revoked", func(w *world, parent *exchange.Answer, _ token.Claims) { w.revoke(parent.ID) },
			denial.Revocation, "revoked", dead,
		},
		{
			"its parent's role deleted", func(w *world, _ *exchange.Answer, _ token.Claims) { delete(w.snapshot.Roles, "orders") },
			denial.Revocation, "role_deleted", `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`,
		},
		{
			"its parent's key revoked", func(w *world, _ *exchange.Answer, _ token.Claims) { w.revokeKey("main") },
			denial.Revocation, "key_revoked", `invalid_request: key_revoked: the key that signed the token, or one that it was exchanged from, was revoked`,
		},
		{
			"expired", func(w *world, _ *exchange.Answer, _ token.Claims) { w.now = w.now.Add(time.Hour) },
			denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:05:00Z`,
		},
		{
			"without what every token of ours has", func(_ *world, _ *exchange.Answer, c token.Claims) { delete(c, "lineage") },
			denial.Subject, "claims", `invalid_request: subject: lineage is missing: these are not all the claims of an access token of this engine (introspection leaves some out)`,
		},
		{
			"for another audience", func(_ *world, _ *exchange.Answer, c token.Claims) { c["aud"] = "urn:other" },
			denial.Subject, "bound_audiences", `invalid_request: subject: "aud" claim: the role "again" expects one of ["https://orders.example", "https://billing.example"] but got ["urn:other"]`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			parent := w.mustExchange(w.request())
			child, err := w.again(parent)
			w.must(err)
			claims := w.claimsOf(child)
			c.edit(w, parent, claims)
			e := w.explain(t, exchange.Question{Request: exchange.Request{Role: "again", MountMaxTTL: time.Hour}, SubjectClaims: claims})
			if c.stage != "" {
				wantRefusal(t, e, c.stage, c.rule, c.text)
				return
			}
			if e.Refusal != nil || e.Claims["sub"] != "idp:ci-runner" || e.Claims["txn"] != child.Chain {
				t.Errorf("refusal %v, claims %v", e.Refusal, e.Claims)
			}
		})
	}
}

// remote makes the issuer of the world one whose keys are fetched, and counts how
// often.
func (w *world) remote() *atomic.Int64 {
	w.t.Helper()
	asked := &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		out.Header().Set("Content-Type", "application/json")
		_, _ = out.Write([]byte(w.idp.JWKS(w.t)))
	}))
	w.t.Cleanup(server.Close)
	w.issuerAt(func(c *issuer.Config) { c.JWKSURL = server.URL })
	return asked
}

func (w *world) issuerAt(edit func(*issuer.Config)) {
	w.t.Helper()
	c := issuer.NewConfig("idp")
	c.BoundIssuer, c.BoundAudiences, c.AllowedAddresses = w.idp.URL, []string{"https://vault.example"}, []string{"127.0.0.0/8"}
	edit(c)
	w.must(c.Validate())
	made, err := issuer.New(c, issuer.Options{Now: func() time.Time { return w.now }, OnFetch: func(string, issuer.Fetch) {}})
	w.must(err)
	w.snapshot.Issuers["idp"] = made
}

// Nobody outside hears of a question that is not live; what is held is used.
func TestExplainAsksNobodyUnlessLive(t *testing.T) {
	w := newWorld(t)
	asked := w.remote()
	q := exchange.Question{Request: w.request()}
	step := func(what string, live bool, requests int64, allowed bool) {
		t.Helper()
		q.Live = live
		e := w.explain(t, q)
		if !allowed {
			wantRefusal(t, e, denial.Subject, "issuer_keys",
				`temporarily_unavailable: subject: the keys of the issuer "idp" are not held, and nothing is fetched offline: see issuers/idp/status`)
		}
		if got := asked.Load(); got != requests || (e.Refusal == nil) != allowed {
			t.Errorf("%s: the issuer was asked %d times, want %d; refusal %v", what, got, requests, e.Refusal)
		}
	}
	step("before any key came", false, 0, false)
	step("live", true, 1, true)
	step("with the keys that came", false, 1, true)
	w.now = w.now.Add(50 * time.Minute)
	step("with keys that are due for a refresh", false, 1, true)
	w.now = w.now.Add(12 * time.Hour)
	q.SubjectToken = w.subject(nil)
	step("with keys that are too old", false, 1, false)

	unasked := exchange.Question{Request: exchange.Request{Role: "orders", MountMaxTTL: time.Hour}, SubjectClaims: w.claimsFor(nil), Live: true}
	if e := w.explain(t, unasked); e.Refusal != nil || asked.Load() != 1 {
		t.Errorf("claims need no key: refusal %v, asked %d times", e.Refusal, asked.Load())
	}
}

// An issuer that reads its tokens itself is not shown one by a question.
func TestExplainShowsNoTokenUnlessLive(t *testing.T) {
	w := newWorld(t)
	shown := &atomic.Int64{}
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
		shown.Add(1)
		claims := w.idp.Claims(w.now, map[string]any{"active": true})
		_, _ = out.Write(mustJSON(w.t, claims))
	}))
	t.Cleanup(server.Close)
	w.issuerAt(func(c *issuer.Config) {
		c.IntrospectionURL, c.IntrospectionClientID, c.IntrospectionClientSecret = server.URL, "us", issuer.NewCredential("secret")
	})
	q := exchange.Question{Request: w.request()}
	q.SubjectToken = "opaque-token"
	wantRefusal(t, w.explain(t, q), denial.Subject, "introspection",
		`temporarily_unavailable: subject: what the issuer "idp" says of the token is not held, and nobody is asked offline: see issuers/idp/status`)
	if shown.Load() != 0 {
		t.Error("the token was shown to its issuer")
	}
	q.Live = true
	if e := w.explain(t, q); e.Refusal != nil || shown.Load() != 1 {
		t.Errorf("live: refusal %v, shown %d times", e.Refusal, shown.Load())
	}
	q.Live, q.SubjectToken, q.SubjectClaims = false, "", w.claimsFor(map[string]any{"iss": nil})
	if e := w.explain(t, q); e.Refusal != nil || e.Claims["sub"] != "idp:ci-runner" || shown.Load() != 1 {
		t.Errorf("by claims without iss: refusal %v, claims %v", e.Refusal, e.Claims)
	}
	w.snapshot.Roles["orders"].Issuers = []string{"idp", "other"}
	w.addIssuer("other", issuertest.New(t, "https://other.example"), func(*issuer.Config) {})
	q.SubjectClaims = w.claimsFor(map[string]any{"iss": "https://other.example"})
	if e := w.explain(t, q); e.Refusal != nil || e.Claims["sub"] != "other:ci-runner" {
		t.Errorf("by claims of another issuer: refusal %v, claims %v", e.Refusal, e.Claims)
	}
}

func TestExplainTellsWhatIsUnverified(t *testing.T) {
	w := newWorld(t)
	byToken := w.explain(t, exchange.Question{Request: w.request()})
	byClaims := w.explain(t, exchange.Question{Request: exchange.Request{Role: "orders", MountMaxTTL: time.Hour}, SubjectClaims: w.claimsFor(nil)})
	if byToken.Unverified || !byClaims.Unverified {
		t.Errorf("unverified: %v and %v", byToken.Unverified, byClaims.Unverified)
	}
	detail := func(e *exchange.Explanation) string {
		i := slices.IndexFunc(e.Steps, func(s denial.Step) bool { return s.Rule == "signature" })
		return e.Steps[i].Detail
	}
	if a, b := detail(byToken), detail(byClaims); a != `signed by the issuer "idp"` || b != "not checked: subject_claims has no signature" {
		t.Errorf("the signature: %q and %q", a, b)
	}
}

// What would not fit into a token is refused in both.
func TestExplainRefusesOversizeClaims(t *testing.T) {
	s := newScene(t, with(claimIs("big", "subject.big"), subject("big", strings.Repeat("x", 11_000))))
	_, err := s.exchange(s.req)
	refusal, e := denial.From(err), s.explain(t, exchange.Question{Request: s.req})
	if refusal == nil || e.Refusal == nil {
		t.Fatalf("exchange: %v, explanation: %v", err, e.Refusal)
	}
	for _, r := range []*denial.Error{refusal, e.Refusal} {
		if r.Code != denial.InvalidRequest || r.Stage != denial.Mint || r.Rule != "size" || !strings.HasPrefix(r.Reason, "the claims would be 11") {
			t.Errorf("refused %s at %s by %s: %s", r.Code, r.Stage, r.Rule, r.Reason)
		}
	}
}

// An explanation changes nothing and makes nothing: what is told twice is the
// same, but for the id of a new chain.
func TestExplainMakesNothing(t *testing.T) {
	w := newWorld(t)
	first := w.mustExchange(w.request())
	w.revoke("another")
	q := exchange.Question{Request: exchange.Request{Role: "again", SubjectToken: first.AccessToken, MountMaxTTL: time.Hour}}
	before := fmt.Sprintf("%+v", w.snapshot.Config)
	one, two := w.explain(t, q), w.explain(t, q)
	if a, b := string(mustJSON(t, one)), string(mustJSON(t, two)); a != b {
		t.Errorf("told %s and then %s", a, b)
	}
	if !one.Claims.Has("lineage") {
		t.Error("what was verified does not show where the token comes from")
	}
	guess := w.explain(t, exchange.Question{Request: exchange.Request{Role: "orders", MountMaxTTL: time.Hour}, SubjectClaims: w.claimsFor(nil)})
	if guess.Refusal != nil || guess.Claims.Has("lineage") {
		t.Errorf("a guess shows the pseudonym of a subject: %v, %v", guess.Claims, guess.Refusal)
	}
	if one.Claims.Has("jti") {
		t.Error("a token that is not made has an id")
	}
	if after := fmt.Sprintf("%+v", w.snapshot.Config); after != before || w.revoked.Len() != 1 {
		t.Errorf("%d revocations, configuration %s", w.revoked.Len(), after)
	}
	w.must(w.alive(first))
}

// A question whether an exchange would be allowed is none.
func TestExplainDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.addRole("orders", func(r *policy.Role) { r.RateLimit = 1 })
	for range 3 {
		if e := w.explain(t, exchange.Question{Request: exchange.Request{Role: "orders", MountMaxTTL: time.Hour}, SubjectClaims: w.claimsFor(nil)}); e.Refusal != nil {
			t.Fatal(e.Refusal)
		}
	}
	w.mustExchange(w.request())
	_, err := w.exchange(w.request())
	wantDenied(t, err, denial.Rate, "rate_limit", "slow_down: rate_limit: the subject has asked by the role for more than 1 exchanges a minute")
}

// The warnings are the role's, also when the exchange would be refused.
func TestExplainTellsTheRolesWarnings(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Roles["orders"].SubjectScopes = policy.ScopesIgnore
	q := exchange.Question{Request: w.request()}
	q.Audience = []string{"urn:none"}
	e := w.explain(t, q)
	want := `subject_scopes is "ignore": allowed_scopes are granted even if the subject token does not have them`
	if e.Refusal == nil || !slices.Contains(e.Warnings, want) {
		t.Errorf("refusal %v, warnings %q", e.Refusal, e.Warnings)
	}
}

// What was seen of the actor is told as that.
func TestExplainTellsTheActorApart(t *testing.T) {
	s := newScene(t, delegated())
	e := s.explain(t, exchange.Question{Request: s.req})
	at := slices.IndexFunc(e.Steps, func(s denial.Step) bool { return s.Rule == "actor_issuers" })
	for _, step := range e.Steps[at-1 : at+4] { // form, actor_issuers, signature, claims, bound_actors
		if step.Stage != denial.Actor {
			t.Errorf("of the actor, at the stage of the subject: %+v", step)
		}
	}
}

// Claims of a workload are not taken for those of an opaque token.
func TestExplainSelectsTheIssuerOfClaims(t *testing.T) {
	w := newWorld(t)
	w.issuerAt(func(c *issuer.Config) {
		c.IntrospectionURL, c.IntrospectionClientID, c.IntrospectionClientSecret = "https://idp.example", "us", issuer.NewCredential("secret")
	})
	w.addIssuer("mesh", w.idp, func(c *issuer.Config) {
		c.Type, c.BoundIssuer, c.JWKS = issuer.SPIFFE, "spiffe://mesh", strings.ReplaceAll(c.JWKS, `"use":"sig"`, `"use":"jwt-svid"`)
	})
	w.snapshot.Roles["orders"].Issuers, w.snapshot.Roles["orders"].BoundSubject = []string{"idp", "mesh"}, "spiffe://mesh/api"
	claims := w.claimsFor(map[string]any{"iss": nil, "sub": "spiffe://mesh/api"})
	e := w.explain(t, exchange.Question{Request: exchange.Request{Role: "orders", MountMaxTTL: time.Hour}, SubjectClaims: claims})
	if e.Claims["sub"] != "mesh:spiffe://mesh/api" {
		t.Errorf("the subject is %v: %v", e.Claims["sub"], e.Refusal)
	}
}

// An explanation says what shortens a life that was asked for, or is the role's.
func TestExplainNamesWhatBoundsTheLife(t *testing.T) {
	const day = 24 * time.Hour
	for want, edit := range map[string]func(*world, *exchange.Question){
		"the token would live 5m0s":                     func(*world, *exchange.Question) {},
		"the token would live 7m0s":                     func(_ *world, q *exchange.Question) { q.TTL = 7 * time.Minute },
		"the token would live 1m0s, bounded by max_ttl": func(w *world, _ *exchange.Question) { w.snapshot.Config.MaxTTL = time.Minute },
		"the token would live 2m0s, bounded by the signing key": func(w *world, _ *exchange.Question) {
			w.snapshot.Keys["main"].Versions[0].VerificationPeriod = 2 * time.Minute
		},
		"the token would live 3m0s, bounded by exp of the subject token": func(w *world, q *exchange.Question) {
			q.SubjectToken = w.subject(map[string]any{"exp": w.now.Add(3 * time.Minute).Unix()})
		},
		"the token would live 4m0s, bounded by the longest lease of the mount": func(_ *world, q *exchange.Question) { q.MountMaxTTL = 4 * time.Minute },
	} {
		w := newWorld(t)
		q := exchange.Question{Request: w.request()}
		q.MountMaxTTL = day
		edit(w, &q)
		e := w.explain(t, q)
		if !slices.ContainsFunc(e.Steps, func(s denial.Step) bool { return s.Rule == "exp" && s.Detail == want }) {
			t.Errorf("no step says %q: %+v", want, e.Steps)
		}
	}
}
