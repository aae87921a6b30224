package issuer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denial"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/denialtest"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/issuer"
	"github.com/tokenexchange/vault-plugin-secrets-token-exchange/backend/internal/token"
)

const (
	iss      = "https://idp.example"
	audience = "https://vault.example"
)

var (
	rsa2048 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) })
	rsa1024 = sync.OnceValue(func() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 1024)) })
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// newKey makes an ES256 key.
func newKey(id string) jose.JSONWebKey { return newKeyOn(elliptic.P256(), id, "ES256") }

func newKeyOn(curve elliptic.Curve, id, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: must(ecdsa.GenerateKey(curve, rand.Reader)), KeyID: id, Algorithm: alg, Use: "sig"}
}

func rsaKey(id, alg string) jose.JSONWebKey {
	return jose.JSONWebKey{Key: rsa2048(), KeyID: id, Algorithm: alg, Use: "sig"}
}

func publicOf(key jose.JSONWebKey) any { return key.Public().Key }

// jwks is the JWK set with the public halves of keys.
func jwks(keys ...jose.JSONWebKey) string {
	set := jose.JSONWebKeySet{}
	for _, k := range keys {
		set.Keys = append(set.Keys, k.Public())
	}
	return string(must(json.Marshal(set)))
}

// clock stands still until it is told to go on.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// claimsAt are the claims of a good token, with some replaced.
func claimsAt(now time.Time, replaced map[string]any) map[string]any {
	claims := map[string]any{
		"iss": iss, "sub": "alice", "aud": audience, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, replaced)
	return claims
}

// sign makes a token with a key, whose id and algorithm go into the header;
// extra header parameters win.
func sign(key jose.JSONWebKey, claims map[string]any, extra map[jose.HeaderKey]any) *token.Unverified {
	options := &jose.SignerOptions{ExtraHeaders: map[jose.HeaderKey]any{}}
	if key.KeyID != "" {
		options.ExtraHeaders["kid"] = key.KeyID
	}
	maps.Copy(options.ExtraHeaders, extra)
	signer := must(jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(key.Algorithm), Key: key.Key}, options))
	jws := must(signer.Sign(must(json.Marshal(claims))))
	return must(token.Parse(token.Secret(must(jws.CompactSerialize()))))
}

// trusted makes an issuer with a good configuration and inline keys.
func trusted(t testing.TB, jwks string, edit func(*issuer.Config)) *issuer.Issuer {
	t.Helper()
	c := issuer.NewConfig("idp")
	c.BoundIssuer, c.BoundAudiences, c.JWKS = iss, []string{audience}, jwks
	if edit != nil {
		edit(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	made, err := issuer.New(c, issuer.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// verifyInline verifies a token at the time at which it was issued.
func verifyInline(i *issuer.Issuer, u *token.Unverified) error {
	_, _, err := i.VerifyToken(context.Background(), u, issuer.Check{Now: newClock().Now()})
	return err
}

// wantDenied checks a refusal: its code, the rule that decided, and its text.
func wantDenied(t testing.TB, err error, code denial.Code, rule, text string) {
	t.Helper()
	denialtest.Want(t, err, rule, string(code)+": "+text)
}

const noFittingKey = `subject: the issuer "idp" has no key that fits the header "alg" and "kid"`

// idp is an identity provider on a loopback address. Its answers can be
// replaced by path.
type idp struct {
	*httptest.Server
	fetches atomic.Int32 // of the JWKS

	mu       sync.Mutex
	keys     []jose.JSONWebKey
	handlers map[string]http.HandlerFunc
}

const (
	discoveryPath = "/.well-known/openid-configuration"
	keysPath      = "/keys"
)

func newIDP(t testing.TB, keys ...jose.JSONWebKey) *idp {
	t.Helper()
	p := &idp{keys: keys, handlers: map[string]http.HandlerFunc{}}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *idp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	handler, keys := p.handlers[r.URL.Path], p.keys
	p.mu.Unlock()
	if r.URL.Path == keysPath && r.URL.RawQuery == "" { // a redirect has one
		p.fetches.Add(1)
	}
	switch {
	case handler != nil:
		handler(w, r)
	case r.URL.Path == discoveryPath:
		_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, iss, p.URL+keysPath)
	case r.URL.Path == keysPath:
		_, _ = w.Write([]byte(jwks(keys...)))
	default:
		http.NotFound(w, r)
	}
}

// handle replaces the answer of a path; nil restores it.
func (p *idp) handle(path string, h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handlers[path] = h
}

func (p *idp) publish(keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

func (p *idp) wantFetches(t testing.TB, want int32) {
	t.Helper()
	if got := p.fetches.Load(); got != want {
		t.Errorf("the JWKS was fetched %d times, want %d", got, want)
	}
}

func unavailable(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
}

// remote is an issuer whose keys come from an idp.
type remote struct {
	*issuer.Issuer
	*clock
	fetched chan issuer.Fetch // what OnFetch was told
}

func newRemote(t testing.TB, p *idp, edit func(*issuer.Config)) *remote {
	t.Helper()
	c := issuer.NewConfig("idp")
	c.BoundIssuer, c.BoundAudiences, c.DiscoveryURL = iss, []string{audience}, p.URL
	c.AllowedAddresses = []string{"127.0.0.0/8"}
	if edit != nil {
		edit(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	r := &remote{clock: newClock(), fetched: make(chan issuer.Fetch, 100)}
	made, err := issuer.New(c, issuer.Options{
		Now: r.Now,
		OnFetch: func(name string, f issuer.Fetch) {
			if name != "idp" {
				t.Errorf("OnFetch was told of the issuer %q", name)
			}
			r.fetched <- f
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	r.Issuer = made
	return r
}

// verify presents a good token signed now with a key.
func (r *remote) verify(key jose.JSONWebKey) error { return r.verifyContext(context.Background(), key) }

func (r *remote) verifyContext(ctx context.Context, key jose.JSONWebKey) error {
	_, _, err := r.VerifyToken(ctx, sign(key, claimsAt(r.Now(), nil), nil), issuer.Check{Now: r.Now()})
	return err
}

func (r *remote) mustVerify(t testing.TB, key jose.JSONWebKey) {
	t.Helper()
	if err := r.verify(key); err != nil {
		t.Fatalf("%v, because %v", err, errors.Unwrap(err))
	}
}

// wantOutage checks that the issuer's keys cannot be had, and why.
func wantOutage(t testing.TB, err error, cause string) {
	t.Helper()
	wantDenied(t, err, denial.TemporarilyUnavailable, "issuer_keys",
		`subject: the keys of the issuer "idp" cannot be had now: see issuers/idp/status`)
	if got := errors.Unwrap(err); got == nil || got.Error() != cause {
		t.Errorf("cause is %v\nwant %s", got, cause)
	}
}
