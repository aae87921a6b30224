package exchange_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/exchange"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuertest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/keyring"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/policy"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/ratelimit"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/revocation"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

// world is a mount that works: one issuer, one key, three roles. A test changes
// one thing in it.
type world struct {
	t         testing.TB
	now       time.Time
	idp       *issuertest.Issuer
	snapshot  *exchange.Snapshot
	exchanger exchange.Exchanger
	revoked   revocation.Set
	records   *shelf
}

// shelf keeps the records of opaque tokens, and fails on demand.
type shelf struct {
	kept       map[string][]byte
	puts, gets int
	err        error
}

func (s *shelf) Put(_ context.Context, place string, claims []byte) error {
	s.puts++
	if s.err != nil {
		return s.err
	}
	s.kept[place] = claims
	return nil
}

func (s *shelf) Get(_ context.Context, place string) ([]byte, error) {
	s.gets++
	return s.kept[place], s.err
}

const (
	ourIssuer = "https://vault.example/v1/token-exchange"
	orders    = "https://orders.example"
	billing   = "https://billing.example"
)

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Unix(1_800_000_000, 0), idp: issuertest.New(t, "https://idp.example"), records: &shelf{kept: map[string][]byte{}}}
	limits, err := ratelimit.New(8)
	if err != nil {
		t.Fatal(err)
	}
	w.exchanger = exchange.Exchanger{Now: func() time.Time { return w.now }, Revocations: &w.revoked, Limits: limits}
	config := exchange.NewConfig()
	config.Issuer, config.DefaultKey = ourIssuer, "main"
	config.AllowedAudiences, config.AllowedScopes = policy.Guardrail{"https://*"}, policy.Guardrail{"*"}
	w.snapshot = &exchange.Snapshot{
		Config: config, Secret: []byte("0123456789abcdef0123456789abcdef"),
		Issuers: map[string]*issuer.Issuer{}, Keys: map[string]*keyring.Key{}, Roles: map[string]*policy.Role{},
	}
	w.addKey("main", func(*keyring.Key) {})
	w.addIssuer("idp", w.idp, func(*issuer.Config) {})
	w.addRole("orders", func(*policy.Role) {})
	w.addRole("again", func(r *policy.Role) {
		r.Issuers, r.BoundSubject, r.BoundAudiences = []string{policy.Self}, "", []string{orders, billing}
	})
	w.addRole("me", func(r *policy.Role) {
		r.SubjectSource, r.Issuers, r.BoundSubject = policy.SourceCaller, nil, ""
	})
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addKey(name string, edit func(*keyring.Key)) {
	w.t.Helper()
	k := keyring.Key{
		Name: name, Algorithm: "ES256",
		PublicationLead: time.Hour, VerificationPeriod: 2 * time.Hour,
	}
	edit(&k)
	made, err := keyring.Generate(k, w.now, w.snapshot.KeyReady(w.now))
	w.must(err)
	w.snapshot.Keys[name] = made
}

func (w *world) addIssuer(name string, idp *issuertest.Issuer, edit func(*issuer.Config)) {
	w.t.Helper()
	c := issuer.NewConfig(name)
	c.BoundIssuer, c.JWKS, c.BoundAudiences = idp.URL, idp.JWKS(w.t), []string{"https://vault.example"}
	edit(c)
	w.must(c.Validate())
	made, err := issuer.New(c, issuer.Options{})
	w.must(err)
	w.snapshot.Issuers[name] = made
}

func (w *world) addRole(name string, edit func(*policy.Role)) {
	w.t.Helper()
	r := policy.NewRole("id-of-"+name, name)
	r.Issuers, r.BoundSubject = []string{"idp"}, "ci-runner"
	r.AllowedAudiences, r.DefaultAudience = []string{orders, billing}, orders
	r.AllowedScopes, r.DefaultScopes = []string{"orders:read", "orders:write"}, []string{"orders:read"}
	r.TTL, r.MaxTTL = 5*time.Minute, 30*time.Minute
	edit(r)
	w.must(r.Compile())
	w.snapshot.Roles[name] = r
}

// subject returns a good subject token, with some claims replaced.
func (w *world) subject(replaced map[string]any) token.Secret {
	w.t.Helper()
	return token.Secret(w.idp.Sign(w.t, w.idp.Claims(w.now, replaced)))
}

// request returns a good request for the role "orders".
func (w *world) request() exchange.Request {
	w.t.Helper()
	return exchange.Request{Role: "orders", SubjectToken: w.subject(nil), MountMaxTTL: 768 * time.Hour}
}

func (w *world) exchange(req exchange.Request) (*exchange.Answer, error) {
	req.Records = w.records
	return w.exchanger.Exchange(context.Background(), w.snapshot, req)
}

func (w *world) mustExchange(req exchange.Request) *exchange.Answer {
	w.t.Helper()
	answer, err := w.exchange(req)
	w.must(err)
	return answer
}

// claimsOf reads the claims of a token that was minted here.
func (w *world) claimsOf(a *exchange.Answer) token.Claims {
	w.t.Helper()
	own, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, a.AccessToken)
	w.must(err)
	return own.Claims
}

// alive tells why a token that was minted here is dead; nil if it is not.
func (w *world) alive(a *exchange.Answer) error {
	w.t.Helper()
	own, err := w.exchanger.Own(context.Background(), w.snapshot, w.records, a.AccessToken)
	w.must(err)
	return w.exchanger.CheckAlive(w.snapshot, own)
}

// wantDenied checks a refusal: its text, and the stage and rule that decided.
func wantDenied(t testing.TB, err error, stage denial.Stage, rule, text string) {
	t.Helper()
	denialtest.Want(t, err, rule, text)
	if got := denial.From(err).Stage; got != stage {
		t.Errorf("decided at stage %q, want %q", got, stage)
	}
}

// jwksOf returns the published keys of a mount.
func jwksOf(t testing.TB, w *world) string {
	t.Helper()
	out, err := json.Marshal(keyring.JWKS(w.snapshot.Keys, w.now))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
