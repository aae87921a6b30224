package exchange_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// newOpaqueWorld is a world whose role "orders" has opaque tokens.
func newOpaqueWorld(t testing.TB) *world {
	t.Helper()
	w := newWorld(t)
	w.snapshot.Roles["orders"].Format = policy.FormatOpaque
	return w
}

// unknown has the form of an opaque token; there is no record of it.
func (w *world) unknown() token.Secret {
	raw, _ := token.NewOpaque(w.now.Add(time.Minute))
	return raw
}

// An opaque token is exchanged as a JWT with the same claims is: what comes of it
// is the same, but for what is random.
func TestOpaqueTokenAsSubjectIsTakenAsAJWTIs(t *testing.T) {
	views := map[string]token.Claims{}
	for _, format := range []string{policy.FormatOpaque, policy.FormatJWT} {
		w := newWorld(t)
		w.snapshot.Roles["orders"].Format = format
		req := w.request()
		req.SubjectToken = w.subject(map[string]any{"scope": "orders:read", "auth_time": 1_700_000_000, "jti": "root"})
		first := w.mustExchange(req)
		if first.IssuedTokenType != exchange.TypeAccessToken || first.TokenType != "Bearer" || (first.KeyID == "") != (format == policy.FormatOpaque) {
			t.Errorf("%s: %+v", format, first)
		}
		for _, tokenType := range []string{"", exchange.TypeAccessToken} {
			second := w.mustExchange(exchange.Request{Role: "again", SubjectToken: first.AccessToken, SubjectTokenType: tokenType, MountMaxTTL: time.Hour})
			claims := w.claimsOf(second)
			lineage, _ := claims["lineage"].(map[string]any)
			if anc, _ := lineage["anc"].([]any); second.Chain != first.Chain || len(anc) != 2 || anc[1] != first.ID {
				t.Errorf("%s: the chain is broken: %v", format, claims)
			}
			if via, _ := lineage["via"].([]any); len(via) != 1 || (via[0] == "orders:id-of-orders -") != (format == policy.FormatOpaque) {
				t.Errorf("%s: via %v", format, lineage["via"])
			}
			delete(lineage, "anc")
			delete(lineage, "via")
			for _, name := range []string{"jti", "txn"} {
				delete(claims, name)
			}
			views[format] = claims
		}
	}
	opaque, jwt := string(mustJSON(t, views[policy.FormatOpaque])), string(mustJSON(t, views[policy.FormatJWT]))
	if opaque != jwt {
		t.Errorf("of the opaque token %s\nof the JWT         %s", opaque, jwt)
	}
}

func TestOpaqueTokenOfOursRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		edit  func(*world, *exchange.Request, *exchange.Answer)
		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"unknown", func(w *world, r *exchange.Request, _ *exchange.Answer) { r.SubjectToken = w.unknown() },
			denial.Subject, "active", `invalid_request: subject: the token is not an active token of this engine`,
		},
		{
			"expired", func(w *world, _ *exchange.Request, _ *exchange.Answer) { w.now = w.now.Add(5 * time.Minute) },
			denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:05:00Z`,
		},
		{
			"RV-4 revoked", func(w *world, _ *exchange.Request, a *exchange.Answer) {
				w.revoked.Add(revocation.Token(a.ID, a.Expires))
			},
			denial.Revocation, "revoked", `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`,
		},
		{
			"IN-6 its role deleted", func(w *world, _ *exchange.Request, _ *exchange.Answer) { delete(w.snapshot.Roles, "orders") },
			denial.Revocation, "role_deleted", `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`,
		},
		{
			"to a role that does not take our tokens", func(_ *world, r *exchange.Request, _ *exchange.Answer) { r.Role = "orders" },
			denial.Subject, "issuers", `invalid_request: subject: the token is one of this engine (issuer "self"), which the role "orders" does not accept`,
		},
		{
			"for another audience", func(w *world, _ *exchange.Request, _ *exchange.Answer) {
				w.snapshot.Roles["again"].BoundAudiences = []string{billing}
			},
			denial.Subject, "bound_audiences", `invalid_request: subject: "aud" claim: the role "again" expects one of ["https://billing.example"] but got ["https://orders.example"]`,
		},
		{
			"of an issuer that we were", func(w *world, _ *exchange.Request, _ *exchange.Answer) {
				w.snapshot.Config.Issuer = "https://new.example"
			},
			denial.Subject, "iss", `invalid_request: subject: "iss" is not this engine's`,
		},
		{
			"declared as a JWT", func(_ *world, r *exchange.Request, _ *exchange.Answer) { r.SubjectTokenType = exchange.TypeJWT },
			denial.Parse, "subject_token_type", `invalid_request: subject_token_type: the token is opaque: use "urn:ietf:params:oauth:token-type:access_token"`,
		},
		{
			"declared as an ID token", func(_ *world, r *exchange.Request, _ *exchange.Answer) { r.SubjectTokenType = exchange.TypeIDToken },
			denial.Parse, "subject_token_type", `invalid_request: subject_token_type: this engine issues no ID tokens: use "urn:ietf:params:oauth:token-type:access_token"`,
		},
		{
			"for more scope than it has", func(_ *world, r *exchange.Request, _ *exchange.Answer) { r.Scope = []string{"orders:write"} },
			denial.Decide, "subject_scopes", `invalid_scope: subject_scopes: the subject token does not have the scope "orders:write", and subject_scopes is "intersect"`,
		},
		{
			"one hop too far", func(w *world, _ *exchange.Request, _ *exchange.Answer) { w.snapshot.Config.MaxHops = 1 },
			denial.Decide, "max_hops", `invalid_request: max_hops: the chain of exchanges would have 2 tokens before this one: max_hops of config is 1`,
		},
		{
			"as an actor, for another audience", func(w *world, r *exchange.Request, a *exchange.Answer) {
				w.snapshot.Roles["again"].Delegation, w.snapshot.Roles["again"].ActorIssuers = policy.DelegationRequired, []string{policy.Self}
				r.ActorToken, r.ActorTokenType = a.AccessToken, exchange.TypeAccessToken
			},
			denial.Actor, "aud", `invalid_request: actor: "aud" claim: a token of this engine by which somebody acts must be for the engine alone: expected "https://vault.example/v1/token-exchange" but got ["https://orders.example"]`,
		},
		{
			"as an actor, unknown", func(w *world, r *exchange.Request, _ *exchange.Answer) {
				w.snapshot.Roles["again"].Delegation, w.snapshot.Roles["again"].ActorIssuers = policy.DelegationRequired, []string{policy.Self}
				r.ActorToken, r.ActorTokenType = w.unknown(), exchange.TypeAccessToken
			},
			denial.Actor, "active", `invalid_request: actor: the token is not an active token of this engine`,
		},
		{
			"while storage fails", func(w *world, _ *exchange.Request, _ *exchange.Answer) { w.records.err = errors.New("down") },
			denial.Subject, "record", `temporarily_unavailable: subject: the token cannot be looked up now`,
		},
		{
			"whose record is damaged", func(w *world, _ *exchange.Request, _ *exchange.Answer) {
				for place := range w.records.kept {
					w.records.kept[place] = []byte(`{"iss":"a","iss":"b"}`)
				}
			},
			denial.Subject, "internal", `server_error: subject: internal error`,
		},
		{
			"whose record lacks a claim", func(w *world, _ *exchange.Request, _ *exchange.Answer) {
				w.damage(func(c map[string]any) { delete(c, "lineage") })
			},
			denial.Subject, "typ", `invalid_request: subject: "typ" is not that of a token of this engine`,
		},
		{
			"whose record has no end", func(w *world, _ *exchange.Request, _ *exchange.Answer) {
				w.damage(func(c map[string]any) { c["exp"] = "never" })
			},
			denial.Subject, "exp", `invalid_request: subject: "exp" claim must be a number of seconds since 1970`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newOpaqueWorld(t)
			first := w.mustExchange(w.request())
			req := exchange.Request{Role: "again", SubjectToken: first.AccessToken, MountMaxTTL: time.Hour}
			c.edit(w, &req, first)
			_, err := w.exchange(req)
			wantDenied(t, err, c.stage, c.rule, c.text)
		})
	}
}

// damage changes what every record says.
func (w *world) damage(edit func(map[string]any)) {
	w.t.Helper()
	for place, kept := range w.records.kept {
		var claims map[string]any
		w.must(json.Unmarshal(kept, &claims))
		edit(claims)
		w.records.kept[place] = mustJSON(w.t, claims)
	}
}

// No token gets out whose record is not kept; and where nothing keeps records, none
// is made or known.
func TestRecordThatIsNotKept(t *testing.T) {
	w := newOpaqueWorld(t)
	first := w.mustExchange(w.request())
	w.records.err = errors.New("down")
	_, err := w.exchange(w.request())
	wantDenied(t, err, denial.Mint, "record", `temporarily_unavailable: record: the token cannot be stored now`)
	if got := denial.From(err).Unwrap(); !errors.Is(got, w.records.err) {
		t.Errorf("the cause is %v", got)
	}
	_, err = w.exchanger.Exchange(context.Background(), w.snapshot, w.request())
	wantDenied(t, err, denial.Mint, "internal", `server_error: internal: internal error`)
	_, err = w.exchanger.Own(context.Background(), w.snapshot, nil, first.AccessToken)
	wantDenied(t, err, denial.Subject, "internal", `server_error: subject: internal error`)
}

// Nothing is written before everything is decided, nor by an explanation.
func TestRecordIsTheLastThing(t *testing.T) {
	w := newOpaqueWorld(t)
	req := w.request()
	req.Scope = []string{"admin"}
	if _, err := w.exchange(req); err == nil || w.records.puts != 0 {
		t.Errorf("%v, and %d writes", err, w.records.puts)
	}
	e := w.exchanger.Explain(context.Background(), w.snapshot, exchange.Question{Request: w.request()})
	if e.Refusal != nil || w.records.puts != 0 || slices.Index(rules(e), "format") != len(e.Steps)-1 {
		t.Errorf("%v, %d writes, %v", e.Refusal, w.records.puts, rules(e))
	}
	w.mustExchange(w.request())
	if w.records.puts != 1 || w.records.gets != 0 {
		t.Errorf("%d writes and %d reads", w.records.puts, w.records.gets)
	}
}

// A JWT costs no look-up, whatever role it comes to.
func TestJWTsAskNoRecords(t *testing.T) {
	w := newWorld(t)
	if _, err := w.again(w.mustExchange(w.request())); err != nil || w.records.gets+w.records.puts != 0 {
		t.Errorf("%v, %d reads and writes", err, w.records.gets+w.records.puts)
	}
}

// An opaque token ends with its subject, its role, its mount; no key bounds it.
func TestLifeOfAnOpaqueToken(t *testing.T) {
	w := newOpaqueWorld(t)
	w.snapshot.Keys = map[string]*keyring.Key{}
	w.snapshot.Config.DefaultKey = ""
	w.snapshot.Config.MaxTTL = 200 * time.Hour
	role := w.snapshot.Roles["orders"]
	role.TTL, role.MaxTTL = 100*time.Hour, 100*time.Hour
	for _, c := range []struct {
		name          string
		subject, want time.Duration
		mount         time.Duration
	}{
		{"of the role", 300 * time.Hour, 100 * time.Hour, 768 * time.Hour},
		{"of the subject", time.Minute, time.Minute, 768 * time.Hour},
		{"of the mount in Vault", 300 * time.Hour, time.Hour, time.Hour},
	} {
		req := w.request()
		req.SubjectToken, req.MountMaxTTL = w.subject(map[string]any{"exp": w.now.Add(c.subject).Unix()}), c.mount
		if a := w.mustExchange(req); a.ExpiresIn() != c.want {
			t.Errorf("%s: lives %s, want %s", c.name, a.ExpiresIn(), c.want)
		}
	}
}

// Who acts by an opaque token acts no longer than it lives, and stops when it is
// revoked.
func TestOpaqueActor(t *testing.T) {
	w := newOpaqueWorld(t)
	w.snapshot.Config.AllowedAudiences = policy.Guardrail{"*"}
	w.addRole("robot", func(r *policy.Role) {
		r.Format, r.AllowedAudiences, r.DefaultAudience, r.TTL = policy.FormatOpaque, []string{ourIssuer}, ourIssuer, time.Minute
	})
	w.snapshot.Roles["again"].Delegation = policy.DelegationRequired
	w.snapshot.Roles["again"].ActorIssuers, w.snapshot.Roles["again"].BoundActors = []string{policy.Self}, []string{"idp:ci-runner"}
	w.snapshot.Roles["again"].Format = policy.FormatOpaque
	req := w.request()
	req.Role = "robot"
	actor, subject := w.mustExchange(req), w.mustExchange(w.request())
	a := w.mustExchange(exchange.Request{
		Role: "again", SubjectToken: subject.AccessToken, ActorToken: actor.AccessToken, ActorTokenType: exchange.TypeAccessToken, MountMaxTTL: time.Hour,
	})
	if a.ExpiresIn() != time.Minute || len(a.Acting) != 1 || a.Acting[0] != (token.Actor{Issuer: ourIssuer, Subject: "idp:ci-runner"}) {
		t.Errorf("lives %s, act %v", a.ExpiresIn(), a.Acting)
	}
	w.must(w.alive(a))
	w.revoked.Add(revocation.Token(actor.ID, actor.Expires))
	wantDenied(t, w.alive(a), denial.Revocation, "revoked", `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`)
}

// Our own opaque token is shown to no other issuer, whatever the role accepts; one
// that is not ours may be a neighbour's, and goes where opaque tokens go.
func TestOwnOpaqueTokenIsNotShownAround(t *testing.T) {
	a := newAuthority(t)
	a.addRole("opaque", func(r *policy.Role) {
		r.SubjectSource, r.Issuers, r.BoundSubject, r.Format = policy.SourceCaller, nil, "", policy.FormatOpaque
	})
	own := a.mustExchange(exchange.Request{
		Role: "opaque", MountMaxTTL: time.Hour,
		Caller: func(context.Context) (*exchange.Caller, error) { return &exchange.Caller{ID: "e"}, nil },
	})
	_, err := a.present(own.AccessToken.Reveal(), "")
	wantDenied(t, err, denial.Subject, "issuers", `invalid_request: subject: the token is one of this engine (issuer "self"), which the role "orders" does not accept`)
	a.revoked.Add(revocation.Token(own.ID, own.Expires))
	if _, err := a.present(own.AccessToken.Reveal(), ""); err == nil || len(a.shown) > 0 {
		t.Errorf("revoked: %v, shown %d times", err, len(a.shown))
	}
	neighbours := a.unknown().Reveal()
	if _, err := a.present(neighbours, ""); err != nil || !slices.Equal(a.shown, []string{neighbours}) {
		t.Errorf("a neighbour's: %v, shown %d times", err, len(a.shown))
	}
	a.records.err = errors.New("down")
	if _, err := a.present(a.unknown().Reveal(), ""); denial.From(err).Code != denial.TemporarilyUnavailable || len(a.shown) != 1 {
		t.Errorf("while storage fails: %v, shown %d times", err, len(a.shown))
	}
}
