package exchange_test

import (
	"context"
	"crypto/elliptic"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// AT-3, TX-13, TX-25: the claims of a minted token, to the letter.
func TestExchangeMintsAnAccessToken(t *testing.T) {
	w := newWorld(t)
	answer := w.mustExchange(w.request())

	u, err := token.Parse(answer.AccessToken)
	w.must(err)
	if u.Header.Type != "at+jwt" || u.Header.Algorithm != "ES256" || u.Header.KeyID != answer.KeyID {
		t.Errorf("header %+v", u.Header)
	}
	claims := w.claimsOf(answer)
	for name, want := range map[string]string{
		"iss": ourIssuer, "sub": "idp:ci-runner", "aud": orders, "client_id": "role:orders",
		"scope": "orders:read", "jti": answer.ID, "txn": answer.Chain,
	} {
		if claims[name] != want {
			t.Errorf("%s: got %v, want %q", name, claims[name], want)
		}
	}
	if len(claims) != 10 { // the seven above, iat, exp, lineage
		t.Errorf("unexpected claims: %v", claims)
	}
	if answer.IssuedTokenType != exchange.TypeAccessToken || answer.TokenType != "Bearer" || answer.ExpiresIn() != 5*time.Minute {
		t.Errorf("answer: %s %s %s", answer.IssuedTokenType, answer.TokenType, answer.ExpiresIn())
	}
}

func TestExchangeRefuses(t *testing.T) {
	stranger := issuertest.New(t, "https://idp.example")
	for _, c := range []struct {
		name string
		edit func(*world, *exchange.Request)

		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"a mount that is not configured", func(w *world, _ *exchange.Request) { w.snapshot.Config = nil },
			denial.FindRole, "config", `invalid_request: config: the mount is not configured: write config first`,
		},
		{
			"no role", func(_ *world, r *exchange.Request) { r.Role = "" },
			denial.FindRole, "role", `invalid_request: role: is required`,
		},
		{
			"an unknown role", func(_ *world, r *exchange.Request) { r.Role = "nobody" },
			denial.FindRole, "role", `invalid_request: role: the role ["nobody"] does not exist`,
		},
		{
			"TX-3 no subject token", func(_ *world, r *exchange.Request) { r.SubjectToken = "" },
			denial.Parse, "subject_token", `invalid_request: subject_token: is required by the role "orders"`,
		},
		{
			"TX-4 an actor token without its type", func(_ *world, r *exchange.Request) { r.ActorToken = "x" },
			denial.Parse, "actor_token_type", `invalid_request: actor_token_type: is required with actor_token`,
		},
		{
			"TX-4 an actor token type without its token", func(_ *world, r *exchange.Request) { r.ActorTokenType = exchange.TypeJWT },
			denial.Parse, "actor_token_type", `invalid_request: actor_token_type: is given without actor_token`,
		},
		{
			"an actor, since no role allows delegation", func(_ *world, r *exchange.Request) { r.ActorToken, r.ActorTokenType = "x", exchange.TypeJWT },
			denial.Actor, "delegation", `invalid_request: actor: the role "orders" does not allow delegation: leave actor_token out`,
		},
		{
			"TX-5 another issuer's token declared as ours", func(_ *world, r *exchange.Request) { r.SubjectTokenType = exchange.TypeAccessToken },
			denial.Parse, "subject_token_type", `invalid_request: subject_token_type: "urn:ietf:params:oauth:token-type:access_token" means a token that this engine issued: use "urn:ietf:params:oauth:token-type:jwt"`,
		},
		{
			"TX-5 an unsupported type", func(_ *world, r *exchange.Request) {
				r.SubjectTokenType = "urn:ietf:params:oauth:token-type:saml2"
			},
			denial.Parse, "subject_token_type", `invalid_request: subject_token_type: ["urn:ietf:params:oauth:token-type:saml2"] is not supported: use one of ["urn:ietf:params:oauth:token-type:jwt", "urn:ietf:params:oauth:token-type:id_token", "urn:ietf:params:oauth:token-type:access_token"]`,
		},
		{
			"TX-6 an expired subject token", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"exp": w.now.Unix()})
			},
			denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:00:00Z`,
		},
		{
			"JW-5 a token that another issuer signed", func(w *world, r *exchange.Request) {
				r.SubjectToken = token.Secret(stranger.Sign(t, stranger.Claims(w.now, nil)))
			},
			denial.Subject, "signature", `invalid_request: subject: the signature does not verify with key "k1"`,
		},
		{
			"JW-22 an issuer that differs by a slash", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"iss": "https://idp.example/"})
			},
			denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://idp.example/"] is not an issuer that the role "orders" accepts`,
		},
		{
			"an issuer that the mount trusts and the role does not", func(w *world, _ *exchange.Request) {
				w.addIssuer("other", issuertest.New(t, "https://other.example"), func(*issuer.Config) {})
				w.snapshot.Roles["orders"].Issuers = []string{"other"}
			},
			denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://idp.example"] is not an issuer that the role "orders" accepts`,
		},
		{
			"TX-28 a token for another audience", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"aud": "https://other.example"})
			},
			denial.Subject, "aud", `invalid_request: subject: "aud" claim expected one of ["https://vault.example"] but got ["https://other.example"]`,
		},
		{
			"a subject that the role is not bound to", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"sub": "mallory"})
			},
			denial.Subject, "bound_subject", `invalid_request: subject: "sub" claim: the role "orders" is bound to another subject`,
		},
		{
			"TX-26 a token bound to a key", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"cnf": map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}})
			},
			denial.Subject, "cnf", `invalid_request: subject: "cnf" claim: the token is bound to a key, and the role "orders" would answer with one that is not: set binding`,
		},
		{
			"TX-23 a delegated token", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"act": map[string]any{"sub": "svc"}})
			},
			denial.Subject, "act", `invalid_request: subject: "act" claim: the token is already a delegation, and the role does not allow delegation`,
		},
		{
			"TX-24 a token that names its actor", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"may_act": map[string]any{"sub": "svc"}})
			},
			denial.Subject, "may_act", `invalid_request: subject: "may_act" claim: the token names who may act for its subject, and the request has no actor`,
		},
		{
			"TX-8 one refused target of two", func(_ *world, r *exchange.Request) { r.Audience = []string{orders, "https://evil.example"} },
			denial.Decide, "allowed_audiences", `invalid_target: allowed_audiences: the role "orders" does not allow the audience ["https://evil.example"]`,
		},
		{
			"AT-5 no target and no default", func(w *world, _ *exchange.Request) { w.snapshot.Roles["orders"].DefaultAudience = "" },
			denial.Decide, "audience", `invalid_target: audience: is missing and the role "orders" has no default_audience: ask for one of its allowed_audiences`,
		},
		{
			"an audience outside the guardrail", func(w *world, _ *exchange.Request) { w.snapshot.Config.AllowedAudiences = nil },
			denial.Decide, "config allowed_audiences", `invalid_target: config allowed_audiences: the mount's guardrail does not allow the audience "https://orders.example"`,
		},
		{
			"TX-10 a scope that the role does not allow", func(_ *world, r *exchange.Request) { r.Scope = []string{"admin"} },
			denial.Decide, "allowed_scopes", `invalid_scope: allowed_scopes: the role "orders" does not allow the scope ["admin"]`,
		},
		{
			"a scope that the subject does not have", func(w *world, r *exchange.Request) {
				r.SubjectToken, r.Scope = w.subject(map[string]any{"scope": "orders:read"}), []string{"orders:write"}
			},
			denial.Decide, "subject_scopes", `invalid_scope: subject_scopes: the subject token does not have the scope "orders:write", and subject_scopes is "intersect"`,
		},
		{
			"a scope outside the guardrail", func(w *world, r *exchange.Request) {
				w.snapshot.Config.AllowedScopes, r.Scope = policy.Guardrail{"billing:*"}, []string{"orders:read"}
			},
			denial.Decide, "config allowed_scopes", `invalid_scope: config allowed_scopes: the mount's guardrail does not allow the scope "orders:read"`,
		},
		{
			"a ttl above the role's", func(_ *world, r *exchange.Request) { r.TTL = time.Hour },
			denial.Lifetime, "ttl", `invalid_request: ttl: 1h0m0s is more than the max_ttl of the role "orders", which is 30m0s`,
		},
		{
			"a negative ttl", func(_ *world, r *exchange.Request) { r.TTL = -time.Second },
			denial.Parse, "ttl", `invalid_request: ttl: must not be negative`,
		},
		{
			"a subject about to expire", func(w *world, r *exchange.Request) {
				r.SubjectToken = w.subject(map[string]any{"exp": float64(w.now.Unix()) + 0.9})
			},
			denial.Lifetime, "exp", `invalid_request: exp: the subject token, or the actor token, expires too soon for a token to be made from it`,
		},
		{
			"a key that is gone", func(w *world, _ *exchange.Request) { delete(w.snapshot.Keys, "main") },
			denial.Lifetime, "internal", `server_error: internal: internal error`,
		},
		{
			"a subject that is too long", func(w *world, r *exchange.Request) {
				w.snapshot.Roles["orders"].BoundSubject = strings.Repeat("x", 1021)
				r.SubjectToken = w.subject(map[string]any{"sub": strings.Repeat("x", 1021)})
			},
			denial.Decide, "sub", `invalid_request: sub: the subject is 1025 bytes long: the limit is 1024`,
		},
		{
			"a token that would be too long", func(w *world, r *exchange.Request) {
				long := []string{}
				for i := range 40 {
					long = append(long, strings.Repeat(string(rune('a'+i%26)), 400+i))
				}
				w.snapshot.Roles["orders"].AllowedScopes, w.snapshot.Roles["orders"].SubjectScopes = long, policy.ScopesIgnore
				r.Scope = long
			},
			denial.Mint, "size", `invalid_request: size: the claims would be 17171 bytes long: the limit is 10752; ask for fewer audiences or scopes, or map fewer claims`,
		},
		{
			"a mount without a TTL", func(_ *world, r *exchange.Request) { r.MountMaxTTL = 0 },
			denial.Lifetime, "internal", `server_error: internal: internal error`,
		},
		{
			"TX-11 a token type that is not issued", func(_ *world, r *exchange.Request) {
				r.RequestedTokenType = "urn:ietf:params:oauth:token-type:refresh_token"
			},
			denial.Parse, "requested_token_type", `invalid_request: requested_token_type: ["urn:ietf:params:oauth:token-type:refresh_token"] is not supported: use "urn:ietf:params:oauth:token-type:access_token" or "urn:ietf:params:oauth:token-type:jwt"`,
		},
		{
			"TX-11 a plain JWT of a role for access tokens", func(_ *world, r *exchange.Request) { r.RequestedTokenType = exchange.TypeJWT },
			denial.Parse, "requested_token_type", `invalid_request: requested_token_type: the role "orders" issues access tokens (typ at+jwt): ask for "urn:ietf:params:oauth:token-type:access_token"`,
		},
		{
			"scope and scp together", func(w *world, r *exchange.Request) { r.SubjectToken = w.subject(map[string]any{"scp": "admin"}) },
			denial.Subject, "scp", `invalid_request: subject: "scp" claim stands beside "scope": one of them must be left out`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			req := w.request()
			c.edit(w, &req)
			answer, err := w.exchange(req)
			if answer != nil {
				t.Fatalf("a token was minted")
			}
			wantDenied(t, err, c.stage, c.rule, c.text)
		})
	}
}

// TX-14, TX-11, AT-2: the role decides the "typ", and what may be asked for.
func TestIssuedTokenType(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Roles["orders"].Type = "JWT"
	for _, c := range []struct{ requested, issued, tokenType string }{
		{"", exchange.TypeAccessToken, "Bearer"},
		{exchange.TypeAccessToken, exchange.TypeAccessToken, "Bearer"},
		{exchange.TypeJWT, exchange.TypeJWT, "N_A"},
	} {
		req := w.request()
		req.RequestedTokenType = c.requested
		a := w.mustExchange(req)
		u, err := token.Parse(a.AccessToken)
		w.must(err)
		if a.IssuedTokenType != c.issued || a.TokenType != c.tokenType || u.Header.Type != "jwt" {
			t.Errorf("requested %q: got %s, %s, typ %s", c.requested, a.IssuedTokenType, a.TokenType, u.Header.Type)
		}
	}
}

// Invariant: "exp" is the earliest of every ceiling.
func TestLifetimeIsTheEarliestCeiling(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*world, *exchange.Request)
		want time.Duration
	}{
		{"the role's ttl", func(*world, *exchange.Request) {}, 5 * time.Minute},
		{"the ttl asked for", func(_ *world, r *exchange.Request) { r.TTL = 20 * time.Minute }, 20 * time.Minute},
		{"the mount's default", func(w *world, _ *exchange.Request) {
			w.snapshot.Roles["orders"].TTL, w.snapshot.Config.DefaultTTL = 0, 7*time.Minute
		}, 7 * time.Minute},
		{"the mount's max_ttl", func(w *world, _ *exchange.Request) { w.snapshot.Config.MaxTTL = 2 * time.Minute }, 2 * time.Minute},
		{"Vault's max TTL of the mount", func(_ *world, r *exchange.Request) { r.MountMaxTTL = time.Minute }, time.Minute},
		{"TX-19 the subject's own exp", func(w *world, r *exchange.Request) {
			r.SubjectToken = w.subject(map[string]any{"exp": w.now.Add(90 * time.Second).Unix()})
		}, 90 * time.Second},
		{"the subject's own exp, rounded down", func(w *world, r *exchange.Request) {
			r.SubjectToken = w.subject(map[string]any{"exp": float64(w.now.Unix()) + 90.9})
		}, 90 * time.Second},
		{"the publication of the key", func(w *world, _ *exchange.Request) {
			w.snapshot.Keys["main"].Active().VerificationPeriod = 10 * time.Second
		}, 10 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			req := w.request()
			c.edit(w, &req)
			a := w.mustExchange(req)
			if a.ExpiresIn() != c.want || a.Expires != w.now.Add(c.want) {
				t.Errorf("lives %s, want %s", a.ExpiresIn(), c.want)
			}
		})
	}
}

// Leeway forgives a clock that runs ahead; it never lengthens a life.
func TestLeewayIsForIssuedAtAndNotBeforeAlone(t *testing.T) {
	w := newWorld(t)
	within, beyond := w.now.Add(30*time.Second).Unix(), w.now.Add(31*time.Second).Unix()
	for _, name := range []string{"iat", "nbf"} {
		req := w.request()
		req.SubjectToken = w.subject(map[string]any{name: within})
		w.mustExchange(req)
		req.SubjectToken = w.subject(map[string]any{name: beyond})
		if _, err := w.exchange(req); denial.From(err) == nil || denial.From(err).Rule != name {
			t.Errorf("%s beyond the leeway: got %v", name, err)
		}
	}
}

func TestCallerIsTheSubject(t *testing.T) {
	alice := func(context.Context) (*exchange.Caller, error) {
		return &exchange.Caller{ID: "e-1", Name: "alice", Metadata: map[string]string{"team": "platform"}, Groups: []string{"dev"}}, nil
	}
	w := newWorld(t)
	a := w.mustExchange(exchange.Request{Role: "me", Caller: alice, MountMaxTTL: time.Hour})
	if a.Subject != "entity:e-1" || !slices.Equal(a.Scope, []string{"orders:read"}) {
		t.Errorf("subject %q, scope %v", a.Subject, a.Scope)
	}
	for _, bound := range []map[string]any{{"/metadata/team": "platform"}, {"groups": []any{"ops", "dev"}}, {"name": "alice"}} {
		w.snapshot.Roles["me"].BoundClaims = bound
		w.mustExchange(exchange.Request{Role: "me", Caller: alice, MountMaxTTL: time.Hour})
	}
	w.snapshot.Roles["me"].BoundClaims = map[string]any{"groups": "ops"}
	_, err := w.exchange(exchange.Request{Role: "me", Caller: alice, MountMaxTTL: time.Hour})
	wantDenied(t, err, denial.Subject, "bound_claims", `invalid_request: subject: claim "groups" does not have a value that the role "me" is bound to`)
}

func TestCallerRefused(t *testing.T) {
	const noEntity = `invalid_request: subject: the role "me" needs to know the caller, and the caller's Vault token has no entity: log in with an auth method (a root token has none)`
	w := newWorld(t)
	req := exchange.Request{Role: "me", MountMaxTTL: time.Hour}
	_, err := w.exchange(req)
	wantDenied(t, err, denial.Subject, "subject_source", noEntity)

	for _, caller := range []*exchange.Caller{nil, {}} {
		req.Caller = func(context.Context) (*exchange.Caller, error) { return caller, nil }
		_, err = w.exchange(req)
		wantDenied(t, err, denial.Subject, "subject_source", noEntity)
	}

	req.Caller = func(context.Context) (*exchange.Caller, error) { return nil, errors.New("identity store is down") }
	_, err = w.exchange(req)
	wantDenied(t, err, denial.Subject, "internal", `server_error: subject: internal error`)

	req.SubjectToken = w.subject(nil)
	_, err = w.exchange(req)
	wantDenied(t, err, denial.Parse, "subject_token", `invalid_request: subject_token: the subject of the role "me" is the caller: leave it out`)
}

// chain exchanges one of our tokens again.
func (w *world) again(parent *exchange.Answer) (*exchange.Answer, error) {
	return w.exchange(exchange.Request{Role: "again", SubjectToken: parent.AccessToken, MountMaxTTL: time.Hour})
}

// Invariant: subject, chain id and source stay; scope and life never widen.
func TestChainKeepsSubjectAndNeverWidens(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Roles["again"].SubjectScopes = policy.ScopesIgnore // has no effect on our own tokens
	w.snapshot.Roles["again"].DefaultScopes = []string{"orders:read", "orders:write"}
	first := w.mustExchange(w.request())
	second, err := w.again(first)
	w.must(err)
	if second.Subject != first.Subject || second.Chain != first.Chain || second.ID == first.ID {
		t.Errorf("first %+v, second %+v", first, second)
	}
	if !slices.Equal(second.Scope, []string{"orders:read"}) {
		t.Errorf("scope widened to %v", second.Scope)
	}
	w.now = w.now.Add(4 * time.Minute)
	late, err := w.again(first)
	w.must(err)
	if !late.Expires.Equal(first.Expires) {
		t.Errorf("lives until %s, its parent until %s", late.Expires, first.Expires)
	}
	lineage, err := token.ParseLineage(w.claimsOf(second))
	w.must(err)
	if len(lineage.Ancestors) != 2 || !strings.HasPrefix(lineage.Ancestors[0], "ext:") || lineage.Ancestors[1] != first.ID {
		t.Errorf("ancestors %v", lineage.Ancestors)
	}
}

func TestChainIsBoundedByMaxHops(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Config.MaxHops = 2
	first := w.mustExchange(w.request())
	second, err := w.again(first)
	w.must(err)
	_, err = w.again(second)
	wantDenied(t, err, denial.Decide, "max_hops", `invalid_request: max_hops: the chain of exchanges would have 3 tokens before this one: max_hops of config is 2`)
}

func TestOwnTokenRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*world, *exchange.Answer)

		stage denial.Stage
		rule  string
		text  string
	}{
		{
			"RV-4 revoked", func(w *world, a *exchange.Answer) { w.revoked.Add(revocation.Token(a.ID, a.Expires)) },
			denial.Revocation, "revoked", `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`,
		},
		{
			"its role deleted", func(w *world, _ *exchange.Answer) { delete(w.snapshot.Roles, "orders") },
			denial.Revocation, "role_deleted", `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`,
		},
		{
			"its role deleted and made again", func(w *world, _ *exchange.Answer) { w.snapshot.Roles["orders"].ID = "another" },
			denial.Revocation, "role_deleted", `invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`,
		},
		{
			"expired", func(w *world, a *exchange.Answer) { w.now = a.Expires },
			denial.Subject, "exp", `invalid_request: subject: "exp" claim expired at 2027-01-15T08:05:00Z`,
		},
		{
			"its key no longer published", func(w *world, _ *exchange.Answer) { delete(w.snapshot.Keys, "main") },
			denial.Subject, "kid", `invalid_request: subject: "kid" is not a published key of this engine`,
		},
		{
			"its key's version no longer published", func(w *world, _ *exchange.Answer) {
				w.snapshot.Keys["main"].Versions[0].Retired = w.now.Add(-3 * time.Hour)
			},
			denial.Subject, "kid", `invalid_request: subject: "kid" is not a published key of this engine`,
		},
		{
			"an audience that the role is not bound to", func(w *world, _ *exchange.Answer) { w.snapshot.Roles["again"].BoundAudiences = []string{billing} },
			denial.Subject, "bound_audiences", `invalid_request: subject: "aud" claim: the role "again" expects one of ["https://billing.example"] but got ["https://orders.example"]`,
		},
		{
			"a role that does not accept our own", func(w *world, _ *exchange.Answer) { w.snapshot.Roles["again"].Issuers = []string{"idp"} },
			denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://vault.example/v1/token-exchange"] is not an issuer that the role "again" accepts`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			first := w.mustExchange(w.request())
			c.edit(w, first)
			_, err := w.again(first)
			wantDenied(t, err, c.stage, c.rule, c.text)
		})
	}
}

// JW-10: of our own kinds, only access tokens come back as a subject; both can
// be introspected.
func TestPlainJWTIsNotAcceptedBack(t *testing.T) {
	w := newWorld(t)
	w.snapshot.Roles["orders"].Type = "JWT"
	first := w.mustExchange(w.request())
	_, err := w.again(first)
	wantDenied(t, err, denial.Subject, "typ", `invalid_request: subject: header "typ" "JWT": of this engine's tokens only access tokens (at+jwt) are accepted back`)
	if _, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, first.AccessToken); err != nil {
		t.Errorf("not introspected: %v", err)
	}
}

// JW-2, JW-10: what our own key has signed is ours only if it is of a kind that
// we sign, with that key's algorithm.
func TestOwnKeyAloneMakesNoToken(t *testing.T) {
	w := newWorld(t)
	w.addKey("rsa", func(k *keyring.Key) { k.Algorithm = "RS256" })
	w.snapshot.Roles["orders"].Key = "rsa"
	good := w.claimsOf(w.mustExchange(w.request()))
	for _, c := range []struct {
		name, typ string
		alg       jose.SignatureAlgorithm
		edit      func(token.Claims)
		rule      string
	}{
		{"a token as we sign it", "at+jwt", "RS256", func(token.Claims) {}, ""},
		{"JW-2 another algorithm of the same key", "at+jwt", "PS256", func(token.Claims) {}, "kid"},
		{"JW-10 a status list", "statuslist+jwt", "RS256", func(token.Claims) {}, "typ"},
		{"JW-10 an introspection response", "token-introspection+jwt", "RS256", func(token.Claims) {}, "typ"},
		{"JW-10 no type", "", "RS256", func(token.Claims) {}, "typ"},
		{"JW-10 an ID token", "JWT", "RS256", func(c token.Claims) { c["nonce"] = "n" }, "typ"},
		{"AT-3 no client_id", "at+jwt", "RS256", func(c token.Claims) { delete(c, "client_id") }, "typ"},
		{"no lineage", "at+jwt", "RS256", func(c token.Claims) { delete(c, "lineage") }, "typ"},
		{"a lineage that is not one", "at+jwt", "RS256", func(c token.Claims) { c["lineage"] = "x" }, "lineage"},
		{"no audience", "at+jwt", "RS256", func(c token.Claims) { c["aud"] = []string{} }, "aud"},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims := maps.Clone(good)
			c.edit(claims)
			active := w.snapshot.Keys["rsa"].Active()
			key := jose.SigningKey{Algorithm: c.alg, Key: jose.JSONWebKey{Key: active.Signer(), KeyID: active.KeyID}}
			_, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, token.Secret(issuertest.Sign(t, key, c.typ, claims)))
			if got := denial.From(err); (got == nil) != (c.rule == "") || got != nil && got.Rule != c.rule {
				t.Errorf("got %v, want a refusal by %q", err, c.rule)
			}
		})
	}
}

// Revoking a token takes all that was exchanged from it along.
func TestRevocationReachesDescendants(t *testing.T) {
	w := newWorld(t)
	first := w.mustExchange(w.request())
	second, err := w.again(first)
	w.must(err)
	third, err := w.again(second)
	w.must(err)
	sibling := w.mustExchange(w.request())
	w.revoked.Add(revocation.Token(second.ID, second.Expires))
	for _, dead := range []*exchange.Answer{second, third} {
		err := w.alive(dead)
		wantDenied(t, err, denial.Revocation, "revoked", `invalid_request: revoked: the token, or one that it was exchanged from, was revoked`)
	}
	for _, alive := range []*exchange.Answer{first, sibling} {
		if err := w.alive(alive); err != nil {
			t.Errorf("%s: %v", alive.ID, err)
		}
	}
}

// Deleting a role kills what it minted, and what was exchanged from that.
func TestDeletingARoleReachesDescendants(t *testing.T) {
	w := newWorld(t)
	first := w.mustExchange(w.request())
	second, err := w.again(first)
	w.must(err)
	third, err := w.again(second)
	w.must(err)
	delete(w.snapshot.Roles, "orders")
	for _, dead := range []*exchange.Answer{first, second, third} {
		wantDenied(t, w.alive(dead), denial.Revocation, "role_deleted",
			`invalid_request: role_deleted: the role that minted the token, or one that it was exchanged from, was deleted`)
	}
}

// Revoking a key kills what it signed, and what was exchanged from that under
// another key: whoever has the key may have forged the ancestor.
func TestRevokingAKeyReachesDescendants(t *testing.T) {
	w := newWorld(t)
	w.addKey("other", func(*keyring.Key) {})
	w.snapshot.Roles["again"].Key = "other"
	first := w.mustExchange(w.request())
	second, err := w.again(first)
	w.must(err)
	w.snapshot.Keys["main"], err = w.snapshot.Keys["main"].Revoke("", w.now)
	w.must(err)
	_, err = w.exchanger.Own(context.Background(), w.snapshot, w.records, first.AccessToken)
	wantDenied(t, err, denial.Subject, "kid", `invalid_request: subject: "kid" is not a published key of this engine`)
	wantDenied(t, w.alive(second), denial.Revocation, "key_revoked",
		`invalid_request: key_revoked: the key that signed the token, or one that it was exchanged from, was revoked`)
	if err := w.alive(w.mustExchange(w.request())); err != nil {
		t.Errorf("a token of the promoted version: %v", err)
	}
}

// A token of ours is never taken for another issuer's, whoever configures what.
func TestOwnTokenIsNeverForeign(t *testing.T) {
	w := newWorld(t)
	first := w.mustExchange(w.request())
	jwks, err := json.Marshal(keyring.JWKS(w.snapshot.Keys, w.now))
	w.must(err)
	w.snapshot.Config.Issuer = "https://new.example"
	w.addIssuer("disguise", w.idp, func(c *issuer.Config) {
		c.BoundIssuer, c.JWKS, c.BoundAudiences = ourIssuer, string(jwks), []string{orders}
	})
	w.addRole("foreign", func(r *policy.Role) { r.Issuers, r.BoundSubject = []string{"disguise"}, "idp:ci-runner" })
	_, err = w.exchange(exchange.Request{Role: "foreign", SubjectToken: first.AccessToken, MountMaxTTL: time.Hour})
	wantDenied(t, err, denial.Subject, "kid", `invalid_request: subject: the token is signed with a key of this engine: it is accepted by roles with the issuer "self" alone`)
}

// A former issuer's tokens can be asked about, but not exchanged.
func TestFormerIssuer(t *testing.T) {
	w := newWorld(t)
	first := w.mustExchange(w.request())
	w.snapshot.RetireIssuer(w.now)
	w.snapshot.Config.Issuer = "https://new.example/v1/token-exchange"
	if _, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, first.AccessToken); err != nil {
		t.Errorf("cannot be introspected: %v", err)
	}
	_, err := w.again(first)
	wantDenied(t, err, denial.Subject, "issuers", `invalid_request: subject: "iss" claim: ["https://vault.example/v1/token-exchange"] is not an issuer that the role "again" accepts`)
	w.snapshot.Config = nil
	if _, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, first.AccessToken); err != nil {
		t.Errorf("cannot be introspected without a configuration: %v", err)
	}
	if got := w.snapshot.LastIssuer(w.now); got != ourIssuer {
		t.Errorf("clients of %q can ask and revoke", got)
	}
	w.snapshot.FormerIssuers[0].Until = w.now
	if got := w.snapshot.LastIssuer(w.now); got != "" {
		t.Errorf("clients of %q can ask and revoke, of whose tokens none is alive", got)
	}
	_, err = w.exchanger.Own(context.Background(), w.snapshot, w.records, first.AccessToken)
	wantDenied(t, err, denial.Subject, "iss", `invalid_request: subject: "iss" is not this engine's`)
}

// No key bounds an opaque token: the longest life that the configuration lets it have
// does.
func TestFormerIssuerOfOpaqueTokens(t *testing.T) {
	w := newWorld(t)
	clear(w.snapshot.Keys)
	w.snapshot.Config.MaxTTL = 20 * time.Hour
	w.snapshot.RetireIssuer(w.now)
	w.snapshot.Config = nil
	if got := w.snapshot.LastIssuer(w.now.Add(20 * time.Hour)); got != ourIssuer {
		t.Errorf("clients of %q can ask and revoke", got)
	}
}

// Lineage names nobody: the same subject has the same pseudonym, another one,
// or another mount, another.
func TestLineagePseudonyms(t *testing.T) {
	source := func(w *world, sub string) string {
		w.snapshot.Roles["orders"].BoundSubject = sub
		req := w.request()
		req.SubjectToken = w.subject(map[string]any{"sub": sub})
		lineage, err := token.ParseLineage(w.claimsOf(w.mustExchange(req)))
		w.must(err)
		return lineage.Source
	}
	w := newWorld(t)
	alice, again, bob := source(w, "alice"), source(w, "alice"), source(w, "bob")
	w.snapshot.Secret = []byte("another mount")
	elsewhere := source(w, "alice")
	if alice != again || alice == bob || alice == elsewhere || strings.Contains(alice, "alice") {
		t.Errorf("alice %q and %q, bob %q, elsewhere %q", alice, again, bob, elsewhere)
	}
}

// AT-4: ids are unique.
// JW-21: there are two ECDSA signatures of the same payload that verify, so the
// bytes of a token do not identify it. What was exchanged from either has the
// same root, and is revoked together.
func TestRootIsNotTheBytesOfTheToken(t *testing.T) {
	w := newWorld(t)
	rootOf := func(subject token.Secret) string {
		t.Helper()
		req := w.request()
		req.SubjectToken = subject
		lineage, err := token.ParseLineage(w.claimsOf(w.mustExchange(req)))
		w.must(err)
		return lineage.Ancestors[0]
	}
	subject := w.subject(map[string]any{"jti": nil})
	other := otherSignature(t, subject)
	if subject == other {
		t.Fatal("the signatures are the same")
	}
	if a, b := rootOf(subject), rootOf(other); a != b {
		t.Errorf("two roots: %s and %s", a, b)
	}
	if a, b := rootOf(subject), rootOf(w.subject(map[string]any{"jti": nil, "more": 1})); a == b {
		t.Errorf("two tokens have the root %s", a)
	}
}

// otherSignature replaces the s of an ES256 signature (r, s) by n-s.
func otherSignature(t *testing.T, signed token.Secret) token.Secret {
	t.Helper()
	at := strings.LastIndexByte(signed.Reveal(), '.') + 1
	signature, err := base64.RawURLEncoding.DecodeString(signed.Reveal()[at:])
	if err != nil {
		t.Fatal(err)
	}
	s := new(big.Int).SetBytes(signature[32:])
	s.Sub(elliptic.P256().Params().N, s).FillBytes(signature[32:])
	return signed[:at] + token.Secret(base64.RawURLEncoding.EncodeToString(signature))
}

func TestTokenIDsAreUnique(t *testing.T) {
	w := newWorld(t)
	req := w.request()
	seen := map[string]bool{}
	for range 2000 {
		a := w.mustExchange(req)
		if seen[a.ID] {
			t.Fatalf("%s minted twice", a.ID)
		}
		seen[a.ID] = true
	}
}
